-- SPDX-License-Identifier: MIT
-- Types of single values in memory: integers, enums, floats, bit-fields, texts in character arrays. types.lua says what
-- a type is.
local core = require "mimicsh.core"
local integers = require "mimicsh.integers"
local ffi = require "ffi"

local M = {}

local U64, I64 = ffi.typeof "uint64_t", ffi.typeof "int64_t"
local cast, copy, typeof = ffi.cast, ffi.copy, ffi.typeof

local function fail_at(where, text)
    core.fail(where .. ": " .. text)
end

local function number_text(x)
    return (tostring(x):gsub("U?LL$", ""))
end

-- -- Integers --

local function is_wide(x)
    return ffi.istype(U64, x) or ffi.istype(I64, x)
end

--- x as a Lua number or 64-bit cdata with a whole value; raises else.
local function whole(x, where)
    if type(x) == "number" then
        if x % 1 ~= 0 then
            fail_at(where, tostring(x) .. " is no integer")
        end
        return x
    elseif is_wide(x) then
        return x
    elseif type(x) == "boolean" then
        return x and 1 or 0
    end
    fail_at(where, "expected an integer, got " .. type(x))
end

local function check_small(x, low, high, where)
    x = whole(x, where)
    local number
    if type(x) == "cdata" then
        if ffi.istype(U64, x) and x > 0xffffffffULL or ffi.istype(I64, x) and (x > 0xffffffffLL or x < -0x80000000LL) then
            fail_at(where, ("%s is outside %d to %d"):format(number_text(x), low, high))
        end
        number = tonumber(x)
    else
        number = x
    end
    if number < low or number > high then
        fail_at(where, ("%s is outside %.0f to %.0f"):format(number_text(x), low, high))
    end
    return number
end

local function check_wide(x, is_signed, where)
    x = whole(x, where)
    if type(x) == "number" then
        local low, high = is_signed and -2 ^ 63 or 0, is_signed and 2 ^ 63 or 2 ^ 64
        if x < low or x >= high then
            fail_at(where, ("%s does not fit %s 64 bits"):format(tostring(x), is_signed and "signed" or "unsigned"))
        end
        return is_signed and cast(I64, x) or integers.u64(x)
    end
    if is_signed and ffi.istype(U64, x) and x > 0x7fffffffffffffffULL or
        not is_signed and ffi.istype(I64, x) and x < 0 then
        fail_at(where, ("%s does not fit %s 64 bits"):format(number_text(x), is_signed and "signed" or "unsigned"))
    end
    return x
end

local SWAP = {
    [2] = function(x) return bit.rshift(bit.bswap(x), 16) end,
    [4] = function(x) return bit.bswap(x) % 2 ^ 32 end,
    [8] = function(x) return bit.bswap(x) end,
}

local INTS = { [1] = "int8_t", [2] = "int16_t", [4] = "int32_t", [8] = "int64_t" }

local function int_type(desc)
    local size, is_signed = desc.size, desc.signed
    local ctype = typeof((is_signed and "" or "u") .. INTS[size])
    local pointer = typeof("$ *", ctype)
    local T = { kind = "int", size = size, name = desc.name, ctype = ctype, be = desc.be, is_bool = desc.bool,
                is_char = desc.char, is_signed = is_signed }
    if desc.bool and size == 1 then
        function T.read(p) return p[0] ~= 0 end
        function T.write(x, p, where) p[0] = check_small(x, 0, 1, where) end
        return T
    end
    local swap = desc.be and SWAP[size] or nil
    if size == 8 then
        function T.check(x, where) return check_wide(x, is_signed, where) end
    else
        local low = is_signed and -2 ^ (size * 8 - 1) or 0
        local high = is_signed and 2 ^ (size * 8 - 1) - 1 or 2 ^ (size * 8) - 1
        function T.check(x, where) return check_small(x, low, high, where) end
    end
    local check = T.check
    if swap then
        function T.read(p) return swap(cast(pointer, p)[0]) end
        function T.write(x, p, where) cast(pointer, p)[0] = swap(check(x, where)) end
    else
        function T.read(p) return cast(pointer, p)[0] end
        function T.write(x, p, where) cast(pointer, p)[0] = check(x, where) end
    end
    return T
end

--- Values, as text, to names; the first in order where several names have a value.
local function names_of(values)
    local names = {}
    for name, value in next, values do
        local at = number_text(value)
        if not names[at] or name < names[at] then
            names[at] = name
        end
    end
    return names
end

local function enum_type(desc)
    local T = int_type{ size = desc.size, signed = desc.signed, name = desc.name }
    T.kind = "enum"
    T.values = desc.values
    T.names = names_of(desc.values)
    local write = T.write
    function T.write(x, p, where)
        if type(x) == "string" then
            local value = desc.values[x]
            if value == nil then
                fail_at(where, ("'%s' is no value of %s"):format(x, desc.name))
            end
            x = value
        end
        write(x, p, where)
    end
    return T
end

local function float_type(desc)
    if desc.size ~= 4 and desc.size ~= 8 then
        core.fail(("type %s: floats of %d bytes are not supported"):format(desc.name, desc.size))
    end
    local ctype = typeof(desc.size == 4 and "float" or "double")
    local pointer = typeof("$ *", ctype)
    local T = { kind = "float", size = desc.size, name = desc.name, ctype = ctype }
    function T.read(p) return cast(pointer, p)[0] end
    function T.write(x, p, where)
        if type(x) ~= "number" then
            fail_at(where, "expected a number, got " .. type(x))
        end
        cast(pointer, p)[0] = x
    end
    return T
end

-- -- Texts --

--- Character arrays read as the text up to the first NUL.
local function text_type(desc)
    local count = desc.count
    local T = { kind = "text", size = count, count = count, name = desc.name, ctype = typeof("uint8_t[$]", count) }
    function T.read(p)
        local s = ffi.string(p, count)
        return s:match "^[^%z]*"
    end
    function T.write(x, p, where)
        if type(x) ~= "string" then
            fail_at(where, "expected a string, got " .. type(x))
        elseif #x > count then
            fail_at(where, ("%d characters do not fit %d"):format(#x, count))
        end
        ffi.fill(p, count)
        copy(p, x, #x)
    end
    return T
end

-- -- Bit-fields: by value, from the bytes that hold them (little-endian hosts: bit 0 is the lowest) --

local function bit_type(member)
    local from, width = member.bit_offset, member.bit_width
    local first, last = math.floor(from / 8), math.floor((from + width - 1) / 8)
    local is_signed = member.type.signed
    local T = { kind = "bits", size = 0, name = member.type.name, width = width,
                names = member.type.values and names_of(member.type.values) }
    local function load_bits(p)
        local value = 0ULL
        for i = last, first, -1 do
            value = bit.bor(bit.lshift(value, 8), p[i] + 0ULL)
        end
        return value
    end
    -- 9 bytes can hold a 64-bit field that starts inside a byte: such a field is refused when the type is built.
    local mask = width == 64 and 0xffffffffffffffffULL or bit.lshift(1ULL, width) - 1
    local shift = from - first * 8
    function T.read(p)
        local value = bit.band(bit.rshift(load_bits(p), shift), mask)
        if is_signed and bit.band(value, bit.lshift(1ULL, width - 1)) ~= 0 then
            value = bit.bor(value, bit.bnot(mask))
        end
        if member.type.bool then
            return value ~= 0
        elseif width > 32 then
            return is_signed and cast(I64, value) or value
        end
        return is_signed and tonumber(cast(I64, value)) or tonumber(value)
    end
    function T.write(x, p, where)
        if type(x) == "string" and member.type.values then
            x = member.type.values[x] or fail_at(where, ("'%s' is no value of %s"):format(x, member.type.name))
        end
        local value
        if width > 32 then
            value = cast(U64, check_wide(x, is_signed, where))
            if not is_signed and value > mask then
                fail_at(where, number_text(value) .. " does not fit " .. width .. " bits")
            end
        else
            local low = is_signed and -2 ^ (width - 1) or 0
            value = integers.u64(check_small(x, low, low + 2 ^ width - 1, where))
        end
        local all = bit.band(load_bits(p), bit.bnot(bit.lshift(mask, shift)))
        all = bit.bor(all, bit.lshift(bit.band(value, mask), shift))
        for i = first, last do
            p[i] = tonumber(bit.band(all, 0xffULL))
            all = bit.rshift(all, 8)
        end
    end
    T.crosses = last - first + 1 > 8
    return T
end

M.fail_at, M.number_text, M.is_wide, M.INTS = fail_at, number_text, is_wide, INTS
M.int_type, M.enum_type, M.float_type, M.text_type, M.bit_type = int_type, enum_type, float_type, text_type, bit_type

return M
