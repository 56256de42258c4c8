// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Tunnel metadata, IPsec history and cgroups of socket buffers.
#include "io.h"

#define BOUND(x, mask) asm volatile("%0 &= " #mask : "+r"(x))

/* struct bpf_tunnel_key and options as the host wants them. */
char given[512] SEC(".data.given") = {1};
char got[512] SEC(".data.got") = {1};

SEC("tc")
int keys(struct __sk_buff *skb)
{
	__u64 set_size = io.arg[0], get_size = io.arg[2];

	BOUND(set_size, 63);
	BOUND(get_size, 63);
	if (set_size == 0 || get_size == 0)
		return 0;
	io.out[0] = bpf_skb_get_tunnel_key(skb, (void *)got, get_size, io.arg[3]);
	io.out[1] = bpf_skb_set_tunnel_key(skb, (void *)given, set_size, io.arg[1]);
	io.out[2] = bpf_skb_get_tunnel_key(skb, (void *)got, get_size, io.arg[3]);
	return 0;
}

SEC("tc")
int options(struct __sk_buff *skb)
{
	__u64 set_size = io.arg[0], get_size = io.arg[1];

	BOUND(set_size, 511);
	BOUND(get_size, 511);
	if (set_size == 0 || get_size == 0)
		return 0;
	io.out[0] = bpf_skb_set_tunnel_opt(skb, given, set_size);
	io.out[1] = bpf_skb_get_tunnel_opt(skb, got, get_size);
	io.out[2] = bpf_skb_set_tunnel_key(skb, (void *)given, 28, 0);
	io.out[3] = bpf_skb_get_tunnel_opt(skb, got, get_size);
	io.out[4] = bpf_skb_set_tunnel_opt(skb, given, set_size);
	io.out[5] = bpf_skb_get_tunnel_opt(skb, got, get_size);
	io.out[6] = bpf_skb_get_tunnel_key(skb, (void *)got + 256, 44, 16);
	if (io.arg[2]) {
		io.out[7] = bpf_skb_set_tunnel_key(skb, (void *)given, 28, 0);
		io.out[8] = bpf_skb_get_tunnel_opt(skb, got, get_size);
	}
	return 0;
}

SEC("tc")
int xfrm(struct __sk_buff *skb)
{
	__u64 size = io.arg[1];

	BOUND(size, 63);
	if (size == 0)
		return 0;
	io.out[0] = bpf_skb_get_xfrm_state(skb, io.arg[0], (void *)got, size, io.arg[2]);
	return 0;
}
