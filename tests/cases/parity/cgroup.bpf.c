// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Cgroups of sockets and tasks.
#include "io.h"

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 4);
} groups SEC(".maps");

SEC("tc")
int ids(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_cgroup_id(skb);
	io.out[1] = bpf_skb_ancestor_cgroup_id(skb, (int)io.arg[0]);
	io.out[2] = bpf_skb_cgroup_classid(skb);
	return 0;
}

SEC("cgroup_skb/egress")
int ids_cgroup(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	io.out[0] = bpf_skb_cgroup_id(skb);
	io.out[1] = bpf_skb_ancestor_cgroup_id(skb, (int)io.arg[0]);
	if (sk) {
		io.out[2] = bpf_sk_cgroup_id(sk);
		io.out[3] = bpf_sk_ancestor_cgroup_id(sk, (int)io.arg[0]);
	}
	return 1;
}

SEC("tc")
int under(struct __sk_buff *skb)
{
	io.out[0] = bpf_skb_under_cgroup(skb, &groups, io.arg[0]);
	io.out[1] = bpf_current_task_under_cgroup(&groups, io.arg[0]);
	return 0;
}
