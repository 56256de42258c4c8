// SPDX-License-Identifier: MIT
// Structs of the kernel that programs hold pointers to: the current task and its cgroup, sockets as
// bpf_skc_to_tcp_sock and its like give them, what is behind the context, connections and IPsec states. They
// have no bytes here; a load of a field is answered from the run and the scripted world, by the field's name
// in the kernel's BTF.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
    SkBuff, ///< what struct __sk_buff stands for
    SharedInfo,
    XdpBuff,   ///< what struct xdp_md stands for
    XdpRxq,    ///< xdp_buff->rxq
    NetDevice, ///< owner = its index
    Net,
    Registers,  ///< struct pt_regs of the task
    Connection, ///< struct nf_conn; owner = place in Machine::connections
    XfrmState,  ///< owner = place in world.xfrm_states
    Variable,   ///< a struct of world.ksyms, given by its fields; owner = place in Machine::variables
    Sock,       ///< owner as of the sockets below, which helpers take
    TcpSock,
    Tcp6Sock,
    TcpTimewaitSock,
    TcpRequestSock,
    Udp6Sock,
};

/// The first kind that is a socket which helpers take; those behind it are, too.
inline constexpr KernelStruct kFirstSocket = KernelStruct::TcpSock;

/// Name of the struct in the kernel's BTF; that of a variable only its region tells.
[[nodiscard]] std::string_view struct_name(KernelStruct kind);
[[nodiscard]] std::string struct_text(const Machine& machine, const Region& region);

/// Which struct a region is, nothing for what is none. Connections have regions of kinds of their own.
[[nodiscard]] std::optional<KernelStruct> struct_of(const Region& region);

/// Reads `out.size()` bytes at an offset of the struct: one field, or a part of an array. False: a fault that
/// names the field is pending. `offset` counts from the struct's start.
[[nodiscard]] bool read_kernel_struct(Machine& machine, const Region& region, int64_t offset, ByteSpan out);

/// Guest address of such a struct, made anew; it ends with the reference (a handle, 0 = none) or with the
/// run.
[[nodiscard]] uint64_t add_kernel_struct(Machine& machine, KernelStruct kind, uint32_t owner,
                                         uint32_t reference);

/// The same for one that lasts as long as the run: the same address each time.
[[nodiscard]] uint64_t run_kernel_struct(Machine& machine, KernelStruct kind, uint32_t owner);

/// What stands for the context, by the type of the running program: SkBuff or XdpBuff.
[[nodiscard]] KernelStruct context_struct(const Machine& machine);

// -- Values of fields; nothing = not known. `size` is that of the field --

/// A number as the bytes of a field.
template <typename T>
[[nodiscard]] ByteVec bytes_of_number(T value) {
    ByteVec bytes(sizeof value);
    store(bytes.data(), value);
    return bytes;
}
/// What the world says of the field by its name or path.
[[nodiscard]] std::optional<ByteVec> scripted_field(const std::map<std::string, uint64_t, std::less<>>& all,
                                                    std::string_view path, uint32_t size);
/// Whether a path is the name, or ends with it after a dot.
[[nodiscard]] bool ends_with_field(std::string_view name, std::string_view path);
/// Of what is behind the context: kinds SkBuff to Net (kernel_context.cpp).
[[nodiscard]] std::optional<ByteVec> context_struct_value(Machine& machine, const Region& region,
                                                          const std::string& path, uint32_t size);

/// Of a connection (kfuncs/conntrack_entry.cpp) and of an IPsec state (kfuncs/xfrm.cpp).
[[nodiscard]] std::optional<ByteVec> connection_value(Machine& machine, uint32_t index, std::string_view path,
                                                      uint32_t size);
[[nodiscard]] std::optional<ByteVec> xfrm_state_value(Machine& machine, uint32_t index, std::string_view path,
                                                      uint32_t size);
/// Stores to the one field of a connection that programs may write, `mark`. False: a fault is pending.
[[nodiscard]] bool store_to_connection(Machine& machine, const Region& region, int64_t offset, uint32_t size,
                                       uint64_t value);

} // namespace mimicsh::vm
