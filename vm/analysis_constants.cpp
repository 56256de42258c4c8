// SPDX-License-Identifier: MIT
// Constants of read-only data and of CO-RE: number of each, arithmetic and comparisons.
#include "vm/analysis_constants.h"

#include <algorithm>

namespace mimicsh::vm::flow {

namespace {

/// Number that stands for a constant or place; equal ones get the same.
template <typename Item>
int32_t number_of(std::vector<Item>& known, const Item& item) {
    const auto found = std::ranges::find(known, item);
    if (found != known.end()) {
        return static_cast<int32_t>(found - known.begin()) + 1;
    }
    constexpr size_t kMost = 1000; // beyond, nothing more is followed
    if (known.size() == kMost) {
        return kVaries;
    }
    known.push_back(item);
    return static_cast<int32_t>(known.size());
}

} // namespace

Value Constants::scalar(uint64_t number) {
    return {Kind::Scalar, number_of(numbers_, number)};
}

std::optional<uint64_t> Constants::known(Value value) const {
    return value.kind == Kind::Scalar && value.value != kVaries
               ? std::optional(numbers_[static_cast<size_t>(value.value) - 1])
               : std::nullopt;
}

Value Constants::pointer(uint32_t map, uint32_t offset) {
    const bool fixed = read_only_(map, 0, 1).has_value();
    return {Kind::MapValue, fixed ? number_of(places_, Place{map, offset}) : kVaries};
}

Value Constants::moved(Value pointer, int64_t by) {
    if (pointer.value == kVaries) {
        return pointer;
    }
    Place place = places_[static_cast<size_t>(pointer.value) - 1];
    place.offset += by;
    return {Kind::MapValue, number_of(places_, place)};
}

Value Constants::load(Value base, const Insn& insn) {
    const Value unknown{Kind::Scalar, kVaries};
    if (base.kind != Kind::MapValue || base.value == kVaries) {
        return unknown;
    }
    const Place& place = places_[static_cast<size_t>(base.value) - 1];
    const int64_t at = place.offset + insn.off;
    if (at < 0 || at > INT32_MAX) {
        return unknown;
    }
    const auto found = read_only_(place.map, static_cast<uint32_t>(at), access_size(insn.code));
    return found ? scalar(*found) : unknown;
}

/// Second operand of an operation or comparison, when it is known.
std::optional<uint64_t> Constants::operand(const Insn& insn, const State& state) const {
    return (insn.code & op::kX) != 0 ? known(state.regs[insn.src])
                                     : std::optional(static_cast<uint64_t>(int64_t{insn.imm}));
}

Value Constants::computed(const Insn& insn, const State& state) {
    const auto a = known(state.regs[insn.dst]);
    const auto b = operand(insn, state);
    const bool wide = (insn.code & 7) == op::kAlu64;
    if (!a || !b) {
        return {Kind::Scalar, kVaries};
    }
    const uint64_t count = *b & (wide ? 63 : 31);
    uint64_t value = wide ? *a : static_cast<uint32_t>(*a);
    switch (insn.code & 0xf0) {
    case op::kAdd:
        value += *b;
        break;
    case op::kSub:
        value -= *b;
        break;
    case op::kAnd:
        value &= *b;
        break;
    case op::kOr:
        value |= *b;
        break;
    case op::kXor:
        value ^= *b;
        break;
    case op::kLsh:
        value <<= count;
        break;
    case op::kRsh:
        value >>= count;
        break;
    default:
        return {Kind::Scalar, kVaries};
    }
    return scalar(wide ? value : uint64_t{static_cast<uint32_t>(value)});
}

std::optional<bool> Constants::decided(const Insn& insn, const State& state) const {
    auto a = known(state.regs[insn.dst]);
    auto b = operand(insn, state);
    if (!a || !b) {
        return std::nullopt;
    }
    const bool wide = (insn.code & 7) == op::kJmp;
    const uint64_t x = wide ? *a : static_cast<uint32_t>(*a);
    const uint64_t y = wide ? *b : static_cast<uint32_t>(*b);
    const int64_t sx = wide ? static_cast<int64_t>(x) : static_cast<int32_t>(x);
    const int64_t sy = wide ? static_cast<int64_t>(y) : static_cast<int32_t>(y);
    switch (insn.code & 0xf0) {
    case op::kJeq:
        return x == y;
    case op::kJne:
        return x != y;
    case op::kJgt:
        return x > y;
    case op::kJge:
        return x >= y;
    case op::kJlt:
        return x < y;
    case op::kJle:
        return x <= y;
    case op::kJset:
        return (x & y) != 0;
    case op::kJsgt:
        return sx > sy;
    case op::kJsge:
        return sx >= sy;
    case op::kJslt:
        return sx < sy;
    case op::kJsle:
        return sx <= sy;
    default:
        return std::nullopt;
    }
}

} // namespace mimicsh::vm::flow
