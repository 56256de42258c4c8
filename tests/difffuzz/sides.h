// SPDX-License-Identifier: MIT
// The two sides that a case runs on, and what is compared.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <time.h>

#include "base/fd.h"
#include "object/align.h"
#include "object/linker.h"
#include "object/target.h"
#include "tests/difffuzz/case.h"
#include "vm/user_helper.h"

namespace mimicsh::difffuzz {

/// Time of a clock of this machine's.
[[nodiscard]] inline uint64_t clock_ns(clockid_t clock) {
    timespec at{};
    clock_gettime(clock, &at);
    return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}
/// Time of a processor that this process has used.
[[nodiscard]] inline uint64_t cpu_ns() {
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
[[nodiscard]] inline uint64_t now_ns() {
    return clock_ns(CLOCK_MONOTONIC);
}

/// Where the time of a case goes: the end of one part is the beginning of the next.
class Stopwatch {
  public:
    /// Nanoseconds since the last lap.
    uint64_t lap() {
        const uint64_t now = now_ns();
        return now - std::exchange(last_, now);
    }

  private:
    uint64_t last_ = now_ns();
};

/// What one packet came to. Byte vectors keep their storage from case to case.
struct PacketOutcome {
    uint32_t ret = 0;
    ByteVec packet; ///< without metadata
    uint32_t meta = 0;
    uint32_t linear = 0;           ///< data_end in the context that comes back (XDP)
    ByteVec context;               ///< struct __sk_buff that comes back (sched_cls)
    ByteVec out;                   ///< value of MapId::Out after the run
    std::string fault;             ///< why it did not come to an end
    bool warned = false;           ///< vm: it did what has no defined result
    std::vector<InputCall> inputs; ///< vm: results of calls that differ by nature
};

/// Everything compared of a case.
struct Outcome {
    std::vector<PacketOutcome> packets;
    std::array<ByteVec, kMapCount> maps; ///< at the end: entries (key, value on all CPUs), sorted for hashes
    std::string refusal;                 ///< why it did not load; empty = it did
};

/// Place and values of the first difference; empty = equal.
[[nodiscard]] std::string compare(const Outcome& vm, const Outcome& kernel, const Case& which);

struct Nanoseconds {
    uint64_t load = 0, run = 0, maps = 0;
};

/// The emulator: an instance per case.
class VmSide {
  public:
    explicit VmSide(uint32_t cpu, vm::UserHelpers helpers = {});
    /// Loads a case; the linked program, valid until the next case, or null when the vm refuses it.
    [[nodiscard]] const LinkedProgram* load(const Case& which, Outcome& outcome, Stopwatch& watch);
    /// Runs the case that was loaded last.
    void run(const Case& which, Outcome& outcome, Stopwatch& watch);
    /// Trace of the last of the given inputs, as text.
    [[nodiscard]] std::string trace(const Case& which);

    Nanoseconds spent;

  private:
    void read_map(MapId id, Map& map, ByteVec& into);

    std::unique_ptr<Target> target_;
    std::unique_ptr<Instance> instance_;
    Program* program_ = nullptr; ///< of `instance_`
    ByteVec keys_;               ///< of the map at hand
    ByteVec values_;
};

/// The kernel: one set of maps for all cases, put back after each.
class KernelSide {
  public:
    /// Fails where bpf(2) is not allowed.
    [[nodiscard]] static Expected<std::unique_ptr<KernelSide>> open();
    ~KernelSide();
    KernelSide(const KernelSide&) = delete;
    KernelSide& operator=(const KernelSide&) = delete;

    /// `linked` may be of a copy with aligned inputs: then `given` has the values of each packet.
    void run(const Case& which, const LinkedProgram& linked, Outcome& outcome, const AlignedObject* aligned,
             const Outcome& given, Stopwatch& watch);

    /// True when the program also loads for somebody who may not see kernel addresses: then none of its
    /// results is made from a pointer.
    [[nodiscard]] bool shows_no_pointer(const std::vector<MapId>& maps, const LinkedProgram& linked);

    /// From now on loads ask the verifier what it did; a little slower.
    void watch_verifier() { watches_ = true; }

    Nanoseconds spent;
    uint64_t verified = 0; ///< instructions that the verifier looked at, when it is watched

  private:
    KernelSide() = default;
    [[nodiscard]] Status set_up();
    void read_kfuncs();
    [[nodiscard]] Fd load(const LinkedProgram& linked, const std::vector<MapId>& maps, std::string& refusal);
    void resolve(const LinkedProgram& linked, const std::vector<MapId>& maps);
    [[nodiscard]] bool put_tail(const Case& which, std::string& refusal);
    void run_packet(int program, const Input& input, PacketOutcome& packet);

    // -- Maps (kernel_maps.cpp) --
    [[nodiscard]] Status make_map(MapId id);
    [[nodiscard]] Status set_up_maps();
    void put_presets(const std::vector<MapId>& maps);
    void read_and_reset(const std::vector<MapId>& maps, Outcome& outcome);
    void drain_hash(MapId id, ByteVec& into);
    void drain_trie(MapId id, ByteVec& into);
    void drain_queue(MapId id, ByteVec& into);
    void read_array(MapId id, ByteVec& into);
    [[nodiscard]] int fd(MapId id) const { return fds_[static_cast<size_t>(id)].get(); }
    /// Bytes of a map that can be mapped.
    [[nodiscard]] ByteSpan live(MapId id) const { return live_[static_cast<size_t>(id)]; }

    std::array<Fd, kMapCount> fds_;
    std::array<ByteSpan, kMapCount> live_{};
    std::array<Fd, 2> tails_; ///< programs behind tail calls: XDP, sched_cls
    std::array<Fd, 2> jumps_; ///< and the maps that lead there, bound to a type each
    std::map<std::string, int32_t, std::less<>> kfuncs_; ///< ids by name
    std::vector<MapId> maps_;                            ///< of the program at hand
    std::vector<Insn> insns_;                            ///< of the program at hand, with descriptors and ids
    Fd btf_;
    struct ring_buffer* ring_ = nullptr;
    ByteVec* records_ = nullptr; ///< where the ring's callback puts them
    bool on_skb_ = false;        ///< the case at hand is a sched_cls program
    std::string log_;
    std::unique_ptr<uint8_t[]> buffer_; ///< packets come back in it
    ByteVec keys_;                      ///< of the map at hand
    ByteVec values_;
    uint32_t cpus_ = 1;
    bool watches_ = false;
};

} // namespace mimicsh::difffuzz
