-- SPDX-License-Identifier: MIT
-- 64-bit integers: u64, num, key, and division with eBPF's answers.
local core = require "mimicsh.core"
local ffi = require "ffi"

local M = {}
local U64, I64 = ffi.typeof "uint64_t", ffi.typeof "int64_t"

local function is_u64(x)
    return ffi.istype(U64, x)
end

local function is_i64(x)
    return ffi.istype(I64, x)
end

-- Digits one by one: tonumber would round above 2^53.
local function parse(text)
    local sign, prefix, digits = text:match "^%s*(%-?)(0?[xX]?)(%x[%x_]*)%s*$"
    if not digits then
        return nil
    end
    local base = 10ULL
    if prefix == "0x" or prefix == "0X" then
        base = 16ULL
    elseif prefix ~= "" then
        digits = prefix .. digits
    end
    local value = 0ULL
    for c in digits:gmatch "[^_]" do
        local digit = tonumber(c, tonumber(base))
        if not digit then
            return nil
        end
        local next_value = value * base + digit
        if value > (0xffffffffffffffffULL - digit) / base then
            return nil
        end
        value = next_value
    end
    return sign == "-" and -value or value
end

--- uint64_t from a number, a text (decimal or 0x...), or a 64-bit integer.
function M.u64(x)
    if is_u64(x) then
        return x
    elseif is_i64(x) then
        return ffi.cast(U64, x)
    elseif type(x) == "number" then
        if x % 1 ~= 0 or x < -2 ^ 63 or x >= 2 ^ 64 then
            core.fail("u64: " .. tostring(x) .. " is no 64-bit integer")
        end
        -- Below 2^63 the conversion through int64_t is exact and defined, negatives included.
        return x < 2 ^ 63 and ffi.cast(U64, ffi.cast(I64, x)) or ffi.cast(U64, x)
    elseif type(x) == "string" then
        return parse(x) or core.fail("u64: '" .. x .. "' is no 64-bit integer")
    end
    core.fail("bad argument 'x': expected number, string or 64-bit integer, got " .. type(x))
end

--- Lua number from any integer; raises above 2^53 rather than rounding.
function M.num(x)
    if is_u64(x) then
        if x > 9007199254740992ULL then
            core.fail("num: " .. tostring(x):gsub("ULL$", "") .. " does not fit a Lua number exactly")
        end
        return tonumber(x)
    elseif is_i64(x) then
        if x > 9007199254740992LL or x < -9007199254740992LL then
            core.fail("num: " .. tostring(x):gsub("LL$", "") .. " does not fit a Lua number exactly")
        end
        return tonumber(x)
    elseif type(x) == "number" then
        return x
    elseif type(x) == "string" then
        return M.num(parse(x) or core.fail("num: '" .. x .. "' is no integer"))
    elseif type(x) == "cdata" and tonumber(x) then
        return tonumber(x)
    end
    core.fail("bad argument 'x': expected number, string or integer, got " .. type(x))
end

--- Canonical table key: numbers where exact, decimal text for larger integers, text for structs.
function M.key(x)
    if type(x) ~= "cdata" then
        return x
    elseif is_u64(x) or is_i64(x) then
        local signed = is_i64(x)
        if signed and x <= 9007199254740992LL and x >= -9007199254740992LL or
            not signed and x <= 9007199254740992ULL then
            return tonumber(x)
        end
        return (tostring(x):gsub("U?LL$", ""))
    end
    return tostring(x)
end

--- Unsigned division as eBPF does it: by zero is 0.
function M.u64_div(a, b)
    a, b = M.u64(a), M.u64(b)
    return b == 0 and 0ULL or a / b
end

--- Unsigned remainder as eBPF does it: modulo zero is the dividend.
function M.u64_mod(a, b)
    a, b = M.u64(a), M.u64(b)
    return b == 0 and a or a % b
end

core.doc("u64", M.u64, [[
u64(x) -> uint64_t
An exact 64-bit integer from a number or a text.
print(u64 "18446744073709551615" == 0xffffffffffffffffULL) --> true]])
core.doc("num", M.num, [[
num(x) -> number
A Lua number from any integer; raises above 2^53 instead of rounding.
print(num(53ULL) + 1) --> 54]])
core.doc("key", M.key, [[
key(x) -> value
A key that finds its table entry again: t[1ULL] never does, t[key(1ULL)] is t[1].
local t = { [1] = "one" }
print(t[key(1ULL)]) --> one]])
core.doc("u64.div", M.u64_div, [[
u64.div(a, b) -> uint64_t
Unsigned division with eBPF's answer for b = 0, which is 0.
print(u64.div(7, 0) == 0) --> true]])
core.doc("u64.mod", M.u64_mod, [[
u64.mod(a, b) -> uint64_t
Unsigned remainder with eBPF's answer for b = 0, which is a.
print(u64.mod(7, 0) == 7) --> true]])

return M
