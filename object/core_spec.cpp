// SPDX-License-Identifier: MIT
// Paths through types, and matching them between a program's types and a kernel's.
#include "object/core_spec.h"

#include <cerrno>
#include <charconv>
#include <optional>

namespace mimicsh::core {

namespace {

Error bad(const std::string& text) {
    return Error{EINVAL, "link", text, "", ""};
}

/// "0:1:2" as numbers; nothing when it is no such list or too long.
std::optional<std::vector<uint32_t>> parse_access(const std::string& text) {
    std::vector<uint32_t> out;
    const char* at = text.data();
    const char* end = at + text.size();
    while (true) {
        uint32_t value = 0;
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc() || out.size() == kMaxSteps) {
            return std::nullopt;
        }
        out.push_back(value);
        if (next == end) {
            return out;
        }
        if (*next != ':') {
            return std::nullopt;
        }
        at = next + 1;
    }
}

/// Adds index * size bytes to a path's offset; false when that cannot be.
bool add_elements(const Btf& btf, uint32_t type, uint32_t index, uint64_t& bit_offset) {
    const auto size = btf.size_of(type);
    uint64_t bits = 0;
    return size && !__builtin_mul_overflow(*size, uint64_t{index} * 8, &bits) &&
           !__builtin_add_overflow(bit_offset, bits, &bit_offset);
}

/// An array without length at the end of a struct may be indexed beyond it.
bool is_flexible(const Btf& btf, const Step& holder, const BtfType& array) {
    return array.elements == 0 && is_composite(btf.type(holder.type).kind) &&
           holder.index + 1 == btf.type(holder.type).members.size();
}

Status parse_field(const Btf& btf, const std::vector<uint32_t>& access, Spec& spec) {
    uint32_t id = btf.resolve(spec.root);
    spec.steps.push_back({id, access[0], {}});
    if (!add_elements(btf, id, access[0], spec.bit_offset)) {
        return bad("type has no size");
    }
    for (size_t i = 1; i < access.size(); ++i) {
        id = btf.resolve(id);
        const BtfType& type = btf.type(id);
        if (is_composite(type.kind)) {
            if (access[i] >= type.members.size()) {
                return bad("member " + std::to_string(access[i]) + " of " + btf.type_name(id) +
                           " does not exist");
            }
            const BtfMember& member = type.members[access[i]];
            spec.bit_offset += member.bit_offset;
            if (!member.name.empty()) {
                spec.steps.push_back({id, access[i], member.name});
            }
            id = member.type;
        } else if (type.kind == BtfKind::Array) {
            id = btf.resolve(type.type);
            if (access[i] >= type.elements && !is_flexible(btf, spec.steps.back(), type)) {
                return bad("element " + std::to_string(access[i]) + " is beyond its array");
            }
            spec.steps.push_back({id, access[i], {}});
            if (!add_elements(btf, id, access[i], spec.bit_offset)) {
                return bad("element has no size");
            }
        } else {
            return bad("path goes through " + btf.type_name(id));
        }
    }
    return {};
}

bool names_equal(std::string_view a, std::string_view b) {
    return essential_name(a) == essential_name(b);
}

} // namespace

bool same_kind(BtfKind a, BtfKind b) {
    return a == b || (is_enum(a) && is_enum(b));
}

Expected<Spec> parse_spec(const Btf& btf, uint32_t root, const std::string& access, uint32_t kind) {
    Spec spec;
    spec.btf = &btf;
    spec.root = root;
    const auto numbers = parse_access(access);
    if (!numbers) {
        return bad("access string '" + access.substr(0, 64) + "' is malformed");
    }
    if (is_type(kind)) {
        return access == "0" ? Expected<Spec>(std::move(spec)) : bad("access string of a type is not 0");
    }
    if (is_enumval(kind)) {
        const uint32_t id = btf.resolve(root);
        const BtfType& type = btf.type(id);
        if (numbers->size() != 1 || !is_enum(type.kind) || (*numbers)[0] >= type.enumerators.size()) {
            return bad("no such enumerator");
        }
        spec.steps.push_back({id, (*numbers)[0], type.enumerators[(*numbers)[0]].name});
        return spec;
    }
    if (!is_field(kind)) {
        return Error{ENOTSUP, "link", "unknown kind " + std::to_string(kind), "", ""};
    }
    if (auto ok = parse_field(btf, *numbers, spec); !ok) {
        return ok.error();
    }
    return spec;
}

// -- Matching paths --

namespace {

/// May a field of one type stand for a field of the other? Wide on purpose: sizes and signs may differ.
int fields_compatible(const Btf& a, uint32_t a_id, const Btf& b, uint32_t b_id) {
    while (true) {
        a_id = a.resolve(a_id);
        b_id = b.resolve(b_id);
        const BtfType& x = a.type(a_id);
        const BtfType& y = b.type(b_id);
        if (is_composite(x.kind) && is_composite(y.kind)) {
            return 1;
        }
        if (!same_kind(x.kind, y.kind)) {
            return 0;
        }
        switch (x.kind) {
        case BtfKind::Ptr:
        case BtfKind::Float:
            return 1;
        case BtfKind::Fwd:
        case BtfKind::Enum:
        case BtfKind::Enum64:
            return x.name.empty() || y.name.empty() || names_equal(x.name, y.name) ? 1 : 0;
        case BtfKind::Int:
            return x.int_offset == 0 && y.int_offset == 0 ? 1 : 0;
        case BtfKind::Array:
            a_id = x.type;
            b_id = y.type;
            continue;
        default:
            return 0;
        }
    }
}

/// Looks for a member by name in a candidate, through anonymous members; appends to the path what it finds.
int match_member(const Btf& local, const Step& want, const Btf& target, uint32_t target_id, Spec& out,
                 uint32_t& next, Budget& budget) {
    target_id = target.resolve(target_id);
    const BtfType& type = target.type(target_id);
    if (!is_composite(type.kind)) {
        return 0;
    }
    const uint32_t local_member = local.type(want.type).members[want.index].type;
    for (uint32_t i = 0; i < type.members.size(); ++i) {
        if (!budget.take()) {
            return -E2BIG;
        }
        const BtfMember& member = type.members[i];
        const uint64_t before = out.bit_offset;
        out.bit_offset += member.bit_offset;
        if (member.name.empty()) {
            if (const int found = match_member(local, want, target, member.type, out, next, budget);
                found != 0) {
                return found;
            }
        } else if (member.name == want.name) {
            next = member.type;
            const int found = fields_compatible(local, local_member, target, member.type);
            if (found > 0) {
                out.steps.push_back({target_id, i, member.name});
            }
            return found;
        }
        out.bit_offset = before;
    }
    return 0;
}

int match_field(const Spec& local, const Btf& target, uint32_t candidate, Spec& out, Budget& budget) {
    uint32_t id = candidate;
    for (size_t i = 0; i < local.steps.size(); ++i) {
        const Step& step = local.steps[i];
        id = target.resolve(id);
        if (!step.name.empty()) {
            if (const int found = match_member(*local.btf, step, target, id, out, id, budget); found <= 0) {
                return found;
            }
            continue;
        }
        if (i > 0) {
            const BtfType& array = target.type(id);
            if (array.kind != BtfKind::Array) {
                return 0;
            }
            if (step.index >= array.elements && !is_flexible(target, out.steps.back(), array)) {
                return 0;
            }
            id = target.resolve(array.type);
        }
        if (out.steps.size() == kMaxSteps) {
            return -E2BIG;
        }
        out.steps.push_back({id, step.index, {}});
        if (!add_elements(target, id, step.index, out.bit_offset)) {
            return -EINVAL;
        }
    }
    return 1;
}

int match_enumerator(const Spec& local, const Btf& target, uint32_t candidate, Spec& out) {
    const uint32_t id = target.resolve(candidate);
    const BtfType& type = target.type(id);
    if (!is_enum(type.kind)) {
        return 0;
    }
    for (uint32_t i = 0; i < type.enumerators.size(); ++i) {
        if (names_equal(type.enumerators[i].name, local.steps[0].name)) {
            out.steps.push_back({id, i, type.enumerators[i].name});
            return 1;
        }
    }
    return 0;
}

} // namespace

int match_spec(const Spec& local, const Btf& target, uint32_t candidate, uint32_t kind, Spec& out) {
    Budget budget;
    out = Spec{&target, candidate, {}, 0};
    if (kind == kTypeMatches) {
        return types_match(*local.btf, local.root, target, candidate, false, kMaxLevel, budget);
    }
    if (is_type(kind)) {
        return types_compatible(*local.btf, local.root, target, candidate, kMaxLevel, budget);
    }
    return is_enumval(kind) ? match_enumerator(local, target, candidate, out)
                            : match_field(local, target, candidate, out, budget);
}

// -- Comparing types --

int types_compatible(const Btf& a, uint32_t a_id, const Btf& b, uint32_t b_id, int level, Budget& budget) {
    if (!same_kind(a.type(a_id).kind, b.type(b_id).kind)) {
        return 0;
    }
    while (true) {
        if (--level < 0 || !budget.take()) {
            return -EINVAL;
        }
        const BtfType& x = a.type(a.resolve(a_id));
        const BtfType& y = b.type(b.resolve(b_id));
        if (!same_kind(x.kind, y.kind)) {
            return 0;
        }
        switch (x.kind) {
        case BtfKind::Void:
        case BtfKind::Struct:
        case BtfKind::Union:
        case BtfKind::Enum:
        case BtfKind::Enum64:
        case BtfKind::Fwd:
            return 1;
        case BtfKind::Int:
            return x.int_offset == 0 && y.int_offset == 0 ? 1 : 0;
        case BtfKind::FuncProto:
            if (x.params.size() != y.params.size()) {
                return 0;
            }
            for (size_t i = 0; i < x.params.size(); ++i) {
                const int same = types_compatible(a, a.resolve(x.params[i].type), b,
                                                  b.resolve(y.params[i].type), level, budget);
                if (same <= 0) {
                    return same;
                }
            }
            [[fallthrough]];
        case BtfKind::Ptr:
        case BtfKind::Array:
            a_id = x.type;
            b_id = y.type;
            continue;
        default:
            return 0;
        }
    }
}

namespace {

/// libbpf's rule for names of types in an exact match: without flavour, and empty only matches empty.
bool type_names_match(std::string_view local, std::string_view target) {
    return target.empty() ? local.empty() : names_equal(local, target);
}

int enums_match(const BtfType& local, const BtfType& target, Budget& budget) {
    if (local.size != target.size || local.enumerators.size() > target.enumerators.size()) {
        return 0;
    }
    for (const BtfEnumerator& want : local.enumerators) {
        bool found = false;
        for (const BtfEnumerator& have : target.enumerators) {
            if (!budget.take()) {
                return -E2BIG;
            }
            if (type_names_match(want.name, have.name)) {
                found = true;
                break;
            }
        }
        if (!found) {
            return 0;
        }
    }
    return 1;
}

int composites_match(const Btf& local, const BtfType& x, const Btf& target, const BtfType& y,
                     bool behind_pointer, int level, Budget& budget) {
    if (x.members.size() > y.members.size()) {
        return 0;
    }
    for (const BtfMember& want : x.members) {
        int found = 0;
        for (size_t i = 0; i < y.members.size() && found == 0; ++i) {
            if (!budget.take()) {
                return -E2BIG;
            }
            if (type_names_match(want.name, y.members[i].name)) {
                found = types_match(local, want.type, target, y.members[i].type, behind_pointer, level - 1,
                                    budget);
            }
        }
        if (found <= 0) {
            return found;
        }
    }
    return 1;
}

/// A pointer may lead to a forward declaration where the other side has the whole type.
bool forward_matches(const BtfType& forward, const BtfType& whole) {
    return whole.kind == (forward.is_union ? BtfKind::Union : BtfKind::Struct);
}

} // namespace

int types_match(const Btf& local, uint32_t local_id, const Btf& target, uint32_t target_id,
                bool behind_pointer, int level, Budget& budget) {
    if (level <= 0) {
        return -EINVAL;
    }
    while (true) {
        if (--level < 0 || !budget.take()) {
            return -EINVAL;
        }
        const BtfType& x = local.type(local.resolve(local_id));
        const BtfType& y = target.type(target.resolve(target_id));
        if (!type_names_match(x.name, y.name)) {
            return 0;
        }
        switch (x.kind) {
        case BtfKind::Void:
            return x.kind == y.kind ? 1 : 0;
        case BtfKind::Fwd:
            if (x.kind == y.kind) {
                return x.is_union == y.is_union ? 1 : 0;
            }
            return behind_pointer && forward_matches(x, y) ? 1 : 0;
        case BtfKind::Enum:
        case BtfKind::Enum64:
            return is_enum(y.kind) ? enums_match(x, y, budget) : 0;
        case BtfKind::Struct:
        case BtfKind::Union:
            if (behind_pointer) {
                return x.kind == y.kind || (y.kind == BtfKind::Fwd && forward_matches(y, x)) ? 1 : 0;
            }
            return x.kind == y.kind ? composites_match(local, x, target, y, behind_pointer, level, budget)
                                    : 0;
        case BtfKind::Int:
            return x.kind == y.kind && x.size == y.size && x.is_signed == y.is_signed ? 1 : 0;
        case BtfKind::Array:
            if (x.kind != y.kind || x.elements != y.elements) {
                return 0;
            }
            break;
        case BtfKind::Ptr:
            if (x.kind != y.kind) {
                return 0;
            }
            behind_pointer = true;
            break;
        case BtfKind::FuncProto:
            if (x.kind != y.kind || x.params.size() != y.params.size()) {
                return 0;
            }
            for (size_t i = 0; i < x.params.size(); ++i) {
                const int same = types_match(local, x.params[i].type, target, y.params[i].type,
                                             behind_pointer, level - 1, budget);
                if (same <= 0) {
                    return same;
                }
            }
            break;
        default:
            return -ENOTSUP;
        }
        local_id = x.type;
        target_id = y.type;
    }
}

} // namespace mimicsh::core
