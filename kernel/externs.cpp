// SPDX-License-Identifier: MIT
// Resolving externs against vmlinux BTF and /proc/kallsyms.
#include "kernel/externs.h"

#include <cerrno>
#include <fstream>

#include "object/kernel_btf.h"

namespace mimicsh::kernel {

namespace {

/// libbpf's number for a call that cannot be resolved: the verifier refuses it unless no path reaches it.
constexpr int32_t kPoisonedCall = 2002000000;

Error missing(const LinkedProgram& program, const LinkedRef& ref, const ExternDef& wanted, int code,
              const std::string& why) {
    const SourceLine source = source_line(program, ref.insn);
    std::string text = program.name + ": ";
    if (!source.file.empty()) {
        text += source.file + ":" + std::to_string(source.line) + ": ";
    }
    return Error{code, "load", text + "extern " + wanted.name + " " + why, {}, source.text};
}

/// Address of a kernel symbol; 0 when there is none.
uint64_t kernel_symbol(const std::string& name) {
    std::ifstream symbols("/proc/kallsyms");
    std::string address;
    std::string kind;
    std::string symbol;
    std::string rest;
    while (symbols >> address >> kind >> symbol) {
        std::getline(symbols, rest);
        if (symbol == name) {
            return std::stoull(address, nullptr, 16);
        }
    }
    return 0;
}

void put_wide(std::span<Insn> insns, uint32_t slot, uint64_t value) {
    insns[slot].imm = static_cast<int32_t>(value);
    insns[slot + 1].imm = static_cast<int32_t>(value >> 32);
}

} // namespace

Status resolve_externs(const LinkedProgram& program, std::span<Insn> insns) {
    for (const LinkedRef& ref : program.refs) {
        if (ref.kind != RelocKind::Extern) {
            continue;
        }
        const ExternDef& wanted = program.object->externs[ref.target];
        const bool untyped = wanted.kind == ExternKind::Ksym && wanted.type_id == 0;
        if (untyped) {
            const uint64_t address = kernel_symbol(wanted.name);
            if (address == 0 && !wanted.is_weak) {
                return missing(program, ref, wanted, ESRCH, "is no symbol of this kernel");
            }
            put_wide(insns, ref.insn, address);
            continue;
        }
        auto btf = running_kernel_btf();
        if (!btf) {
            return btf.error();
        }
        const bool is_call = wanted.kind == ExternKind::Kfunc;
        const auto id = (*btf)->find(wanted.name, is_call ? BtfKind::Func : BtfKind::Var);
        if (!id && !wanted.is_weak) {
            return missing(program, ref, wanted, ESRCH,
                           is_call ? "is no function that this kernel gives to programs"
                                   : "is no variable of this kernel's BTF");
        }
        Insn& insn = insns[ref.insn];
        if (insn.code == (op::kJmp | op::kCall)) {
            insn.src = id ? op::kCallKfunc & 0xf : 0;
            insn.imm = id ? static_cast<int32_t>(*id) : kPoisonedCall;
        } else if (!id) {
            put_wide(insns, ref.insn, 0);
        } else {
            insn.src = op::kBtfId & 0xf;
            insn.imm = static_cast<int32_t>(*id);
            insns[ref.insn + 1].imm = 0;
        }
    }
    return {};
}

} // namespace mimicsh::kernel
