-- SPDX-License-Identifier: MIT
-- bpf.filter as scripts use it; what expressions mean is compared with libpcap in tests/kernel.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"

local dns = pkt.eth{} / pkt.ip{} / pkt.udp{ dport = 53 } / "query"
local web = pkt.eth{} / pkt.ip{} / pkt.tcp{ dport = 80 }

local VERDICTS = {
    xdp = { hit = "DROP", miss = "PASS" },
    tc = { hit = "SHOT", miss = "OK" },
    socket = { hit = "PASS", miss = "DROP" },
}

for type, verdicts in pairs(VERDICTS) do
    for _, target in ipairs{ "vm", "kernel" } do
        test.case("a filter decides as " .. type .. " program (" .. target .. ")", function()
            local obj = assert(bpf.filter("udp port 53", { hit = verdicts.hit, miss = verdicts.miss, type = type }))
            test.eq(obj.programs[1].name, "filter")
            local inst, err = obj:load(target)
            if not inst and err.code == "EPERM" then
                test.skip(tostring(err))
            end
            assert(inst, err)
            test.eq(inst.progs.filter:run(dns).verdict, verdicts.hit)
            test.eq(inst.progs.filter:run(web).verdict, verdicts.miss)
        end)
    end
end

test.case("verdicts may be numbers", function()
    local inst = assert(assert(bpf.filter("tcp", { hit = 7, miss = 0, type = "tc" })):load "vm")
    test.eq(inst.progs.filter:run(web).ret, 7)
    test.eq(inst.progs.filter:run(dns).ret, 0)
end)

test.case("a listing shows libpcap's instructions as the source", function()
    local text = assert(bpf.filter("udp port 53", { hit = "DROP", miss = "PASS" })):disasm()
    test.eq(text:find("(012) jset #0x1fff jt 19 jf 13", 1, true) ~= nil, true)
    test.eq(text:find("filter 'udp port 53'", 1, true) ~= nil, true)
end)

test.case("an expression that is none says where", function()
    local obj, err = bpf.filter("udp prot 53", { hit = "DROP", miss = "PASS" })
    test.eq(obj, nil)
    test.eq(err.code, "EINVAL")
    test.eq(tostring(err):find "filter_test.lua:%d+:38: " ~= nil, true)
    test.eq(err.log:match "^%d+ | (udp prot 53\n)[ |]*%^\n$", "udp prot 53\n")
end)

test.case("loops of protochain are refused by name", function()
    local _, err = bpf.filter("ip protochain 17", { hit = "DROP", miss = "PASS" })
    test.eq(err.code, "ENOTSUP")
    test.eq(tostring(err):find("protochain", 1, true) ~= nil, true)
end)

test.case("offsets behind every packet take none, on all types", function()
    for type in pairs(VERDICTS) do
        for _, text in ipairs{ "ip6[-59:2] >= 1", "igmp[-(0x0800)] >= 1", "ether[-1] = 0" } do
            local inst = assert(assert(bpf.filter(text, { hit = 1, miss = 2, type = type })):load "vm")
            test.eq(inst.progs.filter:run(dns).ret, 2)
        end
        local inst = assert(assert(bpf.filter("udp or ip6[-59:2] >= 1", { hit = 1, miss = 2, type = type })):load "vm")
        test.eq(inst.progs.filter:run(dns).ret, 1)
    end
end)

test.case("a fault in a filter shows the expression and libpcap's instruction", function()
    local obj = assert(bpf.filter("udp port 53", { hit = 1, miss = 2, type = "socket" }))
    local inst = assert(obj:load("vm", { helpers = { skb_load_bytes_relative = function() error "nothing there" end } }))
    local fault = inst.progs.filter:run(dns).fault
    test.eq(fault.file, "filter 'udp port 53'")
    test.eq(fault.source, "(000) ldh [12]")
    assert(tostring(fault):find("  source   filter 'udp port 53'\n           (000) ldh [12]\n", 1, true), tostring(fault))
end)

test.case("wrong arguments are named", function()
    test.raises(function() bpf.filter("udp", { hit = "DROP" }) end, "bad argument 'miss'")
    test.raises(function() bpf.filter("udp", { hit = "SHOT", miss = "PASS" }) end, "no verdict 'SHOT'")
    test.raises(function() bpf.filter("udp", { hit = "DROP", miss = "PASS", type = "lwt_in" }) end, "bad argument 'type'")
    test.raises(function() bpf.filter(53, { hit = "DROP", miss = "PASS" }) end, "expected an expression")
    test.raises(function() bpf.filter("udp", { hit = "DROP", miss = "PASS", limit = 1 }) end, "limit")
end)
