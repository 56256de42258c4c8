// SPDX-License-Identifier: MIT
// Streams of a perf_event_array.
#include "vm/maps/perf_event_array.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::vm {

namespace {

constexpr uint64_t kHeader = 8;      // struct perf_event_header
constexpr uint64_t kLength = 4;      // of the raw sample
constexpr uint64_t kLostRecord = 24; // PERF_RECORD_LOST: header, id, count

} // namespace

uint64_t PerfEventArray::room_of(const Record& record) {
    return kHeader + kLength + record.bytes.size() + (record.lost_before != 0 ? kLostRecord : 0);
}

Status PerfEventArray::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
        return ok;
    }
    return error(ENOTSUP, "look up", "an event has no value to read");
}

Status PerfEventArray::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, info_.value_size, true); !ok) {
        return ok;
    }
    const auto index = load<uint32_t>(key.data());
    if (index >= info_.max_entries) {
        return error(E2BIG, "delete",
                     "index " + std::to_string(index) + " of " + std::to_string(info_.max_entries));
    }
    if (index >= streams_.size() || !streams_[index].is_open) {
        return error(ENOENT, "delete", "slot " + std::to_string(index) + " is empty");
    }
    streams_[index].is_open = false;
    return {};
}

Status PerfEventArray::listen() {
    for (Stream& stream : streams_) {
        stream.is_open = true;
    }
    return {};
}

uint8_t* PerfEventArray::add(uint64_t index, uint32_t cpu, uint64_t size, Journal* journal, int64_t& code) {
    if (index >= info_.max_entries) {
        code = -E2BIG;
        return nullptr;
    }
    if (index >= streams_.size() || !streams_[index].is_open) {
        code = -ENOENT;
        return nullptr;
    }
    if (index != cpu) {
        code = -EOPNOTSUPP;
        return nullptr;
    }
    Stream& stream = streams_[index];
    Record record{ByteVec(round_up<uint64_t>(size + kLength, 8) - kLength), stream.lost};
    const uint64_t room = room_of(record);
    const bool fits = room <= kPerfBufferSize - 1 - stream.used;
    if (journal != nullptr) {
        journal->map_change(this, static_cast<uint32_t>(fits ? Change::Added : Change::Lost), cpu);
    }
    if (!fits) {
        ++stream.lost;
        code = -ENOSPC;
        return nullptr;
    }
    stream.lost = 0;
    stream.used += room;
    stream.records.push_back(std::move(record));
    return stream.records.back().bytes.data();
}

void PerfEventArray::undo(const Undo& change) {
    Stream& stream = streams_[change.a];
    if (static_cast<Change>(change.op) == Change::Lost) {
        --stream.lost;
        return;
    }
    stream.used -= room_of(stream.records.back());
    stream.lost = stream.records.back().lost_before;
    stream.records.pop_back();
}

Expected<size_t> PerfEventArray::consume(const RecordFn& record) {
    if (auto ok = listen(); !ok) {
        return ok.error();
    }
    size_t count = 0;
    for (uint32_t cpu = 0; cpu < streams_.size(); ++cpu) {
        Stream& stream = streams_[cpu];
        for (; !stream.records.empty(); stream.records.pop_front(), ++count) {
            lost_ += stream.records.front().lost_before;
            record(stream.records.front().bytes, cpu);
        }
        stream.used = 0;
    }
    return count;
}

Expected<std::unique_ptr<VmMap>> create_perf_event_array(const MapInfo& info) {
    return std::unique_ptr<VmMap>(std::make_unique<PerfEventArray>(info));
}

} // namespace mimicsh::vm
