-- SPDX-License-Identifier: MIT
-- JSON and 64-bit integers.
local test, json = require "test", require "json"

test.case("64-bit integers survive both ways", function()
    for _, text in ipairs{ "0", "-1", "9007199254740992", "9007199254740993", "18446744073709551615",
                           "-9223372036854775808", "9223372036854775807", "-9007199254740993" } do
        test.eq(json.encode(json.decode(text)), text)
    end
end)

test.case("integers that 64 bits cannot hold are refused, not rounded", function()
    local _, err = json.decode "[18446744073709551616]"
    assert(tostring(err):find("does not fit 64 bits", 1, true), tostring(err))
    local _, low = json.decode "-9223372036854775809"
    assert(low)
end)

test.case("values keep their kind", function()
    test.eq(json.encode(json.decode '{"a":[],"b":{},"c":null,"d":[1.5,true,"x"]}'),
        '{"a":[],"b":{},"c":null,"d":[1.5,true,"x"]}')
    assert(json.decode "null" == json.null)
end)

test.case("no value is a mistake of the caller", function()
    test.raises(function() json.encode() end, "json_test.lua.*bad argument 'value': expected a value, got nothing")
end)

test.case("keys come out sorted", function()
    test.eq(json.encode{ b = 1, a = 2, ["a0"] = 3 }, '{"a":2,"a0":3,"b":1}')
end)

test.case("what has no JSON form is refused with the reason", function()
    for _, case in ipairs{ { print, "function" }, { 0 / 0, "not finite" }, { 1 / 0, "not finite" },
                           { { [1] = 1, x = 2 }, "key that is not a string" }, { "\255", "UTF%-8" } } do
        local text, err = json.encode(case[1])
        assert(text == nil and tostring(err):find(case[2]), tostring(err))
    end
    local cycle = { list = { 1, {} } }
    cycle.list[2].a = cycle
    local place = {}
    for text, value in pairs{ ["list[2].a: a cycle"] = cycle, ["a.b: a function"] = { a = { b = print } },
                              ["[2]: a number that is not finite"] = { 1, 0 / 0 }, ["a: a string"] = { a = "\255" } } do
        local _, err = json.encode(value)
        test.eq(err.msg:sub(1, #text), text)
    end
    test.eq(json.encode{ place, place }, "[{},{}]")
end)

test.case("hostile text is refused with its place", function()
    for _, text in ipairs{ "", "{", "[1,", '{"a"}', "nul", '"\1"', '"\\ud800"', "[1]]", ("["):rep(100000), "\255" } do
        local value, err = json.decode(text)
        assert(value == nil and err.code == "EINVAL", text:sub(1, 20))
    end
end)

test.case("u64, num and key are exact or refuse", function()
    assert(u64 "0xffffffffffffffff" == 0xffffffffffffffffULL and u64(-1) == 0xffffffffffffffffULL)
    assert(u64(2 ^ 63) == 0x8000000000000000ULL and u64 "1_000" == 1000ULL)
    for _, bad in ipairs{ "18446744073709551616", "", "abc", "0x", "1.5", "0x10000000000000000" } do
        test.raises(function() u64(bad) end, "no 64%-bit integer")
    end
    test.raises(function() u64(1.5) end, "no 64%-bit integer")
    test.raises(function() num(2ULL ^ 53 + 1) end, "does not fit")
    test.eq(num(-5LL), -5)
    local t = { [5] = "x", ["18446744073709551615"] = "y" }
    test.eq({ t[key(5ULL)], t[key(-1ULL)], key "s" }, { "x", "y", "s" })
end)

test.case("division has eBPF's answers", function()
    -- Expected values from RFC 9669 section 4.1: division by zero is 0, modulo by zero leaves the dividend.
    assert(u64.div(7, 0) == 0ULL and u64.mod(7, 0) == 7ULL)
    assert(u64.div("0xffffffffffffffff", 2) == 0x7fffffffffffffffULL and u64.mod(10, 3) == 1ULL)
end)
