-- SPDX-License-Identifier: MIT
-- Maps and variables as scripts see them: typed by BTF, per-CPU values, iteration by batch.
local core = require "mimicsh.core"
local integers = require "mimicsh.integers"
local percpu = require "mimicsh.percpu"
local types = require "mimicsh.types"

local M = { raw = nil } -- raw: the C part, set by bpf.lua

local Map = core.metatable "map"
local methods = Map.__index
local BATCH = 1024

-- -- What is known about a map, found at first use --

local states = setmetatable({}, { __mode = "k" }) -- map -> state

local function state_of(map)
    if type(map) ~= "userdata" or getmetatable(map) ~= "map" then
        core.fail("bad argument 'map': expected map, got " .. type(map) .. " (call methods with ':')")
    end
    local state = states[map]
    if not state then
        local info = M.raw.map_info(map)
        local key, value = M.raw.map_types(map)
        state = { info = info, key = key and types.top(key, info.name) or types.raw(info.key_size),
                  value = value and types.top(value, info.name) or types.raw(info.value_size) }
        states[map] = state
    end
    return state
end

--- The map is another now, of the same types.
function M.renew(map)
    local state = states[map]
    if state then
        state.info = M.raw.map_info(map)
    end
end

-- -- Keys and values as bytes --

local function encode_key(state, key)
    if key == nil then
        core.fail("bad argument 'key': expected a key, got nil")
    end
    return types.encode(state.key, key, "key of " .. state.info.name)
end

local function decode_value(state, bytes, offset)
    if state.info.percpu then
        return percpu.decode(state, bytes, offset)
    end
    return types.decode(state.value, bytes, offset)
end

local function encode_value(state, value)
    local where = "value of " .. state.info.name
    if value == nil then
        core.fail("bad argument 'value': expected a value, got nil")
    elseif state.info.percpu then
        return percpu.encode(state, value, where)
    end
    return types.encode(state.value, value, where)
end

--- What a look-up returns: the value, nil, or nil and why it failed.
local function found(state, bytes, err)
    if bytes then
        return decode_value(state, bytes, 0)
    elseif err then
        return nil, err
    end
    return nil
end

local FLAGS = { any = 0, new = 1, exist = 2 }

local function flags_of(how)
    local flags = FLAGS[how or "any"]
    if not flags then
        core.fail(('bad argument \'how\': expected "any", "new" or "exist", got %s'):format(tostring(how)))
    end
    return flags
end

local function is_a(value, kind)
    return type(value) == "userdata" and getmetatable(value) == kind
end

local HOLDS_MAPS = { array_of_maps = true, hash_of_maps = true }
local HAS_EVENTS = { ringbuf = true, perf_event_array = true }

--- The state of a map of one of the types, or an error that says what it is.
local function state_for(map, what, ...)
    local state = state_of(map)
    for _, kind in ipairs { ... } do
        if state.info.type == kind then
            return state
        end
    end
    core.fail(("map %s: its type is %s, %s"):format(state.info.name, state.info.type, what))
end

-- -- Methods --

function methods.get(map, key)
    local state = state_of(map)
    local bytes, err = M.raw.map_lookup(map, encode_key(state, key))
    if bytes and HOLDS_MAPS[state.info.type] then
        return M.raw.map_by_id(map, types.decode(types.from_words("u32", "id"), bytes, 0))
    end
    return found(state, bytes, err)
end

--- Look-up and delete in one step.
function methods.take(map, key)
    local state = state_of(map)
    return found(state, M.raw.map_take(map, encode_key(state, key)))
end

-- -- Queues, stacks, bloom filters --

local UNKEYED = "only queues and stacks have this"

function methods.push(map, value, how)
    local state = state_for(map, "only queues, stacks, bloom filters have this", "queue", "stack", "bloom_filter")
    return M.raw.map_update(map, "", encode_value(state, value), flags_of(how))
end

function methods.send(map, sample)
    state_for(map, "only user ring buffers have this", "user_ringbuf")
    return M.raw.map_send(map, sample)
end

function methods.pop(map)
    local state = state_for(map, UNKEYED, "queue", "stack")
    return found(state, M.raw.map_take(map, ""))
end

function methods.peek(map)
    local state = state_for(map, UNKEYED, "queue", "stack")
    return found(state, M.raw.map_lookup(map, ""))
end

function methods.has(map, value)
    local state = state_for(map, "only bloom filters have this", "bloom_filter")
    local bytes, err = M.raw.map_lookup(map, "", encode_value(state, value))
    if err then
        return nil, err
    end
    return bytes ~= nil
end

--- What the values of maps that hold programs for their targets are called.
local TARGETS = { devmap = "ifindex", devmap_hash = "ifindex", cpumap = "qsize" }

function methods.put(map, key, value, how)
    local state = state_of(map)
    local flags = flags_of(how)
    local target = TARGETS[state.info.type]
    if target and type(value) == "table" and is_a(value.prog, "program") then
        core.check_options(value, "value", target .. " prog")
        return M.raw.map_put_target(map, encode_key(state, key), value[target] or 0, value.prog, flags)
    end
    if state.info.type == "prog_array" then
        if not is_a(value, "program") then
            core.fail(("value of %s: expected a program, got %s"):format(state.info.name, type(value)))
        end
        return M.raw.map_put_program(map, integers.num(key), value)
    elseif HOLDS_MAPS[state.info.type] then
        if not is_a(value, "map") then
            core.fail(("value of %s: expected a map, got %s"):format(state.info.name, type(value)))
        end
        return M.raw.map_put_map(map, encode_key(state, key), value, flags)
    end
    return M.raw.map_update(map, encode_key(state, key), encode_value(state, value), flags)
end

--- Whether entries of a map are more than bytes: targets with programs, programs, maps.
local function holds_objects(state)
    return TARGETS[state.info.type] or state.info.type == "prog_array" or HOLDS_MAPS[state.info.type]
end

function methods.batch(map, entries)
    local state = state_of(map)
    if type(entries) ~= "table" then
        core.fail("bad argument 'entries': expected a table of values by key, got " .. type(entries))
    elseif state.info.key_size == 0 then
        core.fail(("batch: map %s is a %s, which has no keys"):format(state.info.name, state.info.type))
    end
    local keys, values, written = {}, {}, 0
    local function write()
        local ok, err = M.raw.map_update_batch(map, table.concat(keys), table.concat(values))
        if not ok then
            return nil, err
        end
        written, keys, values = written + #keys, {}, {}
        return true
    end
    for key, value in next, entries do
        local ok, err = true, nil
        if holds_objects(state) then
            ok, err = methods.put(map, key, value)
            written = written + 1
        else
            keys[#keys + 1], values[#values + 1] = encode_key(state, key), encode_value(state, value)
            if #keys == BATCH then
                ok, err = write()
            end
        end
        if not ok then
            return nil, err
        end
    end
    if #keys > 0 then
        local ok, err = write()
        if not ok then
            return nil, err
        end
    end
    return written
end

--- How many of the keys were deleted, in their order; an error is that of the next one.
function methods.batch_delete(map, keys)
    local state = state_of(map)
    if type(keys) ~= "table" then
        core.fail("bad argument 'keys': expected a list of keys, got " .. type(keys))
    elseif state.info.key_size == 0 then
        core.fail(("batch_delete: map %s is a %s, which has no keys"):format(state.info.name, state.info.type))
    end
    local deleted = 0
    for first = 1, #keys, BATCH do
        local some = {}
        for i = first, math.min(first + BATCH - 1, #keys) do
            some[#some + 1] = encode_key(state, keys[i])
        end
        local count, err = M.raw.map_erase_batch(map, table.concat(some))
        deleted = deleted + count
        if err then
            return deleted, err
        end
    end
    return deleted
end

--- Entries that were in the map and are no longer: {key=, value=}.
function methods.batch_take(map, limit)
    local state = state_of(map)
    if limit ~= nil and (type(limit) ~= "number" or limit < 1 or limit % 1 ~= 0) then
        core.fail("bad argument 'limit': expected a count from 1, got " .. tostring(limit))
    end
    local key_size, value_size, taken = state.info.key_size, state.info.host_value_size, {}
    repeat
        local wanted = limit and math.min(BATCH, limit - #taken) or BATCH
        local count, keys, values = M.raw.map_take_batch(map, wanted)
        if not count then
            return nil, keys
        end
        for i = 0, count - 1 do
            taken[#taken + 1] = { key = types.decode(state.key, keys, i * key_size),
                                  value = decode_value(state, values, i * value_size) }
        end
    until count < wanted or #taken == limit
    return taken
end

--- true when the key was there, nil when not.
function methods.del(map, key)
    return M.raw.map_erase(map, encode_key(state_of(map), key))
end

--- Entries by batch: what a batch holds is fixed when it is fetched, so deleting while iterating is allowed.
function methods.pairs(map, options)
    local state = state_of(map)
    local batch = BATCH
    if options ~= nil then
        if type(options) ~= "table" or next(options) ~= nil and (options.batch == nil or next(options, next(options))) then
            core.fail "pairs: the only option is batch="
        end
        batch = options.batch or BATCH
    end
    local cursor = M.raw.map_cursor(map)
    local count, keys, values, index = 0, "", "", 0
    local key_size, value_size = state.info.key_size, state.info.host_value_size
    return function()
        if index == count then
            local err
            count, keys, values = M.raw.map_batch(map, cursor, batch)
            if not count then
                err, count = keys, 0
                core.fail(tostring(err))
            end
            index = 0
            if count == 0 then
                return nil
            end
        end
        local at = index
        index = index + 1
        return types.decode(state.key, keys, at * key_size), decode_value(state, values, at * value_size)
    end
end

--- Plain table: keys as key() makes them, values as plain tables.
function methods.totable(map)
    local out = {}
    for k, v in methods.pairs(map) do
        out[integers.key(k)] = type(v) == "cdata" and types.to_table(v) or v
    end
    return out
end

function methods.clear(map)
    local keys = {}
    local state = state_of(map)
    for k in methods.pairs(map) do
        keys[#keys + 1] = types.encode(state.key, k, "key")
    end
    if state.info.type == "array" or state.info.type == "percpu_array" then
        local zero = ("\0"):rep(state.info.host_value_size)
        for _, key in ipairs(keys) do
            local ok, err = M.raw.map_update(map, key, zero, 0)
            if not ok then
                return nil, err
            end
        end
        return true
    end
    for _, key in ipairs(keys) do
        local _, err = M.raw.map_erase(map, key)
        if err then
            return nil, err
        end
    end
    return true
end

--- Keeps a map of the kernel alive under a path of a bpf file system.
function methods.pin(map, path)
    return M.raw.map_pin(map, path)
end

function methods.freeze(map)
    return M.raw.map_freeze(map)
end

--- The same map with other types, for objects without BTF.
-- -- Arenas --

function methods.read(map, offset, size)
    state_of(map)
    return M.raw.map_read(map, offset, size)
end

function methods.write(map, offset, bytes)
    state_of(map)
    return M.raw.map_write(map, offset, bytes)
end

--- Where programs have the first page.
function methods.address(map)
    state_of(map)
    return M.raw.map_address(map)
end

function methods.typed(map, key, value)
    local state = state_of(map)
    local K, V = types.from_words(key, "key"), types.from_words(value, "value")
    if K.size ~= state.info.key_size or V.size ~= state.info.value_size then
        core.fail(("typed: %s has keys of %d and values of %d bytes, the types have %d and %d"):format(state.info.name,
            state.info.key_size, state.info.value_size, K.size, V.size))
    end
    state.key, state.value = K, V
    return map
end

-- -- References: fields read and written in place --

local function make_ref(load_value, store_value)
    return setmetatable({}, { __name = "reference",
        __index = function(_, name)
            if name == "get" then
                return load_value
            elseif name == "set" then
                return function(_, value) store_value(value) end
            end
            local value = load_value()
            local field = value[name]
            if types.type_of(field) then
                return make_ref(function() return load_value()[name] end, function(x)
                    local all = load_value()
                    all[name] = x
                    store_value(all)
                end)
            end
            return field
        end,
        __newindex = function(_, name, x)
            local value = load_value()
            value[name] = x
            store_value(value)
        end,
        __tostring = function() return tostring(load_value()) end,
        __show = function() return require("mimicsh.printer").text(load_value()) end,
        __tojson = function() return types.to_table(load_value()) end,
        __pairs = function() return pairs(load_value()) end,
        __fields = function() return types.field_names(types.type_of(load_value())) end,
    })
end

core.completions.reference = {
    method_names = { "get", "set" }, names = function(r) return debug.getmetatable(r).__fields() end,
    get = function(r, name) return r[name] end,
}

--- r.field reads the entry as it is now, r.field = x writes it; r:get() and r:set(v) for the whole value.
function methods.ref(map, key)
    local state = state_of(map)
    local bytes = encode_key(state, key)
    local value, err = M.raw.map_lookup(map, bytes)
    if not value then
        return nil, err
    end
    return make_ref(function()
        local now, failed = M.raw.map_lookup(map, bytes)
        if not now then
            core.fail(failed and tostring(failed) or ("map %s: the entry is gone"):format(state.info.name))
        end
        return decode_value(state, now, 0)
    end, function(x)
        local ok, failed = M.raw.map_update(map, bytes, encode_value(state, x), FLAGS.exist)
        if not ok then
            core.fail(tostring(failed))
        end
    end)
end

-- -- Ring buffers --

local Events = { __name = "events" }
Events.__index = Events

function methods.events(map)
    local state = state_of(map)
    if not HAS_EVENTS[state.info.type] then
        core.fail(("map %s: its type is %s, only ring buffers and perf arrays have events"):format(
            state.info.name, state.info.type))
    end
    local ok, err = M.raw.map_listen(map)
    if not ok then
        return nil, err
    end
    return setmetatable({ map = map, queue = {}, cpus = {}, head = 1 }, Events)
end

--- The records that are there, as a list; each is handed out once.
function Events:consume()
    return M.raw.map_consume(self.map)
end

--- The next record; waits for one, nil after the timeout or when the events or the instance were closed.
local function next_record(self, timeout)
    local limit = timeout and M.raw.ring_clock() + timeout
    while not self.queue[self.head] do
        if self.is_closed then
            return nil
        end
        local list, cpus = M.raw.map_consume(self.map)
        if not list then
            core.fail(tostring(cpus))
        end
        self.queue, self.cpus, self.head = list, cpus, 1
        if not list[1] then
            local left = limit and limit - M.raw.ring_clock()
            if left and left <= 0 then
                return nil
            end
            local is_woken, failed = M.raw.ring_wait(self.map, left)
            if failed then
                core.fail(tostring(failed))
            elseif not is_woken or not M.raw.ring_is_open(self.map) then
                return nil
            end
        end
    end
    local at = self.head
    local record = self.queue[at]
    self.queue[at] = nil
    self.head = at + 1
    return record, self.cpus[at]
end

function Events:each(timeout)
    timeout = timeout and core.duration(timeout, "timeout")
    return function() return next_record(self, timeout) end
end

--- A task that calls fn with each record until the events are closed.
function Events:on(fn)
    if type(fn) ~= "function" then
        core.fail("bad argument 'fn': expected function, got " .. type(fn))
    end
    return require("task").spawn(function()
        for record, cpu in self:each() do
            fn(record, cpu)
        end
    end)
end

--- Records that were lost because the buffer of a CPU was full, as far as the records read so far tell.
function Events:lost()
    return M.raw.map_lost(self.map)
end

function Events:close()
    self.is_closed = true
    if M.raw.ring_is_open(self.map) then
        M.raw.ring_wake(self.map)
    end
end

-- -- Index syntax --

local PROPERTIES = {
    key_type = function(state) return state.key.name end,
    value_type = function(state) return state.value.name end,
    info = function(state) return state.info end,
    name = function(state) return state.info.name end,
}

--- A word that is neither a method nor a key of the type: most likely a method that is not there.
local function check_word(map, word)
    local ok, err = core.pcall(encode_key, state_of(map), word)
    if not ok and word:find "^[%a_][%w_]*$" then
        core.fail(("map %s: no method or property '%s', and no key: %s"):format(state_of(map).info.name, word,
            (tostring(err):gsub("^.-key of [^:]*: ", ""))))
    end
end

function Map.__index(map, key)
    if type(key) == "string" then
        local method = methods[key]
        if method then
            return method
        elseif PROPERTIES[key] then
            return PROPERTIES[key](state_of(map))
        end
        check_word(map, key)
    end
    local value, err = methods.get(map, key)
    if err then
        core.fail(tostring(err))
    end
    return value
end

core.completions.map = {
    methods = methods, fields = PROPERTIES,
    get = function(map, name) return PROPERTIES[name] and PROPERTIES[name](state_of(map)) end,
    keys = function(map) return methods.pairs(map, { batch = 256 }) end,
    element = function(map) return types.field_names(state_of(map).value) end,
    type_of = function(map, part) return state_of(map)[part] end,
}

function Map.__newindex(map, key, value)
    local ok, err
    if value == nil then
        ok, err = methods.del(map, key)
        ok = ok or not err
    else
        ok, err = methods.put(map, key, value)
    end
    if not ok then
        core.fail(tostring(err))
    end
end

function Map.__pairs(map)
    return methods.pairs(map)
end

function Map.__tostring(map)
    local ok, state = core.pcall(state_of, map)
    if not ok then
        return "map (closed)"
    end
    local info = state.info
    return ("map %s: %s of %s -> %s, %d entries at most%s"):format(info.name, info.type, state.key.name,
        state.value.name, info.max_entries, info.live_id and (", map %d of the kernel"):format(info.live_id) or "")
end

-- -- Variables of data sections --

local ZERO = "\0\0\0\0"

local function sorted_names(known)
    local names = {}
    for name in next, known do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

core.completions.variables = { names = core.completions.reference.names, get = core.completions.reference.get }

--- inst.vars: name -> value, from the object's .data, .bss and .rodata.
function M.variables(sections)
    local known = {} -- name -> {map=, offset=, type=}
    for _, map in ipairs(sections) do
        for _, variable in ipairs(M.raw.map_variables(map)) do
            if not known[variable.name] then
                known[variable.name] = { map = map, offset = variable.offset, type = types.top(variable.type, variable.name) }
            end
        end
    end
    local function find(name)
        local variable = known[name]
        if not variable then
            core.fail(("no variable '%s' (known: %s)"):format(tostring(name), table.concat(sorted_names(known), ", ")))
        end
        return variable
    end
    local function read(variable)
        local bytes, err = M.raw.map_lookup(variable.map, ZERO)
        if not bytes then
            core.fail(tostring(err))
        end
        return types.decode(variable.type, bytes, variable.offset), bytes
    end
    local function write(name, variable, value)
        local _, bytes = read(variable)
        local new = types.encode(variable.type, value, "vars." .. name)
        bytes = bytes:sub(1, variable.offset) .. new .. bytes:sub(variable.offset + #new + 1)
        local ok, err = M.raw.map_update(variable.map, ZERO, bytes, 0)
        if not ok then
            core.fail(tostring(err))
        end
    end
    local function get(name)
        local variable = find(name)
        local value = read(variable)
        if types.type_of(value) then
            return make_ref(function() return (read(variable)) end, function(x) write(name, variable, x) end)
        end
        return value
    end
    return setmetatable({}, { __name = "variables",
        __index = function(_, name) return get(name) end,
        __newindex = function(_, name, value) write(name, find(name), value) end,
        __fields = function() return sorted_names(known) end,
        __pairs = function()
            local names, i = sorted_names(known), 0
            return function()
                i = i + 1
                if names[i] then
                    return names[i], get(names[i])
                end
            end
        end,
    })
end

-- -- Docs --

core.doc("map:get", methods.get, [[
map:get(key) -> value | nil [, err]
A copy of the value, typed by BTF; nil when the key is not there.
print(map:get(4711)) --> nil]])
core.doc("map:put", methods.put, [[
map:put(key, value [, "any" | "new" | "exist"]) -> true | nil, err
Writes an entry; values out of range and unknown fields raise.
print(map:put(53, { pkts = 1 })) --> true]])
core.doc("map:batch", methods.batch, [[
map:batch(entries) -> count | nil, err
Writes all values of a table by its keys, in few calls; those before the first that fails stay.
print(map:batch{ [7] = { pkts = 2 }, [8] = { pkts = 5 } }) --> 2]])
core.doc("map:batch_delete", methods.batch_delete, [[
map:batch_delete(keys) -> count [, err]
Deletes a list of keys, in few calls, up to the first that fails: err is that one's.
map:put(7, {}); map:put(8, {})
print((map:batch_delete{ 7, 9, 8 })) --> 1]])
core.doc("map:batch_take", methods.batch_take, [[
map:batch_take([limit]) -> list of {key=, value=} | nil, err
Takes entries out of a hash map, whichever come first, at most limit; without it all.
map:put(7, { pkts = 2 })
for _, entry in ipairs(map:batch_take()) do print(entry.key, num(entry.value.pkts)) end --> 7	2]])
core.doc("map:take", methods.take, [[
map:take(key) -> value | nil [, err]
Looks an entry up and deletes it in one step; hash maps have it.
map:put(7, { pkts = 2 })
print(num(map:take(7).pkts), map:take(7)) --> 2	nil]])
core.doc("map:send", methods.send, [[
map:send(bytes) -> true | nil, err
A user ring buffer: puts a sample in, for programs to drain.
print(pcall(map.send, map, "x")) --> false	example:1: map flows: its type is hash, only user ring buffers have this]])
core.doc("map:push", methods.push, [[
map:push(value [, "exist"]) -> true | nil, err
Adds to a queue, stack or bloom filter; with "exist" a full queue or stack drops its oldest value.
print(pcall(map.push, map, 1)) --> false	example:1: map flows: its type is hash, only queues, stacks, bloom filters have this]])
core.doc("map:pop", methods.pop, [[
map:pop() -> value | nil [, err]
Takes the next value out of a queue or stack; nil when it is empty.
print(pcall(map.pop, map)) --> false	example:1: map flows: its type is hash, only queues and stacks have this]])
core.doc("map:peek", methods.peek, [[
map:peek() -> value | nil [, err]
The next value of a queue or stack, which stays in it.
print(pcall(map.peek, map)) --> false	example:1: map flows: its type is hash, only queues and stacks have this]])
core.doc("map:has", methods.has, [[
map:has(value) -> true | false | nil, err
Whether a bloom filter has seen the value; now and then true for one that it has not.
print(pcall(map.has, map, 1)) --> false	example:1: map flows: its type is hash, only bloom filters have this]])
core.doc("map:del", methods.del, [[
map:del(key) -> true | nil [, err]
Deletes an entry; nil when it was not there.
map:put(1, {})
print(map:del(1), map:del(1)) --> true	nil]])
core.doc("map:pairs", methods.pairs, [[
for key, value in map:pairs{batch=1024} do ... end
Walks over the entries by batch; deleting meanwhile is allowed; pairs(map) does the same.
map:put(7, { pkts = 2 })
for k, v in map:pairs() do print(k, num(v.pkts)) end --> 7	2]])
core.doc("map:totable", methods.totable, [[
map:totable() -> table
All entries as plain tables, keys as key() makes them.
map:put(7, { pkts = 2 })
print(num(map:totable()[7].pkts)) --> 2]])
core.doc("map:clear", methods.clear, [[
map:clear() -> true | nil, err
Deletes all entries; those of arrays become zero.
map:put(7, {})
print(map:clear(), map:get(7)) --> true	nil]])
core.doc("map:pin", methods.pin, [[
map:pin(path) -> true | nil, err
Keeps a map of the kernel beyond this process, in a bpf file system; obj:load's option pinned opens it again.]])
core.doc("map:freeze", methods.freeze, [[
map:freeze() -> true | nil, err
Makes the map read-only for scripts.
map:freeze()]])
core.doc("map:read", methods.read, [[
map:read(offset, size) -> bytes | nil, err
Bytes of an arena, counted from its first page; a page that is not there comes into being, as zeros.
print(pcall(map.read, map, 0, 8)) --> false	example:1: map flows: its type is hash, only arenas have this]])
core.doc("map:write", methods.write, [[
map:write(offset, bytes) -> true | nil, err
Puts bytes into an arena, counted from its first page.
print(pcall(map.write, map, 0, "x")) --> false	example:1: map flows: its type is hash, only arenas have this]])
core.doc("map:address", methods.address, [[
map:address() -> address
Where programs have the first page of an arena; a pointer less this address is an offset for read and write.
print(pcall(map.address, map)) --> false	example:1: map flows: its type is hash, only arenas have this]])
core.doc("map:ref", methods.ref, [[
map:ref(key) -> reference | nil
r.field reads the entry as it is now, r.field = x writes it; r:get() and r:set(value) take the whole value.
map:put(7, { pkts = 2 })
local r = map:ref(7)
r.pkts = 9
print(num(map[7].pkts)) --> 9]])
core.doc("map:typed", methods.typed, [[
map:typed(key, value) -> map
Gives keys and values types where BTF has none: "u32", or a list of fields { {"pkts", "u64"}, {"bytes", "u64"} }.
map:typed("u32", { { "pkts", "u64" }, { "bytes", "u64" } })]])
core.doc("map:events", methods.events, [[
map:events() -> events
The records of a ring buffer or perf event array: for bytes in e:each() do ... end, or the list e:consume().
print(pcall(map.events, map)) --> false	example:1: map flows: its type is hash, only ring buffers and perf arrays have events]])
core.doc("events:consume", Events.consume, [[
e:consume() -> list of bytes, list of CPUs | nil, err
The records that are there; each is handed out once.
prog:run(pkt.eth{}/pkt.ip{})
print(#ring:events():consume(), #ring:events():consume()) --> 1	0]])
core.doc("events:lost", Events.lost, [[
e:lost() -> number
Records of a perf event array that a full buffer lost, as far as the records read so far tell; 0 for ring buffers.
print(ring:events():lost()) --> 0]])
core.doc("events:each", Events.each, [[
for bytes, cpu in e:each([timeout]) do ... end
Walks over the records, waiting for more; ends when none came for timeout seconds (0: those that are there), or at close.
prog:run(pkt.eth{}/pkt.ip{})
for bytes in ring:events():each(0) do print(#bytes) end --> 4]])
core.doc("events:on", Events.on, [[
e:on(fn) -> task
Calls fn(bytes) with each record, in a task of its own, until e:close().
local e = ring:events()
local t = e:on(function(bytes) print(#bytes) e:close() end)
prog:run(pkt.eth{}/pkt.ip{})
t:join() --> 4]])
core.doc("events:close", Events.close, [[
e:close()
Ends each() and on() of these events; the map stays.
local e = ring:events()
e:close()
for bytes in e:each() do print(#bytes) end]])

M.methods, M.Events, M.Map = methods, Events, Map
M.state_of, M.decode_value = state_of, decode_value

return M
