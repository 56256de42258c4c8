-- SPDX-License-Identifier: MIT
-- The scripted world and helpers of one's own, as scripts give them to load: on the vm, which has them.
local test = require "test"
local bpf, pkt, json = require "bpf", require "pkt", require "json"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local PACKET = pkt.eth{} / pkt.ip{} / pkt.udp{}

local function compile(body)
    return assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
static long (*own)(void *buffer, unsigned long size) = (void *)500;
__u64 seen;
char buffer[16];
SEC("xdp") int filter(struct xdp_md *ctx)
{
]] .. body .. [[
}
char LICENSE[] SEC("license") = "GPL";
]] })
end

local function run(obj, options)
    local inst = assert(obj:load("vm", options))
    local result = assert(inst.progs.filter:run(PACKET))
    return result, inst
end

test.case("a world is a table or the same as JSON", function()
    local obj = compile "seen = bpf_get_current_pid_tgid(); return XDP_PASS;"
    local world = { task = { pid = 7, tgid = 8 }, interfaces = {}, routes = {} }
    for _, given in ipairs{ world, json.encode(world) } do
        local result, inst = run(obj, { world = given })
        test.eq({ result.verdict, inst.vars.seen }, { "PASS", 8 * 2 ^ 32 + 7 })
    end
end)

test.case("what a world cannot have is refused with its path", function()
    local obj = compile "return XDP_PASS;"
    local cycle = {}
    cycle.task = cycle
    for text, world in pairs{
        ["world.task.pid: a number that is not finite has no JSON form"] = { task = { pid = 0 / 0 } },
        ["world.task.comm: a function has no JSON form"] = { task = { comm = print } },
        ["world.interfaces: a table with a key that is not a string (and that is no list)"] =
            { interfaces = { { name = "a", index = 2 }, [3] = { name = "b", index = 3 } } },
        ["world: a table with a key that is not a string (and that is no list)"] = { [true] = 1 },
        ["world.task: a cycle"] = cycle,
        ["world.task.stack[2]: expected an address, which is a number, or a table with 'ip', got \"x\""] =
            { task = { stack = { 1, "x" } } },
        ["world: not JSON: number overflow parsing '1e400'"] = '{"task":{"pid":1e400}}' } do
        local inst, err = obj:load("vm", { world = world })
        test.eq({ inst, err.code, tostring(err) }, { nil, "EINVAL", "load: " .. text })
    end
end)

test.case("variables of the kernel are numbers, bytes, fields, and lists by CPU", function()
    local obj = assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct mimicsh_pair { int a; long b; };
extern const int mimicsh_number __ksym;
extern const int mimicsh_each __ksym;
extern const struct mimicsh_pair mimicsh_pair __ksym;
SEC("xdp") int filter(struct xdp_md *ctx)
{
    int *own = bpf_this_cpu_ptr(&mimicsh_each);
    return mimicsh_number + *own + mimicsh_pair.b;
}
char LICENSE[] SEC("license") = "GPL";
]] })
    local ksyms = { mimicsh_number = 1, mimicsh_each = { 10, 20 }, mimicsh_pair = { b = 100 } }
    test.eq(run(obj, { cpus = 2, cpu = 1, world = { ksyms = ksyms } }).ret, 121)
    ksyms.mimicsh_pair = ("00"):rep(8) .. "c8" .. ("00"):rep(7)
    test.eq(run(obj, { cpus = 2, world = { ksyms = ksyms } }).ret, 211)
    ksyms.mimicsh_number = nil
    local inst, err = obj:load("vm", { cpus = 2, world = { ksyms = ksyms } })
    assert(inst == nil and err.msg:find("no world.ksyms.mimicsh_number", 1, true), tostring(err))
    assert(err.msg:find "world_test.lua:%d+: instruction 3" and err.hint:find("__weak", 1, true), tostring(err))
end)

test.case("a value that is missing is named, a wrong one is refused with its path", function()
    local obj = compile "seen = bpf_get_current_pid_tgid(); return XDP_PASS;"
    local result = run(obj)
    test.eq({ result.verdict, result.fault.kind, result.fault.cause },
        { nil, "missing value", "the scripted world has no world.task.pid" })
    local inst, err = obj:load("vm", { world = { task = { pid = "x" } } })
    test.eq({ inst, err.code, err.msg },
        { nil, "EINVAL", 'world.task.pid: expected a whole number from 0 to 2147483647, got "x"' })
    test.eq(select(2, obj:load("vm", { world = { tusk = {} } })).msg:match "^[^(]+", "world.tusk: unknown word ")
end)

test.case("copies, tunnel metadata and assigned sockets are in the result", function()
    local obj = assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
int sent;
SEC("tc") int filter(struct __sk_buff *skb)
{
    struct bpf_tunnel_key key = {.tunnel_id = 7, .remote_ipv4 = 0x0a000001, .tunnel_ttl = 9};
    struct bpf_sock *sk = skb->sk;

    sent = bpf_clone_redirect(skb, 3, 1);
    bpf_clone_redirect(skb, 4, 0);
    bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0);
    bpf_skb_set_tunnel_opt(skb, "abcd", 4);
    if (sk && (sk = bpf_sk_fullsock(sk)))
        bpf_sk_assign(skb, sk, 0);
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
]] })
    local world = { tc_ingress = true, interfaces = { { name = "eth0", index = 3 } },
        sockets = { { proto = "udp", ["local"] = "10.0.0.1:53" } }, socket = { is = 1 } }
    local result, inst = run(obj, { world = world })
    test.eq({ result.verdict, #result.emitted, result.assigned, inst.vars.sent }, { "OK", 1, 1, 0 })
    local copy = result.emitted[1]
    test.eq({ copy.kind, copy.index, tonumber(copy.flags), copy.bytes }, { "clone", 3, 1, result.bytes })
    test.eq(copy.pkt.ip.ttl, 64)
    local tunnel = result.tunnel
    test.eq({ tonumber(tunnel.id), tunnel.remote, tunnel["local"], tunnel.ttl, tunnel.options },
        { 7, "10.0.0.1", "0.0.0.0", 9, "abcd" })
    test.eq(json.decode(json.encode(result)).emitted[1].index, 3)
    test.eq(tostring(result):match "sent: [^,]+", "sent: clone to 3")
    local bare = run(obj)
    test.eq(bare.fault.cause, "the scripted world has no world.interfaces")
end)

test.case("the result names next hop and peer of a redirection", function()
    local obj = assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct bpf_redir_neigh params;
int size, device;
SEC("tc") int filter(struct __sk_buff *skb)
{
    struct bpf_redir_neigh hop = params;

    return size ? bpf_redirect_neigh(device, &hop, sizeof(hop), 0) : bpf_redirect_neigh(device, 0, 0, 0);
}
SEC("tc") int peer(struct __sk_buff *skb) { return bpf_redirect_peer(device, 0); }
char LICENSE[] SEC("license") = "GPL";
]] })
    local world = {
        interfaces = { { name = "eth0", index = 3, peer = 9 }, { name = "eth1", index = 4 } },
        neighbours = { { ip = "10.0.0.2", dev = "eth0", mac = "02:aa:00:00:00:02" },
                       { ip = "2001:db8::2", dev = "eth1", mac = "02:bb:00:00:00:02" } },
    }
    local inst = assert(obj:load("vm", { world = world }))
    local function params(family, address)
        local words = { address:byte(1, -1) }
        local v = { nh_family = family, ipv6_nh = { 0, 0, 0, 0 } }
        for i = 0, #address / 4 - 1 do
            v.ipv6_nh[i + 1] = words[4 * i + 1] + words[4 * i + 2] * 2 ^ 8 + words[4 * i + 3] * 2 ^ 16 + words[4 * i + 4] * 2 ^ 24
        end
        return v
    end
    local V6 = "\32\1\13\184" .. ("\0"):rep(11) .. "\2"
    local function to(index, family, address)
        inst.vars.device, inst.vars.size = index, family and 1 or 0
        if family then
            inst.vars.params = params(family, address)
        end
        local result = assert(inst.progs.filter:run(PACKET))
        local redirect = result.redirect
        return { redirect.kind, redirect.index, redirect.via, redirect.mac }, result
    end
    test.eq(to(3, 2, "\10\0\0\2"), { "neigh", 3, "10.0.0.2", "02:aa:00:00:00:02" })
    test.eq(to(4, 2, "\10\0\0\2"), { "neigh", 4, "10.0.0.2" }) -- not a neighbour there
    test.eq(to(3, 2, "\10\0\0\3"), { "neigh", 3, "10.0.0.3" })
    test.eq(to(4, 10, V6), { "neigh", 4, "2001:db8::2", "02:bb:00:00:00:02" })
    test.eq(to(3), { "neigh", 3 })
    local seen, result = to(3, 7, "\10\0\0\2")
    test.eq({ seen, #result.warnings }, { { "neigh", 3 }, 1 })
    assert(tostring(result.warnings[1]):find("family 7 is neither AF_INET nor AF_INET6", 1, true))
    local _, shown = to(3, 2, "\10\0\0\2")
    assert(tostring(shown):find("redirect to neigh 3 via 10.0.0.2", 1, true), tostring(shown))
    for index, peer in pairs{ [3] = 9, [4] = false } do
        inst.vars.device = index
        local redirect = assert(inst.progs.peer:run(PACKET)).redirect
        test.eq({ redirect.kind, redirect.index, redirect.peer or false }, { "peer", index, peer })
    end
end)

both("a flow dissector leaves keys", function(load)
    local obj = assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("flow_dissector") int filter(struct __sk_buff *skb)
{
    struct bpf_flow_keys *keys = skb->flow_keys;
    keys->addr_proto = 0x0800;
    keys->ip_proto = 17;
    keys->thoff = keys->nhoff + 20;
    keys->ipv4_src = 0x0100000a;
    keys->dport = 0x3500;
    return keys->flags == 1 ? 129 : BPF_OK;
}
char LICENSE[] SEC("license") = "GPL";
]] })
    local inst = load(obj)
    local result = assert(inst.progs.filter:run(PACKET))
    test.eq({ result.verdict, result.keys.src, result.keys.dport, result.keys.thoff, result.keys.n_proto },
        { "OK", "10.0.0.1", 53, 34, 0x0800 })
    result = assert(inst.progs.filter:run(PACKET, { ctx = { flags = 1 } }))
    test.eq({ result.verdict, result.ctx.flags }, { "CONTINUE", 1 })
end)

test.case("a helper of one's own reads and writes the guest's memory", function()
    local obj = compile "seen = own(buffer, sizeof(buffer)); return buffer[0];"
    local memory
    local result, inst = run(obj, { helpers = { [500] = function(mem, address, size, ...)
        memory = mem
        test.eq({ size, select("#", ...) }, { 16ULL, 3 })
        test.eq(mem:read(address, 16), ("\0"):rep(16))
        test.eq({ mem:valid(address, 16), mem:valid(address, 25, "w"), mem:valid(5, 1) }, { true, false, false })
        test.eq({ mem:valid(0, 0), mem:read(0, 0), mem:valid(0, 0, "w"), mem:valid(5, 0) }, { true, "", true, true })
        mem:write(0, "")
        mem:write(address, "\2abc")
        return -3
    end } })
    test.eq({ result.verdict, inst.vars.seen }, { "PASS", -3LL + 0ULL })
    test.raises(function() memory:read(0, 1) end, "the call is over")
end)

test.case("a helper of one's own replaces the vm's by name", function()
    local obj = compile "seen = bpf_ktime_get_ns(); return XDP_DROP;"
    local _, inst = run(obj, { helpers = { ktime_get_ns = function() return 0x123456789abcdefULL end } })
    test.eq(inst.vars.seen, 0x123456789abcdefULL)
end)

test.case("what goes wrong in a helper is a fault of the run", function()
    local obj = compile "seen = own(buffer, 99); return XDP_PASS;"
    local cases = {
        { function() error "no luck" end, "bad call", "helper 500: .*world_test.lua:%d+: no luck" },
        { function() error{ a = 1 } end, "bad call", "helper 500: {a = 1}" },
        { function() error(setmetatable({}, { __tostring = function() return "text" end })) end, "bad call", "500: text" },
        { function() error() end, "bad call", "helper 500: nil" },
        { function() end, "bad call", "helper 500: the function gave a nil, no integer" },
        { function(mem, address, size) return #mem:read(address, tonumber(size)) end, "out of bounds", "99 bytes" },
        { function(mem) mem:write(0, "x") end, "null pointer", "write of 1 byte" },
    }
    for _, case in ipairs(cases) do
        local fault = run(obj, { helpers = { [500] = case[1] } }).fault
        test.eq({ fault.kind, fault.line ~= nil }, { case[2], true })
        assert(fault.cause:find(case[3]), fault.cause)
    end
    test.raises(function() obj:load("vm", { helpers = { no_such = print } }) end, "no helper is named 'no_such'")
    test.raises(function() obj:load("vm", { helpers = { [500] = 1 } }) end, "helper 500 is no function but a number")
end)
