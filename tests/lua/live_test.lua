-- SPDX-License-Identifier: MIT
-- Live capture in labs, beside tcpdump and the interfaces' counters; filters of captures, beside tcpdump.
local test = require "test"
local pcap, pkt, raw, task, timer = require "pcap", require "pkt", require "raw", require "task", require "timer"
local wire = dofile((arg[0]:match "^(.*/)" or "./") .. "wire.lua")
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")
local with_wire, udp = wire.with_wire, wire.udp

local binary = os.getenv "MIMICSH" or "mimicsh"
local captures = (arg[0]:match "^(.*/)" or "./") .. "../data/captures/"

local function open(host, options)
    return host:run(function() return assert(pcap.live("eth0", options)) end)
end

--- Reads `count` packets in a task; gives the packets when joined. Too few within a minute is an error.
local function collect(reader, count)
    return task.spawn(function()
        local late = timer.after(60, function() reader:stop() end)
        local got = {}
        for p in reader:packets() do
            got[#got + 1] = p
            if #got == count then
                break
            end
        end
        late:stop()
        assert(#got == count, ("%d of %d packets"):format(#got, count))
        return got
    end)
end

local function wait_until(what, condition)
    assert(becomes(condition), what .. ": did not come true")
end

local function size_of(path)
    local file = io.open(path)
    local size = file and file:seek "end" or 0
    if file then
        file:close()
    end
    return size
end

test.case("a capture sees what tcpdump sees, and the interface counts", function()
    if not (assert(io.open "/proc/self/uid_map"):read "*a"):find "4294967295" then
        test.skip "tcpdump becomes another user first, which is none in this user namespace"
    end
    with_wire(function(a, b)
        local path = os.tmpname()
        local dump = b:start{ "tcpdump", "-Z", "root", "-i", "eth0", "-U", "--immediate-mode", "-w", path, "udp port 53" }
        wait_until("tcpdump", function() return size_of(path) == 24 end)
        local reader = open(b, { filter = "udp port 53" })
        local sock = a:run(function() return assert(raw.open "eth0") end)
        local sent, expected = {}, 24
        for i = 1, 300 do
            sent[i] = udp(i % 3 == 0 and 54 or 53, ("%d"):format(i))
            expected = expected + (i % 3 == 0 and 0 or 16 + sent[i].len)
        end
        local reading = collect(reader, 200)
        test.eq(sock:send(sent), 300)
        local got = reading:join()
        wait_until("tcpdump's file", function() return size_of(path) == expected end)
        dump:stop()
        local i = 0
        for p in assert(pcap.open(path)):packets() do
            i = i + 1
            assert(got[i] == p, "packet " .. i)
            test.eq(got[i].orig_len, p.orig_len)
        end
        os.remove(path)
        test.eq(i, 200)
        reader:stop()
        test.eq(reader.stats, { received = 200, dropped = 0 })
        local counted = b:run "cat /proc/net/dev".out:match "eth0:%s*%d+%s+(%d+)"
        test.eq(tonumber(counted), 300)
    end)
end)

test.case("packets carry the time of their arrival", function()
    with_wire(function(a, b)
        local reader = open(b)
        local sock = a:run(function() return assert(raw.open "eth0") end)
        local reading = collect(reader, 2)
        local before = wire.now()
        sock:send{ udp(1), udp(2) }
        local got = reading:join()
        assert(got[1].time <= got[2].time)
        local first, last = tonumber(got[1].time) / 1e9, tonumber(got[2].time) / 1e9
        assert(before <= first and last <= wire.now(), ("%f: %f, %f"):format(before, first, last))
    end)
end)

test.case("direction: in, out, both", function()
    with_wire(function(a, b)
        local readers = {}
        for _, direction in ipairs{ "in", "out", "inout" } do
            readers[direction] = open(b, { direction = direction, filter = "udp" })
        end
        local both, inward, outward = collect(readers.inout, 3), collect(readers["in"], 2), collect(readers.out, 1)
        local from_a, from_b = a:run(function() return assert(raw.open "eth0") end),
            b:run(function() return assert(raw.open "eth0") end)
        for port, from in ipairs{ from_a, from_b, from_a } do
            from:send(udp(port))
            wait_until("packet " .. port, function() return readers.inout.stats.received == port end)
        end
        local function ports(got)
            local list = {}
            for i, p in ipairs(got) do
                list[i] = p.udp.dport
            end
            return table.concat(list, " ")
        end
        test.eq(ports(both:join()), "1 2 3")
        test.eq(ports(inward:join()), "1 3")
        test.eq(ports(outward:join()), "2")
        test.raises(function() pcap.live("eth0", { direction = "up" }) end, 'expected "inout", "in", "out", got "up"')
    end)
end)

test.case("snaplen cuts packets, and their length on the wire stays", function()
    with_wire(function(a, b)
        local reader = open(b, { snaplen = 60 })
        local sock = a:run(function() return assert(raw.open "eth0") end)
        local reading = collect(reader, 1)
        sock:send(udp(1, ("x"):rep(500)))
        local p = reading:join()[1]
        test.eq(p.len, 60)
        test.eq(p.orig_len, 542)
    end)
end)

test.case("a promiscuous capture puts the device into that mode, and back", function()
    with_wire(function(_, b)
        local function is_promiscuous()
            return b:run "ip -d link show eth0".out:find "promiscuity 1" ~= nil
        end
        local reader = open(b, { promisc = true })
        test.eq(is_promiscuous(), true)
        reader:stop()
        test.eq(is_promiscuous(), false)
        reader = open(b, { promisc = true })
        local process = b:start{ "sleep", "1000" } -- holds nothing of the capture
        reader:stop()
        wait_until("the mode of before", function() return not is_promiscuous() end)
        test.eq(process:stop().code, 128 + 15)
        reader = open(b)
        test.eq(is_promiscuous(), false)
        reader:stop()
    end)
end)

test.case("waiting for packets holds up nobody, and stop ends it", function()
    with_wire(function(a, b)
        local reader = open(b)
        local ticks, seen = 0, 0
        local beat = timer.every(0.005, function() ticks = ticks + 1 end)
        local waiting = task.spawn(function()
            for _ in reader:packets() do
                seen = seen + 1
            end
            return "ended"
        end)
        wait_until("ticks", function() return ticks >= 3 end)
        test.eq(waiting:status(), "blocked")
        local sock = a:run(function() return assert(raw.open "eth0") end)
        sock:send(udp(1))
        wait_until("the packet", function() return seen == 1 end)
        reader:stop()
        reader:stop()
        test.eq(waiting:join(), "ended")
        beat:stop()
        for _ in reader:packets() do
            error "a stopped reader has no packets"
        end
        test.eq(reader.stats, { received = 1, dropped = 0 })
    end)
end)

test.case("a burst on a device with GRO, whose packets take 64 KiB each, is all there", function()
    with_wire(function(a, b)
        assert(b:run "ethtool -K eth0 gro on".ok)
        local reader = open(b, { filter = "udp" })
        local sock = a:run(function() return assert(raw.open "eth0") end)
        local many = {}
        for i = 1, 200 do
            many[i] = udp(i)
        end
        sock:send(many)
        collect(reader, 200):join()
        test.eq(reader.stats, { received = 200, dropped = 0 })
    end)
end)

test.case("packets that come faster than they are read let others run", function()
    with_wire(function(a, b)
        local reader = open(b)
        local sock = a:run(function() return assert(raw.open "eth0") end)
        local many = {}
        for i = 1, 1000 do
            many[i] = udp(i)
        end
        sock:send(many)
        local turns = 0
        local other = task.spawn(function()
            while turns < 3 do
                turns = turns + 1
                coroutine.yield()
            end
        end)
        local reading = collect(reader, 1000)
        reading:join()
        test.eq(turns, 3)
        other:join()
    end)
end)

test.case("a device that goes down, or away, ends the loop with a reason", function()
    with_wire(function(_, b)
        b:run(function()
            local reader = assert(pcap.live "eth0")
            local function end_of_loop(act)
                local loop = task.spawn(function()
                    return select(2, pcall(function()
                        for _ in reader:packets() do end
                    end))
                end)
                timer.sleep(0.001) -- it waits by now
                act()
                local err = loop:join()
                return tostring(err), err.code
            end
            local text, code = end_of_loop(function() b:up("eth0", false) end)
            test.eq(text, "pcap.live: eth0: the interface is down")
            test.eq(code, "ENETDOWN")
            local _, err = pcap.live "eth0"
            test.eq(tostring(err), "pcap.live: eth0: the interface is down")
            b:up "eth0"
            text, code = end_of_loop(function() b:run "ip link del eth0" end)
            test.eq(text, "pcap.live: eth0: the interface is gone")
            test.eq(code, "ENODEV")
            reader:stop()
        end)
    end)
end)

test.case("what cannot be captured says why", function()
    with_wire(function(_, b)
        b:run(function()
            local function refused(device, options)
                local reader, err = pcap.live(device, options)
                test.eq(reader, nil)
                return tostring(err), err.code
            end
            test.eq(refused "nope", "pcap.live: nope: no such interface")
            test.eq(refused "usbmon0", "pcap.live: usbmon0: no such interface")
            test.eq(refused "", "pcap.live: : no such interface")
            test.eq(refused("eth0", { filter = "udp prt 53" }),
                "pcap.live: filter:1:5: syntax error, 'prt' cannot stand here")
            test.raises(function() pcap.live("eth0", { filtr = "x" }) end, "unknown option 'filtr'")
            test.raises(function() pcap.live("eth0", { snaplen = 0 }) end, "snaplen")
            test.raises(function() return assert(pcap.live "eth0").nothing end, "has no 'nothing'")
            -- Root without the capability: what an ordinary user gets.
            local done = b:run{ "setpriv", "--bounding-set", "-net_raw", binary, "-e",
                'local _, e = pcap.live "eth0"; print(e.code, e, e.hint)' }
            test.eq(done.out, "EPERM\tpcap.live: eth0: not permitted\t"
                .. "capturing needs CAP_NET_RAW: run as root, or inside `unshare -Urn`\n")
        end)
    end)
end)

-- -- Filters of captures --

local FILTERS = { "udp port 53", "tcp", "ip6", "vlan", "icmp or arp", "greater 200", "ip[6:2] & 0x1fff != 0", "not ip" }

for _, name in ipairs{ "dns.pcap", "dns.pcapng", "fragments.pcap", "http.pcap", "ipv6.pcap", "ping.pcap", "vlan.pcap" } do
    test.case("filters take from " .. name .. " what tcpdump takes", function()
        local path = captures .. name
        for _, filter in ipairs(FILTERS) do
            local pipe = io.popen(("tcpdump -Z root -r '%s' --count '%s' 2>/dev/null"):format(path, filter))
            local theirs = tonumber(pipe:read "*a":match "^(%d+) packet")
            pipe:close()
            if not theirs then
                test.skip "no tcpdump"
            end
            local ours = 0
            for _ in assert(pcap.open(path, { filter = filter })):packets() do
                ours = ours + 1
            end
            if ours ~= theirs then
                error(("%s: %d packets, tcpdump %d"):format(filter, ours, theirs), 0)
            end
        end
    end)
end

test.case("filters of captures of raw IP", function()
    local path = os.tmpname()
    local writer = assert(pcap.create(path, { link = 101 }))
    writer:write(pkt.ip{} / pkt.udp{ dport = 53 }):write(pkt.ip{} / pkt.udp{ dport = 54 }):close()
    local ports = {}
    for p in assert(pcap.open(path, { filter = "port 53" })):packets() do
        ports[#ports + 1] = p.udp.dport
    end
    os.remove(path)
    test.eq(ports, { 53 })
end)

test.case("a bad filter of a capture is refused at once", function()
    local reader, err = pcap.open(captures .. "dns.pcap", { filter = "port" })
    test.eq(reader, nil)
    test.eq(tostring(err), "pcap: filter:1:5: something is missing at the end")
    test.eq(err.code, "EINVAL")
end)
