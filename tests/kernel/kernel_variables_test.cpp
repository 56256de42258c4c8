// SPDX-License-Identifier: MIT
// Variables of the kernel by name and by BTF id: the kernel's own, and the same from the scripted world.
#include <cerrno>

#include "base/cpus.h"
#include "object/kernel_btf.h"
#include "tests/kernel/parity.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

constexpr std::string_view kExterns = R"(
struct {
    __u64 arg[8];
    __u64 out[56];
} io;
char LICENSE[] SEC("license") = "GPL";
struct rq {
    int cpu;
} __attribute__((preserve_access_index));
extern const int bpf_prog_active __ksym;
extern const unsigned long this_cpu_off __ksym;
extern const struct rq runqueues __ksym;
extern const int mimicsh_is_not_there __ksym __weak;
extern const void bpf_prog_put __ksym;
extern const void mimicsh_is_nowhere __ksym __weak;
)";

class KernelVariables : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            ASSERT_TRUE(cpu_.pinned());
        }
    }

    /// The vm in a world with these variables.
    static Expected<std::unique_ptr<Instance>> load_in(const std::shared_ptr<const Object>& object,
                                                       const std::string& ksyms) {
        const auto world = vm::parse_world(R"({"ksyms": {)" + ksyms + "}}");
        if (!world) {
            return world.error();
        }
        vm::Options options;
        options.world = *world;
        return vm::make_target(options)->load(object, {});
    }

    static std::shared_ptr<const Object> program(const std::string& body) {
        return compile_text(std::string(kPrelude) + std::string(kExterns) +
                            "SEC(\"xdp\") int look(struct xdp_md *ctx) {\n" + body + "\nreturn XDP_PASS; }");
    }

    /// What a number is on each CPU: those that `first` gives.
    static std::string list(uint64_t first, uint64_t step) {
        std::string text = "[";
        for (uint32_t cpu = 0; cpu < possible_cpus(); ++cpu) {
            text += (cpu == 0 ? "" : ", ") + std::to_string(first + step * cpu);
        }
        return text + "]";
    }

    /// Loads into the kernel; null where that has no addresses of variables.
    static std::unique_ptr<Instance> load_on_kernel(const std::shared_ptr<const Object>& object) {
        auto kernel = kernel_target()->load(object, {});
        if (kernel) {
            return std::move(*kernel);
        }
        EXPECT_NE(kernel.error().message().find("failed to find the address for kernel symbol"),
                  std::string::npos)
            << kernel.error().message();
        return nullptr;
    }

    /// Runs "look" for a CPU; the results.
    static std::vector<uint64_t> look(Instance& instance, uint64_t cpu) {
        ByteVec io(8 * 64);
        store(io.data(), cpu);
        const uint32_t zero = 0;
        const ByteView key(reinterpret_cast<const uint8_t*>(&zero), sizeof zero);
        Map& map = *instance.find_map(".bss");
        EXPECT_TRUE(map.update(key, io, 0));
        const auto run = instance.find_program("look")->run(packet_of(64), {});
        EXPECT_TRUE(run && !run->fault) << (run ? run->fault->report : run.error().message());
        EXPECT_TRUE(map.lookup(key, io));
        std::vector<uint64_t> out;
        for (size_t i = 0; i < 7; ++i) {
            out.push_back(mimicsh::load<uint64_t>(io.data() + 8 * (8 + i)));
        }
        return out;
    }

    OnFirstCpu cpu_;
};

TEST_F(KernelVariables, OfEachCpu) {
    const auto object = program(R"(
        __u32 cpu = io.arg[0];
        const int *number = bpf_per_cpu_ptr(&bpf_prog_active, cpu), *own = bpf_this_cpu_ptr(&bpf_prog_active);
        const unsigned long *offset = bpf_per_cpu_ptr(&this_cpu_off, cpu);
        const struct rq *queue = bpf_per_cpu_ptr(&runqueues, cpu), *here = bpf_this_cpu_ptr(&runqueues);
        io.out[0] = number ? *number + 1 : 0;
        io.out[1] = *own + 1;
        io.out[2] = offset ? *offset : 0;
        io.out[3] = queue ? queue->cpu + 1 : 0;
        io.out[4] = here->cpu + 1;
        io.out[5] = offset && number ? bpf_probe_read_kernel(&io.out[6], 8, offset) : 1;
    )");
    ASSERT_NE(object, nullptr);
    const auto kernel = load_on_kernel(object);
    // Where the copies of a CPU are, nobody else knows.
    std::string offsets;
    std::string queues;
    for (uint32_t cpu = 0; cpu < possible_cpus(); ++cpu) {
        offsets += (cpu == 0 ? "" : ", ") + std::to_string(kernel ? look(*kernel, cpu)[2] : 0x1000 + cpu);
        queues += (cpu == 0 ? "" : ", ") + (R"({"cpu": )" + std::to_string(cpu) + "}");
    }
    auto vm = load_in(object, R"("bpf_prog_active": )" + list(0, 0) + R"(, "this_cpu_off": [)" + offsets +
                                  R"(], "runqueues": [)" + queues + "]");
    ASSERT_TRUE(vm) << vm.error().message();
    for (const uint64_t cpu : {0ull, 1ull, 0ull, 9999ull, 0xffffffffull, 1ull << 32}) {
        SCOPED_TRACE(testing::Message() << "CPU " << cpu);
        const auto here = look(**vm, cpu);
        const uint64_t known =
            static_cast<uint32_t>(cpu) < possible_cpus() ? static_cast<uint32_t>(cpu) + 1 : 0;
        EXPECT_EQ(here[0], known == 0 ? 0u : 1u);
        EXPECT_EQ(here[1], 1u);
        EXPECT_EQ(here[3], known);
        EXPECT_EQ(here[4], 1u);
        EXPECT_EQ(here[6], here[2]);
        if (kernel) {
            EXPECT_EQ(here, look(*kernel, cpu));
        }
    }
    if (!kernel) {
        GTEST_SKIP() << "this kernel has no addresses of variables (CONFIG_KALLSYMS_ALL)";
    }
}

TEST_F(KernelVariables, WeakAndTypelessOnes) {
    const auto object = program(R"(
        io.out[0] = &mimicsh_is_not_there != 0;
        io.out[1] = &mimicsh_is_nowhere != 0;
        io.out[2] = &bpf_prog_put != 0;
    )");
    ASSERT_NE(object, nullptr);
    auto kernel = kernel_target()->load(object, {});
    auto vm = load_in(object, R"("bpf_prog_put": 18446744071579140096)");
    ASSERT_TRUE(kernel) << kernel.error().message();
    ASSERT_TRUE(vm) << vm.error().message();
    kernel_ = std::move(*kernel);
    vm_ = std::move(*vm);
    set_args({});
    run_both("look", packet_of(64));
    EXPECT_EQ(result(0) + result(1), 0u);
    EXPECT_EQ(result(2), 1u);
}

TEST_F(KernelVariables, ByIdInTheKernelsTypes) {
    const auto types = running_kernel_btf();
    ASSERT_TRUE(types) << types.error().message();
    const auto id = (*types)->find("bpf_prog_active", BtfKind::Var);
    ASSERT_TRUE(id);
    RawObject raw;
    raw.object.license = "GPL";
    raw.add({insn(op::kLddw, 1, op::kBtfId, 0, *id), insn(0, 0, 0, 0, 0), mov(2, 1), call(153),
             jump_if(op::kJne, 0, 0, 2), mov(0, 77), exit_insn(), load(op::kW, 0, 0, 0), exit_insn()});
    const auto object = raw.share();
    const auto kernel = load_on_kernel(object);
    auto vm = load_in(object, R"("bpf_prog_active": )" + list(0, 0));
    ASSERT_TRUE(vm) << vm.error().message();
    for (Instance* one : {kernel.get(), vm->get()}) {
        if (one != nullptr) {
            const auto run = one->programs().front()->run(packet_of(64), {});
            ASSERT_TRUE(run && !run->fault);
            EXPECT_EQ(run->ret, possible_cpus() > 1 ? 0u : 77u);
        }
    }
    const auto missing = load_in(object, "");
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message().find("world.ksyms.bpf_prog_active"), std::string::npos);
    RawObject other;
    other.add({insn(op::kLddw, 1, op::kBtfId, 0, 1), insn(0, 0, 0, 0, 0), mov(0, 2), exit_insn()});
    for (const auto& target : {vm::make_target(), kernel_target()}) {
        EXPECT_FALSE(target->load(other.share(), {})) << target->name();
    }
    if (!kernel) {
        GTEST_SKIP() << "this kernel has no addresses of variables (CONFIG_KALLSYMS_ALL)";
    }
}

/// What the kernel's verifier refuses ends in a refusal or a fault here.
TEST_F(KernelVariables, MisuseIsRefused) {
    for (const char* body : {
             "io.out[0] = bpf_prog_active;",                    // per CPU: no address of its own
             "io.out[0] = *(__u64 *)&bpf_prog_put;",            // without type: a number
             "*(int *)bpf_this_cpu_ptr(&bpf_prog_active) = 1;", // read only
             "io.out[0] = *((int *)bpf_this_cpu_ptr(&bpf_prog_active) + 1);",
             "io.out[0] = *(int *)bpf_per_cpu_ptr(&bpf_prog_active, 9999);",
             "io.out[0] = mimicsh_is_not_there;",
             "bpf_this_cpu_ptr(&bpf_prog_put);",
         }) {
        const auto object = program(body);
        ASSERT_NE(object, nullptr) << body;
        EXPECT_FALSE(kernel_target()->load(object, {})) << body;
        auto vm =
            load_in(object, R"("bpf_prog_put": 18446744071579140096, "bpf_prog_active": )" + list(0, 0));
        if (vm) {
            const auto run = (*vm)->programs().front()->run(packet_of(64), {});
            ASSERT_TRUE(run) << body;
            EXPECT_TRUE(run->fault) << body;
        }
    }
}

} // namespace

} // namespace mimicsh::test
