// SPDX-License-Identifier: MIT
// Reading a scripted world from JSON, and what follows from it: loopback, local and connected routes.
#include "vm/world.h"

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "vm/world_fields.h"

namespace mimicsh::vm {

namespace {

// -- Values --

constexpr std::array<std::string_view, 13> kStates{
    "",      "established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2",   "time_wait",
    "close", "close_wait",  "last_ack", "listen",   "closing",   "new_syn_recv"};
constexpr uint8_t kEstablished = 1, kClose = 7, kListen = 10;

constexpr std::array<std::string_view, 8> kRouteTypes{"unicast",   "local",       "broadcast", "anycast",
                                                      "blackhole", "unreachable", "prohibit",  "throw"};

constexpr std::array<TcpField, 26> kTcpFields{{
    {"snd_cwnd", 0},
    {"srtt_us", 4},
    {"rtt_min", 8},
    {"snd_ssthresh", 12},
    {"rcv_nxt", 16},
    {"snd_nxt", 20},
    {"snd_una", 24},
    {"mss_cache", 28},
    {"ecn_flags", 32},
    {"rate_delivered", 36},
    {"rate_interval_us", 40},
    {"packets_out", 44},
    {"retrans_out", 48},
    {"total_retrans", 52},
    {"segs_in", 56},
    {"data_segs_in", 60},
    {"segs_out", 64},
    {"data_segs_out", 68},
    {"lost_out", 72},
    {"sacked_out", 76},
    {"bytes_received", 80, 8},
    {"bytes_acked", 88, 8},
    {"dsack_dups", 96},
    {"delivered", 100},
    {"delivered_ce", 104},
    {"icsk_retransmits", 108},
}};

// -- The parts --

class WorldReader {
  public:
    WorldReader(const json& value, Problem& problem) : value_(value), problem_(problem) {}

    std::shared_ptr<const World> read() {
        Fields top(value_, "world", problem_);
        read_interfaces(top);
        read_routes(top);
        read_neighbours(top);
        read_sockets(top);
        read_task(top);
        read_machine(top);
        read_ksyms(top);
        read_packet_world(top, *world_, problem_);
        top.finish();
        return world_;
    }

  private:
    /// {nr_cpu_ids = 4, init_pid_ns = "00ff...", cpu_number = {0, 1}, runqueues = {{nr_running = 2}, ...}}
    void read_ksyms(Fields& top) {
        const json* all = top.find("ksyms");
        if (all == nullptr) {
            return;
        }
        if (!all->is_object()) {
            top.refuse("ksyms", "expected a table with named values");
            return;
        }
        for (const auto& [name, value] : all->items()) {
            const std::string path = "world.ksyms." + name;
            World::KernelVariable& variable = world_->ksyms[name];
            variable.is_list = value.is_array();
            if (!variable.is_list) {
                variable.contents.push_back(read_content(value, path));
            }
            for (size_t i = 0; variable.is_list && i < value.size(); ++i) {
                variable.contents.push_back(read_content(value[i], path + "[" + std::to_string(i + 1) + "]"));
            }
            if (variable.contents.empty()) {
                problem_.refuse(path, "is empty");
            }
        }
    }

    World::KernelVariable::Content read_content(const json& value, const std::string& path) {
        World::KernelVariable::Content content;
        if (value.is_number_integer()) {
            content.number = value.is_number_unsigned() ? value.get<uint64_t>()
                                                        : static_cast<uint64_t>(value.get<int64_t>());
        } else if (value.is_object() && !value.empty()) {
            content.fields = read_named_numbers(value, path, problem_);
        } else if (const auto bytes = value.is_string() ? from_hex(value.get<std::string>()) : std::nullopt;
                   bytes && !bytes->empty()) {
            content.bytes = *bytes;
        } else {
            problem_.refuse(path,
                            "expected a number, bytes as hexadecimal digits, or named fields of a struct");
        }
        return content;
    }

    void read_interfaces(Fields& top) {
        std::vector<World::Interface> all;
        const bool given = top.list("interfaces", [&](const json& value, const std::string& path) {
            Fields fields(value, path, problem_);
            World::Interface one;
            one.path = path;
            one.name = fields.need("name", fields.text("name"));
            one.index = fields.need("index", fields.number("index", INT32_MAX));
            one.mtu = fields.number("mtu");
            one.mac = fields.mac("mac");
            one.forwarding = fields.boolean("forwarding").value_or(true);
            one.peer = fields.number("peer", INT32_MAX);
            one.fields = read_kernel_fields(fields, problem_);
            std::vector<IpPrefix> addresses;
            if (fields.list("addresses", [&](const json& text, const std::string& at) {
                    const auto prefix =
                        text.is_string() ? fields.prefix(at.substr(path.size() + 1), text) : std::nullopt;
                    if (prefix) {
                        addresses.push_back(*prefix);
                    } else {
                        problem_.refuse(at, "expected \"address/length\"");
                    }
                })) {
                one.addresses = std::move(addresses);
            }
            fields.finish();
            if (one.index == 0) {
                fields.refuse("index", "interfaces count from 1");
            }
            for (const World::Interface& other : all) {
                if (other.index == one.index || other.name == one.name) {
                    problem_.refuse(path, "same name or index as " + other.path);
                }
            }
            all.push_back(std::move(one));
        });
        if (!given) {
            return;
        }
        constexpr uint32_t kLoopback = 1;
        if (std::ranges::find(all, kLoopback, &World::Interface::index) == all.end()) {
            World::Interface lo{"lo", kLoopback, 65536, MacAddress{}, true, {}, {}, "lo", {}};
            lo.addresses = {{*ip_from("127.0.0.1"), 8}, {*ip_from("::1"), 128}};
            all.push_back(std::move(lo));
        }
        world_->interfaces = std::move(all);
    }

    /// Index of the interface that a field names, or gives as a number; 0 when it is missing.
    uint32_t interface_of(Fields& fields, const char* name) {
        const json* value = fields.find(name);
        if (value == nullptr) {
            return 0;
        }
        for (const World::Interface& one : world_->interfaces.value_or(std::vector<World::Interface>{})) {
            if ((value->is_string() && one.name == value->get<std::string>()) ||
                (value->is_number_unsigned() && one.index == value->get<uint64_t>())) {
                return one.index;
            }
        }
        fields.refuse(name, "no interface " + value->dump() + " in world.interfaces");
        return 0;
    }

    void read_routes(Fields& top) {
        std::vector<World::Route> all;
        const bool given = top.list("routes", [&](const json& value, const std::string& path) {
            Fields fields(value, path, problem_);
            World::Route one;
            const std::string to = fields.need("to", fields.text("to"));
            one.via = fields.address("via");
            one.source = fields.address("source");
            if (to == "default") {
                one.to.address.v6 = one.via && one.via->v6;
            } else if (const auto prefix = fields.prefix("to", to)) {
                one.to = *prefix;
            }
            one.type = static_cast<RouteType>(fields.word("type", kRouteTypes).value_or(0));
            one.interface = interface_of(fields, "dev");
            one.table = fields.number("table").value_or(World::kMainTable);
            one.metric = fields.number("metric").value_or(one.to.address.v6 ? kIp6Metric : 0);
            one.mtu = fields.number("mtu").value_or(0);
            one.encap = fields.boolean("encap").value_or(false);
            fields.finish();
            if (one.type == RouteType::Unicast && one.interface == 0) {
                fields.refuse("dev", "a unicast route needs its interface");
            }
            if (one.source && one.source->v6 != one.to.address.v6) {
                fields.refuse("source", "of another family than 'to'");
            }
            if (one.via && one.to.address.v6 && !one.via->v6) {
                fields.refuse("via", "an IPv4 gateway for IPv6");
            }
            all.push_back(one);
        });
        if (!given) {
            return;
        }
        for (const World::Interface& one : world_->interfaces.value_or(std::vector<World::Interface>{})) {
            for (const IpPrefix& prefix : one.addresses.value_or(std::vector<IpPrefix>{})) {
                add_implied(all, one, prefix);
            }
        }
        world_->routes = std::move(all);
    }

    /// Routes that the kernel makes of an address: to itself, to its network, to its special addresses.
    static void add_implied(std::vector<World::Route>& all, const World::Interface& owner,
                            const IpPrefix& prefix) {
        const auto bits = static_cast<uint32_t>(prefix.address.size() * 8);
        const auto add = [&](const IpAddress& to, uint32_t length, RouteType type, uint32_t table) {
            World::Route route;
            route.to = {to, length};
            route.type = type;
            route.interface = owner.index;
            route.table = table;
            if (prefix.address.v6) {
                route.metric = table == World::kLocalTable ? 0 : kIp6Connected;
            } else {
                route.source = prefix.address;
            }
            all.push_back(route);
        };
        IpAddress network = prefix.address;
        IpAddress last = prefix.address;
        for (uint32_t bit = prefix.length; bit < bits; ++bit) {
            const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
            network.bytes[bit / 8] &= static_cast<uint8_t>(~mask);
            last.bytes[bit / 8] |= mask;
        }
        add(prefix.address, bits, RouteType::Local, World::kLocalTable);
        const bool loopback = !prefix.address.v6 && prefix.address.bytes[0] == 127;
        if (loopback) {
            add(network, prefix.length, RouteType::Local, World::kLocalTable);
            add(last, bits, RouteType::Broadcast, World::kLocalTable);
        } else if (prefix.address.v6 && prefix.length < bits) {
            add(network, prefix.length, RouteType::Unicast, World::kMainTable);
            if (prefix.length < 127 && owner.forwarding) {
                add(network, bits, RouteType::Anycast, World::kLocalTable);
            }
        } else if (!prefix.address.v6 && prefix.length < bits) {
            add(network, prefix.length, RouteType::Unicast, World::kMainTable);
            if (prefix.length < 31) {
                add(last, bits, RouteType::Broadcast, World::kLocalTable);
            }
        }
    }

    void read_neighbours(Fields& top) {
        std::vector<World::Neighbour> all;
        if (top.list("neighbours", [&](const json& value, const std::string& path) {
                Fields fields(value, path, problem_);
                World::Neighbour one;
                one.address = fields.need("ip", fields.address("ip"));
                one.mac = fields.need("mac", fields.mac("mac"));
                one.interface = interface_of(fields, "dev");
                fields.finish();
                if (one.interface == 0) {
                    fields.refuse("dev", "missing");
                }
                all.push_back(one);
            })) {
            world_->neighbours = std::move(all);
        }
    }

    void read_sockets(Fields& top) {
        std::vector<World::Socket> all;
        if (top.list("sockets", [&](const json& value, const std::string& path) {
                Fields fields(value, path, problem_);
                all.push_back(read_socket(fields));
                fields.finish();
            })) {
            world_->sockets = std::move(all);
        }
    }

    World::Socket read_socket(Fields& fields) {
        constexpr std::array<std::string_view, 2> kProtocols{"tcp", "udp"};
        World::Socket one;
        one.path = fields.path();
        one.tcp = fields.need("proto", fields.word("proto", kProtocols)) == 0;
        one.local = fields.need("local", fields.endpoint("local"));
        one.peer = fields.endpoint("peer");
        const uint8_t usual = one.peer ? kEstablished : one.tcp ? kListen : kClose;
        one.state = fields.word("state", kStates).value_or(usual);
        one.interface = interface_of(fields, "dev");
        one.v6only = fields.boolean("v6only").value_or(false);
        one.mark = fields.number("mark").value_or(0);
        one.priority = fields.number("priority").value_or(0);
        one.rx_queue = fields.number("rx_queue", UINT16_MAX - 1).value_or(UINT32_MAX);
        one.mss = fields.number("mss", UINT16_MAX).value_or(0);
        one.syn_queue_full = fields.boolean("syn_queue_full").value_or(false);
        if (const json* value = fields.find("cgroup")) {
            Fields cgroup(*value, fields.at("cgroup"), problem_);
            one.cgroup = read_cgroup(cgroup, problem_);
        }
        if (const json* values = fields.find("tcp")) {
            Fields tcp(*values, fields.at("tcp"), problem_);
            for (const TcpField& field : kTcpFields) {
                const std::string name(field.name);
                if (const auto number =
                        tcp.number64(name.c_str(), field.size == 8 ? UINT64_MAX : UINT32_MAX)) {
                    one.values[name] = *number;
                }
            }
            tcp.finish();
        }
        one.fields = read_kernel_fields(fields, problem_);
        if (one.peer && one.peer->address.v6 != one.local.address.v6) {
            fields.refuse("peer", "of another family than 'local'");
        }
        if (one.state == kListen && (one.peer || !one.tcp)) {
            fields.refuse("state", "only a TCP socket without a peer listens");
        }
        return one;
    }

    void read_task(Fields& top) {
        if (const json* value = top.find("task")) {
            Fields fields(*value, "world.task", problem_);
            World::Task& task = world_->task;
            task.pid = fields.number("pid", INT32_MAX);
            task.tgid = fields.number("tgid", INT32_MAX);
            task.uid = fields.number("uid");
            task.gid = fields.number("gid");
            task.comm = fields.text("comm");
            if (task.comm && (task.comm->size() > 15 || task.comm->find('\0') != std::string::npos)) {
                fields.refuse("comm", "a task's name has at most 15 characters");
            }
            task.fields = read_kernel_fields(fields, problem_);
            task.registers = read_kernel_fields(fields, problem_, "regs");
            task.stack = read_stack(fields, "stack");
            task.user_stack = read_stack(fields, "user_stack");
            if (const json* inner = fields.find("ns")) {
                Fields ns(*inner, "world.task.ns", problem_);
                task.pid_namespace = World::Task::PidNamespace{ns.need("dev", ns.number64("dev")),
                                                               ns.need("ino", ns.number64("ino")),
                                                               ns.need("pid", ns.number("pid", INT32_MAX)),
                                                               ns.need("tgid", ns.number("tgid", INT32_MAX))};
                ns.finish();
            }
            fields.finish();
        }
        if (const json* value = top.find("cgroup")) {
            Fields fields(*value, "world.cgroup", problem_);
            world_->cgroup = read_cgroup(fields, problem_);
        }
    }

    /// A list of addresses, or of {ip=, build_id=, offset=}.
    std::optional<std::vector<World::Task::StackEntry>> read_stack(Fields& task, const char* name) {
        std::vector<World::Task::StackEntry> all;
        const bool given = task.list(name, [&](const json& value, const std::string& path) {
            World::Task::StackEntry& one = all.emplace_back();
            if (value.is_number_unsigned()) {
                one.address = value.get<uint64_t>();
                return;
            }
            if (!value.is_object()) {
                problem_.refuse(path, "expected an address, which is a number, or a table with 'ip', got " +
                                          value.dump());
                return;
            }
            Fields fields(value, path, problem_);
            one.address = fields.need("ip", fields.number64("ip"));
            one.offset = fields.number64("offset").value_or(0);
            if (const auto id = fields.bytes("build_id")) {
                if (id->empty() || id->size() > one.build_id.emplace().size()) {
                    fields.refuse("build_id", "a build id has 1 to 20 bytes");
                    return;
                }
                std::copy(id->begin(), id->end(), one.build_id->begin());
            }
            fields.finish();
        });
        return given ? std::optional(std::move(all)) : std::nullopt;
    }

    void read_machine(Fields& top) {
        world_->netns_cookie = top.number64("netns_cookie");
        world_->init_netns_cookie = top.number64("init_netns_cookie");
        world_->numa_node = top.number("numa_node", 1023);
        world_->route_realm = top.number("route_realm");
        world_->tcp_syncookies = top.number("tcp_syncookies", 2);
        world_->conntrack_max = top.number("conntrack_max");
        world_->cpu = top.number("cpu", 1023);
        if (const json* value = top.find("time")) {
            Fields fields(*value, "world.time", problem_);
            const uint64_t now = fields.need("ns", fields.number64("ns", INT64_MAX));
            world_->clock_ns = now;
            const auto offset = [&](const char* name) {
                return static_cast<int64_t>(fields.number64(name, INT64_MAX).value_or(now) - now);
            };
            world_->boot_offset_ns = offset("boot_ns");
            world_->tai_offset_ns = offset("tai_ns");
            fields.finish();
        }
    }

    static constexpr uint32_t kIp6Metric = 1024;   // IP6_RT_PRIO_USER
    static constexpr uint32_t kIp6Connected = 256; // IP6_RT_PRIO_ADDRCONF

    const json& value_;
    Problem& problem_;
    std::shared_ptr<World> world_ = std::make_shared<World>();
};

} // namespace

bool IpPrefix::contains(const IpAddress& other) const {
    if (other.v6 != address.v6) {
        return false;
    }
    const size_t whole = length / 8;
    if (!std::equal(other.bytes.begin(), other.bytes.begin() + static_cast<ptrdiff_t>(whole),
                    address.bytes.begin())) {
        return false;
    }
    const uint32_t rest = length % 8;
    return rest == 0 || ((other.bytes[whole] ^ address.bytes[whole]) >> (8 - rest)) == 0;
}

const World::Interface* World::find_interface(uint32_t index) const {
    if (!interfaces) {
        return nullptr;
    }
    const auto found = std::ranges::find(*interfaces, index, &Interface::index);
    return found == interfaces->end() ? nullptr : &*found;
}

std::string World::interface_name(uint32_t index) const {
    constexpr uint32_t kLoopback = 1;
    const Interface* device = find_interface(index);
    return device != nullptr ? device->name : index == kLoopback ? "lo" : "";
}

const TcpField* find_tcp_field(std::string_view name) {
    const auto found = std::ranges::find(kTcpFields, name, &TcpField::name);
    return found == kTcpFields.end() ? nullptr : &*found;
}

const TcpField* find_tcp_field(uint32_t offset, uint32_t size) {
    for (const TcpField& field : kTcpFields) {
        if (field.offset == offset && field.size == size) {
            return &field;
        }
    }
    return nullptr;
}

Expected<std::shared_ptr<const World>> parse_world(std::string_view text) {
    json value;
    try {
        value = json::parse(text);
    } catch (const json::exception& e) { // "[json.exception...] parse error at line 1, column 2: ..."
        const std::string_view what = e.what();
        const size_t start = what.find("] ");
        return Error{EINVAL,
                     "load",
                     "world: not JSON: " + std::string(what.substr(start == what.npos ? 0 : start + 2)),
                     {},
                     {}};
    }
    Problem problem;
    auto world = WorldReader(value, problem).read();
    if (problem.error) {
        return *problem.error;
    }
    return world;
}

} // namespace mimicsh::vm
