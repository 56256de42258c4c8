// SPDX-License-Identifier: MIT
// Finding, or mounting for ourselves alone, the file system of the instances; making and removing one.
#include "kernel/trace_pipe.h"

#include <cerrno>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mimicsh::kernel {

namespace {

Error failure(const std::string& what) {
    Error error = errno_error(errno, "trace", what);
    if (error.code == EPERM || error.code == EACCES) {
        error.hint = "its files are root's: run as root (CAP_DAC_OVERRIDE)";
    }
    return error;
}

Expected<Fd> open_folder(const std::string& path) {
    Fd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return folder.valid() ? Expected<Fd>(std::move(folder)) : failure(path);
}

/// Mounts in a namespace of this thread, which must do nothing else afterwards. The descriptor keeps the file
/// system.
Expected<Fd> open_privately() {
    constexpr const char* kPlace = "/sys/kernel/tracing";
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tracefs", kPlace, "tracefs", 0, nullptr) != 0) {
        Error error = errno_error(errno, "trace", "tracefs is not mounted, and cannot be");
        error.hint =
            error.code == EPERM ? "this needs CAP_SYS_ADMIN: run as root" : "this kernel may have no tracing";
        return error;
    }
    return open_folder(std::string(kPlace) + "/instances");
}

Expected<Fd> open_instances() {
    for (const char* path : {"/sys/kernel/tracing/instances", "/sys/kernel/debug/tracing/instances"}) {
        auto folder = open_folder(path);
        if (folder || folder.error().code != ENOENT) {
            return folder;
        }
    }
    Expected<Fd> folder = Error{EIO, "trace", "not tried", {}, {}};
    std::thread([&] { folder = open_privately(); }).join();
    return folder;
}

std::string name_of(uint64_t number) {
    return "mimicsh-" + std::to_string(number);
}

} // namespace

/// Those that are there when the process exits without ending them (os.exit).
struct OpenPipes {
    std::set<TracePipe*> all;
    static OpenPipes& own() {
        (void)Journal::own(); // which has to live longer
        static OpenPipes pipes;
        return pipes;
    }
    ~OpenPipes() {
        for (TracePipe* pipe : all) {
            pipe->remove();
        }
    }
};

Status TracePipe::make() {
    std::random_device random;
    const uint64_t number = uint64_t{random()} << 32 | random();
    auto entry = Journal::own().add({"trace", {{"instance", number}}});
    if (!entry) {
        return entry.error();
    }
    entry_ = *entry;
    name_ = name_of(number);
    if (mkdirat(instances_.get(), name_.c_str(), 0700) != 0) {
        return failure("a tracing instance of our own");
    }
    const std::string event = name_ + "/events/bpf_trace/bpf_trace_printk/enable";
    const Fd enable(openat(instances_.get(), event.c_str(), O_WRONLY | O_CLOEXEC));
    if (!enable.valid() || ::write(enable.get(), "1", 1) != 1) {
        return failure("event bpf_trace_printk");
    }
    pipe_ = Fd(openat(instances_.get(), (name_ + "/trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    return pipe_.valid() ? Status{} : failure("trace_pipe");
}

Expected<std::unique_ptr<TracePipe>> TracePipe::open() {
    auto instances = open_instances();
    if (!instances) {
        return instances.error();
    }
    std::unique_ptr<TracePipe> pipe(new TracePipe());
    OpenPipes::own().all.insert(pipe.get());
    pipe->instances_ = std::move(*instances);
    if (auto ok = pipe->make(); !ok) {
        return ok.error();
    }
    return pipe;
}

TracePipe::~TracePipe() {
    OpenPipes::own().all.erase(this);
    remove();
}

void TracePipe::remove() {
    pipe_.reset(); // an instance with readers stays
    if (entry_ != 0 && (unlinkat(instances_.get(), name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT)) {
        Journal::own().remove(std::exchange(entry_, 0));
    }
}

std::string undo_trace(const JournalEntry& entry) {
    const auto number = entry.fields.find("instance");
    const std::string name = name_of(number == entry.fields.end() ? 0 : number->second);
    const std::string what = "tracing instance " + name;
    const auto instances = open_instances();
    if (!instances) {
        return what + ": not removed: " + instances.error().message();
    }
    if (unlinkat(instances->get(), name.c_str(), AT_REMOVEDIR) == 0) {
        return what + ": removed";
    }
    return errno == ENOENT ? what + ": gone"
                           : what + ": not removed: " + errno_error(errno, "trace", name).message();
}

} // namespace mimicsh::kernel
