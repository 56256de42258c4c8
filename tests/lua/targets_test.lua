-- SPDX-License-Identifier: MIT
-- Programs in the entries of device and CPU maps: put there on both targets, run by the vm on what is sent there.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local raw, tc = require "raw", require "tc"
local here = arg[0]:match "^(.*/)" or "./"
local both, wire = dofile(here .. "both.lua"), dofile(here .. "wire.lua")

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define TARGETS(name, kind, entry) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, 4); \
		__type(key, __u32); \
		__type(value, struct entry); \
	} name SEC(".maps")

TARGETS(ports, BPF_MAP_TYPE_DEVMAP, bpf_devmap_val);
TARGETS(cpus, BPF_MAP_TYPE_CPUMAP, bpf_cpumap_val);

__u64 runs, bytes, cpu;

SEC("xdp") int forward(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	if (data + 40 > (void *)(long)ctx->data_end)
		return XDP_PASS;
	bpf_xdp_adjust_head(ctx, 14);
	return bpf_redirect_map(&ports, 1, XDP_DROP);
}

SEC("xdp") int spread(struct xdp_md *ctx)
{
	return bpf_redirect_map(&cpus, 1, XDP_DROP);
}

SEC("xdp/devmap") int out(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + 20 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__sync_fetch_and_add(&runs, 1);
	__sync_fetch_and_add(&bytes, ctx->data_end - ctx->data);
	if (data[8] == 1)
		return XDP_DROP;
	data[8]--;
	return XDP_PASS;
}

SEC("xdp/cpumap") int in(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	cpu = bpf_get_smp_processor_id();
	return XDP_TX;
}

#ifdef WITH_WRONG
SEC("xdp/devmap") int wrong(struct xdp_md *ctx)
{
	return *((__u8 *)(long)ctx->data + 3000);
}
#endif

char LICENSE[] SEC("license") = "GPL";
]]

local obj = assert(bpf.compile{ source = SOURCE, defs = { "WITH_WRONG" } })
local good = assert(bpf.compile{ source = SOURCE }) -- which the kernel loads

local function udp(ttl, rest)
    return pkt.eth{} / pkt.ip{ ttl = ttl } / pkt.udp{} / (rest or "")
end
local SHORT, DYING, LIVING = pkt.eth{} / "x", udp(1, "a"), udp(9, "bc")

--- The vm with entries of maps, one at place 1 of each.
local function loaded(entries)
    local inst = assert(obj:load("vm", { cpus = 2 }))
    for map, entry in next, entries do
        assert(inst.maps[map]:put(1, entry(inst)))
    end
    return inst
end

local function to_ports(name)
    return { ports = function(inst) return { ifindex = 1, prog = inst.progs[name] } end }
end

local function to_cpus()
    return { cpus = function(inst) return { qsize = 64, prog = inst.progs["in"] } end }
end

both("an entry takes the programs made for it", function(load)
    local inst = load(good)
    local put = inst.maps.ports
    test.eq({ put:put(1, { ifindex = 1, prog = inst.progs.out }),
              inst.maps.cpus:put(0, { qsize = 64, prog = inst.progs["in"] }) },
        { true, true })
    test.eq({ put[1].bpf_prog.id, inst.maps.cpus[0].bpf_prog.id },
        { inst.progs.out.info.id, inst.progs["in"].info.id })
    for _, entry in ipairs{ { ifindex = 1, prog = inst.progs["in"] }, { ifindex = 1, prog = inst.progs.forward } } do
        local done, err = put:put(1, entry)
        test.eq({ done, err.code }, { nil, "EINVAL" })
    end
    test.eq((select(2, inst.maps.cpus:put(0, { qsize = 64, prog = inst.progs.out }))).code, "ENOMEM")
    test.raises(function() put:put(1, { qsize = 1, prog = inst.progs.out }) end, "qsize")
    test.raises(function() put:put(1, { ifindex = 1, prog = load(good).progs.out }) end, "another instance")
end)

-- A test run of the kernel runs no program of an entry: what follows is the vm's.

test.case("a result has what the program of the entry did", function()
    local inst = loaded(to_ports "out")
    local result = inst.progs.forward:run(LIVING)
    local second = result.redirect.second
    local rest = LIVING:bytes():sub(15)
    test.eq({ result.verdict, result.bytes == rest }, { "REDIRECT", true })
    test.eq({ second.program, second.verdict, second.ret }, { "out", "PASS", 2 })
    test.eq({ #second.bytes, second.bytes:byte(9), second.bytes:sub(10) == rest:sub(10) }, { #rest, 8, true })
    test.eq(inst.progs.forward:run(DYING).redirect.second.verdict, "DROP")
    test.eq(inst.progs.forward:run(SHORT:bytes() .. ("x"):rep(10)).redirect, nil)
    inst.maps.ports[1] = { ifindex = 1 }
    test.eq(inst.progs.forward:run(LIVING).redirect.second, nil)
    test.eq(tonumber(inst.vars.runs), 2)
end)

test.case("a program of a cpumap runs on the CPU of its entry", function()
    local inst = loaded(to_cpus())
    test.eq(inst.progs.spread:run(LIVING).redirect.second.verdict, "TX")
    test.eq(tonumber(inst.vars.cpu), 1)
    inst.vars.cpu = 7
    local report = inst.progs.spread:replay{ packets = { LIVING, DYING } }
    test.eq({ report.second, tonumber(inst.vars.cpu), tonumber(inst.vars.runs) }, { { TX = 2 }, 1, 3 })
end)

test.case("a replay runs the programs of the entries, with workers too", function()
    local packets = {}
    for i = 1, 90 do
        packets[i] = ({ LIVING, DYING, SHORT:bytes() .. ("x"):rep(10) })[i % 3 + 1]
    end
    for workers = 1, 2 do
        local inst = loaded(to_ports "out")
        local report = assert(inst.progs.forward:replay{ packets = packets, workers = workers })
        test.eq(report.verdicts, { REDIRECT = 60, PASS = 30 })
        test.eq(report.second, { DROP = 30, PASS = 30 })
        test.eq({ tonumber(inst.vars.runs), tonumber(inst.vars.bytes) }, { 60, 30 * (#LIVING:bytes() + #DYING:bytes() - 28) })
        test.eq(tostring(report):match "programs of the targets: [^\n]+", "programs of the targets: DROP 30, PASS 30")
    end
end)

test.case("what one packet leaves to the program of the next is nothing", function()
    local inst = loaded(to_ports "out")
    local single = {}
    local packets = { LIVING, DYING, udp(3), LIVING }
    for i, packet in ipairs(packets) do
        single[i] = inst.progs.forward:run(packet).redirect.second.verdict
    end
    test.eq(single, { "PASS", "DROP", "PASS", "PASS" })
    local runs = tonumber(inst.vars.runs)
    test.eq(inst.progs.forward:replay{ packets = packets }.second, { DROP = 1, PASS = 3 })
    test.eq(tonumber(inst.vars.runs) - runs, 4)
end)

test.case("workers cannot run a cpumap's programs on each other's CPUs", function()
    local report, err = loaded(to_cpus()).progs.spread:replay{ packets = { LIVING, DYING }, workers = 2 }
    test.eq({ report, err.code }, { nil, "ENOTSUP" })
    test.eq(err.msg:match "programs in map cpus run on its CPUs" ~= nil, true)
end)

test.case("a fault in an entry's program is the run's", function()
    local inst = loaded(to_ports "wrong")
    test.eq(inst.progs.forward:run(LIVING).fault.program:match "wrong" ~= nil, true)
    for workers = 1, 2 do
        local report = inst.progs.forward:replay{ packets = { LIVING, LIVING }, workers = workers }
        test.eq({ report.verdicts, report.second, report.fault.program }, { { fault = 2 }, {}, "wrong" })
    end
end)

-- -- Where packets go: the list of all of them --

local WORLD = { interfaces = { { name = "up", index = 5, mtu = 1500 }, { name = "down", index = 6, mtu = 100 },
                               { name = "side", index = 7 } } }

local SENDS = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";

struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32);
         __type(value, struct bpf_devmap_val); } ports SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 2); __type(key, __u32);
         __type(value, struct bpf_cpumap_val); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32); } xsks SEC(".maps");

int flags;
__u32 turn;

SEC("xdp") int bounce(struct xdp_md *ctx) { return XDP_TX; }
SEC("xdp") int plain(struct xdp_md *ctx) { return bpf_redirect(flags, 0); }
SEC("xdp") int spread(struct xdp_md *ctx) { return bpf_redirect_map(&ports, 0, flags); }
SEC("xdp") int to_cpu(struct xdp_md *ctx) { return bpf_redirect_map(&cpus, 1, XDP_DROP); }
SEC("xdp") int to_socket(struct xdp_md *ctx) { return bpf_redirect_map(&xsks, 1, XDP_DROP); }
SEC("xdp") int not_sent(struct xdp_md *ctx) { bpf_redirect(5, 0); return XDP_PASS; }
SEC("xdp/devmap") int mark(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + 14 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	data[0] += ++turn;
	return ctx->egress_ifindex == 7 ? XDP_DROP : XDP_PASS;
}
SEC("xdp/cpumap") int onward(struct xdp_md *ctx) { return bpf_redirect_map(&ports, 2, XDP_DROP); }
SEC("tc") int three(struct __sk_buff *skb)
{
	struct bpf_redir_neigh to = { .nh_family = 2, .ipv4_nh = 0x0200000a };

	bpf_clone_redirect(skb, 7, 0);
	if (flags == 1)
		return bpf_redirect_peer(5, 0);
	if (flags == 2)
		return bpf_redirect_neigh(5, &to, sizeof(to), 0);
	if (flags == 3) {
		bpf_redirect(5, 0);
		return TC_ACT_OK;
	}
	return bpf_redirect(flags == 4 ? 99 : 5, BPF_F_INGRESS);
}
/* At egress: what it sends comes by once more. */
SEC("tc") int by_neighbour(struct __sk_buff *skb)
{
	struct bpf_redir_neigh to = { .nh_family = 2, .ipv4_nh = 0x0500000a };

	if (skb->mark == 77)
		return TC_ACT_OK;
	skb->mark = 77;
	return bpf_redirect_neigh(flags, &to, sizeof(to), 0);
}
SEC("tc") int by_route(struct __sk_buff *skb)
{
	if (skb->mark == 77)
		return TC_ACT_OK;
	skb->mark = 77;
	return bpf_redirect_neigh(flags, 0, 0, 0);
}
]]
local senders = assert(bpf.compile{ source = SENDS })
local LONG = udp(1, ("z"):rep(80)) -- 122 bytes: more than one of the interfaces takes

local function sender(target)
    return assert(senders:load(target or "vm", { cpus = 2, world = target ~= "kernel" and WORLD or nil }))
end

--- What the list says, one line for each packet.
local function egress(result)
    local lines = {}
    for i, one in ipairs(result.egress) do
        lines[i] = table.concat({ one.kind, tostring(one.index), one.name or "-", one.map or "-", tostring(one.key),
            one.second and one.second.verdict or "-", one.dropped or "goes" }, " ")
    end
    return lines
end

test.case("TX and redirects list the packet with its interface", function()
    local inst = sender()
    local result = inst.progs.bounce:run(LIVING, { ctx = { ingress_ifindex = 6 } })
    test.eq(egress(result), { "tx 6 down - nil - goes" })
    test.eq({ result.egress[1].bytes == LIVING:bytes(), result.egress[1].pkt.ip.ttl, #result.emitted }, { true, 9, 0 })
    test.eq(egress(inst.progs.bounce:run(LIVING)), { "tx 1 lo - nil - goes" })
    inst.vars.flags = 5
    test.eq(egress(inst.progs.plain:run(LIVING)), { "ifindex 5 up - nil - goes" })
    inst.vars.flags = 6
    result = inst.progs.plain:run(LONG)
    test.eq(egress(result), { "ifindex 6 down - nil - longer than the MTU of the interface allows" })
    assert(tostring(result):find("dropped: ifindex to down, 122 bytes: longer than", 1, true), tostring(result))
    inst.vars.flags = 9
    test.eq(egress(inst.progs.plain:run(LIVING)), { "ifindex 9 - - nil - there is no such interface" })
    test.eq(egress(inst.progs.not_sent:run(LIVING)), {})
    inst.maps.xsks[1] = 3
    test.eq(egress(inst.progs.to_socket:run(LIVING)), { "xskmap nil - xsks 1 - goes" })
    test.eq(require("json").decode(require("json").encode(result)).egress[1].dropped, result.egress[1].dropped)
end)

test.case("a broadcast lists each target, with what its program did to a packet of its own", function()
    local inst = sender()
    for key, index in pairs{ [0] = 6, 5, 7 } do
        assert(inst.maps.ports:put(key, { ifindex = index, prog = inst.progs.mark }))
    end
    inst.vars.flags = 8
    local first = LIVING:bytes():byte(1)
    local result = inst.progs.spread:run(LIVING)
    test.eq(egress(result), { "devmap 6 down ports 0 PASS goes", "devmap 5 up ports 1 PASS goes",
                              "devmap 7 side ports 2 DROP mark returned DROP" })
    -- The last entry's queue is emptied first.
    for i, one in ipairs(result.egress) do
        test.eq({ one.bytes:byte(1), one.bytes:sub(2) == LIVING:bytes():sub(2) }, { first + 4 - i, true })
    end
    test.eq({ result.redirect.second, result.bytes == LIVING:bytes() }, { nil, true })
    assert(tostring(result):find("sent: devmap to up", 1, true), tostring(result))
    inst.vars.flags = 8 + 16
    test.eq(egress(inst.progs.spread:run(LIVING, { ctx = { ingress_ifindex = 5 } })),
        { "devmap 6 down ports 0 PASS goes", "devmap 7 side ports 2 DROP mark returned DROP" })
    test.eq(egress(inst.progs.spread:run(LONG))[1], "devmap 6 down ports 0 - longer than the MTU of the interface allows")
    -- Replays run them too.
    inst.vars.turn, inst.vars.flags = 0, 8
    for workers = 1, 2 do
        test.eq(inst.progs.spread:replay{ packets = { LIVING, LIVING, LONG }, workers = workers }.second, { PASS = 5, DROP = 3 })
        test.eq(tonumber(inst.vars.turn), 8 * workers)
    end
end)

test.case("where a CPU's program redirects to is followed", function()
    local inst = sender()
    assert(inst.maps.cpus:put(1, { qsize = 8, prog = inst.progs.onward }))
    assert(inst.maps.ports:put(2, { ifindex = 5, prog = inst.progs.mark }))
    local result = inst.progs.to_cpu:run(LIVING)
    test.eq(egress(result), { "cpumap nil - cpus 1 REDIRECT goes", "devmap 5 up ports 2 PASS goes" })
    test.eq({ result.redirect.second.verdict, result.egress[2].bytes:byte(1) }, { "REDIRECT", LIVING:bytes():byte(1) + 1 })
    test.eq(inst.progs.to_cpu:replay{ packets = { LIVING, LIVING } }.second, { REDIRECT = 2, PASS = 2 })
    inst.maps.ports[2] = nil
    test.eq(egress(inst.progs.to_cpu:run(LIVING)), { "cpumap nil - cpus 1 DROP onward returned DROP" })
end)

test.case("copies of tc programs come first, then where the verdict sends the packet", function()
    local inst = sender()
    local expected = { [0] = "ifindex 5 up - nil - goes", "peer 5 up - nil - goes", "neigh 5 up - nil - goes", nil,
                       "ifindex 99 - - nil - there is no such interface" }
    for flags = 0, 4 do
        inst.vars.flags = flags
        local result = inst.progs.three:run(LIVING)
        test.eq(egress(result), { "clone 7 side - nil - goes", expected[flags] })
        test.eq({ #result.emitted, result.emitted[1].kind, result.emitted[1].name }, { 1, "clone", nil })
        for _, one in ipairs(result.egress) do
            test.eq(one.bytes, LIVING:bytes())
        end
    end
end)

test.case("a packet to a neighbour is listed as it arrives there", function()
    wire.with_wire(function(a, b)
        local link = a:run "ip -o link show eth0".out
        local index, mac = tonumber(link:match "^(%d+):"), link:match "link/ether (%S+)"
        a:run "ip neigh add 10.0.0.5 lladdr 02:aa:00:00:00:05 dev eth0 nud permanent"
        local real = assert(senders:load "kernel")
        local to = b:run(function() return assert(raw.open "eth0") end)
        local from = a:run(function() return assert(raw.open("eth0", { read = false })) end)
        real.vars.flags = index
        local attached = a:run(function() return assert(tc.attach(real.progs.by_neighbour, "eth0", { dir = "egress" })) end)
        local frame = pkt.eth{ src = "02:00:00:00:00:01", dst = "02:00:00:00:00:02" } / pkt.ip{ dst = "10.0.0.9" }
            / pkt.udp{} / "x"
        from:send(wire.udp(9)) -- to everybody: that one is dropped
        from:send(frame)
        local arrived = assert(to:recv(10))
        attached:detach()
        local emulated = assert(senders:load("vm", { world = {
            interfaces = { { name = "eth0", index = index, mac = mac } },
            neighbours = { { ip = "10.0.0.5", mac = "02:aa:00:00:00:05", dev = "eth0" } } } }))
        emulated.vars.flags = index
        test.eq(egress(emulated.progs.by_neighbour:run(wire.udp(9))),
            { ("neigh %d eth0 - nil - a frame to a group has no neighbour"):format(index) })
        local result = emulated.progs.by_neighbour:run(frame)
        test.eq(egress(result), { ("neigh %d eth0 - nil - goes"):format(index) })
        test.eq(result.egress[1].bytes == arrived:bytes(), true)
        test.eq(arrived.eth.dst, "02:aa:00:00:00:05")
    end)
end)

test.case("without a next hop of the program's a packet takes its own route to a neighbour", function()
    wire.with_wire(function(a, b)
        local link = a:run "ip -o link show eth0".out
        local index, mac = tonumber(link:match "^(%d+):"), link:match "link/ether (%S+)"
        local world = { interfaces = { { name = "eth0", index = index, mac = mac, addresses = {} } },
            routes = {}, neighbours = {} }
        for _, line in ipairs{ "addr add 10.7.0.1/24 dev eth0", "addr add 2001:db8:7::1/64 dev eth0 nodad",
            "route add 10.8.0.0/16 via 10.7.0.2 dev eth0", "route add 2001:db8:8::/48 via 2001:db8:7::2 dev eth0",
            "route add blackhole 10.9.0.0/16", "route add blackhole 2001:db8:9::/48" } do
            assert(a:run("ip " .. line).ok, line)
            local to, via = line:match "^route add (%S+) via (%S+)"
            local hole = line:match "blackhole (%S+)"
            if to or hole then
                table.insert(world.routes, { to = to or hole, via = via, dev = to and "eth0", type = hole and "blackhole" })
            else
                table.insert(world.interfaces[1].addresses, (line:match "add (%S+)"))
            end
        end
        for last, ip in ipairs{ "10.7.0.2", "10.7.0.9", "10.9.0.1", "10.200.0.1", "2001:db8:7::2", "2001:db8:7::9" } do
            local address = ("02:aa:00:00:00:%02x"):format(last)
            assert(a:run(("ip neigh add %s lladdr %s dev eth0 nud permanent"):format(ip, address)).ok, ip)
            table.insert(world.neighbours, { ip = ip, mac = address, dev = "eth0" })
        end
        local real, emulated = assert(senders:load "kernel"), assert(senders:load("vm", { world = world }))
        real.vars.flags, emulated.vars.flags = index, index
        local to = b:run(function() return assert(raw.open "eth0") end)
        local from = a:run(function() return assert(raw.open("eth0", { read = false })) end)
        local attached = a:run(function() return assert(tc.attach(real.progs.by_route, "eth0", { dir = "egress" })) end)
        local went = 0
        for number, dst in ipairs{ "10.8.3.4", "10.7.0.9", "10.9.0.1", "10.200.0.1", "10.7.0.255", "2001:db8:8::5",
            "2001:db8:7::9", "2001:db8:9::1", "2001:db8:77::1", "10.8.3.5" } do
            local ip = dst:find ":" and pkt.ip6{ src = "2001:db8:7::1", dst = dst } or pkt.ip{ src = "10.7.0.1", dst = dst }
            local frame = pkt.eth{ src = "02:00:00:00:00:01", dst = "02:00:00:00:00:02" } / ip
                / pkt.udp{ sport = 7000 + number } / "x"
            from:send(frame)
            local sent = emulated.progs.by_route:run(frame).egress[1]
            if not sent.dropped then
                went = went + 1
                local arrived
                repeat
                    arrived = to:recv(10) or error("nothing came: " .. dst)
                until arrived.udp and arrived.udp.sport > 7000
                test.eq({ dst, sent.pkt.udp.sport, sent.pkt.eth.dst }, { dst, arrived.udp.sport, arrived.eth.dst })
                test.eq(sent.bytes == arrived:bytes(), true)
            end
        end
        attached:detach()
        test.eq(went, 7) -- the last of them shows that nothing else came
    end, { ipv6 = true })
end)
