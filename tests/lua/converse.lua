-- SPDX-License-Identifier: MIT
-- A promoted program between two hosts: what goes in, what comes out, and what the vm says of the same packets.
--
-- Three hosts: the client, the server, and between them a bridge with the program, at the client's port (xdp,
-- tc-ingress) or at the server's (tc-egress). Every packet of the client goes through the program, none of the
-- server's. A bridge changes nothing, so what the server gets is what the program let through.
local bpf, json, lab, pcap, raw, task, xdp = require "bpf", require "json", require "lab", require "pcap", require "raw",
    require "task", require "xdp"
local becomes = dofile((debug.getinfo(1, "S").source:match "^@(.*/)" or "./") .. "becomes.lua")
local ffi = require "ffi"

local converse = {}

-- -- One CPU --

ffi.cdef [[
int sched_setaffinity(int pid, size_t size, const uint64_t *mask);
int sched_getaffinity(int pid, size_t size, uint64_t *mask);
]]
local MASK_BYTES = 128
local everywhere, alone = ffi.new("uint64_t[16]"), ffi.new("uint64_t[16]")
assert(ffi.C.sched_getaffinity(0, MASK_BYTES, everywhere) == 0)
local first_cpu = 0
while bit.band(everywhere[math.floor(first_cpu / 64)], bit.lshift(1ULL, first_cpu % 64)) == 0 do
    first_cpu = first_cpu + 1
end
alone[math.floor(first_cpu / 64)] = bit.lshift(1ULL, first_cpu % 64)

--- Whatever sends packets does it from one CPU: then packets of several senders keep their order between the capture
--- and the program, and per-CPU values are where the vm has them. Processes stay where they are started.
local function on_first_cpu(fn)
    assert(ffi.C.sched_setaffinity(0, MASK_BYTES, alone) == 0)
    local result, err = fn()
    ffi.C.sched_setaffinity(0, MASK_BYTES, everywhere)
    return assert(result, err)
end

local function start(host, command)
    return on_first_cpu(function() return host:start(command) end)
end

-- -- The lab --

-- Those of the packets in tests/data/programs.pcap.
local CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"

local SERVER_FILES = [[
mkdir -p "$1/cgi-bin" && printf '#!/bin/sh\necho "Content-Type: text/plain"\necho\nwc -c\n' >"$1/cgi-bin/count" &&
chmod +x "$1/cgi-bin/count" && head -c 2700 /dev/zero >"$1/body"]]

--- A folder for the HTTP server: cgi-bin/count answers with the size of what it is sent; body is to be sent. It makes
--- one packet that is longer than the MTU where segmentation is offloaded, and no longer than a test run takes.
function converse.files()
    local path = os.tmpname()
    os.remove(path)
    assert(os.execute(("set -- '%s'; %s"):format(path, SERVER_FILES)) == 0, "the server's files")
    return path
end

local function is_listening(host, files)
    return host:run(function()
        for name, port in pairs(files) do
            local file = assert(io.open("/proc/thread-self/net/" .. name))
            local text = file:read "*a"
            file:close()
            if not text:find(":" .. port, 1, true) then
                return false
            end
        end
        return true
    end)
end

local function start_servers(server, files)
    start(server, { "dnsmasq", "--keep-in-foreground", "--no-daemon", "--conf-file=/dev/null", "--no-resolv",
        "--no-hosts", "--pid-file", "--listen-address=10.0.0.2", "--address=/example/10.0.0.9" })
    start(server, { "busybox", "httpd", "-f", "-p", "10.0.0.2:80", "-h", files })
    assert(becomes(function() return is_listening(server, { udp = "0035", tcp = "0050" }) end, 60), "no servers")
end

-- Its index is one that no program redirects to. Where bridges ask netfilter, they drop what is no good IP.
local BRIDGE = [[
ip link add br0 index 1000 type bridge mcast_snooping 0 && ip link set br0 up &&
ip link set port1 master br0 && ip link set port2 master br0 &&
for name in iptables ip6tables arptables; do
    if [ -e /proc/sys/net/bridge/bridge-nf-call-$name ]; then
        echo 0 >/proc/sys/net/bridge/bridge-nf-call-$name
    fi
done &&
ip -o link]]

--- Hosts, wires and servers; offloads as given to every device. `ports` has the indices of the bridge's ports.
local function build(l, files, offloads)
    local client, between, server = l:ns "client", l:ns "between", l:ns "server"
    for _, host in ipairs{ client, between, server } do
        host:sysctl("net.ipv6.conf.default.disable_ipv6", 1) -- no packets of the hosts' own
    end
    l:veth(client, between, { a_ip = "10.0.0.1/24", a_mac = CLIENT_MAC, b_name = "port1", offloads = offloads })
    l:veth(server, between, { a_ip = "10.0.0.2/24", a_mac = SERVER_MAC, b_name = "port2", offloads = offloads })
    for _, host in ipairs{ client, server } do
        host:sysctl("net.ipv4.neigh.eth0.delay_first_probe_time", 3600) -- a neighbour is asked for once, and not probed
    end
    local done = assert(between:run(BRIDGE))
    assert(done.ok, done.err)
    if files then
        start_servers(server, files)
    end
    local ports = { client = tonumber(done.out:match "(%d+): port1"), server = tonumber(done.out:match "(%d+): port2") }
    return client, between, server, ports
end

-- -- The vm beside it --

-- What the hooks do with a verdict. tcx knows three, any other means the next program; clsact knows five.
local ENDS = {
    xdp = { ABORTED = "drop", DROP = "drop", TX = "back", REDIRECT = "redirect", INVALID = "drop" },
    tcx = { SHOT = "drop", REDIRECT = "redirect" },
    clsact = { SHOT = "drop", STOLEN = "drop", TRAP = "drop", REDIRECT = "redirect" },
}

--- What a packet is part of.
local function conversation_of(bytes)
    if bytes:sub(13, 14) ~= "\8\0" then
        return "all"
    end
    return ({ [1] = "ping", [6] = "curl", [17] = "dig" })[bytes:byte(24)] or "all"
end

local Twin = {}
Twin.__index = Twin

--- The program on the vm, fed with the packets that the client's device sends. A redirection to the index of one of
--- the bridge's ports goes there.
local function new_twin(inst, program, kind, ports)
    return setmetatable({ prog = inst.progs[program], ends = assert(ENDS[kind], kind), ports = ports, passed = {},
                          sent_back = {}, verdicts = {}, refused = {}, disturbed = {}, seen = {} }, Twin)
end

function Twin:end_of(result)
    local fate = self.ends[result.verdict] or "pass"
    if fate == "redirect" then
        local to = result.redirect
        local index = to and to.kind == "ifindex" and to.index
        return index == self.ports.client and "back" or index == self.ports.server and "pass" or "drop"
    end
    return fate
end

function Twin:see(bytes)
    table.insert(self.seen, bytes)
    local result, err = self.prog:run(bytes)
    local fate = "drop"
    if not result or result.fault then
        table.insert(self.refused, result and result.fault.cause or tostring(err))
    else
        fate = self:end_of(result)
        self.verdicts[result.verdict] = (self.verdicts[result.verdict] or 0) + 1
    end
    if fate ~= "drop" then
        table.insert(fate == "pass" and self.passed or self.sent_back, result.bytes)
    end
    if fate ~= "pass" or result.bytes ~= bytes then
        self.disturbed[conversation_of(bytes)] = true
    end
end

function Twin:is_disturbed(name)
    return self.disturbed.all or self.disturbed[name] or false
end

-- -- Comparing --

local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- The place where two packets differ, as text.
local function packet_difference(vm, live)
    if #vm ~= #live then
        return ("vm %d bytes %s, live %d bytes %s"):format(#vm, hex(vm:sub(1, 60)), #live, hex(live:sub(1, 60)))
    end
    for i = 1, #vm do
        if vm:byte(i) ~= live:byte(i) then
            return ("byte %d: vm %s, live %s, of %s"):format(i - 1, hex(vm:sub(i, i + 7)), hex(live:sub(i, i + 7)),
                hex(live:sub(1, 60)))
        end
    end
end

--- In order; nil when equal. `normal` takes out of a packet what is not compared.
local function list_difference(what, vm, live, normal)
    for i = 1, math.min(#vm, #live) do
        local a, b = vm[i], live[i]
        if a ~= b and normal then
            a, b = normal(a), normal(b)
        end
        local text = packet_difference(a, b)
        if text then
            return ("%s packet %d: %s"):format(what, i, text)
        end
    end
    if #vm ~= #live then
        local more = vm[#live + 1] or live[#vm + 1]
        return ("%s: vm %d, live %d; the next is %s"):format(what, #vm, #live, hex(more:sub(1, 60)))
    end
end

--- What is in `all` and not in `some`, each as often.
local function without(all, some)
    local left, count = {}, {}
    for _, bytes in ipairs(some) do
        count[bytes] = (count[bytes] or 0) + 1
    end
    for _, bytes in ipairs(all) do
        if (count[bytes] or 0) > 0 then
            count[bytes] = count[bytes] - 1
        else
            left[#left + 1] = bytes
        end
    end
    return left
end

local WALKED = { hash = true, array = true, lru_hash = true, percpu_hash = true, percpu_array = true,
                 lru_percpu_hash = true, lpm_trie = true }

local function entries(map)
    local all = {}
    for key, value in map:pairs() do
        all[json.encode(key)] = json.encode(value)
    end
    return all
end

local function variables(inst)
    local all = {}
    for name, value in pairs(inst.vars) do
        all[name] = json.encode(value)
    end
    return all
end

local function table_difference(what, vm, live)
    for key, value in pairs(vm) do
        if live[key] ~= value then
            return ("%s %s: vm %s, live %s"):format(what, key, value, live[key] or "nothing")
        end
    end
    for key, value in pairs(live) do
        if vm[key] == nil then
            return ("%s %s: vm nothing, live %s"):format(what, key, value)
        end
    end
end

--- The first difference between the maps and variables that can be read and stay as they are.
local function map_difference(object, vm, live)
    for _, map in ipairs(object.maps) do
        if WALKED[map.type] and not map.is_data then
            local text = table_difference("map " .. map.name, entries(vm.maps[map.name]), entries(live.maps[map.name]))
            if text then
                return text
            end
        end
    end
    return table_difference("variable", variables(vm), variables(live))
end

local function popped(map)
    local all = {}
    for value in function() return map:pop() end do
        all[#all + 1] = json.encode(value)
    end
    return all
end

local function consumed(map)
    return map:events():consume()
end

local READ = { queue = popped, stack = popped, ringbuf = consumed }

--- Of those that reading empties: once, at the end.
local function record_difference(object, vm, live)
    for _, map in ipairs(object.maps) do
        local read = READ[map.type]
        local text = read and list_difference("records of " .. map.name, read(vm.maps[map.name]), read(live.maps[map.name]))
        if text then
            return text
        end
    end
end

-- -- Watching --

--- How many packets a host's device has taken from it.
local function sent_so_far(host)
    return host:run(function()
        local file = assert(io.open "/proc/thread-self/net/dev")
        local text = file:read "*a"
        file:close()
        return assert(tonumber(text:match("eth0:%s*" .. ("%d+%s+"):rep(9) .. "(%d+)")))
    end)
end

--- What a host sends. has_all() says whether all of it so far has been looked at.
local function sent_by(host, on_packet)
    local reader = host:run(function()
        return assert(pcap.live("eth0", { direction = "out", snaplen = 4096, buffer = 2 ^ 22 }))
    end)
    local before, seen = sent_so_far(host), 0
    local reading = task.spawn(function()
        for packet in reader:packets() do
            seen = seen + 1
            on_packet(packet:bytes())
        end
    end)
    local function has_all()
        return seen == sent_so_far(host) - before
    end
    return { has_all = has_all, stop = function()
        reader:stop()
        reading:join()
    end }
end

--- What comes in: a raw socket is set up and closed sooner than a capture.
local function received_by(host, on_packet)
    local sock = host:run(function() return assert(raw.open "eth0") end)
    local reading = task.spawn(function()
        for packet in function() return sock:recv() end do
            on_packet(packet:bytes())
        end
    end)
    return { socket = sock, stop = function()
        sock:close()
        reading:join()
    end }
end

-- -- Conversations --

local CLIENTS = {
    ping = { "busybox", "ping", "-c1", "-W60", "10.0.0.2" },
    dig = { "dig", "+tries=1", "+time=60", "+short", "@10.0.0.2", "example" },
    curl = { "curl", "-s", "--max-time", "60", "--data-binary", "@body", "http://10.0.0.2/cgi-bin/count" },
}

local ANSWERS = { ping = "1 packets received", dig = "10.0.0.9\n", curl = "2700\n" }

--- All three at once: which of them came to their end. One that the vm says is disturbed has a moment, the others
--- have the time they take.
local function talk(client, twin, files)
    local running, outcome, waits = {}, {}, {}
    for name, command in pairs(CLIENTS) do
        local words = {}
        for i, word in ipairs(command) do
            words[i] = word:gsub("^@body", "@" .. files .. "/body")
        end
        running[name] = start(client, words)
        waits[name] = task.spawn(function()
            local result = running[name]:wait()
            outcome[name] = result.ok and result.out:find(ANSWERS[name], 1, true) ~= nil
        end)
    end
    local function open(but_disturbed)
        for name in pairs(CLIENTS) do
            if outcome[name] == nil and not (but_disturbed and twin:is_disturbed(name)) then
                return true
            end
        end
        return false
    end
    if not becomes(function() return not open(false) end, 0.2) then
        becomes(function() return not open(true) end, 60)
        for name in pairs(CLIENTS) do
            if outcome[name] == nil then
                running[name]:stop(9)
            end
        end
    end
    for _, wait in pairs(waits) do
        wait:join()
    end
    return outcome
end

-- -- The stage --

local Stage = {}
Stage.__index = Stage

local PASS_ALL = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass_all(struct xdp_md *ctx) { return XDP_PASS; }
]]

local function pass_all()
    converse.pass_all = converse.pass_all or assert(bpf.compile{ source = PASS_ALL })
    return converse.pass_all:load "kernel"
end

--- Why programs cannot be loaded here; nil where they can.
function converse.refusal()
    local inst, err = pass_all()
    if not inst and err.code == "EPERM" then
        return tostring(err)
    end
    assert(inst, err):close()
end

--- Frames that XDP sends are taken by the end of a wire with an XDP program. Gives what keeps it there.
local function take_frames(host)
    local inst = assert(pass_all())
    local attached = host:run(function() return assert(xdp.attach(inst.progs.pass_all, "eth0", { mode = "native" })) end)
    host:offload("eth0", { gro = false })
    return attached
end

-- Of a protocol for local experiments, to everybody.
local MARK = ("\255"):rep(6) .. "\2\0\0\0\0\15" .. "\136\181" .. "%046d"

local function mark_of(bytes)
    return bytes:sub(7, 14) == MARK:sub(7, 14) and tonumber(bytes:sub(15))
end

--- Waits until what is on its way has come to its end, and was looked at. One CPU carries all packets, in order: so this
--- is when a mark has come from the server through the bridge, and then one from the bridge to the server. No program is
--- in the way of these.
function Stage:drain()
    self.marks = self.marks + 1
    local mark = MARK:format(self.marks)
    on_first_cpu(function() return self.at_server.socket:send(mark) end)
    assert(becomes(function() return self.marked.client == self.marks end, 60), "nothing comes to the client")
    on_first_cpu(function() return self.at_port:send(mark) end)
    assert(becomes(function()
        return self.marked.server == self.marks and self.from_client.has_all() and self.from_server.has_all()
    end, 60), "something is still on its way")
end

--- The client gets an address: another one each time, so that connections of the last play have nothing to say.
function Stage:renew()
    self.plays = self.plays + 1
    if self.plays > 1 and self.files then
        self.client:addr("eth0", ("10.0.0.%d/24"):format(self.plays + 1))
    end
    self:drain()
end

--- Without an address the client sends nothing any more.
function Stage:silence()
    local done = assert(self.client:run "ip addr flush dev eth0 && ip neigh flush dev eth0")
    assert(done.ok, done.err)
end

--- Promotes a program, sends it packets, and has three conversations through it where the stage has servers. `job` has
--- object, program, hook, mode or kind; packets to compare, inject to send; world of the vm; normal, see above;
--- differs: what arrives is something else. Gives {comparison=, twin=, outcome=, difference=}, and {err=} where
--- promotion is refused.
function Stage:play(job)
    self:renew()
    local inst = assert(job.object:load("vm", { world = job.world, cpu = first_cpu }))
    local live, err = self.between:run(function()
        return inst:promote(job.hook == "tc-egress" and "port2" or "port1", { hook = job.hook, prog = job.program,
            mode = job.mode, kind = job.kind, packets = job.packets })
    end)
    if not live then
        inst:close()
        return { err = err }
    end
    local taker
    if job.mode == "native" then
        self.between:offload("port1", { gro = false }) -- which some kernels switch on with XDP
        taker = take_frames(self.client)
    end
    local twin = new_twin(inst, job.program, live.link.info.kind, self.ports)
    twin.disturbed.all = job.normal ~= nil or job.differs -- a run does not show what it changes
    -- What the server said last, as a probe for an address of the last play, may still be on its way to the client.
    local on_their_way = without(self.answers, self.came_back)
    self.twin, self.arrived, self.answers, self.came_back = twin, {}, on_their_way, {}
    local function difference()
        return list_difference("passed", twin.passed, self.arrived, job.normal)
            or list_difference("sent back", twin.sent_back, without(self.came_back, self.answers), job.normal)
            or map_difference(job.object, inst, live)
    end
    local report = { comparison = live.report.comparison, twin = twin }
    local function has_seen_all()
        return #twin.seen >= #job.inject and self.from_client.has_all()
    end
    local function settles(what)
        local is_equal
        if job.differs then -- is what is known: not waited for, but all that comes is
            is_equal = becomes(has_seen_all, 60)
            self:drain()
            is_equal = is_equal and not difference()
        else
            is_equal = becomes(function() return has_seen_all() and not difference() end, 60)
        end
        if not is_equal then
            report.difference = what .. ": " .. (difference() or ("%d packets seen"):format(#twin.seen))
        end
        return is_equal
    end
    on_first_cpu(function() return self.at_client.socket:send(job.inject) end)
    local has_settled = settles "injected"
    if self.files and (has_settled or job.differs) then
        report.outcome = talk(self.client, twin, self.files)
        self:silence() -- what is compared stays as it is from now on
    end
    if has_settled then
        settles "conversation"
    end
    report.difference = report.difference or record_difference(job.object, inst, live)
    live.link:detach()
    if taker then
        taker:detach()
    end
    self.twin = nil
    live:close()
    inst:close()
    return report
end

--- Calls fn with a stage: hosts, wires and eyes on them. One with `files` (converse.files) has servers and talks.
function converse.stage(options, fn)
    return lab.scope(function(l)
        local client, between, server, ports = build(l, options.files, options.offloads)
        local stage = setmetatable({ client = client, between = between, ports = ports, files = options.files, plays = 0,
                                     arrived = {}, answers = {}, came_back = {}, marks = 0, marked = {} }, Stage)
        local function looks(list, at)
            return function(bytes)
                local mark = mark_of(bytes)
                if not mark then
                    table.insert(stage[list], bytes)
                elseif at then
                    stage.marked[at] = mark
                end
            end
        end
        stage.from_client = sent_by(client, function(bytes)
            if stage.twin then
                stage.twin:see(bytes)
            end
        end)
        stage.from_server = sent_by(server, looks "answers")
        stage.at_server = received_by(server, looks("arrived", "server"))
        stage.at_client = received_by(client, looks("came_back", "client"))
        stage.at_port = between:run(function() return assert(raw.open("port2", { read = false })) end)
        local result = fn(stage)
        for _, eye in ipairs{ stage.from_client, stage.from_server, stage.at_server, stage.at_client } do
            eye.stop()
        end
        return result
    end)
end

--- Those of the packets that arrive where there is no program: a tag with nothing behind it does not.
function converse.carried(packets)
    local fitting = {}
    for _, packet in ipairs(packets) do
        fitting[#fitting + 1] = packet.len <= 1514 and packet or nil
    end
    return converse.stage({}, function(stage)
        on_first_cpu(function() return stage.at_client.socket:send(fitting) end)
        stage:drain()
        local left = {}
        for _, packet in ipairs(fitting) do
            if packet:bytes() == stage.arrived[#left + 1] then
                left[#left + 1] = packet
            end
        end
        assert(#left == #stage.arrived, "packets came in another order")
        return left
    end)
end

-- A lab waits more than it works: so many of them at a time.
local LABS_AT_A_TIME = 4

--- Begins to call fn with each of the list; gives a function that waits for the result of one.
function converse.begin(list, fn)
    local results, at, done = {}, 0, task.channel(#list)
    for _ = 1, LABS_AT_A_TIME do
        task.spawn(function()
            while at < #list do
                at = at + 1
                local one = list[at]
                results[one] = { pcall(fn, one) }
                done:send(true)
            end
        end)
    end
    return function(one)
        while not results[one] do
            done:recv()
        end
        local ok, result = unpack(results[one])
        return ok and result or error(result, 0)
    end
end

return converse
