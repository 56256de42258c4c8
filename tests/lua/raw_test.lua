-- SPDX-License-Identifier: MIT
-- bpf.raw: objects of instructions as other tools save them, on both targets, and what is wrong with them.
local bpf, lab, pkt, test, xdp = require "bpf", require "lab", require "pkt", require "test", require "xdp"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

--- Bytes of instructions written in hex.
local function code(hex)
    return (hex:gsub("%s", ""):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

-- Counts in a hash map and in a value, through a function and twice through one map.
local COUNT = code[[
    620afcff07000000 7a0af0ff2a000000
    1811000005000000 0000000000000000
    bfa2000000000000 07020000fcffffff
    bfa3000000000000 07030000f0ffffff
    b704000000000000 8500000002000000
    1821000006000000 0000000008000000
    8510000002000000
    b700000002000000 9500000000000000
    7a01000009000000 b700000000000000 9500000000000000
]]
local MAPS = {
    [2] = { name = "seen", type = "hash", key_size = 4, value_size = 8, max_entries = 4 },
    [10] = { name = "prog.bss", type = "array", key_size = 4, value_size = 16, max_entries = 1 },
}
local RETURN = code "b700000001000000 9500000000000000"
local LOAD = code "1811000005000000 0000000000000000 b700000001000000 9500000000000000"
local VALUE = code "1821000005000000 0000000004000000 b700000001000000 9500000000000000"
local ARRAY = { name = "a", type = "array", key_size = 4, value_size = 8, max_entries = 1 }

both("maps, values and calls of raw instructions", function(load)
    local obj = assert(bpf.raw{ insns = COUNT, name = "count", maps = MAPS })
    local path = os.tmpname()
    assert(obj:save(path))
    local saved = assert(bpf.open(path))
    os.remove(path)
    for _, one in ipairs{ obj, saved } do
        local inst = load(one)
        test.eq(inst.progs.count:run(pkt.eth{} / pkt.ip{}).verdict, "PASS")
        local seen = {}
        for key, value in inst.maps.seen:pairs() do
            seen[#seen + 1] = { key, value }
        end
        test.eq(seen, { { "\7\0\0\0", "\42\0\0\0\0\0\0\0" } })
        inst:close()
    end
    test.eq(saved:disasm{ source = false }, obj:disasm{ source = false })
end)

both("types and attach types by number", function(load)
    for type_, attach in next, { sched_cls = 0, xdp = 37, cgroup_skb = 1, socket_filter = 0 } do
        local obj = assert(bpf.raw{ insns = RETURN, type = type_, attach_type = attach })
        local inst = load(obj)
        test.eq(inst.progs.raw:run(pkt.eth{} / pkt.ip{} / ("x"):rep(20)).ret, 1)
        inst:close()
    end
end)

both("BPF_F_XDP_HAS_FRAGS makes a program for packets in fragments", function(load, target)
    local LENGTH = code "85000000bc000000 9500000000000000" -- bpf_xdp_get_buff_len
    local long = pkt.eth{} / pkt.ip{} / ("x"):rep(6000)
    for flags, section in next, { [0] = "xdp", [32] = "xdp.frags" } do
        local obj = assert(bpf.raw{ insns = LENGTH, flags = flags })
        test.eq(obj.programs[1].section, section)
        local inst = load(obj)
        test.eq(assert(inst.progs.raw:run(long)).ret, #long:bytes())
        if target == "kernel" then -- a device with packets longer than a page takes no other program
            lab.scope(function(l)
                local a, b = l:ns "a", l:ns "b"
                l:veth(a, b, { mtu = 9000 })
                b:run(function()
                    local attached, err = xdp.attach(inst.progs.raw, "eth0", { mode = "native" })
                    test.eq(attached ~= nil, flags == 32, tostring(err))
                end)
            end)
        end
        inst:close()
    end
end)

-- A look-up in a map by index, and a number in another by its value.
local INDEX = code[[
    1866000000000000 0000000008000000
    7967000000000000 0707000001000000 7b76000000000000
    620afcff07000000 bfa2000000000000 07020000fcffffff
    1851000001000000 0000000000000000
    8500000001000000
    1500020000000000 7900000000000000 0f07000000000000
    bf70000000000000 9500000000000000
]]
local NUMBERS = { name = "numbers", type = "array", key_size = 4, value_size = 16, max_entries = 1 }
local SEEN = { name = "seen", type = "hash", key_size = 4, value_size = 8, max_entries = 4 }

both("fd_array says which maps indices mean", function(load)
    local more = { name = "more", type = "hash", key_size = 4, value_size = 4, max_entries = 1 }
    for _, array in ipairs{ { NUMBERS, SEEN }, { NUMBERS, SEEN, more } } do
        local obj = assert(bpf.raw{ insns = INDEX, name = "look", fd_array = array })
        local inst = load(obj)
        test.eq(inst.progs.look:run(pkt.eth{}).ret, 1)
        inst.maps.seen["\7\0\0\0"] = "\100\0\0\0\0\0\0\0"
        test.eq(inst.progs.look:run(pkt.eth{}).ret, 102)
        test.eq(#obj.maps, #array)
        inst:close()
    end
    local named = assert(bpf.raw{ insns = INDEX, fd_array = { NUMBERS, "seen" }, maps = { [8] = SEEN } })
    test.eq(#named.maps, 2)
end)

local WRONG = {
    { { insns = "" }, "0 bytes of instructions" },
    { { insns = RETURN:sub(1, 12) }, "12 bytes of instructions" },
    { { insns = INDEX, fd_array = { NUMBERS } }, "instruction 8: map 1 of an fd_array with 1" },
    { { insns = INDEX, fd_array = { SEEN, NUMBERS } }, "address of a value of map 'seen'" },
    { { insns = LOAD }, "instruction 0: loads a map, but none is given" },
    { { insns = LOAD, maps = { [1] = ARRAY } }, "instruction 1: map 'a' is given for it, but it is no load of a map" },
    { { insns = LOAD, maps = { [99] = ARRAY } }, "instruction 99: map 'a'" },
    { { insns = VALUE, maps = { [0] = { name = "h", type = "hash", key_size = 4, value_size = 8, max_entries = 1 } } },
      "address of a value of map 'h'" },
    { { insns = VALUE, maps = { [0] = { name = "a", type = "array", key_size = 4, value_size = 4, max_entries = 1 } } },
      "address 4 outside the value" },
    { { insns = LOAD, maps = { [0] = { name = "a", type = "array", contents = "x" } } }, "1 bytes of contents" },
    { { insns = LOAD .. VALUE, maps = { [0] = ARRAY, [4] = ARRAY } }, "otherwise than by its value" },
    { { insns = LOAD .. LOAD, maps = { [0] = ARRAY, [4] = { name = "a", type = "hash" } } }, "defined twice" },
    { { insns = RETURN, func_info = ("\0"):rep(8) }, "func_info without btf" },
    { { insns = RETURN, btf = "no types" }, "raw: " },
    { { insns = RETURN, type = "cgroup_sock_addr" }, "need an attach_type" },
    { { insns = RETURN, type = "sched_cls", attach_type = 37 }, "have attach type 37" },
    { { insns = code "8510000009000000 9500000000000000" }, "call at slot 10, where no instruction begins" },
}

test.case("what does not fit together is said by instruction", function()
    for _, wrong in ipairs(WRONG) do
        local obj, err = bpf.raw(wrong[1])
        assert(obj == nil and err.msg:find(wrong[2], 1, true), wrong[2] .. ": " .. tostring(err))
    end
    test.raises(function() bpf.raw{} end, "bad argument 'insns'")
    test.raises(function() bpf.raw{ insns = RETURN, type = "nonsense" } end, "no program type")
    test.raises(function() bpf.raw{ insns = LOAD, maps = { [0] = "x" } } end, "is not defined")
    test.raises(function() bpf.raw{ insns = LOAD, fd_array = { 7 } } end, "map of fd_array%[1%]: expected a definition")
    test.raises(function() bpf.raw{ insns = LOAD, maps = { [0] = 7 } } end, "map of instruction 0: expected a definition")
    test.raises(function() bpf.raw{ insns = LOAD, fd_array = { "x" } } end, "the map 'x' of fd_array%[1%] is not defined")
    test.raises(function() bpf.raw{ insns = LOAD, maps = { x = ARRAY } } end, "numbers of instructions")
    test.raises(function() bpf.raw{ insns = LOAD, maps = { [0] = { name = "a", type = "x" } } } end, "no map type 'x'")
end)

test.case("programs on memory get it in r1 and r2, on the vm only", function()
    local obj = assert(bpf.raw{ insns = code "7910000000000000 9500000000000000", type = "memory" })
    local r = assert(obj:load "vm").progs.raw:run "\1\2\3\4\5\6\7\128"
    test.eq(r.r0, 0x8007060504030201ULL)
    local saved, err = obj:save "/nonexistent/x.o"
    assert(saved == nil and err.msg:find("no section name", 1, true), tostring(err))
    local inst, why = obj:load "kernel"
    assert(inst == nil and why.code == "ENOTSUP", tostring(why))
end)
