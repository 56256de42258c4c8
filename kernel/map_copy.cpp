// SPDX-License-Identifier: MIT
// The rule for each type of map, and the walk.
#include "kernel/map_copy.h"

#include <algorithm>

#include "object/replay.h"

namespace mimicsh::kernel {

namespace {

constexpr size_t kBatch = 1024;

std::string rule_of(const MapInfo& info) {
    using abi::MapType;
    switch (info.type) {
    case MapType::LruHash:
    case MapType::LruPercpuHash:
        return "entry by entry; which are evicted is the kernel's choice from there on";
    case MapType::PercpuArray:
    case MapType::PercpuHash:
        return "entry by entry, each CPU's value to the CPU of the same number";
    case MapType::ProgArray:
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
        return "not copied: has the programs or maps that the object declares";
    case MapType::Ringbuf:
    case MapType::UserRingbuf:
    case MapType::PerfEventArray:
        return "not copied: holds records";
    case MapType::Arena:
        return "not copied: has pages of its own";
    case MapType::Queue:
    case MapType::Stack:
    case MapType::BloomFilter:
        return "not copied: cannot be read without being changed";
    default:
        return holds_plain_entries(info.type) ? "entry by entry" : "not copied: names things of one machine";
    }
}

/// Values for a map with another number of CPUs: those both have keep theirs, the others are 0.
ByteVec fit_cpus(ByteView values, size_t size, size_t fitted_size) {
    ByteVec fitted(values.size() / size * fitted_size);
    for (size_t from = 0, to = 0; from < values.size(); from += size, to += fitted_size) {
        std::copy_n(values.data() + from, std::min(size, fitted_size), fitted.data() + to);
    }
    return fitted;
}

Status copy_entries(Map& from, Map& to, uint64_t& count) {
    const size_t value_size = host_value_size(from.info());
    const size_t fitted_size = host_value_size(to.info());
    MapCursor cursor;
    ByteVec keys;
    ByteVec values;
    while (!cursor.done) {
        keys.clear();
        values.clear();
        const auto got = from.next_batch(cursor, keys, values, kBatch);
        if (!got) {
            return got.error();
        }
        if (*got == 0) {
            break;
        }
        if (value_size != fitted_size) {
            values = fit_cpus(values, value_size, fitted_size);
        }
        if (auto ok = to.update_batch(keys, values); !ok) {
            return ok;
        }
        count += *got;
    }
    return {};
}

} // namespace

Expected<LoadOptions> with_contents(Instance& from, LoadOptions options) {
    const auto maps = from.maps();
    const auto& object = *from.object();
    for (size_t i = 0; i < object.maps.size(); ++i) {
        const MapDef& def = object.maps[i];
        if (!def.is_data) {
            continue;
        }
        ByteVec contents(def.value_size);
        const ByteVec key(def.key_size);
        if (auto ok = maps[i]->lookup(key, contents); !ok) {
            return ok.error();
        }
        options.data[def.name] = std::move(contents);
    }
    return options;
}

Expected<std::vector<MapCopy>> copy_maps(Instance& from, Instance& to,
                                         const std::vector<std::string>& without) {
    const auto ours = from.maps();
    const auto theirs = to.maps();
    std::vector<MapCopy> report;
    for (size_t i = 0; i < from.object()->maps.size(); ++i) {
        MapCopy copy{ours[i]->info().name, 0, rule_of(ours[i]->info())};
        if (from.object()->maps[i].is_data) {
            copy.rule = "as a whole, at load";
            copy.entries = 1;
        } else if (std::ranges::count(without, copy.map) != 0) {
            copy.rule = "not copied: left out by the caller";
        } else if (holds_plain_entries(ours[i]->info().type)) {
            if (auto ok = copy_entries(*ours[i], *theirs[i], copy.entries); !ok) {
                return ok.error();
            }
        }
        report.push_back(std::move(copy));
    }
    return report;
}

} // namespace mimicsh::kernel
