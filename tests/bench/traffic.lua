-- SPDX-License-Identifier: MIT
-- traffic.send to a veth peer whose XDP program counts and drops: live frames against sendmmsg, and sendmmsg and AF_XDP
-- against trafgen and tcpreplay --preload-pcap with the same packets. All in turn; ratios are of one round. Every packet
-- that a report names has to be in the counter of the far end.
local bpf, lab, pcap, pkt, traffic, xdp = require "bpf", require "lab", require "pcap", require "pkt", require "traffic",
    require "xdp"

local ROUNDS, PACKETS, FRAMES, DIFFERENT = 11, 500000, 5000000, 1000
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder) == 0)
local capture, config = folder .. "/packets.pcap", folder .. "/packets.cfg"

local COUNTER = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} seen SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &key);

	if (value)
		++*value;
	return XDP_DROP;
}
char _license[] SEC("license") = "GPL";
]]

--- 64 bytes with the frame check sequence, which is not sent.
local function packet(i)
    return (pkt.eth{ src = "02:00:00:00:00:01", dst = "02:00:00:00:00:02" } / pkt.ip{ src = "10.0.0.1", dst = "10.0.0.2" }
        / pkt.udp{ sport = 1000, dport = i } / ("x"):rep(18)):wire()
end

local function prepare()
    local packets, text = {}, {}
    local writer = assert(pcap.create(capture))
    for i = 1, DIFFERENT do
        packets[i] = packet(i)
        writer:write(packets[i])
        text[i] = "{ " .. table.concat({ packets[i]:bytes():byte(1, -1) }, ", ") .. " }\n"
    end
    writer:close()
    local file = assert(io.open(config, "w"))
    file:write(table.concat(text))
    file:close()
    return packets
end

--- A command's packets per second by its own words, and per second of processor time.
local function tool(host, words, rate_of)
    local done = host:run{ "bash", "-c", "TIMEFORMAT='cpu %U %S'; time " .. words }
    local text = done.out .. done.err
    local user, system = text:match "cpu (%S+) (%S+)"
    return rate_of(text) or error(text, 0), PACKETS / (user + system)
end

local function ours(host, options)
    options.dev = "eth0"
    local before = os.clock()
    local report = host:run(function() return assert(traffic.send(options)) end)
    assert(report.how == options.how and report.sent == options.count, tostring(report))
    return report.pps, report.sent / (os.clock() - before)
end

local function ways(host, packets)
    local vary = { ["udp.sport"] = { from = 1024, to = 65535 }, ["ip.src"] = { "10.0.0.7", "10.0.0.8" } }
    return {
        { "sendmmsg", PACKETS, function() return ours(host, { packets = packets, loop = true, count = PACKETS, how = "sendmmsg" }) end },
        { "sendmmsg, capture", PACKETS,
            function() return ours(host, { pcap = capture, loop = true, count = PACKETS, how = "sendmmsg" }) end },
        { "trafgen", PACKETS, function()
            return tool(host, ("trafgen --dev eth0 --conf %s --num %d --cpus 1 --no-sock-mem"):format(config, PACKETS),
                function(text)
                    local seconds, micro = text:match "(%d+) sec, (%d+) usec on CPU0"
                    return seconds and PACKETS / (seconds + micro / 1e6)
                end)
        end },
        { "tcpreplay", PACKETS, function()
            return tool(host, ("tcpreplay --preload-pcap --topspeed -q -i eth0 --loop %d %s"):format(PACKETS / DIFFERENT, capture),
                function(text) return tonumber(text:match "Rated:.- ([%d.]+) pps") end)
        end },
        { "xsk", PACKETS, function() return ours(host, { packets = packets, loop = true, count = PACKETS, how = "xsk" }) end },
        { "live", FRAMES, function() return ours(host, { template = packets[1], count = FRAMES, how = "live" }) end },
        { "live, two fields", FRAMES,
            function() return ours(host, { template = packets[1], vary = vary, count = FRAMES, how = "live" }) end },
    }
end

local function spread(values, scale)
    local sorted = { unpack(values) }
    table.sort(sorted)
    return ("%.2f (%.2f-%.2f)"):format(sorted[math.ceil(#sorted / 2)] / scale, sorted[1] / scale, sorted[#sorted] / scale)
end

--- Of each round.
local function ratio(a, b)
    local all = {}
    for i = 1, #a do
        all[i] = a[i] / b[i]
    end
    return spread(all, 1)
end

local function faster(a, b)
    local all = {}
    for i = 1, #a do
        all[i] = math.max(a[i], b[i])
    end
    return all
end

local function measure(host, seen, packets)
    local wall, cpu = {}, {}
    local all = ways(host, packets)
    for round = 1, ROUNDS do
        for _, way in ipairs(all) do
            local name, count, run = unpack(way)
            local before = seen()
            wall[name], cpu[name] = wall[name] or {}, cpu[name] or {}
            wall[name][round], cpu[name][round] = run()
            assert(seen() - before == count, ("%s: %d of %d arrived"):format(name, seen() - before, count))
        end
    end
    print(("packets of 60 bytes to a veth peer that drops by XDP, all counted there; %d rounds of %d, live of %d"):format(
        ROUNDS, PACKETS, FRAMES))
    print "  million a second            by the clock          of processor time"
    for _, way in ipairs(all) do
        print(("  %-20s %20s %24s"):format(way[1], spread(wall[way[1]], 1e6), spread(cpu[way[1]], 1e6)))
    end
    for _, by in ipairs{ { "by the clock", wall }, { "of processor time", cpu } } do
        local t = by[2]
        local rival = faster(t.trafgen, t.tcpreplay)
        print(("  %s: sendmmsg %s of the faster of trafgen and tcpreplay (bar 0.95), its captures %s, xsk %s;"):format(by[1],
            ratio(t.sendmmsg, rival), ratio(t["sendmmsg, capture"], rival), ratio(t.xsk, rival)))
        print(("    live frames %s of sendmmsg (bar 8), with two varied fields %s"):format(ratio(t.live, t.sendmmsg),
            ratio(t["live, two fields"], t.sendmmsg)))
    end
end

lab.scope(function(l)
    local a, b = l:ns "a", l:ns "b"
    for _, host in ipairs{ a, b } do
        host:sysctl("net.ipv6.conf.default.disable_ipv6", 1) -- nothing of their own on the wire
    end
    l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
    local inst = assert(assert(bpf.compile{ source = COUNTER }):load "kernel")
    local link = b:run(function() return assert(xdp.attach(inst.progs.count, "eth0", { mode = "native" })) end)
    measure(a, function() return tonumber(inst.maps.seen[0]:sum()) end, prepare())
    link:detach()
end)
os.execute("rm -r " .. folder)
