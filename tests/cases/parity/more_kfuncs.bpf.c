// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// More kernel functions, each by the arguments of the io block.
#include "io.h"

struct bpf_iter_bits {
	__u64 __opaque[2];
} __attribute__((aligned(8)));
struct bpf_res_spin_lock {
	__u32 val;
};
/* A forward declaration would not do: libbpf compares kinds of types through pointers. */
struct bpf_map {
	__u32 id;
};

extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;
extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern int bpf_stream_vprintk_impl(int stream, const char *format, const void *args, __u32 size, void *aux) __ksym;

#define MAP(name, map_type, key_type, value_type, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

struct locked {
	__u64 count;
	struct bpf_res_spin_lock lock;
};

MAP(locks, BPF_MAP_TYPE_ARRAY, __u32, struct locked, 3);
MAP(hash, BPF_MAP_TYPE_HASH, __u32, __u64, 8);
MAP(percpu, BPF_MAP_TYPE_PERCPU_HASH, __u32, __u64, 8);
MAP(array, BPF_MAP_TYPE_ARRAY, __u32, __u64, 8);

__u64 words[600] SEC(".data.words") = {1};

SEC("tc")
int iter_bits(struct __sk_buff *skb)
{
	struct bpf_iter_bits it;
	__u64 sum = 0, count = 0;
	__u32 size = io.arg[0];
	int *bit;

	io.out[0] = bpf_iter_bits_new(&it, io.arg[1] ? NULL : words, size);
	while ((bit = bpf_iter_bits_next(&it))) {
		sum = sum * 31 + *bit;
		count++;
		if (count == io.arg[2])
			break;
	}
	bpf_iter_bits_destroy(&it);
	io.out[1] = sum;
	io.out[2] = count;
	return 0;
}

/* arg: two keys. */
SEC("tc")
int plain_locks(struct __sk_buff *skb)
{
	__u32 a = io.arg[0], b = io.arg[1];
	struct locked *first = bpf_map_lookup_elem(&locks, &a);
	struct locked *second = bpf_map_lookup_elem(&locks, &b);
	int result;

	if (!first || !second)
		return 1;
	result = bpf_res_spin_lock(&first->lock);
	if (result)
		return 2;
	first->count++;
	result = bpf_res_spin_lock(&second->lock);
	if (result) {
		first->count += 100;
		bpf_res_spin_unlock(&first->lock);
		io.out[0] = result;
		return 3;
	}
	second->count += 10;
	bpf_res_spin_unlock(&second->lock);
	bpf_res_spin_unlock(&first->lock);
	return 0;
}

SEC("tc")
int irq_locks(struct __sk_buff *skb)
{
	__u32 a = io.arg[0], b = io.arg[1];
	struct locked *first = bpf_map_lookup_elem(&locks, &a);
	struct locked *second = bpf_map_lookup_elem(&locks, &b);
	unsigned long flags, inner;
	int result;

	if (!first || !second)
		return 1;
	result = bpf_res_spin_lock_irqsave(&first->lock, &flags);
	if (result)
		return 2;
	first->count++;
	result = bpf_res_spin_lock_irqsave(&second->lock, &inner);
	if (result) {
		first->count += 100;
		bpf_res_spin_unlock_irqrestore(&first->lock, &flags);
		io.out[0] = result;
		return 3;
	}
	second->count += 10;
	bpf_res_spin_unlock_irqrestore(&second->lock, &inner);
	bpf_res_spin_unlock_irqrestore(&first->lock, &flags);
	return 0;
}

SEC("tc")
int interrupts(struct __sk_buff *skb)
{
	unsigned long outer, inner;

	bpf_local_irq_save(&outer);
	io.out[0] = 1;
	bpf_local_irq_save(&inner);
	io.out[1] = 1;
	bpf_local_irq_restore(&inner);
	bpf_local_irq_restore(&outer);
	return 0;
}

/* arg: key, 1 to delete. */
SEC("xdp")
int counts(struct xdp_md *ctx)
{
	__u32 key = io.arg[0];
	__u64 value = 1;

	if (io.arg[1]) {
		bpf_map_delete_elem(&hash, &key);
		bpf_map_delete_elem(&percpu, &key);
	} else {
		bpf_map_update_elem(&hash, &key, &value, 0);
		bpf_map_update_elem(&percpu, &key, &value, 0);
		bpf_map_update_elem(&array, &key, &value, 0);
	}
	io.out[0] = bpf_map_sum_elem_count((const struct bpf_map *)&hash);
	io.out[1] = bpf_map_sum_elem_count((const struct bpf_map *)&percpu);
	io.out[2] = bpf_map_sum_elem_count((const struct bpf_map *)&array);
	return XDP_PASS;
}

/* A line that the kernel has no memory for at once is refused with -ENOMEM: as good as printed. */
#define TAKEN(result) ((result) == -12 ? 0 : (result))

/* arg: stream. */
SEC("xdp")
int streams(struct xdp_md *ctx)
{
	static const char plain[] = "plain\n", number[] = "%d and %d", wrong[] = "%q";
	__u64 args[2] = {7, io.arg[0]};

	io.out[0] = TAKEN(bpf_stream_vprintk_impl(io.arg[0], plain, args, 0, NULL));
	io.out[1] = TAKEN(bpf_stream_vprintk_impl(io.arg[0], number, args, sizeof(args), NULL));
	io.out[2] = bpf_stream_vprintk_impl(io.arg[0], wrong, args, 0, NULL);
	io.out[3] = bpf_stream_vprintk_impl(io.arg[0], number, args, 8, NULL);
	io.out[4] = bpf_stream_vprintk_impl(io.arg[0], number, args, 12, NULL);
	return XDP_PASS;
}
