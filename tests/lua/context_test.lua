-- SPDX-License-Identifier: MIT
-- Files of contexts: the kinds of the Go emulator, own kinds, captures, and replay of recorded helper calls.
local bpf, pkt, test, json = require "bpf", require "pkt", require "test", require "json"
local context = require "context"
local both = dofile((arg[0]:match "^(.*/)" or "./") .. "both.lua")

local FILE = [[
[
  {"name": "plain", "type": "xdp_md", "ctx": {"headroom": 256, "tailroom": 64, "packet": "AAECAwQFBgcICQoLCAABAgM=",
   "ingress_ifidx": 1, "rx_queue_idx": 0, "egress_ifidx": 0}},
  {"name": "pieces", "type": "generic", "ctx": {
    "registers": {"r1": "md"},
    "memory": [
      {"name": "bytes", "type": "block", "value": {"value": "/////wABAgMEBQYHCAkKCwgAAQ==", "byteorder": "be"}},
      {"name": "start", "type": "ptr", "value": {"memory": "bytes", "offset": 4, "size": 32}},
      {"name": "end", "type": "ptr", "value": {"memory": "bytes", "offset": 19, "size": 32}},
      {"name": "meta", "type": "ptr", "value": {"memory": "bytes", "offset": 0, "size": 32}},
      {"name": "index", "type": "int", "value": {"value": 1, "size": 32}},
      {"name": "zero", "type": "int", "value": {"value": 0, "size": 32}},
      {"name": "md", "type": "struct", "value": [{"name": "data", "memory": "start"}, {"name": "data_end", "memory": "end"},
        {"name": "data_meta", "memory": "meta"}, {"name": "ingress", "memory": "index"}, {"name": "queue", "memory": "zero"},
        {"name": "egress", "memory": "zero"}]}],
    "emulator": {"note": 18446744073709551615}}},
  {"name": "buffer", "type": "sk_buff", "ctx": {"packet": "AAECAwQFBgcICQoLiLUBAgM=", "dev": {"ifIndex": 1}, "sock": null}},
  {"name": "outer", "type": "captured", "ctx": {
    "subContext": {"name": "recorded", "type": "xdp_md", "ctx": {"packet": "AAECAwQFBgcICQoLCAABAgM=", "ingress_ifidx": 1}},
    "helperCalls": {"5": [{"helperFn": 5, "params": [], "results": [{"reg": 0, "value": 17}]},
                          {"helperFn": 5, "params": null, "results": [{"reg": 0, "value": 18}]}],
     "22": [{"helperFn": 22, "params": [], "results": [{"reg": 1, "value": "KgAAAA=="}, {"reg": 0, "value": 0}]}]}}}
]
]]

local LENGTH = [[
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u32 *)(r1 + 4)
    r0 -= r2
    r3 = *(u32 *)(r1 + 8)
    r2 -= r3
    r2 <<= 8
    r0 += r2
    r1 = *(u32 *)(r1 + 12)
    r1 <<= 16
    r0 += r1
    exit
]]

-- Twice the time, then what a helper that is not emulated writes, then the time for the third time.
local CALLS = [[
    call bpf_ktime_get_ns
    r6 = r0
    call bpf_ktime_get_ns
    r6 += r0
    *(u32 *)(r10 - 4) = 1
    r1 = r10
    r1 += -4
    r2 = 4
    r3 = 0
    call bpf_perf_event_read
    r1 = *(u32 *)(r10 - 4)
    r6 += r1
    call bpf_ktime_get_ns
    r0 /= 1000000000
    r0 *= 1000
    r0 += r6
    exit
]]

local function written(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
end

local function loaded(text)
    local path = written(text)
    local list, err = context.load(path)
    os.remove(path)
    return list, err
end

local function program(source, options)
    local obj = assert(bpf.asm(source))
    return assert(obj:load("vm", options)).progs.main
end

both("files of contexts load, run and save as they were", function(load)
    local list = assert(loaded(FILE))
    test.eq({ #list, list[1].name, list[2].kind, list[4].name }, { 4, "plain", "generic", "recorded" })
    local main = load(assert(bpf.asm(LENGTH))).progs.main
    test.eq(main:run(list[1]).ret, 17 + 65536)
    test.eq(main:run(list[2]).ret, 15 + 4 * 256 + 65536) -- its metadata in front
    local path = os.tmpname()
    assert(context.save(path, list))
    local again = assert(context.load(path))
    os.remove(path)
    test.eq(json.encode(again[2]), json.encode(list[2]))
    test.eq(again[2].body.emulator.note, 18446744073709551615ULL)
    test.eq(main:run(again[2]).ret, main:run(list[2]).ret)
end)

both("a context is refused by programs that it is not for", function(load)
    local list = assert(loaded(FILE))
    local r, err = load(assert(bpf.asm(LENGTH))).progs.main:run(list[3])
    assert(r == nil and err.code == "ENOTSUP" and err.msg:find("'buffer'", 1, true), tostring(err))
    local tc = load(assert(bpf.asm{ "r0 = *(u32 *)(r1 + 40)\nexit", type = "sched_cls" })).progs.main
    test.eq(tc:run(list[3]).ret, 1)
end)

test.case("recorded helper calls answer in order, and each run begins again", function()
    local recorded = assert(loaded(FILE))[4]
    local main = program(CALLS, { mode = "permissive" })
    for _ = 1, 2 do
        test.eq(main:run(recorded).ret, 17 + 18 + 42 + 1000) -- the third time is the vm's own clock
        test.eq(main:run(recorded, { trace = true }).ret, 17 + 18 + 42 + 1000)
    end
    local r = main:run(pkt.eth{} / pkt.ip{})
    assert(r.fault and r.fault.cause:find("no recorded call of it is left", 1, true), tostring(r.fault))
    local inst, err = assert(bpf.asm(CALLS)):load "vm"
    assert(inst == nil and err.msg:find("bpf_perf_event_read", 1, true), tostring(err))
end)

both("recorded helper calls are for the vm alone", function(load, target)
    local result, err = load(assert(bpf.asm "r0 = 2\nexit")).progs.main:run(assert(loaded(FILE))[4])
    test.eq({ result and result.ret, err and err.code }, target == "vm" and { 2 } or { nil, "ENOTSUP" })
end)

local XDP = [[{"type": "xdp_md", "ctx": {"packet": %s}}]]
local GENERIC = [[{"type": "generic", "ctx": {"registers": %s, "memory": %s}}]]
local CAPTURED = [[{"type": "captured", "ctx": {"subContext": {"type": "xdp_md", "ctx": {"packet": ""}}, "helperCalls": %s}}]]
local WRONG = {
    { "[", "syntax error" }, { "7", "expected a list" }, { "[7]", "expected an object" },
    { "[{}]", "type: expected string" }, { [=[[{"type": "odd", "ctx": {}}]]=], "unknown kind 'odd' (known: captured, generic" },
    { XDP:format "7", "packet: expected string, got number" }, { XDP:format '"A"', "packet: not base64" },
    { GENERIC:format('{"r6": "x"}', "[]"), "registers are r1 to r5" },
    { GENERIC:format('{"r1": "x"}', "[]"), "there is no memory 'x'" },
    { GENERIC:format("{}", '[{"name": "x", "type": "y", "value": {}}]'), "unknown memory type 'y'" },
    { GENERIC:format("{}", '[{"name": "x", "type": "block", "value": {"value": "", "byteorder": ""}}]'), "byteorder ''" },
    { GENERIC:format("{}", '[{"name": "x", "type": "int", "value": {"size": 7}}]'), "size of an integer" },
    { "null", "expected a list of contexts, got null" }, { "[null]", "context 1: expected an object, got null" },
    { GENERIC:format("{}", '[{"name": "x", "type": "int", "value": {"value": 1.5, "size": 8}}]'), "value: expected integer" },
    { GENERIC:format("{}", '[{"name": "x", "type": "int", "value": {"value": 256, "size": 8}}]'), "256 has no room in 8 bits" },
    { GENERIC:format("{}", '[{"name": "x", "type": "int", "value": {"value": -129, "size": 8}}]'), "-129 has no room" },
    { CAPTURED:format '{"x": []}', "helperCalls: no helper has the number 'x'" },
    { CAPTURED:format '{"5": 7}', "helperCalls: expected a list of calls of helper 5, got number" },
    { CAPTURED:format '{"5": {"a": 7}}', "helperCalls: expected a list of calls of helper 5, got an object" },
}

-- Records of helper 5, bpf_ktime_get_ns.
for record, text in pairs{
    ["5"] = "expected an object, got number", ["{}"] = "results: expected table, got nothing",
    ['{"results": null}'] = "results: expected table, got nothing", ['{"results": []}'] = "results: nothing for r0",
    ['{"results": [{"reg": 1, "value": 1}]}'] = "results: nothing for r0",
    ['{"helperFn": 6, "results": [{"reg": 0, "value": 1}]}'] = "its helperFn is 6",
    ['{"results": [{"reg": 6, "value": 1}]}'] = "results are in r0 to r5, got r6",
    ['{"results": [{"reg": -1, "value": 1}]}'] = "results are in r0 to r5, got r-1",
    ['{"results": [{"reg": 0, "value": true}]}'] = "value of r0: expected integer or base64, got true",
    ['{"results": [{"reg": 0, "value": 1.5}]}'] = "value of r0: expected integer or base64, got 1.5",
    ['{"results": [{"reg": 0, "value": 1e20}]}'] = "value of r0: expected integer or base64, got 1e+20",
    ['{"results": [{"reg": 0}]}'] = "value of r0: expected integer or base64, got nothing" } do
    WRONG[#WRONG + 1] = { CAPTURED:format('{"5": [' .. record .. "]}"), "call 1 of helper 5 (bpf_ktime_get_ns): " .. text }
end
for _, number in ipairs{ "0", "212", "500", "4294967295" } do
    WRONG[#WRONG + 1] = { CAPTURED:format('{"' .. number .. '": []}'), ("no helper has the number '%s'"):format(number) }
end
for _, field in ipairs{ "headroom", "tailroom", "ingress_ifidx", "rx_queue_idx", "egress_ifidx" } do
    for _, number in ipairs{ "-1", "4294967296", "18446744073709551615" } do
        WRONG[#WRONG + 1] = { XDP:format('"", "' .. field .. '": ' .. number),
                              ("context 1: %s: %s is outside 0 to 4294967295"):format(field, number) }
    end
end
WRONG[#WRONG + 1] = { [=[{"type": "sk_buff", "ctx": {"packet": "", "dev": {"ifIndex": -1}}}]=],
                      "context 1: dev: ifIndex: -1 is outside 0 to 4294967295" }

test.case("what is wrong with a file is said with its place", function()
    for _, wrong in ipairs(WRONG) do
        local list, err = loaded(wrong[1])
        assert(list == nil and err.msg:find(wrong[2], 1, true), wrong[1] .. ": " .. tostring(err))
    end
end)

test.case("a folder is no file of contexts", function()
    local list, err = context.load "/"
    test.eq({ list, err.code, err.msg }, { nil, "EIO", "/: is a directory" })
end)

test.case("what a decoder of one's own does not give is said with its reason", function()
    local main = assert(assert(bpf.asm "r0 = 2\nexit"):load "vm").progs.main
    for _, case in ipairs{
        { function() return nil, "no good" end, "the decoder of kind 'own' gave no function: no good" },
        { function() return nil, { a = 1 } end, "the decoder of kind 'own' gave no function: {a = 1}" },
        { function() return 5 end, "the decoder of kind 'own' gave no function" },
        { function() return function() return nil, "no good" end end, "the decoder of kind 'own' gave no table: no good" },
        { function() return function() return 5 end end, "the decoder of kind 'own' gave no table" },
        { function() return function() end end, "the decoder of kind 'own' gave no table" } } do
        context.register("own", case[1])
        for _, envelope in ipairs{ { type = "own", ctx = {} },
                                   { type = "captured", ctx = { subContext = { type = "own", ctx = {} } } } } do
            local one, err = context.make(envelope)
            if one then
                one, err = main:run(one)
            end
            assert(one == nil and tostring(err):find(case[2], 1, true), tostring(err))
        end
    end
end)

both("own kinds, and contexts of a capture", function(load)
    context.register("text", function(body)
        return function() return { packet = body.text, ctx = { ingress_ifindex = 1 } } end
    end)
    local own = assert(context.make{ name = "own", type = "text", ctx = { text = ("x"):rep(20) } })
    local main = load(assert(bpf.asm(LENGTH))).progs.main
    test.eq(main:run(own).ret, 20 + 65536)
    local capture = (arg[0]:match "^(.*/)" or "") .. "../data/captures/dns.pcap"
    local list = assert(context.from_pcap(capture))
    test.eq(#list, 18)
    test.eq(main:run(list[1]).bytes, list[1]:input "xdp".packet)
    test.eq(#assert(context.from_pcap(capture, "sk_buff")), 18)
end)
