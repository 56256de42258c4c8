-- SPDX-License-Identifier: MIT
-- Replay with workers, and interleaved runs: on the CPUs of the vm, which the kernel target has no say over.
local bpf, pkt, test = require "bpf", require "pkt", require "test"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
__u64 total;
SEC("xdp") int plain(struct xdp_md *ctx) { ++total; return XDP_PASS; }
SEC("xdp") int atomic(struct xdp_md *ctx) { __sync_fetch_and_add(&total, 1); return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
]]

test.case("workers count together", function()
    local inst = assert(bpf.compile(SOURCE):load("vm", { cpus = 2 }))
    local packets = {}
    for i = 1, 500 do
        packets[i] = pkt.eth{}/pkt.ip{ src = "10.0.0." .. i % 250 }/pkt.udp{ sport = i }
    end
    local report = assert(inst.progs.atomic:replay{ packets = packets, workers = 2 })
    test.eq(report.verdicts.PASS, 500)
    test.eq(tonumber(inst.vars.total), 500)
    local none, err = inst.progs.atomic:replay{ packets = packets, workers = 3 }
    test.eq(none, nil)
    test.eq(tostring(err):find("3 workers, the vm has 2 CPUs", 1, true) ~= nil, true)
end)

test.case("a race is told with its seed", function()
    local inst = assert(bpf.compile(SOURCE):load("vm", { cpus = 2 }))
    local packet = pkt.eth{}/pkt.ip{}
    local report = assert(inst.progs.plain:race(packet, packet, { runs = 50 }))
    test.eq(report.races > 0, true)
    test.eq(tostring(report):find("no order of the two gives this", 1, true) ~= nil, true)
    test.eq(assert(inst.progs.atomic:race(packet, packet)).races, 0)
    test.eq(tonumber(inst.vars.total), 0)
end)

test.case("a race of runs that fault shows the first report", function()
    local inst = assert(assert(bpf.asm "r1 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r1 + 1000)\nexit"):load("vm", { cpus = 2 }))
    local packet = pkt.eth{}/pkt.ip{}
    local report = assert(inst.progs.main:race(packet, packet, { runs = 2 }))
    test.eq(report.fault.kind, "out of bounds")
    test.eq(report.outcomes[1].verdicts, { "fault", "fault" })
    assert(tostring(report):find(tostring(report.fault), 1, true), tostring(report))
end)

test.case("a race in which a run faults says so where it compares", function()
    local inst = assert(bpf.compile([[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
volatile __u64 total;
SEC("xdp") int check(struct xdp_md *ctx) {
    __u64 mine = total + 1;
    total = mine;
    if (total != mine) return *((__u8 *)(long)ctx->data + 1000); // nobody writes in between, in either order
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
]]):load("vm", { cpus = 2 }))
    local packet = pkt.eth{}/pkt.ip{}
    local report = assert(inst.progs.check:race(packet, packet, { runs = 50 }))
    local told
    for _, outcome in ipairs(report.outcomes) do
        if outcome.verdicts[1] == "fault" then
            told = outcome
        end
    end
    assert(told and not told.serial, tostring(report))
    test.eq(told.verdicts[2], "PASS")
    assert(told.difference:find("CPU 0 faulted, in order returned 2", 1, true), told.difference)
end)

both("workers, races and traces of instructions are for the vm alone", function(load, target)
    local prog = load(assert(bpf.compile(SOURCE)), { cpus = 2 }).progs.atomic
    local packet = pkt.eth{}/pkt.ip{}
    for what, call in next, {
        workers = function() return prog:replay{ packets = { packet }, workers = 2 } end,
        race = function() return prog:race(packet, packet, { runs = 1 }) end,
        trace = function() return prog:run(packet, { trace = true }) end,
    } do
        local done, err = call()
        test.eq({ done ~= nil, err and err.code }, { target == "vm", target == "kernel" and "ENOTSUP" or nil }, what)
    end
end)
