// SPDX-License-Identifier: MIT
// Helpers on socket buffers (net/core/filter.c, net/core/skbuff.c). Those that the kernel counts as changing
// the packet make packet pointers stale whatever they return, as the verifier has it.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/helpers/csum.h"
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

constexpr int64_t kNotSupported = -524; ///< ENOTSUPP, which user space has no name for
constexpr uint32_t kMaxLength = 16064;  ///< BPF_SKB_MAX_LEN: an order-2 allocation less skb_shared_info
constexpr uint32_t kPlace = 32 * 1024;  ///< where a packet that has run out of headroom is put
constexpr uint16_t kIp = 0x0800, kIp6 = 0x86dd, kVlan = 0x8100, kVlanAd = 0x88a8;
constexpr uint32_t kIpHeader = 20, kIp6Header = 40, kVlanTag = 4, kMacs = 12;

constexpr uint16_t swapped(uint32_t value) {
    return __builtin_bswap16(static_cast<uint16_t>(value));
}

/// One call on the buffer of the running program: names the helper for faults and gives bytes and numbers.
class Call {
  public:
    Call(Machine& machine, const uint64_t* args, const char* helper)
        : machine_(machine), packet_(machine.packet), skb_(machine.skb), helper_(helper) {
        good_ = args[0] == make_addr(kContextHandle, 0);
        if (!good_) {
            machine.fault(FaultKind::BadCall,
                          std::string(helper) + ": the first argument is not the context");
        }
    }
    [[nodiscard]] bool good() const { return good_; }

    /// Ends a helper that the kernel counts as changing the packet.
    uint64_t changed(int64_t result) {
        put(kSkbLen, length());
        machine_.move_packet(helper_);
        return errno_result(result);
    }
    /// Ends one that does not.
    uint64_t done(int64_t result) {
        machine_.note_effect();
        return errno_result(result);
    }

    // -- Bytes: offsets count from what the program sees as data --
    [[nodiscard]] uint32_t length() const { return packet_.end - packet_.start; }
    [[nodiscard]] uint8_t* data() { return packet_.buffer.data() + packet_.start; }
    [[nodiscard]] bool has(uint64_t bytes) const { return bytes <= length(); }
    [[nodiscard]] uint32_t network() const { return skb_.network - packet_.start; }
    [[nodiscard]] uint32_t mac_length() const { return skb_.network - skb_.mac; }
    [[nodiscard]] uint8_t* buffer(uint32_t place) { return packet_.buffer.data() + place; }
    [[nodiscard]] PacketState& packet() { return packet_; }
    [[nodiscard]] SkBuffState& skb() { return skb_; }

    /// skb_push without contents; makes room when the buffer has none in front.
    void push(uint32_t bytes) {
        if (packet_.start < bytes) {
            const uint32_t by = kPlace - packet_.start;
            std::memmove(buffer(kPlace), data(), length());
            packet_.start += by;
            packet_.end += by;
            skb_.mac += by;
            skb_.network += by;
        }
        packet_.start -= bytes;
        packet_.meta = packet_.start;
        if (skb_.headroom < bytes) {
            constexpr uint32_t kUnit = 64; // NET_SKB_PAD
            const uint32_t more = (bytes - skb_.headroom + kUnit - 1) / kUnit * kUnit;
            skb_.headroom += more;
            skb_.transport = static_cast<uint16_t>(skb_.transport + more);
        }
        skb_.headroom -= bytes;
    }
    void pull(uint32_t bytes) {
        skb_.headroom += bytes;
        packet_.start += bytes;
        packet_.meta = packet_.start;
    }

    // -- Numbers --
    [[nodiscard]] uint32_t get(uint16_t offset) const {
        return mimicsh::load<uint32_t>(machine_.context_image.data() + offset);
    }
    void put(uint16_t offset, uint32_t value) {
        mimicsh::store(machine_.context_image.data() + offset, value);
    }
    /// skb->protocol in host order.
    [[nodiscard]] uint16_t protocol() const { return swapped(get(kSkbProtocol)); }
    void set_protocol(uint16_t type) { put(kSkbProtocol, swapped(type)); }
    [[nodiscard]] bool is_gso() const { return get(kSkbGsoSize) != 0; }

    /// Header bytes between the packet's first `offset` ones and the rest (bpf_skb_net_hdr_push).
    void push_header(uint32_t offset, uint32_t bytes) {
        push(bytes);
        std::memmove(data(), data() + bytes, offset);
        std::memset(data() + offset, 0, bytes);
        skb_.mac -= bytes;
        skb_.network -= bytes;
    }
    /// Takes header bytes out (bpf_skb_net_hdr_pop).
    [[nodiscard]] int64_t pop_header(uint32_t offset, uint32_t bytes) {
        if (!has(uint64_t{offset} + bytes)) {
            return -ENOMEM;
        }
        std::memmove(data() + bytes, data(), offset);
        pull(bytes);
        skb_.mac += bytes;
        skb_.network += bytes;
        return 0;
    }

  private:
    Machine& machine_;
    PacketState& packet_;
    SkBuffState& skb_;
    const char* helper_;
    bool good_ = false;
};

// -- Checksums in the packet --

constexpr uint64_t kFieldMask = 0xf, kPseudoHeader = 0x10, kMarkMangled = 0x20, kMarkEnforce = 0x40,
                   kIpv6Pseudo = 0x80;

/// The place of a checksum to be changed, or an errno.
int64_t check_place(Call& call, uint32_t offset) {
    constexpr uint32_t kMaxOffset = 0xffff;
    if (offset > kMaxOffset || (offset & 1) != 0) {
        return -EFAULT;
    }
    return call.has(uint64_t{offset} + 2) ? 0 : -EFAULT;
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

// -- VLAN tags --

/// Takes the tag out of the packet; its TCI, or an errno (__skb_vlan_pop).
int64_t take_tag(Call& call) {
    if (!call.has(kEthHeader + kVlanTag)) {
        return -ENOMEM;
    }
    uint8_t* data = call.data();
    const uint16_t tci = load_be<uint16_t>(data + kEthHeader);
    const uint16_t inner = load_be<uint16_t>(data + kEthHeader + 2);
    const uint16_t behind = mimicsh::load<uint16_t>(data + kEthHeader + kVlanTag);
    std::memmove(data + kVlanTag, data, kMacs);
    constexpr uint16_t kMinProtocol = 0x0600, kRaw8023 = 0x0001, k8022 = 0x0004;
    call.set_protocol(inner >= kMinProtocol ? inner : behind == 0xffff ? kRaw8023 : k8022);
    call.pull(kVlanTag);
    call.skb().mac += kVlanTag;
    if (call.network() < kEthHeader) {
        call.skb().network = call.packet().start + kEthHeader;
    }
    call.skb().mac_len = call.mac_length();
    return tci;
}

/// The tag that the card would put in, kept beside the packet.
void set_card_tag(Call& call, uint16_t protocol, uint16_t tci) {
    call.put(kSkbVlanPresent, 1);
    call.put(kSkbVlanTci, tci);
    call.put(kSkbVlanProto, swapped(protocol));
}

bool is_vlan(uint16_t protocol) {
    return protocol == kVlan || protocol == kVlanAd;
}

/// The protocol behind all tags (skb_protocol with skip_vlan); 0 when the packet ends in them.
uint16_t protocol_behind_tags(Call& call) {
    constexpr uint32_t kMaxTags = 8;
    uint16_t protocol = call.protocol();
    uint32_t at = call.skb().mac_len >= kVlanTag ? call.skb().mac_len - kVlanTag : kEthHeader;
    for (uint32_t tags = 0; is_vlan(protocol); ++tags, at += kVlanTag) {
        if (tags == kMaxTags || !call.has(uint64_t{at} + kVlanTag)) {
            return 0;
        }
        protocol = load_be<uint16_t>(call.data() + at + 2);
    }
    return protocol;
}

// -- Room --

enum RoomFlag : uint64_t {
    kFixedGso = 1 << 0,
    kEncapIp = 1 << 1,
    kEncapIp6 = 1 << 2,
    kEncapGre = 1 << 3,
    kEncapUdp = 1 << 4,
    kNoCsumReset = 1 << 5,
    kEncapEthernet = 1 << 6,
    kDecapIp = 1 << 7,
    kDecapIp6 = 1 << 8,
};
constexpr uint64_t kDecap = kDecapIp | kDecapIp6;
constexpr uint64_t kEncap = kEncapIp | kEncapIp6;
constexpr uint64_t kInnerMacLength = uint64_t{0xff} << 56;

/// Length of the network header as adjust_room sees it; all bits set for other protocols.
uint32_t base_length(uint16_t protocol) {
    return protocol == kIp ? kIpHeader : protocol == kIp6 ? kIp6Header : ~0u;
}

int64_t grow(Call& call, uint32_t offset, uint32_t bytes, uint64_t flags) {
    if (call.is_gso()) {
        return kNotSupported;
    }
    const auto inner_mac = static_cast<uint32_t>(flags >> 56);
    const bool encap = (flags & kEncap) != 0;
    if (encap) {
        if ((flags & kEncap) == kEncap || ((flags & kEncapGre) != 0 && (flags & kEncapUdp) != 0) ||
            ((flags & kEncapEthernet) != 0 && inner_mac < kEthHeader)) {
            return -EINVAL;
        }
        if (call.skb().encapsulated) {
            return -EALREADY;
        }
        if (inner_mac > bytes) {
            return -EINVAL;
        }
    }
    const uint32_t mac_length = call.mac_length();
    call.push_header(offset, bytes);
    if (encap) {
        call.skb().encapsulated = true;
        call.skb().network = call.packet().start + mac_length;
        if ((flags & (kEncapGre | kEncapUdp)) != 0) {
            const uint32_t header = (flags & kEncapIp6) != 0 ? kIp6Header : kIpHeader;
            call.skb().transport = static_cast<uint16_t>(call.skb().headroom + mac_length + header);
        }
        if (call.protocol() == kIp && (flags & kEncapIp6) != 0) {
            call.set_protocol(kIp6);
        } else if (call.protocol() == kIp6 && (flags & kEncapIp) != 0) {
            call.set_protocol(kIp);
        }
    }
    return 0;
}

int64_t shrink(Call& call, uint32_t offset, uint32_t bytes, uint64_t flags) {
    if ((flags & ~(kFixedGso | kDecap | kNoCsumReset)) != 0) {
        return -EINVAL;
    }
    if (call.is_gso()) {
        return kNotSupported;
    }
    const int64_t result = call.pop_header(offset, bytes);
    if (result < 0) {
        return result;
    }
    if (call.protocol() == kIp && (flags & kDecapIp6) != 0) {
        call.set_protocol(kIp6);
    } else if (call.protocol() == kIp6 && (flags & kDecapIp) != 0) {
        call.set_protocol(kIp);
    }
    return 0;
}

int64_t adjust_room(Call& call, int32_t difference, uint32_t mode, uint64_t flags) {
    constexpr uint64_t kKnown =
        kFixedGso | kEncap | kEncapGre | kEncapUdp | kNoCsumReset | kEncapEthernet | kDecap | kInnerMacLength;
    constexpr uint32_t kMaxDifference = 0xfff;
    constexpr uint32_t kModeNet = 0, kModeMac = 1;
    if ((flags & ~kKnown) != 0) {
        return -EINVAL;
    }
    const bool shrinks = difference < 0;
    const uint32_t bytes =
        shrinks ? 0 - static_cast<uint32_t>(difference) : static_cast<uint32_t>(difference);
    if (bytes > kMaxDifference) {
        return -EFAULT;
    }
    uint32_t shortest = base_length(call.protocol());
    if (shortest == ~0u || mode > kModeMac) {
        return kNotSupported;
    }
    const uint32_t offset = call.mac_length() + (mode == kModeNet ? shortest : 0);
    if ((flags & kDecap) != 0) {
        if (!shrinks || (flags & kDecap) == kDecap) {
            return -EINVAL;
        }
        shortest = (flags & kDecapIp) != 0 ? kIpHeader : kIp6Header;
    }
    const uint32_t now = call.length() - call.network();
    if (shrinks ? bytes >= now || now - bytes < shortest
                : call.length() + bytes > kMaxLength && !call.is_gso()) {
        return kNotSupported;
    }
    const int64_t result = shrinks ? shrink(call, offset, bytes, flags) : grow(call, offset, bytes, flags);
    if (result == 0 && (flags & kNoCsumReset) == 0 && call.skb().ip_summed == IpSummed::Unnecessary) {
        call.skb().ip_summed = IpSummed::None;
        call.skb().csum_level = 0;
    }
    return result;
}

} // namespace

// -- Bytes --

uint64_t helper_skb_store_bytes(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kRecompute = 1, kInvalidateHash = 2;
    Call call(machine, args, "bpf_skb_store_bytes");
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[3]);
    const uint8_t* from = call.good() ? machine.span(args[2], size, Access::Read, "bytes to store") : nullptr;
    if (from == nullptr) {
        return 0;
    }
    if (size == 0) {
        return machine.fault(FaultKind::BadCall, "bpf_skb_store_bytes: length is 0, the kernel refuses it");
    }
    if ((args[4] & ~(kRecompute | kInvalidateHash)) != 0) {
        return call.changed(-EINVAL);
    }
    if (offset > INT32_MAX || !call.has(uint64_t{offset} + size)) {
        return call.changed(-EFAULT);
    }
    std::memmove(call.data() + offset, from, size);
    if ((args[4] & kInvalidateHash) != 0) {
        call.put(kSkbHash, 0);
    }
    return call.changed(0);
}

namespace {

/// Copies `size` bytes at a place of the buffer to the program; zeroes and -EFAULT when they are not all
/// there.
uint64_t load_at(Machine& machine, Call& call, uint64_t place, uint64_t to, uint64_t size, bool valid) {
    uint8_t* bytes = machine.span(to, size, Access::Write, "buffer");
    if (bytes == nullptr) {
        return 0;
    }
    if (!valid || place + size > machine.packet.end) {
        std::memset(bytes, 0, size);
        return call.done(-EFAULT);
    }
    std::memcpy(bytes, call.buffer(static_cast<uint32_t>(place)), size);
    return call.done(0);
}

} // namespace

uint64_t helper_skb_load_bytes(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_load_bytes");
    const auto offset = static_cast<uint32_t>(args[1]);
    return call.good() ? load_at(machine, call, uint64_t{machine.packet.start} + offset, args[2],
                                 static_cast<uint32_t>(args[3]), offset <= INT32_MAX)
                       : 0;
}

uint64_t helper_skb_load_bytes_relative(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kMaxOffset = 0xffff;
    constexpr uint32_t kFromMac = 0, kFromNetwork = 1;
    Call call(machine, args, "bpf_skb_load_bytes_relative");
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto base = static_cast<uint32_t>(args[4]);
    const uint32_t start = base == kFromMac ? machine.skb.mac : machine.skb.network;
    return call.good() ? load_at(machine, call, uint64_t{start} + offset, args[2],
                                 static_cast<uint32_t>(args[3]), offset <= kMaxOffset && base <= kFromNetwork)
                       : 0;
}

uint64_t helper_skb_pull_data(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_pull_data");
    // Everything is linear already, so only a length beyond the end can fail.
    return call.good() ? call.changed(call.has(static_cast<uint32_t>(args[1])) ? 0 : -ENOMEM) : 0;
}

// -- Checksums --

uint64_t helper_l3_csum_replace(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_l3_csum_replace");
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
    Call call(machine, args, "bpf_l4_csum_replace");
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
    Call call(machine, args, "bpf_csum_update");
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
    Call call(machine, args, "bpf_csum_level");
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

// -- Headers --

uint64_t helper_skb_vlan_push(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_vlan_push");
    if (!call.good()) {
        return 0;
    }
    const uint16_t wanted = swapped(static_cast<uint32_t>(args[1]));
    if (call.get(kSkbVlanPresent) != 0) {
        // The tag that was kept beside the packet goes into it.
        const uint16_t protocol = swapped(call.get(kSkbVlanProto));
        call.push(kVlanTag);
        uint8_t* data = call.data();
        std::memmove(data, data + kVlanTag, kMacs);
        store_be(data + kMacs, protocol);
        store_be(data + kMacs + 2, static_cast<uint16_t>(call.get(kSkbVlanTci)));
        machine.skb.mac -= kVlanTag;
        machine.skb.mac_len += kVlanTag;
        call.set_protocol(protocol);
    }
    set_card_tag(call, is_vlan(wanted) ? wanted : kVlan, static_cast<uint16_t>(args[2]));
    return call.changed(0);
}

uint64_t helper_skb_vlan_pop(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_vlan_pop");
    if (!call.good()) {
        return 0;
    }
    if (call.get(kSkbVlanPresent) != 0) {
        call.put(kSkbVlanPresent, 0);
        call.put(kSkbVlanTci, 0);
        call.put(kSkbVlanProto, 0);
    } else {
        if (!is_vlan(call.protocol())) {
            return call.changed(0);
        }
        if (const int64_t taken = take_tag(call); taken < 0) {
            return call.changed(taken);
        }
    }
    // A tag that is in the packet behind it comes to stand beside it.
    const uint16_t protocol = call.protocol();
    if (!is_vlan(protocol)) {
        return call.changed(0);
    }
    const int64_t tci = take_tag(call);
    if (tci < 0) {
        return call.changed(tci);
    }
    set_card_tag(call, protocol, static_cast<uint16_t>(tci));
    return call.changed(0);
}

uint64_t helper_skb_change_type(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kOtherHost = 3;
    Call call(machine, args, "bpf_skb_change_type");
    if (!call.good()) {
        return 0;
    }
    const auto type = static_cast<uint32_t>(args[1]);
    if (call.get(kSkbPktType) > kOtherHost || type > kOtherHost) {
        return call.done(-EINVAL);
    }
    call.put(kSkbPktType, type);
    return call.done(0);
}

uint64_t helper_skb_change_proto(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kDifference = kIp6Header - kIpHeader;
    Call call(machine, args, "bpf_skb_change_proto");
    if (!call.good()) {
        return 0;
    }
    const uint16_t from = call.protocol();
    const uint16_t to = swapped(static_cast<uint32_t>(args[1]));
    if (args[2] != 0) {
        return call.changed(-EINVAL);
    }
    if (call.is_gso() || !((from == kIp && to == kIp6) || (from == kIp6 && to == kIp))) {
        return call.changed(kNotSupported);
    }
    if (to == kIp6) {
        call.push_header(call.mac_length(), kDifference);
    } else if (const int64_t bad = call.pop_header(call.mac_length(), kDifference); bad < 0) {
        return call.changed(bad);
    }
    call.set_protocol(to);
    call.put(kSkbHash, 0);
    return call.changed(0);
}

uint64_t helper_skb_change_tail(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_change_tail");
    if (!call.good()) {
        return 0;
    }
    const auto wanted = static_cast<uint32_t>(args[1]);
    const SkBuffState& skb = machine.skb;
    // __bpf_skb_min_len: the last of the headers that lies behind data.
    const bool has_transport = skb.transport != 0xffff && skb.transport > skb.headroom;
    const uint32_t shortest = has_transport                        ? skb.transport - skb.headroom
                              : skb.network > machine.packet.start ? call.network()
                                                                   : 0;
    if (args[2] != 0 || wanted > kMaxLength || wanted < shortest) {
        return call.changed(-EINVAL);
    }
    if (skb.encapsulated) {
        return call.changed(kNotSupported);
    }
    PacketState& packet = machine.packet;
    if (wanted > call.length()) {
        std::memset(call.buffer(packet.end), 0, wanted - call.length());
    }
    packet.end = packet.start + wanted;
    return call.changed(0);
}

uint64_t helper_skb_change_head(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_change_head");
    if (!call.good()) {
        return 0;
    }
    const auto room = static_cast<uint32_t>(args[1]);
    if (args[2] != 0 || room > INT32_MAX || (!call.is_gso() && call.length() + room > kMaxLength)) {
        return call.changed(-EINVAL);
    }
    call.push(room);
    std::memset(call.data(), 0, room);
    machine.skb.mac = machine.packet.start;
    machine.skb.mac_len = call.mac_length();
    return call.changed(0);
}

uint64_t helper_skb_adjust_room(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_skb_adjust_room");
    return call.good() ? call.changed(adjust_room(call, static_cast<int32_t>(args[1]),
                                                  static_cast<uint32_t>(args[2]), args[3]))
                       : 0;
}

uint64_t helper_skb_ecn_set_ce(Machine& machine, const uint64_t* args) {
    constexpr uint8_t kCe = 3;
    Call call(machine, args, "bpf_skb_ecn_set_ce");
    if (!call.good()) {
        return 0;
    }
    const uint16_t protocol = protocol_behind_tags(call);
    const uint32_t header = protocol == kIp ? kIpHeader : protocol == kIp6 ? kIp6Header : 0;
    if (header == 0 || !call.has(header) || machine.skb.network + header > machine.packet.end) {
        return call.done(0);
    }
    uint8_t* ip = call.buffer(machine.skb.network);
    if (protocol == kIp6) {
        const bool capable = (ip[1] >> 4 & kCe) != 0;
        ip[1] |= capable ? kCe << 4 : 0;
        return call.done(capable ? 1 : 0);
    }
    const uint8_t ecn = ip[1] & kCe;
    if (ecn == 0 || ecn == kCe) {
        return call.done(ecn == kCe ? 1 : 0);
    }
    // The sum grows by what the two bits grow by.
    const uint16_t grown = __builtin_bswap16(static_cast<uint16_t>(0xfffb + ecn + 1));
    mimicsh::store(ip + 10, csum16_add(mimicsh::load<uint16_t>(ip + 10), grown));
    ip[1] |= kCe;
    return call.done(1);
}

// -- Numbers --

uint64_t helper_set_hash_invalid(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_set_hash_invalid");
    if (call.good()) {
        call.put(kSkbHash, 0);
    }
    return call.done(0);
}

uint64_t helper_set_hash(Machine& machine, const uint64_t* args) {
    Call call(machine, args, "bpf_set_hash");
    if (call.good()) {
        call.put(kSkbHash, static_cast<uint32_t>(args[1]));
    }
    return call.done(0);
}

uint64_t helper_skb_set_tstamp(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kRealtime = 0, kTai = 2; // and 1, monotonic
    Call call(machine, args, "bpf_skb_set_tstamp");
    if (!call.good()) {
        return 0;
    }
    if (call.protocol() != kIp && call.protocol() != kIp6) {
        return call.done(-EOPNOTSUPP);
    }
    const uint64_t stamp = args[1];
    const auto type = static_cast<uint32_t>(args[2]);
    if (type > kTai || (type != kRealtime && stamp == 0)) {
        return call.done(-EINVAL);
    }
    mimicsh::store(machine.context_image.data() + kSkbTstamp, stamp);
    machine.context_image[kSkbTstampType] = static_cast<uint8_t>(type);
    return call.done(0);
}

// -- Redirects: what the program asked for is in the Result --

uint64_t helper_redirect_peer(Machine& machine, const uint64_t* args) {
    if (args[1] != 0) {
        return abi::kTcShot;
    }
    machine.note_effect();
    machine.redirect = Redirect{"peer", static_cast<uint32_t>(args[0]), 0};
    return abi::kTcRedirect;
}

uint64_t helper_redirect_neigh(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kParams = 20; ///< struct bpf_redir_neigh
    const auto size = static_cast<int32_t>(args[2]);
    if (machine.span(args[1], static_cast<uint32_t>(size), Access::Read, "parameters") == nullptr) {
        return 0;
    }
    if ((size != 0 && size < static_cast<int32_t>(kParams)) || args[3] != 0) {
        return abi::kTcShot;
    }
    machine.note_effect();
    machine.redirect = Redirect{"neigh", static_cast<uint32_t>(args[0]), 0};
    return abi::kTcRedirect;
}

} // namespace mimicsh::vm
