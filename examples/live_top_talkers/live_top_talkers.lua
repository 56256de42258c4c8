#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- Who sends most, refreshed while traffic runs: live_top_talkers.lua [device [refreshes]]. Without a device it makes
-- its own traffic in a lab. Needs root.
local bpf, lab, pkt, timer, traffic, xdp = require "bpf", require "lab", require "pkt", require "timer", require "traffic",
    require "xdp"

local here = arg[0]:match "^(.*/)" or ""
local device = ...
local refreshes = tonumber((select(2, ...))) or 3
local inst = assert(assert(bpf.compile{ file = here .. "live_top_talkers.bpf.c" }):load "kernel")

--- The map as rows, the largest first, and how many packets they are.
local function talkers()
    local rows, packets = {}, 0
    for from, talk in pairs(inst.maps.talkers) do
        rows[#rows + 1] = { from = from.saddr, packets = num(talk.packets), bytes = num(talk.bytes) }
        packets = packets + num(talk.packets)
    end
    table.sort(rows, function(a, b)
        return a.bytes > b.bytes or a.bytes == b.bytes and a.from < b.from
    end)
    return rows, packets
end

local function show_table(round)
    print(("refresh %d of %d"):format(round, refreshes))
    local rows = talkers()
    for i = #rows, 6, -1 do
        rows[i] = nil
    end
    tbl(rows, { "from", "packets", "bytes" })
end

local function watch(dev, each)
    local link = assert(xdp.attach(inst.progs.listen, dev))
    for round = 1, refreshes do
        each(round)
        show_table(round)
    end
    link:detach()
end

if device then
    watch(device, function() timer.sleep(1) end)
    return
end

lab.scope(function(l)
    local client, server = l:ns "client", l:ns "server"
    l:veth(client, server, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", offloads = false })
    local total = 0
    server:run(function()
        watch("eth0", function(round)
            local expected = 0
            for host = 1, 3 do
                local count = 100 * host * (round == host and 5 or 1)
                expected = expected + count
                client:run(function()
                    assert(traffic.send{ dev = "eth0", count = count, how = "sendmmsg", vary = { ["udp.sport"] = "counter" },
                        template = pkt.eth{ dst = "ff:ff:ff:ff:ff:ff" } / pkt.ip{ src = "10.0.0.1" .. host, dst = "10.0.0.2" }
                            / pkt.udp{ dport = 9 } / ("x"):rep(100) })
                end)
            end
            total = total + expected
            for _ = 1, 2000 do -- the receiving side may lag behind
                if select(2, talkers()) == total then
                    break
                end
                timer.sleep "5ms"
            end
        end)
    end)
end)
