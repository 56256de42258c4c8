-- SPDX-License-Identifier: MIT
-- Lua half of module lab: hosts in network namespaces of their own, joined by wires, gone when the scope ends.
local raw = ...
local core = require "mimicsh.core"
local timer = require "timer"
local check_options = core.check_options

local lab = {}

local expect = core.expect

--- What cannot be built ends the scope: a lab is all there or not at all.
local function built(ok, err)
    if not ok then
        error(err, 0)
    end
    return ok
end

-- -- Processes --

local Process = {}
Process.__index = Process

--- Waits for the end; {ok=, code=, out=, err=}.
function Process:wait()
    if not self.result then
        local code, out, err = raw.process_wait(self.handle)
        self.result = { ok = code == 0, code = code, out = out, err = err }
    end
    return self.result
end

--- Ends it (SIGTERM, or the signal given) and waits for the end.
function Process:stop(signal)
    raw.process_kill(self.handle, signal or 15)
    return self:wait()
end

function Process.__tostring(process)
    return "process " .. process.args[1]
end

local function arguments(command)
    if type(command) == "string" then
        return { "sh", "-c", command }
    end
    return expect(command, "command", "table")
end

-- -- Hosts --

local Host = {}
Host.__index = Host

function Host.__tostring(host)
    return "host " .. host.name
end

local function restore(before, ok, ...)
    raw.enter(before)
    if not ok then
        error((...), 0)
    end
    return ...
end

--- A function runs as part of this task, a command as a child process: a string goes to the shell.
function Host:run(what, options)
    if type(what) == "function" then
        return restore(raw.enter(self.handle), pcall(what))
    end
    options = check_options(options, "run", "input")
    local process, err = self:start(what, options)
    if not process then
        return nil, err
    end
    return process:wait()
end

--- A child process that goes on beside the script, until the lab ends.
function Host:start(command, options)
    options = check_options(options, "start", "input")
    local args = arguments(command)
    local before = raw.enter(self.handle)
    local handle, err = raw.spawn(args, options.input)
    raw.enter(before)
    if not handle then
        return nil, err
    end
    local process = setmetatable({ handle = handle, args = args }, Process)
    table.insert(self.lab.processes, process)
    return process
end

function Host:addr(device, address)
    built(raw.address(self.handle, expect(device, "device", "string"), expect(address, "address", "string")))
    return self
end

function Host:route(to, options)
    options = check_options(options, "route", "via dev")
    built(raw.route(self.handle, expect(to, "to", "string"), options.via or "", options.dev or ""))
    return self
end

function Host:sysctl(name, value)
    built(raw.sysctl(self.handle, (expect(name, "name", "string"):gsub("%.", "/")), tostring(value)))
    return self
end

--- The host passes packets on between its devices.
function Host:forward()
    self:sysctl("net/ipv4/ip_forward", 1)
    self:sysctl("net/ipv6/conf/all/forwarding", 1)
    return self
end

--- Packets that leave by the device get its address (nftables).
function Host:nat(device)
    self:forward()
    local rules = ([[
table ip mimicsh {
    chain out {
        type nat hook postrouting priority 100; policy accept;
        oifname "%s" masquerade
    }
}
]]):format(expect(device, "device", "string"))
    local done = built(self:run({ "nft", "-f", "-" }, { input = rules }))
    if not done.ok then
        error(core.error_object{ code = "EIO", op = "lab.nat", msg = device .. ": " .. done.err:gsub("%s+$", "") }, 0)
    end
    return self
end

--- A DHCP server (dnsmasq) on a device: range = "10.0.0.50,10.0.0.99".
function Host:dhcp(device, options)
    options = check_options(options, "dhcp", "range router dns")
    local args = { "dnsmasq", "--keep-in-foreground", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--port=0", "--bind-interfaces", "--except-interface=lo", "--leasefile-ro",
        "--interface=" .. expect(device, "device", "string"),
        "--dhcp-range=" .. expect(options.range, "range", "string") .. ",1h" }
    if options.router then
        args[#args + 1] = "--dhcp-option=option:router," .. options.router
    end
    if options.dns then
        args[#args + 1] = "--dhcp-option=option:dns-server," .. options.dns
    end
    return built(self:start(args))
end

--- Switches offloads of a device: {tso=false, gro=false}, or true or false for all of them.
function Host:offload(device, wanted)
    expect(device, "device", "string")
    if type(wanted) == "boolean" then
        local all = {}
        for _, name in ipairs(raw.offload_names()) do
            all[name] = wanted
        end
        for name, on in pairs(all) do
            raw.set_offload(self.handle, device, name, on) -- a device without it has it off already
        end
        return self
    end
    for name, on in pairs(expect(wanted, "wanted", "table")) do
        built(raw.set_offload(self.handle, device, name, on))
    end
    return self
end

--- Whether an offload of a device is on.
function Host:has_offload(device, name)
    return raw.get_offload(self.handle, device, name)
end

function Host:up(device, is_up)
    built(raw.up(self.handle, expect(device, "device", "string"), is_up ~= false))
    return self
end

function Host:mtu(device, mtu)
    built(raw.mtu(self.handle, expect(device, "device", "string"), mtu))
    return self
end

-- -- Labs --

local Lab = {}
Lab.__index = Lab

function Lab.__tostring(l)
    return ("lab of %d hosts"):format(#l.hosts)
end

--- A host: a network namespace of its own with its loopback device up.
function Lab:ns(name)
    expect(name, "name", "string")
    if self.by_name[name] then
        core.fail(("lab: there is a host '%s' already"):format(name))
    end
    local handle = built(raw.create())
    local host = setmetatable({ lab = self, name = name, handle = handle, wires = {}, devices = 0 }, Host)
    table.insert(self.hosts, host)
    self.by_name[name] = host
    built(raw.up(handle, "lo", true))
    return host
end

local function next_device(host)
    local name = "eth" .. host.devices
    host.devices = host.devices + 1
    return name
end

local function addresses(given)
    return type(given) == "table" and given or { given }
end

--- The kernel starts the queues of a wire a moment after it was set up, and drops what is sent before.
local function wait_running(wire)
    for _, side in ipairs{ "a", "b" } do
        local tries = 0
        while true do
            local is_running, err = raw.running(wire[side].handle, wire[side .. "_name"])
            if is_running then
                break
            end
            built(is_running ~= nil, err)
            tries = tries + 1
            if tries > 2000 then
                error(core.error_object{ code = "ETIMEDOUT", op = "lab", msg = wire[side .. "_name"] .. ": does not start" }, 0)
            end
            timer.sleep(0.001)
        end
    end
end

local VETH_OPTIONS = "a_ip b_ip a_name b_name a_mac b_mac mtu offloads loss delay"

local function pair(a, b, options)
    local wire = { a = a, b = b }
    wire.a_name = options.a_name or next_device(a)
    wire.b_name = options.b_name or next_device(b)
    built(raw.veth(a.handle, wire.a_name, options.a_mac or "", b.handle, wire.b_name, options.b_mac or "",
        options.mtu or 0))
    for _, side in ipairs{ "a", "b" } do
        local host, device = wire[side], wire[side .. "_name"]
        for _, address in ipairs(addresses(options[side .. "_ip"])) do
            host:addr(device, address)
        end
        if options.offloads ~= nil then
            host:offload(device, options.offloads)
        end
        host:up(device)
        host.wires[#host.wires + 1] = device
    end
    wait_running(wire)
    return wire
end

--- Carries what arrives on one device to another, as a task, until the lab ends.
local function carry(wire, from, to)
    local function send(packet)
        core.pcall(to.send, to, packet) -- what is on its way when the lab ends arrives nowhere
    end
    require("task").spawn(function()
        for packet in function() return from:recv() end do
            if math.random() < wire.loss then
                wire.lost = wire.lost + 1
            else
                wire.carried = wire.carried + 1
                if wire.delay == 0 then
                    send(packet)
                else
                    timer.after(wire.delay, function() send(packet) end)
                end
            end
        end
    end)
end

--- A wire with a host in its middle that nobody sees, in which this process carries the packets: it can lose and delay them.
local function slow_wire(l, a, b, options)
    if options.offloads then
        core.fail "veth: a wire with loss or delay has no offloads: its packets are carried whole"
    end
    local loss, delay = options.loss or 0, core.duration(options.delay or 0, "delay")
    if type(loss) ~= "number" or not (loss >= 0 and loss <= 1) then
        core.fail "bad argument 'loss': expected a share from 0 to 1"
    end
    l.slow_wires = (l.slow_wires or 0) + 1
    local middle = l:ns("(wire " .. l.slow_wires .. ")")
    middle:sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    local function half(host, side)
        return pair(host, middle, { a_ip = options[side .. "_ip"], a_name = options[side .. "_name"],
            a_mac = options[side .. "_mac"], mtu = options.mtu, offloads = false })
    end
    local left, right = half(a, "a"), half(b, "b")
    local wire = { a = a, b = b, a_name = left.a_name, b_name = right.a_name, loss = loss, delay = delay, lost = 0, carried = 0 }
    local one, other = middle:run(function()
        local sockets = require "raw"
        return built(sockets.open(left.b_name)), built(sockets.open(right.b_name))
    end)
    carry(wire, one, other)
    carry(wire, other, one)
    return wire
end

--- A wire between two hosts. Devices are called eth0, eth1, ... unless named, and are up.
function Lab:veth(a, b, options)
    options = check_options(options, "veth", VETH_OPTIONS)
    if getmetatable(a) ~= Host or getmetatable(b) ~= Host then
        core.fail("veth: expected two hosts of the lab")
    end
    if options.loss or options.delay then
        return slow_wire(self, a, b, options)
    end
    return pair(a, b, options)
end

--- A bridge with a wire to each host: {hosts={...}, ips={host name = address}, name=}.
function Lab:bridge(options)
    options = check_options(options, "bridge", "name hosts ips mtu offloads loss delay")
    local name = options.name or "br0"
    local switch = self:ns(name)
    built(raw.bridge(switch.handle, name))
    switch:up(name)
    local ips = options.ips or {}
    for i, host in ipairs(options.hosts or {}) do
        local wire = self:veth(host, switch, { a_ip = ips[host.name], b_name = "port" .. i, mtu = options.mtu,
            offloads = options.offloads, loss = options.loss, delay = options.delay })
        built(raw.master(switch.handle, wire.b_name, name))
    end
    return switch
end

--- A lab as data: {hosts = {"a", "b"}, wires = {{"a", "b", a_ip=...}}, bridges = {{...}}, routes = {{"a", "default", via=}}}.
function Lab:topology(spec)
    spec = check_options(spec, "topology", "hosts wires bridges routes forward")
    local hosts = {}
    for _, name in ipairs(spec.hosts or {}) do
        hosts[name] = self:ns(name)
    end
    local function host(name)
        return hosts[name] or core.fail(("topology: no host '%s'"):format(tostring(name)))
    end
    for _, wire in ipairs(spec.wires or {}) do
        local options = {}
        for key, value in pairs(wire) do
            if type(key) == "string" then
                options[key] = value
            end
        end
        self:veth(host(wire[1]), host(wire[2]), options)
    end
    for _, bridge in ipairs(spec.bridges or {}) do
        local options = {}
        for key, value in pairs(bridge) do
            options[key] = value
        end
        options.hosts = {}
        for i, name in ipairs(bridge.hosts or {}) do
            options.hosts[i] = host(name)
        end
        hosts[options.name or "br0"] = self:bridge(options)
    end
    for _, name in ipairs(spec.forward or {}) do
        host(name):forward()
    end
    for _, route in ipairs(spec.routes or {}) do
        host(route[1]):route(route[2], { via = route.via, dev = route.dev })
    end
    return hosts
end

local function leave(l, ok, ...)
    for _, process in ipairs(l.processes) do
        raw.process_kill(process.handle, 9)
        process:wait()
    end
    for _, host in ipairs(l.hosts) do
        raw.close(host.handle)
    end
    if not ok then
        error((...), 0)
    end
    return ...
end

--- Calls fn with a lab that lasts as long as the call, and gives back what fn returns.
function lab.scope(fn)
    expect(fn, "fn", "function")
    local l = setmetatable({ hosts = {}, by_name = {}, processes = {} }, Lab)
    return leave(l, pcall(fn, l))
end

core.doc("lab.scope", lab.scope, [[
lab.scope(function(l) ... end) -> what the function returns
Calls the function with a lab of hosts and wires that is gone, with all that runs in it, when it ends; docs/lab.md.]])
core.doc("lab:ns", Lab.ns, [[
l:ns(name) -> host
Makes a host, a network namespace with a loopback device; host:run(fn) or host:run(command) acts there.]])
core.doc("lab:veth", Lab.veth, [[
l:veth(a, b, {a_ip=, b_ip=, a_name=, b_name=, a_mac=, b_mac=, mtu=, offloads=, loss=, delay=}) -> wire
Joins two hosts by a wire, whose ends are wire.a_name and wire.b_name; loss is a share, delay a time in each direction.]])
core.doc("lab:bridge", Lab.bridge, [[
l:bridge{hosts={a, b}, ips={a="10.0.0.1/24"}, name=, mtu=, offloads=, loss=, delay=} -> host
Makes a bridge, in a namespace of its own, with a wire to each of the hosts.]])
core.doc("lab:topology", Lab.topology, [[
l:topology{hosts={"a", "b"}, wires={{"a", "b", a_ip=}}, bridges=, routes={{"a", "default", via=}}, forward=} -> {name=host}
Builds a lab from a table, and gives its hosts by name.]])

return lab
