-- SPDX-License-Identifier: MIT
-- Programs on socket buffers, on both targets.
local bpf, pkt, test = require "bpf", require "pkt", require "test"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local object = assert(bpf.compile[[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
char LICENSE[] SEC("license") = "GPL";

SEC("tc") int tag(struct __sk_buff *skb)
{
    skb->mark += 5;
    skb->cb[2] = skb->cb[1] + 1;
    skb->tstamp = 1ULL << 40;
    bpf_skb_vlan_push(skb, bpf_htons(0x8100), 7);
    bpf_skb_vlan_push(skb, bpf_htons(0x8100), 8);
    return TC_ACT_PIPE;
}

SEC("socket") int long_ones(struct __sk_buff *skb)
{
    return skb->len > 60 ? skb->len : 0;
}
]])

local packet = pkt.eth{} / pkt.ip{} / pkt.udp{ dport = 53 } / ("x"):rep(40)

both("contexts go in and come back", function(load)
    local inst = load(object)
    local r = assert(inst.progs.tag:run(packet, { ctx = { mark = 37, cb = { 0, 9 }, priority = 3 } }))
    test.eq({ r.verdict, r.ctx.mark, r.ctx.cb[3], r.ctx.priority, r.ctx.tstamp },
        { "PIPE", 42, 10, 3, 1099511627776ULL })
    test.eq(r.pkt.vlan.vid, 7)
    local filter = inst.progs.long_ones -- which sees the packet from the network header on
    test.eq({ filter:run(packet).verdict, filter:run(packet).ret }, { "PASS", 68 })
    test.raises(function() inst.progs.tag:run(packet, { ctx = { rx_queue_index = 1 } }) end,
        "ctx: unknown option 'rx_queue_index'")
    local refused, why = inst.progs.tag:run(("x"):rep(13))
    assert(refused == nil and why.code == "EINVAL", tostring(why))
    inst:close()
end)
