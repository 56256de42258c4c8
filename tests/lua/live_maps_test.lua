-- SPDX-License-Identifier: MIT
-- Maps of the kernel behind programs of the vm: both run on the same entries, and leave what two kernel runs leave.
local test = require "test"
local bpf, pkt = require "bpf", require "pkt"

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct seen {
	__u64 packets;
	__u32 last;
	__u32 first;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct seen);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

/* Counts by the last byte of the source address; the sixth length of a flow forgets it. */
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u32 key, zero = 0, length = ctx->data_end - ctx->data;
	struct seen *seen, new = { .packets = 1, .last = length, .first = length };
	__u64 *sum;

	if (data + 34 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	key = data[29];
	sum = bpf_map_lookup_elem(&sums, &zero);
	if (sum)
		__sync_fetch_and_add(sum, length);
	sum = bpf_map_lookup_elem(&percpu, &zero);
	if (sum)
		*sum += 1;
	bpf_ringbuf_output(&records, &key, sizeof(key), 0);
	seen = bpf_map_lookup_elem(&flows, &key);
	if (!seen)
		return bpf_map_update_elem(&flows, &key, &new, BPF_NOEXIST) ? XDP_DROP : XDP_PASS;
	__sync_fetch_and_add(&seen->packets, 1);
	seen->last = length;
	if (seen->packets == 6)
		bpf_map_delete_elem(&flows, &key);
	return XDP_TX;
}

#ifdef WITH_FAULT
SEC("xdp") int fault(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *sum = bpf_map_lookup_elem(&sums, &zero);

	if (sum)
		*sum = 99;
	return *((volatile __u8 *)(long)ctx->data + 3000);
}
#endif

char LICENSE[] SEC("license") = "GPL";
]]

local good = assert(bpf.compile{ source = SOURCE })
local bad = assert(bpf.compile{ source = SOURCE, defs = { "WITH_FAULT" } })

local function kernel(options)
    local inst, err = good:load("kernel", options)
    if not inst and err.code == "EPERM" then
        test.skip(err.msg)
    end
    return assert(inst, err)
end

local function packet(from, payload)
    return pkt.eth{} / pkt.ip{ src = "10.0.0." .. from } / pkt.udp{} / ("x"):rep(payload)
end

local function run_all(instances, count)
    local verdicts = {}
    for i = 1, count do
        local inst = instances[i % #instances + 1]
        verdicts[i] = assert(inst.progs.count:run(packet(i * 7 % 11, i))).verdict
    end
    return verdicts
end

test.case("vm and kernel on one map leave what two kernel programs leave", function()
    local first, behind = kernel(), kernel()
    local second = kernel{ maps = { flows = first.maps.flows, sums = first.maps.sums } }
    local on_vm = assert(good:load("vm", { maps = { flows = behind.maps.flows, sums = behind.maps.sums } }))
    test.eq(run_all({ on_vm, behind }, 200), run_all({ second, first }, 200))
    for _, name in ipairs{ "flows", "sums" } do
        test.eq(on_vm.maps[name]:totable(), first.maps[name]:totable())
        test.eq(behind.maps[name]:totable(), first.maps[name]:totable())
    end
    test.eq({ #on_vm.maps.records:events():consume(), tonumber(on_vm.maps.percpu[0]:sum()) }, { 100, 100 })
end)

test.case("an assignment takes effect with the next run, for those who held the map too", function()
    local behind = kernel()
    local on_vm = assert(good:load "vm")
    local flows = on_vm.maps.flows
    on_vm.progs.count:run(packet(1, 5))
    test.eq({ tonumber(flows[1].packets), behind.maps.flows[1] }, { 1 })
    behind.maps.flows[1] = { packets = 3, first = 9 }
    on_vm.maps.flows = behind.maps.flows
    test.eq({ tonumber(flows[1].packets), flows.info.live_id }, { 3, behind.maps.flows.info.id })
    test.eq(on_vm.progs.count:run(packet(1, 5)).verdict, "TX")
    test.eq({ tonumber(behind.maps.flows[1].packets), behind.maps.flows[1].first, behind.maps.flows[1].last }, { 4, 9, 47 })
    flows[2] = { packets = 1 }
    test.eq({ tonumber(behind.maps.flows[2].packets), behind.maps.sums[0] }, { 1, 0ULL })
    behind:close()
    test.eq(on_vm.progs.count:run(packet(2, 5)).verdict, "TX")
    test.eq(tonumber(flows[2].packets), 2)
    test.eq(tostring(flows):match ", map %d+ of the kernel$" ~= nil, true)
end)

test.case("a replay counts the changes of the kernel's map", function()
    local behind = kernel()
    local on_vm = assert(good:load("vm", { cpus = 2, maps = { flows = behind.maps.flows } }))
    local report = assert(on_vm.progs.count:replay{ packets = { packet(1, 1), packet(2, 2), packet(1, 3) } })
    test.eq({ report.verdicts, report.maps.flows.added }, { { PASS = 2, TX = 1 }, 2 })
    test.eq(tonumber(behind.maps.flows[1].packets), 2)
    local refused, err = on_vm.progs.count:replay{ packets = { packet(1, 1) }, workers = 2 }
    test.eq({ refused, err.code, err.msg:match "map flows cannot be shared" }, { nil, "ENOTSUP", "map flows cannot be shared" })
end)

test.case("a comparison leaves the kernel's map alone", function()
    local behind = kernel()
    local on_vm = assert(good:load("vm", { maps = { flows = behind.maps.flows } }))
    behind.maps.flows[1] = { packets = 3 }
    local report = assert(on_vm:compare("count", { packet(1, 1), packet(1, 2), packet(1, 3), packet(2, 4) }))
    test.eq({ report.equal, report.different, tonumber(behind.maps.flows[1].packets) }, { 4, 0, 3 })
end)

test.case("a fault leaves what was written before it", function()
    local behind = kernel()
    local on_vm = assert(bad:load("vm", { maps = { sums = behind.maps.sums } }))
    local result = on_vm.progs.fault:run(packet(1, 1))
    test.eq({ result.fault.kind, tonumber(behind.maps.sums[0]) }, { "out of bounds", 99 })
end)

test.case("what cannot be backed is refused by name", function()
    local behind = kernel()
    local on_vm = assert(good:load "vm")
    local function refused(name, live, text)
        test.raises(function() on_vm.maps[name] = live end, text)
        local inst, err = good:load("vm", { maps = { [name] = live } })
        test.eq({ inst, (err.msg:find(text, 1, true)) ~= nil }, { nil, true })
    end
    refused("percpu", behind.maps.percpu, "no map of the kernel can back a percpu_array")
    refused("records", behind.maps.records, "no map of the kernel can back a ringbuf")
    refused("flows", behind.maps.sums, "sums is of type array, the object declares hash")
    refused("flows", assert(good:load "vm").maps.flows, "maps of the vm belong to their instance")
    test.raises(function() on_vm.maps.nowhere = behind.maps.flows end, "no map 'nowhere'")
    test.raises(function() on_vm.maps.flows = 7 end, "expected map, got number")
    test.raises(function() behind.maps.flows = behind.maps.flows end, "have their maps from the load on")
    test.eq((select(2, good:load("vm", { maps = { nowhere = behind.maps.flows } }))).msg, "no map 'nowhere' in the object")
end)

test.case("maps stay as they are while a program runs", function()
    local behind = kernel()
    local helped = assert(bpf.asm [[
.map flows type=hash key=4 value=16 entries=8
filter: call 500
exit
]])
    local inst, texts = nil, {}
    inst = assert(helped:load("vm", { helpers = { [500] = function()
        for i, act in ipairs{ function() inst.maps.flows = behind.maps.flows end, function() inst:close() end } do
            texts[i] = (select(2, pcall(act))):match "a program of it is running"
        end
        return 2
    end } }))
    test.eq(inst.progs.filter:run(packet(1, 1)).verdict, "PASS")
    test.eq(texts, { "a program of it is running", "a program of it is running" })
end)
