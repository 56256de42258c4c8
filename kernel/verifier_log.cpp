// SPDX-License-Identifier: MIT
// Picking the reason and its place out of a verifier log.
#include "kernel/verifier_log.h"

#include <cctype>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/capabilities.h"
#include "kernel/errors.h"
#include "object/core_relo.h"
#include "object/kernel_btf.h"

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

/// What the commonest complaints mean, and what helps. `text` is part of the verifier's line
/// (kernel/bpf/verifier.c); the first row that fits counts.
struct HintRow {
    std::string_view text;
    const char* hint;
};
constexpr HintRow kHints[] = {
    {"invalid access to packet",
     "compare the pointer plus the bytes that are read with data_end before this access, on every way to it"},
    {"mem access 'map_value_or_null'",
     "a look-up may find nothing: test its result for NULL before using it"},
    {"null-check it first", "the pointer may be NULL: test it before anything is added to it"},
    {"_or_null expected=", "the pointer may be NULL: test it before it is handed on"},
    {"helper access to the packet is not allowed",
     "this helper takes no packet memory: copy the bytes to the stack or a map first"},
    {"mem access 'scalar'", "this is a number, not a pointer: an address that went through memory or through "
                            "arithmetic of another width is none any more"},
    {"mem access 'inv'", "this is a number, not a pointer: an address that went through memory or through "
                         "arithmetic of another width is none any more"},
    {"mem access 'pkt_end'", "data_end can be compared with, but not be read from or counted with"},
    {"pointer arithmetic on pkt_end", "data_end can be compared with, but not be read from or counted with"},
    {"invalid access to map value",
     "the access leaves the value: bound the index (idx < N, or idx & (N - 1)) before it"},
    {"invalid access to memory", "the access leaves the memory that the helper or kernel function gave: "
                                 "compare the offset with its size first"},
    {"min value is negative", "use an unsigned index, or test that it is not negative"},
    {"unbounded memory access", "bound the offset from above before this access: if (offset < N)"},
    {"unbounded min value is not allowed",
     "bound the number before it is added to a pointer: if (n > N) return; with n unsigned"},
    {"invalid read from stack",
     "these bytes of the stack were never written: initialise the whole variable (= {}), padding too"},
    {"invalid indirect read from stack", "the helper reads bytes of the stack that were never written: "
                                         "initialise the whole variable (= {}), padding too"},
    {"invalid write to stack",
     "the access leaves the 512 bytes of the stack, or goes through an index that is not bounded"},
    {"R0 !read_ok", "the program or a call before this gives no value back: return one on every way"},
    {"!read_ok", "a register is read that was not written on every way here; calls destroy r1 to r5"},
    {"infinite loop detected",
     "the loop may come back to the same state for ever: count down something, or use bpf_loop or may_goto"},
    {"back-edge from insn", "loops need a bound that the verifier can see; Linux before 5.3 takes none"},
    {"BPF program is too large", "too many ways through the program: fewer branches in loops, bpf_loop, or "
                                 "functions that are not inlined"},
    {"too many states", "too many ways through the program: fewer branches in loops, bpf_loop, or functions "
                        "that are not inlined"},
    {"sequence of", "too many branches in a row without a join: split the program into functions"},
    {"combined stack size",
     "the functions of one call chain share 512 bytes of stack: put large variables into a map"},
    {"stack of", "at most 8 calls may be nested"},
    {"Unreleased reference",
     "what was acquired (a socket, a record, a kernel object) has to be given back on every way out"},
    {"No program to jit",
     "a bpf_loop whose count is always 0 loses its callback, but not the call of it: leave it out"},
    {"unreachable insn", "nothing comes to this instruction: remove it"},
    {"cannot call GPL-restricted function",
     "this helper wants a GPL-compatible licence: char _license[] SEC(\"license\") = \"GPL\""},
    {"program of this type cannot use helper",
     "helpers depend on the program type: kernel documentation or `help` lists those of this one"},
    {"unknown func", "this kernel has no such helper for this program type"},
    {"write into map forbidden", "the map is read only for programs (BPF_F_RDONLY_PROG, .rodata)"},
    {"invalid bpf_context access",
     "the context has no field there, or not with this width or direction, for this program type"},
    {"dereference of modified ctx", "read the context at its own address: clang made an offset of it, so "
                                    "keep the pointer unchanged (barrier, volatile)"},
    {"leaks addr", "an address of the kernel must not get out of the program"},
    {"expected=", "the helper wants another kind of argument here"},
    {"misaligned", "the access has to be aligned to its size: copy byte by byte, or pack the struct"},
    {"At program exit the register R0", "the program returns what its type does not allow"},
};

/// The row that fits a line of the log, or null.
const HintRow* row_for(std::string_view line) {
    for (const HintRow& row : kHints) {
        if (line.find(row.text) != std::string_view::npos) {
            return &row;
        }
    }
    return nullptr;
}

constexpr size_t kLastLines = 8; ///< in which the complaint stands; what follows it only says more

} // namespace

Error verifier_refusal(const LinkedProgram& program, int code, std::string log) {
    Error error = bpf_error(code, "load", program.name);
    std::vector<std::string_view> complaints;
    std::optional<uint32_t> slot;
    for (const std::string_view line : lines_of(log)) {
        if (is_statistics(line)) {
            continue;
        }
        if (const auto number = insn_number(line)) {
            slot = number;
            complaints.clear(); // what comes behind the last instruction is about it
        }
        complaints.push_back(line);
    }
    std::string reason(complaints.empty() ? "" : complaints.back());
    const HintRow* row = nullptr;
    for (size_t i = complaints.size(); row == nullptr && i > 0 && i + kLastLines > complaints.size(); --i) {
        row = row_for(complaints[i - 1]);
        reason = row != nullptr ? complaints[i - 1] : reason;
    }
    std::optional<UnresolvedAccess> access;
    if (slot && *slot < program.insns.size() && is_unresolved(program, *slot)) {
        const auto kernel = running_kernel_btf();
        access = describe_unresolved(program, *slot, kernel ? kernel->get() : nullptr);
        reason = access->text;
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
        error.hint = access ? access->hint
                     : row != nullptr
                         ? row->hint
                         : "the kernel's verifier refused the program; err.log has its whole output";
    }
    if (!has_capability(Capability::Perfmon)) {
        error.hint +=
            "; without CAP_PERFMON the verifier refuses more (bpf_printk, addresses in maps): run as root";
    }
    error.log = std::move(log);
    return error;
}

} // namespace mimicsh::kernel
