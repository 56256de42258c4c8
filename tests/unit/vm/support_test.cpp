// SPDX-License-Identifier: MIT
// The support table: its tests exist, its page is what is in docs/, its XDP helpers are what the table says.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/paths.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/support.h"
#include "vm/versions.h"

namespace mimicsh::test {

namespace {

/// "Suite.Name" of every test that runs against the kernel.
std::set<std::string> kernel_tests() {
    std::set<std::string> names;
    FILE* pipe = popen((test::in_build("tests/kernel/kernel_parity") + " --gtest_list_tests").c_str(), "r");
    std::string suite;
    char line[256];
    while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) {
        std::string text = line;
        while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
            text.pop_back();
        }
        if (text.starts_with("  ")) {
            names.insert(suite + text.substr(2));
        } else {
            suite = text;
        }
    }
    EXPECT_TRUE(pipe != nullptr && pclose(pipe) == 0) << "kernel_parity is not built";
    return names;
}

/// A row without such a test, or with one of the emulator alone, says nothing of the kernel.
TEST(Support, EveryRowNamesATestAgainstTheKernel) {
    const std::set<std::string> tests = kernel_tests();
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        EXPECT_TRUE(tests.contains(std::string(helper.test)))
            << abi::helper_name(helper.id) << ": " << helper.test;
    }
    for (const vm::MapRow& map : vm::map_rows()) {
        EXPECT_TRUE(tests.contains(std::string(map.test))) << abi::name(map.type) << ": " << map.test;
    }
    for (const vm::KfuncRow& kfunc : vm::kfunc_rows()) {
        EXPECT_TRUE(tests.contains(std::string(kfunc.test))) << kfunc.name << ": " << kfunc.test;
    }
    for (const InsnForm& form : insn_forms()) {
        const std::string test(vm::insn_test(form));
        EXPECT_EQ(tests.contains(test), vm::insn_state(form) != vm::State::Refused)
            << form.mnemonic << ": " << test;
    }
    for (const vm::FieldVersion& field : vm::field_versions()) {
        const std::string test(vm::field_test(field.kind));
        EXPECT_TRUE(tests.contains(test)) << field.name << ": " << test;
    }
}

/// What the scripted world answers, its rows say; nothing that is refused has a row.
TEST(Support, ScriptedRowsNameTheirPartOfTheWorld) {
    size_t scripted = 0;
    const auto check = [&](std::string_view name, vm::State state, std::string_view note) {
        EXPECT_NE(state, vm::State::Refused) << name;
        if (state == vm::State::Scripted) {
            EXPECT_NE(note.find("world"), std::string_view::npos) << name << ": " << note;
            ++scripted;
        }
    };
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        check(abi::helper_name(helper.id), helper.state, helper.note);
    }
    EXPECT_EQ(scripted, 31u);
    for (const vm::KfuncRow& kfunc : vm::kfunc_rows()) {
        check(kfunc.name, kfunc.state, kfunc.note);
    }
}

/// What the emulator is to have of the kernel's functions, and what it is to refuse by name.
TEST(Support, KernelFunctionsAreTheAgreedOnes) {
    const char* const emulated[] = {"bpf_dynptr_from_xdp",
                                    "bpf_dynptr_from_skb",
                                    "bpf_dynptr_from_skb_meta",
                                    "bpf_dynptr_slice",
                                    "bpf_dynptr_slice_rdwr",
                                    "bpf_dynptr_adjust",
                                    "bpf_dynptr_is_null",
                                    "bpf_dynptr_is_rdonly",
                                    "bpf_dynptr_size",
                                    "bpf_dynptr_clone",
                                    "bpf_dynptr_copy",
                                    "bpf_dynptr_memset",
                                    "bpf_xdp_metadata_rx_timestamp",
                                    "bpf_xdp_metadata_rx_hash",
                                    "bpf_xdp_metadata_rx_vlan_tag",
                                    "bpf_xdp_pull_data",
                                    "bpf_xdp_get_xfrm_state",
                                    "bpf_xdp_xfrm_state_release",
                                    "bpf_xdp_ct_lookup",
                                    "bpf_xdp_ct_alloc",
                                    "bpf_skb_ct_lookup",
                                    "bpf_skb_ct_alloc",
                                    "bpf_ct_insert_entry",
                                    "bpf_ct_release",
                                    "bpf_ct_set_timeout",
                                    "bpf_ct_change_timeout",
                                    "bpf_ct_set_status",
                                    "bpf_ct_change_status",
                                    "bpf_ct_set_nat_info",
                                    "bpf_iter_num_new",
                                    "bpf_iter_num_next",
                                    "bpf_iter_num_destroy",
                                    "bpf_iter_bits_new",
                                    "bpf_iter_bits_next",
                                    "bpf_iter_bits_destroy",
                                    "bpf_rbtree_add_impl",
                                    "bpf_rbtree_remove",
                                    "bpf_rbtree_first",
                                    "bpf_rbtree_root",
                                    "bpf_rbtree_left",
                                    "bpf_rbtree_right",
                                    "bpf_list_push_front_impl",
                                    "bpf_list_push_back_impl",
                                    "bpf_list_pop_front",
                                    "bpf_list_pop_back",
                                    "bpf_list_front",
                                    "bpf_list_back",
                                    "bpf_obj_new_impl",
                                    "bpf_obj_drop_impl",
                                    "bpf_percpu_obj_new_impl",
                                    "bpf_percpu_obj_drop_impl",
                                    "bpf_refcount_acquire_impl",
                                    "bpf_throw",
                                    "bpf_rcu_read_lock",
                                    "bpf_rcu_read_unlock",
                                    "bpf_preempt_disable",
                                    "bpf_preempt_enable",
                                    "bpf_local_irq_save",
                                    "bpf_local_irq_restore",
                                    "bpf_res_spin_lock",
                                    "bpf_res_spin_unlock",
                                    "bpf_res_spin_lock_irqsave",
                                    "bpf_res_spin_unlock_irqrestore",
                                    "bpf_wq_init",
                                    "bpf_wq_set_callback_impl",
                                    "bpf_wq_start",
                                    "bpf_strcmp",
                                    "bpf_strcasecmp",
                                    "bpf_strchr",
                                    "bpf_strchrnul",
                                    "bpf_strnchr",
                                    "bpf_strrchr",
                                    "bpf_strlen",
                                    "bpf_strnlen",
                                    "bpf_strspn",
                                    "bpf_strcspn",
                                    "bpf_strstr",
                                    "bpf_strnstr",
                                    "bpf_arena_alloc_pages",
                                    "bpf_arena_free_pages",
                                    "bpf_arena_reserve_pages",
                                    "bpf_cast_to_kern_ctx",
                                    "bpf_rdonly_cast",
                                    "bpf_map_sum_elem_count",
                                    "bpf_stream_vprintk_impl"};
    const char* const refused[] = {"bpf_cpumask_create",    "bpf_crypto_encrypt",
                                   "bpf_crypto_decrypt",    "bpf_skb_set_fou_encap",
                                   "bpf_skb_get_fou_encap", "bpf_sock_addr_set_sun_path",
                                   "bpf_sock_destroy",      "bpf_sock_ops_enable_tx_tstamp"};
    for (const char* name : emulated) {
        EXPECT_NE(vm::kfunc_function(name), nullptr) << name;
    }
    for (const char* name : refused) {
        EXPECT_EQ(vm::kfunc_function(name), nullptr) << name;
        EXPECT_FALSE(vm::kfunc_reason(name).empty()) << name;
    }
    for (const vm::KfuncRow& row : vm::kfunc_rows()) {
        EXPECT_TRUE(vm::kfunc_reason(row.name).empty()) << row.name << " is emulated and refused";
    }
}

TEST(Support, PageInDocsIsTheTables) {
    const auto page = read_file(test::in_tree("docs/support.md"), "read");
    ASSERT_TRUE(page) << page.error().message();
    EXPECT_TRUE(as_text(*page) == vm::support_page()) << "write it anew: mimicsh --support > docs/support.md";
}

TEST(Support, EmulatedHelpersCanBeCalledBySomeProgram) {
    using abi::ProgType;
    // Counted on Linux 6.18.
    const std::vector<std::pair<ProgType, size_t>> counts{
        {ProgType::Xdp, 104},          {ProgType::SchedCls, 139},    {ProgType::SchedAct, 139},
        {ProgType::FlowDissector, 83}, {ProgType::SocketFilter, 88}, {ProgType::CgroupSkb, 103},
        {ProgType::LwtIn, 90},         {ProgType::LwtOut, 89},       {ProgType::LwtXmit, 104},
        {ProgType::Kprobe, 0}};
    std::set<uint32_t> callable;
    for (const auto& [type, count] : counts) {
        size_t allowed = 0;
        for (uint32_t id = 0; id < abi::kHelperCount; ++id) {
            if (vm::helper_allowed(type, id)) {
                callable.insert(id);
                ++allowed;
            }
        }
        EXPECT_EQ(allowed, count) << abi::name(type);
    }
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        EXPECT_TRUE(callable.contains(helper.id)) << abi::helper_name(helper.id);
    }
}

} // namespace

} // namespace mimicsh::test
