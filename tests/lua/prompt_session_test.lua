-- SPDX-License-Identifier: MIT
-- The session around the prompt: ^C, job control, sizes, commands, prompts inside scripts, bad input, ends.
local test = require "test"
local terminal = assert(loadfile((arg[0]:match "^(.*/)" or "") .. "terminal.lua"))()
local case = terminal.case
local binary, folder, deadline, quote, open = terminal.binary, terminal.folder, terminal.deadline, terminal.quote, terminal.open
local read, read_all, run, write = terminal.read, terminal.read_all, terminal.run, terminal.write

local PROGRAM = "i = assert(assert(bpf.asm '.map flows type=hash key=u32 value=u64 entries=8\\nr0 = 2\\nexit'):load 'vm')"

case("^C: at the prompt, in a loop, in a program, in a wait", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("half<C-c>", "half%^C|mimicsh>$")
    s:type "io.write('lo', 'op\\n') while true do end<Enter>"
    s:expect "|loop$"
    s:step("<C-c>", "interrupted.-|mimicsh>$")
    s:fresh()
    s:type "io.write('sle', 'eps\\n') timer.sleep(1000)<Enter>"
    s:expect "|sleeps$"
    s:step("<C-c>", "interrupted.-|mimicsh>$")
    s:fresh()
    s:type "q = assert(assert(bpf.asm 'l: goto l'):load('vm', {budget = 2^52}))<Enter>"
    s:type "for _, p in pairs(q.progs) do P = p end<Enter>"
    s:type "io.write('ru', 'ns\\n') return P:run(('x'):rep(64))<Enter>"
    s:expect "|runs$"
    s:step("<C-c>", "interrupted.-|vm>$")
    s:fresh()
    s:type "l = {[500] = function() while true do end end}<Enter>"
    s:type "h = assert(bpf.asm 'call 500\\nr0 = 2\\nexit'):load('vm', {helpers = l})<Enter>"
    s:type "io.write('he', 'lps\\n') return h.progs.main:run(('x'):rep(64))<Enter>"
    s:expect "|helps$"
    s:step("<C-c>", "interrupted.-|vm>$")
    s:step("'still ' .. 'here'<Enter>", "\"still here\"|vm>$")
end)

case("what is typed while a statement runs is run after it", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("print 'begun' local t = os.clock() repeat until os.clock() - t > 1<Enter>", "begun")
    s:type "y = 6<Enter>y * 7<Enter>"
    s:expect "|42|mimicsh>$"
end)

case("^Z and fg under a shell", { command = "sh -i" }, function(s)
    s:expect "[$#]$"
    s:step("PS1='shell: '<Enter>", "shell:$")
    s:step(quote(binary) .. " -q<Enter>", "mimicsh>$")
    s:step("x = 7 half", "mimicsh> x = 7 half$")
    s:step("<C-z>", "Stopped.-shell:")
    s:step("echo $((3 + 4))<Enter>", "|7|shell:$")
    s:step("fg<Enter>", "mimicsh> x = 7 half$")
    s:step("<C-u>6 * 7<Enter>", "|42|mimicsh>$")
    s:step("<C-d>", "shell:$")
end)

case("a terminal of another size", nil, function(s)
    local long = "x = " .. ("'abcdefgh' .. "):rep(8) .. "'end'"
    s:expect "^mimicsh>$"
    s:step(long, "'end'$")
    local function flat()
        return (s:screen "-J":gsub("\n", ""))
    end
    for _, columns in ipairs{ 40, 100, 60, 20, 80 } do
        run("resize-window", "-t", s.name, "-x", tostring(columns), "-y", "24")
        s:type "<Left><Right>"
        local begin = os.time()
        local shown
        repeat
            shown = flat()
        until shown == "mimicsh> " .. long or os.time() - begin > deadline
        test.eq(shown, "mimicsh> " .. long, columns .. " columns")
    end
    s:step("<C-u>x = 'ok'<Enter>x<Enter>", "\"ok\"|mimicsh>$")
end)

case("ten columns", { columns = 10, rows = 10 }, function(s)
    s:expect "^mimicsh>$"
    s:step("12345 + 1", "^mimicsh> 1|2345 %+ 1$")
    s:step("<C-a>9", "^mimicsh> 9|12345 %+ 1$")
    s:step("<Enter>", "|912346|mimicsh>$")
    s:step("pca<Tab>", "> p|ca|pcall|pcap$")
end)

case("output of a task stands above what is typed", nil, function(s)
    s:expect "^mimicsh>$"
    s:type "t = timer.every(0.05, function() n = (n or 0) + 1 if n <= 3 then print('ti' .. 'ck', n) end end)<Enter>"
    s:step("half typed", "|tick%s+1|tick%s+2|tick%s+3|mimicsh> half typed$")
    s:step(" on", "|tick%s+3|mimicsh> half typed on$")
    s:step("<C-u>t:stop()<Enter>", "t:stop%(%)|mimicsh>$")
    s:type "timer.after(0.01, function() io.stderr:write 'to the other one\\n' end) x = 1<Enter>"
    s:expect "|to the other one|mimicsh>$"
end)

case("commands", nil, function(s)
    s:expect "^mimicsh>$"
    s:step(":time 1 + 1<Enter>", "ms of processor time|2|mimicsh>$")
    s:step(":jobs<Enter>", "nothing runs beside the prompt|mimicsh>$")
    s:step("t = timer.every(60, print)<Enter>:jobs<Enter>", "|timer.every +every 60 s, again in [%d.]+ s|mimicsh>$")
    s:step("t:stop()<Enter>:jobs<Enter>", "nothing runs beside the prompt|mimicsh>$")
    s:step(":nonsense<Enter>", "no command ':nonsense'.-|mimicsh>$")
    s:step(":set json on<Enter>{a = 1}<Enter>", '{"a":1}|mimicsh>$')
    s:step(":set json off<Enter>", "mimicsh>$")
    s:fresh()
    s:step(":set<Enter>", "color.-json.-verbose.-|mimicsh>$")
    s:step(":help pkt.parse<Enter>", "pkt%.parse%(.-|mimicsh>$")
    s:fresh()
    s:step("y = 6<Enter>y * 7<Enter>:save saved.lua<Enter>", "saved%.lua.-|mimicsh>$")
    test.eq(read_all(quote(binary) .. " -q " .. folder .. "/saved.lua 2>&1 | tail -n 1"), "42\n")
    write(folder .. "/loaded.lua", "loaded = 'from a file'")
    s:step(":load loaded.lua<Enter>loaded<Enter>", "\"from a file\"|mimicsh>$")
    s:step(":quit<Enter>", "left with 0$")
end)

case(":edit runs what the editor leaves", { env = "VISUAL= EDITOR=" .. quote "sed -i s/one/two/" }, function(s)
    s:expect "^mimicsh>$"
    s:step("print 'one'<Enter>", "|one|mimicsh>$")
    s:step(":edit<Enter>", ":edit|two|mimicsh>$")
end)

case("a prompt inside a script", { command = quote(binary) .. " -q inside.lua" }, function(s)
    s:close()
    write(folder .. "/inside.lua", "local count, name = 4, 'x'\nrepl()\nprint('count', count)\n")
    s.name = open{ command = quote(binary) .. " -q inside.lua" }.name
    s:expect "^mimicsh>$"
    s:step("count + 1<Enter>", "|5|mimicsh>$")
    s:step("coun<Tab>", "mimicsh> count$")
    s:step(" = 40<Enter>", "count = 40|mimicsh>$")
    s:step("<C-d>", "count%s+40|left with 0$")
end)

case("a file is run before the first prompt, unless -q says no", nil, function(s)
    s:close()
    local rc = folder .. "/config/mimicsh/init.lua"
    write(rc, "greeting = 'hello'")
    s.name = open{ command = quote(binary) }.name
    local ok, err = pcall(function()
        s:expect "mimicsh>$"
        s:step("greeting<Enter>", "\"hello\"|mimicsh>$")
        s:step("<C-d>", "left with 0$")
        s:close()
        s.name = open().name
        s:expect "^mimicsh>$"
        s:step("greeting<Enter>", "greeting|nil|mimicsh>$")
    end)
    os.remove(rc)
    assert(ok, err)
end)

case("the prompt names the target and the links, in a network namespace of its own", nil, function(s)
    s:expect "^mimicsh>$"
    s:step(PROGRAM .. "<Enter>", "|vm>$")
    s:step("i:close()<Enter>", "i:close%(%)|mimicsh>$")
    if read_all "unshare -n true 2>&1" ~= "" then
        test.skip "needs the right to make a network namespace"
    end
    s:close()
    s.name = open{ command = "unshare -n " .. quote(binary) .. " -q" }.name
    s:expect "^mimicsh>$"
    s:step(PROGRAM:gsub("vm", "kernel") .. "<Enter>", "|kernel>$")
    s:fresh()
    s:step("l = assert(xdp.attach(i.progs.main, 'l<Tab>", "^kernel> l = assert%(xdp%.attach%(i%.progs%.main, 'lo")
    s:step("'))<Enter>", "'lo'%)%)|kernel%[lo:xdp%]>$")
    s:step("'still typed<M-Enter>", "'still typed| +%.%.>$")
    s:step("<C-c>", "%^C|kernel%[lo:xdp%]>$")
    s:step("l:detach()<Enter>", "l:detach%(%)|true|kernel>$")
end)

case("colours, and none under NO_COLOR", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("local x = 'text'", "'text'$")
    assert(s:screen("-e"):find "\27%[35m[^l]*local", "no colour in " .. s:screen "-e")
    s:close()
    s.name = open{ env = "NO_COLOR=1" }.name
    s:expect "^mimicsh>$"
    s:step("local x = 'text'", "'text'$")
    assert(not s:screen("-e"):find "\27", s:screen "-e")
end)

case("bad input is taken", nil, function(s)
    s:expect "^mimicsh>$"
    s:paste("x = '\255\254\192\128'")
    s:expect "^mimicsh> x = '<ff><fe><c0><80>'$"
    s:step("<Enter>#x<Enter>", "|4|mimicsh>$")
    s:fresh()
    s:paste("x = '" .. ("a"):rep(1000000) .. "'")
    s:step(" y = 2<Enter>", "y = 2|mimicsh>$")
    s:step("<C-l>#x, y<Enter>", "|1000000|2|mimicsh>$")
    s:fresh()
    s:paste(("n = (n or 0) + 1\n"):rep(100000))
    s:step("z = 3<Enter>", "z = 3|mimicsh>$")
    s:step("<C-l>n, z<Enter>", "|100000|3|mimicsh>$")
end)

case("a line of a million characters by keystrokes", nil, function(s)
    s:expect "^mimicsh>$"
    s:paste("x = '" .. ("a word "):rep(150000) .. "'", true)
    s:step(" y = 2", "' y = 2$")
    s:step("<C-w><C-w><C-w>y = 3<Enter>", "y = 3|mimicsh>$")
    s:step("<C-l>#x, y<Enter>", "|1050000|3|mimicsh>$")
    s:step("<C-l><Up><Up>", "' y = 3$")
    s:step("<C-c>", "%^C|mimicsh>$")
    s:step("<C-d>", "left with 0$")
    local entry = read(folder .. "/" .. s.name .. "/mimicsh/history"):match "^[^\n]*"
    test.eq(#entry, 1050000 + #"x = '' y = 3")
end)

case("many lines by keystrokes", nil, function(s)
    s:expect "^mimicsh>$"
    s:paste(("n = (n or 0) + 1\n"):rep(3000), true)
    s:step("n<Enter>", "|3000|mimicsh>$")
    s:fresh()
    s:paste("t = {\n" .. ("    { name = 'x', value = 12345 },\n"):rep(30000) .. "}\n", true)
    s:step("#t<Enter>", "|30000|mimicsh>$")
end)

--- Runs fn(session) with a mimicsh under a shell that says how it left, and whether the terminal echoes and waits for lines.
local function with_modes(arguments, fn)
    local s = open{ command = "sh -c " .. quote("echo begins; " .. quote(binary) .. " -q " .. arguments .. "; echo code $?; " ..
        "echo modes $(stty -a | tr ' ' '\\n' | grep -x -e '-*echo' -e '-*icanon' -e '-*isig')") }
    local ok, err = pcall(fn, s)
    s:close()
    assert(ok, err)
end

--- The process of a session, asked at its prompt.
local function pid_of(s)
    s:step("require('ffi').cdef 'int getpid(void);' print('p' .. 'id', require('ffi').C.getpid())<Enter>", "|pid%s+%d+|mimicsh>$")
    return s:screen():match "\npid%s+(%d+)"
end

case("a session that is killed leaves the terminal as it was, with what was typed in it", nil, function(s)
    s:expect "^mimicsh>$"
    for name, code in pairs{ HUP = 129, TERM = 143 } do
        with_modes("", function(killed)
            killed:expect "^begins|mimicsh>$"
            local pid = pid_of(killed)
            killed:step("kept = 1<Enter>", "kept = 1|mimicsh>$")
            killed:step("half typed", "mimicsh> half typed$")
            os.execute(("kill -%s %s"):format(name, pid))
            killed:expect("half typed|.-code " .. code .. "|modes isig icanon echo|")
            assert(read(folder .. "/" .. killed.name .. "/mimicsh/history"):find "\nkept = 1\n$")
        end)
    end
    with_modes("--timeout 1", function(ended)
        ended:expect "|mimicsh: timed out|code 142|modes isig icanon echo|"
    end)
end)

case("a terminal that goes away ends the session, and its history stays", nil, function(s)
    s:expect "^mimicsh>$"
    local pid = pid_of(s)
    s:step("last_words = 1<Enter>", "last_words = 1|mimicsh>$")
    s:step("half typed", "mimicsh> half typed$")
    s:close()
    local begin = os.time()
    repeat
        local is_there = read("/proc/" .. pid .. "/comm") ~= ""
        assert(os.time() - begin <= deadline, "the process stays")
    until not is_there
    assert(read(folder .. "/" .. s.name .. "/mimicsh/history"):find "last_words")
end)

terminal.finish(40)
