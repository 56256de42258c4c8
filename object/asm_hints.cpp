// SPDX-License-Identifier: MIT
// Suggestions of the assembler.
#include "object/asm_hints.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/similar.h"
#include "object/abi.h"
#include "object/asm_parser_parts.h"
#include "object/section_names.h"

namespace mimicsh::assembler {

namespace {

/// A word of another language, and what to write here.
struct Foreign {
    std::string_view word;
    std::string_view hint;
};

constexpr std::string_view kMove = "write 'r0 = 1' or 'r1 = r2'";
constexpr std::string_view kArithmetic = "write it with an operator: 'r1 += r2', 'r1 <<= 8'";
constexpr std::string_view kLoad = "write 'r1 = *(u32 *)(r2 + 8)'";
constexpr std::string_view kStore = "write '*(u32 *)(r1 + 8) = r2'";
constexpr std::string_view kReturn = "write 'r0 = VALUE', and 'exit' on the next line";
constexpr std::string_view kJump = "write 'goto LABEL'";
constexpr std::string_view kBranch = "write 'if r1 == r2 goto LABEL'";
constexpr std::string_view kAtomic = "write 'lock *(u64 *)(r1 + 0) += r2'";
constexpr std::string_view kOrder = "write 'r1 = be16 r1', be32 or be64 for network byte order";

constexpr std::array kStatements = std::to_array<Foreign>({
    {"mov", kMove},
    {"mov32", kMove},
    {"lddw", "write 'r1 = VALUE ll'"},
    {"add", kArithmetic},
    {"sub", kArithmetic},
    {"mul", kArithmetic},
    {"div", kArithmetic},
    {"and", kArithmetic},
    {"or", kArithmetic},
    {"xor", kArithmetic},
    {"lsh", kArithmetic},
    {"rsh", kArithmetic},
    {"neg", "write 'r1 = -r1'"},
    {"ldxb", kLoad},
    {"ldxh", kLoad},
    {"ldxw", kLoad},
    {"ldxdw", kLoad},
    {"ldr", kLoad},
    {"stb", kStore},
    {"sth", kStore},
    {"stw", kStore},
    {"stdw", kStore},
    {"stxb", kStore},
    {"stxh", kStore},
    {"stxw", kStore},
    {"stxdw", kStore},
    {"str", kStore},
    {"xadd", kAtomic},
    {"ret", kReturn},
    {"return", kReturn},
    {"ja", kJump},
    {"jmp", kJump},
    {"jump", kJump},
    {"jeq", kBranch},
    {"jne", kBranch},
    {"jgt", kBranch},
    {"jge", kBranch},
    {"jlt", kBranch},
    {"jle", kBranch},
    {"jset", kBranch},
    {"cmp", kBranch},
    {"be16", kOrder},
    {"be32", kOrder},
    {"be64", kOrder},
});

constexpr std::array kValues = std::to_array<Foreign>({
    {"ntohs", kOrder},
    {"ntohl", kOrder},
    {"htons", kOrder},
    {"htonl", kOrder},
    {"swap", kOrder},
    {"bpf_ntohs", kOrder},
    {"bpf_htons", kOrder},
    {"bpf_ntohl", kOrder},
    {"bpf_htonl", kOrder},
    {"skb", "write 'r0 = *(u16 *)skb[12]'"},
    {"call", "write 'call NAME'; the result is in r0"},
    {"u8", kLoad},
    {"u16", kLoad},
    {"u32", kLoad},
    {"u64", kLoad},
    {"if", "write 'if r1 == 0 goto LABEL'"},
});

constexpr std::array<std::string_view, 9> kKeywords{"exit", "goto", "gotol", "may_goto",     "if",
                                                    "call", "lock", "callx", "store_release"};
constexpr std::array<std::string_view, 9> kDirectives{".section", ".type",   ".license",   ".map",  ".inner",
                                                      ".slot",    ".extern", ".exception", ".bytes"};
constexpr std::array<std::string_view, 10> kAttributes{"type",  "key",  "value",   "entries", "flags",
                                                       "extra", "numa", "pinning", "data",    "frozen"};
constexpr std::array<std::string_view, 22> kRegisters{"r0", "r1", "r2",  "r3", "r4", "r5", "r6", "r7",
                                                      "r8", "r9", "r10", "w0", "w1", "w2", "w3", "w4",
                                                      "w5", "w6", "w7",  "w8", "w9", "w10"};
constexpr std::array<std::string_view, 8> kReferences{"map",  "map_fd", "map_idx",      "btf_id",
                                                      "func", "extern", "load_acquire", "addr_space_cast"};
constexpr std::string_view kRegisterNames = "registers are r0 to r10, w0 to w10 for their lower halves";

using Names = std::vector<std::string_view>;

void add(Names& to, std::span<const std::string_view> names) {
    to.insert(to.end(), names.begin(), names.end());
}

/// The hint for a word of another language, or for one that is like a word of this or another one.
std::string hint_among(std::string_view word, const Names& names, std::span<const Foreign> foreign) {
    Names all = names;
    for (const Foreign& row : foreign) {
        all.push_back(row.word);
    }
    const auto exact = std::ranges::find(foreign, word, &Foreign::word);
    const auto row = exact != foreign.end()
                         ? exact
                         : std::ranges::find(foreign, similar(word, all).value_or(""), &Foreign::word);
    return row != foreign.end() ? std::string(row->hint) : did_you_mean(word, names);
}

bool looks_like_register(std::string_view word) {
    const char first = word.empty() ? ' ' : word[0];
    return word.size() > 1 && (first == 'r' || first == 'w' || first == 'R' || first == 'W') &&
           word[1] >= '0' && word[1] <= '9';
}

std::string list_of(std::span<const std::string_view> names) {
    std::string out = "known: ";
    for (const std::string_view name : names) {
        out += (name == names.front() ? "" : ", ") + std::string(name);
    }
    return out;
}

/// The names that an enumeration of the kernel's has, up to the first number without one.
template <typename Type>
Names names_of_type() {
    Names names;
    for (uint32_t number = 1; abi::name(static_cast<Type>(number)) != "unknown"; ++number) {
        names.push_back(abi::name(static_cast<Type>(number)));
    }
    return names;
}

} // namespace

std::string hint_for_register(std::string_view word) {
    const auto meant = similar(word, {kRegisters.begin(), kRegisters.end()});
    return meant ? "did you mean '" + std::string(*meant) + "'?" : std::string(kRegisterNames);
}

std::string hint_for_statement(std::string_view word) {
    if (looks_like_register(word)) {
        return hint_for_register(word);
    }
    Names names;
    add(names, kKeywords);
    add(names, kDirectives);
    add(names, kRegisters);
    return hint_among(word, names, kStatements);
}

std::string hint_for_value(std::string_view word) {
    if (looks_like_register(word)) {
        return hint_for_register(word);
    }
    if (word == "&") {
        return "an address is made from r10, as in 'r1 = r10', 'r1 += -8', or from a map, as in 'r1 = "
               "map[NAME]'";
    }
    Names names;
    add(names, kRegisters);
    add(names, kReferences);
    add(names, swap_names());
    add(names, atomic_names());
    return hint_among(word, names, kValues);
}

std::string hint_for_rest(std::string_view word) {
    constexpr std::array<std::string_view, 8> kOperators{"+", "-", "*", "/", "&", "|", "^", "<"};
    if (word == ",") {
        return "one instruction a line";
    }
    return std::ranges::find(kOperators, word) != kOperators.end()
               ? "an instruction has one operation: 'r1 = r2', then 'r1 += 3'"
               : "";
}

std::string hint_for_comparison(std::string_view word) {
    if (word == "=") {
        return "'==' compares";
    }
    return "comparisons are == != > >= < <= & s> s>= s< s<=";
}

std::string hint_for_directive(std::string_view word) {
    return did_you_mean(word, {kDirectives.begin(), kDirectives.end()}, list_of(kDirectives));
}

std::string hint_for_section(std::string_view name) {
    return did_you_mean(name, section_names(), "use a name such as xdp, tc or socket; .text for subprograms");
}

std::string hint_for_program_type(std::string_view name) {
    return did_you_mean(name, names_of_type<abi::ProgType>(),
                        "types are named as the kernel names them: xdp, sched_cls, socket_filter");
}

std::string hint_for_map_type(std::string_view name) {
    return did_you_mean(name, names_of_type<abi::MapType>(),
                        "types are named as the kernel names them: hash, percpu_array, lru_hash, ringbuf");
}

std::string hint_for_map_attribute(std::string_view name) {
    return did_you_mean(name, {kAttributes.begin(), kAttributes.end()}, list_of(kAttributes));
}

} // namespace mimicsh::assembler
