// SPDX-License-Identifier: MIT
// The current task and its cgroup, and reads of kernel memory.
#include "io.h"

#include <bpf/bpf_core_read.h>

__u64 calls[128] SEC(".data.calls") = {1};
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

static long count_call(__u32 i, void *other)
{
	__u64 *call = &calls[i & 127];

	if (*call == 0x5a5a5a5a5a5a5a5aULL)
		io.out[1]++; /* not written */
	else if (io.out[0] > 1024 || i * 8 >= io.out[0])
		io.out[2] += *call != 0; /* behind the last call */
	else if (!(io.arg[1] & BPF_F_USER_BUILD_ID))
		io.out[3] += *call != 0;
	*call = 0;
	return 0;
}

/* arg: bytes, flags. What the addresses are differs by nature, so they are counted and forgotten. */
SEC("xdp") int stack(struct xdp_md *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	__builtin_memset(calls, 0x5a, sizeof(calls));
	io.out[0] = bpf_get_task_stack(task, calls, io.arg[0] & 1023, io.arg[1]);
	bpf_loop(128, count_call, NULL, 0);
	return XDP_PASS;
}

struct pt_regs {
	unsigned long orig_ax, di;
} __attribute__((preserve_access_index));

SEC("xdp") int registers(struct xdp_md *ctx)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());

	if (bpf_core_field_exists(regs->orig_ax)) {
		io.out[0] = regs->orig_ax;
		io.out[1] = regs->di;
	}
	return XDP_PASS;
}
