// SPDX-License-Identifier: MIT
// Objects with programs that the emulator cannot run, and with programs that are not loaded by themselves.
#include "object/autoload.h"
#include "tests/kernel/parity.h"
#include "vm/prog_types.h"

namespace mimicsh::test {

namespace {

class MixedObjects : public ParityTest {};

constexpr std::string_view kMixed = R"(
#define COUNTER(name) struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); \
	__type(key, __u32); __type(value, __u64); } name SEC(".maps")
COUNTER(counts);
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32);
	__type(value, __u32); } jumps SEC(".maps");
int probed(void *ctx);
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __uint(key_size, 4);
	__array(values, int(void *)); } probes SEC(".maps") = { .values = { [0] = (void *)&probed } };
static __attribute__((always_inline)) void count(void) {
	__u32 key = 0; __u64 *n = bpf_map_lookup_elem(&counts, &key); if (n) __sync_fetch_and_add(n, 1); }
SEC("kprobe/do_nothing") int probed(void *ctx) {
	char text[] = "x"; bpf_trace_printk(text, 2); count(); return 0; }
SEC("sockops") int ops(struct bpf_sock_ops *ops) { count(); return ops->op == 3; }
SEC("xdp") int filter(struct xdp_md *ctx) { count(); return XDP_TX; }
char LICENSE[] SEC("license") = "GPL";
)";

TEST_F(MixedObjects, ProgramsOfOtherTypesAreThereAndDoNotRun) {
    open(compile_text(std::string(kPrelude) + std::string(kMixed)));
    ASSERT_TRUE(ready());
    EXPECT_EQ(run_both("filter", packet_of(64)).ret, 3u);
    ASSERT_EQ(vm_->programs().size(), kernel_->programs().size());
    for (const auto& [name, type] : {std::pair{"probed", "kprobe"}, {"ops", "sock_ops"}}) {
        Program& program = *vm_->find_program(name);
        const std::string reason = std::string(type) + " programs are not emulated";
        EXPECT_EQ(vm::prog_type_reason(program.type()), reason);
        const auto result = program.run(packet_of(64), {});
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ENOTSUP);
        EXPECT_EQ(result.error().text, std::string(name) + ": " + reason);
        const ByteVec packet = packet_of(64);
        BatchItem item;
        item.in = packet;
        EXPECT_FALSE(program.run_batch({&item, 1}, {}));
        EXPECT_FALSE(program.race({}));
        const Status put = vm_->find_map("jumps")->put_program(0, program);
        ASSERT_FALSE(put);
        EXPECT_EQ(put.error().code, name == std::string("probed") ? ENOTSUP : EINVAL);
        EXPECT_NE(put.error().text.find(name == std::string("probed") ? reason : "sock_ops"),
                  std::string::npos);
    }
    EXPECT_EQ(vm::prog_type_reason(abi::ProgType::Xdp), "");
    expect_same_maps();
}

TEST_F(MixedObjects, PermissiveModeHasThemToo) {
    vm::Options options;
    options.mode = vm::Mode::Permissive;
    const auto object = compile_text(std::string(kPrelude) + std::string(kMixed));
    ASSERT_NE(object, nullptr);
    auto here = vm::make_target(options)->load(object, {});
    ASSERT_TRUE(here) << here.error().message();
    EXPECT_FALSE((*here)->find_program("probed")->run(packet_of(64), {}));
    EXPECT_TRUE((*here)->find_program("filter")->run(packet_of(64), {}));
}

constexpr std::string_view kOptional = R"(
int extra(struct xdp_md *ctx);
SEC("xdp") int filter(struct xdp_md *ctx) { return XDP_TX; }
SEC("?xdp") int extra(struct xdp_md *ctx) { return XDP_DROP; }
SEC("?xdp") int broken(struct xdp_md *ctx) { return ((int (*)(void))9999)(); }
)";

TEST_F(MixedObjects, ProgramsThatAreNotAskedForAreNotLoaded) {
    const auto object = compile_text(std::string(kPrelude) + std::string(kOptional));
    ASSERT_NE(object, nullptr);
    for (const auto& [asked, loaded] :
         {std::pair<std::vector<std::string>, std::vector<std::string>>{{}, {"filter"}},
          {{"extra"}, {"filter", "extra"}},
          {{"filter"}, {"filter"}}}) {
        const auto chosen = with_autoload(object, asked);
        ASSERT_TRUE(chosen) << chosen.error().message();
        const auto here = vm::make_target()->load(*chosen, {});
        const auto there = kernel_target()->load(*chosen, {});
        ASSERT_TRUE(here) << here.error().message();
        ASSERT_TRUE(there) << there.error().message();
        for (Instance* side : {here->get(), there->get()}) {
            std::vector<std::string> names;
            for (const Program* program : side->programs()) {
                names.push_back(program->name());
            }
            EXPECT_EQ(names, loaded) << side->target();
        }
    }
    const auto broken = with_autoload(object, {"broken"});
    ASSERT_TRUE(broken);
    EXPECT_FALSE(vm::make_target()->load(*broken, {}));
    EXPECT_FALSE(kernel_target()->load(*broken, {}));
    const auto nothing = with_autoload(object, {"nothing"});
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().text, "autoload: no program 'nothing' in the object");
    EXPECT_EQ(*with_autoload(object, {}), object);
}

TEST_F(MixedObjects, SlotsNameProgramsThatAreLoaded) {
    const auto object = compile_text(std::string(kPrelude) + R"(
int extra(struct xdp_md *ctx);
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __uint(key_size, 4);
	__array(values, int(void *)); } jumps SEC(".maps") = { .values = { [0] = (void *)&extra } };
SEC("xdp") int filter(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return XDP_TX; }
SEC("?xdp") int extra(struct xdp_md *ctx) { return XDP_DROP; }
)");
    ASSERT_NE(object, nullptr);
    for (const auto& loaded : {vm::make_target()->load(object, {}), kernel_target()->load(object, {})}) {
        ASSERT_FALSE(loaded);
        EXPECT_NE(loaded.error().text.find("jumps: slot 0 names no program that is loaded"),
                  std::string::npos);
        EXPECT_NE(loaded.error().hint.find("autoload"), std::string::npos);
    }
}

} // namespace

} // namespace mimicsh::test
