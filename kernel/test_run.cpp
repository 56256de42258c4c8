// SPDX-License-Identifier: MIT
// BPF_PROG_TEST_RUN (net/bpf/test_run.c): one packet, many packets.
#include <algorithm>
#include <cerrno>
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
/// Room for what a program may add: headroom in front, tailroom and a page of fragments behind.
constexpr size_t kGrowth = 3 * 4096;

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

/// Context of an XDP run; the test run wants data_end to be the input's length.
Expected<abi::XdpMd> context_in(const std::string& name, ByteView packet, const RunOptions& options) {
    abi::XdpMd md;
    if (!options.context.empty()) {
        if (options.context.size() != sizeof md) {
            return Error{EINVAL,
                         "run",
                         name + ": context has " + std::to_string(options.context.size()) +
                             " bytes, struct xdp_md has " + std::to_string(sizeof md),
                         {},
                         {}};
        }
        std::memcpy(&md, options.context.data(), sizeof md);
    }
    if (md.data_end == 0) {
        md.data_end = static_cast<uint32_t>(packet.size());
    }
    return md;
}

Error run_error(int code, const std::string& name, ByteView packet) {
    Error error = bpf_error(code, "run", name);
    if (code == EINVAL) {
        error.text = name + ": the kernel's test run refuses this input (packet of " +
                     std::to_string(packet.size()) + " bytes; at least 14 are needed)";
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
    const bool is_xdp = type() == abi::ProgType::Xdp;
    auto md = context_in(linked_.name, packet, options);
    if (!md) {
        return md.error();
    }
    PinnedCpu pinned(options.cpu);
    if (!pinned.ok()) {
        return bpf_error(errno, "run", linked_.name + ": cpu " + std::to_string(*options.cpu));
    }
    RunResult result;
    result.packet.resize(packet.size() + kGrowth);
    abi::XdpMd md_out;
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = packet.data();
    opts.data_size_in = static_cast<uint32_t>(packet.size());
    opts.data_out = result.packet.data();
    opts.data_size_out = static_cast<uint32_t>(result.packet.size());
    opts.repeat = static_cast<int>(options.repeat);
    if (is_xdp) {
        opts.ctx_in = &*md;
        opts.ctx_size_in = sizeof *md;
        opts.ctx_out = &md_out;
        opts.ctx_size_out = sizeof md_out;
    }
    if (bpf_prog_test_run_opts(fd(), &opts) != 0) {
        return run_error(errno, linked_.name, packet);
    }
    result.ret = opts.retval;
    result.duration_ns = opts.duration;
    result.packet.resize(opts.data_size_out);
    if (is_xdp) {
        // What comes back starts with the metadata; the context says how much that is.
        const size_t meta = std::min<size_t>(md_out.data, result.packet.size());
        result.packet.erase(result.packet.begin(), result.packet.begin() + static_cast<ptrdiff_t>(meta));
        // The program saw the loopback device when none was named; the kernel returns the 0 it was given.
        md_out.ingress_ifindex = md_out.ingress_ifindex == 0 ? 1 : md_out.ingress_ifindex;
        result.context.resize(sizeof md_out);
        std::memcpy(result.context.data(), &md_out, sizeof md_out);
    }
    return result;
}

Expected<size_t> KernelProgram::run_batch(std::span<BatchItem> items, const BatchOptions& options) {
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
