-- SPDX-License-Identifier: MIT
-- Values of per-CPU maps: one for each CPU, with their sum.
local core = require "mimicsh.core"
local types = require "mimicsh.types"
local pcall = core.pcall

local M = {}

local PerCpu = { __name = "per-CPU value" }
local methods = {}

function PerCpu.__index(v, cpu)
    if type(cpu) == "number" then
        core.fail(("CPU %s is outside 0 to %d"):format(tostring(cpu), v.cpus - 1))
    end
    return methods[cpu]
end

function PerCpu.__newindex(v, cpu)
    core.fail(("CPU %s is outside 0 to %d"):format(tostring(cpu), v.cpus - 1))
end

function methods.sum(v)
    local total = v[0]
    for cpu = 1, v.cpus - 1 do
        total = types.add(v.type, total, v[cpu])
    end
    return total
end

function methods.each(v)
    return function(_, cpu)
        if cpu + 1 < v.cpus then
            return cpu + 1, v[cpu + 1]
        end
    end, v, -1
end

local MAX_CPUS = 16 -- printed; those that have nothing are left out first

--- What is shown: the sum where the type has one, the values of the CPUs, and how many are left out.
local function shown_of(v)
    local names, values, left = {}, {}, 0
    local has_sum, sum = pcall(methods.sum, v)
    if has_sum then
        names[1], values[1] = "sum", sum
    end
    local zero = types.decode(v.type, ("\0"):rep(v.type.size))
    for cpu, value in methods.each(v) do
        if v.cpus <= MAX_CPUS or value ~= zero and #names <= MAX_CPUS then
            names[#names + 1], values[#names + 1] = cpu, value
        elseif value ~= zero then
            left = left + 1
        end
    end
    return names, values, left
end

--- Text of the sum and the values; look as in aggregates.lua.
function M.text(v, look)
    local names, values, left = shown_of(v)
    local parts = {}
    for i, name in ipairs(names) do
        parts[i] = look.paint("name", type(name) == "number" and ("[%d]"):format(name) or name) .. " = " ..
            types.format_value(v.type, values[i], look, 1)
    end
    if left > 0 then
        parts[#parts + 1] = look.paint("dim", ("... %d more"):format(left))
    end
    return look.join(parts, 0)
end

function PerCpu.__tostring(v)
    return M.text(v, types.PLAIN)
end

function PerCpu.__show(v, paint)
    local printer = require "mimicsh.printer"
    local names, values, left = shown_of(v)
    names.title, values.T = "cpu", v.type
    local text = printer.typed_text{ names, values }
    return text and text .. (left > 0 and "\n" .. paint("dim", ("... %d more"):format(left)) or "") or
        M.text(v, printer.LOOK)
end

--- The sums of a list whose type is a struct, nil for other types.
function M.sums(list)
    local sums = { T = list.T, title = list.title }
    for i, v in ipairs(list) do
        local has_sum, sum = pcall(methods.sum, v)
        if not has_sum or v.type.kind ~= "struct" then
            return nil
        end
        sums[i] = sum
    end
    return sums
end

function PerCpu.__tojson(v)
    local out = require("json").array()
    for cpu, value in methods.each(v) do
        out[cpu + 1] = type(value) == "cdata" and types.to_table(value) or value
    end
    return out
end

PerCpu.__pairs = methods.each

function M.is_value(v)
    return getmetatable(v) == PerCpu
end

local function slot_size(state)
    return math.ceil(state.info.value_size / 8) * 8
end

--- The values at an offset of what the kernel or the vm gave.
function M.decode(state, bytes, offset)
    local v = { type = state.value, cpus = state.info.cpus }
    for cpu = 0, v.cpus - 1 do
        v[cpu] = types.decode(state.value, bytes, offset + cpu * slot_size(state))
    end
    return setmetatable(v, PerCpu)
end

--- Refuses lists that lack the value of a CPU, or have one of a CPU that is not there.
local function check_cpus(state, list, where)
    local cpus, given = state.info.cpus, 0
    for cpu in next, list do
        if type(cpu) == "number" then
            given = cpu >= 0 and cpu < cpus and cpu % 1 == 0 and given + 1 or -math.huge
        end
    end
    if given ~= cpus then
        core.fail(("%s: expected one value per CPU, 0 to %d"):format(where, cpus - 1))
    end
end

--- Bytes of one value for all CPUs, or of one for each; `where` names it in messages.
function M.encode(state, value, where)
    local pad = ("\0"):rep(slot_size(state) - state.info.value_size)
    local is_list = type(value) == "table" and (getmetatable(value) == PerCpu or value[0] ~= nil)
    if is_list then
        check_cpus(state, value, where)
    end
    local parts = {}
    for cpu = 0, state.info.cpus - 1 do
        local one = value
        if is_list then
            one = value[cpu]
        end
        parts[cpu + 1] = types.encode(state.value, one, where) .. pad
    end
    return table.concat(parts)
end

return M
