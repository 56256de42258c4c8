// SPDX-License-Identifier: MIT
// Linked programs against libbpf's: instruction by instruction, for every BPF program in C of the tree.
#include <gtest/gtest.h>
#include <map>

#include <cerrno>
#include <functional>
#include <memory>
#include <set>

#include "libbpf_oracle.h"
#include "object/linker.h"
#include "programs.h"
#include "tests/paths.h"

namespace mimicsh {
namespace {

std::shared_ptr<const Btf> kernel_btf() {
    static const std::shared_ptr<const Btf> btf = []() -> std::shared_ptr<const Btf> {
        auto bytes = read_file("/sys/kernel/btf/vmlinux", "read");
        if (!bytes) {
            return nullptr;
        }
        auto parsed = Btf::parse(*bytes, "vmlinux");
        return parsed ? std::make_shared<const Btf>(std::move(*parsed)) : nullptr;
    }();
    return btf;
}

/// What differs by nature is cleared on both sides, and nothing else: imm of an instruction that names a map
/// (a descriptor there, 0 here); of one that names an extern also imm of the second half (address of a kernel
/// symbol or BTF id) and src and off (which kind of id, and the slot of its BTF's descriptor).
void clear_references(const LinkedProgram& ours, std::vector<Insn>& insns) {
    for (const LinkedRef& ref : ours.refs) {
        if (ref.insn >= insns.size()) {
            continue;
        }
        Insn& insn = insns[ref.insn];
        insn.imm = 0;
        if (ref.kind == RelocKind::Extern) {
            insn.src = 0;
            insn.off = 0;
            if (insn.code == op::kLddw) {
                insns[ref.insn + 1].imm = 0;
            }
        }
    }
}

std::string show(const Insn& insn) {
    return "code " + std::to_string(insn.code) + " dst " + std::to_string(insn.dst) + " src " +
           std::to_string(insn.src) + " off " + std::to_string(insn.off) + " imm " + std::to_string(insn.imm);
}

/// Sources that libbpf's load refuses because the verifier does, and what that says.
const std::map<std::string, std::string> kRefused{
    {"examples/first_fault/first_fault.bpf.c", "invalid access to packet"},
    {"tests/cases/parity/card.bpf.c", "device-bound"},
};
/// Debian 12's libbpf does not know what this one uses.
constexpr const char* kExceptions = "tests/cases/parity/exceptions.bpf.c";

class LinkedAgainstLibbpf : public testing::TestWithParam<std::string> {
  protected:
    static ByteVec bytes() { return test::object_bytes(test::in_tree(GetParam())); }
};

TEST_P(LinkedAgainstLibbpf, InstructionsAreEqual) {
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    const ByteVec file = bytes();
    ASSERT_FALSE(file.empty());
    const test::LibbpfObject theirs = test::load_with_libbpf(file);
    if (const auto refused = kRefused.find(GetParam()); refused != kRefused.end()) {
        EXPECT_NE(theirs.error.find(refused->second), std::string::npos) << theirs.error;
        return;
    }
    if (GetParam() == kExceptions && !theirs.error.empty()) {
        return; // libbpf before 1.3 knows no exception callbacks
    }
    ASSERT_EQ(theirs.error, "");
    auto object = read_elf(file, GetParam());
    ASSERT_TRUE(object) << object.error().message();
    const auto shared = std::make_shared<const Object>(std::move(*object));
    ASSERT_FALSE(shared->programs().empty());
    EXPECT_EQ(shared->programs().size(), theirs.programs.size());
    for (const uint32_t index : shared->programs()) {
        auto linked = link(shared, index, {kernel_btf()});
        ASSERT_TRUE(linked) << linked.error().message();
        const auto program = theirs.programs.find(linked->name);
        ASSERT_NE(program, theirs.programs.end()) << linked->name;
        std::vector<Insn> expected = program->second;
        std::vector<Insn> actual = linked->insns;
        clear_references(*linked, expected);
        clear_references(*linked, actual);
        ASSERT_EQ(actual.size(), expected.size()) << linked->name;
        for (size_t i = 0; i < actual.size(); ++i) {
            EXPECT_EQ(show(actual[i]), show(expected[i])) << linked->name << " slot " << i;
        }
    }
}

TEST_P(LinkedAgainstLibbpf, MapsAreEqual) { // needs libbpf to open the object, not the kernel to load it
    const ByteVec file = bytes();
    ASSERT_FALSE(file.empty());
    const test::LibbpfObject theirs = test::load_with_libbpf(file);
    auto object = read_elf(file, GetParam());
    ASSERT_TRUE(object) << object.error().message();
    std::vector<std::string> order;
    for (const MapDef& map : object->maps) {
        order.push_back(map.name);
        const auto found = theirs.maps.find(map.name);
        ASSERT_NE(found, theirs.maps.end()) << map.name;
        const test::LibbpfMap ours{static_cast<uint32_t>(map.type),
                                   map.key_size,
                                   map.value_size,
                                   map.max_entries,
                                   map.flags,
                                   map.extra};
        EXPECT_TRUE(ours == found->second)
            << map.name << ": type " << found->second.type << " key " << found->second.key_size << " value "
            << found->second.value_size << " entries " << found->second.max_entries << " flags "
            << found->second.flags << ", ours " << ours.value_size << " " << ours.flags;
    }
    std::vector<std::string> theirs_order = theirs.map_order;
    std::erase(theirs_order, ".kconfig"); // an extern here, a map there
    EXPECT_EQ(order, theirs_order);
}

TEST_P(LinkedAgainstLibbpf, KernelAcceptsTheFixedBtf) {
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    auto object = read_elf(bytes(), GetParam());
    ASSERT_TRUE(object) << object.error().message();
    ASSERT_NE(object->btf, nullptr);
    EXPECT_EQ(test::kernel_refuses_btf(object->btf->raw()), "");
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, LinkedAgainstLibbpf, testing::ValuesIn(test::bpf_sources()),
                         [](const auto& param) { return test::test_name_of_source(param.param); });

/// clang-14 cannot write type-matches relocations: the type-exists ones of a test program are turned into
/// them.
TEST(Linker, MatchesTypesExactlyAsLibbpfDoes) {
    constexpr uint32_t kTypeExists = 8, kTypeMatches = 12;
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    auto object = read_elf(test::object_bytes("core_types"), "core_types");
    ASSERT_TRUE(object) << object.error().message();
    std::vector<uint32_t> slots;
    for (CoreRelocation& relo : object->functions.at(0).core_relocs) {
        if (relo.kind == kTypeExists) {
            relo.kind = kTypeMatches;
            slots.push_back(relo.insn);
        }
    }
    ASSERT_GE(slots.size(), 10u);
    auto bytes = write_elf(*object);
    ASSERT_TRUE(bytes) << bytes.error().message();
    const test::LibbpfObject theirs = test::load_with_libbpf(*bytes);
    ASSERT_EQ(theirs.error, "");
    auto ours = link(std::make_shared<const Object>(std::move(*object)), 0, {kernel_btf()});
    ASSERT_TRUE(ours) << ours.error().message();
    std::set<int32_t> answers;
    for (const uint32_t slot : slots) {
        EXPECT_EQ(show(ours->insns[slot]), show(theirs.programs.at("types")[slot])) << slot;
        answers.insert(ours->insns[slot].imm);
    }
    EXPECT_EQ(answers, (std::set<int32_t>{0, 1}))
        << "the program no longer has types that match and types that do not";
}

TEST(Linker, RefusesAProgramThatNeedsKernelTypesWithoutThem) {
    auto object = read_elf(test::object_bytes("core"), "core.o");
    ASSERT_TRUE(object) << object.error().message();
    const auto shared = std::make_shared<const Object>(std::move(*object));
    EXPECT_TRUE(needs_kernel_btf(*shared));
    auto linked = link(shared, shared->programs()[0], {});
    ASSERT_FALSE(linked);
    EXPECT_EQ(linked.error().code, ENOENT);
    EXPECT_NE(linked.error().message().find("core.bpf.c:"), std::string::npos) << linked.error().message();
    EXPECT_NE(linked.error().hint.find("/sys/kernel/btf/vmlinux"), std::string::npos);
}

TEST(Linker, LeavesTheObjectAsItWas) {
    auto object = read_elf(test::object_bytes("calls"), "calls.o");
    ASSERT_TRUE(object);
    const auto shared = std::make_shared<const Object>(std::move(*object));
    const std::vector<Function> before = shared->functions;
    ASSERT_TRUE(link(shared, shared->programs()[0], {}));
    for (size_t i = 0; i < before.size(); ++i) {
        EXPECT_EQ(before[i].insns, shared->functions[i].insns);
    }
}

/// Two functions that call each other, made by hand: no compiler is needed to write them.
Object recursive_object() {
    Object object;
    object.origin = "made by hand";
    const auto make = [](const char* name, uint32_t callee, bool program) {
        Function function;
        function.name = name;
        function.section = program ? "xdp" : ".text";
        function.insns = {{op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1},
                          {op::kJmp | op::kExit, 0, 0, 0, 0}};
        function.relocs = {{0, RelocKind::Call, callee, 0}};
        if (program) {
            function.spec = spec_of_section("xdp");
        }
        return function;
    };
    object.functions = {make("a", 1, true), make("b", 2, false), make("c", 1, false)};
    return object;
}

TEST(Linker, EndsOnRecursion) {
    const auto object = std::make_shared<const Object>(recursive_object());
    auto linked = link(object, 0, {});
    ASSERT_TRUE(linked) << linked.error().message();
    ASSERT_EQ(linked->insns.size(), 6u);
    EXPECT_EQ(linked->insns[0].imm, 1);  // a -> b
    EXPECT_EQ(linked->insns[2].imm, 1);  // b -> c
    EXPECT_EQ(linked->insns[4].imm, -3); // c -> b
    EXPECT_EQ(linked->function_at(3), 1u);
}

TEST(Linker, RefusesWhatCannotBeAProgram) {
    struct Case {
        const char* what;
        std::function<void(Object&)> change;
        uint32_t function;
        const char* text;
    };
    const Case cases[] = {
        {"subprogram", [](Object&) {}, 1, "is a subprogram"},
        {"number", [](Object&) {}, 9, "no function number 9"},
        {"runs over",
         [](Object& o) {
             o.functions[2].insns[1] = {op::kAlu64 | op::kMov, 0, 0, 0, 0};
         },
         0, "function 'c' runs over its end"},
        {"no type", [](Object& o) { o.functions[0].spec->type = abi::ProgType::Unspec; }, 0,
         "names no program type"},
        {"target", [](Object& o) { o.functions[0].relocs[0].target = 7; }, 0, "names number 7 of 3"},
        {"jump",
         [](Object& o) {
             o.functions[0].insns[1] = {op::kJmp | op::kJa, 0, 0, 5, 0};
         },
         0, "jump out of the function"},
        {"bare call", [](Object& o) { o.functions[0].relocs.clear(); }, 0, "reference without a relocation"},
        {"half load",
         [](Object& o) {
             o.functions[0].insns[1] = {op::kLddw, 0, 0, 0, 0};
         },
         0, "cut in half"},
    };
    for (const Case& c : cases) {
        Object object = recursive_object();
        c.change(object);
        auto linked = link(std::make_shared<const Object>(std::move(object)), c.function, {});
        ASSERT_FALSE(linked) << c.what;
        EXPECT_NE(linked.error().message().find(c.text), std::string::npos)
            << c.what << ": " << linked.error().message();
    }
}

TEST(Linker, NamesTheSourceLineOfAnInstruction) {
    auto object = read_elf(test::object_bytes("maps_xdp"), "maps_xdp.o");
    ASSERT_TRUE(object);
    const auto shared = std::make_shared<const Object>(std::move(*object));
    auto linked = link(shared, shared->programs()[1], {});
    ASSERT_TRUE(linked);
    const SourceLine line = source_line(*linked, 0);
    EXPECT_TRUE(line.file.ends_with("maps_xdp.bpf.c")) << line.file;
    EXPECT_EQ(line.text, "return classify(ctx->data_end - ctx->data) ? XDP_PASS : XDP_DROP;");
    ASSERT_EQ(linked->functions.size(), 2u);
    EXPECT_EQ(linked->functions[1].name, "classify");
    EXPECT_NE(linked->functions[1].btf_id, 0u);
    EXPECT_EQ(linked->line_at(linked->functions[1].insn)->insn, linked->functions[1].insn);
}

} // namespace
} // namespace mimicsh
