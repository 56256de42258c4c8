// SPDX-License-Identifier: MIT
// CO-RE relocations: from a matched path to a value, and from a value to a patched instruction.
#include "object/core_relo.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <optional>
#include <span>

#include "object/core_spec.h"

namespace mimicsh {

namespace {

using core::Spec;
using core::Step;

constexpr int32_t kPoison = 0xbad2310; // libbpf's helper number for "could not be resolved"

/// A field or value as one side sees it.
struct Value {
    uint64_t value = 0;
    bool checkable = true;        ///< the compiler's value must equal ours for the local side
    std::optional<uint64_t> size; ///< bytes of the field, for adjusting loads and stores
    uint32_t type = 0;            ///< of the field
};

enum class Outcome : uint8_t { Value, Unresolved, Error };

struct Computed {
    Outcome outcome = Outcome::Value;
    Value value;
    std::string error;
};

Computed failed(std::string text) {
    return {Outcome::Error, {}, std::move(text)};
}
Computed number(uint64_t value, bool checkable = true) {
    return {Outcome::Value, {value, checkable, std::nullopt, 0}, {}};
}

Computed element_value(const Spec& spec, uint32_t kind) {
    const Step& last = spec.steps.back();
    const auto size = spec.btf->size_of(last.type);
    if (!size) {
        return failed("element has no size");
    }
    if (kind == core::kFieldByteOffset) {
        Computed out = number(spec.bit_offset / 8);
        out.value.size = *size;
        out.value.type = last.type;
        return out;
    }
    return kind == core::kFieldByteSize ? number(*size)
                                        : failed("relocation kind does not apply to an array element");
}

/// Where to load a field from and what to shift: for bit-fields the smallest aligned integer that holds them.
Computed field_value(const Spec& spec, uint32_t kind) {
    const Step& last = spec.steps.back();
    if (last.name.empty()) {
        return element_value(spec, kind);
    }
    const BtfMember& member = spec.btf->type(last.type).members[last.index];
    const uint32_t type_id = spec.btf->resolve(member.type);
    const BtfType& type = spec.btf->type(type_id);
    const auto size = spec.btf->size_of(type_id);
    if (!size || *size > UINT32_MAX) {
        return failed("field has no usable size");
    }
    const bool is_bitfield = member.bit_width != 0;
    uint64_t bytes = *size;
    uint64_t offset = spec.bit_offset / 8;
    uint64_t bits = bytes * 8;
    if (is_bitfield) {
        bits = member.bit_width;
        for (bytes = type.size;; bytes *= 2) {
            if (bytes == 0 || bytes > 8) {
                return failed("bit-field cannot be loaded at once");
            }
            offset = spec.bit_offset / 8 / bytes * bytes;
            if (spec.bit_offset + bits - offset * 8 <= bytes * 8) {
                break;
            }
        }
    }
    switch (kind) {
    case core::kFieldByteOffset: {
        Computed out = number(offset, !is_bitfield);
        if (!is_bitfield) {
            out.value.size = bytes;
            out.value.type = type_id;
        }
        return out;
    }
    case core::kFieldByteSize:
        return number(bytes, !is_bitfield);
    case core::kFieldSigned:
        return number((core::is_enum(type.kind) || type.kind == BtfKind::Int) && type.is_signed ? 1 : 0);
    case core::kFieldLshift:
        return number(64 - (spec.bit_offset + bits - offset * 8), !is_bitfield);
    case core::kFieldRshift:
        return number(64 - bits);
    default:
        return failed("unknown relocation kind " + std::to_string(kind));
    }
}

/// Value of a relocation on one side; `spec` null when the other side has no such thing.
Computed compute(const Spec* spec, uint32_t kind) {
    switch (kind) {
    case core::kFieldExists:
    case core::kTypeExists:
    case core::kTypeMatches:
    case core::kEnumvalExists:
        return number(spec != nullptr ? 1 : 0);
    case core::kTypeSize: {
        if (spec == nullptr) {
            return number(0);
        }
        const auto size = spec->btf->size_of(spec->root);
        return size ? number(*size) : failed("type has no size");
    }
    case core::kTypeIdTarget:
        return spec != nullptr ? number(spec->root, false) : number(0);
    case core::kEnumvalValue: {
        if (spec == nullptr) {
            return {Outcome::Unresolved, {}, {}};
        }
        const Step& step = spec->steps[0];
        return number(static_cast<uint64_t>(spec->btf->type(step.type).enumerators[step.index].value));
    }
    default:
        return spec != nullptr ? field_value(*spec, kind) : Computed{Outcome::Unresolved, {}, {}};
    }
}

/// What to do with one instruction.
struct Decision {
    bool poison = false;
    bool check_old = false;
    uint64_t old_value = 0;
    uint64_t new_value = 0;
    uint64_t old_size = 0; ///< 0 when sizes do not matter
    uint64_t new_size = 0;
    bool bad_resize = false; ///< sizes differ and the types do not allow to adjust a load or store

    [[nodiscard]] bool same_as(const Decision& other) const {
        return poison == other.poison && (poison || new_value == other.new_value);
    }
};

/// A load may change its width between pointers, and between unsigned integers.
bool may_resize(const Btf& local, uint32_t local_type, const Btf& target, uint32_t target_type) {
    const BtfType& x = local.type(local_type);
    const BtfType& y = target.type(target_type);
    if (x.kind == BtfKind::Ptr && y.kind == BtfKind::Ptr) {
        return true;
    }
    const auto plain = [](const BtfType& t) {
        return t.kind == BtfKind::Int && (!t.is_signed || t.is_bool || t.is_char);
    };
    return plain(x) && plain(y);
}

Expected<Decision> decide(const Spec& local, const Spec* target, uint32_t kind) {
    const Computed before = compute(&local, kind);
    const Computed after = compute(target, kind);
    for (const Computed* side : {&before, &after}) {
        if (side->outcome == Outcome::Error) {
            return Error{EINVAL, "link", side->error, "", ""};
        }
    }
    Decision out;
    out.poison = after.outcome == Outcome::Unresolved;
    out.check_old = before.value.checkable;
    out.old_value = before.value.value;
    out.new_value = after.value.value;
    if (kind == core::kFieldByteOffset && !out.poison && before.value.size && after.value.size) {
        out.old_size = *before.value.size;
        out.new_size = *after.value.size;
        out.bad_resize = out.old_size != out.new_size &&
                         !may_resize(*local.btf, before.value.type, *target->btf, after.value.type);
    }
    return out;
}

// -- Patching --

Insn poisoned() {
    return Insn{op::kJmp | op::kCall, 0, 0, 0, kPoison};
}

bool is_poisoned(const Insn& insn) {
    return insn.code == (op::kJmp | op::kCall) && insn.src == 0 && insn.imm == kPoison;
}

bool is_move_of_number(const Insn& insn) {
    return insn.code == (op::kAlu | op::kMov) || insn.code == (op::kAlu64 | op::kMov) ||
           (insn.code == op::kLddw && insn.src == 0);
}

void poison(std::span<Insn> insns, uint32_t at) {
    if (insns[at].code == op::kLddw) {
        insns[at + 1] = poisoned(); // a half load would confuse the verifier's message
    }
    insns[at] = poisoned();
}

std::optional<uint8_t> size_bits(uint64_t bytes) {
    switch (bytes) {
    case 1:
        return op::kB;
    case 2:
        return op::kH;
    case 4:
        return op::kW;
    case 8:
        return op::kDw;
    default:
        return std::nullopt;
    }
}

Error unexpected(const char* what, uint64_t found, uint64_t wanted) {
    return Error{EINVAL, "link",
                 std::string(what) + " is " + std::to_string(found) + " where the compiler should have put " +
                     std::to_string(wanted),
                 "", ""};
}

Status patch_memory(std::span<Insn> insns, uint32_t at, const Decision& decision) {
    Insn& insn = insns[at];
    if (decision.check_old && static_cast<uint64_t>(int64_t{insn.off}) != decision.old_value) {
        return unexpected("offset", static_cast<uint64_t>(int64_t{insn.off}), decision.old_value);
    }
    if (decision.new_value > SHRT_MAX) {
        return Error{ERANGE, "link", "offset " + std::to_string(decision.new_value) + " does not fit", "",
                     ""};
    }
    if (decision.bad_resize) {
        poison(insns, at);
        return {};
    }
    insn.off = static_cast<int16_t>(decision.new_value);
    if (decision.old_size != decision.new_size) {
        if (access_size(insn.code) != decision.old_size) {
            return unexpected("access size", access_size(insn.code), decision.old_size);
        }
        const auto bits = size_bits(decision.new_size);
        if (!bits) {
            return Error{EINVAL, "link", "field has " + std::to_string(decision.new_size) + " bytes", "", ""};
        }
        insn.code = static_cast<uint8_t>((insn.code & ~0x18) | *bits);
    }
    return {};
}

Status patch(std::span<Insn> insns, uint32_t at, const Decision& decision) {
    if (decision.poison) {
        poison(insns, at);
        return {};
    }
    Insn& insn = insns[at];
    switch (insn.code & 7) {
    case op::kAlu:
    case op::kAlu64:
        if ((insn.code & op::kX) != 0) {
            break;
        }
        if (decision.check_old && insn.imm != static_cast<int32_t>(decision.old_value)) {
            return unexpected("operand", static_cast<uint32_t>(insn.imm), decision.old_value);
        }
        insn.imm = static_cast<int32_t>(decision.new_value);
        return {};
    case op::kLdx:
    case op::kSt:
    case op::kStx:
        return patch_memory(insns, at, decision);
    case op::kLd: {
        if (insn.code != op::kLddw || insn.src != 0) {
            break;
        }
        Insn& second = insns[at + 1];
        const uint64_t old =
            (uint64_t{static_cast<uint32_t>(second.imm)} << 32) | static_cast<uint32_t>(insn.imm);
        if (decision.check_old && old != decision.old_value) {
            return unexpected("operand", old, decision.old_value);
        }
        insn.imm = static_cast<int32_t>(decision.new_value);
        second.imm = static_cast<int32_t>(decision.new_value >> 32);
        return {};
    }
    default:
        break;
    }
    return Error{EINVAL, "link", "this instruction cannot take it", "", ""};
}

std::string describe(const Btf& btf, const Function& function, const CoreRelocation& relo) {
    std::string out =
        "function '" + function.name.substr(0, 128) + "' instruction " + std::to_string(relo.insn);
    for (auto line = function.lines.rbegin(); line != function.lines.rend(); ++line) {
        if (line->insn <= relo.insn) {
            out += " (" + std::string(btf.string(line->file_off).substr(0, 256)) + ":" +
                   std::to_string(line->line) + ")";
            break;
        }
    }
    return out + ": CO-RE access " + relo.access.substr(0, 64) + " of " + btf.type_name(relo.type_id);
}

// -- What could not be resolved --

/// "inner.list[3].next", without the elements of an array that the pointer itself may lead to.
std::string path_of(const Spec& spec) {
    std::string out = spec.steps[0].index == 0 ? "" : "[" + std::to_string(spec.steps[0].index) + "]";
    for (const Step& step : std::span(spec.steps).subspan(1)) {
        if (step.name.empty()) {
            out += "[" + std::to_string(step.index) + "]";
        } else {
            out.append(out.empty() ? "" : ".").append(step.name.substr(0, 128));
        }
    }
    return out;
}

UnresolvedAccess explain(const Spec& local, const CoreRelocation& relo, const Decision& decision,
                         bool has_type) {
    const bool is_value = core::is_enumval(relo.kind);
    const std::string what =
        is_value ? "value " + std::string(essential_name(local.steps[0].name)) : "field " + path_of(local);
    const std::string type(essential_name(local.btf->type_name(local.root)));
    UnresolvedAccess out;
    if (!has_type) {
        out.text = "the kernel has no " + type + ", and so no " + what + " of it";
    } else if (decision.bad_resize) {
        out.text = what + " of the kernel's " + type + " has " + std::to_string(decision.new_size) +
                   " bytes and not " + std::to_string(decision.old_size);
    } else {
        out.text = "the kernel's " + type + " has no " + what + (is_value ? "" : " that fits");
    }
    out.text += " (CO-RE access " + relo.access.substr(0, 64) + ")";
    out.hint = decision.bad_resize ? "declare it with the kernel's type, or as an unsigned integer"
               : is_value          ? "ask with bpf_core_enum_value_exists before it is used"
                                   : "ask with bpf_core_field_exists before the access";
    return out;
}

/// The relocation that an instruction was linked by, or null.
const CoreRelocation* relocation_at(const LinkedProgram& program, uint32_t slot) {
    const LinkedFunction& place = program.functions[program.function_at(slot)];
    const Function& function = program.object->functions[place.index];
    const uint32_t at = slot - place.insn;
    const auto found = std::ranges::find_if(function.core_relocs, [&](const CoreRelocation& relo) {
        const bool is_wide = function.insns[relo.insn].code == op::kLddw;
        return relo.insn == at || (is_wide && relo.insn + 1 == at);
    });
    return found != function.core_relocs.end() ? &*found : nullptr;
}

/// Types that may be the one a program calls by this name and kind.
std::vector<uint32_t> candidates_for(const Btf& kernel, const BtfType& root) {
    std::vector<uint32_t> found;
    for (const uint32_t id : kernel.find_flavors(essential_name(root.name))) {
        if (core::same_kind(kernel.type(id).kind, root.kind)) {
            found.push_back(id);
        }
    }
    return found;
}

/// Tries every candidate; those that match must agree. Candidates that do not match are dropped for good.
Expected<Decision> choose(const Spec& local, const Btf& kernel, std::vector<uint32_t>& candidates,
                          uint32_t kind) {
    std::optional<Decision> chosen;
    uint64_t chosen_offset = 0;
    std::vector<uint32_t> matching;
    for (const uint32_t id : candidates) {
        Spec target;
        const int found = core::match_spec(local, kernel, id, kind, target);
        if (found < 0) {
            return Error{-found, "link", "cannot be compared with " + kernel.type_name(id), "", ""};
        }
        if (found == 0) {
            continue;
        }
        auto decision = decide(local, &target, kind);
        if (!decision) {
            return decision.error();
        }
        if (chosen && (chosen_offset != target.bit_offset || !chosen->same_as(*decision))) {
            return Error{EINVAL, "link", "is ambiguous: two types of that name disagree", "", ""};
        }
        matching.push_back(id);
        if (!chosen) {
            chosen = *decision;
            chosen_offset = target.bit_offset;
        }
    }
    if (!chosen) {
        return decide(local, nullptr, kind);
    }
    candidates = std::move(matching);
    return *chosen;
}

} // namespace

Status CoreRelocator::apply(const Function& function, std::span<Insn> insns) {
    for (const CoreRelocation& relo : function.core_relocs) {
        const auto bad = [&](const Error& error) {
            return Error{error.code, "link", describe(local_, function, relo) + ": " + error.text, error.hint,
                         ""};
        };
        auto local = core::parse_spec(local_, relo.type_id, relo.access, relo.kind);
        if (!local) {
            return bad(local.error());
        }
        Decision decision;
        if (relo.kind == core::kTypeIdLocal) {
            decision.old_value = decision.new_value = relo.type_id;
        } else {
            const BtfType& root = local_.type(relo.type_id);
            if (root.name.empty()) {
                return bad(Error{ENOTSUP, "", "type has no name", "", ""});
            }
            if (kernel_ == nullptr) {
                return bad(Error{ENOENT, "", "no kernel types to resolve it against",
                                 "give the kernel's BTF, usually /sys/kernel/btf/vmlinux", ""});
            }
            auto [it, is_new] = candidates_.try_emplace(relo.type_id);
            if (is_new) {
                it->second = candidates_for(*kernel_, root);
            }
            auto chosen = choose(*local, *kernel_, it->second, relo.kind);
            if (!chosen) {
                return bad(chosen.error());
            }
            decision = *chosen;
        }
        if (auto ok = patch(insns, relo.insn, decision); !ok) {
            return bad(ok.error());
        }
    }
    return {};
}

// -- In a linked program --

bool is_unresolved(const LinkedProgram& program, uint32_t slot) {
    return is_poisoned(program.insns[slot]) && relocation_at(program, slot) != nullptr;
}

UnresolvedAccess describe_unresolved(const LinkedProgram& program, uint32_t slot, const Btf* kernel) {
    const CoreRelocation& relo = *relocation_at(program, slot);
    const Btf& types = *program.object->btf;
    const auto local = core::parse_spec(types, relo.type_id, relo.access, relo.kind);
    assert(local); // the linker has read it
    std::vector<uint32_t> candidates;
    Decision decision;
    if (kernel != nullptr) {
        candidates = candidates_for(*kernel, types.type(relo.type_id));
        if (const auto chosen = choose(*local, *kernel, candidates, relo.kind)) {
            decision = *chosen;
        }
    }
    return explain(*local, relo, decision, kernel == nullptr || !candidates.empty());
}

std::vector<uint32_t> core_moves(const LinkedProgram& program) {
    std::vector<uint32_t> slots;
    for (const LinkedFunction& place : program.functions) {
        for (const CoreRelocation& relo : program.object->functions[place.index].core_relocs) {
            if (is_move_of_number(program.insns[place.insn + relo.insn])) {
                slots.push_back(place.insn + relo.insn);
            }
        }
    }
    std::ranges::sort(slots);
    return slots;
}

} // namespace mimicsh
