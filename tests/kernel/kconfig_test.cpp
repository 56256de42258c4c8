// SPDX-License-Identifier: MIT
// Options of the kernel's build and weak externs, on both targets.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class KconfigParity : public ParityTest {
  protected:
    /// Loads one program that returns an option of the given type into both; the errors, empty when it loads.
    std::vector<std::string> load(const std::string& declaration, const KconfigValues& given, uint32_t* ret) {
        const std::string text =
            "#include <linux/bpf.h>\n#include <stdbool.h>\n#include <bpf/bpf_helpers.h>\n"
            "extern " +
            declaration +
            ";\nSEC(\"xdp\") int option(struct xdp_md *ctx) { return (int)CONFIG_MIMICSH; }\n"
            "char LICENSE[] SEC(\"license\") = \"GPL\";";
        std::vector<std::string> errors;
        for (const auto& target : {vm::make_target(), kernel_target()}) {
            LoadOptions options;
            options.kconfig = given;
            auto instance = target->load(compile_text(text), options);
            errors.push_back(instance ? "" : instance.error().message());
            if (instance && ret != nullptr) {
                const auto result = (*instance)->find_program("option")->run(packet_of(64), {});
                EXPECT_TRUE(result && !result->fault);
                *ret = result ? result->ret : 0;
                ++ret;
            }
        }
        return errors;
    }
};

TEST_F(KconfigParity, RunningKernel) {
    open_case("kconfig");
    ASSERT_TRUE(ready());
    set_args({});
    EXPECT_EQ(run_both("options", packet_of(64)).ret, 2u);
    EXPECT_GE(result(0), 0x060000u);
    EXPECT_EQ(result(3), 1u);
    EXPECT_EQ(result(4), uint64_t{'y'});
    EXPECT_EQ(result(5), 1u);
    EXPECT_EQ(result(8), 0u);
}

TEST_F(KconfigParity, WeakExterns) {
    open_case("kconfig");
    ASSERT_TRUE(ready());
    set_args({});
    run_both("weak", packet_of(64));
    EXPECT_EQ(result(0), 0u);
    EXPECT_EQ(result(1), 1u);
}

TEST_F(KconfigParity, GivenValues) {
    struct Case {
        const char* type;
        const char* value;
        uint32_t expected;
    };
    for (const Case& one :
         {Case{"bool", "y", 1}, Case{"bool", "n", 0}, Case{"enum libbpf_tristate", "m", 2},
          Case{"enum libbpf_tristate", "y", 1}, Case{"char", "m", 'm'}, Case{"int", "-7", 0xfffffff9},
          Case{"unsigned", "0xffffffff", 0xffffffff}, Case{"unsigned char", "255", 255},
          Case{"unsigned long", "18446744073709551615", 0xffffffff}}) {
        uint32_t ret[2] = {99, 99};
        const auto errors =
            load(std::string(one.type) + " CONFIG_MIMICSH __kconfig", {{"CONFIG_MIMICSH", one.value}}, ret);
        EXPECT_EQ(errors, std::vector<std::string>(2)) << one.type;
        EXPECT_EQ(ret[0], one.expected) << one.type << " " << one.value;
        EXPECT_EQ(ret[1], one.expected) << one.type << " " << one.value;
    }
}

TEST_F(KconfigParity, WhatDoesNotFitIsNamed) {
    struct Case {
        const char* declaration;
        const char* value;
    };
    for (const Case& one :
         {Case{"bool CONFIG_MIMICSH __kconfig", "m"}, Case{"bool CONFIG_MIMICSH __kconfig", "text"},
          Case{"int CONFIG_MIMICSH __kconfig", "y"}, Case{"int CONFIG_MIMICSH __kconfig", "4294967296"},
          Case{"unsigned CONFIG_MIMICSH __kconfig", "-1"}, Case{"int CONFIG_MIMICSH __kconfig", nullptr}}) {
        KconfigValues given;
        if (one.value != nullptr) {
            given["CONFIG_MIMICSH"] = one.value;
        }
        for (const std::string& error : load(one.declaration, given, nullptr)) {
            EXPECT_NE(error.find("CONFIG_MIMICSH"), std::string::npos) << one.declaration << ": " << error;
        }
    }
}

} // namespace

} // namespace mimicsh::test
