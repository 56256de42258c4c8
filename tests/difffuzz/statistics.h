// SPDX-License-Identifier: MIT
// What a run of the fuzzer has covered.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "object/linker.h"
#include "tests/difffuzz/case.h"

namespace mimicsh::difffuzz {

inline constexpr size_t kOperandClasses = 16;

class Statistics {
  public:
    Statistics();

    /// `ends`: how many of its runs came to the end of the program.
    void accepted(const Case& which, const LinkedProgram& linked, uint64_t ends);
    void refused(const std::string& refusal);

    [[nodiscard]] uint64_t programs() const { return accepted_; }
    [[nodiscard]] uint64_t refusals() const { return refused_; }
    [[nodiscard]] uint64_t slots() const { return slots_; }
    /// Several lines: lengths, acceptance, features, helpers, coverage of instruction forms.
    [[nodiscard]] std::string text() const;

  private:
    void cover(const LinkedProgram& linked);
    [[nodiscard]] const InsnForm* form_of(const Insn& insn) const;

    uint64_t accepted_ = 0;
    uint64_t refused_ = 0;
    uint64_t slots_ = 0;
    std::map<uint32_t, uint64_t> lengths_;
    std::map<std::string, uint64_t> reasons_;
    std::array<uint64_t, kFeatureNames.size()> features_{};
    uint64_t calls_or_loops_ = 0;
    uint64_t runs_ = 0;
    uint64_t ends_ = 0;
    std::array<uint64_t, abi::kHelperCount> helpers_{};
    std::map<std::string, uint64_t> kfuncs_;
    std::map<abi::MapType, uint64_t> maps_;                    ///< programs that use one
    std::vector<std::array<uint64_t, kOperandClasses>> forms_; ///< by index in insn_forms()
    std::array<const InsnForm*, 256> only_{};                  ///< by code: its form when it has just one
};

} // namespace mimicsh::difffuzz
