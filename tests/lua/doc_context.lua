-- SPDX-License-Identifier: MIT
-- Names that the examples of doc texts use: an object, an instance of it on the target given, its program and maps.
local bpf = require "bpf"
local target = ...

local obj = assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value {
    __u64 pkts;
    __u64 bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, __u32);
    __type(value, struct value);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
    __u32 length = ctx->data_end - ctx->data;

    bpf_ringbuf_output(&ring, &length, sizeof(length), 0);
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
]])
local inst, err = obj:load(target)
if not inst then
    return nil, err
end

return { obj = obj, inst = inst, prog = inst.progs.count, map = inst.maps.flows, ring = inst.maps.ring }
