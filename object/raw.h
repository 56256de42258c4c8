// SPDX-License-Identifier: MIT
// Raw instructions, as the kernel takes them and other tools save them, to an object.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "object/object.h"

namespace mimicsh {

/// The map that a 64-bit load refers to.
struct RawMap {
    uint32_t insn = 0; ///< slot of the load
    MapDef def;        ///< without inner map and slots; definitions of one name must be equal
};

/// What the instructions themselves do not say.
struct RawOptions {
    std::string name;           ///< of the program; empty = its name in `btf`, else "raw"
    std::string origin = "raw"; ///< for messages
    abi::ProgType type = abi::ProgType::Xdp;
    std::optional<abi::AttachType> attach_type; ///< none = the type's usual one
    uint32_t flags = 0;                         ///< abi::kProg*
    std::string license = "GPL";
    std::vector<RawMap> maps;
    std::vector<MapDef> fd_array; ///< what sources 5 and 6 name by index, unless `maps` says it; as in RawMap
    ByteView btf;                 ///< contents of a .BTF section; empty = none
    ByteView func_info; ///< struct bpf_func_info {u32 insn_off, type_id} for every function, or empty
};

/// Makes an object of instructions in the kernel's layout, 8 bytes a slot. Local calls and callback addresses
/// are distances in imm, as the kernel has them: where they lead, functions begin. A map whose value a load
/// addresses (source 2 or 6) becomes a data section: it is an array of one element and is renamed to
/// ".data.NAME" unless its name has .data, .bss or .rodata in it. EINVAL with the slot for whatever does not
/// fit together.
[[nodiscard]] Expected<Object> read_raw(ByteView insns, const RawOptions& options);

} // namespace mimicsh
