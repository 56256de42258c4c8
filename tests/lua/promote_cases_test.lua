-- SPDX-License-Identifier: MIT
-- The xdp and tc programs of tests/cases/parity on a live wire, with the packets of the cases, a ping, a query and an
-- upload: what is promoted, what is refused and why, and what a live device does otherwise than a test run.
-- Runs once: minutes of live wires, in which what LuaJIT compiles does nothing that other files do not.
local test = require "test"
local bpf, pcap = require "bpf", require "pcap"

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local converse = dofile(here .. "/converse.lua")

local why_not = converse.refusal()
if why_not then
    test.case("cases on a live wire", function() test.skip(why_not) end)
    return
end

local OTHER_PLACE = "promote: no program '%s' for this hook"

-- Programs that are not promoted: what the error says.
local REFUSED = {
    ["card.card"] = "metadata kfuncs require device%-bound program",
    ["sends.hash_recalc"] = "the kernel says something else", -- the vm's hash of a packet is one of its own
}
for _, name in ipairs{ "live.devmap_egress", "live.devmap_second", "live.devmap_stretch", "live.devmap_turn", "live.devmap_wrap",
    "live.cpumap_onward", "live.cpumap_second", "live.cpumap_stretch", "live.cpumap_wrap", "targets.out",
    "targets.out_frags", "targets.in" } do
    REFUSED[name] = OTHER_PLACE:format(name:match "[^.]*$")
end

-- Programs that ask the machine: what the vm was not told. They are promoted, and not compared on the wire.
local ASKS = {
    ["cgroup.ids"] = "world.cgroup.id", ["storage.task_fields"] = "world.task.pid", ["task.task"] = "world.task.pid",
    ["task.stack"] = "world.task.stack", ["task.registers"] = 'world.task.regs["orig_ax"]',
    ["sends.clone"] = "world.interfaces", ["sends.clone_moved"] = "world.interfaces",
    ["world.mtu_xdp"] = "world.interfaces", ["world.mtu_tc"] = "world.interfaces",
    ["kernel_context.of_xdp"] = "world.interfaces with index 1", ["kernel_context.of_skb"] = "world.interfaces with index 1",
    ["kernel_context.of_kernel"] = 'world.kernel.sk_buff["end"]',
    ["kernel_context.of_shared_info"] = 'world.kernel.sk_buff["end"]',
    ["answers.of_classifier"] = "world.socket.cookie", ["answers.of_sent"] = "world.socket.cookie",
    ["socket_maps.count"] = "world.sockets", ["socket_maps.structs"] = "world.sockets",
    ["socket_maps.update"] = "world.sockets", ["sockets.derived"] = "world.sockets",
}
for _, size in ipairs{ 1, 4, 16, 40 } do
    ASKS["task.comm_" .. size] = "world.task.comm"
end

-- Programs that show what a live device does otherwise (docs/promote.md, "What a test run does not show"): where.
local DIFFERS = {
    ["packet.fields"] = "variable io", -- ingress_ifindex
    ["sends.socket_tc"] = "variable io", -- a test run's packet has a socket
    ["sends.assign"] = "variable io", -- and is at neither hook
    ["skb.ecn"] = "passed packet 79: byte 15", -- the tag is beside the packet, so its IP header is found
    ["storage.owners"] = "variable io", -- the socket that sends stays, with what is stored in it
    ["xfrm_state.find_state"] = "variable io", -- the other namespaces of a lab have ids
}
-- And those that may: a packet that somebody else holds too, as a capture does, has metadata that is read only.
local MAY_DIFFER = { ["frags.meta"] = "variable io" }
for _, name in ipairs{ "behind", "clocks", "nested", "chained" } do
    DIFFERS["inputs." .. name] = "^injected: " -- clocks and random numbers
end
for _, name in ipairs{ "vlan", "change_proto", "change_type", "adjust_twice", "cut_and_grow", "encap_and_back" } do
    DIFFERS["skb." .. name] = "variable io" -- tstamp
end
for _, name in ipairs{ "change_tail", "change_head", "pull_data", "adjust_room" } do
    DIFFERS["skb." .. name] = "passed packet 1: vm 84 bytes .*, live 88 bytes" -- the outer tag is beside the packet in a run
end

local packets = {}
for packet in assert(pcap.open(here .. "/../data/programs.pcap")):packets() do
    packets[#packets + 1] = packet
end
local carried = converse.carried(packets)

local WAYS = { xdp = { hook = "xdp", mode = "skb" }, sched_cls = { hook = "tc-ingress", kind = "tcx" } }

local function check(name, report)
    if REFUSED[name] then
        assert(report.err, name .. " is promoted")
        assert(tostring(report.err):find(REFUSED[name]), tostring(report.err))
        return
    end
    test.eq(report.err and tostring(report.err) .. "\n" .. report.err.log, nil, name)
    test.eq(report.comparison.different, 0, name)
    if ASKS[name] then
        assert(report.twin.refused[1]:find(ASKS[name], 1, true), report.twin.refused[1])
    elseif DIFFERS[name] then
        assert(report.difference, name .. " does not differ")
        assert(report.difference:find(DIFFERS[name]), name .. ": " .. report.difference)
    else
        test.eq(report.twin.refused, {}, name)
        if report.difference and MAY_DIFFER[name] then
            assert(report.difference:find(MAY_DIFFER[name]), name .. ": " .. report.difference)
        else
            test.eq(report.difference, nil, name)
        end
        for conversation, came_through in pairs(report.outcome) do
            if not report.twin:is_disturbed(conversation) then
                test.eq(came_through, true, name .. ": " .. conversation)
            end
        end
    end
end

-- Sources without an xdp or tc program.
local OTHER_HOOKS = { flow = true, layers = true }

local sources = {}
for path in io.popen("ls " .. here .. "/../cases/parity/*.bpf.c"):lines() do
    sources[#sources + 1] = { path = path, name = path:match "([%w_]+)%.bpf%.c$" }
    -- By turns, and without LuaJIT's compiler the other way round. A packet to be segmented lies in fragments, which is
    -- what frags looks at, and in a test run in one piece.
    if #sources % 2 == (jit.status() and 0 or 1) or sources[#sources].name == "frags" then
        sources[#sources].offloads = false
    end
end
local files = converse.files()

local wait = converse.begin(sources, function(source)
    local object = assert(bpf.compile{ file = source.path })
    return converse.stage({ files = files, offloads = source.offloads }, function(stage)
        local reports = {}
        for _, program in ipairs(object.programs) do
            local way, name = WAYS[program.type], source.name .. "." .. program.name
            if way then
                local report = stage:play{ object = object, program = program.name, hook = way.hook, mode = way.mode,
                    kind = way.kind, packets = packets, inject = carried,
                    differs = ASKS[name] or DIFFERS[name] or MAY_DIFFER[name] }
                report.name = name
                reports[#reports + 1] = report
            end
        end
        return reports
    end)
end)

for _, source in ipairs(sources) do
    test.case("promotes: " .. source.name, function()
        local reports = wait(source)
        for _, report in ipairs(reports) do
            check(report.name, report)
        end
        test.eq(#reports == 0, OTHER_HOOKS[source.name] or false)
    end)
end
assert(os.execute(("rm -r '%s'"):format(files)) == 0)
