-- SPDX-License-Identifier: MIT
-- Module context: files of contexts (packet and what surrounds it), as the Go emulator and its debugger keep them.
local core = require "mimicsh.core"
local json = require "json"

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

local function field(body, name, kind, place)
    local value = type(body) == "table" and body[name]
    if is_null(value) or type(value) ~= kind then
        refuse(("%s: %s: expected %s, got %s"):format(place, name, kind, is_null(value) and "nothing" or type(value)))
    end
    return value
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

local function decode_xdp(body, place)
    local packet = bytes_field(body, "packet", place)
    local ctx = xdp_ctx(number(body, "ingress_ifidx", place), number(body, "rx_queue_idx", place),
        number(body, "egress_ifidx", place))
    return function(prog_type)
        check_type(prog_type, prog_type == "xdp", place)
        return { packet = packet, ctx = ctx }
    end
end

local function decode_skb(body, place)
    local packet = bytes_field(body, "packet", place)
    local ctx = {}
    if not is_null(body.dev) then
        ctx.ifindex = number(field(body, "dev", "table", place), "ifIndex", place)
    end
    return function(prog_type)
        check_type(prog_type, SKB_TYPES[prog_type], place)
        for _, name in ipairs{ "sock", "flowKeys" } do
            if not is_null(body[name]) then
                refuse(("%s: %s: a run gives a socket buffer none of its own"):format(place, name), "ENOTSUP")
            end
        end
        return { packet = packet, ctx = ctx }
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
        return { kind = kind, value = is_null(value.value) and 0 or value.value, size = value.size }
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

--- Packet and numbers of a struct laid out as struct xdp_md: three pointers into one block, then integers.
local function xdp_of_struct(items, struct, place)
    local pointers, numbers, block = {}, {}, nil
    for i, name in ipairs(struct.fields) do
        local item = memory_item(items, name, place)
        if item.kind ~= (i <= 3 and "ptr" or "int") or item.kind == "int" and item.size ~= 32 or i > 6 then
            refuse(("%s: field %d of the struct in r1 is not as in struct xdp_md"):format(place, i), "ENOTSUP")
        elseif item.kind == "ptr" then
            block = block or item.memory
            pointers[i] = item.memory == block and item.offset or
                refuse(("%s: data and data_end point into different memory"):format(place))
        else
            numbers[#numbers + 1] = item.value
        end
    end
    local bytes = block and memory_item(items, block, place).bytes
    local data, data_end, meta = pointers[1], pointers[2], pointers[3] or pointers[1]
    if not bytes or not data_end or meta < 0 or meta > data or data > data_end or data_end > #bytes then
        refuse(("%s: the struct in r1 has no packet between data and data_end"):format(place))
    end
    return { packet = bytes:sub(data + 1, data_end),
             ctx = xdp_ctx(numbers[1], numbers[2], numbers[3], bytes:sub(meta + 1, data)) }
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
        if prog_type == "xdp" and first and first.kind == "struct" then
            return xdp_of_struct(items, first, place)
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
    if reg < 0 or reg > 9 or reg % 1 ~= 0 then
        refuse(("%s: results are in r0 to r9, got %s"):format(place, tostring(reg)))
    end
    if type(entry.value) == "string" then
        return { reg = reg, bytes = bytes_field(entry, "value", place) }
    elseif type(entry.value) == "number" or type(entry.value) == "cdata" then
        return { reg = reg, number = entry.value }
    end
    refuse(("%s: value: expected number or base64"):format(place))
end

local make

local function decode_captured(body, place)
    local sub = make(field(body, "subContext", "table", place), place .. ": subContext")
    local calls = {}
    for helper, list in next, is_null(body.helperCalls) and {} or field(body, "helperCalls", "table", place) do
        local id = tonumber(helper)
        if not id or id < 1 or id > 0xffffffff or id % 1 ~= 0 or type(list) ~= "table" then
            refuse(("%s: helperCalls: expected lists by number of helper, got '%s'"):format(place, tostring(helper)))
        end
        for _, call in ipairs(list) do
            local values = {}
            local where = ("%s: call of helper %d"):format(place, id)
            for i, entry in ipairs(is_null(call.results) and {} or field(call, "results", "table", where)) do
                values[i] = decode_register(entry, where)
            end
            calls[#calls + 1] = { helper = id, values = values }
        end
    end
    return function(prog_type)
        local input = sub.input_(prog_type)
        return { packet = input.packet, ctx = input.ctx, calls = calls }
    end, sub.name
end

-- -- Contexts --

local Context = { __name = "context" }
Context.__index = Context
local kinds = {}

--- A context of an envelope {name=, type=, ctx=}, which it keeps as it is.
function make(envelope, place)
    if type(envelope) ~= "table" then
        refuse(("%s: expected an object, got %s"):format(place, type(envelope)))
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
        refuse(("%s: the decoder of kind '%s' gave no function"):format(place, kind))
    end
    return setmetatable({ name = own_name or name, kind = kind, body = body, input_ = input }, Context)
end

--- {packet=, ctx=, calls=} for a program of that type, or nil and an error.
function Context:input(prog_type)
    return guarded(self.input_, prog_type)
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
    if type(path) ~= "string" then
        core.fail("bad argument 'path': expected string, got " .. type(path))
    end
    return guarded(function()
        local file, why = io.open(path, "rb")
        if not file then
            refuse(why, why:match "No such file" and "ENOENT" or "EIO")
        end
        local text = file:read "*a"
        file:close()
        local list, err = json.decode(text or "")
        if not list then
            refuse(("%s: %s"):format(path, err.msg))
        elseif type(list) ~= "table" then
            refuse(("%s: expected a list of contexts, got %s"):format(path, type(list)))
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

--- Body of a context of a packet.
local BODY = {
    xdp_md = function(packet)
        return { headroom = 256, tailroom = 0, packet = packet, ingress_ifidx = 1, rx_queue_idx = 0, egress_ifidx = 0 }
    end,
    sk_buff = function(packet)
        return { packet = packet, dev = { ifIndex = 1 } }
    end,
}

function context.from_pcap(path, kind)
    kind = kind or "xdp_md"
    if not BODY[kind] then
        core.fail("bad argument 'kind': expected \"xdp_md\" or \"sk_buff\", got " .. tostring(kind))
    end
    local reader, err = require("pcap").open(path)
    if not reader then
        return nil, err
    end
    local contexts = {}
    for packet in reader:packets() do
        local ns = tostring(packet.time):gsub("U?LL$", "")
        contexts[#contexts + 1] = make({ name = ns, type = kind, ctx = BODY[kind](to_base64(packet:bytes())) }, path)
    end
    reader:close()
    return contexts
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
One context for each packet of a capture, named by its time in nanoseconds.
print(context.from_pcap "/nonexistent.pcap" == nil) --> true]])

return context
