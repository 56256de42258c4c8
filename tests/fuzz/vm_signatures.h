// SPDX-License-Identifier: MIT
// What helpers and kfuncs take, one letter per argument, so that calls get past the first check.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mimicsh::fuzz {

// c context     m map          K key        V value       B buffer      S size of the buffer before or behind
// X text        N number       Z flags      F function    D dynptr      I iterator or saved flags
// T timer, lock, list head or pointer in a map's value    R result of an earlier call      Y type id
struct HelperSignature {
    uint32_t id;
    std::string_view arguments;
};

inline constexpr std::array kHelperSignatures{
    HelperSignature{1, "mK"},      HelperSignature{2, "mKVZ"},    HelperSignature{3, "mK"},
    HelperSignature{6, "XSNNN"},   HelperSignature{9, "cNBSZ"},   HelperSignature{10, "cNNNZ"},
    HelperSignature{11, "cNNNZ"},  HelperSignature{12, "cmN"},    HelperSignature{13, "cNZ"},
    HelperSignature{16, "BS"},     HelperSignature{17, "c"},      HelperSignature{18, "cNN"},
    HelperSignature{19, "c"},      HelperSignature{20, "cBSZ"},   HelperSignature{21, "cBSZ"},
    HelperSignature{23, "NZ"},     HelperSignature{24, "c"},      HelperSignature{25, "cmZBS"},
    HelperSignature{26, "cNBS"},   HelperSignature{28, "BSBSN"},  HelperSignature{29, "cBS"},
    HelperSignature{30, "cBS"},    HelperSignature{31, "cNZ"},    HelperSignature{32, "cN"},
    HelperSignature{33, "cmN"},    HelperSignature{34, "c"},      HelperSignature{37, "mN"},
    HelperSignature{38, "cNZ"},    HelperSignature{39, "cN"},     HelperSignature{40, "cN"},
    HelperSignature{41, "c"},      HelperSignature{43, "cNZ"},    HelperSignature{44, "cN"},
    HelperSignature{46, "c"},      HelperSignature{47, "c"},      HelperSignature{48, "cN"},
    HelperSignature{50, "cNNZ"},   HelperSignature{51, "mNZ"},    HelperSignature{54, "cN"},
    HelperSignature{65, "cN"},     HelperSignature{66, "cNBSZ"},  HelperSignature{68, "cNBSN"},
    HelperSignature{69, "cBSZ"},   HelperSignature{73, "cNBS"},   HelperSignature{79, "c"},
    HelperSignature{83, "cN"},     HelperSignature{84, "cBSNZ"},  HelperSignature{85, "cBSNZ"},
    HelperSignature{86, "R"},      HelperSignature{87, "mVZ"},    HelperSignature{88, "mV"},
    HelperSignature{89, "mV"},     HelperSignature{93, "T"},      HelperSignature{94, "T"},
    HelperSignature{95, "R"},      HelperSignature{96, "R"},      HelperSignature{97, "c"},
    HelperSignature{98, "R"},      HelperSignature{99, "cBSNZ"},  HelperSignature{100, "RBSBS"},
    HelperSignature{105, "XSZB"},  HelperSignature{106, "XSZB"},  HelperSignature{107, "mRVZ"},
    HelperSignature{108, "mR"},    HelperSignature{110, "RBSBS"}, HelperSignature{112, "BSR"},
    HelperSignature{113, "BSR"},   HelperSignature{114, "BSR"},   HelperSignature{115, "BSX"},
    HelperSignature{120, "NNBS"},  HelperSignature{122, "c"},     HelperSignature{123, "N"},
    HelperSignature{124, "cRZ"},   HelperSignature{128, "R"},     HelperSignature{129, "RN"},
    HelperSignature{130, "mBSZ"},  HelperSignature{131, "mSZ"},   HelperSignature{132, "RZ"},
    HelperSignature{133, "RZ"},    HelperSignature{134, "mN"},    HelperSignature{135, "cN"},
    HelperSignature{141, "RBSZ"},  HelperSignature{151, "c"},     HelperSignature{152, "NBSZ"},
    HelperSignature{155, "NZ"},    HelperSignature{156, "mRVZ"},  HelperSignature{157, "mR"},
    HelperSignature{163, "cNBNZ"}, HelperSignature{164, "mFBZ"},  HelperSignature{165, "BSXBS"},
    HelperSignature{169, "TmN"},   HelperSignature{170, "TF"},    HelperSignature{171, "TNZ"},
    HelperSignature{172, "T"},     HelperSignature{175, "R"},     HelperSignature{177, "XSBS"},
    HelperSignature{181, "NFBZ"},  HelperSignature{182, "XSX"},   HelperSignature{188, "c"},
    HelperSignature{189, "cNBS"},  HelperSignature{190, "cNBS"},  HelperSignature{192, "cNN"},
    HelperSignature{194, "TR"},    HelperSignature{195, "mKN"},   HelperSignature{197, "BSZD"},
    HelperSignature{198, "mSZD"},  HelperSignature{199, "DZ"},    HelperSignature{200, "DZ"},
    HelperSignature{201, "BSDNZ"}, HelperSignature{202, "DNBSZ"}, HelperSignature{203, "DNS"},
    HelperSignature{204, "BBS"},   HelperSignature{205, "BBS"},   HelperSignature{206, "BB"},
    HelperSignature{207, "BB"},    HelperSignature{209, "mFBZ"},  HelperSignature{210, "mRVZ"},
    HelperSignature{211, "mR"}};

struct KfuncSignature {
    std::string_view name;
    std::string_view arguments;
};

inline constexpr std::array kKfuncSignatures{
    KfuncSignature{"bpf_iter_num_new", "INN"},
    KfuncSignature{"bpf_iter_num_next", "I"},
    KfuncSignature{"bpf_iter_num_destroy", "I"},
    KfuncSignature{"bpf_iter_bits_new", "IBN"},
    KfuncSignature{"bpf_iter_bits_next", "I"},
    KfuncSignature{"bpf_iter_bits_destroy", "I"},
    KfuncSignature{"bpf_dynptr_from_skb", "cZD"},
    KfuncSignature{"bpf_dynptr_from_skb_meta", "cZD"},
    KfuncSignature{"bpf_dynptr_from_xdp", "cZD"},
    KfuncSignature{"bpf_xdp_pull_data", "cN"},
    KfuncSignature{"bpf_xdp_metadata_rx_timestamp", "cB"},
    KfuncSignature{"bpf_xdp_metadata_rx_hash", "cBB"},
    KfuncSignature{"bpf_xdp_metadata_rx_vlan_tag", "cBBB"},
    KfuncSignature{"bpf_dynptr_slice", "DNBS"},
    KfuncSignature{"bpf_dynptr_slice_rdwr", "DNBS"},
    KfuncSignature{"bpf_dynptr_adjust", "DNN"},
    KfuncSignature{"bpf_dynptr_is_null", "D"},
    KfuncSignature{"bpf_dynptr_is_rdonly", "D"},
    KfuncSignature{"bpf_dynptr_size", "D"},
    KfuncSignature{"bpf_dynptr_clone", "DD"},
    KfuncSignature{"bpf_dynptr_copy", "DNDNN"},
    KfuncSignature{"bpf_dynptr_memset", "DNNN"},
    KfuncSignature{"bpf_xdp_ct_lookup", "cBSBS"},
    KfuncSignature{"bpf_skb_ct_lookup", "cBSBS"},
    KfuncSignature{"bpf_xdp_ct_alloc", "cBSBS"},
    KfuncSignature{"bpf_skb_ct_alloc", "cBSBS"},
    KfuncSignature{"bpf_ct_insert_entry", "R"},
    KfuncSignature{"bpf_ct_release", "R"},
    KfuncSignature{"bpf_ct_set_timeout", "RN"},
    KfuncSignature{"bpf_ct_change_timeout", "RN"},
    KfuncSignature{"bpf_ct_set_status", "RN"},
    KfuncSignature{"bpf_ct_change_status", "RN"},
    KfuncSignature{"bpf_local_irq_save", "I"},
    KfuncSignature{"bpf_local_irq_restore", "I"},
    KfuncSignature{"bpf_res_spin_lock", "T"},
    KfuncSignature{"bpf_res_spin_unlock", "T"},
    KfuncSignature{"bpf_res_spin_lock_irqsave", "TI"},
    KfuncSignature{"bpf_res_spin_unlock_irqrestore", "TI"},
    KfuncSignature{"bpf_map_sum_elem_count", "m"},
    KfuncSignature{"bpf_stream_vprintk_impl", "NXBSZ"},
    KfuncSignature{"bpf_obj_new_impl", "YZ"},
    KfuncSignature{"bpf_obj_drop_impl", "RZ"},
    KfuncSignature{"bpf_refcount_acquire_impl", "RZ"},
    KfuncSignature{"bpf_list_push_front_impl", "TRZN"},
    KfuncSignature{"bpf_list_push_back_impl", "TRZN"},
    KfuncSignature{"bpf_list_pop_front", "T"},
    KfuncSignature{"bpf_list_pop_back", "T"},
    KfuncSignature{"bpf_list_front", "T"},
    KfuncSignature{"bpf_list_back", "T"},
    KfuncSignature{"bpf_rbtree_add_impl", "TRFZN"},
    KfuncSignature{"bpf_rbtree_remove", "TR"},
    KfuncSignature{"bpf_rbtree_first", "T"},
    KfuncSignature{"bpf_rbtree_root", "T"},
    KfuncSignature{"bpf_rbtree_left", "TR"},
    KfuncSignature{"bpf_rbtree_right", "TR"},
    KfuncSignature{"bpf_throw", "N"},
    KfuncSignature{"bpf_arena_alloc_pages", "mNNNZ"},
    KfuncSignature{"bpf_arena_free_pages", "mNN"},
    KfuncSignature{"bpf_arena_reserve_pages", "mNN"},
    KfuncSignature{"bpf_wq_init", "TmZ"},
    KfuncSignature{"bpf_wq_set_callback_impl", "TFZZ"},
    KfuncSignature{"bpf_wq_start", "TZ"},
    KfuncSignature{"bpf_strcmp", "XX"},
    KfuncSignature{"bpf_strcasecmp", "XX"},
    KfuncSignature{"bpf_strchr", "XN"},
    KfuncSignature{"bpf_strchrnul", "XN"},
    KfuncSignature{"bpf_strnchr", "XSN"},
    KfuncSignature{"bpf_strrchr", "XN"},
    KfuncSignature{"bpf_strlen", "X"},
    KfuncSignature{"bpf_strnlen", "XS"},
    KfuncSignature{"bpf_strspn", "XX"},
    KfuncSignature{"bpf_strcspn", "XX"},
    KfuncSignature{"bpf_strstr", "XX"},
    KfuncSignature{"bpf_strnstr", "XXS"},
};

} // namespace mimicsh::fuzz
