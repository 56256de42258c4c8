// SPDX-License-Identifier: MIT
// The table of timers and work items.
#include "vm/async.h"

#include <algorithm>

namespace mimicsh::vm {

void AsyncTable::note(void* bytes, uint32_t size, Journal* journal) {
    if (journal != nullptr) {
        journal->bytes(static_cast<uint8_t*>(bytes), size);
    }
}

uint32_t AsyncTable::create(const AsyncCallback& what, Journal* journal) {
    if (head_.free == 0) {
        all_.emplace_back();
        head_.free = all_.size();
    }
    note(&head_, sizeof head_, journal);
    const auto id = static_cast<uint32_t>(head_.free);
    AsyncCallback& entry = change(id, journal);
    head_.free = entry.next_free;
    entry = what;
    return id;
}

AsyncCallback& AsyncTable::change(uint32_t id, Journal* journal) {
    AsyncCallback& entry = all_[id - 1];
    note(&entry, sizeof entry, journal);
    return entry;
}

void AsyncTable::arm(uint32_t id, uint64_t expires, Journal* journal) {
    note(&head_, sizeof head_, journal);
    AsyncCallback& entry = change(id, journal);
    due_.erase({entry.expires, entry.order, id});
    entry.armed = true;
    entry.expires = expires;
    earliest_ = std::min(earliest_, expires);
    entry.order = ++head_.next_order;
    if (advancing) {
        due_.insert({expires, entry.order, id});
    }
}

void AsyncTable::release(uint32_t id, Journal* journal) {
    note(&head_, sizeof head_, journal);
    AsyncCallback& entry = change(id, journal);
    entry = {};
    entry.next_free = static_cast<uint32_t>(head_.free);
    head_.free = id;
}

void AsyncTable::collect() {
    due_.clear();
    for (uint32_t id = 1; id <= all_.size(); ++id) {
        if (at(id).armed) {
            due_.insert({at(id).expires, at(id).order, id});
        }
    }
}

std::optional<uint32_t> AsyncTable::next_due(uint64_t until) {
    while (!due_.empty() && due_.begin()->expires <= until) {
        const Due first = *due_.begin();
        due_.erase(due_.begin());
        AsyncCallback& entry = all_[first.id - 1];
        if (entry.armed && entry.order == first.order) {
            entry.armed = false;
            return first.id;
        }
    }
    return std::nullopt;
}

} // namespace mimicsh::vm
