// SPDX-License-Identifier: MIT
// Functions that the kernel and its modules give to programs, as far as it can be told from outside.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "object/btf.h"

namespace mimicsh::kernel {

struct ModuleKfuncs {
    std::optional<std::vector<std::string>> names; ///< sorted; nothing when it cannot be told
    std::string from;                              ///< how they are known: "BTF tags" or "symbols"
    std::string reason;                            ///< why there are no names
};

/// Of a loaded module, or of the kernel itself ("vmlinux"). BTF of newer kernels (6.10 on, made by
/// pahole 1.26 or later) tags these functions; older ones are found by the symbols that their sets leave in
/// /proc/kallsyms, which names data (CONFIG_KALLSYMS_ALL) and shows addresses to root only.
[[nodiscard]] ModuleKfuncs module_kfuncs(const std::string& module);

/// Functions from that id on which carry the tag "bpf_kfunc".
[[nodiscard]] std::vector<std::string> tagged_kfuncs(const Btf& btf, uint32_t first_id);
/// Functions of a module in sets with flags (BTF_SET8, include/linux/btf_ids.h) by the text of
/// /proc/kallsyms.
[[nodiscard]] ModuleKfuncs kfuncs_in_symbols(std::string_view kallsyms, std::string_view module);

} // namespace mimicsh::kernel
