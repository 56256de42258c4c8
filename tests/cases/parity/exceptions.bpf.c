// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Exceptions: thrown from the program and from subprograms.
#include "io.h"

extern void bpf_throw(__u64 cookie) __ksym;

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

static __noinline int deepest(__u64 cookie)
{
	io.out[3]++;
	if (cookie & 1)
		bpf_throw(cookie);
	io.out[4]++;
	return 1;
}

static __noinline int deeper(__u64 cookie)
{
	int result = deepest(cookie);

	io.out[5]++;
	return result + 1;
}

__noinline int global(__u64 cookie)
{
	return deeper(cookie) + 1;
}

/* arg: where to throw, cookie. */
static __always_inline int throws(void)
{
	io.out[0] = 1;
	switch (io.arg[0]) {
	case 0:
		bpf_throw(io.arg[1]);
		break;
	case 1:
		io.out[1] = deeper(io.arg[1]);
		break;
	case 2:
		io.out[1] = global(io.arg[1]);
		break;
	}
	io.out[2] = 1;
	return 77;
}

static __noinline int half(__u64 cookie)
{
	io.out[6]++;
	return (int)(cookie / 2);
}

__noinline int handler(__u64 cookie)
{
	io.out[7] = cookie;
	return half(cookie) + 100;
}

SEC("tc")
int plain(struct __sk_buff *skb)
{
	return throws();
}

SEC("tc")
__exception_cb(handler)
int handled(struct __sk_buff *skb)
{
	return throws();
}

SEC("xdp")
__exception_cb(handler)
int handled_xdp(struct xdp_md *ctx)
{
	return throws();
}
