-- SPDX-License-Identifier: MIT
-- Objects of several programs: types that the emulator lacks, SEC("?..."), prog arrays; what CO-RE cannot resolve.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local both = dofile(here .. "/both.lua")

local packet = pkt.eth{}/pkt.ip{}/pkt.udp{dport = 53}

local function compile(source)
    return assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
char _license[] SEC("license") = "GPL";
]] .. source })
end

local MIXED = [[
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u32); }
    jumps SEC(".maps");
SEC("xdp") int filter(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return XDP_TX; }
SEC("sockops") int ops(struct bpf_sock_ops *ops) { return 1; }
SEC("?xdp") int extra(struct xdp_md *ctx) { return XDP_DROP; }
]]

both("an object with a program of a type that is not emulated", function(load, target)
    local inst = load(compile(MIXED))
    test.eq(inst.progs.filter:run(packet).verdict, "TX")
    test.eq(inst.progs.filter.unsupported, nil)
    local why = target == "vm" and "sock_ops programs are not emulated" or nil
    test.eq(inst.progs.ops.unsupported, why)
    if why then
        test.eq(tostring(inst.progs.ops), "program ops (sock_ops, 2 instructions) on vm: " .. why)
        local result, err = inst.progs.ops:run(packet)
        test.eq(result, nil)
        test.eq(err.code, "ENOTSUP")
        assert(err.msg:find("ops: " .. why, 1, true), err.msg)
    end
end)

both("programs marked SEC(\"?...\")", function(load)
    local object = compile(MIXED)
    local inst = load(object)
    local ok, err = pcall(function() return inst.progs.extra end)
    test.eq(ok, false)
    assert(tostring(err):find('no program \'extra\' %(known: filter, ops%): %?xdp is loaded by autoload = {"extra"}'),
        tostring(err))
    inst = load(object, { autoload = { "extra" } })
    test.eq(inst.progs.extra:run(packet).verdict, "DROP")
    inst.maps.jumps[0] = inst.progs.extra
    test.eq(inst.progs.filter:run(packet).verdict, "DROP")
end)

both("a prog array is for programs of one type", function(load, target)
    local inst = load(compile(MIXED .. [[
SEC("tc") int other(struct __sk_buff *skb) { return 0; }
]]))
    test.raises(function() inst.maps.jumps[0] = 7 end, "value of jumps: expected a program, got number")
    local ok, err = pcall(function() inst.maps.jumps[0] = inst.progs.other end)
    test.eq(ok, false)
    if target == "vm" then
        assert(tostring(err):find("for the type of program filter, which came first: xdp, not sched_cls", 1, true),
            tostring(err))
    end
end)

both("a prog array is read as the ids of its programs", function(load)
    local inst = load(compile(MIXED), { autoload = { "extra" } })
    test.eq(inst.maps.jumps[1], nil)
    inst.maps.jumps[1] = inst.progs.extra
    test.eq(inst.maps.jumps[1], inst.progs.extra.info.id)
    local found = {}
    for key, id in pairs(inst.maps.jumps) do
        found[#found + 1] = { key, id }
    end
    test.eq(found, { { 1, inst.progs.extra.info.id } })
    assert(inst.progs.extra.info.id ~= inst.progs.filter.info.id)
end)

both("verdicts of lightweight tunnels", function(load)
    local inst = load(compile [[
SEC("lwt_in") int into(struct __sk_buff *skb) { return skb->mark; }
SEC("lwt_out") int out(struct __sk_buff *skb) { return skb->mark; }
SEC("lwt_xmit") int xmit(struct __sk_buff *skb) { return skb->mark; }
]])
    for _, name in ipairs{ "into", "out", "xmit" } do
        local seen = {}
        for i, value in ipairs{ 0, 2, 7, 128, 1, 129 } do
            seen[i] = inst.progs[name]:run(packet, { ctx = { mark = value } }).verdict
        end
        test.eq(seen, { "OK", "DROP", "REDIRECT", "REROUTE", "INVALID", "INVALID" })
    end
end)

local GONE = [[
struct xdp_md___mine { __u32 data; __u32 gone; } __attribute__((preserve_access_index));
SEC("xdp") int filter(struct xdp_md *ctx)
{
    struct xdp_md___mine *mine = (void *)ctx;
    %s
        return mine->gone;
    return XDP_TX;
}]]
local NO_FIELD = "the kernel's struct xdp_md has no field gone that fits (CO-RE access 0:1)"
local ASK = "ask with bpf_core_field_exists before the access"

both("a field that the kernel lacks, behind a question", function(load)
    local inst = load(compile(GONE:format "if (bpf_core_field_exists(mine->gone))"))
    test.eq(inst.progs.filter:run(packet).verdict, "TX")
end)

test.case("a field that the kernel lacks is a fault where it is reached", function()
    local inst = assert(compile(GONE:format "if (ctx->data_end - ctx->data > 60)"):load "vm")
    local result = inst.progs.filter:run(packet/("x"):rep(100))
    test.eq(result.fault.cause, NO_FIELD)
    test.eq(result.fault.hint, ASK)
    assert(result.fault.file:find "programs_test%.lua", result.fault.file)
    test.eq(inst.progs.filter:run(pkt.eth{}/pkt.ip{}).verdict, "TX")
end)

test.case("a field that the kernel lacks is named where the kernel refuses it", function()
    local inst, err = compile(GONE:format "if (ctx->data_end - ctx->data > 60)"):load "kernel"
    if not inst and err.code == "EPERM" then
        test.skip(err.msg)
    end
    test.eq(inst, nil)
    assert(err.msg:find(NO_FIELD, 1, true), err.msg)
    assert(err.msg:find "programs_test%.lua:%d+", err.msg)
    assert(err.hint:find(ASK, 1, true), err.hint)
    assert(#err.log > 0)
end)
