// SPDX-License-Identifier: MIT
// The assembler: listings of compiled programs assemble to the same instructions; names, functions, errors.
#include "object/asm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "libbpf_oracle.h"
#include "object/disasm.h"
#include "object/kernel_btf.h"
#include "object/linker.h"
#include "programs.h"
#include "tests/paths.h"

namespace mimicsh {
namespace {

Expected<Object> assemble(std::string_view text) {
    return mimicsh::assemble(text, AsmOptions{});
}

Expected<LinkedProgram> link_first(Object object, const std::string& name = "") {
    const auto shared = std::make_shared<const Object>(std::move(object));
    for (const uint32_t id : shared->programs()) {
        if (name.empty() || shared->functions[id].name == name) {
            return link(shared, id, {});
        }
    }
    return Error{ENOENT, "link", "no program", "", ""};
}

void expect_same(const LinkedProgram& a, const LinkedProgram& b, const std::string& text) {
    ASSERT_EQ(a.insns.size(), b.insns.size()) << text;
    for (uint32_t i = 0; i < a.insns.size(); ++i) {
        ASSERT_EQ(a.insns[i], b.insns[i]) << a.name << " " << i << ": " << disassemble(a, i) << "\n" << text;
    }
    ASSERT_EQ(a.refs.size(), b.refs.size()) << text;
    for (size_t i = 0; i < a.refs.size(); ++i) {
        EXPECT_EQ(std::tuple(a.refs[i].insn, a.refs[i].kind, a.refs[i].target, a.refs[i].offset),
                  std::tuple(b.refs[i].insn, b.refs[i].kind, b.refs[i].target, b.refs[i].offset));
    }
    ASSERT_EQ(a.functions.size(), b.functions.size()) << text;
    for (size_t i = 0; i < a.functions.size(); ++i) {
        EXPECT_EQ(a.functions[i].insn, b.functions[i].insn);
        EXPECT_EQ(a.functions[i].name, b.functions[i].name);
    }
    EXPECT_EQ(a.exception_callback, b.exception_callback);
    EXPECT_EQ(a.spec.type, b.spec.type);
    EXPECT_EQ(a.spec.attach_type, b.spec.attach_type);
    EXPECT_EQ(a.spec.flags, b.spec.flags);
}

// -- Listings --

class Listed : public testing::TestWithParam<std::string> {};

TEST_P(Listed, AssemblesToTheSameInstructions) {
    auto object = read_elf(test::object_bytes(test::in_tree(GetParam())), GetParam());
    ASSERT_TRUE(object) << object.error().message();
    LinkOptions options;
    if (needs_kernel_btf(*object)) {
        auto btf = running_kernel_btf();
        if (!btf) {
            GTEST_SKIP() << btf.error().message();
        }
        options.kernel_btf = *btf;
    }
    const auto shared = std::make_shared<const Object>(std::move(*object));
    uint32_t compared = 0;
    for (const uint32_t id : shared->programs()) {
        if (shared->functions[id].spec->type == abi::ProgType::Unspec) {
            continue;
        }
        const auto before = link(shared, id, options);
        ASSERT_TRUE(before) << before.error().message();
        for (const ListingOptions& style : {ListingOptions{}, ListingOptions{false, false, true, true}}) {
            const std::string text = list_declarations(*shared) + disassemble(*before, style);
            auto again = assemble(text);
            ASSERT_TRUE(again) << again.error().message() << "\n" << again.error().log << text;
            EXPECT_EQ(again->license, shared->license);
            ASSERT_EQ(again->maps.size(), shared->maps.size());
            for (size_t i = 0; i < shared->maps.size(); ++i) {
                const MapDef &a = shared->maps[i], &b = again->maps[i];
                EXPECT_EQ(std::tuple(a.name, a.type, a.key_size, a.value_size, a.max_entries, a.flags,
                                     a.extra, a.is_data, a.frozen, a.contents, a.pinning, !a.inner),
                          std::tuple(b.name, b.type, b.key_size, b.value_size, b.max_entries, b.flags,
                                     b.extra, b.is_data, b.frozen, b.contents, b.pinning, !b.inner));
            }
            const auto after = link_first(std::move(*again));
            ASSERT_TRUE(after) << after.error().message();
            expect_same(*before, *after, text);
            // And a listing of what was assembled is the same text, source lines aside.
            ListingOptions plain = style;
            plain.source = false;
            EXPECT_EQ(disassemble(*before, plain), disassemble(*after, plain));
            ++compared;
        }
    }
    EXPECT_GT(compared, 0u);
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, Listed, testing::ValuesIn(test::bpf_sources()),
                         [](const auto& param) { return test::test_name_of_source(param.param); });

/// The look through the tree finds what is there: a folder that moved would leave the suite above empty.
TEST(Listing, IsTriedOnEveryProgramOfTheTree) {
    const std::vector<std::string> sources = test::bpf_sources();
    for (const auto& [folder, least] :
         {std::pair{"tests/cases/programs/", size_t{51}}, std::pair{"tests/cases/parity/", size_t{40}},
          std::pair{"tests/data/bpf/", size_t{7}}, std::pair{"examples/", size_t{8}}}) {
        const auto found = std::ranges::count_if(
            sources, [&folder = folder](const std::string& path) { return path.starts_with(folder); });
        EXPECT_GE(static_cast<size_t>(found), least) << folder;
    }
}

TEST(Listing, NamesOddFunctionsSoThatTheyReadBack) {
    Object object;
    object.origin = object.name = "odd";
    Function main;
    main.name = "L1";
    main.section = "xdp";
    main.spec = spec_of_section("xdp");
    const Insn call{op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1}, exit{op::kJmp | op::kExit, 0, 0, 0, 0};
    main.insns = {call, call, call, {op::kJmp | op::kCall, 0, 0, 0, 5}, {op::kJmp | op::kJa, 0, 0, -1, 0},
                  exit};
    main.relocs = {{0, RelocKind::Call, 1, 0}, {1, RelocKind::Call, 2, 0}, {2, RelocKind::Call, 3, 0}};
    Function sub;
    sub.section = ".text";
    sub.insns = {exit};
    object.functions = {main};
    for (const char* name : {"same", "same", "bpf_ktime_get_ns"}) {
        object.functions.push_back(sub);
        object.functions.back().name = name;
    }
    object.functions[1].name = "two words\n\"quoted\"";
    const auto before = link_first(object);
    ASSERT_TRUE(before) << before.error().message();
    const std::string text = disassemble(*before, ListingOptions{});
    auto again = assemble(text);
    ASSERT_TRUE(again) << again.error().message() << text;
    const auto after = link_first(std::move(*again));
    ASSERT_TRUE(after) << after.error().message();
    expect_same(*before, *after, text);
}

// -- Spellings --

TEST(Assembler, ReadsTheSpellingsOfOtherTools) {
    struct Case {
        const char* text;
        const char* printed;
    };
    const Case cases[] = {
        {"r1 = *(u32 *)(r2 +12)", "r1 = *(u32 *)(r2 + 12)"}, // verifier log
        {"w1 = *(u8 *)(r2 + 0)", "r1 = *(u8 *)(r2 + 0)"},    // llvm-objdump with alu32
        {"*(u32*)(r1)=w2", "*(u32 *)(r1 + 0) = r2"},
        {"goto pc+3", "goto +3"},
        {"goto +3 <main+0x20>", "goto +3"},
        {"if r1 s>= 0x10 goto pc-2", "if r1 s>= 16 goto -2"},
        {"r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)", "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)"},
        {"r2 = atomic64_xchg((u64 *)(r1 -8), r2)", "r2 = xchg_64(r1 - 8, r2)"},
        {"r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", "r0 = cmpxchg_64(r1 + 0, r0, r2)"},
        {"w0 = atomic_cmpxchg((u32 *)(r1 +0), w0, w2)", "w0 = cmpxchg32_32(r1 + 0, w0, w2)"},
        {"lock *(u32 *)(r1 + 4) += r2", "lock *(u32 *)(r1 + 4) += w2"},
        {"r1 = -1 ll", "r1 = 0xffffffffffffffff ll"},
        {"r1 = 81985529216486895 ll", "r1 = 0x123456789abcdef ll"},
        {"r1 = 0x123456789abcdefll", "r1 = 0x123456789abcdef ll"},
        {"w1 = 0xffffffff", "w1 = -1"},
        {"r0 = *(u8 *)skb[r3]", "r0 = *(u8 *)skb[r3 + 0]"},
        {"call 1", "call bpf_map_lookup_elem"},
        {"call bpf_map_lookup_elem#1", "call bpf_map_lookup_elem"},
        {"  exit ; done", "exit"},
        {"exit // done", "exit"},
        {"r1 = addr_space_cast(r2, 0, 1)", "r1 = addr_space_cast(r2, 0x0, 0x1)"},
    };
    for (const Case& c : cases) {
        const auto insn = assemble_instruction(c.text);
        ASSERT_TRUE(insn) << c.text << ": " << insn.error().message();
        EXPECT_EQ(disassemble(insn->first, insn->second), c.printed) << c.text;
    }
}

TEST(Assembler, SkipsSlotNumbersAndOpcodesInFront) {
    const auto object =
        assemble("main:\n  0: (b7) r0 = 2\n     1: if r0 == 2 goto pc+1\n2: r0 = 1\n  3: (95) exit\n");
    ASSERT_TRUE(object) << object.error().message();
    ASSERT_EQ(object->functions.size(), 1u);
    EXPECT_EQ(object->functions[0].insns.size(), 4u);
}

// -- Functions and names --

constexpr const char* kCalls = R"(
.section xdp
entry:
    r6 = 3
again:
    r1 = r6
    call twice
    r6 += -1
    if r6 != 0 goto again
    r1 = 10
    r2 = func step
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r0 = 2
    exit
twice:
    r0 = r1
    r0 += r0
    if r0 > 100 goto out
    r0 += 1
out:
    exit
step:
    r0 = 0
    exit
)";

TEST(Assembler, LabelsThatAreCalledBecomeSubprograms) {
    auto object = assemble(kCalls);
    ASSERT_TRUE(object) << object.error().message();
    ASSERT_EQ(object->functions.size(), 3u);
    EXPECT_EQ(object->functions[0].name, "entry");
    EXPECT_TRUE(object->functions[0].spec.has_value());
    EXPECT_EQ(object->functions[1].name, "twice");
    EXPECT_FALSE(object->functions[1].spec.has_value());
    EXPECT_EQ(object->functions[1].section, ".text");
    EXPECT_EQ(object->functions[2].name, "step");
    const auto program = link_first(std::move(*object));
    ASSERT_TRUE(program) << program.error().message();
    EXPECT_EQ(program->functions.size(), 3u);
}

TEST(Assembler, ProgramsShareSubprogramsInText) {
    auto object = assemble(
        ".section xdp\na: call f\nexit\n.section tc\nb: call f\nexit\n"
        ".section .text\nf: r0 = 1\nif r0 == 1 goto done\nr0 = 0\ndone: exit\nunused: r0 = 0\nexit\n");
    ASSERT_TRUE(object) << object.error().message();
    ASSERT_EQ(object->functions.size(), 4u);
    EXPECT_EQ(object->functions[3].name, "unused");
    EXPECT_EQ(object->programs().size(), 2u);
    for (const char* name : {"a", "b"}) {
        const auto program = link_first(*object, name);
        ASSERT_TRUE(program) << program.error().message();
        ASSERT_EQ(program->functions.size(), 2u);
        EXPECT_EQ(program->functions[1].name, "f");
    }
}

TEST(Assembler, CodeWithoutLabelIsTheProgramMain) {
    AsmOptions options;
    options.type = abi::ProgType::SchedCls;
    auto object = mimicsh::assemble("r0 = 0\nexit\n", options);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->functions[0].name, "main");
    EXPECT_EQ(object->functions[0].section, "tc");
    EXPECT_EQ(object->license, "GPL");
}

TEST(Assembler, LineRecordsPointIntoTheText) {
    AsmOptions options;
    options.origin = "script.lua";
    options.first_line = 40;
    auto object = mimicsh::assemble("main:\n  r0 = 1 ; one\n\n\tr1 = 7 ll\n  exit\n", options);
    ASSERT_TRUE(object) << object.error().message();
    const auto program = link_first(std::move(*object));
    ASSERT_TRUE(program) << program.error().message();
    struct Row {
        uint32_t slot, line, column;
        const char* text;
    };
    for (const Row& row : {Row{0, 41, 3, "r0 = 1 ; one"}, Row{1, 43, 2, "r1 = 7 ll"},
                           Row{2, 43, 2, "r1 = 7 ll"}, Row{3, 44, 3, "exit"}}) {
        const SourceLine line = source_line(*program, row.slot);
        EXPECT_EQ(line.file, "script.lua");
        EXPECT_EQ(line.line, row.line) << row.slot;
        EXPECT_EQ(line.column, row.column) << row.slot;
        EXPECT_EQ(line.text, row.text) << row.slot;
    }
}

TEST(Assembler, MapsHaveTypesAndContents) {
    auto object = assemble(".map flows type=lru_hash key=be32 value=u64 entries=16 flags=2\n"
                           ".map .rodata type=array key=4 value=8 entries=1 flags=128 frozen data=0102ff\n"
                           ".map jumps type=prog_array key=4 value=4 entries=4\n.slot jumps 3 main\n"
                           "main: r1 = map[.rodata][0] + 2\nr1 = map[flows]\nr0 = 0\nexit\n");
    ASSERT_TRUE(object) << object.error().message();
    const MapDef& flows = object->maps[0];
    EXPECT_EQ(std::tuple(flows.key_size, flows.value_size, flows.max_entries, flows.flags),
              std::tuple(4u, 8u, 16u, 2u));
    EXPECT_EQ(object->btf->type_name(flows.key_btf_id), "__be32");
    EXPECT_EQ(object->btf->type_name(flows.value_btf_id), "u64");
    EXPECT_EQ(object->maps[1].contents, (ByteVec{1, 2, 255, 0, 0, 0, 0, 0}));
    ASSERT_EQ(object->maps[2].slots.size(), 1u);
    EXPECT_EQ(object->maps[2].slots[0].index, 3u);
    const auto& relocs = object->functions[0].relocs;
    ASSERT_EQ(relocs.size(), 2u);
    EXPECT_EQ(relocs[0].kind, RelocKind::MapValue);
    EXPECT_EQ(relocs[0].offset, 2u);
    EXPECT_EQ(relocs[1].insn, 2u);
}

TEST(Assembler, ResultsAreWrittenAsFilesThatLibbpfLoads) {
    auto object = assemble(std::string(".map counts type=array key=u32 value=u64 entries=2\n") + kCalls);
    ASSERT_TRUE(object) << object.error().message();
    auto bytes = write_elf(*object);
    ASSERT_TRUE(bytes) << bytes.error().message();
    auto again = read_elf(*bytes, "again");
    ASSERT_TRUE(again) << again.error().message();
    const auto a = link_first(std::move(*object)), b = link_first(std::move(*again));
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->insns, b->insns);
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    const test::LibbpfObject loaded = test::load_with_libbpf(*bytes);
    EXPECT_EQ(loaded.error, "");
    EXPECT_EQ(loaded.programs.at("entry").size(), a->insns.size());
}

// -- Errors --

TEST(Assembler, ErrorsNameLineColumnAndReason) {
    struct Case {
        const char* text;
        const char* message;
    };
    const Case cases[] = {
        {"r11 = 1", "string:1:1: no register 'r11'"},
        {"r1 = w2", "string:1:6: both operands are r or both are w"},
        {"w1 = *(u64 *)(r2 + 0)", "string:1:7: 64 bits do not fit w1"},
        {"r1 += 4294967295", "string:1:7: immediate 4294967295 is outside -2147483648 to 2147483647"},
        {"r1 = 99999999999999999999 ll", "string:1:6: number does not fit 64 bits"},
        {"\n  r1 = *(u32 *)(r2 + 40000)", "string:2:20: offset 40000 is outside -32768 to 32767"},
        {"if r1 => 2 goto x", "string:1:7: expected comparison, got '='"},
        {"r1 = 1 r2 = 2", "string:1:8: expected end of the line, got 'r2'"},
        {"jump x", "string:1:1: expected instruction, got 'jump'"},
        {"goto 3", "string:1:6: jump distance without a sign"},
        {"goto nowhere\nexit", "string:1:6: no label 'nowhere' in this section"},
        {"x: exit\nx: exit", "string:2:1: label 'x' is defined twice, first on line 1"},
        {"call nothing\nexit", "string:1:6: call of 'nothing', which is no label, extern or helper"},
        {"call bpf_nothing\nexit", "string:1:6: call of 'bpf_nothing', which is no label, extern or helper"},
        {"r1 = map[none]\nexit", "string:1:10: no map 'none'"},
        {"r1 = map_fd[3]\nexit",
         "string:1:1: a map by number means nothing outside the process that opened it"},
        {"r1 = extern x\nexit", "string:1:13: no extern 'x'"},
        {".map m type=array key=4 value=8 entries=1\nr1 = map[m][0] + 8\nexit",
         "string:2:10: byte 8 is outside the value of map 'm', which has 8"},
        {".map m type=tree", "string:1:13: no map type 'tree'"},
        {".map m type=array size=4", "string:1:19: a map has no 'size'"},
        {".map m key=4", "string:1:6: map without a type"},
        {".section nothing\nexit", "string:1:10: section 'nothing' names no program type"},
        {".include x", "string:1:1: no directive '.include'"},
        {".bytes 9500", "string:1:8: expected hexadecimal digits, 8 bytes an instruction"},
        {"r0 = 1", "string:1:1: function 'main' runs over its end"},
        {"goto +1\nexit", "string:1:6: jump out of the function"},
        {"goto +1\nr1 = 5 ll\nexit", "string:1:6: jump into the middle of a 64-bit load"},
        {"a: exit\nb: exit", "string:2:1: nothing jumps to or calls 'b', and nothing runs into it"},
        {"exit\nend:", "string:2:1: no instruction behind label 'end'"},
        {"a: call b\ngoto c\nb: r0 = 0\nc: exit", "string:2:6: jump out of the function"},
        {"lock *(u8 *)(r1 + 0) += r2", "string:1:6: atomic operations work on u32 and u64"},
        {"r1 = cmpxchg_64(r2 + 0, r0, r3)",
         "string:1:16: the old value of a compare-and-exchange goes to r0"},
        {"r1 = \"x", "string:1:6: quote without an end"},
        {".license \"x", "string:1:10: quote without an end"},
        {"r1 = 12ab", "string:1:6: malformed number"},
        {"\x01", "string:1:1: unexpected character"},
        {".section .text\nr0 = 0\nexit",
         "string:2:1: code in .text needs a label in front that names the function"},
        {"call pc+7\nexit", "string:1:6: call distance leads to no instruction of this section"},
    };
    for (const Case& c : cases) {
        const auto object = assemble(c.text);
        ASSERT_FALSE(object) << c.text;
        EXPECT_EQ(object.error().op, "assemble");
        EXPECT_EQ(object.error().text, c.message) << c.text;
    }
}

TEST(Assembler, ErrorLogShowsTheLineWithACaret) {
    AsmOptions options;
    options.origin = "script.lua";
    options.first_line = 99;
    const auto object = mimicsh::assemble("r0 = 0\n    r1 = r11\n", options);
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().text,
              "script.lua:100:10: expected register, number, memory access or map[name], got 'r11'");
    EXPECT_EQ(object.error().log, "100 |     r1 = r11\n    |          ^\n");
}

TEST(Assembler, LargeTextsAreRefusedOrFinishQuickly) {
    const auto large = assemble(std::string((size_t{4} << 20) + 1, ' '));
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, EFBIG);
    // Many labels, calls and jumps: no step may be quadratic.
    std::string text = "main:\n";
    for (int i = 0; i < 20000; ++i) {
        text += "call f" + std::to_string(i) + "\n";
    }
    text += "r0 = 0\nexit\n";
    for (int i = 0; i < 20000; ++i) {
        text +=
            "f" + std::to_string(i) + ": goto g" + std::to_string(i) + "\ng" + std::to_string(i) + ": exit\n";
    }
    const auto object = assemble(text);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->functions.size(), 20001u);
}

} // namespace
} // namespace mimicsh
