// SPDX-License-Identifier: MIT
// Counting what programs contain.
#include "tests/difffuzz/statistics.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "vm/support.h"

namespace mimicsh::difffuzz {

namespace {

constexpr size_t kReasonsShown = 12;

/// Classes of what a form operates on: an immediate by its value, a register, a place in memory.
enum Class : uint8_t {
    kNone,
    kRegister,
    kSameRegister,
    kStack,
    kPointer,
    kPointerBelow,
    kPointerOdd,
    kMin, // immediates in ascending order
    kNegative,
    kMinusOne,
    kZero,
    kOne,
    kSmall,
    kLarge,
    kMax,
};
static_assert(kMax < kOperandClasses);
constexpr int kHashBits = 10;     // of the cache of forms
constexpr size_t kWaiting = 2048; // instructions that are counted at a time

Operand operand_of(const InsnForm& form) {
    switch (form.kind) {
    case InsnKind::Alu:
    case InsnKind::Jump:
        return (form.code & op::kX) != 0 ? Operand::Registers : Operand::Immediate;
    case InsnKind::StoreImm:
    case InsnKind::LoadImm64:
        return Operand::Immediate;
    case InsnKind::Load:
    case InsnKind::LoadSx:
    case InsnKind::LoadAcquire:
        return Operand::PlaceAtSrc;
    default:
        break;
    }
    const uint8_t cls = form.code & 7;
    const bool computes = cls == op::kAlu || cls == op::kAlu64 || cls == op::kJmp || cls == op::kJmp32;
    return computes ? Operand::None : Operand::PlaceAtDst;
}

/// By the number and 2: those from -2, which stands for all below, to 256, which stands for all above.
constexpr auto kImmediates = [] {
    std::array<uint8_t, 259> classes{kNegative, kMinusOne, kZero, kOne};
    std::fill(classes.begin() + 4, classes.end(), kSmall);
    classes.back() = kLarge;
    return classes;
}();

/// The class of what an instruction operates on. Everything that it could be is computed, and nothing
/// branches: instructions come in an order that cannot be foreseen.
size_t operand_class(const Insn& insn, Operand operand) {
    static constexpr std::array kPlaces{kPointer, kPointerOdd, kPointerBelow, kPointerBelow,
                                        kStack,   kStack,      kStack,        kStack};
    const uint32_t immediate = kImmediates[static_cast<size_t>(std::clamp(insn.imm, -2, 256) + 2)] -
                               uint32_t{insn.imm == INT32_MIN} + uint32_t{insn.imm == INT32_MAX};
    const uint32_t both = insn.dst | uint32_t{insn.src} << 4;
    const uint32_t base = both >> (operand == Operand::PlaceAtSrc ? 4 : 0) & 0xf;
    const uint32_t place =
        kPlaces[uint32_t{base == 10} << 2 | uint32_t{insn.off < 0} << 1 | uint32_t{insn.off % 8 != 0}];
    const uint32_t registers = kRegister + uint32_t{insn.dst == insn.src};
    const uint32_t all = kNone | registers << 8 | immediate << 16 | place << 24; // by Operand
    return all >> (std::min<uint32_t>(static_cast<uint32_t>(operand), 3) * 8) & 0xff;
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

Statistics::Statistics() : forms_(insn_forms().size() + 1), alike_(size_t{1} << kHashBits) {
    for (const InsnForm& form : insn_forms()) {
        Insn telling{.code = 0xff};
        telling.src = form.src < 0 ? 0 : 0xf;
        telling.off = form.off == InsnForm::kAnyField ? int16_t{0} : int16_t{-1};
        telling.imm = form.imm == InsnForm::kAnyField ? 0 : -1;
        telling_[form.code] |= std::bit_cast<uint64_t>(telling);
    }
}

inline const Statistics::Alike& Statistics::alike(const Insn& insn) {
    const uint64_t fields = std::bit_cast<uint64_t>(insn) & telling_[insn.code];
    Alike& found = alike_[fields * 0x9e3779b97f4a7c15 >> (64 - kHashBits)];
    if (found.fields != fields) {
        found = made_alike(insn, fields);
    }
    return found;
}

Statistics::Alike Statistics::made_alike(const Insn& insn, uint64_t fields) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return {fields, static_cast<uint32_t>(insn_forms().size())};
    }
    return {fields, static_cast<uint32_t>(form - insn_forms().data()), operand_of(*form),
            form->kind == InsnKind::CallHelper};
}

void Statistics::accepted(const Case& which, const LinkedProgram& linked, uint64_t ends) {
    ++accepted_;
    runs_ += which.inputs.size();
    slots_ += linked.insns.size();
    ends_ += ends;
    if (linked.insns.size() >= lengths_.size()) {
        lengths_.resize(linked.insns.size() + 1);
    }
    ++lengths_[linked.insns.size()];
    for (size_t i = 0; i < features_.size(); ++i) {
        features_[i] += which.features[i] ? 1 : 0;
    }
    calls_or_loops_ += which.has(Feature::LocalCall) || which.has(Feature::Loop) ? 1 : 0;
    for (const MapId id : which.maps) {
        ++maps_[static_cast<size_t>(id)];
    }
    for (const LinkedRef& ref : linked.refs) {
        if (ref.kind == RelocKind::Extern) {
            ++kfuncs_[linked.object->externs[ref.target].name];
        }
    }
    waiting_.insert(waiting_.end(), linked.insns.begin(), linked.insns.end());
    if (waiting_.size() >= kWaiting) {
        cover_waiting();
    }
}

/// Counts the instructions of many programs at a time: after a load by the kernel the tables are in no cache.
void Statistics::cover_waiting() {
    for (size_t slot = 0; slot < waiting_.size(); slot += slot_count(waiting_[slot])) {
        const Insn& insn = waiting_[slot];
        const Alike& known = alike(insn);
        ++forms_[known.form][operand_class(insn, known.operand)];
        if (known.calls_helper) {
            ++helpers_.at(static_cast<size_t>(insn.imm));
        }
    }
    waiting_.clear();
}

void Statistics::refused(const std::string& refusal) {
    ++refused_;
    ++reasons_[reason_class(refusal)];
}

std::string Statistics::text() const {
    Statistics all = *this;
    all.cover_waiting();
    return all.text_of_all();
}

std::string Statistics::text_of_all() const {
    const auto quantile = [&](uint64_t percent_below) {
        uint64_t below = 0;
        for (size_t length = 0; length < lengths_.size(); ++length) {
            below += lengths_[length];
            if (lengths_[length] != 0 && below * 100 >= accepted_ * percent_below) {
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
    std::map<abi::MapType, uint64_t> types;
    for (size_t i = 0; i < maps_.size(); ++i) {
        if (maps_[i] != 0) {
            types[pool_map(static_cast<MapId>(i)).type] += maps_[i];
        }
    }
    for (const auto& [type, count] : types) {
        text += " " + std::string(abi::name(type)) + " " + std::to_string(count);
    }
    size_t emulated = 0;
    size_t seen = 0;
    size_t pairs = 0;
    std::string missing;
    for (size_t i = 0; i < insn_forms().size(); ++i) {
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
