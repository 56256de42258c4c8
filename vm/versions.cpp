// SPDX-License-Identifier: MIT
// Rows of what came later than Linux 6.1.
#include "vm/versions.h"

#include <algorithm>
#include <array>
#include <initializer_list>

namespace mimicsh::vm {

namespace {

using enum KernelVersion;
using abi::MapType;
using abi::ProgType;

// -- Helpers: the *_func_proto functions of kernel/bpf/helpers.c, kernel/trace/bpf_trace.c, net/core/filter.c
// --

struct LaterHelper {
    uint32_t id = 0;
    KernelVersion since = V6_12;
    bool tc_and_lwt_before = false; ///< classifiers and lightweight tunnels could always call it
};

constexpr std::array kHelpers{
    LaterHelper{14, V6_12},       // get_current_pid_tgid
    LaterHelper{15, V6_18},       // get_current_uid_gid
    LaterHelper{16, V6_18},       // get_current_comm
    LaterHelper{17, V6_18, true}, // get_cgroup_classid
    LaterHelper{22, V6_18},       // perf_event_read
    LaterHelper{37, V6_18},       // current_task_under_cgroup
    LaterHelper{55, V6_18},       // perf_event_read_value
    LaterHelper{80, V6_12},       // get_current_cgroup_id
    LaterHelper{109, V6_18},      // send_signal
    LaterHelper{117, V6_18},      // send_signal_thread
    LaterHelper{120, V6_12},      // get_ns_current_pid_tgid
    LaterHelper{122, V6_18},      // get_netns_cookie
    LaterHelper{123, V6_12},      // get_current_ancestor_cgroup_id
    LaterHelper{141, V6_18},      // get_task_stack
    LaterHelper{148, V6_18},      // copy_from_user
    LaterHelper{156, V6_18},      // task_storage_get
    LaterHelper{157, V6_18},      // task_storage_delete
    LaterHelper{176, V6_18},      // get_branch_snapshot
    LaterHelper{180, V6_18},      // find_vma
    LaterHelper{191, V6_18},      // copy_from_user_task
    LaterHelper{210, V6_12},      // cgrp_storage_get
    LaterHelper{211, V6_12},      // cgrp_storage_delete
};

/// By id; what is no later helper has a row of Linux 6.1.
constexpr auto kSinceById = [] {
    std::array<LaterHelper, abi::kHelperCount> rows{};
    rows.fill({0, V6_1});
    for (const LaterHelper& helper : kHelpers) {
        rows[helper.id] = helper;
    }
    return rows;
}();

bool is_tc_or_lwt(ProgType type) {
    return type == ProgType::SchedCls || type == ProgType::SchedAct || type == ProgType::LwtIn ||
           type == ProgType::LwtOut || type == ProgType::LwtXmit;
}

// -- Flags --

constexpr std::array kFlags{
    LaterFlags{21, 3, 1u << 4, V6_12, "BPF_F_NO_TUNNEL_KEY"},
    LaterFlags{50, 3, 3u << 7, V6_12, "BPF_F_ADJ_ROOM_DECAP_L3_IPV4, _IPV6"},
    LaterFlags{69, 3, 1u << 5, V6_12, "BPF_FIB_LOOKUP_MARK"},
    LaterFlags{171, 2, 3, V6_12, "BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN"},
};

// -- Kernel functions: BTF_ID_FLAGS rows of kernel/bpf, net/core, net/netfilter; XDP_METADATA_KFUNC_xxx of
// include/net/xdp.h --

constexpr std::array kKfuncs{
    KfuncVersion{"bpf_iter_num_new", V6_12},
    KfuncVersion{"bpf_iter_num_next", V6_12},
    KfuncVersion{"bpf_iter_num_destroy", V6_12},
    KfuncVersion{"bpf_iter_bits_new", V6_12},
    KfuncVersion{"bpf_iter_bits_next", V6_12},
    KfuncVersion{"bpf_iter_bits_destroy", V6_12},
    KfuncVersion{"bpf_dynptr_from_skb", V6_12},
    KfuncVersion{"bpf_dynptr_from_skb_meta", V6_18},
    KfuncVersion{"bpf_xdp_pull_data", V6_18},
    KfuncVersion{"bpf_xdp_metadata_rx_timestamp", V6_12},
    KfuncVersion{"bpf_xdp_metadata_rx_hash", V6_12},
    KfuncVersion{"bpf_xdp_metadata_rx_vlan_tag", V6_12},
    KfuncVersion{"bpf_dynptr_from_xdp", V6_12},
    KfuncVersion{"bpf_dynptr_slice", V6_12},
    KfuncVersion{"bpf_dynptr_slice_rdwr", V6_12},
    KfuncVersion{"bpf_dynptr_adjust", V6_12},
    KfuncVersion{"bpf_dynptr_is_null", V6_12},
    KfuncVersion{"bpf_dynptr_is_rdonly", V6_12},
    KfuncVersion{"bpf_dynptr_size", V6_12},
    KfuncVersion{"bpf_dynptr_clone", V6_12},
    KfuncVersion{"bpf_dynptr_copy", V6_18},
    KfuncVersion{"bpf_dynptr_memset", V6_18},
    KfuncVersion{"bpf_xdp_ct_lookup", V6_1},
    KfuncVersion{"bpf_skb_ct_lookup", V6_1},
    KfuncVersion{"bpf_xdp_ct_alloc", V6_1},
    KfuncVersion{"bpf_skb_ct_alloc", V6_1},
    KfuncVersion{"bpf_ct_insert_entry", V6_1},
    KfuncVersion{"bpf_ct_release", V6_1},
    KfuncVersion{"bpf_ct_set_timeout", V6_1},
    KfuncVersion{"bpf_ct_change_timeout", V6_1},
    KfuncVersion{"bpf_ct_set_status", V6_1},
    KfuncVersion{"bpf_ct_change_status", V6_1},
    KfuncVersion{"bpf_rcu_read_lock", V6_12},
    KfuncVersion{"bpf_rcu_read_unlock", V6_12},
    KfuncVersion{"bpf_preempt_disable", V6_12},
    KfuncVersion{"bpf_preempt_enable", V6_12},
    KfuncVersion{"bpf_local_irq_save", V6_18},
    KfuncVersion{"bpf_local_irq_restore", V6_18},
    KfuncVersion{"bpf_res_spin_lock", V6_18},
    KfuncVersion{"bpf_res_spin_unlock", V6_18},
    KfuncVersion{"bpf_res_spin_lock_irqsave", V6_18},
    KfuncVersion{"bpf_res_spin_unlock_irqrestore", V6_18},
    KfuncVersion{"bpf_map_sum_elem_count", V6_12},
    KfuncVersion{"bpf_stream_vprintk_impl", V6_18},
    KfuncVersion{"bpf_obj_new_impl", V6_12},
    KfuncVersion{"bpf_obj_drop_impl", V6_12},
    KfuncVersion{"bpf_percpu_obj_new_impl", V6_12},
    KfuncVersion{"bpf_percpu_obj_drop_impl", V6_12},
    KfuncVersion{"bpf_refcount_acquire_impl", V6_12},
    KfuncVersion{"bpf_list_push_front_impl", V6_12},
    KfuncVersion{"bpf_list_push_back_impl", V6_12},
    KfuncVersion{"bpf_list_pop_front", V6_12},
    KfuncVersion{"bpf_list_pop_back", V6_12},
    KfuncVersion{"bpf_list_front", V6_18},
    KfuncVersion{"bpf_list_back", V6_18},
    KfuncVersion{"bpf_rbtree_add_impl", V6_12},
    KfuncVersion{"bpf_rbtree_remove", V6_12},
    KfuncVersion{"bpf_rbtree_first", V6_12},
    KfuncVersion{"bpf_rbtree_root", V6_18},
    KfuncVersion{"bpf_rbtree_left", V6_18},
    KfuncVersion{"bpf_rbtree_right", V6_18},
    KfuncVersion{"bpf_arena_alloc_pages", V6_12},
    KfuncVersion{"bpf_arena_free_pages", V6_12},
    KfuncVersion{"bpf_arena_reserve_pages", V6_18},
    KfuncVersion{"bpf_throw", V6_12},
    KfuncVersion{"bpf_wq_init", V6_12},
    KfuncVersion{"bpf_wq_set_callback_impl", V6_12},
    KfuncVersion{"bpf_wq_start", V6_12},
    KfuncVersion{"bpf_strcmp", V6_18},
    KfuncVersion{"bpf_strcasecmp", V6_18},
    KfuncVersion{"bpf_strchr", V6_18},
    KfuncVersion{"bpf_strchrnul", V6_18},
    KfuncVersion{"bpf_strnchr", V6_18},
    KfuncVersion{"bpf_strrchr", V6_18},
    KfuncVersion{"bpf_strlen", V6_18},
    KfuncVersion{"bpf_strnlen", V6_18},
    KfuncVersion{"bpf_strspn", V6_18},
    KfuncVersion{"bpf_strcspn", V6_18},
    KfuncVersion{"bpf_strstr", V6_18},
    KfuncVersion{"bpf_strnstr", V6_18},
    KfuncVersion{"bpf_cast_to_kern_ctx", V6_12},
    KfuncVersion{"bpf_rdonly_cast", V6_12},
    KfuncVersion{"bpf_ct_set_nat_info", V6_1},
    KfuncVersion{"bpf_xdp_get_xfrm_state", V6_12},
    KfuncVersion{"bpf_xdp_xfrm_state_release", V6_12},
};

// -- Fields of map values: btf_parse_fields of kernel/bpf/btf.c --

using FieldKind = HiddenField::Kind;
constexpr std::array kFields{
    FieldVersion{FieldKind::SpinLock, "struct bpf_spin_lock", V6_1},
    FieldVersion{FieldKind::ResSpinLock, "struct bpf_res_spin_lock", V6_18},
    FieldVersion{FieldKind::Timer, "struct bpf_timer", V6_1},
    FieldVersion{FieldKind::Workqueue, "struct bpf_wq", V6_12},
    FieldVersion{FieldKind::TaskWork, "struct bpf_task_work", V6_18},
    FieldVersion{FieldKind::Kptr, "a pointer to an object (__kptr)", V6_1},
    FieldVersion{FieldKind::UntrustedKptr, "a pointer to what may be gone (__kptr_untrusted)", V6_1},
    FieldVersion{FieldKind::UserPtr, "a pointer to memory of the task (__uptr)", V6_18},
    FieldVersion{FieldKind::PercpuKptr, "a pointer to a per-CPU object (__percpu_kptr)", V6_12},
    FieldVersion{FieldKind::ListHead, "struct bpf_list_head", V6_12},
    FieldVersion{FieldKind::ListNode, "struct bpf_list_node", V6_12},
    FieldVersion{FieldKind::RbRoot, "struct bpf_rb_root", V6_12},
    FieldVersion{FieldKind::RbNode, "struct bpf_rb_node", V6_12},
    FieldVersion{FieldKind::Refcount, "struct bpf_refcount", V6_12},
};

} // namespace

std::string_view name(KernelVersion version) {
    constexpr std::string_view kNames[] = {"6.1", "6.12", "6.18"};
    return kNames[static_cast<size_t>(version)];
}

std::optional<KernelVersion> kernel_version(std::string_view wanted) {
    for (const KernelVersion version : kKernelVersions) {
        if (name(version) == wanted) {
            return version;
        }
    }
    return std::nullopt;
}

KernelVersion since_helper(ProgType type, uint32_t id) {
    if (id >= abi::kHelperCount) {
        return V6_1;
    }
    const LaterHelper& row = kSinceById[id];
    return row.tc_and_lwt_before && is_tc_or_lwt(type) ? V6_1 : row.since;
}

KernelVersion since_helper(uint32_t id) {
    return since_helper(ProgType::SchedCls, id);
}

/// check_map_func_compatibility (kernel/bpf/verifier.c).
KernelVersion since_helper_on_map(uint32_t id, MapType type) {
    constexpr uint32_t kKptrXchg = 194;
    const bool storage = type == MapType::SkStorage || type == MapType::TaskStorage;
    return id == kKptrXchg && storage ? V6_12 : V6_1;
}

KernelVersion since_map(MapType type) {
    return type == MapType::CgrpStorage || type == MapType::Arena ? V6_12 : V6_1;
}

std::span<const KfuncVersion> kfunc_versions() {
    return kKfuncs;
}

KernelVersion since_kfunc(std::string_view name) {
    const auto row = std::ranges::find(kKfuncs, name, &KfuncVersion::name);
    return row == kKfuncs.end() ? V6_18 : row->since;
}

std::span<const FieldVersion> field_versions() {
    return kFields;
}

std::span<const LaterFlags> later_flags() {
    return kFlags;
}

const LaterFlags* missing_flags(uint32_t helper, KernelVersion version) {
    const auto row = std::ranges::find(kFlags, helper, &LaterFlags::helper);
    return row != kFlags.end() && version < row->since ? &*row : nullptr;
}

std::string since_text(KernelVersion since, KernelVersion chosen) {
    return "there since Linux " + std::string(name(since)) + ", not in " + std::string(name(chosen));
}

} // namespace mimicsh::vm
