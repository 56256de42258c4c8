// SPDX-License-Identifier: MIT
// The seam between an object and where it runs. Both targets (vm, kernel) implement these classes; whatever
// one lacks fails with ENOTSUP, it never silently differs.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "object/kconfig.h"
#include "object/linker.h"
#include "object/object.h"

namespace mimicsh {

class Instance;
class Program;

// -- Maps --

struct MapInfo {
    std::string name; ///< as declared in the object
    abi::MapType type = abi::MapType::Unspec;
    uint32_t key_size = 0;
    uint32_t value_size = 0; ///< bytes of one value (of one CPU's value for per-CPU types)
    uint32_t max_entries = 0;
    uint32_t flags = 0;
    uint32_t cpus = 1;    ///< slots of a per-CPU value
    uint32_t id = 0;      ///< kernel map id; on the vm the place in the instance, from 1
    uint32_t live_id = 0; ///< vm: id of the kernel's map that backs it, 0 = none
};

/// Bytes a host lookup or update moves: value_size, or for per-CPU types cpus * round_up(value_size, 8).
[[nodiscard]] uint32_t host_value_size(const MapInfo& info);

/// Bytes of one CPU's buffer of a perf event array.
inline constexpr uint32_t kPerfBufferSize = 64 * 4096;

/// Position of a batched walk; opaque, starts empty. A walk never stops half way because an entry was
/// deleted.
struct MapCursor {
    ByteVec position;
    bool started = false;
    bool done = false;
};

/// Gets a record of a ring buffer or perf event array and the CPU that wrote it (0 for ring buffers).
using RecordFn = std::function<void(ByteView record, uint32_t cpu)>;

/// One map. Keys and values are raw bytes in kernel layout. Errors carry the kernel's errno in `code`:
/// ENOENT missing key, EEXIST/ENOENT by update flags, E2BIG full or out of range, EINVAL bad flags or
/// operation.
class Map {
  public:
    virtual ~Map() = default;
    [[nodiscard]] virtual const MapInfo& info() const = 0;
    /// key: key_size bytes, value: host_value_size bytes.
    [[nodiscard]] virtual Status lookup(ByteView key, ByteSpan value) = 0;
    [[nodiscard]] virtual Status update(ByteView key, ByteView value, uint64_t flags) = 0;
    /// Many entries of a map with keys, keys and host values back to back, each as `update` without flags
    /// does it; those before the first that fails stay.
    [[nodiscard]] virtual Status update_batch(ByteView keys, ByteView values);
    [[nodiscard]] virtual Status erase(ByteView key) = 0;
    /// Look-up and delete in one step. Queues and stacks have an empty key: for them this is pop, `lookup`
    /// peek and `update` push. For a bloom filter `lookup` asks whether `value` is in it.
    [[nodiscard]] virtual Status take(ByteView key, ByteSpan value) = 0;
    /// Key after `key` in the map's order; an empty view asks for the first. False at the end.
    [[nodiscard]] virtual Expected<bool> next_key(ByteView key, ByteSpan next) = 0;
    /// Appends up to `limit` entries (keys and host values back to back) and advances the cursor; returns the
    /// count.
    [[nodiscard]] virtual Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values,
                                                      size_t limit) = 0;
    /// Read only for the host from now on.
    [[nodiscard]] virtual Status freeze() = 0;
    /// Prog arrays: puts a program of the same target into a slot.
    [[nodiscard]] virtual Status put_program(uint32_t index, Program& program) = 0;
    /// Device and CPU maps with values of 8 bytes: puts an interface, or the length of a queue, and a program
    /// of the same target that runs on what is sent there. EINVAL (cpumap: ENOMEM) when the program was not
    /// made for that kind of map (SEC("xdp/devmap"), SEC("xdp/cpumap")).
    [[nodiscard]] virtual Status put_target(ByteView key, uint32_t target, Program& program, uint64_t flags);
    /// Maps of maps: puts a map of the same target into a slot. EINVAL when it is not like the declared one.
    [[nodiscard]] virtual Status put_map(ByteView key, Map& inner, uint64_t flags) = 0;
    /// Perf event arrays: opens the buffer of each CPU; until then programs get ENOENT. Ring buffers are open
    /// from the start.
    [[nodiscard]] virtual Status listen() = 0;
    /// Ring buffers and perf event arrays: hands out each record in order (CPU by CPU), then frees it;
    /// returns how many. The view is valid during the call only.
    [[nodiscard]] virtual Expected<size_t> consume(const RecordFn& record) = 0;
    /// User ring buffers: puts a sample in for programs to drain. E2BIG larger than the ring, ENOSPC no room.
    [[nodiscard]] virtual Status send(ByteView sample) = 0;
    /// Perf event arrays: records that a full buffer lost, as far as `consume` has learnt of it.
    [[nodiscard]] virtual uint64_t lost() const { return 0; }
    /// Descriptor that polls readable when `consume` has something; -1 when the target needs no waiting (vm).
    [[nodiscard]] virtual int event_fd() const { return -1; }
    /// Live bytes of a one-element or dense array map (data sections); empty when the target cannot map it.
    [[nodiscard]] virtual ByteSpan live_bytes() { return {}; }
    /// The same map once more, which stays when the instance goes. ENOTSUP where a map is nothing outside its
    /// instance (vm).
    [[nodiscard]] virtual Expected<std::unique_ptr<Map>> share() const;
    /// Memory of all values that the kernel's programs work on too, each at a multiple of its size rounded up
    /// to 8; empty when there is none. Not to be written where programs may only read.
    [[nodiscard]] virtual ByteSpan shared_values() { return {}; }
};

// -- Runs --

enum class FaultKind : uint8_t {
    OutOfBounds, ///< access outside the region its pointer belongs to
    BadPointer,  ///< a number used as an address, or a pointer whose region is gone
    NullPointer,
    Permission,     ///< write to read-only memory, or a context field of the wrong width or direction
    StackOverflow,  ///< call chain deeper or larger than the kernel allows
    BadInstruction, ///< an instruction or operand the kernel refuses
    BadCall,        ///< helper called with arguments the kernel refuses
    Budget,         ///< more instructions than the run may execute
    Strict,         ///< refused in strict mode: the kernel's verifier would not accept it
    MissingValue,   ///< a helper asks for something that the scripted world does not give
    Interrupted,    ///< stopped from outside (^C)
};

[[nodiscard]] std::string_view name(FaultKind kind);

/// Where and why the emulator refused to go on. `report` is the whole story for people.
struct Fault {
    FaultKind kind = FaultKind::BadPointer;
    std::string program;
    std::string function;
    uint32_t insn = 0;  ///< slot in the linked program
    std::string disasm; ///< the instruction as text
    SourceLine source;
    std::string cause;  ///< one sentence: "read of 4 bytes at packet+14, 4 bytes past its end (len 14)"
    std::string origin; ///< where the pointer came from; empty when not known
    std::string hint;   ///< the check that would have saved it
    std::array<uint64_t, 11> regs{};
    std::string report; ///< all of the above, laid out over several lines
};

/// Something the kernel executes but the author did not mean; the run went on.
struct Warning {
    std::string program;
    uint32_t insn = 0;
    SourceLine source;
    std::string cause;
    bool refused = false; ///< the kernel does not load programs that do so
};

/// What the program that a device or CPU map has for a target did with a packet that was sent there.
struct SecondRun {
    std::string program;
    uint32_t ret = 0;
    ByteVec packet; ///< as it left it
};

/// Whom a packet goes to on the way out of an interface (bpf_redirect_neigh).
struct NextHop {
    bool v6 = false;
    std::array<uint8_t, 16> address{};              ///< in network order; of IPv4 the first four bytes
    std::optional<std::array<uint8_t, 6>> mac = {}; ///< when the scripted world has the neighbour
};

struct Redirect {
    /// "ifindex", "peer", "neigh", or the map's type: "devmap", "devmap_hash", "cpumap", "xskmap"
    std::string kind;
    uint32_t index = 0; ///< interface, or key in the map
    uint64_t flags = 0;
    std::string map = {}; ///< empty for "ifindex"
    std::optional<SecondRun> second = {};
    std::optional<NextHop> next_hop = {}; ///< that the program gave to bpf_redirect_neigh
    std::optional<uint32_t> peer = {};    ///< of bpf_redirect_peer: index of the device at the other end
};

/// A packet on its way to an interface, CPU or socket: a copy that a program sent off while it ran on
/// (bpf_clone_redirect), or what its verdict sends.
struct Emitted {
    std::string kind;                     ///< "clone", "tx", or the kind of a Redirect
    uint32_t interface = 0;               ///< index; 0 of a CPU or socket
    uint64_t flags = 0;                   ///< BPF_F_INGRESS (1): received there, not sent
    ByteVec packet;                       ///< from the link-layer header on, a VLAN tag put in
    std::string name = {};                ///< of the interface, when the scripted world has it
    std::string map = {};                 ///< that the target is in
    uint32_t key = 0;                     ///< there
    std::optional<SecondRun> second = {}; ///< of the map's program; `packet` is as that left it
    std::string dropped = {};             ///< why the packet goes nowhere after all; empty = it goes
};

/// Metadata of a tunnel (struct ip_tunnel_key): of the one that a packet came out of, or is to go into.
struct Tunnel {
    uint64_t id = 0;
    bool v6 = false;
    std::array<uint8_t, 16> source{}; ///< outer addresses in network order; of IPv4 the first four bytes
    std::array<uint8_t, 16> destination{};
    uint8_t tos = 0;
    uint8_t ttl = 0;
    uint32_t label = 0;
    uint16_t flags = 0;  ///< TUNNEL_* bits
    ByteVec options;     ///< at most 255 bytes
    bool is_set = false; ///< by the program, for sending
};

/// A call whose result differs by nature from run to run and from target to target (object/align.h).
struct InputCall {
    uint32_t function = 0; ///< index in the object
    uint32_t insn = 0;     ///< slot within that function
    uint32_t helper = 0;
    uint64_t value = 0; ///< what it returned
};

struct RunOptions {
    /// Runs in a row on the same packet buffer, as BPF_PROG_TEST_RUN repeats them; the result is the last
    /// one's.
    uint32_t repeat = 1;
    ByteVec context;             ///< in kernel layout (struct xdp_md); empty = defaults
    std::optional<uint32_t> cpu; ///< CPU to run on; the vm's scripted one else
    bool trace = false;          ///< vm: one line per executed instruction in RunResult::trace
    bool record_inputs = false;  ///< vm: fills RunResult::inputs
    /// XDP: bytes in front of the packet, metadata included, and behind it that helpers can make part of it.
    /// With any of them the whole packet is linear. Not given = a test run's.
    std::optional<uint32_t> headroom, tailroom;
    bool linearise = false;  ///< XDP: no fragments, as long as the packet may be
    bool link_layer = false; ///< socket filters: begin at the link-layer header, as on a packet socket
    ByteVec socket; ///< struct bpf_sock that the socket buffer belongs to; empty = a test run's or scripted
    ByteVec flow_keys; ///< struct bpf_flow_keys that a flow dissector begins with; empty = a test run's
    const std::atomic<bool>* stop = nullptr; ///< set from outside to interrupt; polled
};

struct RunResult {
    uint32_t ret = 0; ///< meaningless when `fault` is set
    uint64_t r0 = 0;  ///< all of what the program returned; vm only
    ByteVec packet;   ///< bytes after the run, metadata not included
    ByteVec context;  ///< in kernel layout, as BPF_PROG_TEST_RUN returns it; empty when the target has none
    uint64_t duration_ns = 0; ///< average of one run
    uint64_t insns = 0;       ///< executed instructions; vm only
    std::optional<Fault> fault;
    std::vector<Warning> warnings;
    std::vector<std::string> log;     ///< trace_printk lines; vm only
    std::optional<Redirect> redirect; ///< vm only
    std::vector<Emitted> emitted;     ///< copies, in order; vm only
    std::vector<Emitted> egress;      ///< the packet itself, to where its verdict sends it; vm only
    std::optional<Tunnel> tunnel;     ///< what the program set; vm only
    std::optional<uint32_t> assigned; ///< scripted socket that bpf_sk_assign took, from 0; vm only
    std::string trace;
    std::vector<InputCall> inputs; ///< calls in order, of all repetitions; vm only
};

/// One packet of a batch: input set by the caller, the rest by run_batch.
struct BatchItem {
    ByteView in;
    uint32_t ret = 0;
    bool faulted = false;
    std::optional<uint32_t> second = {}; ///< what the program returned that a map of targets ran; vm only
    std::vector<uint32_t> others = {};   ///< the same of a broadcast's further targets
    ByteView out;                        ///< when asked for; valid until the next call
};

struct BatchOptions {
    bool want_packets = false;
    const std::atomic<bool>* stop = nullptr;
    std::optional<Fault>* first_fault =
        nullptr;                              ///< vm: filled with the first fault's report when still empty
    std::vector<Warning>* warnings = nullptr; ///< vm: grows by each warning site once
    /// vm: emulated CPUs that run at the same time and share the maps. Packets of a flow stay in order on one
    /// CPU; a faulting run is not made again for its report.
    uint32_t workers = 1;
};

struct RaceOptions {
    std::array<ByteView, 2> packets; ///< what CPU 0 and CPU 1 run on
    uint64_t runs = 100;
    uint64_t seed = 1; ///< of the first run; the next one has the next number
    const std::atomic<bool>* stop = nullptr;
};

/// What interleaved runs came to: return values, packets and contents of maps.
struct RaceOutcome {
    uint64_t count = 0;
    uint64_t seed = 0; ///< of the first run that came to it
    std::array<uint32_t, 2> ret{};
    std::array<bool, 2> faulted{}; ///< of which CPU's run `ret` says nothing
    bool serial = false;           ///< what one after the other gives, too, in some order
    std::string difference;        ///< of one that is not serial: where it differs from CPU 0 before CPU 1
};

struct RaceReport {
    uint64_t runs = 0;
    std::vector<RaceOutcome> outcomes; ///< in order of their first seeds
    std::optional<Fault> first_fault;
    bool interrupted = false;
};

/// A loaded program.
class Program {
  public:
    virtual ~Program() = default;
    [[nodiscard]] virtual const LinkedProgram& linked() const = 0;
    [[nodiscard]] const std::string& name() const { return linked().name; }
    [[nodiscard]] abi::ProgType type() const { return linked().spec.type; }
    /// Runs on one packet. A fault is a result, not an error; an error means that the run could not be made
    /// (packet too short for a test run, bad context, no permission).
    [[nodiscard]] virtual Expected<RunResult> run(ByteView packet, const RunOptions& options) = 0;
    /// Runs on many packets with default context, for replay. Returns how many items were run: fewer than
    /// given only when `stop` was set. An input the target cannot take at all (too short) has faulted set.
    [[nodiscard]] virtual Expected<size_t> run_batch(std::span<BatchItem> items,
                                                     const BatchOptions& options) = 0;
    /// Runs on two emulated CPUs that are interleaved by seeds, and tells what neither order gives. The maps
    /// end as they were. ENOTSUP where the target cannot (kernel).
    [[nodiscard]] virtual Expected<RaceReport> race(const RaceOptions& options);
};

/// What ran when time was moved on.
struct AdvanceResult {
    uint64_t callbacks = 0; ///< of timers and work queues, those with a fault included
    std::vector<Fault> faults;
    std::vector<Warning> warnings; ///< each site once
    std::vector<std::string> log;  ///< trace_printk lines
};

// -- Instances and targets --

struct LoadOptions {
    std::map<std::string, ByteVec> data; ///< initial contents by data section name, instead of the object's
    std::shared_ptr<const Btf>
        kernel_btf;        ///< for CO-RE; null = the target finds the running kernel's by itself
    KconfigValues kconfig; ///< for __kconfig externs, before the running kernel's own
    /// Maps of the kernel, by the name in the object, that are shared instead of making new ones. Looked at
    /// during the load only.
    std::map<std::string, const Map*> maps;
};

/// An object loaded into a target. Owns programs and maps; both live as long as the instance.
class Instance {
  public:
    virtual ~Instance() = default;
    [[nodiscard]] virtual std::string_view target() const = 0; ///< "vm" or "kernel"
    [[nodiscard]] virtual const std::shared_ptr<const Object>& object() const = 0;
    [[nodiscard]] virtual std::vector<Program*> programs() = 0;
    [[nodiscard]] virtual std::vector<Map*> maps() = 0; ///< parallel to object()->maps
    /// Moves the clock by so many nanoseconds and runs what is due by then, in the order of time: callbacks
    /// of timers, and work that was scheduled. ENOTSUP where time passes by itself (kernel), ELOOP when
    /// callbacks keep starting each other.
    [[nodiscard]] virtual Expected<AdvanceResult> advance(uint64_t ns);
    /// Programs use a map of the kernel in place of the one at that index, from their next run on. EINVAL
    /// when it is not as declared, ENOTSUP for types that cannot be shared like that, and on the kernel,
    /// whose programs have their maps from the load on.
    [[nodiscard]] virtual Status back_map(size_t index, const Map& live);
    [[nodiscard]] Program* find_program(std::string_view program_name);
    [[nodiscard]] Map* find_map(std::string_view map_name);
};

class Target {
  public:
    virtual ~Target() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;
    [[nodiscard]] virtual Expected<std::unique_ptr<Instance>> load(std::shared_ptr<const Object> object,
                                                                   const LoadOptions& options) = 0;
};

// -- Shared by the targets' loaders --

/// The definition with what libbpf fills in by the machine: a perf event array of no size has a slot per CPU.
[[nodiscard]] MapDef sized_for(MapDef def, uint32_t cpus);

/// How a map differs from a declared one; empty when it does not.
[[nodiscard]] std::string map_mismatch(const MapInfo& is, const MapDef& wanted);
/// EINVAL when `options.maps` names what the object has not, or a data section.
[[nodiscard]] Status check_given_maps(const Object& object, const LoadOptions& options);

/// Kernel types for CO-RE: the given ones, or the running kernel's when the object needs any.
[[nodiscard]] Expected<LinkOptions> link_options_for(const Object& object, const LoadOptions& options);
/// Puts initial contents into a data section's map (the object's, or those given for it) and freezes .rodata.
[[nodiscard]] Status fill_data_map(Map& map, const MapDef& def, const LoadOptions& options);
/// Puts programs and maps into the prog arrays and maps of maps that the object declares with contents.
[[nodiscard]] Status fill_slots(Instance& instance);

/// Verdict as a word ("DROP", "INVALID") for a program type and return value (spec: names of enum xdp_action
/// etc.).
[[nodiscard]] std::string_view verdict_name(abi::ProgType type, uint32_t ret);
/// The smallest return value with that name; nothing when the type has no such verdict.
[[nodiscard]] std::optional<uint32_t> verdict_value(abi::ProgType type, std::string_view name);

} // namespace mimicsh
