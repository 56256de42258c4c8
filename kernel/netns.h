// SPDX-License-Identifier: MIT
// Network namespaces, held by file descriptor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace mimicsh::kernel {

/// What keeps a namespace alive by itself (a socket, a filter to be removed), and can let go of it.
class NetNsUser {
  public:
    virtual ~NetNsUser() = default;
    virtual void let_go() = 0;
};

/// A network namespace; it lives at least as long as this does, or until end().
class NetNs {
  public:
    /// The calling thread's.
    [[nodiscard]] static Expected<std::shared_ptr<NetNs>> current();
    /// A new one with nothing in it but a loopback device, which is down.
    [[nodiscard]] static Expected<std::shared_ptr<NetNs>> create();
    /// The one that a path names (/proc/PID/ns/net, /run/netns/NAME).
    [[nodiscard]] static Expected<std::shared_ptr<NetNs>> open(const std::string& path);

    /// The one with that inode number: the caller's, or of a process that can be looked at. ENOENT when it is
    /// gone.
    [[nodiscard]] static Expected<std::shared_ptr<NetNs>> find(uint64_t inode);

    /// Moves the calling thread there.
    [[nodiscard]] Status enter() const;

    /// `user` is asked to let go when the namespace is to end.
    void add_user(std::weak_ptr<NetNsUser> user);
    /// Lets go of it, the users first. Nobody can enter it from here on.
    void end();

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] uint64_t inode() const { return inode_; }

  private:
    NetNs(Fd fd, uint64_t inode) : fd_(std::move(fd)), inode_(inode) {}
    [[nodiscard]] static Expected<std::shared_ptr<NetNs>> hold(Fd fd);
    Fd fd_; ///< not valid once it has ended
    uint64_t inode_;
    std::vector<std::weak_ptr<NetNsUser>> users_;
};

/// The calling thread is in another namespace while this lives; null changes nothing.
class NetNsScope {
  public:
    explicit NetNsScope(const std::shared_ptr<NetNs>& inside);
    ~NetNsScope();
    NetNsScope(const NetNsScope&) = delete;
    NetNsScope& operator=(const NetNsScope&) = delete;
    /// Whether the thread got there.
    [[nodiscard]] const Status& status() const { return status_; }

  private:
    std::shared_ptr<NetNs> before_;
    Status status_;
};

} // namespace mimicsh::kernel
