// SPDX-License-Identifier: MIT
// The region table: what every guest address resolves through, and the one function that checks an access.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "vm/address.h"

namespace mimicsh::vm {

enum class RegionKind : uint8_t {
    Null,    ///< handle 0
    Context, ///< typed fields; only loads and stores of the right width reach them
    Stack,   ///< one frame; tracked for reads of uninitialised bytes
    Packet,
    MapValues,      ///< elements of one map, each with a power-of-two guest stride larger than its size
    MapObject,      ///< what a map reference evaluates to: an address that only helpers take
    Sample,         ///< of a user ring buffer, and the dynptr of it that a callback is shown
    MapKey,         ///< key that a callback is shown; read only
    Memory,         ///< what a program on plain memory gets in r1
    Object,         ///< allocated by the program; owner = its id. Also one CPU's copy of a per-CPU object
    PercpuObject,   ///< what names a per-CPU object: an address that only helpers take
    Record,         ///< reserved ring-buffer record
    Slice,          ///< part of the packet that a dynptr gave
    SocketCommon,   ///< struct bpf_sock without type, protocol, mark and priority
    Socket,         ///< struct bpf_sock of a scripted socket
    TcpSocket,      ///< struct bpf_tcp_sock of a scripted socket
    Connection,     ///< an entry of the conntrack table: an address that only kfuncs take
    NewConnection,  ///< one that is not in the table yet
    FlowKeys,       ///< struct bpf_flow_keys
    KernelStruct,   ///< a struct of the kernel whose fields the scripted world says; `shift` = KernelStruct
    KernelVariable, ///< one of world.ksyms, or a CPU's copy of it; read only
    PercpuVariable, ///< what names a per-CPU variable of the kernel: an address that only helpers take
    Callback,       ///< address of a function of the program
    Dead,           ///< was something earlier in this run; `was` and `death` say what
};

[[nodiscard]] const char* name(RegionKind kind);

/// One row of the table. An access of n bytes at q = low half - base is good on the fast path when
/// q + n <= load_limit (or store_limit), computed in 64 bits. Everything else is decided by Memory::resolve.
struct alignas(128) Region {
    uint8_t* host = nullptr; ///< host address of the byte at `base`
    uint32_t base = kOrigin; ///< low half of the guest address of host[0]; for map values: of the window
    uint32_t load_limit = 0; ///< bytes from base that a load may take without asking
    uint32_t store_limit = 0;
    RegionKind kind = RegionKind::Null;
    RegionKind was = RegionKind::Null;
    uint8_t shift = 0; ///< MapValues: log2 of the guest stride
    bool readable = false;
    bool writable = false;
    bool guarded = false;       ///< MapValues, Object: has fields of the kernel's, outside the window
    bool tracked = false;       ///< MapValues: every store is told to the map
    uint32_t size = 0;          ///< flat regions: bytes; MapValues: bytes of one element
    uint32_t elements = 0;      ///< MapValues: elements behind this handle
    uint32_t host_stride = 0;   ///< MapValues: host bytes from one element to the next
    uint32_t owner = 0;         ///< MapValues, MapObject: map index; Stack: frame number; Callback: function;
                                ///< sockets: index in the world
    uint8_t* storage = nullptr; ///< MapValues: host address of element 0
    uint32_t first = 0; ///< MapValues: index of the first element (a map may need several handles); sockets:
                        ///< handle of the reference that this pointer ends with, 0 = none
    uint32_t birth = 0; ///< instruction slot that made it (records, moved packets)
    const char* death = nullptr; ///< Dead: what ended it ("bpf_xdp_adjust_head", "bpf_ringbuf_submit")
};

/// The table. Handles below `permanent()` belong to the instance; those above to the current run.
class RegionTable {
  public:
    RegionTable();
    [[nodiscard]] uint32_t add(const Region& region);
    [[nodiscard]] Region& at(uint32_t handle) { return regions_[handle]; }
    [[nodiscard]] const Region& at(uint32_t handle) const { return regions_[handle]; }
    [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(regions_.size()); }
    [[nodiscard]] Region* data() { return regions_.data(); }
    /// Everything added so far lives as long as the instance.
    void seal() { permanent_ = size(); }
    /// Forgets the handles of the last run.
    void end_run() {
        if (regions_.size() > permanent_) {
            regions_.resize(permanent_);
        }
    }
    void kill(uint32_t handle, const char* death);

  private:
    std::vector<Region> regions_;
    uint32_t permanent_ = 1;
};

/// Guest stride of a map's elements: the smallest power of two above the element's size, so that one byte
/// past an element is never inside the next.
[[nodiscard]] constexpr uint8_t element_shift(uint32_t size) {
    uint8_t shift = 3;
    while ((uint32_t{1} << shift) <= size) {
        ++shift;
    }
    return shift;
}

} // namespace mimicsh::vm
