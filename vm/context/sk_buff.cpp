// SPDX-License-Identifier: MIT
// struct __sk_buff and the test run of programs on socket buffers (bpf_skb_is_valid_access and its callers;
// bpf_prog_test_run_skb).
#include "vm/context/sk_buff.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vm/context/context.h"
#include "vm/helpers/helpers.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

constexpr uint16_t kTc = kUserTc;
constexpr uint16_t kFilter = kUserSocketFilter;
constexpr uint16_t kCgroup = kUserCgroupSkb;
constexpr uint16_t kLwt = kUserLwt | kUserLwtXmit;
constexpr uint16_t kAll = kTc | kFilter | kCgroup | kLwt;

using Role = FieldRole;

// Rights by sk_filter_is_valid_access, tc_cls_act_is_valid_access, cg_skb_is_valid_access and
// lwt_is_valid_access.
constexpr std::array kFields{
    ContextField{"len", kSkbLen, 4, Role::Number, true, kAll, 0},
    ContextField{"pkt_type", kSkbPktType, 4, Role::Number, true, kAll, 0, 1},
    ContextField{"mark", kSkbMark, 4, Role::Number, true, kAll, kTc | kCgroup | kLwt},
    ContextField{"queue_mapping", kSkbQueueMapping, 4, Role::Number, true, kAll, kTc, 2, 0xffff},
    ContextField{"protocol", kSkbProtocol, 4, Role::Number, true, kAll, 0, 2},
    ContextField{"vlan_present", kSkbVlanPresent, 4, Role::Number, true, kAll, 0},
    ContextField{"vlan_tci", kSkbVlanTci, 4, Role::Number, true, kAll, 0, 2},
    ContextField{"vlan_proto", kSkbVlanProto, 4, Role::Number, true, kAll, 0, 2},
    ContextField{"priority", kSkbPriority, 4, Role::Number, true, kAll, kTc | kCgroup | kLwt},
    ContextField{"ingress_ifindex", kSkbIngressIfindex, 4, Role::Number, true, kAll, 0},
    ContextField{"ifindex", kSkbIfindex, 4, Role::Number, true, kAll, 0},
    ContextField{"tc_index", kSkbTcIndex, 4, Role::Number, true, kAll, kTc, 2},
    ContextField{"cb", kSkbCb, 20, Role::Bytes, true, kAll, kAll},
    ContextField{"hash", kSkbHash, 4, Role::Number, true, kAll, 0},
    ContextField{"tc_classid", kSkbTcClassid, 4, Role::Number, true, kTc, kTc, 2},
    ContextField{"data", kSkbData, 4, Role::PacketStart, false, kTc | kCgroup | kLwt, 0},
    ContextField{"data_end", kSkbDataEnd, 4, Role::PacketEnd, false, kTc | kCgroup | kLwt, 0},
    ContextField{"napi_id", kSkbNapiId, 4, Role::Number, true, kAll, 0},
    ContextField{"family", kSkbFamily, 4, Role::Number, true, kCgroup, 0, 2},
    ContextField{"remote_ip4", kSkbRemoteIp4, 4, Role::Number, false, kCgroup, 0},
    ContextField{"local_ip4", kSkbLocalIp4, 4, Role::Number, false, kCgroup, 0},
    ContextField{"remote_ip6[0]", kSkbRemoteIp6, 4, Role::Number, false, kCgroup, 0},
    ContextField{"remote_ip6[1]", kSkbRemoteIp6 + 4, 4, Role::Number, false, kCgroup, 0},
    ContextField{"remote_ip6[2]", kSkbRemoteIp6 + 8, 4, Role::Number, false, kCgroup, 0},
    ContextField{"remote_ip6[3]", kSkbRemoteIp6 + 12, 4, Role::Number, false, kCgroup, 0},
    ContextField{"local_ip6[0]", kSkbLocalIp6, 4, Role::Number, false, kCgroup, 0},
    ContextField{"local_ip6[1]", kSkbLocalIp6 + 4, 4, Role::Number, false, kCgroup, 0},
    ContextField{"local_ip6[2]", kSkbLocalIp6 + 8, 4, Role::Number, false, kCgroup, 0},
    ContextField{"local_ip6[3]", kSkbLocalIp6 + 12, 4, Role::Number, false, kCgroup, 0},
    ContextField{"remote_port", kSkbRemotePort, 4, Role::Number, true, kCgroup, 0, 2},
    ContextField{"local_port", kSkbLocalPort, 4, Role::Number, true, kCgroup, 0, 2},
    ContextField{"data_meta", kSkbDataMeta, 4, Role::PacketMeta, false, kTc, 0},
    ContextField{"tstamp", kSkbTstamp, 8, Role::Number, false, kTc | kCgroup, kTc | kCgroup, 8},
    ContextField{"wire_len", kSkbWireLen, 4, Role::Number, true, kTc, 0},
    ContextField{"gso_segs", kSkbGsoSegs, 4, Role::Number, true, kAll, 0, 2},
    ContextField{"sk", kSkbSk, 8, Role::Pointer, false, kAll, 0, 8},
    ContextField{"gso_size", kSkbGsoSize, 4, Role::Number, true, kAll, 0, 2},
    ContextField{"tstamp_type", kSkbTstampType, 1, Role::Number, false, kTc, 0},
    ContextField{"hwtstamp", kSkbHwtstamp, 8, Role::Number, false, kTc | kCgroup, 0, 8},
};

constexpr uint16_t kEthIp = 0x0800, kEthIp6 = 0x86dd;
constexpr uint16_t kEthMinProtocol = 0x0600, kEth8023 = 0x0001, kEth8022 = 0x0004;
constexpr uint32_t kLoopback = 1;
constexpr uint32_t kMaxWireLen = 65536; ///< GSO_LEGACY_MAX_SIZE
constexpr uint32_t kMaxSegments = 65535;
constexpr uint32_t kFamilyInet = 2, kFamilyInet6 = 10;

uint32_t number(ByteView context, uint16_t offset) {
    return context.empty() ? 0 : load<uint32_t>(context.data() + offset);
}

bool is_zero(ByteView context, uint32_t from, uint32_t to) {
    static constexpr std::array<uint8_t, kSkbSize> kZeroes{};
    return context.empty() || std::memcmp(context.data() + from, kZeroes.data(), to - from) == 0;
}

/// Fields of ctx_in that a test run takes; the ranges between them must be zero (convert___skb_to_skb).
constexpr std::array<std::array<uint16_t, 2>, 7> kMustBeZero{{
    {kSkbLen, kSkbMark},
    {kSkbMark + 4, kSkbPriority},
    {kSkbPriority + 4, kSkbIngressIfindex},
    {kSkbIfindex + 4, kSkbCb},
    {kSkbCb + 20, kSkbTstamp},
    {kSkbSk, kSkbGsoSize},
    {kSkbGsoSize + 4, kSkbHwtstamp},
}};

uint16_t ethertype(ByteView packet) {
    return load_be<uint16_t>(packet.data() + 12);
}

Status check(const std::string& program, ByteView packet, ByteView context, bool l2) {
    const auto refuse = [&](std::string why) -> Status {
        return Error{EINVAL, "run", program + ": " + std::move(why), {}, {}};
    };
    if (!context.empty() && context.size() != kSkbSize) {
        return refuse("context has " + std::to_string(context.size()) + " bytes, struct __sk_buff has " +
                      std::to_string(kSkbSize));
    }
    if (packet.size() < kMinPacket || packet.size() > kSkbMaxPacket) {
        return refuse("packet of " + std::to_string(packet.size()) + " bytes, a test run takes 14 to " +
                      std::to_string(kSkbMaxPacket));
    }
    const uint16_t protocol = ethertype(packet);
    const uint32_t network = protocol == kEthIp ? 20 : protocol == kEthIp6 ? 40 : 0;
    if (packet.size() - kEthHeader < network) {
        return refuse("packet of " + std::to_string(packet.size()) + " bytes, shorter than the IP header " +
                      "that its ethertype promises: a test run refuses it");
    }
    for (const auto& [from, to] : kMustBeZero) {
        if (!is_zero(context, from, to)) {
            return refuse("context: bytes " + std::to_string(from) + " to " + std::to_string(to - 1) +
                          " of struct __sk_buff cannot be given");
        }
    }
    const uint32_t wire = number(context, kSkbWireLen);
    const auto length = static_cast<uint32_t>(packet.size()) - (l2 ? 0 : kEthHeader);
    if (wire != 0 && (wire < length || wire > kMaxWireLen)) {
        return refuse("context: wire_len is at least the packet's length and at most " +
                      std::to_string(kMaxWireLen));
    }
    if (number(context, kSkbGsoSegs) > kMaxSegments) {
        return refuse("context: gso_segs is at most " + std::to_string(kMaxSegments));
    }
    return {};
}

void put(Machine& machine, uint16_t offset, uint32_t value) {
    store(machine.context_image.data() + offset, value);
}

void set_context(Machine& machine, ByteView context, const ContextKind& kind) {
    machine.context_given.assign(context.begin(), context.end());
    machine.packet.writable = kind.packet_writable;
}

/// eth_type_trans: what a frame's destination makes it for the loopback device, whose address is zero.
uint32_t packet_type(ByteView packet) {
    constexpr uint32_t kHost = 0, kMulticast = 2, kOtherHost = 3;
    const auto address = packet.first(6);
    if ((address[0] & 1) != 0) {
        return kMulticast;
    }
    return std::ranges::all_of(address, [](uint8_t byte) { return byte == 0; }) ? kHost : kOtherHost;
}

/// skb->protocol as it is loaded: in network order.
uint16_t protocol_of(ByteView packet) {
    const uint16_t type = ethertype(packet);
    const bool raw_ipx =
        packet.size() >= kEthHeader + 2 && load<uint16_t>(packet.data() + kEthHeader) == 0xffff;
    return __builtin_bswap16(type >= kEthMinProtocol ? type : raw_ipx ? kEth8023 : kEth8022);
}

void set_packet(Machine& machine, ByteView packet, bool l2) {
    l2 = l2 || (machine.given_run != nullptr && machine.given_run->link_layer);
    auto& image = machine.context_image;
    const ByteView given = machine.context_given;
    image.fill(0);
    if (!given.empty()) {
        std::copy(given.begin(), given.end(), image.begin());
    }
    PacketState& state = machine.packet;
    SkBuffState& skb = machine.skb;
    skb = {};
    skb.l2 = l2;
    skb.mac = kSkbHeadroom;
    skb.network = kSkbHeadroom + kEthHeader;
    state.fragments.clear();
    state.start = state.meta = l2 ? skb.mac : skb.network;
    skb.headroom = state.start;
    state.end = kSkbHeadroom + static_cast<uint32_t>(packet.size());
    state.paged = 0;
    if (const auto linear = machine.world().linear) [[unlikely]] {
        state.paged = static_cast<uint32_t>(packet.size() - std::min<size_t>(packet.size(), *linear));
    }
    std::memcpy(state.buffer.data() + kSkbHeadroom, packet.data(), packet.size());

    put(machine, kSkbLen, state.end - state.start);
    put(machine, kSkbPktType, packet_type(packet));
    put(machine, kSkbProtocol, protocol_of(packet));
    put(machine, kSkbGsoSize, number(given, kSkbGsoSize) & 0xffff);
    if (number(given, kSkbIfindex) == 0) {
        put(machine, kSkbIfindex, kLoopback);
    }
    if (number(given, kSkbWireLen) == 0) {
        put(machine, kSkbWireLen, state.end - state.start);
    }
    // The test run gives the buffer a socket with the packet's addresses.
    const uint16_t type = ethertype(packet);
    const uint8_t* network = packet.data() + kEthHeader;
    if (type == kEthIp) {
        put(machine, kSkbFamily, kFamilyInet);
        put(machine, kSkbRemoteIp4, load<uint32_t>(network + 16));
        put(machine, kSkbLocalIp4, load<uint32_t>(network + 12));
    } else if (type == kEthIp6) {
        put(machine, kSkbFamily, kFamilyInet6);
        std::memcpy(image.data() + kSkbRemoteIp6, network + 24, 16);
        std::memcpy(image.data() + kSkbLocalIp6, network + 8, 16);
    }
    store(image.data() + kSkbSk, set_buffer_socket(machine));
    if (machine.tunnel || machine.world().tunnel) [[unlikely]] {
        machine.tunnel = machine.world().tunnel;
    }
}

/// What convert_skb_to___skb gives back; everything else is as it came in.
ByteVec context_after(const Machine& machine) {
    ByteVec bytes = machine.context_given;
    bytes.resize(kSkbSize);
    const auto keep = [&](uint16_t offset, size_t size) {
        std::memcpy(bytes.data() + offset, machine.context_image.data() + offset, size);
    };
    keep(kSkbMark, 4);
    keep(kSkbPriority, 4);
    keep(kSkbIngressIfindex, 4);
    keep(kSkbIfindex, 4);
    keep(kSkbTstamp, 8);
    keep(kSkbCb, 20);
    keep(kSkbWireLen, 4);
    keep(kSkbGsoSegs, 4);
    keep(kSkbHwtstamp, 8);
    return bytes;
}

/// Programs that start at the network layer get 14 zero bytes in place of the link-layer header back.
void packet_after(const Machine& machine, ByteVec& out) {
    const PacketState& packet = machine.packet;
    if (!machine.skb.l2) {
        out.insert(out.end(), kEthHeader, 0);
    }
    out.insert(out.end(), packet.buffer.begin() + packet.start, packet.buffer.begin() + packet.end);
}

template <uint16_t kUser, bool kL2, bool kWritable>
const ContextKind& kind_of() {
    static const ContextKind kKind{
        .struct_name = "struct __sk_buff",
        .user = kUser,
        .size = kSkbSize,
        .fields = kFields,
        .packet_writable = kWritable,
        .loads = "not a field of it that programs of this type may use like that",
        .check = [](const std::string& program, ByteView packet,
                    ByteView context) { return check(program, packet, context, kL2); },
        .set_context =
            [](Machine& machine, ByteView context) {
                set_context(machine, context, kind_of<kUser, kL2, kWritable>());
            },
        .set_packet = [](Machine& machine, ByteView packet) { set_packet(machine, packet, kL2); },
        .context_after = context_after,
        .packet_after = packet_after};
    return kKind;
}

} // namespace

const ContextKind* sk_buff_kind(abi::ProgType type) {
    using abi::ProgType;
    switch (type) {
    case ProgType::SchedCls:
    case ProgType::SchedAct:
        return &kind_of<kUserTc, true, true>();
    case ProgType::SocketFilter:
        return &kind_of<kUserSocketFilter, false, false>();
    case ProgType::CgroupSkb:
        return &kind_of<kUserCgroupSkb, false, false>();
    case ProgType::LwtIn:
    case ProgType::LwtOut:
        return &kind_of<kUserLwt, false, false>();
    case ProgType::LwtXmit:
        return &kind_of<kUserLwtXmit, false, true>();
    default:
        return nullptr;
    }
}

} // namespace mimicsh::vm
