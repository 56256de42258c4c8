// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Numbers from text, text from numbers, comparison.
#include "io.h"

char text[128] SEC(".data.text") = {1};
char out[128] SEC(".data.out") = {1};

/* arg: length, flags. */
SEC("xdp")
int number(struct xdp_md *ctx)
{
	__u64 length = io.arg[0] & 127;
	long value = 77;
	unsigned long plain = 77;

	if (!length)
		return XDP_ABORTED;
	io.out[0] = bpf_strtol(text, length, io.arg[1], &value);
	io.out[1] = value;
	io.out[2] = bpf_strtoul(text, length, io.arg[1], &plain);
	io.out[3] = plain;
	return XDP_PASS;
}

static const char words[4][8] = { "", "filter", "filters", "\377" };

SEC("xdp")
int compare(struct xdp_md *ctx)
{
	__u64 length = io.arg[0] & 127;

	if (!length)
		return XDP_ABORTED;
	io.out[0] = bpf_strncmp(text, length, words[0]);
	io.out[1] = bpf_strncmp(text, length, words[1]);
	io.out[2] = bpf_strncmp(text, length, words[2]);
	io.out[3] = bpf_strncmp(text, length, words[3]);
	return XDP_PASS;
}

/* An address that stays an instruction's business: data cannot hold it. */
#define ADDRESS(thing) ({ const void *here = thing; asm volatile("" : "+r"(here)); (__u64)here; })

#define PRINT(number, format, ...) \
	case number: { \
		static const char kept[] = format; \
		__u64 data[] = { __VA_ARGS__ }; \
		io.out[0] = bpf_snprintf(out, size, kept, data, sizeof(data)); \
		io.out[1] = bpf_snprintf(NULL, 0, kept, data, sizeof(data)); \
		break; \
	}

/* arg: format, size, values. */
SEC("xdp")
int print(struct xdp_md *ctx)
{
	__u64 size = io.arg[1] & 127, a = io.arg[2], b = io.arg[3], c = io.arg[4];
	unsigned char address[16];

	__builtin_memcpy(address, &io.arg[2], 16);
	switch (io.arg[0]) {
	PRINT(0, "plain", 0)
	PRINT(1, "%d %u %x", a, b, c)
	PRINT(2, "%lld|%llu|%llx|%ld", a, b, c, a)
	PRINT(3, "%5d|%-8u|%08x|%+d|% d", a, b, c, a, b)
	PRINT(4, "%c%c%c%%", a, b, c)
	PRINT(5, "%20lld|%-20llx|%020llx", a, b, c)
	PRINT(6, "%pI4 %pi4 %pI6 %pi6", ADDRESS(address), ADDRESS(address), ADDRESS(address), ADDRESS(address))
	PRINT(7, "<%s> <%12s> <%-12s>", ADDRESS(words[1]), ADDRESS(words[2]), ADDRESS(words[1]))
	PRINT(8, "%d %d %d %d %d %d %d %d %d %d %d %d", a, b, c, a, b, c, a, b, c, a, b, c)
	PRINT(9, "%120d", a)
	PRINT(10, "%X %i", a, b)
	PRINT(11, "two\nlines\t%d\n", a)
	PRINT(12, "%px|%20px|%-20px|%05px|%pxz", a, b, c, a, b)
	PRINT(13, "%ps|%20pS|%-20ps|%pB|%psz", a, b, c, a, b)
	PRINT(14, "%20pI4|%pI4z%-50pi6|", ADDRESS(address), ADDRESS(address), ADDRESS(address))
	PRINT(15, "%020pks|%-9pks.%05s|%pus|", ADDRESS(&io.arg[5]), ADDRESS(words[1]), ADDRESS(&io.arg[5]), ADDRESS(words[1]))
	PRINT(16, "%s|%pI4|%pks|%pi6", 0, 0, 0, 0)
	PRINT(17, "%9000000d %4294967297d", a, b)
	PRINT(18, "%pI6 %d %lld %c %s", ADDRESS(address), a, b, c, ADDRESS(words[1]))
	}
	return XDP_PASS;
}
