// SPDX-License-Identifier: MIT
// Making, holding and entering network namespaces.
#include "kernel/netns.h"

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

namespace mimicsh::kernel {

namespace {

constexpr const char* kOwn = "/proc/thread-self/ns/net";

Error denied(int code, const char* op) {
    Error error = errno_error(code, op, "network namespace");
    if (code == EPERM) {
        error.hint = "this needs CAP_SYS_ADMIN: run as root, or inside `unshare -Urn`";
    }
    return error;
}

} // namespace

Expected<std::shared_ptr<NetNs>> NetNs::hold(Fd fd) {
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) {
        return denied(errno, "open");
    }
    return std::shared_ptr<NetNs>(new NetNs(std::move(fd), info.st_ino));
}

Expected<std::shared_ptr<NetNs>> NetNs::open(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return fd.valid() ? hold(std::move(fd))
                      : Expected<std::shared_ptr<NetNs>>(errno_error(errno, "open", path));
}

Expected<std::shared_ptr<NetNs>> NetNs::current() {
    return open(kOwn);
}

Expected<std::shared_ptr<NetNs>> NetNs::create() {
    auto before = current();
    if (!before) {
        return before;
    }
    if (unshare(CLONE_NEWNET) != 0) {
        return denied(errno, "create");
    }
    auto made = current();
    if (setns((*before)->fd(), CLONE_NEWNET) != 0) {
        return denied(errno, "leave");
    }
    return made;
}

Expected<std::shared_ptr<NetNs>> NetNs::find(uint64_t inode) {
    std::error_code failed;
    for (const char* folder : {"/proc", "/run/netns"}) {
        const bool processes = folder == std::string_view("/proc");
        for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
            auto held = open(entry.path().string() + (processes ? "/ns/net" : ""));
            if (held && (*held)->inode() == inode) {
                return held;
            }
        }
    }
    return Error{ENOENT, "open", "network namespace " + std::to_string(inode) + ": gone", {}, {}};
}

void NetNs::add_user(std::weak_ptr<NetNsUser> user) {
    std::erase_if(users_, [](const auto& known) { return known.expired(); });
    users_.push_back(std::move(user));
}

void NetNs::end() {
    for (const auto& known : std::exchange(users_, {})) {
        if (const auto user = known.lock()) {
            user->let_go();
        }
    }
    fd_ = Fd();
}

Status NetNs::enter() const {
    if (!fd_.valid()) {
        return Error{ESTALE,
                     "enter",
                     "network namespace: its lab has ended",
                     "a task in a host of a lab ends before the lab does",
                     {}};
    }
    return setns(fd_.get(), CLONE_NEWNET) == 0 ? Status{} : Status{denied(errno, "enter")};
}

NetNsScope::NetNsScope(const std::shared_ptr<NetNs>& inside) {
    if (inside == nullptr) {
        return;
    }
    auto before = NetNs::current();
    if (!before) {
        status_ = before.error();
        return;
    }
    if ((*before)->inode() == inside->inode()) {
        return;
    }
    status_ = inside->enter();
    before_ = status_ ? std::move(*before) : nullptr;
}

NetNsScope::~NetNsScope() {
    if (before_ != nullptr) {
        (void)before_->enter(); // it was ours a moment ago
    }
}

} // namespace mimicsh::kernel
