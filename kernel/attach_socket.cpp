// SPDX-License-Identifier: MIT
// Socket filter programs on sockets: SO_ATTACH_BPF.
#include <cerrno>

#include <sys/socket.h>

#include "kernel/bpf_ids.h"
#include "kernel/errors.h"
#include "kernel/link.h"

namespace mimicsh::kernel {

Status attach_socket(Program& program, int socket) {
    constexpr const char* kOp = "attach";
    const auto prog_fd = kernel_fd(program, kOp);
    if (!prog_fd) {
        return prog_fd.error();
    }
    if (program.type() != abi::ProgType::SocketFilter) {
        return Error{EINVAL,
                     kOp,
                     program.name() + " is of type " + std::string(abi::name(program.type())) +
                         ", not socket_filter",
                     {},
                     {}};
    }
    if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &*prog_fd, sizeof *prog_fd) != 0) {
        return bpf_error(errno, kOp, program.name());
    }
    return {};
}

} // namespace mimicsh::kernel
