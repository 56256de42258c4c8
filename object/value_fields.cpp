// SPDX-License-Identifier: MIT
// Finding the kernel's fields in map values.
#include "object/value_fields.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace mimicsh {

namespace {

constexpr uint32_t kMaxDepth = 8;
constexpr size_t kMaxFields = 64;

using Kind = HiddenField::Kind;

/// Structs whose contents only the kernel touches. One of the name but of another size is a program's own
/// (btf_find_struct, kernel/bpf/btf.c).
struct Opaque {
    std::string_view name;
    uint32_t size = 0;
    Kind kind = Kind::Other;
};
constexpr std::array kOpaque{
    Opaque{"bpf_spin_lock", 4, Kind::SpinLock},  Opaque{"bpf_res_spin_lock", 4, Kind::ResSpinLock},
    Opaque{"bpf_timer", 16, Kind::Timer},        Opaque{"bpf_wq", 16, Kind::Workqueue},
    Opaque{"bpf_list_head", 16, Kind::ListHead}, Opaque{"bpf_list_node", 24, Kind::ListNode},
    Opaque{"bpf_rb_root", 16, Kind::RbRoot},     Opaque{"bpf_rb_node", 32, Kind::RbNode},
    Opaque{"bpf_refcount", 4, Kind::Refcount},
};

/// What a type is as a field: nothing when the program may use it.
std::optional<HiddenField> field_of(const Btf& btf, const BtfType& type) {
    if (type.kind == BtfKind::Struct) {
        const auto opaque = std::ranges::find(kOpaque, type.name, &Opaque::name);
        return opaque != kOpaque.end() && opaque->size == type.size
                   ? std::optional(HiddenField{opaque->kind, 0, type.size})
                   : std::nullopt;
    }
    if (type.kind != BtfKind::Ptr || type.type == 0 || btf.type(type.type).kind != BtfKind::TypeTag) {
        return std::nullopt;
    }
    // A pointer to an object of the kernel.
    const std::string_view tag = btf.type(type.type).name;
    if (tag == "kptr" || tag == "percpu_kptr") {
        return HiddenField{tag == "kptr" ? Kind::Kptr : Kind::PercpuKptr, 0, 8};
    }
    return tag == "kptr_untrusted" || tag == "uptr" ? std::optional(HiddenField{Kind::Other, 0, 8})
                                                    : std::nullopt;
}

/// Looks through each type once for every depth that it is met at: nests may be wide on every level.
class Finder {
  public:
    explicit Finder(const Btf& btf) : btf_(btf) {}

    using Fields = std::vector<HiddenField>;

    /// Fields of a type by their place in it.
    const Fields& fields(uint32_t type_id, uint32_t depth) {
        const uint32_t id = btf_.resolve(type_id);
        const auto known = known_.find({id, depth});
        if (known != known_.end()) {
            return known->second;
        }
        Fields found;
        const BtfType& type = btf_.type(id);
        if (const auto field = field_of(btf_, type)) {
            found.push_back(*field);
        } else if (depth < kMaxDepth && type.kind == BtfKind::Struct) {
            for (const BtfMember& member : type.members) {
                append(fields(member.type, depth + 1), member.bit_offset / 8, found);
            }
        } else if (depth < kMaxDepth && type.kind == BtfKind::Array) {
            const Fields& element = fields(type.type, depth + 1);
            const auto step = btf_.size_of(type.type);
            for (uint32_t i = 0;
                 step && !element.empty() && i < std::min<uint32_t>(type.elements, kMaxFields); ++i) {
                append(element, i * *step, found);
            }
        }
        return known_.emplace(std::pair{id, depth}, std::move(found)).first->second;
    }

    static void append(const Fields& more, uint64_t offset, Fields& found) {
        for (HiddenField field : more) {
            if (found.size() < kMaxFields && offset + field.offset <= UINT32_MAX) {
                field.offset += static_cast<uint32_t>(offset);
                found.push_back(field);
            }
        }
    }

  private:
    const Btf& btf_;
    std::map<std::pair<uint32_t, uint32_t>, Fields> known_;
};

} // namespace

std::vector<HiddenField> hidden_fields_of(const Btf& btf, uint32_t type_id, uint32_t size) {
    Finder finder(btf);
    std::vector<HiddenField> found;
    if (const BtfType& section = btf.type(type_id); section.kind == BtfKind::Datasec) {
        for (const BtfSecVar& var : section.vars) {
            Finder::append(finder.fields(btf.type(var.var_type).type, 0), var.offset, found);
        }
    } else {
        found = finder.fields(type_id, 0);
    }
    std::ranges::stable_sort(found, {}, &HiddenField::offset);
    uint64_t end = 0; // types that were made by hand may have them over each other
    std::erase_if(found, [&](const HiddenField& field) {
        const uint64_t behind = uint64_t{field.offset} + field.size;
        const bool fits = field.offset >= end && behind <= size;
        end = fits ? behind : end;
        return !fits;
    });
    return found;
}

namespace {

/// map_check_btf (kernel/bpf/syscall.c).
bool can_have(abi::MapType type, HiddenField::Kind kind) {
    using abi::MapType;
    const bool plain = type == MapType::Hash || type == MapType::Array;
    if (kind == HiddenField::Kind::SpinLock || kind == HiddenField::Kind::ResSpinLock) {
        return plain || type == MapType::CgroupStorage || type == MapType::SkStorage ||
               type == MapType::TaskStorage || type == MapType::CgrpStorage;
    }
    return plain || type == MapType::LruHash;
}

} // namespace

std::vector<HiddenField> hidden_fields(const Object& object, const MapDef& map) {
    if (object.btf == nullptr || map.value_btf_id == 0 || map.frozen) {
        return {};
    }
    std::vector<HiddenField> found = hidden_fields_of(*object.btf, map.value_btf_id, map.value_size);
    // With one that its type cannot have, a map is made without types.
    const bool all =
        std::ranges::all_of(found, [&](const HiddenField& field) { return can_have(map.type, field.kind); });
    return all ? found : std::vector<HiddenField>();
}

} // namespace mimicsh
