// SPDX-License-Identifier: MIT
// BPF_PROG_TEST_RUN (net/bpf/test_run.c): one packet, many packets.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <sched.h>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/errors.h"
#include "kernel/program.h"

namespace mimicsh::kernel {

namespace {

constexpr size_t kMinPacket = 14;
constexpr size_t kSkBuffSize = 192;  ///< struct __sk_buff
constexpr size_t kFlowKeysSize = 56; ///< struct bpf_flow_keys
/// Room for what a program may add: to an XDP packet headroom, tailroom and a page of fragments, to a socket
/// buffer all up to BPF_SKB_MAX_LEN.
constexpr size_t kGrowth = 4 * 4096;
/// One that is to be cut into segments has no limit but the allocator's (KMALLOC_MAX_SIZE).
constexpr size_t kSegmentsGrowth = size_t{4} << 20;
constexpr size_t kGsoSize = 176; ///< of gso_size in struct __sk_buff

/// Pins the calling thread to a CPU and restores its mask.
class PinnedCpu {
  public:
    explicit PinnedCpu(std::optional<uint32_t> cpu) {
        if (!cpu) {
            return;
        }
        cpu_set_t wanted;
        CPU_ZERO(&wanted);
        CPU_SET(*cpu % CPU_SETSIZE, &wanted);
        ok_ = sched_getaffinity(0, sizeof old_, &old_) == 0 &&
              sched_setaffinity(0, sizeof wanted, &wanted) == 0;
        pinned_ = ok_;
    }
    ~PinnedCpu() {
        if (pinned_) {
            (void)sched_setaffinity(0, sizeof old_, &old_);
        }
    }
    PinnedCpu(const PinnedCpu&) = delete;
    PinnedCpu& operator=(const PinnedCpu&) = delete;
    [[nodiscard]] bool ok() const { return ok_; }

  private:
    cpu_set_t old_{};
    bool ok_ = true;
    bool pinned_ = false;
};

/// Bytes of the context struct of a program type; 0 when its test run has none.
size_t context_size(abi::ProgType type) {
    using abi::ProgType;
    switch (type) {
    case ProgType::Xdp:
        return sizeof(abi::XdpMd);
    case ProgType::SchedCls:
    case ProgType::SchedAct:
    case ProgType::SocketFilter:
    case ProgType::CgroupSkb:
    case ProgType::LwtIn:
    case ProgType::LwtOut:
    case ProgType::LwtXmit:
        return kSkBuffSize;
    case ProgType::FlowDissector:
        return kFlowKeysSize;
    default:
        return 0;
    }
}

std::string name_of_context(size_t size) {
    return size == kSkBuffSize     ? "struct __sk_buff"
           : size == kFlowKeysSize ? "struct bpf_flow_keys"
                                   : "struct xdp_md";
}

/// Context to give to a run: the caller's bytes, or nothing for the defaults. An XDP test run wants data_end
/// to be the input's length.
Expected<ByteVec> context_in(const LinkedProgram& program, ByteView packet, const RunOptions& options) {
    const bool is_xdp = program.spec.type == abi::ProgType::Xdp;
    const size_t size = context_size(program.spec.type);
    if (!options.context.empty() && options.context.size() != size) {
        return Error{EINVAL,
                     "run",
                     program.name + ": context has " + std::to_string(options.context.size()) + " bytes, " +
                         name_of_context(size) + " has " + std::to_string(size),
                     {},
                     {}};
    }
    ByteVec context = options.context;
    if (is_xdp) {
        context.resize(size);
        uint8_t* data_end = context.data() + offsetof(abi::XdpMd, data_end);
        if (load<uint32_t>(data_end) == 0) {
            store(data_end, static_cast<uint32_t>(packet.size()));
        }
    }
    return context;
}

/// Whether a program can notice how much room is around its packet: by moving its ends, or by going on to
/// programs or kernel functions that might.
bool sees_room(const LinkedProgram& program) {
    constexpr uint8_t kCall = 0x85;
    static constexpr std::array<int32_t, 4> kHelpers{12, 44, 54,
                                                     65}; // tail_call, xdp_adjust_head, _meta, _tail
    constexpr uint8_t kKfunc = 2;
    return std::ranges::any_of(program.insns, [](const Insn& insn) {
        return insn.code == kCall &&
               (insn.src == kKfunc ||
                (insn.src == 0 && std::ranges::find(kHelpers, insn.imm) != kHelpers.end()));
    });
}

/// What a test run makes itself and cannot be given; nothing = it makes it as the options want it.
std::optional<std::string> cannot_be_given(const LinkedProgram& program, ByteView packet,
                                           const RunOptions& options) {
    constexpr uint32_t kHeadroom = 256, kLinear = 3520;
    if (!options.socket.empty()) {
        return "sock: a test run makes the socket of its packet itself";
    }
    if (options.link_layer) {
        return "l2: a test run shows socket filters the network layer";
    }
    const bool is_long = packet.size() > kLinear;
    if ((options.linearise || options.headroom || options.tailroom) && is_long) {
        return "a test run puts what is behind " + std::to_string(kLinear) + " bytes into fragments";
    }
    const uint32_t tailroom = kLinear - static_cast<uint32_t>(std::min<size_t>(packet.size(), kLinear));
    if (options.headroom.value_or(kHeadroom) != kHeadroom && sees_room(program)) {
        return "headroom: a test run has " + std::to_string(kHeadroom) + " bytes, not " +
               std::to_string(*options.headroom);
    }
    if (options.tailroom.value_or(tailroom) != tailroom && sees_room(program)) {
        return "tailroom: a test run has " + std::to_string(tailroom) + " bytes behind this packet, not " +
               std::to_string(*options.tailroom);
    }
    return std::nullopt;
}

/// Flow keys of a test run, or nothing when they are others (bpf_flow_dissect).
std::optional<ByteVec> usual_keys(ByteView packet, ByteView keys) {
    constexpr size_t kProtocol = 10, kFlags = 48;
    if (keys.size() != kFlowKeysSize || packet.size() < kMinPacket) {
        return std::nullopt;
    }
    ByteVec usual(kFlowKeysSize), context(kFlowKeysSize);
    store(usual.data(), static_cast<uint16_t>(kMinPacket));
    store(usual.data() + 2, static_cast<uint16_t>(kMinPacket));
    std::copy_n(packet.begin() + kMinPacket - 2, 2, usual.begin() + kProtocol);
    std::copy_n(keys.begin() + kFlags, 4, usual.begin() + kFlags);
    std::copy_n(keys.begin() + kFlags, 4, context.begin() + kFlags);
    return std::ranges::equal(usual, keys) ? std::optional(context) : std::nullopt;
}

/// What a test run that ends with EINVAL does not take, as far as the input shows it.
std::string refused_input(const LinkedProgram& program, ByteView packet) {
    const abi::AttachType attach = program.spec.attach_type;
    if (attach == abi::AttachType::XdpDevmap || attach == abi::AttachType::XdpCpumap) {
        return "programs of device and CPU map entries have no test run";
    }
    const std::string length = "packet of " + std::to_string(packet.size()) + " bytes";
    if (packet.size() < kMinPacket) {
        return length + "; at least " + std::to_string(kMinPacket) + " are needed";
    }
    constexpr size_t kIp4 = 20, kIp6 = 40;
    const auto ether_type = std::pair(packet[12], packet[13]);
    const size_t header = ether_type == std::pair<uint8_t, uint8_t>(0x08, 0x00)   ? kIp4
                          : ether_type == std::pair<uint8_t, uint8_t>(0x86, 0xdd) ? kIp6
                                                                                  : 0;
    if (program.spec.type != abi::ProgType::Xdp && packet.size() < kMinPacket + header) {
        return length + ", shorter than the IP header that its EtherType promises";
    }
    return length + ", or a context or a type of program that it does not take";
}

Error run_error(int code, const LinkedProgram& program, ByteView packet) {
    Error error = bpf_error(code, "run", program.name);
    if (code == EINVAL) {
        error.text = program.name + ": the kernel's test run refuses this input (" +
                     refused_input(program, packet) + ")";
    }
    return error;
}

} // namespace

Expected<RunResult> KernelProgram::run(ByteView packet, const RunOptions& options) {
    if (options.trace) {
        return Error{ENOTSUP,
                     "run",
                     linked_.name + ": the kernel target cannot trace instructions",
                     "load(\"vm\") can",
                     {}};
    }
    if (const auto why = cannot_be_given(linked_, packet, options)) {
        return Error{ENOTSUP, "run", linked_.name + ": " + *why, "load(\"vm\") takes it", {}};
    }
    auto context = context_in(linked_, packet, options);
    if (!context) {
        return context.error();
    }
    if (!options.flow_keys.empty()) {
        const auto keys = usual_keys(packet, options.flow_keys);
        if (!keys) {
            return Error{ENOTSUP,
                         "run",
                         linked_.name +
                             ": keys: a test run makes them itself (nhoff and thoff 14, n_proto the "
                             "packet's, flags as given)",
                         "load(\"vm\") takes others",
                         {}};
        }
        context = *keys;
    }
    PinnedCpu pinned(options.cpu);
    if (!pinned.ok()) {
        return bpf_error(errno, "run", linked_.name + ": cpu " + std::to_string(*options.cpu));
    }
    RunResult result;
    const bool segments =
        context->size() == kSkBuffSize && mimicsh::load<uint32_t>(context->data() + kGsoSize) != 0;
    result.packet.resize(packet.size() + (segments ? kSegmentsGrowth : kGrowth));
    // A flow dissector gets its own context back, when it was given one.
    const bool gives_context = type() != abi::ProgType::FlowDissector || !context->empty();
    result.context.resize(gives_context ? context_size(type()) : 0);
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = packet.data();
    opts.data_size_in = static_cast<uint32_t>(packet.size());
    opts.data_out = result.packet.data();
    opts.data_size_out = static_cast<uint32_t>(result.packet.size());
    opts.repeat = static_cast<int>(options.repeat);
    if (!context->empty()) {
        opts.ctx_in = context->data();
        opts.ctx_size_in = static_cast<uint32_t>(context->size());
    }
    if (!result.context.empty()) {
        opts.ctx_out = result.context.data();
        opts.ctx_size_out = static_cast<uint32_t>(result.context.size());
    }
    if (bpf_prog_test_run_opts(fd(), &opts) != 0) {
        return run_error(errno, linked_, packet);
    }
    result.ret = opts.retval;
    result.duration_ns = opts.duration;
    result.packet.resize(opts.data_size_out);
    if (type() == abi::ProgType::Xdp) {
        // What comes back starts with the metadata; the context says how much that is.
        uint8_t* md = result.context.data();
        const size_t meta = std::min<size_t>(mimicsh::load<uint32_t>(md), result.packet.size());
        result.packet.erase(result.packet.begin(), result.packet.begin() + static_cast<ptrdiff_t>(meta));
        // The program saw the loopback device when none was named; the kernel returns the 0 it was given.
        uint8_t* ifindex = md + offsetof(abi::XdpMd, ingress_ifindex);
        store(ifindex, std::max(mimicsh::load<uint32_t>(ifindex), 1u));
    }
    return result;
}

Expected<size_t> KernelProgram::run_batch(std::span<BatchItem> items, const BatchOptions& options) {
    if (options.workers > 1) {
        return Error{ENOTSUP, "replay", name() + ": workers are emulated CPUs", "load(\"vm\")", {}};
    }
    std::vector<std::pair<size_t, size_t>> places;
    out_.clear();
    size_t done = 0;
    for (BatchItem& item : items) {
        if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
            break;
        }
        item.faulted = item.in.size() < kMinPacket;
        ByteView out = item.in;
        std::optional<RunResult> result;
        if (!item.faulted) {
            auto one = run(item.in, {});
            if (!one && one.error().code != EINVAL) {
                return one.error();
            }
            item.faulted = !one;
            if (one) {
                item.ret = one->ret;
                result = std::move(*one);
                out = result->packet;
            }
        }
        if (options.want_packets) {
            places.emplace_back(out_.size(), out.size());
            out_.insert(out_.end(), out.begin(), out.end());
        }
        ++done;
    }
    for (size_t i = 0; i < places.size(); ++i) {
        items[i].out = ByteView(out_).subspan(places[i].first, places[i].second);
    }
    return done;
}

} // namespace mimicsh::kernel
