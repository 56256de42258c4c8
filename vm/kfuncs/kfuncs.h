// SPDX-License-Identifier: MIT
// Kernel functions that programs can call, one function each; called like helpers. A bad argument is a fault.
#pragma once

#include <span>
#include <string_view>

#include "vm/machine.h"
#include "vm/support.h"

namespace mimicsh::vm {

struct KfuncRow {
    std::string_view name;
    HelperFn function = nullptr;
    std::string_view test; ///< GoogleTest name that compares it with the kernel
    std::string_view note;
    State state = State::Emulated;
};

/// Why kfuncs that are not emulated have no place here.
struct KfuncReason {
    std::string_view name; ///< a family when it ends in '*'
    std::string_view text;
};

[[nodiscard]] std::span<const KfuncReason> kfunc_reasons();
/// The text for a kfunc, empty when it only has not been built.
[[nodiscard]] std::string_view kfunc_reason(std::string_view name);

/// Emulated kfuncs, by family.
[[nodiscard]] std::span<const KfuncRow> kfunc_rows();
/// Implementation of a kfunc, null when it is not emulated.
[[nodiscard]] HelperFn kfunc_function(std::string_view name);

// iterators.cpp
uint64_t kfunc_iter_num_new(Machine& machine, const uint64_t* args);
uint64_t kfunc_iter_num_next(Machine& machine, const uint64_t* args);
uint64_t kfunc_iter_num_destroy(Machine& machine, const uint64_t* args);
uint64_t kfunc_iter_bits_new(Machine& machine, const uint64_t* args);
uint64_t kfunc_iter_bits_next(Machine& machine, const uint64_t* args);
uint64_t kfunc_iter_bits_destroy(Machine& machine, const uint64_t* args);

// res_locks.cpp
uint64_t kfunc_res_spin_lock(Machine& machine, const uint64_t* args);
uint64_t kfunc_res_spin_unlock(Machine& machine, const uint64_t* args);
uint64_t kfunc_res_spin_lock_irqsave(Machine& machine, const uint64_t* args);
uint64_t kfunc_res_spin_unlock_irqrestore(Machine& machine, const uint64_t* args);
uint64_t kfunc_local_irq_save(Machine& machine, const uint64_t* args);
uint64_t kfunc_local_irq_restore(Machine& machine, const uint64_t* args);

// helpers/maps.cpp, helpers/print.cpp
uint64_t kfunc_map_sum_elem_count(Machine& machine, const uint64_t* args);
uint64_t kfunc_stream_vprintk(Machine& machine, const uint64_t* args);

// dynptr.cpp
uint64_t kfunc_dynptr_from_skb(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_from_skb_meta(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_from_xdp(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_slice(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_slice_rdwr(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_adjust(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_is_null(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_is_rdonly(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_size(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_clone(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_copy(Machine& machine, const uint64_t* args);
uint64_t kfunc_dynptr_memset(Machine& machine, const uint64_t* args);

// xdp.cpp
uint64_t kfunc_xdp_pull_data(Machine& machine, const uint64_t* args);
uint64_t kfunc_xdp_metadata_rx_timestamp(Machine& machine, const uint64_t* args);
uint64_t kfunc_xdp_metadata_rx_hash(Machine& machine, const uint64_t* args);
uint64_t kfunc_xdp_metadata_rx_vlan_tag(Machine& machine, const uint64_t* args);

// kernel_context.cpp
uint64_t kfunc_cast_to_kern_ctx(Machine& machine, const uint64_t* args);
uint64_t kfunc_rdonly_cast(Machine& machine, const uint64_t* args);

// conntrack.cpp
uint64_t kfunc_xdp_ct_lookup(Machine& machine, const uint64_t* args);
uint64_t kfunc_skb_ct_lookup(Machine& machine, const uint64_t* args);
uint64_t kfunc_xdp_ct_alloc(Machine& machine, const uint64_t* args);
uint64_t kfunc_skb_ct_alloc(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_insert_entry(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_release(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_set_timeout(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_change_timeout(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_set_status(Machine& machine, const uint64_t* args);
uint64_t kfunc_ct_change_status(Machine& machine, const uint64_t* args);

// conntrack_entry.cpp
uint64_t kfunc_ct_set_nat_info(Machine& machine, const uint64_t* args);

// xfrm.cpp
uint64_t kfunc_xdp_get_xfrm_state(Machine& machine, const uint64_t* args);
uint64_t kfunc_xdp_xfrm_state_release(Machine& machine, const uint64_t* args);

// sections.cpp
uint64_t kfunc_rcu_read_lock(Machine& machine, const uint64_t* args);
uint64_t kfunc_rcu_read_unlock(Machine& machine, const uint64_t* args);
uint64_t kfunc_preempt_disable(Machine& machine, const uint64_t* args);
uint64_t kfunc_preempt_enable(Machine& machine, const uint64_t* args);

// exceptions.cpp
uint64_t kfunc_throw(Machine& machine, const uint64_t* args);

// objects.cpp, rbtree.cpp
uint64_t kfunc_obj_new(Machine& machine, const uint64_t* args);
uint64_t kfunc_obj_drop(Machine& machine, const uint64_t* args);
uint64_t kfunc_percpu_obj_new(Machine& machine, const uint64_t* args);
uint64_t kfunc_percpu_obj_drop(Machine& machine, const uint64_t* args);
uint64_t kfunc_refcount_acquire(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_push_front(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_push_back(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_pop_front(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_pop_back(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_front(Machine& machine, const uint64_t* args);
uint64_t kfunc_list_back(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_add(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_remove(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_first(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_root(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_left(Machine& machine, const uint64_t* args);
uint64_t kfunc_rbtree_right(Machine& machine, const uint64_t* args);

// helpers/timer.cpp
uint64_t kfunc_wq_init(Machine& machine, const uint64_t* args);
uint64_t kfunc_wq_set_callback(Machine& machine, const uint64_t* args);
uint64_t kfunc_wq_start(Machine& machine, const uint64_t* args);

// strings.cpp
uint64_t kfunc_strcmp(Machine& machine, const uint64_t* args);
uint64_t kfunc_strcasecmp(Machine& machine, const uint64_t* args);
uint64_t kfunc_strchr(Machine& machine, const uint64_t* args);
uint64_t kfunc_strchrnul(Machine& machine, const uint64_t* args);
uint64_t kfunc_strnchr(Machine& machine, const uint64_t* args);
uint64_t kfunc_strrchr(Machine& machine, const uint64_t* args);
uint64_t kfunc_strlen(Machine& machine, const uint64_t* args);
uint64_t kfunc_strnlen(Machine& machine, const uint64_t* args);
uint64_t kfunc_strspn(Machine& machine, const uint64_t* args);
uint64_t kfunc_strcspn(Machine& machine, const uint64_t* args);
uint64_t kfunc_strstr(Machine& machine, const uint64_t* args);
uint64_t kfunc_strnstr(Machine& machine, const uint64_t* args);

} // namespace mimicsh::vm
