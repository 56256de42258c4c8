// SPDX-License-Identifier: MIT
// What the kernel tells about programs and links by descriptor and id.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "object/target.h"

namespace mimicsh::kernel {

/// The descriptor of a program that was loaded into the kernel; an error for one of the vm.
[[nodiscard]] Expected<int> kernel_fd(Program& program, const std::string& op);

/// Pins a program, map or link; the path has to be new, in a mounted bpf file system.
[[nodiscard]] Status pin_object(int fd, const std::string& path, const std::string& op);

/// Name of a program by id, at most 15 characters; "?" when it is gone or not to be seen.
[[nodiscard]] std::string program_name(uint32_t prog_id);
/// What the kernel says of a loaded program (struct bpf_prog_info).
struct ProgramFacts {
    uint32_t id = 0;
    std::string tag;             ///< hash of its instructions, 16 hex digits
    uint32_t translated = 0;     ///< bytes of instructions as the verifier left them
    uint32_t jited = 0;          ///< bytes of machine code; 0 without the kernel's compiler
    uint32_t verified_insns = 0; ///< that the verifier looked at
    uint64_t loaded_ns = 0;      ///< since boot
};
/// ENOTSUP for a program of the vm.
[[nodiscard]] Expected<ProgramFacts> program_facts(Program& program);

/// Id of the program behind a descriptor; 0 when the kernel does not say.
[[nodiscard]] uint32_t program_id(int prog_fd);
/// Id of the link behind a descriptor; 0 when the kernel does not say.
[[nodiscard]] uint32_t link_id(int link_fd);

} // namespace mimicsh::kernel
