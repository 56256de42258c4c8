// SPDX-License-Identifier: MIT
// Programs on the packets of a cgroup's sockets.
#include <cerrno>

#include <fcntl.h>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/bpf_ids.h"
#include "kernel/bpf_link.h"
#include "kernel/errors.h"

namespace mimicsh::kernel {

Expected<std::unique_ptr<Link>> attach_cgroup(Program& program, const std::string& path) {
    constexpr const char* kOp = "cgroup.attach";
    const auto prog_fd = kernel_fd(program, kOp);
    if (!prog_fd) {
        return prog_fd.error();
    }
    if (program.type() != abi::ProgType::CgroupSkb) {
        return Error{EINVAL,
                     kOp,
                     program.name() + " is of type " + std::string(abi::name(program.type())) +
                         ", not cgroup_skb",
                     {},
                     {}};
    }
    const abi::AttachType type = program.linked().spec.attach_type;
    const Fd cgroup(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!cgroup.valid()) {
        return errno_error(errno, kOp, path);
    }
    Fd link(bpf_link_create(*prog_fd, cgroup.get(), static_cast<bpf_attach_type>(type), nullptr));
    if (!link.valid()) {
        Error error = attach_error(errno, kOp, path);
        if (error.code == EBADF || error.code == EINVAL) {
            error.hint = "the folder has to be a cgroup of version 2 (/sys/fs/cgroup)";
        }
        return error;
    }
    LinkInfo info{.kind = "cgroup_skb", .device = path};
    info.direction = type == abi::AttachType::CgroupInetEgress ? "egress" : "ingress";
    info.prog_id = program_id(*prog_fd);
    info.program = program_name(info.prog_id);
    return std::unique_ptr<Link>(std::make_unique<BpfLink>(std::move(link), std::move(info)));
}

} // namespace mimicsh::kernel
