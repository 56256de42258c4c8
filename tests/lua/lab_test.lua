-- SPDX-License-Identifier: MIT
-- Labs: hosts, wires, commands in them, and that nothing of it is left.
local test = require "test"
local bpf, lab, pcap, pkt, raw, task, tc, timer, xdp = require "bpf", require "lab", require "pcap", require "pkt",
    require "raw", require "task", require "tc", require "timer", require "xdp"
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")

--- A lab, or the test is skipped where namespaces cannot be made.
local function in_lab(fn)
    local ok, err = pcall(lab.scope, fn)
    if not ok and type(err) ~= "string" and err.code == "EPERM" then
        test.skip(tostring(err))
    elseif not ok then
        error(err, 0)
    end
end

local function devices()
    local names = {}
    for line in io.lines "/proc/self/net/dev" do
        names[#names + 1] = line:match "^%s*(%S+):"
    end
    table.sort(names)
    return table.concat(names, " ")
end

--- Names of the devices that a command sees.
local function devices_of(host)
    local names = {}
    for name in assert(host:run "cat /proc/self/net/dev").out:gmatch "(%S+):" do
        names[#names + 1] = name
    end
    table.sort(names)
    return table.concat(names, " ")
end

--- Sends a UDP text to an address with iproute2's and bash's means: no program of ours takes part.
local SEND = "exec 3<>/dev/udp/%s/%d && printf %s >&3"

test.case("a host has a loopback device of its own", function()
    in_lab(function(l)
        local host = l:ns "a"
        test.eq(devices_of(host), "lo")
        test.eq(tostring(host), "host a")
    end)
end)

test.case("a wire joins two hosts", function()
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        local wire = l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = { "10.0.0.2/24", "fd00::2/64" }, mtu = 1400,
            a_mac = "02:00:00:00:00:0a" })
        test.eq(wire.a_name .. " " .. wire.b_name, "eth0 eth0")
        test.eq(devices_of(a), "eth0 lo")
        local shown = a:run "ip -o link show eth0".out
        assert(shown:find("mtu 1400", 1, true) and shown:find("02:00:00:00:00:0a", 1, true), shown)
        assert(b:run "ip -o addr show eth0".out:find("fd00::2/64", 1, true))
        local got = b:start{ "timeout", "60", "cat", "/dev/null" }
        test.eq(got:wait().code, 0)
        test.eq(a:run{ "bash", "-c", SEND:format("10.0.0.2", 9, "x") }.code, 0)
        assert(becomes(function() return a:run "ip neigh".out:find("10.0.0.2 dev eth0 lladdr", 1, true) end),
            "the neighbour was asked")
    end)
end)

test.case("a wire is made wherever the lab is: devices of the caller may have the same name", function()
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        l:veth(a, b)
        a:run(function()
            lab.scope(function(inner)
                local c, d = inner:ns "c", inner:ns "d"
                inner:veth(c, d)
                test.eq(devices_of(c), "eth0 lo")
            end)
        end)
        test.eq(devices_of(a), "eth0 lo")
    end)
end)

test.case("a function runs in the host's namespace, across waits, and others stay outside", function()
    in_lab(function(l)
        local outside, a = devices(), l:ns "a"
        local seen = {}
        local other = task.spawn(function()
            for i = 1, 3 do
                seen[i] = devices()
                timer.sleep(0.001)
            end
        end)
        local inside = a:run(function()
            local first = devices()
            timer.sleep(0.005)
            local child = task.spawn(devices) -- begins where it was started
            return { first, devices(), (child:join()) }
        end)
        other:join()
        test.eq(table.concat(inside, ","), "lo,lo,lo")
        test.eq(table.concat(seen, ","), outside .. "," .. outside .. "," .. outside)
        test.eq(devices(), outside)
    end)
end)

test.case("an error leaves the host and the lab, and arrives as it was", function()
    local outside = devices()
    local host
    in_lab(function(l)
        host = l:ns "a"
        local ok, err = pcall(host.run, host, function() error{ code = "MINE" } end)
        test.eq(ok, false)
        test.eq(err.code, "MINE")
        test.eq(devices(), outside)
    end)
    test.raises(function() host:run "true" end, "closed")
end)

test.case("commands: output, errors, status, input", function()
    in_lab(function(l)
        local host = l:ns "a"
        local done = host:run("cat; echo bad >&2; exit 3", { input = "given" })
        test.eq(done.out, "given")
        test.eq(done.err, "bad\n")
        test.eq(done.code, 3)
        test.eq(done.ok, false)
        test.eq(host:run{ "printf", "%s|", "a b", "c" }.out, "a b|c|")
        test.eq(host:start("sleep 60"):stop().code, 128 + 15)
    end)
end)

-- For how long nothing sleeps but what this file starts.
local SECONDS = "98765" .. assert(io.open "/proc/self/stat"):read "*n"

local function sleepers()
    local file = io.popen("pgrep -fxc 'sleep " .. SECONDS .. "'")
    local count = file:read "*a"
    file:close()
    return tonumber(count)
end

test.case("stop ends a command with what it started", function()
    in_lab(function(l)
        local process = l:ns("a"):start("sleep " .. SECONDS .. "; true")
        becomes(function() return sleepers() == 1 end)
        test.eq(process:stop().code, 128 + 15)
        test.eq(sleepers(), 0)
    end)
end)

test.case("several tasks wait for a command, and the lab's end is one more", function()
    local waits = {}
    in_lab(function(l)
        local process = l:ns("a"):start "sleep 60"
        for i = 1, 3 do
            waits[i] = task.spawn(function() return process:wait().code end)
        end
        timer.sleep(0) -- they wait by now
    end)
    for _, wait in ipairs(waits) do
        test.eq(wait:join(), 128 + 9)
    end
end)

test.case("commands end with the lab, and what they started with them", function()
    in_lab(function(l)
        local host = l:ns "a"
        test.eq(host:run("sleep " .. SECONDS .. " </dev/null >/dev/null 2>&1 & echo started").out, "started\n")
        host:start("sleep " .. SECONDS .. " & sleep " .. SECONDS .. "; true")
        becomes(function() return sleepers() == 3 end)
        test.eq(sleepers(), 3)
    end)
    test.eq(sleepers(), 0)
end)

test.case("a command that is not there", function()
    in_lab(function(l)
        local done = l:ns "a":run{ "no-such-command", "x" }
        test.eq(done.code, 127)
        test.eq(done.err, "no-such-command: no such file or directory\n")
    end)
end)

test.case("a router between two networks, with routes and address translation", function()
    in_lab(function(l)
        local hosts = l:topology{
            hosts = { "in", "router", "out" },
            wires = { { "in", "router", a_ip = "10.1.0.2/24", b_ip = "10.1.0.1/24" },
                      { "router", "out", a_ip = "10.2.0.1/24", b_ip = "10.2.0.2/24" } },
            routes = { { "in", "default", via = "10.1.0.1" } },
            forward = { "router" },
        }
        test.eq(hosts["in"]:run "ip route get 10.2.0.2".ok, true)
        hosts.router:nat "eth1"
        -- `out` has no route back: only translated packets can be answered.
        local server = hosts.out:start[[timeout 10 bash -c 'exec 3<>/dev/tcp/10.2.0.1/1' 2>&1; true]]
        server:wait()
        local sent = hosts["in"]:run{ "bash", "-c", SEND:format("10.2.0.2", 9, "x") }
        test.eq(sent.code, 0)
        assert(hosts.router:run "nft list ruleset".out:find("masquerade", 1, true))
    end)
end)

test.case("a bridge joins several hosts", function()
    in_lab(function(l)
        local a, b, c = l:ns "a", l:ns "b", l:ns "c"
        local switch = l:bridge{ hosts = { a, b, c }, ips = { a = "10.0.0.1/24", b = "10.0.0.2/24", c = "10.0.0.3/24" } }
        test.eq(devices_of(switch), "br0 lo port1 port2 port3")
        for _, peer in ipairs{ "10.0.0.2", "10.0.0.3" } do
            -- A refused connection needs an answer, so both ways work.
            local out = a:run{ "bash", "-c", "exec 3<>/dev/tcp/" .. peer .. "/1" }
            assert(out.err:find("refused", 1, true), out.err)
        end
    end)
end)

test.case("a DHCP server gives addresses out", function()
    in_lab(function(l)
        local server, client = l:ns "server", l:ns "client"
        l:veth(server, client, { a_ip = "10.0.0.1/24" })
        server:dhcp("eth0", { range = "10.0.0.50,10.0.0.59", router = "10.0.0.1" })
        local offered = client:run("timeout 60 busybox udhcpc -i eth0 -n -q -t 30 -T 1 -s /bin/true 2>&1")
        assert(offered.out:find("lease of 10.0.0.5%d obtained"), offered.out)
    end)
end)

test.case("offloads are switched and told", function()
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        l:veth(a, b, { offloads = false })
        test.eq(a:has_offload("eth0", "tso"), false)
        test.eq(a:has_offload("eth0", "tx"), false)
        a:offload("eth0", { tx = true, sg = true, tso = true })
        test.eq(a:has_offload("eth0", "tso"), true)
        local shown = a:run "ethtool -k eth0"
        assert(shown.out:find "tcp%-segmentation%-offload: on", shown.out .. shown.err)
    end)
end)

test.case("what cannot be built says why", function()
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        local function error_of(fn)
            local ok, err = pcall(fn)
            test.eq(ok, false)
            return tostring(err)
        end
        test.eq(error_of(function() l:veth(a, b, { a_ip = "10.0.0.300/24" }) end),
            "lab: '10.0.0.300/24' is no address (10.0.0.1/24, fd00::1/64)")
        test.eq(error_of(function() l:veth(a, b, { a_name = "a-name-too-long-for-it" }) end),
            "lab: 'a-name-too-long-for-it' is no name for an interface (1 to 15 characters)")
        test.eq(error_of(function() a:route("default", { via = "10.9.9.9" }) end):match "route to default", "route to default")
        test.eq(error_of(function() a:addr("nope", "10.0.0.1/24") end), "lab: nope: no such interface")
        test.raises(function() l:ns "a" end, "there is a host 'a' already")
    end)
end)


local PROGRAMS = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
SEC("tc") int ok(struct __sk_buff *skb) { return 0; }
]]

--- Runs fn in a lab whose host `inner` has a wire to a host outside: its end there is gone when the namespace is.
local function gone_after(fn)
    in_lab(function(l)
        local outer = l:ns "outer"
        local function has_wire()
            return outer:run("ip -o link").out:find("eth0", 1, true) ~= nil
        end
        lab.scope(function(inside)
            local inner = inside:ns "inner"
            inside:veth(outer, inner, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
            fn(inner)
            test.eq(has_wire(), true)
        end)
        assert(becomes(function() return not has_wire() end), "the namespace is still there")
    end)
end

test.case("a wire loses and delays packets", function()
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        local wire = l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", delay = "30ms" })
        local ping = a:run{ "busybox", "ping", "-c", "3", "-i", "0.1", "-W", "5", "10.0.0.2" }
        local fastest = ping.out:match "min/avg/max = ([%d.]+)/"
        assert(fastest, ping.out .. ping.err)
        assert(tonumber(fastest) >= 58, fastest) -- timers count whole milliseconds
        test.eq(wire.lost, 0)
        assert(wire.carried >= 6)
    end)
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        for _, host in ipairs{ a, b } do
            host:sysctl("net.ipv6.conf.default.disable_ipv6", 1) -- it would send too
        end
        local wire = l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", loss = 0.3 })
        local got = 0
        local sender, receiver = a:run(function() return assert(raw.open "eth0") end),
            b:run(function() return assert(raw.open "eth0") end)
        local packet = pkt.eth{ dst = "ff:ff:ff:ff:ff:ff" } / pkt.ip{ dst = "10.0.0.2" } / pkt.udp{ dport = 9 } / "x"
        task.spawn(function()
            for _ in function() return receiver:recv() end do
                got = got + 1
            end
        end)
        for _ = 1, 40 do
            for _ = 1, 10 do
                assert(sender:send(packet))
            end
            timer.sleep(0.001)
        end
        becomes(function() return wire.lost + wire.carried >= 400 and got >= wire.carried end)
        test.eq(wire.lost + wire.carried, 400)
        test.eq(got, wire.carried)
        test.near(wire.lost, 120, 60) -- six and a half standard deviations
    end)
    in_lab(function(l)
        local a, b = l:ns "a", l:ns "b"
        test.raises(function() l:veth(a, b, { loss = 2 }) end, "a share from 0 to 1")
        test.raises(function() l:veth(a, b, { delay = "soon" }) end, "delay")
        test.raises(function() l:veth(a, b, { loss = 0.1, offloads = true }) end, "no offloads")
    end)
end)

test.case("a lab ends with what was opened in it: sockets, captures, keepalives, attachments, tasks", function()
    local sock, reader, job, staying, watcher
    local links, heard, seen, go = {}, 0, 0, task.channel(1)
    gone_after(function(inner)
        inner:run(function()
            sock, reader = assert(raw.open "eth0"), assert(pcap.live "eth0")
            job = assert(raw.keepalive{ dst = "10.0.0.1", every = 0.01, build = function(k)
                return pkt.ip{ src = k.src, dst = k.dst } / pkt.tcp{ sport = 1, dport = 2, flags = "ack" }
            end })
            local inst, err = assert(bpf.compile{ source = PROGRAMS }):load "kernel"
            if inst then
                links = { assert(xdp.attach(inst.progs.pass, "eth0")), assert(tc.attach(inst.progs.ok, "eth0")),
                          assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact" })) }
            else
                test.eq(err.code, "EPERM")
            end
            staying = task.spawn(function() go:recv() end)
        end)
        watcher = task.spawn(function() return pcall(staying.join, staying) end)
        task.spawn(function()
            for _ in function() return sock:recv() end do
                heard = heard + 1
            end
            heard = "over"
        end)
        task.spawn(function()
            for _ in reader:packets() do
                seen = seen + 1
            end
            seen = "over"
        end)
        assert(becomes(function() return seen > 0 and job.stats.sent > 1 end), "nothing was captured")
    end)
    test.eq({ heard, seen }, { "over", "over" })
    test.raises(function() sock:recv() end, "it is closed")
    local sent = job.stats.sent
    timer.sleep(0.2)
    test.eq({ job.stats.sent, job.stats.errors }, { sent, 0 })
    for _, l in ipairs(links) do
        test.eq(l.is_attached, false)
        test.eq(l:detach(), true)
    end
    go:send(true)
    local ok, _, err = watcher:join()
    test.eq({ ok, tostring(err) }, { true, "enter: network namespace: its lab has ended" })
end)
