-- SPDX-License-Identifier: MIT
-- Functions of kernel modules: a program calls one that only a module's BTF knows. Needs the module of toy/.
local test = require "test"
local bpf, kernel, pkt = require "bpf", require "kernel", require "pkt"

local function source(weak)
    return ([[
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
extern __u32 mimicsh_toy_sum(struct __sk_buff *ctx, __u32 a, __u32 b) __ksym WEAK;
extern __u32 mimicsh_toy_missing(struct __sk_buff *ctx) __ksym WEAK;
__u32 sum;
SEC("tc") int call(struct __sk_buff *skb)
{
    sum = mimicsh_toy_sum(skb, 1000, 7);
    return MISSING(skb);
}
char _license[] SEC("license") = "GPL";
]]):gsub("WEAK", weak and "__weak" or ""):gsub("MISSING%(skb%)",
        weak and "mimicsh_toy_missing ? mimicsh_toy_missing(skb) : TC_ACT_SHOT" or "TC_ACT_OK")
end

if not kernel.module("toy").is_loaded then
    test.case("functions of modules", function() test.skip "module toy is not loaded" end)
    return
end

test.case("a program calls a function of a module", function()
    local inst = assert(assert(bpf.compile{ source = source(false) }):load "kernel")
    local packet = pkt.eth() / pkt.ip() / pkt.udp() / ("x"):rep(58)
    test.eq(#packet, 100)
    local result = assert(inst.progs.call:run(packet))
    test.eq(result.verdict, "OK")
    test.eq(tonumber(inst.vars.sum), 1107)
end)

test.case("a weak function that no module has is null, one that a module has is called", function()
    local inst = assert(assert(bpf.compile{ source = source(true) }):load "kernel")
    local packet = pkt.eth() / pkt.ip() / pkt.udp()
    test.eq(assert(inst.progs.call:run(packet)).verdict, "SHOT")
    test.eq(tonumber(inst.vars.sum), 1007 + #packet)
end)

test.case("a function that neither the kernel nor a module has is named", function()
    local text = source(false):gsub("mimicsh_toy_sum", "mimicsh_toy_none")
    local inst, err = assert(bpf.compile{ source = text }):load "kernel"
    test.eq(inst, nil)
    test.eq(err.code, "ESRCH")
    assert(tostring(err):find("extern mimicsh_toy_none is no function that this kernel or a module of it gives", 1, true),
        tostring(err))
end)

test.case("functions of modules are listed", function()
    local toy = kernel.module "toy"
    test.eq({ toy.kfuncs, toy.kfuncs_reason }, { { "mimicsh_toy_sum" } })
    -- As net/netfilter/nf_conntrack_bpf.c has them, from 6.1 to 6.12.
    test.eq(kernel.module("nf_conntrack").kfuncs, { "bpf_ct_change_status", "bpf_ct_change_timeout", "bpf_ct_insert_entry",
        "bpf_ct_release", "bpf_ct_set_status", "bpf_ct_set_timeout", "bpf_skb_ct_alloc", "bpf_skb_ct_lookup",
        "bpf_xdp_ct_alloc", "bpf_xdp_ct_lookup" })
    test.eq(kernel.module("veth").kfuncs, {})
end)
