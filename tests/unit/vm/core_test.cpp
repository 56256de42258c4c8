// SPDX-License-Identifier: MIT
// Accesses that CO-RE cannot resolve against types of a test's own: which runs they end, and what is said.
#include <gtest/gtest.h>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

/// Types as the "kernel" has them, in an object of their own.
std::shared_ptr<const Btf> types_of(const std::string& source) {
    const auto object = compile_text(std::string(kPrelude) + source, "kernel.c");
    return object != nullptr ? object->btf : nullptr;
}

constexpr std::string_view kKernel = R"(
struct inner { int list[2]; };
struct shape { int kept; struct inner inner; int narrow; } shape;
enum colour { RED = 1 } colour;
SEC("xdp") int types(struct xdp_md *ctx) { return shape.kept + colour; }
)";

constexpr std::string_view kProgram = R"(
#include <bpf/bpf_core_read.h>
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inner___new { int list[9]; };
struct shape___new { int kept; struct inner___new inner; int gone; long narrow; };
struct other { int a; };
#pragma clang attribute pop
enum colour___new { GREEN___new = 7 };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
	__type(value, __u64[8]); } values SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	__u32 key = 0;
	void *value = bpf_map_lookup_elem(&values, &key);
	struct shape___new *shape = value;
	struct other *other = value;
	if (!value || ctx->ingress_ifindex == 77)
		return 0;
)";

struct Case {
    const char* body;
    const char* cause;  ///< empty: it runs
    uint32_t line = 20; ///< that the compiler gives the access
};

TEST(CoreFaults, NameWhatIsNotThere) {
    const auto kernel = types_of(std::string(kKernel));
    ASSERT_NE(kernel, nullptr);
    for (const Case& one : {
             Case{"return shape->kept + 2;", ""},
             Case{"return shape->inner.list[1] + 2;", ""},
             Case{"return shape->gone;",
                  "the kernel's struct shape has no field gone that fits (CO-RE access 0:2)"},
             Case{"return shape[1].gone;",
                  "the kernel's struct shape has no field [1].gone that fits (CO-RE access 1:2)"},
             Case{"return shape->inner.list[5];",
                  "the kernel's struct shape has no field inner.list[5] that fits (CO-RE access 0:1:0:5)"},
             Case{"shape->gone = 3; return 2;",
                  "the kernel's struct shape has no field gone that fits (CO-RE access 0:2)"},
             Case{"return shape->narrow;",
                  "field narrow of the kernel's struct shape has 4 bytes and not 8 (CO-RE access 0:3)"},
             Case{"return other->a;",
                  "the kernel has no struct other, and so no field a of it (CO-RE access 0:0)"},
             Case{"return bpf_core_enum_value(enum colour___new, GREEN___new);",
                  "the kernel's enum colour has no value GREEN (CO-RE access 0)", 18},
             Case{"if (bpf_core_field_exists(shape->gone)) return shape->gone + shape->gone; return 2;", ""},
             Case{"if (bpf_core_type_exists(struct other)) return other->a; return 2;", ""},
             Case{"if (bpf_core_enum_value_exists(enum colour___new, GREEN___new)) return "
                  "((int (*)(void))9999)(); return 2;",
                  ""},
         }) {
        SCOPED_TRACE(one.body);
        const auto object = compile_text(std::string(kPrelude) + std::string(kProgram) + one.body + "\n}\n");
        ASSERT_NE(object, nullptr);
        LoadOptions options;
        options.kernel_btf = kernel;
        auto loaded = vm::make_target()->load(object, options);
        if (!loaded) {
            ADD_FAILURE() << loaded.error().message();
            continue;
        }
        const auto result = (*loaded)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result);
        EXPECT_EQ(result->fault ? result->fault->cause : "", one.cause);
        if (!result->fault) {
            EXPECT_EQ(result->ret, 2u);
            continue;
        }
        EXPECT_EQ(result->fault->source.line, one.line) << result->fault->report;
        EXPECT_NE(result->fault->report.find(one.cause), std::string::npos) << result->fault->report;
        EXPECT_FALSE(result->fault->hint.empty());
    }
}

} // namespace

} // namespace mimicsh::test
