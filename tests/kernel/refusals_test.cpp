// SPDX-License-Identifier: MIT
// What the emulator refuses in strict mode the kernel refuses too, and what the kernel loads the emulator
// loads.
#include <set>

#include "tests/kernel/parity.h"
#include "tests/unit/vm/fault_cases.h"
#include "tests/unit/vm/refusal_cases.h"

namespace mimicsh::test {

namespace {

class RefusalParity : public ParityTest {};

TEST_F(RefusalParity, KernelRefusesWhatTheEmulatorRefuses) {
    for (const RefusalCase& one : refusal_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto there = kernel_target()->load(object, {});
        EXPECT_FALSE(there) << one.name << ": the kernel loads it, so the emulator is too strict";
    }
}

void expect_refused(const std::string& source) {
    const auto object = compile_text(source);
    ASSERT_NE(object, nullptr);
    EXPECT_FALSE(kernel_target()->load(object, {})) << "the kernel loads it";
}

TEST_F(RefusalParity, KernelRefusesWhatTheEmulatorRefusesInC) {
    for (const SourceRefusal& one : source_refusals()) {
        SCOPED_TRACE(one.body);
        expect_refused(refused_source(one));
    }
}

TEST_F(RefusalParity, KernelRefusesWhatOnlyPermissiveModeRuns) {
    for (const PermissiveCase& one : permissive_cases()) {
        RawObject raw;
        raw.add(one.insns);
        EXPECT_FALSE(kernel_target()->load(raw.share(), {})) << one.what;
        EXPECT_FALSE(vm::make_target()->load(raw.share(), {})) << one.what << " in strict mode";
    }
}

TEST_F(RefusalParity, KernelRunsTheNeighbours) {
    for (const RefusalCase& one : accepted_cases()) {
        SCOPED_TRACE(one.name);
        open(one.make());
        ASSERT_TRUE(ready());
        run_both("main", packet_of(64));
    }
}

TEST_F(RefusalParity, KernelRefusesWhatFaults) {
    for (const FaultCase& one : fault_cases()) {
        SCOPED_TRACE(one.name);
        if (one.section != "memory") {
            expect_refused(fault_source(one));
        }
    }
}

TEST_F(RefusalParity, KernelRunsWhatWarnsUnlessTheWarningSaysItWillRefuse) {
    // What these store is uninitialised stack.
    const std::set<std::string> differ{"uninitialised stack", "half initialised stack"};
    const std::set<std::string> refused{"unchecked access", "unchecked access, ten times",
                                        "access past what was checked"};
    for (const FaultCase& one : warning_cases()) {
        SCOPED_TRACE(one.name);
        if (refused.contains(one.name)) {
            expect_refused(fault_source(one));
            continue;
        }
        open(compile_text(fault_source(one)));
        ASSERT_TRUE(ready());
        if (differ.contains(one.name)) {
            run_both_apart_from_maps("filter", packet_of(one.packet));
        } else {
            run_both("filter", packet_of(one.packet));
        }
    }
}

TEST_F(RefusalParity, KernelRunsTheirCleanRelatives) {
    const OnFirstCpu pin; // some write per-CPU values
    for (const FaultCase& one : clean_cases()) {
        SCOPED_TRACE(one.name);
        if (one.section == "memory") {
            continue;
        }
        open(compile_text(fault_source(one)));
        ASSERT_TRUE(ready());
        run_both("filter", packet_of(one.packet));
    }
}

} // namespace

} // namespace mimicsh::test
