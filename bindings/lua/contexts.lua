-- SPDX-License-Identifier: MIT
-- Contexts of runs as Lua tables: struct xdp_md, and struct __sk_buff for programs on socket buffers.
local core = require "mimicsh.core"
local addresses, types = require "mimicsh.addresses", require "mimicsh.types"

local M = {}

local function unsigned(size)
    return types.build{ kind = "int", size = size, name = "__u" .. size * 8 }
end
local WORD, LONG = unsigned(4), unsigned(8)
local XDP_FIELDS = { "data", "data_end", "data_meta", "ingress_ifindex", "rx_queue_index", "egress_ifindex" }

--- Numbers of struct __sk_buff that a test run takes and gives back (net/bpf/test_run.c), with their places.
local SKB_SIZE, CB_OFFSET, CB_WORDS = 192, 48, 5
local SKB_FIELDS = {
    { "mark", 8, WORD }, { "priority", 32, WORD }, { "ingress_ifindex", 36, WORD }, { "ifindex", 40, WORD },
    { "tstamp", 152, LONG }, { "wire_len", 160, WORD }, { "gso_segs", 164, WORD }, { "gso_size", 176, WORD },
    { "hwtstamp", 184, LONG },
}

--- data is the length of the metadata in front, data_end that of all bytes.
local function encode_xdp(ctx, packet)
    core.check_options(ctx, "ctx", "ingress_ifindex rx_queue_index egress_ifindex meta")
    local meta = core.expect(ctx.meta or "", "ctx.meta", "string")
    local words = { #meta, #meta + #packet, 0, ctx.ingress_ifindex or 0, ctx.rx_queue_index or 0, ctx.egress_ifindex or 0 }
    for i, word in ipairs(words) do
        words[i] = types.encode(WORD, word, "ctx." .. XDP_FIELDS[i])
    end
    return table.concat(words), meta .. packet
end

local function decode_xdp(bytes)
    local ctx = {}
    for i, name in ipairs(XDP_FIELDS) do
        ctx[name] = types.decode(WORD, bytes, (i - 1) * 4)
    end
    return ctx
end

--- The places of a struct's fields and their bytes, in order, with zeros between.
local function lay_out(parts, size)
    table.sort(parts, function(a, b) return a.at < b.at end)
    local out, at = {}, 0
    for _, part in ipairs(parts) do
        out[#out + 1] = ("\0"):rep(part.at - at) .. part.bytes
        at = part.at + #part.bytes
    end
    return table.concat(out) .. ("\0"):rep(size - at)
end

local function encode_skb(ctx, packet)
    core.check_options(ctx, "ctx", "mark priority ingress_ifindex ifindex cb tstamp wire_len gso_segs gso_size hwtstamp")
    local parts = {}
    for _, field in ipairs(SKB_FIELDS) do
        local name, at, type_ = field[1], field[2], field[3]
        parts[#parts + 1] = { at = at, bytes = types.encode(type_, ctx[name] or 0, "ctx." .. name) }
    end
    local cb = core.expect(ctx.cb or {}, "ctx.cb", "table")
    for i = 1, CB_WORDS do
        local word = cb[i] or 0
        parts[#parts + 1] = { at = CB_OFFSET + 4 * (i - 1), bytes = types.encode(WORD, word, ("ctx.cb[%d]"):format(i)) }
    end
    return lay_out(parts, SKB_SIZE), packet
end

local function decode_skb(bytes)
    local ctx = { cb = {} }
    for _, field in ipairs(SKB_FIELDS) do
        ctx[field[1]] = types.decode(field[3], bytes, field[2])
    end
    for i = 1, CB_WORDS do
        ctx.cb[i] = types.decode(WORD, bytes, CB_OFFSET + 4 * (i - 1))
    end
    return ctx
end

--- Bytes of an address as text, nil without one.
local function address_bytes(text, where)
    if text == nil then
        return nil
    end
    local bytes = type(text) == "string" and (addresses.parse_ip4(text) or addresses.parse_ip6(text))
    return bytes or core.fail(("%s: not an address: '%s'"):format(where, tostring(text)))
end

--- struct bpf_flow_keys: names, places and types, and what is in network order.
local KEYS_FLAGS = 48
local BYTE, HALF = unsigned(1), unsigned(2)
local SIZES = { [BYTE] = 1, [HALF] = 2, [WORD] = 4 }
local KEYS = {
    { "nhoff", 0, HALF }, { "thoff", 2, HALF }, { "addr_proto", 4, HALF }, { "is_frag", 6, BYTE },
    { "is_first_frag", 7, BYTE }, { "is_encap", 8, BYTE }, { "ip_proto", 9, BYTE }, { "n_proto", 10, HALF, true },
    { "sport", 12, HALF, true }, { "dport", 14, HALF, true }, { "flags", KEYS_FLAGS, WORD }, { "flow_label", 52, WORD, true },
}

local function encode_keys(ctx, packet)
    core.check_options(ctx, "ctx", "flags")
    return ("\0"):rep(KEYS_FLAGS) .. types.encode(WORD, ctx.flags or 0, "ctx.flags") .. ("\0"):rep(4), packet
end

--- Keys that a flow dissector left; src and dst by addr_proto (IPv4 0x0800, IPv6 0x86dd).
function M.decode_keys(bytes)
    local keys = {}
    for _, field in ipairs(KEYS) do
        local name, at, type_, swapped = field[1], field[2], field[3], field[4]
        local part = bytes:sub(at + 1, at + SIZES[type_])
        keys[name] = types.decode(type_, swapped and part:reverse() or part, 0)
    end
    local v4 = keys.addr_proto == 0x0800
    if v4 or keys.addr_proto == 0x86dd then
        for i, name in ipairs{ "src", "dst" } do
            local at = 16 + (i - 1) * (v4 and 4 or 16)
            local words = {}
            for j = 1, v4 and 4 or 8 do
                local a, b = bytes:byte(at + (v4 and j or 2 * j - 1), at + (v4 and j or 2 * j))
                words[j] = v4 and tostring(a) or ("%x"):format(a * 256 + b)
            end
            keys[name] = table.concat(words, v4 and "." or ":")
        end
    end
    return keys
end

--- All of struct bpf_flow_keys from a table as decode_keys gives it, or its bytes as they are.
local function encode_all_keys(keys)
    if type(keys) == "string" then
        return keys
    end
    core.check_options(keys, "keys", "nhoff thoff addr_proto is_frag is_first_frag is_encap ip_proto n_proto sport dport "
        .. "src dst flags flow_label")
    local parts = {}
    for _, field in ipairs(KEYS) do
        local name, at, type_, swapped = field[1], field[2], field[3], field[4]
        local bytes = types.encode(type_, keys[name] or 0, "keys." .. name)
        parts[#parts + 1] = { at = at, bytes = swapped and bytes:reverse() or bytes }
    end
    for i, name in ipairs{ "src", "dst" } do
        local bytes = address_bytes(keys[name], "keys." .. name)
        if bytes then
            parts[#parts + 1] = { at = 16 + (i - 1) * #bytes, bytes = bytes }
        end
    end
    return lay_out(parts, KEYS_FLAGS + 8)
end

--- struct bpf_sock: numbers as programs load them (dst_port in network order), addresses as text.
local SOCK_SIZE = 80
local SOCK = {
    { "bound_dev_if", 0 }, { "family", 4 }, { "type", 8 }, { "protocol", 12 }, { "mark", 16 }, { "priority", 20 },
    { "src_port", 44 }, { "dst_port", 48 }, { "state", 72 }, { "rx_queue_mapping", 76 },
}
local SOCK_ADDRESSES = { { "src_ip4", 24, 4 }, { "src_ip6", 28, 16 }, { "dst_ip4", 52, 4 }, { "dst_ip6", 56, 16 } }
local INET, INET6, CLOSED, NO_QUEUE = 2, 10, 7, 0xffffffff

local function encode_sock(sock)
    if type(sock) == "string" then
        return sock
    end
    core.check_options(sock, "sock", "bound_dev_if family type protocol mark priority src_ip4 src_ip6 src_port dst_port "
        .. "dst_ip4 dst_ip6 state rx_queue_mapping")
    local parts, family = {}, 0
    for _, field in ipairs(SOCK_ADDRESSES) do
        local name, at, size = field[1], field[2], field[3]
        local bytes = address_bytes(sock[name], "sock." .. name)
        if bytes and #bytes ~= size then
            core.fail(("sock.%s: an address of the other family: '%s'"):format(name, sock[name]))
        elseif bytes then
            parts[#parts + 1] = { at = at, bytes = bytes }
            family = size == 16 and INET6 or math.max(family, INET)
        end
    end
    local usual = { family = family, state = CLOSED, rx_queue_mapping = NO_QUEUE }
    for _, field in ipairs(SOCK) do
        local name, at = field[1], field[2]
        local value = sock[name] or usual[name] or 0
        if name == "rx_queue_mapping" and value == -1 then
            value = NO_QUEUE
        end
        local type_ = name == "dst_port" and HALF or WORD
        parts[#parts + 1] = { at = at, bytes = types.encode(type_, value, "sock." .. name) }
    end
    return lay_out(parts, SOCK_SIZE)
end

--- Puts what a run gets beside packet and context into `passed`: of its options, else of a context of a file.
function M.give(passed, options, input)
    local function of(name)
        if options[name] == nil then
            return input and input[name]
        end
        return options[name]
    end
    for _, name in ipairs{ "headroom", "tailroom", "linear", "l2" } do
        passed[name] = of(name)
    end
    local sock, keys = of "sock", of "keys"
    passed.sock = sock and encode_sock(sock)
    passed.keys = keys and encode_all_keys(keys)
end

local ENCODERS = { xdp = encode_xdp, flow_dissector = encode_keys }

--- Context bytes and input bytes of a run of a program of that type.
function M.encode(prog_type, ctx, packet)
    return (ENCODERS[prog_type] or encode_skb)(ctx, packet)
end

--- The context after a run as a table.
function M.decode(bytes)
    if #bytes == KEYS_FLAGS + 8 then
        return { flags = types.decode(WORD, bytes, KEYS_FLAGS) }
    end
    return (#bytes == SKB_SIZE and decode_skb or decode_xdp)(bytes)
end

return M
