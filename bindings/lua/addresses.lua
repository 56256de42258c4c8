-- SPDX-License-Identifier: MIT
-- IPv4, IPv6 and MAC addresses: text to bytes and back, and the types whose memory reads as such text.
local fail_at = require "mimicsh.scalars".fail_at
local ffi = require "ffi"

local M = {}

local copy = ffi.copy

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

M.parse_ip4, M.parse_ip6, M.parse_mac = parse_ip4, parse_ip6, parse_mac
M.address_kind, M.address_type = address_kind, address_type

return M
