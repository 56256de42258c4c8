// SPDX-License-Identifier: MIT
// Questions about programs and links.
#include "kernel/bpf_ids.h"

#include <cerrno>
#include <filesystem>

#include <sys/vfs.h>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/errors.h"
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

Status pin_object(int fd, const std::string& path, const std::string& op) {
    constexpr long kBpfFileSystem = 0xcafe4a11;
    struct statfs where {};
    const std::string folder = std::filesystem::path(path).parent_path().string();
    if (statfs(folder.c_str(), &where) != 0) {
        Error error = errno_error(errno, op, folder);
        error.hint = error.code == EACCES ? "that folder is not yours: run as root (CAP_DAC_OVERRIDE)" : "";
        return error;
    }
    if (where.f_type != kBpfFileSystem) {
        return Error{EINVAL,
                     op,
                     path + ": " + folder + " is in no bpf file system",
                     "mount -t bpf bpf /sys/fs/bpf, and pin below that",
                     {}};
    }
    if (bpf_obj_pin(fd, path.c_str()) == 0) {
        return {};
    }
    Error error = errno_error(errno, op, path);
    if (error.code == EPERM || error.code == EACCES) {
        error.hint = "this needs the right to write in " + folder +
                     ": run as root (CAP_DAC_OVERRIDE), or pin in a folder "
                     "of your own there";
    }
    return error;
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

Expected<ProgramFacts> program_facts(Program& program) {
    const auto fd = kernel_fd(program, "info");
    if (!fd) {
        return fd.error();
    }
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(*fd, &info, &size) != 0) {
        return bpf_error(errno, "info", program.name());
    }
    return ProgramFacts{
        info.id,       to_hex(info.tag), info.xlated_prog_len, info.jited_prog_len, info.verified_insns,
        info.load_time};
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
