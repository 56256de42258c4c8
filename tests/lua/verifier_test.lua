-- SPDX-License-Identifier: MIT
-- What the kernel's verifier refuses: the line, the reason, a hint, the whole log.
local test = require "test"
local bpf = require "bpf"

local HEAD = [[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u64);
} numbers SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __uint(map_flags, BPF_F_RDONLY_PROG);
    __type(key, __u32);
    __type(value, __u64);
} fixed SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");
char _license[] SEC("license") = "%s";
]]

local function refusal_of(source, options)
    options = options or {}
    local obj
    if options.asm then
        obj = assert(bpf.asm(source))
    else
        obj = assert(bpf.compile{ source = HEAD:format(options.license or "GPL") .. source })
    end
    local inst, err = obj:load "kernel"
    if not inst and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    test.eq(inst, nil)
    return err
end

local LOOKUP = [[
    __u32 key = 0;
    __u64 *value = bpf_map_lookup_elem(&numbers, &key);
]]

-- What is wrong, the verifier's word for it, a word of our hint, and the program.
local CASES = {
    { "packet without a bounds check", "invalid access to packet", "data_end", [[
SEC("xdp") int f(struct xdp_md *ctx) { return *(__u8 *)(long)ctx->data; }]] },
    { "look-up without a test", "map_value_or_null", "NULL", [[
SEC("xdp") int f(struct xdp_md *ctx) {]] .. LOOKUP .. [[ return *value; }]] },
    { "arithmetic on a look-up without a test", "null-check it first", "before anything is added", [[
SEC("xdp") int f(struct xdp_md *ctx) {]] .. LOOKUP .. [[
    char *p = (char *)value + 4; asm volatile("" : "+r"(p)); return p ? *p : 0; }]] },
    { "a record given back without a test", "_or_null expected=", "before it is handed on", [[
SEC("xdp") int f(struct xdp_md *ctx) {
    void *record = bpf_ringbuf_reserve(&ring, 8, 0); bpf_ringbuf_discard(record, 0); return 0; }]] },
    { "packet memory for a helper", "helper access to the packet", "copy the bytes", [[
SEC("xdp") int f(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data;
    if (data + 16 > (void *)(long)ctx->data_end) return 0;
    return bpf_ringbuf_output(&ring, data, 16, 0); }]] },
    { "a number as a pointer", "mem access 'scalar'", "number, not a pointer", [[
SEC("xdp") int f(struct xdp_md *ctx) {]] .. LOOKUP .. [[ return value ? *(__u32 *)*value : 0; }]] },
    { "data_end read", "pkt_end", "compared with", [[
SEC("xdp") int f(struct xdp_md *ctx) { return *(__u8 *)(long)ctx->data_end; }]] },
    { "beyond a map value", "invalid access to map value", "leaves the value", [[
SEC("xdp") int f(struct xdp_md *ctx) {]] .. LOOKUP .. [[ return value ? value[1] : 0; }]] },
    { "an index that is not bounded", "unbounded memory access", "bound the offset", [[
SEC("xdp") int f(struct xdp_md *ctx) {]] .. LOOKUP .. [[
    return value ? ((__u8 *)value)[bpf_get_prandom_u32()] : 0; }]] },
    { "a register after a call", "!read_ok", "calls destroy", [[
        r1 = 1
        call bpf_get_prandom_u32
        r0 = r1
        exit]], "asm" },
    { "a reference that is kept", "Unreleased reference", "given back", [[
SEC("xdp") int f(struct xdp_md *ctx) { void *record = bpf_ringbuf_reserve(&ring, 8, 0); return record ? 1 : 2; }]] },
    { "a loop for ever", "infinite loop detected", "bpf_loop", [[
        again:
        if r1 != 0 goto again
        r0 = 1
        exit]], "asm" },
    { "an instruction that nothing reaches", "unreachable insn", "remove it", [[
        r0 = 1
        exit
        r0 = 2
        exit]], "asm" },
    { "a helper of the GPL", "GPL", "licence", [[
SEC("xdp") int f(struct xdp_md *ctx) { bpf_printk("x"); return 1; }]], "proprietary" },
    { "a helper of another type", "bpf_skb_pull_data", "program type", [[
SEC("xdp") int f(struct xdp_md *ctx) { return bpf_skb_pull_data((void *)ctx, 1); }]] },
    { "a store to a read-only map", "write into map forbidden", "read only", [[
SEC("xdp") int f(struct xdp_md *ctx) { __u32 key = 0; __u64 *value = bpf_map_lookup_elem(&fixed, &key);
    if (value) *value = 1; return 1; }]] },
    { "no such field of the context", "invalid bpf_context access", "no field", [[
SEC("xdp") int f(struct xdp_md *ctx) { return ((__u32 *)ctx)[20]; }]] },
    { "a context that was moved", "ctx", "context", [[
        r1 += 4
        r0 = *(u32 *)(r1 + 0)
        exit]], "asm" },
    { "a return value that is not allowed", "R0", "returns", [[
SEC("cgroup_skb/ingress") int f(struct __sk_buff *skb) { return 7; }]] },
    { "an argument of another kind", "expected=", "another kind of argument", [[
SEC("xdp") int f(struct xdp_md *ctx) { return (long)bpf_map_lookup_elem(&numbers, (void *)(long)ctx->ingress_ifindex); }]] },
    { "stack too deep in the frame", "stack", "", [[
        r0 = *(u64 *)(r10 - 520)
        exit]], "asm" },
}

-- Seen in 6.18; older kernels name no reason in the program's log, but warn in their own.
local major, minor = io.open("/proc/sys/kernel/osrelease"):read "*l":match "^(%d+)%.(%d+)"
if major * 100 + minor >= 618 then
    CASES[#CASES + 1] = { "a loop of no turns", "No program to jit", "count is always 0", [[
        call other
        r1 = 0
        r2 = func turn
        r3 = 0
        r4 = 0
        call bpf_loop
        r0 = 2
        exit
        other:
        r0 = 0
        exit
        turn:
        r0 = 0
        exit]], "asm" }
end

for _, case in ipairs(CASES) do
    local what, word, hint, source, how = case[1], case[2], case[3], case[4], case[5]
    test.case("verifier: " .. what, function()
        local err = refusal_of(source, { asm = how == "asm", license = how == "proprietary" and "Proprietary" or nil })
        local text = tostring(err)
        assert(text:find(word, 1, true), text .. "\n" .. err.log)
        assert(err.hint:find(hint, 1, true), ("%s\n%s"):format(text, err.hint))
        assert(#err.log > 0)
    end)
end

test.case("a refusal names the line of the source", function()
    local err = refusal_of [[
SEC("xdp") int f(struct xdp_md *ctx)
{
    return *(__u8 *)(long)ctx->data;
}]]
    assert(tostring(err):find("verifier_test.lua:%d+: text:%d+: instruction %d+: invalid access to packet"), tostring(err))
end)
