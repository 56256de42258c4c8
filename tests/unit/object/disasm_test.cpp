// SPDX-License-Identifier: MIT
// Printed instructions: read back equal, and the same text as llvm-objdump's where LLVM 14 knows the form.
#include "object/disasm.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>

#include "insn_samples.h"
#include "object/asm.h"
#include "programs.h"

namespace mimicsh {
namespace {

TEST(Disassembler, EveryFormReadsBackEqual) {
    for (const InsnForm& form : insn_forms()) {
        for (const test::Sample& sample : test::samples_of(form)) {
            const std::string text = disassemble(sample.insn, sample.second);
            EXPECT_EQ(text.find(".bytes"), std::string::npos) << form.mnemonic;
            const auto back = assemble_instruction(text);
            ASSERT_TRUE(back) << form.mnemonic << ": " << text << ": " << back.error().message();
            const Insn second = form.kind == InsnKind::LoadImm64 ? sample.second : Insn{};
            ASSERT_EQ(back->first, sample.insn) << form.mnemonic << ": " << text;
            ASSERT_EQ(back->second, second) << form.mnemonic << ": " << text;
        }
    }
}

/// Different instructions never print the same: reading back could not tell them apart.
TEST(Disassembler, TextsAreDifferent) {
    std::map<std::string, std::string_view> seen;
    for (const InsnForm& form : insn_forms()) {
        for (const test::Sample& sample : test::samples_of(form)) {
            const auto [known, is_new] =
                seen.try_emplace(disassemble(sample.insn, sample.second), form.mnemonic);
            ASSERT_TRUE(is_new || known->second == form.mnemonic) << known->first;
        }
    }
}

TEST(Disassembler, PrintsWhatIsNoInstructionAsBytes) {
    const Insn second{0, 0, 0, 0, 7};
    EXPECT_EQ(disassemble({0xff, 1, 2, 3, 4}, {}), ".bytes ff21030004000000");
    EXPECT_EQ(disassemble({op::kLddw, 1, 7, 0, 5}, second), ".bytes 1871000005000000 0000000007000000");
    EXPECT_EQ(disassemble({op::kLddw, 1, 0, 0, 5}, {1, 0, 0, 0, 7}),
              ".bytes 1801000005000000 0100000007000000");
}

/// The forms with which the kernel's own selftests and documentation name things.
TEST(Disassembler, PrintsKernelStyle) {
    struct Case {
        Insn insn;
        const char* text;
    };
    const Case cases[] = {
        {{op::kAlu64 | op::kDiv | op::kX, 1, 2, 1, 0}, "r1 s/= r2"},
        {{op::kAlu | op::kMod | op::kK, 1, 0, 1, -3}, "w1 s%= -3"},
        {{op::kAlu64 | op::kMov | op::kX, 1, 2, 32, 0}, "r1 = (s32)r2"},
        {{op::kAlu | op::kMov | op::kX, 1, 2, 8, 0}, "w1 = (s8)w2"},
        {{op::kAlu64 | op::kEnd, 3, 0, 0, 32}, "r3 = bswap32 r3"},
        {{op::kLdx | op::kMemSx | op::kH, 3, 1, -2, 0}, "r3 = *(s16 *)(r1 - 2)"},
        {{op::kJmp32 | op::kJa, 0, 0, 0, 70000}, "gotol +70000"},
        {{op::kJmp | op::kJcond, 0, 0, -4, 0}, "may_goto -4"},
        {{op::kStx | op::kAtomic | op::kDw, 1, 2, 8, op::kLoadAcquire}, "r1 = load_acquire((u64 *)(r2 + 8))"},
        {{op::kStx | op::kAtomic | op::kB, 1, 2, 8, op::kStoreRelease}, "store_release((u8 *)(r1 + 8), r2)"},
        {{op::kAlu64 | op::kMov | op::kX, 1, 2, 1, 1}, "r1 = addr_space_cast(r2, 0x0, 0x1)"},
        {{op::kJmp | op::kCall, 0, 0, 0, 1}, "call bpf_map_lookup_elem"},
        {{op::kJmp | op::kCall, 0, 0, 0, 12345}, "call 12345"},
        {{op::kSt | op::kMem | op::kH, 10, 0, -8, -1}, "*(u16 *)(r10 - 8) = -1"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(disassemble(c.insn, {}), c.text);
    }
}

// -- llvm-objdump --

/// What LLVM 14 prints as <unknown>, or differently by design.
bool known_to_llvm14(const InsnForm& form) {
    switch (form.kind) {
    case InsnKind::StoreImm: // instructions LLVM never selects have no text before LLVM 18
    case InsnKind::CallKfunc:
    case InsnKind::CallLocal:
    case InsnKind::CallHelper: // a number there, a name here
    case InsnKind::CallReg:
    case InsnKind::LoadInd: // the immediate is left out
        return false;
    case InsnKind::LoadImm64:
        return form.src == 0;
    case InsnKind::Alu: // no remainders before LLVM 16
        return (form.code & 0xf0) != op::kMod && form.level <= IsaLevel::V3;
    case InsnKind::Jump: // no jset before LLVM 17
        return (form.code & 0xf0) != op::kJset;
    default:
        return form.level <= IsaLevel::V3;
    }
}

/// One text for both: LLVM loads into w where 32 bits or less move, and writes wide immediates in decimal.
std::string normalise(std::string text) {
    static const std::regex place(" <[^<>]*>$"), load("^w([0-9]+) = (\\*\\(u(8|16|32) )"),
        store("^(\\*\\(u(8|16|32) .*) = w"), wide("= (0x[0-9a-f]+|-?[0-9]+) ll$");
    text = std::regex_replace(text, place, "");
    text = std::regex_replace(text, load, "r$1 = $2");
    text = std::regex_replace(text, store, "$1 = r");
    std::smatch match;
    if (std::regex_search(text, match, wide)) {
        const std::string digits = match[1].str(); // LLVM prints them signed
        const uint64_t value =
            digits[0] == '-' ? static_cast<uint64_t>(std::stoll(digits)) : std::stoull(digits, nullptr, 0);
        text = match.prefix().str() + "= " + std::to_string(value) + " ll";
    }
    return text;
}

std::vector<std::string> objdump(const std::vector<Insn>& insns) {
    const test::ScratchDir scratch;
    std::ofstream out(scratch / "t.s");
    out << ".text\nf:\n";
    for (const Insn& insn : insns) {
        uint64_t bits = 0;
        std::memcpy(&bits, &insn, sizeof bits);
        out << ".quad " << bits << "\n";
    }
    out.close();
    const std::string base = scratch.path() + "/t";
    const std::string command = "clang-14 -target bpf -mcpu=v3 -c " + base + ".s -o " + base +
                                ".o && llvm-objdump-14 -d --mcpu=v3 --mattr=+alu32 --no-show-raw-insn " +
                                base + ".o > " + base + ".txt";
    std::vector<std::string> lines;
    if (std::system(command.c_str()) != 0) {
        return lines;
    }
    std::ifstream in(base + ".txt");
    static const std::regex line("^ *[0-9]+:\t(.*)$");
    for (std::string text; std::getline(in, text);) {
        std::smatch match;
        if (std::regex_match(text, match, line)) {
            lines.push_back(match[1].str());
        }
    }
    return lines;
}

TEST(Disassembler, AgreesWithLlvmObjdump) {
    if (std::system("command -v llvm-objdump-14 >/dev/null 2>&1 && command -v clang-14 >/dev/null 2>&1") !=
        0) {
        GTEST_SKIP() << "llvm-objdump-14 or clang-14 is not installed";
    }
    std::vector<Insn> insns;
    std::vector<test::Sample> samples;
    for (const InsnForm& form : insn_forms()) {
        for (const test::Sample& sample : test::samples_of(form)) {
            if (!known_to_llvm14(form)) {
                break;
            }
            samples.push_back(sample);
            insns.push_back(sample.insn);
            if (slot_count(sample.insn) == 2) {
                insns.push_back(sample.second);
            }
        }
    }
    const std::vector<std::string> theirs = objdump(insns);
    ASSERT_EQ(theirs.size(), samples.size());
    ASSERT_GT(samples.size(), 5000u);
    for (size_t i = 0; i < samples.size(); ++i) {
        ASSERT_EQ(normalise(disassemble(samples[i].insn, samples[i].second)), normalise(theirs[i]))
            << samples[i].form->mnemonic;
    }
}

} // namespace
} // namespace mimicsh
