// SPDX-License-Identifier: MIT
// Finding, inserting and collecting entries. Where the kernel's collector comes round some time within a
// minute, an entry here is gone when its time is over.
#include "vm/conntrack.h"

#include <algorithm>

namespace mimicsh::vm {

namespace {

constexpr uint32_t kAssured = 1 << 2, kConfirmed = 1 << 3; // IPS_* bits

uint16_t zone_in(uint16_t zone, uint8_t zone_direction, uint32_t direction) {
    return (zone_direction >> direction & 1) != 0 ? zone : 0;
}

uint64_t to_jiffies(uint64_t clock_ns) {
    return clock_ns / ConntrackTable::kJiffy;
}

/// msecs_to_jiffies, and no more than __nf_ct_set_timeout takes.
uint64_t timeout_in_jiffies(uint32_t milliseconds) {
    constexpr uint64_t kPerJiffy = ConntrackTable::kJiffy / 1'000'000;
    return static_cast<int32_t>(milliseconds) < 0 ? INT32_MAX : (milliseconds + kPerJiffy - 1) / kPerJiffy;
}

const World::Connection::Tuple& tuple_in(const World::Connection& connection, uint8_t direction) {
    return direction == 0 ? connection.original : connection.reply;
}

} // namespace

bool ConntrackTable::is_listed(const Entry& entry) {
    return (entry.connection.status & kConfirmed) != 0;
}

uint64_t ConntrackTable::hash_of(const Tuple& tuple, uint8_t protocol, uint16_t zone) {
    uint64_t hash = 14695981039346656037u;
    const auto mix = [&](uint64_t value) { hash = (hash ^ value) * 1099511628211u; };
    for (const auto* end : {&tuple.source, &tuple.destination}) {
        for (const uint8_t byte : end->address.bytes) {
            mix(byte);
        }
        mix(end->port);
    }
    mix(protocol);
    mix(zone);
    return hash;
}

void ConntrackTable::load(const World& world, uint64_t clock_ns) {
    limit_ = world.conntrack_max.value_or(kMaxEntries);
    if (!world.conntrack) {
        return;
    }
    for (const World::Connection& one : *world.conntrack) {
        const Entry entry{one, to_jiffies(clock_ns) + timeout_in_jiffies(one.timeout_ms)};
        earliest_ = std::min(earliest_, entry.expires);
        list(next_, entry);
        entries_.emplace(next_++, entry);
    }
}

void ConntrackTable::list(uint32_t number, const Entry& entry) {
    const World::Connection& one = entry.connection;
    for (const uint8_t direction : {uint8_t{0}, uint8_t{1}}) {
        if (is_listed(entry)) {
            listed_.emplace(hash_of(tuple_in(one, direction), one.protocol,
                                    zone_in(one.zone, one.zone_direction, direction)),
                            number);
        }
    }
}

void ConntrackTable::unlist(uint32_t number, const Entry& entry) {
    const World::Connection& one = entry.connection;
    for (const uint8_t direction : {uint8_t{0}, uint8_t{1}}) {
        const auto [begin, end] = listed_.equal_range(hash_of(
            tuple_in(one, direction), one.protocol, zone_in(one.zone, one.zone_direction, direction)));
        const auto found =
            std::find_if(begin, end, [&](const auto& other) { return other.second == number; });
        if (found != end) {
            listed_.erase(found);
        }
    }
}

std::optional<std::pair<uint32_t, uint8_t>> ConntrackTable::find_in(const Key& key, uint16_t bucket,
                                                                    uint64_t now) const {
    std::optional<std::pair<uint32_t, uint8_t>> best;
    const auto [begin, end] = listed_.equal_range(hash_of(key.tuple, key.protocol, bucket));
    for (auto other = begin; other != end; ++other) {
        const Entry& entry = entries_.at(other->second);
        const World::Connection& one = entry.connection;
        if (entry.expires <= now || one.protocol != key.protocol || (best && other->second < best->first)) {
            continue;
        }
        for (const uint8_t direction : {uint8_t{0}, uint8_t{1}}) {
            const uint16_t zone = zone_in(one.zone, one.zone_direction, direction);
            if (tuple_in(one, direction) == key.tuple &&
                zone == zone_in(key.zone, key.zone_direction, direction)) {
                if (zone == bucket) {
                    best = {other->second, direction};
                }
                break;
            }
        }
    }
    return best;
}

std::optional<std::pair<uint32_t, uint8_t>> ConntrackTable::find(const Key& key, uint64_t clock_ns) const {
    const auto found = find_in(key, zone_in(key.zone, key.zone_direction, 0), to_jiffies(clock_ns));
    return found ? found : find_in(key, zone_in(key.zone, key.zone_direction, 1), to_jiffies(clock_ns));
}

void ConntrackTable::note(uint32_t number) {
    const auto before = entries_.find(number);
    undo_.emplace_back(number,
                       before == entries_.end() ? std::nullopt : std::optional<Entry>(before->second));
}

ConntrackTable::Entries::iterator ConntrackTable::drop(Entries::iterator entry) {
    note(entry->first);
    unlist(entry->first, entry->second);
    return entries_.erase(entry);
}

void ConntrackTable::make_room(uint64_t now, std::span<const uint32_t> held) {
    const auto is_held = [&](uint32_t number) { return std::ranges::binary_search(held, number); };
    if (earliest_ <= now) {
        earliest_ = UINT64_MAX;
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            if (entry->second.expires <= now && is_listed(entry->second) && !is_held(entry->first)) {
                entry = drop(entry);
            } else {
                earliest_ = std::min(earliest_, std::max(entry->second.expires, now + 1));
                ++entry;
            }
        }
    }
    if (entries_.size() < limit_) {
        return;
    }
    const auto victim = std::ranges::find_if(entries_, [&](const auto& one) {
        const uint32_t status = one.second.connection.status;
        return (status & kConfirmed) != 0 && (status & kAssured) == 0 && !is_held(one.first);
    });
    if (victim != entries_.end()) {
        drop(victim);
    }
}

size_t ConntrackTable::work_of_adding(uint64_t clock_ns) const {
    return earliest_ <= to_jiffies(clock_ns) || entries_.size() >= limit_ ? entries_.size() : 0;
}

std::optional<uint32_t> ConntrackTable::add(const World::Connection& connection, uint64_t clock_ns,
                                            std::span<const uint32_t> held) {
    make_room(to_jiffies(clock_ns), held);
    if (entries_.size() >= limit_) {
        return std::nullopt;
    }
    note(next_);
    made_.push_back(next_);
    entries_.emplace(next_, Entry{connection, timeout_in_jiffies(connection.timeout_ms)});
    return next_++;
}

bool ConntrackTable::insert(uint32_t number, uint64_t clock_ns) {
    const auto place = entries_.find(number);
    const World::Connection& wanted = place->second.connection;
    for (const uint8_t direction : {uint8_t{0}, uint8_t{1}}) {
        const Key key{tuple_in(wanted, direction), wanted.protocol, wanted.zone, wanted.zone_direction};
        const uint16_t bucket = zone_in(wanted.zone, wanted.zone_direction, direction);
        if (find_in(key, bucket, to_jiffies(clock_ns))) {
            drop(place);
            return false;
        }
    }
    note(number);
    Entry& entry = place->second;
    entry.connection.status |= kConfirmed;
    entry.expires += to_jiffies(clock_ns);
    earliest_ = std::min(earliest_, entry.expires);
    list(number, entry);
    return true;
}

World::Connection& ConntrackTable::change(uint32_t number) {
    note(number);
    return entries_.at(number).connection;
}

void ConntrackTable::set_timeout(uint32_t number, uint32_t milliseconds, uint64_t clock_ns) {
    note(number);
    Entry& entry = entries_.at(number);
    entry.expires = timeout_in_jiffies(milliseconds) + (is_listed(entry) ? to_jiffies(clock_ns) : 0);
    earliest_ = is_listed(entry) ? std::min(earliest_, entry.expires) : earliest_;
}

void ConntrackTable::begin_run() {
    undo_.clear();
    for (const uint32_t number : made_) {
        const auto entry = entries_.find(number);
        if (entry != entries_.end() && !is_listed(entry->second)) {
            entries_.erase(entry);
        }
    }
    made_.clear();
}

void ConntrackTable::rewind() {
    while (!undo_.empty()) {
        auto& [number, before] = undo_.back();
        if (const auto now = entries_.find(number); now != entries_.end()) {
            unlist(number, now->second);
            entries_.erase(now);
        }
        if (before) {
            list(number, *before);
            earliest_ = std::min(earliest_, before->expires);
            entries_.emplace(number, std::move(*before));
        }
        undo_.pop_back();
    }
    next_ = entries_.empty() ? 0 : entries_.rbegin()->first + 1;
}

} // namespace mimicsh::vm
