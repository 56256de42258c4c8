// SPDX-License-Identifier: GPL-2.0-only
/* A kernel module that gives programs one function and one variable of its own: proof that module BTF works. */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <linux/skbuff.h>

/* 6.1 has neither; from 6.9 a set that BTF_KFUNCS_START did not make is refused. */
#ifndef __bpf_kfunc
#define __bpf_kfunc noinline __used
#endif
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name) BTF_SET8_END(name)
#endif

__diag_push();
__diag_ignore_all("-Wmissing-prototypes", "kernel functions are called from programs only");

/* Length of the packet and both numbers. */
__bpf_kfunc u32 mimicsh_toy_sum(struct __sk_buff *ctx, u32 a, u32 b)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;

	return skb->len + a + b;
}

__diag_pop();

BTF_KFUNCS_START(toy_ids)
BTF_ID_FLAGS(func, mimicsh_toy_sum)
BTF_KFUNCS_END(toy_ids)

static const struct btf_kfunc_id_set toy_set = {
	.owner = THIS_MODULE,
	.set = &toy_ids,
};

static int __init toy_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &toy_set);
}

static void __exit toy_exit(void)
{
}

module_init(toy_init);
module_exit(toy_exit);
MODULE_DESCRIPTION("a kernel function for the tests of mimicsh");
MODULE_LICENSE("GPL");
