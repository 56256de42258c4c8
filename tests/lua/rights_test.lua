-- SPDX-License-Identifier: MIT
-- Calls that need rights, without them: each names the capability and what to do; and what works in a user namespace.
local test = require "test"
local bpf = require "bpf"

-- Prints a line for each call: its name, and "works", or the code, the text and the hint of its error.
local HEAD = [[
local bpf, cgroup, kernel, lab, link, pcap, pkt, raw, tc, timer, trace, traffic, xdp = require "bpf", require "cgroup",
    require "kernel", require "lab", require "link", require "pcap", require "pkt", require "raw", require "tc",
    require "timer", require "trace", require "traffic", require "xdp"
local function call(name, fn, ...)
    local ok, result, err = pcall(fn, ...)
    if not ok then
        result, err = nil, result
    end
    if result then
        print(name .. "\tworks")
    else
        print(("%s\t%s\t%s | %s"):format(name, tostring(err.code), tostring(err), tostring(err.hint)))
    end
    io.stdout:flush()
    return result
end
local obj = assert(bpf.open(arg[1]))
local packet = (pkt.eth{} / pkt.ip{} / pkt.udp{}):wire()
]]

local ALL = HEAD .. [[
local vm = assert(obj:load "vm")
call("load", obj.load, obj, "kernel")
call("compare", vm.compare, vm, "shaped", { packet })
call("promote", vm.promote, vm, "lo", { prog = "shaped", hook = "tc-ingress", packets = { packet } })
call("lab.scope", lab.scope, function(l) return l:ns "a" end)
call("pcap.live", pcap.live, "any")
call("raw.open device", raw.open, "lo")
call("raw.open proto", raw.open, { proto = "icmp" })
call("raw.keepalive", raw.keepalive, { dst = "127.0.0.1", proto = "udp", build = function() return packet end })
for _, how in ipairs{ "auto", "sendmmsg", "live", "xsk" } do
    call("traffic.send " .. how, traffic.send, { dev = "lo", template = packet, count = 1, how = how })
end
call("trace.pipe", trace.pipe)
call("link.list", link.list)
for _, feature in ipairs(kernel.features()) do
    if feature.name ~= "btf" then
        print("feature " .. feature.name, feature.available, feature.reason)
    end
end
os.exit(0)
]]

-- With everything that can be had loaded and opened, the rest without rights. arg[2], arg[3]: a bpf file system and a
-- cgroup, which are not this user's.
local ATTACH = HEAD .. [[
local inst = assert(obj:load "kernel")
local sock = assert(raw.open "lo")
local own = assert(tc.attach(inst.progs.shaped, "lo", { kind = "clsact" }))
local fast = assert(xdp.attach(inst.progs.fast, "lo"))
local ffi = require "ffi"
ffi.cdef "int capget(uint32_t *, uint32_t *); int capset(const uint32_t *, const uint32_t *);"
local version, rights, none = ffi.new("uint32_t[2]", 0x20080522, 0), ffi.new "uint32_t[6]", ffi.new "uint32_t[6]"
assert(ffi.C.capget(version, rights) == 0)
none[1], none[4] = rights[1], rights[4] -- permitted still, and so to be had again, but not effective
assert(ffi.C.capset(version, none) == 0)
call("xdp.attach", xdp.attach, inst.progs.fast, "dummy", { mode = "skb" })
call("tc.attach", tc.attach, inst.progs.shaped, "lo")
call("tc.attach clsact", tc.attach, inst.progs.shaped, "lo", { kind = "clsact" })
call("cgroup.attach", cgroup.attach, inst.progs.counted, arg[3])
call("link:update", own.update, own, inst.progs.shaped)
call("link:detach", own.detach, own)
call("map:pin", inst.maps.seen.pin, inst.maps.seen, arg[2] .. "/seen")
call("link:pin", fast.pin, fast, arg[2] .. "/link")
call("sock:attach", sock.attach, sock, inst.progs.heard)
call("map", function() inst.maps.seen[0] = 7 return inst.maps.seen[0] == 7ULL end)
call("run", inst.progs.fast.run, inst.progs.fast, packet)
assert(ffi.C.capset(version, rights) == 0)
call("link:detach again", own.detach, own)
os.exit(0)
]]

-- A ping between two hosts, seen by everything that reads packets; then many packets.
local NAMESPACE = HEAD .. [[
lab.scope(function(l)
    local a, b = l:ns "a", l:ns "b"
    l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
    local reader = b:run(function() return call("pcap.live", pcap.live, "eth0", { filter = "icmp" }) end)
    local sock = b:run(function() return call("raw.open", raw.open, { proto = "icmp" }) end)
    call("ping", function() return a:run{ "busybox", "ping", "-c1", "-W10", "10.0.0.2" }.ok end)
    call("packets", function() return reader:packets()(reader).icmp ~= nil end)
    call("recv", function() return sock:recv(10).icmp ~= nil end)
    a:run(function()
        call("traffic.send", traffic.send, { dev = "eth0", template = packet, count = 100, how = "sendmmsg" })
        local job = call("raw.keepalive", raw.keepalive, { dst = "10.0.0.2", proto = "udp",
            build = function(k) return pkt.ip{ src = k.src, dst = k.dst } / pkt.udp{} end })
        call("sent", function() return job.stats.sent == 1 end)
        job:stop()
        call("traffic.send live", traffic.send, { dev = "eth0", template = packet, count = 1, how = "live" })
    end)
end)
call("load", obj.load, obj, "kernel")
call("link.list", link.list)
os.exit(0)
]]

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");
SEC("xdp") int fast(struct xdp_md *ctx) { __u32 key = 0; return bpf_map_lookup_elem(&seen, &key) ? XDP_PASS : XDP_DROP; }
SEC("tc") int shaped(struct __sk_buff *skb) { return 0; }
SEC("cgroup_skb/egress") int counted(struct __sk_buff *skb) { return 1; }
SEC("socket") int heard(struct __sk_buff *skb) { return 0; }
char _license[] SEC("license") = "GPL";
]]

local PRINTS = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int says(struct xdp_md *ctx) { bpf_printk("x"); return XDP_PASS; }
char _license[] SEC("license") = "GPL";
]]

-- -- Running them --

local AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent XDG_RUNTIME_DIR=/nonexistent"

--- Runs a script as `prefix` says (words before the shell, %s in it is a folder for it); what it printed.
local function run(prefix, script, source)
    local folder = os.tmpname()
    os.remove(folder)
    local function path(name)
        return folder .. "/" .. name
    end
    assert(os.execute(("mkdir %s %s %s && cp %s %s && chmod 755 %s"):format(folder, path "bpf", path "cgroup",
        assert(os.getenv "MIMICSH"), path "shell", folder)) == 0)
    local file = assert(io.open(path "script", "w"))
    file:write(script)
    file:close()
    assert(assert(bpf.compile{ source = source or SOURCE }):save(path "object"))
    os.execute(("chmod 644 %s %s"):format(path "script", path "object"))
    -- What a script still holds when it leaves at once is no leak.
    local pipe = io.popen(("export ASAN_OPTIONS=detect_leaks=0; %s %s -q %s %s %s %s 2>&1"):format(
        prefix:gsub("FOLDER", folder), path "shell", path "script", path "object", path "bpf", path "cgroup"))
    local text = pipe:read "*a"
    pipe:close()
    os.execute("rm -rf " .. folder)
    if text:find "^setpriv:" or text:find "^unshare:" or text:find "^mount:" then
        test.skip(text:match "^[^\n]*") -- only root can become somebody else
    end
    return text
end

--- One line for each row, in order: name, and patterns that its line has.
local function check(text, rows)
    local i = 0
    for line in text:gmatch "[^\n]+" do
        i = i + 1
        local row = rows[i] or test.eq(line, nil)
        test.eq(line:match "^[^\t]*", row[1], text)
        for at = 2, #row do
            assert(line:find(row[at]), ("no '%s' in: %s"):format(row[at], line))
        end
    end
    test.eq(i, #rows, text)
end

local LOAD = "the kernel target needs CAP_BPF and CAP_NET_ADMIN: run as root, or use load%(\"vm\"%)"
local RAW = "raw sockets need CAP_NET_RAW: run as root, or inside `unshare %-Urn`"

local function with_features(rows, pattern)
    for _, name in ipairs{ "xdp", "test_run", "array", "lru_hash", "ringbuf" } do
        rows[#rows + 1] = { "feature " .. name, "false", pattern }
    end
    return rows
end

test.case("an ordinary user: every call names the capability and what to do", function()
    check(run(AS_NOBODY, ALL), with_features({
        { "load", "EPERM", LOAD }, { "compare", "EPERM", LOAD }, { "promote", "EPERM", LOAD },
        { "lab.scope", "EPERM", "this needs CAP_SYS_ADMIN: run as root, or inside `unshare %-Urn`" },
        { "pcap.live", "EPERM", "capturing needs CAP_NET_RAW: run as root, or inside `unshare %-Urn`" },
        { "raw.open device", "EPERM", RAW }, { "raw.open proto", "EPERM", RAW }, { "raw.keepalive", "EPERM", RAW },
        { "traffic.send auto", "EPERM", RAW }, { "traffic.send sendmmsg", "EPERM", RAW },
        { "traffic.send live", "EPERM", RAW }, { "traffic.send xsk", "EPERM", RAW },
        { "trace.pipe", "E[AP]", "CAP_[SD]%w+_%w+", "run as root" }, -- to mount, or to open where it is mounted
        { "link.list", "EPERM", "this needs CAP_NET_ADMIN: run as root" },
    }, LOAD))
end)

-- A link of tcx takes the program's descriptor and no more; kernels before 6.6 have filters alone.
local function has_tcx()
    local major, minor = io.popen "uname -r":read "*a":match "^(%d+)%.(%d+)"
    return major * 100 + minor >= 606
end

test.case("programs and sockets in hand, no rights: attaching names what it needs", function()
    local mounts = "mount -t bpf none FOLDER/bpf && chmod 755 FOLDER/bpf && chown 65534 FOLDER/bpf && " ..
        "mount -t cgroup2 none FOLDER/cgroup"
    local text = run("unshare -nm sh -c '" .. mounts .. " && ip link set lo up && ip link add dummy type veth peer other && " ..
        "exec \"$@\"' sh", ATTACH)
    if text:find("load: ", 1, true) then
        test.skip(text:match "[^\n]*load: [^\n]*")
    end
    local net = "this needs CAP_NET_ADMIN: run as root"
    check(text, {
        { "xdp.attach", "works" }, has_tcx() and { "tc.attach", "works" } or { "tc.attach", "EPERM", net },
        { "tc.attach clsact", "EPERM", net },
        { "cgroup.attach", "EPERM", net }, { "link:update", "EPERM", net }, { "link:detach", "EPERM", net },
        { "map:pin", "EACCES", "the right to write in .*/bpf: run as root %(CAP_DAC_OVERRIDE%)" },
        { "link:pin", "EACCES", "the right to write in .*/bpf: run as root %(CAP_DAC_OVERRIDE%)" },
        { "sock:attach", "works" }, { "map", "works" }, { "run", "works" },
        { "link:detach again", "works" },
    })
end)

test.case("some of the rights: the missing one is named", function()
    local load = HEAD .. [[call("load", obj.load, obj, "kernel") os.exit(0)]]
    local function with(rights, source)
        return run("setpriv --inh-caps=-all --bounding-set=-all," .. rights, load, source)
    end
    if not with("+bpf,+net_admin"):find "works" then
        test.skip "only root has rights to give away"
    end
    local text = "the kernel target needs CAP_BPF and CAP_NET_ADMIN %%(%s is missing%%): run as root"
    check(with "+bpf", { { "load", "EPERM", text:format "CAP_NET_ADMIN" } })
    check(with "+net_admin", { { "load", "EPERM", text:format "CAP_BPF" } })
    check(with("+bpf,+net_admin", PRINTS), { { "load", "E", "without CAP_PERFMON .*: run as root" } })
    check(with("+bpf,+net_admin,+perfmon", PRINTS), { { "load", "works" } })
end)

test.case("inside unshare -Urn: labs, captures and sockets work, bpf is refused with the reason", function()
    local load = "needs CAP_BPF and CAP_NET_ADMIN on the machine itself, not in a user namespace: run as root"
    local rows = {}
    for _, name in ipairs{ "pcap.live", "raw.open", "ping", "packets", "recv", "traffic.send", "raw.keepalive", "sent" } do
        rows[#rows + 1] = { name, "works" }
    end
    rows[#rows + 1] = { "traffic.send live", "EPERM", load }
    rows[#rows + 1] = { "load", "EPERM", load }
    rows[#rows + 1] = { "link.list", "EPERM", "CAP_NET_ADMIN on the machine itself, not in a user namespace: run as root" }
    check(run(AS_NOBODY .. " unshare -Urn", NAMESPACE), rows)
end)
