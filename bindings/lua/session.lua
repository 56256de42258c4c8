-- SPDX-License-Identifier: MIT
-- The session at the prompt: its results, its statements as a script, and the commands that begin with a colon.
local core = require "mimicsh.core"
local config = require "mimicsh.config"

local M = {}

local statements = {} -- those that ran without an error
local results = 0     -- how many of _1, _2... are set

--- Keeps the values of a statement as _1, _2, ...
function M.keep(...)
    for i = 1, math.max(results, select("#", ...)) do
        rawset(_G, "_" .. i, (select(i, ...)))
    end
    results = select("#", ...)
end

function M.note(text)
    statements[#statements + 1] = text
end

-- -- The session as a script --

local function mentions(text, module)
    for before, word in text:gmatch "([%.:]?)%f[%w_]([%a_][%w_]*)" do
        if word == module and before == "" then
            return true
        end
    end
end

local function as_statement(text)
    text = text:gsub("^%s*=", "")
    return load(text) and text or "_1 = " .. text .. "\nshow(_1)"
end

--- The session so far as the text of a script.
local function script()
    local all = table.concat(statements, "\n")
    local lines = { "#!/usr/bin/env mimicsh" }
    for _, module in ipairs(core.list_modules()) do
        if mentions(all, module.name) then
            lines[#lines + 1] = ("local %s = require %q"):format(module.name, module.name)
        end
    end
    for _, text in ipairs(statements) do
        lines[#lines + 1] = as_statement(text)
    end
    return table.concat(lines, "\n") .. "\n"
end

local function failure(op, reason)
    return nil, core.error_object{ code = "EIO", op = op, msg = reason }
end

local function check_path(path, what)
    if type(path) ~= "string" or path == "" then
        core.fail("bad argument 'path': expected a path to " .. what .. ", got " .. (path == "" and "nothing" or type(path)))
    end
end

function M.save(path)
    check_path(path, "write")
    local file, reason = io.open(path, "w")
    if not file then
        return failure("session.save", reason)
    end
    file:write(script())
    file:close()
    return true
end

function M.load(path)
    check_path(path, "run")
    local chunk, reason = loadfile(path)
    if not chunk then
        return failure("session.load", reason)
    end
    return chunk()
end

-- -- Settings --

local SETTINGS = { color = "colours on standard output", json = "values as JSON", verbose = "tracebacks with errors" }
local WORDS = { on = true, off = false, ["true"] = true, ["false"] = false }

function M.set(name, value)
    if name == nil then
        local rows = {}
        for setting, what in pairs(SETTINGS) do
            rows[#rows + 1] = { setting = setting, value = tostring(config[setting]), what = what }
        end
        table.sort(rows, function(a, b) return a.setting < b.setting end)
        require("mimicsh.printer").tbl(rows, { "setting", "value", "what" })
        return
    end
    if type(value) == "string" then
        value = WORDS[value]
    end
    if not SETTINGS[name] or type(value) ~= "boolean" then
        core.fail("settings are color, json and verbose, each on or off; set() lists them")
    end
    config[name] = value
end

-- -- Doing things --

local function compile(text)
    local fn, reason = load("return " .. text, "=time")
    if not fn then
        fn, reason = load(text, "=time")
    end
    return fn or core.fail(reason)
end

function M.time(what)
    local fn = type(what) == "string" and compile(what) or what
    if type(fn) ~= "function" then
        core.fail("bad argument 'what': expected function or text, got " .. type(what))
    end
    local begin = os.clock()
    local function stop(...)
        print(("%.3f ms of processor time"):format((os.clock() - begin) * 1000))
        return ...
    end
    return stop(fn())
end

function M.edit()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(statements[#statements] or "")
    file:close()
    local function named(variable)
        local value = os.getenv(variable)
        return value ~= "" and value or nil
    end
    local editor = named "VISUAL" or named "EDITOR" or "vi"
    os.execute(editor .. " " .. path)
    file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    os.remove(path)
    local chunk, reason = load(text, "=edit")
    if not chunk then
        core.fail(reason)
    end
    M.note((text:gsub("\n+$", "")))
    return chunk()
end

function M.jobs()
    local rows = core.tasks()
    if #rows == 0 then
        print "nothing runs beside the prompt"
    else
        require("mimicsh.printer").tbl(rows, { "task", "state" })
    end
end

function M.quit()
    M.is_over = true
end

local COMMANDS = {
    help = function(word) require("mimicsh.help").help(word ~= "" and word or nil) end,
    set = function(words)
        local name, value = words:match "^(%S+)%s+(%S+)$"
        if words == "" then
            M.set()
        elseif name then
            M.set(name, value)
        else
            core.fail ":set NAME on|off"
        end
    end,
    time = function(text) return M.time(text) end,
    save = function(path) return assert(M.save(path)) end,
    load = function(path) return M.load(path) end,
    edit = function() return M.edit() end,
    jobs = function() M.jobs() end,
    quit = function() M.quit() end,
}

--- Names of the commands, and of the settings, as keys.
M.commands, M.settings = COMMANDS, SETTINGS

--- ":save x.lua" and the like; without the colon.
function M.command(text)
    local name, rest = text:match "^(%a*)%s*(.-)%s*$"
    local run = COMMANDS[name]
    if not run then
        core.fail("no command ':" .. (name or text) .. "' (there are :edit :help :jobs :load :quit :save :set :time)")
    end
    return run(rest)
end

-- -- A prompt in the middle of a script --

function M.repl()
    if core.at_prompt then
        core.fail "repl: a prompt is open already; it opens one inside a script"
    end
    local names, places = {}, {}
    local values = {}
    local info = debug.getinfo(3, "f") -- behind the lazy global
    for i = 1, info and 200 or 0 do
        local name, value = debug.getupvalue(info.func, i)
        if not name then
            break
        end
        names[name], places[name], values[name] = "upvalue", i, value
    end
    for i = 1, 200 do
        local name, value = debug.getlocal(3, i)
        if not name then
            break
        end
        if name:sub(1, 1) ~= "(" then
            names[name], places[name], values[name] = "local", i, value
        end
    end
    local modules = {} -- that the script has not made its own; it does not see them
    for _, module in ipairs(core.list_modules()) do
        modules[module.name] = true
    end
    local env = setmetatable({}, {
        __index = function(_, name)
            if names[name] then
                return values[name]
            end
            local value = _G[name]
            if value == nil and modules[name] then
                return require(name)
            end
            return value
        end,
        __newindex = function(_, name, value)
            if names[name] then
                values[name] = value
            else
                _G[name] = value
            end
        end,
    })
    core.local_values = values
    core.open_repl(env)
    core.local_values = nil
    for name, kind in pairs(names) do
        if kind == "local" then
            debug.setlocal(3, places[name], values[name])
        else
            debug.setupvalue(info.func, places[name], values[name])
        end
    end
end

core.doc("session.save", M.save, [[
session.save(path) -> true | nil, err
Writes what was typed so far as a script that mimicsh runs; also :save path.
local session = require "session"
print(session.save "/nonexistent/x.lua" == nil) --> true]])
core.doc("session.load", M.load, [[
session.load(path) -> what the file returns | nil, err
Runs a file in this session, with its globals; also :load path.
local session = require "session"
print(session.load "/nonexistent/x.lua" == nil) --> true]])
core.doc("session.set", M.set, [[
session.set([name, value])
Changes a setting (color, json, verbose: true or false), or lists them; also :set name on|off.
local session = require "session"
session.set("verbose", false)]])
core.doc("session.time", M.time, [[
session.time(function | text) -> its results
Runs it and prints the processor time that it took; also :time text.
local session = require "session"
print(session.time(function() return 7 end) == 7)]])
core.doc("session.edit", M.edit, [[
session.edit() -> its results
Opens the last statement in $VISUAL or $EDITOR, and runs what was saved; also :edit.
local session = require "session"
print(type(session.edit)) --> function]])
core.doc("session.jobs", M.jobs, [[
session.jobs()
Lists the tasks and timers beside the prompt; also :jobs.
local session = require "session"
session.jobs()]])
core.doc("session.quit", M.quit, [[
session.quit()
Leaves the prompt after this statement, as ^D does; also :quit.
local session = require "session"
print(type(session.quit)) --> function]])
core.doc("repl", M.repl, [[
repl()
Opens the prompt inside a script, with the caller's locals; what is assigned there is kept when it is left.
print(type(repl)) --> function]])

return M
