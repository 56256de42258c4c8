#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- Keepalives from a raw socket over a wire that loses every fourth of them. Needs root.
local bpf, lab, pcap, pkt, raw, tc, timer = require "bpf", require "lab", require "pcap", require "pkt", require "raw",
    require "tc", require "timer"

local here = arg[0]:match "^(.*/)" or ""
local inst = assert(assert(bpf.compile{ file = here .. "keepalive_lab.bpf.c" }):load "kernel")
local BEATS, ARRIVE = 13, 10

lab.scope(function(l)
    local client, server = l:ns "client", l:ns "server"
    l:veth(client, server, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", offloads = false })
    local reader = server:run(function()
        return assert(pcap.live("eth0", { filter = "tcp dst port 7000", direction = "in" }))
    end)
    local job
    client:run(function()
        assert(tc.attach(inst.progs.lossy, "eth0", { dir = "egress" }))
        job = assert(raw.keepalive{ dst = "10.0.0.2", every = "10ms", build = function(k)
            if k.n == BEATS then
                timer.after(0, function() job:stop() end) -- once this one is out
            end
            return pkt.ip{ src = k.src, dst = k.dst } / pkt.tcp{ sport = 4000, dport = 7000, seq = k.n, flags = "ack" }
        end })
    end)

    local late = timer.after(10, function() reader:stop() end)
    local arrived = {}
    for p in reader:packets() do
        arrived[#arrived + 1] = num(p.tcp.seq)
        if #arrived == ARRIVE then
            break
        end
    end
    late:stop()
    reader:stop()

    local kept = inst.maps.keepalives[0]
    print("sent:", job.stats.sent, "errors:", job.stats.errors)
    print("seen at tc:", num(kept.seen), "dropped there:", num(kept.dropped))
    print("arrived:", table.concat(arrived, " "))
end)
