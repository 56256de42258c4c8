// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every atomic operation on map values, with and without the old value, in 64 and 32 bits.
#include "packet.h"

struct cell {
	__u64 sum, bits, mask, flips, last, lock;
	__u32 small_sum, small_bits, small_mask, small_flips, small_last, small_lock;
	__u64 old[6];
	__u32 small_old[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct cell);
} cells SEC(".maps");

SEC("xdp")
int atomics(struct xdp_md *ctx)
{
	void *data = DATA(ctx), *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(data, end);

	if (!ip)
		return XDP_PASS;
	__u32 slot = ip->daddr >> 24 & 3;
	struct cell *cell = bpf_map_lookup_elem(&cells, &slot);

	if (!cell)
		return XDP_ABORTED;
	__u64 word = *(__u64 *)&ip->saddr;
	__u32 half = word >> 16;

	__sync_fetch_and_add(&cell->sum, word);
	__sync_fetch_and_or(&cell->bits, word);
	__sync_fetch_and_and(&cell->mask, ~word);
	__sync_fetch_and_xor(&cell->flips, word);
	cell->old[0] = __sync_fetch_and_add(&cell->sum, half);
	cell->old[1] = __sync_fetch_and_or(&cell->bits, half);
	cell->old[2] = __sync_fetch_and_and(&cell->mask, word | 3);
	cell->old[3] = __sync_fetch_and_xor(&cell->flips, half);
	cell->old[4] = __sync_lock_test_and_set(&cell->last, word);
	cell->old[5] = __sync_val_compare_and_swap(&cell->lock, slot, word);
	__sync_fetch_and_add(&cell->small_sum, half);
	__sync_fetch_and_or(&cell->small_bits, half);
	__sync_fetch_and_and(&cell->small_mask, ~half);
	__sync_fetch_and_xor(&cell->small_flips, half);
	cell->small_old[0] = __sync_fetch_and_add(&cell->small_sum, half);
	cell->small_old[1] = __sync_fetch_and_or(&cell->small_bits, half >> 3);
	cell->small_old[2] = __sync_fetch_and_and(&cell->small_mask, half | 5);
	cell->small_old[3] = __sync_fetch_and_xor(&cell->small_flips, half << 3);
	cell->small_old[4] = __sync_lock_test_and_set(&cell->small_last, half);
	cell->small_old[5] = __sync_val_compare_and_swap(&cell->small_lock, 0, half);
	return cell->old[4] == word ? XDP_DROP : XDP_TX;
}
