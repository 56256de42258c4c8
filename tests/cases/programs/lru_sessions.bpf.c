// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Half-open TCP sessions in an LRU hash: SYN opens, ACK closes, RST deletes; the map never fills.
#include "packet.h"

struct session {
	__u32 state;
	__u32 sequence;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct session);
} sessions SEC(".maps");

SEC("xdp")
int lru_sessions(struct xdp_md *ctx)
{
	void *end = DATA_END(ctx);
	struct iphdr *ip = plain_ipv4(DATA(ctx), end);

	if (!ip || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (!FITS(tcp, end))
		return XDP_ABORTED;
	__u64 key = (__u64)ip->saddr << 32 | (__u32)tcp->source << 16 | tcp->dest;
	struct session *session = bpf_map_lookup_elem(&sessions, &key);

	if (tcp->rst)
		return bpf_map_delete_elem(&sessions, &key) ? XDP_DROP : XDP_TX;
	if (tcp->syn && !tcp->ack) {
		struct session fresh = {.state = 1, .sequence = bpf_ntohl(tcp->seq), .packets = 1};

		return bpf_map_update_elem(&sessions, &key, &fresh, BPF_NOEXIST) ? XDP_DROP : XDP_PASS;
	}
	if (!session)
		return XDP_DROP;
	session->packets++;
	if (tcp->ack && session->state == 1)
		session->state = bpf_ntohl(tcp->ack_seq) == session->sequence + 1 ? 2 : 3;
	return session->state == 3 ? XDP_ABORTED : XDP_TX;
}
