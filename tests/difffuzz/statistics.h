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

/// Where a form has what it operates on.
enum class Operand : uint8_t { None, Registers, Immediate, PlaceAtDst, PlaceAtSrc };

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
    /// Instructions that are alike in the fields that tell forms apart.
    struct Alike {
        uint64_t fields = ~uint64_t{0};
        uint32_t form = 0; ///< index in insn_forms(), or its size: none
        Operand operand = Operand::None;
        bool calls_helper = false;
    };

    void cover_waiting();
    [[nodiscard]] const Alike& alike(const Insn& insn);
    [[nodiscard]] static Alike made_alike(const Insn& insn, uint64_t fields);
    [[nodiscard]] std::string text_of_all() const;

    uint64_t accepted_ = 0;
    uint64_t refused_ = 0;
    uint64_t slots_ = 0;
    std::vector<uint64_t> lengths_; ///< programs by length
    std::map<std::string, uint64_t> reasons_;
    std::array<uint64_t, kFeatureNames.size()> features_{};
    uint64_t calls_or_loops_ = 0;
    uint64_t runs_ = 0;
    uint64_t ends_ = 0;
    std::array<uint64_t, abi::kHelperCount> helpers_{};
    std::map<std::string, uint64_t> kfuncs_;
    std::array<uint64_t, kMapCount> maps_{};                   ///< programs that use one
    std::vector<std::array<uint64_t, kOperandClasses>> forms_; ///< by index in insn_forms(), then none
    std::vector<Insn> waiting_;                                ///< instructions that are not in forms_ yet
    std::array<uint64_t, 256> telling_{};                      ///< by code: fields that tell its forms apart
    std::vector<Alike> alike_;                                 ///< by a hash of the fields
};

} // namespace mimicsh::difffuzz
