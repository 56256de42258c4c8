// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Kernel configuration values, kernel symbols typed and untyped, and kernel functions.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern const void schedule __ksym;
extern const void no_such_symbol __ksym __weak;

/* A forward declaration would not do: libbpf compares kinds of types through pointers. */
struct task_struct {
	int pid;
};

extern struct task_struct *bpf_task_from_pid(int pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *) __ksym __weak;

__u64 out[4];

SEC("socket")
int config(struct __sk_buff *skb)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_NO_SUCH_OPTION;
	out[2] = (__u64)&schedule;
	out[3] = (__u64)&no_such_symbol;
	return 0;
}

SEC("syscall")
int tasks(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1);

	if (!task)
		return 1;
	bpf_task_release(task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
