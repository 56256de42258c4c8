-- SPDX-License-Identifier: MIT
-- Comparing an instance of the vm with the kernel, and promoting it: the methods of instances and their reports.
local core = require "mimicsh.core"
local check_options = core.check_options

-- -- Reports --

local Comparison = { __name = "comparison" }

local function comparison_lines(report)
    local lines = { ("%d equal, %d different, %d not comparable%s"):format(report.equal, report.different,
        report.not_comparable, report.interrupted and " (interrupted)" or "") }
    if report.aligned > 0 then
        lines[#lines + 1] = ("  %d calls for time, random numbers or the CPU gave the vm's values"):format(report.aligned)
    end
    local reasons = {}
    for reason in next, report.reasons do
        reasons[#reasons + 1] = reason
    end
    table.sort(reasons)
    for _, reason in ipairs(reasons) do
        lines[#lines + 1] = ("  not comparable (%s): %d"):format(reason, report.reasons[reason])
    end
    local first = report.first
    if first then
        lines[#lines + 1] = ("  first difference: packet %d, vm %s, kernel %s"):format(first.index, first.vm, first.kernel)
        lines[#lines + 1] = "  " .. first.text:gsub("%s+$", ""):gsub("\n", "\n  ")
    end
    return lines
end

function Comparison.__tostring(report)
    return table.concat(comparison_lines(report), "\n")
end

local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function Comparison.__tojson(report)
    local first = report.first
    return { equal = report.equal, different = report.different, not_comparable = report.not_comparable,
             reasons = report.reasons, aligned = report.aligned, interrupted = report.interrupted,
             first = first and { index = first.index, packet = hex(first.bytes), vm = first.vm, kernel = first.kernel,
                                 text = first.text } }
end

local Promotion = { __name = "promotion" }

function Promotion.__tostring(report)
    local lines = {}
    local link = report.link
    if link then
        local place = link.kind == "xdp" and link.mode or link.dir
        lines[1] = ("%s is live on %s (%s %s)"):format(report.program, link.device, link.kind, place)
        if link.note then
            lines[2] = "  " .. link.note
        end
    else
        lines[1] = ("%s was not attached to %s"):format(report.program, report.device)
    end
    lines[#lines + 1] = "compared: " .. table.concat(comparison_lines(report.comparison), "\n")
    for _, copy in ipairs(report.maps) do
        lines[#lines + 1] = copy.entries > 0 and ("map %s: %d, %s"):format(copy.map, copy.entries, copy.rule)
            or ("map %s: %s"):format(copy.map, copy.rule)
    end
    return table.concat(lines, "\n")
end

function Promotion.__tojson(report)
    return { program = report.program, device = report.device, comparison = report.comparison, maps = report.maps,
             link = report.link }
end

-- -- Methods --

local COMPARE_OPTIONS = "pcap packets"
local PROMOTE_OPTIONS = "prog hook mode kind prio pcap packets maps force needs"

--- Gives instances compare, promote and demote. `made` turns what the C part returns into an instance.
return function(raw, instance_methods, made, packet_bytes)
    local function packets_of(options)
        local list = {}
        for i, packet in ipairs(options.packets or {}) do
            list[i] = packet_bytes(packet)
        end
        return options.packets and list or nil
    end

    function instance_methods.compare(inst, prog, options)
        if type(options) == "string" then
            options = { pcap = options }
        elseif type(options) == "table" and options[1] ~= nil then
            options = { packets = options }
        end
        options = check_options(options, "compare", COMPARE_OPTIONS)
        local name = type(prog) == "string" and prog or raw.program_info(prog).name
        local report, err = raw.instance_compare(inst, name, { pcap = options.pcap, packets = packets_of(options) })
        if not report then
            return nil, err
        end
        return setmetatable(report, Comparison)
    end

    --- Map names that `maps` leaves out: {maps = {flows = false}}.
    local function left_out(maps)
        local names = {}
        for name, wanted in pairs(maps or {}) do
            if wanted == false then
                names[#names + 1] = name
            end
        end
        return names
    end

    function instance_methods.promote(inst, device, options)
        options = check_options(options, "promote", PROMOTE_OPTIONS)
        if options.needs then
            local ok, err = require "kernel".need(options.needs)
            if not ok then
                return nil, err
            end
        end
        local prog = options.prog
        local report, live, link = raw.instance_promote(inst, device, {
            prog = prog and (type(prog) == "string" and prog or raw.program_info(prog).name),
            hook = options.hook, mode = options.mode, kind = options.kind, prio = options.prio, force = options.force,
            pcap = options.pcap, packets = packets_of(options), without = left_out(options.maps) })
        if not report then
            return nil, live
        end
        setmetatable(report.comparison, Comparison)
        setmetatable(report, Promotion)
        if not live then
            local what = report.comparison.interrupted and "interrupted" or "the kernel says something else"
            return nil, core.error_object{ code = "ECANCELED", op = "promote", msg = device .. ": " .. what,
                hint = "force=true attaches all the same", log = tostring(report) }
        end
        return made(live, { report = report, link = link })
    end

    function instance_methods.demote(inst)
        local on_vm, maps = raw.instance_demote(inst)
        if not on_vm then
            return nil, maps
        end
        return made(on_vm, { copied = maps })
    end

    core.doc("instance:compare", instance_methods.compare, [[
inst:compare(prog, packets | pcap) -> report | nil, err
Runs packets, or what the program has run on, on both targets from this instance's maps, and counts what is equal.]])
    core.doc("instance:promote", instance_methods.promote,
        "inst:promote(device, {hook=, prog=, mode=, kind=, prio=, packets=, pcap=, maps=, needs=, force=}) " ..
        "-> kernel instance | nil, err\n" ..
        "Compares the object on both targets, copies the maps, and attaches it to a device; docs/promote.md.")
    core.doc("instance:demote", instance_methods.demote, [[
inst:demote() -> vm instance | nil, err
The same object on the vm, with the kernel's maps as they are now; what is attached stays.]])
end
