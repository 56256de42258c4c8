-- SPDX-License-Identifier: MIT
-- Lua half of module trace: lines that programs in the kernel print.
local raw = ...
local core = require "mimicsh.core"

local trace = {}

local Pipe = core.metatable "trace pipe"
local methods = Pipe.__index
local rests = setmetatable({}, { __mode = "k" }) -- pipe -> text behind the last whole line

local function next_line(pipe, timeout)
    while true do
        local line, rest = rests[pipe]:match "^([^\n]*)\n(.*)$"
        if line then
            rests[pipe] = rest
            return line
        end
        local text = raw.read(pipe)
        if not text then
            return nil
        elseif text ~= "" then
            rests[pipe] = rests[pipe] .. text
        elseif not raw.wait(pipe, timeout) then
            return nil
        end
    end
end

function methods.lines(pipe, timeout)
    timeout = timeout and core.duration(timeout, "timeout")
    return function() return next_line(pipe, timeout) end
end

methods.close = raw.close

function trace.pipe()
    local pipe, err = raw.open()
    if not pipe then
        return nil, err
    end
    rests[pipe] = ""
    return pipe
end

core.doc("trace.pipe", trace.pipe, [[
trace.pipe() -> pipe | nil, err
What programs in the kernel print (bpf_printk) from now on, in a tracing instance of our own that goes with the pipe.]])
core.doc("trace:lines", methods.lines, [[
for line in pipe:lines([timeout]) do ... end
Waits for each line while other tasks run, until pipe:close() or for no longer than the timeout.]])
core.doc("trace:close", methods.close, [[
pipe:close()
Ends every loop over its lines; does nothing when closed.]])

return trace
