// SPDX-License-Identifier: MIT
// Picking the reason and its place out of a verifier log.
#include "kernel/verifier_log.h"

#include <cctype>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/errors.h"

namespace mimicsh::kernel {

namespace {

std::vector<std::string_view> lines_of(std::string_view log) {
    std::vector<std::string_view> lines;
    while (!log.empty()) {
        const size_t end = log.find('\n');
        if (const std::string_view line = log.substr(0, end); !line.empty()) {
            lines.push_back(line);
        }
        log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
    }
    return lines;
}

bool is_statistics(std::string_view line) {
    return line.starts_with("processed ") || line.starts_with("verification time ") ||
           line.starts_with("stack depth ") || line.starts_with("max_states");
}

/// "12: (61) r1 = ..." -> 12.
std::optional<uint32_t> insn_number(std::string_view line) {
    size_t digits = 0;
    uint32_t number = 0;
    while (digits < line.size() && digits < 7 &&
           std::isdigit(static_cast<unsigned char>(line[digits])) != 0) {
        number = number * 10 + static_cast<uint32_t>(line[digits++] - '0');
    }
    if (digits == 0 || !line.substr(digits).starts_with(": (")) {
        return std::nullopt;
    }
    return number;
}

} // namespace

Error verifier_refusal(const LinkedProgram& program, int code, std::string log) {
    Error error = bpf_error(code, "load", program.name);
    std::string reason;
    std::optional<uint32_t> slot;
    for (const std::string_view line : lines_of(log)) {
        if (is_statistics(line)) {
            continue;
        }
        if (const auto number = insn_number(line)) {
            slot = number;
        }
        reason = line;
    }
    if (!reason.empty()) {
        error.text = program.name + ": ";
        if (slot && *slot < program.insns.size()) {
            const SourceLine source = source_line(program, *slot);
            if (source.line != 0) {
                error.text += source.file + ":" + std::to_string(source.line) + ": ";
            }
            error.text += "instruction " + std::to_string(*slot) + ": ";
        }
        error.text += reason;
        error.hint = "the kernel's verifier refused the program; err.log has its whole output";
    }
    error.log = std::move(log);
    return error;
}

} // namespace mimicsh::kernel
