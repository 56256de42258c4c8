// SPDX-License-Identifier: MIT
// What a program has run on, kept so that a promotion can run it again.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::lua {

/// The last packets of runs and replays, at most 10,000 and 64 MiB. Of a replayed capture the path is kept,
/// not the packets.
class InputLog {
  public:
    static constexpr size_t kPackets = 10'000;
    static constexpr size_t kBytes = size_t{64} << 20;

    void add(ByteView packet);
    /// The first `packets` of a capture were run; what was run before is forgotten.
    void add_capture(std::string path, uint64_t packets);
    /// The packets, oldest first; an error when the capture cannot be read again.
    [[nodiscard]] Expected<std::vector<ByteVec>> packets() const;

  private:
    std::deque<ByteVec> last_;
    size_t bytes_ = 0;
    std::string capture_;
    uint64_t captured_ = 0;
};

/// The last packets of the first `count` of a capture file, within the bounds of an InputLog.
[[nodiscard]] Expected<std::vector<ByteVec>> last_packets(const std::string& path, uint64_t count);

} // namespace mimicsh::lua
