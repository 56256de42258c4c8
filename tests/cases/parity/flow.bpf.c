// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Flow dissectors: keys in and out, what can be loaded, the one helper that looks at the packet.
#include "io.h"

SEC("flow_dissector")
int show(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	io.out[0] = end - data;
	io.out[1] = keys->nhoff | (__u64)keys->thoff << 32;
	io.out[2] = keys->n_proto;
	io.out[3] = keys->flags;
	io.out[4] = keys->addr_proto | (__u64)keys->sport << 32;
	for (int i = 0; i < 4; i++)
		io.out[5 + i] = keys->ipv6_src[i] | (__u64)keys->ipv6_dst[i] << 32;
	io.out[9] = keys->flow_label;
	if (data + 14 <= end)
		io.out[10] = *(__u8 *)(data + 13);
	return io.arg[0];
}

SEC("flow_dissector")
int change(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;

	keys->nhoff = io.arg[0];
	keys->thoff = io.arg[1];
	keys->addr_proto = 0x0800;
	keys->is_frag = 1;
	keys->is_encap = io.arg[2];
	keys->ip_proto = 17;
	keys->n_proto = 0x1234;
	*(__u64 *)&keys->ipv4_src = io.arg[3];
	keys->sport = io.arg[4];
	keys->flags = io.arg[5];
	keys->flow_label = io.arg[6];
	return 2;
}

SEC("flow_dissector")
int load_bytes(struct __sk_buff *skb)
{
	__u64 bytes[2] = {~0ULL, ~0ULL};

	io.out[0] = bpf_skb_load_bytes(skb, io.arg[0], bytes, 16);
	io.out[1] = bytes[0];
	io.out[2] = bytes[1];
	return 0;
}

SEC("flow_dissector")
int parse(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u8 *ip = data + 14;

	if (keys->n_proto != 0x0008 || (void *)(ip + 24) > end)
		return 129;
	keys->addr_proto = 0x0800;
	keys->ip_proto = ip[9];
	keys->thoff = 14 + (ip[0] & 15) * 4;
	keys->ipv4_src = *(__u32 *)(ip + 12);
	keys->ipv4_dst = *(__u32 *)(ip + 16);
	keys->sport = *(__u16 *)(ip + 20);
	keys->dport = *(__u16 *)(ip + 22);
	return 0;
}
