/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the benchmark's programs share: the packet context, the maps and the trie, for both builds. */
#pragma once

/* Kernel style, as the programs themselves. */
// clang-format off

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TRIE_NODES 64

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct flow {
	__u32 saddr;
	__u32 daddr;
	__u16 sport;
	__u16 dport;
	__u32 proto;
};

struct trie_node {
	__u32 value;
	__u32 child[2];
};

#ifdef MIMICSH_NATIVE
struct bench_md {
	void *data;
	void *data_end;
};
#define DATA(ctx) ((ctx)->data)
#define DATA_END(ctx) ((ctx)->data_end)
extern void *bench_array, *bench_hash;
void *bench_lookup(void *map, const void *key);
#define LOOKUP(map, key) bench_lookup(map, key)
#undef SEC
#define SEC(name)
#else
#define bench_md xdp_md
#define DATA(ctx) ((void *)(long)(ctx)->data)
#define DATA_END(ctx) ((void *)(long)(ctx)->data_end)
#define LOOKUP(map, key) bpf_map_lookup_elem(&map, key)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct counter);
} bench_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct counter);
} bench_hash SEC(".maps");
#endif

/* A path of 20 bits with values on the way, as a routing table's hot entry looks. */
volatile const struct trie_node bench_trie_storage[TRIE_NODES] = {
	{0, {1, 1}},   {0, {2, 2}},   {0, {3, 3}},   {0, {4, 4}},   {7, {5, 5}},   {0, {6, 6}},   {0, {7, 7}},
	{0, {8, 8}},   {9, {9, 9}},   {0, {10, 10}}, {0, {11, 11}}, {0, {12, 12}}, {4, {13, 13}}, {0, {14, 14}},
	{0, {15, 15}}, {0, {16, 16}}, {3, {17, 17}}, {0, {18, 18}}, {0, {19, 19}}, {8, {0, 0}},
};
#define bench_trie ((const struct trie_node *)bench_trie_storage)
