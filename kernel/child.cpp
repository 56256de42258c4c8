// SPDX-License-Identifier: MIT
// clone3 into a process namespace, and the first process in it. Between clone and exec only calls that a
// signal handler may make.
#include "kernel/child.h"

#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mimicsh::kernel {

namespace {

constexpr int kStatus = 3; ///< descriptor of the first process: where the outcome goes
constexpr std::array kPassedOn{SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM};

volatile pid_t g_command = 0; ///< in the first process: whom signals are for
volatile sig_atomic_t g_is_told_to_end = 0;

void pass_on(int number) {
    g_is_told_to_end = 1;
    if (g_command > 0) {
        kill(g_command, number);
    }
}

/// The signals that are passed on. They are blocked from before the clone until there is somebody to take
/// them: none gets lost.
const sigset_t& passed_on() {
    static const sigset_t signals = [] {
        sigset_t all;
        sigemptyset(&all);
        for (const int number : kPassedOn) {
            sigaddset(&all, number);
        }
        return all;
    }();
    return signals;
}

/// Says how the start went, and later what became of the command.
void report(int value) {
    (void)!write(kStatus, &value, sizeof value);
}

[[noreturn]] void become(char* const* args) {
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execvp(args[0], args);
    report(errno);
    _exit(127);
}

/// Memory that is shared with the kernel keeps what it belongs to, a capture, an AF_XDP queue, a map: the
/// first process lets go of all of it. Reads lines like "7f0000000000-7f0000001000 rw-s ..." of
/// /proc/self/maps.
void leave_shared_memory() {
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    std::array<char, 4096> chunk{};
    uintptr_t numbers[2] = {0, 0};
    int at = 0; ///< which number is read; then how far into the rights
    for (ssize_t size = 0; (size = read(maps, chunk.data(), chunk.size())) > 0;) {
        for (ssize_t i = 0; i < size; ++i) {
            const char c = chunk.at(static_cast<size_t>(i));
            if (c == '\n') {
                numbers[0] = numbers[1] = 0;
                at = 0;
            } else if (at < 2 && (c == '-' || c == ' ')) {
                ++at;
            } else if (at < 2) {
                numbers[at] = numbers[at] * 16 + static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
            } else if (at++ == 5 && c == 's') {
                munmap(reinterpret_cast<void*>(numbers[0]), numbers[1] - numbers[0]);
            }
        }
    }
    close(maps);
}

/// The first process: starts the command, and stays until nobody is left.
[[noreturn]] void first_process(char* const* args) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    leave_shared_memory();
    for (const int number : kPassedOn) {
        signal(number, pass_on);
    }
    // Not fork(), whose preparations want locks that another thread of the parent may have held.
    const auto command = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (command == 0) {
        for (const int number : kPassedOn) {
            signal(number, SIG_DFL);
        }
        become(args);
    }
    for (const int descriptor : {0, 1, 2}) {
        close(descriptor); // whoever reads them waits for the command's end, not for ours
    }
    g_command = command;
    sigprocmask(SIG_UNBLOCK, &passed_on(), nullptr);
    for (int status = 0;;) {
        const pid_t ended = waitpid(-1, &status, 0);
        if (ended < 0 && errno == EINTR) {
            continue;
        }
        if (ended < 0) {
            _exit(0); // nobody is left
        }
        if (ended == command) {
            g_command = 0;
            report(status);
            close(kStatus);
            if (g_is_told_to_end != 0) {
                _exit(0); // and so does the rest
            }
        }
    }
}

/// The descriptors of the new process: the three given, the outcome's, and no other.
void take_descriptors(const std::array<int, 4>& given) {
    std::array<int, 4> high{};
    for (size_t i = 0; i < given.size(); ++i) {
        high.at(i) = fcntl(given.at(i), F_DUPFD, 16); // out of the way of 0 to 3
    }
    for (size_t i = 0; i < given.size(); ++i) {
        dup2(high.at(i), static_cast<int>(i));
    }
    fcntl(kStatus, F_SETFD, FD_CLOEXEC);
    syscall(SYS_close_range, kStatus + 1, ~0U, 0);
}

} // namespace

Expected<Child> Child::start(const std::vector<std::string>& args, int input, int output, int errors) {
    std::vector<char*> pointers;
    for (const std::string& arg : args) {
        pointers.push_back(const_cast<char*>(arg.c_str())); // execvp writes to none of them
    }
    pointers.push_back(nullptr);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno_error(errno, "run", "pipe");
    }
    Fd status(ends[0]);
    const Fd outcome(ends[1]);
    int process = -1;
    clone_args how{};
    how.flags = CLONE_NEWPID | CLONE_PIDFD;
    how.pidfd = reinterpret_cast<uintptr_t>(&process);
    how.exit_signal = SIGCHLD;
    sigset_t before;
    sigprocmask(SIG_BLOCK, &passed_on(), &before);
    const long pid = syscall(SYS_clone3, &how, sizeof how);
    if (pid == 0) {
        take_descriptors({input, output, errors, outcome.get()});
        first_process(pointers.data());
    }
    const int code = errno;
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) {
        Error error = errno_error(code, "run", args.front());
        if (error.code == EPERM) {
            error.hint = "this needs CAP_SYS_ADMIN: run as root, or inside `unshare -Urn`";
        }
        return error;
    }
    return Child(Fd(process), std::move(status));
}

Child::~Child() {
    if (process_.valid()) {
        signal(SIGKILL);
        reap();
    }
}

void Child::reap() {
    siginfo_t ended{};
    while (waitid(P_PIDFD, static_cast<id_t>(process_.get()), &ended, WEXITED) != 0 && errno == EINTR) {
    }
    process_.reset();
}

void Child::signal(int number) const {
    if (!process_.valid()) {
        return;
    }
    (void)syscall(SYS_pidfd_send_signal, process_.get(), number, nullptr, 0);
}

} // namespace mimicsh::kernel
