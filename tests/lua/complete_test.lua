-- SPDX-License-Identifier: MIT
-- What TAB offers, by the text before the cursor; and help for what it offers.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"
local core = require "mimicsh.core"
local live = require "mimicsh.live"
local help = require "mimicsh.help"

core.open_globals()

--- The words that may stand at the end of a text, with a blank between them.
local function words(text)
    local begin, list = live.complete(text, #text):match "^([^\n]*)\n?(.*)$"
    return (list or ""):gsub("\n", " "), tonumber((begin:gsub("%+", "")))
end

--- Checks what is offered, and that it replaces what was typed of it.
local function offers(text, expected, typed)
    local got, begin = words(text)
    test.eq(got, expected, text)
    if typed then
        test.eq(text:sub(begin + 1), typed, text)
    end
end

local function has(text, ...)
    local got = " " .. words(text) .. " "
    for _, word in ipairs{ ... } do
        assert(got:find(" " .. word .. " ", 1, true), ("%s: no %s in%s"):format(text, word, got))
    end
end

local function has_not(text, ...)
    local got = " " .. words(text) .. " "
    for _, word in ipairs{ ... } do
        assert(not got:find(" " .. word .. " ", 1, true), ("%s: %s in%s"):format(text, word, got))
    end
end

local inst = assert(assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __be32 saddr; __u16 port; __u8 pad[2]; };
struct counts { __u64 pkts; __u64 bytes; struct key last; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct key); __type(value, struct counts); }
    flows SEC(".maps");
int limit = 5;
struct key flow_now;
SEC("xdp") int count(struct xdp_md *ctx) { return XDP_PASS; }
]]):load "vm")

--- Runs fn with some globals of the prompt.
local function with_globals(fn)
    i, p, o = inst, pkt.eth{} / pkt.ip{} / pkt.udp{}, assert(bpf.asm "r0 = 2\nexit")
    inst.maps.flows[{}] = { pkts = 8 }
    v = inst.maps.flows[{}]
    inst.maps.flows:clear()
    local ok, err = pcall(fn)
    i, p, o, v = nil, nil, nil, nil
    assert(ok, err)
end

test.case("members of programs, maps and packets", function()
    with_globals(function()
        offers("i.progs.", "count", "")
        offers("i.vars.", "flow_now limit", "")
        offers("i.vars.flow_now.", "get pad port saddr set", "")
        has("v.", "pkts", "last", "totable")
        has("v.last.", "saddr", "copy")
        offers("x = i.maps.fl", "flows", "fl")
        offers("i.maps.flows:pai", "pairs", "pai")
        has("i.maps.flows.", "get", "key_type", "info")
        has_not("i.maps.flows:", "key_type")
        offers("p.ud", "udp", "ud")
        has("p.", "eth", "ip", "udp", "diff")
        offers("p:", "byte bytes code copy diff fix hex matches pad show wire", "")
        offers("p.udp.", "checksum dport len sport", "")
        has("o.", "load", "license")
        has_not("o:", "license")
    end)
end)

test.case("keys of structs are tables that find their entry", function()
    with_globals(function()
        inst.maps.flows[{ saddr = "192.0.2.1", port = 53 }] = { pkts = 7 }
        inst.maps.flows[{}] = { pkts = 8 }
        offers("i.maps.flows[", '{saddr = "192.0.2.1", port = 53}] {}]', "")
        offers("i.maps.flows[{sa", '{saddr = "192.0.2.1", port = 53}]', "{sa")
        test.eq(num(assert(loadstring("return i.maps.flows[" .. words "i.maps.flows[{sa"))().pkts), 7)
    end)
end)

test.case("fields of keys and values in braces, fields of entries", function()
    with_globals(function()
        offers("i.maps.flows[{", "pad= port= saddr=", "")
        offers("i.maps.flows[{ saddr = 1, po", "port=", "po")
        offers("i.maps.flows:get({", "pad= port= saddr=", "")
        offers("i.maps.flows:put({}, {", "bytes= last= pkts=", "")
        offers("i.maps.flows:put({ port = 1 }, { pkts = 1, b", "bytes=", "b")
        offers("i.maps.flows[k] = { b", "bytes=", "b")
        offers("i.maps.flows[k].", "bytes last pkts", "")
        offers("i.maps.flows[{ port = 1 }].by", "bytes", "by")
        offers("i.maps.flows[t[1]].by", "bytes", "by")
        offers("nothing[k].", "", nil)
    end)
end)

test.case("options of functions, and texts that they take", function()
    with_globals(function()
        offers("pkt.ip{tt", "ttl=", "tt")
        offers("p / pkt.udp{ sport = 1, d", "dport=", "d")
        offers("i.progs.count:run(p, { t", "tailroom= times= trace=", "t")
        offers("bpf.filter('x', { h", "hit=", "h")
        offers('bpf.filter("x", {type = "', "socket tc xdp", "")
        offers('bpf.filter("x", {hit = "', "", nil)
        offers('o:load("', "kernel vm", "")
        offers("o:load 'v", "vm", "v")
        offers('tc.attach(i.progs.count, "lo", {dir = "in', "ingress", "in")
        offers('i.maps.flows:put(k, v, "', "any exist new", "")
        offers('require "pk', "pkt", "pk")
        offers("require('pk", "pkt", "pk")
    end)
end)

test.case("interfaces where one is wanted, else files", function()
    with_globals(function()
        for _, text in ipairs{ 'xdp.attach(i.progs.count, "l', "pcap.live 'l", 'raw.open("l', "traffic.send{dev = 'l",
                               'i:promote("l' } do
            has(text, "lo")
        end
        local folder = os.tmpname()
        os.remove(folder)
        os.execute(("mkdir %s && touch %s/one.pcap %s/.two && mkdir %s/three"):format(folder, folder, folder, folder))
        for _, text in ipairs{ "x = '", "pcap.open('", "bpf.compile{file = '", "prog:replay '" } do
            offers(text .. folder .. "/o", "one.pcap", "o")
            offers(text .. folder .. "/", "one.pcap three/", "")
        end
        offers("x = '" .. folder .. "/.t", ".two", ".t")
        os.execute("rm -r " .. folder)
    end)
end)

test.case("commands, their settings and files", function()
    offers(":", "edit help jobs load quit save set time", "")
    offers(":s", "save set", "s")
    offers(":set ", "color json verbose", "")
    offers(":set json o", "off on", "o")
    offers(":jobs x", "", nil)
    offers(":help bpf.o", "bpf.open", "bpf.o")
    has(":time pk", "pkt")
    local path = os.tmpname()
    offers(":load " .. path:sub(1, -2), path:match "[^/]*$", path:match "([^/]*).$")
    os.remove(path)
end)

test.case("modules offer what is documented, help all that it knows", function()
    offers("session.", "edit jobs load quit repl save set time", "")
    offers("test.", "case eq near raises skip xdp", "")
    has('help "ma', "map", "map:get")
    offers("help('spa", "spark", "spa")
    offers("help(bpf.op", "open", "op")
end)

test.case("nobody's code is called, whatever stands there", function()
    called = 0
    trap = setmetatable({}, { __index = function() called = called + 1 end, __call = function() called = called + 1 end,
                              __pairs = function() called = called + 1 end, __len = function() called = called + 1 end })
    for _, text in ipairs{ "trap.", "trap.x.", "trap:", "trap[", "trap[1].", "trap({", "trap{", "trap('", "trap '", "trap.x('",
                           "trap().", "trap[{", "trap[1] = {", "{", "[", "((", "'", '"', "[[", "x = ", ".", ":", "::", "..", "{{",
                           "a.b[c].d:", "\255.", "help '", "require(" } do
        live.complete(text, #text)
        live.hint(text, #text)
    end
    test.eq(called, 0)
    trap, called = nil, nil
end)

test.case("hints know the functions that are loaded at first use", function()
    test.eq(live.hint("show(", 5), "x, ...)")
    test.eq(live.hint("tbl(x", 5), ", [cols])")
end)

-- -- help --

local function helped(x, columns)
    local lines, real_print = {}, print
    local config = require "mimicsh.config"
    config.columns = columns
    _G.print = function(text) lines[#lines + 1] = text or "" end
    local ok, err = pcall(help.help, x)
    _G.print, config.columns = real_print, nil
    assert(ok, err)
    return table.concat(lines, "\n")
end

test.case("help(thing) lists its methods, help(function) shows it and what mentions it", function()
    with_globals(function()
        for kind, x in pairs{ map = i.maps.flows, inst = i, obj = o, prog = i.progs.count, p = p } do
            assert(helped(x):find("^" .. kind .. ":%l+"), helped(x))
        end
        assert(helped(p.udp):find "^pkt.udp{")
        assert(helped(inst.maps.flows) == helped "map")
        assert(helped(bpf.open):find "\n    see also: object:close$", helped(bpf.open))
        test.eq(helped(help.help), helped "help")
        assert(helped(show):find "^show%(x, %.%.%.%)")
        assert(helped(repl):find "^repl%(%)")
        assert(helped(string.format):find "^string.format is Lua's own")
        assert(helped(tostring):find "^tostring is Lua's own")
        test.eq(helped(function() end), "this function has no doc text")
        assert(helped():find "\nthings with methods: .*instance.* map .*program", helped())
        test.raises(function() help.help(5) end, "expected function, module, thing with methods or word, got number")
    end)
end)

test.case("help breaks lines between words, at the terminal's width only", function()
    for columns = 20, 120, 20 do
        for _, topic in ipairs{ "link", "bpf", "map", "help", "pkt.tcp" } do
            local text = helped(topic, columns):gsub("    example:.*", "")
            for line in text:gmatch "[^\n]+" do
                assert(#line < columns or not line:find "^%s*%S+%s+%S", line)
            end
            test.eq((text:gsub("%s+", " ")), (helped(topic):gsub("    example:.*", ""):gsub("%s+", " ")))
        end
    end
end)

test.case("mistakes are told apart: methods called with a dot, methods that a map has not", function()
    with_globals(function()
        test.raises(function() i.close() end, "expected instance, got nil .call methods with ':'.")
        test.raises(function() i.progs.count.run(p) end, "expected program, got packet .call methods with ':'.")
        test.raises(function() o.load "vm" end, "expected object, got string .call methods with ':'.")
        test.raises(function() o:load() end, 'expected "vm" or "kernel"')
        test.raises(function() i.maps.flows:pairz() end, "map flows: no method or property 'pairz', and no key: 5 bytes")
        local _, err = pcall(require("xdp").attach, nil, "lo")
        assert(not tostring(err):find "methods", err)
    end)
end)
