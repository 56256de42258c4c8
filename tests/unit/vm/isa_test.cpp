// SPDX-License-Identifier: MIT
// Every instruction form on edge operands: the fast interpreter, the traced one, and plain C++ agree.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/vm/isa_program.h"
#include "vm/support.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

std::unique_ptr<Instance> load_isa() {
    auto instance = vm::make_target()->load(isa_object(isa_cases()), {});
    if (!instance) {
        ADD_FAILURE() << instance.error().message();
        return nullptr;
    }
    return std::move(*instance);
}

TEST(Isa, FormsComputeWhatPlainCodeComputes) {
    const auto instance = load_isa();
    ASSERT_NE(instance, nullptr);
    const auto& cases = isa_cases();
    for (const uint64_t a : edge_operands()) {
        for (const uint64_t b : edge_operands()) {
            const auto results = run_isa(*instance, a, b, cases.size());
            ASSERT_EQ(results.size(), cases.size());
            for (size_t i = 0; i < cases.size(); ++i) {
                ASSERT_EQ(results[i], cases[i].expected(a, b))
                    << cases[i].name << std::hex << " a=0x" << a << " b=0x" << b;
            }
        }
    }
}

TEST(Isa, TracedInterpreterAgreesWithTheFastOne) {
    const auto instance = load_isa();
    ASSERT_NE(instance, nullptr);
    RunOptions traced;
    traced.trace = true;
    const auto& edges = edge_operands();
    for (size_t i = 0; i < edges.size(); ++i) {
        const uint64_t b = edges[(i * 7 + 3) % edges.size()];
        const size_t count = isa_cases().size();
        ASSERT_EQ(run_isa(*instance, edges[i], b, count, traced), run_isa(*instance, edges[i], b, count));
    }
}

/// The program of cases is what that test runs on both targets; forms that it cannot hold name another one.
TEST(Isa, EveryFormThatNamesTheCasesHasOne) {
    std::set<const InsnForm*> covered;
    for (const IsaCase& one : isa_cases()) {
        covered.insert(one.form);
    }
    for (const InsnForm& form : insn_forms()) {
        if (vm::insn_test(form) == "IsaParity.FormsComputeWhatTheKernelComputes") {
            EXPECT_TRUE(covered.contains(&form)) << form.mnemonic;
        }
    }
}

} // namespace

} // namespace mimicsh::test
