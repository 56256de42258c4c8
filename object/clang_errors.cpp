// SPDX-License-Identifier: MIT
// From clang's words to what helps.
#include "object/clang_errors.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/excerpt.h"
#include "base/similar.h"
#include "object/helper_names.h"

namespace mimicsh::compiler {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOp = "compile";
constexpr size_t kMaxHeaders = 4096; // of a folder that are compared with a mistyped one

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// What stands between the first pair of quotes.
std::string quoted(std::string_view text) {
    const size_t open = text.find('\'');
    const size_t close = open == std::string_view::npos ? open : text.find('\'', open + 1);
    return close == std::string_view::npos ? "" : std::string(text.substr(open + 1, close - open - 1));
}

// -- Names and where they are declared --

struct Declared {
    std::string_view name; ///< or how it begins, when it ends with '_'
    std::string_view header;
};

constexpr std::array kDeclared = std::to_array<Declared>({
    {"SEC", "bpf/bpf_helpers.h"},
    {"__uint", "bpf/bpf_helpers.h"},
    {"__type", "bpf/bpf_helpers.h"},
    {"__always_inline", "bpf/bpf_helpers.h"},
    {"bpf_printk", "bpf/bpf_helpers.h"},
    {"bpf_htons", "bpf/bpf_endian.h"},
    {"bpf_ntohs", "bpf/bpf_endian.h"},
    {"bpf_htonl", "bpf/bpf_endian.h"},
    {"bpf_ntohl", "bpf/bpf_endian.h"},
    {"bpf_cpu_to_", "bpf/bpf_endian.h"},
    {"BPF_CORE_READ", "bpf/bpf_core_read.h"},
    {"BPF_PROG", "bpf/bpf_tracing.h"},
    {"BPF_KPROBE", "bpf/bpf_tracing.h"},
    {"PT_REGS_", "bpf/bpf_tracing.h"},
    {"bpf_", "bpf/bpf_helpers.h"},
    {"BPF_", "linux/bpf.h"},
    {"XDP_", "linux/bpf.h"},
    {"xdp_md", "linux/bpf.h"},
    {"__sk_buff", "linux/bpf.h"},
    {"TC_ACT_", "linux/pkt_cls.h"},
    {"ETH_", "linux/if_ether.h"},
    {"ethhdr", "linux/if_ether.h"},
    {"IPPROTO_", "linux/in.h"},
    {"iphdr", "linux/ip.h"},
    {"ipv6hdr", "linux/ipv6.h"},
    {"in6_addr", "linux/in6.h"},
    {"tcphdr", "linux/tcp.h"},
    {"udphdr", "linux/udp.h"},
    {"icmphdr", "linux/icmp.h"},
    {"icmp6hdr", "linux/icmpv6.h"},
    {"__u8", "linux/types.h"},
    {"__u16", "linux/types.h"},
    {"__u32", "linux/types.h"},
    {"__u64", "linux/types.h"},
    {"__be16", "linux/types.h"},
    {"__be32", "linux/types.h"},
    {"bool", "stdbool.h"},
    {"uint8_t", "stdint.h"},
    {"uint16_t", "stdint.h"},
    {"uint32_t", "stdint.h"},
    {"uint64_t", "stdint.h"},
});

/// Functions that C programs have, and what stands for them here.
constexpr std::array kMissing = std::to_array<Declared>({
    {"htons", "bpf_htons of <bpf/bpf_endian.h> swaps bytes"},
    {"ntohs", "bpf_ntohs of <bpf/bpf_endian.h> swaps bytes"},
    {"htonl", "bpf_htonl of <bpf/bpf_endian.h> swaps bytes"},
    {"ntohl", "bpf_ntohl of <bpf/bpf_endian.h> swaps bytes"},
    {"printf", "bpf_printk(\"...\", ...) prints; there is no C library in a program"},
    {"puts", "bpf_printk(\"...\", ...) prints; there is no C library in a program"},
    {"malloc", "there is no heap in a program: use the stack (512 bytes) or a map"},
    {"free", "there is no heap in a program: use the stack (512 bytes) or a map"},
    {"time", "bpf_ktime_get_ns() is the time since boot"},
    {"rand", "bpf_get_prandom_u32() gives random numbers"},
    {"memcpy", "use __builtin_memcpy with a constant length"},
    {"memset", "use __builtin_memset with a constant length"},
    {"memcmp", "use __builtin_memcmp with a constant length"},
    {"strcmp", "bpf_strncmp(s, size, \"text\") compares with a constant"},
});

std::string include_hint(std::string_view name) {
    const auto* row = std::ranges::find_if(kDeclared, [&](const Declared& d) {
        return d.name == name || (d.name.ends_with('_') && name.starts_with(d.name));
    });
    return row != kDeclared.end() ? "#include <" + std::string(row->header) + ">" : "";
}

// -- Hints --

/// For "linux/bfp.h": a header of that folder, or where headers come from.
std::string header_hint(const Source& source, const std::string& header) {
    const size_t slash = header.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : header.substr(0, slash);
    const std::string file = header.substr(slash == std::string::npos ? 0 : slash + 1);
    std::vector<std::string> names;
    for (const std::string& dir : source.include_dirs) {
        std::error_code error;
        const fs::path path = fs::path(dir) / folder;
        for (fs::directory_iterator at(path, error), end; !error && at != end && names.size() < kMaxHeaders;
             at.increment(error)) {
            names.push_back(at->path().filename().string());
        }
    }
    if (header == "vmlinux.h") {
        return "make it: bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h; "
               "include={FOLDER} says where";
    }
    if (const auto meant = similar(file, {names.begin(), names.end()})) {
        return "did you mean '" + (folder.empty() ? "" : folder + "/") + std::string(*meant) + "'?";
    }
    if (folder == "bpf") {
        return "install the package libbpf-dev";
    }
    return folder == "linux" || folder == "asm" ? "install the package linux-libc-dev"
                                                : "include={FOLDER} names further folders of headers";
}

/// `line` is the line of the source that the message is about.
std::string hint_for(const Source& source, std::string_view place, std::string_view message,
                     std::string_view line) {
    if (has(message, "did you mean")) {
        return {};
    }
    const std::string name = quoted(message);
    if (has(message, "file not found")) {
        return header_hint(source, name);
    }
    if (has(place, "/bpf_helper_defs.h") || has(place, "/bpf_helpers.h")) {
        return "#include <linux/bpf.h> stands in front of <bpf/bpf_helpers.h>";
    }
    for (const std::string_view macro : {"SEC", "__uint", "__type"}) {
        if (has(line, std::string(macro) + "(") &&
            (has(message, "parameter declarator") || has(message, "')'"))) {
            return include_hint(macro);
        }
    }
    if (has(message, "incomplete definition of type") || has(message, "incomplete type")) {
        const std::string bare = name.starts_with("struct ") ? name.substr(7) : name;
        std::string hint = include_hint(bare);
        if (!hint.empty()) {
            return hint;
        }
        std::vector<std::string_view> known;
        for (const Declared& row : kDeclared) {
            known.push_back(row.name);
        }
        return did_you_mean(bare, known);
    }
    if (has(message, "undeclared identifier") || has(message, "unknown type name")) {
        return include_hint(name);
    }
    if (has(message, "built-in function '__") && (has(name, "sf") || has(name, "df"))) {
        return "programs have no floating point: scale to integers";
    }
    if (has(message, "too many args")) {
        return "programs take one argument, the context; other functions at most five";
    }
    if (has(message, "'section' attribute only applies")) {
        return "a '}' may be missing above";
    }
    return {};
}

/// The lines of a text, each without its line break.
std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    for (size_t start = 0; start < text.size(); start += lines.back().size() + 1) {
        lines.push_back(line_at(text, start));
    }
    return lines;
}

/// An error at a byte of the source.
Error error_at(const Source& source, size_t byte, const std::string& reason, std::string hint) {
    const std::string_view text = source.text;
    const size_t begin = byte == 0 ? 0 : text.rfind('\n', byte - 1) + 1; // npos + 1 is 0
    const auto line =
        source.first_line + static_cast<uint32_t>(std::ranges::count(text.substr(0, begin), '\n'));
    const size_t column = byte - begin + 1;
    return Error{EINVAL, kOp,
                 source.origin + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + reason,
                 std::move(hint), excerpt(line, line_at(text, begin), column)};
}

/// The byte of the source that a part of clang's output names as "FILE:line:column"; nothing when it names
/// none.
std::optional<size_t> named_place(const Source& source, std::string_view part) {
    // clang may name the file by another path than the #line does.
    const std::string file = source.origin.substr(source.origin.rfind('/') + 1) + ":";
    const size_t name = part.find(file);
    uint32_t line = 0, column = 0;
    if (name == std::string_view::npos ||
        std::sscanf(std::string(part.substr(name + file.size())).c_str(), "%u:%u", &line, &column) != 2 ||
        line < source.first_line || column == 0) {
        return std::nullopt;
    }
    size_t begin = 0;
    for (uint32_t n = source.first_line; n < line && begin != std::string::npos; ++n) {
        begin = source.text.find('\n', begin);
        begin += begin == std::string::npos ? 0 : 1;
    }
    return begin != std::string::npos && begin + column <= source.text.size()
               ? std::optional(begin + column - 1)
               : std::nullopt;
}

/// Errors of the code generator stand at the function; the instruction's place is in a note of theirs.
std::optional<size_t> exact_place(const Source& source, const std::vector<std::string_view>& lines,
                                  size_t from) {
    constexpr std::string_view kMark = ": note: could not determine the original source location for ";
    for (size_t i = from; i < lines.size() && !has(lines[i], ": error: "); ++i) {
        const size_t at = lines[i].find(kMark);
        if (at == std::string_view::npos) {
            continue;
        }
        if (const auto place = named_place(source, lines[i].substr(at + kMark.size()))) {
            return place;
        }
    }
    return std::nullopt;
}

/// What the code generator gives up on altogether, with a dump of its own: nothing else in the output has a
/// place.
std::optional<Error> backend_error(const Source& source, const std::vector<std::string_view>& lines) {
    constexpr std::string_view kMark = "fatal error: error in backend: ";
    const auto fatal =
        std::ranges::find_if(lines, [&](std::string_view line) { return line.starts_with(kMark); });
    if (fatal == lines.end()) {
        return std::nullopt;
    }
    std::string reason(fatal->substr(kMark.size())), hint;
    if (std::ranges::any_of(lines, [&](std::string_view line) {
            return has(line, "signed division") && !line.starts_with(kMark);
        })) {
        reason = "signed division, which this instruction set lacks";
        hint = "make both numbers unsigned";
    } else if (has(reason, "Cannot select: ") && has(reason, "Atomic")) {
        reason = "no instruction does this atomic operation";
        hint = "those there are work on 32 or 64 bits: __sync_fetch_and_add and its like, "
               "__sync_val_compare_and_swap, __sync_lock_test_and_set; a volatile access loads or stores";
    } else if (has(reason, "Cannot select: ")) {
        reason = "no instruction does this";
    } else if (has(reason, "dynamic stack allocation")) {
        hint = "the compiler has to know the size of what lies on the stack";
    }
    if (const auto byte = named_place(source, *fatal)) {
        return error_at(source, *byte, reason, hint);
    }
    return Error{EINVAL, kOp, source.origin + ": " + reason, hint, {}};
}

/// For a function that is defined nowhere.
std::string helper_hint(const std::string& name) {
    const std::string header = abi::helper_id(name) ? include_hint(name) : "";
    return header.empty()
               ? did_you_mean_helper(name, {}, "define it, or declare it extern with __ksym or __kconfig")
               : header;
}

/// The last place where the text calls a function.
std::optional<size_t> call_of(std::string_view text, const std::string& name) {
    const auto continues = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    };
    for (size_t at = text.rfind(name); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : text.rfind(name, at - 1)) {
        const size_t behind = text.find_first_not_of(" \t", at + name.size());
        const bool is_whole = at == 0 || !continues(text[at - 1]);
        if (is_whole && behind != std::string_view::npos && text[behind] == '(') {
            return at;
        }
    }
    return std::nullopt;
}

} // namespace

Status check_text(const Source& source) {
    const size_t zero = source.text.find('\0');
    return zero == std::string::npos ? Status() : error_at(source, zero, "zero byte in the text", "");
}

std::optional<Error> first_error(const Source& source, std::string output) {
    const std::vector<std::string_view> lines = lines_of(output);
    if (auto error = backend_error(source, lines)) {
        error->log += output;
        return error;
    }
    for (size_t i = 0; i < lines.size(); ++i) {
        for (const std::string_view mark : {": fatal error: ", ": error: "}) {
            const size_t at = lines[i].find(mark);
            if (at == std::string_view::npos) {
                continue;
            }
            const std::string place(lines[i].substr(0, at));
            const std::string message(lines[i].substr(at + mark.size()));
            const std::string line(i + 1 < lines.size() ? lines[i + 1] : "");
            std::string hint = hint_for(source, place, message, line);
            if (auto byte = exact_place(source, lines, i + 1)) {
                Error error = error_at(source, *byte, message, std::move(hint));
                error.log += output;
                return error;
            }
            return Error{EINVAL, kOp, place + ": " + message, std::move(hint), std::move(output)};
        }
    }
    return std::nullopt;
}

Error undefined_symbol(const Source& source, const std::string& name, std::string_view warnings) {
    const auto* missing = std::ranges::find(kMissing, name, &Declared::name);
    std::string hint = missing != kMissing.end() ? std::string(missing->header) : "";
    const std::string reason = "function '" + name + "' is defined nowhere";
    const std::vector<std::string_view> lines = lines_of(warnings);
    for (size_t i = 0; i + 2 < lines.size(); ++i) {
        const size_t at = lines[i].find(": warning: implicit");
        // clang calls putchar for some printf: the call that it warned of counts.
        if (at == std::string_view::npos ||
            (!has(lines[i], "'" + name + "'") && !has(lines[i], "library function"))) {
            continue;
        }
        const std::string place(lines[i].substr(0, at));
        const std::string called = quoted(lines[i].substr(at));
        if (const auto* row = std::ranges::find(kMissing, called, &Declared::name); row != kMissing.end()) {
            hint = row->header;
        }
        if (hint.empty()) {
            hint = helper_hint(called);
        }
        const std::string text = place + ": function '" + called + "' is defined nowhere";
        return Error{EINVAL, kOp, text, hint,
                     place + ": error: " + text.substr(place.size() + 2) + "\n" + std::string(lines[i + 1]) +
                         "\n" + std::string(lines[i + 2]) + "\n"};
    }
    if (hint.empty()) {
        hint = helper_hint(name);
    }
    if (const auto at = call_of(source.text, name)) {
        return error_at(source, *at, reason, hint);
    }
    return Error{EINVAL, kOp, source.origin + ": " + reason, hint, ""};
}

Status check_programs(const Source& source, const Object& object) {
    if (!object.programs().empty() || (object.functions.empty() && !object.maps.empty())) {
        return {};
    }
    const std::string hint = "write SEC(\"xdp\") or another section in front of the program";
    if (object.functions.empty()) {
        return error_at(source, 0, "no program in the text", hint);
    }
    const std::string& name = object.functions[0].name;
    const std::string reason = "no program: function '" + name + "' has no section that says its type";
    const auto at = call_of(source.text, name);
    return error_at(source, at.value_or(0), reason, hint);
}

} // namespace mimicsh::compiler
