// SPDX-License-Identifier: MIT
// The scripted world: what the machine around a program would answer, given at load. A value that is not
// given and is asked for ends the run with a fault that names it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "object/target.h"

namespace mimicsh::vm {

/// An IPv4 or IPv6 address in network order.
struct IpAddress {
    bool v6 = false;
    std::array<uint8_t, 16> bytes{}; ///< of IPv4 the first four

    [[nodiscard]] size_t size() const { return v6 ? 16 : 4; }
    [[nodiscard]] bool is_any() const { return bytes == std::array<uint8_t, 16>{}; }
    friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// "10.0.0.1/24": an address with the length of its network's prefix in bits.
struct IpPrefix {
    IpAddress address;
    uint32_t length = 0;

    [[nodiscard]] bool contains(const IpAddress& other) const;
};

using MacAddress = std::array<uint8_t, 6>;

/// RTN_* as far as they can be scripted or follow from addresses.
enum class RouteType : uint8_t {
    Unicast,
    Local,
    Broadcast,
    Anycast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw
};

struct World {
    static constexpr uint32_t kMainTable = 254, kLocalTable = 255;

    /// Fields of a kernel struct by name ("icsk_rto") or by path ("inet_conn.icsk_rto").
    using KernelFields = std::map<std::string, uint64_t, std::less<>>;

    struct Interface {
        std::string name;
        uint32_t index = 0;
        std::optional<uint32_t> mtu;
        std::optional<MacAddress> mac;
        bool forwarding = true;
        std::optional<uint32_t> peer; ///< index of the device at the other end, in its own namespace
        std::optional<std::vector<IpPrefix>> addresses;
        std::string path;    ///< "world.interfaces[1]", for faults
        KernelFields fields; ///< of struct net_device
    };

    struct Route {
        IpPrefix to;
        RouteType type = RouteType::Unicast;
        uint32_t interface = 0; ///< index; 0 for types that lead nowhere
        std::optional<IpAddress> via;
        std::optional<IpAddress> source; ///< preferred source address
        uint32_t table = kMainTable;
        uint32_t metric = 0;
        uint32_t mtu = 0;   ///< locked MTU ("mtu lock"); 0 = the interface's
        bool encap = false; ///< has a lightweight tunnel
    };

    struct Neighbour {
        IpAddress address;
        uint32_t interface = 0;
        MacAddress mac{};
    };

    struct Endpoint {
        IpAddress address;
        uint16_t port = 0;
        friend bool operator==(const Endpoint&, const Endpoint&) = default;
    };

    struct Cgroup {
        std::optional<uint64_t> id;
        std::optional<std::vector<uint64_t>> ancestors; ///< ids from the root (level 0) to the cgroup itself
        std::optional<uint32_t> classid;
        KernelFields fields; ///< of struct cgroup
    };

    struct Socket {
        bool tcp = true;
        bool other = false; ///< neither TCP nor UDP
        uint8_t state = 0;  ///< TCP_* of include/net/tcp_states.h, for UDP too
        Endpoint local;
        std::optional<Endpoint> peer;
        uint32_t interface = 0; ///< bound to; 0 = any
        bool v6only = false;
        uint32_t mark = 0;
        uint32_t priority = 0;
        uint32_t rx_queue = UINT32_MAX; ///< UINT32_MAX = none
        uint32_t mss = 0;               ///< TCP_MAXSEG of a listener; 0 = not set
        bool syn_queue_full = false;    ///< a listener that has begun to send SYN cookies
        std::map<std::string, uint64_t, std::less<>> values; ///< fields of struct bpf_tcp_sock by name
        std::optional<Cgroup> cgroup;
        KernelFields fields; ///< what bpf_skc_to_tcp_sock and its like show beyond the above
        std::string path;    ///< "world.sockets[1]", for faults
    };

    /// An entry of the conntrack table.
    struct Connection {
        struct Tuple {
            Endpoint source, destination;
            friend bool operator==(const Tuple&, const Tuple&) = default;
        };
        uint8_t protocol = 0; ///< IPPROTO_TCP or IPPROTO_UDP
        Tuple original, reply;
        uint32_t status = 0;     ///< IPS_* bits
        uint32_t timeout_ms = 0; ///< time left at the start
        uint16_t zone = 0;
        uint8_t zone_direction = 3; ///< 1 original, 2 reply, 3 both
        uint32_t mark = 0;
        KernelFields fields; ///< of struct nf_conn, beyond the above
        std::string path;    ///< "world.conntrack[1]", for faults; empty: a program made it
    };

    struct Task {
        std::optional<uint32_t> pid, tgid, uid, gid;
        std::optional<std::string> comm;
        struct PidNamespace {
            uint64_t dev = 0, ino = 0;
            uint32_t pid = 0, tgid = 0;
        };
        std::optional<PidNamespace> pid_namespace;
        /// One call of a stack; with the build id of its file, at an offset of that.
        struct StackEntry {
            uint64_t address = 0;
            std::optional<std::array<uint8_t, 20>> build_id;
            uint64_t offset = 0;
        };
        std::optional<std::vector<StackEntry>> stack, user_stack; ///< innermost first
        KernelFields registers;                                   ///< of struct pt_regs
        KernelFields fields;                                      ///< of struct task_struct
    };

    /// The socket that a socket buffer belongs to: what a test run makes, one of `sockets`, or none.
    struct BufferSocket {
        std::optional<uint64_t> cookie;
        std::optional<uint32_t> uid;
        std::optional<uint32_t> position; ///< in `sockets`, from 0
        bool none = false;
        std::optional<Cgroup> cgroup; ///< not given = the task's, which is whose a test run's socket is
    };

    /// One IPsec transformation that the packet went through.
    struct XfrmState {
        uint32_t reqid = 0;
        uint32_t spi = 0; ///< host order
        IpAddress remote;
    };

    /// An IPsec state of the machine's (ip xfrm state).
    struct SecurityState {
        IpAddress destination;
        std::optional<IpAddress> source;
        uint32_t spi = 0; ///< host order
        uint8_t protocol = 0;
        uint32_t reqid = 0;
        uint32_t mark = 0, mask = 0; ///< found for marks that are `mark` under `mask`
        KernelFields fields;         ///< of struct xfrm_state, beyond the above
        std::string path;            ///< "world.xfrm_states[1]", for faults
    };

    std::optional<std::vector<Interface>> interfaces; ///< with lo (index 1), given or not
    std::optional<std::vector<Route>> routes;         ///< with those that follow from addresses
    std::optional<std::vector<Neighbour>> neighbours;
    std::optional<std::vector<Socket>> sockets;
    Task task;
    Cgroup cgroup;
    BufferSocket socket;
    std::optional<std::vector<Connection>> conntrack;
    std::optional<uint32_t> conntrack_max; ///< net.netfilter.nf_conntrack_max
    /// Bytes of a packet, link-layer header included, that a socket buffer's linear part takes; the rest is
    /// in pages. Not given = all.
    std::optional<uint32_t> linear;
    std::optional<Tunnel> tunnel; ///< metadata of the tunnel that the packet came out of
    std::vector<XfrmState> xfrm;  ///< outermost first
    std::optional<std::vector<SecurityState>> xfrm_states;
    /// world.kernel: fields of structs of the kernel that nothing else says, by the struct's name.
    std::map<std::string, KernelFields, std::less<>> kernel;
    /// A variable of the kernel: its contents, or, of one without type, its address.
    struct KernelVariable {
        /// One of the three.
        struct Content {
            std::optional<uint64_t> number;
            ByteVec bytes;
            KernelFields fields;
        };
        std::vector<Content> contents; ///< one, or one for each CPU; never empty
        bool is_list = false;
    };
    std::map<std::string, KernelVariable, std::less<>> ksyms; ///< by name
    /// What the card says of the packet; without it the card cannot say anything.
    struct Rx {
        std::optional<uint64_t> timestamp;
        std::optional<uint32_t> hash;
        uint32_t hash_type = 0; ///< enum xdp_rss_hash_type
        std::optional<uint16_t> vlan_tci;
        uint16_t vlan_proto = 0x8100;
    };
    std::optional<Rx> rx;
    bool tc_ingress = false;                   ///< tc programs run at ingress; a test run is at neither hook
    std::optional<uint64_t> netns_cookie;      ///< of the namespace that the packet is in
    std::optional<uint64_t> init_netns_cookie; ///< of the machine's first namespace
    std::optional<uint32_t> numa_node;
    std::optional<uint32_t> route_realm;
    std::optional<uint32_t> tcp_syncookies; ///< net.ipv4.tcp_syncookies: 0, 1 or 2
    std::optional<uint64_t> clock_ns;       ///< time.ns: ktime_get_ns
    int64_t boot_offset_ns = 0;             ///< time.boot_ns less time.ns
    int64_t tai_offset_ns = 0;              ///< time.tai_ns less time.ns
    std::optional<uint32_t> cpu;

    [[nodiscard]] const Interface* find_interface(uint32_t index) const;
    /// Empty when it is not known; 1 is lo in any case.
    [[nodiscard]] std::string interface_name(uint32_t index) const;
};

/// Reads a world from JSON. A word or value that has no meaning is refused with its path; lists count from 1:
/// "world.routes[2].via: not an address: 'x'".
[[nodiscard]] Expected<std::shared_ptr<const World>> parse_world(std::string_view json);

/// Names of the fields of struct bpf_tcp_sock with their offset and size, for `World::Socket::values`.
struct TcpField {
    std::string_view name;
    uint16_t offset = 0;
    uint16_t size = 4;
};
[[nodiscard]] const TcpField* find_tcp_field(std::string_view name);
[[nodiscard]] const TcpField* find_tcp_field(uint32_t offset, uint32_t size);
inline constexpr uint32_t kTcpSockSize = 112;

} // namespace mimicsh::vm
