// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Allocated objects in lists, trees and pointers: one operation per run, by the arguments of the io block.
#include "io.h"
#include "objects.h"

struct item {
	__u64 number;
	struct bpf_list_node list;
	__u64 behind;
};

struct tree_leaf {
	__u64 key;
	struct bpf_rb_node node;
};

struct shared {
	struct bpf_refcount count;
	struct bpf_rb_node node;
	struct bpf_list_node list;
	__u64 key;
};

struct value {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, list);
	__u64 plain;
};

/* Of a struct as such clang 14 loses the tag. */
typedef struct tree_leaf leaf_type;

struct pointing {
	__u64 before;
	leaf_type __kptr *leaf;
	__u64 after;
};

struct guarded_pointing {
	__u64 before;
	struct bpf_spin_lock lock;
	__u32 between;
	leaf_type __kptr *leaf;
};

struct counters {
	__u64 packets;
	__u32 small[3];
	struct {
		__s16 inner;
	} part;
};
typedef struct counters counters_type;

struct counting {
	__u64 before;
	counters_type __percpu_kptr *counters;
	__u64 after;
};

#define MAP(name, map_type, value_type, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, value_type); \
	} name SEC(".maps")

MAP(lists, BPF_MAP_TYPE_ARRAY, struct value, 2);
MAP(list_hash, BPF_MAP_TYPE_HASH, struct value, 2);
MAP(pointers, BPF_MAP_TYPE_ARRAY, struct pointing, 2);
MAP(pointer_hash, BPF_MAP_TYPE_HASH, struct pointing, 2);
MAP(of_cpus, BPF_MAP_TYPE_PERCPU_ARRAY, struct pointing, 2);
MAP(of_cpus_hash, BPF_MAP_TYPE_PERCPU_HASH, struct pointing, 2);
/* Roomy: full ones evict when the kernel likes. */
MAP(lru, BPF_MAP_TYPE_LRU_HASH, struct pointing, 64);
MAP(lru_of_cpus, BPF_MAP_TYPE_LRU_PERCPU_HASH, struct pointing, 64);
MAP(guarded, BPF_MAP_TYPE_ARRAY, struct guarded_pointing, 2);
MAP(guarded_hash, BPF_MAP_TYPE_HASH, struct guarded_pointing, 2);

MAP(counting, BPF_MAP_TYPE_ARRAY, struct counting, 2);
MAP(counting_hash, BPF_MAP_TYPE_HASH, struct counting, 2);

#define private(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))

private(tree) struct bpf_spin_lock tree_lock;
private(tree) struct bpf_rb_root tree __contains(tree_leaf, node);
private(both) struct bpf_spin_lock both_lock;
private(both) struct bpf_rb_root both_tree __contains(shared, node);
private(both) struct bpf_list_head both_list __contains(shared, list);

enum { PUSH_FRONT, PUSH_BACK, POP_FRONT, POP_BACK, UPDATE, DELETE };

/* arg: operation, number, key. */
#define ON_LIST(map) \
	SEC("tc") int on_##map(struct __sk_buff *skb) \
	{ \
		__u32 key = io.arg[2]; \
		struct value fresh = { .plain = io.arg[1] }, *found; \
		struct bpf_list_node *node = NULL, *front, *back; \
		struct item *item; \
\
		if (io.arg[0] == UPDATE) \
			io.out[0] = bpf_map_update_elem(&map, &key, &fresh, 0); \
		if (io.arg[0] == DELETE) \
			io.out[0] = bpf_map_delete_elem(&map, &key); \
		found = bpf_map_lookup_elem(&map, &key); \
		if (!found) \
			return 1; \
		if (io.arg[0] <= PUSH_BACK) { \
			item = new(struct item); \
			if (!item) \
				return 2; \
			item->number = io.arg[1]; \
			item->behind = ~io.arg[1]; \
			bpf_spin_lock(&found->lock); \
			if (io.arg[0] == PUSH_FRONT) \
				io.out[0] = bpf_list_push_front_impl(&found->head, &item->list, NULL, 0); \
			else \
				io.out[0] = bpf_list_push_back_impl(&found->head, &item->list, NULL, 0); \
			bpf_spin_unlock(&found->lock); \
			return 0; \
		} \
		bpf_spin_lock(&found->lock); \
		front = bpf_list_front(&found->head); \
		if (front) \
			io.out[3] = container_of(front, struct item, list)->number; \
		back = bpf_list_back(&found->head); \
		if (back) \
			io.out[4] = container_of(back, struct item, list)->number; \
		if (io.arg[0] == POP_FRONT) \
			node = bpf_list_pop_front(&found->head); \
		else \
			node = bpf_list_pop_back(&found->head); \
		bpf_spin_unlock(&found->lock); \
		if (!node) \
			return 3; \
		item = container_of(node, struct item, list); \
		io.out[1] = item->number; \
		io.out[2] = item->behind; \
		drop(item); \
		return 0; \
	}

ON_LIST(lists)
ON_LIST(list_hash)

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct tree_leaf, node)->key < container_of(b, struct tree_leaf, node)->key;
}

SEC("tc")
int tree_add(struct __sk_buff *skb)
{
	struct tree_leaf *leaf = new(struct tree_leaf);

	if (!leaf)
		return 1;
	leaf->key = io.arg[0];
	bpf_spin_lock(&tree_lock);
	io.out[0] = bpf_rbtree_add_impl(&tree, &leaf->node, less, NULL, 0);
	bpf_spin_unlock(&tree_lock);
	return 0;
}

/* Goes down by the bits of arg[1], as many steps as arg[0] says; arg[2] removes what is there. */
SEC("tc")
int tree_walk(struct __sk_buff *skb)
{
	struct bpf_rb_node *at, *first, *removed = NULL;
	__u64 way = io.arg[1];

	bpf_spin_lock(&tree_lock);
	first = bpf_rbtree_first(&tree);
	if (first)
		io.out[0] = container_of(first, struct tree_leaf, node)->key;
	at = bpf_rbtree_root(&tree);
	if (!at) {
		bpf_spin_unlock(&tree_lock);
		return 1;
	}
#define STEP(i) \
	if (io.arg[0] > i) { \
		if (way >> i & 1) \
			at = bpf_rbtree_left(&tree, at); \
		else \
			at = bpf_rbtree_right(&tree, at); \
		if (!at) { \
			bpf_spin_unlock(&tree_lock); \
			return 2 + i; \
		} \
	}
	STEP(0)
	STEP(1)
	STEP(2)
	STEP(3)
	STEP(4)
	io.out[1] = container_of(at, struct tree_leaf, node)->key;
	if (io.arg[2])
		removed = bpf_rbtree_remove(&tree, at);
	bpf_spin_unlock(&tree_lock);
	if (removed) {
		struct tree_leaf *leaf = container_of(removed, struct tree_leaf, node);

		io.out[2] = leaf->key;
		drop(leaf);
	}
	return 0;
}

static _Bool shared_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct shared, node)->key < container_of(b, struct shared, node)->key;
}

SEC("tc")
int share(struct __sk_buff *skb)
{
	struct shared *one = new(struct shared), *other;

	if (!one)
		return 1;
	one->key = io.arg[0];
	other = bpf_refcount_acquire_impl(one, NULL);
	bpf_spin_lock(&both_lock);
	io.out[0] = bpf_rbtree_add_impl(&both_tree, &one->node, shared_less, NULL, 0);
	bpf_spin_unlock(&both_lock);
	bpf_spin_lock(&both_lock);
	io.out[1] = bpf_list_push_back_impl(&both_list, &other->list, NULL, 0);
	bpf_spin_unlock(&both_lock);
	return 0;
}

SEC("tc")
int unshare(struct __sk_buff *skb)
{
	struct bpf_rb_node *first, *removed = NULL;
	struct bpf_list_node *node;
	struct shared *one, *again = NULL;

	if (io.arg[0]) {
		bpf_spin_lock(&both_lock);
		first = bpf_rbtree_first(&both_tree);
		if (first) {
			io.out[0] = container_of(first, struct shared, node)->key;
			removed = bpf_rbtree_remove(&both_tree, first);
		}
		bpf_spin_unlock(&both_lock);
		if (removed) {
			one = container_of(removed, struct shared, node);
			io.out[1] = one->key;
			drop(one);
		}
	}
	bpf_spin_lock(&both_lock);
	node = bpf_list_pop_front(&both_list);
	bpf_spin_unlock(&both_lock);
	if (!node)
		return 1;
	one = container_of(node, struct shared, list);
	io.out[2] = one->key;
	/* Still in the tree, or not: then it is added. */
	bpf_spin_lock(&both_lock);
	io.out[3] = bpf_rbtree_add_impl(&both_tree, &one->node, shared_less, NULL, 0);
	bpf_spin_unlock(&both_lock);
	return 0;
}

/* arg: key, 1 to put a new object in, its key, 1 to delete or 2 to update, flags. */
#define ON_POINTER(map, type_of_value) \
	SEC("tc") int on_##map(struct __sk_buff *skb) \
	{ \
		__u32 key = io.arg[0]; \
		type_of_value fresh = { .before = io.arg[2] }, *found; \
		struct tree_leaf *leaf = NULL, *old; \
\
		if (io.arg[3] == 1) \
			io.out[0] = bpf_map_delete_elem(&map, &key); \
		if (io.arg[3] == 2) \
			io.out[0] = bpf_map_update_elem(&map, &key, &fresh, io.arg[4]); \
		found = bpf_map_lookup_elem(&map, &key); \
		if (!found) \
			return 1; \
		if (io.arg[1]) { \
			leaf = new(struct tree_leaf); \
			if (!leaf) \
				return 2; \
			leaf->key = io.arg[2]; \
		} \
		old = bpf_kptr_xchg(&found->leaf, leaf); \
		if (old) { \
			io.out[1] = old->key; \
			io.out[2] = 1; \
			drop(old); \
		} \
		return 0; \
	}

ON_POINTER(pointers, struct pointing)
ON_POINTER(pointer_hash, struct pointing)
ON_POINTER(of_cpus, struct pointing)
ON_POINTER(of_cpus_hash, struct pointing)
ON_POINTER(lru, struct pointing)
ON_POINTER(lru_of_cpus, struct pointing)
ON_POINTER(guarded, struct guarded_pointing)
ON_POINTER(guarded_hash, struct guarded_pointing)

struct locked_object {
	__u64 before;
	struct bpf_list_head items __contains(item, list);
	struct bpf_spin_lock lock;
	__u64 count;
};

/* arg: number, whether to take the item back out. */
SEC("tc")
int lock_object(struct __sk_buff *skb)
{
	struct locked_object *object = new(struct locked_object);
	struct bpf_list_node *node = NULL;
	struct item *item;

	if (!object)
		return 1;
	item = new(struct item);
	if (!item) {
		drop(object);
		return 2;
	}
	/* The allocator leaves what was there. */
	object->before = 7;
	object->count = 0;
	item->number = io.arg[0];
	bpf_spin_lock(&object->lock);
	object->count += io.arg[0];
	io.out[0] = bpf_list_push_back_impl(&object->items, &item->list, NULL, 0);
	if (io.arg[1])
		node = bpf_list_pop_front(&object->items);
	bpf_spin_unlock(&object->lock);
	if (node) {
		item = container_of(node, struct item, list);
		io.out[1] = item->number;
		drop(item);
	}
	bpf_spin_lock(&object->lock);
	object->count++;
	bpf_spin_unlock(&object->lock);
	io.out[2] = object->count;
	io.out[3] = object->before;
	drop(object);
	return 0;
}

/* The pointer as the field has it, without taking it out. arg: key, 1 to change the object. */
#define READ_POINTER(map) \
	SEC("tc") int read_##map(struct __sk_buff *skb) \
	{ \
		__u32 key = io.arg[0]; \
		struct pointing *found = bpf_map_lookup_elem(&map, &key); \
		struct tree_leaf *leaf; \
\
		if (!found) \
			return 1; \
		leaf = found->leaf; \
		if (!leaf) \
			return 2; \
		io.out[0] = leaf->key; \
		if (io.arg[1]) \
			leaf->key++; \
		io.out[1] = found->before; \
		io.out[2] = leaf == found->leaf; \
		return 0; \
	}

READ_POINTER(pointers)
READ_POINTER(pointer_hash)

enum { COUNT, PUT_IN, TAKE_OUT, DELETE_KEY, UPDATE_KEY, FILL };

/* arg: operation, key, CPU, number. */
#define ON_COUNTING(map) \
	SEC("xdp") int on_##map(struct xdp_md *ctx) \
	{ \
		__u64 operation = io.arg[0]; \
		__u32 key = io.arg[1]; \
		struct counting fresh = { .before = io.arg[3] }, *found; \
		struct counters *all = NULL, *old, *one; \
		int i; \
\
		if (operation == DELETE_KEY) \
			io.out[0] = bpf_map_delete_elem(&map, &key); \
		if (operation == UPDATE_KEY) \
			io.out[0] = bpf_map_update_elem(&map, &key, &fresh, 0); \
		found = bpf_map_lookup_elem(&map, &key); \
		if (!found) \
			return 1; \
		if (operation == COUNT) { \
			all = found->counters; \
			if (!all) \
				return 2; \
			one = bpf_per_cpu_ptr(all, io.arg[2]); \
			if (!one) \
				return 3; \
			io.out[1] = one->packets; \
			io.out[2] = one->small[2]; \
			io.out[3] = one->part.inner; \
			one->packets += io.arg[3]; \
			one = bpf_this_cpu_ptr(all); \
			io.out[4] = one->packets; \
			return 0; \
		} \
		if (operation == FILL) { \
			all = found->counters; \
			if (!all) \
				return 2; \
			for (i = 0; i < 2; i++) { \
				one = bpf_per_cpu_ptr(all, i); \
				if (!one) \
					return 3; \
				one->packets = io.arg[3] + i; \
				one->small[2] = i; \
				one->part.inner = -i; \
			} \
			return 0; \
		} \
		if (operation == PUT_IN) { \
			all = bpf_percpu_obj_new_impl( \
				__builtin_btf_type_id(*(struct counters *)0, 0), NULL); \
			if (!all) \
				return 4; \
		} \
		if (operation != PUT_IN && operation != TAKE_OUT) \
			return 0; \
		old = bpf_kptr_xchg(&found->counters, all); \
		if (!old) \
			return 5; \
		bpf_percpu_obj_drop_impl(old, NULL); \
		return 0; \
	}

ON_COUNTING(counting)
ON_COUNTING(counting_hash)
