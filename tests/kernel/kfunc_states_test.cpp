// SPDX-License-Identifier: MIT
// What the support page says of kernel functions, beside what the verifier lets programs on packets call.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

#include "kernel/module_kfuncs.h"
#include "object/kernel_btf.h"
#include "tests/kernel/parity.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::test {

namespace {

/// Whether the running kernel lets programs of the type call a function of its BTF.
bool may_call(bpf_prog_type type, bpf_attach_type attach, uint32_t function) {
    std::array<bpf_insn, 3> insns{};
    insns[0] = {.code = BPF_JMP | BPF_CALL,
                .dst_reg = 0,
                .src_reg = BPF_PSEUDO_KFUNC_CALL,
                .off = 0,
                .imm = static_cast<int32_t>(function)};
    insns[1].code = BPF_ALU64 | BPF_MOV | BPF_K;
    insns[2].code = BPF_JMP | BPF_EXIT;
    std::string log(64 * 1024, '\0');
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    opts.expected_attach_type = attach;
    opts.log_level = 1;
    opts.log_buf = log.data();
    opts.log_size = static_cast<uint32_t>(log.size());
    const int fd = bpf_prog_load(type, "asks", "GPL", insns.data(), insns.size(), &opts);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    return log.find("is not allowed") == std::string::npos;
}

using KfuncStates = ParityTest;

TEST_F(KfuncStates, EveryFunctionForProgramsOnPacketsHasOne) {
    const kernel::ModuleKfuncs own = kernel::module_kfuncs("vmlinux");
    const auto btf = running_kernel_btf();
    if (!own.names || !btf) {
        GTEST_SKIP() << (btf ? own.reason : btf.error().message());
    }
    const std::vector<std::pair<bpf_prog_type, bpf_attach_type>> types{
        {BPF_PROG_TYPE_XDP, {}},
        {BPF_PROG_TYPE_SCHED_CLS, {}},
        {BPF_PROG_TYPE_SCHED_ACT, {}},
        {BPF_PROG_TYPE_SOCKET_FILTER, {}},
        {BPF_PROG_TYPE_LWT_IN, {}},
        {BPF_PROG_TYPE_LWT_OUT, {}},
        {BPF_PROG_TYPE_LWT_XMIT, {}},
        {BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS},
        {BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR},
    };
    size_t callable = 0;
    for (const std::string& name : *own.names) {
        const auto id = (*btf)->find(name, BtfKind::Func);
        ASSERT_TRUE(id) << name;
        const bool can_be_called = std::ranges::any_of(
            types, [&](const auto& type) { return may_call(type.first, type.second, *id); });
        if (can_be_called) {
            ++callable;
            EXPECT_TRUE(vm::kfunc_function(name) != nullptr || !vm::kfunc_reason(name).empty())
                << name << " is neither emulated nor refused with a reason";
        } else {
            EXPECT_EQ(vm::kfunc_function(name), nullptr) << name << " is emulated, and nobody may call it";
        }
    }
    EXPECT_GT(callable, 0u);
}

} // namespace

} // namespace mimicsh::test
