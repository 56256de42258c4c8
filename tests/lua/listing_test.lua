-- SPDX-License-Identifier: MIT
-- obj:disasm() and the traces of prog:run beside their source, as golden text: of C, of assembler text, of filters.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"

local C = [==[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } seen SEC(".maps");
SEC("xdp") int first_byte(struct xdp_md *ctx)
{
    unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 key;
    __u64 *count;

    if (data + 1 > end)
        return XDP_DROP;
    key = data[0];
    count = bpf_map_lookup_elem(&seen, &key);
    if (count)
        __sync_fetch_and_add(count, 1); /* a comment; with a semicolon */
    return XDP_PASS;
}
]==]

local ASSEMBLER = [[
.map hits type=array key=u32 value=u64 entries=2
.section xdp
count:
    *(u32 *)(r10 - 4) = 1
    r1 = map[hits]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = -7
    call half                   # a function of this text
    r2 = r0;                    // -4
out: r0 = 2
    exit
half:
    r0 = r1
    r0 s>>= 1
    exit
]]

--- Line of this file on which a text begins.
local function line_of(text)
    local file = assert(io.open(arg[0]))
    local all = file:read "*a"
    file:close()
    return select(2, all:sub(1, assert(all:find(text, 1, true))):gsub("\n", "")) + 1
end

--- A golden text: @N stands for line N of the source, counted from its first line.
local function golden(text, source)
    local first = line_of(source:match "^[^\n]*\n[^\n]*")
    return (text:gsub("@(%d+)", function(n) return ("listing_test.lua:%d"):format(first + n - 1) end))
end

local function run(obj, packet)
    local inst = assert(obj:load "vm")
    local _, prog = next(inst.progs)
    return assert(prog:run(packet, { trace = true })).trace
end

--- No line is wider than a terminal, the source's own lines aside.
local function fits(text, columns)
    for line in text:gmatch "[^\n]+" do
        assert(#line <= columns or line:sub(1, 1) == ";", line)
    end
end

test.case("a listing of C has each source line once, above its instructions", function()
    local text = assert(assert(bpf.compile(C)):disasm())
    fits(text, 80)
    test.eq(text, golden([[
first_byte:
; @4 SEC("xdp") int first_byte(struct xdp_md *ctx)
    0: w0 = 1
; @6 unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    1: r2 = *(u32 *)(r1 + 4)
    2: r1 = *(u32 *)(r1 + 0)
; @10 if (data + 1 > end)
    3: r3 = r1
    4: r3 += 1
    5: if r3 > r2 goto L18
; @12 key = data[0];
    6: r1 = *(u8 *)(r1 + 0)
    7: *(u32 *)(r10 - 4) = r1
    8: r2 = r10
    9: r2 += -4
; @13 count = bpf_map_lookup_elem(&seen, &key);
   10: r1 = map[seen]
   12: call bpf_map_lookup_elem
   13: r1 = r0
   14: w0 = 2
; @14 if (count)
   15: if r1 == 0 goto L18
   16: r2 = 1
; @15 __sync_fetch_and_add(count, 1); /* a comment; with a semicolon */
   17: lock *(u64 *)(r1 + 0) += r2
L18:
; @17 }
   18: exit
]], C))
end)

test.case("a trace of C shows what each instruction gave, by the names of places", function()
    local text = run(assert(bpf.compile(C)), "\3\0\0\0" .. ("\0"):rep(60))
    fits(text, 80)
    test.eq(text, golden([[
first_byte:
; @4 SEC("xdp") int first_byte(struct xdp_md *ctx)
    0: w0 = 1                           ; r0 = 1
; @6 unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    1: r2 = *(u32 *)(r1 + 4)            ; r2 = packet+64
    2: r1 = *(u32 *)(r1 + 0)            ; r1 = packet
; @10 if (data + 1 > end)
    3: r3 = r1                          ; r3 = packet
    4: r3 += 1                          ; r3 = packet+1
    5: if r3 > r2 goto L18              ; r3 = packet+1, r2 = packet+64
; @12 key = data[0];
    6: r1 = *(u8 *)(r1 + 0)             ; r1 = 3
    7: *(u32 *)(r10 - 4) = r1           ; r10 = stack, r1 = 3
    8: r2 = r10                         ; r2 = stack
    9: r2 += -4                         ; r2 = stack-4
; @13 count = bpf_map_lookup_elem(&seen, &key);
   10: r1 = map[seen]                   ; r1 = map seen
   12: call bpf_map_lookup_elem         ; r0 = value of map seen
   13: r1 = r0                          ; r1 = value of map seen
   14: w0 = 2                           ; r0 = 2
; @14 if (count)
   15: if r1 == 0 goto L18              ; r1 = value of map seen
   16: r2 = 1                           ; r2 = 1
; @15 __sync_fetch_and_add(count, 1); /* a comment; with a semicolon */
   17: lock *(u64 *)(r1 + 0) += r2      ; r1 = value of map seen, r2 = 1
L18:
; @17 }
   18: exit                             ; r0 = 2
]], C))
end)

test.case("a listing of assembler text has its lines beside, with comments and names of labels", function()
    local text = assert(assert(bpf.asm(ASSEMBLER)):disasm())
    test.eq(text, golden([[
count:
    0: *(u32 *)(r10 - 4) = 1           ; @4
    1: r1 = map[hits]                  ; @5
    3: r2 = r10                        ; @6
    4: r2 += -4                        ; @7
    5: call bpf_map_lookup_elem        ; @8
    6: if r0 == 0 goto L12             ; @9 goto out
    7: r1 = 1                          ; @10
    8: lock *(u64 *)(r0 + 0) += r1     ; @11
    9: r1 = -7                         ; @12
   10: call half                       ; @13 a function of this text
   11: r2 = r0                         ; @14 -4
L12:
; @15 out: r0 = 2
   12: r0 = 2
   13: exit                            ; @16

half:
   14: r0 = r1                         ; @18
   15: r0 s>>= 1                       ; @19
   16: exit                            ; @20
]], ASSEMBLER))
    local again = assert(bpf.asm(text:gsub("^", ".map hits type=array key=4 value=8 entries=2\n.section xdp\n")))
    test.eq(again:disasm{ source = false }, assert(bpf.asm(ASSEMBLER)):disasm{ source = false })
end)

test.case("a trace of assembler text goes through its functions", function()
    local text = run(assert(bpf.asm(ASSEMBLER)), pkt.eth{} / pkt.ip{})
    fits(text, 80)
    test.eq(text, golden([[
count:
    0: *(u32 *)(r10 - 4) = 1            ; r10 = stack
    1: r1 = map[hits]                   ; r1 = map hits
    3: r2 = r10                         ; r2 = stack
    4: r2 += -4                         ; r2 = stack-4
    5: call bpf_map_lookup_elem         ; r0 = value of map hits
    6: if r0 == 0 goto L12              ; r0 = value of map hits ; goto out
    7: r1 = 1                           ; r1 = 1
    8: lock *(u64 *)(r0 + 0) += r1      ; r0 = value of map hits, r1 = 1
    9: r1 = -7                          ; r1 = -7
   10: call half                        ; a function of this text
half:
   14: r0 = r1                          ; r0 = -7
   15: r0 s>>= 1                        ; r0 = -4
   16: exit                             ; r0 = -4
   11: r2 = r0                          ; r2 = -4 ; -4
L12:
; @15 out: r0 = 2
   12: r0 = 2                           ; r0 = 2
   13: exit                             ; r0 = 2
]], ASSEMBLER))
end)

test.case("listing and trace of a filter have libpcap's instructions above", function()
    local obj = assert(bpf.filter("tcp port 80", { hit = "DROP", miss = "PASS" }))
    local listing, trace = assert(obj:disasm()), run(obj, pkt.eth{} / pkt.ip6{} / pkt.tcp{ dport = 80 })
    fits(listing, 80)
    fits(trace, 80)
    test.eq(listing:match "^(.-); %(003%)", [[
filter:
; filter 'tcp port 80'
    0: r9 = *(u32 *)(r1 + 0)
    1: r5 = *(u32 *)(r1 + 4)
; (000) ldh [12]
    2: r1 = r9
    3: r1 += 24
    4: if r1 > r5 goto L46
    5: r7 = *(u16 *)(r9 + 12)
; (001) jeq #0x86dd jt 2 jf 8
    6: if w7 != 56710 goto L20
; (002) ldb [20]
    7: r7 = *(u8 *)(r9 + 20)
]])
    test.eq(trace, [[
filter:
; filter 'tcp port 80'
    0: r9 = *(u32 *)(r1 + 0)            ; r9 = packet
    1: r5 = *(u32 *)(r1 + 4)            ; r5 = packet+74
; (000) ldh [12]
    2: r1 = r9                          ; r1 = packet
    3: r1 += 24                         ; r1 = packet+24
    4: if r1 > r5 goto L46              ; r1 = packet+24, r5 = packet+74
    5: r7 = *(u16 *)(r9 + 12)           ; r7 = 56710
; (001) jeq #0x86dd jt 2 jf 8
    6: if w7 != 56710 goto L20          ; r7 = 56710
; (002) ldb [20]
    7: r7 = *(u8 *)(r9 + 20)            ; r7 = 6
; (003) jeq #0x6 jt 4 jf 19
    8: if w7 != 6 goto L46              ; r7 = 6
; (004) ldh [54]
    9: r1 = r9                          ; r1 = packet
   10: r1 += 56                         ; r1 = packet+56
   11: if r1 > r5 goto L46              ; r1 = packet+56, r5 = packet+74
   12: r7 = *(u16 *)(r9 + 54)           ; r7 = 4
; (005) jeq #0x50 jt 18 jf 6
   13: if w7 == 20480 goto L44          ; r7 = 4
; (006) ldh [56]
   14: r1 = r9                          ; r1 = packet
   15: r1 += 58                         ; r1 = packet+58
   16: if r1 > r5 goto L46              ; r1 = packet+58, r5 = packet+74
   17: r7 = *(u16 *)(r9 + 56)           ; r7 = 20480
; (007) jeq #0x50 jt 18 jf 19
   18: if w7 == 20480 goto L44          ; r7 = 20480
L44:
; hit
   44: w0 = 1                           ; r0 = 1
   45: exit                             ; r0 = 1
]])
end)

test.case("the last line of a run that faults shows what it looked at", function()
    local obj = assert(bpf.asm [[
    r1 = *(u32 *)(r1 + 0)
    r0 = *(u8 *)(r1 + 200)
    exit
]])
    local result = assert(obj:load "vm").progs.main:run(pkt.eth{} / pkt.ip{}, { trace = true })
    test.eq(result.trace, [[
main:
    0: r1 = *(u32 *)(r1 + 0)            ; r1 = packet
    1: r0 = *(u8 *)(r1 + 200)           ; r1 = packet
]])
    test.eq(result.fault.line, line_of "r0 = *(u8 *)(r1 + 200)\n    exit")
    test.eq(result.fault.column, 5)
    assert(tostring(result.fault):find(("listing_test.lua:%d:5\n"):format(result.fault.line), 1, true))
end)

test.case("a random number has the seed that makes it come again beside it", function()
    local obj = assert(bpf.asm [[
    call bpf_get_prandom_u32
    exit
]])
    local number = assert(obj:load("vm", { seed = 77 })).progs.main:run(pkt.eth{} / pkt.ip{}, { trace = true })
    local call = number.trace:match "\n(    0: [^\n]*)"
    test.eq(call, ("    0: call bpf_get_prandom_u32         ; r0 = 0x%x, seed 77"):format(number.ret))
    test.eq(assert(obj:load("vm", { seed = 77 })).progs.main:run(pkt.eth{} / pkt.ip{}).ret, number.ret)
end)

test.case("calls that do not come back at once have no result beside them", function()
    local obj = assert(bpf.asm [[
    r1 = 2
    r2 = func each
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 2
    exit
each:
    r0 = 0
    exit
]])
    local trace = run(obj, pkt.eth{} / pkt.ip{})
    test.eq(trace:match "call bpf_loop *;? ?([^\n]*)\n", "")
    test.eq(select(2, trace:gsub("each:\n", "")), 2)
end)

test.case("long names are not cut", function()
    local name = ("x"):rep(120)
    local obj = assert(bpf.asm((".map %s type=array key=4 value=8 entries=1\nr1 = map[%s]\nr0 = 2\nexit"):format(name, name)))
    assert(obj:disasm():find("r1 = map[" .. name .. "] ; ", 1, true), obj:disasm())
end)
