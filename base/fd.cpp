// SPDX-License-Identifier: MIT
// Whole-file reading and writing on plain system calls.
#include "base/fd.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mimicsh {

void Fd::reset(int fd) {
    if (fd_ >= 0 && fd_ != fd) {
        ::close(fd_);
    }
    fd_ = fd;
}

Expected<ByteVec> read_file(const std::string& path, const std::string& op, size_t limit) {
    // Not by /dev/stdin, which a bare system may not have.
    Fd fd(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                      : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(errno, op, path);
    }
    struct stat st {};
    if (::fstat(fd.get(), &st) == 0 && S_ISDIR(st.st_mode)) {
        return errno_error(EISDIR, op, path);
    }
    ByteVec bytes;
    constexpr size_t kStep = size_t{1} << 18;
    size_t used = 0;
    while (true) {
        if (used > limit) {
            return Error{EFBIG, op, path + ": larger than " + std::to_string(limit) + " bytes", {}, {}};
        }
        bytes.resize(used + kStep);
        ssize_t got = ::read(fd.get(), bytes.data() + used, kStep);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error(errno, op, path);
        }
        if (got == 0) {
            bytes.resize(used);
            return bytes;
        }
        used += static_cast<size_t>(got);
    }
}

Status write_file(const std::string& path, ByteView bytes, const std::string& op) {
    std::string temporary = path + ".XXXXXX";
    Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(errno, op, path);
    }
    auto fail = [&](int code) -> Status {
        ::unlink(temporary.c_str());
        return errno_error(code, op, path);
    };
    while (!bytes.empty()) {
        ssize_t put = ::write(fd.get(), bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fail(errno);
        }
        bytes = bytes.subspan(static_cast<size_t>(put));
    }
    mode_t mask = ::umask(0);
    ::umask(mask);
    if (::fchmod(fd.get(), 0666 & ~mask) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
        return fail(errno);
    }
    return {};
}

} // namespace mimicsh
