-- SPDX-License-Identifier: MIT
-- Structs, unions and arrays: ctypes laid out as BTF says, checked access to their fields, their text, tables and sums.
local core = require "mimicsh.core"
local addresses = require "mimicsh.addresses"
local scalars = require "mimicsh.scalars"
local ffi = require "ffi"

local M = {}

local BYTES = ffi.typeof "uint8_t *"
local cast, copy, typeof = ffi.cast, ffi.copy, ffi.typeof
local fail_at, number_text = scalars.fail_at, scalars.number_text
local bit_type = scalars.bit_type
local address_kind, address_type = addresses.address_kind, addresses.address_type

local type_of = {} -- ctype id -> T

-- A nested struct is a reference into its parent's memory; LuaJIT does not keep the parent for it.
local owners = setmetatable({}, { __mode = "k" })

-- -- Values in place --

--- A value and a reference to one inside its parent have different ctype ids.
function M.remember(T)
    local value = T.ctype()
    type_of[tonumber(T.ctype)] = T
    type_of[tonumber(typeof(cast(T.reference, value)[0]))] = T
end

function M.type_of(x)
    return type(x) == "cdata" and type_of[tonumber(typeof(x))] or nil
end

--- Reads an aggregate in place: a reference that keeps `owner`.
local function view(T, p, owner)
    local reference = cast(T.reference, p)[0]
    owners[reference] = owners[owner] or owner
    return reference
end

local function read_copy(T, p)
    local value = T.ctype()
    copy(value, p, T.size)
    return value
end

local function address_of(v)
    return cast(BYTES, v)
end

local function same_bytes(a, b)
    local T = M.type_of(a)
    if not T or M.type_of(b) ~= T then
        return false
    end
    return ffi.string(address_of(a), T.size) == ffi.string(address_of(b), T.size)
end

local function read_member(T, p, owner)
    if T.reference and T.kind ~= "address" and T.kind ~= "text" then
        return view(T, p, owner)
    end
    return T.read(p)
end

local METHODS = {}

function METHODS.copy(v)
    return read_copy(M.type_of(v), address_of(v))
end

function METHODS.bytes(v)
    return ffi.string(address_of(v), M.type_of(v).size)
end

function METHODS.hex(v)
    return (METHODS.bytes(v):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function METHODS.totable(v)
    return M.to_table(v)
end

-- -- Arrays --

function M.array_type(desc, element)
    local count, step = desc.count, element.size
    local T = { kind = "array", size = desc.size, count = count, element = element, name = desc.name }
    T.ctype = typeof("struct __attribute__((packed)) { $ item[$]; }", element.ctype, count)
    T.reference = typeof("$ *", T.ctype)
    local function place(v, i)
        if i < 0 or i >= count or i % 1 ~= 0 then
            core.fail(("index %s is outside 0 to %d"):format(tostring(i), count - 1))
        end
        return address_of(v) + i * step
    end
    local mt = {}
    function mt.__index(v, i)
        if type(i) == "number" then
            return read_member(element, place(v, i), v)
        end
        return METHODS[i] or core.fail(("an array is indexed by number, got '%s'"):format(tostring(i)))
    end
    function mt.__newindex(v, i, x)
        if type(i) ~= "number" then
            core.fail(("an array is indexed by number, got '%s'"):format(tostring(i)))
        end
        element.write(x, place(v, i), ("[%d]"):format(i))
    end
    function mt.__len() return count end
    mt.__eq = same_bytes
    function mt.__tostring(v) return M.format(v) end
    function mt.__pairs(v)
        return function(_, i)
            if i + 1 < count then
                return i + 1, read_member(element, place(v, i + 1), v)
            end
        end, v, -1
    end
    ffi.metatype(T.ctype, mt)
    function T.read(p) return read_copy(T, p) end
    function T.write(x, p, where)
        if M.type_of(x) == T then
            copy(p, x, T.size)
        elseif type(x) == "string" then
            if #x ~= T.size then
                fail_at(where, ("%d bytes for an array of %d"):format(#x, T.size))
            end
            copy(p, x, #x)
        elseif type(x) == "table" then
            if #x > count then
                fail_at(where, ("%d elements for an array of %d"):format(#x, count))
            end
            ffi.fill(p, T.size)
            for i = 1, #x do
                element.write(x[i], p + (i - 1) * step, ("%s[%d]"):format(where, i - 1))
            end
        else
            fail_at(where, "expected a list or bytes, got " .. type(x))
        end
    end
    return T
end

-- -- Structs and unions --

--- Declares the ctype: fields where BTF has them, padding between, bit-fields as padding.
local function declare(desc, members)
    local parts, arguments, at = {}, {}, 0
    local pads = 0
    local function pad(to)
        if to > at then
            pads = pads + 1
            parts[#parts + 1] = ("uint8_t pad%d[%d];"):format(pads, to - at)
            at = to
        end
    end
    for i, member in ipairs(members) do
        if not member.is_bits and member.type.size > 0 then
            if desc.kind == "union" then
                parts[#parts + 1] = ("$ f%d;"):format(i)
                arguments[#arguments + 1] = member.type.ctype
            elseif member.offset >= at then
                pad(member.offset)
                parts[#parts + 1] = ("$ f%d;"):format(i)
                arguments[#arguments + 1] = member.type.ctype
                at = at + member.type.size
            end
        end
    end
    if desc.kind == "union" then
        parts[#parts + 1] = ("uint8_t all[%d];"):format(desc.size)
    else
        pad(desc.size)
    end
    local text = ("%s __attribute__((packed)) { %s }"):format(desc.kind, table.concat(parts, " "))
    local ctype = typeof(text, unpack(arguments))
    assert(ffi.sizeof(ctype) == desc.size, "BTF size of " .. desc.name)
    for i, member in ipairs(members) do
        local offset = not member.is_bits and member.type.size > 0 and ffi.offsetof(ctype, "f" .. i)
        assert(not offset or offset == member.offset, "BTF offset in " .. desc.name)
    end
    return ctype
end

--- Fields by name, members of anonymous structs and unions among them.
local function collect_fields(members, base, fields, order)
    for _, member in ipairs(members) do
        if member.name == "" and member.type.members then
            collect_fields(member.type.members, base + member.offset, fields, order)
        elseif member.name ~= "" and not fields[member.name] then
            local field = { name = member.name, type = member.type, offset = base + (member.is_bits and 0 or member.offset) }
            fields[member.name] = field
            order[#order + 1] = field
        end
    end
end

local function struct_members(desc, build)
    local members = {}
    for i, member in ipairs(desc.members) do
        if member.bit_width then
            local T = bit_type(member)
            if T.crosses then
                core.fail(("type %s: bit-field '%s' spans more than 8 bytes"):format(desc.name, member.name))
            end
            members[i] = { name = member.name, type = T, offset = 0, is_bits = true }
        else
            local T = build(member.type)
            local kind = address_kind(member.type, member.name)
            members[i] = { name = member.name, offset = member.bit_offset / 8, type = kind and address_type(T, kind) or T }
        end
    end
    return members
end

local function struct_metatype(T)
    local fields = T.fields
    local mt = {}
    function mt.__index(v, name)
        local field = fields[name]
        if field then
            return read_member(field.type, address_of(v) + field.offset, v)
        end
        return METHODS[name] or core.fail(("%s has no field '%s' (known: %s)"):format(T.name, tostring(name), T.known))
    end
    function mt.__newindex(v, name, x)
        local field = fields[name] or
            core.fail(("%s has no field '%s' (known: %s)"):format(T.name, tostring(name), T.known))
        field.type.write(x, address_of(v) + field.offset, name)
    end
    mt.__eq = same_bytes
    function mt.__tostring(v) return M.format(v) end
    function mt.__pairs(v)
        local i = 0
        return function()
            i = i + 1
            local field = T.order[i]
            if field then
                return field.name, read_member(field.type, address_of(v) + field.offset, v)
            end
        end
    end
    ffi.metatype(T.ctype, mt)
end

--- `build` makes the types of its members.
function M.struct_type(desc, build)
    local members = struct_members(desc, build)
    local T = { kind = desc.kind, size = desc.size, name = desc.name, members = members, fields = {}, order = {} }
    collect_fields(members, 0, T.fields, T.order)
    local names = {}
    for i, field in ipairs(T.order) do
        names[i] = field.name
    end
    T.known = table.concat(names, ", ")
    T.ctype = declare(desc, members)
    T.reference = typeof("$ *", T.ctype)
    struct_metatype(T)
    function T.read(p) return read_copy(T, p) end
    function T.write(x, p, where)
        if M.type_of(x) == T then
            copy(p, x, T.size)
        elseif type(x) == "table" then
            ffi.fill(p, T.size)
            for name, value in next, x do
                local field = T.fields[name] or
                    fail_at(where, ("%s has no field '%s' (known: %s)"):format(T.name, tostring(name), T.known))
                field.type.write(value, p + field.offset, where .. "." .. name)
            end
        elseif type(x) == "string" and #x == T.size then
            copy(p, x, #x)
        elseif type(x) == "string" then
            fail_at(where, ("%d bytes for %s of %d"):format(#x, T.name, T.size))
        else
            fail_at(where, ("expected %s, a table of its fields or bytes, got %s"):format(T.name, type(x)))
        end
    end
    return T
end

--- Names of a struct's fields in their order; numbers from 0 for an array.
function M.field_names(T)
    local names = {}
    for i, field in ipairs(T.order or {}) do
        names[i] = field.name
    end
    for i = 0, T.kind == "array" and T.count - 1 or -1 do
        names[i + 1] = i
    end
    return names
end

-- -- Text and tables --

local MAX_ELEMENTS = 64

--- How values are written by print and tostring; the printer has looks of its own.
local PLAIN = {
    number = number_text,
    paint = function(_, text) return text end,
    join = function(parts) return "{" .. table.concat(parts, ", ") .. "}" end,
}
M.PLAIN = PLAIN

local function format_value(T, value, look, depth)
    look = look or PLAIN
    local name = T.names and T.names[number_text(value)]
    if name then
        return look.paint("type", name)
    elseif T.kind == "pointer" then
        return look.paint("number", value == 0 and "NULL" or "0x" .. bit.tohex(value):gsub("^0+", ""))
    elseif T.kind == "text" then
        return look.paint("string", (("%q"):format(value):gsub("\\\n", "\\n")))
    elseif T.kind == "raw" then
        return (value:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    elseif M.type_of(value) then
        return M.format(value, look, depth)
    end
    return look.number(value)
end
M.format_value = format_value

--- Text of an aggregate; look and depth are those of what it stands in.
function M.format(v, look, depth)
    local T = M.type_of(v)
    local parts = {}
    look, depth = look or PLAIN, depth or 0
    if T.kind == "array" then
        for i = 0, math.min(T.count, MAX_ELEMENTS) - 1 do
            parts[#parts + 1] = format_value(T.element, v[i], look, depth + 1)
        end
        if T.count > MAX_ELEMENTS then
            parts[#parts + 1] = look.paint("dim", ("... %d more"):format(T.count - MAX_ELEMENTS))
        end
    else
        for i, field in ipairs(T.order) do
            parts[i] = look.paint("name", field.name) .. " = " .. format_value(field.type, v[field.name], look, depth + 1)
        end
    end
    return look.join(parts, depth)
end

--- Plain tables all the way down; arrays from 1, enums by number, 64-bit integers stay cdata.
function M.to_table(v)
    local T = M.type_of(v)
    if not T then
        return v
    end
    local out = {}
    if T.kind == "array" then
        for i = 0, T.count - 1 do
            out[i + 1] = M.to_table(v[i])
        end
    else
        for _, field in ipairs(T.order) do
            out[field.name] = M.to_table(v[field.name])
        end
    end
    return out
end

debug.getregistry()["mimicsh.cdata_tojson"] = function(v)
    return M.type_of(v) and M.to_table(v) or nil
end

--- Field-wise sum of two values of a type, wrapping as C does.
function M.add(T, a, b)
    if T.kind == "struct" then
        local out = a:copy()
        for _, field in ipairs(T.order) do
            if field.type.kind == "int" or field.type.kind == "struct" then
                out[field.name] = M.add(field.type, a[field.name], b[field.name])
            end
        end
        return out
    elseif T.kind == "int" then
        return a + b
    end
    core.fail("values of type " .. T.name .. " have no sum")
end

return M
