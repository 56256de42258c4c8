-- SPDX-License-Identifier: MIT
-- Module test: cases in TAP form. The shell prints the summary at the end and leaves with 3 after a failure.
local core = require "mimicsh.core"
local pcall = core.pcall

local M = {}

local counts = { passed = 0, failed = 0, skipped = 0, number = 0 }
local targets = {} -- cases that ran, per target
M.counts, M.targets = counts, targets

local SKIP = {} -- error value of test.skip

local function first_user_line(message)
    return (tostring(message):gsub("\n.*", ""))
end

local function report(ok, name, note)
    counts.number = counts.number + 1
    print(("%s %d - %s%s"):format(ok and "ok" or "not ok", counts.number, name, note or ""))
end

local function on_error(err)
    if type(err) == "table" and err[1] == SKIP then
        return err
    end
    return { message = err, trace = debug.traceback("", 2) }
end

local function print_failure(err)
    local text = tostring(err.message)
    if core.is_error(err.message) and err.message.hint then
        text = text .. "\nhint: " .. err.message.hint
    end
    print("  " .. text:gsub("\n", "\n  "))
    for line in err.trace:gmatch "[^\n]+" do
        local user = line:match "^%s+([^%[][^:]*:%d+): "
        if user and not line:find("[mimicsh", 1, true) then
            print("    at " .. user)
        end
    end
end

--- The cases behind one that was interrupted do not run.
local function raise_interrupt(err)
    if type(err) == "table" and core.is_interrupt(err.message) then
        error(err.message, 0)
    end
end

function M.case(name, fn)
    if type(name) ~= "string" or type(fn) ~= "function" then
        core.fail "test.case: expected a name and a function"
    end
    local ok, err = xpcall(fn, on_error)
    if ok then
        counts.passed = counts.passed + 1
        report(true, name)
    elseif err[1] == SKIP then
        counts.skipped = counts.skipped + 1
        report(true, name, " # SKIP " .. err.reason)
    else
        counts.failed = counts.failed + 1
        report(false, name)
        print_failure(err)
    end
    io.stdout:flush()
    raise_interrupt(err)
end

function M.skip(reason)
    error({ SKIP, reason = tostring(reason) }, 0)
end

-- -- Comparing --

local function describe(x)
    return require("mimicsh.printer").format(x)
end

--- Equal by value: tables deep, integers across number and 64-bit kinds; the path of the first difference else.
local function difference(a, b, path, depth)
    if type(a) == "table" and type(b) == "table" then
        if depth > 50 then
            return path, a, b
        end
        for k, v in next, a do
            local where, x, y = difference(v, b[k], path .. "." .. tostring(k), depth + 1)
            if where then
                return where, x, y
            end
        end
        for k, v in next, b do
            if a[k] == nil then
                return path .. "." .. tostring(k), nil, v
            end
        end
        return nil
    end
    if type(a) ~= type(b) and not (type(a) == "cdata" and type(b) == "number" or
            type(a) == "number" and type(b) == "cdata") then
        return path, a, b
    end
    if a == b then
        return nil
    end
    return path, a, b
end

function M.eq(got, want, what)
    local path, x, y = difference(got, want, "", 0)
    if path then
        core.fail(("%sexpected %s, got %s%s"):format(what and what .. ": " or "", describe(y), describe(x),
            path ~= "" and " at " .. path or ""))
    end
end

function M.near(got, want, tolerance, what)
    tolerance = tolerance or 1e-9
    if type(got) ~= "number" or math.abs(got - want) > tolerance then
        core.fail(("%sexpected %s within %s, got %s"):format(what and what .. ": " or "", tostring(want),
            tostring(tolerance), tostring(got)))
    end
end

function M.raises(fn, pattern)
    local ok, err = pcall(fn)
    if ok then
        core.fail "expected an error, got none"
    end
    if pattern and not tostring(err):find(pattern) then
        core.fail(("expected an error like '%s', got '%s'"):format(pattern, tostring(err)))
    end
    return err
end

--- Counts a case that another runner has made (test.xdp), under its target.
function M.count(outcome, name, note, target)
    counts[outcome] = counts[outcome] + 1
    if target and outcome ~= "skipped" then
        targets[target] = (targets[target] or 0) + 1
    end
    report(outcome ~= "failed", name, note)
end

-- -- XDP cases: each on both targets --

local XDP_FIELDS = { name = true, input = true, maps = true, verdict = true, output = true, after = true, vars = true,
                     ctx = true }

local function check_xdp(spec, row)
    for name in next, row do
        if not XDP_FIELDS[name] then
            core.fail(("test.xdp: case '%s': unknown field '%s'"):format(tostring(row.name), tostring(name)))
        end
    end
    if type(row.name) ~= "string" or row.input == nil or row.verdict == nil then
        core.fail "test.xdp: a case has name, input and verdict"
    end
    if type(spec.object) ~= "userdata" then
        core.fail "test.xdp: object= names what to load"
    end
end

local function bytes_of(packet)
    return type(packet) == "string" and packet or packet:bytes()
end

local function packet_text(bytes)
    local hex = bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    return hex
end

--- Says how two packets differ, by field where both dissect.
local function check_output(result, output)
    local want = bytes_of(output)
    if result.bytes == want then
        return
    end
    local pkt = require "pkt"
    local lines = {}
    for _, d in ipairs(pkt.parse(want):diff(pkt.parse(result.bytes))) do
        lines[#lines + 1] = ("%s.%s: expected %s, got %s"):format(d.layer, d.field, d.before, d.after)
    end
    core.fail("output differs: " .. (#lines > 0 and table.concat(lines, "; ") or packet_text(result.bytes)))
end

local function fill_maps(inst, maps)
    for name, entries in next, maps or {} do
        for key, value in next, entries do
            assert(inst.maps[name]:put(key, value))
        end
    end
end

--- Values of typed maps against plain ones: the fields that the case names.
local function check_value(got, want, path)
    if type(want) == "table" and got ~= nil then
        for field, value in next, want do
            check_value(got[field], value, path .. "." .. tostring(field))
        end
    else
        M.eq(got, want, path)
    end
end

local function run_xdp(spec, row, target)
    local inst, err = spec.object:load(target, { vars = row.vars })
    if not inst then
        return err
    end
    fill_maps(inst, row.maps)
    local prog = spec.program and inst.progs[spec.program] or select(2, next(inst.progs))
    local result = assert(prog:run(row.input, { ctx = row.ctx }))
    local verdict = result.fault and "fault" or result.verdict
    if verdict ~= row.verdict then
        core.fail(("expected %s, got %s%s"):format(row.verdict, verdict, result.fault and ":\n" .. tostring(result.fault) or ""))
    end
    if row.output ~= nil then
        check_output(result, row.output)
    end
    for name, entries in next, row.after or {} do
        for key, value in next, entries do
            check_value(inst.maps[name]:get(key), value, ("%s[%s]"):format(name, tostring(key)))
        end
    end
    inst:close()
end

-- Errors that say that this process or kernel cannot load programs, nothing about the program.
local CANNOT_RUN = { EPERM = true, ENOTSUP = true, ENOSYS = true }

--- A program that faults on the vm is one that the kernel does not load. Returns why this could not be tried.
local function expect_refusal(spec, row)
    local inst, err = spec.object:load("kernel", { vars = row.vars })
    if inst then
        inst:close()
        core.fail "expected fault: the kernel loads the program"
    end
    return CANNOT_RUN[err.code] and err or nil
end

--- Runs one case on one target and counts it.
local function xdp_case(spec, row, target)
    local name = ("%s on %s"):format(row.name, target)
    local run = target == "kernel" and row.verdict == "fault" and expect_refusal or run_xdp
    local ok, err = xpcall(function() return run(spec, row, target) end, on_error)
    if ok and err and target == "kernel" and CANNOT_RUN[err.code] then
        return M.count("skipped", name, " # SKIP " .. first_user_line(err))
    elseif ok and not err then
        return M.count("passed", name, nil, target)
    end
    M.count("failed", name, nil, target)
    print_failure(ok and { message = err, trace = "" } or err)
    raise_interrupt(not ok and err)
end

function M.xdp(spec)
    if type(spec) ~= "table" or #spec == 0 then
        core.fail "test.xdp: expected {object=, [program=,] {name=, input=, verdict=, ...}, ...}"
    end
    for _, row in ipairs(spec) do
        check_xdp(spec, row)
        for _, target in ipairs(spec.targets or { "vm", "kernel" }) do
            xdp_case(spec, row, target)
        end
    end
end

core.doc("test.xdp", M.xdp, [[
test.xdp{object=, program=, {name=, input=, verdict= [, output=, maps=, after=, vars=, ctx=]}, ...}
Runs each case afresh on both targets (a fault: the kernel refuses to load); skips with the reason where it cannot run.
print(pcall(test.xdp, {}) == false) --> true]])

--- Asked by the shell when the main chunk has ended: a failed case may have left timers armed, and nobody waits for them.
function M.has_failed()
    return counts.failed > 0
end

--- Called by the shell at the end: prints the summary, returns the exit code (nil when there were no cases).
function M.finish()
    if counts.number == 0 then
        return nil
    end
    print(("1..%d"):format(counts.number))
    local ran = {}
    for target, count in pairs(targets) do
        ran[#ran + 1] = ("%s %d"):format(target, count)
    end
    table.sort(ran)
    if #ran > 0 then
        print("# cases by target: " .. table.concat(ran, ", "))
    end
    print(("# %d passed, %d failed, %d skipped"):format(counts.passed, counts.failed, counts.skipped))
    if counts.failed > 0 then
        return 3
    end
    return counts.passed == 0 and 77 or 0
end

core.doc("test.case", M.case, [[
test.case(name, fn)
Runs fn as a case: an error fails it, test.skip(reason) skips it; the program then ends with 0, 3 or 77.
test.case("adding works", function() test.eq(1 + 1, 2) end)]])
core.doc("test.eq", M.eq, [[
test.eq(got, want [, what])
Raises unless both are equal, tables by content.
test.eq({ 1, { a = 2ULL } }, { 1, { a = 2 } })]])
core.doc("test.near", M.near, [[
test.near(got, want [, tolerance [, what] ])
Raises unless the numbers are within the tolerance (1e-9).
test.near(0.1 + 0.2, 0.3)]])
core.doc("test.raises", M.raises, [[
test.raises(fn [, pattern]) -> error
Raises unless fn does; the message must match the Lua pattern.
test.raises(function() error "no luck" end, "luck")]])
core.doc("test.skip", M.skip, [[
test.skip(reason)
Ends the case as skipped.
test.case("needs root", function() test.skip "not root" end)]])

return M
