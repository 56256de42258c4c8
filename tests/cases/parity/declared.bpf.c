// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What an object declares and a loader makes of it: rings whose size is rounded up, a key of a hash of maps beyond
// the number of its entries, pointers in initialised data.
#include "io.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 100);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4097);
} from_user SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} by_key SEC(".maps") = {
	.values = { [5] = &numbers },
};

int values[4] = { 1, 2, 3, 4 };
int *second = &values[1];
const char *words[2] = { "one", "two" };

SEC("xdp") int declared(struct xdp_md *ctx)
{
	const __u32 keys[2] = { 5, 1 };
	__u32 element = 1;

	io.out[0] = bpf_ringbuf_query(&small, BPF_RB_RING_SIZE);
	io.out[1] = bpf_ringbuf_query(&odd, BPF_RB_RING_SIZE);
	for (int i = 0; i < 2; i++) {
		void *inner = bpf_map_lookup_elem(&by_key, &keys[i]);
		__u64 *value = inner ? bpf_map_lookup_elem(inner, &element) : 0;

		io.out[3 + i] = inner ? 1 : 0;
		if (value)
			io.out[5] = ++*value;
	}
	/* What the file has in the place of an address. */
	io.out[6] = (unsigned long)*(int *volatile *)&second;
	io.out[7] = (unsigned long)*(const char *volatile *)&words[1];
	return XDP_PASS;
}
