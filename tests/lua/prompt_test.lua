-- SPDX-License-Identifier: MIT
-- Statements, keys, completion, hints and colours at the prompt.
local terminal = assert(loadfile((arg[0]:match "^(.*/)" or "") .. "terminal.lua"))()
local case = terminal.case
local folder, read, write, open = terminal.folder, terminal.read, terminal.write, terminal.open

local PROGRAM = "i = assert(assert(bpf.asm '.map flows type=hash key=u32 value=u64 entries=8\\nr0 = 2\\nexit'):load 'vm')"

if folder then
    write(folder .. "/flows.bpf.c", [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __be32 saddr; __u16 port; __u8 pad[2]; };
struct counts { __u64 bytes; __u64 pkts; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct key); __type(value, struct counts); }
    flows SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx) { return XDP_PASS; }
]])
end

-- -- Cases --

case("statements print their values, and errors their place", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("1 + 1<Enter>", "mimicsh> 1 %+ 1|2|mimicsh>$")
    s:step("x = 20<Enter>", "x = 20|mimicsh>$")
    s:step("=x * 2<Enter>", "=x %* 2|40|mimicsh>$")
    s:step("_1 + 1<Enter>", "_1 %+ 1|41|mimicsh>$")
    s:step("nope()<Enter>", "stdin:1: attempt to call .-nope.-|mimicsh>$")
    s:step("x = = 1<Enter>", "stdin:1: unexpected symbol near '='|mimicsh>$")
    s:step("io.write 'no line break'<Enter>", "no line break.-|mimicsh>$")
    s:fresh()
    s:step("<Enter>", "^mimicsh>|mimicsh>$")
end)

case("statements over several lines", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("for i = 1, 2 do<Enter>", "for i = 1, 2 do| +%.%.>$")
    s:step("  print(i * 10)<Enter>", "print%(i %* 10%)| +%.%.>$")
    s:step("end<Enter>", "end|10|20|mimicsh>$")
    s:step("print(<Enter><C-c>", "%^C|mimicsh>$")
    s:fresh()
    s:step("<Up>", "^mimicsh> for i = 1, 2 do| +%.%.>   print%(i %* 10%)| +%.%.>   end$")
    s:step("<C-b><Up><C-e>0", "print%(i %* 10%)0| +%.%.>   end$")
    s:step("<Down><C-e> --x", "print%(i %* 10%)0| +%.%.>   end %-%-x$")
    s:fresh()
    s:step("{ 4,<Enter>5 }<Enter>", "{ 4,| +%.%.> 5 }|{4, 5}|mimicsh>$")
    s:fresh()
    s:step("1 +<Enter>2<Enter>", "1 %+| +%.%.> 2|3|mimicsh>$")
    s:fresh()
    s:step("x = 1<M-Enter>print(x)<Enter>", "x = 1| +%.%.> print%(x%)|1|mimicsh>$")
end)

case("a paste is one text, with its tabs, and does not run", nil, function(s)
    s:expect "^mimicsh>$"
    s:paste "do\n\tprint('in\tside')\nend\n"
    s:expect "mimicsh> do| +%.%.> +print%('in +side'%)| +%.%.> end| +%.%.>$"
    s:step("<Enter>", "|in +side|mimicsh>$")
    s:fresh()
    s:paste "'\27[31m' .. 1"
    s:expect "^mimicsh> '%^%[%[31m' %.%. 1$"
    s:step("<C-_>", "^mimicsh>$")
end)

case("completion: globals, members, files, interfaces", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("tos<Tab>", "^mimicsh> tostring$")
    s:fresh()
    s:step("pca<Tab>", "^mimicsh> pca|pcall +pcap$")
    s:step("p<Tab>", "^mimicsh> pcap$")
    s:fresh()
    s:step("pkt.par<Tab>", "^mimicsh> pkt%.parse$")
    s:fresh()
    s:step("whi<Tab>", "^mimicsh> while$")
    s:fresh()
    s:step("string.<Tab>", "^mimicsh> string%.|byte +[%s%w]+upper")
    s:fresh()
    s:step("zzz<Tab>x", "^mimicsh> zzzx$")
    write(folder .. "/capture.pcap", "")
    s:fresh()
    s:step("pcap.open('capt<Tab>", "^mimicsh> pcap%.open%('capture%.pcap")
    s:fresh()
    s:step("pcap.live('l<Tab>", "^mimicsh> pcap%.live%('lo")
    s:fresh()
    s:step("<Tab>x", "^mimicsh>     x$")
end)

case("completion: maps, keys, packets", nil, function(s)
    s:expect "^mimicsh>$"
    s:type(PROGRAM .. "<Enter>i.maps.flows[70001] = 5<Enter>p = pkt.eth{} / pkt.ip{} / pkt.udp{}<Enter>")
    s:expect "pkt%.udp{}|vm>$"
    s:fresh()
    s:step("i.maps.fl<Tab>", "^vm> i%.maps%.flows$")
    s:step("[700<Tab>", "^vm> i%.maps%.flows%[70001%]$")
    s:fresh()
    s:step("i.maps.flows:pai<Tab>", "^vm> i%.maps%.flows:pairs$")
    s:fresh()
    s:step("p.ud<Tab>.dp<Tab>", "^vm> p%.udp%.dport$")
    s:fresh()
    s:step("pkt.ip{tt<Tab>", "^vm> pkt%.ip{ttl=$")
end)

case("completion: commands, options, fields of BTF, texts that a function takes", nil, function(s)
    s:expect "^mimicsh>$"
    s:step(":<Tab>", "^mimicsh> :|edit +help +jobs +load +quit +save +set +time$")
    s:step("se<Tab> js<Tab> of<Tab>", "^mimicsh> :set json off$")
    s:fresh()
    s:step("help 'spar<Tab>", "^mimicsh> help 'spark$")
    s:fresh()
    s:type "o = bpf.compile{ file = 'flows.bpf.c' } i = assert(o:load 'vm')<Enter>"
    s:step("'re' .. 'ady'<Enter>", "|\"ready\"|vm>$")
    s:fresh()
    s:step("i.maps.flows[{ po<Tab>", "^vm> i%.maps%.flows%[{ port=$")
    s:fresh()
    s:step("i.maps.flows[{port=9}]={b<Tab>", "^vm> i%.maps%.flows%[{port=9}%]={bytes=$")
    s:step("5}<Enter>i.maps.flows<Enter>", "|saddr +port +pad +bytes +pkts|0%.0%.0%.0 +9 +{0, 0} += +5 +0|vm>$")
    s:fresh()
    s:step("i.maps.flows[<Tab>", "^vm> i%.maps%.flows%[{port = 9}%]$")
    s:step(".b<Tab><Enter>", "%.bytes|5|vm>$")
    s:fresh()
    s:step("o:load('k<Tab>", "^vm> o:load%('kernel$")
    s:fresh()
    s:step("i.progs.count:run(p, {ti<Tab>", "^vm> i%.progs%.count:run%(p, {times=$")
    s:fresh()
    s:step("p:<Tab>", "^vm> p:$")
end)

case("completion: keys beyond the first 200, and those that nobody counts", nil, function(s)
    s:expect "^mimicsh>$"
    s:type(PROGRAM:gsub("entries=8", "entries=100000") .. "<Enter>")
    s:type "for k = 1, 999 do i.maps.flows[k] = 1 end i.maps.flows[70001] = 1<Enter>"
    s:step("'re' .. 'ady'<Enter>", "|\"ready\"|vm>$")
    s:fresh()
    s:step("i.maps.flows[7000<Tab>", "^vm> i%.maps%.flows%[70001%]$")
    s:fresh()
    s:step("i.maps.flows[99<Tab>", "flows%[99|990%] .* 999%] +99%]$")
    s:fresh()
    s:step("i.maps.flows[<Tab>", "flows%[|.*|%.%.%. and more$")
    s:step("7<BSpace>", "flows%[$")
end)

case("packets in the colours of their layers, differences red and green", nil, function(s)
    s:expect "^mimicsh>$"
    s:type "p = pkt.udp{dport = 53, checksum = 1} / 'hi' q = p:copy() q.udp.dport = 54<Enter>"
    s:step("'re' .. 'ady'<Enter>", "|\"ready\"|mimicsh>$")
    s:fresh()
    s:step("p<Enter>", "|0000  04 00 00 35 00 0a 00 01  68 69 +%.%.%.5%.%.%.%.hi|udp 0%-7  payload 8%-9|mimicsh>$")
    local colour = s:screen("-e"):match "\27%[([%d;]+)mudp"
    assert(colour and s:screen("-e"):find("\27%[[%d;]*" .. colour .. "m04"), s:screen "-e")
    s:fresh()
    s:step("p:diff(q)<Enter>", "|field +before +after|udp.dport +53 +54|mimicsh>$")
    assert(s:screen("-e"):find "\27%[31m53.-\27%[32m54", s:screen "-e")
end)

case("what is wider than the terminal is cut", { columns = 30 }, function(s)
    s:expect "^mimicsh>$"
    s:step("{{a='x',b=('y'):rep(60)},<Enter>{a='z',b='w'}}<Enter>", "|a  b|x  y+…|z  w|mimicsh>$")
end)

case("the parameters that are left stand behind the cursor", { env = "COLORTERM=truecolor" }, function(s)
    s:expect "^mimicsh>$"
    s:step("timer.after(", "^mimicsh> timer%.after%(seconds, fn%)$")
    s:step("1", "^mimicsh> timer%.after%(1, fn%)$")
    s:step("<C-u>x = \")\" --[[ ( ]] timer.after(", "timer%.after%(seconds, fn%)$")
    s:step("<C-u>timer.after(1", "^mimicsh> timer%.after%(1, fn%)$")
    s:step(", print", "^mimicsh> timer%.after%(1, print%)$")
    s:step("<C-c>", "print%^C|mimicsh>$")
end)

case("history: up, down, by prefix, searched, in the next session", nil, function(s)
    s:expect "^mimicsh>$"
    s:type "alpha = 1<Enter>beta = 2<Enter>alps = 3<Enter> secret = 4<Enter>"
    s:expect "secret = 4|mimicsh>$"
    s:fresh()
    s:step("<Up>", "^mimicsh> alps = 3$")
    s:step("<Up>", "^mimicsh> beta = 2$")
    s:step("<Down><Down>", "^mimicsh>$")
    s:step("al<Up><Up>", "^mimicsh> alpha = 1$")
    s:step("<Down><Down>", "^mimicsh> al$")
    s:fresh()
    s:step("<C-r>bet", "^%(search%)'bet': beta = 2$")
    s:step("zz", "^%(no such line%)'betzz': beta = 2$")
    s:step("<C-g>", "^mimicsh>$")
    s:step("<C-r>bet<Enter>", "^mimicsh> beta = 2|mimicsh>$")
    s:step("<C-d>", "left with 0$")
    local second = open{ state = s.name }
    local ok, err = pcall(function()
        second:expect "^mimicsh>$"
        second:step("<Up><Up>", "^mimicsh> alps = 3$")
    end)
    second:close()
    assert(ok, err)
    assert(not read(folder .. "/" .. s.name .. "/mimicsh/history"):find "secret")
end)

case("undo, kills and yanks", nil, function(s)
    s:expect "^mimicsh>$"
    s:step("one two<C-_>", "^mimicsh> one$")
    s:step("<M-_>", "^mimicsh> one two$")
    s:step("<C-w>", "^mimicsh> one$")
    s:step("<C-y><C-y>", "^mimicsh> one twotwo$")
    s:step("<C-u>", "^mimicsh>$")
    s:step("x<C-y><M-y>", "^mimicsh> xtwo$")
    s:step("<C-a><C-k>y<C-t>", "^mimicsh> y$")
    s:step("z<C-t>", "^mimicsh> zy$")
    s:step("<C-a><C-d><C-e><BSpace>", "^mimicsh>$")
    s:step("漢字<Left>x", "^mimicsh> 漢x字$")
end)

terminal.finish(60)
