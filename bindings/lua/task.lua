-- SPDX-License-Identifier: MIT
-- Lua half of module task: channels.
local task = ...
local core = require "mimicsh.core"

local Channel = { __name = "channel" }
Channel.__index = Channel

-- Waiters are {waker=, value=}; one that timed out or was interrupted is stale, and wake() says so.
local function hand_over(waiters, ...)
    while waiters[1] do
        local waiter = table.remove(waiters, 1)
        if task.wake(waiter.waker, ...) then
            return waiter
        end
    end
end

local function check(self)
    if getmetatable(self) ~= Channel then
        core.fail("bad argument 'channel': expected channel, got " .. type(self))
    end
end

function task.channel(capacity)
    if capacity ~= nil and (type(capacity) ~= "number" or capacity < 0 or capacity % 1 ~= 0) then
        core.fail("bad argument 'n': expected a count, got " .. tostring(capacity))
    end
    return setmetatable({ capacity = capacity or 0, queue = {}, head = 1, count = 0,
                          receivers = {}, senders = {}, is_closed = false }, Channel)
end

function Channel:send(value)
    check(self)
    if value == nil then
        core.fail("channel:send: nil cannot be sent (it means closed)")
    end
    if self.is_closed then
        return nil, core.error_object{ code = "EPIPE", op = "channel:send", msg = "the channel is closed" }
    end
    if hand_over(self.receivers, value) then
        return true
    end
    if self.count < self.capacity then
        self.queue[self.head + self.count] = value
        self.count = self.count + 1
        return true
    end
    local waker = task.waker("channel:send")
    self.senders[#self.senders + 1] = { waker = waker, value = value }
    return task.block()
end

function Channel:recv(timeout)
    check(self)
    if self.count > 0 then
        local value = self.queue[self.head]
        self.queue[self.head] = nil
        self.head, self.count = self.head + 1, self.count - 1
        local sender = hand_over(self.senders, true)
        if sender then
            self.queue[self.head + self.count] = sender.value
            self.count = self.count + 1
        end
        return value
    end
    local sender = hand_over(self.senders, true)
    if sender then
        return sender.value
    end
    if self.is_closed then
        return nil
    end
    local waker = task.waker("channel:recv")
    local timer
    if timeout ~= nil then
        timer = require("timer").after(timeout, function()
            task.wake(waker, nil, core.error_object{ code = "ETIMEDOUT", op = "channel:recv", msg = "timed out" })
        end)
    end
    self.receivers[#self.receivers + 1] = { waker = waker }
    local value, err = task.block()
    if timer then
        timer:stop()
    end
    return value, err
end

function Channel:close()
    check(self)
    self.is_closed = true
    while hand_over(self.receivers) do end
    local err = core.error_object{ code = "EPIPE", op = "channel:send", msg = "the channel was closed" }
    while hand_over(self.senders, nil, err) do end
end

function Channel:each()
    return self.recv, self
end

core.doc("task.channel", task.channel, [[
task.channel([n]) -> channel
A queue between tasks that holds n values (0: a sender waits for its receiver); send, recv, close, each.
local c = task.channel(2)
c:send "a"; c:send "b"; c:close()
for v in c:each() do print(v) end --> a
--> b]])
core.doc("channel:send", Channel.send, [[
c:send(value) -> true | nil, err
Waits while the channel is full; nil, err when it is closed.
local c = task.channel(1)
print(c:send(1)) --> true]])
core.doc("channel:recv", Channel.recv, [[
c:recv([timeout]) -> value | nil [, err]
Waits for a value; nil when the channel is closed, nil, err (ETIMEDOUT) after the timeout.
local _, err = task.channel():recv(0.001)
print(err.code) --> ETIMEDOUT]])
core.doc("channel:close", Channel.close, [[
c:close()
Ends the channel: receivers get what is queued, then nil.
local c = task.channel(); c:close()
print(c:recv()) --> nil]])
core.doc("channel:each", Channel.each, [[
for v in c:each() do ... end
Receives until the channel is closed.
local c = task.channel(1); c:send(5); c:close()
for v in c:each() do print(v) end --> 5]])

return task
