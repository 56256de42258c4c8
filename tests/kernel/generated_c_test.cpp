// SPDX-License-Identifier: MIT
// Generated C through clang, on both targets.
#include <gtest/gtest.h>

#include <cstdlib>

#include "object/clang.h"
#include "tests/difffuzz/rng.h"
#include "tests/kernel/generated_c.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class GeneratedC : public ParityTest {
  protected:
    /// Runs the program of a seed; false when the kernel refuses it.
    bool run_seed(uint64_t seed);
};

/// MIMICSH_GENERATED_C=A..B runs other seeds.
std::pair<uint64_t, uint64_t> seeds() {
    const char* wanted = std::getenv("MIMICSH_GENERATED_C");
    if (wanted == nullptr) {
        return {1, 60};
    }
    char* end = nullptr;
    const uint64_t first = std::strtoull(wanted, &end, 10);
    return {first, *end == '.' ? std::strtoull(end + 2, nullptr, 10) : first};
}

ByteVec packet(difffuzz::Rng& rng) {
    ByteVec bytes(14 + rng.below(80));
    for (uint8_t& byte : bytes) {
        byte = static_cast<uint8_t>(rng.one_in(4) ? 0xff : rng.next());
    }
    return bytes;
}

bool GeneratedC::run_seed(uint64_t seed) {
    CompileOptions options;
    options.source = generate_c(seed);
    options.cpu = seed % 3 == 0 ? "v2" : "v3";
    options.cache = false;
    SCOPED_TRACE(testing::Message() << "MIMICSH_GENERATED_C=" << seed << "\n" << options.source);
    auto object = compile(options);
    if (!object) {
        ADD_FAILURE() << object.error().message() << "\n" << object.error().log;
        return true;
    }
    const auto shared = std::make_shared<const Object>(std::move(*object));
    if (!kernel_target()->load(shared, {})) {
        return false; // clang keeps some bounds where the verifier cannot follow: nothing to compare
    }
    open(shared);
    difffuzz::Rng rng(seed);
    for (int i = 0; i < 12 && ready() && !HasFailure(); ++i) {
        run_both("generated", packet(rng));
    }
    return true;
}

TEST_F(GeneratedC, RunsTheSameOnBothTargets) {
    const auto [first, last] = seeds();
    uint64_t refused = 0;
    for (uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
        refused += run_seed(seed) ? 0 : 1;
    }
    EXPECT_LE(refused * 5, last - first + 1) << "too many programs that the kernel refuses";
    RecordProperty("refused", static_cast<int>(refused));
}

// What a subprogram may have written over: data_end minus what is loaded from there may be a number.
TEST_F(GeneratedC, DataEndMinusASpilledPointer) {
    EXPECT_TRUE(run_seed(208));
}

} // namespace

} // namespace mimicsh::test
