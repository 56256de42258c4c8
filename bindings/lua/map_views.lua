-- SPDX-License-Identifier: MIT
-- Maps to look at: as a table, their greatest entries, what changes in them.
local core = require "mimicsh.core"
local maps = require "mimicsh.maps"
local percpu = require "mimicsh.percpu"
local types = require "mimicsh.types"
local ffi = require "ffi"

local Map, methods, state_of = maps.Map, maps.methods, maps.state_of

local BATCH = 1024
local SHOWN = 50
local COUNTED = 100000 -- entries at most, beyond those that are shown

-- -- As a table --

--- Lines with a key and its value each. Values of per-CPU maps are such, or their sums.
local function entry_lines(state, keys, values, paint)
    local printer = require "mimicsh.printer"
    keys.title, keys.T, values.title, values.T = "key", state.key, "value", state.value
    local is_percpu = state.info.percpu and percpu.is_value(values[1])
    local sums = is_percpu and percpu.sums(values)
    local text = #keys > 0 and (sums or not is_percpu) and printer.typed_text{ keys, sums or values }
    local lines = { text or nil }
    for i = 1, text and 0 or #keys do
        local value = is_percpu and percpu.text(values[i], printer.LOOK) or
            types.format_value(state.value, values[i], printer.LOOK, 1)
        lines[i] = printer.cut(("  %s = %s"):format(types.format_value(state.key, keys[i], printer.LOOK, 1), value))
    end
    if text and sums then
        lines[2] = paint("dim", ("sums of %d CPUs; map[key] shows each"):format(state.info.cpus))
    end
    return lines
end

--- How many entries a map has beside those shown; fetched, not decoded.
local function more_than(map, shown)
    local cursor, count = maps.raw.map_cursor(map), 0
    repeat
        local got = maps.raw.map_batch(map, cursor, BATCH)
        count = count + (got or 0)
    until not got or got == 0 or count > COUNTED
    return ("  ... %s%d more"):format(count > COUNTED and "at least " or "", count - shown)
end

function Map.__show(map, paint)
    local head = paint("head", require("mimicsh.printer").cut(tostring(map)))
    local state = state_of(map)
    if state.info.key_size == 0 then
        return head
    end
    local keys, values, is_more = {}, {}, false
    for k, v in methods.pairs(map, { batch = SHOWN + 1 }) do
        is_more = #keys == SHOWN
        if is_more then
            break
        end
        keys[#keys + 1], values[#keys + 1] = k, v
    end
    local lines = entry_lines(state, keys, values, paint)
    table.insert(lines, 1, head)
    if is_more then
        lines[#lines + 1] = paint("dim", more_than(map, SHOWN))
    end
    return table.concat(lines, "\n")
end

local function plain(x)
    return type(x) == "cdata" and types.to_table(x) or x
end

function Map.__tojson(map)
    local out = require("json").array()
    for k, v in methods.pairs(map) do
        out[#out + 1] = { key = plain(k), value = plain(v) }
    end
    return out
end

--- The state of a map that can be walked over.
local function walked(map, what)
    local state = state_of(map)
    if state.info.key_size == 0 then
        core.fail(("%s: map %s is a %s, which has no keys"):format(what, state.info.name, state.info.type))
    end
    return state
end

-- -- The greatest entries --

local Top = { __name = "top entries" }
local sources = setmetatable({}, { __mode = "k" }) -- top entries -> state of their map

function Top.__show(top, paint)
    local keys, values = {}, {}
    for i, entry in ipairs(top) do
        keys[i], values[i] = entry.key, entry.value
    end
    local state = sources[top]
    local lines = entry_lines(state, keys, values, paint)
    table.insert(lines, 1, paint("head", ("%d of %d entries of map %s"):format(#top, top.count, state.info.name)))
    return table.concat(lines, "\n")
end

function Top.__tojson(top)
    local out = require("json").array()
    for i, entry in ipairs(top) do
        out[i] = { key = plain(entry.key), value = plain(entry.value) }
    end
    return out
end

local function is_number(x)
    return type(x) == "number" and x == x or ffi.istype("uint64_t", x) or ffi.istype("int64_t", x)
end

--- What entries are ranked by, as a function of value and key.
local function ranking(state, by)
    if type(by) == "function" then
        return by
    end
    local fields = types.field_names(state.value)
    local known = #fields > 0 and "a function or one of: " .. table.concat(fields, ", ") or "a function"
    if by == nil and #fields == 0 then
        return function(value) return value end
    end
    for _, name in ipairs(fields) do
        if name == by then
            return function(value) return value[by] end
        end
    end
    core.fail(("bad argument 'by': expected %s, got %s"):format(known, by == nil and "nil" or tostring(by)))
end

function methods.top(map, n, by)
    local state = walked(map, "top")
    if type(n) ~= "number" or n < 1 or n % 1 ~= 0 then
        core.fail("bad argument 'n': expected a count from 1, got " .. tostring(n))
    end
    local rank_of = ranking(state, by)
    local top, ranks, count = setmetatable({}, Top), {}, 0
    for key, value in methods.pairs(map) do
        count = count + 1
        value = state.info.percpu and value:sum() or value
        local rank = rank_of(value, key)
        if not is_number(rank) then
            core.fail(("top: map %s: entries are ranked by numbers, got %s"):format(state.info.name,
                types.type_of(rank) and "a " .. types.type_of(rank).kind or type(rank)))
        end
        if #top < n or rank > ranks[#top] then
            local at = #top < n and #top + 1 or n
            while at > 1 and rank > ranks[at - 1] do
                top[at], ranks[at] = top[at - 1], ranks[at - 1]
                at = at - 1
            end
            top[at], ranks[at] = { key = key, value = value }, rank
        end
    end
    top.count = count
    sources[top] = state
    return top
end

-- -- Changes --

--- Keys in the map's order, and the values by key; all as bytes.
local function contents(map, state)
    local cursor, order, values = maps.raw.map_cursor(map), {}, {}
    local key_size, value_size = state.info.key_size, state.info.host_value_size
    while true do
        local count, some_keys, some_values = maps.raw.map_batch(map, cursor, BATCH)
        if not count then
            return nil, some_keys
        elseif count == 0 then
            return order, values
        end
        for i = 0, count - 1 do
            local key = some_keys:sub(i * key_size + 1, (i + 1) * key_size)
            order[#order + 1] = key
            values[key] = some_values:sub(i * value_size + 1, (i + 1) * value_size)
        end
    end
end

function methods.watch(map, seconds, fn)
    local state = walked(map, "watch")
    if type(fn) ~= "function" then
        core.fail("bad argument 'fn': expected function, got " .. type(fn))
    end
    local order, values = contents(map, state)
    if not order then
        return nil, values
    end
    local function tell(key, now, before)
        fn(types.decode(state.key, key, 0), now and maps.decode_value(state, now, 0),
            before and maps.decode_value(state, before, 0))
    end
    local timer
    timer = require("timer").every(core.duration(seconds, "seconds"), function()
        local is_open, new_order, new_values = core.pcall(contents, map, state)
        if not is_open or not new_order then
            timer:stop()
            return
        end
        local old_order, old_values = order, values
        order, values = new_order, new_values
        for _, key in ipairs(new_order) do
            if new_values[key] ~= old_values[key] then
                tell(key, new_values[key], old_values[key])
            end
        end
        for _, key in ipairs(old_order) do
            if not new_values[key] then
                tell(key, nil, old_values[key])
            end
        end
    end)
    return timer
end

-- -- Docs --

core.doc("map:top", methods.top, [[
map:top(n [, by]) -> list of {key=, value=}, with count of all entries
The n entries with the greatest values: by a field, or by the number that a function of value and key gives.
map:put(7, { pkts = 2 }); map:put(8, { pkts = 5 })
for i, entry in ipairs(map:top(1, "pkts")) do print(i, entry.key, num(entry.value.pkts)) end --> 1	8	5]])
core.doc("map:watch", methods.watch, [[
map:watch(seconds, fn) -> timer | nil, err
Looks again and again, until t:stop(), and calls fn(key, value, before) for each entry that changed, came or went.
local told = task.channel(1)
local t = map:watch("1ms", function(key, value, before) told:send{ key, num(value.pkts), before } end)
map:put(7, { pkts = 2 })
print(unpack(told:recv(), 1, 3)) --> 7	2	nil
t:stop()]])
