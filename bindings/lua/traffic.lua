-- SPDX-License-Identifier: MIT
-- Lua half of module traffic: checks what is to be sent, and reports.
local c = ...
local core = require "mimicsh.core"
local check_options = core.check_options

local traffic = {}

local WAYS = { auto = true, sendmmsg = true, live = true, xsk = true }

local Report = { __name = "traffic report" }

function Report.__tostring(report)
    return ("%d packets in %.3f s: %.0f packets/s by %s%s%s"):format(report.sent, report.seconds, report.pps, report.how,
        report.note and " (" .. report.note .. ")" or "", report.interrupted and " (interrupted)" or "")
end

local function number_option(value, name, least)
    if value ~= nil and (type(value) ~= "number" or value ~= value or value < least) then
        core.fail(("bad argument '%s': expected a number of at least %d, got %s"):format(name, least, tostring(value)))
    end
    return value
end

--- {["udp.sport"] = {from=, to=, step=} | {list...} | "random" | "counter"} as a list, by name.
local function variations(vary)
    local list = {}
    if vary ~= nil and type(vary) ~= "table" then
        core.fail("bad argument 'vary': expected table of fields, got " .. type(vary))
    end
    for field, how in next, vary or {} do
        if type(field) ~= "string" then
            core.fail("vary: names of fields are strings, like \"udp.sport\"")
        end
        local one = { field = field, kind = "counter" }
        if how == "random" or how == "counter" then
            one.kind = how
        elseif type(how) ~= "table" then
            core.fail(("vary %s: expected \"random\", \"counter\", {from=, to=, step=, random=} or a list"):format(field))
        elseif how[1] ~= nil then
            one.kind, one.list = "list", how
        else
            how = check_options(how, "vary " .. field, "from to step random")
            one.kind, one.from, one.to, one.step = how.random and "random" or "counter", how.from, how.to, how.step
        end
        list[#list + 1] = one
    end
    table.sort(list, function(a, b) return a.field < b.field end)
    return list
end

--- How often the source is gone through: once, so many times, or (true) without end.
local function loops(loop)
    if loop == true then
        return 0
    end
    return loop == nil and 1 or loop == false and 1 or number_option(loop, "loop", 1)
end

local function reported(report, err)
    return report and setmetatable(report, Report), err
end

local SEND_OPTIONS = "dev packets pcap template vary count rate loop how seed"

function traffic.send(options)
    options = check_options(options, "traffic.send", SEND_OPTIONS)
    if type(options.dev) ~= "string" then
        core.fail("bad argument 'dev': expected the name of a device, got " .. type(options.dev))
    end
    local sources = (options.packets and 1 or 0) + (options.pcap and 1 or 0) + (options.template and 1 or 0)
    if sources ~= 1 then
        core.fail "traffic.send: give packets=, pcap= or template=, one of them"
    end
    local how = options.how or "auto"
    if not WAYS[how] then
        core.fail(("bad argument 'how': expected \"auto\", \"sendmmsg\", \"live\" or \"xsk\", got %s"):format(tostring(how)))
    end
    local rate = number_option(options.rate, "rate", 0) or 0
    local count = number_option(options.count, "count", 1)
    if options.template then
        local endless = options.loop == true
        return reported(c.send_template(options.dev, options.template, variations(options.vary), count or (endless and 0 or 1),
            rate, how, options.seed or require("mimicsh.config").seed))
    elseif options.vary then
        core.fail "traffic.send: vary goes with template="
    elseif options.pcap then
        return reported(c.send_capture(options.dev, options.pcap, loops(options.loop), count or 0, rate, how))
    end
    local packets = type(options.packets) == "table" and options.packets or { options.packets }
    return reported(c.send_list(options.dev, packets, loops(options.loop), count or 0, rate, how))
end

core.doc("traffic.send", traffic.send, [[
traffic.send{dev=, packets=|pcap=|template=, vary=, count=, rate=, loop=, how="auto"|"sendmmsg"|"xsk"|"live"} -> report | nil, err
Sends many packets, at a rate or as fast as it goes, while other tasks run: {sent=, seconds=, pps=, how=, note=, interrupted=}.
local _, err = traffic.send{ dev = "no-such-device", template = pkt.eth{}/pkt.ip{} }
print(err) --> traffic.send: no-such-device: no such interface]])

return traffic
