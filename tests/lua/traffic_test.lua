-- SPDX-License-Identifier: MIT
-- Traffic in labs: what arrives is what was asked for, by every way, and the report says no more than the counters.
local test = require "test"
local bpf, pcap, task, timer, traffic = require "bpf", require "pcap", require "task", require "timer", require "traffic"
local xdp = require "xdp"
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")
local wire = dofile((arg[0]:match "^(.*/)" or "./") .. "wire.lua")
local with_wire, udp = wire.with_wire, wire.udp

local binary = os.getenv "MIMICSH" or "mimicsh"

--- A wire whose far end takes XDP frames: a veth does with GRO on, or with a program of its own.
local function take_frames(host)
    assert(host:run "ethtool -K eth0 gro on".ok)
end

local function received(host)
    return tonumber((host:run "cat /proc/net/dev".out:match "eth0:%s*%d+%s+(%d+)"))
end

local function wait_for(host, count)
    becomes(function() return received(host) >= count end)
end

--- Captures on a host while fn runs, until `count` packets are there; gives them.
local function captured(host, count, fn)
    local reader = host:run(function() return assert(pcap.live("eth0", { direction = "in", snaplen = 400 })) end)
    local reading = task.spawn(function()
        local late = timer.after(60, function() reader:stop() end)
        local got = {}
        for p in reader:packets() do
            got[#got + 1] = p
            if #got == count then
                break
            end
        end
        late:stop()
        return got
    end)
    fn()
    local got = reading:join()
    reader:stop()
    return got
end

local function send(host, options)
    options.dev = options.dev or "eth0"
    return host:run(function() return traffic.send(options) end)
end

test.case("a list goes out once, or so many times, or so many packets of it", function()
    with_wire(function(a, b)
        local list = { udp(1), udp(2), udp(3) }
        local function ports(options)
            options.packets = list
            local expected = options.expected
            options.expected = nil
            local got = captured(b, #expected, function()
                local report = assert(send(a, options))
                test.eq(report.sent, #expected)
                test.eq(report.how, "sendmmsg")
            end)
            local seen = {}
            for i, p in ipairs(got) do
                seen[i] = p.udp.dport
            end
            test.eq(table.concat(seen), expected)
        end
        ports{ expected = "123" }
        ports{ loop = 2, expected = "123123" }
        ports{ loop = 2, count = 5, expected = "12312" }
        ports{ loop = true, count = 7, expected = "1231231" }
        ports{ count = 2, expected = "12" }
        test.eq(received(b), 3 + 6 + 5 + 7 + 2)
    end)
end)

for _, how in ipairs{ "sendmmsg", "xsk" } do
    test.case("a capture is sent as it is, in order: " .. how, function()
        with_wire(function(a, b)
            local path = os.tmpname()
            local writer = assert(pcap.create(path))
            for i = 1, 300 do
                writer:write(udp(i, ("z"):rep(i)))
            end
            writer:close()
            local got = captured(b, 600, function()
                local report = assert(send(a, { pcap = path, loop = 2, how = how }))
                test.eq(report.sent, 600)
                test.eq(report.how, how)
            end)
            for i, p in ipairs(got) do
                local n = (i - 1) % 300 + 1
                assert(p == udp(n, ("z"):rep(n)), "packet " .. i)
            end
            os.remove(path)
            test.eq(received(b), 600)
        end)
    end)
end

test.case("a rate is kept, and reported as it was", function()
    with_wire(function(a, b)
        local report = assert(send(a, { template = udp(1), count = 200, rate = 1000 }))
        test.eq(report.sent, 200)
        test.eq(received(b), 200)
        assert(report.seconds >= 0.199, report.seconds)
        assert(report.pps <= 1006, report.pps)
        test.near(report.pps, report.sent / report.seconds, 0.001)
        test.eq(report.how, "sendmmsg")
    end)
end)

-- The same in user space and in XDP: the fields, and checksums that the dissector and the stack find right.
local VARY = {
    ["udp.sport"] = { from = 2000, to = 2004 },
    ["udp.dport"] = { 53, 80, 443 },
    ["ip.src"] = { from = "10.1.0.250", to = "10.1.1.5", step = 3 },
    ["ip.ttl"] = { from = 10, to = 20, random = true },
    ["ip.id"] = "random",
    ["eth.src"] = { from = "02:00:ff:ff:ff:f0", to = "02:ff:ff:ff:ff:ff" },
}

for _, how in ipairs{ "sendmmsg", "xsk", "live" } do
    test.case("a template's fields vary, checksums with them: " .. how, function()
        with_wire(function(a, b)
            take_frames(b)
            local refused
            local got = captured(b, 100, function()
                local report, err = send(a, { template = udp(1, "odd"), vary = VARY, count = 100, how = how })
                refused = err
                if report then
                    test.eq(report.sent, 100)
                    test.eq(report.how, how)
                    test.eq(report.note, nil)
                end
            end)
            if refused and (refused.code == "EPERM" or refused.code == "ENOTSUP") then
                test.skip(tostring(refused))
            end
            test.eq(refused, nil)
            local ids = {}
            for i, p in ipairs(got) do
                local n = i - 1
                test.eq(p.udp.sport, 2000 + n % 5)
                test.eq(p.udp.dport, VARY["udp.dport"][n % 3 + 1])
                local last = 250 + n * 3 % 12
                test.eq(p.ip.src, ("10.1.%d.%d"):format(math.floor(last / 256), last % 256))
                assert(p.ip.ttl >= 10 and p.ip.ttl <= 20, p.ip.ttl)
                ids[p.ip.id] = true
                test.eq(p.eth.src, n < 16 and ("02:00:ff:ff:ff:f%x"):format(n) or ("02:01:00:00:00:%02x"):format(n - 16))
                assert(p == p:wire(), "wrong checksum: " .. p:show())
            end
            test.eq(#got, 100)
            local different = 0
            for _ in pairs(ids) do
                different = different + 1
            end
            assert(different > 80, different)
        end)
    end)
end

test.case("auto takes live frames for a template where the device does, and says otherwise", function()
    with_wire(function(a, b)
        local report = assert(send(a, { template = udp(1), count = 1000 }))
        test.eq(report.sent, 1000)
        test.eq(received(b), 1000)
        test.eq(report.how, "sendmmsg") -- the far end has neither GRO nor a program
        if report.note:find "live frames need CAP_BPF" then
            return -- in a user namespace: this is all there is
        end
        assert(report.note:find "live frames: ", report.note)
        take_frames(b)
        report = assert(send(a, { template = udp(1), count = 1000 }))
        if not (report.note or ""):find "live frames" then
            test.eq(report.how, "live")
            test.eq(report.note, nil)
        end
        test.eq(report.sent, 1000)
        wait_for(b, 2000)
        test.eq(received(b), 2000)
    end)
end)

test.case("auto without the capabilities for live frames takes the socket", function()
    with_wire(function(a, b)
        local done = a:run{ "setpriv", "--bounding-set", "+net_raw,-bpf,-sys_admin,-net_admin", binary, "-e",
            [[print((traffic.send{ dev = "eth0", template = pkt.eth{}/pkt.ip{}, count = 10 }))]] }
        assert(done.out:find("^10 packets in .* by sendmmsg %(live frames need CAP_BPF and CAP_NET_ADMIN%)\n$"),
            done.out .. done.err)
        test.eq(received(b), 10)
    end)
end)

-- Counts by destination port, and takes nothing.
local COUNTER = [[
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1024);
} ports SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);

	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	__u32 port = __builtin_bswap16(udp->dest);
	__u64 *seen = bpf_map_lookup_elem(&ports, &port);

	if (seen)
		++*seen;
	return XDP_DROP;
}
char _license[] SEC("license") = "GPL";
]]

--- A wire whose far end counts by port and drops: fn(a, seen(port, count)), which waits for so many: a device has taken
--- a packet before its program runs.
local function with_counter(fn)
    with_wire(function(a, b)
        local inst, err = assert(bpf.compile{ source = COUNTER }):load "kernel"
        if not inst and err.code == "EPERM" then
            test.skip(tostring(err))
        end
        local link = b:run(function() return assert(xdp.attach(assert(inst, err).progs.count, "eth0", { mode = "native" })) end)
        fn(a, function(port, count)
            local function seen()
                return tonumber(inst.maps.ports[port]:sum())
            end
            becomes(function() return seen() >= count end)
            return seen()
        end)
        link:detach()
        inst:close()
    end)
end

test.case("a program at the far end counts every live frame, however many calls they took", function()
    with_counter(function(a, seen)
        local report = assert(send(a, { template = udp(7), count = 150001, how = "live" }))
        test.eq(report.sent, 150001)
        test.eq(report.note, nil)
        test.eq(seen(7, 150001), 150001)
        report = assert(send(a, { template = udp(7), vary = { ["udp.dport"] = { 100, 200, 300 } }, count = 300000 }))
        test.eq(report.how, "live")
        test.eq(report.sent, 300000)
        for port = 100, 300, 100 do
            test.eq(seen(port, 100000), 100000)
        end
        test.eq(seen(7, 150001), 150001)
    end)
end)

test.case("auto takes AF_XDP for many packets as fast as they go, and each arrives", function()
    with_counter(function(a, seen)
        local list = { udp(1), udp(2), udp(3, ("x"):rep(1000)), udp(4) }
        local report = assert(send(a, { packets = list, loop = 50001 }))
        test.eq(report.how, "xsk")
        test.eq(report.sent, 200004)
        test.eq(report.note, nil)
        for port = 1, 4 do
            test.eq(seen(port, 50001), 50001)
        end
        test.eq(assert(send(a, { packets = list, loop = true, count = 1000 })).how, "sendmmsg")
        test.eq(assert(send(a, { packets = list, loop = 1e6, count = 100, rate = 1e5 })).how, "sendmmsg")
        for port = 1, 4 do
            test.eq(seen(port, 50276), 50276)
        end
        local path = os.tmpname()
        local writer = assert(pcap.create(path))
        for i = 1, 100 do
            writer:write(udp(500 + i))
        end
        writer:close()
        report = assert(send(a, { pcap = path, loop = 3000 })) -- its number is taken from the size of the file
        os.remove(path)
        test.eq(report.how, "xsk")
        for port = 501, 600 do
            test.eq(seen(port, 3000), 3000)
        end
    end)
end)

test.case("AF_XDP says what it cannot send, and auto takes the socket then", function()
    with_wire(function(a, b)
        local _, err = send(a, { packets = { udp(1), udp(2, ("x"):rep(2000)) }, how = "xsk" })
        test.eq(tostring(err),
            "traffic.send: eth0: a packet of 2042 bytes is too long for the MTU of 1500; 1 packets were sent before")
        test.eq(received(b), 1)
        -- One socket a queue: whoever comes second is told.
        local first = a:start{ binary, "-e",
            [[traffic.send{ dev = "eth0", packets = { pkt.eth{}/"first" }, loop = true, rate = 1000, how = "xsk" }]] }
        wait_for(b, 2)
        _, err = send(a, { packets = { udp(1) }, how = "xsk" })
        test.eq(tostring(err), "traffic.send: eth0: AF_XDP: another socket has the queue")
        test.eq(err.code, "EBUSY")
        local report = assert(send(a, { packets = { udp(1) }, loop = 200000 }))
        test.eq(report.how, "sendmmsg")
        test.eq(report.note, "eth0: AF_XDP: another socket has the queue")
        test.eq(report.sent, 200000)
        first:stop(2)
        a:run "ip link set eth0 mtu 9000"
        _, err = send(a, { packets = { udp(1) }, how = "xsk" })
        test.eq(tostring(err), "traffic.send: eth0: AF_XDP: an MTU of 9000 (up to 4078 can be)")
        a:run "ip link set eth0 mtu 4078"
        b:run "ip link set eth0 mtu 4078"
        local got = captured(b, 1, function()
            test.eq(assert(send(a, { packets = { udp(9, ("y"):rep(4078 - 28)) }, how = "xsk" })).sent, 1)
        end)
        test.eq(got[1].orig_len, 4078 + 14)
    end)
end)

test.case("live frames that a device does not take are not counted as sent", function()
    with_wire(function(a, b)
        local report, err = send(a, { template = udp(1), count = 500, how = "live" })
        if not report then
            test.skip(tostring(err))
        end
        test.eq(report.sent, received(b))
        test.eq(report.sent, 0)
        test.eq(report.note, "the device counted 0 of 500 frames")
    end)
end)

test.case("sending holds up nobody", function()
    with_wire(function(a)
        local ticks = 0
        local beat = timer.every(0.005, function()
            ticks = ticks + 1
            if ticks == 5 then
                a:up("eth0", false) -- ends it
            end
        end)
        local report, err = send(a, { template = udp(1), loop = true, rate = 500 })
        test.eq({ report, err.code }, { nil, "ENETDOWN" })
        assert(ticks >= 5, ticks)
        beat:stop()
    end)
end)

for _, how in ipairs{ "sendmmsg", "xsk", "live" } do
    test.case("^C ends an endless sender with the report on what was sent: " .. how, function()
        with_wire(function(a, b)
            take_frames(b)
            -- Another task waits too: it is not disturbed. Nor is what the script does next.
            local process = a:start{ binary, "-e", ([[
                local other = task.spawn(function() timer.sleep "20ms" return "undisturbed" end)
                local report, err = traffic.send{ dev = "eth0", template = pkt.eth{}/"endless", loop = true, rate = 300000,
                    how = "%s" }
                print(report or err, report and report.interrupted)
                print(other:join())]]):format(how) }
            wait_for(b, 1000)
            local done = process:stop(2)
            if how == "live" and done.out:find "^traffic.send: " then
                test.skip(done.out)
            end
            test.eq(done.code, 0)
            local sent, by, rest = done.out:match "^(%d+) packets in [%d.]+ s: %d+ packets/s by (%w+) %(interrupted%)(.*)$"
            test.eq(rest, "\ttrue\nundisturbed\n", done.out)
            test.eq(by, how, done.out)
            wait_for(b, tonumber(sent))
            test.eq(tonumber(sent), received(b))
        end)
    end)
end

-- Runs a script, and when a file is there stops it, sends ^C while a timer of the script falls due, and goes on.
local STOPPED = [[
"$0" -e "$1" & pid=$!
while [ ! -e "$2" ]; do sleep 0.01; done
kill -STOP $pid && sleep 0.8 && kill -INT $pid && kill -CONT $pid && wait $pid]]

test.case("^C is for the sender, not for a task that wakes at the same time", function()
    with_wire(function(a, b)
        take_frames(b)
        local flag = os.tmpname()
        os.remove(flag)
        local process = a:start{ "sh", "-c", STOPPED, binary, [[
            local other = task.spawn(function() timer.sleep "700ms" return "undisturbed" end)
            local report, err = traffic.send{ dev = "eth0", template = pkt.eth{}/"x", loop = true, rate = 10000,
                how = "sendmmsg" }
            print(report and report.interrupted or err)
            print(other:join())]], flag }
        wait_for(b, 100)
        assert(io.open(flag, "w")):close()
        local done = process:wait()
        os.remove(flag)
        test.eq({ done.code, done.out }, { 0, "true\nundisturbed\n" }, done.err)
    end)
end)

test.case("^C at the prompt shows the report", function()
    with_wire(function(a, b)
        local process = a:start({ binary },
            { input = [[traffic.send{ dev = "eth0", packets = pkt.eth{}/"x", loop = true }]] .. "\n" })
        wait_for(b, 10)
        local done = process:stop(2)
        assert(done.out:find "%d+ packets in [%d.]+ s: %d+ packets/s by xsk %(interrupted%)", done.out .. done.err)
    end)
end)

test.case("a script that fails or leaves ends its senders", function()
    with_wire(function(a)
        for ending, code in pairs{ ["error 'x'"] = 1, ["os.exit(3)"] = 3 } do
            -- What a script still holds when it leaves at once is no leak.
            local done = a:run{ "env", "ASAN_OPTIONS=detect_leaks=0", "timeout", "60", binary, "-e", [[
                sender = task.spawn(function()
                    traffic.send{ dev = "eth0", packets = { pkt.eth{}/"x" }, loop = true }
                end)
                timer.sleep(0.02) ]] .. ending }
            test.eq(done.code, code)
        end
    end)
end)

for _, how in ipairs{ "sendmmsg", "xsk", "live" } do
    test.case("a device that goes during a run ends it with what was sent: " .. how, function()
        with_wire(function(a, b)
            if how == "live" then
                take_frames(b)
            end
            local begin, rate = wire.now(), 2000
            local sending = task.spawn(function()
                return send(a, { template = udp(1), loop = true, rate = rate, how = how })
            end)
            wait_for(b, 10)
            local arrived = received(b)
            a:up("eth0", false)
            local due = 1 + (wire.now() - begin) * rate
            local report, err = sending:join()
            test.eq({ report, err.code }, { nil, "ENETDOWN" })
            local sent = tostring(err):match "^traffic.send: eth0: the interface is down; (%d+) packets were sent before$"
            -- While it goes down, the kernel accepts what it drops.
            local lost = tonumber(sent) - received(b)
            assert(lost >= 0 and lost <= due - arrived, lost)
        end)
    end)
end

test.case("what cannot be sent says why", function()
    with_wire(function(a)
        local function refused(options)
            local report, err = send(a, options)
            test.eq(report, nil)
            return tostring(err), err.code
        end
        test.eq(refused{ dev = "nope", packets = { "x" } }, "traffic.send: nope: no such interface")
        test.eq(refused{ packets = { udp(1), udp(2, ("x"):rep(2000)) } },
            "traffic.send: eth0: a packet of 2042 bytes is too long for the MTU of 1500; 1 packets were sent before")
        test.eq(refused{ pcap = "/nonexistent.pcap" }, "open capture: /nonexistent.pcap: no such file or directory")
        test.eq(refused{ packets = { udp(1) }, how = "live" }, "traffic.send: live frames are copies of one packet")
        test.eq(refused{ template = udp(1, ("x"):rep(5000)), how = "live" },
            "traffic.send: eth0: live frames: a packet of 5042 bytes (14 to 3400 can be)")
        for text, options in pairs{
            ["one of them"] = { packets = { "x" }, pcap = "x" },
            ["bad argument 'how'"] = { packets = { "x" }, how = "fast" },
            ["bad argument 'rate'"] = { packets = { "x" }, rate = -1 },
            ["bad argument 'count'"] = { packets = { "x" }, count = 0 },
            ["unknown option 'devise'"] = { packets = { "x" }, devise = "eth0" },
            ["vary goes with template="] = { packets = { "x" }, vary = {} },
            ["vary udp.port: udp has no such field"] = { template = udp(1), vary = { ["udp.port"] = "random" } },
            ["vary tcp.sport: the packet has no such layer"] = { template = udp(1), vary = { ["tcp.sport"] = "random" } },
            ["vary ip.ihl: only whole fields of 8, 16, 32 and 48 bits"] = { template = udp(1), vary = { ["ip.ihl"] = "random" } },
            ["vary udp.checksum: lengths and checksums do not"] = { template = udp(1), vary = { ["udp.checksum"] = "random" } },
            ["vary udp.sport: from is above to"] = { template = udp(1), vary = { ["udp.sport"] = { from = 2, to = 1 } } },
            ["vary ip.src: "] = { template = udp(1), vary = { ["ip.src"] = { from = "10.0.0.300" } } },
            ["vary ip.ttl: "] = { template = udp(1), vary = { ["ip.ttl"] = { to = 300 } } },
        } do
            local ok, err = pcall(send, a, options)
            test.eq(ok, false)
            assert(tostring(err):find(text, 1, true), ("%s, not %s"):format(tostring(err), text))
        end
        local done = a:run{ "setpriv", "--bounding-set", "-net_raw", binary, "-e",
            [[local _, e = traffic.send{ dev = "eth0", packets = { "x" } }; print(e.code, e, e.hint)]] }
        test.eq(done.out, "EPERM\ttraffic.send: eth0: not permitted\t"
            .. "raw sockets need CAP_NET_RAW: run as root, or inside `unshare -Urn`\n")
    end)
end)
