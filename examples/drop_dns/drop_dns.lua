#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- Drops DNS queries of a recorded conversation: drop_dns.lua [vm|kernel] [capture]
local bpf, pkt = require "bpf", require "pkt"

local here = arg[0]:match "^(.*/)" or ""
local target = ... or "vm"
local capture = select(2, ...) or here .. "../../tests/data/captures/dns.pcap"

local obj = assert(bpf.compile{ file = here .. "drop_dns.bpf.c" })
local inst = assert(obj:load(target))
local prog, blocked = inst.progs.drop_dns, inst.maps.blocked
blocked[53] = 0

-- One packet made by hand, then a whole capture.
local query = pkt.eth{} / pkt.ip{} / pkt.udp{ dport = 53 } / "hi"
print("by hand:", prog:run(query).verdict)
query.udp.dport = 5353
print("port 5353:", prog:run(query).verdict)

local report = assert(prog:replay(capture))
print(report)
print("first dropped: " .. tostring(report.first.DROP.pkt):match "^[^\n]*")
print("drops at port 53: " .. tostring(num(blocked[53])))
