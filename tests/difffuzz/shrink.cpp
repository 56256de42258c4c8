// SPDX-License-Identifier: MIT
// Shrinking and bisecting cases that differ.
#include "tests/difffuzz/shrink.h"

#include <algorithm>
#include <chrono>

#include "object/disasm.h"
#include "tests/unit/vm/raw.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

const Insn kNothing = test::jump(0);
constexpr std::chrono::seconds kPatience{60}; ///< after which a case is small enough

Case copy_of(const Case& which) {
    Case copy = which;
    copy.object = std::make_shared<Object>(*which.object);
    return copy;
}

bool is_jump(const Insn& one) {
    const uint8_t cls = one.code & 7;
    const uint8_t operation = one.code & 0xf0;
    return (cls == op::kJmp || cls == op::kJmp32) && operation != op::kCall && operation != op::kExit;
}

bool is_long_jump(const Insn& one) {
    return one.code == (op::kJmp32 | op::kJa);
}

int32_t& find_or(std::vector<int32_t>& numbers, size_t at) {
    return numbers[at];
}

/// What stands for an instruction that is taken out: nothing, or where it made a number, the number 0, so
/// that no pointer of before stays in its register.
Insn substitute(const Insn& one, bool keep_kinds) {
    const uint8_t cls = one.code & 7;
    const uint8_t operation = one.code & 0xf0;
    const bool moves = (cls == op::kAlu || cls == op::kAlu64) && operation == op::kMov;
    if (keep_kinds && (moves || cls == op::kLdx || one.code == op::kLddw)) {
        return test::mov(one.dst, 0);
    }
    const bool loads_packet = cls == op::kLd && one.code != op::kLddw;
    const bool calls = one.code == (op::kJmp | op::kCall) || loads_packet;
    return keep_kinds && calls ? test::mov(0, 0) : kNothing;
}

/// Takes slots [first, first + count) out; false when that changes nothing.
bool blank(Function& function, size_t first, size_t count, bool keep_kinds) {
    bool changed = false;
    size_t slot = 0;
    while (slot < function.insns.size()) {
        const size_t slots = slot_count(function.insns[slot]);
        if (slot >= first && slot < first + count) {
            const Insn instead = substitute(function.insns[slot], keep_kinds);
            changed |= function.insns[slot] != instead;
            for (size_t i = 0; i < slots; ++i) {
                function.insns[slot + i] = i == 0 ? instead : kNothing;
            }
            std::erase_if(function.relocs, [&](const Relocation& reloc) { return reloc.insn == slot; });
        }
        slot += slots;
    }
    return changed;
}

/// Takes `goto +0` out and lets jumps and relocations follow.
Function without_nothing(const Function& from) {
    std::vector<int32_t> moved(from.insns.size() + 1);
    Function to = from;
    to.insns.clear();
    for (size_t slot = 0; slot < from.insns.size();) {
        const size_t slots = slot_count(from.insns[slot]);
        for (size_t i = 0; i < slots; ++i) {
            find_or(moved, slot + i) = static_cast<int32_t>(to.insns.size());
            if (from.insns[slot] != kNothing) {
                to.insns.push_back(from.insns[slot + i]);
            }
        }
        slot += slots;
    }
    moved.back() = static_cast<int32_t>(to.insns.size());
    for (size_t slot = 0; slot < from.insns.size(); slot += slot_count(from.insns[slot])) {
        const Insn& one = from.insns[slot];
        if (one == kNothing || !is_jump(one)) {
            continue;
        }
        const int32_t distance = is_long_jump(one) ? one.imm : one.off;
        const auto target = static_cast<size_t>(static_cast<int64_t>(slot) + 1 + distance);
        Insn& now = to.insns[static_cast<size_t>(moved[slot])];
        const int32_t by = moved[target] - moved[slot] - 1;
        if (is_long_jump(one)) {
            now.imm = by;
        } else {
            now.off = static_cast<int16_t>(by);
        }
    }
    for (Relocation& reloc : to.relocs) {
        reloc.insn = static_cast<uint32_t>(moved[reloc.insn]);
    }
    return to;
}

bool reads(const Insn& one, int reg) {
    const uint8_t cls = one.code & 7;
    const bool moves = (one.code & 0xf0) == op::kMov;
    switch (cls) {
    case op::kAlu:
    case op::kAlu64:
        return (!moves && one.dst == reg) || ((one.code & op::kX) != 0 && one.src == reg);
    case op::kLdx:
        return one.src == reg;
    case op::kSt:
        return one.dst == reg;
    case op::kLd:
        return one.code != op::kLddw;
    default:
        return true;
    }
}

/// Whether the number that a slot puts into its register is overwritten, or gone at the end, without a look
/// at it. Looks no further than a jump from or to somewhere.
bool is_idle(const Function& function, size_t at, const std::vector<bool>& arrivals) {
    const int reg = function.insns[at].dst;
    for (size_t slot = at + 1; slot < function.insns.size() && !arrivals[slot];
         slot += slot_count(function.insns[slot])) {
        const Insn& one = function.insns[slot];
        const bool calls = one.code == (op::kJmp | op::kCall);
        if (one == kNothing || (calls && reg > 5)) {
            continue;
        }
        if (one.code == (op::kJmp | op::kExit) || (calls && reg == 0)) {
            return reg != 0 || calls;
        }
        const bool stores = (one.code & 7) == op::kStx && one.dst != reg && one.src != reg &&
                            ((one.code & 0xe0) != op::kAtomic || reg != 0);
        if (stores) {
            continue;
        }
        if (is_jump(one) || calls || reads(one, reg)) {
            return false;
        }
        if ((one.code & 7) != op::kSt && one.dst == reg) {
            return true;
        }
    }
    return false;
}

std::vector<bool> arrivals_of(const Function& function) {
    std::vector<bool> arrivals(function.insns.size() + 1);
    for (size_t slot = 0; slot < function.insns.size(); slot += slot_count(function.insns[slot])) {
        const Insn& one = function.insns[slot];
        if (is_jump(one) && one != kNothing) {
            const int32_t distance = is_long_jump(one) ? one.imm : one.off;
            arrivals[static_cast<size_t>(static_cast<int64_t>(slot) + 1 + distance)] = true;
        }
    }
    return arrivals;
}

bool has_constant(const Insn& one) {
    const uint8_t cls = one.code & 7;
    const bool by_register = (one.code & op::kX) != 0;
    const uint8_t operation = one.code & 0xf0;
    return ((cls == op::kAlu || cls == op::kAlu64) && !by_register && operation != op::kEnd &&
            one.imm != 0) ||
           (cls == op::kSt && one.imm != 0);
}

class Shrinker {
  public:
    Shrinker(Case which, const Oracle& differs, bool keep_kinds)
        : best_(std::move(which)), differs_(differs), keep_kinds_(keep_kinds) {}

    Case run() {
        packets();
        for (bool keep_kinds : {true, keep_kinds_}) {
            for (bool changed = true; changed;) {
                changed = ranges(keep_kinds);
            }
        }
        constants();
        idle_moves();
        compact();
        packets();
        return std::move(best_);
    }

  private:
    bool accept(Case candidate) {
        if (std::chrono::steady_clock::now() > deadline_ || differs_(candidate).empty()) {
            return false;
        }
        best_ = std::move(candidate);
        return true;
    }

    void packets() {
        for (size_t i = best_.inputs.size(); i-- > 0 && best_.inputs.size() > 1;) {
            Case fewer = copy_of(best_);
            fewer.inputs.erase(fewer.inputs.begin() + static_cast<ptrdiff_t>(i));
            (void)accept(std::move(fewer));
        }
    }

    bool ranges(bool keep_kinds) {
        bool any = false;
        for (size_t f = 0; f < best_.object->functions.size(); ++f) {
            const size_t size = best_.object->functions[f].insns.size();
            for (size_t step = std::max<size_t>(size / 2, 1); step > 0; step /= 2) {
                for (size_t first = 0; first < size; first += step) {
                    Case candidate = copy_of(best_);
                    if (blank(candidate.object->functions[f], first, step, keep_kinds)) {
                        any |= accept(std::move(candidate));
                    }
                }
            }
        }
        return any;
    }

    void constants() {
        for (size_t f = 0; f < best_.object->functions.size(); ++f) {
            for (size_t slot = 0; slot < best_.object->functions[f].insns.size(); ++slot) {
                const Insn one = best_.object->functions[f].insns[slot];
                if (!has_constant(one)) {
                    continue;
                }
                for (int32_t smaller : {0, 1, -1, one.imm / 2}) {
                    Case candidate = copy_of(best_);
                    candidate.object->functions[f].insns[slot].imm = smaller;
                    if (smaller != one.imm && accept(std::move(candidate))) {
                        break;
                    }
                }
            }
        }
    }

    /// Numbers that stand for what was taken out and that nothing looks at.
    void idle_moves() {
        Case candidate = copy_of(best_);
        for (Function& function : candidate.object->functions) {
            const std::vector<bool> arrivals = arrivals_of(function);
            for (size_t slot = function.insns.size(); slot-- > 0;) {
                const Insn& one = function.insns[slot];
                if (one == test::mov(one.dst, 0) && is_idle(function, slot, arrivals)) {
                    function.insns[slot] = kNothing;
                }
            }
        }
        (void)accept(std::move(candidate));
    }

    void compact() {
        Case candidate = copy_of(best_);
        for (Function& function : candidate.object->functions) {
            function = without_nothing(function);
        }
        (void)accept(std::move(candidate));
    }

    Case best_;
    const Oracle& differs_;
    bool keep_kinds_;
    std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + kPatience;
};

/// Register that an instruction computes; -1 = none.
int result_of(const Insn& one) {
    switch (one.code & 7) {
    case op::kAlu:
    case op::kAlu64:
    case op::kLdx:
        return one.dst;
    case op::kJmp:
        return one.code == (op::kJmp | op::kCall) ? 0 : -1;
    case op::kStx:
        return (one.code & 0xe0) != op::kAtomic                              ? -1
               : one.imm == op::kCmpxchg                                     ? 0
               : one.imm == op::kLoadAcquire                                 ? one.dst
               : (one.imm & op::kFetch) != 0 && one.imm != op::kStoreRelease ? int{one.src}
                                                                             : -1;
    case op::kLd:
        return one.code == op::kLddw ? -1 : 0;
    default:
        return -1;
    }
}

/// Adds r`reg` to the word at kOutProbe behind slot `at`, with `scratch` saved in the word below the
/// own frame or, where it holds nothing, not at all.
Case with_probe(const Case& which, size_t f, size_t at, int reg, int scratch, bool save) {
    constexpr int kSaved = -128;
    Case probed = copy_of(which);
    Function& function = probed.object->functions[f];
    std::vector<Insn> added;
    if (save) {
        added.push_back(test::store_reg(op::kDw, 10, kSaved, scratch));
    }
    const auto load_at = static_cast<uint32_t>(at + added.size());
    added.push_back(insn(op::kLddw, scratch, op::kMapValue, 0, 0));
    added.push_back(Insn{});
    added.push_back(insn(op::kStx | op::kAtomic | op::kDw, scratch, reg, 0, op::kAdd));
    if (save) {
        added.push_back(test::load(op::kDw, scratch, 10, kSaved));
    }
    // Jumps to `at` skip the probe's instruction before it, so they must skip the probe too.
    const auto grow = static_cast<int32_t>(added.size());
    for (size_t slot = 0; slot < function.insns.size(); slot += slot_count(function.insns[slot])) {
        Insn& one = function.insns[slot];
        if (!is_jump(one)) {
            continue;
        }
        const int32_t distance = is_long_jump(one) ? one.imm : one.off;
        const int64_t target = static_cast<int64_t>(slot) + 1 + distance;
        const auto edge = static_cast<int64_t>(at);
        const bool from_behind = static_cast<int64_t>(slot) >= edge;
        const int32_t by = !from_behind && target >= edge ? grow : from_behind && target < edge ? -grow : 0;
        if (is_long_jump(one)) {
            one.imm += by;
        } else {
            one.off = static_cast<int16_t>(one.off + by);
        }
    }
    for (Relocation& reloc : function.relocs) {
        reloc.insn += reloc.insn >= at ? static_cast<uint32_t>(grow) : 0;
    }
    function.insns.insert(function.insns.begin() + static_cast<ptrdiff_t>(at), added.begin(), added.end());
    function.relocs.push_back({load_at, RelocKind::MapValue, 0, kOutProbe});
    std::ranges::sort(function.relocs, {}, &Relocation::insn);
    return probed;
}

} // namespace

Case shrink(Case which, const Oracle& differs, bool keep_kinds) {
    return Shrinker(std::move(which), differs, keep_kinds).run();
}

std::string listing(const Case& which) {
    std::string text = list_declarations(*which.object);
    if (auto linked = link(which.object, 0, {})) {
        text += disassemble(*linked, ListingOptions{});
    }
    for (const Input& input : which.inputs) {
        text += "# packet" +
                (input.meta == 0 ? "" : " with " + std::to_string(input.meta) + " bytes of metadata") + ": " +
                to_hex(input.packet) + "\n";
    }
    return text;
}

std::string bisect(const Case& which, const ProbeOracle& differs) {
    for (size_t f = 0; f < which.object->functions.size(); ++f) {
        const std::vector<Insn>& insns = which.object->functions[f].insns;
        for (size_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
            const int reg = result_of(insns[slot]);
            for (int choice = 0; reg >= 0 && choice < 20; ++choice) {
                const int scratch = choice / 2;
                if (scratch == reg) {
                    continue;
                }
                const Case probed = with_probe(which, f, slot + 1, reg, scratch, choice % 2 == 0);
                if (differs(probed)) {
                    return which.object->functions[f].name + " slot " + std::to_string(slot) + ": " +
                           disassemble(insns[slot], Insn{});
                }
            }
        }
    }
    return {};
}

} // namespace mimicsh::difffuzz
