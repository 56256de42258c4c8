-- SPDX-License-Identifier: MIT
-- obj:load("vm", {kernel = ...}): what older kernels do not have is refused, and vm.support() says since when it is there.
local test = require "test"
local bpf, pkt, vm = require "bpf", require "pkt", require "vm"

local obj = assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int pid(struct xdp_md *ctx)
{
	return bpf_get_current_pid_tgid() ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
]])

test.case("the newest kernel is the default", function()
    for _, options in ipairs{ {}, { kernel = "6.18" }, { kernel = "6.12" } } do
        options.world = { task = { pid = 3, tgid = 3 } }
        test.eq(assert(obj:load("vm", options)).progs.pid:run(pkt.eth{} / "x").verdict, "PASS")
    end
end)

test.case("a refusal has name, line and since when", function()
    local inst, err = obj:load("vm", { kernel = "6.1" })
    test.eq({ inst, err.code }, { nil, "EINVAL" })
    test.eq(err.msg:match "pid: .*kernels_test.lua:%d+: instruction %d+: (.*)",
        "bpf_get_current_pid_tgid for xdp programs is there since Linux 6.12, not in 6.1")
    test.eq(assert(obj:load("vm", { kernel = "6.1", mode = "permissive" })).target, "vm")
end)

test.case("other kernels are no choice", function()
    test.raises(function() obj:load("vm", { kernel = "6.2" }) end, 'expected "6.1", "6.12" or "6.18", got "6.2"')
end)

test.case("the table says since when", function()
    local since = {}
    for _, list in pairs(vm.support()) do
        for _, row in ipairs(list) do
            since[row.name] = row.since
        end
    end
    test.eq({ since.map_lookup_elem, since.cgrp_storage_get, since.cgrp_storage, since.bpf_iter_num_new, since.bpf_strlen,
              since.add64_imm, since.gotol }, { "6.1", "6.12", "6.12", "6.12", "6.18", "6.1", "6.12" })
end)
