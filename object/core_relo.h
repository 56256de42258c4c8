// SPDX-License-Identifier: MIT
// CO-RE: rewriting instructions that depend on the layout of kernel types, and what is known of them then.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "object/linker.h"
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

// -- In a linked program --

/// Whether an instruction stands for an access that CO-RE could not resolve. Both targets run a program that
/// never comes there.
[[nodiscard]] bool is_unresolved(const LinkedProgram& program, uint32_t slot);

struct UnresolvedAccess {
    std::string text; ///< "the kernel's struct xdp_md has no field gone that fits (CO-RE access 0:1)"
    std::string hint; ///< the question that keeps a program from it
};

/// What the unresolved access at a slot was; `kernel` are the types that the program was linked against.
[[nodiscard]] UnresolvedAccess describe_unresolved(const LinkedProgram& program, uint32_t slot,
                                                   const Btf* kernel);

/// Slots of moves whose number CO-RE has put in, sorted.
[[nodiscard]] std::vector<uint32_t> core_moves(const LinkedProgram& program);

} // namespace mimicsh
