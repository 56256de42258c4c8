-- SPDX-License-Identifier: MIT
-- Promotion: comparison of both targets, refusals, map copies, and every program of the corpus on a live wire.
local test = require "test"
local bpf, lab, link, pcap, pkt, timer, xdp = require "bpf", require "lab", require "link", require "pcap", require "pkt",
    require "timer", require "xdp"

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local becomes = dofile(here .. "/becomes.lua")
local root = here .. "/../.."

local FILTER = [[
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, __u16);
    __type(value, __u64);
} blocked SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 4);
    __type(value, __u32);
} queue SEC(".maps");
volatile const __u32 step = 1;
__u64 sum;
SEC("xdp") int filter(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 zero = 0;
    __u64 *count = bpf_map_lookup_elem(&seen, &zero);
    if (count)
        *count += step;
    sum += step;
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct udphdr *udp = (void *)(ip + 1);
    if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != 17)
        return XDP_PASS;
    __u16 port = bpf_ntohs(udp->dest);
    __u64 *hits = bpf_map_lookup_elem(&blocked, &port);
    if (!hits)
        return XDP_PASS;
    __sync_fetch_and_add(hits, 1);
    return XDP_DROP;
}
SEC("tc") int clear(struct __sk_buff *skb) { skb->mark = 0; return 0; }
SEC("tc") int mark(struct __sk_buff *skb) { skb->mark = 7; return 0; }
char _license[] SEC("license") = "GPL";
]]

local function udp(port)
    return pkt.eth{} / pkt.ip{} / pkt.udp{ dport = port } / "payload"
end

local object

local function on_wire(fn, options)
    object = object or assert(bpf.compile{ source = FILTER })
    local probe, err = object:load "kernel"
    if not probe and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    assert(probe, err):close()
    local inst = assert(object:load("vm", options))
    lab.scope(function(l)
        local a, b = l:ns "a", l:ns "b"
        l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
        b:run(function() fn(inst, a, b) end)
    end)
end

local function send(host, port)
    test.eq(host:run{ "bash", "-c", ("exec 3<>/dev/udp/10.0.0.2/%d && printf x >&3"):format(port) }.code, 0)
end

--- Packets take their time on a wire, the more so when the neighbour has to be asked first.
local function wait_for(wanted, read)
    becomes(function() return read() == wanted end)
    test.eq(read(), wanted)
end

test.case("what ran on the vm goes live with its maps, and drops real packets", function()
    on_wire(function(inst, a)
        inst.maps.blocked[53] = 40
        test.eq(inst.progs.filter:run(udp(53)).verdict, "DROP")
        test.eq(inst.progs.filter:run(udp(54)).verdict, "PASS")
        local live = assert(inst:promote("eth0", { mode = "native" }))
        test.eq(live.target, "kernel")
        test.eq(live.link.info.mode, "native")
        test.eq(live.report.comparison.equal, 2)
        test.eq(live.report.comparison.different, 0)
        test.eq(live.maps.blocked[53], 41ULL)
        send(a, 53)
        send(a, 54)
        wait_for(42ULL, function() return live.maps.blocked[53] end)
        test.eq(inst.maps.blocked[53], 41ULL, "the vm's maps are as they were")
        test.eq(tostring(live.report):match "^[^\n]*", "filter is live on eth0 (xdp native)")
        assert(tostring(live.report):find("map blocked: 1, entry by entry", 1, true), tostring(live.report))
        assert(tostring(live.report):find("map queue: not copied: cannot be read without being changed", 1, true))
        live.link:detach()
        send(a, 53)
        timer.sleep(0.1)
        test.eq(live.maps.blocked[53], 42ULL)
        live:close()
    end)
end)

test.case("constants and variables keep what they have on the vm", function()
    on_wire(function(inst, a)
        inst.progs.filter:run(udp(1))
        inst.vars.sum = 1000
        local live = assert(inst:promote "eth0")
        test.eq(live.vars.step, 5)
        assert(live.vars.sum >= 1000ULL, tostring(live.vars.sum))
        local before = live.vars.sum
        send(a, 9)
        wait_for(true, function() return live.vars.sum >= before + 5 end)
        local per_cpu = live.maps.seen[0]
        assert(per_cpu:sum() >= 10, tostring(per_cpu:sum())) -- a run on the vm and at least one packet
        live.link:detach()
    end, { vars = { step = 5 } })
end)

test.case("demotion brings the maps back", function()
    on_wire(function(inst, a)
        inst.maps.blocked[53] = 0
        inst.progs.filter:run(udp(53))
        local live = assert(inst:promote "eth0")
        send(a, 53)
        wait_for(2ULL, function() return live.maps.blocked[53] end)
        local back = assert(live:demote())
        test.eq(back.target, "vm")
        test.eq(back.maps.blocked[53], 2ULL)
        test.eq(back.progs.filter:run(udp(53)).verdict, "DROP")
        test.eq(back.maps.blocked[53], 3ULL)
        test.eq(live.maps.blocked[53], 2ULL)
        live.link:detach()
    end)
end)

test.case("nothing to compare, nothing that fits, nothing of that name: refused", function()
    on_wire(function(inst)
        local function refused(options)
            local live, err = inst:promote("eth0", options)
            test.eq(live, nil)
            return tostring(err) .. " | " .. err.hint
        end
        test.eq(refused(), "promote: nothing compared: filter has not run on any packet | " ..
            "give pcap= or packets=, or force=true to go without")
        test.eq(refused{ hook = "tc-egress" }, "promote: several programs fit this hook | prog= one of clear, mark")
        test.eq(refused{ prog = "nope" }, "promote: no program 'nope' for this hook | for this hook: filter")
        test.raises(function() inst:promote("eth0", { hook = "tc" }) end, 'bad argument .hook.: expected "xdp"')
        test.eq(refused{ needs = "no_such_module" }:match "^[^|]*", "kernel.need: module 'no_such_module' is not loaded ")
        test.eq(#link.list(), 0)
        local live = assert(inst:promote("eth0", { force = true, hook = "tc-ingress", prog = "mark" }))
        test.eq(live.link.info.dir, "ingress")
        live.link:detach()
        local _, err = inst:promote("nope", { packets = { udp(1) } })
        test.eq(tostring(err), "xdp.attach: nope: no such interface")
    end)
end)

test.case("a taken device: nothing is left of the attempt", function()
    on_wire(function(inst)
        local other = assert(object:load "kernel")
        local first = assert(xdp.attach(other.progs.filter, "eth0"))
        local live, err = inst:promote("eth0", { packets = { udp(1) } })
        test.eq(live, nil)
        test.eq(err.code, "EBUSY")
        test.eq(#link.list(), 1)
        first:detach()
    end)
end)

test.case("a difference refuses, with the packet and what differs, and force overrules", function()
    object = object or assert(bpf.compile{ source = FILTER })
    on_wire(function(inst)
        -- A helper of our own answers what the kernel's never does.
        inst.progs.filter:run(udp(53))
        local live, err = inst:promote "eth0"
        test.eq(live, nil)
        test.eq(tostring(err), "promote: eth0: the kernel says something else")
        assert(err.log:find("filter was not attached to eth0", 1, true), err.log)
        assert(err.log:find("first difference: packet 1, vm PASS, kernel PASS", 1, true), err.log)
        assert(err.log:find("map seen differs", 1, true), err.log)
        test.eq(#link.list(), 0)
        live = assert(inst:promote("eth0", { force = true }))
        test.eq(live.report.comparison.different, 1)
        live.link:detach()
    end, { helpers = { [1] = function() return 0 end } })
end)

test.case("compare alone: packets, a capture, or what has run", function()
    on_wire(function(inst)
        inst.maps.blocked[53] = 0
        local report = assert(inst:compare(inst.progs.filter, { udp(53), udp(54), pkt.eth{} / pkt.arp{} }))
        test.eq(report.equal, 3)
        test.eq(tostring(report), "3 equal, 0 different, 0 not comparable")
        local path = os.tmpname()
        local file = assert(pcap.create(path))
        for port = 50, 59 do
            file:write(udp(port))
        end
        file:close()
        test.eq(assert(inst:compare("filter", path)).equal, 10)
        inst.progs.filter:replay(path)
        test.eq(assert(inst:compare "filter").equal, 10)
        inst.progs.filter:run(udp(53))
        test.eq(assert(inst:compare "filter").equal, 11)
        inst.progs.filter:replay{ packets = { udp(1), udp(2) } }
        test.eq(assert(inst:compare "filter").equal, 13)
        os.remove(path)
        test.eq(inst.maps.blocked[53], 2ULL, "the replay and the run, no comparison")
    end)
end)

-- -- The corpus --

--- Some packets of each recorded conversation.
local function recorded()
    local list = {}
    for _, name in ipairs{ "dns", "http", "ip_options", "ipv6", "ping", "vlan", "fragments" } do
        local count = 0
        for packet in assert(pcap.open(("%s/tests/data/captures/%s.pcap"):format(root, name))):packets() do
            list[#list + 1] = packet
            count = count + 1
            if count == 10 then
                break
            end
        end
    end
    return list
end

-- What they do depends on the machine's routes or connections: no packet can be compared, and that does not block.
local ASKS = { connection_gate = true, fib_router = true }

local HOOKS = { xdp = "xdp", sched_cls = "tc-ingress" }

local function promote_all(name, obj)
    lab.scope(function(l)
        local a, b = l:ns "a", l:ns "b"
        l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", offloads = false })
        local promoted = 0
        for _, program in ipairs(obj.programs) do
            local hook = HOOKS[program.type]
            if hook and not program.section:find "/" then
                local inst = assert(obj:load "vm")
                b:run(function()
                    local live, err = inst:promote("eth0", { hook = hook, prog = program.name, mode = "skb",
                        packets = recorded() })
                    if not live then
                        error(("%s: %s\n%s"):format(program.name, tostring(err), err.log), 0)
                    end
                    test.eq(live.report.comparison.different, 0)
                    test.eq(live.report.comparison.equal > 0, not ASKS[name])
                    a:run{ "bash", "-c", "exec 3<>/dev/udp/10.0.0.2/53 && printf x >&3" }
                    live.link:detach()
                    live:close()
                end)
                inst:close()
                promoted = promoted + 1
            end
        end
        if promoted == 0 then
            test.eq(HOOKS[obj.programs[1].type] == nil or obj.programs[1].section:find "/" ~= nil, true)
        end
    end)
end

for path in io.popen("ls " .. root .. "/tests/cases/programs/*.bpf.c"):lines() do
    local name = path:match "([%w_]+)%.bpf%.c$"
    test.case("promotes: " .. name, function()
        local obj = assert(bpf.compile{ file = path })
        local probe, err = obj:load "kernel"
        if not probe and (err.code == "EPERM" or os.getenv "MIMICSH_TEST_OLDER_KERNEL" and err.log ~= "") then
            test.skip(tostring(err)) -- the corpus is written for the newest verifier
        end
        assert(probe, err):close()
        promote_all(name, obj)
    end)
end
