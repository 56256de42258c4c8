// SPDX-License-Identifier: MIT
// Fields that hold objects, as the kfuncs on lists, trees and pointers share them.
#pragma once

#include <optional>

#include "vm/machine.h"

namespace mimicsh::vm {

/// A field of a map value or of an object.
struct Place {
    uint8_t* bytes = nullptr; ///< null: a fault is pending
    uint64_t name = 0;        ///< differs from that of every other place, never 0
    uint64_t guest = 0;       ///< its address in this run
};

/// The field of that kind at an address; a fault when there is none.
[[nodiscard]] Place place_at(Machine& machine, uint64_t addr, HiddenField::Kind kind, const char* function);
/// The same, and the lock of the value has to be held.
[[nodiscard]] Place locked_place_at(Machine& machine, uint64_t addr, HiddenField::Kind kind,
                                    const char* function);

/// Whether a map value or object has a field of that kind at an address.
[[nodiscard]] bool has_field_at(Machine& machine, uint64_t addr, HiddenField::Kind kind);
/// Kind of the pointer to an object that a map value or object has at an address.
[[nodiscard]] std::optional<HiddenField::Kind> pointer_field_at(Machine& machine, uint64_t addr);

/// A node names its object and its place in it.
struct Node {
    uint32_t object = 0; ///< 0: a fault is pending
    uint32_t offset = 0;

    [[nodiscard]] uint64_t ref() const { return uint64_t{object} << 32 | (offset + 1); }
    [[nodiscard]] static Node of(uint64_t ref) {
        return {static_cast<uint32_t>(ref >> 32), static_cast<uint32_t>(ref) - 1};
    }
};
[[nodiscard]] Node node_at(Machine& machine, uint64_t addr, HiddenField::Kind kind, const char* function);
[[nodiscard]] uint8_t* node_bytes(Machine& machine, uint64_t ref);
/// Guest address of a node in this run.
[[nodiscard]] uint64_t node_address(Machine& machine, uint64_t ref);

/// Object whose pointer an address is or goes into, 0 = none; a copy of a per-CPU object is none.
[[nodiscard]] uint32_t object_at(Machine& machine, uint64_t addr);
/// Guest address of an object in this run. The handles behind that of a per-CPU object are its copies.
[[nodiscard]] uint64_t object_address(Machine& machine, uint32_t id);
/// The program owns the object from here on, or no longer; false: it does not, and a fault is pending.
void give_to_program(Machine& machine, uint32_t id);
[[nodiscard]] bool take_from_program(Machine& machine, uint32_t id, const char* function);
/// One owner less; without any the object is freed, and what it owns.
void drop_object(Machine& machine, uint32_t id, Journal* journal);
/// Drops what a pointer, list or tree holds.
void drop_contents(Machine& machine, HiddenField::Kind kind, uint8_t* bytes, Journal* journal);

/// Stores eight bytes that the journal remembers; null = no run.
void put_word(uint8_t* to, uint64_t value, Journal* journal);

} // namespace mimicsh::vm
