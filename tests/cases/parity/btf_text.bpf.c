// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Values of the kernel's types as text: arguments are the type's id, the size of
// the buffer less one, the flags, and whether the pointer is null.
#include "io.h"

struct pointer {
	void *value;
	__u32 type, flags;
};

char text[65536] SEC(".data.text") = {1};
char value[16384] SEC(".data.value") = {1};

static __always_inline int write(void)
{
	struct pointer pointer = {.value = io.arg[3] ? NULL : value, .type = io.arg[0]};
	__u64 size = (io.arg[1] & 0xffff) + 1;

	io.out[0] = bpf_snprintf_btf(text, size, (struct btf_ptr *)&pointer, sizeof(pointer), io.arg[2]);
	return 0;
}

SEC("tc")
int on_tc(struct __sk_buff *skb)
{
	return write();
}

SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	return write();
}

SEC("tc")
int short_pointer(struct __sk_buff *skb)
{
	struct pointer pointer = {.value = value, .type = io.arg[0]};

	io.out[0] = bpf_snprintf_btf(text, 64, (struct btf_ptr *)&pointer, 12, io.arg[2]);
	return 0;
}
