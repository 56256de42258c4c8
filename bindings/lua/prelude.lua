-- SPDX-License-Identifier: MIT
-- Runs in every new state: require that may block, coroutines that let tasks block inside them, lazy globals.
local BLOCK = ...
local core = package.loaded["mimicsh.core"]
local type, error, rawget = type, error, rawget
local get_metatable = debug.getmetatable

-- -- Coroutines: a blocking call inside a user's coroutine suspends the whole task --

local raw_resume, raw_yield, raw_create = coroutine.resume, coroutine.yield, coroutine.create

local function pass_blocks(co, ok, first, ...)
    if ok and first == BLOCK then
        return pass_blocks(co, raw_resume(co, raw_yield(BLOCK)))
    end
    return ok, first, ...
end

function coroutine.resume(co, ...)
    return pass_blocks(co, raw_resume(co, ...))
end

local function unwrap(ok, ...)
    if not ok then
        error((...), 0)
    end
    return ...
end

function coroutine.wrap(fn)
    local co = raw_create(fn)
    return function(...)
        return unwrap(coroutine.resume(co, ...))
    end
end

-- -- Catching errors in our own halves --

local function pass_interrupt(ok, err, ...)
    if not ok and core.is_interrupt(err) then
        error(err, 0)
    end
    return ok, err, ...
end

--- pcall for what the halves make an outcome of: ^C is none, and goes on to whoever called them.
function core.pcall(fn, ...)
    return pass_interrupt(pcall(fn, ...))
end

--- Text of an error value, whatever it is.
function core.text_of(value)
    local mt = type(value) == "table" and get_metatable(value)
    if type(value) ~= "table" or mt and rawget(mt, "__tostring") then
        return tostring(value)
    end
    return require("mimicsh.printer").format(value)
end

-- -- pairs that honours __pairs (LuaJIT without 5.2 compatibility does so for cdata only) --

local raw_pairs = pairs

function pairs(t)
    local kind = type(t)
    if kind == "table" or kind == "userdata" then
        local mt = get_metatable(t)
        local walk = mt and rawget(mt, "__pairs")
        if walk then
            return walk(t)
        end
    end
    return raw_pairs(t)
end

-- -- require: written in Lua, so that a module may block while it loads --

local loaded = package.loaded
local loading = {} -- name -> {task=, waiters=}
local task_module

local function load_builtin(name)
    local c_part, has_lua = core.open_module(name)
    if has_lua == nil then
        return nil
    end
    return function()
        if not has_lua then
            return c_part
        end
        return core.load_half(name)(c_part)
    end
end

local function builtin_loader(name)
    local internal = name:match("^mimicsh%.(.+)$")
    return internal and core.load_half(internal) or load_builtin(name) or ("\n\tno built-in module '" .. name .. "'")
end

table.insert(package.loaders, 2, builtin_loader)

local function find(name)
    local tried = {}
    for _, loader in ipairs(package.loaders) do
        local found = loader(name)
        if type(found) == "function" then
            return found
        elseif type(found) == "string" then
            tried[#tried + 1] = found
        end
    end
    core.fail("module '" .. name .. "' not found:" .. table.concat(tried))
end

local function release(name)
    local waiters = loading[name].waiters
    loading[name] = nil
    for _, waker in ipairs(waiters) do
        task_module.wake(waker)
    end
end

local function load_module(name, chunk)
    local result = chunk(name)
    if result ~= nil then
        loaded[name] = result
    elseif loaded[name] == nil then
        loaded[name] = true
    end
end

function require(name)
    if type(name) ~= "string" then
        core.fail("bad argument 'name': expected string, got " .. type(name))
    end
    while true do
        local module = loaded[name]
        if module ~= nil then
            return module
        end
        local other = loading[name]
        if not other then
            break
        end
        if not task_module or other.task == task_module.current() then
            core.fail("module '" .. name .. "' requires itself")
        end
        local waker = task_module.waker("require")
        other.waiters[#other.waiters + 1] = waker
        task_module.block()
    end
    local chunk = find(name)
    if name ~= "task" and not task_module then
        task_module = core.open_module("task")
    end
    loading[name] = { task = task_module and task_module.current(), waiters = {} }
    local ok, err = pcall(load_module, name, chunk)
    release(name)
    if not ok then
        error(err, 0)
    end
    return loaded[name]
end

-- What the prompt may ask values of our own kinds, by the name of the kind, without side effects: methods (a table), fields
-- (names as keys), names(value) (a list), get(value, name), keys(value, most), element(value) (names of an element's fields).
core.completions = {}

-- Links that scripts hold, as keys.
core.links = setmetatable({}, { __mode = "k" })

-- `instance`: the one that was loaded last, while it is there and open.
core.newest = setmetatable({}, { __mode = "v" })

-- -- Globals that load their half at first use --

core.lazy = {} -- name -> half

local function lazy(half, name)
    core.lazy[name] = half
    _G[name] = function(...)
        return require("mimicsh." .. half)[name](...)
    end
end

lazy("printer", "show")
lazy("printer", "tbl")
lazy("charts", "hist")
lazy("charts", "spark")

function repl()
    require("session").repl() -- no tail call: it looks for the caller's locals
end
lazy("help", "help")
lazy("integers", "num")
lazy("integers", "key")

u64 = setmetatable({}, {
    __call = function(_, x)
        return require("mimicsh.integers").u64(x)
    end,
    __index = function(self, name)
        local fn = require("mimicsh.integers")["u64_" .. tostring(name)]
        self[name] = fn
        return fn
    end,
})

--- The value, which is of one of the types ("string", "string or table"); raises else.
function core.expect(value, name, wanted)
    for kind in wanted:gmatch "%a+" do
        if type(value) == kind then
            return value
        end
    end
    core.fail(("bad argument '%s': expected %s, got %s"):format(name, wanted, type(value)))
end

--- Raises on options that are not in the list; returns the table (empty without one).
function core.check_options(options, what, known)
    if options == nil then
        return {}
    elseif type(options) ~= "table" then
        core.fail(("bad argument '%s': expected table of options, got %s"):format(what, type(options)))
    end
    local names = {}
    for name in known:gmatch "%S+" do
        names[name] = true
    end
    for name in next, options do
        if not names[tostring(name)] then
            core.fail(("%s: unknown option '%s' (known: %s)"):format(what, tostring(name), known:gsub(" ", ", ")))
        end
    end
    return options
end

--- Makes the built-in modules visible as globals (prompt and -e); each is loaded when first named.
function core.open_globals()
    local names = {}
    for _, module in ipairs(core.list_modules()) do
        names[module.name] = true
    end
    local mt = getmetatable(_G) or {}
    local before = mt.__index
    mt.__index = function(t, name)
        if names[name] then
            return require(name)
        elseif type(before) == "function" then
            return before(t, name)
        end
        return before and before[name]
    end
    setmetatable(_G, mt)
end
