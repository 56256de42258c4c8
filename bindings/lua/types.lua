-- SPDX-License-Identifier: MIT
-- Typed memory from BTF: anonymous ctypes laid out as BTF says, checked access, values in and out as bytes.
--
-- A type T: {kind=, size=, name=, ctype=, read(p) -> value, write(value, p, where)}. p is a uint8_t pointer, where
-- names the place in messages. Structs and arrays are read as cdata that own their bytes (or keep their owner).
local core = require "mimicsh.core"
local addresses = require "mimicsh.addresses"
local aggregates = require "mimicsh.aggregates"
local scalars = require "mimicsh.scalars"
local ffi = require "ffi"

local M = {
    parse_ip4 = addresses.parse_ip4, parse_ip6 = addresses.parse_ip6, parse_mac = addresses.parse_mac,
    type_of = aggregates.type_of, format_value = aggregates.format_value, format = aggregates.format,
    to_table = aggregates.to_table, add = aggregates.add, PLAIN = aggregates.PLAIN,
    field_names = aggregates.field_names,
}

local BYTES = ffi.typeof "uint8_t *"
local cast, copy = ffi.cast, ffi.copy
local fail_at = scalars.fail_at

-- The ctype table is never collected: equal layouts share one ctype, found by their canonical text.
local cache = {}

-- -- Building, cached by canonical text --

local next_id = 0
local build

--- Text that is equal for equal layouts: nested types appear as the number of their cached type.
local function canonical(desc)
    local kind = desc.kind
    if kind == "int" or kind == "float" or kind == "pointer" then
        return ("%s %d %s%s%s%s %s"):format(kind, desc.size, desc.signed and "s" or "", desc.bool and "b" or "",
            desc.char and "c" or "", desc.be and "e" or "", desc.name)
    elseif kind == "enum" then
        local parts = {}
        for name, value in next, desc.values do
            parts[#parts + 1] = name .. "=" .. tostring(value)
        end
        table.sort(parts)
        return ("enum %d %s %s {%s}"):format(desc.size, desc.signed and "s" or "", desc.name, table.concat(parts, ","))
    elseif kind == "array" then
        return ("array %d of %d %s"):format(desc.count, build(desc.element).id, desc.name)
    end
    local parts = {}
    for i, member in ipairs(desc.members) do
        parts[i] = ("%s@%d:%d:%d"):format(member.name, member.bit_offset, member.bit_width or 0, build(member.type).id)
    end
    return ("%s %d %s {%s}"):format(kind, desc.size, desc.name, table.concat(parts, ","))
end

local function make(desc)
    local kind = desc.kind
    if kind == "int" and desc.size == 16 then
        local word = { kind = "int", size = 8, name = "__u64" }
        return aggregates.struct_type({ kind = "struct", size = 16, name = desc.name, members = {
            { name = "lo", bit_offset = 0, type = word }, { name = "hi", bit_offset = 64, type = word } } }, build)
    elseif kind == "int" then
        if not scalars.INTS[desc.size] then
            core.fail(("type %s: integers of %d bytes are not supported"):format(desc.name, desc.size))
        end
        return scalars.int_type(desc)
    elseif kind == "float" then
        return scalars.float_type(desc)
    elseif kind == "pointer" then
        local T = scalars.int_type{ size = 8, name = desc.name }
        T.kind = "pointer"
        return T
    elseif kind == "enum" then
        return scalars.enum_type(desc)
    elseif kind == "array" then
        if desc.element.kind == "int" and desc.element.char and desc.element.size == 1 then
            return scalars.text_type(desc)
        end
        return aggregates.array_type(desc, build(desc.element))
    end
    return aggregates.struct_type(desc, build)
end

--- The type of a description (bpf_btf.cpp); equal layouts give the same type.
function build(desc)
    if desc.built then
        return desc.built
    end
    local text = canonical(desc)
    local T = cache[text]
    if not T then
        T = make(desc)
        next_id = next_id + 1
        T.id = next_id
        cache[text] = T
        if T.reference then
            aggregates.remember(T)
        end
    end
    desc.built = T
    return T
end
M.build = build

--- The type of a whole key, value or variable; `name` says what it is, for addresses.
function M.top(desc, name)
    local T = build(desc)
    local kind = addresses.address_kind(desc, name)
    return kind and addresses.address_type(T, kind) or T
end

--- Bytes without a type: strings of the exact size.
function M.raw(size)
    local T = { kind = "raw", size = size, name = ("%d bytes"):format(size) }
    function T.read(p) return ffi.string(p, size) end
    function T.write(x, p, where)
        if type(x) ~= "string" or #x ~= size then
            fail_at(where, ("expected a string of %d bytes, got %s"):format(size,
                type(x) == "string" and #x .. " bytes" or type(x)))
        end
        copy(p, x, size)
    end
    return T
end

local WORDS = {}
for _, size in ipairs{ 1, 2, 4, 8 } do
    WORDS["u" .. size * 8] = { kind = "int", size = size, name = "u" .. size * 8 }
    WORDS["s" .. size * 8] = { kind = "int", size = size, name = "s" .. size * 8, signed = true }
end
WORDS.be16 = { kind = "int", size = 2, name = "__be16", be = true }
WORDS.be32 = { kind = "int", size = 4, name = "__be32", be = true }

--- A type from words: "u32", or a list { {"pkts", "u64"}, {"bytes", "u64"} }; a table with one named field will do.
function M.from_words(spec, what)
    if type(spec) == "string" then
        return build(WORDS[spec] or core.fail(("%s: unknown type '%s' (u8 to u64, s8 to s64, be16, be32)"):format(what, spec)))
    elseif type(spec) ~= "table" then
        core.fail(("%s: expected a type name or a list of fields, got %s"):format(what, type(spec)))
    end
    local list = spec
    local name, word = next(spec)
    if type(name) == "string" then
        if next(spec, name) ~= nil then
            core.fail(what .. ': a table has no order: give a list like { {"pkts", "u64"}, {"bytes", "u64"} }')
        end
        list = { { name, word } }
    end
    local members, at = {}, 0
    for i, field in ipairs(list) do
        if type(field) ~= "table" or type(field[1]) ~= "string" then
            core.fail(('%s: field %d: expected a name and a type like {"pkts", "u64"}, got %s'):format(what, i, type(field)))
        end
        local desc = WORDS[field[2]] or core.fail(("%s: unknown type '%s'"):format(what, tostring(field[2])))
        at = math.ceil(at / desc.size) * desc.size -- as C aligns it
        members[i] = { name = field[1], bit_offset = at * 8, type = desc }
        at = at + desc.size
    end
    local align = 1
    for _, member in ipairs(members) do
        align = math.max(align, member.type.size)
    end
    return build{ kind = "struct", name = "struct", size = math.ceil(at / align) * align, members = members }
end

-- -- Bytes in and out --

--- Value of the bytes at offset (from 0) of a string.
function M.decode(T, bytes, offset)
    return T.read(cast(BYTES, cast("const char *", bytes)) + (offset or 0))
end

--- Bytes of a value; `where` names it in messages.
function M.encode(T, value, where)
    local buffer = ffi.new("uint8_t[?]", T.size)
    T.write(value, cast(BYTES, buffer), where)
    return ffi.string(buffer, T.size)
end

return M
