// SPDX-License-Identifier: MIT
// Ring buffer positions and records.
#include "vm/maps/ringbuf.h"

#include <cstring>

namespace mimicsh::vm {

uint8_t* Ringbuf::reserve(uint64_t size, Journal* journal) {
    // RINGBUF_MAX_RECORD_SZ is a quarter of the 32-bit range; what is above the ring itself never fits
    // either.
    if (size > UINT32_MAX / 4) {
        return nullptr;
    }
    const uint64_t length = round_up<uint64_t>(size + abi::kRingbufHeader, 8);
    if (length > info_.max_entries || producer_ + length - consumer_ > info_.max_entries - 1) {
        return nullptr;
    }
    uint8_t* at = header(producer_);
    if (const uint64_t over = past_end(at, length); over != 0) {
        std::memcpy(storage_.data() + info_.max_entries, storage_.data(), over);
    }
    if (journal != nullptr) {
        journal->bytes(at, abi::kRingbufHeader);
        journal->map_change(this, 0, static_cast<uint32_t>(producer_),
                            static_cast<uint32_t>(producer_ >> 32));
    }
    store<uint32_t>(at, static_cast<uint32_t>(size) | abi::kRingbufBusy);
    // What is left of headers can be read by later records: the page, behind three of the ring's own
    // (bpf_ringbuf_rec_pg_off).
    store<uint32_t>(at + 4, 3 + static_cast<uint32_t>(at - storage_.data()) / 4096);
    producer_ += length;
    return at + abi::kRingbufHeader;
}

void Ringbuf::commit(uint8_t* record, bool discard, Journal* journal) {
    uint8_t* at = record - abi::kRingbufHeader;
    if (journal != nullptr) {
        journal->bytes(at, 4);
    }
    const uint32_t size = load<uint32_t>(at) & ~abi::kRingbufBusy;
    store<uint32_t>(at, size | (discard ? abi::kRingbufDiscard : 0));
    const uint64_t over = past_end(at, uint64_t{size} + abi::kRingbufHeader);
    std::memcpy(storage_.data(), storage_.data() + info_.max_entries, over);
}

uint64_t Ringbuf::past_end(const uint8_t* at, uint64_t length) const {
    const uint64_t end = static_cast<uint64_t>(at - storage_.data()) + length;
    return end > info_.max_entries ? end - info_.max_entries : 0;
}

void Ringbuf::undo(const Undo& change) {
    producer_ = change.a | uint64_t{change.b} << 32;
}

Expected<size_t> Ringbuf::consume(const RecordFn& record) {
    size_t count = 0;
    while (consumer_ < producer_) {
        const uint8_t* at = header(consumer_);
        const auto word = load<uint32_t>(at);
        if ((word & abi::kRingbufBusy) != 0) {
            break;
        }
        const uint32_t size = word & ~abi::kRingbufDiscard;
        if ((word & abi::kRingbufDiscard) == 0) {
            record({at + abi::kRingbufHeader, size}, 0);
            ++count;
        }
        consumer_ += round_up<uint64_t>(uint64_t{size} + abi::kRingbufHeader, 8);
    }
    return count;
}

Expected<std::unique_ptr<VmMap>> create_ringbuf(const MapInfo& info) {
    // Headers are always read at their place in the first half, and a record is read from where it was
    // written.
    auto storage = ZeroedBytes::allocate(uint64_t{info.max_entries} * 2);
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<Ringbuf>(info, std::move(*storage)));
}

} // namespace mimicsh::vm
