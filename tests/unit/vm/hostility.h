// SPDX-License-Identifier: MIT
// Loading and running a hostile program.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

class Hostility : public ::testing::Test {
  protected:
    Expected<std::unique_ptr<Instance>> load(const std::string& text) {
        auto object =
            compile_text(std::string(kPrelude) + text + "char LICENSE[] SEC(\"license\") = \"GPL\";\n");
        if (object == nullptr) {
            return Error{EINVAL, "compile", "", {}, {}};
        }
        return vm::make_target(options_)->load(object, {});
    }
    RunResult run(const std::string& text) {
        auto loaded = load(text);
        if (!loaded) {
            ADD_FAILURE() << loaded.error().message();
            return {};
        }
        instance_ = std::move(*loaded);
        return run_again();
    }
    RunResult run_again() {
        auto result = instance_->programs().front()->run(packet_of(64), {});
        if (!result) {
            ADD_FAILURE() << result.error().message();
            return {};
        }
        return std::move(*result);
    }

    vm::Options options_;
    std::unique_ptr<Instance> instance_;
};

} // namespace mimicsh::test
