-- SPDX-License-Identifier: MIT
-- Arenas as scripts see them, the same on both targets.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

--- A program that adds the number at an address in the arena to the one behind it.
local function object(flags)
    return assert(bpf.asm(([[
        .section xdp
        .license GPL
        .map arena type=arena entries=8 flags=%s
        .map io type=array key=4 value=16 entries=1
        main:
        r9 = map[arena]
        r8 = map[io][0]
        r1 = *(u64 *)(r8 + 0)
        r1 = addr_space_cast(r1, 0x0, 0x1)
        r2 = *(u64 *)(r1 + 0)
        r3 = *(u64 *)(r1 + 8)
        r3 += r2
        *(u64 *)(r1 + 8) = r3
        r1 += 8
        r1 = addr_space_cast(r1, 0x1, 0x0)
        *(u64 *)(r8 + 8) = r1
        r0 = 2
        exit
    ]]):format(flags)))
end

local PACKET = pkt.eth{} / pkt.ip{} / pkt.udp{} / "x"
local bytes = string.char

both("bytes of an arena are read and written by offset", function(load)
    local inst = load(object "1024")
    local arena = inst.maps.arena
    test.eq({ arena:write(4094, bytes(1, 2, 3, 4)), arena:read(4092, 8) }, { true, bytes(0, 0, 1, 2, 3, 4, 0, 0) })
    test.eq(arena:read(8 * 4096, 0), "")
    local none, err = arena:read(8 * 4096 - 3, 4)
    test.eq({ none, err.code, err.msg }, { nil, "E2BIG", "arena: 4 bytes at offset 32765 of 32768" })
    test.eq(select(2, arena:write(8 * 4096, "x")).code, "E2BIG")
    test.raises(function() arena:read(-1, 4) end, "offset")
    test.raises(function() inst.maps.io:read(0, 4) end, "its type is array, only arenas have this")
end)

both("programs and scripts share the pages", function(load)
    local inst = load(object "1024")
    local arena, io = inst.maps.arena, inst.maps.io
    local function run(offset)
        local at = arena:address() + offset
        io:typed("u32", { { "from", "u64" }, { "to", "u64" } })
        io:put(0, { from = at })
        test.eq(inst.progs.main:run(PACKET).verdict, "PASS")
        return io:get(0).to - arena:address()
    end
    arena:write(4096, bytes(5) .. ("\0"):rep(7) .. bytes(7) .. ("\0"):rep(7))
    test.eq(run(4096), 4104)
    test.eq(arena:read(4104, 8), bytes(12) .. ("\0"):rep(7))
    run(3 * 4096) -- no page is there
    test.eq(arena:read(3 * 4096, 16), ("\0"):rep(16))
end)

both("an arena may refuse pages that no program allocated", function(load)
    local arena = load(object "0x20400").maps.arena
    local none, err = arena:read(5000, 4)
    test.eq({ none, err.code }, { nil, "EFAULT" })
    test.eq(err.msg, "arena: no program has allocated the page at offset 4096")
end)

test.case("absent pages are warnings, and races are refused", function()
    local inst = assert(object "1024":load "vm")
    local result = inst.progs.main:run(PACKET)
    test.eq(#result.warnings, 3)
    local first = result.warnings[1].cause
    test.eq(first:match "^read of 8 bytes at arena arena%-%d+, outside the arena: it gives 0$", first)
    test.raises(function() assert(inst.progs.main:race(PACKET, PACKET)) end, "in arenas is not compared")
end)
