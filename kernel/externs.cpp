// SPDX-License-Identifier: MIT
// Resolving externs against the BTF of vmlinux and of modules, and /proc/kallsyms.
#include "kernel/externs.h"

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "base/similar.h"
#include "kernel/module_btf.h"
#include "object/kernel_btf.h"

namespace mimicsh::kernel {

namespace {

/// libbpf's number for a call that cannot be resolved: the verifier refuses it unless no path reaches it.
constexpr int32_t kPoisonedCall = 2002000000;

Error missing(const LinkedProgram& program, const LinkedRef& ref, const ExternDef& wanted, int code,
              const std::string& why, const std::string& hint = {}) {
    const SourceLine source = source_line(program, ref.insn);
    std::string text = program.name + ": ";
    if (!source.file.empty()) {
        text += source.file + ":" + std::to_string(source.line) + ": ";
    }
    return Error{code, "load", text + "extern " + wanted.name + " " + why, hint, source.text};
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

/// The function for programs that a mistyped name was meant to be.
std::string similar_function(const std::string& name) {
    const auto btf = running_kernel_btf();
    std::vector<std::string_view> names;
    for (uint32_t id = 1; btf && id < (*btf)->type_count(); ++id) {
        const BtfType& type = (*btf)->type(id);
        if (type.kind == BtfKind::Func && type.name.starts_with("bpf_")) {
            names.push_back(type.name);
        }
    }
    return did_you_mean(name, names);
}

void put_wide(std::span<Insn> insns, uint32_t slot, uint64_t value) {
    insns[slot].imm = static_cast<int32_t>(value);
    insns[slot + 1].imm = static_cast<int32_t>(value >> 32);
}

/// Where a function or variable is: its BTF id, and the place of its module's BTF (0 = vmlinux).
struct Place {
    uint32_t btf_id = 0;
    uint32_t module = 0;
};

Expected<std::optional<Place>> find_place(const std::string& name, BtfKind kind, ModuleBtfs& modules) {
    auto btf = running_kernel_btf();
    if (!btf) {
        return btf.error();
    }
    if (const auto id = (*btf)->find(name, kind)) {
        return std::optional(Place{*id, 0});
    }
    auto found = find_in_modules(name, kind);
    if (!found) {
        return found.error();
    }
    if (!*found) {
        return std::optional<Place>();
    }
    const auto known = std::ranges::find(modules.objects, (*found)->object);
    const auto place = static_cast<uint32_t>(known - modules.objects.begin());
    if (known == modules.objects.end()) {
        modules.objects.push_back((*found)->object);
        modules.fds.push_back(std::move((*found)->btf));
    }
    return std::optional(Place{(*found)->btf_id, place + 1});
}

} // namespace

std::vector<int> ModuleBtfs::fd_array() const {
    std::vector<int> all;
    for (const Fd& fd : fds) {
        all.resize(std::max<size_t>(all.size(), 1));
        all.push_back(fd.get());
    }
    return all;
}

Status resolve_externs(const LinkedProgram& program, std::span<Insn> insns, ModuleBtfs& modules) {
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
        const bool is_call = wanted.kind == ExternKind::Kfunc;
        const auto place = find_place(wanted.name, is_call ? BtfKind::Func : BtfKind::Var, modules);
        if (!place) {
            return place.error();
        }
        const std::optional<Place>& at = *place;
        if (!at && !wanted.is_weak) {
            return is_call ? missing(program, ref, wanted, ESRCH,
                                     "is no function that this kernel or a module of it gives to programs",
                                     similar_function(wanted.name))
                           : missing(program, ref, wanted, ESRCH, "is no variable of this kernel's BTF");
        }
        Insn& insn = insns[ref.insn];
        if (insn.code == (op::kJmp | op::kCall)) {
            insn.src = at ? op::kCallKfunc & 0xf : 0;
            insn.imm = at ? static_cast<int32_t>(at->btf_id) : kPoisonedCall;
            insn.off = at ? static_cast<int16_t>(at->module) : int16_t{0};
        } else if (!at) {
            put_wide(insns, ref.insn, 0);
        } else {
            insn.src = op::kBtfId & 0xf;
            insn.imm = static_cast<int32_t>(at->btf_id);
            insns[ref.insn + 1].imm = at->module == 0 ? 0 : modules.fds[at->module - 1].get();
        }
    }
    return {};
}

} // namespace mimicsh::kernel
