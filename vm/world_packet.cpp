// SPDX-License-Identifier: MIT
// The part of a scripted world that belongs to the packet of a run.
#include "base/bytes.h"
#include "vm/context/sk_buff.h"
#include "vm/world_fields.h"

namespace mimicsh::vm {

World::KernelFields read_named_numbers(const json& table, const std::string& path, Problem& problem) {
    World::KernelFields all;
    if (!table.is_object()) {
        problem.refuse(path, "expected a table with named values");
        return all;
    }
    for (const auto& [name, value] : table.items()) {
        if (!value.is_number_integer()) {
            problem.refuse(path + "." + name, "expected a number");
        } else {
            all[name] = value.is_number_unsigned() ? value.get<uint64_t>()
                                                   : static_cast<uint64_t>(value.get<int64_t>());
        }
    }
    return all;
}

World::KernelFields read_kernel_fields(Fields& above, Problem& problem, const char* member) {
    const json* given = above.find(member);
    return given == nullptr ? World::KernelFields() : read_named_numbers(*given, above.at(member), problem);
}

World::Cgroup read_cgroup(Fields& fields, Problem& problem) {
    World::Cgroup cgroup;
    cgroup.id = fields.number64("id");
    cgroup.classid = fields.number("classid");
    cgroup.fields = read_kernel_fields(fields, problem);
    std::vector<uint64_t> ids;
    if (fields.list("ancestors", [&](const json& id, const std::string& path) {
            if (!id.is_number_unsigned()) {
                problem.refuse(path, "expected the id of a cgroup");
                return;
            }
            ids.push_back(id.get<uint64_t>());
        })) {
        cgroup.ancestors = std::move(ids);
    }
    fields.finish();
    return cgroup;
}

namespace {

World::BufferSocket read_socket(Fields& fields, const World& world, Problem& problem) {
    World::BufferSocket socket;
    socket.cookie = fields.number64("cookie");
    socket.uid = fields.number("uid");
    socket.none = fields.boolean("none").value_or(false);
    if (const auto place = fields.number("is")) {
        if (*place == 0 || !world.sockets || *place > world.sockets->size()) {
            fields.refuse("is", "world.sockets has no element " + std::to_string(*place));
        }
        socket.position = *place - 1;
    }
    if (socket.none && socket.position) {
        fields.refuse("none", "given together with 'is'");
    }
    if (const json* value = fields.find("cgroup")) {
        Fields cgroup(*value, fields.at("cgroup"), problem);
        socket.cgroup = read_cgroup(cgroup, problem);
    }
    fields.finish();
    return socket;
}

Tunnel read_tunnel(Fields& fields) {
    constexpr uint32_t kMaxLabel = 0xfffff;
    constexpr size_t kMaxOptions = 255; // IP_TUNNEL_OPTS_MAX
    Tunnel tunnel;
    tunnel.id = fields.number64("id").value_or(0);
    const IpAddress remote = fields.need("remote", fields.address("remote"));
    const auto local = fields.address("local");
    tunnel.v6 = remote.v6;
    tunnel.source = remote.bytes;
    if (local) {
        tunnel.destination = local->bytes;
        if (local->v6 != remote.v6) {
            fields.refuse("local", "of another family than 'remote'");
        }
    }
    tunnel.tos = static_cast<uint8_t>(fields.number("tos", UINT8_MAX).value_or(0));
    tunnel.ttl = static_cast<uint8_t>(fields.number("ttl", UINT8_MAX).value_or(0));
    tunnel.label = fields.number("label", kMaxLabel).value_or(0);
    tunnel.flags = static_cast<uint16_t>(fields.number("flags", UINT16_MAX).value_or(0));
    tunnel.options = fields.bytes("options").value_or(ByteVec{});
    if (tunnel.options.size() > kMaxOptions) {
        fields.refuse("options", "at most 255 bytes");
    }
    fields.finish();
    return tunnel;
}

World::Connection read_connection(Fields& fields, Problem& problem) {
    constexpr std::array<std::string_view, 2> kProtocols{"tcp", "udp"};
    constexpr uint8_t kTcp = 6, kUdp = 17;
    constexpr uint32_t kConfirmed = 8, kHour = 3'600'000;
    World::Connection one;
    one.protocol = fields.need("proto", fields.word("proto", kProtocols)) == 0 ? kTcp : kUdp;
    one.original.source = fields.need("source", fields.endpoint("source"));
    one.original.destination = fields.need("destination", fields.endpoint("destination"));
    one.reply.source = fields.endpoint("reply_source").value_or(one.original.destination);
    one.reply.destination = fields.endpoint("reply_destination").value_or(one.original.source);
    one.status = fields.number("status").value_or(0) | kConfirmed;
    one.timeout_ms = fields.number("timeout_ms").value_or(kHour);
    one.zone = static_cast<uint16_t>(fields.number("zone", UINT16_MAX).value_or(0));
    one.mark = fields.number("mark").value_or(0);
    one.fields = read_kernel_fields(fields, problem);
    one.path = fields.path();
    fields.finish();
    const bool v6 = one.original.source.address.v6;
    for (const World::Endpoint* end :
         {&one.original.destination, &one.reply.source, &one.reply.destination}) {
        if (end->address.v6 != v6) {
            fields.refuse("source", "of another family than the other addresses");
        }
    }
    return one;
}

World::SecurityState read_security_state(Fields& fields, Problem& problem) {
    constexpr std::array<std::string_view, 3> kProtocols{"esp", "ah", "comp"};
    constexpr std::array<uint8_t, 3> kNumbers{50, 51, 108};
    World::SecurityState one;
    one.path = fields.path();
    one.destination = fields.need("destination", fields.address("destination"));
    one.source = fields.address("source");
    one.spi = fields.need("spi", fields.number("spi"));
    one.protocol = kNumbers[fields.need("proto", fields.word("proto", kProtocols))];
    one.reqid = fields.number("reqid").value_or(0);
    one.mark = fields.number("mark").value_or(0);
    one.mask = fields.number("mask").value_or(one.mark == 0 ? 0 : UINT32_MAX);
    one.fields = read_kernel_fields(fields, problem);
    fields.finish();
    if (one.source && one.source->v6 != one.destination.v6) {
        fields.refuse("source", "of another family than 'destination'");
    }
    return one;
}

/// {sk_buff = {truesize = 768}}
void read_kernel(Fields& top, World& world, Problem& problem) {
    if (const json* value = top.find("kernel")) {
        Fields structs(*value, "world.kernel", problem);
        for (const char* name : {"net", "sk_buff", "skb_shared_info", "xdp_buff", "xdp_rxq_info"}) {
            if (auto fields = read_kernel_fields(structs, problem, name); !fields.empty()) {
                world.kernel[name] = std::move(fields);
            }
        }
        structs.finish();
    }
}

} // namespace

void read_packet_world(Fields& top, World& world, Problem& problem) {
    world.tc_ingress = top.boolean("tc_ingress").value_or(false);
    if (const json* value = top.find("socket")) {
        Fields fields(*value, "world.socket", problem);
        world.socket = read_socket(fields, world, problem);
    }
    world.linear = top.number("linear");
    if (world.linear && *world.linear < kEthHeader) {
        top.refuse("linear", "a socket buffer's linear part has the link-layer header: 14 at least");
    }
    if (const json* value = top.find("tunnel")) {
        Fields fields(*value, "world.tunnel", problem);
        world.tunnel = read_tunnel(fields);
    }
    if (const json* value = top.find("rx")) {
        Fields fields(*value, "world.rx", problem);
        World::Rx rx;
        rx.timestamp = fields.number64("timestamp");
        rx.hash = fields.number("hash");
        rx.hash_type = fields.number("hash_type").value_or(0);
        if (const auto tci = fields.number("vlan_tci", UINT16_MAX)) {
            rx.vlan_tci = static_cast<uint16_t>(*tci);
        }
        rx.vlan_proto = static_cast<uint16_t>(fields.number("vlan_proto", UINT16_MAX).value_or(0x8100));
        fields.finish();
        world.rx = rx;
    }
    std::vector<World::Connection> connections;
    if (top.list("conntrack", [&](const json& value, const std::string& path) {
            Fields fields(value, path, problem);
            connections.push_back(read_connection(fields, problem));
        })) {
        world.conntrack = std::move(connections);
    }
    std::vector<World::SecurityState> states;
    if (top.list("xfrm_states", [&](const json& value, const std::string& path) {
            Fields fields(value, path, problem);
            states.push_back(read_security_state(fields, problem));
        })) {
        world.xfrm_states = std::move(states);
    }
    read_kernel(top, world, problem);
    (void)top.list("xfrm", [&](const json& value, const std::string& path) {
        Fields fields(value, path, problem);
        World::XfrmState one;
        one.reqid = fields.number("reqid").value_or(0);
        one.spi = fields.need("spi", fields.number("spi"));
        one.remote = fields.need("remote", fields.address("remote"));
        fields.finish();
        world.xfrm.push_back(one);
    });
}

} // namespace mimicsh::vm
