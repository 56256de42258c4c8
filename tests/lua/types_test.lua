-- SPDX-License-Identifier: MIT
-- Typed memory: layouts against LuaJIT's own C parser, checks on writes, text, lifetimes.
local test = require "test"
local types = require "mimicsh.types"
local ffi = require "ffi"

local U8 = { kind = "int", size = 1, name = "__u8" }
local U16 = { kind = "int", size = 2, name = "__u16" }
local U32 = { kind = "int", size = 4, name = "__u32" }
local U64 = { kind = "int", size = 8, name = "__u64" }
local S32 = { kind = "int", size = 4, name = "int", signed = true }
local S64 = { kind = "int", size = 8, name = "long", signed = true }
local BOOL = { kind = "int", size = 1, name = "bool", bool = true }
local BE16 = { kind = "int", size = 2, name = "__be16", be = true }
local BE32 = { kind = "int", size = 4, name = "__be32", be = true }
local CHAR = { kind = "int", size = 1, name = "char", char = true, signed = true }

local function member(name, byte, type, bits)
    return { name = name, bit_offset = byte * 8, type = type, bit_width = bits }
end

local INNER = { kind = "struct", name = "struct inner", size = 8, members = { member("a", 0, U16), member("b", 4, U32) } }
local COLOR = { kind = "enum", name = "enum color", size = 4, values = { RED = 0, GREEN = 1, BLUE = 7 } }
local OUTER = { kind = "struct", name = "struct outer", size = 72, members = {
    member("n8", 0, U8), member("flag", 1, BOOL), member("port", 2, BE16), member("saddr", 4, BE32),
    member("n64", 8, U64), member("s64", 16, S64), member("in", 24, INNER),
    member("arr", 32, { kind = "array", name = "__u16[3]", size = 6, count = 3, element = U16 }),
    member("comm", 38, { kind = "array", name = "char[6]", size = 6, count = 6, element = CHAR }),
    member("color", 44, COLOR),
    member("", 48, { kind = "union", name = "union", size = 8, members = { member("x", 0, U32), member("y", 0, U64) } }),
    { name = "b1", bit_offset = 56 * 8, bit_width = 3, type = U32 },
    { name = "b2", bit_offset = 56 * 8 + 3, bit_width = 12, type = U32 },
    { name = "b3", bit_offset = 56 * 8 + 15, bit_width = 5, type = S32 },
    member("ptr", 64, { kind = "pointer", size = 8, name = "void *" }),
} }

ffi.cdef [[
struct mimicsh_test_inner { uint16_t a; uint32_t b; };
struct mimicsh_test_outer {
    uint8_t n8; uint8_t flag; uint16_t port; uint32_t saddr; uint64_t n64; int64_t s64;
    struct mimicsh_test_inner in; uint16_t arr[3]; char comm[6]; uint32_t color;
    union { uint32_t x; uint64_t y; };
    uint32_t b1 : 3; uint32_t b2 : 12; int32_t b3 : 5;
    void *ptr;
};]]

local VALUE = { n8 = 200, flag = true, port = 53, saddr = "10.1.2.3", n64 = 0xfedcba9876543210ULL, s64 = -5,
                ["in"] = { a = 7, b = 0xffffffff }, arr = { 1, 2, 3 }, comm = "bash", color = "BLUE", x = 9,
                b1 = 5, b2 = 4000, b3 = -3 }

test.case("bytes are those of the C compiler's layout", function()
    local T = types.top(OUTER)
    test.eq(ffi.sizeof "struct mimicsh_test_outer", T.size)
    local bytes = types.encode(T, VALUE, "value")
    local c = ffi.new "struct mimicsh_test_outer"
    ffi.copy(c, bytes, #bytes)
    test.eq({ c.n8, c.flag, bit.rshift(bit.bswap(c.port), 16), bit.bswap(c.saddr) }, { 200, 1, 53, 0x0a010203 })
    assert(c.n64 == 0xfedcba9876543210ULL and c.s64 == -5)
    test.eq({ c["in"].a, c["in"].b, c.arr[0], c.arr[2], ffi.string(c.comm), c.color, c.x },
        { 7, 0xffffffff, 1, 3, "bash", 7, 9 })
    test.eq({ c.b1, c.b2, c.b3 }, { 5, 4000, -3 })
end)

test.case("values read back as written", function()
    local T = types.top(OUTER)
    local v = types.decode(T, types.encode(T, VALUE, "value"))
    test.eq({ v.n8, v.flag, v.port, v.saddr, v.comm, v.color, v.b1, v.b2, v.b3 },
        { 200, true, 53, "10.1.2.3", "bash", 7, 5, 4000, -3 })
    assert(ffi.istype("uint64_t", v.n64) and ffi.istype("int64_t", v.s64))
    test.eq({ v["in"].a, v.arr[1], v.x, num(v.y) }, { 7, 2, 9, 9 })
    test.eq(tostring(v["in"]), "{a = 7, b = 4294967295}")
    assert(tostring(v):find("color = BLUE", 1, true) and tostring(v):find("saddr = 10.1.2.3", 1, true), tostring(v))
end)

test.case("equal layouts share a type, others do not", function()
    local copy = { kind = "struct", name = "struct inner", size = 8, members = { member("a", 0, U16), member("b", 4, U32) } }
    assert(types.build(copy) == types.build(INNER))
    copy = { kind = "struct", name = "struct inner", size = 8, members = { member("a", 0, U16), member("c", 4, U32) } }
    assert(types.build(copy) ~= types.build(INNER))
end)

test.case("writes out of range are refused with field and range", function()
    local T = types.top(OUTER)
    local v = types.decode(T, types.encode(T, VALUE, "value"))
    for _, case in ipairs{
        { "n8", 256, "n8: 256 is outside 0 to 255" }, { "n8", -1, "outside" }, { "n8", 1.5, "no integer" },
        { "n8", "x", "expected an integer, got string" }, { "n64", -1, "does not fit unsigned" },
        { "n64", 2 ^ 64, "does not fit" }, { "s64", 0xffffffffffffffffULL, "does not fit signed" },
        { "b1", 8, "b1: 8 is outside 0 to 7" }, { "b3", 16, "outside %-16 to 15" }, { "comm", "longer", nil },
        { "comm", "too long", "8 characters do not fit 6" }, { "color", "PINK", "'PINK' is no value of enum color" },
        { "saddr", "1.2.3.256", "is no IPv4 address" }, { "arr", { 1, 2, 3, 4 }, "4 elements for an array of 3" },
        { "nope", 1, "struct outer has no field 'nope'" }, { "flag", 2, "outside 0 to 1" },
        { "port", 65536, "outside 0 to 65535" }, { "n8", 0x100000001ULL, "outside" } } do
        local field, value, pattern = unpack(case)
        if pattern then
            test.raises(function() v[field] = value end, pattern)
        else
            v[field] = value
        end
    end
    test.raises(function() return v.arr[3] end, "index 3 is outside 0 to 2")
    test.raises(function() v.arr[-1] = 0 end, "index %-1 is outside")
    test.raises(function() return v.nope end, "types_test.lua:%d+: struct outer has no field 'nope' %(known: n8, ")
    test.raises(function() types.encode(T, { nope = 1 }, "value") end, "value: struct outer has no field 'nope'")
    test.eq(v.n8, 200)
end)

test.case("nested values are references into their parent and keep it", function()
    local T = types.top(OUTER)
    local inner = types.decode(T, types.encode(T, VALUE, "value"))["in"]
    local mode = collectgarbage "setpause"
    collectgarbage("setpause", 1)
    for _ = 1, 200 do
        local garbage = types.decode(T, ("\255"):rep(T.size))
        assert(garbage.n8 == 255)
        collectgarbage "step"
    end
    collectgarbage()
    collectgarbage("setpause", 200)
    test.eq({ inner.a, inner.b }, { 7, 0xffffffff })
    local v = types.decode(T, types.encode(T, VALUE, "value"))
    v["in"].a = 99
    v.arr[0] = 77
    test.eq({ v["in"].a, v.arr[0] }, { 99, 77 })
    local copy = v:copy()
    copy.n8 = 1
    test.eq({ v.n8, copy == v, v:copy() == v }, { 200, false, true })
    return mode
end)

test.case("values turn into plain tables", function()
    local T = types.top(OUTER)
    local t = types.decode(T, types.encode(T, VALUE, "value")):totable()
    test.eq({ t.arr, t["in"], t.comm }, { { 1, 2, 3 }, { a = 7, b = 0xffffffff }, "bash" })
    test.eq(require("json").encode(types.decode(types.top(INNER), "\1\0\0\0\2\0\0\0")), '{"a":1,"b":2}')
end)

test.case("IPv6 and MAC text reads and prints in canonical form", function()
    local T = types.top({ kind = "array", name = "__u8[16]", size = 16, count = 16, element = U8 }, "saddr6")
    -- Right sides follow RFC 5952 section 4.
    for text, canonical in pairs{ ["2001:db8::1"] = "2001:db8::1", ["::"] = "::", ["::1"] = "::1",
                                  ["2001:0DB8:0:0:1:0:0:1"] = "2001:db8::1:0:0:1", ["1:2:3:4:5:6:7:8"] = "1:2:3:4:5:6:7:8",
                                  ["fe80::"] = "fe80::", ["::ffff:1.2.3.4"] = "::ffff:102:304",
                                  ["1:0:0:2:0:0:0:3"] = "1:0:0:2::3", ["1:0:3:4:5:6:7:8"] = "1:0:3:4:5:6:7:8" } do
        test.eq(types.decode(T, types.encode(T, text, "key")), canonical, text)
    end
    for _, bad in ipairs{ "", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::", "1::2::3", "12345::", "1.2.3.4" } do
        test.raises(function() types.encode(T, bad, "key") end, "is no IPv6 address")
    end
    local mac = types.top({ kind = "array", name = "__u8[6]", size = 6, count = 6, element = U8 }, "h_dest")
    test.eq(types.decode(mac, types.encode(mac, "02:00:00:00:00:ff", "key")), "02:00:00:00:00:ff")
    test.raises(function() types.encode(mac, "02:00:00:00:00", "key") end, "is no MAC address")
end)

test.case("words make types with C's alignment", function()
    local T = types.from_words({ { "a", "u8" }, { "b", "u32" }, { "c", "u64" } }, "value")
    test.eq({ T.size, T.fields.b.offset, T.fields.c.offset }, { 16, 4, 8 })
    test.raises(function() types.from_words({ a = "u8", b = "u8" }, "value") end, "has no order")
    test.raises(function() types.from_words("u128", "value") end, "unknown type 'u128'")
end)

test.case("random bit-fields keep to their own bits", function()
    local seed = os.time()
    math.randomseed(seed)
    print("# seed " .. seed)
    for _ = 1, 50 do
        local members, at = {}, 0
        while at < 60 do
            local width = math.random(1, math.min(20, 64 - at))
            members[#members + 1] = { name = "f" .. #members, bit_offset = at, bit_width = width, type = U64 }
            at = at + width
        end
        local T = types.build{ kind = "struct", name = "struct r", size = 8, members = members }
        local v = T.ctype()
        local want = {}
        for _ = 1, 100 do
            local m = members[math.random(#members)]
            want[m.name] = math.random(0, 2 ^ m.bit_width - 1)
            v[m.name] = want[m.name]
            local whole = ffi.cast("uint64_t *", v)[0]
            for _, other in ipairs(members) do
                local plain = tonumber(bit.band(bit.rshift(whole, other.bit_offset), 2ULL ^ other.bit_width - 1))
                assert(v[other.name] == plain and plain == (want[other.name] or 0))
            end
        end
    end
end)

test.case("tables print typed rows by their fields, and refuse what has none", function()
    local printer = require "mimicsh.printer"
    local row = types.decode(types.build(INNER), ("\1\0\0\0\2\0\0\0"))
    test.eq(printer.tbl_text{ row }, "a  b\n1  2")
    test.raises(function() tbl({ {} }, 1) end, "bad argument 'cols': expected a list of names, got number")
    test.raises(function() tbl{ 1 } end, "bad argument 'rows': row 1 is a number, not a table")
    test.raises(function() tbl{ 1ULL } end, "bad argument 'rows': row 1 is a cdata, not a table")
end)
