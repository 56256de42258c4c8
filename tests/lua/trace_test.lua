-- SPDX-License-Identifier: MIT
-- The trace pipe: what a program in the kernel prints arrives in a buffer of our own, which goes again. The vm has no
-- such pipe: what its programs print is in the result.
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

local function text_of(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
end

--- The machine's own switch, and the instances that are there; where tracefs is not mounted, it is for this shell alone.
local function state()
    local pipe = io.popen("unshare -m sh -c 'cd /sys/kernel/tracing && { [ -e instances ] || mount -t tracefs tracefs $PWD; } " ..
        "&& cd $PWD && cat tracing_on && ls instances' 2>&1")
    local text = pipe:read "*a"
    pipe:close()
    if not text:find "^[01]\n" then
        test.skip("tracefs: " .. text:match "^[^\n]*")
    end
    return text
end

local function open()
    local pipe, err = trace.pipe()
    if not pipe and (err.code == "EPERM" or err.code == "EACCES") then
        test.skip(err.msg)
    end
    return assert(pipe, err)
end

local function load()
    return assert(assert(bpf.compile{ source = SOURCE }):load "kernel")
end

--- Reads until a pipe has shown `count` lines of the program.
local function read(pipe, count)
    return task.spawn(function()
        for line in pipe:lines(60) do
            count = count - (line:find("bpf_trace_printk: mimicsh test 1 of 2", 1, true) and 1 or 0)
            if count == 0 then
                return true
            end
        end
    end)
end

test.case("lines of a program arrive while others run, and the machine's own tracing stays as it is", function()
    local before = { text_of "/proc/self/mounts", state() }
    local pipe, other = open(), open()
    test.eq(text_of "/proc/self/mounts", before[1])
    local inst = load()
    local readers = { read(pipe, 2), read(other, 2) } -- each has its own copy
    for _ = 1, 2 do
        timer.sleep(0.02)
        assert(inst.progs.talk:run(("\0"):rep(64)))
    end
    test.eq({ readers[1]:join(), readers[2]:join() }, { true, true })
    pipe:close()
    other:close()
    inst:close()
    test.eq(state(), before[2])
end)

test.case("a closed pipe ends its loops, and a timeout does", function()
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
end)

test.case("what a process leaves: nothing by os.exit, what --cleanup removes when killed", function()
    open():close()
    local shell, before = assert(os.getenv "MIMICSH"), state()
    -- What a script still holds when it leaves at once is no leak.
    local function run(rest)
        local leaving = "ASAN_OPTIONS=detect_leaks=0 %s -q -e 'local pipe = assert(trace.pipe()) %s' 2>&1"
        local pipe = io.popen(leaving:format(shell, rest))
        local text = pipe:read "*a"
        pipe:close()
        return text
    end
    test.eq(run "os.exit(0)", "")
    test.eq(state(), before)
    run 'os.execute "kill -9 $PPID"'
    assert(state() ~= before)
    local pipe = io.popen(shell .. " --cleanup")
    local cleaned = pipe:read "*a"
    pipe:close()
    assert(cleaned:find "tracing instance mimicsh%-%d+: removed\n", cleaned)
    test.eq(state(), before)
end)
