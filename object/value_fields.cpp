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
constexpr size_t kMaxFields = 11; // BTF_FIELDS_MAX (include/linux/bpf.h)

using Kind = HiddenField::Kind;

/// Structs whose contents only the kernel touches. One of the name but of another size is a program's own
/// (btf_find_struct, kernel/bpf/btf.c).
struct Opaque {
    std::string_view name;
    uint32_t size = 0;
    Kind kind = Kind::Refcount;
};
constexpr std::array kOpaque{
    Opaque{"bpf_spin_lock", 4, Kind::SpinLock},  Opaque{"bpf_res_spin_lock", 4, Kind::ResSpinLock},
    Opaque{"bpf_timer", 16, Kind::Timer},        Opaque{"bpf_wq", 16, Kind::Workqueue},
    Opaque{"bpf_list_head", 16, Kind::ListHead}, Opaque{"bpf_list_node", 24, Kind::ListNode},
    Opaque{"bpf_rb_root", 16, Kind::RbRoot},     Opaque{"bpf_rb_node", 32, Kind::RbNode},
    Opaque{"bpf_refcount", 4, Kind::Refcount},   Opaque{"bpf_task_work", 8, Kind::TaskWork},
};

struct PointerTag {
    std::string_view name;
    Kind kind = Kind::Kptr;
};
constexpr std::array kPointerTags{PointerTag{"kptr", Kind::Kptr}, PointerTag{"percpu_kptr", Kind::PercpuKptr},
                                  PointerTag{"kptr_untrusted", Kind::UntrustedKptr},
                                  PointerTag{"uptr", Kind::UserPtr}};

/// What a type is as a field: nothing when the program may use it, no bytes when the kernel gives up there.
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
    const auto tag = std::ranges::find(kPointerTags, btf.type(type.type).name, &PointerTag::name);
    if (tag == kPointerTags.end()) {
        return std::nullopt;
    }
    const bool points = btf.type(btf.resolve(type.type)).kind == BtfKind::Struct;
    return HiddenField{tag->kind, 0, points ? 8u : 0u};
}

/// Looks through each type once for every depth that it is met at: nests may be wide on every level.
class Finder {
  public:
    explicit Finder(const Btf& btf) : btf_(btf) {}

    using Fields = std::vector<HiddenField>;

    /// Fields of a type by their place in it. The kernel sees none behind a typedef or qualifier.
    const Fields& fields(uint32_t id, uint32_t depth) {
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
                if (member.bit_offset % 8 != 0) {
                    found.push_back({}); // the kernel gives up at such a bit field
                    break;
                }
                append(fields(member.type, depth + 1), member.bit_offset / 8, found);
            }
        } else if (depth < kMaxDepth && type.kind == BtfKind::Array) {
            const Fields& element = fields(type.type, depth + 1);
            const auto step = btf_.size_of(type.type);
            for (uint32_t i = 0;
                 step && !element.empty() && i < std::min<uint32_t>(type.elements, kMaxFields + 1); ++i) {
                append(element, i * *step, found);
            }
        }
        return known_.emplace(std::pair{id, depth}, std::move(found)).first->second;
    }

    static void append(const Fields& more, uint64_t offset, Fields& found) {
        for (HiddenField field : more) {
            if (found.size() <= kMaxFields && offset + field.offset <= UINT32_MAX) {
                field.offset += static_cast<uint32_t>(offset);
                found.push_back(field);
            }
        }
    }

  private:
    const Btf& btf_;
    std::map<std::pair<uint32_t, uint32_t>, Fields> known_;
};

bool is_lock(const HiddenField& field) {
    return field.kind == Kind::SpinLock || field.kind == Kind::ResSpinLock;
}

/// What the kernel gives up at, and takes the bytes for plain: too many fields, two of what there may be one
/// of, lists and trees without a lock.
bool can_stand_together(const std::vector<HiddenField>& fields) {
    const auto number = [&](Kind kind) { return std::ranges::count(fields, kind, &HiddenField::kind); };
    const bool once = std::ranges::all_of(std::array{Kind::Timer, Kind::Workqueue, Kind::TaskWork},
                                          [&](Kind kind) { return number(kind) <= 1; });
    const auto locks = std::ranges::count_if(fields, is_lock);
    const bool is_locked = locks == 1 || number(Kind::ListHead) + number(Kind::RbRoot) == 0;
    const bool is_whole = std::ranges::none_of(fields, [](const HiddenField& one) { return one.size == 0; });
    return fields.size() <= kMaxFields && once && locks <= 1 && is_locked && is_whole;
}

} // namespace

std::string_view name(HiddenField::Kind kind) {
    if (const auto opaque = std::ranges::find(kOpaque, kind, &Opaque::kind); opaque != kOpaque.end()) {
        return opaque->name;
    }
    return std::ranges::find(kPointerTags, kind, &PointerTag::kind)->name;
}

std::vector<HiddenField> hidden_fields_of(const Btf& btf, uint32_t type_id, uint32_t size) {
    Finder finder(btf);
    std::vector<HiddenField> found;
    if (const BtfType& section = btf.type(type_id); section.kind == BtfKind::Datasec) {
        for (const BtfSecVar& var : section.vars) {
            Finder::append(finder.fields(btf.type(var.var_type).type, 0), var.offset, found);
        }
    } else {
        found = finder.fields(btf.resolve(type_id), 0);
    }
    if (!can_stand_together(found)) {
        return {};
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

bool can_have(abi::MapType type, HiddenField::Kind kind) {
    using abi::MapType;
    const bool is_local = type == MapType::SkStorage || type == MapType::InodeStorage ||
                          type == MapType::TaskStorage || type == MapType::CgrpStorage;
    switch (kind) {
    case Kind::SpinLock:
    case Kind::ResSpinLock:
        return type == MapType::Hash || type == MapType::Array || type == MapType::CgroupStorage || is_local;
    case Kind::Kptr:
    case Kind::PercpuKptr:
    case Kind::UntrustedKptr:
    case Kind::Refcount:
        return type == MapType::Hash || type == MapType::PercpuHash || type == MapType::LruHash ||
               type == MapType::LruPercpuHash || type == MapType::Array || type == MapType::PercpuArray ||
               is_local;
    case Kind::UserPtr:
        return type == MapType::TaskStorage;
    default:
        return type == MapType::Hash || type == MapType::LruHash || type == MapType::Array;
    }
}

std::vector<HiddenField> hidden_fields(const Object& object, const MapDef& map) {
    if (object.btf == nullptr || map.value_btf_id == 0 || map.frozen) {
        return {};
    }
    constexpr uint32_t kOneWay = abi::kMapRdonlyProg | abi::kMapWronlyProg;
    if ((map.flags & kOneWay) != 0) {
        return {};
    }
    std::vector<HiddenField> found = hidden_fields_of(*object.btf, map.value_btf_id, map.value_size);
    // Nodes are fields of objects only.
    std::erase_if(found, [](const HiddenField& field) {
        return field.kind == Kind::ListNode || field.kind == Kind::RbNode;
    });
    const bool all =
        std::ranges::all_of(found, [&](const HiddenField& field) { return can_have(map.type, field.kind); });
    return all ? found : std::vector<HiddenField>();
}

} // namespace mimicsh
