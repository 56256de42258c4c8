// SPDX-License-Identifier: MIT
// Sending by BPF_F_TEST_XDP_LIVE_FRAMES (net/bpf/test_run.c, bpf_test_run_xdp_live).
#include "kernel/live_frames.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <sys/socket.h>

extern "C" {
#include <bpf/bpf.h>
}

#include <fmt/format.h>

#include "kernel/bpf_ids.h"
#include "kernel/errors.h"
#include "kernel/interfaces.h"
#include "kernel/target.h"
#include "net/device.h"
#include "object/asm.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "traffic.send";
constexpr size_t kMinPacket = 14;
/// A page without XDP's headroom and the kernel's own records at both ends.
constexpr size_t kMaxPacket = 3400;
constexpr uint32_t kBatch = 64;
/// Frames of one system call, which is not stopped halfway.
constexpr uint64_t kFramesPerCall = 1 << 16;
/// The same where a call takes two grace periods (some 20 ms) beside the frames.
constexpr uint64_t kFramesPerSlowCall = 1 << 19;
constexpr int kSumSlot = 16; ///< on the stack, from the top: the sums of the checksums, 8 bytes each

std::string sum_slot(size_t checksum) {
    return fmt::format("*(u64 *)(r10 - {})", kSumSlot + 8 * static_cast<int>(checksum));
}

/// r9 = the value of the field, by the number of the copy in r8.
std::string value_of(const net::VariedField& field, size_t number) {
    using Kind = net::Variation::Kind;
    if (field.kind == Kind::kList) {
        return fmt::format("r1 = r8\nr1 %= {}\n*(u32 *)(r10 - 4) = r1\nr1 = map[list{}]\nr2 = r10\nr2 += -4\n"
                           "call bpf_map_lookup_elem\nif r0 == 0 goto out\nr9 = *(u64 *)(r0 + 0)\n",
                           field.list.size(), number);
    }
    std::string source = fmt::format("r9 = r8\nr1 = {:#x} ll\nr9 *= r1\n", field.step);
    if (field.kind == Kind::kRandom) {
        source = "call bpf_get_prandom_u32\nr9 = r0\n";
        source += field.width > 4 ? "r9 <<= 32\ncall bpf_get_prandom_u32\nr9 |= r0\n" : "";
    }
    return source +
           fmt::format("r1 = {:#x} ll\nr9 %= r1\nr1 = {:#x} ll\nr9 += r1\n", field.span, field.first);
}

/// Writes r9 into the packet at r7.
std::string store_field(const net::VariedField& field) {
    switch (field.width) {
    case 1:
        return fmt::format("*(u8 *)(r7 + {}) = r9\n", field.offset);
    case 2:
        return fmt::format("r1 = r9\nr1 = be16 r1\n*(u16 *)(r7 + {}) = r1\n", field.offset);
    case 4:
        return fmt::format("r1 = r9\nr1 = be32 r1\n*(u32 *)(r7 + {}) = r1\n", field.offset);
    default:
        return fmt::format("r1 = r9\nr1 >>= 32\nr1 = be16 r1\n*(u16 *)(r7 + {}) = r1\n"
                           "r1 = r9\nr1 = be32 r1\n*(u32 *)(r7 + {}) = r1\n",
                           field.offset, field.offset + 2);
    }
}

/// Adds r9 to a checksum's sum.
std::string add_field(const net::VariedField& field, const net::VariedChecksum& checksum, size_t number) {
    std::string text = "r1 = r9\n";
    const bool is_odd = (field.offset - checksum.start) % 2 != 0;
    if (field.width == 1) {
        text += is_odd ? "" : "r1 <<= 8\n";
    } else {
        const std::string fold = "r2 = r1\nr1 &= 0xffff\nr2 >>= 16\nr1 += r2\n";
        text += fold;
        text += field.width > 4 ? fold : ""; // 33 bits are left of 48
        text += is_odd ? fold + "r1 = bswap16 r1\n" : "";
    }
    return text + fmt::format("r2 = {0}\nr2 += r1\n{0} = r2\n", sum_slot(number));
}

/// Folds a sum and writes the checksum.
std::string store_checksum(const net::VariedChecksum& checksum, size_t number) {
    std::string text = fmt::format("r1 = {}\n", sum_slot(number));
    for (int i = 0; i < 3; ++i) { // addends of 18 bits at most: two folds may leave a carry
        text += "r2 = r1\nr1 &= 0xffff\nr2 >>= 16\nr1 += r2\n";
    }
    text += "r1 ^= 0xffff\n";
    if (checksum.zero_is_ones) {
        text += fmt::format("if r1 != 0 goto nonzero{0}\nr1 = 0xffff\nnonzero{0}:\n", number);
    }
    return text + fmt::format("r1 = be16 r1\n*(u16 *)(r7 + {}) = r1\n", checksum.offset);
}

Error unfit(const std::string& device, const std::string& reason) {
    return Error{
        ENOTSUP, kOp, device + ": live frames: " + reason, "how=\"sendmmsg\" works on every device", {}};
}

} // namespace

std::string live_program(const net::PacketTemplate& packet, uint32_t ifindex) {
    const auto& fields = packet.fields();
    const auto& checksums = packet.checksums();
    std::string text = ".map state type=array key=4 value=8 entries=1\n";
    for (size_t i = 0; i < fields.size(); ++i) {
        if (!fields[i].list.empty()) {
            text +=
                fmt::format(".map list{} type=array key=4 value=8 entries={}\n", i, fields[i].list.size());
        }
    }
    text += ".section xdp\nsend:\nr6 = r1\n*(u32 *)(r10 - 4) = 0\nr1 = map[state]\nr2 = r10\nr2 += -4\n"
            "call bpf_map_lookup_elem\nif r0 == 0 goto out\n"
            "r8 = *(u64 *)(r0 + 0)\nr1 = r8\nr1 += 1\n*(u64 *)(r0 + 0) = r1\n"
            "r7 = *(u32 *)(r6 + 0)\nr2 = *(u32 *)(r6 + 4)\n";
    text += fmt::format("r3 = r7\nr3 += {}\nif r3 > r2 goto out\n", packet.bytes().size());
    for (size_t i = 0; i < checksums.size(); ++i) {
        text += fmt::format("{} = {}\n", sum_slot(i), checksums[i].base);
    }
    for (size_t i = 0; i < fields.size(); ++i) {
        text += value_of(fields[i], i) + store_field(fields[i]);
        for (size_t k = 0; k < checksums.size(); ++k) {
            if (std::ranges::find(checksums[k].fields, i) != checksums[k].fields.end()) {
                text += add_field(fields[i], checksums[k], k);
            }
        }
    }
    for (size_t i = 0; i < checksums.size(); ++i) {
        text += store_checksum(checksums[i], i);
    }
    return text + fmt::format("r1 = {}\nr2 = 0\ncall bpf_redirect\nexit\nout:\nr0 = 0\nexit\n", ifindex);
}

LiveSender::~LiveSender() = default;

Expected<std::unique_ptr<LiveSender>> LiveSender::create(const net::PacketTemplate& packet,
                                                         const std::string& device) {
    const auto ifindex = interface_index(device, kOp);
    if (!ifindex) {
        return ifindex.error();
    }
    if (packet.bytes().size() < kMinPacket || packet.bytes().size() > kMaxPacket) {
        return unfit(device, fmt::format("a packet of {} bytes ({} to {} can be)", packet.bytes().size(),
                                         kMinPacket, kMaxPacket));
    }
    AsmOptions named;
    named.name = "live";
    named.origin = "live frames";
    auto object = assemble(live_program(packet, *ifindex), named);
    if (!object) {
        return object.error();
    }
    std::unique_ptr<LiveSender> sender(new LiveSender(device, packet.bytes()));
    auto instance = make_target()->load(std::make_shared<const Object>(std::move(*object)), {});
    if (!instance) {
        return instance.error();
    }
    sender->instance_ = std::move(*instance);
    for (size_t i = 0; i < packet.fields().size(); ++i) {
        const auto& list = packet.fields()[i].list;
        for (uint32_t k = 0; k < list.size(); ++k) {
            auto* map = sender->instance_->find_map(fmt::format("list{}", i));
            const ByteView key(reinterpret_cast<const uint8_t*>(&k), sizeof k);
            const ByteView value(reinterpret_cast<const uint8_t*>(&list[k]), sizeof list[k]);
            if (auto ok = map->update(key, value, 0); !ok) {
                return ok.error();
            }
        }
    }
    const auto fd = kernel_fd(*sender->instance_->programs().front(), kOp);
    if (!fd) {
        return fd.error();
    }
    sender->program_fd_ = *fd;
    return sender;
}

/// A test run of a program that is attached nowhere puts it into the kernel's dispatcher of XDP programs and
/// takes it out again, and each time waits for a grace period of RCU (kernel/bpf/dispatcher.c): more than
/// most runs take. So it is attached where nothing arrives, to the loopback device of a namespace of its own.
/// Where that is not allowed, the calls are fewer and longer.
void LiveSender::keep() {
    if (aside_ != nullptr) {
        return;
    }
    auto aside = NetNs::create();
    if (!aside) {
        return;
    }
    aside_ = std::move(*aside);
    const NetNsScope scope(aside_);
    if (!scope.status()) {
        return;
    }
    if (auto link = attach_xdp(*instance_->programs().front(), "lo", {XdpMode::Skb})) {
        kept_ = std::move(*link);
    }
}

Status LiveSender::run(uint64_t frames) {
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = packet_.data();
    opts.data_size_in = static_cast<uint32_t>(packet_.size());
    opts.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    opts.repeat = static_cast<int>(frames);
    opts.batch_size = std::min<uint32_t>(kBatch, static_cast<uint32_t>(frames));
    if (bpf_prog_test_run_opts(program_fd_, &opts) == 0 || errno == EINTR) {
        return {};
    }
    return errno == EINVAL ? unfit(device_, "the kernel does not know them (before 5.18)")
                           : bpf_error(errno, kOp, device_);
}

namespace {

/// What the device has sent more than before. Frames of a veth are counted when its peer has taken them:
/// waits until the counter has stood still for a while, longer when it has moved and so takes frames.
Expected<uint64_t> counted(const std::string& device, uint64_t before, uint64_t expected) {
    constexpr int kStill = 20;
    constexpr int kStillThen = 500;
    uint64_t last = 0;
    for (int still = 0; still < (last == 0 ? kStill : kStillThen); ++still) {
        const auto now = packets_sent(device, kOp);
        if (!now) {
            return now;
        }
        const uint64_t more = *now - before;
        if (more >= expected) {
            return expected;
        }
        still = more != last ? 0 : still;
        last = more;
        const timespec pause{0, 1'000'000};
        (void)nanosleep(&pause, nullptr);
    }
    return last;
}

} // namespace

Expected<net::TrafficReport> LiveSender::send(const net::TrafficOptions& options) {
    keep();
    const uint64_t at_once = kept_ != nullptr ? kFramesPerCall : kFramesPerSlowCall;
    const auto before = packets_sent(device_, kOp);
    if (!before) {
        return before.error();
    }
    net::TrafficReport report{.how = "live"};
    uint64_t given = 0;
    const Fd asked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const net::Pacer pacer(options);
    while (options.count == 0 || given < options.count) {
        const uint64_t left = options.count == 0 ? at_once : options.count - given;
        const uint64_t now = pacer.next(given, std::min(left, at_once));
        if (now == 0) {
            break;
        }
        if (auto ok = run(now); !ok) {
            return ok.error();
        }
        given += now;
        // The kernel takes frames for a device that is down, or gone, and drops them.
        if (auto ok = net::check_device(asked.get(), device_, kOp); !ok) {
            Error error = ok.error();
            if (const auto sent = counted(device_, *before, given); sent) {
                error.text += fmt::format("; {} packets were sent before", *sent);
            }
            return error;
        }
    }
    report.seconds = pacer.seconds();
    const auto sent = counted(device_, *before, given);
    if (!sent) {
        return sent.error();
    }
    report.sent = *sent;
    if (*sent < given) {
        report.note = fmt::format("the device counted {} of {} frames", *sent, given);
    }
    return report;
}

} // namespace mimicsh::kernel
