-- SPDX-License-Identifier: MIT
-- Lua half of module pcap: the live reader, which waits for its packets as a task.
local raw = ...
local core = require "mimicsh.core"

local pcap = { open = raw.open, create = raw.create, live = raw.live }

local Live = core.metatable "live reader"
local methods = Live.__index

local function next_packet(reader)
    while true do
        local packet = raw.live_next(reader)
        if packet ~= nil then
            return packet or nil
        end
        raw.live_wait(reader)
        raw.live_read(reader)
    end
end

function methods.packets(reader)
    return next_packet, reader
end

methods.stop = raw.live_stop

function Live.__index(reader, name)
    if name == "stats" then
        return raw.live_stats(reader)
    end
    return methods[name] or core.fail(("a live reader has no '%s' (packets, stop, stats)"):format(tostring(name)))
end

core.doc("pcap.live", pcap.live, [[
pcap.live(device, {filter=, snaplen=, direction="inout"|"in"|"out", promisc=, buffer=}) -> reader | nil, err
Packets of a device ("any": of all) as they pass, in the task's network namespace; r.stats counts: {received=, dropped=}.
local _, err = pcap.live "no-such-device"
print(err) --> pcap.live: no-such-device: no such interface]])
core.doc("live:packets", methods.packets, [[
for p in r:packets() do ... end
Waits for each packet while other tasks run, until r:stop(); raises when the device goes away.]])
core.doc("live:stop", methods.stop, [[
r:stop()
Ends the capture and every loop over its packets; does nothing when stopped. r.stats stays.]])

return pcap
