// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Types that are equal, nearly equal and different from the kernel's, for the type relocations of CO-RE.
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

struct list_head___fewer {
	struct list_head *next;
};

struct list_head___other_type {
	int next;
};

struct list_head___more {
	struct list_head *next;
	struct list_head *prev;
	struct list_head *third;
};

struct callback_head {
	struct callback_head *next;
	void (*func)(struct callback_head *head);
};

struct callback_head___other_return {
	struct callback_head *next;
	int (*func)(struct callback_head *head);
};

union list_head___union {
	void *next;
};

enum xdp_action___some {
	XDP_DROP___some = 1,
	XDP_PASS___some = 9,
};

enum xdp_action___none {
	XDP_NOWHERE = 1,
};

struct refcount_struct {
	struct {
		int counter;
	} refs;
};

typedef int (*no_such_callback_t)(int);
typedef unsigned char u8;
typedef long long u8___wide;
typedef __u64 u64;

__u64 out[32];

#define EXISTS(slot, type) (out[slot] = bpf_core_type_exists(type))

SEC("socket")
int types(struct __sk_buff *skb)
{
	EXISTS(0, struct list_head);
	EXISTS(1, struct list_head___fewer);
	EXISTS(2, struct list_head___other_type);
	EXISTS(3, struct list_head___more);
	EXISTS(4, struct callback_head);
	EXISTS(5, struct callback_head___other_return);
	EXISTS(6, union list_head___union);
	EXISTS(7, enum xdp_action___some);
	EXISTS(8, enum xdp_action___none);
	EXISTS(9, struct refcount_struct);
	EXISTS(10, no_such_callback_t);
	EXISTS(11, u8);
	EXISTS(12, u8___wide);
	EXISTS(13, u64);
	out[14] = bpf_core_type_size(struct list_head___more);
	out[15] = bpf_core_type_size(union list_head___union);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
