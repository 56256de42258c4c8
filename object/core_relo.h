// SPDX-License-Identifier: MIT
// CO-RE: rewriting instructions that depend on the layout of kernel types. Used by the linker only.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

/// Resolves the CO-RE relocations of an object's functions against one kernel's types. Follows libbpf's rules
/// (candidates by name without flavour, ambiguity is an error, unresolvable accesses become a call of a
/// helper that does not exist). One of these serves one link; candidate lists are kept between relocations.
class CoreRelocator {
  public:
    /// Both must outlive it; `kernel` may be null when only the program's own type ids are asked for.
    CoreRelocator(const Btf& local, const Btf* kernel) : local_(local), kernel_(kernel) {}

    /// Patches `insns`, a copy of function.insns. Errors name function, line and access.
    [[nodiscard]] Status apply(const Function& function, std::span<Insn> insns);

  private:
    const Btf& local_;
    const Btf* kernel_;
    std::unordered_map<uint32_t, std::vector<uint32_t>> candidates_; ///< by local root type
};

} // namespace mimicsh
