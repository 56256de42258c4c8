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

-- Prints the instances that the process PID has.
local HELD = "ls -l /proc/PID/fd | grep -o 'mimicsh-[0-9]*/trace_pipe'"

local function instances_in(text)
    local list = {}
    for name in text:gmatch "(mimicsh%-%d+)/trace_pipe\n" do
        list[#list + 1] = name
    end
    return list
end

--- The machine's own switch, and those of the instances that are there (others have some too); where tracefs is not
--- mounted, it is for this shell alone.
local function state(instances)
    local pipe = io.popen("unshare -m sh -c 'cd /sys/kernel/tracing && { [ -e instances ] || mount -t tracefs tracefs $PWD; } " ..
        "&& cd $PWD && cat tracing_on && ls instances' 2>&1")
    local text = pipe:read "*a"
    pipe:close()
    if not text:find "^[01]\n" then
        test.skip("tracefs: " .. text:match "^[^\n]*")
    end
    local found = { text:match "^[01]" }
    for _, name in ipairs(instances) do
        found[#found + 1] = text:find("\n" .. name .. "\n", 1, true) and name
    end
    return found
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
    local before = { text_of "/proc/self/mounts", state{} }
    local pipe, other = open(), open()
    local held = HELD:gsub("PID", (text_of "/proc/self/stat":match "^%d+"))
    local own = assert(io.popen(held))
    local instances = instances_in(own:read "*a")
    own:close()
    test.eq({ #instances, #state(instances) }, { 2, 3 })
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
    test.eq(state(instances), before[2])
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
    local shell, before = assert(os.getenv "MIMICSH"), state{}
    -- What a script still holds when it leaves at once is no leak.
    local function run(rest)
        local script = ("local pipe = assert(trace.pipe()) os.execute [[%s]] %s"):format(HELD:gsub("PID", "$PPID"), rest)
        local pipe = io.popen(("ASAN_OPTIONS=detect_leaks=0 %s -q -e '%s' 2>&1"):format(shell, script:gsub("'", "'\\''")))
        local text = pipe:read "*a"
        pipe:close()
        local instances = instances_in(text)
        test.eq(#instances, 1, text)
        return instances, text
    end
    local gone, text = run "os.exit(0)"
    test.eq({ text, state(gone) }, { gone[1] .. "/trace_pipe\n", before })
    local left = run 'os.execute "kill -9 $PPID"'
    test.eq(#state(left), 2)
    local pipe = io.popen(shell .. " --cleanup")
    local cleaned = pipe:read "*a"
    pipe:close()
    assert(cleaned:find("tracing instance " .. left[1] .. ": removed\n", 1, true), cleaned)
    test.eq(state(left), before)
end)
