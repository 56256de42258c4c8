-- SPDX-License-Identifier: MIT
-- The executable from outside: options, exit codes, errors, the prompt in a pipe.
local test = require "test"

local binary = os.getenv "MIMICSH"

local function quote(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Runs mimicsh with a command line and an input: {code=, out=, err=}.
local function run(arguments, input)
    if not binary then
        test.skip "MIMICSH does not name the binary"
    end
    local err_path = os.tmpname()
    local pipe = assert(io.popen(("printf %%s %s | %s %s 2>%s; echo \"code $?\""):format(quote(input or ""), quote(binary),
        arguments, err_path)))
    local out = pipe:read "*a"
    pipe:close()
    local file = io.open(err_path)
    local err = file:read "*a"
    file:close()
    os.remove(err_path)
    local text, code = out:match "^(.*)code (%d+)\n$"
    return { code = tonumber(code), out = text, err = err }
end

local function with_script(text, fn)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    fn(path)
    os.remove(path)
end

test.case("a line without end is refused", function()
    if not binary then
        test.skip "MIMICSH does not name the binary"
    end
    local endless = "head -c 70000000 /dev/zero | tr '\\0' ' ' | cat - /dev/zero"
    local pipe = assert(io.popen(("%s | %s 2>&1; echo \"code $?\""):format(endless, quote(binary))))
    local out = pipe:read "*a"
    pipe:close()
    test.eq(out, "stdin:1: line of more than 67108864 bytes\ncode 1\n")
end)

test.case("a timeout is a positive number of seconds", function()
    for _, text in ipairs{ "-1", "0", "soon", "1e300", "nan" } do
        local result = run("--timeout " .. text)
        test.eq(result.code, 2)
        test.eq(result.err, "mimicsh: --timeout: expected seconds, more than 0 and up to 1e9, got " .. text ..
            "\nhint: mimicsh --help lists the options\n")
    end
end)

test.case("a timeout ends a prompt too, in a pipe and inside a script", function()
    for _, input in ipairs{ "timer.after(50, print)", "timer.sleep(50)", "while true do end" } do
        local result = run("--timeout 0.1", input .. "\nprint 'after'\n")
        test.eq({ result.code, result.err:match "[^\n]*\n$" }, { 142, "mimicsh: timed out\n" }, input)
    end
    with_script("repl()\nprint 'after'", function(path)
        local result = run("--timeout 0.1 " .. path, "timer.sleep(50)\n")
        test.eq({ result.code, result.out }, { 142, "" })
        assert(result.err:find "mimicsh: timed out\n$", result.err)
    end)
end)

test.case("help, quit and exit are commands by their names alone, unless there is such a global", function()
    test.eq(run("", "help\n").out, run("-e 'help()'").out)
    test.eq(run("", "help bpf.open\n").out, run("-e 'help(bpf.open)'").out)
    test.eq(run("", ":help bpf.open\n").out, run("-e 'help(bpf.open)'").out)
    for _, word in ipairs{ "quit", "exit()", ":quit", "  exit  " } do
        test.eq(run("", word .. "\nprint 'after'\n").out, "", word)
    end
    test.eq(run("", "quit = 5\nquit\nprint 'after'\n").out, "5\nafter\n")
    assert(run("", "help me out\n").err:find("stdin:1: ", 1, true))
end)

test.case("there is one prompt at a time", function()
    local result = run("", "repl()\n")
    test.eq(result.err, "stdin:1: repl: a prompt is open already; it opens one inside a script\n")
    with_script("local x = 1\nrepl()\nprint(x)\nrepl()", function(path)
        test.eq(run(path, "x = x + 1\n").out, "2\n") -- the second ends at once: the input has
    end)
    with_script("repl()\nprint(pkt, json)", function(path)
        test.eq(run(path, "json.encode{ 1 }\njson = 5\n").out, "\"[1]\"\nnil\t5\n") -- modules are there, at the prompt only
    end)
end)

test.case("errors of filters and of the assembler show the place", function()
    local filter = run([[-e 'assert(bpf.filter("udp prt 53", {hit="DROP", miss="PASS"}))']])
    test.eq(filter.err, "mimicsh: filter: -e:1:24: syntax error, 'prt' cannot stand here\n    1 | udp prt 53\n      |     ^\n" ..
        "hint: did you mean 'port'?\n")
    local asm = run([[-e 'assert(bpf.asm "r0 += foo\nexit")']])
    test.eq(asm.err:match "\n.*", "\n    1 | r0 += foo\n      |       ^\n")
end)

test.case("exit codes say how it went", function()
    for _, case in ipairs{
        { "-e ''", 0 }, { "-e 'error(1)'", 1 }, { "--nonsense", 2 }, { "--color sometimes", 2 }, { "--seed x", 2 },
        { "/nonexistent.lua", 1 }, { "--version", 0 }, { "--help", 0 }, { "-e 'x='", 1 },
        { "-e 'test.case(\"a\", function() error() end)'", 3 },
        { "--timeout 60 -e 'timer.every(1, print); test.case(\"a\", function() error() end)'", 3 },
        { "-e 'test.case(\"a\", function() test.skip(1) end)'", 77 },
        { "-e 'test.case(\"a\", function() end)'", 0 },
        { "-e 'timer.after(0, function() error(\"x\") end)'", 1 },
        { "--timeout 0.05 -e 'timer.sleep(10)'", 142 }, { "--timeout 0.05 -e 'while true do end'", 142 },
        { "-e 'os.exit(9)'", 9 }, { "-l nonexistent -e ''", 1 } } do
        test.eq(run(case[1]).code, case[2], case[1])
    end
end)

test.case("an interrupt stops a loop, a sleep, and the program, with 130", function()
    for _, code in ipairs{ "while true do end", "timer.sleep(10)", "while true do timer.sleep(0) end",
                           "task.spawn(function() timer.sleep(10) end)", "pcall(timer.sleep, 10)" } do
        local kill = "local ffi = require \"ffi\"; ffi.cdef \"int kill(int, int); int getpid(void);\"; " ..
            "timer.after(0.02, function() ffi.C.kill(ffi.C.getpid(), 2) end); "
        if code == "while true do end" then
            -- Nothing but a signal from outside gets into such a loop.
            kill = "local ffi = require \"ffi\"; ffi.cdef \"unsigned alarm(unsigned); int getpid(void);\"; " ..
                "io.popen(\"kill -INT \" .. ffi.C.getpid()); "
        end
        local result = run("-e " .. quote(kill .. code))
        test.eq({ result.code, result.err }, { 130, "mimicsh: interrupted\n" }, code)
    end
end)

test.case("an interrupt in a function that our own code calls is no outcome of that code", function()
    local head = [[
        local ffi = require "ffi"; ffi.cdef "int getpid(void);"
        local function loop() io.popen("kill -INT " .. ffi.C.getpid()) while true do end end
        local ok, two = bpf.asm "mine: call 500\nr0 = 2\nexit", ("x"):rep(20)
        local function mine(fn) return assert(ok:load("vm", { helpers = { [500] = fn } })).progs.mine end
    ]]
    for _, code in ipairs{
        'context.register("loop", loop) context.make{ type = "loop", ctx = {} }',
        'context.register("loop", function() return loop end) mine(print):run(assert(context.make{ type = "loop", ctx = {} }))',
        "task.spawn(loop):join()",
        'io.popen("sleep 0.3; kill -INT " .. ffi.C.getpid())' ..
            ' bpf.asm("r0 = 2\\nexit"):load("vm").progs.main:run(two, { times = 2^32 - 1 })',
        "mine(loop):run(two)", "mine(loop):run(two, { trace = true })", 'test.case("a", loop)',
        "test.raises(loop)" } do
        local result = run("--timeout 20 -e " .. quote(head .. code .. ' print "went on"'))
        test.eq(result.code, 130, code)
        assert(not result.out:find "went on" and result.err == "mimicsh: interrupted\n", result.out .. result.err)
    end
    local result = run("-e " .. quote(head .. [[
        local calls = 0
        local report = mine(function() calls = calls + 1 return calls == 3 and loop() or 0 end):replay{
            packets = { two, two, two, two, two } }
        print(report.interrupted, report.packets, report.verdicts.PASS)]]))
    test.eq({ result.code, result.out, result.err }, { 0, "true\t3\t2\n", "" })
end)

test.case("cleanups run when an interrupt unwinds a task", function()
    local result = run("-e " .. quote [[
        local ffi = require "ffi"; ffi.cdef "int kill(int, int); int getpid(void);"
        timer.after(0.01, function() ffi.C.kill(ffi.C.getpid(), 2) end)
        local ok, err = pcall(function() timer.sleep(10) return 1 end)
        print("cleaned up", ok, err.code)
        error(err, 0)]])
    test.eq({ result.code, result.out }, { 130, "cleaned up\tfalse\tEINTR\n" })
end)

test.case("what follows the script's name is the script's", function()
    with_script("#!/usr/bin/env mimicsh\nprint(...)\nprint(arg[0] ~= nil, arg[1], arg[2], #arg)", function(path)
        test.eq(run(path .. " -e --json -- -i").out, "-e\t--json\t--\t-i\ntrue\t-e\t--json\t4\n")
    end)
end)

test.case("errors show position, text and source line, and no frames of ours", function()
    with_script("local x\n  x.y = 1\n", function(path)
        local result = run(path)
        test.eq(result.err, ("mimicsh: %s:2: attempt to index local 'x' (a nil value)\n    x.y = 1\n"):format(path))
        assert(run("-v " .. path).err:find("stack traceback", 1, true))
    end)
    with_script("local timer = require 'timer'\ntimer.sleep({})\n", function(path)
        assert(run(path).err:find(path .. ":2: bad argument 'seconds'", 1, true), run(path).err)
        assert(not run(path).err:find("[mimicsh", 1, true))
    end)
    with_script("assert(require('pcap').open('/nonexistent'))", function(path)
        test.eq(run(path).err, ("mimicsh: %s:1: open capture: /nonexistent: no such file or directory\n" ..
            "    assert(require('pcap').open('/nonexistent'))\n"):format(path))
    end)
    with_script("x = = 1", function(path)
        assert(run(path).err:find(path .. ":1: unexpected symbol near '='", 1, true))
    end)
end)

test.case("an error in a callback is reported with its task and does not end the loop", function()
    with_script([[
local timer = require "timer"
timer.after(0, function() error "first" end)
timer.after(0.01, function() print "still here" end)]], function(path)
        local result = run(path)
        test.eq({ result.code, result.out }, { 1, "still here\n" })
        assert(result.err:find("in timer.after: " .. path .. ":2: first", 1, true), result.err)
    end)
end)

test.case("waiting for nothing is an error, not a hang", function()
    local result = run "-e 'task.channel():recv()'"
    test.eq({ result.code, result.err }, { 1, "mimicsh: -e waits in channel:recv, and nothing is left that could wake it\n" })
end)

test.case("bytecode is refused", function()
    with_script(string.dump(function() end), function(path)
        assert(run(path).err:find("attempt to load chunk with wrong mode", 1, true))
    end)
end)

test.case("-e prints values, as JSON when asked", function()
    test.eq(run("-e '1+1' -e 'x=5' -e 'x'").out, "2\n5\n")
    test.eq(run([[--json -e '{b=1ULL, a={1,"x"}}' -e '"\255"']]).out, '{"a":[1,"x"],"b":1}\n{"hex":"ff"}\n')
    test.eq(run("-e 'print(1)'").out, "1\n")
end)

test.case("the prompt reads a pipe: statements over lines, expressions, errors by line", function()
    local result = run("", [[
x = 1
=x
for i = 1, 2 do
  print(i)
end
x + 1, "two"
error "bad"
y.z = 1
nil
0x1ffffffffULL
"a\0b"
s = ('long'
  .. ' string')
s
foo bar
function f()
  return
]])
    test.eq(result.out, '1\n1\n2\n2\n"two"\nnil\n8589934591 (0x1ffffffff)\n' ..
        "0000  61 00 62                                          a.b\n\"long string\"\n")
    test.eq(result.err, "stdin:7: bad\nstdin:8: attempt to index global 'y' (a nil value)\n" ..
        "stdin:15: '=' expected near 'bar'\nstdin:17: 'end' expected (to close 'function' at line 16) near '<eof>'\n")
    test.eq(result.code, 1)
end)

test.case("a compile error at the prompt names the line that was typed", function()
    local result = run("", 'bpf = require "bpf"\n_, err = bpf.compile[[\n#include <linux/bpf.h>\nint x = ;\n]]\nprint(err)\n')
    test.eq(result.out, "compile: stdin:4:9: expected expression\n")
end)

test.case("tasks go on while the prompt waits and after a pipe ends", function()
    local result = run("", "local t = timer.after(0.01, function() print 'later' end)\nprint 'now'\n")
    test.eq({ result.code, result.out }, { 0, "now\nlater\n" })
end)

test.case("help lists modules, functions, and shows one", function()
    assert(run("-e 'help()'").out:find("json", 1, true))
    assert(run("-e 'help(json.decode)'").out:find("json.decode(text) -> value | nil, err", 1, true))
    assert(run("-e 'help \"timer\"'").out:find("timer.every(seconds, fn)", 1, true))
    assert(run("-e 'help(timer)'").out:find("timer.every(seconds, fn)", 1, true))
    assert(run("-e 'help \"nothing like it\"'").out:find("nothing known", 1, true))
end)

test.case("colours come only when asked for or on a terminal", function()
    assert(not run("-e '{a=1}'").out:find("\27", 1, true))
    assert(run("--color always -e '{a=1}'").out:find("\27[", 1, true))
    assert(not run("--color always --json -e '{a=1}'").out:find("\27", 1, true))
end)

test.case("the Lua halves can be written out, changed and run", function()
    local folder = os.tmpname()
    os.remove(folder)
    test.eq(run("--dump-lua " .. folder).code, 0)
    local file = assert(io.open(folder .. "/test.lua", "a"))
    file:close()
    os.execute("sed -i 's/# %d passed/# %d PASSED/' " .. folder .. "/test.lua")
    local pipe = io.popen("MIMICSH_LUA=" .. folder .. " " .. quote(binary) .. " -e 'test.case(\"a\", function() end)'")
    assert(pipe:read("*a"):find("# 1 PASSED", 1, true))
    pipe:close()
    os.execute("rm -r " .. folder)
end)

test.case("tables print bounded, cycles and all", function()
    test.eq(run("-e 't = {1}' -e 't.self = t' -e 't'").out, "{1, self = <cycle>}\n")
    local out = run("-e 't = {}; for i = 1, 1000 do t[i] = i end' -e 't'").out
    assert(out:find("... 950 more", 1, true))
    test.eq(run("-e '{{a=1,b=\"x\"},{a=22,b=\"y\"}}'").out, " a  b\n 1  x\n22  y\n")
end)
