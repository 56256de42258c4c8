-- SPDX-License-Identifier: MIT
-- Contexts of runs as Lua tables: struct xdp_md, and struct __sk_buff for programs on socket buffers.
local core = require "mimicsh.core"
local types = require "mimicsh.types"

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
    local meta = ctx.meta or ""
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
    for i = 1, CB_WORDS do
        local word = ctx.cb and ctx.cb[i] or 0
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

--- Context bytes and input bytes of a run of a program of that type.
function M.encode(prog_type, ctx, packet)
    return (prog_type == "xdp" and encode_xdp or encode_skb)(ctx, packet)
end

--- The context after a run as a table.
function M.decode(bytes)
    return (#bytes == SKB_SIZE and decode_skb or decode_xdp)(bytes)
end

return M
