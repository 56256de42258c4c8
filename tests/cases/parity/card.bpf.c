// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a card says of a packet; the kernel loads this for one card only.
#include "io.h"

enum xdp_rss_hash_type {
	NO_TYPE,
	OTHER_TYPE = 0x7fffffff,
};

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash,
				    enum xdp_rss_hash_type *type) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __u16 *proto, __u16 *tci) __ksym;

SEC("xdp")
int card(struct xdp_md *ctx)
{
	__u64 timestamp = 0;
	enum xdp_rss_hash_type type = NO_TYPE;
	__u32 hash = 0;
	__u16 proto = 0, tci = 0;

	io.out[0] = bpf_xdp_metadata_rx_timestamp(ctx, &timestamp);
	io.out[1] = timestamp;
	io.out[2] = bpf_xdp_metadata_rx_hash(ctx, &hash, &type);
	io.out[3] = hash;
	io.out[4] = type;
	io.out[5] = bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tci);
	io.out[6] = proto;
	io.out[7] = tci;
	return XDP_PASS;
}
