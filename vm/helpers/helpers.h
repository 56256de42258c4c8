// SPDX-License-Identifier: MIT
// The helpers, one function each: args[0..4] are r1-r5, the result goes to r0. A bad argument is a fault.
#pragma once

#include "vm/machine.h"
#include "vm/maps/sock_map.h"

namespace mimicsh::vm {

// maps.cpp
uint64_t helper_map_lookup_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_update_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_delete_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_lookup_percpu_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_push_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_pop_elem(Machine& machine, const uint64_t* args);
uint64_t helper_map_peek_elem(Machine& machine, const uint64_t* args);
uint64_t helper_for_each_map_elem(Machine& machine, const uint64_t* args);
/// Map that a helper was given; null and a fault when it is none, or of a type that the helper does not take.
[[nodiscard]] VmMap* map_argument(Machine& machine, uint64_t addr, uint32_t helper);

// system.cpp
uint64_t helper_ktime_get_ns(Machine& machine, const uint64_t* args);
uint64_t helper_ktime_get_boot_ns(Machine& machine, const uint64_t* args);
uint64_t helper_ktime_get_coarse_ns(Machine& machine, const uint64_t* args);
uint64_t helper_ktime_get_tai_ns(Machine& machine, const uint64_t* args);
uint64_t helper_jiffies64(Machine& machine, const uint64_t* args);
uint64_t helper_get_prandom_u32(Machine& machine, const uint64_t* args);
uint64_t helper_get_numa_node_id(Machine& machine, const uint64_t* args);
uint64_t helper_get_smp_processor_id(Machine& machine, const uint64_t* args);
uint64_t helper_loop(Machine& machine, const uint64_t* args);

// print.cpp
uint64_t helper_trace_printk(Machine& machine, const uint64_t* args);
uint64_t helper_trace_vprintk(Machine& machine, const uint64_t* args);
uint64_t helper_snprintf(Machine& machine, const uint64_t* args);

// print_btf.cpp
uint64_t helper_snprintf_btf(Machine& machine, const uint64_t* args);

// strings.cpp
uint64_t helper_strtol(Machine& machine, const uint64_t* args);
uint64_t helper_strtoul(Machine& machine, const uint64_t* args);
uint64_t helper_strncmp(Machine& machine, const uint64_t* args);

// checksum.cpp
uint64_t helper_csum_diff(Machine& machine, const uint64_t* args);

// storage.cpp
uint64_t helper_get_local_storage(Machine& machine, const uint64_t* args);
uint64_t helper_sk_storage_get(Machine& machine, const uint64_t* args);
uint64_t helper_sk_storage_delete(Machine& machine, const uint64_t* args);
uint64_t helper_task_storage_get(Machine& machine, const uint64_t* args);
uint64_t helper_task_storage_delete(Machine& machine, const uint64_t* args);
uint64_t helper_cgrp_storage_get(Machine& machine, const uint64_t* args);
uint64_t helper_cgrp_storage_delete(Machine& machine, const uint64_t* args);

// socket.cpp
uint64_t helper_skc_to_tcp_sock(Machine& machine, const uint64_t* args);
uint64_t helper_skc_to_tcp6_sock(Machine& machine, const uint64_t* args);
uint64_t helper_skc_to_tcp_timewait_sock(Machine& machine, const uint64_t* args);
uint64_t helper_skc_to_tcp_request_sock(Machine& machine, const uint64_t* args);
uint64_t helper_skc_to_udp6_sock(Machine& machine, const uint64_t* args);
/// bpf_skc_to_unix_sock and bpf_skc_to_mptcp_sock: null, since no scripted socket is one.
uint64_t helper_skc_to_other_sock(Machine& machine, const uint64_t* args);
/// bpf_map_lookup_elem and bpf_map_update_elem on maps of sockets.
[[nodiscard]] uint64_t look_up_socket(Machine& machine, SockMap& map, uint64_t key);
[[nodiscard]] uint64_t update_socket(Machine& machine, SockMap& map, const uint64_t* args);
/// Place in the world of a socket argument that is a full socket; nothing for others, a fault when it is
/// none.
[[nodiscard]] std::optional<uint32_t> full_socket(Machine& machine, uint64_t addr, const char* helper);

// xdp.cpp
uint64_t helper_redirect(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_adjust_head(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_adjust_tail(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_adjust_meta(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_get_buff_len(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_load_bytes(Machine& machine, const uint64_t* args);
uint64_t helper_xdp_store_bytes(Machine& machine, const uint64_t* args);

// skb.cpp, skb_checksum.cpp, skb_vlan.cpp, skb_room.cpp, skb_redirect.cpp, lwt.cpp
/// bpf_skb_store_bytes from host bytes; its result. Packet pointers stay good.
[[nodiscard]] int64_t store_in_skb(Machine& machine, uint32_t offset, const uint8_t* from, uint32_t size,
                                   uint64_t flags);
uint64_t helper_skb_store_bytes(Machine& machine, const uint64_t* args);
uint64_t helper_skb_load_bytes(Machine& machine, const uint64_t* args);
uint64_t helper_skb_load_bytes_relative(Machine& machine, const uint64_t* args);
uint64_t helper_skb_pull_data(Machine& machine, const uint64_t* args);
uint64_t helper_l3_csum_replace(Machine& machine, const uint64_t* args);
uint64_t helper_l4_csum_replace(Machine& machine, const uint64_t* args);
uint64_t helper_csum_update(Machine& machine, const uint64_t* args);
uint64_t helper_csum_level(Machine& machine, const uint64_t* args);
uint64_t helper_skb_vlan_push(Machine& machine, const uint64_t* args);
uint64_t helper_skb_vlan_pop(Machine& machine, const uint64_t* args);
uint64_t helper_skb_change_type(Machine& machine, const uint64_t* args);
uint64_t helper_skb_change_proto(Machine& machine, const uint64_t* args);
uint64_t helper_skb_change_tail(Machine& machine, const uint64_t* args);
uint64_t helper_skb_change_head(Machine& machine, const uint64_t* args);
uint64_t helper_skb_adjust_room(Machine& machine, const uint64_t* args);
uint64_t helper_skb_ecn_set_ce(Machine& machine, const uint64_t* args);
uint64_t helper_set_hash_invalid(Machine& machine, const uint64_t* args);
uint64_t helper_set_hash(Machine& machine, const uint64_t* args);
uint64_t helper_skb_set_tstamp(Machine& machine, const uint64_t* args);
uint64_t helper_redirect_peer(Machine& machine, const uint64_t* args);
uint64_t helper_redirect_neigh(Machine& machine, const uint64_t* args);
uint64_t helper_clone_redirect(Machine& machine, const uint64_t* args);
uint64_t helper_get_hash_recalc(Machine& machine, const uint64_t* args);
uint64_t helper_lwt_push_encap(Machine& machine, const uint64_t* args);

// tunnel.cpp
uint64_t helper_skb_get_tunnel_key(Machine& machine, const uint64_t* args);
uint64_t helper_skb_set_tunnel_key(Machine& machine, const uint64_t* args);
uint64_t helper_skb_get_tunnel_opt(Machine& machine, const uint64_t* args);
uint64_t helper_skb_set_tunnel_opt(Machine& machine, const uint64_t* args);
uint64_t helper_skb_get_xfrm_state(Machine& machine, const uint64_t* args);

// cgroup.cpp
uint64_t helper_skb_under_cgroup(Machine& machine, const uint64_t* args);
uint64_t helper_current_task_under_cgroup(Machine& machine, const uint64_t* args);
uint64_t helper_skb_cgroup_id(Machine& machine, const uint64_t* args);
uint64_t helper_skb_ancestor_cgroup_id(Machine& machine, const uint64_t* args);
uint64_t helper_skb_cgroup_classid(Machine& machine, const uint64_t* args);
uint64_t helper_sk_cgroup_id(Machine& machine, const uint64_t* args);
uint64_t helper_sk_ancestor_cgroup_id(Machine& machine, const uint64_t* args);

// network.cpp
uint64_t helper_fib_lookup(Machine& machine, const uint64_t* args);
uint64_t helper_check_mtu(Machine& machine, const uint64_t* args);

// socket.cpp
/// Makes the images that programs read of all scripted sockets.
void fill_sockets(Machine& machine);
/// The region of a socket buffer's socket, once `fill_sockets` has run.
[[nodiscard]] Region buffer_socket_region(Machine& machine);
/// Index in Machine::sockets of the one that the socket buffer belongs to: the run's own, a scripted one, or
/// the one a test run makes; nothing = none.
[[nodiscard]] std::optional<uint32_t> buffer_socket(const Machine& machine);
/// Whether a run was given it.
[[nodiscard]] bool has_run_socket(const Machine& machine);
/// The socket buffer as it leaves: with the tag that is kept beside it.
[[nodiscard]] ByteVec leaving_frame(Machine& machine);
/// Gives a test run's socket what the context shows of it; address of the buffer's socket, 0 without one.
[[nodiscard]] uint64_t set_buffer_socket(Machine& machine);
/// Whether struct bpf_sock can be read like that; `full` is false for a struct sock_common.
[[nodiscard]] bool is_sock_field(uint32_t offset, uint32_t size, bool full);
/// What a load of that field leaves in the 64-bit register: the kernel's rewriting gives -1 for "no queue".
[[nodiscard]] uint64_t widen_sock_field(uint32_t offset, uint64_t value);
uint64_t helper_sk_lookup_tcp(Machine& machine, const uint64_t* args);
uint64_t helper_sk_lookup_udp(Machine& machine, const uint64_t* args);
uint64_t helper_skc_lookup_tcp(Machine& machine, const uint64_t* args);
uint64_t helper_sk_release(Machine& machine, const uint64_t* args);
uint64_t helper_sk_assign(Machine& machine, const uint64_t* args);
uint64_t helper_sk_fullsock(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_sock(Machine& machine, const uint64_t* args);
uint64_t helper_get_listener_sock(Machine& machine, const uint64_t* args);

/// Index in the world of the socket that an argument points to; nothing = fault pending.
[[nodiscard]] std::optional<uint32_t> socket_index(Machine& machine, uint64_t addr, const char* helper);

// syncookie.cpp
uint64_t helper_tcp_gen_syncookie(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_check_syncookie(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_raw_gen_syncookie_ipv4(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_raw_gen_syncookie_ipv6(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_raw_check_syncookie_ipv4(Machine& machine, const uint64_t* args);
uint64_t helper_tcp_raw_check_syncookie_ipv6(Machine& machine, const uint64_t* args);

// task.cpp
uint64_t helper_get_current_pid_tgid(Machine& machine, const uint64_t* args);
uint64_t helper_get_current_uid_gid(Machine& machine, const uint64_t* args);
uint64_t helper_get_current_comm(Machine& machine, const uint64_t* args);
uint64_t helper_get_ns_current_pid_tgid(Machine& machine, const uint64_t* args);
uint64_t helper_get_task_stack(Machine& machine, const uint64_t* args);
uint64_t helper_task_pt_regs(Machine& machine, const uint64_t* args);
uint64_t helper_get_current_task(Machine& machine, const uint64_t* args);
uint64_t helper_get_cgroup_classid(Machine& machine, const uint64_t* args);
uint64_t helper_get_current_cgroup_id(Machine& machine, const uint64_t* args);
uint64_t helper_get_current_ancestor_cgroup_id(Machine& machine, const uint64_t* args);
uint64_t helper_get_route_realm(Machine& machine, const uint64_t* args);
uint64_t helper_get_socket_cookie(Machine& machine, const uint64_t* args);
uint64_t helper_get_socket_uid(Machine& machine, const uint64_t* args);
uint64_t helper_get_netns_cookie(Machine& machine, const uint64_t* args);
uint64_t helper_probe_read_kernel(Machine& machine, const uint64_t* args);
uint64_t helper_probe_read_kernel_str(Machine& machine, const uint64_t* args);
uint64_t helper_probe_read_user(Machine& machine, const uint64_t* args);
uint64_t helper_probe_read_user_str(Machine& machine, const uint64_t* args);

// user.cpp
/// A helper that the embedder gave, by the id of the call instruction.
uint64_t helper_from_outside(Machine& machine, const uint64_t* args);

// inputs.cpp
/// A call that differs by nature (object/align.h), by the id of the call instruction; notes its result.
uint64_t helper_of_input(Machine& machine, const uint64_t* args);

// ringbuf.cpp
uint64_t helper_ringbuf_output(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_reserve(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_submit(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_discard(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_query(Machine& machine, const uint64_t* args);

// locks.cpp
uint64_t helper_spin_lock(Machine& machine, const uint64_t* args);
uint64_t helper_spin_unlock(Machine& machine, const uint64_t* args);

// timer.cpp
uint64_t helper_timer_init(Machine& machine, const uint64_t* args);
uint64_t helper_timer_set_callback(Machine& machine, const uint64_t* args);
uint64_t helper_timer_start(Machine& machine, const uint64_t* args);
uint64_t helper_timer_cancel(Machine& machine, const uint64_t* args);

// redirect_map.cpp
uint64_t helper_redirect_map(Machine& machine, const uint64_t* args);

// perf.cpp
uint64_t helper_perf_event_output(Machine& machine, const uint64_t* args);

/// Looking through a list of the run's takes steps of the budget when the list is long. False: a fault is
/// pending.
[[nodiscard]] inline bool spend_on(Machine& machine, size_t entries) {
    constexpr size_t kEntriesPerStep = 256;
    return entries < kEntriesPerStep || machine.spend(entries / kEntriesPerStep);
}

/// Bytes from the packet's start, fragments included.
[[nodiscard]] uint64_t packet_length(const PacketState& packet);
/// Copies between the packet (linear part, then fragments) and host bytes; all must be there.
void copy_packet(PacketState& packet, uint64_t offset, uint8_t* bytes, uint64_t size, bool to_packet);

// kfuncs/objects.cpp
uint64_t helper_kptr_xchg(Machine& machine, const uint64_t* args);
uint64_t helper_per_cpu_ptr(Machine& machine, const uint64_t* args);
uint64_t helper_this_cpu_ptr(Machine& machine, const uint64_t* args);

// user_ringbuf.cpp
uint64_t helper_user_ringbuf_drain(Machine& machine, const uint64_t* args);

// kfuncs/dynptr.cpp
/// Makes a dynptr of the run known; gives the word that stands for it in the program's memory.
[[nodiscard]] uint64_t add_dynptr(Machine& machine, const Dynptr& value);
uint64_t helper_dynptr_from_mem(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_reserve_dynptr(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_submit_dynptr(Machine& machine, const uint64_t* args);
uint64_t helper_ringbuf_discard_dynptr(Machine& machine, const uint64_t* args);
uint64_t helper_dynptr_read(Machine& machine, const uint64_t* args);
uint64_t helper_dynptr_write(Machine& machine, const uint64_t* args);
uint64_t helper_dynptr_data(Machine& machine, const uint64_t* args);

/// A negative errno as r0 carries it.
[[nodiscard]] constexpr uint64_t errno_result(int64_t negative) {
    return static_cast<uint64_t>(negative);
}

} // namespace mimicsh::vm
