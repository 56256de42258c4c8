// SPDX-License-Identifier: MIT
// Counting what programs contain.
#include "tests/difffuzz/statistics.h"

#include <algorithm>
#include <cctype>

#include "vm/support.h"

namespace mimicsh::difffuzz {

namespace {

constexpr size_t kReasonsShown = 12;

/// Classes of what a form operates on: an immediate by its value, a register, a place in memory.
enum Operand : size_t {
    kNone,
    kRegister,
    kSameRegister,
    kStack,
    kPointer,
    kPointerBelow,
    kPointerOdd,
    kZero,
    kOne,
    kMinusOne,
    kMax,
    kMin,
    kNegative,
    kSmall,
    kLarge,
};
static_assert(kLarge < kOperandClasses);

Operand operand_class(const Insn& insn, InsnKind kind) {
    const uint8_t cls = insn.code & 7;
    const bool computes = cls == op::kAlu || cls == op::kAlu64 || cls == op::kJmp || cls == op::kJmp32;
    if (computes && kind != InsnKind::Alu && kind != InsnKind::Jump) {
        return kNone;
    }
    if (computes && (insn.code & op::kX) != 0) {
        return insn.dst == insn.src ? kSameRegister : kRegister;
    }
    if (!computes && kind != InsnKind::StoreImm && kind != InsnKind::LoadImm64) {
        const bool loads =
            kind == InsnKind::Load || kind == InsnKind::LoadSx || kind == InsnKind::LoadAcquire;
        const uint8_t base = loads ? insn.src : insn.dst;
        return base == 10          ? kStack
               : insn.off < 0      ? kPointerBelow
               : insn.off % 8 != 0 ? kPointerOdd
                                   : kPointer;
    }
    switch (insn.imm) {
    case 0:
        return kZero;
    case 1:
        return kOne;
    case -1:
        return kMinusOne;
    case INT32_MAX:
        return kMax;
    case INT32_MIN:
        return kMin;
    default:
        return insn.imm < 0 ? kNegative : insn.imm < 256 ? kSmall : kLarge;
    }
}

/// A verifier's last words without the numbers of this program.
std::string reason_class(const std::string& refusal) {
    std::string reason;
    const size_t begin = refusal.find("instruction ");
    const std::string_view text = std::string_view(refusal).substr(begin == std::string::npos ? 0 : begin);
    for (char c : text) {
        if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
            reason += c;
        } else if (reason.empty() || reason.back() != 'N') {
            reason += 'N';
        }
    }
    return reason;
}

std::string percent(uint64_t part, uint64_t whole) {
    const uint64_t tenths = whole == 0 ? 0 : (part * 1000 + whole / 2) / whole;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %";
}

} // namespace

Statistics::Statistics() : forms_(insn_forms().size()) {
    for (const InsnForm& form : insn_forms()) {
        const bool is_only = std::ranges::count(insn_forms(), form.code, &InsnForm::code) == 1;
        only_[form.code] = is_only ? &form : nullptr;
    }
}

/// The form of an instruction of a program that was accepted.
const InsnForm* Statistics::form_of(const Insn& insn) const {
    const InsnForm* only = only_[insn.code];
    return only != nullptr ? only : classify(insn);
}

void Statistics::accepted(const Case& which, const LinkedProgram& linked, uint64_t ends) {
    ++accepted_;
    runs_ += which.inputs.size();
    slots_ += linked.insns.size();
    ends_ += ends;
    ++lengths_[static_cast<uint32_t>(linked.insns.size())];
    for (size_t i = 0; i < features_.size(); ++i) {
        features_[i] += which.features[i] ? 1 : 0;
    }
    calls_or_loops_ += which.has(Feature::LocalCall) || which.has(Feature::Loop) ? 1 : 0;
    for (const MapId id : which.maps) {
        ++maps_[pool_map(id).type];
    }
    for (const LinkedRef& ref : linked.refs) {
        if (ref.kind == RelocKind::Extern) {
            ++kfuncs_[linked.object->externs[ref.target].name];
        }
    }
    cover(linked);
}

void Statistics::cover(const LinkedProgram& linked) {
    for (size_t slot = 0; slot < linked.insns.size(); slot += slot_count(linked.insns[slot])) {
        const Insn& insn = linked.insns[slot];
        const InsnForm* form = form_of(insn);
        if (form == nullptr) {
            continue;
        }
        ++forms_[static_cast<size_t>(form - insn_forms().data())][operand_class(insn, form->kind)];
        if (form->kind == InsnKind::CallHelper) {
            ++helpers_.at(static_cast<size_t>(insn.imm));
        }
    }
}

void Statistics::refused(const std::string& refusal) {
    ++refused_;
    ++reasons_[reason_class(refusal)];
}

std::string Statistics::text() const {
    const auto quantile = [&](uint64_t percent_below) {
        uint64_t below = 0;
        for (const auto& [length, count] : lengths_) {
            below += count;
            if (below * 100 >= accepted_ * percent_below) {
                return std::to_string(length);
            }
        }
        return std::string("0");
    };
    std::string text = "programs: " + std::to_string(accepted_) + " accepted, " + std::to_string(refused_) +
                       " refused (" + percent(accepted_, accepted_ + refused_) + " accepted)\n";
    text += "length: median " + quantile(50) + " slots, 10 % below " + quantile(10) + ", 90 % below " +
            quantile(90) + ", longest " + quantile(100) + "\n";
    text += "runs: " + std::to_string(runs_) + ", to the end of the program " + percent(ends_, runs_) + "\n";
    text += "programs with:";
    for (size_t i = 0; i < features_.size(); ++i) {
        text += std::string(i == 0 ? " " : ", ") + kFeatureNames[i] + " " + percent(features_[i], accepted_);
    }
    text += ", local calls or loops " + percent(calls_or_loops_, accepted_) + "\nhelpers:";
    for (uint32_t id = 0; id < helpers_.size(); ++id) {
        if (helpers_[id] != 0) {
            text += " " + std::string(abi::helper_name(id)) + " " + std::to_string(helpers_[id]);
        }
    }
    text += "\nkfuncs:";
    for (const auto& [name, count] : kfuncs_) {
        text += " " + name + " " + std::to_string(count);
    }
    text += "\nmap types:";
    for (const auto& [type, count] : maps_) {
        text += " " + std::string(abi::name(type)) + " " + std::to_string(count);
    }
    size_t emulated = 0;
    size_t seen = 0;
    size_t pairs = 0;
    std::string missing;
    for (size_t i = 0; i < forms_.size(); ++i) {
        const InsnForm& form = insn_forms()[i];
        const auto classes = std::ranges::count_if(forms_[i], [](uint64_t count) { return count != 0; });
        pairs += static_cast<size_t>(classes);
        if (vm::insn_state(form) == vm::State::Emulated) {
            seen += classes != 0 ? 1 : 0;
            ++emulated;
            missing += classes != 0 ? "" : " " + std::string(form.mnemonic);
        }
    }
    text += "\ninstruction forms: " + std::to_string(seen) + " of " + std::to_string(emulated) +
            " emulated, " + std::to_string(pairs) +
            " pairs of form and operand class; not seen:" + (missing.empty() ? " none" : missing) + "\n";
    std::vector<std::pair<uint64_t, std::string>> ranked;
    for (const auto& [reason, count] : reasons_) {
        ranked.emplace_back(count, reason);
    }
    std::ranges::sort(ranked, std::greater{});
    for (size_t i = 0; i < std::min(ranked.size(), kReasonsShown); ++i) {
        text += "refused " + std::to_string(ranked[i].first) + ": " + ranked[i].second + "\n";
    }
    return text;
}

} // namespace mimicsh::difffuzz
