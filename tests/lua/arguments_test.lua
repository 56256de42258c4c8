-- SPDX-License-Identifier: MIT
-- Arguments and options of the wrong type or out of range: refused at the caller's line, by name, with what was expected.
local test = require "test"
local bpf, context = require "bpf", require "context"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local PACKET = ("x"):rep(20)
local RETURN = "\149\0\0\0\0\0\0\0"
local obj = assert(bpf.asm ".map numbers type=array key=u32 value=u64 entries=4\nr1 = map[numbers]\nr0 = 2\nexit")

--- Calls fn, which has to be refused with the text at its own line.
local function refuses(fn, text)
    local ok, err = pcall(fn)
    local line = debug.getinfo(fn, "S").linedefined
    assert(not ok, text)
    test.eq(tostring(err):gsub("^.*/", ""), ("arguments_test.lua:%d: %s"):format(line, text))
end

both("options of a load", function(load, target)
    load(obj):close()
    for name, expected in pairs{ maps = "table of maps by name", pinned = "table of paths by name of map",
                                 kconfig = "table of values by name", autoload = "list of names of programs",
                                 vars = "table" } do
        for _, wrong in ipairs{ 5, "x", 1ULL, true } do
            refuses(function() obj:load(target, { [name] = wrong }) end,
                ("bad argument '%s': expected %s, got %s"):format(name, expected, type(wrong)))
        end
    end
    refuses(function() obj:load(target, { kconfig = { [true] = 1 } }) end, "bad argument 'kconfig': expected string, got boolean")
    refuses(function() obj:load(target, { kconfig = { CONFIG_X = {} } }) end,
        "bad argument 'kconfig.CONFIG_X': expected integer, boolean or string, got table")
    refuses(function() obj:load(target, { pinned = { numbers = 5 } }) end,
        "bad argument 'pinned.numbers': expected string, got number")
    refuses(function() obj:load(target, { autoload = { 5 } }) end, "bad argument 'autoload': expected string, got number")
end)

test.case("options of the vm", function()
    refuses(function() obj:load("vm", { world = 5 }) end, "bad argument 'world': expected table or string, got number")
    for _, cpus in ipairs{ 0, 1025, 5000 } do
        refuses(function() obj:load("vm", { cpus = cpus }) end,
            ("bad argument 'cpus': %d is outside 1 to 1024"):format(cpus))
    end
    refuses(function() obj:load("vm", { cpu = 1024 }) end, "bad argument 'cpu': 1024 is outside 0 to 1023")
    assert(obj:load("vm", { cpus = 1024, cpu = 1023 }))
    local function one() return 1 end
    assert(obj:load("vm", { helpers = { bpf_get_prandom_u32 = one } }))
    for _, twice in ipairs{ { bpf_get_prandom_u32 = one, get_prandom_u32 = one }, { get_prandom_u32 = one, [7] = one } } do
        refuses(function() obj:load("vm", { helpers = twice }) end,
            "bad argument 'helpers': helper 7 (bpf_get_prandom_u32) is given twice")
    end
end)

test.case("the clock goes forward only", function()
    local inst = assert(obj:load "vm")
    for _, wrong in ipairs{ -1, -5, -1LL } do
        refuses(function() inst:advance(wrong) end, ("bad argument 'ns': %s is outside 0 to 9223372036854775807"):format(
            (tostring(wrong):gsub("LL", ""))))
    end
    refuses(function() inst:advance(2 ^ 63) end,
        "bad argument 'ns': 9223372036854775808 is outside 0 to 9223372036854775807")
    test.eq(assert(inst:advance(2 ^ 62)).callbacks, 0)
end)

test.case("options of runs", function()
    local main = assert(obj:load "vm").progs.main
    for _, wrong in ipairs{ 5, {} } do
        refuses(function() main:run(PACKET, { ctx = { meta = wrong } }) end,
            "bad argument 'ctx.meta': expected string, got " .. type(wrong))
    end
    for _, wrong in ipairs{ 5, "x", 1ULL } do
        refuses(function() main:replay{ packets = wrong } end, "bad argument 'packets': expected table, got " .. type(wrong))
    end
    local filter = assert(assert(bpf.asm{ "r0 = 0\nexit", type = "sched_cls" }):load "vm").progs.main
    refuses(function() filter:run(PACKET, { ctx = { cb = 5 } }) end, "bad argument 'ctx.cb': expected table, got number")
end)

test.case("what objects are made of", function()
    local function compile(options)
        options.source = options.source or "int x;"
        return bpf.compile(options)
    end
    for _, wrong in ipairs{ 5, 1ULL } do
        refuses(function() compile{ defs = wrong } end, "bad argument 'defs': expected table, got " .. type(wrong))
        refuses(function() compile{ include = wrong } end,
            "bad argument 'include': expected string or table, got " .. type(wrong))
        refuses(function() compile{ source = wrong } end, "bad argument 'source': expected string, got " .. type(wrong))
    end
    refuses(function() compile{ defs = { [{}] = 1 } } end, "bad argument 'defs': expected string, got table")
    refuses(function() bpf.raw{ insns = RETURN, maps = 5 } end, "bad argument 'maps': expected table, got number")
    refuses(function() bpf.raw{ insns = RETURN, fd_array = 5 } end, "bad argument 'fd_array': expected table, got number")
end)

test.case("types of a map", function()
    local numbers = assert(obj:load "vm").maps.numbers
    refuses(function() numbers:typed({ 1, 2 }, "u64") end,
        'key: field 1: expected a name and a type like {"pkts", "u64"}, got number')
    refuses(function() numbers:typed("u32", { { 1, 2 } }) end,
        'value: field 1: expected a name and a type like {"pkts", "u64"}, got table')
end)

test.case("what contexts are saved to and asked for", function()
    refuses(function() context.save("/nonexistent/f.json", 5) end, "bad argument 'contexts': expected table, got number")
    refuses(function() context.save("/nonexistent/f.json", nil) end, "bad argument 'contexts': expected table, got nil")
    refuses(function() context.save() end, "bad argument 'path': expected string, got nil")
    local one = assert(context.make{ type = "xdp_md", ctx = { packet = "AAECAwQFBgcICQoLCAA=" } })
    refuses(function() one:input "foo" end, "bad argument 'prog_type': no program type 'foo'")
    refuses(function() one:input() end, "bad argument 'prog_type': expected string, got nil")
end)
