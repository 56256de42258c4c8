-- SPDX-License-Identifier: MIT
-- Sessions at the prompt in terminals of tmux: keys are typed, and each step waits for what the screen shows.
local test = require "test"

local M = { expected = 0 } -- expected: screens that were waited for, and came

local binary = os.getenv "MIMICSH"
local DEADLINE = 240 -- seconds until a step has failed

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
local opened = 0

--- Options: columns, rows, env ("NAME=value ..."), command (behind the environment; mimicsh itself).
local function open(options)
    options = options or {}
    opened = opened + 1
    local self = setmetatable({ name = "s" .. opened }, Session)
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
            M.expected = M.expected + 1
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
    self:expect "%^C|[mvk][^|]*> *$"
    self:step("<C-l>", "^[mvk][^|]*>$")
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

--- A case with a session of its own.
function M.case(name, options, fn)
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

--- The last case of a file: at least `count` screens were expected and came.
function M.finish(count)
    test.case(("%d screens came, and the terminal's server is gone"):format(count), function()
        if not tmux then
            test.skip "needs tmux"
        end
        run "kill-server"
        os.execute("rm -rf " .. folder)
        assert(run "list-sessions":find "no server" or run "list-sessions":find "error connecting")
        assert(M.expected >= count, ("only %d screens were looked at"):format(M.expected))
    end)
end

M.binary, M.folder, M.deadline = binary or "", folder, DEADLINE
M.quote, M.read, M.read_all, M.write, M.run, M.open = quote, read, read_all, write, run, open

return M
