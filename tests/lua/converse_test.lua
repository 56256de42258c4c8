-- SPDX-License-Identifier: MIT
-- Every xdp and tc program of the corpus on a live wire: the packets of the cases, and a ping, a query and an upload,
-- with offloads and without. What arrives, what comes back and what is in the maps is what the vm says of the packets.
-- Runs once: minutes of live wires, in which what LuaJIT compiles does nothing that other files do not.
local test = require "test"
local bpf, lab, pcap, pkt, raw, tc, xdp = require "bpf", require "lab", require "pcap", require "pkt", require "raw",
    require "tc", require "xdp"

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local becomes, converse = dofile(here .. "/becomes.lua"), dofile(here .. "/converse.lua")
local cases = here .. "/../cases/"

local why_not = converse.refusal()
if why_not then
    test.case("programs on a live wire", function() test.skip(why_not) end)
    return
end

-- -- What a live wire does otherwise (docs/promote.md, "What a test run does not show") --

local function is_tagged(bytes)
    local kind = bytes:sub(13, 14)
    return kind == "\129\0" or kind == "\136\168"
end

local function without_tag(bytes)
    return is_tagged(bytes) and bytes:sub(1, 12) .. bytes:sub(17) or bytes
end

--- Without the checksum of TCP.
local function without_sum(bytes)
    local at = 15 + bytes:byte(15) % 16 * 4 + 16
    return bytes:sub(1, at - 1) .. "\0\0" .. bytes:sub(at + 2)
end

--- By program: untagged leaves out packets with a VLAN tag, the others are fields of a job (converse.lua).
local BY_NATURE = {
    -- The namespace keeps what the comparison has put into its table: fewer connections are new.
    connection_gate = { world = { conntrack = {} }, differs = { leave = "^injected: variable seen" } },
    fib_router = { world = { interfaces = {}, routes = {} } }, -- interface 10, which it asks for, is in neither
    length_histogram = { untagged = true }, -- a tag is not in skb->len
    vlan_tc = { untagged = true, normal = without_tag }, -- what it pushes is beside the packet in a run
    mss_clamp = { partial = without_sum }, -- a sum that is not filled in yet is left alone by bpf_l4_csum_replace
}

-- -- Jobs --

local packets = {}
for packet in assert(pcap.open(here .. "/../data/programs.pcap")):packets() do
    packets[#packets + 1] = packet
end
local carried = converse.carried(packets)
local untagged = {}
for _, packet in ipairs(carried) do
    if not is_tagged(packet:bytes()) then
        untagged[#untagged + 1] = packet
    end
end

local function sources(folder)
    local list = {}
    for path in io.popen("ls " .. cases .. folder .. "/*.bpf.c"):lines() do
        list[#list + 1] = { path = path, name = path:match "([%w_]+)%.bpf%.c$" }
    end
    return list
end

-- By turns, so that each program has its conversations with offloads and without, in one mode or the other; without
-- LuaJIT's compiler the other way round.
local WAYS = {
    xdp = { { { hook = "xdp", mode = "native", offloads = false }, { hook = "xdp", mode = "skb" } },
            { { hook = "xdp", mode = "native" }, { hook = "xdp", mode = "skb", offloads = false } } },
    sched_cls = { { { hook = "tc-ingress", kind = "tcx", offloads = false }, { hook = "tc-egress", kind = "clsact" } },
                  { { hook = "tc-ingress", kind = "tcx" }, { hook = "tc-egress", kind = "clsact", offloads = false } } },
}

-- Sources without an xdp or tc program.
local OTHER_HOOKS = { cgroup_ports = true, lwt_encap = true, socket_classifier = true }

local function jobs_of(source, object, turn)
    local jobs = {}
    for _, program in ipairs(object.programs) do
        local special = BY_NATURE[source.name] or {}
        for _, way in ipairs(WAYS[program.type] and WAYS[program.type][(turn + (jit.status() and 0 or 1)) % 2 + 1] or {}) do
            local inject = special.untagged and untagged or carried
            jobs[#jobs + 1] = { object = object, program = program.name, hook = way.hook, mode = way.mode, kind = way.kind,
                                offloads = way.offloads, packets = packets, inject = inject, world = special.world,
                                differs = special.differs and special.differs[program.name],
                                normal = special.normal or way.offloads == nil and special.partial or nil }
        end
    end
    return jobs
end

-- -- Checks --

local function label(job)
    return ("%s (%s %s, offloads %s)"):format(job.program, job.hook, job.mode or job.kind or "",
        job.offloads == false and "off" or "on")
end

local totals = { verdicts = {}, whole = 0, disturbed = 0, long = 0 }

local SYN = 2

--- Whether nobody has filled in the sum of a packet of the conversations, and whether it may well come from the kernel's
--- own socket: that sends the RST and the late ACK of closed connections, and fills in their sums
--- (ip_send_unicast_reply in net/ipv4/ip_output.c). Nil of other packets. Sums are numbers modulo 0xffff: where ours is
--- zero, the kernel writes all ones, of TCP as well (skb_checksum_help in net/core/dev.c).
local function is_unfilled(bytes)
    local packet = pkt.parse(bytes)
    local layer = packet.tcp or packet.udp
    if bytes:sub(27, 34) == "\10\0\0\1\10\0\0\2" and layer then
        local is_bare = packet.tcp and packet.payload == "" and bit.band(layer.flags, SYN) == 0
        local sum = layer.checksum
        packet:fix()
        return sum % 0xffff ~= layer.checksum % 0xffff, is_bare or false
    end
end

--- A device with offloads gets packets longer than the MTU, and sums that nobody has filled in; XDP in native mode has
--- segmentation switched off at the other end.
local function check_offloads(job, report)
    local is_long = false
    for i = #job.inject + 1, #report.twin.seen do
        local bytes = report.twin.seen[i]
        is_long = is_long or #bytes > 1514
        local unfilled, is_bare = is_unfilled(bytes)
        if unfilled ~= nil and not (is_bare and job.offloads == nil) then
            test.eq(unfilled, job.offloads == nil, label(job) .. ": sum of " .. pkt.parse(bytes):code())
        end
    end
    if job.offloads == false or job.mode == "native" then
        test.eq(is_long, false, label(job))
    end
    totals.long = totals.long + (is_long and 1 or 0)
end

local function check(job, report)
    test.eq(report.err and tostring(report.err) .. "\n" .. report.err.log, nil, label(job))
    test.eq(report.comparison.different, 0, label(job))
    test.eq(report.comparison.equal > 0, true, label(job))
    test.eq(report.twin.refused, {}, label(job))
    if job.differs then
        assert(report.difference, label(job) .. " does not differ")
        assert(report.difference:find(job.differs), label(job) .. ": " .. report.difference)
    else
        test.eq(report.difference, nil, label(job))
    end
    for name, came_through in pairs(report.outcome) do
        local is_disturbed = report.twin:is_disturbed(name)
        if not is_disturbed then
            test.eq(came_through, true, label(job) .. ": " .. name)
        end
        totals.whole = totals.whole + (is_disturbed and 0 or 1)
        totals.disturbed = totals.disturbed + (is_disturbed and 1 or 0)
    end
    for verdict, count in pairs(report.twin.verdicts) do
        totals.verdicts[verdict] = (totals.verdicts[verdict] or 0) + count
    end
    check_offloads(job, report)
end

test.case("a sum of zero and one of all ones are the same", function()
    local function with(word, sum)
        local packet = pkt.eth{} / pkt.ip{ src = "10.0.0.1", dst = "10.0.0.2" } / pkt.tcp{ flags = SYN } / word
        packet:fix()
        packet.tcp.checksum = sum or packet.tcp.checksum
        return packet:bytes()
    end
    local word = with("\0\0"):sub(51, 52)
    test.eq(with(word):sub(51, 52), "\0\0")
    test.eq(is_unfilled(with(word)), false)
    test.eq(is_unfilled(with(word, 0xffff)), false)
    test.eq(is_unfilled(with(word, 1)), true)
end)

-- -- Conversations --

local files = converse.files()
local by_source, all = {}, {}
for turn, source in ipairs(sources "programs") do
    local object, err = bpf.compile{ file = source.path }
    by_source[turn] = { source = source, jobs = object and jobs_of(source, object, turn) or {}, err = err }
    for _, job in ipairs(by_source[turn].jobs) do
        job.files = files
        all[#all + 1] = job
    end
end

local wait = converse.begin(all, function(job)
    return converse.stage(job, function(stage) return stage:play(job) end)
end)
for _, one in ipairs(by_source) do
    test.case("has conversations: " .. one.source.name, function()
        test.eq(one.err, nil)
        test.eq(#one.jobs == 0, OTHER_HOOKS[one.source.name] or false)
        for _, job in ipairs(one.jobs) do
            check(job, wait(job))
        end
    end)
end
assert(os.execute(("rm -r '%s'"):format(files)) == 0)

test.case("the conversations are of all kinds", function()
    for _, verdict in ipairs{ "PASS", "DROP", "TX", "REDIRECT", "ABORTED", "OK", "SHOT", "UNSPEC", "STOLEN" } do
        assert((totals.verdicts[verdict] or 0) > 0, "no packet has " .. verdict)
    end
    assert(totals.whole > 30 and totals.disturbed > 30, ("%d whole, %d disturbed"):format(totals.whole, totals.disturbed))
    assert(totals.long > 3, ("%d jobs with packets longer than the MTU"):format(totals.long))
end)

-- -- The list in docs/promote.md --

local LOOK = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
__u32 device, incoming, queue, hash, length, wire, tagged, before, behind, runs;
SEC("xdp") int look(struct xdp_md *ctx)
{
    __u32 room = 0;

    device = ctx->ingress_ifindex;
    queue = ctx->rx_queue_index;
    for (int i = 0; i < 1024 && !bpf_xdp_adjust_head(ctx, -8); i++)
        room += 8;
    bpf_xdp_adjust_head(ctx, room);
    before = room;
    room = 0;
    for (int i = 0; i < 1024 && !bpf_xdp_adjust_tail(ctx, 8); i++)
        room += 8;
    bpf_xdp_adjust_tail(ctx, -(int)room);
    behind = room;
    __sync_fetch_and_add(&runs, 1); /* all else is there */
    return XDP_PASS;
}
SEC("tc") int look_skb(struct __sk_buff *skb)
{
    device = skb->ifindex;
    incoming = skb->ingress_ifindex;
    queue = skb->queue_mapping;
    hash = skb->hash;
    length = skb->len;
    wire = skb->wire_len;
    tagged = skb->vlan_present;
    __sync_fetch_and_add(&runs, 1);
    return TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
]]

local look = assert(bpf.compile{ source = LOOK })

--- What a program sees of a packet: in a run, or (with the name of a hook) of one that came over a wire.
local function seen(program, packet, attach)
    local inst = assert(look:load(attach and "kernel" or "vm"))
    if attach then
        lab.scope(function(l)
            local a, b = l:ns "a", l:ns "b"
            for _, host in ipairs{ a, b } do
                host:sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            end
            l:veth(a, b)
            local attached = b:run(function() return assert(attach(inst.progs[program])) end)
            a:run(function()
                local sock = assert(raw.open("eth0", { read = false }))
                assert(sock:send(packet))
                sock:close()
            end)
            becomes(function() return inst.vars.runs ~= 0 end)
            test.eq(inst.vars.device, attached.info.ifindex)
            attached:detach()
        end)
    else
        inst.progs[program]:run(packet)
        test.eq(inst.vars.device, 1)
    end
    local values = {}
    for name, value in pairs(inst.vars) do
        values[name] = value
    end
    return values
end

test.case("what the page says a live device does otherwise", function()
    local plain = (pkt.eth{} / pkt.ip{ dst = "10.0.0.9" } / pkt.udp{} / ("x"):rep(60)):wire()
    local tagged = (pkt.eth{} / pkt.vlan{ id = 5 } / pkt.ip{ dst = "10.0.0.9" } / pkt.udp{} / ("x"):rep(60)):wire()
    local run = seen("look", plain)
    for _, mode in ipairs{ "native", "skb" } do
        local live = seen("look", plain, function(prog) return xdp.attach(prog, "eth0", { mode = mode }) end)
        test.eq(live.before >= run.before, true, "room in front")
        test.eq(live.behind < run.behind, true, "room behind")
    end
    local function ingress(prog)
        return tc.attach(prog, "eth0")
    end
    local here_tc, live = seen("look_skb", plain), seen("look_skb", plain, ingress)
    test.eq({ here_tc.incoming, here_tc.wire }, { 0, plain.len })
    test.eq({ live.incoming, live.wire }, { live.device, plain.len - 14 })
    here_tc, live = seen("look_skb", tagged), seen("look_skb", tagged, ingress)
    test.eq({ here_tc.tagged, here_tc.length }, { 0, tagged.len })
    test.eq({ live.tagged, live.length }, { 1, tagged.len - 4 })
end)
