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
/// Id of the program behind a descriptor; 0 when the kernel does not say.
[[nodiscard]] uint32_t program_id(int prog_fd);
/// Id of the link behind a descriptor; 0 when the kernel does not say.
[[nodiscard]] uint32_t link_id(int link_fd);

} // namespace mimicsh::kernel
