// SPDX-License-Identifier: MIT
// One emulated CPU: registers, stack, packet, and the slow, exact side of every memory access and helper
// call.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "object/target.h"
#include "vm/async.h"
#include "vm/code.h"
#include "vm/conntrack.h"
#include "vm/context/context.h"
#include "vm/context/sk_buff.h"
#include "vm/cpu_group.h"
#include "vm/dynptr.h"
#include "vm/journal.h"
#include "vm/kernel_variables.h"
#include "vm/maps/map.h"
#include "vm/maps/storage.h"
#include "vm/memory.h"
#include "vm/objects.h"
#include "vm/target.h"
#include "vm/world.h"

namespace mimicsh::vm {

class Machine;
class Tracer;

/// Handles that every instance has at the same place.
inline constexpr uint32_t kContextHandle = 1;
inline constexpr uint32_t kPacketHandle = 2;
inline constexpr uint32_t kCallbackHandle = 3;
inline constexpr uint32_t kTaskHandle = 4;
inline constexpr uint32_t kBufferSocketHandle = 5; ///< of the socket in __sk_buff
inline constexpr uint32_t kFlowKeysHandle = 6;
inline constexpr uint32_t kStackHandle = 7; ///< frame n is kStackHandle + n
/// Frames that can be open at once: a program has at most eight, and one that a subprogram tail-called
/// returns to that subprogram's caller, so every tail call of a run may add as many again.
inline constexpr uint32_t kMaxFrames = abi::kMaxCallFrames * (abi::kMaxTailCalls + 1);

/// Room in front of an XDP packet in a test run, and the part of it that struct xdp_frame needs
/// (net/bpf/test_run.c).
inline constexpr uint32_t kXdpHeadroom = 256;
inline constexpr uint32_t kXdpFrameSize = 40;
/// Linear bytes of an XDP test run: a page less headroom and struct skb_shared_info.
inline constexpr uint32_t kXdpMaxLinear = 3520;
inline constexpr uint32_t kFragment = 4096; ///< a page
inline constexpr uint32_t kXdpBuffer = kXdpHeadroom + kXdpMaxLinear;
/// Largest packet of a test run: linear part and MAX_SKB_FRAGS (17) pages.
inline constexpr uint32_t kXdpMaxPacket = kXdpMaxLinear + 17 * 4096;
/// Bytes of the packet buffer of a type other than XDP: the longest socket buffer that a program can make of
/// one (the loopback device's MTU and a header) and room for headers in front.
inline constexpr uint32_t kPacketBuffer = 72 * 1024;

/// Bytes that a run may keep in regions, log lines, copies of packets and the like, and what one of them
/// counts for.
inline constexpr uint64_t kMaxKept = uint64_t{1} << 30;
inline constexpr uint64_t kUsualEffect = 256;

enum class Access : uint8_t { Read, Write };

/// What stopped a run, before it is dressed up as a Fault.
struct PendingFault {
    FaultKind kind = FaultKind::BadPointer;
    uint32_t slot = 0;
    const Code* code = nullptr;
    std::string cause;
    std::string hint;
    std::optional<uint64_t> address; ///< of the access, when it was one
};

/// The packet of a run. Offsets count from the start of `buffer`; guest addresses of packet bytes are
/// make_addr(handle, offset).
struct PacketState {
    ByteVec buffer;      ///< as long as the instance's programs need it
    ByteVec fragments;   ///< bytes behind the linear part (multi-buffer XDP), page by page
    uint32_t pulled = 0; ///< bytes of the first page that were made linear
    uint32_t meta = kXdpHeadroom;
    uint32_t start = kXdpHeadroom;
    uint32_t end = kXdpHeadroom;
    uint32_t paged = 0; ///< of a socket buffer's bytes the last ones, which its linear part does not have
    uint32_t handle = kPacketHandle;
    uint32_t lowest = kXdpHeadroom;     ///< bytes from here on may be other than 0: what earlier runs reached
    uint32_t linear_limit = UINT32_MAX; ///< bytes of an input that may be linear (XDP)
    uint32_t metadata = 0;              ///< bytes of metadata that every input starts with (XDP)
    uint32_t room_end = kXdpBuffer;     ///< where tailroom ends (XDP); headroom begins where the buffer does
    bool writable = true;               ///< by stores

    /// Where direct accesses and what looks at the linear part only find nothing more.
    [[nodiscard]] uint32_t linear_end() const { return end - paged; }
};

/// What accesses to the packet look at first: as much of it as comparisons with data_end have proven.
struct PacketWindow {
    uint64_t address = 0; ///< guest address of the first byte, metadata included
    uint8_t* host = nullptr;
    uint64_t size = 0;
    uint64_t proven = 0; ///< bytes from the first on; an access beyond is "unchecked"
    /// Places where an access of 1, 2, 4 or 8 bytes may begin without asking; 0 while less than 8 are proven.
    std::array<uint64_t, 4> starts{};

    void prove(uint64_t bytes) {
        proven = bytes;
        if (bytes >= 8) [[likely]] {
            starts[0] = bytes;
            starts[1] = bytes - 1;
            starts[2] = bytes - 3;
            starts[3] = bytes - 7;
        }
    }
};

inline constexpr uint32_t kFlowKeysSize = 56; ///< struct bpf_flow_keys

/// A section that the program has to leave before it ends.
struct Section {
    const char* kind = ""; ///< "RCU read section", ...
    uint32_t slot = 0;     ///< where it was entered
    uint64_t id = 0;       ///< what the program keeps of it, 0 = nothing
};

/// An open-coded iterator that the program has to destroy.
struct Iterator {
    enum class Kind : uint8_t { Numbers, Bits };
    Kind kind = Kind::Numbers;
    uint32_t slot = 0;    ///< where it was made
    uint64_t address = 0; ///< of its bytes in the program's stack
    int32_t current = 0;  ///< number or bit
    int32_t end = 0;
    ByteVec words; ///< that hold the bits
};

/// As in the names of its functions: "num".
[[nodiscard]] const char* name(Iterator::Kind kind);

/// One BPF-to-BPF call that has not returned. A call sets all of it, so nothing is set before.
struct Frame {
    const Op* return_to;
    const Code* code;
    std::array<uint64_t, 4> saved; ///< r6-r9
    bool starts_program;           ///< of the frame itself: a tail call put its program there
};

/// What programs see of a scripted socket, and what SYN cookies remember of it.
struct SocketState {
    static constexpr uint32_t kSockSize = 80; ///< struct bpf_sock
    std::array<uint8_t, kSockSize> sock{};
    std::array<uint8_t, kTcpSockSize> tcp{};
    uint64_t last_cookie_ns = 0; ///< when a SYN cookie was last made; 0 = never
    const World::Socket* scripted = nullptr;
};

/// What a helper from outside did, so that a run can be repeated without asking it again.
struct UserCall {
    uint64_t result = 0;
    std::vector<std::pair<uint64_t, ByteVec>> writes;
    std::optional<PendingFault> fault;
};

using HelperFn = uint64_t (*)(Machine& machine, const uint64_t* args);
/// The interpreter as a callable, so that helpers can run callbacks.
using ExecuteFn = bool (*)(Machine& machine, const Code& code, uint32_t op);

/// Everything a run reads and changes. Its public data is the vm's inside; nothing outside vm/ sees it.
class Machine {
  public:
    /// `frames`: how many can be open at once, at most kMaxFrames.
    /// `joint`: a journal that others write too, instead of one of its own.
    Machine(const Options& options, uint32_t cpus, uint32_t frames, Journal* joint = nullptr);

    // -- Set-up of an instance --
    /// Makes the packet buffer long enough for a program of the type.
    void make_room_for(abi::ProgType type);
    void add_map(std::unique_ptr<VmMap> map);
    /// Puts a map in place of another, between runs; code that was decoded before is void.
    void replace_map(size_t index, std::unique_ptr<VmMap> map);
    /// Takes the maps of another CPU, at the same addresses, and closes the set-up.
    void share_maps(const Machine& other);
    void seal() { regions.seal(); }
    [[nodiscard]] const std::vector<std::shared_ptr<VmMap>>& maps() const { return maps_; }

    // -- A run --
    /// Puts an XDP packet of kMinPacket to kXdpMaxPacket bytes in.
    void set_xdp_packet(ByteView bytes) {
        const size_t room = std::min<size_t>(packet.linear_limit, kXdpMaxLinear + packet.metadata);
        const size_t linear = std::min<size_t>(bytes.size(), room);
        if (packet.lowest < kXdpHeadroom) [[unlikely]] {
            // Programs may make headroom part of the packet, and a test run's headroom is zeroed.
            std::memset(packet.buffer.data() + packet.lowest, 0, kXdpHeadroom - packet.lowest);
        }
        packet.start = kXdpHeadroom;
        packet.meta = packet.lowest = kXdpHeadroom - packet.metadata;
        packet.end = packet.meta + static_cast<uint32_t>(linear);
        packet.paged = 0;
        std::memcpy(packet.buffer.data() + packet.meta, bytes.data(), linear);
        if (linear < bytes.size() || !packet.fragments.empty()) [[unlikely]] {
            packet.pulled = 0;
            packet.fragments.assign(bytes.begin() + static_cast<ptrdiff_t>(linear), bytes.end());
        }
    }
    /// The same with room of another size around it, all of it linear.
    void set_xdp_packet(ByteView bytes, std::optional<uint32_t> headroom, std::optional<uint32_t> tailroom);
    /// Resets everything else that belongs to a run. The packet stays as the last run left it, as in a
    /// repeated BPF_PROG_TEST_RUN.
    void begin_run(const Code& entry) {
        if (touched) [[unlikely]] {
            forget_last_run();
        }
        code = &entry;
        at = entry.ops.data();
        depth = 0;
        budget = options.budget;
        journal.begin_run();
        stack_init[0] = {};
        // In two parts: one clearing of this size becomes a string instruction, which starts slowly.
        std::fill_n(regs.begin(), 6, 0);
        std::fill_n(regs.begin() + 6, 5, 0);
        regs[1] = make_addr(kContextHandle, 0);
        regs[10] = make_addr(kStackHandle, abi::kStackSize);
        sync_packet_context();
    }
    /// Checks what the program had to give back; a fault may come of it. The state stays readable.
    void finish_run() {
        if (touched) [[unlikely]] {
            report_left_open();
        }
        if (!backed_.empty()) [[unlikely]] {
            settle_backed_maps();
        }
    }
    /// Forgets moved packets and records.
    void end_run() {
        if (touched || !opened_.empty()) {
            close_run();
        }
    }
    /// Takes the run's effects on maps, clock and random numbers back; false when that cannot be done.
    [[nodiscard]] bool rewind();
    /// Before a call's first run: each call of a test run has a cgroup and a socket of its own, and their
    /// storage.
    void begin_call() {
        for (CgroupStorageMap* map : cgroup_storage_) {
            map->begin();
        }
        for (StorageMap* map : socket_storage_) {
            (void)map->drop(static_cast<uint32_t>(sockets.size()) - 1, nullptr);
        }
    }

    // -- Memory, slow and exact. False: a fault is pending --
    [[nodiscard]] bool load(uint64_t addr, uint32_t size, uint64_t& value);
    [[nodiscard]] bool store(uint64_t addr, uint32_t size, uint64_t value);
    [[nodiscard]] bool atomic(const Op& op);
    /// BPF_LD_ABS and BPF_LD_IND: big-endian packet bytes; false past the end, where the function ends with
    /// 0. Negative offsets of socket buffers count from their headers (bpf_internal_load_pointer_neg_helper
    /// in kernel/bpf/core.c).
    [[nodiscard]] bool load_packet(int32_t offset, uint32_t size, uint64_t& value) const;
    /// Bytes that the program has just written to its stack, the usual argument of a helper; null when `span`
    /// has to look closer.
    [[nodiscard]] uint8_t* stack_bytes(uint64_t addr, uint64_t size) {
        const uint32_t frame = handle_of(addr) - kStackHandle;
        const uint32_t offset = static_cast<uint32_t>(addr) - kOrigin;
        const bool ready = frame <= depth && offset < abi::kStackSize && size <= 64 &&
                           stack_ready(frame, offset, static_cast<uint32_t>(size));
        return ready ? stack[frame].data() + offset : nullptr;
    }
    /// bpf_map_lookup_elem: guest address of the key's value, 0 when it is absent or a fault is pending.
    [[nodiscard]] uint64_t look_up(VmMap& map, uint64_t key, uint32_t on_cpu);
    /// Whether all went well with a map that the kernel backs, after an operation on it. False: a fault is
    /// pending.
    bool check_backed(VmMap& map);
    /// Whether the kernel backs a map, so that a run cannot be taken back and made again.
    [[nodiscard]] bool has_backed_maps() const { return !backed_.empty(); }
    /// Host address of `size` guest bytes for a helper argument, checked like a load or store; null = fault
    /// pending. `what` names the argument. A write is journaled; uninitialised stack bytes read count as a
    /// warning.
    [[nodiscard]] uint8_t* span(uint64_t addr, uint64_t size, Access access, const char* what);
    /// Host address of a field of a map value or object that belongs to the kernel, for the helper `what`;
    /// null = fault pending.
    [[nodiscard]] uint8_t* kernel_field(uint64_t addr, uint32_t size, const char* what);
    /// Whether an access would be allowed; asking is no fault.
    [[nodiscard]] bool can_access(uint64_t addr, uint64_t size, Access access);
    /// Map that a guest address refers to, or null.
    [[nodiscard]] VmMap* find_map(uint64_t addr);
    /// The same; null = fault pending.
    [[nodiscard]] VmMap* map_at(uint64_t addr, const char* what);
    /// Reads uninitialised stack bytes [offset, offset+size) of the current frame as zero, with a warning.
    void stack_read_uninitialised(uint32_t offset, uint32_t size);
    /// Bytes [offset, offset+size) of a frame as bits of its 64-byte words.
    [[nodiscard]] static constexpr uint64_t init_mask(uint32_t offset, uint32_t size) {
        return (size == 64 ? ~uint64_t{0} : (uint64_t{1} << size) - 1) << (offset & 63);
    }
    /// True when all bytes were written. False also for accesses that cross a 64-byte word: the slow path
    /// knows.
    [[nodiscard]] bool stack_ready(uint32_t frame, uint32_t offset, uint32_t size) const {
        const uint64_t mask = init_mask(offset, size);
        return (offset & 63) + size <= 64 && (stack_init[frame][offset / 64] & mask) == mask;
    }
    void mark_initialised(uint32_t frame, uint32_t offset, uint32_t size);

    /// A pointer was compared with data_end and lies below or at it: that much of the packet is proven.
    void prove(uint64_t pointer, uint64_t end) {
        // Of a pointer into anything else the distance is far above the packet's size.
        const uint64_t bytes = pointer - window.address;
        if (bytes <= window.size && pointer <= end && bytes > window.proven) {
            window.prove(bytes);
        }
    }
    /// Closes the fast windows of a map whose elements are no longer all alive.
    void close_windows(VmMap& map) {
        map.end_windows(regions);
        if (std::ranges::find(deleted_from_, &map) == deleted_from_.end()) {
            deleted_from_.push_back(&map);
        }
        touched = true;
    }
    /// New guest address for the packet after a helper moved it; old pointers go stale.
    void move_packet(const char* helper);
    void sync_packet_context() {
        Region& region = regions.at(packet.handle);
        region.writable = packet.writable;
        region.base = kOrigin + packet.meta;
        region.host = packet.buffer.data() + packet.meta;
        region.size = packet.linear_end() - packet.meta;
        window.address = make_addr(packet.handle, packet.meta);
        window.host = region.host;
        window.size = region.size;
        window.proven = 0;
        window.starts = {};
        if (!code->tracks_bounds) {
            window.prove(window.size);
        }
        packet_pointers[0] = make_addr(packet.handle, packet.start);
        packet_pointers[1] = make_addr(packet.handle, packet.linear_end());
        packet_pointers[2] = window.address;
    }
    /// Call before changing redirect, emitted, assigned, log, open_references, held_lock or the random state.
    /// `bytes`: what it keeps until the run ends, at least. A run that keeps too much faults.
    void note_effect(uint64_t bytes = kUsualEffect) {
        touched = true;
        kept_bytes += bytes;
        if (kept_bytes > kMaxKept) [[unlikely]] {
            fault_for_memory();
        }
    }

    // -- Faults and warnings --
    /// Records a fault at the current slot; the first one wins. Returns 0 so that helpers can return it.
    uint64_t fault(FaultKind kind, std::string cause, std::string hint = {},
                   std::optional<uint64_t> address = {});
    /// Notes a warning at the current slot, once for a site. `refused`: of what the kernel does not load.
    void warn(std::string cause, bool refused = false);
    /// What is scripted; an empty world when nothing is.
    [[nodiscard]] const World& world() const { return *options.world; }
    /// Whether a scripted value is there; when not, a fault that names its field is pending.
    template <typename T>
    [[nodiscard]] bool given(const std::optional<T>& value, const std::string& field) {
        if (!value) {
            fault(FaultKind::MissingValue, "the scripted world has no " + field,
                  "give it at load: load(\"vm\", {world = {...}})");
        }
        return value.has_value();
    }
    /// Types of the kernel that the instance was loaded for, else of the running one; null where there are
    /// none.
    [[nodiscard]] const Btf* kernel_types();
    void set_kernel_types(std::shared_ptr<const Btf> btf) { kernel_btf_ = std::move(btf); }
    /// Index of the interface that the packet came in on.
    [[nodiscard]] uint32_t device_index() const;
    [[nodiscard]] bool faulted() const { return pending.has_value(); }
    /// Counts one step of the budget in chunks; refills `ticks`. False: a fault (budget or interrupt) is
    /// pending.
    [[nodiscard]] bool refill(uint32_t& ticks);
    /// Takes the steps of something long from the budget. False: a fault (budget or interrupt) is pending.
    [[nodiscard]] bool spend(uint64_t steps);

    /// Whether an address is that of a function of the running program.
    [[nodiscard]] bool is_callback(uint64_t function) const;
    /// Runs a callback of the current program with up to five arguments. Nothing: a fault is pending.
    [[nodiscard]] std::optional<uint64_t> call_back(uint64_t function, std::array<uint64_t, 5> args,
                                                    const char* helper);
    [[nodiscard]] bool push_frame(const Op* return_to);
    /// Frames of the running program alone, without those below the tail call that started it.
    [[nodiscard]] uint32_t own_frames() const;
    [[nodiscard]] uint64_t frame_pointer() const { return make_addr(kStackHandle + depth, abi::kStackSize); }

    /// Next number of the seeded generator (xorshift128+, own state per instance).
    [[nodiscard]] uint32_t random();

    // -- State the interpreter works on --
    std::array<uint64_t, 16> regs{};
    PacketWindow window;
    RegionTable regions;
    const Code* code = nullptr; ///< of the running program; changes on tail calls
    const Op* at = nullptr;     ///< operation that a fault or warning belongs to
    uint32_t depth = 0;
    // Of the frames only those that a run reaches are ever touched: `stack_init`, cleared when a frame is
    // opened, says which bytes of its stack mean something.
    std::array<Frame, kMaxFrames> frames;
    alignas(64) std::array<std::array<uint8_t, abi::kStackSize>, kMaxFrames> stack;
    std::array<std::array<uint64_t, abi::kStackSize / 64>, kMaxFrames> stack_init;
    uint32_t frame_limit;
    std::array<uint64_t, 3> packet_pointers{};                ///< by FieldRole
    alignas(8) std::array<uint8_t, kSkbSize> context_image{}; ///< numbers of the context, at their offsets
    ByteVec context_given;                          ///< ctx_in of a run on a socket buffer; empty = defaults
    std::array<uint8_t, kFlowKeysSize> flow_keys{}; ///< of a flow dissector
    uint64_t budget = 0;
    uint32_t tail_calls = 0;
    uint64_t may_goto_left = 0;
    uint64_t kept_bytes = 0; ///< in this run, see note_effect

    // -- The rest of the world --
    Journal own_journal;
    Journal& journal;
    CpuGroup* group = nullptr; ///< other CPUs that share the maps; null = this one is alone
    bool concurrent = false;   ///< they run at the same time
    AsyncTable async;
    ObjectHeap heap;
    PacketState packet;
    SkBuffState skb;
    uint32_t cpu = 0;
    uint64_t clock_ns = 0;
    std::vector<std::string> log;
    const RunOptions* given_run = nullptr; ///< of a single run; null: nothing beside packet and context
    std::optional<Redirect> redirect;
    std::vector<Emitted> emitted;
    std::optional<Tunnel> tunnel;     ///< the buffer's metadata
    std::optional<uint32_t> assigned; ///< scripted socket, from 0
    std::optional<PendingFault> pending;
    std::vector<uint32_t>
        open_references; ///< handles of records and sockets that the program has to give back
    std::vector<SocketState>
        sockets;                ///< by index in the world; the last is a run's own or what a test run makes
    World::Socket run_socket;   ///< what `given_run` says of the last, as scripted sockets are
    ConntrackTable connections; ///< what programs insert stays for later runs
    KernelVariables variables;
    std::vector<UserCall> user_calls; ///< calls of helpers from outside in this run
    size_t next_user_call = 0;
    bool repeats_run = false; ///< helpers from outside give what they gave before
    bool records_inputs = false;
    std::vector<InputCall> inputs; ///< of all runs since records_inputs was set
    struct HeldLock {
        uint64_t address = 0;
        uint32_t slot = 0; ///< instruction that took it
        std::string map;
        const void* host = nullptr; ///< of the lock
    };
    std::optional<HeldLock> held_lock;     ///< bpf_spin_lock
    std::optional<uint64_t> thrown;        ///< cookie of a bpf_throw that unwinds; `pending` is set as well
    std::vector<Section> sections;         ///< entered and not left
    std::vector<HeldLock> resilient_locks; ///< bpf_res_spin_lock, in the order of taking
    std::vector<Iterator> iterators;       ///< made and not destroyed
    std::vector<Dynptr> dynptrs;           ///< all that the run has made, clones included
    std::vector<uint32_t> packet_slices;   ///< handles that a move of the packet ends
    std::vector<Warning> warnings;
    Tracer* tracer = nullptr;
    ExecuteFn execute = nullptr;
    const std::atomic<bool>* stop = nullptr;
    Options options;
    /// Not 0: the run did something that begin_run does not reset on its short path; kIteratorOnly: all of it
    /// is undone once the last iterator is destroyed.
    uint8_t touched = 0;
    static constexpr uint8_t kIteratorOnly = 2;

  private:
    void release_field(const HiddenField& field, uint8_t* bytes, Journal* record);
    struct Resolved {
        uint8_t* host = nullptr;
        Region* region = nullptr;
    };
    [[nodiscard]] Resolved resolve(uint64_t addr, uint64_t size, Access access, const char* what);
    void forget_last_run();
    void fault_for_memory();
    void fault_for_budget();
    void report_left_open();
    void report_open_reference();
    void catch_thrown();
    void close_run();
    [[nodiscard]] Resolved resolve_packet(Region& region, uint64_t addr, uint64_t size, Access access,
                                          const char* what);
    [[nodiscard]] Resolved resolve_socket(Region& region, uint64_t addr, uint64_t size, Access access,
                                          const char* what);
    [[nodiscard]] Resolved resolve_element(Region& region, uint64_t addr, uint64_t size, Access access,
                                           const char* what);
    [[nodiscard]] bool load_context(uint64_t addr, uint32_t size, uint64_t& value);
    [[nodiscard]] bool store_context(uint64_t addr, uint32_t size, uint64_t value);
    void out_of_bounds(const Region& region, uint64_t addr, uint64_t size, Access access, const char* what);
    void no_region(uint64_t addr, uint64_t size, Access access, const char* what);
    [[nodiscard]] uint64_t run_atomic(uint8_t* at_host, const Op& op, uint32_t size, bool shared);
    void settle_backed_maps();
    void open_element(Region& region, uint64_t addr);
    void note_opened(uint32_t handle);
    /// Whether programs may touch these bytes of a map value or object, which has fields that belong to the
    /// kernel; when not, a fault is pending.
    [[nodiscard]] bool is_open(const Resolved& found, uint64_t addr, uint64_t size, Access access,
                               const char* what);

    std::vector<std::shared_ptr<VmMap>> maps_;
    std::shared_ptr<const Btf> kernel_btf_;
    std::array<uint64_t, 2> random_state_{};
    std::array<uint64_t, 2> random_at_start_{};
    uint64_t clock_at_start_ = 0;
    std::set<std::pair<const Code*, uint32_t>> warned_; ///< sites that warned in this run
    std::vector<uint32_t> opened_; ///< map-value handles with an open store window, some several times
    std::vector<CgroupStorageMap*> cgroup_storage_;
    std::vector<StorageMap*> socket_storage_;
    std::vector<VmMap*> deleted_from_; ///< maps that lost entries in this run
    std::vector<VmMap*> backed_;       ///< maps that the kernel backs
};

} // namespace mimicsh::vm
