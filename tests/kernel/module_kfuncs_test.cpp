// SPDX-License-Identifier: MIT
// Functions for programs that the kernel and its modules give, beside bpftool and beside lines of
// /proc/kallsyms.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <set>

#include "kernel/module_kfuncs.h"
#include "object/kernel_btf.h"

namespace mimicsh::kernel {

namespace {

using Names = std::vector<std::string>;

/// What a command prints.
std::string output_of(const char* command) {
    FILE* pipe = popen(command, "r");
    std::string text;
    std::array<char, 4096> buffer{};
    while (pipe != nullptr && std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
        text += buffer.data();
    }
    if (pipe != nullptr) {
        pclose(pipe);
    }
    return text;
}

TEST(ModuleKfuncs, TagsAreThoseThatBpftoolShows) {
    const auto btf = running_kernel_btf();
    if (!btf) {
        GTEST_SKIP() << btf.error().message();
    }
    // "[48045] FUNC 'bpf_ct_release' type_id=..." and "[48046] DECL_TAG 'bpf_kfunc' type_id=48045 ..."
    const std::string shown = output_of("bpftool btf dump file /sys/kernel/btf/vmlinux 2>&1 | "
                                        "awk -F\"[][' =]+\" '$3 == \"FUNC\" { name[$2] = $4 } "
                                        "$3 == \"DECL_TAG\" && $4 == \"bpf_kfunc\" { tagged[$6] } "
                                        "END { for (id in tagged) print name[id] }'");
    std::set<std::string> expected;
    std::istringstream lines(shown);
    for (std::string line; std::getline(lines, line);) {
        expected.insert(line);
    }
    EXPECT_EQ(tagged_kfuncs(**btf, 1), Names(expected.begin(), expected.end()));
    const ModuleKfuncs own = module_kfuncs("vmlinux");
    if (expected.empty()) {
        EXPECT_NE(own.from, "BTF tags");
    } else {
        ASSERT_TRUE(own.names);
        EXPECT_EQ(own.from, "BTF tags");
        EXPECT_EQ(own.names->size(), expected.size());
    }
}

// As 6.12 shows them to root, shortened; the address of a list behind a set is where the set's next entry
// would be.
constexpr std::string_view kSymbols = R"(ffffffff81000000 T _text
ffffffff82000000 r __BTF_ID__set8__generic_kfunc_set
ffffffff82000008 r __BTF_ID__func__bpf_kernel_own__7788
ffffffffc05f9000 t nf_ct_get_tuple	[nf_conntrack]
ffffffffc05f9de6 r __BTF_ID__struct__nf_conn__1051265	[nf_conntrack]
ffffffffc05f9dee r __BTF_ID__set8__nf_ct_kfunc_set	[nf_conntrack]
ffffffffc05f9dee r nf_ct_kfunc_set	[nf_conntrack]
ffffffffc05f9e0e r __BTF_ID__func__in_a_list__1070531	[nf_conntrack]
ffffffffc05f9e0e r btf_list_of_ids	[nf_conntrack]
ffffffffc05f9df6 r __BTF_ID__func__bpf_xdp_ct_alloc__1053524	[nf_conntrack]
ffffffffc05f9dfe r __BTF_ID__func__bpf_ct_release__1054525	[nf_conntrack]
ffffffffc05f9e06 r __BTF_ID__func__bpf_odd__2__1054526	[nf_conntrack]
ffffffffc0700000 t text_only	[no_data]
ffffffffc0800000 t some_text	[none]
ffffffffc0800100 d some_data	[none]
)";

TEST(ModuleKfuncs, SymbolsOfSetsAreFollowedByTheirAddresses) {
    const ModuleKfuncs found = kfuncs_in_symbols(kSymbols, "nf_conntrack");
    ASSERT_TRUE(found.names) << found.reason;
    EXPECT_EQ(*found.names, (Names{"bpf_ct_release", "bpf_odd__2", "bpf_xdp_ct_alloc"}));
    EXPECT_EQ(found.from, "symbols");
    EXPECT_EQ(kfuncs_in_symbols(kSymbols, "vmlinux").names, Names{"bpf_kernel_own"});
    EXPECT_EQ(kfuncs_in_symbols(kSymbols, "none").names, Names{});
}

TEST(ModuleKfuncs, WhatCannotBeToldIsSaid) {
    const auto reason = [](std::string_view symbols, std::string_view module) {
        const ModuleKfuncs found = kfuncs_in_symbols(symbols, module);
        EXPECT_FALSE(found.names);
        return found.reason;
    };
    EXPECT_NE(reason(kSymbols, "no_data").find("CONFIG_KALLSYMS_ALL"), std::string::npos);
    EXPECT_NE(
        reason("0000000000000000 r __BTF_ID__set8__x\t[m]\n0000000000000000 d y\t[m]\n", "m").find("hides"),
        std::string::npos);
    EXPECT_NE(reason("ffffffff81000000 T _text\nffffffff82000000 D data\n", "vmlinux").find("KALLSYMS"),
              std::string::npos);
    EXPECT_FALSE(module_kfuncs("no_such_module").names);
    for (const std::string_view damaged : {"", "\n", "zz t x", "ff", "ff t", "ff t x\t[", "\n\n\t[m]\n"}) {
        EXPECT_FALSE(kfuncs_in_symbols(damaged, "m").names);
    }
}

} // namespace

} // namespace mimicsh::kernel
