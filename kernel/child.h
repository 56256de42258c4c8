// SPDX-License-Identifier: MIT
// A command and everything that it starts, none of which can outlive this process.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace mimicsh::kernel {

/// The command runs in a process namespace of its own, below a small first process that passes signals on and
/// ends when its parent does, however that happens; the kernel ends the rest of the namespace with it. What
/// the command leaves in the background goes on until then, or ends with a command that was sent a signal.
class Child {
  public:
    /// Starts a program (found by PATH) in the calling thread's network namespace, with these descriptors as
    /// its 0, 1 and 2. ENOENT when there is no such program, EPERM where namespaces cannot be made.
    [[nodiscard]] static Expected<Child> start(const std::vector<std::string>& args, int input, int output,
                                               int errors);
    Child(Child&&) = default;
    Child& operator=(Child&&) = default;
    ~Child();

    /// Reads as an int, what waitpid(2) says of the command, once that has ended; as its end when all of it
    /// was killed. Given away once.
    [[nodiscard]] Fd take_status() { return std::move(status_); }
    /// SIGKILL ends everything, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 and SIGTERM go to the command. Does
    /// nothing when it has ended.
    void signal(int number) const;
    /// Waits until all of it has ended; for what was killed, and is about to.
    void reap();

  private:
    Child(Fd process, Fd status) : process_(std::move(process)), status_(std::move(status)) {}
    Fd process_; ///< of the first process
    Fd status_;
};

} // namespace mimicsh::kernel
