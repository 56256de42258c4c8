#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- The filter of drop_dns, tried on the vm, then live between two hosts of a lab. Needs root.
local bpf, lab, pkt, timer = require "bpf", require "lab", require "pkt", require "timer"

local here = arg[0]:match "^(.*/)" or ""
local obj = assert(bpf.compile{ file = here .. "../drop_dns/drop_dns.bpf.c" })
local inst = assert(obj:load "vm")
inst.maps.blocked[53] = 0

-- Prototype: a packet by hand, and a recorded conversation.
print("vm, by hand:", inst.progs.drop_dns:run(pkt.eth{} / pkt.ip{} / pkt.udp{ dport = 53 } / "hi").verdict)
print(inst.progs.drop_dns:replay(here .. "../../tests/data/captures/dns.pcap"))

-- A name server and a client, joined by a wire.
local ok, err = pcall(lab.scope, function(l)
    local server, client = l:ns "server", l:ns "client"
    l:veth(server, client, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
    server:start{ "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon",
        "--address=/example.test/192.0.2.7" }
    local function ask(tries)
        for _ = 1, tries do
            local dig = client:run "dig +short +timeout=1 +tries=1 example.test @10.0.0.1"
            if dig.out:find "^%d" then
                return dig.out:match "%S+"
            end
            timer.sleep "50ms" -- the server may not listen yet: dig is refused at once, and says so on standard output
        end
        return "no answer"
    end
    print("before:", ask(40))

    -- The very same object, compared on what it has run on, goes live where the queries arrive.
    local live = server:run(function() return assert(inst:promote("eth0", { mode = "native" })) end)
    print(live.report)
    print("promoted:", ask(1))
    print("dropped on the wire:", num(live.maps.blocked[53] - inst.maps.blocked[53]))

    live.link:detach()
    print("detached:", ask(40))
end)
if not ok then
    io.stderr:write(tostring(err), "\n")
    os.exit(1)
end
