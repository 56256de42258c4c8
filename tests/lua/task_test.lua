-- SPDX-License-Identifier: MIT
-- Tasks, channels, timers: who runs when, what blocks, where blocking is refused.
local test, task, timer = require "test", require "task", require "timer"

test.case("tasks run beside each other", function()
    local order = {}
    local a = task.spawn(function() for i = 1, 3 do order[#order + 1] = "a" .. i; coroutine.yield() end end)
    local b = task.spawn(function() for i = 1, 3 do order[#order + 1] = "b" .. i; coroutine.yield() end end)
    a:join(); b:join()
    test.eq(order, { "a1", "b1", "a2", "b2", "a3", "b3" })
end)

test.case("join gives results, nils among them, to every joiner and later ones", function()
    local t = task.spawn(function() timer.sleep "1ms"; return 1, nil, 3 end)
    local other = task.spawn(function() return select("#", t:join()) end)
    test.eq({ select("#", t:join()), (t:join()) }, { 3, 1 })
    test.eq(other:join(), 3)
end)

test.case("join gives the error object of a failed task", function()
    local object = {}
    local t = task.spawn(function() timer.sleep "1ms"; error(object) end)
    local value, err = t:join()
    assert(value == nil and err == object)
end)

test.case("a blocking call inside a user's coroutine suspends the whole task", function()
    local steps = {}
    local co = coroutine.wrap(function(x)
        timer.sleep "1ms"
        local y = coroutine.yield(x + 1)
        timer.sleep "1ms"
        return y * 2
    end)
    task.spawn(function() steps[#steps + 1] = "other ran" end)
    test.eq(co(1), 2)
    test.eq(co(21), 42)
    test.eq(steps, { "other ran" })
end)

test.case("a blocking call works across pcall and in an iterator", function()
    local ok, value = pcall(function() timer.sleep "1ms"; return 5 end)
    test.eq({ ok, value }, { true, 5 })
    local seen = 0
    for i in function(_, i) timer.sleep "1ms"; return (i or 0) < 3 and (i or 0) + 1 or nil end do
        seen = seen + i
    end
    test.eq(seen, 6)
end)

test.case("blocking where a task cannot yield is refused", function()
    test.raises(function() table.sort({ 2, 1, 3 }, function(a, b) timer.sleep(0); return a < b end) end,
        "timer.sleep: would block: call it from a task")
    test.raises(function() ("x"):gsub(".", function() task.channel():recv() end) end, "would block")
end)

test.case("channels keep order through any capacity", function()
    for capacity = 0, 3 do
        local c, got = task.channel(capacity), {}
        task.spawn(function() for i = 1, 10 do c:send(i) end c:close() end)
        for v in c:each() do got[#got + 1] = v end
        test.eq(got, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, "capacity " .. capacity)
    end
end)

test.case("recv gives up after its timeout, and the value goes to the next receiver", function()
    local c = task.channel()
    local value, err = c:recv(0.001)
    test.eq({ value, err.code }, { nil, "ETIMEDOUT" })
    task.spawn(function() c:send "late" end)
    test.eq(c:recv(), "late")
end)

test.case("closing a channel wakes receivers and refuses senders", function()
    local c = task.channel()
    local receiver = task.spawn(function() return c:recv() end)
    local sender_channel = task.channel()
    local sender = task.spawn(function() return sender_channel:send(1) end)
    timer.sleep "1ms"
    c:close(); sender_channel:close()
    test.eq(receiver:join(), nil)
    local _, err = sender:join()
    test.eq(err.code, "EPIPE")
    local _, later = c:send(1)
    test.eq(later.code, "EPIPE")
end)

test.case("sleepers wake in order of time", function()
    local order, tasks = {}, {}
    for _, ms in ipairs{ 30, 10, 20 } do
        tasks[#tasks + 1] = task.spawn(function() timer.sleep(ms / 1000); order[#order + 1] = ms end)
    end
    for _, t in ipairs(tasks) do t:join() end
    test.eq(order, { 10, 20, 30 })
end)

test.case("a stopped timer does not fire", function()
    local fired = false
    local t = timer.after(0.001, function() fired = true end)
    t:stop(); t:stop()
    timer.sleep(0.02)
    test.eq(fired, false)
end)

test.case("a timer that was due is stopped before its turn", function()
    local fired = {}
    local every
    timer.after("1ms", function() every:stop() end)
    every = timer.every("1ms", function() fired[#fired + 1] = "every" end)
    local once = timer.after("2ms", function() fired[#fired + 1] = "once" end)
    timer.after("1ms", function() once:stop() end)
    local begin = os.clock()
    while os.clock() - begin < 0.02 do end -- all are due when the loop runs next
    timer.sleep(0.02)
    test.eq(fired, {})
end)

test.case("timer.every leaves out beats while its function still runs", function()
    local running, most, beats = 0, 0, 0
    local t = timer.every(0.001, function()
        running = running + 1
        most = math.max(most, running)
        timer.sleep(0.005)
        running = running - 1
        beats = beats + 1
    end)
    while beats < 3 do timer.sleep "1ms" end
    t:stop()
    test.eq(most, 1)
end)

test.case("require lets a module block while it loads, and loads it once for two tasks", function()
    local folder = os.tmpname()
    os.remove(folder)
    local name = "slow_" .. folder:match "[%w_]+$"
    local path = folder:match "^(.*/)" .. name .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write [[loads = (loads or 0) + 1; require("timer").sleep "5ms"; return { value = loads }]]
    file:close()
    local before = package.path
    package.path = folder:match "^(.*/)" .. "?.lua;" .. before
    local a = task.spawn(function() return require(name) end)
    local b = task.spawn(function() return require(name) end)
    local x, y = a:join(), b:join()
    package.path = before
    os.remove(path)
    assert(x == y and x.value == 1)
    loads = nil
end)

test.case("mistakes name the argument", function()
    test.raises(function() timer.sleep {} end, "bad argument 'seconds': expected duration")
    test.raises(function() timer.sleep(-1) end, "not a duration")
    test.raises(function() timer.sleep "5 parsecs" end, "not a duration")
    test.raises(function() timer.after(1) end, "task_test.lua:%d+: bad argument 'fn': expected function, got nothing")
    test.raises(function() task.join(1) end, "bad argument 'task': expected task, got number")
    test.raises(function() task.channel(-1) end, "bad argument 'n'")
end)
