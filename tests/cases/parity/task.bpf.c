// SPDX-License-Identifier: MIT
// The current task and its cgroup, and reads of kernel memory.
#include "io.h"

char buffer[64] SEC(".data.buffer") = {1};

SEC("xdp") int task(struct xdp_md *ctx)
{
	struct bpf_pidns_info info = {};

	io.out[0] = bpf_get_current_pid_tgid();
	io.out[1] = bpf_get_current_uid_gid();
	io.out[2] = bpf_get_numa_node_id();
	io.out[3] = bpf_get_current_cgroup_id();
	io.out[4] = bpf_get_current_ancestor_cgroup_id((int)io.arg[0]);
	io.out[5] = bpf_get_cgroup_classid(ctx);
	io.out[6] = bpf_get_ns_current_pid_tgid(io.arg[1], io.arg[2], &info, sizeof(info));
	io.out[7] = info.pid;
	io.out[8] = info.tgid;
	io.out[9] = bpf_get_ns_current_pid_tgid(io.arg[1], io.arg[2], &info, 4);
	return XDP_PASS;
}

#define COMM(name, size) \
	SEC("xdp") int name(struct xdp_md *ctx) \
	{ \
		__builtin_memset(buffer, 0x5a, sizeof(buffer)); \
		io.out[0] = bpf_get_current_comm(buffer, size); \
		return XDP_PASS; \
	}

COMM(comm_1, 1)
COMM(comm_4, 4)
COMM(comm_16, 16)
COMM(comm_40, 40)

/* arg: length, distance from the start of `io`. */
SEC("xdp") int probe(struct xdp_md *ctx)
{
	__u64 size = io.arg[0] & 31;
	char *here = (char *)&io;

	__builtin_memset(buffer, 0x5a, sizeof(buffer));
	if (size) {
		io.out[0] = bpf_probe_read_kernel(buffer, size, here + 8);
		io.out[1] = bpf_probe_read_kernel_str(buffer + 32, size, here + 16);
	}
	return XDP_PASS;
}

SEC("xdp") int probe_null(struct xdp_md *ctx)
{
	__u64 size = io.arg[0] & 31;

	__builtin_memset(buffer, 0x5a, sizeof(buffer));
	io.out[0] = bpf_probe_read_kernel(buffer, size, NULL);
	io.out[1] = bpf_probe_read_kernel_str(buffer + 32, size, NULL);
	return XDP_PASS;
}

SEC("xdp") int probe_user(struct xdp_md *ctx)
{
	__u64 size = io.arg[0] & 31;

	__builtin_memset(buffer, 0x5a, sizeof(buffer));
	io.out[0] = bpf_probe_read_user(buffer, size, buffer);
	io.out[1] = bpf_probe_read_user_str(buffer + 32, size, buffer);
	io.out[2] = bpf_get_current_task() != 0;
	return XDP_PASS;
}
