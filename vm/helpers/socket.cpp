// SPDX-License-Identifier: MIT
// Scripted sockets: look-up as the kernel's hash tables do it, references, and what programs read of them
// (net/core/filter.c, net/ipv4/inet_hashtables.c, net/ipv4/udp.c and their IPv6 twins).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

/// Offsets in struct bpf_sock.
enum SockOffset : uint32_t {
    kBoundDev = 0,
    kFamily = 4,
    kType = 8,
    kProtocol = 12,
    kMark = 16,
    kPriority = 20,
    kSourceIp4 = 24,
    kSourceIp6 = 28,
    kSourcePort = 44, ///< host order
    kPeerPort = 48,   ///< network order, two bytes
    kPeerIp4 = 52,
    kPeerIp6 = 56,
    kState = 72,
    kRxQueue = 76,
};

constexpr uint8_t kTimeWait = 6, kListen = 10, kNewSynRecv = 12; // enum of TCP states

/// A look-up's addresses: `source` is the packet's, so the socket's peer.
struct Tuple {
    IpAddress source;
    IpAddress destination;
    uint16_t source_port = 0;
    uint16_t destination_port = 0;
    uint32_t interface = 0;
};

/// Of those two states there is no full socket.
bool is_small(const World::Socket& socket) {
    return socket.state == kTimeWait || socket.state == kNewSynRecv;
}

bool is_bound_elsewhere(const World::Socket& socket, const Tuple& tuple) {
    return socket.interface != 0 && socket.interface != tuple.interface;
}

bool has_peer(const World::Socket& socket, const Tuple& tuple) {
    return socket.peer && socket.peer->address == tuple.source && socket.peer->port == tuple.source_port;
}

/// How well a socket without a connection fits `address` (the packet's destination or "any"); -1 = not at
/// all.
int score(const World::Socket& socket, const Tuple& tuple, const IpAddress& address) {
    const bool same_address =
        socket.local.address == address || (address.is_any() && socket.local.address.is_any());
    const bool takes_family =
        socket.local.address.v6 == tuple.destination.v6 ||
        (socket.local.address.v6 && socket.local.address.is_any() && !socket.v6only && !tuple.destination.v6);
    if (socket.local.port != tuple.destination_port || !same_address || !takes_family ||
        is_bound_elsewhere(socket, tuple)) {
        return -1;
    }
    const int own_family = socket.local.address.v6 == tuple.destination.v6 ? 1 : 0;
    const int bound = socket.interface != 0 ? (socket.tcp ? 1 : 4) : 0;
    if (socket.tcp || !socket.peer) {
        return own_family + bound;
    }
    return has_peer(socket, tuple) ? own_family + bound + 8 : -1;
}

std::optional<uint32_t> find_tcp(const std::vector<World::Socket>& sockets, const Tuple& tuple) {
    for (uint32_t i = 0; i < sockets.size(); ++i) {
        const World::Socket& socket = sockets[i];
        if (socket.tcp && has_peer(socket, tuple) && socket.local.address == tuple.destination &&
            socket.local.port == tuple.destination_port && !is_bound_elsewhere(socket, tuple)) {
            return i;
        }
    }
    return std::nullopt;
}

/// The best listener, or the best UDP socket: those on the address first, then those on any.
std::optional<uint32_t> find_bound(const std::vector<World::Socket>& sockets, const Tuple& tuple, bool tcp) {
    IpAddress any;
    any.v6 = tuple.destination.v6;
    for (const IpAddress& address : {tuple.destination, any}) {
        std::optional<uint32_t> best;
        int best_score = -1;
        for (uint32_t i = 0; i < sockets.size(); ++i) {
            const World::Socket& socket = sockets[i];
            if (socket.tcp != tcp || (tcp && socket.state != kListen)) {
                continue;
            }
            if (const int fit = score(socket, tuple, address); fit > best_score) {
                best = i;
                best_score = fit;
            }
        }
        if (best) {
            return best;
        }
    }
    return std::nullopt;
}

uint64_t add_pointer(Machine& machine, RegionKind kind, uint32_t index, uint32_t reference) {
    SocketState& state = machine.sockets[index];
    Region region;
    region.kind = kind;
    region.host = kind == RegionKind::TcpSocket ? state.tcp.data() : state.sock.data();
    region.size = kind == RegionKind::TcpSocket ? kTcpSockSize : SocketState::kSockSize;
    region.readable = true;
    region.owner = index;
    region.first = reference;
    region.birth = machine.code->slot_of(machine.at);
    machine.note_effect();
    return make_addr(machine.regions.add(region), 0);
}

uint64_t look_up(Machine& machine, const uint64_t* args, bool tcp, bool full) {
    constexpr uint64_t kIp4Size = 12, kIp6Size = 36;
    const uint64_t size = args[2];
    const uint8_t* bytes = machine.span(args[1], size, Access::Read, "tuple");
    if (bytes == nullptr) {
        return 0;
    }
    const bool here = static_cast<int32_t>(args[3]) < 0; // BPF_F_CURRENT_NETNS
    if ((size != kIp4Size && size != kIp6Size) || args[4] != 0 || !here) {
        return 0; // of other namespaces none has an id
    }
    if (!machine.given(machine.world().sockets, "world.sockets")) {
        return 0;
    }
    const std::vector<World::Socket>& sockets = *machine.world().sockets;
    Tuple tuple;
    tuple.source.v6 = tuple.destination.v6 = size == kIp6Size;
    const size_t length = tuple.source.size();
    std::memcpy(tuple.source.bytes.data(), bytes, length);
    std::memcpy(tuple.destination.bytes.data(), bytes + length, length);
    tuple.source_port = mimicsh::load_be<uint16_t>(bytes + 2 * length);
    tuple.destination_port = mimicsh::load_be<uint16_t>(bytes + 2 * length + 2);
    tuple.interface = machine.device_index();
    auto found = tcp ? find_tcp(sockets, tuple) : std::nullopt;
    found = found ? found : find_bound(sockets, tuple, tcp);
    if (!found || (full && is_small(sockets[*found]))) {
        return 0;
    }
    const uint64_t pointer =
        add_pointer(machine, full ? RegionKind::Socket : RegionKind::SocketCommon, *found, 0);
    machine.open_references.push_back(handle_of(pointer));
    return pointer;
}

bool is_socket(const Region& region) {
    return region.kind == RegionKind::Socket || region.kind == RegionKind::SocketCommon ||
           region.kind == RegionKind::TcpSocket ||
           (region.kind == RegionKind::KernelStruct && region.shift >= static_cast<uint8_t>(kFirstSocket));
}

/// The socket region that an argument points to; null = fault pending.
Region* socket_at(Machine& machine, uint64_t addr, const char* helper) {
    const uint32_t handle = handle_of(addr);
    if (handle < machine.regions.size() && offset_of(addr) == 0) {
        Region& region = machine.regions.at(handle);
        if (is_socket(region)) {
            return &region;
        }
    }
    machine.fault(FaultKind::BadCall, std::string(helper) + ": the argument is no socket", {}, addr);
    return nullptr;
}

/// A second pointer to a socket, which ends with the first.
uint64_t derive(Machine& machine, uint64_t addr, RegionKind kind, const char* helper) {
    const Region* region = socket_at(machine, addr, helper);
    if (region == nullptr) {
        return 0;
    }
    const uint32_t index = region->owner;
    const World::Socket& socket = *machine.sockets[index].scripted;
    if (is_small(socket) || (kind == RegionKind::TcpSocket && !socket.tcp)) {
        return 0;
    }
    const uint32_t reference = region->first != 0 ? region->first : handle_of(addr);
    return add_pointer(machine, kind, index, reference);
}

/// A test run's socket has a family and addresses from the packet, and never was more than made.
const World::Socket kTestRun = [] {
    constexpr uint8_t kClose = 7;
    World::Socket socket;
    socket.tcp = false;
    socket.other = true;
    socket.state = kClose;
    return socket;
}();

SocketState test_run_socket() {
    SocketState state;
    state.scripted = &kTestRun;
    mimicsh::store<uint32_t>(state.sock.data() + kState, kTestRun.state);
    mimicsh::store<uint32_t>(state.sock.data() + kRxQueue, UINT32_MAX);
    return state;
}

/// Struct bpf_sock as a scripted socket.
World::Socket scripted_by(const std::array<uint8_t, SocketState::kSockSize>& sock) {
    constexpr uint32_t kInet6 = 10, kTcp = 6, kUdp = 17;
    const auto number = [&](uint32_t offset) { return mimicsh::load<uint32_t>(sock.data() + offset); };
    const auto end = [&](uint32_t ip4, uint32_t ip6, uint16_t port) {
        World::Endpoint one;
        one.address.v6 = number(kFamily) == kInet6;
        std::copy_n(sock.begin() + (one.address.v6 ? ip6 : ip4), one.address.size(),
                    one.address.bytes.begin());
        one.port = port;
        return one;
    };
    World::Socket socket;
    socket.tcp = number(kProtocol) == kTcp;
    socket.other = !socket.tcp && number(kProtocol) != kUdp;
    socket.state = static_cast<uint8_t>(number(kState));
    socket.local = end(kSourceIp4, kSourceIp6, static_cast<uint16_t>(number(kSourcePort)));
    const World::Endpoint peer = end(kPeerIp4, kPeerIp6, mimicsh::load_be<uint16_t>(sock.data() + kPeerPort));
    if (peer.port != 0 || !peer.address.is_any()) {
        socket.peer = peer;
    }
    socket.interface = number(kBoundDev);
    socket.mark = number(kMark);
    socket.priority = number(kPriority);
    socket.rx_queue = number(kRxQueue);
    socket.path = "the run's sock";
    return socket;
}

} // namespace

void fill_sockets(Machine& machine) {
    static const std::vector<World::Socket> kNone;
    constexpr uint32_t kInet = 2, kInet6 = 10, kStream = 1, kDatagram = 2, kTcp = 6, kUdp = 17;
    for (const World::Socket& socket : machine.world().sockets ? *machine.world().sockets : kNone) {
        SocketState state;
        state.scripted = &socket;
        const auto put = [&](uint32_t offset, uint32_t value) {
            mimicsh::store<uint32_t>(state.sock.data() + offset, value);
        };
        const bool v6 = socket.local.address.v6;
        put(kBoundDev, socket.interface);
        put(kFamily, v6 ? kInet6 : kInet);
        put(kType, socket.tcp ? kStream : kDatagram);
        put(kProtocol, socket.tcp ? kTcp : kUdp);
        put(kMark, socket.mark);
        put(kPriority, socket.priority);
        put(kSourcePort, socket.local.port);
        std::copy_n(socket.local.address.bytes.begin(), socket.local.address.size(),
                    state.sock.begin() + (v6 ? kSourceIp6 : kSourceIp4));
        if (socket.peer) {
            mimicsh::store_be<uint16_t>(state.sock.data() + kPeerPort, socket.peer->port);
            std::copy_n(socket.peer->address.bytes.begin(), socket.peer->address.size(),
                        state.sock.begin() + (v6 ? kPeerIp6 : kPeerIp4));
        }
        put(kState, socket.state);
        put(kRxQueue, socket.rx_queue);
        for (const auto& [name, value] : socket.values) {
            const TcpField& field = *find_tcp_field(name);
            std::memcpy(state.tcp.data() + field.offset, &value, field.size);
        }
        machine.sockets.push_back(state);
    }
    machine.sockets.push_back(test_run_socket());
}

Region buffer_socket_region(Machine& machine) {
    Region region;
    region.kind = RegionKind::SocketCommon;
    region.owner = buffer_socket(machine).value_or(static_cast<uint32_t>(machine.sockets.size()) - 1);
    region.host = machine.sockets[region.owner].sock.data();
    region.size = SocketState::kSockSize;
    region.readable = true;
    return region;
}

bool has_run_socket(const Machine& machine) {
    return machine.given_run != nullptr && !machine.given_run->socket.empty();
}

std::optional<uint32_t> buffer_socket(const Machine& machine) {
    const uint32_t last = static_cast<uint32_t>(machine.sockets.size()) - 1;
    const World::BufferSocket& scripted = machine.world().socket;
    if (has_run_socket(machine)) {
        return last;
    }
    return scripted.none ? std::nullopt : std::optional(scripted.position.value_or(last));
}

uint64_t set_buffer_socket(Machine& machine) {
    SocketState& last = machine.sockets.back();
    if (has_run_socket(machine)) {
        std::ranges::copy(machine.given_run->socket, last.sock.begin());
        machine.run_socket = scripted_by(last.sock);
        last.scripted = &machine.run_socket;
        last.last_cookie_ns = 0;
    } else if (last.scripted == &machine.run_socket) {
        last = test_run_socket();
    }
    const auto index = buffer_socket(machine);
    if (!index) {
        return 0;
    }
    uint8_t* const image = machine.context_image.data();
    auto& sock = machine.sockets[*index].sock;
    constexpr std::array<std::array<uint32_t, 3>, 5> kShared{{{kSkbFamily, kFamily, 4},
                                                              {kSkbLocalIp4, kSourceIp4, 4},
                                                              {kSkbRemoteIp4, kPeerIp4, 4},
                                                              {kSkbLocalIp6, kSourceIp6, 16},
                                                              {kSkbRemoteIp6, kPeerIp6, 16}}};
    const bool from_packet = last.scripted == &kTestRun && *index + 1 == machine.sockets.size();
    for (const auto& [in_image, in_sock, size] : kShared) {
        if (from_packet) {
            std::copy_n(image + in_image, size, sock.begin() + in_sock);
        } else {
            std::copy_n(sock.begin() + in_sock, size, image + in_image);
        }
    }
    if (!from_packet) {
        // What is loaded of the peer's port has its two bytes in the upper half (bpf_convert_ctx_access).
        mimicsh::store(image + kSkbRemotePort,
                       uint32_t{mimicsh::load<uint16_t>(sock.data() + kPeerPort)} << 16);
        std::copy_n(sock.begin() + kSourcePort, 4, image + kSkbLocalPort);
    }
    Region& region = machine.regions.at(kBufferSocketHandle);
    region.owner = *index;
    region.host = sock.data();
    return make_addr(kBufferSocketHandle, 0);
}

uint64_t helper_sk_assign(Machine& machine, const uint64_t* args) {
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall, "bpf_sk_assign: the first argument is not the context");
    }
    const auto index = socket_index(machine, args[1], "bpf_sk_assign");
    if (!index) {
        return 0;
    }
    if (args[2] != 0) {
        return errno_result(-EINVAL);
    }
    const World::Socket& socket = *machine.sockets[*index].scripted;
    const bool in_table =
        *index + 1 < machine.sockets.size() || (&socket == &machine.run_socket && !socket.other);
    if (!machine.world().tc_ingress || !in_table) {
        return errno_result(-EOPNOTSUPP);
    }
    machine.note_effect();
    machine.assigned = *index;
    return 0;
}

std::optional<uint32_t> socket_index(Machine& machine, uint64_t addr, const char* helper) {
    const Region* region = socket_at(machine, addr, helper);
    return region == nullptr ? std::nullopt : std::optional<uint32_t>(region->owner);
}

bool is_sock_field(uint32_t offset, uint32_t size, bool full) {
    constexpr uint32_t kWord = 4;
    if (size == 0 || size > kWord || (size & (size - 1)) != 0 || offset % size != 0) {
        return false;
    }
    const auto within = [&](uint32_t first, uint32_t end) { return offset >= first && offset < end; };
    if (!full && within(kType, kSourceIp4)) {
        return false;
    }
    if (within(kPeerPort, kPeerIp4)) {
        return offset == kPeerPort || (offset == kPeerPort + 1 && size == 1);
    }
    const bool whole_only = within(kBoundDev, kFamily) || within(kMark, kSourceIp4);
    return !whole_only || size == kWord;
}

uint64_t widen_sock_field(uint32_t offset, uint64_t value) {
    return offset == kRxQueue && value == UINT32_MAX ? UINT64_MAX : value;
}

uint64_t helper_sk_lookup_tcp(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, true, true);
}

uint64_t helper_sk_lookup_udp(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, false, true);
}

uint64_t helper_skc_lookup_tcp(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, true, false);
}

uint64_t helper_sk_release(Machine& machine, const uint64_t* args) {
    if (socket_at(machine, args[0], "bpf_sk_release") == nullptr) {
        return 0;
    }
    const uint32_t own = handle_of(args[0]);
    const uint32_t reference = machine.regions.at(own).first != 0 ? machine.regions.at(own).first : own;
    if (!spend_on(machine, machine.open_references.size() + machine.regions.size() - reference)) {
        return 0;
    }
    const auto open = std::ranges::find(machine.open_references, reference);
    if (open == machine.open_references.end()) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_sk_release: the argument is no socket that was looked up");
    }
    machine.open_references.erase(open);
    for (uint32_t handle = reference; handle < machine.regions.size(); ++handle) {
        const Region& region = machine.regions.at(handle);
        if (is_socket(region) && (handle == reference || region.first == reference)) {
            machine.regions.kill(handle, "bpf_sk_release");
        }
    }
    return 0;
}

uint64_t helper_sk_fullsock(Machine& machine, const uint64_t* args) {
    return derive(machine, args[0], RegionKind::Socket, "bpf_sk_fullsock");
}

uint64_t helper_tcp_sock(Machine& machine, const uint64_t* args) {
    return derive(machine, args[0], RegionKind::TcpSocket, "bpf_tcp_sock");
}

// -- Sockets as the kernel's own structs (bpf_skc_to_* in net/core/filter.c) --

namespace {

uint64_t as_struct(Machine& machine, uint64_t addr, KernelStruct kind, bool (*fits)(const World::Socket&),
                   const char* helper) {
    const Region* region = addr == 0 ? nullptr : socket_at(machine, addr, helper);
    if (region == nullptr || !fits(*machine.sockets[region->owner].scripted)) {
        return 0;
    }
    return add_kernel_struct(machine, kind, region->owner,
                             region->first != 0 ? region->first : handle_of(addr));
}

} // namespace

uint64_t helper_skc_to_tcp_sock(Machine& machine, const uint64_t* args) {
    const auto fits = [](const World::Socket& one) { return one.tcp && !is_small(one); };
    return as_struct(machine, args[0], KernelStruct::TcpSock, fits, "bpf_skc_to_tcp_sock");
}

uint64_t helper_skc_to_tcp6_sock(Machine& machine, const uint64_t* args) {
    const auto fits = [](const World::Socket& one) {
        return one.tcp && !is_small(one) && one.local.address.v6;
    };
    return as_struct(machine, args[0], KernelStruct::Tcp6Sock, fits, "bpf_skc_to_tcp6_sock");
}

uint64_t helper_skc_to_tcp_timewait_sock(Machine& machine, const uint64_t* args) {
    const auto fits = [](const World::Socket& one) { return one.tcp && one.state == kTimeWait; };
    return as_struct(machine, args[0], KernelStruct::TcpTimewaitSock, fits, "bpf_skc_to_tcp_timewait_sock");
}

uint64_t helper_skc_to_tcp_request_sock(Machine& machine, const uint64_t* args) {
    const auto fits = [](const World::Socket& one) { return one.tcp && one.state == kNewSynRecv; };
    return as_struct(machine, args[0], KernelStruct::TcpRequestSock, fits, "bpf_skc_to_tcp_request_sock");
}

uint64_t helper_skc_to_udp6_sock(Machine& machine, const uint64_t* args) {
    const auto fits = [](const World::Socket& one) { return !one.tcp && !one.other && one.local.address.v6; };
    return as_struct(machine, args[0], KernelStruct::Udp6Sock, fits, "bpf_skc_to_udp6_sock");
}

uint64_t helper_skc_to_other_sock(Machine& machine, const uint64_t* args) {
    if (args[0] != 0) {
        (void)socket_at(machine, args[0], "bpf_skc_to_unix_sock or bpf_skc_to_mptcp_sock");
    }
    return 0; // scripted sockets are TCP and UDP
}

// -- Maps of sockets --

uint64_t look_up_socket(Machine& machine, SockMap& map, uint64_t key) {
    const uint8_t* bytes = machine.span(key, map.key_size(), Access::Read, "map key");
    const auto socket = bytes == nullptr ? std::nullopt : map.socket(bytes);
    if (!socket) {
        return 0;
    }
    const uint64_t pointer = add_pointer(machine, RegionKind::Socket, *socket, 0);
    machine.open_references.push_back(handle_of(pointer));
    return pointer;
}

uint64_t update_socket(Machine& machine, SockMap& map, const uint64_t* args) {
    const uint8_t* bytes = machine.span(args[1], map.key_size(), Access::Read, "map key");
    if (bytes == nullptr) {
        return 0;
    }
    const auto socket =
        args[2] == 0 ? std::nullopt : full_socket(machine, args[2], "bpf_map_update_elem: the value");
    return errno_result(socket ? map.put_socket(bytes, *socket, args[3], &machine.journal) : -EINVAL);
}

std::optional<uint32_t> full_socket(Machine& machine, uint64_t addr, const char* helper) {
    const auto index = socket_index(machine, addr, helper);
    return index && !is_small(*machine.sockets[*index].scripted) ? index : std::nullopt;
}

uint64_t helper_get_listener_sock(Machine& machine, const uint64_t* args) {
    const Region* region = socket_at(machine, args[0], "bpf_get_listener_sock");
    if (region == nullptr || machine.sockets[region->owner].scripted->state != kListen) {
        return 0;
    }
    return derive(machine, args[0], RegionKind::Socket, "bpf_get_listener_sock");
}

} // namespace mimicsh::vm
