-- SPDX-License-Identifier: MIT
-- Programs in the entries of device and CPU maps: put there on both targets, run by the vm on what is sent there.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

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
