// SPDX-License-Identifier: MIT
// Changing and building BTF: patch words of existing records, append types and strings. Ids never move.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "object/btf.h"
#include "object/btf_raw.h"

namespace mimicsh {

/// Works on checked BTF or from nothing; what `finish` returns still has to go through Btf::parse.
class BtfEditor {
  public:
    /// Empty BTF.
    BtfEditor();
    /// A copy of existing BTF.
    explicit BtfEditor(const Btf& btf);

    [[nodiscard]] uint32_t type_count() const { return static_cast<uint32_t>(offsets_.size()); }
    /// Word `index` of a record: 0 name, 1 info, 2 size or type, then its tail.
    [[nodiscard]] uint32_t word(uint32_t id, size_t index) const;
    void set_word(uint32_t id, size_t index, uint32_t value);
    [[nodiscard]] BtfKind kind(uint32_t id) const { return record(id).kind(); }
    [[nodiscard]] uint32_t vlen(uint32_t id) const { return record(id).vlen(); }

    /// Takes one entry out of a DATASEC; the entries behind it move up.
    void remove_secvar(uint32_t id, uint32_t index);

    /// Offset of a string, appended when it is new.
    uint32_t add_string(std::string_view text);
    /// First type of that kind and name, 0 = none. Linear.
    [[nodiscard]] uint32_t find(std::string_view name, BtfKind kind) const;
    /// Appends a record of the words given (name, info, size or type, tail); returns its id.
    uint32_t add_type(const std::vector<uint32_t>& words);
    /// A signed 4-byte int; an existing one when there is one.
    uint32_t find_or_add_int();

    [[nodiscard]] ByteVec finish() const;

  private:
    [[nodiscard]] btf_raw::Record record(uint32_t id) const {
        return btf_raw::record_at(&types_[offsets_[id]]);
    }

    [[nodiscard]] std::string_view string_at(uint32_t offset) const {
        return reinterpret_cast<const char*>(&strings_[offset]);
    }
    /// Makes the hash table anew, larger.
    void index_strings();
    /// The offset of a string in the hash table, or the free place for it.
    [[nodiscard]] uint32_t& bucket(std::string_view text);

    std::vector<uint32_t> offsets_{0}; // [0] is void
    ByteVec types_;
    ByteVec strings_{0};
    std::vector<uint32_t> buckets_; // a hash table of offsets of strings, 0 = free
    size_t strings_left_ = 0;       // that can be added before the table is half full
};

} // namespace mimicsh
