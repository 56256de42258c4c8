// SPDX-License-Identifier: MIT
// Rewriting calls whose results differ by nature, recording them, and giving them back.
#include "object/align.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "object/linker.h"
#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

constexpr int kTime = 5, kRandom = 7, kCpu = 8;

std::unique_ptr<Instance> load_on_vm(const std::shared_ptr<const Object>& object,
                                     const vm::Options& options = {}) {
    auto instance = vm::make_target(options)->load(object, {});
    EXPECT_TRUE(instance) << instance.error().message();
    return instance ? std::move(*instance) : nullptr;
}

vm::Options other_machine() {
    vm::Options options;
    options.seed = 99;
    options.clock_ns = 5;
    options.cpus = 4;
    options.cpu = 3;
    return options;
}

/// A loop with a random number in each turn, a jump over a call, and a subprogram that asks for the time.
RawObject busy_object() {
    RawObject raw;
    const uint32_t data = raw.add_data(8);
    raw.add({mov(6, 0), mov(7, 5)});
    const uint32_t head = raw.size();
    raw.add({call(kRandom), insn(op::kAlu64 | op::kMul, 6, 0, 0, 31),
             insn(op::kAlu64 | op::kXor | op::kX, 6, 0, 0, 0), jump_if(op::kJset, 0, 1, 2), call(kCpu),
             insn(op::kAlu64 | op::kAdd | op::kX, 6, 0, 0, 0)});
    raw.call_function(1).add(insn(op::kAlu64 | op::kAdd | op::kX, 6, 0, 0, 0)).add(add(7, -1));
    raw.add(jump_if(op::kJne, 7, 0, static_cast<int>(head) - static_cast<int>(raw.size()) - 1));
    raw.load_value(1, data).add({store_reg(op::kDw, 1, 0, 6), mov_reg(0, 6), exit_insn()});
    raw.begin_function("now");
    raw.add({call(kTime), insn(op::kAlu64 | op::kMul, 0, 0, 0, 17), exit_insn()});
    return raw;
}

TEST(Align, ObjectWithoutSuchCallsStaysAsItIs) {
    const auto object = RawObject().add({mov(0, 1), exit_insn()}).share();
    const auto aligned = align_inputs(object);
    ASSERT_TRUE(aligned);
    EXPECT_EQ(aligned->object, object);
    EXPECT_TRUE(aligned->sites.empty());
}

TEST(Align, OriginalStaysAndCopyNamesItsSites) {
    const auto object = busy_object().share();
    const auto aligned = align_inputs(object);
    ASSERT_TRUE(aligned);
    EXPECT_EQ(object->functions.size() + 1, aligned->object->functions.size());
    EXPECT_EQ(object->maps.size(), aligned->map);
    ASSERT_EQ(aligned->sites.size(), 3u);
    for (const InputSite& site : aligned->sites) {
        EXPECT_EQ(object->functions[site.function].insns[site.insn], call(site.helper));
    }
    ASSERT_TRUE(validate(*aligned->object));
    const auto linked = link(aligned->object, 0, {});
    ASSERT_TRUE(linked);
    for (const Insn& insn : linked->insns) {
        EXPECT_FALSE(insn.code == (op::kJmp | op::kCall) && insn.src == 0 &&
                     is_input_call(static_cast<uint32_t>(insn.imm)));
    }
}

TEST(Align, RecordedInputsGiveTheSameElsewhere) {
    const auto object = busy_object().share();
    const auto aligned = align_inputs(object);
    ASSERT_TRUE(aligned);
    const auto here = load_on_vm(object);
    const auto there = load_on_vm(aligned->object, other_machine());
    ASSERT_TRUE(here && there);
    RunOptions record;
    record.record_inputs = true;
    uint64_t last = 0;
    for (int packet = 0; packet < 5; ++packet) {
        const auto first = here->programs().front()->run(packet_of(64), record);
        ASSERT_TRUE(first);
        EXPECT_GE(first->inputs.size(), 10u);
        Map& values = *there->maps()[aligned->map];
        ASSERT_TRUE(give_inputs(*aligned, values, first->inputs));
        const auto second = there->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(second);
        EXPECT_EQ(first->r0, second->r0);
        EXPECT_EQ(value_of(*here, ".bss"), value_of(*there, ".bss"));
        EXPECT_EQ(*inputs_missing(*aligned, values), 0u);
        EXPECT_NE(first->r0, last);
        last = first->r0;
    }
}

TEST(Align, NothingIsRecordedUnlessAskedFor) {
    const auto instance = load_on_vm(busy_object().share());
    RunOptions record;
    record.record_inputs = true;
    ASSERT_FALSE(instance->programs().front()->run(packet_of(64), record)->inputs.empty());
    EXPECT_TRUE(instance->programs().front()->run(packet_of(64), {})->inputs.empty());
}

TEST(Align, InputsOfHelpersFromOutsideAreRecorded) {
    vm::Options options;
    options.helpers[kTime] = [](vm::HelperCall&) -> Expected<uint64_t> { return 4711; };
    const auto instance = load_on_vm(RawObject().add({call(kTime), exit_insn()}).share(), options);
    RunOptions record;
    record.record_inputs = true;
    const auto result = instance->programs().front()->run(packet_of(64), record);
    ASSERT_TRUE(result);
    ASSERT_EQ(result->inputs.size(), 1u);
    EXPECT_EQ(result->inputs[0].value, 4711u);
    EXPECT_EQ(result->inputs[0].helper, uint32_t{kTime});
}

TEST(Align, LinesAndTypesFollow) {
    const auto object = compile_text(std::string(kPrelude) + R"(
__u64 out;
static __attribute__((noinline)) int twice(int x) { return x * 2 + (bpf_get_prandom_u32() & 1); }
SEC("xdp") int main_program(struct xdp_md *ctx) {
    out = bpf_ktime_get_ns();
    if (bpf_get_prandom_u32() & 1)
        out += twice(3);
    return 2;
}
char LICENSE[] SEC("license") = "GPL";
)");
    ASSERT_NE(object, nullptr);
    const auto aligned = align_inputs(object);
    ASSERT_TRUE(aligned);
    const uint32_t program = object->programs().front();
    const auto before = link(object, program, {});
    const auto after = link(aligned->object, program, {});
    ASSERT_TRUE(before && after);
    for (const LinkedFunction& function : after->functions) {
        EXPECT_NE(function.btf_id, 0u) << function.name;
        EXPECT_NE(after->line_at(function.insn), nullptr) << function.name;
    }
    for (const InputSite& site : aligned->sites) {
        const auto slot_in = [&](const LinkedProgram& linked) {
            for (const LinkedFunction& function : linked.functions) {
                if (function.index == site.function) {
                    return function.insn;
                }
            }
            return UINT32_MAX;
        };
        uint32_t moved = site.insn;
        for (const InputSite& other : aligned->sites) {
            moved += other.function == site.function && other.insn < site.insn ? 1 : 0;
        }
        EXPECT_EQ(source_line(*before, slot_in(*before) + site.insn).line,
                  source_line(*after, slot_in(*after) + moved).line);
        EXPECT_EQ(source_line(*before, slot_in(*before) + site.insn).line,
                  source_line(*after, slot_in(*after) + moved + 1).line);
    }
}

TEST(Align, Refusals) {
    const auto object = busy_object().share();
    EXPECT_EQ(align_inputs(nullptr).error().code, EINVAL);
    EXPECT_EQ(align_inputs(object, {.values_per_site = 0}).error().code, EINVAL);
    EXPECT_EQ(align_inputs(object, {.values_per_site = 65537}).error().code, EINVAL);

    const auto aligned = align_inputs(object, {.values_per_site = 2});
    ASSERT_TRUE(aligned);
    const auto instance = load_on_vm(aligned->object);
    Map& values = *instance->maps()[aligned->map];
    const InputSite& site = aligned->sites.front();
    const std::vector<InputCall> calls(3, InputCall{site.function, site.insn, site.helper, 1});
    EXPECT_EQ(give_inputs(*aligned, values, calls).error().code, ENOSPC);
    EXPECT_TRUE(give_inputs(*aligned, values, std::span(calls).first(2)));
    EXPECT_EQ(give_inputs(*aligned, *instance->maps()[0], calls).error().code, EINVAL);
    EXPECT_EQ(inputs_missing(*aligned, *instance->maps()[0]).error().code, EINVAL);
}

TEST(Align, JumpThatNoLongerReachesIsRefused) {
    RawObject raw;
    raw.add({mov(0, 0), jump_if(op::kJeq, 0, 1, INT16_MAX)});
    for (int i = 0; i < INT16_MAX; ++i) {
        raw.add(i == 100 ? call(kRandom) : mov(0, i));
    }
    raw.add(exit_insn());
    const auto aligned = align_inputs(raw.share());
    ASSERT_FALSE(aligned);
    EXPECT_EQ(aligned.error().code, E2BIG);
}

} // namespace

} // namespace mimicsh::test
