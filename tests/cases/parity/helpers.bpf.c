// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Helpers that do not touch the packet: checksums, loops, the CPU, printing, tail calls.
#include "io.h"

char bytes[1024] SEC(".data.bytes") = {1};

SEC("xdp")
int csum(struct xdp_md *ctx)
{
	__u32 from = io.arg[0] & 511;
	__u32 to = io.arg[1] & 511;

	io.out[0] = bpf_csum_diff((__be32 *)bytes, from, (__be32 *)(bytes + 512), to, (__u32)io.arg[2]);
	io.out[1] = bpf_csum_diff(NULL, 0, (__be32 *)(bytes + 512), to, (__u32)io.arg[2]);
	io.out[2] = bpf_csum_diff((__be32 *)bytes, from, NULL, 0, (__u32)io.arg[2]);
	io.out[3] = bpf_csum_diff(NULL, 0, NULL, 0, (__u32)io.arg[2]);
	return XDP_PASS;
}

struct loop_state {
	__u64 stop_at;
	__u64 calls;
	__u64 sum;
};

static long step(__u32 index, void *context)
{
	struct loop_state *state = context;

	state->calls++;
	state->sum += index;
	return index == state->stop_at;
}

static long nested(__u32 index, void *context)
{
	return bpf_loop(index & 3, step, context, 0) < 0;
}

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	struct loop_state state = { .stop_at = io.arg[1] };

	io.out[0] = bpf_loop((__u32)io.arg[0], step, &state, 0);
	io.out[1] = state.calls;
	io.out[2] = state.sum;
	io.out[3] = bpf_loop((__u32)io.arg[2], nested, &state, 0);
	io.out[4] = state.calls;
	io.out[5] = state.sum;
	io.out[6] = bpf_loop(3, step, &state, io.arg[3]);
	return XDP_PASS;
}

SEC("xdp")
int cpu(struct xdp_md *ctx)
{
	io.out[0] = bpf_get_smp_processor_id();
	return XDP_PASS;
}

/* Time and randomness differ by nature: only what must hold on both goes out. */
SEC("xdp")
int moving(struct xdp_md *ctx)
{
	__u64 a = bpf_ktime_get_ns();
	__u64 b = bpf_ktime_get_ns();
	__u64 random = bpf_get_prandom_u32();

	io.out[0] = b >= a && a != 0;
	io.out[1] = bpf_ktime_get_boot_ns() != 0;
	io.out[2] = bpf_ktime_get_coarse_ns() != 0;
	io.out[3] = bpf_jiffies64() != 0;
	io.out[4] = bpf_ktime_get_tai_ns() != 0;
	io.out[5] = random >> 32;
	return XDP_PASS;
}

#define PRINT(number, format, ...) \
	case number: { \
		static const char text[] = format; \
		io.out[0] = bpf_trace_printk(text, sizeof(text), ##__VA_ARGS__); \
		break; \
	}

/* Formats are constants to the verifier, so each has a branch. Values come from the host. */
SEC("xdp")
int print(struct xdp_md *ctx)
{
	__u64 a = io.arg[1], b = io.arg[2], c = io.arg[3];
	static const char unterminated[3] = { 'a', 'b', 'c' };

	switch (io.arg[0]) {
	PRINT(0, "plain\n")
	PRINT(1, "")
	PRINT(2, "%d", (int)a)
	PRINT(3, "%d %u %x\n", (int)a, (int)b, (int)c)
	PRINT(4, "%ld %lu %lx", a, b, c)
	PRINT(5, "%lld %llu %llx", a, b, c)
	PRINT(6, "%i|%5d|%-5d", (int)a, (int)b, (int)c)
	PRINT(7, "%05d %08x %X", (int)a, (int)b, (int)c)
	PRINT(8, "%c%c%c", 'x', 'y', 'z')
	PRINT(9, "100%%")
	PRINT(10, "%", a)
	PRINT(11, "%d %d", (int)a)
	PRINT(12, "%f", a)
	PRINT(13, "%hd", a)
	PRINT(14, "%hhx", a)
	PRINT(15, "%o", a)
	PRINT(16, "%n", a)
	PRINT(17, "%llld", a)
	PRINT(18, "%12345d", (int)a)
	PRINT(19, "%*d", (int)a, (int)b)
	PRINT(20, "%.3d", (int)a)
	PRINT(21, "%#x", (int)a)
	PRINT(22, "tab\tand\nline", a)
	PRINT(23, "caf\303\251", a)
	PRINT(24, "bell\a", a)
	PRINT(25, "%pX", a)
	PRINT(26, "%lc", a)
	PRINT(27, "% d|%+d", (int)a, (int)b)
	PRINT(28, "%20lld|%-20llx|", a, b)
	PRINT(29, "%d%", (int)a)
	PRINT(30, "no conversion", a, b, c)
	PRINT(31, "%zu", a)
	PRINT(32, "%10c|", 'q')
	PRINT(33, "%l", a)
	PRINT(34, "%lX %llX", a, b)
	PRINT(35, "x\x80\x9f\xa0\xff", a)
	PRINT(36, "delete\x7f", a)
	case 100:
		io.out[0] = bpf_trace_printk(unterminated, sizeof(unterminated));
		break;
	default:
		io.out[0] = 4711;
	}
	return XDP_PASS;
}

SEC("xdp")
int print_addresses(struct xdp_md *ctx)
{
	static const char v4[] = "%pI4 %pi4", v6[] = "%pI6 %pi6", string[] = "%s|";
	__u64 address[2] = { io.arg[1], io.arg[2] };

	io.out[0] = bpf_trace_printk(v4, sizeof(v4), address, address);
	io.out[1] = bpf_trace_printk(v6, sizeof(v6), address, address);
	io.out[2] = bpf_trace_printk(string, sizeof(string), bytes);
	return XDP_PASS;
}

SEC("xdp")
int print_many(struct xdp_md *ctx)
{
	static const char five[] = "%d %u %x %lld %llx";
	static const char none[] = "none";
	__u64 values[12] = { io.arg[1], io.arg[2], io.arg[3], io.arg[4], io.arg[5] };

	io.out[0] = bpf_trace_vprintk(five, sizeof(five), values, 40);
	io.out[1] = bpf_trace_vprintk(five, sizeof(five), values, 32);
	io.out[2] = bpf_trace_vprintk(five, sizeof(five), values, 41);
	io.out[3] = bpf_trace_vprintk(five, sizeof(five), values, 96);
	io.out[4] = bpf_trace_vprintk(none, sizeof(none), NULL, 0);
	return XDP_PASS;
}
