// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Histogram of frame lengths by powers of two, mean and variance in fixed point, outliers marked on tc.
#include "packet.h"

struct {
	__u64 buckets[16];
	__u64 count, sum, squares;
	__u32 smallest, largest;
} lengths = {.smallest = ~0U};

static __always_inline __u32 log2_of(__u32 v)
{
	__u32 r = (v > 0xffff) << 4, shift;

	v >>= r;
	shift = (v > 0xff) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 3) << 1;
	v >>= shift;
	r |= shift;
	return r | v >> 1;
}

SEC("tc")
int length_histogram(struct __sk_buff *skb)
{
	__u32 length = skb->len;

	lengths.buckets[log2_of(length) & 15]++;
	lengths.count++;
	lengths.sum += length;
	lengths.squares += (__u64)length * length;
	if (length < lengths.smallest)
		lengths.smallest = length;
	if (length > lengths.largest)
		lengths.largest = length;
	__u64 mean = (lengths.sum << 8) / lengths.count;
	__u64 variance = (lengths.squares << 8) / lengths.count - (mean * mean >> 8);
	__s64 distance = ((__s64)length << 8) - (__s64)mean;

	if ((__u64)(distance * distance) >> 8 > 4 * variance) {
		skb->mark = mean;
		return TC_ACT_SHOT;
	}
	return distance < 0 ? TC_ACT_OK : TC_ACT_PIPE;
}
