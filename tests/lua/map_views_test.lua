-- SPDX-License-Identifier: MIT
-- map:top and map:watch, on both targets.
local test = require "test"
local bpf, json, task, timer = require "bpf", require "json", require "task", require "timer"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local obj = assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 pkts;
	__s32 balance;
	char name[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 5000);
	__type(key, __u32);
	__type(value, struct stats);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 2);
	__type(value, __u32);
} queue SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 key = 2, popped;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		(*value)++;
	bpf_map_pop_elem(&queue, &popped);
	return bpf_map_lookup_elem(&flows, &key) ? XDP_DROP : XDP_PASS;
}
]])

--- Numbers that no two keys share, in no order: 7919 is prime.
local function scattered(key)
    return key * 7919 % 5003
end

both("the greatest entries are those that sorting finds", function(load)
    local flows = load(obj).maps.flows
    local all = {}
    for key = 1, 3000 do -- more than one batch
        flows[key] = { pkts = 2ULL ^ 63 + scattered(key), balance = 2500 - scattered(key), name = "n" .. key }
        all[key] = { key = key, pkts = scattered(key), balance = 2500 - scattered(key) }
    end
    for _, by in ipairs{ "pkts", "balance" } do
        table.sort(all, function(a, b) return a[by] > b[by] end)
        local top = flows:top(40, by)
        test.eq(#top, 40)
        test.eq(top.count, 3000)
        for i, entry in ipairs(top) do
            test.eq(entry.key, all[i].key)
            test.eq(entry.value.name, "n" .. all[i].key)
        end
    end
    local evens = flows:top(2, function(value, key) return key % 2 == 0 and tonumber(value.balance) or -math.huge end)
    table.sort(all, function(a, b) return a.balance > b.balance end)
    local wanted = {}
    for _, entry in ipairs(all) do
        wanted[#wanted + 1] = entry.key % 2 == 0 and entry.key or nil
    end
    test.eq({ evens[1].key, evens[2].key }, { wanted[1], wanted[2] })
    flows:clear()
    test.eq(#flows:top(3, "pkts"), 0)
end)

both("the greatest entries of values per CPU are by their sums, and print with them", function(load)
    local inst = load(obj)
    inst.maps.counts[1] = { [0] = 3, 4 }
    inst.maps.counts[3] = { [0] = 6, 0 }
    local top = inst.maps.counts:top(2)
    test.eq({ top[1].key, num(top[1].value), top[2].key, num(top[2].value) }, { 1, 7, 3, 6 })
    test.eq(require("mimicsh.printer").text(top), "2 of 4 entries of map counts\n  1 = 7\n  3 = 6")
    test.eq(json.encode(top), '[{"key":1,"value":7},{"key":3,"value":6}]')
end)

test.case("what cannot be ranked or walked is refused with the reason", function()
    local maps = assert(obj:load "vm").maps
    maps.flows[1] = {}
    test.raises(function() maps.flows:top(1) end,
        "bad argument 'by': expected a function or one of: pkts, balance, name, got nil")
    test.raises(function() maps.flows:top(1, "bytes") end,
        "bad argument 'by': expected a function or one of: pkts, balance, name, got bytes")
    test.raises(function() maps.flows:top(1, "name") end, "entries are ranked by numbers, got string")
    test.raises(function() maps.flows:top(1, function(value) return value end) end, "by numbers, got a struct")
    test.raises(function() maps.flows:top(0, "pkts") end, "bad argument 'n': expected a count from 1, got 0")
    test.raises(function() maps.queue:top(1) end, "top: map queue is a queue, which has no keys")
    test.raises(function() maps.queue:watch(1, print) end, "watch: map queue is a queue, which has no keys")
    test.raises(function() maps.flows:watch(1) end, "bad argument 'fn': expected function, got nil")
end)

both("a watch tells what changed, came and went, and what programs did", function(load)
    local inst = load(obj)
    local flows, counts = inst.maps.flows, inst.maps.counts
    flows[1], flows[2], flows[3] = { pkts = 1 }, { pkts = 2 }, { pkts = 3 }
    local told = task.channel(100)
    local function tell(key, value, before)
        told:send{ key, value and num(value.pkts) or "gone", before and num(before.pkts) or "new" }
    end
    local watches = { flows:watch("2ms", tell), counts:watch("2ms", function(key, value, before)
        told:send{ key, num(value:sum()), num(before:sum()) }
    end) }
    local function next_told()
        local change, err = told:recv(20)
        return assert(change, err)
    end
    flows[1] = { pkts = 10 }
    test.eq(next_told(), { 1, 10, 1 })
    flows[4] = { pkts = 4 }
    test.eq(next_told(), { 4, 4, "new" })
    flows[3] = nil
    test.eq(next_told(), { 3, "gone", 3 })
    assert(inst.progs.count:run(("\0"):rep(64), { times = 3 }))
    test.eq(next_told(), { 2, 3, 0 })
    watches[1]:stop()
    flows[1] = { pkts = 11 }
    test.eq((told:recv(0.03)), nil)
    inst:close() -- which ends the other watch: a script ends when no timer is armed
    timer.sleep(0.01)
    test.eq(told.count, 0)
end)
