// SPDX-License-Identifier: MIT
// Life of a bpf_link of ours.
#include "kernel/bpf_link.h"

#include <cerrno>
#include <set>

#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/bpf_ids.h"
#include "kernel/errors.h"

namespace mimicsh::kernel {

namespace {

std::set<uint32_t>& own_links() {
    static std::set<uint32_t> ids;
    return ids;
}

} // namespace

BpfLink::BpfLink(Fd fd, LinkInfo info) : fd_(std::move(fd)) {
    info_ = std::move(info);
    info_.link_id = link_id(fd_.get());
    info_.ours = true;
    own_links().insert(info_.link_id);
}

BpfLink::~BpfLink() {
    own_links().erase(info_.link_id);
}

bool BpfLink::is_attached() const {
    if (!attached_ || info_.ifindex == 0) {
        return attached_;
    }
    bpf_link_info info{};
    uint32_t size = sizeof info;
    // Links of tcx have their interface in the same place; where it is gone, that is 0.
    return bpf_obj_get_info_by_fd(fd_.get(), &info, &size) != 0 || info.xdp.ifindex != 0;
}

Status BpfLink::detach() {
    if (!attached_) {
        return {};
    }
    if (!info_.pinned.empty()) {
        // The pin is another reference, so closing ours is not enough.
        if (bpf_link_detach(fd_.get()) != 0) {
            return attach_error(errno, "link.detach", info_.device);
        }
        ::unlink(info_.pinned.c_str());
    }
    attached_ = false;
    own_links().erase(info_.link_id);
    fd_.reset(); // the kernel ends it with the last descriptor
    return {};
}

Status BpfLink::update(Program& program) {
    const auto fd = kernel_fd(program, "link.update");
    if (!fd) {
        return fd.error();
    }
    if (!attached_) {
        return Error{EBADF, "link.update", info_.device + ": the link is detached", {}, {}};
    }
    if (bpf_link_update(fd_.get(), *fd, nullptr) != 0) {
        return errno == ENOLINK
                   ? Error{ENODEV, "link.update", info_.device + ": the interface is gone", {}, {}}
                   : attach_error(errno, "link.update", info_.device);
    }
    info_.prog_id = program_id(*fd);
    info_.program = program_name(info_.prog_id);
    return {};
}

Status BpfLink::pin(const std::string& path) {
    if (!attached_) {
        return Error{EBADF, "link.pin", path + ": the link is detached", {}, {}};
    }
    if (auto ok = pin_object(fd_.get(), path, "link.pin"); !ok) {
        return ok;
    }
    info_.pinned = path;
    return {};
}

bool is_own_link(uint32_t link_id) {
    return own_links().contains(link_id);
}

} // namespace mimicsh::kernel
