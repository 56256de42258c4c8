-- SPDX-License-Identifier: MIT
-- Raw sockets in labs: what leaves is what tcpdump and the counters of the other end see; keepalives.
local test = require "test"
local bpf, pcap, pkt, raw, task, timer = require "bpf", require "pcap", require "pkt", require "raw", require "task",
    require "timer"
local wire = dofile((arg[0]:match "^(.*/)" or "./") .. "wire.lua")
local with_wire, udp = wire.with_wire, wire.udp

local binary = os.getenv "MIMICSH" or "mimicsh"

local function open(host, ...)
    local arguments = { ... }
    return host:run(function() return assert(raw.open(unpack(arguments))) end)
end

local function received(host)
    return tonumber((host:run "cat /proc/net/dev".out:match "eth0:%s*%d+%s+(%d+)"))
end

test.case("frames arrive as they were sent, in order, one or a list", function()
    with_wire(function(a, b)
        local from, to = open(a, "eth0"), open(b, "eth0")
        test.eq(from:send(udp(7)), 1)
        test.eq(from:send(udp(8):bytes()), 1)
        local list = {}
        for i = 1, 200 do
            list[i] = udp(1000 + i, ("y"):rep(i))
        end
        test.eq(from:send(list), 200)
        for i = 1, 202 do
            local p = assert(to:recv(10))
            assert(p == (list[i - 2] or udp(6 + i)), "packet " .. i)
            assert(p.time > 0ULL)
        end
        test.eq(received(b), 202)
        local stats = from.stats
        test.eq(stats.sent, 202)
        test.eq(stats.errors, 0)
        test.eq(stats.received, 0) -- its own packets do not come back
        test.eq(to.stats.received, 202)
        test.eq(to.stats.received_bytes, stats.sent_bytes)
    end)
end)

test.case("more packets than one batch, and than the queue of the socket, go out", function()
    with_wire(function(a, b)
        local from = open(a, "eth0", { read = false })
        local list = {}
        for i = 1, 5000 do
            list[i] = udp(i)
        end
        test.eq(from:send(list), 5000)
        test.eq(received(b), 5000)
    end)
end)

test.case("a VLAN tag is there on arrival", function()
    with_wire(function(a, b)
        local from, to = open(a, "eth0"), open(b, "eth0")
        local tagged = pkt.eth{ dst = "ff:ff:ff:ff:ff:ff" } / pkt.vlan{ id = 7 } / pkt.ip{ dst = "10.0.0.9" } / pkt.udp{} / "x"
        from:send(tagged)
        local p = assert(to:recv(10))
        assert(p == tagged, tostring(p))
        test.eq(p.orig_len, tagged.len)
    end)
end)

test.case("recv waits as a task, for a time or until close", function()
    with_wire(function(a, b)
        local from, to = open(a, "eth0"), open(b, "eth0")
        local p, err = to:recv "5ms"
        test.eq(p, nil)
        test.eq(err.code, "ETIMEDOUT")
        local waiting = task.spawn(function() return to:recv(10) end)
        timer.sleep "1ms"
        test.eq(waiting:status(), "blocked")
        from:send(udp(1))
        test.eq(waiting:join().udp.dport, 1)
        local ending = task.spawn(function() return to:recv() end)
        timer.sleep "1ms"
        to:close()
        to:close()
        test.eq(ending:join(), nil)
        test.raises(function() to:recv() end, "it is closed")
        test.raises(function() to:send "x" end, "it is closed")
        test.eq(to.stats.received, 1)
    end)
end)

test.case("a socket of ICMP asks the other host and gets its answer", function()
    with_wire(function(a)
        local sock = open(a, { proto = "icmp" })
        local echo = pkt.ip{ src = "10.0.0.1", dst = "10.0.0.2" } / pkt.icmp{ type = 8, id = 77, seq = 5 } / "hello"
        test.eq(sock:send(echo), 1)
        local answer = assert(sock:recv(10))
        test.eq(answer.ip.src, "10.0.0.2")
        test.eq(answer.icmp.type, 0)
        test.eq(answer.icmp.id, 77)
        test.eq(answer.payload, "hello")
    end)
end)

test.case("a socket of ICMPv6 gets its answer, with the header that the wire had", function()
    with_wire(function(a)
        local sock, frames = open(a, { proto = "icmp6" }), open(a, "eth0")
        local echo = pkt.ip6{ src = "fd00::1", dst = "fd00::2" } / pkt.icmp6{ type = 128, id = 77, seq = 5 } / "hello"
        test.eq(sock:send(echo), 1)
        local function answer_of(socket)
            local p
            repeat
                p = assert(socket:recv(10))
            until p.icmp6 and p.icmp6.type == 129
            return p
        end
        local answer = answer_of(sock)
        test.eq(answer.ip6.src, "fd00::2")
        test.eq(answer.icmp6.id, 77)
        test.eq(answer.payload, "hello")
        test.eq(answer.orig_len, answer.len)
        assert(answer == answer:wire(), "wrong checksum: " .. answer:show())
        test.eq(answer:bytes(), answer_of(frames):bytes():sub(15))
    end, { ipv6 = true })
end)

test.case("IPv6 packets arrive as they were sent, in order", function()
    with_wire(function(a, b)
        local from, to = open(a, { proto = "udp", family = "ip6", read = false }), open(b, { proto = 17, family = "ip6" })
        local list = {}
        for i = 1, 150 do
            list[i] = pkt.ip6{ src = "fd00::1", dst = "fd00::2", tc = i, flow = 0x12340 + i, hlim = 3 + i }
                / pkt.udp{ sport = 9, dport = 1000 + i } / ("y"):rep(i)
        end
        test.eq(from:send(list), 150)
        for i = 1, 150 do
            local p = assert(to:recv(10))
            assert(p == list[i], p:show())
            assert(p.time > 0ULL)
        end
    end, { ipv6 = true })
end)

for _, family in ipairs{ "ip", "ip6" } do
    test.case("a socket of TCP is not filled by the machine's segments: " .. family, function()
        with_wire(function(a)
            local function queued(sock_line)
                -- The queue of each raw socket: "tx_queue:rx_queue" in hexadecimal.
                local list = a:run("cat /proc/net/raw" .. (family == "ip6" and "6" or "")).out
                return tonumber(list:match(sock_line .. " %S+ %x+ %x+:(%x+)"), 16)
            end
            local try = "exec 3<>/dev/tcp/" .. (family == "ip6" and "fd00::2" or "10.0.0.2") .. "/9"
            local sock = open(a, { proto = "tcp", family = family })
            a:run{ "bash", "-c", try }
            test.eq(queued ":0006", 0)
            test.raises(function() sock:recv(0) end, "this socket drops what arrives")
            sock:close()
            local reading = open(a, { proto = "tcp", family = family, read = true })
            a:run{ "bash", "-c", try }
            assert(queued ":0006" > 0)
            test.eq(assert(reading:recv(10)).tcp.flags, 0x14) -- reset, acknowledged
        end, { ipv6 = true })
    end)
end

local FILTER = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("socket") int odd(struct __sk_buff *skb)
{
    __u8 port;

    if (bpf_skb_load_bytes(skb, 37, &port, 1))
        return 0;
    return port & 1 ? skb->len : 0;
}
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";
]]

test.case("a socket filter decides what the socket reads", function()
    local inst, err = assert(bpf.compile{ source = FILTER }):load "kernel"
    if not inst and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    with_wire(function(a, b)
        local from, to = open(a, "eth0"), open(b, "eth0")
        test.eq(to:attach(inst.progs.odd), true)
        from:send{ udp(2), udp(3), udp(4), udp(5) }
        test.eq(assert(to:recv(10)).udp.dport, 3)
        test.eq(assert(to:recv(10)).udp.dport, 5)
        test.eq(to.stats.received, 2)
        test.raises(function() open(b, { proto = "tcp" }):attach(inst.progs.odd) end, "attach: this socket drops what arrives")
        local _, wrong = to:attach(inst.progs.pass)
        test.eq(tostring(wrong), "attach: pass is of type xdp, not socket_filter")
        local _, emulated = to:attach(assert(bpf.compile{ source = FILTER }):load "vm".progs.odd)
        assert(tostring(emulated):find("the vm's programs cannot be attached", 1, true), tostring(emulated))
    end)
    inst:close()
end)

test.case("what cannot be sent says why, and what was sent before it", function()
    with_wire(function(a)
        local sock = open(a, "eth0")
        local done, err, sent = sock:send{ udp(1), udp(2, ("x"):rep(1500)), udp(3) }
        test.eq(done, nil)
        test.eq(tostring(err), "send: eth0: a packet of 1542 bytes is too long for the MTU of 1500")
        test.eq(err.code, "EMSGSIZE")
        test.eq(sent, 1)
        test.eq(sock.stats.errors, 1)
        test.raises(function() sock:send(7) end, "expected packet or string of bytes")
        local function refusal(_, why)
            return tostring(why)
        end
        a:up("eth0", false)
        test.eq(refusal(sock:send(udp(1))), "send: eth0: the interface is down")
        a:run "ip link del eth0"
        test.eq(refusal(sock:send(udp(1))), "send: eth0: the interface is gone")
        test.eq(refusal(sock:recv(10)), "recv: eth0: the interface is gone")
        local ip = open(a, { proto = 17 })
        test.eq(refusal(ip:send(udp(1))), "send: the packet does not begin with an IPv4 header")
        local ip6 = open(a, { proto = "udp", family = "ip6" })
        test.eq(refusal(ip6:send(pkt.ip{ dst = "10.0.0.2" } / pkt.udp{})), "send: the packet does not begin with an IPv6 header")
        test.eq(refusal(ip6:send(pkt.ip6{ dst = "fd01::1" } / pkt.udp{})), "send: packet of 48 bytes: network is unreachable")
        test.eq(refusal(ip:send(pkt.ip{ dst = "192.0.2.1" } / pkt.udp{})), "send: packet of 28 bytes: network is unreachable")
    end)
end)

test.case("a device that goes while somebody waits wakes them", function()
    with_wire(function(a)
        local sock = open(a, "eth0")
        local waiting = task.spawn(function() return sock:recv() end)
        timer.sleep "1ms"
        a:run "ip link del eth0"
        local _, err = waiting:join()
        test.eq(tostring(err), "recv: eth0: the interface is gone")
    end)
end)

test.case("what cannot be opened says why", function()
    with_wire(function(a)
        a:run(function()
            local _, err = raw.open "nope"
            test.eq(tostring(err), "raw.open: nope: no such interface")
            test.eq(err.code, "ENODEV")
            test.raises(function() raw.open{ proto = 300 } end, "proto is a number from 1 to 255")
            test.raises(function() raw.open{ protocol = 6 } end, "unknown option 'protocol'")
            test.raises(function() raw.open{ proto = 6, family = "ip7" } end, "bad argument 'family'")
            test.raises(function() raw.open() end, "expected the name of a device")
            local done = a:run{ "setpriv", "--bounding-set", "-net_raw", binary, "-e", [[
                local _, e = raw.open "eth0"; print(e.code, e, e.hint)
                local _, f = raw.open{ proto = "tcp" }; print(f.code, f)
                local _, g = raw.keepalive{ dst = "10.0.0.2", build = print }; print(g)]] }
            test.eq(done.err, "")
            test.eq(done.out, "EPERM\traw.open: eth0: not permitted\t"
                .. "raw sockets need CAP_NET_RAW: run as root, or inside `unshare -Urn`\n"
                .. "EPERM\traw.open: protocol 6: not permitted\n"
                .. "raw.open: protocol 6: not permitted\n")
        end)
    end)
end)

-- -- Keepalives --

for layer, ends in pairs{ ip = { "10.0.0.1", "10.0.0.2" }, ip6 = { "fd00::1", "fd00::2" } } do
    test.case("keepalives go out at once and then every so often, until stopped: " .. layer, function()
        with_wire(function(a, b)
            local reader = b:run(function() return assert(pcap.live("eth0", { filter = "tcp dst port 80" })) end)
            local begin = wire.now()
            local job = a:run(function()
                return assert(raw.keepalive{ dst = ends[2], every = "20ms", build = function(k)
                    return pkt[layer]{ src = k.src, dst = k.dst } / pkt.tcp{ dport = 80, seq = k.n, flags = "ack" }
                end })
            end)
            test.eq(job.stats.sent, 1)
            local n = 0
            for p in reader:packets() do
                n = n + 1
                test.eq(p.tcp.seq, n)
                test.eq(p[layer].src, ends[1])
                assert(p == p:wire(), "wrong checksum: " .. p:show())
                if n == 5 then
                    local took = tonumber(p.time) / 1e9 - begin
                    assert(took >= 0.079, took) -- timers count whole milliseconds
                    break
                end
            end
            job:stop()
            job:stop()
            local sent = job.stats.sent
            test.eq(job.stats.last.tcp.seq, sent)
            timer.sleep "50ms"
            test.eq(job.stats.sent, sent)
            test.eq(job.stats.errors, 0)
            reader:stop()
        end, { ipv6 = true })
    end)
end

test.case("a keepalive counts what does not go out, and goes on", function()
    with_wire(function(a)
        local long = false
        local job = a:run(function()
            return assert(raw.keepalive{ dst = "10.0.0.2", every = "5ms", dev = "eth0", build = function()
                return udp(1, long and ("x"):rep(2000) or "x")
            end })
        end)
        long = true
        for _ = 1, 1000 do
            if job.stats.errors >= 2 then
                break
            end
            timer.sleep "5ms"
        end
        assert(job.stats.errors >= 2)
        test.eq(tostring(job.stats.error), "send: eth0: a packet of 2042 bytes is too long for the MTU of 1500")
        local before = job.stats.sent
        long = false
        for _ = 1, 1000 do
            if job.stats.sent > before then
                break
            end
            timer.sleep "5ms"
        end
        assert(job.stats.sent > before)
        job:stop()
    end)
end)

test.case("keepalives that make no sense are refused", function()
    with_wire(function(a)
        a:run(function()
            local function keepalive(options)
                options.build = options.build or function() return "x" end
                return raw.keepalive(options)
            end
            local _, err = keepalive{ dst = "nowhere" }
            test.eq(tostring(err), "raw.keepalive: 'nowhere' is no IP address")
            _, err = keepalive{ dst = "192.0.2.1" }
            test.eq(err.code, "ENETUNREACH")
            _, err = keepalive{ dst = "fd00::9" } -- IPv6 is off here
            test.eq(tostring(err), "raw.keepalive: fd00::9: network is unreachable")
            _, err = keepalive{ dst = "fe80::9" }
            assert(err.hint:find("dev= sends whole frames", 1, true), tostring(err))
            test.raises(function() raw.keepalive{ dst = "10.0.0.2" } end, "bad argument 'build'")
            test.raises(function() keepalive{} end, "bad argument 'dst'")
            test.raises(function() keepalive{ dst = "10.0.0.2", every = "soon" } end, "every")
            test.raises(function() keepalive{ dst = "10.0.0.2", build = function() error("mine", 0) end } end, "mine")
        end)
    end)
end)
