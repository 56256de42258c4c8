// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a socket filter begins: at the link layer on a packet socket, at the network layer in a test run.
#include "io.h"

unsigned long long load_word(void *skb, unsigned long long at) asm("llvm.bpf.load.word");
unsigned long long load_half(void *skb, unsigned long long at) asm("llvm.bpf.load.half");

#define NETWORK -0x100000
#define LINK -0x200000

/* Looks at packets that begin with the bytes of an argument; takes as many bytes as another says. */
SEC("socket")
int layers(struct __sk_buff *skb)
{
	__u64 first = 0;

	bpf_skb_load_bytes_relative(skb, 0, &first, 8, BPF_HDR_START_MAC);
	if (first != io.arg[1])
		return 0;
	io.out[0] = skb->len;
	io.out[1] = skb->protocol;
	io.out[2] = bpf_skb_load_bytes(skb, 0, &io.out[3], 8);
	io.out[4] = bpf_skb_load_bytes(skb, 14, &io.out[5], 8);
	io.out[6] = bpf_skb_load_bytes_relative(skb, 0, &io.out[7], 8, BPF_HDR_START_NET);
	io.out[8] = bpf_skb_load_bytes(skb, skb->len - 8, &io.out[9], 8);
	io.out[10] = bpf_skb_load_bytes(skb, skb->len - 7, &io.out[11], 8);
	io.out[12] = load_half(skb, 12);
	io.out[13] = load_word(skb, NETWORK);
	io.out[14] = load_word(skb, LINK);
	return io.arg[0];
}
