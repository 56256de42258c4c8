// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the kernel knows of a buffer: the realm of its route, its socket and their namespace.
#include "io.h"

/* Cookies are numbers that the kernel gives out: that of a test run's socket is only asked for twice. */
#define OF_SOCKET(ctx)                                                     \
	do {                                                               \
		__u64 cookie = bpf_get_socket_cookie(ctx);                 \
                                                                           \
		io.out[0] = cookie != 0;                                   \
		io.out[1] = bpf_get_socket_cookie(ctx) == cookie;          \
		io.out[2] = bpf_get_socket_uid(ctx);                       \
		io.out[3] = bpf_get_netns_cookie(ctx);                     \
	} while (0)

SEC("socket")
int of_filter(struct __sk_buff *skb)
{
	OF_SOCKET(skb);
	return 7;
}

SEC("cgroup_skb/egress")
int of_cgroup(struct __sk_buff *skb)
{
	OF_SOCKET(skb);
	return 1;
}

SEC("tc")
int of_classifier(struct __sk_buff *skb)
{
	OF_SOCKET(skb);
	io.out[4] = bpf_get_route_realm(skb);
	return 0;
}

SEC("lwt_in")
int of_route(struct __sk_buff *skb)
{
	io.out[4] = bpf_get_route_realm(skb);
	return 0;
}

/* On a packet that is sent, when its mark is arg[0]: the values themselves. */
SEC("tc")
int of_sent(struct __sk_buff *skb)
{
	if (skb->mark != io.arg[0])
		return 0;
	io.out[0] = bpf_get_socket_cookie(skb);
	io.out[1] = bpf_get_socket_uid(skb);
	io.out[2] = bpf_get_netns_cookie(skb);
	io.out[3] = bpf_get_route_realm(skb);
	io.out[4]++;
	return 0;
}
