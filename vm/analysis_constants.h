// SPDX-License-Identifier: MIT
// Numbers that are known before a run because they come from read-only data or CO-RE, and what is computed of
// them.
#pragma once

#include <optional>
#include <vector>

#include "object/insn.h"
#include "vm/analysis.h"
#include "vm/analysis_state.h"

namespace mimicsh::vm::flow {

/// Known numbers and places in read-only data; a Value refers to either by its number, from 1.
class Constants {
  public:
    explicit Constants(const ReadOnlyData& read_only) : read_only_(read_only) {}

    /// A number as a Value; one that varies once too many are known.
    [[nodiscard]] Value scalar(uint64_t number);
    /// The number that a Value stands for, when it is known.
    [[nodiscard]] std::optional<uint64_t> known(Value value) const;
    /// A pointer to a byte of a map's value: a place when nobody can write there any more.
    [[nodiscard]] Value pointer(uint32_t map, uint32_t offset);
    /// A pointer to a map's value, moved by a number of bytes.
    [[nodiscard]] Value moved(Value pointer, int64_t by);
    /// What a load gives.
    [[nodiscard]] Value load(Value base, const Insn& insn);
    /// An operation on a number: known when its operands are, for what is done to flags and versions.
    [[nodiscard]] Value computed(const Insn& insn, const State& state);
    /// Whether a comparison of known numbers jumps.
    [[nodiscard]] std::optional<bool> decided(const Insn& insn, const State& state) const;

  private:
    struct Place {
        uint32_t map = 0;
        int64_t offset = 0;
        friend bool operator==(const Place&, const Place&) = default;
    };

    [[nodiscard]] std::optional<uint64_t> operand(const Insn& insn, const State& state) const;

    const ReadOnlyData& read_only_;
    std::vector<uint64_t> numbers_; ///< by number, from 1
    std::vector<Place> places_;     ///< by number, from 1
};

} // namespace mimicsh::vm::flow
