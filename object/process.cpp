// SPDX-License-Identifier: MIT
// posix_spawn, three pipes, one poll loop.
#include "object/process.h"

#include <array>
#include <cerrno>
#include <csignal>

extern "C" {
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
}

#include "base/fd.h"

namespace mimicsh {

namespace {

constexpr int kPollMs = 50; // how soon a stop request is seen

struct Pipe {
    Fd read;
    Fd write;
};

Expected<Pipe> make_pipe(const std::string& op) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno_error(errno, op, "pipe");
    }
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// The input as a file that can be read from its start; never blocks, and no SIGPIPE when the child does not
/// read.
Expected<Fd> make_input(const std::string& text, const std::string& op) {
    Fd fd(memfd_create("mimicsh-input", MFD_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(errno, op, "input");
    }
    for (size_t done = 0; done < text.size();) {
        const ssize_t n = write(fd.get(), text.data() + done, text.size() - done);
        if (n < 0 && errno != EINTR) {
            return errno_error(errno, op, "input");
        }
        done += n > 0 ? static_cast<size_t>(n) : 0;
    }
    lseek(fd.get(), 0, SEEK_SET);
    return fd;
}

/// Owns the C structures that posix_spawn wants.
class SpawnSetup {
  public:
    SpawnSetup() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;
    ~SpawnSetup() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }

    int spawn(const ProcessOptions& options, const std::array<int, 4>& fds, pid_t& pid) {
        // Sources may themselves be 0 to 3 when the caller runs with those closed: move them out of the way
        // first.
        std::array<Fd, 4> moved;
        for (size_t i = 0; i < fds.size(); ++i) {
            moved[i] = Fd(fcntl(fds[i], F_DUPFD_CLOEXEC, 10));
            if (!moved[i].valid()) {
                return errno;
            }
            posix_spawn_file_actions_adddup2(&actions_, moved[i].get(), static_cast<int>(i));
        }
        if (!options.directory.empty()) {
            posix_spawn_file_actions_addchdir_np(&actions_, options.directory.c_str());
        }
        sigset_t defaults;
        sigset_t mask;
        sigemptyset(&mask);
        sigemptyset(&defaults);
        for (const int signal : {SIGINT, SIGPIPE, SIGTERM, SIGCHLD}) {
            sigaddset(&defaults, signal);
        }
        posix_spawnattr_setsigdefault(&attributes_, &defaults);
        posix_spawnattr_setsigmask(&attributes_, &mask);
        posix_spawnattr_setpgroup(&attributes_, 0); // so that killing takes its children along
        posix_spawnattr_setflags(&attributes_,
                                 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        std::vector<char*> argv;
        for (const std::string& arg : options.args) {
            argv.push_back(const_cast<char*>(arg.c_str()));
        }
        argv.push_back(nullptr);
        return posix_spawn(&pid, options.path.c_str(), &actions_, &attributes_, argv.data(), environ);
    }

  private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

/// One output of the child.
struct Sink {
    Fd fd;
    ByteVec* to;
    size_t limit;
    bool drop_excess;
};

/// Reads what is there; false when the limit is passed.
bool drain(Sink& sink) {
    std::array<uint8_t, 65536> buffer;
    const ssize_t n = read(sink.fd.get(), buffer.data(), buffer.size());
    if (n < 0) {
        if (errno != EINTR && errno != EAGAIN) {
            sink.fd.reset();
        }
        return true;
    }
    if (n == 0) {
        sink.fd.reset();
        return true;
    }
    const size_t room = sink.limit - sink.to->size();
    const size_t take = std::min(room, static_cast<size_t>(n));
    sink.to->insert(sink.to->end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(take));
    return take == static_cast<size_t>(n) || sink.drop_excess;
}

/// 0 at the end of all outputs, EFBIG or EINTR when it has to be killed.
int collect(std::array<Sink, 3>& sinks, const std::atomic<bool>* stop) {
    while (true) {
        std::array<pollfd, 3> polls{};
        nfds_t open = 0;
        for (const Sink& sink : sinks) {
            polls[open++] = {sink.fd.get(), POLLIN, 0}; // poll skips negative descriptors
        }
        if (!sinks[0].fd.valid() && !sinks[1].fd.valid() && !sinks[2].fd.valid()) {
            return 0;
        }
        if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
            return EINTR;
        }
        if (poll(polls.data(), open, stop != nullptr ? kPollMs : -1) <= 0) {
            continue;
        }
        for (size_t i = 0; i < sinks.size(); ++i) {
            if (polls[i].revents != 0 && !drain(sinks[i])) {
                return EFBIG;
            }
        }
    }
}

} // namespace

Expected<ProcessResult> run_process(const ProcessOptions& options, const std::string& op) {
    auto input = make_input(options.input, op);
    if (!input) {
        return input.error();
    }
    std::array<Pipe, 3> pipes;
    for (Pipe& slot : pipes) {
        auto made = make_pipe(op);
        if (!made) {
            return made.error();
        }
        slot = std::move(*made);
    }
    pid_t pid = -1;
    {
        const std::array<int, 4> fds{input->get(), pipes[0].write.get(), pipes[1].write.get(),
                                     pipes[2].write.get()};
        if (const int error = SpawnSetup().spawn(options, fds, pid); error != 0) {
            return errno_error(error, op, options.path);
        }
    }
    ProcessResult result;
    std::array<Sink, 3> sinks{Sink{std::move(pipes[0].read), &result.output, options.output_limit, false},
                              Sink{std::move(pipes[1].read), &result.errors, options.error_limit, true},
                              Sink{std::move(pipes[2].read), &result.extra, options.extra_limit, false}};
    for (Pipe& slot : pipes) {
        slot.write.reset();
    }
    const int trouble = collect(sinks, options.stop);
    if (trouble != 0) {
        kill(-pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (trouble == EINTR) {
        return Error{EINTR, op, options.path + ": stopped", "", ""};
    }
    if (trouble != 0) {
        return Error{trouble, op, options.path + ": more output than allowed", "", ""};
    }
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

} // namespace mimicsh
