#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- XDP, tc ingress and tc egress on one interface, sharing a map. Needs root.
local bpf, lab, link, tc, xdp = require "bpf", require "lab", require "link", require "tc", require "xdp"

local here = arg[0]:match "^(.*/)" or ""
local obj = assert(bpf.compile{ file = here .. "chain.bpf.c" })
local inst = assert(obj:load "kernel")

-- A knock by bash alone: a closed port refuses at once, so every try is one packet each way.
local TRY = [[exec 3<>/dev/tcp/10.0.0.1/1]]

lab.scope(function(l)
    local server, client = l:ns "server", l:ns "client"
    l:veth(server, client, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24", offloads = false })
    local links = server:run(function()
        return { assert(xdp.attach(inst.progs.front, "eth0", { mode = "native" })),
                 assert(tc.attach(inst.progs.inward, "eth0", { dir = "ingress" })),
                 assert(tc.attach(inst.progs.outward, "eth0", { dir = "egress" })) }
    end)
    for _, one in ipairs(server:run(link.list)) do
        print(one.mode and "xdp" or "tc", one.mode or one.dir, one.program)
    end
    for _ = 1, 5 do
        client:run{ "bash", "-c", TRY }
    end
    local seen = inst.maps.seen[0]
    print("five tries:", "xdp " .. num(seen.xdp), "ingress " .. num(seen.ingress), "egress " .. num(seen.egress))

    -- A change of one program leaves the others alone.
    assert(links[2]:update(inst.progs.outward))
    client:run{ "bash", "-c", TRY }
    seen = inst.maps.seen[0]
    print("one more:", "xdp " .. num(seen.xdp), "ingress " .. num(seen.ingress), "egress " .. num(seen.egress))
    for i = #links, 1, -1 do
        links[i]:detach()
    end
    print("left on the interface:", #server:run(link.list))
end)
