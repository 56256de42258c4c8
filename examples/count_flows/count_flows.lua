#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- Counts the flows of a capture in a hash map and prints them as a table: count_flows.lua [vm|kernel] [capture]
local bpf = require "bpf"

local here = arg[0]:match "^(.*/)" or ""
local target = ... or "vm"
local capture = select(2, ...) or here .. "../../tests/data/captures/http.pcap"

local obj = assert(bpf.compile{ file = here .. "count_flows.bpf.c" })
local inst = assert(obj:load(target))
print(assert(inst.progs.count_flows:replay(capture)))

local names = { [1] = "icmp", [6] = "tcp", [17] = "udp" }
local rows = {}
for key, value in pairs(inst.maps.flows) do
    rows[#rows + 1] = {
        from = ("%s:%d"):format(key.saddr, key.sport),
        to = ("%s:%d"):format(key.daddr, key.dport),
        proto = names[key.protocol] or tostring(key.protocol),
        packets = num(value.packets),
        bytes = num(value.bytes),
    }
end
table.sort(rows, function(a, b)
    if a.bytes ~= b.bytes then
        return a.bytes > b.bytes
    end
    return a.from < b.from
end)
tbl(rows, { "from", "to", "proto", "packets", "bytes" })
