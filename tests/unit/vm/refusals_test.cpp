// SPDX-License-Identifier: MIT
// Strict mode refuses at load with place and reason; permissive mode does not.
#include <gtest/gtest.h>

#include "tests/unit/vm/refusal_cases.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

TEST(Refusals, NameInstructionAndReason) {
    for (const RefusalCase& one : refusal_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto loaded = vm::make_target()->load(object, {});
        ASSERT_FALSE(loaded) << one.name;
        const std::string message = loaded.error().message();
        EXPECT_NE(message.find(one.text), std::string::npos) << one.name << ": " << message;
        EXPECT_NE(message.find("main: instruction " + std::to_string(one.slot) + ":"), std::string::npos)
            << one.name << ": " << message;
    }
}

TEST(Refusals, NeighboursLoad) {
    for (const RefusalCase& one : accepted_cases()) {
        const auto object = one.make();
        ASSERT_NE(object, nullptr) << one.name;
        const auto loaded = vm::make_target()->load(object, {});
        EXPECT_TRUE(loaded) << one.name << ": " << loaded.error().message();
    }
}

TEST(Refusals, NameTheSourceLine) {
    for (const SourceRefusal& one : source_refusals()) {
        const std::string source = refused_source(one);
        const auto object = compile_text(source);
        ASSERT_NE(object, nullptr);
        const auto loaded = vm::make_target()->load(object, {});
        ASSERT_FALSE(loaded) << one.body;
        const std::string message = loaded.error().message();
        EXPECT_NE(message.find(one.text), std::string::npos) << message;
        EXPECT_NE(message.find("test.c:5: "), std::string::npos) << message;
    }
}

TEST(Refusals, PermissiveModeExecutesWhatHasAMeaning) {
    for (const PermissiveCase& one : permissive_cases()) {
        RawObject raw;
        raw.add(one.insns);
        vm::Options options;
        options.mode = vm::Mode::Permissive;
        auto loaded = vm::make_target(options)->load(raw.share(), {});
        ASSERT_TRUE(loaded) << one.what << ": " << loaded.error().message();
        const auto result = (*loaded)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result);
        EXPECT_FALSE(result->fault) << one.what;
        EXPECT_EQ(result->ret, one.result) << one.what;
    }
}

} // namespace

} // namespace mimicsh::test
