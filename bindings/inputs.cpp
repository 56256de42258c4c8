// SPDX-License-Identifier: MIT
// The bounded log of a program's inputs.
#include "bindings/inputs.h"

#include <algorithm>

#include "bindings/capture.h"
#include "bindings/loop.h"

namespace mimicsh::lua {

namespace {

/// Takes a packet in, and the oldest out while there are too many.
void keep(std::deque<ByteVec>& packets, size_t& bytes, ByteView packet) {
    packets.emplace_back(packet.begin(), packet.end());
    bytes += packet.size();
    while (packets.size() > InputLog::kPackets || (bytes > InputLog::kBytes && packets.size() > 1)) {
        bytes -= packets.front().size();
        packets.pop_front();
    }
}

} // namespace

void InputLog::add(ByteView packet) {
    keep(last_, bytes_, packet);
}

void InputLog::add_capture(std::string path, uint64_t packets) {
    last_.clear();
    bytes_ = 0;
    capture_ = std::move(path);
    captured_ = packets;
}

Expected<std::vector<ByteVec>> InputLog::packets() const {
    std::vector<ByteVec> all;
    if (!capture_.empty()) {
        auto read = last_packets(capture_, captured_);
        if (!read) {
            return read.error();
        }
        all = std::move(*read);
    }
    all.insert(all.end(), last_.begin(), last_.end());
    return all;
}

Expected<std::vector<ByteVec>> last_packets(const std::string& path, uint64_t count) {
    auto reader = net::PcapReader::open(path, &interrupt_flag());
    if (!reader) {
        return reader.error();
    }
    CaptureSource source(std::move(*reader));
    std::deque<ByteVec> last;
    size_t bytes = 0;
    std::vector<ByteView> batch;
    while (count > 0) {
        batch.clear();
        if (auto ok = source.next(batch, static_cast<size_t>(std::min<uint64_t>(count, 256))); !ok) {
            return ok.error();
        }
        if (batch.empty()) {
            break;
        }
        count -= batch.size();
        for (const ByteView packet : batch) {
            keep(last, bytes, packet);
        }
    }
    return std::vector<ByteVec>(std::make_move_iterator(last.begin()), std::make_move_iterator(last.end()));
}

} // namespace mimicsh::lua
