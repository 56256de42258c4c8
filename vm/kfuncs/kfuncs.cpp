// SPDX-License-Identifier: MIT
// The table of emulated kfuncs.
#include "vm/kfuncs/kfuncs.h"

#include <algorithm>
#include <array>

#include "vm/kfuncs/arena.h"

namespace mimicsh::vm {

namespace {

constexpr std::array kRows{
    KfuncRow{"bpf_iter_num_new", kfunc_iter_num_new, "KfuncParity.IterNum", ""},
    KfuncRow{"bpf_iter_num_next", kfunc_iter_num_next, "KfuncParity.IterNum", ""},
    KfuncRow{"bpf_iter_num_destroy", kfunc_iter_num_destroy, "KfuncParity.IterNum", ""},
    KfuncRow{"bpf_iter_bits_new", kfunc_iter_bits_new, "KfuncParity.IterBits", ""},
    KfuncRow{"bpf_iter_bits_next", kfunc_iter_bits_next, "KfuncParity.IterBits", ""},
    KfuncRow{"bpf_iter_bits_destroy", kfunc_iter_bits_destroy, "KfuncParity.IterBits", ""},
    KfuncRow{"bpf_dynptr_from_skb", kfunc_dynptr_from_skb, "KfuncParity.DynptrOnPackets", ""},
    KfuncRow{"bpf_dynptr_from_skb_meta", kfunc_dynptr_from_skb_meta, "XdpFrags.SkbMetadata",
             "a test run has none: empty"},
    KfuncRow{"bpf_xdp_pull_data", kfunc_xdp_pull_data, "XdpFrags.PullData", ""},
    KfuncRow{"bpf_xdp_metadata_rx_timestamp", kfunc_xdp_metadata_rx_timestamp, "XdpFrags.CardMetadata",
             "world.rx; the kernel loads it for one card only", State::Scripted},
    KfuncRow{"bpf_xdp_metadata_rx_hash", kfunc_xdp_metadata_rx_hash, "XdpFrags.CardMetadata",
             "world.rx; as above", State::Scripted},
    KfuncRow{"bpf_xdp_metadata_rx_vlan_tag", kfunc_xdp_metadata_rx_vlan_tag, "XdpFrags.CardMetadata",
             "world.rx; as above", State::Scripted},
    KfuncRow{"bpf_dynptr_from_xdp", kfunc_dynptr_from_xdp, "KfuncParity.DynptrOnPackets", ""},
    KfuncRow{"bpf_dynptr_slice", kfunc_dynptr_slice, "KfuncParity.DynptrOnPackets", ""},
    KfuncRow{"bpf_dynptr_slice_rdwr", kfunc_dynptr_slice_rdwr, "KfuncParity.DynptrOnPackets", ""},
    KfuncRow{"bpf_dynptr_adjust", kfunc_dynptr_adjust, "KfuncParity.DynptrBounds", ""},
    KfuncRow{"bpf_dynptr_is_null", kfunc_dynptr_is_null, "KfuncParity.DynptrBounds", ""},
    KfuncRow{"bpf_dynptr_is_rdonly", kfunc_dynptr_is_rdonly, "KfuncParity.DynptrBounds", ""},
    KfuncRow{"bpf_dynptr_size", kfunc_dynptr_size, "KfuncParity.DynptrBounds", ""},
    KfuncRow{"bpf_dynptr_clone", kfunc_dynptr_clone, "KfuncParity.DynptrBounds", ""},
    KfuncRow{"bpf_dynptr_copy", kfunc_dynptr_copy, "DynptrMoves.Copies", ""},
    KfuncRow{"bpf_dynptr_memset", kfunc_dynptr_memset, "DynptrMoves.Fills", ""},
    KfuncRow{"bpf_cast_to_kern_ctx", kfunc_cast_to_kern_ctx, "WorldParity.KernelContext",
             "fields from run and world; no bit fields", State::Scripted},
    KfuncRow{"bpf_rdonly_cast", kfunc_rdonly_cast, "WorldParity.KernelContext",
             "of the context, sockets and skb_shared_info; world.kernel", State::Scripted},
    KfuncRow{"bpf_xdp_ct_lookup", kfunc_xdp_ct_lookup, "ConntrackParity.EntriesOfConnections",
             "world.conntrack; fields of struct nf_conn"},
    KfuncRow{"bpf_skb_ct_lookup", kfunc_skb_ct_lookup, "ConntrackParity.EntriesOfConnections", "as above"},
    KfuncRow{"bpf_xdp_ct_alloc", kfunc_xdp_ct_alloc, "WorldParity.Conntrack", "as above"},
    KfuncRow{"bpf_skb_ct_alloc", kfunc_skb_ct_alloc, "WorldParity.Conntrack", "as above"},
    KfuncRow{"bpf_ct_insert_entry", kfunc_ct_insert_entry, "WorldParity.Conntrack",
             "entries stay for later runs, until their time is over; at most world.conntrack_max"},
    KfuncRow{"bpf_ct_release", kfunc_ct_release, "WorldParity.Conntrack", ""},
    KfuncRow{"bpf_ct_set_timeout", kfunc_ct_set_timeout, "ConntrackParity.EntriesExpire", ""},
    KfuncRow{"bpf_ct_change_timeout", kfunc_ct_change_timeout, "WorldParity.Conntrack",
             "on the clock that advance moves"},
    KfuncRow{"bpf_ct_set_status", kfunc_ct_set_status, "WorldParity.Conntrack", ""},
    KfuncRow{"bpf_ct_change_status", kfunc_ct_change_status, "WorldParity.Conntrack", ""},
    KfuncRow{"bpf_ct_set_nat_info", kfunc_ct_set_nat_info, "WorldParity.ConntrackFields",
             "a source port that is taken is replaced at random"},
    KfuncRow{"bpf_xdp_get_xfrm_state", kfunc_xdp_get_xfrm_state, "WorldParity.XfrmStates",
             "world.xfrm_states", State::Scripted},
    KfuncRow{"bpf_xdp_xfrm_state_release", kfunc_xdp_xfrm_state_release, "WorldParity.XfrmStates", ""},
    KfuncRow{"bpf_rcu_read_lock", kfunc_rcu_read_lock, "KfuncParity.Sections", ""},
    KfuncRow{"bpf_rcu_read_unlock", kfunc_rcu_read_unlock, "KfuncParity.Sections", ""},
    KfuncRow{"bpf_preempt_disable", kfunc_preempt_disable, "KfuncParity.Sections", ""},
    KfuncRow{"bpf_preempt_enable", kfunc_preempt_enable, "KfuncParity.Sections", ""},
    KfuncRow{"bpf_local_irq_save", kfunc_local_irq_save, "KfuncParity.Interrupts", ""},
    KfuncRow{"bpf_local_irq_restore", kfunc_local_irq_restore, "KfuncParity.Interrupts", ""},
    KfuncRow{"bpf_res_spin_lock", kfunc_res_spin_lock, "KfuncParity.ResilientLocks",
             "-ETIMEDOUT only where emulated CPUs wait for each other in a circle"},
    KfuncRow{"bpf_res_spin_unlock", kfunc_res_spin_unlock, "KfuncParity.ResilientLocks", ""},
    KfuncRow{"bpf_res_spin_lock_irqsave", kfunc_res_spin_lock_irqsave, "KfuncParity.ResilientLocks", ""},
    KfuncRow{"bpf_res_spin_unlock_irqrestore", kfunc_res_spin_unlock_irqrestore, "KfuncParity.ResilientLocks",
             ""},
    KfuncRow{"bpf_map_sum_elem_count", kfunc_map_sum_elem_count, "KfuncParity.ElementCounts", ""},
    KfuncRow{"bpf_stream_vprintk_impl", kfunc_stream_vprintk, "KfuncParity.Streams",
             "lines go to the Result's log"},
    KfuncRow{"bpf_obj_new_impl", kfunc_obj_new, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_obj_drop_impl", kfunc_obj_drop, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_percpu_obj_new_impl", kfunc_percpu_obj_new, "ObjectParity.PercpuObjects", ""},
    KfuncRow{"bpf_percpu_obj_drop_impl", kfunc_percpu_obj_drop, "ObjectParity.PercpuObjects", ""},
    KfuncRow{"bpf_refcount_acquire_impl", kfunc_refcount_acquire, "ObjectParity.References", ""},
    KfuncRow{"bpf_list_push_front_impl", kfunc_list_push_front, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_list_push_back_impl", kfunc_list_push_back, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_list_pop_front", kfunc_list_pop_front, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_list_pop_back", kfunc_list_pop_back, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_list_front", kfunc_list_front, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_list_back", kfunc_list_back, "ObjectParity.Lists", ""},
    KfuncRow{"bpf_rbtree_add_impl", kfunc_rbtree_add, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_rbtree_remove", kfunc_rbtree_remove, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_rbtree_first", kfunc_rbtree_first, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_rbtree_root", kfunc_rbtree_root, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_rbtree_left", kfunc_rbtree_left, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_rbtree_right", kfunc_rbtree_right, "ObjectParity.Trees", ""},
    KfuncRow{"bpf_arena_alloc_pages", kfunc_arena_alloc_pages, "ArenaPages.Edges",
             "where programs may sleep: in the function of a bpf_wq"},
    KfuncRow{"bpf_arena_free_pages", kfunc_arena_free_pages, "ArenaPages.Edges", "as above"},
    KfuncRow{"bpf_arena_reserve_pages", kfunc_arena_reserve_pages, "ArenaPages.Edges", "as above"},
    KfuncRow{"bpf_throw", kfunc_throw, "ExceptionParity.Throws",
             "a fault in a program that a subprogram tail-called"},
    KfuncRow{"bpf_wq_init", kfunc_wq_init, "TimerParity.Workqueues", ""},
    KfuncRow{"bpf_wq_set_callback_impl", kfunc_wq_set_callback, "TimerParity.Workqueues", ""},
    KfuncRow{"bpf_wq_start", kfunc_wq_start, "TimerParity.Workqueues", "runs when the clock is advanced"},
    KfuncRow{"bpf_strcmp", kfunc_strcmp, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strcasecmp", kfunc_strcasecmp, "KfuncParity.Strings", "ISO 8859-1, as the kernel has it"},
    KfuncRow{"bpf_strchr", kfunc_strchr, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strchrnul", kfunc_strchrnul, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strnchr", kfunc_strnchr, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strrchr", kfunc_strrchr, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strlen", kfunc_strlen, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strnlen", kfunc_strnlen, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strspn", kfunc_strspn, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strcspn", kfunc_strcspn, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strstr", kfunc_strstr, "KfuncParity.Strings", ""},
    KfuncRow{"bpf_strnstr", kfunc_strnstr, "KfuncParity.Strings", ""},
};

constexpr std::array kReasons{
    KfuncReason{"bpf_cpumask_*", "programs on packets may not call it"},
    KfuncReason{"bpf_crypto_*", "there is no cryptographic library behind it"},
    KfuncReason{"bpf_skb_set_fou_encap", "needs a device of the kernel's module fou"},
    KfuncReason{"bpf_skb_get_fou_encap", "needs a device of the kernel's module fou"},
    KfuncReason{"bpf_skb_set_xfrm_info", "needs a device of the kernel's module xfrm_interface"},
    KfuncReason{"bpf_skb_get_xfrm_info", "needs a device of the kernel's module xfrm_interface"},
    KfuncReason{"bpf_sk_assign_tcp_reqsk", "makes a socket that the kernel's TCP would go on with"},
    KfuncReason{"bpf_sock_addr_set_sun_path", "is for programs on socket addresses"},
    KfuncReason{"bpf_sock_ops_enable_tx_tstamp", "is for programs on events of sockets"},
    KfuncReason{"bpf_sock_destroy", "is for iterators over sockets"},
    KfuncReason{"bpf_iter_css_*", "walks lists of the kernel's, of which there are none here"},
    KfuncReason{"bpf_iter_task_*", "walks lists of the kernel's, of which there are none here"},
    KfuncReason{"bpf_iter_dmabuf_*", "walks lists of the kernel's, of which there are none here"},
    KfuncReason{"bpf_iter_kmem_cache_*", "walks lists of the kernel's, of which there are none here"},
    KfuncReason{"bpf_task_*", "there are no tasks to refer to here: world.task answers helpers"},
    KfuncReason{"bpf_cgroup_*", "there are no cgroups to refer to here: world.cgroup answers helpers"},
    KfuncReason{"bpf_send_signal_task", "there are no tasks to signal here"},
    KfuncReason{"bpf_get_kmem_cache", "there is no kernel memory here"},
    KfuncReason{"bpf_probe_read_kernel_*", "there is no kernel memory here"},
    KfuncReason{"bpf_probe_read_user_*", "there is no user memory here"},
    KfuncReason{"bpf_copy_from_user_*", "there is no user memory here"},
    KfuncReason{"bpf_key_put", "there are no key rings here"},
    KfuncReason{"bpf_lookup_system_key", "there are no key rings here"},
    KfuncReason{"bpf_lookup_user_key", "there are no key rings here"},
    KfuncReason{"bpf_kfunc_call_*", "is for the kernel's own tests"},
    KfuncReason{"bpf_modify_return_*", "is for the kernel's own tests"},
    KfuncReason{"__bpf_trap", "stands where the compiler saw undefined behaviour"},
};

} // namespace

std::span<const KfuncReason> kfunc_reasons() {
    return kReasons;
}

std::string_view kfunc_reason(std::string_view name) {
    const auto found = std::ranges::find_if(kReasons, [&](const KfuncReason& one) {
        return one.name.ends_with('*') ? name.starts_with(one.name.substr(0, one.name.size() - 1))
                                       : name == one.name;
    });
    return found == kReasons.end() ? std::string_view{} : found->text;
}

std::span<const KfuncRow> kfunc_rows() {
    return kRows;
}

HelperFn kfunc_function(std::string_view name) {
    const auto row = std::ranges::find(kRows, name, &KfuncRow::name);
    return row == kRows.end() ? nullptr : row->function;
}

} // namespace mimicsh::vm
