-- SPDX-License-Identifier: MIT
-- How long TAB takes behind the bracket of a map of a million keys, and behind the beginning of one.
local live = require "mimicsh.live"
local bpf = require "bpf"

local ENTRIES, RUNS = 1000000, 21
local object = assert(bpf.asm(".map m type=hash key=u32 value=u64 entries=" .. ENTRIES .. "\nr0 = 2\nexit"))
local instance = assert(object:load "vm")
rawset(_G, "I", instance) -- completion knows globals
local map = instance.maps.m
for i = 1, ENTRIES do
    map[i] = i
end
for _, text in ipairs{ "I.maps.m[", "I.maps.m[9", "I.maps.m:" } do
    local times = {}
    for i = 1, RUNS do
        local begin = os.clock()
        assert(live.complete(text, #text) ~= "" or text:find "9$")
        times[i] = (os.clock() - begin) * 1000
    end
    table.sort(times)
    print(("%-12s %.2f ms of processor time (%.2f to %.2f, %d runs; bar 50)"):format(text, times[math.ceil(RUNS / 2)],
        times[1], times[RUNS], RUNS))
end
