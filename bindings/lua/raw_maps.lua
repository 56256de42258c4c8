-- SPDX-License-Identifier: MIT
-- The maps of bpf.raw: definitions by number of the instruction that loads them, and by index.
local core = require "mimicsh.core"

local FIELDS = "name type key_size value_size max_entries flags extra key_type_id value_type_id contents"

--- Notes the definition of a map by its name.
local function note_def(def, where, by_name)
    core.check_options(def, "raw map", FIELDS)
    if type(def.name) ~= "string" then
        core.fail(("raw: the map of %s has no name"):format(where))
    end
    by_name[def.name] = by_name[def.name] or def
end

--- A copy of what is given: a definition, or the name of one.
local function copy_def(def, where, by_name)
    if type(def) == "string" then
        def = by_name[def] or core.fail(("raw: the map '%s' of %s is not defined"):format(def, where))
    end
    if type(def) ~= "table" then
        core.fail(("raw: the map of %s: expected a definition or the name of one, got %s"):format(where, type(def)))
    end
    local entry = {}
    for name, value in next, def do
        entry[name] = value
    end
    return entry
end

--- The maps of bpf.raw, a list in order of instructions, and its fd_array; a name stands for the definition that has it.
return function(given, fd_array)
    local slots, by_name, list, array = {}, {}, {}, {}
    for i, def in ipairs(fd_array) do
        if type(def) == "table" then
            note_def(def, "fd_array[" .. i .. "]", by_name)
        end
    end
    for slot, def in next, given do
        if type(slot) ~= "number" or slot < 0 or slot % 1 ~= 0 then
            core.fail("bad argument 'maps': expected numbers of instructions as keys, got " .. tostring(slot))
        end
        slots[#slots + 1] = slot
        if type(def) == "table" then
            note_def(def, "instruction " .. slot, by_name)
        end
    end
    table.sort(slots)
    for i, slot in ipairs(slots) do
        list[i] = copy_def(given[slot], "instruction " .. slot, by_name)
        list[i].insn = slot
    end
    for i, def in ipairs(fd_array) do
        array[i] = copy_def(def, "fd_array[" .. i .. "]", by_name)
    end
    return list, array
end
