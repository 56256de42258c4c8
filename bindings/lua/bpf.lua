-- SPDX-License-Identifier: MIT
-- Lua half of module bpf: objects, instances, programs and maps as scripts see them.
local raw = ...
local core = require "mimicsh.core"
local config = require "mimicsh.config"
local types = require "mimicsh.types"
local maps = require "mimicsh.maps"
require "mimicsh.map_views"
local contexts = require "mimicsh.contexts"
local locate = require "mimicsh.literals"
local raw_maps = require "mimicsh.raw_maps"
local json = require "json"

local bpf = {}
maps.raw = raw
local check_options = core.check_options
local pcall = core.pcall

local function fail_value(code, op, msg, hint)
    return nil, core.error_object{ code = code, op = op, msg = msg, hint = hint }
end

-- -- Packets: strings of bytes, or packets where module pkt is there --

local function packet_bytes(packet)
    if type(packet) == "string" then
        return packet
    elseif type(packet) == "userdata" and getmetatable(packet) == "packet" then
        return packet:bytes()
    end
    core.fail("bad argument 'packet': expected packet or string of bytes, got " .. type(packet))
end

local function parse(bytes)
    local ok, pkt = pcall(require, "pkt")
    return ok and pkt.parse(bytes) or bytes
end

-- -- Objects --

local Object = core.metatable "object"
local object_methods = Object.__index

function object_methods.close(obj)
    raw.object_close(obj)
end

function object_methods.save(obj, path)
    return raw.object_save(obj, path)
end

function object_methods.disasm(obj, options)
    if type(options) == "string" then
        options = { program = options }
    end
    options = check_options(options, "disasm", "program full labels source slots")
    return raw.object_disasm(obj, options)
end

--- Initial contents of data sections with the given variables set.
local function patch_sections(obj, vars)
    local data, known = {}, {}
    local left = {}
    for name in next, vars do
        left[name] = true
    end
    for _, section in ipairs(raw.object_sections(obj)) do
        local contents = section.contents
        for _, variable in ipairs(section.variables) do
            known[#known + 1] = variable.name
            if left[variable.name] then
                left[variable.name] = nil
                local T = types.top(variable.type, variable.name)
                local bytes = types.encode(T, vars[variable.name], "vars." .. variable.name)
                contents = contents:sub(1, variable.offset) .. bytes .. contents:sub(variable.offset + #bytes + 1)
                data[section.name] = contents
            end
        end
    end
    local name = next(left)
    if name then
        table.sort(known)
        core.fail(("load: no variable '%s' (known: %s)"):format(tostring(name), table.concat(known, ", ")))
    end
    return data
end

local LOAD_OPTIONS = "kconfig maps pinned autoload seed cpus cpu budget mode kernel sanitize vars world helpers"

local make_instance

function object_methods.load(obj, target, options)
    if type(obj) ~= "userdata" or getmetatable(obj) ~= "object" then
        core.fail("bad argument 'object': expected object, got " .. type(obj) .. " (call methods with ':')")
    end
    if type(target) ~= "string" then
        core.fail("bad argument 'target': expected \"vm\" or \"kernel\", got " .. type(target))
    end
    options = check_options(options, "load", LOAD_OPTIONS)
    local vars = options.vars and core.expect(options.vars, "vars", "table")
    local passed = { data = vars and patch_sections(obj, vars) or nil,
                     kconfig = options.kconfig, maps = options.maps, autoload = options.autoload,
                     pinned = options.pinned }
    if target == "vm" then
        passed.seed = options.seed or config.seed
        for _, name in ipairs{ "cpus", "cpu", "budget", "mode", "kernel", "sanitize" } do
            passed[name] = options[name]
        end
        passed.world = options.world and core.expect(options.world, "world", "table or string")
        if type(options.world) == "table" then
            local text, err = json.encode(options.world, nil, "world")
            if not text then
                return fail_value("EINVAL", "load", err.msg)
            end
            passed.world = text
        end
        passed.helpers = options.helpers
    end
    local inst, err = raw.object_load(obj, target, passed)
    if not inst then
        return nil, err
    end
    return make_instance(inst)
end

local object_info = raw.object_info
local OBJECT_PROPERTIES = { name = true, origin = true, license = true, programs = true, maps = true }

function Object.__index(obj, name)
    local method = object_methods[name]
    if method then
        return method
    elseif OBJECT_PROPERTIES[name] then
        return object_info(obj)[name]
    end
    core.fail(("an object has no field or method '%s'"):format(tostring(name)))
end

core.completions.object = {
    methods = object_methods, fields = OBJECT_PROPERTIES, get = function(obj, name) return object_info(obj)[name] end,
}

function Object.__tostring(obj)
    local ok, info = pcall(object_info, obj)
    if not ok then
        return "object (closed)"
    end
    local names = {}
    for i, program in ipairs(info.programs) do
        names[i] = program.name
    end
    return ("object %s: programs %s; %d maps"):format(info.name, table.concat(names, ", "), #info.maps)
end

-- -- Instances --

local Instance = core.metatable "instance"
local instance_methods = Instance.__index
local parts = setmetatable({}, { __mode = "k" }) -- instance -> {target=, progs=, maps=, vars=, object=}

--- left_out, if there is one, says more of a name that is not there.
local function named(list, what, left_out)
    return setmetatable(list, { __index = function(_, name)
        local known = {}
        for k in next, list do
            known[#known + 1] = k
        end
        table.sort(known)
        core.fail(("no %s '%s' (known: %s)%s"):format(what, tostring(name), table.concat(known, ", "),
            left_out and left_out(name) or ""))
    end })
end

--- Whether a program of the object was left out at the load.
local function without_autoload(info)
    return function(name)
        for _, program in ipairs(info.programs) do
            if program.name == name and program.section:sub(1, 1) == "?" then
                return (': %s is loaded by autoload = {"%s"}'):format(program.section, name)
            end
        end
    end
end

--- inst.maps: an assignment backs the vm's map of that name by a map of the kernel.
local function assignable(list)
    return setmetatable({}, {
        __index = list,
        __newindex = function(_, name, live)
            local map = list[name]
            local ok, err = raw.map_back(map, live)
            if not ok then
                core.fail(tostring(err))
            end
            maps.renew(map)
        end,
        __pairs = function() return next, list end,
        __show = function() return require("mimicsh.printer").format(list) end,
        __tojson = function() return list end,
    })
end

function make_instance(inst, more)
    local target, programs, map_list, object = raw.instance_parts(inst)
    local progs, by_name, sections = {}, {}, {}
    for _, program in ipairs(programs) do
        progs[raw.program_info(program).name] = program
    end
    local info = object_info(object)
    for i, map in ipairs(map_list) do
        if info.maps[i].is_data then
            sections[#sections + 1] = map
        else
            by_name[info.maps[i].name] = map
        end
    end
    parts[inst] = { target = target, progs = named(progs, "program", without_autoload(info)),
                    maps = assignable(named(by_name, "map")),
                    vars = maps.variables(sections), object = object }
    for name, value in pairs(more or {}) do
        parts[inst][name] = value
    end
    core.newest.instance = inst
    return inst
end

function instance_methods.close(inst)
    raw.instance_close(inst)
    if core.newest.instance == inst then
        core.newest.instance = nil
    end
end

require "mimicsh.promote"(raw, instance_methods, make_instance, packet_bytes)

-- What callbacks did; the table's text is one line and what went wrong.
local Advanced = { __name = "advanced" }

function Advanced.__tostring(advanced)
    local lines = { ("%d callbacks"):format(advanced.callbacks) }
    for _, list in ipairs{ advanced.faults, advanced.warnings, advanced.log } do
        for _, entry in ipairs(list) do
            lines[#lines + 1] = tostring(entry)
        end
    end
    return table.concat(lines, "\n")
end

function Instance.__index(inst, name)
    local method = instance_methods[name]
    if method then
        return method
    end
    local part = parts[inst][name]
    if part == nil then
        core.fail(("an instance has no field or method '%s'"):format(tostring(name)))
    end
    return part
end

core.completions.instance = {
    methods = instance_methods, fields = { progs = true, maps = true, vars = true, target = true },
    get = function(inst, name) return parts[inst][name] end,
}

local function sorted_names(list)
    local names = {}
    for name in pairs(list) do
        names[#names + 1] = name
    end
    table.sort(names)
    return table.concat(names, ", ")
end

function Instance.__tostring(inst)
    local part = parts[inst]
    return ("instance on %s: programs %s; maps %s"):format(part.target, sorted_names(part.progs), sorted_names(part.maps))
end

-- -- Faults, warnings, results --

local Fault = { __name = "fault", __tojson = function(fault) return { kind = fault.kind, program = fault.program,
    insn = fault.insn, file = fault.file, line = fault.line, column = fault.column, cause = fault.cause, hint = fault.hint } end }

function Fault.__tostring(fault)
    return fault.report or ("fault: %s: %s"):format(fault.kind or "?", fault.cause or "?")
end

local function position(entry)
    return entry.line and ("%s:%d: "):format(entry.file or "?", entry.line) or ""
end

local Warning = { __name = "warning" }

function Warning.__tostring(warning)
    return ("%s%s"):format(position(warning), warning.cause or "?")
end

local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local Emitted = { __name = "emitted" }

function Emitted.__index(copy, name)
    if name == "pkt" then
        local packet = parse(rawget(copy, "bytes"))
        rawset(copy, "pkt", packet)
        return packet
    end
end

function Emitted.__tojson(copy)
    local second = copy.second
    return { kind = copy.kind, index = copy.index, flags = copy.flags, packet = hex(copy.bytes), name = copy.name,
             map = copy.map, key = copy.key, dropped = copy.dropped,
             second = second and { program = second.program, verdict = second.verdict, ret = second.ret } }
end

-- inst:advance(ns) -> {callbacks=, faults=, warnings=, log=}: moves the clock and runs timers that are due.
function instance_methods.advance(inst, ns)
    local advanced, err = raw.instance_advance(inst, ns)
    if not advanced then
        return nil, err
    end
    for _, fault in ipairs(advanced.faults) do
        setmetatable(fault, Fault)
    end
    for _, warning in ipairs(advanced.warnings) do
        setmetatable(warning, Warning)
    end
    return setmetatable(advanced, Advanced)
end

local Result = { __name = "result" }

function Result.__index(result, name)
    if name == "pkt" then
        local packet = parse(rawget(result, "bytes"))
        rawset(result, "pkt", packet)
        return packet
    elseif name == "ctx" and rawget(result, "context") then
        local ctx = contexts.decode(result.context)
        rawset(result, "ctx", ctx)
        return ctx
    end
end

local function result_lines(result, with_packet)
    local lines = {}
    if result.fault then
        lines[1] = tostring(result.fault)
    else
        lines[1] = ("%s (ret %d), %d bytes"):format(result.verdict or "?", result.ret, #result.bytes)
        if result.redirect then
            local to = result.redirect
            lines[1] = ("%s, redirect to %s %d%s"):format(lines[1], to.kind, to.index, to.via and " via " .. to.via or "")
        end
    end
    for _, copy in ipairs(result.emitted) do
        lines[#lines + 1] = ("sent: %s to %d, %d bytes"):format(copy.kind, copy.index, #copy.bytes)
    end
    for i = #result.emitted + 1, #result.egress do -- the verdict's: one is in the first line
        local to = result.egress[i]
        if to.dropped or #result.egress > #result.emitted + 1 then
            lines[#lines + 1] = ("%s: %s to %s, %d bytes%s"):format(to.dropped and "dropped" or "sent", to.kind,
                to.name or to.index or to.key, #to.bytes, to.dropped and ": " .. to.dropped or "")
        end
    end
    for _, warning in ipairs(result.warnings) do
        lines[#lines + 1] = "warning: " .. tostring(warning)
    end
    for _, line in ipairs(result.log) do
        lines[#lines + 1] = "log: " .. line
    end
    if with_packet and not result.fault and type(result.pkt) == "userdata" then
        lines[#lines + 1] = tostring(result.pkt)
    end
    return lines
end

function Result.__tostring(result)
    return table.concat(result_lines(result), "\n")
end

function Result.__show(result, paint)
    local lines = result_lines(result, true)
    lines[1] = paint(result.fault and "error" or "head", lines[1])
    return table.concat(lines, "\n")
end

function Result.__tojson(result)
    local out = { verdict = result.verdict, ret = result.ret, packet = hex(result.bytes), fault = result.fault,
                  ns = result.ns, insns = result.insns, redirect = result.redirect, assigned = result.assigned }
    out.emitted, out.egress = require("json").array(result.emitted), require("json").array(result.egress)
    if result.tunnel then
        out.tunnel = {}
        for name, value in pairs(result.tunnel) do
            out.tunnel[name] = name == "options" and hex(value) or value
        end
    end
    out.warnings = require("json").array()
    for i, warning in ipairs(result.warnings) do
        out.warnings[i] = tostring(warning)
    end
    out.log = require("json").array(result.log)
    return out
end

-- -- Programs --

local Program = core.metatable "program"
local program_methods = Program.__index

function program_methods.run(prog, packet, options)
    options = check_options(options, "run", "ctx times trace cpu headroom tailroom linear l2 sock keys")
    local passed = { times = options.times, trace = options.trace, cpu = options.cpu }
    local prog_type = raw.program_info(prog).type
    local ctx, input = options.ctx, nil
    if type(packet) == "table" and (getmetatable(packet) or {}).__name == "context" then
        local given, err = packet:input(prog_type)
        if not given then
            return nil, err
        end
        input, packet, ctx, passed.calls = given, given.packet, ctx or given.ctx, given.calls
    end
    contexts.give(passed, options, input)
    local bytes = packet_bytes(packet)
    if ctx then
        passed.context, bytes = contexts.encode(prog_type, ctx, bytes)
    end
    local result, err = raw.program_run(prog, bytes, passed)
    if not result then
        return nil, err
    end
    if result.fault then
        setmetatable(result.fault, Fault)
    end
    for _, warning in ipairs(result.warnings) do
        setmetatable(warning, Warning)
    end
    for _, list in ipairs{ result.emitted, result.egress } do
        for _, sent in ipairs(list) do
            setmetatable(sent, Emitted)
        end
    end
    if prog_type == "flow_dissector" then
        result.keys = contexts.decode_keys(result.bytes)
        result.pkt = packet
    end
    return setmetatable(result, Result)
end

local Report = { __name = "report" }

local FIRST = { __index = function(first, name)
    if name == "pkt" then
        return parse(rawget(first, "bytes"))
    end
end }

local function report_lines(report)
    local verdicts = {}
    for verdict in next, report.verdicts do
        verdicts[#verdicts + 1] = verdict
    end
    table.sort(verdicts, function(a, b)
        local x, y = report.verdicts[a], report.verdicts[b]
        return x > y or x == y and a < b
    end)
    local lines = { ("%d packets, %d bytes%s"):format(report.packets, report.bytes,
        report.interrupted and " (interrupted)" or "") }
    for _, verdict in ipairs(verdicts) do
        local count = report.verdicts[verdict]
        lines[#lines + 1] = ("  %-9s %10d  %5.1f %%  first: packet %d"):format(verdict, count,
            100 * count / math.max(report.packets, 1), report.first[verdict] and report.first[verdict].index or 0)
    end
    local second = {}
    for verdict, count in next, report.second do
        second[#second + 1] = ("%s %d"):format(verdict, count)
    end
    table.sort(second)
    if second[1] then
        lines[#lines + 1] = "  programs of the targets: " .. table.concat(second, ", ")
    end
    if report.callbacks > 0 then
        lines[#lines + 1] = ("  callbacks of timers: %d, %d of them with a fault"):format(report.callbacks,
            report.callback_faults)
    end
    local names = {}
    for name in next, report.maps do
        names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
        local change = report.maps[name]
        lines[#lines + 1] = ("  map %s: %d added, %d changed, %d removed"):format(name, change.added, change.changed,
            change.removed)
    end
    for _, warning in ipairs(report.warnings) do
        lines[#lines + 1] = "  warning: " .. tostring(warning)
    end
    if report.fault then
        lines[#lines + 1] = tostring(report.fault)
    end
    return lines
end

function Report.__tostring(report)
    return table.concat(report_lines(report), "\n")
end

function Report.__show(report, paint)
    local lines = report_lines(report)
    lines[1] = paint("head", lines[1])
    return table.concat(lines, "\n") .. (report.seconds > 0 and paint("dim", ("\n  %.3f s, %.2f Mpps"):format(
        report.seconds, report.pps / 1e6)) or "")
end

function Report.__tojson(report)
    local first = {}
    for verdict, entry in next, report.first do
        first[verdict] = { index = entry.index, packet = hex(entry.bytes) }
    end
    return { packets = report.packets, bytes = report.bytes, verdicts = report.verdicts, second = report.second, first = first,
             callbacks = report.callbacks, callback_faults = report.callback_faults, maps = report.maps,
             interrupted = report.interrupted, seconds = report.seconds, pps = report.pps,
             fault = report.fault }
end

function program_methods.replay(prog, options)
    if type(options) == "string" then
        options = { pcap = options }
    end
    options = check_options(options, "replay", "pcap packets out limit workers clock")
    local passed = { pcap = options.pcap, out = options.out, limit = options.limit, workers = options.workers,
                     clock = options.clock, progress = config.progress }
    if options.packets ~= nil then
        passed.packets = {}
        for i, packet in ipairs(core.expect(options.packets, "packets", "table")) do
            passed.packets[i] = packet_bytes(packet)
        end
    end
    local report, err = raw.program_replay(prog, passed)
    if not report then
        return nil, err
    end
    for _, first in next, report.first do
        setmetatable(first, FIRST)
    end
    if report.fault then
        setmetatable(report.fault, Fault)
    end
    for _, warning in ipairs(report.warnings) do
        setmetatable(warning, Warning)
    end
    return setmetatable(report, Report)
end

local RaceReport = {}
RaceReport.__index = RaceReport

function RaceReport.__tostring(report)
    local lines = { ("%d interleaved runs, %d outcomes"):format(report.runs, #report.outcomes) }
    for _, outcome in ipairs(report.outcomes) do
        lines[#lines + 1] = ("%6d  %s, %s  first with seed %d%s"):format(outcome.count, outcome.verdicts[1],
            outcome.verdicts[2], outcome.seed, outcome.serial and "" or ": no order of the two gives this")
        for line in outcome.difference:gmatch("[^\n]+") do
            lines[#lines + 1] = "        " .. line
        end
    end
    if report.fault then
        lines[#lines + 1] = tostring(report.fault)
    end
    return table.concat(lines, "\n")
end

function RaceReport.__tojson(report)
    return { runs = report.runs, outcomes = report.outcomes, races = report.races, fault = report.fault }
end

function program_methods.race(prog, first, second, options)
    options = check_options(options or {}, "race", "runs seed")
    local report, err = raw.program_race(prog, packet_bytes(first), packet_bytes(second), options)
    if not report then
        return nil, err
    end
    report.races = 0
    for _, outcome in ipairs(report.outcomes) do
        report.races = report.races + (outcome.serial and 0 or outcome.count)
    end
    if report.fault then
        setmetatable(report.fault, Fault)
    end
    return setmetatable(report, RaceReport)
end

local PROGRAM_PROPERTIES = { name = true, type = true, insns = true, target = true, unsupported = true }

function Program.__index(prog, name)
    local method = program_methods[name]
    if method then
        return method
    elseif PROGRAM_PROPERTIES[name] then
        return raw.program_info(prog)[name]
    elseif name == "info" then
        return raw.program_info(prog)
    end
    core.fail(("a program has no field or method '%s'"):format(tostring(name)))
end

core.completions.program = {
    methods = program_methods, fields = { name = true, type = true, insns = true, target = true, unsupported = true,
                                         info = true },
}

function Program.__tostring(prog)
    local ok, info = pcall(raw.program_info, prog)
    if not ok then
        return "program (closed)"
    end
    return ("program %s (%s, %d instructions) on %s%s"):format(info.name, info.type, info.insns, info.target,
        info.unsupported and ": " .. info.unsupported or "")
end

-- -- Making objects --

function bpf.open(from)
    if type(from) ~= "string" then
        core.fail("bad argument 'path': expected path or bytes of an object, got " .. type(from))
    end
    return raw.object_open(from)
end

--- Options of a function that takes a text alone as well.
local function text_options(given, what, known)
    if type(given) == "string" then
        given = { given }
    elseif type(given) ~= "table" then
        core.fail(("bad argument #1 to '%s': expected text or table of options, got %s"):format(what, type(given)))
    end
    return check_options(given, what, known)
end

function bpf.compile(options)
    options = text_options(options, "compile", "1 file source defs include name")
    if not raw.object_compile then
        return fail_value("ENOTSUP", "compile", "this build has no compiler driver")
    end
    local text = options[1] or options.source
    if (text == nil) == (options.file == nil) then
        core.fail "compile: give file= or source=, one of them"
    end
    local passed = { file = options.file, source = text, name = options.name, include = {}, defs = {} }
    if text ~= nil then
        passed.origin, passed.line, passed.column = locate(core.expect(text, "source", "string"))
    end
    local include = core.expect(options.include or {}, "include", "string or table")
    for i, folder in ipairs(type(include) == "string" and { include } or include) do
        passed.include[i] = folder
    end
    for name, value in next, core.expect(options.defs or {}, "defs", "table") do
        if type(name) == "number" then
            passed.defs[#passed.defs + 1] = tostring(value)
        else
            core.expect(name, "defs", "string")
            passed.defs[#passed.defs + 1] = value == true and name or name .. "=" .. tostring(value)
        end
    end
    table.sort(passed.defs)
    return raw.object_compile(passed)
end

function bpf.filter(expression, options)
    if type(expression) ~= "string" then
        core.fail("bad argument #1 to 'filter': expected an expression such as \"udp port 53\", got " .. type(expression))
    end
    options = check_options(options, "filter", "hit miss type")
    local passed = { expression = expression, hit = options.hit, miss = options.miss, type = options.type }
    passed.origin, passed.line, passed.column = locate(expression)
    return raw.object_filter(passed)
end

function bpf.asm(options)
    options = text_options(options, "asm", "1 source name type license")
    local text = options[1] or options.source
    if type(text) ~= "string" then
        core.fail("bad argument 'source': expected string, got " .. type(text))
    end
    local passed = { source = text, name = options.name, type = options.type, license = options.license }
    passed.origin, passed.line, passed.column = locate(text)
    return raw.object_asm(passed)
end

function bpf.raw(options)
    options = check_options(options, "raw", "insns name type attach_type flags license maps fd_array btf func_info")
    if type(options.insns) ~= "string" then
        core.fail("bad argument 'insns': expected string of bytes, got " .. type(options.insns))
    end
    local passed = {}
    for name, value in next, options do
        passed[name] = value
    end
    passed.maps, passed.fd_array = raw_maps(core.expect(options.maps or {}, "maps", "table"),
        core.expect(options.fd_array or {}, "fd_array", "table"))
    return raw.object_raw(passed)
end

-- -- Docs --

core.doc("bpf.open", bpf.open, [[
bpf.open(path | bytes) -> object | nil, err
Reads a compiled object; nothing is loaded.
local _, err = bpf.open "/nonexistent.bpf.o"
print(err.code) --> ENOENT]])
core.doc("bpf.compile", bpf.compile, [[
bpf.compile{file= | source= [, defs={NAME=value}, include={folders}, name=]} -> object | nil, err
Compiles C with clang; a text instead of the table is source, and its errors point into the script that holds it.
local o = assert(bpf.compile [=[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
]=])
print(o.programs[1].name) --> pass]])
core.doc("bpf.asm", bpf.asm, [[
bpf.asm(text) or bpf.asm{text [, name=, type="xdp", license="GPL"]} -> object | nil, err
Assembles kernel-style instruction text; errors point at its lines in the script. docs/asm.md has the language.
local o = assert(bpf.asm "drop: r0 = 1\nexit")
print(assert(o:load "vm").progs.drop:run(pkt.eth{}/pkt.ip{}).verdict) --> DROP]])
core.doc("bpf.filter", bpf.filter, [[
bpf.filter(expression, {hit=, miss= [, type="xdp"|"tc"|"socket"]}) -> object | nil, err
Compiles an expression of pcap-filter(7) to a program named filter; hit and miss are verdicts, or the numbers returned.
local o = assert(bpf.filter("udp port 53", { hit = "DROP", miss = "PASS" }))
print(assert(o:load "vm").progs.filter:run(pkt.eth{}/pkt.ip{}/pkt.udp{dport=53}).verdict) --> DROP]])
core.doc("bpf.raw", bpf.raw, [[
bpf.raw{insns=bytes [, type="xdp", attach_type=, flags=, name=, license=, maps=, fd_array=, btf=, func_info=]} -> object
Makes an object of instructions as the kernel takes them; maps says by number of the load which map is meant, fd_array by index.
local o = assert(bpf.raw{ insns = "\183\0\0\0\1\0\0\0" .. "\149\0\0\0\0\0\0\0", name = "drop" })
print(assert(o:load "vm").progs.drop:run(pkt.eth{}/pkt.ip{}).verdict) --> DROP]])
core.doc("object:load", object_methods.load, [[
obj:load("vm" | "kernel" [, {vars=, maps=, kconfig=, pinned=, autoload=, seed=, mode=, kernel=, world=, ...}]) -> inst | nil, err
Makes an instance; vars sets globals, maps shares maps of the kernel (inst.maps.x = m too), the rest: docs/bpf.md, docs/vm.md.
print(assert(obj:load "vm").target) --> vm]])
core.doc("object:disasm", object_methods.disasm, [[
obj:disasm([program | {program=, full=, labels=true, source=true, slots=}]) -> text | nil, err
The linked instructions with source lines; full adds licence, maps and sections, so that bpf.asm takes the text.
print(obj:disasm "count":match "^count:") --> count:]])
core.doc("object:save", object_methods.save, [[
obj:save(path) -> true | nil, err
Writes the object as an ELF file that bpftool loads.
print(obj:save "/nonexistent/x.o" == nil) --> true]])
core.doc("object:close", object_methods.close, [[
obj:close()
Lets go of the object; its instances stay.
bpf.open "/nonexistent"]])
core.doc("instance:advance", instance_methods.advance, [[
inst:advance(ns) -> {callbacks=, faults=, warnings=, log=} | nil, err
Moves the vm's clock and runs the timers of its maps that are due.
print(assert(obj:load "vm"):advance(1000000).callbacks) --> 0]])
core.doc("instance:close", instance_methods.close, [[
inst:close()
Ends the instance with its programs and maps; does nothing when closed.
assert(obj:load "vm"):close()]])
core.doc("program:run", program_methods.run, [[
prog:run(packet | bytes | context [, {ctx=, times=, trace=, cpu=, headroom=, tailroom=, linear=, ...}]) -> result | nil, err
Runs on one packet: verdict, ret, pkt, bytes, ctx, ns, warnings, log, redirect, emitted, egress, tunnel; traced: insns; or fault.
print(prog:run(pkt.eth{}/pkt.ip{}/pkt.udp{dport=53}).verdict) --> PASS]])
core.doc("program:replay", program_methods.replay, [[
prog:replay("x.pcap") or prog:replay{pcap= | packets={...} [, out=DIR, limit=, workers=, clock=]} -> report | nil, err
Runs on many packets, on several CPUs with workers: verdicts, second (of programs in maps), first (packets), maps, fault.
print(prog:replay{ packets = { pkt.eth{}/pkt.ip{}, pkt.eth{}/pkt.ip{} } }.verdicts.PASS) --> 2]])

core.doc("program:race", program_methods.race, [[
prog:race(packet, packet [, {runs=100, seed=1}]) -> report | nil, err
Runs on two CPUs of the vm at the same time, interleaved by seeds: outcomes, races (runs that no order of the two gives).
print(prog:race(pkt.eth{}/pkt.ip{}, pkt.eth{}/pkt.ip{}).races) --> 0]])

return bpf
