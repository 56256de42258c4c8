// SPDX-License-Identifier: MIT
// Finding, or mounting for ourselves alone, the file system of the trace pipe.
#include "kernel/trace_pipe.h"

#include <cerrno>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

namespace mimicsh::kernel {

namespace {

constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;

/// The pipe of a mounted tracefs; an error where nothing would ever come out of it.
Expected<Fd> open_in(const std::string& folder) {
    char on = '1';
    const Fd state(::open((folder + "/tracing_on").c_str(), O_RDONLY | O_CLOEXEC));
    if (state.valid() && ::read(state.get(), &on, 1) == 1 && on == '0') {
        return Error{ENODATA,
                     "trace",
                     "tracing is off on this machine",
                     "echo 1 > /sys/kernel/tracing/tracing_on turns it on, for everybody (a kernel that "
                     "oopsed turns it off)",
                     {}};
    }
    Fd pipe(::open((folder + "/trace_pipe").c_str(), kFlags));
    if (pipe.valid()) {
        return pipe;
    }
    Error error = errno_error(errno, "trace", folder + "/trace_pipe");
    error.hint = error.code == EBUSY    ? "another reader has it"
                 : error.code == ENOENT ? ""
                                        : "its files are root's: run as root (CAP_DAC_OVERRIDE)";
    return error;
}

/// Mounts in a namespace of this thread, which must do nothing else afterwards.
Expected<Fd> open_privately() {
    constexpr const char* kPlace = "/sys/kernel/tracing";
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tracefs", kPlace, "tracefs", 0, nullptr) != 0) {
        Error error = errno_error(errno, "trace", "tracefs is not mounted, and cannot be");
        error.hint =
            error.code == EPERM ? "this needs CAP_SYS_ADMIN: run as root" : "this kernel may have no tracing";
        return error;
    }
    return open_in(kPlace);
}

} // namespace

Expected<Fd> open_trace_pipe() {
    for (const char* folder : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
        auto pipe = open_in(folder);
        if (pipe || pipe.error().code != ENOENT) {
            return pipe;
        }
    }
    Expected<Fd> pipe = Error{EIO, "trace", "not tried", {}, {}};
    std::thread([&] { pipe = open_privately(); }).join();
    return pipe;
}

} // namespace mimicsh::kernel
