// SPDX-License-Identifier: MIT
// Storage of the current task, of its cgroup, of the test run's cgroup and socket; fields of the task.
#include "io.h"
#include "objects.h"
#include <bpf/bpf_core_read.h>

/* Newer than Debian's headers. */
#define CGRP_STORAGE 32
static void *(*cgrp_storage_get)(void *map, void *cgroup, void *value, __u64 flags) = (void *)210;
static long (*cgrp_storage_delete)(void *map, void *cgroup) = (void *)211;

struct value {
	__u64 number;
	char text[20];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} of_task SEC(".maps");

struct {
	__uint(type, CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} of_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} of_socket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct value);
} of_run SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct value);
} of_run_percpu SEC(".maps");

struct guarded {
	struct bpf_spin_lock lock;
	__u32 count;
	__u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, struct guarded);
} guarded_run SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct guarded);
} guarded_socket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct guarded);
} guarded_task SEC(".maps");

struct owned {
	__u64 number;
};

/* Of a struct as such clang 14 loses the tag. */
typedef struct owned owned_type;

struct owner {
	__u64 before;
	struct bpf_spin_lock lock;
	__u32 between;
	owned_type __kptr *object;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owner_task SEC(".maps");

struct {
	__uint(type, CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owner_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owner_socket SEC(".maps");

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct css_set *cgroups;
} __attribute__((preserve_access_index));

/* Notes what a storage value holds, and changes it. */
static __always_inline void note(int at, struct value *value)
{
	io.out[at] = value != 0;
	if (!value)
		return;
	io.out[at + 1] = value->number;
	io.out[at + 2] = value->text[3];
	value->number += 10;
	value->text[3] = 'x';
}

SEC("tc")
int task(struct __sk_buff *ctx)
{
	struct task_struct *me = bpf_get_current_task_btf();
	struct value first = {.number = 5, .text = "abcdef"};

	note(0, bpf_task_storage_get(&of_task, me, 0, io.arg[0]));
	note(3, bpf_task_storage_get(&of_task, me, &first, io.arg[1]));
	note(6, bpf_task_storage_get(&of_task, me, 0, 0));
	io.out[9] = bpf_task_storage_delete(&of_task, me);
	io.out[10] = bpf_task_storage_delete(&of_task, me);
	note(11, bpf_task_storage_get(&of_task, me, &first, io.arg[2]));
	note(14, bpf_task_storage_get(&of_task, me, 0, io.arg[2]));
	if (io.arg[3])
		io.out[17] = bpf_task_storage_delete(&of_task, me);
	return 0;
}

SEC("tc")
int task_fields(struct __sk_buff *ctx)
{
	struct task_struct *me = bpf_get_current_task_btf();
	char name[16] = {};

	io.out[0] = me->pid == (int)bpf_get_current_pid_tgid();
	io.out[1] = me->tgid == (int)(bpf_get_current_pid_tgid() >> 32);
	io.out[2] = me->comm[1];
	io.out[3] = bpf_probe_read_kernel(name, sizeof(name), me->comm);
	io.out[4] = *(__u64 *)name == *(__u64 *)me->comm;
	io.out[5] = bpf_probe_read_kernel_str(name, sizeof(name), me->comm);
	io.out[6] = me->cgroups->dfl_cgrp->kn->id == bpf_get_current_cgroup_id();
	io.out[7] = BPF_CORE_READ(me, cgroups, dfl_cgrp, kn, id) == bpf_get_current_cgroup_id();
	return 0;
}

SEC("tc")
int cgroup(struct __sk_buff *ctx)
{
	struct task_struct *me = bpf_get_current_task_btf();
	struct cgroup *mine = me->cgroups->dfl_cgrp;
	struct value first = {.number = 7, .text = "cgroup"};

	note(0, cgrp_storage_get(&of_cgroup, mine, 0, io.arg[0]));
	note(3, cgrp_storage_get(&of_cgroup, mine, &first, io.arg[1]));
	note(6, cgrp_storage_get(&of_cgroup, mine, 0, 0));
	io.out[9] = cgrp_storage_delete(&of_cgroup, mine);
	io.out[10] = cgrp_storage_delete(&of_cgroup, mine);
	return 0;
}

SEC("cgroup_skb/egress")
int run(struct __sk_buff *ctx)
{
	note(0, bpf_get_local_storage(&of_run, 0));
	note(3, bpf_get_local_storage(&of_run, 0));
	note(6, bpf_get_local_storage(&of_run_percpu, 0));
	note(9, bpf_get_local_storage(&of_run_percpu, 0));
	return 1;
}

SEC("tc")
int socket(struct __sk_buff *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct value first = {.number = 9, .text = "socket"};

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	io.out[0] = sk != 0;
	if (!sk)
		return 2;
	note(1, bpf_sk_storage_get(&of_socket, sk, 0, io.arg[0]));
	note(4, bpf_sk_storage_get(&of_socket, sk, &first, io.arg[1]));
	note(7, bpf_sk_storage_get(&of_socket, sk, 0, 0));
	io.out[10] = bpf_sk_storage_delete(&of_socket, sk);
	io.out[11] = bpf_sk_storage_delete(&of_socket, sk);
	note(12, bpf_sk_storage_get(&of_socket, sk, 0, io.arg[2]));
	return 0;
}

static __always_inline void count_under_lock(struct guarded *value, int at)
{
	if (!value)
		return;
	bpf_spin_lock(&value->lock);
	value->count++;
	value->sum += io.arg[0];
	io.out[at] = value->count;
	io.out[at + 1] = value->sum;
	bpf_spin_unlock(&value->lock);
}

SEC("cgroup_skb/egress")
int locks(struct __sk_buff *skb)
{
	struct guarded first = {.sum = 7};
	struct bpf_sock *sk = skb->sk;

	count_under_lock(bpf_get_local_storage(&guarded_run, 0), 0);
	count_under_lock(bpf_task_storage_get(&guarded_task, bpf_get_current_task_btf(), &first, 1), 2);
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk) {
		count_under_lock(bpf_sk_storage_get(&guarded_socket, sk, &first, 1), 4);
		count_under_lock(bpf_sk_storage_get(&guarded_socket, sk, &first, 0), 6);
	}
	return 1;
}

/* Puts a new object in and looks at what was there. */
static __always_inline void exchange(struct owner *value, int at, __u64 number)
{
	struct owned *fresh, *old;

	io.out[at] = value != 0;
	if (!value)
		return;
	io.out[at + 1] = value->before++;
	fresh = new(struct owned);
	if (!fresh)
		return;
	fresh->number = number;
	old = bpf_kptr_xchg(&value->object, fresh);
	if (!old)
		return;
	io.out[at + 2] = old->number;
	drop(old);
}

/* arg: number, 1 to leave the task its value. */
SEC("tc")
int owners(struct __sk_buff *ctx)
{
	struct task_struct *me = bpf_get_current_task_btf();
	struct cgroup *mine = me->cgroups->dfl_cgrp;
	struct owner first = {.before = 40};
	struct bpf_sock *sk = ctx->sk;

	exchange(bpf_task_storage_get(&owner_task, me, &first, 1), 0, io.arg[0]);
	exchange(bpf_task_storage_get(&owner_task, me, 0, 0), 3, io.arg[0] + 1);
	if (!io.arg[1])
		io.out[6] = bpf_task_storage_delete(&owner_task, me);
	exchange(cgrp_storage_get(&owner_cgroup, mine, 0, 1), 7, io.arg[0] + 2);
	io.out[10] = cgrp_storage_delete(&owner_cgroup, mine);
	exchange(cgrp_storage_get(&owner_cgroup, mine, &first, 1), 11, io.arg[0] + 3);
	io.out[14] = cgrp_storage_delete(&owner_cgroup, mine);
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	exchange(bpf_sk_storage_get(&owner_socket, sk, &first, 1), 15, io.arg[0] + 4);
	exchange(bpf_sk_storage_get(&owner_socket, sk, 0, 0), 18, io.arg[0] + 5);
	io.out[21] = bpf_sk_storage_delete(&owner_socket, sk);
	exchange(bpf_sk_storage_get(&owner_socket, sk, 0, 1), 22, io.arg[0] + 6);
	return 0;
}
