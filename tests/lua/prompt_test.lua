-- SPDX-License-Identifier: MIT
-- A session at the prompt, typed into a terminal of tmux: each step waits for what the screen shows.
local test = require "test"

local binary = os.getenv "MIMICSH"
local DEADLINE = 60 -- seconds until a step has failed

local folder, tmux

local function quote(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function read_all(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

local function run(...)
    local words = {}
    for i, word in ipairs{ ... } do
        words[i] = quote(word)
    end
    return read_all(tmux .. table.concat(words, " ") .. " 2>&1")
end

local function write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

local function read(path)
    local file = io.open(path)
    local text = file and file:read "*a" or ""
    if file then
        file:close()
    end
    return text
end

-- -- A terminal with a mimicsh in it --

local Session = {}
Session.__index = Session
local count = 0

--- Options: columns, rows, env ("NAME=value ..."), command (behind the environment; mimicsh itself).
local function open(options)
    options = options or {}
    count = count + 1
    local self = setmetatable({ name = "s" .. count }, Session)
    local command = ("cd %s && env XDG_STATE_HOME=%s/%s XDG_CONFIG_HOME=%s/config %s %s; echo left with $?; exec cat")
        :format(quote(folder), folder, options.state or self.name, folder, options.env or "",
            options.command or quote(binary) .. " -q")
    local said = run("new-session", "-d", "-s", self.name, "-x", tostring(options.columns or 80), "-y",
        tostring(options.rows or 24), command)
    assert(said == "", said)
    return self
end

--- What is on the screen, without the blanks that end it.
function Session:screen(...)
    return (run("capture-pane", "-p", "-t", self.name, ...):gsub("%s+$", ""))
end

--- Waits until the screen matches; "|" stands for the end of a line.
function Session:expect(pattern)
    pattern = pattern:gsub("|", "\n")
    local begin = os.time()
    local screen
    repeat
        screen = self:screen()
        if screen:find(pattern) then
            return screen
        end
    until os.time() - begin > DEADLINE
    error(("%q does not come; the screen:\n%s"):format(pattern, screen), 0)
end

--- Types text; <Enter>, <C-c>, <M-y>, <Up>... are keys.
function Session:type(text)
    while text ~= "" do
        local key, rest = text:match "^<(%w[%w_-]*)>(.*)$"
        if key then
            run("send-keys", "-t", self.name, key)
            text = rest
        else
            local plain = text:match "^.[^<]*"
            run("send-keys", "-t", self.name, "-l", "--", (plain:gsub(";$", "\\;")))
            text = text:sub(#plain + 1)
        end
    end
end

function Session:step(text, pattern)
    self:type(text)
    return self:expect(pattern)
end

--- A prompt with nothing typed, alone on the screen.
function Session:fresh()
    self:type "<C-c>"
    self:expect "%^C|mimicsh[^|]*> *$"
    self:step("<C-l>", "^mimicsh[^|]*>$")
end

--- As a paste; with `as_keys` as if somebody typed all of it.
function Session:paste(text, as_keys)
    local path = folder .. "/paste"
    write(path, text)
    run("load-buffer", path)
    run("paste-buffer", as_keys and "-d" or "-p", "-t", self.name)
end

function Session:close()
    run("kill-session", "-t", self.name)
end

local function case(name, options, fn)
    test.case(name, function()
        if not tmux then
            test.skip "needs tmux, and MIMICSH to name the binary"
        end
        local session = open(options)
        local ok, err = pcall(fn, session)
        session:close()
        assert(ok, err)
    end)
end

if binary and read_all "command -v tmux" ~= "" then
    folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir -m 700 " .. folder .. " " .. folder .. "/config " .. folder .. "/config/mimicsh")
    -- A first session keeps the server until the last case has ended it.
    tmux = ("NO_COLOR= TMUX= LC_ALL=C.UTF-8 tmux -u -S %s/socket -f /dev/null "):format(folder)
    local said = run("new-session", "-d", "-s", "keeper", "exec cat")
    assert(said == "", said)
end

local PROGRAM = "i = assert(assert(bpf.asm '.map flows type=hash key=u32 value=u64 entries=8\\nr0 = 2\\nexit'):load 'vm')"

-- -- Cases --

case("statements print their values, and errors their place", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("1 + 1<Enter>", "mimicsh> 1 %+ 1|2|mimicsh>$")
    s:step("x = 20<Enter>", "x = 20|mimicsh>$")
    s:step("=x * 2<Enter>", "=x %* 2|40|mimicsh>$")
    s:step("_1 + 1<Enter>", "_1 %+ 1|41|mimicsh>$")
    s:step("nope()<Enter>", "stdin:1: attempt to call .-nope.-|mimicsh>$")
    s:step("x = = 1<Enter>", "stdin:1: unexpected symbol near '='|mimicsh>$")
    s:step("io.write 'no line break'<Enter>", "no line break.-|mimicsh>$")
    s:fresh()
    s:step("<Enter>", "^mimicsh>|mimicsh>$")
end)

case("statements over several lines", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("for i = 1, 2 do<Enter>", "for i = 1, 2 do| +%.%.>$")
    s:step("  print(i * 10)<Enter>", "print%(i %* 10%)| +%.%.>$")
    s:step("end<Enter>", "end|10|20|mimicsh>$")
    s:step("print(<Enter><C-c>", "%^C|mimicsh>$")
    s:fresh()
    s:step("<Up>", "^mimicsh> for i = 1, 2 do| +%.%.>   print%(i %* 10%)| +%.%.>   end$")
    s:step("<C-b><Up><C-e>0", "print%(i %* 10%)0| +%.%.>   end$")
    s:step("<Down><C-e> --x", "print%(i %* 10%)0| +%.%.>   end %-%-x$")
    s:fresh()
    s:step("{ 4,<Enter>5 }<Enter>", "{ 4,| +%.%.> 5 }|{4, 5}|mimicsh>$")
    s:fresh()
    s:step("1 +<Enter>2<Enter>", "1 %+| +%.%.> 2|3|mimicsh>$")
    s:fresh()
    s:step("x = 1<M-Enter>print(x)<Enter>", "x = 1| +%.%.> print%(x%)|1|mimicsh>$")
end)

case("a paste is one text, with its tabs, and does not run", nil, function(s)
    s:expect "^mimicsh>$"
    s:paste "do\n\tprint('in\tside')\nend\n"
    s:expect "mimicsh> do| +%.%.> +print%('in +side'%)| +%.%.> end| +%.%.>$"
    s:step("<Enter>", "|in +side|mimicsh>$")
    s:fresh()
    s:paste "'\27[31m' .. 1"
    s:expect "^mimicsh> '%^%[%[31m' %.%. 1$"
    s:step("<C-_>", "^mimicsh>$")
end)

case("completion: globals, members, files, interfaces", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("tos<Tab>", "^mimicsh> tostring$")
    s:fresh()
    s:step("pca<Tab>", "^mimicsh> pca|pcall +pcap$")
    s:step("p<Tab>", "^mimicsh> pcap$")
    s:fresh()
    s:step("pkt.par<Tab>", "^mimicsh> pkt%.parse$")
    s:fresh()
    s:step("whi<Tab>", "^mimicsh> while$")
    s:fresh()
    s:step("string.<Tab>", "^mimicsh> string%.|byte +[%s%w]+upper")
    s:fresh()
    s:step("zzz<Tab>x", "^mimicsh> zzzx$")
    write(folder .. "/capture.pcap", "")
    s:fresh()
    s:step("pcap.open('capt<Tab>", "^mimicsh> pcap%.open%('capture%.pcap")
    s:fresh()
    s:step("pcap.live('l<Tab>", "^mimicsh> pcap%.live%('lo")
    s:fresh()
    s:step("<Tab>x", "^mimicsh>     x$")
end)

case("completion: maps, keys, packets", nil, function(s)
    s:expect "^mimicsh>$"
    s:type(PROGRAM .. "<Enter>i.maps.flows[70001] = 5<Enter>p = pkt.eth{} / pkt.ip{} / pkt.udp{}<Enter>")
    s:expect "pkt%.udp{}|mimicsh>$"
    s:fresh()
    s:step("i.maps.fl<Tab>", "^mimicsh> i%.maps%.flows$")
    s:step("[700<Tab>", "^mimicsh> i%.maps%.flows%[70001%]$")
    s:fresh()
    s:step("i.maps.flows:pai<Tab>", "^mimicsh> i%.maps%.flows:pairs$")
    s:fresh()
    s:step("p.ud<Tab>.dp<Tab>", "^mimicsh> p%.udp%.dport$")
    s:fresh()
    s:step("pkt.ip{tt<Tab>", "^mimicsh> pkt%.ip{ttl=$")
end)

case("completion: keys beyond the first 200, and those that nobody counts", nil, function(s)
    s:expect "^mimicsh>$"
    s:type(PROGRAM:gsub("entries=8", "entries=100000") .. "<Enter>")
    s:type "for k = 1, 999 do i.maps.flows[k] = 1 end i.maps.flows[70001] = 1<Enter>"
    s:step("'re' .. 'ady'<Enter>", "|\"ready\"|mimicsh>$")
    s:fresh()
    s:step("i.maps.flows[7000<Tab>", "^mimicsh> i%.maps%.flows%[70001%]$")
    s:fresh()
    s:step("i.maps.flows[99<Tab>", "flows%[99|990%] .* 999%] +99%]$")
    s:fresh()
    s:step("i.maps.flows[<Tab>", "flows%[|.*|%.%.%. and more$")
    s:step("7<BSpace>", "flows%[$")
end)

case("packets in the colours of their layers, differences red and green", nil, function(s)
    s:expect "^mimicsh>$"
    s:type "p = pkt.udp{dport = 53, checksum = 1} / 'hi' q = p:copy() q.udp.dport = 54<Enter>"
    s:step("'re' .. 'ady'<Enter>", "|\"ready\"|mimicsh>$")
    s:fresh()
    s:step("p<Enter>", "|0000  04 00 00 35 00 0a 00 01  68 69 +%.%.%.5%.%.%.%.hi|udp 0%-7  payload 8%-9|mimicsh>$")
    local colour = s:screen("-e"):match "\27%[([%d;]+)mudp"
    assert(colour and s:screen("-e"):find("\27%[[%d;]*" .. colour .. "m04"), s:screen "-e")
    s:fresh()
    s:step("p:diff(q)<Enter>", "|field +before +after|udp.dport +53 +54|mimicsh>$")
    assert(s:screen("-e"):find "\27%[31m53.-\27%[32m54", s:screen "-e")
end)

case("what is wider than the terminal is cut", { columns = 30 }, function(s)
    s:expect "^mimicsh>$"
    s:step("{{a='x',b=('y'):rep(60)},<Enter>{a='z',b='w'}}<Enter>", "|a  b|x  y+…|z  w|mimicsh>$")
end)

case("the parameters that are left stand behind the cursor", { env = "COLORTERM=truecolor" }, function(s)
    s:expect "^mimicsh>$"
    s:step("timer.after(", "^mimicsh> timer%.after%(seconds, fn%)$")
    s:step("1", "^mimicsh> timer%.after%(1, fn%)$")
    s:step("<C-u>x = \")\" --[[ ( ]] timer.after(", "timer%.after%(seconds, fn%)$")
    s:step("<C-u>timer.after(1", "^mimicsh> timer%.after%(1, fn%)$")
    s:step(", print", "^mimicsh> timer%.after%(1, print%)$")
    s:step("<C-c>", "print%^C|mimicsh>$")
end)

case("history: up, down, by prefix, searched, in the next session", nil, function(s)
    s:expect "^mimicsh>$"
    s:type "alpha = 1<Enter>beta = 2<Enter>alps = 3<Enter> secret = 4<Enter>"
    s:expect "secret = 4|mimicsh>$"
    s:fresh()
    s:step("<Up>", "^mimicsh> alps = 3$")
    s:step("<Up>", "^mimicsh> beta = 2$")
    s:step("<Down><Down>", "^mimicsh>$")
    s:step("al<Up><Up>", "^mimicsh> alpha = 1$")
    s:step("<Down><Down>", "^mimicsh> al$")
    s:fresh()
    s:step("<C-r>bet", "^%(search%)'bet': beta = 2$")
    s:step("zz", "^%(no such line%)'betzz': beta = 2$")
    s:step("<C-g>", "^mimicsh>$")
    s:step("<C-r>bet<Enter>", "^mimicsh> beta = 2|mimicsh>$")
    s:step("<C-d>", "left with 0$")
    local second = open{ state = s.name }
    local ok, err = pcall(function()
        second:expect "^mimicsh>$"
        second:step("<Up><Up>", "^mimicsh> alps = 3$")
    end)
    second:close()
    assert(ok, err)
    assert(not read(folder .. "/" .. s.name .. "/mimicsh/history"):find "secret")
end)

case("undo, kills and yanks", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("one two<C-_>", "^mimicsh> one$")
    s:step("<M-_>", "^mimicsh> one two$")
    s:step("<C-w>", "^mimicsh> one$")
    s:step("<C-y><C-y>", "^mimicsh> one twotwo$")
    s:step("<C-u>", "^mimicsh>$")
    s:step("x<C-y><M-y>", "^mimicsh> xtwo$")
    s:step("<C-a><C-k>y<C-t>", "^mimicsh> y$")
    s:step("z<C-t>", "^mimicsh> zy$")
    s:step("<C-a><C-d><C-e><BSpace>", "^mimicsh>$")
    s:step("漢字<Left>x", "^mimicsh> 漢x字$")
end)

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
    s:step("<C-c>", "interrupted.-|mimicsh>$")
    s:step("'still ' .. 'here'<Enter>", "\"still here\"|mimicsh>$")
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
    s:step(quote(binary or "") .. " -q<Enter>", "mimicsh>$")
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
        until shown == "mimicsh> " .. long or os.time() - begin > DEADLINE
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

case("a prompt inside a script", { command = quote(binary or "") .. " -q inside.lua" }, function(s)
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
    s.name = open{ command = quote(binary or "") }.name
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
    local s = open{ command = "sh -c " .. quote(quote(binary or "") .. " -q " .. arguments .. "; echo code $?; " ..
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
            killed:expect "^mimicsh>$"
            local pid = pid_of(killed)
            killed:step("kept = 1<Enter>", "kept = 1|mimicsh>$")
            killed:step("half typed", "mimicsh> half typed$")
            os.execute(("kill -%s %s"):format(name, pid))
            killed:expect("half typed|.-code " .. code .. "|modes isig icanon echo|")
            assert(read(folder .. "/" .. killed.name .. "/mimicsh/history"):find "\nkept = 1\n$")
        end)
    end
    with_modes("--timeout 0.5", function(ended)
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
        assert(os.time() - begin <= DEADLINE, "the process stays")
    until not is_there
    assert(read(folder .. "/" .. s.name .. "/mimicsh/history"):find "last_words")
end)

test.case("the terminal's server is gone", function()
    if not tmux then
        test.skip "needs tmux"
    end
    run "kill-server"
    os.execute("rm -rf " .. folder)
    assert(run "list-sessions":find "no server" or run "list-sessions":find "error connecting")
end)
