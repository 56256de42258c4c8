-- SPDX-License-Identifier: MIT
-- Ring-buffer events of the kernel into Lua, a batch at a time: events a second, of the consuming alone.
local bpf = require "bpf"

local EVENTS, ROUNDS = 60000, 21
local obj = assert(bpf.asm[[
.map ring type=ringbuf entries=4194304

.section xdp
send:
    r6 = 60000
again:
    r1 = map[ring]
    r2 = r10
    r2 += -16
    *(u64 *)(r10 - 16) = 1
    *(u64 *)(r10 - 8) = r6
    r3 = 16
    r4 = 1
    call bpf_ringbuf_output
    r6 += -1
    may_goto done
    if r6 != 0 goto again
done:
    r0 = 2
    exit
]])
local inst = assert(obj:load "kernel")
local events = assert(inst.maps.ring:events())
local clock = os.clock -- processor time
local rates = {}
for round = 1, ROUNDS do
    assert(inst.progs.send:run(("\0"):rep(64)))
    local before = clock()
    local list = assert(events:consume())
    local seconds = clock() - before
    assert(#list == EVENTS and #list[1] == 16, #list)
    rates[round] = #list / seconds
end
table.sort(rates)
print(("ring-buffer events into Lua: %.2f million a second (%.2f-%.2f), %d rounds of %d (bar 1)"):format(
    rates[math.ceil(ROUNDS / 2)] / 1e6, rates[1] / 1e6, rates[ROUNDS] / 1e6, ROUNDS, EVENTS))
