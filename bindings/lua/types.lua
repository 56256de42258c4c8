-- SPDX-License-Identifier: MIT
-- Typed memory from BTF: anonymous ctypes laid out as BTF says, checked access, values in and out as bytes.
--
-- A type T: {kind=, size=, name=, ctype=, read(p) -> value, write(value, p, where)}. p is a uint8_t pointer, where
-- names the place in messages. Structs and arrays are read as cdata that own their bytes (or keep their owner).
local core = require "mimicsh.core"
local integers = require "mimicsh.integers"
local ffi = require "ffi"

local M = {}

local BYTES = ffi.typeof "uint8_t *"
local U64, I64 = ffi.typeof "uint64_t", ffi.typeof "int64_t"
local cast, copy, typeof = ffi.cast, ffi.copy, ffi.typeof

-- The ctype table is never collected: equal layouts share one ctype, found by their canonical text.
local cache = {}
local type_of = {} -- ctype id -> T

-- A nested struct is a reference into its parent's memory; LuaJIT does not keep the parent for it.
local owners = setmetatable({}, { __mode = "k" })

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

local function enum_type(desc)
    local T = int_type{ size = desc.size, signed = desc.signed, name = desc.name }
    T.kind = "enum"
    T.values = desc.values
    T.names = {}
    for name, value in next, desc.values do
        local at = tostring(value)
        if not T.names[at] or name < T.names[at] then
            T.names[at] = name
        end
    end
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

-- -- Addresses --

local function parse_ip4(text)
    local a, b, c, d = text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
    if not a then
        return nil
    end
    local bytes = {}
    for i, part in ipairs{ a, b, c, d } do
        local value = tonumber(part)
        if #part > 3 or value > 255 then
            return nil
        end
        bytes[i] = string.char(value)
    end
    return table.concat(bytes)
end

--- 16 bytes from IPv6 text (RFC 4291 section 2.2), nil when it is none.
local function parse_ip6(text)
    local head, tail = text, nil
    local gap_from, gap_to = text:find("::", 1, true)
    if gap_from then
        head, tail = text:sub(1, gap_from - 1), text:sub(gap_to + 1)
        if tail:find("::", 1, true) then
            return nil
        end
    end
    local function groups(part, is_last)
        local out = {}
        if part == "" then
            return out
        end
        local fields = {}
        for field in (part .. ":"):gmatch "([^:]*):" do
            fields[#fields + 1] = field
        end
        for i, field in ipairs(fields) do
            local ip4 = i == #fields and is_last and parse_ip4(field)
            if ip4 then
                out[#out + 1] = ip4:sub(1, 2)
                out[#out + 1] = ip4:sub(3, 4)
            elseif field:find "^%x%x?%x?%x?$" then
                local value = tonumber(field, 16)
                out[#out + 1] = string.char(math.floor(value / 256), value % 256)
            else
                return nil
            end
        end
        return out
    end
    local a = groups(head, not tail)
    local b = tail and groups(tail, true)
    if not a or tail and not b then
        return nil
    end
    local count = #a + (b and #b or 0)
    if tail and count > 7 or not tail and count ~= 8 then
        return nil
    end
    return table.concat(a) .. ("\0\0"):rep(tail and 8 - count or 0) .. (b and table.concat(b) or "")
end

local function parse_mac(text)
    local bytes = {}
    for byte in (text .. ":"):gmatch "(%x%x?):" do
        bytes[#bytes + 1] = string.char(tonumber(byte, 16))
    end
    return #bytes == 6 and text:find "^[%x:]+$" and table.concat(bytes) or nil
end

local function format_ip4(s)
    return ("%d.%d.%d.%d"):format(s:byte(1, 4))
end

--- Canonical text (RFC 5952): lower case, the longest run of at least two zero groups shortened.
local function format_ip6(s)
    local groups = {}
    for i = 1, 16, 2 do
        groups[#groups + 1] = s:byte(i) * 256 + s:byte(i + 1)
    end
    local best, best_length, i = nil, 1, 1
    while i <= 8 do
        local length = 0
        while i + length <= 8 and groups[i + length] == 0 do
            length = length + 1
        end
        if length > best_length then
            best, best_length = i, length
        end
        i = i + length + 1
    end
    local function hex(from, to)
        local out = {}
        for k = from, to do
            out[#out + 1] = ("%x"):format(groups[k])
        end
        return table.concat(out, ":")
    end
    if not best then
        return hex(1, 8)
    end
    return hex(1, best - 1) .. "::" .. hex(best + best_length, 8)
end

local function format_mac(s)
    return ("%02x:%02x:%02x:%02x:%02x:%02x"):format(s:byte(1, 6))
end

M.parse_ip4, M.parse_ip6, M.parse_mac = parse_ip4, parse_ip6, parse_mac

local ADDRESS = {
    ip4 = { size = 4, parse = parse_ip4, format = format_ip4, what = "IPv4 address" },
    ip6 = { size = 16, parse = parse_ip6, format = format_ip6, what = "IPv6 address" },
    mac = { size = 6, parse = parse_mac, format = format_mac, what = "MAC address" },
}

local function has_word(name, words)
    name = name:lower()
    for _, word in ipairs(words) do
        if name:find(word) then
            return true
        end
    end
    return false
end

--- Which kind of address a type is, by its name or the name of the field that has it; nil for none.
local function address_kind(desc, field)
    local is_bytes = desc.kind == "array" and desc.element.kind == "int" and desc.element.size == 1
    local name = desc.name
    if name == "struct in6_addr" then
        return "ip6"
    elseif name == "struct in_addr" then
        return "ip4"
    end
    local word = field or ""
    if desc.kind == "int" and desc.be and desc.size == 4 and
        has_word(word, { "addr", "^ip", "ip$", "_ip", "src", "dst" }) then
        return "ip4"
    elseif is_bytes and not desc.element.char and desc.size == 16 and
        has_word(word, { "addr", "ip6", "^ip", "src", "dst" }) then
        return "ip6"
    elseif is_bytes and not desc.element.char and desc.size == 6 and
        has_word(word, { "mac", "eth", "h_source", "h_dest", "addr" }) then
        return "mac"
    end
end

--- The same memory as text: reads as address, writes addresses (and what the plain type takes).
local function address_type(plain, kind)
    local address = ADDRESS[kind]
    local T = setmetatable({ kind = "address", address = kind }, { __index = plain })
    function T.read(p)
        return address.format(ffi.string(p, address.size))
    end
    function T.write(x, p, where)
        if type(x) ~= "string" then
            return plain.write(x, p, where)
        end
        local bytes = address.parse(x) or #x == address.size and x
        if not bytes then
            fail_at(where, ("'%s' is no %s"):format(x, address.what))
        end
        copy(p, bytes, address.size)
    end
    return T
end

-- -- Structs and arrays --

--- A value and a reference to one inside its parent have different ctype ids.
local function remember(T)
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

--- Character arrays read as the text up to the first NUL.
local function text_type(desc)
    local count = desc.count
    local T = { kind = "text", size = count, count = count, name = desc.name, ctype = typeof("uint8_t[$]", count) }
    T.reference = nil
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

local function array_type(desc, element)
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

-- -- Bit-fields: by value, from the bytes that hold them (little-endian hosts: bit 0 is the lowest) --

local function bit_type(member)
    local from, width = member.bit_offset, member.bit_width
    local first, last = math.floor(from / 8), math.floor((from + width - 1) / 8)
    local is_signed = member.type.signed
    local T = { kind = "bits", size = 0, name = member.type.name, width = width }
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

local build

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

local function struct_members(desc)
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

local function struct_type(desc)
    local members = struct_members(desc)
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

-- -- Building, cached by canonical text --

local next_id = 0

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
        return struct_type{ kind = "struct", size = 16, name = desc.name, members = {
            { name = "lo", bit_offset = 0, type = word }, { name = "hi", bit_offset = 64, type = word } } }
    elseif kind == "int" then
        if not INTS[desc.size] then
            core.fail(("type %s: integers of %d bytes are not supported"):format(desc.name, desc.size))
        end
        return int_type(desc)
    elseif kind == "float" then
        return float_type(desc)
    elseif kind == "pointer" then
        local T = int_type{ size = 8, name = desc.name }
        T.kind = "pointer"
        return T
    elseif kind == "enum" then
        return enum_type(desc)
    elseif kind == "array" then
        if desc.element.kind == "int" and desc.element.char and desc.element.size == 1 then
            return text_type(desc)
        end
        return array_type(desc, build(desc.element))
    end
    return struct_type(desc)
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
            remember(T)
        end
    end
    desc.built = T
    return T
end
M.build = build

--- The type of a whole key, value or variable; `name` says what it is, for addresses.
function M.top(desc, name)
    local T = build(desc)
    local kind = address_kind(desc, name)
    return kind and address_type(T, kind) or T
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

-- -- Text and tables --

local MAX_ELEMENTS = 64

local function format_value(T, value)
    if T.kind == "enum" then
        local name = T.names[tostring(value)]
        return name or number_text(value)
    elseif T.kind == "pointer" then
        return value == 0 and "NULL" or "0x" .. bit.tohex(value):gsub("^0+", "")
    elseif T.kind == "text" then
        return ("%q"):format(value):gsub("\\\n", "\\n")
    elseif T.kind == "raw" then
        return (value:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    elseif type(value) == "cdata" and not is_wide(value) then
        return tostring(value)
    end
    return number_text(value)
end
M.format_value = format_value

function M.format(v)
    local T = M.type_of(v)
    local parts = {}
    if T.kind == "array" then
        for i = 0, math.min(T.count, MAX_ELEMENTS) - 1 do
            parts[#parts + 1] = format_value(T.element, v[i])
        end
        if T.count > MAX_ELEMENTS then
            parts[#parts + 1] = ("... %d more"):format(T.count - MAX_ELEMENTS)
        end
    else
        for i, field in ipairs(T.order) do
            parts[i] = ("%s = %s"):format(field.name, (format_value(field.type, v[field.name])))
        end
    end
    return "{" .. table.concat(parts, ", ") .. "}"
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
