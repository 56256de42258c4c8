// SPDX-License-Identifier: MIT
// The support table: what the vm emulates, and which test shows it. The decoder, vm.support() and
// docs/support.md read it; nothing is emulated that is not in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "object/abi.h"
#include "vm/machine.h"

namespace mimicsh::vm {

enum class State : uint8_t {
    Emulated, ///< does what the kernel does
    Scripted, ///< answers what the scripted world says; without a value the run ends with its name
    Refused,  ///< refused at load, by name
};
/// "emulated", "scripted" or "refused".
[[nodiscard]] std::string_view name(State state);

struct HelperRow {
    uint32_t id = 0;
    HelperFn function = nullptr; ///< null: the interpreter does it itself (tail_call)
    std::string_view test;       ///< GoogleTest name that compares it with the kernel
    std::string_view note;
    State state = State::Emulated;
};

struct MapRow {
    abi::MapType type = abi::MapType::Unspec;
    std::string_view test;
    std::string_view note;
};

/// Emulated helpers, by id.
[[nodiscard]] std::span<const HelperRow> helper_rows();
/// Emulated map types, by id.
[[nodiscard]] std::span<const MapRow> map_rows();
/// Implementation of a helper, null when it is not emulated.
[[nodiscard]] HelperFn helper_function(uint32_t id);
/// callx, in permissive mode: calls the helper whose number is in the destination register of the
/// instruction.
[[nodiscard]] uint64_t helper_in_register(Machine& machine, const uint64_t* args);
/// Whether the kernel lets a privileged GPL program of this type call the helper (Linux 6.18, measured).
[[nodiscard]] bool helper_allowed(abi::ProgType type, uint32_t id);
/// Whether the kernel wants a GPL-compatible licence of a program that calls the helper (gpl_only of struct
/// bpf_func_proto; Linux 6.18, measured).
[[nodiscard]] bool helper_wants_gpl(uint32_t id);
/// license_is_gpl_compatible in the kernel's include/linux/license.h.
[[nodiscard]] bool is_gpl_compatible(std::string_view license);
/// Whether the kernel lets the helper be called on maps of this type; true for helpers that take no map.
[[nodiscard]] bool helper_takes_map(uint32_t id, abi::MapType type);
/// Why a helper that is not emulated has no place here; empty when it only has not been built.
[[nodiscard]] std::string_view helper_reason(uint32_t id);
/// The same for map types.
[[nodiscard]] std::string_view map_reason(abi::MapType type);
/// State of an instruction form.
[[nodiscard]] State insn_state(const InsnForm& form);
/// GoogleTest name that compares an instruction form with the kernel; empty when it is refused.
[[nodiscard]] std::string_view insn_test(const InsnForm& form);
/// The same for fields of map values that belong to the kernel.
[[nodiscard]] std::string_view field_test(HiddenField::Kind kind);

/// docs/support.md, generated.
[[nodiscard]] std::string support_page();

} // namespace mimicsh::vm
