-- SPDX-License-Identifier: MIT
-- The trace pipe: what a program in the kernel prints arrives, and the file system is nobody else's.
local test = require "test"
local bpf, task, timer, trace = require "bpf", require "task", require "timer", require "trace"

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int talk(struct xdp_md *ctx)
{
    bpf_printk("mimicsh test %d of %d", 1, 2);
    return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
]]

local function mounts()
    local file = assert(io.open "/proc/self/mounts")
    local text = file:read "*a"
    file:close()
    return text
end

--- Runs a shell command with tracefs mounted, for it alone where it was not; what it prints.
local function with_tracefs(command)
    local mount = "[ -e /sys/kernel/tracing/trace_pipe ] || mount -t tracefs tracefs /sys/kernel/tracing"
    local pipe = io.popen(("unshare -m sh -c '{ %s; } && %s' 2>&1"):format(mount, command))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

local function switch(on)
    return with_tracefs(("echo %d > /sys/kernel/tracing/tracing_on"):format(on))
end

--- Calls fn with tracing on, and leaves it as it was.
local function while_tracing(fn)
    local state = with_tracefs "cat /sys/kernel/tracing/tracing_on"
    local pipe, err = trace.pipe()
    if pipe then
        pipe:close()
    end
    if state:match "^0" then
        test.eq(tostring(err), "trace: tracing is off on this machine")
        switch(1)
    elseif not state:match "^1" then
        test.skip("tracefs: " .. state:match "^[^\n]*")
    end
    local ok, problem = pcall(fn)
    if state:match "^0" then
        switch(0)
    end
    if not ok then
        error(problem, 0)
    end
end

local function open()
    local pipe, err = trace.pipe()
    return assert(pipe, err)
end

test.case("lines of a program arrive while others run", function() while_tracing(function()
    local before = mounts()
    local pipe = open()
    test.eq(mounts(), before)
    local inst = assert(assert(bpf.compile{ source = SOURCE }):load "kernel")
    local found = 0
    local reader = task.spawn(function()
        for line in pipe:lines(5) do
            if line:find("bpf_trace_printk: mimicsh test 1 of 2", 1, true) then
                found = found + 1
                if found == 2 then
                    return true
                end
            end
        end
    end)
    timer.sleep(0.02)
    assert(inst.progs.talk:run(("\0"):rep(64)))
    timer.sleep(0.02)
    assert(inst.progs.talk:run(("\0"):rep(64)))
    test.eq(reader:join(), true)
    pipe:close()
    inst:close()
end) end)

test.case("a closed pipe ends its loops, and a timeout does", function() while_tracing(function()
    local pipe = open()
    local loops = 0
    local reader = task.spawn(function()
        for _ in pipe:lines() do
            loops = loops + 1
        end
        return "ended"
    end)
    timer.sleep(0.02)
    pipe:close()
    test.eq(reader:join(), "ended")
    pipe:close()
    for _ in pipe:lines(0.01) do
        error "a line of a closed pipe"
    end
end) end)
