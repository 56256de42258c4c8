// SPDX-License-Identifier: MIT
// File descriptors that close themselves, and whole-file reading and writing.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh {

/// Owns one file descriptor; -1 means none.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    /// Gives the descriptor away.
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1);

  private:
    int fd_ = -1;
};

/// Reads a whole regular file or pipe, or standard input for "-"; fails with EFBIG above `limit` bytes. `op`
/// names the caller's verb.
[[nodiscard]] Expected<ByteVec> read_file(const std::string& path, const std::string& op,
                                          size_t limit = size_t{1} << 30);

/// Writes through a temporary file in the same folder and renames it, so that a failure leaves nothing
/// behind.
[[nodiscard]] Status write_file(const std::string& path, ByteView bytes, const std::string& op);

} // namespace mimicsh
