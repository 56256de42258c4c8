-- SPDX-License-Identifier: MIT
-- bpf.asm and obj:disasm as scripts use them; the language itself is tested in tests/unit/object.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local SOURCE = [[
.map hits type=array key=u32 value=u64 entries=2

.section xdp
count:
    r1 = *(u32 *)(r1 + 8)       ; ingress_ifindex, anything
    *(u32 *)(r10 - 4) = 1
    r1 = map[hits]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = -7
    call half                   ; a function of this text
out:
    r0 = 2
    exit
half:
    r0 = r1
    r0 s>>= 1
    exit
]]

-- The kernel's verifier refuses this one.
local UNCHECKED = [[
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u8 *)(r2 + 200)
    exit
]]

local function first_line_of(text)
    local file = assert(io.open(arg[0]))
    local all = file:read "*a"
    file:close()
    local at = assert(all:find(text, 1, true))
    return select(2, all:sub(1, at - 1):gsub("\n", "\n")) + 1
end

both("assembled programs run, count and save like compiled ones", function(load)
    local obj = assert(bpf.asm(SOURCE))
    test.eq(obj.programs[1].name, "count")
    test.eq(obj.programs[1].type, "xdp")
    test.eq(obj.license, "GPL")
    local inst = load(obj)
    for _ = 1, 3 do
        test.eq(inst.progs.count:run(pkt.eth{} / pkt.ip{}).verdict, "PASS")
    end
    test.eq(tonumber(inst.maps.hits[1]), 3)
    local path = os.tmpname()
    assert(obj:save(path))
    local again = assert(bpf.open(path))
    os.remove(path)
    test.eq(again:disasm{ source = false }, obj:disasm{ source = false })
end)

test.case("the listing shows the text's own lines and assembles again", function()
    local obj = assert(bpf.asm(SOURCE))
    local text = assert(obj:disasm())
    local line = first_line_of(SOURCE) + 4
    assert(text:find(("(r1 + 8)           ; asm_test.lua:%d ingress_ifindex, anything\n"):format(line), 1, true), text)
    assert(text:find("r1 = map[hits]", 1, true), text)
    assert(text:find("call half", 1, true), text)
    local full = assert(obj:disasm{ full = true })
    local again = assert(bpf.asm(full))
    test.eq(again:disasm{ source = false }, obj:disasm{ source = false })
    test.eq(again.maps[1].name, "hits")
end)

test.case("errors name the script, its line, and show the place", function()
    local text = [[
        r0 = 1
        r3 = r12
        exit
    ]]
    local obj, err = bpf.asm(text)
    test.eq(obj, nil)
    test.eq(err.code, "EINVAL")
    test.eq(err.op, "assemble")
    assert(err.msg:find(("asm_test.lua:%d:14: expected register"):format(first_line_of(text) + 1), 1, true), err.msg)
    assert(err.log:find("r3 = r12\n", 1, true) and err.log:find "%^", err.log)
end)

test.case("options choose name, type and licence; wrong ones raise", function()
    local obj = assert(bpf.asm{ "r0 = 0\nexit", name = "mine", type = "sched_cls", license = "Proprietary" })
    test.eq(obj.name, "mine")
    test.eq(obj.programs[1].type, "sched_cls")
    test.eq(obj.programs[1].section, "tc")
    test.eq(obj.license, "Proprietary")
    test.raises(function() bpf.asm{ "exit", type = "nothing" } end, "no program type 'nothing'")
    test.raises(function() bpf.asm{ "exit", typ = "xdp" } end, "unknown option 'typ'")
    test.raises(function() bpf.asm(7) end, "expected text or table of options, got number")
    test.raises(function() bpf.asm{} end, "expected string, got nil")
    test.raises(function() obj:disasm "none" end, "no program 'none'")
end)

-- The kernel does not load it.
test.case("a fault in assembled code shows the assembler line", function()
    local inst = assert(assert(bpf.asm(UNCHECKED)):load "vm")
    local result = inst.progs.main:run(pkt.eth{} / pkt.ip{})
    assert(result.fault)
    test.eq(result.fault.line, first_line_of(UNCHECKED) + 1)
    test.eq(result.fault.source, "r0 = *(u8 *)(r2 + 200)")
end)

test.xdp{ object = assert(bpf.asm(SOURCE)), program = "count",
    { name = "an assembled program counts", input = pkt.eth{} / pkt.ip{}, verdict = "PASS", after = { hits = { [1] = 1 } } } }
test.xdp{ object = assert(bpf.asm(UNCHECKED)), program = "main",
    { name = "an assembled program without its check", input = pkt.eth{} / pkt.ip{}, verdict = "fault" } }
