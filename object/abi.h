// SPDX-License-Identifier: MIT
// The kernel's user-space ABI numbers that mimicsh uses (include/uapi/linux/bpf.h, Linux 6.18), under our own
// names: Debian 12's header is 6.1's and cannot be included beside <pcap/pcap.h>.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mimicsh::abi {

/// enum bpf_prog_type.
enum class ProgType : uint32_t {
    Unspec = 0,
    SocketFilter = 1,
    Kprobe = 2,
    SchedCls = 3,
    SchedAct = 4,
    Tracepoint = 5,
    Xdp = 6,
    PerfEvent = 7,
    CgroupSkb = 8,
    CgroupSock = 9,
    LwtIn = 10,
    LwtOut = 11,
    LwtXmit = 12,
    SockOps = 13,
    SkSkb = 14,
    CgroupDevice = 15,
    SkMsg = 16,
    RawTracepoint = 17,
    CgroupSockAddr = 18,
    LwtSeg6local = 19,
    LircMode2 = 20,
    SkReuseport = 21,
    FlowDissector = 22,
    CgroupSysctl = 23,
    RawTracepointWritable = 24,
    CgroupSockopt = 25,
    Tracing = 26,
    StructOps = 27,
    Ext = 28,
    Lsm = 29,
    SkLookup = 30,
    Syscall = 31,
    Netfilter = 32,
    Memory = 0xffffffff, ///< ours: gets memory in r1 and its length in r2; the vm alone runs those
};

/// enum bpf_attach_type, the members we name.
enum class AttachType : uint32_t {
    CgroupInetIngress = 0,
    CgroupInetEgress = 1,
    SkSkbStreamParser = 4,
    SkSkbStreamVerdict = 5,
    FlowDissector = 17,
    XdpDevmap = 33,
    XdpCpumap = 35,
    Xdp = 37,
    SkSkbVerdict = 38,
    TcxIngress = 46,
    TcxEgress = 47,
    None = 0xffffffff, ///< ours: the section named no attach type
};

/// enum bpf_map_type.
enum class MapType : uint32_t {
    Unspec = 0,
    Hash = 1,
    Array = 2,
    ProgArray = 3,
    PerfEventArray = 4,
    PercpuHash = 5,
    PercpuArray = 6,
    StackTrace = 7,
    CgroupArray = 8,
    LruHash = 9,
    LruPercpuHash = 10,
    LpmTrie = 11,
    ArrayOfMaps = 12,
    HashOfMaps = 13,
    Devmap = 14,
    Sockmap = 15,
    Cpumap = 16,
    Xskmap = 17,
    Sockhash = 18,
    CgroupStorage = 19,
    ReuseportSockarray = 20,
    PercpuCgroupStorage = 21,
    Queue = 22,
    Stack = 23,
    SkStorage = 24,
    DevmapHash = 25,
    StructOps = 26,
    Ringbuf = 27,
    InodeStorage = 28,
    TaskStorage = 29,
    BloomFilter = 30,
    UserRingbuf = 31,
    CgrpStorage = 32,
    Arena = 33,
};

/// Kernel spelling without prefix: "xdp", "sched_cls"; "memory" for ours, "unknown" above the last one.
[[nodiscard]] std::string_view name(ProgType type);
/// Kernel spelling without prefix: "hash", "percpu_array"; "unknown" above the last one.
[[nodiscard]] std::string_view name(MapType type);

/// The types by these names; nothing for others, "unspec" and "unknown" among them.
[[nodiscard]] std::optional<ProgType> prog_type(std::string_view name);
[[nodiscard]] std::optional<MapType> map_type(std::string_view name);

/// True for the types whose host-side value is one slot per possible CPU (each rounded up to 8 bytes).
[[nodiscard]] constexpr bool is_percpu(MapType type) {
    return type == MapType::PercpuHash || type == MapType::PercpuArray || type == MapType::LruPercpuHash ||
           type == MapType::PercpuCgroupStorage;
}

/// True for maps of maps.
[[nodiscard]] constexpr bool holds_maps(MapType type) {
    return type == MapType::ArrayOfMaps || type == MapType::HashOfMaps;
}

// -- Map creation flags (BPF_F_*) --
inline constexpr uint32_t kMapNoPrealloc = 1u << 0;
inline constexpr uint32_t kMapNoCommonLru = 1u << 1;
inline constexpr uint32_t kMapNumaNode = 1u << 2;
inline constexpr uint32_t kMapRdonly = 1u << 3;
inline constexpr uint32_t kMapWronly = 1u << 4;
inline constexpr uint32_t kMapStackBuildId = 1u << 5;
inline constexpr uint32_t kMapZeroSeed = 1u << 6;
inline constexpr uint32_t kMapRdonlyProg = 1u << 7;
inline constexpr uint32_t kMapWronlyProg = 1u << 8;
inline constexpr uint32_t kMapClone = 1u << 9;
inline constexpr uint32_t kMapMmapable = 1u << 10;
inline constexpr uint32_t kMapInnerMap = 1u << 12;

// -- Element update flags --
inline constexpr uint64_t kAny = 0;
inline constexpr uint64_t kNoExist = 1;
inline constexpr uint64_t kExist = 2;
inline constexpr uint64_t kLock = 4;

// -- Program load flags --
inline constexpr uint32_t kProgStrictAlignment = 1u << 0;
inline constexpr uint32_t kProgAnyAlignment = 1u << 1;
inline constexpr uint32_t kProgTestRndHi32 = 1u << 2;
inline constexpr uint32_t kProgSleepable = 1u << 4;
inline constexpr uint32_t kProgXdpHasFrags = 1u << 5;

// -- XDP return codes --
inline constexpr uint32_t kXdpAborted = 0;
inline constexpr uint32_t kXdpDrop = 1;
inline constexpr uint32_t kXdpPass = 2;
inline constexpr uint32_t kXdpTx = 3;
inline constexpr uint32_t kXdpRedirect = 4;

// -- tc return codes that helpers give --
inline constexpr uint32_t kTcShot = 2;
inline constexpr uint32_t kTcRedirect = 7;

inline constexpr uint32_t kObjNameLen = 16; ///< BPF_OBJ_NAME_LEN: at most 15 characters and a NUL
inline constexpr uint32_t kMaxInsns =
    1'000'000; ///< instructions of one privileged program (BPF_COMPLEXITY_LIMIT_INSNS)
inline constexpr uint32_t kStackSize = 512;   ///< MAX_BPF_STACK: bytes, all frames of a call chain together
inline constexpr uint32_t kMaxCallFrames = 8; ///< frames of a call chain
inline constexpr uint32_t kMaxTailCalls = 33; ///< successful tail calls of one run
inline constexpr uint32_t kRingbufBusy = 1u << 31;
inline constexpr uint32_t kRingbufDiscard = 1u << 30;
inline constexpr uint32_t kRingbufHeader = 8;

/// struct xdp_md as programs and BPF_PROG_TEST_RUN see it.
struct XdpMd {
    uint32_t data = 0;
    uint32_t data_end = 0;
    uint32_t data_meta = 0;
    uint32_t ingress_ifindex = 0;
    uint32_t rx_queue_index = 0;
    uint32_t egress_ifindex = 0;
};
static_assert(sizeof(XdpMd) == 24);

inline constexpr uint32_t kHelperCount = 212; ///< ids 0 (unspec) to 211; frozen upstream since 6.2
/// Name without "bpf_" ("map_lookup_elem"); empty for an id that no kernel has.
[[nodiscard]] std::string_view helper_name(uint32_t id);
/// Id of a helper by name, with or without "bpf_".
[[nodiscard]] std::optional<uint32_t> helper_id(std::string_view name);

} // namespace mimicsh::abi
