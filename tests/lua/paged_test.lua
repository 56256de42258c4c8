-- SPDX-License-Identifier: MIT
-- Socket buffers with bytes in pages: live packets at a tc hook of the kernel beside `world.linear` of the emulator.
local test = require "test"
local bpf, lab, tc = require "bpf", require "lab", require "tc"
local ffi = require "ffi"
local becomes = dofile((arg[0]:match "^(.*/)" or "./") .. "becomes.lua")

local SOURCE = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
char LICENSE[] SEC("license") = "GPL";

struct sk_buff {
    unsigned int len, data_len;
    unsigned int tail;
    unsigned char *head, *data;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *to, __u32 to_offset, struct bpf_dynptr *from, __u32 from_offset,
                           __u32 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *ptr, __u32 offset, __u32 size, __u8 value) __ksym;
unsigned long long load_word(void *skb, unsigned long long at) asm("llvm.bpf.load.word");

#define ARRAY(name, type_, entries) \
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, entries); __uint(key_size, 4); \
             __uint(value_size, sizeof(type_)); } name SEC(".maps")
#define SIZE 2048
#define RESULTS 16
struct given { __u32 op, a, b, c; };
struct bytes { __u32 length; char packet[SIZE]; };
ARRAY(given, struct given, 1);
ARRAY(before, struct bytes, 1);
ARRAY(after, struct bytes, 1);
struct found { __u64 word[RESULTS]; };
ARRAY(results, struct found, 1);
ARRAY(is_done, __u32, 1);

static __always_inline void dump(struct __sk_buff *skb, struct bytes *to)
{
    __u32 length = skb->len;

    to->length = length;
    if (length > 0 && length <= SIZE)
        bpf_skb_load_bytes(skb, 0, to->packet, length);
}

static __always_inline void look(struct __sk_buff *skb, struct found *found, int at)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    found->word[at] = skb->len;
    found->word[at + 1] = end - data;
    if (data + 48 <= end)
        found->word[at + 2] = *(__u64 *)(data + 40);
}

static __always_inline void views(struct __sk_buff *skb, const struct given *arg, struct found *found)
{
    __u64 buffer[2] = {}, *part;
    struct bpf_dynptr all;

    bpf_dynptr_from_skb(skb, 0, &all);
    switch (arg->op) {
    case 20:
        part = bpf_dynptr_slice(&all, arg->a, NULL, 16);
        found->word[4] = part ? part[1] : 1;
        part = bpf_dynptr_slice(&all, arg->a, buffer, 16);
        found->word[5] = part ? part[1] : 1;
        found->word[6] = buffer[1];
        break;
    case 21:
        part = bpf_dynptr_slice_rdwr(&all, arg->a, buffer, 16);
        found->word[4] = part ? part[1] : 1;
        if (part)
            part[0] = 0x0102030405060708;
        break;
    case 22:
        found->word[4] = bpf_dynptr_write(&all, arg->a, buffer, 16, arg->b);
        break;
    case 23:
        found->word[4] = bpf_dynptr_copy(&all, arg->a, &all, arg->b, arg->c);
        break;
    case 24:
        found->word[4] = bpf_dynptr_memset(&all, arg->a, arg->b, 0x5a);
        break;
    case 25:
        found->word[4] = bpf_dynptr_read(buffer, 16, &all, arg->a, 0);
        found->word[5] = buffer[1];
        break;
    }
}

static __always_inline long change(struct __sk_buff *skb, const struct given *arg, struct found *found)
{
    char bytes[16] = "sixteen letters";
    struct sk_buff *kernel;
    long result = 0;

    switch (arg->op) {
    case 1:
        return bpf_skb_pull_data(skb, arg->a);
    case 2:
        return bpf_skb_store_bytes(skb, arg->a, bytes, 16, arg->b);
    case 3:
        return bpf_l3_csum_replace(skb, arg->a, 0, 0x1234, 0);
    case 4:
        return bpf_l4_csum_replace(skb, arg->a, 7, 9, 2);
    case 5:
        return bpf_skb_change_tail(skb, arg->a, 0);
    case 6:
        return bpf_skb_change_head(skb, arg->a, 0);
    case 7:
        return bpf_skb_adjust_room(skb, (int)arg->a, arg->b, arg->c);
    case 8:
        return bpf_skb_change_proto(skb, bpf_htons(0x86dd), 0);
    case 9:
        result = bpf_skb_change_proto(skb, bpf_htons(0x86dd), 0);
        return result * 1000 + bpf_skb_change_proto(skb, bpf_htons(0x0800), 0);
    case 10:
        result = bpf_skb_vlan_push(skb, bpf_htons(0x8100), 7);
        return result * 1000 + bpf_skb_vlan_push(skb, bpf_htons(0x8100), 8);
    case 11:
        bpf_skb_vlan_push(skb, bpf_htons(0x8100), 7);
        bpf_skb_vlan_push(skb, bpf_htons(0x8100), 8);
        result = bpf_skb_vlan_pop(skb);
        return result * 1000 + bpf_skb_vlan_pop(skb);
    case 12:
        return bpf_skb_ecn_set_ce(skb);
    case 13:
        result = bpf_skb_load_bytes_relative(skb, arg->a, bytes, 16, arg->b);
        found->word[4] = *(__u64 *)(bytes + 8);
        return result;
    case 14:
        result = bpf_skb_load_bytes(skb, arg->a, bytes, 16);
        found->word[4] = *(__u64 *)(bytes + 8);
        return result;
    case 15:
        kernel = bpf_cast_to_kern_ctx(skb);
        found->word[4] = kernel->len;
        found->word[5] = kernel->data_len;
        found->word[6] = kernel->tail - (kernel->data - kernel->head);
        return 0;
    case 16:
        return bpf_skb_pull_data(skb, arg->a) * 1000 + bpf_skb_change_head(skb, arg->b, 0);
    }
    views(skb, arg, found);
    return 0;
}

#define PROGRAM(name, what) \
    SEC("tc") int name(struct __sk_buff *skb) \
    { \
        __u32 zero = 0; \
        const struct given *arg = bpf_map_lookup_elem(&given, &zero); \
        struct bytes *first = bpf_map_lookup_elem(&before, &zero); \
        struct bytes *last = bpf_map_lookup_elem(&after, &zero); \
        struct found *found = bpf_map_lookup_elem(&results, &zero); \
        __u32 *done = bpf_map_lookup_elem(&is_done, &zero); \
        char transport = 0; \
        if (!arg || !first || !last || !found || !done) \
            return TC_ACT_OK; \
        bpf_skb_load_bytes(skb, 23, &transport, 1); \
        if (skb->protocol != bpf_htons(0x0800) || transport != 17 || *done) \
            return TC_ACT_OK; \
        dump(skb, first); \
        look(skb, found, 0); \
        what; \
        look(skb, found, 8); \
        dump(skb, last); \
        *done = 1; \
        return TC_ACT_SHOT; \
    }

PROGRAM(step, found->word[3] = change(skb, arg, found))

/* Absolute loads end the program where they find nothing. */
SEC("tc") int absolute(struct __sk_buff *skb)
{
    __u32 zero = 0;
    const struct given *arg = bpf_map_lookup_elem(&given, &zero);
    struct bytes *first = bpf_map_lookup_elem(&before, &zero);
    struct found *found = bpf_map_lookup_elem(&results, &zero);
    __u32 *done = bpf_map_lookup_elem(&is_done, &zero);
    char transport = 0;

    if (!arg || !first || !found || !done)
        return TC_ACT_OK;
    bpf_skb_load_bytes(skb, 23, &transport, 1);
    if (skb->protocol != bpf_htons(0x0800) || transport != 17 || *done)
        return TC_ACT_OK;
    dump(skb, first);
    look(skb, found, 0);
    *done = 1;
    found->word[3] = load_word(skb, (int)arg->a);
    found->word[4] = 1;
    return TC_ACT_SHOT;
}
]]

ffi.cdef [[
int socket(int domain, int type, int protocol);
int connect(int fd, const void *address, unsigned length);
int setsockopt(int fd, int level, int name, const void *value, unsigned length);
long send(int fd, const void *bytes, size_t length, int flags);
int close(int fd);
]]

local FIRST = ("\0"):rep(4) -- the one key of each map
local HEADERS = 42 -- Ethernet, IPv4, UDP

--- A UDP packet to 10.0.0.2 that has the headers and `linear` bytes of its payload in the linear part.
local function send_in_two(linear, length)
    local MORE, SOL_SOCKET, NO_CHECK, IP_TOS = 0x8000, 1, 11, 1
    local fd = ffi.C.socket(2, 2, 0)
    local address = ffi.new("uint8_t[16]", { 2, 0, 0, 7, 10, 0, 0, 2 })
    local function number(value)
        return ffi.new("int[1]", value), 4
    end
    assert(ffi.C.setsockopt(fd, SOL_SOCKET, NO_CHECK, number(1)) == 0) -- no sum that the card would finish
    assert(ffi.C.setsockopt(fd, 0, IP_TOS, number(1)) == 0) -- may be marked as congested
    assert(ffi.C.connect(fd, address, 16) == 0)
    local letters = {}
    for i = 1, length do
        letters[i] = string.char(33 + i * 7 % 90)
    end
    local payload = table.concat(letters)
    assert(ffi.C.send(fd, payload, linear, MORE) == linear)
    assert(ffi.C.send(fd, payload:sub(linear + 1), length - linear, 0) == length - linear)
    ffi.C.close(fd)
end

local function little(...)
    local words = ffi.new("uint32_t[?]", select("#", ...), ...)
    return ffi.string(words, ffi.sizeof(words))
end

local function packet_in(map)
    local bytes = map[FIRST]
    local length = ffi.cast("const uint32_t *", bytes)[0]
    return bytes:sub(5, 4 + length)
end

local function words(inst)
    local list = {}
    local found = ffi.cast("const uint64_t *", inst.maps.results[FIRST])
    for i = 0, 15 do
        list[i + 1] = tostring(found[i])
    end
    return list
end

local STALE = ("\0"):rep(2052)

local function prepare(inst, step)
    inst.maps.given[FIRST] = little(step[1], step[2] or 0, step[3] or 0, step[4] or 0)
    inst.maps.results[FIRST] = ("\0"):rep(128)
    inst.maps.after[FIRST] = STALE
    inst.maps.is_done[FIRST] = little(0)
end

--- Sends a packet for each step past the kernel's program and runs the emulator on what came.
local function compare(program, linear, length, steps)
    local object = assert(bpf.compile(SOURCE))
    local emulated = assert(object:load("vm", { world = { linear = HEADERS + linear, tc_ingress = true } }))
    lab.scope(function(l)
        local a, b = l:ns "a", l:ns "b"
        a:sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        b:sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        l:veth(a, b, { a_ip = "10.0.0.1/24", b_ip = "10.0.0.2/24" })
        local real = assert(object:load "kernel")
        local link = b:run(function() return assert(tc.attach(real.progs[program], "eth0")) end)
        for _, step in ipairs(steps) do
            prepare(real, step)
            prepare(emulated, step)
            a:run(function() send_in_two(linear, length) end)
            local what = ("linear %d of %d, step %s"):format(linear, length, table.concat(step, " "))
            assert(becomes(function() return real.maps.is_done[FIRST] == little(1) end), what .. ": no packet came")
            local packet = packet_in(real.maps.before)
            test.eq(#packet, HEADERS + length, what)
            local result = assert(emulated.progs[program]:run(packet))
            test.eq(result.fault and tostring(result.fault), nil, what)
            test.eq(words(emulated), words(real), what)
            test.eq(words(real)[2], ("%dULL"):format(HEADERS + linear), what .. ": not as many bytes are linear")
            test.eq(packet_in(emulated.maps.after), packet_in(real.maps.after), what)
        end
        link:detach()
    end)
    emulated:close()
end

local function live(name, program, linear, length, steps)
    test.case(("%s, %d bytes of payload in the linear part"):format(name, linear), function()
        local ok, err = pcall(compare, program, linear, length, steps)
        if not ok then
            if type(err) ~= "string" and tostring(err.code) == "EPERM" then
                test.skip(tostring(err))
            end
            error(err, 0)
        end
    end)
end

--- Places in and around the linear part of a packet.
local function places(linear, length)
    local last = HEADERS + length
    local edge = HEADERS + linear
    return { 0, 14, 26, edge - 17, edge - 16, edge - 15, edge - 2, edge, edge + 1, edge + 100, last - 16, last - 15, last, 70000 }
end

local LENGTH = 700
for _, linear in ipairs{ 1, 30, 200 } do
    local steps = { { 0 }, { 8 }, { 9 }, { 10 }, { 11 }, { 12 }, { 15 } }
    for _, at in ipairs(places(linear, LENGTH)) do
        for _, op in ipairs{ 1, 2, 3, 4, 13, 14, 20, 21, 22, 25 } do
            steps[#steps + 1] = { op, at }
        end
        steps[#steps + 1] = { 13, at, 1 }
        steps[#steps + 1] = { 23, at, 14, 60 }
        steps[#steps + 1] = { 23, 14, at, 500 }
        steps[#steps + 1] = { 23, 100, at, 300 }
        steps[#steps + 1] = { 24, at, 16 }
        steps[#steps + 1] = { 24, at, 300 }
        steps[#steps + 1] = { 16, at, 4 }
        if at >= HEADERS and at < 2000 then
            steps[#steps + 1] = { 5, at }
        end
    end
    for _, by in ipairs{ 4, 20, 100, -4, -20, -100 } do
        for mode = 0, 1 do
            steps[#steps + 1] = { 7, by % 2 ^ 32, mode, 0 }
        end
    end
    steps[#steps + 1] = { 5, 1500 }
    steps[#steps + 1] = { 6, 4 }
    steps[#steps + 1] = { 6, 300 }
    live("helpers answer as the kernel's", "step", linear, LENGTH, steps)

    local loads = {}
    for _, at in ipairs(places(linear, LENGTH)) do
        for _, from in ipairs{ 0, -0x100000, -0x200000 } do
            loads[#loads + 1] = { 0, (from + at) % 2 ^ 32 }
        end
    end
    live("absolute loads answer as the kernel's", "absolute", linear, LENGTH, loads)
end

test.case("an access beyond the linear part says where the bytes are", function()
    local object = assert(bpf.compile[[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("tc") int deep(struct __sk_buff *skb)
{
    char *data = (char *)(long)skb->data;
    return data[80] == 'x' ? TC_ACT_OK : TC_ACT_SHOT;
}
SEC("tc") int pulls(struct __sk_buff *skb)
{
    char *data;
    bpf_skb_pull_data(skb, 81);
    data = (char *)(long)skb->data;
    if (data + 81 > (char *)(long)skb->data_end)
        return TC_ACT_SHOT;
    return data[80] == 'x' ? TC_ACT_OK : TC_ACT_SHOT;
}
]])
    local packet = ("\0"):rep(12) .. "\8\0" .. ("x"):rep(100)
    local inst = assert(object:load("vm", { world = { linear = 64 } }))
    local fault = inst.progs.deep:run(packet).fault
    local text = tostring(fault)
    assert(text:find("17 bytes past its end (length 64)", 1, true), text)
    assert(text:find("bpf_skb_pull_data(skb, 81)", 1, true), text)
    test.eq(inst.progs.pulls:run(packet).verdict, "OK")
    test.eq(inst.progs.pulls:run(packet).pkt.len, 114)
    inst:close()
    test.eq(assert(object:load "vm").progs.deep:run(packet).verdict, "OK")
    local ok, err = object:load("vm", { world = { linear = 13 } })
    assert(ok == nil and tostring(err):find("world.linear", 1, true), tostring(err))
end)
