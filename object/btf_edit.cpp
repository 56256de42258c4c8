// SPDX-License-Identifier: MIT
// Patching and appending on raw BTF records.
#include "object/btf_edit.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace mimicsh {

BtfEditor::BtfEditor() = default;

BtfEditor::BtfEditor(const Btf& btf) {
    const auto sections = btf_raw::split(btf.raw(), "");
    assert(sections.has_value());
    types_.assign(sections->types.begin(), sections->types.end());
    strings_.assign(sections->strings.begin(), sections->strings.end());
    for (uint32_t offset = 0; offset < types_.size();) {
        offsets_.push_back(offset);
        const btf_raw::Record rec = btf_raw::record_at(&types_[offset]);
        offset += btf_raw::kRecordSize + btf_raw::tail_size(rec.kind(), rec.vlen());
    }
}

uint32_t BtfEditor::word(uint32_t id, size_t index) const {
    assert(id != 0 && id < offsets_.size());
    return load<uint32_t>(&types_[offsets_[id] + 4 * index]);
}

void BtfEditor::set_word(uint32_t id, size_t index, uint32_t value) {
    assert(id != 0 && id < offsets_.size());
    store(&types_[offsets_[id] + 4 * index], value);
}

void BtfEditor::remove_secvar(uint32_t id, uint32_t index) {
    const btf_raw::Record rec = record(id);
    assert(rec.kind() == BtfKind::Datasec && index < rec.vlen());
    constexpr uint32_t kEntry = 12;
    const size_t at = offsets_[id] + btf_raw::kRecordSize + size_t{kEntry} * index;
    set_word(id, 1, btf_raw::make_info(BtfKind::Datasec, rec.vlen() - 1));
    types_.erase(types_.begin() + static_cast<ptrdiff_t>(at),
                 types_.begin() + static_cast<ptrdiff_t>(at + kEntry));
    for (uint32_t later = id + 1; later < offsets_.size(); ++later) {
        offsets_[later] -= kEntry;
    }
}

uint32_t& BtfEditor::bucket(std::string_view text) {
    const size_t mask = buckets_.size() - 1; // of a power of two
    for (size_t at = std::hash<std::string_view>{}(text);; ++at) {
        uint32_t& offset = buckets_[at & mask];
        if (offset == 0 || string_at(offset) == text) {
            return offset;
        }
    }
}

void BtfEditor::index_strings() {
    const auto count = static_cast<size_t>(std::ranges::count(strings_, 0));
    strings_left_ = std::bit_ceil(count + 16) - count;
    buckets_.assign(2 * std::bit_ceil(count + 16), 0);
    for (uint32_t at = 1; at < strings_.size(); at += static_cast<uint32_t>(string_at(at).size()) + 1) {
        uint32_t& offset = bucket(string_at(at));
        offset = offset == 0 ? at : offset;
    }
}

uint32_t BtfEditor::add_string(std::string_view text) {
    if (text.empty()) {
        return 0;
    }
    if (strings_left_ == 0) {
        index_strings();
    }
    uint32_t& offset = bucket(text);
    if (offset == 0) {
        offset = static_cast<uint32_t>(strings_.size());
        strings_.insert(strings_.end(), text.begin(), text.end());
        strings_.push_back(0);
        --strings_left_;
    }
    return offset;
}

uint32_t BtfEditor::find(std::string_view name, BtfKind kind) const {
    for (uint32_t id = 1; id < type_count(); ++id) {
        const btf_raw::Record rec = record(id);
        const std::string_view all = as_text(strings_);
        if (rec.kind() == kind &&
            all.substr(rec.name_off, all.find('\0', rec.name_off) - rec.name_off) == name) {
            return id;
        }
    }
    return 0;
}

uint32_t BtfEditor::add_type(const std::vector<uint32_t>& words) {
    offsets_.push_back(static_cast<uint32_t>(types_.size()));
    for (const uint32_t value : words) {
        types_.resize(types_.size() + 4);
        store(&types_[types_.size() - 4], value);
    }
    return type_count() - 1;
}

uint32_t BtfEditor::find_or_add_int() {
    for (uint32_t id = 1; id < type_count(); ++id) {
        if (kind(id) == BtfKind::Int && word(id, 2) == 4 && (word(id, 3) & 0x00ff00ff) == 32) {
            return id;
        }
    }
    return add_type({add_string("int"), btf_raw::make_info(BtfKind::Int, 0), 4, (1u << 24) | 32});
}

ByteVec BtfEditor::finish() const {
    ByteVec out(btf_raw::kHeaderSize, 0);
    store(&out[0], btf_raw::kMagic);
    out[2] = 1;
    store(&out[4], btf_raw::kHeaderSize);
    store(&out[8], uint32_t{0});
    store(&out[12], narrow<uint32_t>(types_.size()));
    store(&out[16], narrow<uint32_t>(types_.size()));
    store(&out[20], narrow<uint32_t>(strings_.size()));
    out.insert(out.end(), types_.begin(), types_.end());
    out.insert(out.end(), strings_.begin(), strings_.end());
    return out;
}

} // namespace mimicsh
