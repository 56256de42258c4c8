// SPDX-License-Identifier: MIT
// The heap of allocated objects.
#include "vm/objects.h"

#include <algorithm>

namespace mimicsh::vm {

uint32_t ObjectHeap::create(uint32_t type, uint32_t size, Journal* journal) {
    const auto fits = [&](uint32_t id) { return at(id).capacity >= size; };
    const auto found = std::find_if(free_.rbegin(), free_.rend(), fits);
    uint32_t id = 0;
    if (found != free_.rend()) {
        id = *found;
        free_.erase(std::next(found).base());
    } else {
        const uint32_t capacity = round_up(std::max(size, 1u), 16u);
        memory_.push_back(std::make_unique<uint8_t[]>(capacity));
        all_.push_back({memory_.back().get(), capacity, 0, 0});
        handles_.push_back(0);
        bytes_ += capacity + sizeof(HeapObject) + 32;
        id = this->size();
    }
    freed_.push_back(id); // a rewind leaves it free
    HeapObject& object = change(id, journal);
    object.type = type;
    object.references = 1;
    std::fill_n(object.bytes, size, uint8_t{0});
    return id;
}

void ObjectHeap::end_run() {
    for (const uint32_t id : shown) {
        handle(id) = 0;
    }
    shown.clear();
    std::ranges::sort(freed_);
    freed_.erase(std::unique(freed_.begin(), freed_.end()), freed_.end());
    for (const uint32_t id : freed_) {
        if (at(id).references == 0) {
            free_.push_back(id);
        }
    }
    freed_.clear();
}

std::optional<uint32_t> ObjectHeap::find_type(const ObjectType& type) const {
    for (uint32_t i = 0; i < types_.size(); ++i) {
        if (types_[i].btf_id == type.btf_id && types_[i].copies == type.copies) {
            return i;
        }
    }
    return std::nullopt;
}

uint32_t ObjectHeap::add_type(const ObjectType& type) {
    types_.push_back(type);
    return static_cast<uint32_t>(types_.size()) - 1;
}

} // namespace mimicsh::vm
