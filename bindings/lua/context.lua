-- SPDX-License-Identifier: MIT
-- Module context: files of contexts (packet and what surrounds it), as the Go emulator and its debugger keep them.
local core = require "mimicsh.core"
local addresses = require "mimicsh.addresses"
local json = require "json"
local ffi = require "ffi"
local pcall = core.pcall

local context = {}

-- -- Base64 --

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local DIGIT = {}
for i = 1, #ALPHABET do
    DIGIT[ALPHABET:byte(i)] = i - 1
end

local function to_base64(bytes)
    local out = {}
    for at = 1, #bytes, 3 do
        local a, b, c = bytes:byte(at, at + 2)
        local word = a * 65536 + (b or 0) * 256 + (c or 0)
        local digits = {}
        for i = 1, 4 do
            local digit = math.floor(word / 64 ^ (4 - i)) % 64
            digits[i] = ALPHABET:sub(digit + 1, digit + 1)
        end
        out[#out + 1] = digits[1] .. digits[2] .. (b and digits[3] or "=") .. (c and digits[4] or "=")
    end
    return table.concat(out)
end

--- Bytes of a text, or nil when it is no base64.
local function from_base64(text)
    if type(text) ~= "string" or #text % 4 ~= 0 or not text:match "^[%w+/]*=?=?$" then
        return nil
    end
    local out = {}
    for at = 1, #text, 4 do
        local word, count = 0, 3
        for i = at, at + 3 do
            local digit = DIGIT[text:byte(i)]
            count = digit and count or count - 1
            word = word * 64 + (digit or 0)
        end
        local bytes = string.char(math.floor(word / 65536), math.floor(word / 256) % 256, word % 256)
        out[#out + 1] = bytes:sub(1, count)
    end
    return table.concat(out)
end

-- -- Reading fields: what is wrong is an error object, thrown inside and returned by the functions of the module --

local function refuse(text, code)
    error(core.error_object{ code = code or "EINVAL", op = "context", msg = text }, 0)
end

--- fn's values, or nil and the error that it refused with.
local function guarded(fn, ...)
    local results = { pcall(fn, ...) }
    if results[1] then
        return unpack(results, 2, table.maxn(results))
    elseif core.is_error(results[2]) then
        return nil, results[2]
    end
    error(results[2], 0)
end

local function is_null(value)
    return value == nil or value == json.null
end

local function type_of(value)
    return value == json.null and "null" or type(value)
end

local function field(body, name, kind, place)
    local value = type(body) == "table" and body[name] or nil
    if is_null(value) or type(value) ~= kind then
        refuse(("%s: %s: expected %s, got %s"):format(place, name, kind, is_null(value) and "nothing" or type(value)))
    end
    return value
end

--- An integer of a file: those above 2^53 are 64-bit ones.
local function is_integer(value)
    return type(value) == "number" and value % 1 == 0 and value >= -2 ^ 63 and value < 2 ^ 64 or type(value) == "cdata"
end

local function number(body, name, place)
    local value = body[name]
    if is_null(value) then
        return 0
    elseif type(value) ~= "number" or value % 1 ~= 0 then
        refuse(("%s: %s: expected integer, got %s"):format(place, name, tostring(value)))
    end
    return value
end

--- A number that a run has 32 bits for.
local function word(body, name, place)
    local value = is_null(body[name]) and 0 or body[name]
    if not is_integer(value) then
        refuse(("%s: %s: expected integer, got %s"):format(place, name, tostring(value)))
    elseif value < 0 or value > 0xffffffff then
        refuse(("%s: %s: %s is outside 0 to 4294967295"):format(place, name, (tostring(value):gsub("U?LL$", ""))))
    end
    return tonumber(value)
end

local function bytes_field(body, name, place)
    local bytes = from_base64(field(body, name, "string", place))
    return bytes or refuse(("%s: %s: not base64"):format(place, name))
end

-- -- The kinds: each gives, for a program type, {packet=, ctx=} as program:run takes them --

local SKB_TYPES = { sched_cls = true, sched_act = true, socket_filter = true, cgroup_skb = true, lwt_in = true,
                    lwt_out = true, lwt_xmit = true }

local function check_type(prog_type, fits, place)
    if not fits then
        refuse(("%s: no context for programs of type %s"):format(place, prog_type), "ENOTSUP")
    end
end

local function xdp_ctx(ingress, queue, egress, meta)
    return { ingress_ifindex = ingress, rx_queue_index = queue, egress_ifindex = egress, meta = meta }
end

local function given(body, name, place)
    return not is_null(body[name]) and word(body, name, place) or nil
end

local function decode_xdp(body, place)
    local packet = bytes_field(body, "packet", place)
    local ctx = xdp_ctx(word(body, "ingress_ifidx", place), word(body, "rx_queue_idx", place),
        word(body, "egress_ifidx", place))
    local headroom, tailroom = given(body, "headroom", place), given(body, "tailroom", place)
    return function(prog_type)
        check_type(prog_type, prog_type == "xdp", place)
        return { packet = packet, ctx = ctx, headroom = headroom, tailroom = tailroom }
    end
end

--- Names of a context's socket and what program:run calls them. Both have dstPort in network order.
local SOCK = { boundDevIF = "bound_dev_if", family = "family", sockType = "type", protocol = "protocol", mark = "mark",
               priority = "priority", srcIP4 = "src_ip4", srcIP6 = "src_ip6", dstIP4 = "dst_ip4", dstIP6 = "dst_ip6",
               srcPort = "src_port", dstPort = "dst_port", state = "state", rxQueueMapping = "rx_queue_mapping" }

--- The same of its flow keys, and the bytes of those that program:run has in the other order.
local KEYS = { nhoff = "nhoff", thoff = "thoff", addrProto = "addr_proto", isFrag = "is_frag",
               isFirstFrag = "is_first_frag", isEncap = "is_encap", ipProto = "ip_proto", nProto = "n_proto",
               sport = "sport", dport = "dport", ip = "src", flags = "flags", flowLabel = "flow_label" }
local SWAPPED = { nProto = 2, sport = 2, dport = 2, flowLabel = 4 }
local LIMIT = { nhoff = 2, thoff = 2, addrProto = 2, isFrag = 1, isFirstFrag = 1, isEncap = 1, ipProto = 1, nProto = 2,
                sport = 2, dport = 2, srcPort = 2, dstPort = 2 }

local function swap(value, size)
    local out = 0
    for _ = 1, size do
        out = out * 256 + value % 256
        value = math.floor(value / 256)
    end
    return out
end

--- An object of a file with the names that program:run has for its fields; nil without one.
local function renamed(body, name, names, place)
    if is_null(body[name]) then
        return nil
    end
    local out, object = {}, field(body, name, "table", place)
    place = ("%s: %s"):format(place, name)
    for key, value in next, object do
        local own = names[key] or refuse(("%s: unknown field '%s'"):format(place, tostring(key)))
        if key == "ip" or key:find "IP[46]$" then
            out[own] = not is_null(value) and field(object, key, "string", place) or nil
            local parse = out[own] and (addresses.parse_ip4(out[own]) or addresses.parse_ip6(out[own]))
            if out[own] == "" then
                out[own] = nil
            elseif out[own] and (not parse or key:find "IP4$" and #parse ~= 4 or key:find "IP6$" and #parse ~= 16) then
                refuse(("%s: %s: not such an address: '%s'"):format(place, key, out[own]))
            end
        elseif not is_null(value) then
            local least = key == "rxQueueMapping" and -1 or 0
            out[own] = number(object, key, place)
            if out[own] < least or out[own] >= 256 ^ (LIMIT[key] or 4) then
                refuse(("%s: %s: out of range: %s"):format(place, key, tostring(value)))
            end
            out[own] = SWAPPED[key] and swap(out[own], SWAPPED[key]) or out[own]
        end
    end
    return out
end

local function decode_skb(body, place)
    local packet = bytes_field(body, "packet", place)
    local ctx = {}
    if not is_null(body.dev) then
        ctx.ifindex = word(field(body, "dev", "table", place), "ifIndex", place .. ": dev")
    end
    local sock, keys = renamed(body, "sock", SOCK, place), renamed(body, "flowKeys", KEYS, place)
    return function(prog_type)
        if prog_type == "flow_dissector" then -- which sees the packet and the keys alone
            return { packet = packet, keys = keys }
        end
        check_type(prog_type, SKB_TYPES[prog_type], place)
        return { packet = packet, ctx = ctx, sock = sock }
    end
end

local BYTE_ORDERS = { le = true, littleendian = true, ["little-endian"] = true, be = true, bigendian = true,
                      ["big-endian"] = true }
local INT_SIZES = { [8] = true, [16] = true, [32] = true, [64] = true }

local function decode_item(item, place)
    local kind = field(item, "type", "string", place)
    local value = field(item, "value", "table", place)
    if kind == "block" then
        if not BYTE_ORDERS[field(value, "byteorder", "string", place):lower()] then
            refuse(("%s: byteorder '%s'"):format(place, value.byteorder))
        end
        return { kind = kind, bytes = bytes_field(value, "value", place) }
    elseif kind == "ptr" then
        return { kind = kind, memory = field(value, "memory", "string", place), offset = number(value, "offset", place) }
    elseif kind == "int" then
        if not INT_SIZES[value.size] then
            refuse(("%s: size of an integer: 8, 16, 32 or 64, got %s"):format(place, tostring(value.size)))
        end
        local integer = is_null(value.value) and 0 or value.value
        if not is_integer(integer) then
            refuse(("%s: value: expected integer, got %s"):format(place, tostring(integer)))
        elseif value.size < 64 and (integer < -2 ^ (value.size - 1) or integer >= 2 ^ value.size) then
            refuse(("%s: value: %s has no room in %d bits"):format(place, tostring(integer), value.size))
        end
        return { kind = kind, value = integer, size = value.size }
    elseif kind == "struct" then
        local fields = {}
        for i, entry in ipairs(value) do
            fields[i] = field(entry, "memory", "string", place)
        end
        return { kind = kind, fields = fields }
    end
    refuse(("%s: unknown memory type '%s'"):format(place, kind))
end

local function decode_memory(body, place)
    local items = {}
    for i, item in ipairs(is_null(body.memory) and {} or field(body, "memory", "table", place)) do
        local name = field(item, "name", "string", ("%s: memory %d"):format(place, i))
        if items[name] then
            refuse(("%s: two memory items are called '%s'"):format(place, name))
        end
        items[name] = decode_item(item, ("%s: memory '%s'"):format(place, name))
    end
    return items
end

local function memory_item(items, name, place)
    return items[name] or refuse(("%s: there is no memory '%s'"):format(place, name))
end

--- Bytes of a number that may be negative or 64 bits wide.
local function little_endian(value, size)
    local left, out = ffi.cast("uint64_t", value), {}
    for i = 1, size do
        out[i] = string.char(tonumber(left % 256))
        left = left / 256
    end
    return table.concat(out)
end

--- A struct's bytes, its fields back to back, with zeros for pointers, which come apart: by offset {memory=, offset=}.
local function lay_out(items, struct, place)
    local parts, pointers, at = {}, {}, 0
    for i, name in ipairs(struct.fields) do
        local item = memory_item(items, name, place)
        if item.kind == "ptr" then
            pointers[at] = item
            parts[i] = ("\0"):rep(4)
        elseif item.kind == "int" then
            parts[i] = little_endian(item.value, item.size / 8)
        else
            refuse(("%s: field %d of the struct in r1 is neither pointer nor integer"):format(place, i))
        end
        at = at + #parts[i]
    end
    return table.concat(parts), pointers
end

local function word_at(bytes, at)
    local a, b, c, d = bytes:byte(at + 1, at + 4)
    return a and a + (b or 0) * 256 + (c or 0) * 65536 + (d or 0) * 16777216 or 0
end

--- Bytes between the pointers at two places of a struct, and those in front from a third (0 there: none).
local function between(items, pointers, places, place)
    local start, stop, meta = pointers[places[1]], pointers[places[2]], pointers[places[3]]
    local block = start and memory_item(items, start.memory, place)
    if not stop or not block or not block.bytes or stop.memory ~= start.memory or meta and meta.memory ~= start.memory then
        refuse(("%s: data and data_end of the struct in r1 do not point into one block"):format(place))
    end
    local front = meta and meta.offset or start.offset
    if front < 0 or front > start.offset or start.offset > stop.offset or stop.offset > #block.bytes then
        refuse(("%s: the struct in r1 has no packet between data and data_end"):format(place))
    end
    return block.bytes:sub(start.offset + 1, stop.offset), block.bytes:sub(front + 1, start.offset)
end

--- Refuses what a struct has at other places than those given, each {offset, size}.
local function only(bytes, pointers, places, struct_name, place)
    local rest = bytes
    for _, one in ipairs(places) do
        rest = rest:sub(1, one[1]) .. ("\0"):rep(math.min(one[2], math.max(#rest - one[1], 0))) .. rest:sub(one[1] + one[2] + 1)
    end
    local at = rest:find "[^%z]"
    for offset in next, pointers do
        local known = false
        for _, one in ipairs(places) do
            known = known or offset >= one[1] and offset < one[1] + one[2]
        end
        at = not known and offset + 1 or at
    end
    if at then
        refuse(("%s: what the struct in r1 has at %d cannot be given: struct %s"):format(place, at - 1, struct_name), "ENOTSUP")
    end
end

--- Packet and numbers of a struct laid out as struct xdp_md: pointers into one block, then integers.
local function xdp_of_struct(items, struct, place)
    local bytes, pointers = lay_out(items, struct, place)
    only(bytes, pointers, { { 0, 12 }, { 12, 12 } }, "xdp_md", place)
    if pointers[12] or pointers[16] or pointers[20] or bytes:sub(1, 12):find "[^%z]" then
        refuse(("%s: the struct in r1 is not as struct xdp_md: three pointers, then numbers"):format(place), "ENOTSUP")
    end
    local packet, meta = between(items, pointers, { 0, 4, 8 }, place)
    return { packet = packet, ctx = xdp_ctx(word_at(bytes, 12), word_at(bytes, 16), word_at(bytes, 20), meta) }
end

--- Numbers of struct __sk_buff that a run takes, by offset; then its pointers, length and protocol.
local SKB_NUMBERS = { [8] = "mark", [32] = "priority", [36] = "ingress_ifindex", [40] = "ifindex", [160] = "wire_len",
                      [164] = "gso_segs", [176] = "gso_size" }
local SKB_LONGS = { [152] = "tstamp", [184] = "hwtstamp" }
local SKB_PLACES = { { 0, 4 }, { 8, 4 }, { 16, 4 }, { 32, 12 }, { 48, 20 }, { 76, 8 }, { 140, 4 }, { 144, 4 }, { 152, 16 },
                     { 168, 4 }, { 176, 4 }, { 184, 8 } }
local ETHERNET, IP4_PROTOCOL, IP6_PROTOCOL = 14, "\8\0", "\134\221"
local LINK_LAYER = { sched_cls = true, sched_act = true }

--- Bytes of a struct that a pointer leads to: of a block as they are, of a struct its numbers.
local function bytes_behind(items, pointer, place)
    local item = pointer and memory_item(items, pointer.memory, place)
    if not item then
        return nil
    end
    local bytes = item.bytes or item.kind == "struct" and lay_out(items, item, place) or ""
    return bytes:sub(pointer.offset + 1)
end

--- The same of one laid out as struct __sk_buff: its numbers that a run takes, data and data_end, sk, flow_keys.
local function skb_of_struct(items, struct, prog_type, place)
    local bytes, pointers = lay_out(items, struct, place)
    only(bytes, pointers, SKB_PLACES, "__sk_buff", place)
    for _, at in ipairs{ 76, 80, 140, 144, 168 } do
        if word_at(bytes, at) ~= 0 then
            refuse(("%s: what the struct in r1 has at %d is no pointer: struct __sk_buff"):format(place, at), "ENOTSUP")
        end
    end
    local packet, meta = between(items, pointers, { 76, 80, 140 }, place)
    local length, protocol = word_at(bytes, 0), word_at(bytes, 16)
    if meta ~= "" then
        refuse(("%s: a run of %s programs has no metadata in front of the packet"):format(place, prog_type), "ENOTSUP")
    elseif length ~= 0 and length ~= #packet then
        refuse(("%s: len is %d, but %d bytes lie between data and data_end"):format(place, length, #packet))
    end
    local wanted = protocol ~= 0 and string.char(protocol % 256, math.floor(protocol / 256) % 256) or nil
    if not LINK_LAYER[prog_type] and prog_type ~= "flow_dissector" then -- these begin at the network layer, a run's packet before
        local version = math.floor((packet:byte(1) or 0) / 16)
        local ethertype = wanted or version == 4 and IP4_PROTOCOL or version == 6 and IP6_PROTOCOL
            or refuse(("%s: no protocol is given, and the packet is not of IP"):format(place))
        packet = ("\0"):rep(ETHERNET - 2) .. ethertype .. packet
    elseif wanted and wanted ~= packet:sub(ETHERNET - 1, ETHERNET) then
        refuse(("%s: protocol is not the packet's"):format(place))
    end
    local ctx = { cb = {} }
    for at, name in next, SKB_NUMBERS do
        ctx[name] = word_at(bytes, at)
    end
    for at, name in next, SKB_LONGS do
        ctx[name] = word_at(bytes, at) + 0x100000000ULL * word_at(bytes, at + 4)
    end
    for i = 1, 5 do
        ctx.cb[i] = word_at(bytes, 44 + 4 * i)
    end
    if prog_type == "flow_dissector" then
        return { packet = packet, keys = bytes_behind(items, pointers[144], place) }
    end
    return { packet = packet, ctx = ctx, sock = bytes_behind(items, pointers[168], place) }
end

local function decode_generic(body, place)
    local items = decode_memory(body, place)
    local registers = is_null(body.registers) and {} or field(body, "registers", "table", place)
    for name, item in next, registers do
        if not tostring(name):match "^r[1-5]$" then
            refuse(("%s: registers are r1 to r5, got '%s'"):format(place, tostring(name)))
        end
        memory_item(items, field(registers, name, "string", place), place .. ": " .. name .. ": " .. tostring(item))
    end
    return function(prog_type)
        local first = registers.r1 and items[registers.r1]
        if first and first.kind == "ptr" and first.offset == 0 then -- its address, as that of what it points to
            first = memory_item(items, first.memory, place)
        end
        if prog_type == "xdp" and first and first.kind == "struct" then
            return xdp_of_struct(items, first, place)
        elseif (SKB_TYPES[prog_type] or prog_type == "flow_dissector") and first and first.kind == "struct" then
            return skb_of_struct(items, first, prog_type, place)
        elseif prog_type == "memory" and (not first or first.kind == "block") then
            local bytes = first and first.bytes or ""
            local length = registers.r2 and items[registers.r2]
            if length and (length.kind ~= "int" or length.value ~= #bytes) or registers.r3 or registers.r4 or registers.r5 then
                refuse(("%s: a program on memory gets its length in r2 and nothing behind"):format(place), "ENOTSUP")
            end
            return { packet = bytes }
        end
        refuse(("%s: what r1 holds is no context of %s programs"):format(place, prog_type), "ENOTSUP")
    end
end

--- One recorded register: a number, or bytes that the register points to.
local function decode_register(entry, place)
    local reg = field(entry, "reg", "number", place)
    if reg < 0 or reg > 5 or reg % 1 ~= 0 then
        refuse(("%s: results are in r0 to r5, got r%s"):format(place, tostring(reg)))
    end
    if type(entry.value) == "string" then
        return { reg = reg, bytes = bytes_field(entry, "value", place) }
    elseif is_integer(entry.value) then
        return { reg = reg, number = entry.value }
    end
    refuse(("%s: value of r%d: expected integer or base64, got %s"):format(place, reg,
        is_null(entry.value) and "nothing" or tostring(entry.value)))
end

--- Recorded results of one call, those of r0 among them.
local function decode_call(call, id, place)
    local values, has_r0 = {}, false
    if type(call) ~= "table" then
        refuse(("%s: expected an object, got %s"):format(place, type_of(call)))
    end
    for i, entry in ipairs(field(call, "results", "table", place)) do
        values[i] = decode_register(entry, place)
        has_r0 = has_r0 or values[i].reg == 0
    end
    if not is_null(call.helperFn) and call.helperFn ~= id then
        refuse(("%s: its helperFn is %s"):format(place, tostring(call.helperFn)))
    elseif not has_r0 then
        refuse(("%s: results: nothing for r0"):format(place))
    end
    return { helper = id, values = values }
end

local make

local function decode_captured(body, place)
    local sub = make(field(body, "subContext", "table", place), place .. ": subContext")
    local calls = {}
    for helper, list in next, is_null(body.helperCalls) and {} or field(body, "helperCalls", "table", place) do
        local id = tonumber(helper)
        local name = id and id >= 1 and id <= 0xffffffff and id % 1 == 0 and core.helper_name(id)
        if not name then
            refuse(("%s: helperCalls: no helper has the number '%s'"):format(place, tostring(helper)))
        elseif type(list) ~= "table" or next(list) ~= nil and list[1] == nil then
            refuse(("%s: helperCalls: expected a list of calls of helper %d, got %s"):format(place, id,
                type(list) == "table" and "an object" or type_of(list)))
        end
        for i, call in ipairs(list) do
            calls[#calls + 1] = decode_call(call, id, ("%s: call %d of helper %d (bpf_%s)"):format(place, i, id, name))
        end
    end
    return function(prog_type)
        local input, why = sub:input(prog_type)
        if not input then
            return nil, why
        end
        local all = { calls = calls }
        for name, value in next, input do
            all[name] = value
        end
        return all
    end, sub.name
end

-- -- Contexts --

local Context = { __name = "context" }
Context.__index = Context
local kinds = {}

--- A context of an envelope {name=, type=, ctx=}, which it keeps as it is.
function make(envelope, place)
    if type(envelope) ~= "table" then
        refuse(("%s: expected an object, got %s"):format(place, type_of(envelope)))
    end
    local kind = field(envelope, "type", "string", place)
    local body = field(envelope, "ctx", "table", place)
    local name = is_null(envelope.name) and "" or field(envelope, "name", "string", place)
    place = name ~= "" and ("%s '%s'"):format(place, name) or place
    local decode = kinds[kind]
    if not decode then
        local known = {}
        for other in next, kinds do
            known[#known + 1] = other
        end
        table.sort(known)
        refuse(("%s: unknown kind '%s' (known: %s)"):format(place, kind, table.concat(known, ", ")))
    end
    local input, own_name = decode(body, place)
    if type(input) ~= "function" then
        local reason = input == nil and own_name ~= nil and core.text_of(own_name)
        refuse(("%s: the decoder of kind '%s' gave no function%s"):format(place, kind, reason and ": " .. reason or ""))
    end
    return setmetatable({ name = own_name or name, kind = kind, body = body, input_ = input }, Context)
end

--- {packet=, ctx=, calls=} for a program of that type, or nil and an error.
function Context:input(prog_type)
    if not core.is_prog_type(core.expect(prog_type, "prog_type", "string")) then
        core.fail(("bad argument 'prog_type': no program type '%s'"):format(prog_type))
    end
    local input, why = guarded(self.input_, prog_type)
    if type(input) == "table" or core.is_error(why) then
        return input, why
    end
    local reason = input == nil and why ~= nil and core.text_of(why)
    return guarded(refuse, ("%s: the decoder of kind '%s' gave no table%s"):format(
        self.name ~= "" and ("context '%s'"):format(self.name) or "context", self.kind, reason and ": " .. reason or ""))
end

function Context:__tostring()
    return ("context '%s' (%s)"):format(self.name, self.kind)
end

function Context:__tojson()
    return { name = self.name, type = self.kind, ctx = self.body }
end

function context.make(envelope)
    return guarded(make, envelope, "context")
end

function context.load(path)
    core.expect(path, "path", "string")
    return guarded(function()
        local file, why = io.open(path, "rb")
        if not file then
            refuse(why, why:match "No such file" and "ENOENT" or "EIO")
        end
        local text, failed = file:read "*a"
        file:close()
        if not text then
            refuse(("%s: %s"):format(path, failed:gsub("^%u", string.lower)), "EIO")
        end
        local list, err = json.decode(text)
        if err then
            refuse(("%s: %s"):format(path, err.msg))
        elseif type(list) ~= "table" then
            refuse(("%s: expected a list of contexts, got %s"):format(path, type_of(list)))
        end
        list = list.type and { list } or list -- one context alone is no list
        local contexts = {}
        for i, envelope in ipairs(list) do
            contexts[i] = make(envelope, ("%s: context %d"):format(path, i))
        end
        return contexts
    end)
end

function context.save(path, contexts)
    core.expect(path, "path", "string")
    core.expect(contexts, "contexts", "table")
    local list = json.array()
    for i, one in ipairs(getmetatable(contexts) == Context and { contexts } or contexts) do
        if getmetatable(one) ~= Context then
            core.fail(("bad argument 'contexts': number %d is no context"):format(i))
        end
        list[i] = one:__tojson()
    end
    local text, err = json.encode(list)
    if not text then
        return nil, err
    end
    return guarded(function()
        local file, why = io.open(path, "wb")
        if not file or not file:write(text, "\n") or not file:close() then
            refuse(why or path .. ": cannot be written", "EIO")
        end
        return true
    end)
end

function context.register(kind, decode)
    if type(kind) ~= "string" or type(decode) ~= "function" then
        core.fail("context.register: expected a name and a function")
    end
    kinds[kind] = decode
end

-- -- Captures --

local TEST_RUN_HEADROOM, TEST_RUN_LINEAR, LOOPBACK = 256, 3520, 1

--- Body of a context of a packet: the room of a test run, as long as that has the packet in one piece.
local BODY = {
    xdp_md = function(packet, interface)
        local is_long = #packet > TEST_RUN_LINEAR
        return { headroom = not is_long and TEST_RUN_HEADROOM or nil, tailroom = not is_long and TEST_RUN_LINEAR - #packet or nil,
                 packet = to_base64(packet), ingress_ifidx = interface, rx_queue_idx = 0, egress_ifidx = 0 }
    end,
    sk_buff = function(packet, interface)
        return { packet = to_base64(packet), dev = { ifIndex = interface } }
    end,
}

--- Cooked headers of Linux by link type (LINKTYPE_LINUX_SLL, _SLL2): their length, where protocol, address and the
--- address's length are, and of the second version the interface.
local COOKED = {
    [113] = { size = 16, protocol = 14, address = 6, address_size = 5 },
    [276] = { size = 20, protocol = 0, address = 12, address_size = 11, interface = 4 },
}
local MAC_SIZE, NOVELL, LLC = 6, 1, 4

local function big_endian(bytes, at, size)
    local value = 0
    for i = at + 1, at + size do
        value = value * 256 + bytes:byte(i)
    end
    return value
end

--- A packet with an Ethernet header in place of its cooked one, and its interface; others as they are.
local function to_ethernet(packet, link_type, place)
    local cooked = COOKED[link_type]
    if not cooked then
        return packet, LOOPBACK
    elseif #packet < cooked.size then
        refuse(("%s: %d bytes are shorter than the header of link type %d"):format(place, #packet, link_type))
    end
    local rest = packet:sub(cooked.size + 1)
    local known = math.min(packet:byte(cooked.address_size + 1), MAC_SIZE)
    local source = packet:sub(cooked.address + 1, cooked.address + known) .. ("\0"):rep(MAC_SIZE - known)
    local protocol = packet:sub(cooked.protocol + 1, cooked.protocol + 2)
    local number_of = big_endian(protocol, 0, 2)
    if number_of == NOVELL or number_of == LLC then -- frames of IEEE 802.3, which have their length there
        protocol = string.char(math.floor(#rest / 256) % 256, #rest % 256)
    end
    local interface = cooked.interface and big_endian(packet, cooked.interface, 4) or LOOPBACK
    return ("\0"):rep(MAC_SIZE) .. source .. protocol .. rest, interface
end

function context.from_pcap(path, kind)
    kind = kind or "xdp_md"
    if not BODY[kind] then
        core.fail("bad argument 'kind': expected \"xdp_md\" or \"sk_buff\", got " .. tostring(kind))
    end
    local reader, err = require("pcap").open(path)
    if not reader then
        return nil, err
    end
    return guarded(function()
        local contexts = {}
        for packet, link_type in reader:packets() do
            local ns = tostring(packet.time):gsub("U?LL$", "")
            local place = ("%s: packet %d"):format(path, #contexts + 1)
            local bytes, interface = to_ethernet(packet:bytes(), link_type, place)
            contexts[#contexts + 1] = make({ name = ns, type = kind, ctx = BODY[kind](bytes, interface) }, path)
        end
        reader:close()
        return contexts
    end)
end

context.register("xdp_md", decode_xdp)
context.register("sk_buff", decode_skb)
context.register("generic", decode_generic)
context.register("captured", decode_captured)

-- -- Docs --

core.doc("context.load", context.load, [[
context.load(path) -> list of contexts | nil, err
Reads a file of contexts, a JSON array of {name=, type=, ctx=}; prog:run takes each in place of a packet.
local _, err = context.load "/nonexistent.json"
print(err.code) --> ENOENT]])
core.doc("context.save", context.save, [[
context.save(path, contexts) -> true | nil, err
Writes contexts so that context.load, and the tools whose format it is, read them.
print(context.save("/nonexistent/x.json", {}) == nil) --> true]])
core.doc("context.make", context.make, [[
context.make{name=, type=, ctx=} -> context | nil, err
One context from a table as the files have it.
local c = assert(context.make{ name = "short", type = "xdp_md", ctx = { packet = "AAECAwQFBgcICQoLCAA=" } })
print(prog:run(c).verdict) --> PASS]])
core.doc("context.register", context.register, [[
context.register(kind, function(ctx, place) return function(prog_type) return {packet=, ctx=} end end)
Adds a kind: the function gets the body of a context and where it stands; what it returns makes the input of a run.
context.register("plain", function(body) return function() return { packet = body.text } end end)]])
core.doc("context.from_pcap", context.from_pcap, [[
context.from_pcap(path [, "xdp_md" | "sk_buff"]) -> list of contexts | nil, err
One context for each packet of a capture, named by its time in nanoseconds. Linux cooked packets get an Ethernet header.
print(context.from_pcap "/nonexistent.pcap" == nil) --> true]])

return context
