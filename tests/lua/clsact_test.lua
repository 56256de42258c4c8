-- SPDX-License-Identifier: MIT
-- The clsact below filters of several processes: the last of ours to leave takes it along, when one of ours made it.
local test = require "test"
local bpf, lab, link, tc, timer = require "bpf", require "lab", require "link", require "tc", require "timer"

local PROGRAMS = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int one(struct __sk_buff *skb) { return 0; }
]]

-- Attaches, says so, and leaves in good order when the file is gone.
local OTHER = [[
local bpf, tc, timer = require "bpf", require "tc", require "timer"
local l = assert(tc.attach(assert(assert(bpf.open(arg[1])):load "kernel").progs.one, "eth0", { kind = "clsact" }))
local file = assert(io.open(arg[2], "w"))
file:write "attached"
file:close()
local function is_there()
    local flag = io.open(arg[2])
    return flag and flag:close() -- however long it takes, there are descriptors left
end
while is_there() do
    timer.sleep(0.01)
end
assert(l:detach())
]]

local shell = assert(os.getenv "MIMICSH")
local object = assert(bpf.compile{ source = PROGRAMS })

local function holds(path)
    local file = io.open(path)
    local text = file and file:read "*a"
    if file then
        file:close()
    end
    return text
end

--- Calls fn(attach, join, state): attach() attaches in this process; join() starts another process that does, and
--- gives {leave=, kill=}; state() says what there is.
local function with_processes(fn)
    local inst, err = object:load "kernel"
    if not inst and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    assert(inst, err)
    local script, path = os.tmpname(), os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write(OTHER)
    file:close()
    assert(object:save(path))
    lab.scope(function(l)
        local host, peer = l:ns "host", l:ns "peer"
        l:veth(host, peer)
        local function attach()
            return host:run(function() return assert(tc.attach(inst.progs.one, "eth0", { kind = "clsact" })) end)
        end
        local function join()
            local flag = os.tmpname()
            local process = assert(host:start{ shell, "-q", script, path, flag })
            for _ = 1, 6000 do
                if holds(flag) == "attached" then
                    break
                end
                timer.sleep(0.01)
            end
            test.eq(holds(flag), "attached", "the other process has attached")
            return {
                leave = function()
                    os.remove(flag)
                    local ended = process:wait()
                    assert(ended.ok, ended.err)
                end,
                kill = function()
                    test.eq(process:stop(9).code, 128 + 9)
                    os.remove(flag)
                end,
            }
        end
        local function state()
            local has = host:run "tc qdisc show dev eth0".out:find("clsact", 1, true) and "clsact" or "nothing"
            return ("%s, %d filters"):format(has, #host:run(link.list))
        end
        fn(attach, join, state, host)
    end)
    inst:close()
    os.remove(script)
    os.remove(path)
end

local function run(host, command)
    local done = host:run(command)
    assert(done.ok, done.err)
    return done.out
end

test.case("the maker leaves first, the other takes the clsact along", function()
    with_processes(function(attach, join, state)
        local maker = join()
        local l = attach()
        test.eq(state(), "clsact, 2 filters")
        maker.leave()
        test.eq(state(), "clsact, 1 filters")
        l:detach()
        test.eq(state(), "nothing, 0 filters")
    end)
end)

test.case("three in a row: it is known to be ours beyond its maker", function()
    with_processes(function(attach, join, state)
        local l = attach()
        local second = join()
        l:detach()
        local third = join()
        second.leave()
        test.eq(state(), "clsact, 1 filters")
        third.leave()
        test.eq(state(), "nothing, 0 filters")
    end)
end)

test.case("the maker is killed: whoever is last of the other and --cleanup", function()
    for _, cleans_first in ipairs{ true, false } do
        with_processes(function(attach, join, state, host)
            local maker = join()
            maker.kill()
            test.eq(state(), "clsact, 1 filters")
            local l = attach()
            local function clean()
                assert(run(host, { shell, "--cleanup" }):find(": removed", 1, true))
            end
            if cleans_first then
                clean()
                test.eq(state(), "clsact, 1 filters")
                l:detach()
            else
                l:detach()
                test.eq(state(), "clsact, 1 filters")
                clean()
            end
            test.eq(state(), "nothing, 0 filters")
        end)
    end
end)

test.case("the clsact of somebody else stays", function()
    with_processes(function(attach, join, state, host)
        run(host, "tc qdisc add dev eth0 clsact")
        local other = join()
        local l = attach()
        other.leave()
        l:detach()
        test.eq(state(), "clsact, 0 filters")
    end)
end)

test.case("a clsact of ours stays while a filter of somebody else hangs on it", function()
    with_processes(function(attach, _, state, host)
        local l = attach()
        run(host, "tc filter add dev eth0 egress protocol ip prio 7 u32 match u32 0 0 classid 1:1")
        l:detach()
        test.eq(state(), "clsact, 0 filters")
        assert(run(host, "tc filter show dev eth0 egress"):find("u32", 1, true))
    end)
end)

test.case("one that somebody put in the place of ours stays", function()
    with_processes(function(attach, _, state, host)
        local l = attach()
        run(host, "tc qdisc del dev eth0 clsact && tc qdisc add dev eth0 clsact")
        test.eq(l:detach(), true)
        test.eq(state(), "clsact, 0 filters")
    end)
end)
