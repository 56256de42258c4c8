// SPDX-License-Identifier: MIT
// Which programs may share a prog array, and how much stack may lie below a tail call.
#include <algorithm>
#include <array>

#include "tests/kernel/parity.h"
#include "vm/prog_types.h"

namespace mimicsh::test {

namespace {

using abi::MapType;

class TailCallRules : public ParityTest {
  protected:
    static std::pair<bool, bool> loads(const std::shared_ptr<const Object>& object) {
        const auto here = vm::make_target()->load(object, {});
        const auto there = kernel_target()->load(object, {});
        return {here.has_value(), there.has_value()};
    }
};

constexpr std::array kSections{"xdp",      "xdp.frags",          "xdp/devmap",        "xdp/cpumap",
                               "tc",       "tcx/ingress",        "tcx/egress",        "action",
                               "socket",   "cgroup_skb/ingress", "cgroup_skb/egress", "lwt_in",
                               "lwt_xmit", "flow_dissector",     "sockops",           "kprobe/do_nothing"};

MapDef jumps() {
    return map_def("jumps", MapType::ProgArray, 4, 4, 4);
}

void name_program(RawObject& raw, const std::string& name, const std::string& section) {
    Function& function = raw.object.functions.back();
    function.name = name;
    function.section = section;
    function.spec = *spec_of_section(section);
}

/// Two programs with one prog array, which both use or only the first.
std::shared_ptr<const Object> two_programs(const std::string& first, const std::string& second,
                                           bool second_uses) {
    RawObject raw;
    const uint32_t map = raw.add_map(jumps());
    name_program(raw, "first", first);
    raw.load_map(2, map).add({mov(3, 0), call(12), mov(0, 0), exit_insn()});
    raw.begin_function("second");
    name_program(raw, "second", second);
    if (second_uses) {
        raw.load_map(6, map); // being named is use enough
    }
    raw.add({mov(0, 0), exit_insn()});
    return raw.share();
}

TEST_F(TailCallRules, ProgramsThatUseAnArrayAreAlike) {
    size_t together = 0;
    for (const char* first : kSections) {
        for (const char* second : kSections) {
            const auto [here, there] = loads(two_programs(first, second, true));
            EXPECT_EQ(here, there) << first << " and " << second;
            together += there ? 1 : 0;
        }
    }
    EXPECT_GE(together, kSections.size());
    EXPECT_LE(together, kSections.size() * 2);
}

/// What putting a program into a slot gives.
std::string put(Instance& side, uint32_t slot, const std::string& program) {
    const Status done = side.find_map("jumps")->put_program(slot, *side.find_program(program));
    return done ? "put" : done.error().code_name();
}

TEST_F(TailCallRules, ProgramsThatArePutIntoAnArrayAreLikeThoseThatUseIt) {
    size_t refused = 0;
    for (const char* first : kSections) {
        for (const char* second : kSections) {
            SCOPED_TRACE(testing::Message() << first << " and " << second);
            open(two_programs(first, second, false));
            ASSERT_TRUE(ready());
            const bool runs = vm::prog_type_reason(vm_->find_program("second")->type()).empty();
            const std::string there = put(*kernel_, 1, "second");
            EXPECT_EQ(put(*vm_, 1, "second"), there == "put" && !runs ? "EOPNOTSUPP" : there);
            EXPECT_EQ(put(*vm_, 4, "second"), "E2BIG");
            EXPECT_EQ(put(*kernel_, 4, "second"), "E2BIG");
            refused += there == "EINVAL" ? 1 : 0;
        }
    }
    EXPECT_GE(refused, kSections.size() * (kSections.size() - 2));
}

TEST_F(TailCallRules, TheFirstProgramInAnArrayStaysItsOwner) {
    for (const char* first : kSections) {
        for (const char* second : kSections) {
            SCOPED_TRACE(testing::Message() << first << " and " << second);
            RawObject raw;
            raw.add_map(jumps());
            name_program(raw, "first", first);
            raw.add({mov(0, 0), exit_insn()});
            raw.begin_function("second");
            name_program(raw, "second", second);
            raw.add({mov(0, 0), exit_insn()});
            open(raw.share());
            ASSERT_TRUE(ready());
            for (const char* program : {"first", "second", "first"}) {
                const bool runs = vm::prog_type_reason(vm_->find_program(program)->type()).empty();
                const std::string there = put(*kernel_, 2, program);
                EXPECT_EQ(put(*vm_, 2, program), there == "put" && !runs ? "EOPNOTSUPP" : there);
                if (there == "put" && runs) { // an empty array is still its owner's
                    const ByteVec key{2, 0, 0, 0};
                    EXPECT_TRUE(vm_->find_map("jumps")->erase(key));
                    EXPECT_TRUE(kernel_->find_map("jumps")->erase(key));
                }
            }
        }
    }
}

TEST_F(TailCallRules, DeviceAndCpuMapsHaveOwnersToo) {
    for (const MapType type : {MapType::Devmap, MapType::DevmapHash, MapType::Cpumap}) {
        for (const char* first : {"xdp", "xdp.frags", "xdp/devmap", "tc"}) {
            for (const char* second : {"xdp", "xdp.frags", "xdp/devmap", "tc"}) {
                RawObject raw;
                const uint32_t map = raw.add_map(map_def("targets", type, 4, 8, 4));
                name_program(raw, "first", first);
                raw.load_map(6, map).add({mov(0, 0), exit_insn()});
                raw.begin_function("second");
                name_program(raw, "second", second);
                raw.load_map(6, map).add({mov(0, 0), exit_insn()});
                const auto [here, there] = loads(raw.share());
                EXPECT_EQ(here, there) << abi::name(type) << ": " << first << " and " << second;
            }
        }
    }
}

TEST_F(TailCallRules, AnArrayIsForOneCgroupStorage) {
    size_t refused = 0;
    for (const MapType type : {MapType::CgroupStorage, MapType::PercpuCgroupStorage}) {
        for (const int first : {-1, 0, 1}) {
            for (const int second : {-1, 0, 1}) {
                RawObject raw;
                const uint32_t map = raw.add_map(jumps());
                const uint32_t storages[] = {raw.add_map(map_def("one", type, 8, 8, 0)),
                                             raw.add_map(map_def("two", type, 8, 8, 0))};
                const auto body = [&](int storage) {
                    raw.load_map(2, map);
                    if (storage >= 0) {
                        raw.load_map(1, storages[storage]).add({mov(2, 0), call(81)});
                    }
                    raw.add({mov(0, 1), exit_insn()});
                };
                name_program(raw, "first", "cgroup_skb/ingress");
                body(first);
                raw.begin_function("second");
                name_program(raw, "second", "cgroup_skb/ingress");
                body(second);
                const auto [here, there] = loads(raw.share());
                EXPECT_EQ(here, there) << abi::name(type) << " " << first << " and " << second;
                refused += there ? 0 : 1;
            }
        }
    }
    EXPECT_EQ(refused, 8u);
}

TEST_F(TailCallRules, RefusalsNameThePrograms) {
    const auto text = [](const char* first, const char* second, bool uses) {
        auto here = vm::make_target()->load(two_programs(first, second, uses), {});
        if (!here) {
            return here.error().text;
        }
        const Status done = (*here)->find_map("jumps")->put_program(0, *(*here)->find_program("second"));
        return done ? std::string() : done.error().text;
    };
    EXPECT_EQ(text("xdp", "tc", true),
              "second: uses map jumps, but it is for the type of program first, which "
              "came first: xdp, not sched_cls");
    EXPECT_NE(text("xdp.frags", "xdp", true).find("program first, which came first, takes fragments"),
              std::string::npos);
    EXPECT_NE(text("tc", "tcx/ingress", true)
                  .find("expected attach type of program first, which came first: "
                        "0, not 46"),
              std::string::npos);
    EXPECT_NE(text("tc", "xdp", false).find("second: it is for the type of program first"), std::string::npos)
        << text("tc", "xdp", false);
    EXPECT_NE(text("sockops", "sockops", false).find("second: sock_ops programs are not emulated"),
              std::string::npos)
        << text("sockops", "sockops", false);
}

// -- Stack below a tail call --

/// The types of functions that return a number; without them the kernel takes no tail call below the program.
void give_types(RawObject& raw) {
    static const std::shared_ptr<const Object> kTyped = compile_text(
        std::string(kPrelude) + "static __attribute__((noinline)) int below(void *ctx) { return "
                                "bpf_get_prandom_u32(); }\n"
                                "SEC(\"xdp\") int prog(struct xdp_md *ctx) { return below(ctx); }\n");
    raw.object.btf = kTyped->btf;
    for (Function& function : raw.object.functions) {
        const std::string_view like = function.spec ? "prog" : "below";
        function.btf_id = std::ranges::find(kTyped->functions, like, &Function::name)->btf_id;
    }
}

void use_stack(RawObject& raw, int bytes) {
    if (bytes != 0) {
        raw.add(store_imm(op::kB, 10, -bytes, 1));
    }
}

void tail_call(RawObject& raw, uint32_t map) {
    raw.load_map(2, map).add({mov(3, 0), call(12)});
}

TEST_F(TailCallRules, CallersOfATailCallUseLessThan256Bytes) {
    size_t accepted = 0, refused = 0;
    for (const int main : {0, 1, 16, 128, 239, 240, 241, 255, 256, 257, 272, 480}) {
        for (const int middle : {-1, 0, 1, 16, 17, 112, 113, 128, 240, 256}) {
            for (const int last : {0, 16, 256}) {
                RawObject raw;
                const uint32_t map = raw.add_map(jumps());
                use_stack(raw, main);
                raw.call_function(1).add({mov(0, 2), exit_insn()});
                raw.begin_function("middle");
                if (middle >= 0) { // a frame between the program and the one that jumps
                    use_stack(raw, middle);
                    raw.call_function(2).add({mov(0, 2), exit_insn()});
                    raw.begin_function("last");
                }
                use_stack(raw, last);
                tail_call(raw, map);
                raw.add({mov(0, 2), exit_insn()});
                EXPECT_EQ(loads(raw.share()), (std::pair{false, false})) << "without types";
                give_types(raw);
                const auto [here, there] = loads(raw.share());
                EXPECT_EQ(here, there) << main << ", " << middle << ", " << last;
                (there ? accepted : refused) += 1;
            }
        }
    }
    EXPECT_GE(accepted, 50u);
    EXPECT_GE(refused, 50u);
}

TEST_F(TailCallRules, TheProgramItselfMayUseAllOfItsStack) {
    for (const int main : {0, 255, 256, 512}) {
        for (const int callee : {-1, 0, 16}) {
            RawObject raw;
            const uint32_t map = raw.add_map(jumps());
            raw.add(mov_reg(6, 1));
            use_stack(raw, main);
            if (callee >= 0) {
                raw.call_function(1);
            }
            raw.add(mov_reg(1, 6));
            tail_call(raw, map);
            raw.add({mov(0, 2), exit_insn()});
            if (callee >= 0) {
                raw.begin_function("callee");
                use_stack(raw, callee);
                raw.add({mov(0, 2), exit_insn()});
            }
            const auto [here, there] = loads(raw.share());
            EXPECT_EQ(here, there) << main << ", " << callee;
        }
    }
}

/// What else surrounds a tail call in a function below the program.
struct Around {
    const char* what;
    const char* functions;
    const char* body;
};

constexpr std::string_view kAroundTypes = R"(
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, __u32);
	__type(value, __u32); } jumps SEC(".maps");
struct timed { struct bpf_timer timer; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);
	__type(value, struct timed); } timers SEC(".maps");
extern void bpf_throw(__u64 cookie) __ksym;
const volatile __u32 never;
char LICENSE[] SEC("license") = "GPL";
)";

constexpr std::array kAround{
    Around{
        "one branch that read-only data leaves out",
        "static __attribute__((noinline)) int jump(void *ctx) { bpf_tail_call(ctx, &jumps, 0); return 3; }",
        "volatile char room[300]; room[0] = 1; if (never) return jump(ctx); return room[0];"},
    Around{"a void function",
           "static __attribute__((noinline)) void jump(void *ctx) { bpf_tail_call(ctx, &jumps, 0); }",
           "jump(ctx); return 2;"},
    Around{
        "a function of 64 bits",
        "static __attribute__((noinline)) __u64 jump(void *ctx) { bpf_tail_call(ctx, &jumps, 0); return 3; }",
        "return jump(ctx);"},
    Around{"a function of a pointer",
           "static __attribute__((noinline)) void *jump(void *ctx) { bpf_tail_call(ctx, &jumps, 0); return "
           "ctx; }",
           "return jump(ctx) != 0;"},
    Around{
        "a global function",
        "__attribute__((noinline)) int jump(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return 3; }",
        "return jump(ctx);"},
    Around{
        "a global function above much stack",
        "__attribute__((noinline)) int jump(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 0); return 3; }",
        "volatile char room[256]; room[0] = 1; return jump(ctx) + room[0];"},
    Around{
        "a timer's callback",
        "static int jump(void *map, int *key, struct timed *value) { return 0; }\n"
        "static __attribute__((noinline)) int other(void *ctx) { bpf_tail_call(ctx, &jumps, 0); return 3; }",
        "__u32 key = 0; struct timed *t = bpf_map_lookup_elem(&timers, &key); if (!t) return 1; "
        "bpf_timer_init(&t->timer, &timers, 1); bpf_timer_set_callback(&t->timer, jump); "
        "return other(ctx);"},
};

TEST_F(TailCallRules, WhatSurroundsATailCall) {
    size_t accepted = 0;
    for (const Around& one : kAround) {
        const auto object =
            compile_text(std::string(kPrelude) + std::string(kAroundTypes) + one.functions +
                         "\nSEC(\"xdp\") int prog(struct xdp_md *ctx) { " + one.body + " }\n");
        ASSERT_NE(object, nullptr) << one.what;
        const auto here = vm::make_target()->load(object, {});
        const auto there = kernel_target()->load(object, {});
        EXPECT_EQ(here.has_value(), there.has_value())
            << one.what << ": " << (here ? there.error().message() : here.error().message());
        accepted += there ? 1 : 0;
    }
    EXPECT_GE(accepted, 2u);
}

TEST_F(TailCallRules, FunctionsThatLoadFromThePacketReturnNumbers) {
    for (const auto& [type, loaded] :
         {std::pair{"int", true}, {"void *", false}, {"__u64", true}, {"char", true}}) {
        const auto object = compile_text(
            std::string(kPrelude) +
            "unsigned long long load_byte(void *skb, unsigned long long off) asm(\"llvm.bpf.load.byte\");\n"
            "static __attribute__((noinline)) " +
            type + " look(void *skb) { return (" + type +
            ")load_byte(skb, 1); }\n"
            "SEC(\"tc\") int prog(struct __sk_buff *skb) { return look(skb) != 0; }\n");
        ASSERT_NE(object, nullptr) << type;
        EXPECT_EQ(loads(object), (std::pair{loaded, loaded})) << type;
    }
}

TEST_F(TailCallRules, TooMuchStackIsNamed) {
    RawObject raw;
    const uint32_t map = raw.add_map(jumps());
    use_stack(raw, 260);
    raw.call_function(1).add({mov(0, 2), exit_insn()});
    raw.begin_function("jump");
    tail_call(raw, map);
    raw.add({mov(0, 2), exit_insn()});
    give_types(raw);
    const auto here = vm::make_target()->load(raw.share(), {});
    ASSERT_FALSE(here);
    EXPECT_EQ(here.error().text, "main: instruction 7: bpf_tail_call below functions that use 272 bytes of "
                                 "stack together, fewer than 256 are allowed");
    const auto there = kernel_target()->load(raw.share(), {});
    ASSERT_FALSE(there);
    EXPECT_NE(there.error().log.find("call stack of previous frames is 272 bytes"), std::string::npos)
        << there.error().log;
}

} // namespace

} // namespace mimicsh::test
