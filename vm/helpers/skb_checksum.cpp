// SPDX-License-Identifier: MIT
// Checksums in a socket buffer's packet, and what the buffer knows of them (net/core/filter.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/csum.h"
#include "vm/helpers/skb_call.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kFieldMask = 0xf, kPseudoHeader = 0x10, kMarkMangled = 0x20, kMarkEnforce = 0x40,
                   kIpv6Pseudo = 0x80;

/// The place of a checksum to be changed, or an errno.
int64_t check_place(SkbCall& call, uint32_t offset) {
    constexpr uint32_t kMaxOffset = 0xffff;
    if (offset > kMaxOffset || (offset & 1) != 0) {
        return -EFAULT;
    }
    return call.make_writable(uint64_t{offset} + 2) ? 0 : -EFAULT;
}

/// A checksum after the change that `flags` gives the width of; an errno when there is no such change.
int64_t replaced(uint16_t check, uint64_t from, uint64_t to, uint64_t flags, bool words_only) {
    switch (flags & kFieldMask) {
    case 0:
        return from != 0 ? -EINVAL : csum_replace_by_diff(check, static_cast<uint32_t>(to));
    case 2:
        return words_only ? csum_replace4(check, static_cast<uint16_t>(from), static_cast<uint16_t>(to))
                          : csum_replace2(check, static_cast<uint16_t>(from), static_cast<uint16_t>(to));
    case 4:
        return csum_replace4(check, static_cast<uint32_t>(from), static_cast<uint32_t>(to));
    default:
        return -EINVAL;
    }
}

} // namespace

uint64_t helper_l3_csum_replace(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_l3_csum_replace");
    if (!call.good()) {
        return 0;
    }
    if ((args[4] & ~kFieldMask) != 0) {
        return call.changed(-EINVAL);
    }
    const auto offset = static_cast<uint32_t>(args[1]);
    if (const int64_t bad = check_place(call, offset); bad != 0) {
        return call.changed(bad);
    }
    uint8_t* check = call.data() + offset;
    const int64_t now = replaced(mimicsh::load<uint16_t>(check), args[2], args[3], args[4], false);
    if (now >= 0) {
        mimicsh::store(check, static_cast<uint16_t>(now));
    }
    return call.changed(std::min<int64_t>(now, 0));
}

uint64_t helper_l4_csum_replace(Machine& machine, const uint64_t* args) {
    constexpr uint16_t kMangledZero = 0xffff; ///< CSUM_MANGLED_0
    SkbCall call(machine, args, "bpf_l4_csum_replace");
    if (!call.good()) {
        return 0;
    }
    const uint64_t flags = args[4];
    if ((flags & ~(kFieldMask | kPseudoHeader | kMarkMangled | kMarkEnforce | kIpv6Pseudo)) != 0) {
        return call.changed(-EINVAL);
    }
    const auto offset = static_cast<uint32_t>(args[1]);
    if (const int64_t bad = check_place(call, offset); bad != 0) {
        return call.changed(bad);
    }
    uint8_t* check = call.data() + offset;
    const auto before = mimicsh::load<uint16_t>(check);
    if ((flags & kMarkMangled) != 0 && (flags & kMarkEnforce) == 0 && before == 0) {
        return call.changed(0);
    }
    const int64_t now = replaced(before, args[2], args[3], flags, true);
    if (now >= 0) {
        const bool mangled = (flags & kMarkMangled) != 0 && now == 0;
        mimicsh::store(check, mangled ? kMangledZero : static_cast<uint16_t>(now));
    }
    return call.changed(std::min<int64_t>(now, 0));
}

uint64_t helper_csum_update(Machine& machine, const uint64_t* args) {
    SkbCall call(machine, args, "bpf_csum_update");
    if (!call.good()) {
        return 0;
    }
    if (machine.skb.ip_summed != IpSummed::Complete) {
        return call.done(kNotSupported);
    }
    machine.skb.csum = csum_add(machine.skb.csum, static_cast<uint32_t>(args[1]));
    return call.done(machine.skb.csum);
}

uint64_t helper_csum_level(Machine& machine, const uint64_t* args) {
    constexpr uint8_t kMaxLevel = 3;
    constexpr uint64_t kQuery = 0, kIncrement = 1, kDecrement = 2, kReset = 3;
    SkbCall call(machine, args, "bpf_csum_level");
    if (!call.good()) {
        return 0;
    }
    SkBuffState& skb = machine.skb;
    const bool unnecessary = skb.ip_summed == IpSummed::Unnecessary;
    switch (args[1]) {
    case kQuery:
        return call.done(unnecessary ? skb.csum_level : -EACCES);
    case kIncrement:
        if (unnecessary) {
            skb.csum_level = std::min<uint8_t>(skb.csum_level + 1, kMaxLevel);
        } else if (skb.ip_summed == IpSummed::None) {
            skb.ip_summed = IpSummed::Unnecessary;
            skb.csum_level = 0;
        }
        return call.done(0);
    case kDecrement:
        if (unnecessary && skb.csum_level == 0) {
            skb.ip_summed = IpSummed::None;
        } else if (unnecessary) {
            --skb.csum_level;
        }
        return call.done(0);
    case kReset:
        if (unnecessary) {
            skb.ip_summed = IpSummed::None;
            skb.csum_level = 0;
        }
        return call.done(0);
    default:
        return call.done(-EINVAL);
    }
}

} // namespace mimicsh::vm
