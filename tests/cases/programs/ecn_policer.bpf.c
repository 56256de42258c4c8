// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Marks every third packet of a precedence as having met congestion: bit fields of the type of service.
#include "packet.h"

struct service {
	__u8 ecn : 2;
	__u8 drop : 3;
	__u8 class : 3;
};

struct {
	__u32 seen[8];
	__u32 ecn[4];
} counts;

SEC("xdp")
int ecn_policer(struct xdp_md *ctx)
{
	struct iphdr *ip = plain_ipv4(DATA(ctx), DATA_END(ctx));
	union {
		struct service fields;
		__u8 byte;
	} tos;

	if (!ip)
		return XDP_PASS;
	tos.byte = ip->tos;
	__u32 count = ++counts.seen[tos.fields.class];

	counts.ecn[tos.fields.ecn]++;
	if (count % 3)
		return XDP_TX;
	if (tos.fields.drop > 3)
		return XDP_DROP;
	__u16 old = *(__u16 *)ip;

	tos.fields.ecn = 3;
	ip->tos = tos.byte;
	replace16(&ip->check, old, *(__u16 *)ip);
	return XDP_REDIRECT;
}
