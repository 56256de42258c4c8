// SPDX-License-Identifier: MIT
// Positions and samples of a user ring buffer.
#include "vm/maps/user_ringbuf.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::vm {

namespace {

uint64_t length_of(uint64_t size) {
    return round_up<uint64_t>(size + abi::kRingbufHeader, 8);
}

} // namespace

Status UserRingbuf::send(ByteView sample) {
    const uint64_t length = length_of(sample.size());
    if (length > info_.max_entries) {
        return error(E2BIG, "send",
                     "a sample of " + std::to_string(sample.size()) + " bytes is larger than the ring");
    }
    if (producer_ + length - consumer_ > info_.max_entries) {
        return error(ENOSPC, "send", "the ring is full");
    }
    uint8_t* to = at(producer_);
    mimicsh::store(to, static_cast<uint32_t>(sample.size()));
    std::copy(sample.begin(), sample.end(), to + abi::kRingbufHeader);
    producer_ += length;
    return {};
}

std::optional<ByteSpan> UserRingbuf::peek_sample() const {
    if (consumer_ == producer_) {
        return std::nullopt;
    }
    return ByteSpan(at(consumer_) + abi::kRingbufHeader, mimicsh::load<uint32_t>(at(consumer_)));
}

void UserRingbuf::release_sample(Journal* journal) {
    if (journal != nullptr) {
        journal->map_change(this, 0, static_cast<uint32_t>(consumer_),
                            static_cast<uint32_t>(consumer_ >> 32));
    }
    consumer_ += length_of(mimicsh::load<uint32_t>(at(consumer_)));
}

void UserRingbuf::undo(const Undo& change) {
    consumer_ = change.a | uint64_t{change.b} << 32;
    draining = false;
}

Expected<std::unique_ptr<VmMap>> create_user_ringbuf(const MapInfo& info) {
    auto storage = ZeroedBytes::allocate(uint64_t{info.max_entries} * 2);
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<UserRingbuf>(info, std::move(*storage)));
}

} // namespace mimicsh::vm
