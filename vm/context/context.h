// SPDX-License-Identifier: MIT
// What a program gets in r1, by program type: the fields of its context, and how a test run turns packet and
// context bytes into a run and back (net/core/filter.c, net/bpf/test_run.c).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "object/abi.h"

namespace mimicsh::vm {

class Machine;

enum class FieldRole : uint8_t {
    PacketStart, ///< the first three index Machine::packet_pointers
    PacketEnd,
    PacketMeta,
    Number,
    Bytes,   ///< an array: writes, too, may be of any aligned part
    Pointer, ///< a guest address, whole only; 0 = none
};

/// One field of a context, or one run of equal rights. Loading a packet field yields a full guest pointer, as
/// the kernel's rewriting does; numbers live in Machine::context_image at the same offset.
struct ContextField {
    std::string_view name;
    uint16_t offset = 0;
    uint16_t size = 0;
    FieldRole role = FieldRole::Number;
    bool narrow = false;       ///< loads of a part, aligned to their width, are allowed too
    uint16_t readers = 0xffff; ///< bit set of ContextUser
    uint16_t writers = 0;      ///< bit set of ContextUser
    uint8_t width = 4;         ///< bytes of the kernel's own field behind it: what a store keeps
    uint32_t ignored_from = 0; ///< when not 0: stores of this number and above do nothing

    /// Where a load at `offset` really reads. The kernel shifts a narrow load into place only when it is
    /// narrower than its own field (convert_ctx_accesses), so all parts of a narrow field but its own bytes
    /// show its start.
    [[nodiscard]] uint16_t read_from(int64_t at, uint32_t access) const {
        return role == FieldRole::Number && access >= width ? offset : static_cast<uint16_t>(at);
    }
};

/// Who looks at a context: rights differ by program type where the struct is shared.
enum ContextUser : uint16_t {
    kUserXdp = 1 << 0,
    kUserTc = 1 << 1,
    kUserSocketFilter = 1 << 2,
    kUserCgroupSkb = 1 << 3,
    kUserLwt = 1 << 4,
    kUserLwtXmit = 1 << 5,
    kUserFlowDissector = 1 << 6,
};

/// The context of one program type.
struct ContextKind {
    std::string_view struct_name; ///< "struct xdp_md"
    uint16_t user = 0;            ///< one bit of ContextUser
    uint32_t size = 0;
    std::span<const ContextField> fields;
    bool packet_writable = true; ///< by stores; helpers have their own rules
    std::string_view loads;      ///< what can be loaded, for messages
    /// Refuses what BPF_PROG_TEST_RUN refuses; an empty context stands for the defaults. `program` is for the
    /// message.
    Status (*check)(const std::string& program, ByteView packet, ByteView context) = nullptr;
    /// Takes checked context bytes for the packets that follow.
    void (*set_context)(Machine& machine, ByteView context) = nullptr;
    /// Puts a checked packet in.
    void (*set_packet)(Machine& machine, ByteView packet) = nullptr;
    /// Of programs that get something else than their context in r1: puts it there, once a run has begun.
    void (*set_registers)(Machine& machine) = nullptr;
    /// Of programs that get more than context and packet: makes it anew for each run, repeated ones too.
    void (*begin)(Machine& machine) = nullptr;
    /// Context and packet as the test run gives them back.
    ByteVec (*context_after)(const Machine& machine) = nullptr;
    void (*packet_after)(const Machine& machine, ByteVec& out) = nullptr;

    /// Field that covers an access by this user, or null.
    [[nodiscard]] const ContextField* find(int64_t offset, uint32_t size, bool writes) const;
};

/// The context of a program type, null when the vm has none for it.
[[nodiscard]] const ContextKind* context_kind(abi::ProgType type);

// -- The structs, for context_kind --
[[nodiscard]] const ContextKind& xdp_md_kind();
/// The view that sched_cls, sched_act, socket_filter, cgroup_skb, lwt_in, lwt_out and lwt_xmit have of it.
[[nodiscard]] const ContextKind* sk_buff_kind(abi::ProgType type);
/// The view that flow_dissector has of struct __sk_buff.
[[nodiscard]] const ContextKind& flow_dissector_kind();
/// No struct: r1 is the address of memory that the program may read and write, r2 its length (both 0 without
/// any).
[[nodiscard]] const ContextKind& memory_kind();

/// Length of a packet that a test run takes at least (ETH_HLEN).
inline constexpr uint32_t kMinPacket = 14;

} // namespace mimicsh::vm
