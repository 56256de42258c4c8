// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Options of the kernel's build, of each type that libbpf knows.
#include <stdbool.h>
#include "io.h"

#define CONFIG(type, name) extern type name __kconfig __weak
#define HERE(type, name) extern type name __kconfig

HERE(int, LINUX_KERNEL_VERSION);
HERE(bool, LINUX_HAS_SYSCALL_WRAPPER);
CONFIG(bool, LINUX_HAS_BPF_COOKIE);
CONFIG(bool, CONFIG_BPF_SYSCALL);
CONFIG(char, CONFIG_BPF_JIT);
CONFIG(enum libbpf_tristate, CONFIG_NET);
CONFIG(int, CONFIG_HZ);
CONFIG(unsigned long, CONFIG_NR_CPUS);
CONFIG(char, CONFIG_MISSING_LETTER);
CONFIG(unsigned short, CONFIG_MISSING_NUMBER);
extern const char CONFIG_DEFAULT_HOSTNAME[6] __kconfig __weak;
extern const char CONFIG_CC_VERSION_TEXT[40] __kconfig __weak;
extern int bpf_no_such_function(int value) __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

SEC("xdp")
int options(struct xdp_md *ctx)
{
	io.out[0] = LINUX_KERNEL_VERSION;
	io.out[1] = LINUX_HAS_SYSCALL_WRAPPER;
	io.out[2] = LINUX_HAS_BPF_COOKIE;
	io.out[3] = CONFIG_BPF_SYSCALL;
	io.out[4] = CONFIG_BPF_JIT;
	io.out[5] = CONFIG_NET;
	io.out[6] = CONFIG_HZ;
	io.out[7] = CONFIG_NR_CPUS;
	io.out[8] = CONFIG_MISSING_LETTER;
	io.out[9] = CONFIG_MISSING_NUMBER;
	for (int i = 0; i < 6; i++)
		io.out[10 + i] = CONFIG_DEFAULT_HOSTNAME[i];
	for (int i = 0; i < 38; i++)
		io.out[16 + i] = CONFIG_CC_VERSION_TEXT[i];
	return LINUX_KERNEL_VERSION >= 0x060000 ? XDP_PASS : XDP_DROP;
}

/* What is weak and not there is 0, and a call of it that is never reached loads. */
SEC("xdp")
int weak(struct xdp_md *ctx)
{
	if (bpf_no_such_function)
		io.out[0] = bpf_no_such_function(1);
	if (bpf_rcu_read_lock) {
		bpf_rcu_read_lock();
		io.out[1] = 1;
		bpf_rcu_read_unlock();
	}
	return XDP_PASS;
}
