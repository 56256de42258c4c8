-- SPDX-License-Identifier: MIT
-- What contexts and runs give a program beside its packet: the buffer's socket, flow keys, room around an XDP packet,
-- structs laid out by hand, and packets of cooked captures.
local test = require "test"
local bpf, context, json, pcap, pkt, raw, task, tc, timer = require "bpf", require "context", require "json",
    require "pcap", require "pkt", require "raw", require "task", require "tc", require "timer"
local ffi = require "ffi"
local here = arg[0]:match "^(.*/)" or "./"
local becomes, both, wire = dofile(here .. "becomes.lua"), dofile(here .. "both.lua"), dofile(here .. "wire.lua")

local SOURCE = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";

__u64 found[24], cookie;
__u32 runs;
int head, meta, tail;

static __always_inline int look(struct __sk_buff *skb)
{
    struct bpf_sock *sk = skb->sk, *full;
    int i;

    runs++;
    found[0] = sk != NULL;
    if (!sk)
        return 0;
    found[1] = sk->family;
    found[2] = sk->src_ip4;
    found[3] = sk->dst_ip4;
    found[4] = sk->src_port;
    found[5] = sk->dst_port;
    found[6] = sk->state;
    full = bpf_sk_fullsock(sk);
    found[7] = full != NULL;
    if (full) {
        found[8] = full->type;
        found[9] = full->protocol;
        found[10] = full->mark;
        found[11] = full->priority;
        found[12] = full->bound_dev_if;
        *(volatile __u32 *)&found[13] = full->rx_queue_mapping;
        for (i = 0; i < 4; i++) {
            found[14 + i] = full->family == 10 ? full->src_ip6[i] : 0;
            found[18 + i] = full->family == 10 ? full->dst_ip6[i] : 0;
        }
        found[22] = bpf_tcp_sock(full) != NULL;
    }
    return 0;
}

SEC("tc") int of_tc(struct __sk_buff *skb)
{
    look(skb);
    return TC_ACT_OK;
}

/* Of the packets that the test sends. */
SEC("tc") int of_sent(struct __sk_buff *skb)
{
    if (skb->mark == 77)
        look(skb);
    return TC_ACT_OK;
}

SEC("tc") int with_cookie(struct __sk_buff *skb)
{
    cookie = bpf_get_socket_cookie(skb);
    return TC_ACT_OK;
}

SEC("cgroup_skb/egress") int of_cgroup(struct __sk_buff *skb)
{
    int i;

    look(skb);
    found[0] = skb->family;
    found[7] = skb->remote_ip4;
    found[8] = skb->local_ip4;
    found[9] = skb->remote_port;
    found[10] = skb->local_port;
    found[11] = skb->remote_ip6[0];
    found[12] = skb->remote_ip6[3];
    found[13] = skb->local_ip6[0];
    found[22] = skb->local_ip6[3];
    return 1;
}

SEC("flow_dissector") int keep(struct __sk_buff *skb)
{
    struct bpf_flow_keys *keys = skb->flow_keys;

    found[0] = keys->nhoff;
    found[1] = keys->n_proto;
    keys->ip_proto = 6;
    return BPF_OK;
}

SEC("tc") int numbers(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    found[0] = skb->mark;
    found[1] = skb->priority;
    found[2] = skb->cb[4];
    found[3] = skb->len;
    found[4] = skb->tstamp;
    found[5] = skb->protocol;
    found[6] = data + 15 <= end ? *(__u8 *)(data + 14) : 0;
    return TC_ACT_OK;
}

SEC("socket") int at_network(struct __sk_buff *skb)
{
    char first = 0;

    bpf_skb_load_bytes(skb, 0, &first, 1);
    found[0] = skb->mark;
    return skb->len * 256 + (__u8)first;
}

SEC("xdp") int move(struct xdp_md *ctx)
{
    found[0] = (int)bpf_xdp_adjust_head(ctx, head);
    found[1] = (int)bpf_xdp_adjust_meta(ctx, meta);
    found[2] = (int)bpf_xdp_adjust_tail(ctx, tail);
    return XDP_PASS;
}

SEC("xdp") int stay(struct xdp_md *ctx)
{
    return ctx->data_end - ctx->data;
}
]]
local object

local function loaded(target, options)
    object = object or assert(bpf.compile{ source = SOURCE })
    return assert(object:load(target, options))
end

local function words(inst)
    local list = {}
    for i = 1, 24 do
        list[i] = tostring(inst.vars.found[i - 1])
    end
    return list
end

--- Base64 of bytes, by way of a context that is made of a capture.
local function base64(bytes)
    local path = os.tmpname()
    assert(pcap.create(path)):write(bytes):close()
    local made = assert(context.from_pcap(path))[1].body.packet
    os.remove(path)
    return made
end

local PACKET = pkt.eth{} / pkt.ip{ src = "10.0.0.1", dst = "10.0.0.2" } / pkt.udp{ sport = 1, dport = 2 } / "abc"

-- -- The buffer's socket --

--- Sockets of a context, and the same of a scripted world.
local SOCKETS = {
    udp = { { boundDevIF = 3, family = 2, sockType = 2, protocol = 17, mark = 5, priority = 6, srcIP4 = "10.0.0.1",
              dstIP4 = "10.0.0.2", srcPort = 4000, dstPort = 20480, state = 1, rxQueueMapping = -1 },
            { proto = "udp", dev = "v0", mark = 5, priority = 6, ["local"] = "10.0.0.1:4000", peer = "10.0.0.2:80" } },
    tcp = { { family = 10, sockType = 1, protocol = 6, srcIP6 = "2001:db8::1", dstIP6 = "2001:db8::2", srcPort = 65535,
              dstPort = 513, state = 8, rxQueueMapping = 4 },
            { proto = "tcp", state = "close_wait", ["local"] = "[2001:db8::1]:65535", peer = "[2001:db8::2]:258",
              rx_queue = 4 } },
    listener = { { family = 2, sockType = 1, protocol = 6, srcIP4 = "0.0.0.0", srcPort = 22, state = 10, dstIP6 = "" },
                 { proto = "tcp", ["local"] = "0.0.0.0:22" } },
    timewait = { { family = 2, sockType = 1, protocol = 6, srcIP4 = "10.0.0.1", dstIP4 = "10.0.0.2", srcPort = 22,
                   dstPort = 256, state = 6 },
                 { proto = "tcp", state = "time_wait", ["local"] = "10.0.0.1:22", peer = "10.0.0.2:1" } },
}

local function with_sock(sock)
    return assert(context.make{ name = "sock", type = "sk_buff", ctx = { packet = base64(PACKET:bytes()), sock = sock } })
end

for name, pair in pairs(SOCKETS) do
    test.case("a context's socket is as the scripted one, which is as the kernel's: " .. name, function()
        local given = loaded "vm"
        local scripted = loaded("vm", { world = { interfaces = { { name = "v0", index = 3 } }, sockets = { pair[2] },
                                                  socket = { is = 1 } } })
        for _, program in ipairs{ "of_tc", "of_cgroup" } do
            test.eq(given.progs[program]:run(with_sock(pair[1])).fault, nil)
            assert(scripted.progs[program]:run(PACKET))
            test.eq(words(given), words(scripted), program)
        end
        -- The next run has a test run's again.
        local fresh = loaded "vm"
        assert(given.progs.of_tc:run(PACKET))
        assert(fresh.progs.of_tc:run(PACKET))
        test.eq({ given.vars.found[1], given.vars.found[6], given.vars.found[9] },
            { fresh.vars.found[1], fresh.vars.found[6], fresh.vars.found[9] })
    end)
end

test.case("cookies of a context's socket are the world's", function()
    local inst = loaded("vm", { world = { socket = { cookie = 99, none = true } } })
    inst.progs.with_cookie:run(PACKET)
    test.eq(tonumber(inst.vars.cookie), 0)
    assert(inst.progs.with_cookie:run(with_sock(SOCKETS.udp[1])))
    test.eq(tonumber(inst.vars.cookie), 99)
    local fault = loaded("vm").progs.with_cookie:run(with_sock(SOCKETS.udp[1])).fault
    assert(fault.cause:find("world.socket.cookie", 1, true), tostring(fault))
end)

test.case("a socket that is not right is named, and the kernel is not asked to take one", function()
    for wrong, text in pairs{
        [{ srcIP4 = "10.0.0" }] = "sock: srcIP4: not such an address", [{ dstIP6 = "10.0.0.1" }] = "sock: dstIP6",
        [{ srcPort = 65536 }] = "sock: srcPort: out of range", [{ colour = 1 }] = "sock: unknown field 'colour'",
        [{ mark = -1 }] = "sock: mark: out of range", [{ state = "x" }] = "sock: state: expected integer",
    } do
        local made, err = context.make{ type = "sk_buff", ctx = { packet = "", sock = wrong } }
        assert(made == nil and err.msg:find(text, 1, true), tostring(err))
    end
    local inst = loaded "vm"
    local r, err = inst.progs.stay:run(PACKET, { sock = { family = 2 } })
    assert(r == nil and err.msg:find("sock: a packet of xdp programs belongs to no socket", 1, true), tostring(err))
    test.raises(function() inst.progs.of_tc:run(PACKET, { sock = { src_ip4 = "::1" } }) end, "other family")
    local ok, real = pcall(loaded, "kernel")
    if ok then
        r, err = real.progs.of_tc:run(with_sock(SOCKETS.udp[1]))
        assert(r == nil and err.code == "ENOTSUP" and err.msg:find("sock", 1, true), tostring(err))
    end
end)

ffi.cdef [[
int socket(int domain, int type, int protocol);
int bind(int fd, const void *address, unsigned length);
int connect(int fd, const void *address, unsigned length);
int setsockopt(int fd, int level, int name, const void *value, unsigned length);
long send(int fd, const void *bytes, size_t length, int flags);
int close(int fd);
]]

--- One UDP packet of a socket that is bound, connected and marked.
local function send_marked()
    local SOL_SOCKET, PRIORITY, BIND_TO_DEVICE, MARK = 1, 12, 25, 36
    local fd = ffi.C.socket(2, 2, 0)
    local function set(name, value, size)
        assert(ffi.C.setsockopt(fd, SOL_SOCKET, name, value, size) == 0)
    end
    set(PRIORITY, ffi.new("int[1]", 5), 4)
    set(MARK, ffi.new("int[1]", 77), 4)
    set(BIND_TO_DEVICE, "eth0", 5)
    assert(ffi.C.bind(fd, ffi.new("uint8_t[16]", { 2, 0, 0x30, 0x39, 10, 0, 0, 1 }), 16) == 0)
    assert(ffi.C.connect(fd, ffi.new("uint8_t[16]", { 2, 0, 0, 80, 10, 0, 0, 2 }), 16) == 0)
    assert(ffi.C.send(fd, "x", 1, 0) == 1)
    ffi.C.close(fd)
end

test.case("what a tc program reads of a real socket it reads of the same in a context", function()
    wire.with_wire(function(a)
        local real = loaded "kernel"
        local index
        local link = a:run(function() return assert(tc.attach(real.progs.of_sent, "eth0", { dir = "egress" })) end)
        index = tonumber(a:run "ip -o link show eth0".out:match "^(%d+):")
        a:run(send_marked)
        assert(becomes(function() return real.vars.runs > 0 end), "no packet came by")
        link:detach()
        local emulated = loaded "vm"
        emulated.progs.of_tc:run(with_sock{ boundDevIF = index, family = 2, sockType = 2, protocol = 17, mark = 77,
            priority = 5, srcIP4 = "10.0.0.1", dstIP4 = "10.0.0.2", srcPort = 12345, dstPort = 20480, state = 1,
            rxQueueMapping = -1 })
        test.eq(words(emulated), words(real))
    end)
end)

-- -- Flow keys --

local KEYS = { nhoff = 18, thoff = 38, addrProto = 2048, isFrag = 1, ipProto = 17, nProto = 8, sport = 256, dport = 20480,
               ip = "10.0.0.1", flags = 2, flowLabel = 16777216 }

test.case("a flow dissector begins with the keys of its context", function()
    local inst = loaded "vm"
    local one = assert(context.make{ type = "sk_buff",
        ctx = { packet = base64(PACKET:bytes()), flowKeys = KEYS, sock = SOCKETS.udp[1], dev = { ifIndex = 1 } } })
    local result = assert(inst.progs.keep:run(one))
    test.eq({ tonumber(inst.vars.found[0]), tonumber(inst.vars.found[1]) }, { 18, 8 })
    local keys = result.keys
    test.eq({ keys.nhoff, keys.thoff, keys.is_frag, keys.ip_proto, keys.n_proto, keys.sport, keys.dport, keys.src, keys.dst,
              keys.flags, keys.flow_label }, { 18, 38, 1, 6, 0x0800, 1, 80, "10.0.0.1", "0.0.0.0", 2, 1 })
    -- A result's keys are another run's.
    keys.nhoff, keys.n_proto = 17, 0x86dd
    local again = inst.progs.keep:run(PACKET, { keys = keys }).keys
    test.eq({ again.nhoff, again.n_proto, again.src, again.dport }, { 17, 0x86dd, "10.0.0.1", 80 })
    -- No header lies in front of the one that the keys name (bpf_flow_dissect).
    test.eq(inst.progs.keep:run(PACKET, { keys = { nhoff = 0, thoff = 9999 } }).keys.thoff, #PACKET:bytes())
    test.eq(inst.progs.keep:run(PACKET).keys.nhoff, 14)
    assert(inst.progs.of_tc:run(one)) -- a tc program sees none, and has the socket
    test.eq(tonumber(inst.vars.found[4]), 4000)
    local r, err = inst.progs.of_tc:run(PACKET, { keys = keys })
    assert(r == nil and err.msg:find("programs of type sched_cls have no flow keys", 1, true), tostring(err))
end)

both("a test run's own flow keys can be given", function(load, target)
    object = object or assert(bpf.compile{ source = SOURCE })
    local inst = load(object)
    local usual = { nhoff = 14, thoff = 14, n_proto = 0x0800, flags = 1 }
    test.eq(inst.progs.keep:run(PACKET, { keys = usual }).keys, inst.progs.keep:run(PACKET, { ctx = { flags = 1 } }).keys)
    usual.nhoff = 15
    local result, err = inst.progs.keep:run(PACKET, { keys = usual })
    test.eq({ result and result.keys.nhoff, err and err.code }, target == "vm" and { 15 } or { nil, "ENOTSUP" })
end)

-- -- Room around an XDP packet --

local FRAME, LEAST = 40, 14 -- struct xdp_frame; an Ethernet header

local function moved(inst, packet, options, head, meta, tail)
    inst.vars.head, inst.vars.meta, inst.vars.tail = head, meta, tail
    local result, err = inst.progs.move:run(packet, options)
    assert(result, tostring(err))
    test.eq(result.fault, nil)
    local got = {}
    for i = 1, 3 do
        got[i] = tonumber(ffi.cast("int32_t", inst.vars.found[i - 1]))
    end
    return got, result
end

test.case("helpers reach as far as the room that was given", function()
    local EINVAL = -22
    local inst = loaded "vm"
    local length = #PACKET:bytes()
    for _, headroom in ipairs{ 0, 20, 39, 40, 41, 60, 256, 257, 1000, 65536 } do
        for _, tailroom in ipairs{ 0, 1, 64, 5000, 65536 } do
            local room = { headroom = headroom, tailroom = tailroom }
            local free = headroom - FRAME
            for _, by in ipairs{ -free - 1, -free, 0, 4, length - LEAST, length - LEAST + 1 } do
                local fits = headroom + by >= FRAME and by <= length - LEAST
                local got, result = moved(inst, PACKET, room, by, 0, 0)
                test.eq(got[1], fits and 0 or EINVAL, ("head of %d by %d"):format(headroom, by))
                test.eq(#result.bytes, length - (fits and by or 0))
            end
            local meta = math.floor(math.min(math.max(free, 0), 252) / 4) * 4
            test.eq(moved(inst, PACKET, room, 0, -meta, 0)[2], free >= 0 and 0 or EINVAL, "meta " .. meta)
            test.eq(moved(inst, PACKET, room, 0, -meta - 4, 0)[2], free >= meta + 4 and -13 or EINVAL)
            for _, by in ipairs{ tailroom, tailroom + 1 } do
                local got, result = moved(inst, PACKET, room, 0, 0, by)
                test.eq(got[3], by == tailroom and 0 or EINVAL, ("tail of %d by %d"):format(tailroom, by))
                test.eq(result.bytes, PACKET:bytes() .. ("\0"):rep(by == tailroom and by or 0))
            end
        end
    end
    -- What a run with much room leaves is nothing to the next, and a longer packet stays in one piece.
    test.eq(moved(inst, PACKET, nil, -216, 0, 3520 - length), { 0, 0, 0 })
    test.eq(moved(inst, PACKET, nil, -217, 0, 3520 - length + 1), { EINVAL, 0, EINVAL })
    local long = ("x"):rep(5000)
    test.eq(inst.progs.stay:run(long).ret, 3520)
    test.eq(inst.progs.stay:run(long, { linear = true }).ret, 5000)
    test.eq(inst.progs.stay:run(long, { headroom = 128 }).ret, 5000)
    test.eq(inst.progs.stay:run(long).ret, 3520)
end)

test.case("metadata takes headroom, and what does not fit is refused", function()
    local inst = loaded "vm"
    local meta = { ctx = { meta = ("m"):rep(12) }, headroom = 60 }
    test.eq(moved(inst, PACKET, meta, -8, 0, 0)[1], 0)
    test.eq(moved(inst, PACKET, meta, -9, 0, 0)[1], -22)
    meta.headroom = 51
    local r, err = inst.progs.move:run(PACKET, meta)
    assert(r == nil and err.msg:find("12 bytes of metadata do not fit a headroom of 51", 1, true), tostring(err))
    for name, text in pairs{ of_tc = "XDP programs", keep = "XDP programs" } do
        r, err = inst.progs[name]:run(PACKET, { headroom = 256 })
        assert(r == nil and err.msg:find(text, 1, true), tostring(err))
    end
    r, err = inst.progs.move:run(PACKET, { tailroom = 65537 })
    assert(r == nil and err.msg:find("at most 65536", 1, true), tostring(err))
end)

both("a test run's room can be given, and other room where it cannot be noticed", function(load, target)
    object = object or assert(bpf.compile{ source = SOURCE })
    local inst = load(object)
    local length = #PACKET:bytes()
    local usual = { headroom = 256, tailroom = 3520 - length }
    for _, by in ipairs{ { -216, 0, 3520 - length }, { -217, -216, 3521 - length }, { 20, -236, -20 }, { 0, -220, 0 } } do
        test.eq(moved(inst, PACKET, usual, unpack(by)), moved(inst, PACKET, nil, unpack(by)))
    end
    test.eq(inst.progs.stay:run(PACKET, { headroom = 10, tailroom = 0 }).ret, length)
    local one = assert(context.make{ name = "tight", type = "xdp_md",
        ctx = { packet = base64(PACKET:bytes()), headroom = 50, tailroom = 3520 - length } })
    test.eq(inst.progs.stay:run(one).ret, length)
    inst.vars.head, inst.vars.meta, inst.vars.tail = -11, 0, 0
    local result, err = inst.progs.move:run(one)
    if target == "vm" then
        test.eq(tonumber(ffi.cast("int32_t", inst.vars.found[0])), -22)
        inst.vars.head = -10
        inst.progs.move:run(one)
        test.eq(tonumber(inst.vars.found[0]), 0)
    else
        assert(result == nil and err.code == "ENOTSUP" and err.msg:find("headroom: a test run has 256", 1, true), tostring(err))
    end
end)

-- -- Where socket filters begin --

test.case("a socket filter sees the network layer, or the link layer when it is asked to", function()
    local inst = loaded "vm"
    local length = #PACKET:bytes()
    test.eq(inst.progs.at_network:run(PACKET).ret, (length - 14) * 256 + 0x45)
    local first = PACKET:bytes():byte(1)
    local result = inst.progs.at_network:run(PACKET, { l2 = true })
    test.eq({ result.ret, result.bytes == PACKET:bytes() }, { length * 256 + first, true })
    test.eq(inst.progs.at_network:run(PACKET).ret, (length - 14) * 256 + 0x45)
    local r, err = inst.progs.of_tc:run(PACKET, { l2 = true })
    assert(r == nil and err.msg:find("l2 is for socket filters", 1, true), tostring(err))
end)

-- -- Structs laid out by hand --

--- A generic context: `block` between offsets of data and data_end, and integers of 32 bits at other places.
local function generic(size, pointers, numbers, block, more)
    local memory = { { name = "bytes", type = "block", value = { value = base64(block), byteorder = "le" } } }
    local fields = json.array()
    for at = 0, size - 4, 4 do
        local name = "at" .. at
        if pointers[at] then
            memory[#memory + 1] = { name = name, type = "ptr",
                                    value = { memory = pointers[at][1], offset = pointers[at][2], size = 32 } }
        else
            memory[#memory + 1] = { name = name, type = "int", value = { value = numbers[at] or 0, size = 32 } }
        end
        fields[#fields + 1] = { name = name, memory = name }
    end
    memory[#memory + 1] = { name = "struct", type = "struct", value = fields }
    for _, item in ipairs(more or {}) do
        memory[#memory + 1] = item
    end
    return assert(context.make{ name = "laid out", type = "generic", ctx = { registers = { r1 = "struct" }, memory = memory } })
end

both("a struct laid out as __sk_buff gives packet and numbers", function(load)
    object = object or assert(bpf.compile{ source = SOURCE })
    local inst = load(object)
    local bytes = "junk" .. PACKET:bytes() .. "tail"
    local length = #PACKET:bytes()
    local pointers = { [76] = { "bytes", 4 }, [80] = { "bytes", 4 + length } }
    local one = generic(192, pointers, { [0] = length, [8] = 17, [16] = 8, [32] = 18, [64] = 19, [152] = 20, [156] = 1 }, bytes)
    test.eq(inst.progs.numbers:run(one).bytes, PACKET:bytes())
    local list = words(inst)
    test.eq({ list[1], list[2], list[3], list[4], list[5], list[6], list[7] },
        { "17ULL", "18ULL", "19ULL", length .. "ULL", "4294967316ULL", "8ULL", "69ULL" })
    -- One that ends early, for a program that begins at the network layer.
    pointers = { [76] = { "bytes", 18 }, [80] = { "bytes", 4 + length } }
    test.eq(inst.progs.at_network:run(generic(84, pointers, { [8] = 3 }, bytes)).ret, (length - 14) * 256 + 0x45)
    test.eq(tonumber(inst.vars.found[0]), 3)
    for wrong, text in pairs{
        [{ [20] = 1 }] = "at 20 cannot be given: struct __sk_buff", [{ [0] = 5 }] = "len is 5",
        [{ [140] = 1 }] = "at 140 is no pointer", [{ [16] = 0xdd86 }] = "protocol is not the packet's",
    } do
        pointers = { [76] = { "bytes", 4 }, [80] = { "bytes", 4 + length } }
        local r, err = inst.progs.numbers:run(generic(192, pointers, wrong, bytes))
        assert(r == nil and err.msg:find(text, 1, true), tostring(err))
    end
end)

test.case("pointers of such a struct lead to a socket and to flow keys", function()
    local inst = loaded "vm"
    local numbers, fields = { [4] = 2, [8] = 2, [12] = 17, [44] = 4000, [72] = 1 }, json.array()
    local more = {}
    for at = 0, 76, 4 do
        more[#more + 1] = { name = "s" .. at, type = "int", value = { value = numbers[at] or 0, size = 32 } }
        fields[#fields + 1] = { name = "s" .. at, memory = "s" .. at }
    end
    more[#more + 1] = { name = "sock", type = "struct", value = fields }
    more[#more + 1] = { name = "keys", type = "block", value = { value = base64("\20\0" .. ("\0"):rep(54)), byteorder = "le" } }
    local bytes = PACKET:bytes()
    local pointers = { [76] = { "bytes", 0 }, [80] = { "bytes", #bytes }, [144] = { "keys", 0 }, [168] = { "sock", 0 } }
    local one = generic(192, pointers, {}, bytes, more)
    assert(inst.progs.of_tc:run(one))
    test.eq({ tonumber(inst.vars.found[4]), tonumber(inst.vars.found[9]) }, { 4000, 17 })
    test.eq(assert(inst.progs.keep:run(one)).keys.nhoff, 20)
end)

both("what is not laid out as struct xdp_md is refused, a pointer to one is not", function(load)
    object = object or assert(bpf.compile{ source = SOURCE })
    local inst = load(object)
    local bytes = PACKET:bytes()
    local pointers = { [0] = { "bytes", 0 }, [4] = { "bytes", #bytes } }
    local one = generic(24, pointers, { [12] = 1 }, bytes,
        { { name = "p", type = "ptr", value = { memory = "struct", offset = 0, size = 64 } } })
    test.eq(inst.progs.stay:run(one).ret, #bytes)
    one.body.registers.r1 = "p"
    test.eq(inst.progs.stay:run(assert(context.make{ type = "generic", ctx = one.body })).ret, #bytes)
    test.eq(inst.progs.stay:run(generic(8, pointers, {}, bytes)).ret, #bytes)
    for wrong, text in pairs{ [{ 24, pointers, { [8] = 4 } }] = "not as struct xdp_md",
                              [{ 28, pointers, { [24] = 1 } }] = "at 24 cannot be given: struct xdp_md",
                              [{ 8, { [0] = { "bytes", 5 }, [4] = { "bytes", 4 } }, {} }] = "no packet between" } do
        local r, err = inst.progs.stay:run(generic(wrong[1], wrong[2], wrong[3], bytes))
        assert(r == nil and err.msg:find(text, 1, true), tostring(err))
    end
end)

-- -- Cooked captures --

local COOKED1, COOKED2 = 113, 276

local function from_capture(link, packets, kind)
    local path = os.tmpname()
    local writer = assert(pcap.create(path, { link = link }))
    for _, bytes in ipairs(packets) do
        writer:write(bytes)
    end
    writer:close()
    local list, err = context.from_pcap(path, kind)
    os.remove(path)
    return list, err
end

test.case("cooked packets get an Ethernet header, others stay as they are", function()
    local rest = PACKET:bytes():sub(15)
    local source = "\2\0\0\0\0\9"
    local zeros = ("\0"):rep(6)
    local cases = {
        { COOKED1, "\0\0\0\1\0\6" .. source .. "\0\0" .. "\8\0" .. rest, zeros .. source .. "\8\0" .. rest, 1 },
        { COOKED1, "\0\4\3\4\0\0" .. ("\7"):rep(8) .. "\8\0" .. rest, zeros .. zeros .. "\8\0" .. rest, 1 },
        { COOKED1, "\0\0\0\1\0\4" .. ("\7"):rep(8) .. "\134\221" .. rest, zeros .. "\7\7\7\7\0\0\134\221" .. rest, 1 },
        { COOKED1, "\0\0\0\1\0\6" .. source .. "\0\0" .. "\0\4" .. rest,
          zeros .. source .. "\0" .. string.char(#rest) .. rest, 1 }, -- of IEEE 802.2: its length
        { COOKED2, "\8\0\0\0" .. "\0\0\1\2" .. "\0\1\0\6" .. source .. "\0\0" .. rest, zeros .. source .. "\8\0" .. rest, 258 },
        { 101, rest, rest, 1 }, -- raw IP
    }
    for _, case in ipairs(cases) do
        local link, bytes, expected, interface = unpack(case)
        local xdp = assert(from_capture(link, { bytes }))[1]
        local input = xdp:input "xdp"
        test.eq({ input.packet == expected, input.ctx.ingress_ifindex, input.headroom, input.tailroom },
            { true, interface, 256, 3520 - #expected })
        local skb = assert(from_capture(link, { bytes }, "sk_buff"))[1]:input "sched_cls"
        test.eq({ skb.packet == expected, skb.ctx.ifindex }, { true, interface })
    end
    for link, size in pairs{ [COOKED1] = 15, [COOKED2] = 19 } do
        local list, err = from_capture(link, { ("x"):rep(40), ("x"):rep(size) })
        local text = ("packet 2: %d bytes are shorter than the header of link type %d"):format(size, link)
        assert(list == nil and err.msg:find(text, 1, true), tostring(err))
    end
end)

for name, link in pairs{ LINUX_SLL = COOKED1, LINUX_SLL2 = COOKED2 } do
    test.case("what tcpdump cooks, as " .. name .. ", becomes the frames that were sent", function()
        if not io.popen "command -v tcpdump":read "*l" then
            test.skip "tcpdump is not installed"
        end
        wire.with_wire(function(a, b)
            local path = os.tmpname()
            local from = a:run(function() return assert(raw.open("eth0", { read = false })) end)
            local capture = task.spawn(function()
                return b:run("tcpdump -i any -Z root -U -c 4 -y " .. name .. " -w " .. path)
            end)
            local frame = wire.udp(7, "cooked"):bytes()
            assert(becomes(function()
                from:send(frame)
                timer.sleep "20ms"
                return capture:status() == "done"
            end), "tcpdump did not end")
            local index = tonumber(b:run "ip -o link show eth0".out:match "^(%d+):")
            local list = assert(context.from_pcap(path))
            os.remove(path)
            test.eq(#list, 4)
            for _, one in ipairs(list) do
                local input = one:input "xdp"
                test.eq(input.packet, ("\0"):rep(6) .. frame:sub(7))
                test.eq(input.ctx.ingress_ifindex, link == COOKED2 and index or 1)
            end
        end)
    end)
end
