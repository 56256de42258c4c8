// SPDX-License-Identifier: MIT
// Finding the kernel's fields in map values.
#include "object/value_fields.h"

#include <algorithm>
#include <array>

namespace mimicsh {

namespace {

constexpr uint32_t kMaxDepth = 8;
constexpr size_t kMaxFields = 64;

/// Structs whose contents only the kernel touches.
struct Opaque {
    std::string_view name;
    HiddenField::Kind kind = HiddenField::Kind::Other;
};
constexpr std::array kOpaque{
    Opaque{"bpf_spin_lock", HiddenField::Kind::SpinLock},
    Opaque{"bpf_res_spin_lock", HiddenField::Kind::ResSpinLock},
    Opaque{"bpf_timer", HiddenField::Kind::Timer},
    Opaque{"bpf_wq", HiddenField::Kind::Workqueue},
    Opaque{"bpf_list_head", HiddenField::Kind::ListHead},
    Opaque{"bpf_list_node", HiddenField::Kind::ListNode},
    Opaque{"bpf_rb_root", HiddenField::Kind::RbRoot},
    Opaque{"bpf_rb_node", HiddenField::Kind::RbNode},
    Opaque{"bpf_refcount", HiddenField::Kind::Refcount},
};

/// A pointer to an object of the kernel: tagged kptr, kptr_untrusted, percpu_kptr or uptr.
bool is_kernel_pointer(const Btf& btf, const BtfType& type) {
    if (type.kind != BtfKind::Ptr || type.type == 0) {
        return false;
    }
    const BtfType& tag = btf.type(type.type);
    return tag.kind == BtfKind::TypeTag && (tag.name == "kptr" || tag.name == "kptr_untrusted" ||
                                            tag.name == "percpu_kptr" || tag.name == "uptr");
}

HiddenField::Kind pointer_kind(std::string_view tag) {
    return tag == "kptr"          ? HiddenField::Kind::Kptr
           : tag == "percpu_kptr" ? HiddenField::Kind::PercpuKptr
                                  : HiddenField::Kind::Other;
}

void collect(const Btf& btf, uint32_t id, uint64_t offset, uint32_t depth, std::vector<HiddenField>& found) {
    const BtfType& type = btf.type(btf.resolve(id));
    if (depth > kMaxDepth || found.size() >= kMaxFields) {
        return;
    }
    const auto size = btf.size_of(id);
    const auto opaque =
        type.kind == BtfKind::Struct ? std::ranges::find(kOpaque, type.name, &Opaque::name) : kOpaque.end();
    if (size && (opaque != kOpaque.end() || is_kernel_pointer(btf, type))) {
        found.push_back({opaque != kOpaque.end() ? opaque->kind : pointer_kind(btf.type(type.type).name),
                         static_cast<uint32_t>(offset), static_cast<uint32_t>(*size)});
    } else if (type.kind == BtfKind::Struct) {
        for (const BtfMember& member : type.members) {
            collect(btf, member.type, offset + member.bit_offset / 8, depth + 1, found);
        }
    } else if (type.kind == BtfKind::Array) {
        const auto step = btf.size_of(type.type);
        for (uint32_t i = 0; step && i < std::min<uint32_t>(type.elements, kMaxFields); ++i) {
            collect(btf, type.type, offset + i * *step, depth + 1, found);
        }
    }
}

} // namespace

std::vector<HiddenField> hidden_fields_of(const Btf& btf, uint32_t type_id, uint32_t size) {
    std::vector<HiddenField> found;
    if (const BtfType& section = btf.type(type_id); section.kind == BtfKind::Datasec) {
        for (const BtfSecVar& var : section.vars) {
            collect(btf, btf.type(var.var_type).type, var.offset, 0, found);
        }
    } else {
        collect(btf, type_id, 0, 0, found);
    }
    std::ranges::sort(found, {}, &HiddenField::offset);
    std::erase_if(found,
                  [&](const HiddenField& field) { return uint64_t{field.offset} + field.size > size; });
    return found;
}

std::vector<HiddenField> hidden_fields(const Object& object, const MapDef& map) {
    using abi::MapType;
    const bool can_have =
        map.type == MapType::Hash || map.type == MapType::Array || map.type == MapType::LruHash;
    if (object.btf == nullptr || map.value_btf_id == 0 || map.frozen || !can_have) {
        return {};
    }
    return hidden_fields_of(*object.btf, map.value_btf_id, map.value_size);
}

} // namespace mimicsh
