-- SPDX-License-Identifier: MIT
-- Objects, instances, maps and programs as scripts use them; what programs compute is checked by the targets' tests.
local test = require "test"
local bpf, pkt, json = require "bpf", require "pkt", require "json"
local task, timer = require "task", require "timer"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum kind { NONE, TCP = 6, UDP = 17 };

struct flow {
    __be32 saddr, daddr;
    __be16 sport, dport;
    __u8 proto;
    __u8 pad[3];
};

struct value {
    __u64 pkts;
    __u64 bytes;
    enum kind kind;
    __u32 low : 4, high : 28;
    char name[8];
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, struct flow);
    __type(value, struct value);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8);
    __type(key, __u16);
    __type(value, __u8);
} blocked SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 3);
    __type(key, __u32);
    __type(value, __s32);
} numbers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

const volatile __u32 limit = 60;
__u64 total;
struct value last = { .pkts = 1 };

SEC("xdp") int short_ones(struct xdp_md *ctx)
{
    __u32 zero = 0, len = ctx->data_end - ctx->data;
    __u64 *count = bpf_map_lookup_elem(&counters, &zero);

    if (count)
        *count += 1;
    total += len;
    bpf_ringbuf_output(&ring, &len, sizeof(len), 0);
    return len < limit ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
]]

local obj = assert(bpf.compile(SOURCE))

-- The kernel's verifier refuses this one.
local UNCHECKED = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int unchecked(struct xdp_md *ctx)
{
    __u8 *data = (void *)(long)ctx->data;

    return data[100] == 'y' ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
]]

local faulty = assert(bpf.compile(UNCHECKED))

local SHORT = pkt.eth{} / pkt.ip{} / pkt.udp{} / "x"
local LONG = pkt.eth{} / pkt.ip{} / pkt.udp{} / ("x"):rep(100)

test.case("objects list what they hold", function()
    test.eq({ obj.programs[1].name, obj.programs[1].type, obj.license }, { "short_ones", "xdp", "GPL" })
    test.raises(function() return obj.nope end, "bpf_test.lua:%d+: an object has no field or method 'nope'")
end)

test.case("errors of the compiler point at the line of the text in its script", function()
    local o, err = bpf.compile [[
#include <linux/bpf.h>
int x = undeclared_thing;
]]
    assert(o == nil)
    local line = 0
    for text in io.lines(arg[0]) do
        line = line + 1
        if text == "int x = undeclared_thing;" then
            break
        end
    end
    assert(tostring(err):find(("%s:%d"):format(arg[0], line), 1, true), tostring(err))
    test.raises(function() bpf.compile{ file = "a", source = "b" } end, "one of them")
    test.raises(function() bpf.compile{ fiel = "a" } end, "unknown option 'fiel'")
    local _, missing = bpf.open "/nonexistent.o"
    test.eq(missing.code, "ENOENT")
    local _, bad = bpf.open "\127ELF garbage"
    assert(bad.msg)
end)

both("a saved object opens again and runs the same", function(load)
    local path = os.tmpname()
    assert(obj:save(path))
    local again = assert(bpf.open(path))
    os.remove(path)
    test.eq({ again.programs, again.maps }, { obj.programs, obj.maps })
    test.eq(load(again).progs.short_ones:run(SHORT).verdict, "DROP")
    local ok, err = obj:save "/nonexistent/folder/x.o"
    test.eq({ ok, err.code }, { nil, "ENOENT" })
end)

both("maps take what their types take", function(load)
    local m = load(obj).maps
    m.blocked[53] = 1
    m.blocked[443] = 2
    test.eq({ m.blocked[53], m.blocked[443], m.blocked[80] }, { 1, 2, nil })
    m.blocked[53] = nil
    test.eq({ m.blocked[53], m.blocked:del(53) }, { nil, nil })
    for _, case in ipairs{ { 65536, 1, "key of blocked: 65536 is outside" }, { -1, 1, "outside" }, { 1.5, 1, "no integer" },
                           { "http", 1, "expected an integer, got string" }, { 53, 256, "value of blocked: 256 is outside" },
                           { {}, 1, "got table" } } do
        test.raises(function() m.blocked[case[1]] = case[2] end, "bpf_test.lua:%d+: .*" .. case[3])
    end
    test.raises(function() return m.flow end, "no map 'flow' %(known: blocked, counters, flows, numbers, ring%)")
    test.eq({ m.blocked.key_type, m.blocked.value_type, m.blocked.info.type }, { "__u16", "__u8", "hash" })
end)

both("struct keys and values go in as tables and come out typed", function(load)
    local flows = load(obj).maps.flows
    local key = { saddr = "10.0.0.1", daddr = "192.0.2.7", sport = 1024, dport = 53, proto = 17 }
    flows[key] = { pkts = 0xffffffffffffffffULL, bytes = 7, kind = "UDP", low = 15, high = 1, name = "dns" }
    local v = flows[key]
    assert(v.pkts == 0xffffffffffffffffULL and v.bytes == 7ULL)
    test.eq({ v.kind, v.low, v.high, v.name }, { 17, 15, 1, "dns" })
    assert(tostring(v):find("kind = UDP", 1, true), tostring(v))
    v.bytes = 8
    assert(flows[key].bytes == 7ULL, "a get is a copy")
    flows[key] = v
    assert(flows[key].bytes == 8ULL)
    for k in pairs(flows) do
        test.eq({ k.saddr, k.daddr, k.sport, k.dport, k.proto }, { "10.0.0.1", "192.0.2.7", 1024, 53, 17 })
    end
    test.raises(function() flows[{ sadr = "10.0.0.1" }] = {} end, "struct flow has no field 'sadr'")
    test.eq(json.decode(json.encode(flows))[1].value.name, "dns")
end)

both("update flags, missing keys and full maps are outcomes, not errors", function(load)
    local m = load(obj).maps.blocked
    assert(m:put(1, 1, "new"))
    local ok, err = m:put(1, 2, "new")
    test.eq({ ok, err.code, m[1] }, { nil, "EEXIST", 1 })
    ok, err = m:put(2, 2, "exist")
    test.eq({ ok, err.code }, { nil, "ENOENT" })
    test.raises(function() m:put(1, 1, "maybe") end, "bad argument 'how'")
    for i = 2, 8 do
        m[i] = 1
    end
    ok, err = m:put(9, 1)
    test.eq({ ok, err.code, err.msg }, { nil, "E2BIG", "blocked: map is full (max_entries 8)" })
    test.raises(function() m[9] = 1 end, "bpf_test.lua:%d+: ")
end)

both("a walk sees every entry once, whatever the batch, and survives deletion", function(load)
    for _, batch in ipairs{ 1, 7, 1024 } do
        local flows, seen, count = load(obj).maps.flows, {}, 0
        for i = 1, 100 do
            flows[{ sport = i }] = { pkts = i }
        end
        for k, v in flows:pairs{ batch = batch } do
            assert(not seen[k.sport] and num(v.pkts) == k.sport)
            seen[k.sport], count = true, count + 1
            flows[k] = nil
        end
        test.eq(count, 100, "batch " .. batch)
        test.eq(next(flows:totable()), nil)
    end
    test.raises(function() load(obj).maps.flows:pairs{ size = 1 } end, "the only option is batch=")
end)

both("arrays have all their entries; clear makes them zero", function(load)
    local m = load(obj).maps.numbers
    m[0], m[2] = -5, 2147483647
    test.eq(m:totable(), { [0] = -5, [1] = 0, [2] = 2147483647 })
    test.raises(function() m[0] = 2 ^ 31 end, "outside %-2147483648 to 2147483647")
    test.raises(function() m[3] = 1 end, "numbers")
    assert(m:clear())
    test.eq(m:totable(), { [0] = 0, [1] = 0, [2] = 0 })
end)

both("per-CPU values are one a CPU and have a sum", function(load, target)
    local inst = load(obj, { cpus = 3 }) -- the kernel has as many as it has
    local cpus = inst.maps.counters.info.cpus
    inst.progs.short_ones:run(SHORT, { cpu = 0 })
    inst.progs.short_ones:run(SHORT, { cpu = cpus - 1 })
    local v, want = inst.maps.counters[0], {}
    for cpu = 0, cpus - 1 do
        want[cpu + 1] = (cpu == 0 and 1 or 0) + (cpu == cpus - 1 and 1 or 0)
        test.eq(num(v[cpu]), want[cpu + 1])
    end
    test.eq({ num(v:sum()), target == "kernel" or cpus == 3 }, { 2, true })
    test.raises(function() return v[cpus] end, ("CPU %d is outside 0 to %d"):format(cpus, cpus - 1))
    local list, sum = {}, 0
    for cpu = 0, cpus - 1 do
        list[cpu], sum = cpu + 1, sum + cpu + 1
    end
    inst.maps.counters[1] = list
    test.eq(num(inst.maps.counters[1]:sum()), sum)
    inst.maps.counters[1] = 5
    test.eq(num(inst.maps.counters[1]:sum()), 5 * cpus)
    list[cpus - 1] = nil
    test.raises(function() inst.maps.counters[1] = list end, cpus > 1 and "one value per CPU" or "")
    list[cpus - 1] = 1
    for _, beyond in ipairs{ cpus + 3, -1, 0.5 } do
        list[beyond] = 1
        test.raises(function() inst.maps.counters[1] = list end, "one value per CPU")
        list[beyond] = nil
    end
    test.raises(function() v[cpus + 3] = { a = 1 } end, ("CPU %d is outside 0 to %d"):format(cpus + 3, cpus - 1))
    v[0] = 7
    inst.maps.counters[1] = v
    test.eq(num(inst.maps.counters[1][0]), 7)
end)

both("variables are read, written, and set before loading", function(load)
    local inst = load(obj, { vars = { limit = 20, last = { pkts = 9 } } })
    test.eq({ inst.vars.limit, num(inst.vars.last.pkts) }, { 20, 9 })
    test.eq(inst.progs.short_ones:run(SHORT).verdict, "PASS")
    test.eq(num(inst.vars.total), SHORT.len)
    inst.vars.total = 0
    inst.vars.last.pkts = 10
    inst.vars.last.name = "abc"
    test.eq({ num(inst.vars.total), num(inst.vars.last.pkts), inst.vars.last.name }, { 0, 10, "abc" })
    test.raises(function() inst.vars.limit = 1 end, "read only")
    test.raises(function() return inst.vars.nope end, "no variable 'nope' %(known: ")
    test.raises(function() load(obj, { vars = { nope = 1 } }) end, "no variable 'nope'")
    test.raises(function() load(obj, { vars = { limit = -1 } }) end, "vars.limit: %-1 is outside")
end)

both("a reference reads and writes the entry in place", function(load)
    local flows = load(obj).maps.flows
    flows[{ sport = 1 }] = { pkts = 1 }
    local r = flows:ref{ sport = 1 }
    r.pkts = 5
    assert(flows[{ sport = 1 }].pkts == 5ULL)
    flows[{ sport = 1 }] = { pkts = 6 }
    assert(r.pkts == 6ULL)
    flows[{ sport = 1 }] = nil
    test.raises(function() return r.pkts end, "the entry is gone")
    test.eq(flows:ref{ sport = 2 }, nil)
end)

both("ring buffers hand out each record once", function(load)
    local inst = load(obj)
    for _ = 1, 3 do
        inst.progs.short_ones:run(SHORT)
    end
    local events, n = inst.maps.ring:events(), 0
    for record in events:each(0) do
        n = n + 1
        test.eq({ #record, record:byte(1) }, { 4, SHORT.len })
    end
    test.eq({ n, #events:consume() }, { 3, 0 })
    test.raises(function() inst.maps.flows:events() end, "only ring buffers and perf arrays have events")
    test.raises(function() events:each(-1) end, "timeout")
    test.raises(function() events:on() end, "bad argument 'fn': expected function, got nil")
end)

both("events wait for records of later runs, until they or the instance close", function(load)
    local inst = load(obj)
    local function run()
        assert(inst.progs.short_ones:run(SHORT))
    end
    local events, seen = inst.maps.ring:events(), {}
    local reader = task.spawn(function()
        for record in events:each() do
            seen[#seen + 1] = #record
        end
        return "over"
    end)
    timer.sleep(0)
    run()
    timer.sleep(0.01)
    run()
    for _ = 1, 1000 do
        if #seen == 2 then
            break
        end
        timer.sleep(0.005)
    end
    test.eq(seen, { 4, 4 })
    events:close()
    test.eq(reader:join(), "over")

    local got = task.channel(1)
    local late = inst.maps.ring:events()
    local on = late:on(function(record) got:send(#record) end)
    timer.sleep(0)
    run()
    test.eq(got:recv(5), 4)
    for _ in inst.maps.ring:events():each(0.01) do
        error "a record is handed out once"
    end
    inst:close()
    test.eq({ on:join() }, {})
end)

both("results say verdict, bytes and context", function(load)
    local inst = load(obj)
    local r = inst.progs.short_ones:run(LONG, { ctx = { ingress_ifindex = 1 } })
    test.eq({ r.verdict, r.ret, r.bytes == LONG:bytes(), r.pkt.udp.dport == LONG.udp.dport, r.fault },
        { "PASS", 2, true, true, nil })
    test.raises(function() inst.progs.short_ones:run(5) end, "bad argument 'packet'")
    test.raises(function() inst.progs.short_ones:run(SHORT, { tims = 1 }) end, "run: unknown option 'tims'")
    test.raises(function() inst.progs.short_ones:run(SHORT, { times = 0 }) end, "bad argument 'times': 0 is outside")
    test.raises(function() return inst.progs.nope end, "no program 'nope' %(known: short_ones%)")
end)

-- The kernel does not load what faults or warns on the vm.
test.case("faults have neither verdict nor bytes to go by, and name the line", function()
    local f = assert(faulty:load "vm").progs.unchecked:run(SHORT)
    test.eq({ f.verdict, f.ret }, { nil, nil })
    assert(f.fault.line and f.fault.source:find("data[100]", 1, true) and tostring(f.fault):find("unchecked", 1, true))
    local w = assert(faulty:load "vm").progs.unchecked:run(LONG)
    test.eq({ w.verdict, #w.warnings }, { "PASS", 1 })
    assert(tostring(w.warnings[1]):find("kernel will refuse", 1, true), tostring(w.warnings[1]))
    local mixed = assert(faulty:load "vm").progs.unchecked:replay{ packets = { SHORT, LONG, SHORT } }
    test.eq({ mixed.verdicts, mixed.first.fault.index }, { { fault = 2, PASS = 1 }, 1 })
    assert(tostring(mixed.fault):find("unchecked", 1, true))
end)

both("replay counts verdicts, keeps first packets, and writes a capture per verdict", function(load)
    local pcap = require "pcap"
    local path, folder = os.tmpname(), os.tmpname()
    os.remove(folder)
    local w = pcap.create(path)
    for i = 1, 30 do
        w:write(i % 3 == 0 and SHORT or LONG)
    end
    w:close()
    local inst = load(obj)
    local report = assert(inst.progs.short_ones:replay{ pcap = path, out = folder })
    test.eq({ report.packets, report.verdicts, report.first.DROP.index, report.first.DROP.pkt == SHORT },
        { 30, { DROP = 10, PASS = 20 }, 3, true })
    test.eq(report.maps.counters.changed, 1)
    local n = 0
    for p in pcap.open(folder .. "/DROP.pcap"):packets() do
        assert(p == SHORT)
        n = n + 1
    end
    test.eq(n, 10)
    test.eq(inst.progs.short_ones:replay(path).packets, 30)
    test.eq(inst.progs.short_ones:replay{ pcap = path, limit = 4 }.packets, 4)
    local _, err = inst.progs.short_ones:replay "/nonexistent.pcap"
    test.eq(err.code, "ENOENT")
    test.raises(function() inst.progs.short_ones:replay{} end, "one of them")
    os.execute("rm -r " .. path .. " " .. folder)
end)

both("a packet that a program does not take is a fault with a cause in a replay", function(load)
    local prog = load(obj).progs.short_ones
    for _, packets in ipairs{ { "short" }, { SHORT, "short", LONG } } do
        local report = assert(prog:replay{ packets = packets })
        local _, err = prog:run "short"
        test.eq({ report.verdicts.fault, report.first.fault.bytes, report.fault.cause }, { 1, "short", err.msg })
        assert(tostring(report):find(err.msg, 1, true), tostring(report))
    end
    test.eq(assert(prog:replay{ packets = { SHORT, LONG } }).fault, nil)
end)

test.case("instructions are counted where a trace is asked for", function()
    local main = assert(assert(bpf.asm "r0 = 2\nexit"):load "vm").progs.main
    test.eq({ main:run(LONG).insns, main:run(LONG, { trace = true }).insns }, { nil, 2 })
    assert(not require("json").encode(main:run(LONG)):find "insns")
end)

both("what is closed refuses, and closing twice is nothing", function(load)
    local inst = load(obj)
    local map, prog = inst.maps.blocked, inst.progs.short_ones
    inst:close(); inst:close()
    test.raises(function() return map[1] end, "its instance is closed")
    test.raises(function() prog:run(SHORT) end, "its instance is closed")
    local o = assert(bpf.compile(SOURCE))
    local kept = load(o)
    o:close(); o:close()
    test.raises(function() load(o) end, "object: it is closed")
    test.eq(kept.progs.short_ones:run(SHORT).verdict, "DROP")
end)

both("maps and programs keep their instance under an eager collector", function(load)
    collectgarbage("setpause", 1)
    local map = load(obj).maps.flows
    local prog = load(obj).progs.short_ones
    for i = 1, 200 do
        map[{ sport = i }] = { pkts = i }
        assert(map[{ sport = i }].pkts == i + 0ULL)
        assert(prog:run(SHORT).verdict == "DROP")
    end
    collectgarbage()
    collectgarbage("setpause", 200)
    test.eq(num(map[{ sport = 200 }].pkts), 200)
end)

-- The kernel's seed is its own.
test.case("equal seeds give equal orders", function()
    local function order(seed)
        local flows, list = assert(obj:load("vm", { seed = seed })).maps.flows, {}
        for i = 1, 50 do
            flows[{ sport = i }] = {}
        end
        for k in pairs(flows) do
            list[#list + 1] = k.sport
        end
        return table.concat(list, " ")
    end
    test.eq(order(5), order(5))
end)

test.xdp{
    object = obj, program = "short_ones",
    { name = "a short packet is dropped and counted", input = SHORT, verdict = "DROP", output = SHORT,
      maps = { blocked = { [53] = 1 } }, after = { blocked = { [53] = 1 } } },
    { name = "a long packet passes", input = LONG, verdict = "PASS", output = LONG },
    { name = "the limit is what vars say", input = LONG, verdict = "DROP", vars = { limit = 1000 } },
}
test.xdp{ object = faulty, program = "unchecked",
    { name = "a missing bounds check is a fault", input = SHORT, verdict = "fault" } }

local UNUSED = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 64);
} stacks SEC(".maps");

SEC("xdp") int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("?xdp") int reads(struct xdp_md *ctx)
{
	__u32 key = 0;
	return bpf_map_delete_elem(&stacks, &key) ? XDP_DROP : XDP_PASS;
}
]]

both("a map that programs on packets cannot use may stand beside them", function(load, target)
    local inst = load(assert(bpf.compile(UNUSED)))
    test.eq(inst.progs.drop:run(("\0"):rep(64)).verdict, "DROP")
    if target == "vm" then
        local _, err = inst.maps.stacks:get(("\0"):rep(4))
        test.eq({ err.code, err.msg }, { "ENOTSUP", "stacks: map type stack_trace is not emulated: " ..
            "no program on packets can fill it" })
    end
end)

test.case("a program that uses such a map is refused, with its line", function()
    local _, err = assert(bpf.compile(UNUSED)):load("vm", { autoload = { "reads" } })
    test.eq(err.code, "ENOTSUP")
    assert(err.msg:find "^reads: .*bpf_test.lua:%d+: instruction 4: stacks: map type stack_trace is not emulated", err.msg)
end)
