// SPDX-License-Identifier: MIT
// What an object's extern names stand for in the running kernel.
#pragma once

#include <span>
#include <vector>

#include "base/fd.h"
#include "object/linker.h"

namespace mimicsh::kernel {

/// BTF objects of modules whose functions a program calls: an instruction names one by its place in the array
/// of descriptors that the load takes. Place 0 is vmlinux.
struct ModuleBtfs {
    std::vector<Fd> fds;
    std::vector<uint32_t> objects; ///< kernel ids of the same

    /// For bpf(2)'s fd_array; empty when no module is meant.
    [[nodiscard]] std::vector<int> fd_array() const;
};

/// Puts the running kernel's numbers into the instructions that refer to kernel functions and symbols: BTF
/// ids of kfuncs and typed symbols, in vmlinux or else in a loaded module, addresses of untyped ones
/// (/proc/kallsyms). A weak one that the kernel has not becomes 0, or for a call an instruction that no path
/// may reach. ESRCH: a strong one is missing. The modules' BTF is added to `modules`, which has to live until
/// the program is loaded.
[[nodiscard]] Status resolve_externs(const LinkedProgram& program, std::span<Insn> insns,
                                     ModuleBtfs& modules);

} // namespace mimicsh::kernel
