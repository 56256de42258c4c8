// SPDX-License-Identifier: MIT
// The replay loop and the comparison of maps before and after.
#include "object/replay.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <unordered_map>

namespace mimicsh {

namespace {

constexpr size_t kBatch = 256;
constexpr size_t kSharedBatch = 8192; // of workers, who are woken for each
constexpr uint64_t kProgressEvery = 65536;

/// Entries of one map, by key; empty for maps whose entries cannot be walked.
using Snapshot = std::unordered_map<std::string, std::string>;

Expected<Snapshot> take_snapshot(Map& map) {
    Snapshot entries;
    const MapInfo& info = map.info();
    const uint32_t value_size = host_value_size(info);
    MapCursor cursor;
    ByteVec keys;
    ByteVec values;
    while (!cursor.done) {
        keys.clear();
        values.clear();
        auto count = map.next_batch(cursor, keys, values, 4096);
        if (!count) {
            return count.error();
        }
        for (size_t i = 0; i < *count; ++i) {
            entries.emplace(as_text(ByteView(keys).subspan(i * info.key_size, info.key_size)),
                            as_text(ByteView(values).subspan(i * value_size, value_size)));
        }
    }
    return entries;
}

bool can_snapshot(const Map& map, size_t limit) {
    const MapInfo& info = map.info();
    return holds_plain_entries(info.type) && info.max_entries <= limit &&
           info.max_entries * uint64_t{host_value_size(info)} <= (64u << 20);
}

MapChange compare(const std::string& name, const Snapshot& before, const Snapshot& after) {
    MapChange change{name, 0, 0, 0};
    for (const auto& [key, value] : after) {
        const auto old = before.find(key);
        if (old == before.end()) {
            ++change.added;
        } else if (old->second != value) {
            ++change.changed;
        }
    }
    for (const auto& [key, value] : before) {
        change.removed += after.contains(key) ? 0 : 1;
    }
    return change;
}

/// Counts by return value while the loop runs; names are looked up once per value.
class Tally {
  public:
    Tally(abi::ProgType type, ReplayReport& report) : type_(type), report_(report) {}

    /// Counts the item's verdict and remembers the first packet of its kind.
    void count(const BatchItem& item) {
        if (!item.faulted && item.ret < fast_.size() && fast_[item.ret] != nullptr) [[likely]] {
            ++fast_[item.ret]->second;
        } else {
            add_slowly(item);
        }
        if (item.second && !item.faulted) {
            ++report_.second[std::string(verdict_name(abi::ProgType::Xdp, *item.second))];
            for (const uint32_t ret : item.others) {
                ++report_.second[std::string(verdict_name(abi::ProgType::Xdp, ret))];
            }
        }
        ++report_.packets;
        report_.bytes += item.in.size();
    }

    [[nodiscard]] std::string_view word(const BatchItem& item) const {
        return item.faulted ? "fault" : verdict_name(type_, item.ret);
    }

  private:
    void add_slowly(const BatchItem& item) {
        const std::string verdict(word(item));
        auto [entry, is_new] = report_.verdicts.try_emplace(verdict, 0);
        ++entry->second;
        if (is_new) {
            report_.first[verdict] =
                FirstPacket{report_.packets + 1, ByteVec(item.in.begin(), item.in.end())};
        }
        if (!item.faulted && item.ret < fast_.size()) {
            fast_[item.ret] = &*entry; // map nodes stay where they are
        }
    }

    abi::ProgType type_;
    ReplayReport& report_;
    std::array<std::pair<const std::string, uint64_t>*, 16> fast_{};
};

/// The clock of an instance that goes by the times of packets.
class PacketClock {
  public:
    PacketClock(Instance& instance, ReplayReport& report) : instance_(instance), report_(report) {}

    /// Moves the clock to a packet's time.
    Status move_to(uint64_t time) {
        uint64_t ns = 0;
        if (time > latest_) {
            ns = latest_ == 0 ? 0 : time - latest_;
            latest_ = time;
        }
        auto moved = instance_.advance(ns);
        if (!moved) {
            return moved.error();
        }
        report_.callbacks += moved->callbacks;
        report_.callback_faults += moved->faults.size();
        if (!moved->faults.empty() && !report_.first_fault) {
            report_.first_fault = std::move(moved->faults.front());
        }
        for (Warning& warning : moved->warnings) {
            const bool known = std::ranges::any_of(report_.warnings, [&](const Warning& one) {
                return one.program == warning.program && one.insn == warning.insn;
            });
            if (!known) {
                report_.warnings.push_back(std::move(warning));
            }
        }
        return {};
    }

  private:
    Instance& instance_;
    ReplayReport& report_;
    uint64_t latest_ = 0;
};

/// Runs the packets one by one, each at its time; how many of them, as run_batch.
Expected<size_t> run_by_time(Program& program, std::span<BatchItem> items, std::span<const uint64_t> times,
                             const BatchOptions& options, PacketClock& clock, ByteVec& out) {
    std::vector<std::pair<size_t, size_t>> places;
    out.clear();
    size_t count = 0;
    for (; count < items.size(); ++count) {
        if (auto ok = clock.move_to(times[count]); !ok) {
            return ok.error();
        }
        const auto done = program.run_batch(items.subspan(count, 1), options);
        if (!done) {
            return done.error();
        }
        if (*done == 0) {
            break;
        }
        places.emplace_back(out.size(), items[count].out.size());
        out.insert(out.end(), items[count].out.begin(), items[count].out.end());
    }
    for (size_t i = 0; i < count; ++i) {
        items[i].out = ByteView(out).subspan(places[i].first, places[i].second);
    }
    return count;
}

/// Why a packet was not run at all, when the program takes none like it.
std::optional<Fault> refusal(Program& program, std::span<const BatchItem> items) {
    const auto item = std::ranges::find(items, true, &BatchItem::faulted);
    if (item == items.end()) {
        return std::nullopt;
    }
    const auto refused = program.run(item->in, {});
    if (refused) {
        return refused->fault;
    }
    Fault fault;
    fault.kind = FaultKind::BadCall;
    fault.program = program.name();
    fault.cause = refused.error().text;
    fault.hint = refused.error().hint;
    fault.report = "fault: " + fault.cause + (fault.hint.empty() ? "" : "\n  hint     " + fault.hint);
    return fault;
}

} // namespace

bool holds_plain_entries(abi::MapType type) {
    using abi::MapType;
    switch (type) {
    case MapType::Array:
    case MapType::PercpuArray:
    case MapType::Hash:
    case MapType::PercpuHash:
    case MapType::LruHash:
    case MapType::LruPercpuHash:
    case MapType::LpmTrie:
        return true;
    default:
        return false;
    }
}

Expected<ReplayReport> replay(Instance& instance, Program& program, PacketSource& source,
                              const ReplayOptions& options) {
    ReplayReport report;
    if (options.packet_clock && options.workers > 1) {
        return Error{
            EINVAL, "replay", "a clock that goes by the packets is one for all: it takes one worker", {}, {}};
    }
    std::vector<std::pair<Map*, Snapshot>> before;
    for (Map* map : instance.maps()) {
        if (can_snapshot(*map, options.map_change_limit)) {
            auto snapshot = take_snapshot(*map);
            if (!snapshot) {
                return snapshot.error();
            }
            before.emplace_back(map, std::move(*snapshot));
        }
    }

    Tally tally(program.type(), report);
    PacketClock clock(instance, report);
    ByteVec out;
    BatchOptions batch;
    batch.want_packets = static_cast<bool>(options.on_packet);
    batch.stop = options.stop;
    batch.workers = options.workers;
    const size_t batch_size = options.workers > 1 ? kSharedBatch : kBatch;
    batch.first_fault = &report.first_fault;
    batch.warnings = &report.warnings;
    std::vector<ByteView> packets;
    std::vector<BatchItem> items;
    uint64_t next_progress = kProgressEvery;
    const auto begin = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    while (report.packets < options.limit && !report.interrupted) {
        packets.clear();
        const auto room = static_cast<size_t>(std::min<uint64_t>(batch_size, options.limit - report.packets));
        if (auto ok = source.next(packets, room); !ok) {
            return ok.error();
        }
        if (packets.empty()) {
            break;
        }
        items.resize(packets.size());
        for (size_t i = 0; i < packets.size(); ++i) {
            // Field by field: a whole item would be made elsewhere first and copied, which costs a fifth of
            // all.
            BatchItem& item = items[i];
            item.in = packets[i];
            item.ret = 0;
            item.faulted = false;
            item.second.reset();
            item.others.clear();
            item.out = {};
        }
        if (options.packet_clock && source.times().size() != packets.size()) {
            return Error{EINVAL, "replay", "the packets have no times for the clock to go by", {}, {}};
        }
        auto done = options.packet_clock ? run_by_time(program, items, source.times(), batch, clock, out)
                                         : program.run_batch(items, batch);
        if (!done) {
            return done.error();
        }
        for (size_t i = 0; i < *done; ++i) {
            tally.count(items[i]);
            if (options.on_packet) {
                if (auto ok = options.on_packet(report.packets, tally.word(items[i]), items[i].out); !ok) {
                    return ok.error();
                }
            }
        }
        if (!report.first_fault && report.verdicts.contains("fault")) {
            report.first_fault = refusal(program, std::span(items).first(*done));
        }
        report.interrupted = *done < packets.size();
        if (options.on_progress && report.packets >= next_progress) {
            next_progress = report.packets + kProgressEvery;
            report.seconds = elapsed();
            options.on_progress(report);
        }
    }
    report.seconds = elapsed();

    for (auto& [map, old] : before) {
        auto now = take_snapshot(*map);
        if (!now) {
            return now.error();
        }
        const MapChange change = compare(map->info().name, old, *now);
        if (change.added + change.removed + change.changed != 0) {
            report.map_changes.push_back(change);
        }
    }
    return report;
}

} // namespace mimicsh
