#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- Rewrites the ports of a DNS conversation and checks the checksums: port_rewrite.lua [vm|kernel] [capture]
local bpf, pkt, pcap = require "bpf", require "pkt", require "pcap"

local here = arg[0]:match "^(.*/)" or ""
local target = ... or "vm"
local capture = select(2, ...) or here .. "../../tests/data/captures/dns.pcap"

local obj = assert(bpf.compile{ file = here .. "port_rewrite.bpf.c" })
local inst = assert(obj:load(target, { vars = { private_port = 5300 } }))
local prog = inst.progs.port_rewrite

-- What changed, by field.
local query = (pkt.eth{} / pkt.ip{} / pkt.udp{ sport = 40000, dport = 53 } / "hi"):wire()
local answer = prog:run(query)
print(answer.verdict)
for _, d in ipairs(query:diff(answer.pkt)) do
    print(("  %s.%s: %s -> %s"):format(d.layer, d.field, d.before, d.after))
end

-- The checksum kept by difference is the one computed anew.
local same, total = 0, 0
local out = os.tmpname()
local writer = assert(pcap.create(out))
for packet in assert(pcap.open(capture)):packets() do
    local result = assert(prog:run(packet))
    if result.verdict == "TX" then
        total = total + 1
        same = same + (result.pkt:wire():bytes() == result.bytes and 1 or 0)
        writer:write(result.pkt)
    end
end
assert(writer:close())
print(("%d packets rewritten, %d with the checksum that a full computation gives"):format(total, same))
print("counter in the program: " .. tostring(num(inst.vars.rewritten)))

-- A second opinion: tshark counts the checksums it finds wrong.
local pipe = io.popen("tshark -r '" .. out .. "' -o udp.check_checksum:TRUE -Y 'udp.checksum.status == 1' 2>/dev/null" ..
    " | wc -l; tshark -r '" .. out .. "' -o udp.check_checksum:TRUE -Y 'udp.checksum.status == 0' 2>/dev/null | wc -l")
local good, bad = pipe:read("*n", "*n")
pipe:close()
os.remove(out)
if good + bad == 0 then
    io.stderr:write "tshark is not installed: its opinion is missing\n"
elseif good ~= total or bad > 0 then
    error(("tshark finds %d of %d checksums right"):format(good, total))
end
