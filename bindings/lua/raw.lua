-- SPDX-License-Identifier: MIT
-- Lua half of module raw: sockets that wait as tasks, and keepalives.
local c = ...
local core = require "mimicsh.core"
local timer = require "timer"
local check_options = core.check_options

local raw = {}

local PROTOCOLS = { icmp = 1, tcp = 6, udp = 17, gre = 47, icmp6 = 58, sctp = 132 }
local FAMILIES = { ip = false, ip6 = true }

local function protocol_number(proto)
    local number = PROTOCOLS[proto] or tonumber(proto)
    if not number or number < 1 or number > 255 or number % 1 ~= 0 then
        core.fail(("raw.open: proto is a number from 1 to 255 or one of icmp, icmp6, tcp, udp, gre, sctp, got %s"):format(
            tostring(proto)))
    end
    return number
end

-- A raw TCP socket that nobody reads would get a copy of every segment of the machine.
local function open_protocol(options)
    local number = protocol_number(options.proto)
    local is_reading = options.read
    if is_reading == nil then
        is_reading = number ~= PROTOCOLS.tcp
    end
    local family = options.family or options.proto == "icmp6" and "ip6" or "ip"
    if FAMILIES[family] == nil then
        core.fail(("bad argument 'family': expected \"ip\" or \"ip6\", got %s"):format(tostring(family)))
    end
    return c.open_protocol(number, FAMILIES[family], is_reading)
end

function raw.open(what, options)
    if type(what) == "table" then
        return open_protocol(check_options(what, "raw.open", "proto family read"))
    elseif type(what) ~= "string" then
        core.fail("bad argument 'device': expected the name of a device or {proto=}, got " .. type(what))
    end
    options = check_options(options, "raw.open", "read")
    return c.open_device(what, options.read ~= false)
end

-- -- Sockets --

local Socket = core.metatable "raw socket"
local methods = Socket.__index

function methods.send(socket, packets)
    if type(packets) ~= "table" then
        packets = { packets }
    end
    local sent = 0
    while sent < #packets do
        local went, err = c.socket_send(socket, packets, sent + 1)
        sent = sent + went
        if err then
            return nil, err, sent
        elseif went == 0 then
            c.socket_wait(socket, "send")
        end
    end
    return sent
end

local function check_reading(socket, what)
    if not c.socket_is_reading(socket) then
        core.fail(what .. ": this socket drops what arrives; open it with read=true")
    end
end

function methods.recv(socket, timeout)
    check_reading(socket, "recv")
    local deadline = timeout and c.clock() + core.duration(timeout, "timeout")
    while true do
        local packet, err = c.socket_recv(socket)
        if packet or err then
            return packet, err
        end
        if not c.socket_wait(socket, "recv", deadline and math.max(0, deadline - c.clock())) then
            return nil, core.error_object{ code = "ETIMEDOUT", op = "recv", msg = "timed out" }
        end
        if not c.socket_is_open(socket) then
            return nil
        end
    end
end

--- The program would take the place of the filter that drops everything, for nobody to read.
function methods.attach(socket, prog)
    check_reading(socket, "attach")
    return c.socket_attach(socket, prog)
end

methods.close = c.socket_close

function Socket.__index(socket, name)
    if name == "stats" then
        return c.socket_stats(socket)
    end
    return methods[name] or core.fail(("a raw socket has no '%s' (send, recv, attach, close, stats)"):format(
        tostring(name)))
end

-- -- Keepalives --

local Job = {}
Job.__index = Job

function Job.__tostring(job)
    return ("keepalive to %s: %d sent, %d errors"):format(job.dst, job.stats.sent, job.stats.errors)
end

--- Ends it; does nothing when it has ended.
function Job:stop()
    self.timer:stop()
    self.socket:close()
end

local function beat(job)
    job.number = job.number + 1
    local packet = job.build{ n = job.number, src = job.src, dst = job.dst }
    local _, err = job.socket:send(packet)
    local stats = job.stats
    if err then
        stats.errors = stats.errors + 1
        stats.error = err
    else
        stats.sent = stats.sent + 1
        stats.last = packet
    end
end

local function counted_beat(job)
    if not c.socket_is_open(job.socket) then
        return job:stop() -- its lab has ended
    end
    local ok, why = pcall(beat, job)
    if not ok then
        job.stats.errors, job.stats.error = job.stats.errors + 1, why
        error(why, 0) -- the loop reports it
    end
end

function raw.keepalive(options)
    options = check_options(options, "raw.keepalive", "dst every build dev proto")
    if type(options.build) ~= "function" then
        core.fail("bad argument 'build': expected function, got " .. type(options.build))
    elseif type(options.dst) ~= "string" then
        core.fail("bad argument 'dst': expected an IP address, got " .. type(options.dst))
    end
    local every = core.duration(options.every or 5, "every")
    local src, err = c.source_address(options.dst)
    if not src then
        return nil, err
    end
    local socket
    if options.dev then
        socket, err = raw.open(options.dev, { read = false })
    else
        local family = options.dst:find(":", 1, true) and "ip6" or "ip"
        socket, err = raw.open{ proto = options.proto or "tcp", family = family, read = false }
    end
    if not socket then
        return nil, err
    end
    local job = setmetatable({ dst = options.dst, src = src, build = options.build, socket = socket, number = 0,
        stats = { sent = 0, errors = 0 } }, Job)
    local ok, why = pcall(beat, job)
    if not ok then
        socket:close()
        error(why, 0)
    end
    job.timer = timer.every(every, function() counted_beat(job) end)
    return job
end

-- -- Docs --

core.doc("raw.open", raw.open, [[
raw.open(device [, {read=true}]) or raw.open{proto="icmp"|"tcp"|"udp"|number [, family="ip"|"ip6", read=]} -> socket | nil, err
Whole frames of a device, or IP packets of a protocol, which the kernel routes; read=false (tcp: default) drops what comes.
local _, err = raw.open "no-such-device"
print(err) --> raw.open: no-such-device: no such interface]])
core.doc("raw:send", methods.send, [[
sock:send(packet | bytes | list) -> sent | nil, err, sent
Sends in order, as they are (p:wire() fills in lengths and checksums), and waits for room while other tasks run.]])
core.doc("raw:recv", methods.recv, [[
sock:recv([timeout]) -> packet | nil, err
The next packet that came in; waits for it while other tasks run, at most that long (ETIMEDOUT). nil when closed.]])
core.doc("raw:attach", methods.attach, [[
sock:attach(prog) -> true | nil, err
A socket_filter program of the kernel target decides what the socket gets to read, until it is closed.]])
core.doc("raw:close", methods.close, [[
sock:close()
Closes the socket and ends whoever waits for it; sock.stats stays.]])
core.doc("raw.keepalive", raw.keepalive, [[
raw.keepalive{dst=, every="5s", build=fn [, proto="tcp", dev=]} -> job | nil, err
Sends build{n=, src=, dst=} at once, then every so often, until job:stop(); job.stats has sent, errors, last and error.]])

return raw
