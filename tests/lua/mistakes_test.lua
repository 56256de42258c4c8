-- SPDX-License-Identifier: MIT
-- Mistakes as people make them in the texts of bpf.asm, bpf.filter and bpf.compile: each error has its place, a caret under it,
-- the cause, and what to do where that is known; in scripts and at the prompt.
local test = require "test"
local bpf = require "bpf"

local binary = os.getenv "MIMICSH"

-- Rows: the text, line:column of the mistake in it, the cause, the hint.

local REST = "\nr0 = 2\nexit"
local VALUE = "expected register, number, memory access or map[name]"

local ASSEMBLER = {
    { "exti", "1:1", "expected instruction, got 'exti'", "did you mean 'exit'?" },
    { "retrun 1", "1:1", "expected instruction, got 'retrun'", "write 'r0 = VALUE', and 'exit' on the next line" },
    { "mov r0, 1" .. REST, "1:1", "expected instruction, got 'mov'", "write 'r0 = 1' or 'r1 = r2'" },
    { "R0 = 1" .. REST, "1:1", "expected instruction, got 'R0'", "did you mean 'r0'?" },
    { "r0 = r12" .. REST, "1:6", VALUE .. ", got 'r12'", "registers are r0 to r10, w0 to w10 for their lower halves" },
    { "r0 =" .. REST, "1:5", VALUE .. " before the end of the line" },
    { "r0 += " .. REST, "1:7", "expected immediate before the end of the line" },
    { "r1 = r2 + 3" .. REST, "1:9", "expected end of the line, got '+'",
      "an instruction has one operation: 'r1 = r2', then 'r1 += 3'" },
    { "r0 = 1, r1 = 2" .. REST, "1:7", "expected end of the line, got ','", "one instruction a line" },
    { "r0 == 1" .. REST, "1:4", "expected '=' or an operator such as '+=', got '=='", "one '=' assigns" },
    { "r0++" .. REST, "1:3", "expected '=' or an operator such as '+=', got '+'", "write 'r1 += 1'" },
    { "r0 = ntohs r0" .. REST, "1:6", VALUE .. ", got 'ntohs'", "write 'r1 = be16 r1', be32 or be64 for network byte order" },
    { "r0 = &r1" .. REST, "1:6", VALUE .. ", got '&'",
      "an address is made from r10, as in 'r1 = r10', 'r1 += -8', or from a map, as in 'r1 = map[NAME]'" },
    { "call bpf_map_lookup_elm" .. REST, "1:6", "call of 'bpf_map_lookup_elm', which is no label, extern or helper",
      "did you mean 'bpf_map_lookup_elem'?" },
    { "call map_lookup_elem" .. REST, "1:6", "call of 'map_lookup_elem', which is no label, extern or helper",
      "did you mean 'bpf_map_lookup_elem'?" },
    { "call half" .. REST .. "\nhlaf:\nr0 = 1\nexit", "1:6", "call of 'half', which is no label, extern or helper",
      "did you mean 'hlaf'?" },
    { ".extern bpf_xdp_metadata_rx_hash kfunc\ncall bpf_xdp_metadata_rx_hsh" .. REST, "2:6",
      "call of 'bpf_xdp_metadata_rx_hsh', which is no label, extern or helper", "did you mean 'bpf_xdp_metadata_rx_hash'?" },
    { ".map counts type=hash key=4 value=8 entries=1\n  r1 = map[count]" .. REST, "2:12", "no map 'count'",
      "did you mean 'counts'?" },
    { ".map counts type=hahs key=4 value=8" .. REST, "1:18", "no map type 'hahs'", "did you mean 'hash'?" },
    { ".map counts type=hash keys=4" .. REST, "1:23", "a map has no 'keys'", "did you mean 'key'?" },
    { ".map type=hash key=4 value=8" .. REST, "1:6", "expected the map's name in front of 'type=hash'",
      "write for example '.map counts type=array key=u32 value=u64 entries=4'" },
    { ".map counts type=hash entries=-1" .. REST, "1:31", "expected number, got '-'" },
    { "r1 = 99999999999" .. REST, "1:6", "immediate 99999999999 is outside -2147483648 to 2147483647",
      "immediates are signed 32-bit numbers; load a wider one with 'rN = VALUE ll'" },
    { "r1 = *(u32 *)(r10 - 40000)" .. REST, "1:19", "offset -40000 is outside -32768 to 32767" },
    { "r1 = *(u12 *)(r1 + 0)" .. REST, "1:8", "expected type (u8 to u64, s8 to s32), got 'u12'",
      "memory is written *(u32 *)(r1 + 8)" },
    { "r1 = (u32 *)(r1 + 0)" .. REST, "1:7", "expected s8, s16 or s32, got 'u32'",
      "a load begins with a star: *(u32 *)(r1 + 8)" },
    { "*(u64 *)(r10 - 8 = r1" .. REST, "1:18", "expected ')', got '='" },
    { "goto otu\nout:" .. REST, "1:6", "no label 'otu' in this section", "did you mean 'out'?" },
    { "if r0 == 0 got out\nout:" .. REST, "1:12", "expected 'goto', got 'got'", "did you mean 'goto'?" },
    { "if (r0 == 0) goto out\nout:" .. REST, "1:4", "expected register (r0 to r10, w0 to w10), got '('",
      "a condition stands without brackets: if r1 == 0 goto LABEL" },
    { "if r0 = 0 goto out\nout:" .. REST, "1:7", "expected comparison, got '='", "'==' compares" },
    { "if r0 == 0\nout:" .. REST, "1:11", "expected 'goto' before the end of the line" },
    { "out:\nr0 = 1\nout:" .. REST, "3:1", "label 'out' is defined twice, first on line 2" }, -- a line break is put in front
    { ".sectoin xdp" .. REST, "1:1", "no directive '.sectoin'", "did you mean '.section'?" },
    { ".section xpd" .. REST, "1:10", "section 'xpd' names no program type", "did you mean 'xdp'?" },
    { "section xdp" .. REST, "1:1", "expected instruction, got 'section'", "did you mean '.section'?" },
    { "r0 = 1", "1:1", "function 'main' runs over its end", "end it with exit or a jump" },
    { "r0 = 1;exit", "1:1", "function 'main' runs over its end",
      "end it with exit or a jump; what stands behind ';' is a comment" },
    { "r0 = 1\n\0exit", "2:1", "zero byte in the text" },
    { "r0 = 1\n\tr0 = é" .. REST, "2:7", "unexpected character" },
    { "r0 = 0x" .. REST, "1:6", "malformed number" },
    { "r0 = atomic_fetch_ad((u64 *)(r1 + 0), r0)" .. REST, "1:6", VALUE .. ", got 'atomic_fetch_ad'",
      "did you mean 'atomic_fetch_add' or 'atomic_fetch_and'?" },
    { "lock *(u64 *)(r1 + 0) -= r2" .. REST, "1:23", "expected '+=', '|=', '&=' or '^=', got '-='" },
    { "r1 = map[" .. ("x"):rep(100) .. "] + r2" .. REST, "1:112", "expected end of the line, got '+'",
      "an instruction has one operation: 'r1 = r2', then 'r1 += 3'" },
    { "r1 = \"x" .. REST, "1:6", "quote without an end" },
}

local MANUAL = "man pcap-filter has the language"

local FILTER = {
    { "udp prot 53", "1:5", "syntax error, 'prot' cannot stand here", "did you mean 'port'?" },
    { "upd port 53", "1:1", "syntax error, 'upd' cannot stand here", "did you mean 'udp'?" },
    { "udp port domian", "1:10", "unknown port 'domian'", "did you mean 'domain'?" },
    { "udp port dns", "1:10", "unknown port 'dns'", "did you mean 'domain'?" },
    { "port 70000", "1:6", "illegal port number 70000 > 65535", MANUAL },
    { "host 1.2.3.400", "1:6", "invalid IPv4 address '1.2.3.400'", MANUAL },
    { "net 10.0.0.0/33", "1:13", "mask length must be <= 32", MANUAL },
    { "net 10.0.0.1/8", "1:5", "non-network bits set in \"10.0.0.1/8\"", MANUAL },
    { "(tcp or udp", "1:12", "something is missing at the end", "a '(' is not closed" },
    { "tcp or udp)", "1:11", "syntax error, ')' cannot stand here", "no '(' stands in front of this ')'" },
    { "tcp and", "1:8", "something is missing at the end", MANUAL },
    { "and tcp", "1:1", "syntax error, 'and' cannot stand here", MANUAL },
    { "tcp udp", "1:5", "syntax error, 'udp' cannot stand here", MANUAL },
    { "tcp && udp", "1:8", "expression rejects all packets",
      "no packet is all of this at once; 'or' takes packets of either kind" },
    { "tcp & udp", "1:5", "syntax error, '&' cannot stand here", "did you mean '&&'?" },
    { "tcp[13", "1:7", "something is missing at the end", MANUAL },
    { "tcp[tcpflag] & 2 != 0", "1:5", "syntax error, 'tcpflag' cannot stand here", "did you mean 'tcpflags'?" },
    { "tcp[tcpflags] & tcp-sin != 0", "1:17", "syntax error, 'tcp-sin' cannot stand here",
      "did you mean 'tcp-fin' or 'tcp-syn'?" },
    { "ip[0:3] == 1", "1:6", "data size must be 1, 2, or 4", MANUAL },
    { "ether host aa:bb:cc:dd:ee", "1:12", "bogus ethernet address aa:bb:cc:dd:", MANUAL },
    { "ip proto foo", "1:10", "unknown ip proto 'foo'", MANUAL },
    { "vlan 5000", "1:6", "VLAN tag 5000 greater than maximum 4095", MANUAL },
    { "tcp and inbound", "1:9", "'inbound' asks the socket that captures, not the packet" },
    { "ip6 protochain 6", "1:5", "'protochain' needs a loop, which kernels refuse in filters" },
    { "type mgt", "1:1", "802.11 link-layer types supported only on 802.11", MANUAL }, -- another link type's
    { "tcp\0udp", "1:4", "zero byte in the text" },
    { ("tcp or "):rep(300) .. "tpc", "1:2101", "syntax error, 'tpc' cannot stand here", "did you mean 'tcp'?" },
    { "tcp and\nudp prot 5", "2:5", "syntax error, 'prot' cannot stand here", "did you mean 'port'?" },
    { "tcp port 80 and hots 1.2.3.4", "1:17", "unknown port 'hots'", "did you mean 'host'?" },
    { "ip.src == 1.2.3.4", "1:1", "syntax error, 'ip.src' cannot stand here",
      "this looks like a display filter; here one writes 'src host 1.2.3.4', 'tcp port 80'" },
    { "tcp port 80,443", "1:12", "syntax error, ',' cannot stand here", "alternatives are joined by 'or': port 80 or port 443" },
    { "ip proto tcp", "1:10", "syntax error, 'tcp' cannot stand here",
      "a name that is a keyword too has a backslash in front: \\tcp (in a quoted text of Lua \\\\tcp)" },
    { "udp and é", "1:9", "syntax error, 'é' cannot stand here", MANUAL },
}

local INCLUDE = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
local PROG = 'SEC("xdp") int prog(struct xdp_md *ctx) {'

local C = {
    { INCLUDE .. PROG .. " return XDP_PAS; }", "3:50", "use of undeclared identifier 'XDP_PAS'; did you mean 'XDP_PASS'?" },
    { INCLUDE .. PROG .. " return XDP_PASS }", "3:58", "expected ';' after return statement" },
    { "#include <linux/bpf.h>\n" .. PROG .. " return XDP_PASS; }", "2:5", "expected parameter declarator",
      "#include <bpf/bpf_helpers.h>" },
    { "#include <linux/bfp.h>\n", "1:10", "'linux/bfp.h' file not found", "did you mean 'linux/bpf.h'?" },
    { '#include "vmlinux.h"\n', "1:10", "'vmlinux.h' file not found",
      "make it: bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h; include={FOLDER} says where" },
    { '#include "mine.h"\n', "1:10", "'mine.h' file not found", "include={FOLDER} names further folders of headers" },
    { "#include <bpf/bpf_helper.h>\n", "1:10", "'bpf/bpf_helper.h' file not found", "did you mean 'bpf/bpf_helpers.h'?" },
    { INCLUDE .. "int prog(struct xdp_md *ctx) { return XDP_PASS; }", "3:5",
      "no program: function 'prog' has no section that says its type",
      'write SEC("xdp") or another section in front of the program' },
    { INCLUDE .. PROG .. " return half(4); }", "3:50", "function 'half' is defined nowhere",
      "define it, or declare it extern with __ksym or __kconfig" },
    { INCLUDE .. "int half(int);\n" .. PROG .. " return half(4); }", "4:50", "function 'half' is defined nowhere",
      "define it, or declare it extern with __ksym or __kconfig" },
    { INCLUDE .. PROG .. " return bpf_map_lookup_elm(ctx, ctx) != 0; }", "3:50",
      "function 'bpf_map_lookup_elm' is defined nowhere", "did you mean 'bpf_map_lookup_elem'?" },
    { INCLUDE .. PROG .. " return htons(ctx->data); }", "3:50", "function 'htons' is defined nowhere",
      "bpf_htons of <bpf/bpf_endian.h> swaps bytes" },
    { INCLUDE .. PROG .. ' printf("x"); return 0; }', "3:43", "function 'printf' is defined nowhere",
      'bpf_printk("...", ...) prints; there is no C library in a program' },
    { INCLUDE .. PROG .. " return ctx->dta; }", "3:55", "no member named 'dta' in 'struct xdp_md'; did you mean 'data'?" },
    { INCLUDE .. 'SEC("xdp") int prog(struct xdp_mdd *ctx) { return ctx->data; }', "3:54",
      "incomplete definition of type 'struct xdp_mdd'", "did you mean 'xdp_md'?" },
    { INCLUDE .. PROG .. " struct ethhdr *eth = (void *)(long)ctx->data; return eth->h_proto; }", "3:99",
      "incomplete definition of type 'struct ethhdr'", "#include <linux/if_ether.h>" },
    { INCLUDE .. PROG .. " return ETH_P_IP; }", "3:50", "use of undeclared identifier 'ETH_P_IP'",
      "#include <linux/if_ether.h>" },
    { INCLUDE .. PROG .. "\n    float f = 1.5;\n    return f * ctx->data;\n}", "5:16",
      "A call to built-in function '__floatunsisf' is not supported.", "programs have no floating point: scale to integers" },
    { INCLUDE .. PROG .. ' return XDP_PASS;\nchar LICENSE[] SEC("license") = "GPL";', "4:16",
      "'section' attribute only applies to functions, global variables, Objective-C methods, and Objective-C properties",
      "a '}' may be missing above" },
    { INCLUDE .. 'struct { __uint(type, BPF_MAP_TYPE_HSAH); } m SEC(".maps");', "3:23",
      "use of undeclared identifier 'BPF_MAP_TYPE_HSAH'; did you mean 'BPF_MAP_TYPE_HASH'?" },
    { INCLUDE .. 'SEC("xdp") int prog(struct xdp_md *ctx, int a, int b, int c, int d, int e) { return e; }', "3:16",
      "defined with too many args", "programs take one argument, the context; other functions at most five" },
    { INCLUDE .. PROG .. " return 0; }\n" .. PROG .. " return 0; }", "4:16", "redefinition of 'prog'" },
    { INCLUDE .. PROG .. ' char *s = "é", *t = é; return 0; }', "3:64", "use of undeclared identifier 'é'" },
    { INCLUDE .. PROG .. " int z = ctx->data; return 5 / z; }", "3:71", "signed division, which this instruction set lacks",
      "make both numbers unsigned" },
    { INCLUDE .. PROG .. " return __sync_val_compare_and_swap((short *)(long)ctx->data, 1, 2); }", "3:50",
      "no instruction does this atomic operation",
      "those there are work on 32 or 64 bits: __sync_fetch_and_add and its like, __sync_val_compare_and_swap, " ..
      "__sync_lock_test_and_set; a volatile access loads or stores" },
    { "int \0 x;", "1:5", "zero byte in the text" },
}

local FRONT_ENDS = {
    { name = "assembler", rows = ASSEMBLER, op = "assemble", call = "bpf.asm(%s)", make = bpf.asm },
    { name = "filter", rows = FILTER, op = "filter", call = 'bpf.filter(%s, { hit = "DROP", miss = "PASS" })',
      make = function(text) return bpf.filter(text, { hit = "DROP", miss = "PASS" }) end },
    { name = "compiler", rows = C, op = "compile", call = "bpf.compile(%s)", make = bpf.compile },
}

--- A text that stands nowhere in this file as a literal, so that places count in the text; one line down.
local function moved(row)
    local line, column = row[2]:match "^(%d+):(%d+)$"
    return "\n" .. row[1], ("%d:%s"):format(line + 1, column)
end

--- Columns of a terminal, for texts without wide characters.
local function width(text)
    return #text:gsub("[\128-\191]", "")
end

local function lines_of(text)
    local lines = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do
        lines[#lines + 1] = line
    end
    return lines
end

--- What stands over the caret in an excerpt.
local function over_caret(source, mark)
    local at = assert(mark:find("^", 1, true), mark) - 1
    local cut = 1
    while width(source:sub(1, cut - 1)) < at or source:sub(cut, cut):match "[\128-\191]" do
        cut = cut + 1
    end
    return source:sub(cut)
end

--- What stands at line:column of a text.
local function at_place(text, place)
    local line, column = place:match "^(%d+):(%d+)$"
    return lines_of(text)[tonumber(line)]:sub(tonumber(column)):gsub("%c", " ")
end

--- The excerpt shows the place: as much as both have begins alike, and it fits a terminal of 80 columns.
local function check_caret(source, mark, text, place, limit)
    local shown, wanted = over_caret(source, mark):gsub("%.%.%.$", ""), at_place(text, place)
    test.eq(shown, wanted:sub(1, #shown))
    test.eq(shown ~= "" or wanted == "", true)
    assert(not limit or width(source) <= limit, source)
end

for _, front in ipairs(FRONT_ENDS) do
    test.case("mistakes of the " .. front.name .. " in a script", function()
        assert(#front.rows >= 10)
        for _, row in ipairs(front.rows) do
            local text, place = moved(row)
            local made, err = front.make(text)
            test.eq(made, nil)
            test.eq(err.code, err.code == "ENOTSUP" and "ENOTSUP" or "EINVAL")
            test.eq(err.op, front.op)
            test.eq(err.msg:gsub("^.*mistakes_test.lua:%d+: text:", ""), place .. ": " .. row[3])
            test.eq(err.hint, row[4])
            local shown = require("mimicsh.core").caret_of(err.log)
            local source, mark = shown:match "^\n    (.*)\n    (.*)$"
            check_caret(source, mark, text, place, front.op ~= "compile" and 76 or nil)
        end
    end)

    test.case("mistakes of the " .. front.name .. " at the prompt", function()
        if not binary then
            test.skip "MIMICSH does not name the binary"
        end
        local script = os.tmpname()
        local file = assert(io.open(script, "w"))
        for _, row in ipairs(front.rows) do
            file:write(front.call:format((("%q"):format((moved(row))):gsub("\\\n", "\\n"))), "\nprint '-- next'\n")
        end
        file:close()
        local pipe = assert(io.popen(("'%s' -q <'%s' 2>&1"):format(binary, script)))
        local out = pipe:read "*a"
        pipe:close()
        os.remove(script)
        local at = 1
        for i, row in ipairs(front.rows) do
            local text, place = moved(row)
            local stop = assert(out:find("-- next\n", at, true), out:sub(at))
            local lines = lines_of(out:sub(at, stop - 2))
            at = stop + #"-- next\n"
            test.eq(lines[1], ("%s: stdin:%d: text:%s: %s"):format(front.op, 2 * i - 1, place, row[3]))
            check_caret(lines[2]:gsub("^    ", ""), lines[3]:gsub("^    ", ""), text, place)
            test.eq(lines[4], row[4] and "hint: " .. row[4])
        end
    end)
end

--- Line of this file on which a text begins.
local function line_here(text)
    local file = assert(io.open(arg[0]))
    local all = file:read "*a"
    file:close()
    return select(2, all:sub(1, assert(all:find(text, 1, true))):gsub("\n", "")) + 1
end

test.case("a literal's mistake has its place in the script", function()
    local _, err = bpf.asm [[
        r0 = 1
        r3 = r4x
        exit
    ]]
    assert(err.msg:find(("mistakes_test.lua:%d:14: "):format(line_here "r3 = r4x"), 1, true), err.msg)
    _, err = bpf.asm "r5 = r6x"
    assert(err.msg:find(("mistakes_test.lua:%d:28: "):format(line_here "r5 = r6x"), 1, true), err.msg)
    _, err = bpf.filter("udp and prot 77", { hit = "DROP", miss = "PASS" })
    assert(err.msg:find(("mistakes_test.lua:%d:34: "):format(line_here "udp and prot 77"), 1, true), err.msg)
    _, err = bpf.compile "int here = nothing_here;"
    assert(err.msg:find(("mistakes_test.lua:%d:38: "):format(line_here "int here ="), 1, true), err.msg)
    _, err = bpf.compile{ [==[
int first;
int second = nothing_there;
]==] }
    assert(err.msg:find(("mistakes_test.lua:%d:14: "):format(line_here "int second ="), 1, true), err.msg)
end)

test.case("of equal literals the one at the call counts", function()
    local function one() return select(2, bpf.asm "r7 = r8x") end
    local function two() return select(2, bpf.asm "r7 = r8x") end
    local first = line_here "local function one"
    assert(one().msg:find(("mistakes_test.lua:%d:57: "):format(first), 1, true), one().msg)
    assert(two().msg:find(("mistakes_test.lua:%d:57: "):format(first + 1), 1, true), two().msg)
end)

test.case("a mistake in a file of C has its place there", function()
    local path = os.tmpname() .. ".bpf.c"
    local file = assert(io.open(path, "w"))
    file:write(INCLUDE, PROG, "\n    return nothing;\n}\n")
    file:close()
    local _, err = bpf.compile{ file = path }
    os.remove(path)
    test.eq(err.msg, path .. ":4:12: use of undeclared identifier 'nothing'")
    _, err = bpf.compile{ file = path }
    test.eq(err.msg, path .. ": no such file or directory")
    _, err = bpf.compile{ file = "/" }
    test.eq(err.msg, "/: is a directory")
    _, err = bpf.open "tests/nothing.bpf.c"
    test.eq(err.code, "ENOENT")
end)

test.case("an error in a header names the header and what is missing", function()
    local _, err = bpf.compile("#include <bpf/bpf_helpers.h>\n" .. PROG .. " return 0; }")
    assert(err.msg:match "^/usr/include/bpf/bpf_helper_defs.h:%d+:%d+: unknown type name '__u64'$", err.msg)
    test.eq(err.hint, "#include <linux/bpf.h> stands in front of <bpf/bpf_helpers.h>")
end)

test.case("empty texts are refused", function()
    for _, text in ipairs{ "", "  \n ", "; nothing\n" } do
        test.eq(select(2, bpf.asm(text)).msg:match "no instruction in the text$", "no instruction in the text")
    end
    for _, text in ipairs{ "", "  \n " } do
        local err = select(2, bpf.filter(text, { hit = "DROP", miss = "PASS" }))
        test.eq(err.msg:match "empty expression$", "empty expression")
        test.eq(err.hint, "'len >= 0' takes every packet")
    end
    for _, text in ipairs{ "", "// nothing\n" } do
        test.eq(select(2, bpf.compile(text)).msg:match "no program in the text$", "no program in the text")
    end
end)

test.case("a program that the compiler leaves empty is named", function()
    local object, err = bpf.compile(INCLUDE .. PROG .. " int (*nowhere)(void) = 0; return nowhere(); }")
    test.eq(object, nil)
    assert(err.msg:find("function 'prog' has no instructions", 1, true), err.msg)
    test.eq(err.hint, "compilers leave out code whose behaviour is undefined, as of a call through a null pointer")
end)

test.case("huge texts are refused in time", function()
    test.eq(select(2, bpf.asm(("r0 = 1\n"):rep(700000))).code, "EFBIG")
    test.eq(select(2, bpf.filter(("tcp or "):rep(20000) .. "tcp", { hit = "DROP", miss = "PASS" })).msg:match "text (longer.*)$",
        "longer than 64 KiB")
    test.eq(select(2, bpf.compile(("int x;\n"):rep(3000000))).code, "EFBIG")
end)

test.case("what is no text is named", function()
    for _, wrong in ipairs{ 42, true, print } do
        test.raises(function() bpf.asm(wrong) end, "mistakes_test.lua:%d+: bad argument #1 to 'asm': expected text or table")
        test.raises(function() bpf.compile(wrong) end, "bad argument #1 to 'compile': expected text or table of options, got ")
        test.raises(function() bpf.filter(wrong, {}) end, "bad argument #1 to 'filter': expected an expression")
    end
    test.raises(function() bpf.asm{ "exit", type = "xpd" } end, "no program type 'xpd'; did you mean 'xdp'%?")
    test.raises(function() bpf.filter("tcp", { hit = "DORP", miss = "PASS" }) end, "no verdict 'DORP'; did you mean 'DROP'%?")
    test.raises(function() bpf.filter("tcp", { hit = "SHOT", miss = "PASS" }) end,
        "no verdict 'SHOT'; known: ABORTED, DROP, PASS, TX, REDIRECT")
    test.raises(function() bpf.compile{ source = "int x;", defs = { "A" }, file = "x.c" } end, "give file= or source=")
end)

test.case("names that only loading knows are suggested too", function()
    local obj = assert(bpf.asm(".extern bpf_xdp_metadata_rx_hsh kfunc\nr6 = r1\ncall bpf_xdp_metadata_rx_hsh" .. REST))
    local _, err = obj:load "vm"
    test.eq(err.hint, "did you mean 'bpf_xdp_metadata_rx_hash'?")
    test.raises(function() obj:disasm "mian" end, "no program 'mian'; did you mean 'main'%?")
    obj = assert(bpf.compile(INCLUDE .. 'SEC("xpd") int prog(struct xdp_md *ctx) { return XDP_PASS; }'))
    _, err = obj:load "vm"
    assert(err.msg:find("section 'xpd' names no program type", 1, true), err.msg)
    test.eq(err.hint, "did you mean 'xdp'?")
end)
