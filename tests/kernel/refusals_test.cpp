// SPDX-License-Identifier: MIT
// What the emulator refuses in strict mode the kernel refuses too, and what the kernel loads the emulator
// loads.
#include <filesystem>

#include "tests/kernel/parity.h"
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

TEST_F(RefusalParity, KernelLoadsTheNeighbours) {
    for (const RefusalCase& one : accepted_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto there = kernel_target()->load(object, {});
        EXPECT_TRUE(there) << one.name << ": " << there.error().message() << "\n" << there.error().log;
    }
}

/// The object with only its XDP programs; the others are not the emulator's business yet.
std::shared_ptr<const Object> only_xdp(const Object& object) {
    auto copy = std::make_shared<Object>(object);
    for (Function& function : copy->functions) {
        if (function.spec && function.spec->type != abi::ProgType::Xdp) {
            function.spec.reset();
        }
    }
    return copy->programs().empty() ? nullptr : copy;
}

TEST_F(RefusalParity, XdpProgramsOfTheTestDataLoadOnBoth) {
    size_t loaded = 0;
    for (const auto& entry : std::filesystem::directory_iterator(MIMICSH_SOURCE_DIR "/tests/data/bpf")) {
        const std::string name = entry.path().filename().string();
        if (!name.ends_with(".bpf.c")) {
            continue;
        }
        const auto whole = compile_case("../data/bpf/" + name);
        ASSERT_NE(whole, nullptr);
        const auto object = only_xdp(*whole);
        if (object == nullptr) {
            continue;
        }
        const auto there = kernel_target()->load(object, {});
        const auto here = vm::make_target()->load(object, {});
        // What is not emulated is said by name; then the kernel's answer does not matter.
        if (!here && here.error().code == ENOTSUP) {
            EXPECT_NE(here.error().message().find("not emulated"), std::string::npos)
                << here.error().message();
            continue;
        }
        EXPECT_EQ(here.has_value(), there.has_value())
            << name << ": " << (here ? "" : here.error().message()) << (there ? "" : there.error().message());
        loaded += here && there ? 1 : 0;
    }
    EXPECT_GE(loaded, 2u);
}

} // namespace

} // namespace mimicsh::test
