-- SPDX-License-Identifier: MIT
-- Values as people read them: exact texts, in colours and without, on wide and narrow terminals.
local test = require "test"
local bpf, pkt, json = require "bpf", require "pkt", require "json"
local config = require "mimicsh.config"
local printer = require "mimicsh.printer"

--- What show(x) prints with some settings.
local function shown(x, settings)
    local before, real_print, lines = {}, print, {}
    for name, value in pairs(settings or {}) do
        before[name] = { value = config[name] }
        config[name] = value
    end
    _G.print = function(text) lines[#lines + 1] = text end
    local ok, err = pcall(printer.show, x)
    _G.print = real_print
    for name, was in pairs(before) do
        config[name] = was.value
    end
    assert(ok, err)
    return table.concat(lines, "\n")
end

local function load(text, options)
    return assert(assert(bpf.asm(text .. "\nr0 = 2\nexit")):load("vm", options))
end

local UDP = pkt.eth{} / pkt.ip{ ttl = 64 } / pkt.udp{ dport = 53 } / "hi"

test.case("a packet is a tree of layers, and its bytes with whose they are", function()
    test.eq(shown(pkt.udp{ dport = 53, checksum = 7 } / "hi"), [[
udp: UDP, 8 bytes
  sport     1024
  dport     53
  len       10
  checksum  0x0007
0000  04 00 00 35 00 0a 00 07  68 69                    ...5....hi
udp 0-7  payload 8-9]])
    local long = shown(UDP / ("x"):rep(1000))
    test.eq(long:sub(-66), "\n... 788 more bytes\neth 0-13  ip 14-33  udp 34-41  payload 42-1043")
end)

test.case("each layer's bytes have its colour", function()
    local text = shown(pkt.udp{ sport = 1, dport = 2, checksum = 0x4142 } / "hi", { color = true })
    local U, E = assert(text:match "^(\27%[%d+m)udp", text), "\27[0m"
    local dump = text:match "\n(0000.*)"
    assert(dump:find(U .. "41" .. E .. " " .. U .. "42" .. E .. "  68 69 ", 1, true), dump)
    assert(dump:find(U .. "A" .. E .. U .. "B" .. E .. "hi\n", 1, true), dump)
    assert(dump:find(U .. "udp" .. E .. " 0-7  payload 8-9", 1, true), dump)
    local layers = shown(UDP, { color = true })
    local seen = {}
    for _, name in ipairs{ "eth", "ip", "udp" } do
        local code = layers:match("(\27%[%d+m)" .. name .. "\27%[0m %d")
        assert(code and not seen[code], name)
        seen[code] = true
    end
    test.eq((layers:gsub("\27%[%d*m", "")), shown(UDP))
end)

test.case("p:hex() says whose the bytes are, in lines as long as the terminal is wide", function()
    test.eq(pkt.udp{ sport = 1, dport = 2, checksum = 1 }:hex(), "0000  00 01 00 02 00 08 00 01" ..
        (" "):rep(25) .. "  ........\nudp 0-7\n")
    for columns, per_line in pairs{ [200] = 16, [74] = 16, [73] = 8, [41] = 8, [40] = 4, [24] = 4, [23] = 1, [11] = 1 } do
        config.columns = columns
        local text = UDP:hex()
        config.columns = nil
        test.eq(select(2, text:gsub("\n", "")), math.ceil(#UDP / per_line) + 1, columns)
        for line in text:gmatch "(%x%x%x%x  [^\n]*)" do
            assert(#line <= columns, line)
        end
    end
end)

test.case("differences of packets are a table, and a list for scripts", function()
    local other = UDP:copy()
    other.ip.ttl = 9
    other.payload = "hello"
    local differences = UDP:diff(other)
    local text = shown(differences)
    for _, line in ipairs{ "field +before +after", "ip.ttl +64 +9", "packet.payload%[2..4%] +%- +6c6c6f",
                           "packet.length +44 +47" } do
        assert(text:find("\n" .. line .. "\n") or text:find("^" .. line .. "\n") or text:find("\n" .. line .. "$"), text)
    end
    test.eq(tostring(differences), text)
    test.eq(differences[2].field, "ttl")
    test.eq(shown(UDP:diff(UDP:copy())), "no differences")
    test.eq(json.encode(pkt.udp{ sport = 1, checksum = 1 }:diff(pkt.udp{ sport = 2, checksum = 1 })),
        '[{"after":"2","before":"1","field":"sport","layer":"udp"}]')
    local painted = shown(pkt.udp{ sport = 1, checksum = 1 }:diff(pkt.udp{ sport = 2, checksum = 1 }), { color = true })
    test.eq(painted, "\27[1mfield      before  after\27[0m\nudp.sport  \27[31m1\27[0m       \27[32m2\27[0m")
end)

test.case("64-bit numbers are decimal and, above 16 bits, hex", function()
    test.eq(shown(65535ULL), "65535")
    test.eq(shown(65536ULL), "65536 (0x10000)")
    test.eq(shown(-1ULL), "18446744073709551615 (0xffffffffffffffff)")
    test.eq(shown(-1LL), "-1")
    test.eq(shown({ 65536ULL }, { json = true }), "[65536]")
end)

test.case("whole numbers have all their digits, strings what Lua takes", function()
    for number, text in pairs{ [2 ^ 53] = "9007199254740992", [-2 ^ 60] = "-1152921504606846976", [0.5] = "0.5",
                               [1e300] = "1e+300" } do
        test.eq(shown(number), text)
    end
    for _, value in ipairs{ "a\tb", 'quote " and \\', "1\r\n2", "\0\0011", "\255x", "é", "\127" } do
        local text = shown{ value }:sub(2, -2)
        test.eq(loadstring("return " .. text)(), value)
        assert(not text:find "%c" and printer.is_utf8(text), text)
    end
    test.eq(shown "a\tb", '"a\\tb"')
end)

test.case("tables of rows are cut to the terminal, and only there", function()
    local rows = { { name = "first", what = ("long "):rep(12) }, { name = "second", what = "short" } }
    test.eq(shown(rows, { columns = 30 }), [[
name    what
first   long long long long l…
second  short]])
    test.eq(shown(rows):match "\n([^\n]*)", "first   " .. ("long "):rep(11) .. "long")
    for columns = 1, 60 do
        local both = shown(rows, { columns = columns }) .. "\n" .. shown(rows, { columns = columns, color = true })
        for line in both:gmatch "[^\n]+" do
            local plain = line:gsub("\27%[%d*m", ""):gsub("[\128-\191]", "")
            assert(#plain <= columns, columns .. ": " .. line)
        end
    end
    local list = {}
    for i = 1, 60 do
        list[i] = { a = i, b = i }
    end
    assert(shown(list):find "\n50  50\n... 10 more rows$")
end)

test.case("every kind of value prints on ten columns and on one", function()
    local inst = load ".map counts type=percpu_hash key=u32 value=u64 entries=8"
    inst.maps.counts[1] = 5
    for _, columns in ipairs{ 1, 10, 1000 } do
        for _, value in ipairs{ UDP, UDP:diff(pkt.udp{}), inst.maps.counts, inst.maps.counts[1], hist{ 1, 2, 300 }, "a\0b",
                                "text", ("x"):rep(100), { { a = 1 }, { a = 2 } }, { 1, { 2, { 3 } } }, 2 ^ 60, -1ULL, print } do
            assert(shown(value, { columns = columns }) ~= "")
        end
        config.columns = columns
        test.eq(#spark{ 1, 2, 3 } / 3, math.min(columns, 3))
        config.columns = nil
    end
end)

test.case("values of CPUs come with their sum", function()
    local inst = load(".map counts type=percpu_hash key=u32 value=u64 entries=8", { cpus = 3 })
    inst.maps.counts[1] = { [0] = 1, [1] = 20, [2] = 300 }
    test.eq(tostring(inst.maps.counts[1]), "{sum = 321, [0] = 1, [1] = 20, [2] = 300}")
    test.eq(shown(inst.maps.counts), "map counts: percpu_hash of u32 -> u64, 8 entries at most\n" ..
        "  1 = {sum = 321, [0] = 1, [1] = 20, [2] = 300}")
    test.eq(json.encode(inst.maps.counts[1]), "[1,20,300]")
    local many = load(".map counts type=percpu_hash key=u32 value=u64 entries=8", { cpus = 64 })
    local values = {}
    for cpu = 0, 63 do
        values[cpu] = cpu < 60 and cpu % 2 or 0
    end
    many.maps.counts[1] = values
    local text = tostring(many.maps.counts[1])
    assert(text:find "^{sum = 30, %[1%] = 1, %[3%] = 1, ", text)
    assert(text:find "%[31%] = 1, %.%.%. 14 more}$", text)
end)

test.case("long listings say how many more there are", function()
    local inst = load ".map seen type=hash key=u32 value=u64 entries=1000"
    for i = 1, 777 do
        inst.maps.seen[i] = i
    end
    local text = shown(inst.maps.seen)
    test.eq(select(2, text:gsub("\n", "")), 51)
    assert(text:find "\n  ... 727 more$", text)
    test.eq(shown(("a"):rep(5000)):sub(-21), 'a" ... 904 more bytes')
    local lines = ("line\n"):rep(1000)
    test.eq(shown(lines), ("line\n"):rep(500) .. "... 500 more lines")
    test.eq(#json.decode(shown(lines, { json = true })), 5000)
end)

test.case("enumerated values have their names, bit-fields too, and numbers in JSON", function()
    local inst = assert(assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum colour { RED = 1, GREEN = 2 };
struct paint { enum colour first; enum colour second : 4; __u64 big; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct paint); }
    paints SEC(".maps");
SEC("xdp") int main_prog(struct xdp_md *ctx) { return XDP_PASS; }
]]):load "vm")
    inst.maps.paints[0] = { first = "GREEN", second = "RED", big = 7 }
    test.eq(tostring(inst.maps.paints[0]), "{first = GREEN, second = RED, big = 7}")
    test.eq(json.encode(inst.maps.paints[0]), '{"big":7,"first":2,"second":1}')
end)

-- -- Values that BTF knows --

local FLOWS = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum colour { RED = 1, GREEN = 2 };
struct flow { __be32 saddr; __u16 port; enum colour colour; __u64 bytes; __s64 drift; void *at; char comm[8]; };
struct pair { struct flow f[2]; };
struct key { __u32 a, b; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 100); __type(key, __u64); __type(value, struct flow); }
    flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct key); __type(value, __u32); }
    keyed SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, struct key); }
    cpus SEC(".maps");
struct pair both;
SEC("xdp") int main_prog(struct xdp_md *ctx) { return XDP_PASS; }
]]

local loaded

--- An instance with two flows; one is {.., bytes = 70000}.
local function flows()
    loaded = loaded or assert(bpf.compile(FLOWS))
    local inst = assert(loaded:load("vm", { cpus = 2 }))
    inst.maps.flows[7] = { saddr = "10.0.0.1", port = 80, colour = "RED", bytes = 70000, drift = -70000, comm = "curl" }
    inst.maps.flows[0x10000] = { saddr = "10.0.0.22", port = 443, colour = 9, bytes = 5, at = 0xffff }
    return inst, inst.maps.flows[7], inst.maps.flows[0x10000]
end

local TABLE = [[
saddr      port  colour  bytes             drift  at      comm
10.0.0.1     80  RED     70000 (0x11170)  -70000  NULL    curl
10.0.0.22   443  9           5                 0  0xffff]]

test.case("a list of structs is a table: fields in their order, names of values, hex beside large numbers", function()
    local inst, one, two = flows()
    test.eq(shown{ one, two }, TABLE)
    inst.vars.both = { f = { one, two } }
    test.eq(shown(inst.vars.both.f), TABLE)
    for _, other in ipairs{ { one, two, n = 1 }, { one, inst.maps.keyed }, { one, "text" } } do
        assert(shown(other):find "^{\n  {")
    end
    local many = {}
    for i = 1, 60 do
        many[i] = one
    end
    assert(shown(many):find "\n10.0.0.1    80  RED [^\n]*\n%.%.%. 10 more rows$")
    test.eq(json.decode(shown({ one, two }, { json = true }))[2].colour, 9)
    test.eq(shown({ one }, { json = true }), '[{"at":0,"bytes":70000,"colour":1,"comm":"curl","drift":-70000,' ..
        '"port":80,"saddr":"10.0.0.1"}]')
end)

test.case("a table that is too wide loses its hex first; one whose names do not fit is no table", function()
    local _, one, two = flows()
    local widest = #TABLE:match "\n([^\n]*)"
    test.eq(shown({ one, two }, { columns = widest }), TABLE)
    test.eq(shown({ one, two }, { columns = widest - 1 }), [[
saddr      port  colour  bytes   drift  at      comm
10.0.0.1     80  RED     70000  -70000  NULL    curl
10.0.0.22   443  9           5       0  0xffff]])
    assert(shown({ one, two }, { columns = 30 }):find "^{\n  {\n    saddr = 10.0.0.1,\n")
    local painted = shown({ one, two }, { color = true })
    assert(painted:find("\27[2m(0x11170)\27[0m", 1, true), painted)
    test.eq((painted:gsub("\27%[%d*m", "")), TABLE)
end)

test.case("a struct by itself has hex too, tostring has not", function()
    local _, one = flows()
    test.eq(tostring(one), '{saddr = 10.0.0.1, port = 80, colour = RED, bytes = 70000, drift = -70000, at = NULL, ' ..
        'comm = "curl"}')
    test.eq(shown(one, { columns = 200 }), (tostring(one):gsub("70000,", "70000 (0x11170),", 1)))
    test.eq(shown(one, { columns = 40 }):match "^{\n  saddr = 10.0.0.1,\n  port = 80,\n" ~= nil, true)
    local painted = shown(one, { columns = 200, color = true })
    test.eq((painted:gsub("\27%[%d*m", "")), shown(one, { columns = 200 }))
    assert(painted:find("\27[36mbytes\27[0m = \27[33m70000\27[0m \27[2m(0x11170)\27[0m", 1, true), painted)
end)

test.case("rows of plain tables have hex beside 64-bit numbers, and numbers of Lua none", function()
    test.eq(shown{ { a = 65536ULL, b = 70000 }, { a = 2ULL, b = 2 } },
        "    a                b\n65536 (0x10000)  70000\n    2                2")
    test.eq(shown({ { a = 65536ULL } , { a = 1ULL } }, { json = true }), '[{"a":65536},{"a":1}]')
    local _, one = flows()
    test.eq(shown{ { f = one, n = 1 }, { f = one, n = 2 } }:match "\n{ ?saddr.*bytes = 70000 %(0x11170%), .*}  1\n" ~= nil, true)
end)

test.case("maps with structs are tables of key = value", function()
    local inst = flows()
    local text = shown(inst.maps.flows)
    test.eq(text:match "^[^\n]*", "map flows: hash of __u64 -> struct flow, 100 entries at most")
    test.eq(text:match "\n([^\n]*)", "  key               saddr      port  colour  bytes             drift  at      comm")
    assert(text:find("\n    7            =  10.0.0.1     80  RED     70000 (0x11170)  -70000  NULL    curl", 1, true), text)
    assert(text:find("\n65536 (0x10000)  =  10.0.0.22   443  9           5                 0  0xffff", 1, true), text)
    assert(shown(inst.maps.flows, { columns = 40 }):find("\n  7 = {", 1, true))
    inst.maps.keyed[{ a = 1, b = 2 }] = 3
    test.eq(shown(inst.maps.keyed), "map keyed: hash of struct key -> __u32, 8 entries at most\na  b     value\n1  2  =      3")
    test.eq(json.encode(inst.maps.keyed), '[{"key":{"a":1,"b":2},"value":3}]')
end)

test.case("per-CPU structs are tables of CPUs, those of a map of sums", function()
    local inst = flows()
    inst.maps.cpus[5] = { [0] = { a = 1, b = 20 }, [1] = { a = 300, b = 0 } }
    test.eq(shown(inst.maps.cpus[5]), "cpu       a   b\nsum  =  301  20\n0    =    1  20\n1    =  300   0")
    test.eq(shown(inst.maps.cpus), "map cpus: percpu_hash of __u32 -> struct key, 8 entries at most\n" ..
        "key       a   b\n  5  =  301  20\nsums of 2 CPUs; map[key] shows each")
    test.eq(json.encode(inst.maps.cpus[5]), '[{"a":1,"b":20},{"a":300,"b":0}]')
end)
