// SPDX-License-Identifier: MIT
// Structs of the kernel that programs hold pointers to: the current task and its cgroup, and sockets as
// bpf_skc_to_tcp_sock and its like give them. They have no bytes here; a load of a field is answered from the
// scripted world, by the field's name in the kernel's BTF.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace mimicsh::vm {

class Machine;
struct Region;

/// What a region of kind KernelStruct is. The region's `owner` says which one: a socket's place in the world.
enum class KernelStruct : uint8_t {
    Task,
    CssSet, ///< task->cgroups
    Cgroup, ///< of the task
    Kernfs, ///< cgroup->kn
    TcpSock,
    Tcp6Sock,
    TcpTimewaitSock,
    TcpRequestSock,
    Udp6Sock,
};

/// Name of the struct in the kernel's BTF.
[[nodiscard]] std::string_view struct_name(KernelStruct kind);

/// Reads `out.size()` bytes at an offset of the struct: one field, or a part of an array. False: a fault that
/// names the field is pending. `offset` counts from the struct's start.
[[nodiscard]] bool read_kernel_struct(Machine& machine, const Region& region, int64_t offset, ByteSpan out);

/// Guest address of such a struct, made anew; it ends with the reference (a handle, 0 = none) or with the
/// run.
[[nodiscard]] uint64_t add_kernel_struct(Machine& machine, KernelStruct kind, uint32_t owner,
                                         uint32_t reference);

} // namespace mimicsh::vm
