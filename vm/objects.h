// SPDX-License-Identifier: MIT
// Objects that programs allocate (bpf_obj_new), and where they are kept: pointers, lists and trees in map
// values and in other objects (kernel/bpf/helpers.c).
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "object/value_fields.h"
#include "vm/journal.h"

namespace mimicsh::vm {

/// Layout of an object by its type in the program's BTF.
struct ObjectType {
    uint32_t btf_id = 0;
    uint32_t size = 0;
    std::vector<HiddenField> fields;
    uint32_t copies = 0; ///< of a per-CPU object: one for each CPU, `step()` bytes apart; 0 = it is no such

    [[nodiscard]] uint32_t step() const { return round_up(size, 8u); }
};

/// One object. Plain bytes, so that the journal can bring it back; the memory itself stays.
struct HeapObject {
    uint8_t* bytes = nullptr;
    uint32_t capacity = 0;
    uint32_t type = 0;       ///< index of its ObjectType
    uint32_t references = 0; ///< owners: program, pointers, lists, trees; 0 = free
};

/// All objects of an instance; ids count from 1.
class ObjectHeap {
  public:
    [[nodiscard]] uint32_t create(uint32_t type, uint32_t size, Journal* journal);
    [[nodiscard]] HeapObject& at(uint32_t id) { return all_[id - 1]; }
    [[nodiscard]] const HeapObject& at(uint32_t id) const { return all_[id - 1]; }
    [[nodiscard]] HeapObject& change(uint32_t id, Journal* journal) {
        if (journal != nullptr) {
            journal->bytes(reinterpret_cast<uint8_t*>(&at(id)), sizeof(HeapObject));
        }
        return at(id);
    }
    [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(all_.size()); }
    /// Freed objects that `create` looks through for one that is large enough.
    [[nodiscard]] size_t free_count() const { return free_.size(); }
    /// Memory of all objects, about.
    [[nodiscard]] uint64_t bytes() const { return bytes_; }
    /// Objects that were freed may be used again from here on: no run can take that back.
    void end_run();
    void note_freed(uint32_t id) { freed_.push_back(id); }

    /// Index of the type with the same id and number of copies; nothing when it is new.
    [[nodiscard]] std::optional<uint32_t> find_type(const ObjectType& type) const;
    [[nodiscard]] uint32_t add_type(const ObjectType& type);
    [[nodiscard]] const ObjectType& type(uint32_t index) const { return types_[index]; }

    /// Region of an object in this run, 0 = none yet.
    [[nodiscard]] uint32_t& handle(uint32_t id) { return handles_[id - 1]; }
    std::vector<uint32_t> shown; ///< objects with a region in this run
    uint64_t tree_changes = 0;   ///< nodes that were put into trees or taken out

  private:
    std::deque<HeapObject> all_; ///< never moves
    std::vector<std::unique_ptr<uint8_t[]>> memory_;
    std::vector<uint32_t> handles_;
    std::vector<uint32_t> free_;
    std::vector<uint32_t> freed_; ///< in this run
    std::deque<ObjectType> types_;
    uint64_t bytes_ = 0;
};

} // namespace mimicsh::vm
