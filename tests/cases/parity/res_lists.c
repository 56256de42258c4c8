// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lists and trees that a bpf_res_spin_lock guards: in values of maps, in a data section, in an object.
#include "io.h"
#include "objects.h"

struct bpf_res_spin_lock {
	__u32 val;
};

extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;

struct item {
	__u64 number;
	struct bpf_list_node list;
};

struct leaf {
	__u64 key;
	struct bpf_rb_node node;
};

struct value {
	__u64 before;
	struct bpf_res_spin_lock lock;
	struct bpf_list_head head __contains(item, list);
};

#define MAP(name, map_type) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, 2); \
		__type(key, __u32); \
		__type(value, struct value); \
	} name SEC(".maps")

MAP(array, BPF_MAP_TYPE_ARRAY);
MAP(hash, BPF_MAP_TYPE_HASH);

SEC(".data.tree") __attribute__((visibility("hidden"), aligned(8))) struct bpf_res_spin_lock tree_lock;
SEC(".data.tree") __attribute__((visibility("hidden"), aligned(8))) struct bpf_rb_root tree __contains(leaf, node);

enum { PUSH_FRONT, PUSH_BACK, POP_FRONT, POP_BACK, UPDATE };

static __always_inline struct item *item_of(__u64 number)
{
	struct item *item = new(struct item);

	if (item)
		item->number = number;
	return item;
}

/* What was taken out, to out[at]. */
static __always_inline void give_back(struct bpf_list_node *node, int at)
{
	struct item *item;

	if (!node)
		return;
	item = container_of(node, struct item, list);
	io.out[at] = item->number + 1;
	drop(item);
}

/* arg: operation, number, key. */
#define ON_LIST(map) \
	SEC("tc") int on_##map(struct __sk_buff *skb) \
	{ \
		__u32 key = io.arg[2]; \
		struct value fresh = { .before = io.arg[1] }, *found; \
		struct bpf_list_node *node, *front; \
		unsigned long flags; \
		struct item *item; \
\
		if (io.arg[0] == UPDATE) \
			io.out[0] = bpf_map_update_elem(&map, &key, &fresh, 0); \
		found = bpf_map_lookup_elem(&map, &key); \
		if (!found) \
			return 1; \
		if (io.arg[0] <= PUSH_BACK) { \
			item = item_of(io.arg[1]); \
			if (!item) \
				return 2; \
			if (bpf_res_spin_lock(&found->lock)) { \
				drop(item); \
				return 3; \
			} \
			if (io.arg[0] == PUSH_FRONT) \
				io.out[1] = bpf_list_push_front_impl(&found->head, &item->list, NULL, 0); \
			else \
				io.out[1] = bpf_list_push_back_impl(&found->head, &item->list, NULL, 0); \
			bpf_res_spin_unlock(&found->lock); \
			return 0; \
		} \
		if (bpf_res_spin_lock_irqsave(&found->lock, &flags)) \
			return 4; \
		front = bpf_list_front(&found->head); \
		if (front) \
			io.out[2] = container_of(front, struct item, list)->number; \
		if (io.arg[0] == POP_FRONT) \
			node = bpf_list_pop_front(&found->head); \
		else \
			node = bpf_list_pop_back(&found->head); \
		bpf_res_spin_unlock_irqrestore(&found->lock, &flags); \
		give_back(node, 3); \
		return 0; \
	}

ON_LIST(array)
ON_LIST(hash)

/* From the list of one key to that of another, under the locks of both. arg: keys. */
SEC("tc")
int move(struct __sk_buff *skb)
{
	__u32 a = io.arg[0], b = io.arg[1];
	struct value *from = bpf_map_lookup_elem(&array, &a), *to = bpf_map_lookup_elem(&array, &b);
	struct bpf_list_node *node;
	struct item *item;

	if (!from || !to)
		return 1;
	io.out[0] = bpf_res_spin_lock(&from->lock);
	if (io.out[0])
		return 2;
	io.out[1] = bpf_res_spin_lock(&to->lock);
	if (io.out[1]) {
		bpf_res_spin_unlock(&from->lock);
		return 3;
	}
	node = bpf_list_pop_front(&from->head);
	if (node) {
		item = container_of(node, struct item, list);
		io.out[2] = item->number;
		io.out[3] = bpf_list_push_back_impl(&to->head, &item->list, NULL, 0);
	}
	bpf_res_spin_unlock(&to->lock);
	bpf_res_spin_unlock(&from->lock);
	return 0;
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->key < container_of(b, struct leaf, node)->key;
}

/* arg: key, 1 to take the first out. */
SEC("tc")
int on_tree(struct __sk_buff *skb)
{
	struct leaf *leaf = new(struct leaf);
	struct bpf_rb_node *first, *removed = NULL;

	if (!leaf)
		return 1;
	leaf->key = io.arg[0];
	if (bpf_res_spin_lock(&tree_lock)) {
		drop(leaf);
		return 2;
	}
	io.out[0] = bpf_rbtree_add_impl(&tree, &leaf->node, less, NULL, 0);
	first = bpf_rbtree_first(&tree);
	if (first) {
		io.out[1] = container_of(first, struct leaf, node)->key;
		if (io.arg[1])
			removed = bpf_rbtree_remove(&tree, first);
	}
	bpf_res_spin_unlock(&tree_lock);
	if (removed) {
		leaf = container_of(removed, struct leaf, node);
		io.out[2] = leaf->key;
		drop(leaf);
	}
	return 0;
}

struct locked_object {
	struct bpf_list_head items __contains(item, list);
	struct bpf_res_spin_lock lock;
};

/* arg: number, 1 to take the item back out. */
SEC("tc")
int in_object(struct __sk_buff *skb)
{
	struct locked_object *object = new(struct locked_object);
	struct bpf_list_node *node = NULL;
	struct item *item;

	if (!object)
		return 1;
	item = item_of(io.arg[0]);
	if (!item) {
		drop(object);
		return 2;
	}
	if (bpf_res_spin_lock(&object->lock)) {
		drop(item);
		drop(object);
		return 3;
	}
	io.out[0] = bpf_list_push_back_impl(&object->items, &item->list, NULL, 0);
	if (io.arg[1])
		node = bpf_list_pop_front(&object->items);
	bpf_res_spin_unlock(&object->lock);
	give_back(node, 1);
	drop(object);
	return 0;
}
