// SPDX-License-Identifier: MIT
// The table of instruction forms: each row finds itself, and fields that must be zero are checked.
#include "object/insn.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "insn_samples.h"

namespace mimicsh {
namespace {

TEST(InsnForms, HaveUniqueNames) {
    std::set<std::string_view> names;
    for (const InsnForm& form : insn_forms()) {
        EXPECT_TRUE(names.insert(form.mnemonic).second) << form.mnemonic;
    }
    EXPECT_GT(names.size(), 150u);
}

TEST(InsnForms, EverySampleIsClassifiedAsItsOwnForm) {
    for (const InsnForm& form : insn_forms()) {
        for (const test::Sample& sample : test::samples_of(form)) {
            const InsnForm* found = classify(sample.insn);
            ASSERT_NE(found, nullptr) << form.mnemonic;
            ASSERT_EQ(found->mnemonic, form.mnemonic);
        }
    }
}

TEST(InsnForms, FieldsThatMustBeZeroAreChecked) {
    struct Case {
        Insn insn;
        const char* what;
    };
    const Case cases[] = {
        {{op::kAlu64 | op::kAdd | op::kK, 1, 2, 0, 5}, "source register beside an immediate"},
        {{op::kAlu64 | op::kAdd | op::kX, 1, 2, 0, 5}, "immediate beside a source register"},
        {{op::kAlu64 | op::kAdd | op::kX, 1, 2, 1, 0}, "offset of an addition"},
        {{op::kAlu64 | op::kMov | op::kX, 1, 2, 7, 0}, "sign extension from 7 bits"},
        {{op::kAlu | op::kMov | op::kX, 1, 2, 32, 0}, "32-bit sign extension from 32 bits"},
        {{op::kAlu64 | op::kMov | op::kX, 1, 11, 0, 0}, "register 11"},
        {{op::kAlu | op::kEnd, 1, 0, 0, 24}, "swap of 24 bits"},
        {{op::kJmp | op::kExit, 1, 0, 0, 0}, "destination of exit"},
        {{op::kJmp | op::kExit, 0, 0, 0, 1}, "immediate of exit"},
        {{op::kJmp | op::kCall, 0, 3, 0, 1}, "unknown kind of call"},
        {{op::kJmp32 | op::kCall, 0, 0, 0, 1}, "call in the 32-bit class"},
        {{op::kStx | op::kAtomic | op::kB, 1, 2, 0, 0}, "atomic addition of a byte"},
        {{op::kStx | op::kAtomic | op::kDw, 1, 2, 0, 0x02}, "unknown atomic operation"},
        {{op::kLdx | op::kMemSx | op::kDw, 1, 2, 0, 0}, "signed load of 64 bits"},
        {{op::kLd | op::kAbs | op::kDw, 0, 0, 0, 0}, "packet load of 64 bits"},
        {{op::kLddw, 1, 7, 0, 0}, "unknown kind of 64-bit load"},
        {{op::kAlu64 | op::kNeg | op::kX, 1, 0, 0, 0}, "negation with a source"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(classify(c.insn), nullptr) << c.what;
    }
}

} // namespace
} // namespace mimicsh
