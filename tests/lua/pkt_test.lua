-- SPDX-License-Identifier: MIT
-- Packets and captures as scripts use them; the bytes themselves are checked by the tests of net/.
local test = require "test"
local pkt, pcap = require "pkt", require "pcap"

local function run(command)
    local pipe = assert(io.popen(command .. " 2>/dev/null"))
    local out = pipe:read "*a"
    pipe:close()
    return out
end

test.case("fields read as numbers and text, and write through", function()
    local p = pkt.eth{} / pkt.ip{ ttl = 3, src = "10.0.0.1" } / pkt.udp{ dport = 53 } / "hi"
    test.eq({ p.ip.ttl, p.ip.src, p.udp.dport, p.payload, p.len, #p }, { 3, "10.0.0.1", 53, "hi", 44, 44 })
    p.ip.ttl = 9
    p.payload = "longer"
    test.eq({ p.ip.ttl, p.len, p.udp.len }, { 9, 48, 14 })
    test.eq(p.layers, { "eth", "ip", "udp" })
end)

test.case("a layer that is not there is nil, a name that is none raises", function()
    local p = pkt.ip{}
    test.eq(p.tcp, nil)
    test.raises(function() return p.tpc end, "pkt_test.lua:%d+: a packet has no layer or method 'tpc'")
    test.raises(function() return p.ip.tll end, "ip has no field 'tll' %(known: version, ")
    test.raises(function() p.ip.ttl = 256 end, "ip.ttl: 256 is out of range 0..255")
    test.raises(function() p.ip.ttl = -1 end, "field 'ttl': %-1 is out of range 0..255")
    test.raises(function() p.ip = 1 end, "cannot be set")
    test.raises(function() pkt.ip{ ttl = {} } end, "bad argument 'ttl': expected integer or string, got table")
    test.raises(function() return pkt.ip{} / 5 end, "bad argument 'operand of /'")
    test.raises(function() pkt.parse(5) end, "bad argument 'bytes': expected packet or string of bytes, got number")
    test.raises(function() pkt.parse("x", "ipx") end, "unknown protocol 'ipx'")
end)

test.case("a layer outlives the variable of its packet", function()
    collectgarbage("setpause", 1)
    local ip = (pkt.ip{ ttl = 77 } / "x").ip
    for _ = 1, 500 do
        local garbage = pkt.ip{ ttl = 1 } / ("y"):rep(1000)
        assert(garbage.len == 1020)
    end
    collectgarbage()
    collectgarbage("setpause", 200)
    test.eq(ip.ttl, 77)
end)

test.case("copies are independent and compare by bytes", function()
    local p = pkt.ip{ ttl = 5 } / "x"
    local q = p:copy()
    assert(p == q)
    q.ip.ttl = 6
    assert(p ~= q and p.ip.ttl == 5)
    local diff = p:diff(q)
    test.eq({ diff[1].layer, diff[1].field, diff[1].before, diff[1].after }, { "ip", "ttl", "5", "6" })
end)

test.case("padding stays behind the end, in code() too", function()
    local p = (pkt.eth{} / pkt.ip{} / pkt.udp{} / "hi"):pad "\0\0\1"
    test.eq({ p.payload, p.padding, p.ip.len }, { "hi", "\0\0\1", 30 })
    test.eq(p:code(), '(pkt.eth{}/pkt.ip{}/pkt.udp{}/"hi"):pad("\\000\\000\\001")')
    test.eq(assert(loadstring("local pkt = ...; return " .. p:code()))(pkt):bytes(), p:bytes())
    test.raises(function() pkt.vxlan{}:pad "x" end, "no header of the packet says where its payload ends")
end)

test.case("GRE and VXLAN stack, parse and rebuild; optional fields come and go", function()
    local p = pkt.eth{} / pkt.ip{} / pkt.udp{} / pkt.vxlan{ vni = 7 } / pkt.eth{} / pkt.ip{} / pkt.gre{ key = 5 }
        / pkt.ip6{} / pkt.udp{ dport = 9 } / "x"
    test.eq({ p.udp.dport, p["ip#2"].proto, p.gre.proto, p.gre.has_key, p.gre.seq }, { 4789, 47, 0x86dd, 1, nil })
    test.eq(pkt.parse(p:bytes()).layers, { "eth", "ip", "udp", "vxlan", "eth", "ip", "gre", "ip6", "udp" })
    test.eq(assert(loadstring("local pkt = ...; return " .. p:code()))(pkt):bytes(), p:bytes())
    p.gre.seq, p.gre.key = 9, nil
    test.eq({ p.gre.seq, p.gre.key, p.gre.has_key, p:wire() == p }, { 9, nil, 0, true })
    test.raises(function() p.vxlan.vni = 2 ^ 24 end, "vxlan.vni: 16777216 is out of range 0..16777215")
end)

test.case("DNS messages are text, and compressed bytes", function()
    local q = pkt.ip{} / pkt.udp{} / pkt.dns{ id = 7, questions = "example.com A, example.com AAAA" }
    test.eq({ q.udp.dport, q.dns.qdcount, q.dns.rd, q.dns.answers }, { 53, 2, 1, "" })
    q.dns.qr, q.dns.answers = 1, "example.com 300 A 192.0.2.1"
    local r = pkt.parse(q:bytes(), "ip")
    test.eq({ r.dns.qr, r.dns.ancount, r.dns.answers, r.payload }, { 1, 1, "example.com 300 A 192.0.2.1", "" })
    test.eq(assert(loadstring("local pkt = ...; return " .. r:code()))(pkt):bytes(), q:bytes())
    test.raises(function() q.dns.answers = "example.com A 300.0.0.1" end, "'example.com 0 A 300.0.0.1' is no record")
    test.raises(function() q.dns.questions = 5 end, "a number is not accepted here")
    test.eq(pkt.parse((pkt.udp{} / pkt.dns{}):bytes() .. "junk", "udp").note, "")
end)

test.case("an expression of pcap-filter matches or not", function()
    local p = pkt.eth{} / pkt.ip{ ttl = 9 } / pkt.udp{ dport = 53 } / "hi"
    test.eq({ p:matches "udp port 53", p:matches "tcp", p:matches "ip[8] == 9" }, { true, false, true })
    test.eq((pkt.ip6{} / pkt.tcp{ dport = 80 }):matches "ip6 and tcp dst port 80", true)
    test.raises(function() p:matches "udp prt 53" end, "syntax error")
    local _, err = pcall(p.matches, p, "udp prt 53")
    test.eq(err.log, "1 | udp prt 53\n  |     ^\n")
    test.raises(function() pkt.udp{}:matches "udp" end, "begins with neither eth nor ip nor ip6")
end)

test.case("bytes are counted from 0", function()
    local p = pkt.parse("\1\2\3")
    test.eq({ p:byte(0), p:byte(2), p:byte(3) }, { 1, 3, nil })
end)

test.case("captures keep packets, times and comments; tshark reads the same", function()
    local path = os.tmpname()
    local w = assert(pcap.create(path, { ng = true }))
    for i = 1, 5 do
        local p = pkt.eth{} / pkt.ip{ ttl = i } / pkt.udp{ dport = 1000 + i } / "x"
        assert(w:write(p, { comment = "packet " .. i, time = 1500000000000000000ULL + i }))
    end
    assert(w:close())
    local n = 0
    for p in assert(pcap.open(path)):packets() do
        n = n + 1
        test.eq({ p.ip.ttl, p.udp.dport, p.comment }, { n, 1000 + n, "packet " .. n })
        assert(p.time == 1500000000000000000ULL + n)
    end
    test.eq(n, 5)
    local oracle = run("tshark -r " .. path .. " -T fields -e ip.ttl -e udp.dstport")
    os.remove(path)
    if oracle == "" then
        test.skip "tshark is not installed"
    end
    test.eq(oracle, "1\t1001\n2\t1002\n3\t1003\n4\t1004\n5\t1005\n")
end)

test.case("a cut-off capture gives what is whole, then raises", function()
    local path = os.tmpname()
    local w = assert(pcap.create(path))
    w:write("a"):write("b")
    w:close()
    local file = io.open(path, "rb")
    local bytes = file:read "*a"
    file:close()
    file = io.open(path, "wb")
    file:write(bytes:sub(1, -2))
    file:close()
    local n = 0
    local err = test.raises(function()
        for _ in pcap.open(path):packets() do n = n + 1 end
    end)
    os.remove(path)
    test.eq(n, 1)
    assert(tostring(err):find("offset", 1, true), tostring(err))
end)

test.case("closed files refuse politely", function()
    local path = os.tmpname()
    local w = pcap.create(path)
    w:close(); w:close()
    test.raises(function() w:write "x" end, "is closed")
    local r = pcap.open(path)
    r:close(); r:close()
    test.raises(function() r:packets() end, "is closed")
    os.remove(path)
    local _, err = pcap.open "/nonexistent"
    test.eq(err.code, "ENOENT")
    local _, comment = pcap.create(path):write("x", { comment = "c" })
    test.eq(comment.code, "ENOTSUP")
    os.remove(path)
end)

test.case("code() evaluated gives the same bytes, over every capture and over cut packets", function()
    local count = 0
    local function check(p)
        count = count + 1
        local again = assert(loadstring("local pkt = ...; return " .. p:code()))(pkt)
        if again:bytes() ~= p:bytes() then
            error(("%s\n%s"):format(p:show(), p:code()))
        end
    end
    local folder = (arg[0]:match "^(.*/)" or "./") .. "../data/"
    for path in run("ls " .. folder .. "captures/*.pcap* " .. folder .. "programs.pcap"):gmatch "[^\n]+" do
        for p in assert(pcap.open(path)):packets() do
            check(p)
            check(pkt.parse(p:bytes():sub(1, count % 90)))
        end
    end
    assert(count > 400, count)
end)
