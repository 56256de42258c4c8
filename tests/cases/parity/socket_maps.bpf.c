// SPDX-License-Identifier: MIT
// Sockets that were looked up: in maps, with storage, and as the kernel's own structs.
#include "io.h"
#include <bpf/bpf_core_read.h>

/* struct bpf_sock_tuple as bytes. */
char tuple[64] SEC(".data.tuple") = {1};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} by_number SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u64);
} by_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} counters SEC(".maps");

/* The socket that io.arg[0] asks for: 0 TCP, 1 UDP. */
static __always_inline struct bpf_sock *find(struct __sk_buff *ctx)
{
	struct bpf_sock_tuple *key = (struct bpf_sock_tuple *)tuple;

	if (io.arg[0])
		return bpf_sk_lookup_udp(ctx, key, sizeof(key->ipv4), -1, 0);
	return bpf_sk_lookup_tcp(ctx, key, sizeof(key->ipv4), -1, 0);
}

SEC("tc") int update(struct __sk_buff *ctx)
{
	__u32 number = io.arg[1];
	__u64 key = io.arg[1];
	struct bpf_sock *sk = find(ctx);

	io.out[0] = sk != NULL;
	if (!sk)
		return 1;
	io.out[1] = bpf_map_update_elem(&by_number, &number, sk, io.arg[2]);
	io.out[2] = bpf_map_update_elem(&by_key, &key, sk, io.arg[2]);
	bpf_sk_release(sk);
	return 0;
}

SEC("tc") int look_up(struct __sk_buff *ctx)
{
	__u32 number = io.arg[1];
	__u64 key = io.arg[1];
	struct bpf_sock *sk;

	sk = bpf_map_lookup_elem(&by_number, &number);
	io.out[0] = sk != NULL;
	if (sk) {
		io.out[1] = sk->src_port;
		io.out[2] = sk->protocol;
		bpf_sk_release(sk);
	}
	sk = bpf_map_lookup_elem(&by_key, &key);
	io.out[3] = sk != NULL;
	if (sk) {
		io.out[4] = sk->src_port;
		bpf_sk_release(sk);
	}
	return 0;
}

SEC("tc") int erase(struct __sk_buff *ctx)
{
	__u32 number = io.arg[1];
	__u64 key = io.arg[1];

	io.out[0] = bpf_map_delete_elem(&by_number, &number);
	io.out[1] = bpf_map_delete_elem(&by_key, &key);
	return 0;
}

SEC("tc") int count(struct __sk_buff *ctx)
{
	__u64 first = 40, *value;
	struct bpf_sock *sk = find(ctx);

	io.out[0] = sk != NULL;
	if (!sk)
		return 1;
	value = bpf_sk_storage_get(&counters, sk, &first, io.arg[1]);
	io.out[1] = value != NULL;
	if (value)
		io.out[2] = ++*value;
	value = bpf_sk_storage_get(&counters, sk, NULL, 0);
	io.out[3] = value ? *value : 0;
	if (io.arg[2]) {
		io.out[4] = bpf_sk_storage_delete(&counters, sk);
		io.out[5] = bpf_sk_storage_delete(&counters, sk);
	}
	bpf_sk_release(sk);
	return 0;
}

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u16 skc_num;
	__be16 skc_dport;
	__be32 skc_rcv_saddr;
	__be32 skc_daddr;
	int skc_bound_dev_if;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	__u32 sk_mark;
	__u32 sk_priority;
	int sk_rcvlowat;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_pmtu_cookie;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_cwnd_cnt;
	__u64 bytes_received;
} __attribute__((preserve_access_index));

struct udp6_sock;
struct tcp6_sock;
struct tcp_timewait_sock;
struct tcp_request_sock;
struct unix_sock;
struct mptcp_sock;

SEC("tc") int structs(struct __sk_buff *ctx)
{
	struct bpf_sock *sk = find(ctx);
	struct tcp_sock *tcp;
	struct sock *common;

	io.out[0] = sk != NULL;
	if (!sk)
		return 1;
	io.out[1] = bpf_skc_to_tcp6_sock(sk) != NULL;
	io.out[2] = bpf_skc_to_tcp_timewait_sock(sk) != NULL;
	io.out[3] = bpf_skc_to_tcp_request_sock(sk) != NULL;
	io.out[4] = bpf_skc_to_udp6_sock(sk) != NULL;
	io.out[5] = bpf_skc_to_unix_sock(sk) != NULL;
	io.out[6] = bpf_skc_to_mptcp_sock(sk) != NULL;
	tcp = bpf_skc_to_tcp_sock(sk);
	io.out[7] = tcp != NULL;
	if (tcp) {
		common = &tcp->inet_conn.icsk_inet.sk;
		io.out[8] = common->__sk_common.skc_family;
		io.out[9] = common->__sk_common.skc_state;
		io.out[10] = common->__sk_common.skc_num;
		io.out[11] = common->__sk_common.skc_dport;
		io.out[12] = common->__sk_common.skc_rcv_saddr;
		io.out[13] = common->__sk_common.skc_daddr;
		io.out[14] = common->__sk_common.skc_bound_dev_if;
		io.out[15] = common->sk_mark;
		io.out[16] = common->sk_priority;
		io.out[17] = common->sk_rcvlowat;
		io.out[18] = tcp->bytes_received;
		io.out[19] = BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.sk_mark);
	}
	bpf_sk_release(sk);
	return 0;
}
