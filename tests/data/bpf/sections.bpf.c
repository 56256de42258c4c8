// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Data in sections of every name, strings, hidden and weak functions, an unusual map or two.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct point {
	int x;
	int y : 5;
	unsigned int z : 11;
	char name[6];
};

struct point here SEC(".data.places") = { 1, 2, 3, "here" };
const struct point origin SEC(".rodata.places") = { 0, 0, 0, "zero" };
static volatile __u64 quiet[3];
__u64 shown __attribute__((aligned(64)));
static const __u32 powers[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000 };

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__type(value, struct point);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__uint(value_size, 8);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
	__type(value, __u32);
} seen SEC(".maps");

__hidden __noinline int hidden(struct point *p, __u32 i)
{
	if (!p)
		return 0;
	p->z += powers[i & 7];
	quiet[i & 1]++;
	return p->z;
}

__weak __noinline int weak(__u32 i)
{
	shown += i;
	return (int)shown;
}

SEC("xdp")
int places(struct xdp_md *ctx)
{
	__u32 i = ctx->rx_queue_index;
	__u64 key = 32;
	struct point *route = bpf_map_lookup_elem(&routes, &key);
	const char *text = i & 1 ? "odd %d\n" : "even %d\n";

	if (route)
		here = *route;
	here.x += origin.x;
	bpf_map_push_elem(&seen, &i, 0);
	bpf_trace_printk(i & 1 ? "odd %d\n" : "evn %d\n", 8, weak(i));
	(void)text;
	return hidden(&here, i) > 5 ? (int)bpf_redirect_map(&ports, i & 7, XDP_PASS) : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
int _version SEC("version") = 0x60c00;
