#!/usr/bin/env mimicsh
-- SPDX-License-Identifier: MIT
-- A filter without its bounds check: what the emulator says on a long packet, and on the first short one.
local bpf, pkt = require "bpf", require "pkt"

local here = arg[0]:match "^(.*/)" or ""
local obj = assert(bpf.compile{ file = here .. "first_fault.bpf.c" })
local prog = assert(obj:load "vm").progs.drop_old

-- Long enough: the program answers, and a warning says what the kernel will think of it.
print(prog:run(pkt.eth{} / pkt.ip{ ttl = 1 } / pkt.udp{} / "hi"))
print()

-- Cut after the Ethernet header: the run ends where the access leaves the packet.
local result = prog:run((pkt.eth{ type = 0x0800 }):bytes())
print("verdict: " .. tostring(result.verdict))
print((tostring(result.fault):gsub("\n  registers\n.*", ""))) -- print(result.fault) shows the registers too
