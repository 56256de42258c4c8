// SPDX-License-Identifier: MIT
// The conntrack table of an instance (net/netfilter/nf_conntrack_core.c): entries live until their time is
// over, the table is full, or the instance ends.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "vm/world.h"

namespace mimicsh::vm {

/// Entries have numbers that are never used again, the newest the highest.
class ConntrackTable {
  public:
    using Tuple = World::Connection::Tuple;
    /// nf_conntrack_max of a machine with more than 4 GiB, unless the world says another.
    static constexpr uint32_t kMaxEntries = 262'144;
    static constexpr uint64_t kJiffy = 4'000'000; ///< nanoseconds: 250 a second

    struct Entry {
        World::Connection connection;
        uint64_t expires =
            0; ///< jiffies of the clock; of an entry that is not in the table yet, from then on
    };

    /// Takes the scripted entries; their time begins now.
    void load(const World& world, uint64_t clock_ns);

    /// What a look-up or an insertion is about.
    struct Key {
        Tuple tuple;
        uint8_t protocol = 0;
        uint16_t zone = 0;
        uint8_t zone_direction = 3;
    };
    /// The entry that has the tuple and the direction (0, 1) in which it has it: looked for with the zone of
    /// the original direction first, the newest entry first.
    [[nodiscard]] std::optional<std::pair<uint32_t, uint8_t>> find(const Key& key, uint64_t clock_ns) const;

    [[nodiscard]] const World::Connection& operator[](uint32_t number) const {
        return entries_.at(number).connection;
    }
    /// When it ends, in jiffies of the clock; of an entry that is not in the table yet, from then on.
    [[nodiscard]] uint64_t expires(uint32_t number) const { return entries_.at(number).expires; }
    /// Number of the newest entry whose time is not over and that `fits` takes; looks at all of them.
    template <typename F>
    [[nodiscard]] std::optional<uint32_t> newest(uint64_t clock_ns, const F& fits) const {
        for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
            const Entry& one = entry->second;
            if (is_listed(one) && one.expires > clock_ns / kJiffy && fits(one.connection)) {
                return entry->first;
            }
        }
        return std::nullopt;
    }
    /// To change it; its tuples and zone only before it is in the table.
    [[nodiscard]] World::Connection& change(uint32_t number);
    [[nodiscard]] size_t size() const { return entries_.size(); }

    /// Entries that `add` will look at to make room.
    [[nodiscard]] size_t work_of_adding(uint64_t clock_ns) const;
    /// A new entry that is not in the table yet; nothing when the table is full. Makes room first: entries
    /// whose time is over go, and of a full table the oldest one that no reply has assured. Those in `held`
    /// (sorted) stay.
    [[nodiscard]] std::optional<uint32_t> add(const World::Connection& connection, uint64_t clock_ns,
                                              std::span<const uint32_t> held);
    /// Puts a new entry into the table, and begins its time. False: another has one of its tuples; it is
    /// gone.
    [[nodiscard]] bool insert(uint32_t number, uint64_t clock_ns);
    void set_timeout(uint32_t number, uint32_t milliseconds, uint64_t clock_ns);

    /// From here on `rewind` takes back what is changed. What the last run left outside the table is gone.
    void begin_run();
    void rewind();

  private:
    using Entries = std::map<uint32_t, Entry>;
    [[nodiscard]] static uint64_t hash_of(const Tuple& tuple, uint8_t protocol, uint16_t zone);
    [[nodiscard]] static bool is_listed(const Entry& entry);
    [[nodiscard]] std::optional<std::pair<uint32_t, uint8_t>> find_in(const Key& key, uint16_t bucket,
                                                                      uint64_t now) const;
    void list(uint32_t number, const Entry& entry);
    void unlist(uint32_t number, const Entry& entry);
    void note(uint32_t number);
    Entries::iterator drop(Entries::iterator entry);
    void make_room(uint64_t now, std::span<const uint32_t> held);

    Entries entries_; ///< those in the table and those on their way into it
    std::unordered_multimap<uint64_t, uint32_t> listed_; ///< both directions of those in the table, by hash
    std::vector<std::pair<uint32_t, std::optional<Entry>>>
        undo_;                   ///< what was there before, in order of changes
    std::vector<uint32_t> made_; ///< by this run
    uint32_t next_ = 0;
    uint32_t limit_ = kMaxEntries;
    uint64_t earliest_ = UINT64_MAX; ///< no entry's time is over before
};

} // namespace mimicsh::vm
