#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- A classifier marks packets, and nftables counts them by their mark. First on the emulator, then live. Needs root.
local bpf, lab, pkt, tc, timer, traffic = require "bpf", require "lab", require "pkt", require "tc", require "timer",
    require "traffic"

local here = arg[0]:match "^(.*/)" or ""
local obj = assert(bpf.compile{ file = here .. "tc_mark.bpf.c" })
local SERVER = "02:00:00:00:00:02"

local function packet(port)
    return pkt.eth{ src = "02:00:00:00:00:01", dst = SERVER } / pkt.ip{ src = "10.0.0.1", dst = "10.0.0.2" }
        / pkt.udp{ sport = 1000, dport = port } / "x"
end

local emulated = assert(obj:load "vm")
for _, port in ipairs{ 4999, 5000, 5007 } do
    print("emulator, port " .. port, "mark " .. emulated.progs.mark:run(packet(port)).ctx.mark)
end

local RULES = [[
table ip count {
    chain input {
        type filter hook input priority 0; policy accept;
        udp dport 4990-5010 meta mark 0 counter comment "unmarked"
        meta mark 1 counter comment "mark 1"
        meta mark 8 counter comment "mark 8"
    }
}
]]

local inst = assert(obj:load "kernel")
lab.scope(function(l)
    local client, server = l:ns "client", l:ns "server"
    l:veth(client, server, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", b_mac = SERVER, offloads = false })
    assert(server:run({ "nft", "-f", "-" }, { input = RULES }).ok)
    server:run(function() assert(tc.attach(inst.progs.mark, "eth0", { dir = "ingress" })) end)
    client:run(function()
        assert(traffic.send{ dev = "eth0", packets = { packet(4999), packet(5000), packet(5007) }, loop = 10 })
        assert(traffic.send{ dev = "eth0", packets = { packet(5007) }, loop = 5 })
    end)

    local function counters()
        local found, total = {}, 0
        for count, name in server:run "nft list ruleset".out:gmatch 'counter packets (%d+) bytes %d+ comment "([^"]+)"' do
            found[#found + 1] = ("%s\t%s packets"):format(name, count)
            total = total + tonumber(count)
        end
        return found, total
    end
    for _ = 1, 2000 do -- the receiving side may lag behind
        if select(2, counters()) == 35 then
            break
        end
        timer.sleep "5ms"
    end
    print(table.concat((counters()), "\n"))
end)
