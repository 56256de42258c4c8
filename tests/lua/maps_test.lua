-- SPDX-License-Identifier: MIT
-- Map types beyond arrays and hashes as scripts use them, on both targets.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local obj = assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define UNKEYED(name, kind) \
	struct { __uint(type, kind); __uint(max_entries, 2); __type(value, __u32); } name SEC(".maps")

UNKEYED(queue, BPF_MAP_TYPE_QUEUE);
UNKEYED(stack, BPF_MAP_TYPE_STACK);

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__type(value, __u32);
} seen SEC(".maps");

struct prefix {
	__u32 length;
	__be32 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct numbers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
};

struct numbers few SEC(".maps"), many SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct numbers);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10000);
	__type(key, __u32);
	__type(value, __u64);
} large SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct locked {
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

SEC("xdp") int emit(struct xdp_md *ctx)
{
	__u32 word = 0x64636261;

	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | 8ull << 32, &word, sizeof(word));
	return bpf_redirect_map(&ports, 1, XDP_DROP);
}

char LICENSE[] SEC("license") = "GPL";
]])

local PACKET = pkt.eth{} / pkt.ip{} / pkt.udp{} / "x"

local function case(name, run)
    both(name, function(load, target)
        local inst = load(obj)
        run(inst.maps, inst, target)
    end)
end

case("queues and stacks push, pop and peek", function(m)
    for _, one in ipairs{ { m.queue, 5, 6 }, { m.stack, 6, 5 } } do
        local map, first, second = one[1], one[2], one[3]
        test.eq({ map:push(5), map:push(6), (select(2, map:push(7))).code }, { true, true, "E2BIG" })
        test.eq({ map:peek(), map:pop(), map:pop(), map:pop() }, { first, first, second })
        test.eq(map:push(1) and map:push(2) and map:push(3, "exist") and map:pop(), map == m.queue and 2 or 3)
        test.raises(function() map:has(1) end, "only bloom filters have this")
    end
end)

case("bloom filters know what was pushed", function(m)
    test.eq({ m.seen:push(77), m.seen:has(77), m.seen:has(78) }, { true, true, false })
    test.raises(function() m.seen:pop() end, "only queues and stacks have this")
end)

case("what has no keys to walk is refused in words", function(m)
    local words = { queue = "next key: queue: queue maps have no keys to walk",
                    stack = "next key: stack: stack maps have no keys to walk",
                    seen = "next key: seen: a bloom filter has no keys to walk",
                    events = "look up: events: an event has no value to read" }
    for name, text in pairs(words) do
        for _, walk in ipairs{ function(map) return map:pairs()() end, function(map) return map:clear() end,
                               function(map) return map:totable() end } do
            local ok, err = pcall(walk, m[name])
            test.eq({ ok, (err:gsub("^.-:%d+: ", "")) }, { false, text })
        end
    end
end)

case("LPM tries find the longest prefix and walk longer ones first", function(m)
    m.routes[{ length = 8, addr = "10.0.0.0" }] = 1
    m.routes[{ length = 24, addr = "10.1.2.0" }] = 2
    test.eq({ m.routes[{ length = 32, addr = "10.1.2.3" }], m.routes[{ length = 32, addr = "10.9.9.9" }],
              m.routes[{ length = 16, addr = "10.1.0.0" }] }, { 2, 1, 1 })
    local lengths = {}
    for key in pairs(m.routes) do
        lengths[#lengths + 1] = key.length
    end
    test.eq(lengths, { 24, 8 })
end)

case("a full trie, an index beyond the end and a delete that arrays have not are told alike", function(m)
    for i = 1, 16 do
        m.routes[{ length = 32, addr = "10.0.0." .. i }] = i
    end
    local _, full = m.routes:put({ length = 32, addr = "10.0.0.17" }, 1)
    test.eq({ full.code, full.msg }, { "ENOSPC", "routes: map is full (max_entries 16)" })
    local _, beyond = m.locked:put(5, {})
    test.eq({ beyond.code, beyond.msg }, { "E2BIG", "locked: index 5 of 1" })
    test.raises(function() m.locked[0] = nil end, "locked: array maps do not delete")
    test.raises(function() m.ports[99] = nil end, "ports: index 99 of ")
    test.raises(function() m.routes[{ length = 33, addr = "10.0.0.1" }] = nil end, "routes: the prefix is longer than the key")
end)

case("maps of maps take and give maps", function(m)
    m.few[1] = 10
    m.outer[3] = m.few
    test.eq({ m.outer[3][1], m.outer[4] }, { 10 })
    m.outer[3] = m.many
    test.eq({ m.outer[3].name, m.outer[3][1] }, { "many" })
    test.eq((select(2, m.outer:put(5, m.ports))).code, "EINVAL")
    test.raises(function() m.outer[3] = 7 end, "expected a map, got number")
    m.outer[3] = nil
    test.eq(m.outer[3], nil)
end)

case("a batch of keys is deleted up to the first that fails", function(m)
    local keys = {}
    for i = 1, 3000 do -- more than go into one call
        m.large[i] = i
        keys[i] = i
    end
    test.eq(m.large:batch_delete(keys), 3000)
    test.eq(next(m.large:totable()), nil)
    m.large:batch{ [1] = 1, [2] = 2, [4] = 4 }
    local count, err = m.large:batch_delete{ 1, 2, 3, 4 }
    test.eq({ count, err.code }, { 2, "ENOENT" })
    test.eq({ m.large:batch_delete{}, m.large[4] }, { 0, 4 })
    count, err = m.large:batch_delete{ 9, 4 }
    test.eq({ count, err.code, m.large[4] }, { 0, "ENOENT", 4 })
    m.routes[{ length = 8, addr = "10.0.0.0" }] = 1
    test.eq(m.routes:batch_delete{ { length = 8, addr = "10.0.0.0" } }, 1)
    m.per_cpu[0] = 5
    local done, why = m.per_cpu:batch_delete{ 0 }
    local single = select(2, m.per_cpu:del(0))
    test.eq({ done, why and why.code }, { single and 0 or 1, single and single.code })
    test.raises(function() m.large:batch_delete(7) end, "expected a list of keys, got number")
end)

case("entries are taken by batch", function(m)
    local squares = {}
    for i = 1, 3000 do
        squares[i] = u64(i) * i
    end
    m.large:batch(squares)
    local some = m.large:batch_take(10)
    test.eq(#some, 10)
    local rest = m.large:batch_take()
    test.eq(#rest, 2990)
    for _, list in ipairs{ some, rest } do
        for _, entry in ipairs(list) do
            test.eq(entry.value, squares[entry.key])
            squares[entry.key] = nil
        end
    end
    test.eq({ next(squares), next(m.large:totable()), #m.large:batch_take() }, { nil, nil, 0 })
    test.eq(select(2, m.routes:batch_take()).code, "ENOTSUP")
    test.raises(function() m.large:batch_take(0) end, "expected a count from 1, got 0")
end)

case("a batch writes what is put one by one", function(m)
    local squares = {}
    for i = 1, 3000 do -- more than go into one call
        squares[i * 7] = u64(i) * i
    end
    test.eq(m.large:batch(squares), 3000)
    local count = 0
    for key, value in pairs(m.large) do
        test.eq(value, squares[key])
        count = count + 1
    end
    test.eq(count, 3000)
    test.eq(m.large:batch{}, 0)
    test.eq(m.per_cpu:batch{ [0] = 5, [3] = { [0] = 1, 2 } }, 2)
    test.eq({ m.per_cpu[0]:sum(), m.per_cpu[3][0], m.per_cpu[3][1] }, { 5 * m.per_cpu.info.cpus, 1, 2 })
    test.eq(m.routes:batch{ [{ length = 8, addr = "10.0.0.0" }] = 1, [{ length = 16, addr = "10.1.0.0" }] = 2 }, 2)
    test.eq(m.routes[{ length = 32, addr = "10.1.2.3" }], 2)
    test.eq({ m.locked:batch{ [0] = { count = 6 } }, m.locked[0].count }, { 1, 6 })
    test.eq({ m.ports:batch{ [1] = 1, [2] = 1 }, m.ports[2] }, { 2, 1 }) -- a type without batches in the kernel
    test.eq({ m.outer:batch{ [3] = m.few }, m.outer[3].name }, { 1, "few" })
end)

case("a batch ends at what cannot be written, and keeps what was", function(m)
    local done, err = m.few:batch{ 1, 2, 3, 4, 5, 6 }
    test.eq({ done == nil, err.code, err.msg }, { true, "E2BIG", "few: map is full (max_entries 4)" })
    local kept = m.few:totable()
    test.eq(kept, { 1, 2, 3, 4 })
    done, err = m.per_cpu:batch{ [3] = 1, [4] = 1 }
    test.eq({ done == nil, err.code, err.msg }, { true, "E2BIG", "per_cpu: index 4 of 4" })
    m.few:freeze()
    test.eq((select(2, m.few:batch{ [1] = 7 })).code, "EPERM")
    test.raises(function() m.few:batch{ x = 1 } end, "key of few")
    test.raises(function() m.few:batch(5) end, "bad argument 'entries': expected a table of values by key, got number")
    test.raises(function() m.queue:batch{ 1 } end, "batch: map queue is a queue, which has no keys")
end)

case("take looks up and deletes", function(m)
    m.few[1] = 10
    test.eq({ m.few:take(1), m.few:take(1) }, { 10 })
end)

case("locks are neither shown nor written", function(m)
    m.locked[0] = { lock = { val = 5 }, count = 6 }
    test.eq({ m.locked[0].lock.val, m.locked[0].count }, { 0, 6 })
end)

case("perf events come with their CPU", function(m, inst)
    local e = m.events:events()
    inst.progs.emit:run(PACKET, { cpu = 0 })
    for bytes, cpu in e:each(0) do
        test.eq({ bytes:sub(1, 12), cpu, e:lost() }, { "abcd" .. PACKET:bytes():sub(1, 8), 0, 0 })
    end
    test.eq(#e:consume(), 0)
end)

case("perf events that a full buffer loses are counted", function(m, inst)
    local RUNS = 20000
    local e = m.events:events()
    inst.progs.emit:run(PACKET, { cpu = 0, times = RUNS })
    local got = #e:consume()
    inst.progs.emit:run(PACKET, { cpu = 0 }) -- the count comes with the next record that fits
    got = got + #e:consume()
    assert(e:lost() > 0 and got > 0, got)
    test.eq(got + e:lost(), RUNS + 1)
end)

case("redirect_map falls back, or says where to", function(m, inst, target)
    test.eq(inst.progs.emit:run(PACKET).verdict, "DROP")
    m.ports[1] = 1
    local result = inst.progs.emit:run(PACKET)
    test.eq(result.verdict, "REDIRECT")
    if target == "vm" then
        test.eq({ result.redirect.kind, result.redirect.map, result.redirect.index }, { "devmap", "ports", 1 })
    end
end)
