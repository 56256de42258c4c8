-- SPDX-License-Identifier: MIT
-- Attaching: links of every kind, what others attached, refusals, and what a killed process leaves.
local test = require "test"
local bpf, cgroup, lab, link, tc, xdp = require "bpf", require "cgroup", require "lab", require "link", require "tc",
    require "xdp"
local pkt, timer = require "pkt", require "timer"
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")

local PROGRAMS = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");
static void count(void)
{
    __u32 key = 0;
    __u64 *value = bpf_map_lookup_elem(&seen, &key);
    if (value)
        __sync_fetch_and_add(value, 1);
}
SEC("xdp") int dropper(struct xdp_md *ctx) { count(); return XDP_DROP; }
SEC("xdp/devmap") int onward(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int passer(struct xdp_md *ctx) { return XDP_PASS; }
SEC("tc") int shot(struct __sk_buff *skb) { count(); return TC_ACT_SHOT; }
SEC("tc") int ok(struct __sk_buff *skb) { return TC_ACT_OK; }
SEC("cgroup_skb/egress") int outward(struct __sk_buff *skb) { return 1; }
char _license[] SEC("license") = "GPL";
]]

local object

--- The programs in the kernel, and a lab of two hosts; skipped where that is not allowed.
local function with_wire(fn, options)
    object = object or assert(bpf.compile{ source = PROGRAMS })
    local inst, err = object:load "kernel"
    if not inst and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    assert(inst, err)
    lab.scope(function(l)
        local a, b = l:ns "a", l:ns "b"
        options = options or {}
        options.a_ip, options.b_ip = options.a_ip or "10.0.0.1/24", options.b_ip or "10.0.0.2/24"
        l:veth(a, b, options)
        fn(inst, a, b, l)
    end)
    inst:close()
end

--- True when a connection to b is answered (with a refusal).
local function answers(a, is_blocked)
    local tried = a:run{ "timeout", is_blocked and "0.3" or "60", "bash", "-c", "exec 3<>/dev/tcp/10.0.0.2/1" }
    return tried.err:find("refused", 1, true) ~= nil
end

local function kinds()
    local list = {}
    for i, one in ipairs(assert(link.list())) do
        list[i] = ("%s %s %s %s%s"):format(one.kind, one.device, one.mode or one.dir, one.program,
            one.is_ours and "" or " not ours")
    end
    table.sort(list)
    return table.concat(list, ", ")
end

test.case("the prompt names the target of what was loaded last, and what is attached", function()
    local prompt = require("mimicsh.live").prompt
    with_wire(function(inst, _, b)
        b:run(function()
            collectgarbage() -- links of other cases
            test.eq(prompt(), "kernel> ")
            local first = assert(xdp.attach(inst.progs.passer, "eth0"))
            local second = assert(tc.attach(inst.progs.ok, "eth0", { dir = "egress" }))
            test.eq(prompt(), "kernel[eth0:egress eth0:xdp]> ")
            first:detach()
            test.eq(prompt(), "kernel[eth0:egress]> ")
            second:detach()
            test.eq(prompt(), "kernel> ")
            local other = assert(assert(bpf.asm "r0 = 2\nexit"):load "vm")
            test.eq(prompt(), "vm> ")
            other:close()
            test.eq(prompt(), "mimicsh> ")
        end)
    end)
end)

for _, mode in ipairs{ "native", "skb" } do
    test.case("xdp, mode " .. mode .. ": attach, replace in place, detach", function()
        with_wire(function(inst, a, b)
            assert(answers(a))
            b:run(function()
                local l = assert(xdp.attach(inst.progs.dropper, "eth0", { mode = mode }))
                test.eq(kinds(), ("xdp eth0 %s dropper"):format(mode))
                test.eq(l.info.mode, mode)
                test.eq(answers(a, true), false)
                test.eq(assert(xdp.attach(inst.progs.passer, "eth0", { replace = l })), l)
                test.eq(kinds(), ("xdp eth0 %s passer"):format(mode))
                test.eq(answers(a), true)
                test.eq(l:update(inst.progs.dropper), true)
                test.eq(answers(a, true), false)
                test.eq(l:detach(), true)
                test.eq(l:detach(), true)
                test.eq(l.is_attached, false)
                test.eq(kinds(), "")
                test.eq(answers(a), true)
                local _, err = l:update(inst.progs.passer)
                test.eq(tostring(err), "link.update: eth0: the link is detached")
            end)
            assert(inst.maps.seen[0] > 0)
        end)
    end)
end

test.case("xdp auto says which fallback it took", function()
    with_wire(function(inst, _, b)
        b:run(function()
            local native = assert(xdp.attach(inst.progs.passer, "eth0"))
            test.eq(native.info.mode, "native")
            test.eq(native.info.note, nil)
            local loopback = assert(xdp.attach(inst.progs.passer, "lo"))
            test.eq(loopback.info.mode, "skb")
            test.eq(loopback.info.note, "native: the driver has no such mode; attached in skb mode")
            test.eq(tostring(loopback),
                "link xdp skb on lo: passer; native: the driver has no such mode; attached in skb mode")
        end)
    end)
end)

test.case("xdp native, the MTU too large: auto falls back and says so", function()
    with_wire(function(inst, _, b)
        b:run(function()
            local _, err = xdp.attach(inst.progs.passer, "eth0", { mode = "native" })
            test.eq(tostring(err), "xdp.attach: eth0: mode native: the driver refuses it, perhaps for the MTU of 9000")
            assert(err.hint:find("skb", 1, true), err.hint)
            test.eq(assert(xdp.attach(inst.progs.passer, "eth0")).info.mode, "skb")
        end)
    end, { mtu = 9000 })
end)

test.case("xdp refusals leave nothing attached", function()
    with_wire(function(inst, _, b)
        b:run(function()
            local function refused(prog, device, options)
                local l, err = xdp.attach(prog, device, options)
                test.eq(l, nil)
                return tostring(err)
            end
            test.eq(refused(inst.progs.passer, "nope"), "xdp.attach: nope: no such interface")
            test.eq(refused(inst.progs.ok, "eth0"), "xdp.attach: ok is of type sched_cls, not xdp")
            test.eq(refused(inst.progs.onward, "eth0"),
                "xdp.attach: onward is for entries of a device or CPU map, not for devices")
            assert(refused(inst.progs.passer, "eth0", { mode = "hw" }):find("xdp.attach: eth0: mode hw: the driver", 1, true))
            test.raises(function() xdp.attach(inst.progs.passer, "eth0", { mode = "fast" }) end,
                'expected "auto", "native", "skb", "hw", got "fast"')
            test.eq(kinds(), "")
            local vm = object:load "vm"
            assert(refused(vm.progs.passer, "eth0"):find("the vm's programs cannot be attached", 1, true))
        end)
    end)
end)

test.case("a program of somebody else stays, and is named", function()
    with_wire(function(inst, _, b)
        -- iproute2 attaches its own object without a link.
        local path = os.tmpname()
        assert(object:save(path))
        local done = b:run{ "ip", "link", "set", "eth0", "xdp", "obj", path, "sec", "xdp" }
        os.remove(path)
        assert(done.ok, done.err)
        b:run(function()
            test.eq(kinds(), "xdp eth0 native dropper not ours")
            local l, err = xdp.attach(inst.progs.passer, "eth0")
            test.eq(l, nil)
            test.eq(err.code, "EBUSY")
            assert(tostring(err):find("eth0: taken by program 'dropper' %(id %d+%) in mode native"), tostring(err))
            test.eq(kinds(), "xdp eth0 native dropper not ours")
        end)
    end)
end)

--- True where the kernel has tcx (Linux 6.6); asked of a program on the loopback of the calling host.
local function has_tcx(inst)
    local l, err = tc.attach(inst.progs.ok, "lo", { kind = "tcx" })
    assert(l or err.code == "ENOTSUP", err)
    return l and assert(l:detach())
end

test.case("tc auto says which fallback it took", function()
    with_wire(function(inst, _, b)
        b:run(function()
            local l = assert(tc.attach(inst.progs.ok, "eth0"))
            if has_tcx(inst) then
                test.eq(l.info.kind, "tcx")
                test.eq(l.info.note, nil)
            else
                test.eq(l.info.kind, "clsact")
                test.eq(l.info.note, "this kernel has no tcx; attached to clsact")
            end
        end)
    end)
end)

for _, kind in ipairs{ "tcx", "clsact" } do
    for _, dir in ipairs{ "ingress", "egress" } do
        test.case(("tc by %s, %s: attach, replace in place, detach"):format(kind, dir), function()
            with_wire(function(inst, a, b)
                b:run(function()
                    if kind == "tcx" and not has_tcx(inst) then
                        test.skip "this kernel has no tcx"
                    end
                    local l = assert(tc.attach(inst.progs.shot, "eth0", { dir = dir, kind = kind }))
                    test.eq(kinds(), ("%s eth0 %s shot"):format(kind, dir))
                    test.eq(answers(a, true), false)
                    assert(l:update(inst.progs.ok))
                    test.eq(kinds(), ("%s eth0 %s ok"):format(kind, dir))
                    test.eq(answers(a), true)
                    assert(l:detach())
                    test.eq(kinds(), "")
                    local left = b:run "tc qdisc show dev eth0".out
                    assert(not left:find "clsact", left)
                end)
            end)
        end)
    end
end

test.case("clsact: what others have there stays", function()
    with_wire(function(inst, _, b)
        local path = os.tmpname()
        assert(object:save(path))
        local added = b:run("tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress prio 49152 bpf da obj " .. path ..
            " sec tc")
        os.remove(path)
        assert(added.ok, added.err)
        b:run(function()
            test.eq(kinds(), "clsact eth0 ingress shot not ours")
            local l = assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact" }))
            local second = assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact", prio = 7 }))
            test.eq(second.info.prio, 7)
            local _, err = tc.attach(inst.progs.ok, "eth0", { kind = "clsact", prio = 7 })
            test.eq(tostring(err), "tc.attach: eth0: priority 7 is taken by another filter")
            l:detach()
            second:detach()
        end)
        test.eq(b:run(kinds), "clsact eth0 ingress shot not ours")
    end)
end)

test.case("links can be pinned, and end when detached", function()
    with_wire(function(inst, _, b)
        b:run(function()
            local l = assert(xdp.attach(inst.progs.passer, "eth0"))
            local _, err = l:pin "/tmp/not-there"
            test.eq(tostring(err), "link.pin: /tmp/not-there: /tmp is in no bpf file system")
            local path = "/sys/fs/bpf/mimicsh-test-" .. tostring(l.info.id)
            local pinned, why = l:pin(path)
            if pinned then -- not every machine has the file system mounted
                test.eq(l.info.pinned, path)
                test.eq(b:run{ "ls", path }.ok, true)
                assert(l:detach())
                test.eq(b:run{ "ls", path }.ok, false)
                test.eq(kinds(), "")
            else
                assert(tostring(why):find "link.pin: /sys/fs/bpf", tostring(why))
            end
            local clsact = assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact" }))
            local _, refused = clsact:pin "/sys/fs/bpf/x"
            test.eq(refused.code, "ENOTSUP")
        end)
    end)
end)

test.case("cgroup_skb programs attach by path", function()
    with_wire(function(inst)
        local _, err = cgroup.attach(inst.progs.outward, "/no/such/cgroup")
        test.eq(err.code, "ENOENT")
        local _, wrong = cgroup.attach(inst.progs.ok, "/sys/fs/cgroup")
        test.eq(tostring(wrong), "cgroup.attach: ok is of type sched_cls, not cgroup_skb")
        local _, folder = cgroup.attach(inst.progs.outward, "/tmp")
        assert(folder and folder.hint ~= "", tostring(folder))
    end)
end)

test.case("a device that goes away takes its attachment along", function()
    with_wire(function(inst, a, b)
        b:run(function()
            local l = assert(xdp.attach(inst.progs.passer, "eth0"))
            local t = assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact" }))
            test.eq({ l.is_attached, t.is_attached }, { true, true })
            assert(a:run "ip link del eth0".ok)
            test.eq(kinds(), "")
            test.eq({ l.is_attached, t.is_attached }, { false, false })
            test.eq(tostring(l), "link xdp native on eth0: passer (detached)")
            test.eq(tostring((select(2, l:update(inst.progs.passer)))), "link.update: eth0: the interface is gone")
            test.eq((select(2, t:update(inst.progs.ok))).code, "ENODEV")
            test.eq(l:detach(), true)
            test.eq(t:detach(), true)
        end)
    end)
end)

-- -- Killed processes --

-- For how long nothing sleeps here but what these processes start.
local SECONDS = "98765" .. assert(io.open "/proc/self/stat"):read "*n"

-- Attaches by every means, promotion included, in the namespace it was started in and in a lab of its own, over and over.
local VICTIM = [[
local bpf, lab, pkt, tc, xdp = require "bpf", require "lab", require "pkt", require "tc", require "xdp"
local obj = assert(bpf.open(arg[1]))
print "begins"
io.stdout:flush()
while true do
    local inst = assert(obj:load "kernel")
    local links = { assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact", dir = "egress" })),
                    assert(tc.attach(inst.progs.ok, "eth0", { kind = "clsact" })),
                    assert(tc.attach(inst.progs.ok, "eth0")), assert(xdp.attach(inst.progs.passer, "eth0")) }
    local tried = assert(obj:load "vm")
    assert(tried.progs.ok:run(pkt.eth{} / "promoted"))
    local live = assert(tried:promote("eth0", { hook = "tc-egress", prog = "ok" }))
    links[#links + 1] = live.link
    lab.scope(function(l)
        local a, b = l:ns "a", l:ns "b"
        l:veth(a, b)
        a:start("sleep " .. arg[2] .. " & sleep " .. arg[2] .. "; true")
        a:run(function() assert(xdp.attach(inst.progs.passer, "eth0")):detach() end)
    end)
    for i = #links, 1, -1 do
        links[i]:detach()
    end
    live:close()
    inst:close()
    if arg[3] == "once" then
        break
    end
end
]]

local function uptime()
    local file = assert(io.open "/proc/uptime")
    local seconds = file:read "*n"
    file:close()
    return seconds
end

-- An emulated machine is some twenty times as slow: fewer do there.
local KILLS = tonumber(os.getenv "MIMICSH_TEST_KILLS") or 50

test.case("SIGKILL at many points leaves nothing that --cleanup does not remove", function()
    with_wire(function(inst, _, b)
        local shell = assert(os.getenv "MIMICSH")
        local script, path = os.tmpname(), os.tmpname()
        local file = assert(io.open(script, "w"))
        file:write(VICTIM)
        file:close()
        assert(object:save(path))
        local before = b:run(function() return assert(tc.attach(inst.progs.shot, "lo", { kind = "clsact" })) end)
        -- The points are spread over what one round takes on this machine.
        local begin = uptime()
        local once = b:run{ shell, "-q", script, path, SECONDS, "once" }
        assert(once.ok, once.err)
        local round = math.max(uptime() - begin, 0.15)
        local found = 0
        math.randomseed(7)
        for _ = 1, KILLS do
            local victim = assert(b:start{ shell, "-q", script, path, SECONDS })
            timer.sleep(round * (0.2 + 0.8 * math.random()))
            local ended = victim:stop(9)
            test.eq(ended.code, 128 + 9, ended.err)
            local cleaned = b:run{ shell, "--cleanup" }
            assert(cleaned.ok, cleaned.err)
            found = found + select(2, cleaned.out:gsub(": removed", ""))
            test.eq(b:run(kinds), "clsact lo ingress shot")
            local left = b:run "tc qdisc show dev eth0; tc filter show dev eth0 ingress; tc filter show dev eth0 egress".out
            assert(not left:find "clsact" and not left:find "bpf", left)
        end
        assert(found > 0, "no kill hit an attachment")
        local sleepers = b:run{ "pgrep", "-fxc", "sleep " .. SECONDS }
        test.eq(sleepers.out, "0\n")
        test.eq(b:run{ shell, "--cleanup" }.out, "nothing to clean up\n")
        test.eq(before:detach(), true)
        os.remove(script)
        os.remove(path)
    end)
end)

-- -- What programs are told of a buffer that belongs to no socket --

local ALONE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
__u64 seen, out[4];
SEC("tc") int alone(struct __sk_buff *skb)
{
    if (skb->protocol != 0x0608) /* ARP: made by the kernel itself */
        return 0;
    out[0] = bpf_get_socket_cookie(skb);
    out[1] = bpf_get_socket_uid(skb);
    out[2] = bpf_get_netns_cookie(skb);
    out[3] = bpf_get_netns_cookie(0);
    seen++;
    return 0;
}
char _license[] SEC("license") = "GPL";
]]

local function answers_of(inst)
    local list = {}
    for i = 0, 3 do
        list[i + 1] = inst.vars.out[i]
    end
    return list
end

test.case("a buffer without a socket has no cookie, nobody's uid and the first namespace, on the vm too", function()
    local alone = assert(bpf.compile{ source = ALONE })
    with_wire(function(_, a)
        local live = assert(alone:load "kernel")
        local there
        a:run(function()
            local attached = assert(tc.attach(live.progs.alone, "eth0", { dir = "egress" }))
            a:run{ "bash", "-c", "echo x >/dev/udp/10.0.0.9/9" }
            test.eq(becomes(function() return live.vars.seen > 0 end), true)
            there = answers_of(live)
            assert(attached:detach())
        end)
        test.eq({ there[1], there[2], there[3] == there[4] }, { 0, 65534, true })
        local here = assert(alone:load("vm",
            { world = { socket = { none = true }, init_netns_cookie = there[4], netns_cookie = there[4] + 1 } }))
        test.eq(here.progs.alone:run(pkt.eth{} / pkt.arp{}).fault, nil)
        test.eq(answers_of(here), there)
        live:close()
    end)
end)
