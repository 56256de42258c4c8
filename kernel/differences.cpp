// SPDX-License-Identifier: MIT
// What two runs, and the maps of two instances, differ in.
#include "kernel/differences.h"

#include <algorithm>
#include <vector>

namespace mimicsh::kernel {

std::map<ByteVec, ByteVec> entries_of(Map& map, std::string& error) {
    std::map<ByteVec, ByteVec> all;
    MapCursor cursor;
    const size_t key_size = map.info().key_size;
    const size_t value_size = host_value_size(map.info());
    while (!cursor.done) {
        ByteVec keys;
        ByteVec values;
        const auto count = map.next_batch(cursor, keys, values, 64);
        if (!count) {
            error = count.error().code_name();
            break;
        }
        for (size_t i = 0; i < *count; ++i) {
            const auto key = keys.begin() + static_cast<ptrdiff_t>(i * key_size);
            const auto value = values.begin() + static_cast<ptrdiff_t>(i * value_size);
            all[ByteVec(key, key + static_cast<ptrdiff_t>(key_size))] =
                ByteVec(value, value + static_cast<ptrdiff_t>(value_size));
        }
    }
    return all;
}

namespace {

/// A record for comparing: long ones by their length, both ends and a sum.
std::string text_of(ByteView record, uint32_t cpu) {
    constexpr size_t kEnds = 16;
    std::string text = std::to_string(cpu) + ": ";
    if (record.size() <= 4 * kEnds) {
        return text + to_hex(record);
    }
    uint64_t sum = 0;
    for (const uint8_t byte : record) {
        sum = sum * 31 + byte;
    }
    return text + std::to_string(record.size()) + " bytes " + to_hex(record.first(kEnds)) + ".." +
           to_hex(record.last(kEnds)) + " sum " + std::to_string(sum);
}

using Entries = std::map<ByteVec, ByteVec>;

/// Where two maps differ: missing keys, and the 8-byte words of values (of the io block by its own numbers).
std::string differences(const Entries& here, const Entries& there) {
    std::string text;
    for (const auto& [key, value] : there) {
        const auto found = here.find(key);
        if (found == here.end()) {
            text += "  key " + to_hex(key) + " only in the kernel\n";
            continue;
        }
        for (size_t at = 0; at < value.size(); at += 8) {
            const size_t size = std::min<size_t>(8, value.size() - at);
            const std::string a = to_hex(ByteView(found->second).subspan(at, size));
            const std::string b = to_hex(ByteView(value).subspan(at, size));
            if (a != b && text.size() < 1000) {
                text += "  key " + to_hex(key) + " word " + std::to_string(at / 8) + ": vm " + a +
                        ", kernel " + b + "\n";
            }
        }
    }
    for (const auto& [key, value] : here) {
        text += there.contains(key) ? "" : "  key " + to_hex(key) + " only on the vm\n";
    }
    return text;
}

std::vector<std::string> records_of(Map& map, std::string& error) {
    std::vector<std::string> list;
    const auto count =
        map.consume([&](ByteView record, uint32_t cpu) { list.push_back(text_of(record, cpu)); });
    if (!count) {
        error = count.error().message();
    }
    return list;
}

std::string record_differences(Map& here, Map& there) {
    std::string errors[2];
    const auto a = records_of(here, errors[0]);
    const auto b = records_of(there, errors[1]);
    std::string text;
    if (errors[0] != errors[1]) {
        text += "  consume: vm '" + errors[0] + "', kernel '" + errors[1] + "'\n";
    }
    if (a.size() != b.size()) {
        text += "  " + std::to_string(a.size()) + " records on the vm, " + std::to_string(b.size()) +
                " in the kernel\n";
    }
    for (size_t i = 0; i < std::min(a.size(), b.size()) && text.size() < 1000; ++i) {
        if (a[i] != b[i]) {
            text += "  record " + std::to_string(i) + ": vm " + a[i] + ", kernel " + b[i] + "\n";
        }
    }
    if (here.lost() != there.lost()) {
        text +=
            "  lost: vm " + std::to_string(here.lost()) + ", kernel " + std::to_string(there.lost()) + "\n";
    }
    return text;
}

/// Ids of maps and of programs in values are each target's own: those of `b` become those of `a`.
void adopt_ids(const MapInfo& info, const Entries& a, Entries& b) {
    using abi::MapType;
    constexpr size_t kProgram = 4, kWithProgram = 8; // struct bpf_devmap_val, bpf_cpumap_val
    const bool is_id = abi::holds_maps(info.type);
    const bool has_id =
        info.value_size == kWithProgram &&
        (info.type == MapType::Devmap || info.type == MapType::DevmapHash || info.type == MapType::Cpumap);
    for (auto& [key, value] : b) {
        const auto other = a.find(key);
        if (other == a.end()) {
            continue;
        }
        if (is_id) {
            value = other->second;
        } else if (has_id && mimicsh::load<uint32_t>(value.data() + kProgram) != 0 &&
                   mimicsh::load<uint32_t>(other->second.data() + kProgram) != 0) {
            std::copy_n(other->second.begin() + kProgram, sizeof(uint32_t), value.begin() + kProgram);
        }
    }
}

std::string entry_differences(Map& here, Map& there) {
    std::string errors[2];
    const Entries a = entries_of(here, errors[0]);
    Entries b = entries_of(there, errors[1]);
    adopt_ids(here.info(), a, b);
    std::string text = differences(a, b);
    if (errors[0] != errors[1]) {
        text += "  walk: vm '" + errors[0] + "', kernel '" + errors[1] + "'\n";
    }
    return text;
}

} // namespace

std::string run_differences(const RunResult& here, const RunResult& there) {
    if (here.fault) {
        return here.fault->report + "\n";
    }
    std::string text;
    if (here.ret != there.ret) {
        text += "  returned: vm " + std::to_string(here.ret) + ", kernel " + std::to_string(there.ret) + "\n";
    }
    if (here.packet != there.packet) {
        const auto [a, b] =
            std::mismatch(here.packet.begin(), here.packet.end(), there.packet.begin(), there.packet.end());
        text += "  packet: vm " + std::to_string(here.packet.size()) + " bytes, kernel " +
                std::to_string(there.packet.size()) + ", first difference at " +
                std::to_string(a - here.packet.begin()) + "\n";
    }
    if (here.context != there.context) {
        text += "  context: vm " + to_hex(here.context) + "\n       kernel " + to_hex(there.context) + "\n";
    }
    for (const Warning& warning : here.warnings) {
        if (warning.refused) {
            text += "  the kernel ran it, although: " + warning.cause + "\n";
        }
    }
    return text;
}

std::string map_differences(Instance& here, Instance& there) {
    const auto ours = here.maps();
    const auto theirs = there.maps();
    if (ours.size() > theirs.size()) {
        return "  the kernel's instance has fewer maps\n";
    }
    std::string all;
    for (size_t i = 0; i < ours.size(); ++i) {
        const abi::MapType type = ours[i]->info().type;
        if (type == abi::MapType::ProgArray) {
            continue; // ids, each target's own; and programs that only the kernel runs are in none of the
                      // vm's
        }
        const bool has_records = type == abi::MapType::Ringbuf || type == abi::MapType::PerfEventArray;
        if (ours[i]->info().key_size == 0 && !has_records) {
            continue; // queues and filters cannot be walked
        }
        const std::string text =
            has_records ? record_differences(*ours[i], *theirs[i]) : entry_differences(*ours[i], *theirs[i]);
        if (!text.empty()) {
            all += "map " + ours[i]->info().name + " differs\n" + text;
        }
    }
    return all;
}

} // namespace mimicsh::kernel
