// SPDX-License-Identifier: MIT
// Loading, running and comparing on both targets.
#include "tests/kernel/parity.h"

#include "kernel/differences.h"
#include "kernel/features.h"
#include "kernel/target.h"

namespace mimicsh::test {

OnFirstCpu::OnFirstCpu() {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    pinned_ = sched_getaffinity(0, sizeof before_, &before_) == 0 &&
              sched_setaffinity(0, sizeof first, &first) == 0;
}

OnFirstCpu::~OnFirstCpu() {
    if (pinned_) {
        (void)sched_setaffinity(0, sizeof before_, &before_);
    }
}

std::unique_ptr<Target> kernel_target() {
    return kernel::make_target();
}

void ParityTest::SetUp() {
    const auto usable = kernel::usable();
    if (!usable) {
        GTEST_SKIP() << "the kernel target cannot be used here: " << usable.error().message();
    }
}

Expected<std::unique_ptr<Instance>> ParityTest::load_on_vm(const std::shared_ptr<const Object>& object,
                                                           const vm::Options& options) {
    return vm::make_target(options)->load(object, {});
}

void ParityTest::open(std::shared_ptr<const Object> object, const vm::Options& options) {
    ASSERT_NE(object, nullptr);
    auto on_vm = load_on_vm(object, options);
    ASSERT_TRUE(on_vm) << on_vm.error().message();
    auto on_kernel = kernel::make_target()->load(object, {});
    ASSERT_TRUE(on_kernel) << on_kernel.error().message() << "\n" << on_kernel.error().log;
    vm_ = std::move(*on_vm);
    kernel_ = std::move(*on_kernel);
}

void ParityTest::open_aligned(const std::shared_ptr<const Object>& object, const vm::Options& options) {
    ASSERT_NE(object, nullptr);
    auto aligned = align_inputs(object);
    ASSERT_TRUE(aligned) << aligned.error().message();
    aligned_ = std::move(*aligned);
    open(aligned_.object, options);
    auto on_vm = vm::make_target(options)->load(object, {});
    ASSERT_TRUE(on_vm) << on_vm.error().message();
    vm_ = std::move(*on_vm);
}

void ParityTest::open_case(const std::string& name) {
    open(compile_case("parity/" + name + ".bpf.c"));
}

void ParityTest::set_args(const std::vector<uint64_t>& args) {
    ByteVec io((kIoArgs + kIoResults) * 8);
    size_t at = 0;
    for (const uint64_t arg : args) {
        mimicsh::store(io.data() + 8 * at++, arg);
    }
    set_value(*vm_, ".bss", io);
    set_value(*kernel_, ".bss", io);
}

RunResult ParityTest::run_both(const std::string& program, ByteView packet, const RunOptions& options) {
    RunResult result = run_both_apart_from_maps(program, packet, options);
    expect_same_maps();
    return result;
}

RunResult ParityTest::run_both_apart_from_maps(const std::string& program, ByteView packet,
                                               const RunOptions& options) {
    Program* here = vm_->find_program(program);
    Program* there = kernel_->find_program(program);
    if (here == nullptr || there == nullptr) {
        ADD_FAILURE() << "no program " << program;
        return {};
    }
    RunOptions on_vm = options;
    on_vm.record_inputs = !aligned_.sites.empty();
    auto emulated = here->run(packet, on_vm);
    if (on_vm.record_inputs && emulated) {
        const Status given = give_inputs(aligned_, *kernel_->maps()[aligned_.map], emulated->inputs);
        EXPECT_TRUE(given) << given.error().message();
    }
    auto real = there->run(packet, options);
    EXPECT_EQ(emulated.has_value(), real.has_value())
        << (emulated ? "" : emulated.error().message()) << " / " << (real ? "" : real.error().message());
    if (!emulated || !real) {
        if (!emulated && !real) {
            EXPECT_EQ(emulated.error().code_name(), real.error().code_name());
        }
        return {};
    }
    const std::string text = kernel::run_differences(*emulated, *real);
    EXPECT_TRUE(text.empty()) << text;
    if (on_vm.record_inputs) {
        const auto missing = inputs_missing(aligned_, *kernel_->maps()[aligned_.map]);
        EXPECT_EQ(missing ? *missing : UINT64_MAX, 0u) << "the kernel asked for more inputs";
    }
    return std::move(*real);
}

uint64_t ParityTest::result(size_t at) {
    return number_at(value_of(*kernel_, ".bss"), kIoArgs + at);
}

void ParityTest::expect_same_maps() {
    const std::string text = kernel::map_differences(*vm_, *kernel_);
    EXPECT_TRUE(text.empty()) << text << "(word 8 of .bss is out[0])";
}

} // namespace mimicsh::test
