-- SPDX-License-Identifier: MIT
-- Timers in map values, as scripts move their clock.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local PACKET = pkt.eth{} / pkt.ip{} / pkt.udp{}

local function compile(body)
    return assert(bpf.compile{ source = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct value { __u64 count; struct bpf_timer timer; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct value);
} timers SEC(".maps");
static int later(void *map, __u32 *key, struct value *value)
{
]] .. body .. [[
}
SEC("xdp") int filter(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct value *value = bpf_map_lookup_elem(&timers, &key);
    if (!value)
        return XDP_DROP;
    bpf_timer_init(&value->timer, &timers, 1);
    bpf_timer_set_callback(&value->timer, later);
    bpf_timer_start(&value->timer, 1000000, 0);
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
]] })
end

local AGAIN = " value->count++; bpf_timer_start(&value->timer, 1000000, 0); return 0;"

test.case("a callback runs when the clock is moved to its time", function()
    local inst = assert(compile('bpf_printk("fired");' .. AGAIN):load "vm")
    test.eq(inst.progs.filter:run(PACKET).verdict, "PASS")
    test.eq(inst:advance(999999).callbacks, 0)
    local advanced = inst:advance(1)
    test.eq({ advanced.callbacks, #advanced.log, #advanced.faults }, { 1, 1, 0 })
    test.eq(inst:advance(10e6).callbacks, 10)
    test.eq(inst.maps.timers[0].count, 11)
end)

both("a callback runs when its time has come", function(load, target)
    local inst = load(compile(AGAIN))
    test.eq(inst.progs.filter:run(PACKET).verdict, "PASS")
    local advanced, err = inst:advance(5e6)
    test.eq({ advanced ~= nil, err and err.code }, { target == "vm", target == "kernel" and "ENOTSUP" or nil })
    -- On the kernel time passes by itself.
    test.eq(becomes(function() return inst.maps.timers[0].count >= 5 end), true)
    inst:close()
end)

-- The kernel does not load it.
test.case("a fault in a callback names its line", function()
    local inst = assert(compile('return *(volatile char *)((char *)value + 100);'):load "vm")
    inst.progs.filter:run(PACKET)
    local advanced = inst:advance(1e6)
    test.eq({ advanced.callbacks, #advanced.faults }, { 1, 1 })
    test.eq(advanced.faults[1].kind, "out of bounds")
    assert(tostring(advanced):find "later", tostring(advanced))
end)
