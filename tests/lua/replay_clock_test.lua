-- SPDX-License-Identifier: MIT
-- Replays whose clock goes by the packets' times: rate limiters and timers over a capture.
local test = require "test"
local bpf, pcap, pkt = require "bpf", require "pcap", require "pkt"

local PACKET = pkt.eth{} / pkt.ip{} / pkt.udp{}
local MS = 1000000

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct value { __u64 fired, at; struct bpf_timer timer; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct value);
} timers SEC(".maps");
__u64 seen, last, times[16];
static int later(void *map, __u32 *key, struct value *value)
{
    value->fired++;
    value->at = bpf_ktime_get_ns();
    return 0;
}
#ifdef FAULTY
static int wrong(void *map, __u32 *key, struct value *value)
{
    return *(volatile __u8 *)((char *)value + 4000);
}
#endif
static __always_inline int start(void *callback)
{
    __u32 key = 0;
    struct value *value = bpf_map_lookup_elem(&timers, &key);

    if (!value)
        return XDP_ABORTED;
    times[seen++ & 15] = bpf_ktime_get_ns();
    bpf_timer_init(&value->timer, &timers, 1);
    bpf_timer_set_callback(&value->timer, callback);
    bpf_timer_start(&value->timer, 5000000, 0);
    return value->fired ? XDP_TX : XDP_PASS; /* TX: the timer was first */
}
SEC("xdp") int waits(struct xdp_md *ctx) { return start(later); }
#ifdef FAULTY
SEC("xdp") int fails(struct xdp_md *ctx) { return start(wrong); }
#endif
/* At most one packet each ten milliseconds. */
SEC("xdp") int limits(struct xdp_md *ctx)
{
    __u64 now = bpf_ktime_get_ns();

    if (last && now - last < 10000000)
        return XDP_DROP;
    last = now;
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
]]

local object = assert(bpf.compile{ source = SOURCE })
local faulty = assert(bpf.compile{ source = "#define FAULTY\n" .. SOURCE }) -- which no kernel loads

--- A capture of packets at these milliseconds; fn gets its path.
local function with_capture(times, fn)
    local path = os.tmpname()
    local writer = assert(pcap.create(path))
    for _, ms in ipairs(times) do
        assert(writer:write(PACKET, { time = 1000 * MS + ms * MS }))
    end
    assert(writer:close())
    fn(path)
    os.remove(path)
end

local function load(options)
    return assert(object:load("vm", options))
end

test.case("a rate limiter sees the time between packets", function()
    with_capture({ 0, 3, 9, 10, 12, 19, 20, 25, 31 }, function(path)
        local world = { time = { ns = 1000 } }
        local verdicts = load{ world = world }.progs.limits:replay{ pcap = path, clock = "packets" }.verdicts
        test.eq(verdicts, { PASS = 4, DROP = 5 })
        test.eq(load{ world = world }.progs.limits:replay(path).verdicts, { PASS = 1, DROP = 8 })
    end)
end)

test.case("the clock goes on from where it stands, never back, and stays", function()
    with_capture({ 7, 8, 6, 10 }, function(path)
        local inst = load{ world = { time = { ns = 1000 } } }
        test.eq(inst.progs.waits:replay{ pcap = path, clock = "packets" }.packets, 4)
        local times = {}
        for i = 0, 3 do
            times[i + 1] = inst.vars.times[i]
        end
        test.eq(times, { 1000, 1000 + MS, 1000 + MS, 1000 + 3 * MS })
        inst.progs.waits:run(PACKET)
        test.eq(inst.vars.times[4], 1000 + 3 * MS)
    end)
end)

test.case("timers that are due run before the packet", function()
    with_capture({ 0, 4, 9, 10, 20 }, function(path)
        local folder = os.tmpname()
        os.remove(folder)
        local inst = load()
        local report = assert(inst.progs.waits:replay{ pcap = path, clock = "packets", out = folder })
        -- Started at 0 and 4, it fires at 9, before the packet of then; started at 9 and 10, at 15.
        test.eq(report.verdicts, { PASS = 2, TX = 3 })
        test.eq({ report.callbacks, report.callback_faults, inst.maps.timers[0].fired }, { 2, 0, 2 })
        assert(tostring(report):find("callbacks of timers: 2, 0 of them with a fault", 1, true), tostring(report))
        for verdict, count in pairs(report.verdicts) do
            local written = 0
            for packet in assert(pcap.open(folder .. "/" .. verdict .. ".pcap")):packets() do
                test.eq(packet:bytes(), PACKET:bytes())
                written = written + 1
            end
            test.eq(written, count)
            os.remove(folder .. "/" .. verdict .. ".pcap")
        end
        os.remove(folder)
    end)
end)

test.case("faults of callbacks are counted, the first is told", function()
    with_capture({ 0, 6, 12 }, function(path)
        local report = assert(assert(faulty:load "vm").progs.fails:replay{ pcap = path, clock = "packets" })
        test.eq({ report.verdicts, report.callbacks, report.callback_faults }, { { PASS = 3 }, 2, 2 })
        test.eq({ report.fault.kind, report.fault.program }, { "out of bounds", "fails" })
    end)
end)

test.case("what the clock cannot go by is refused by name", function()
    with_capture({ 0, 1 }, function(path)
        local limits = load().progs.limits
        test.raises(function() limits:replay{ pcap = path, clock = "wall" } end,
            "replay: clock: the only one is \"packets\", got 'wall'")
        test.eq(select(2, limits:replay{ pcap = path, clock = "packets", workers = 2 }).msg,
            "a clock that goes by the packets is one for all: it takes one worker")
        test.eq(select(2, limits:replay{ packets = { PACKET }, clock = "packets" }).msg,
            "the packets have no times for the clock to go by")
        local live, err = object:load "kernel"
        if not live and err.code == "EPERM" then
            return
        end
        test.eq(select(2, assert(live, err).progs.limits:replay{ pcap = path, clock = "packets" }).code, "ENOTSUP")
        live:close()
    end)
end)
