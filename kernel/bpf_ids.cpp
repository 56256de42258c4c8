// SPDX-License-Identifier: MIT
// Questions about programs and links.
#include "kernel/bpf_ids.h"

#include <cerrno>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/program.h"

namespace mimicsh::kernel {

Expected<int> kernel_fd(Program& program, const std::string& op) {
    if (const auto* loaded = dynamic_cast<const KernelProgram*>(&program)) {
        return loaded->fd();
    }
    return Error{ENOTSUP,
                 op,
                 program.name() + ": the vm's programs cannot be attached",
                 "load the object into the kernel (obj:load(\"kernel\")), or inst:promote(device)",
                 {}};
}

std::string program_name(uint32_t prog_id) {
    const Fd fd(bpf_prog_get_fd_by_id(prog_id));
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    if (!fd.valid() || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
        return "?";
    }
    return info.name;
}

uint32_t program_id(int prog_fd) {
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(prog_fd, &info, &size) == 0 ? info.id : 0;
}

uint32_t link_id(int link_fd) {
    bpf_link_info info{};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(link_fd, &info, &size) == 0 ? info.id : 0;
}

} // namespace mimicsh::kernel
