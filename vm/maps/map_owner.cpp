// SPDX-License-Identifier: MIT
// bpf_prog_map_compatible, with words.
#include "vm/maps/map_owner.h"

namespace mimicsh::vm {

MapOwner::Kind MapOwner::kind_of(const LinkedProgram& program) {
    constexpr uint32_t kInetSockCreate = 2; // what the kernel takes for a cgroup_sock program that says none
    const ProgramSpec& spec = program.spec;
    Kind kind{program.name,
              spec.type,
              static_cast<uint32_t>(spec.attach_type),
              (spec.flags & abi::kProgXdpHasFrags) != 0,
              {}};
    if (spec.attach_type == abi::AttachType::None) {
        kind.attach_type = spec.type == abi::ProgType::CgroupSock ? kInetSockCreate : 0;
    }
    for (const LinkedRef& ref : program.refs) {
        if (ref.kind == RelocKind::Map) {
            const abi::MapType type = program.object->maps[ref.target].type;
            if (type == abi::MapType::CgroupStorage || type == abi::MapType::PercpuCgroupStorage) {
                kind.storages[type == abi::MapType::CgroupStorage ? 0 : 1] = ref.target;
            }
        }
    }
    return kind;
}

std::string MapOwner::claim(const LinkedProgram& program) {
    Kind kind = kind_of(program);
    if (!owner_) {
        owner_ = std::move(kind);
        return {};
    }
    const std::string first = "program " + owner_->program + ", which came first";
    if (kind.type != owner_->type) {
        return "it is for the type of " + first + ": " + std::string(abi::name(owner_->type)) + ", not " +
               std::string(abi::name(kind.type));
    }
    if (kind.takes_fragments != owner_->takes_fragments) {
        return first + ", takes " + (owner_->takes_fragments ? "fragments" : "no fragments") +
               " (SEC(\"xdp.frags\"))";
    }
    if (map_ == abi::MapType::ProgArray && kind.attach_type != owner_->attach_type) {
        return "it is for the expected attach type of " + first + ": " + std::to_string(owner_->attach_type) +
               ", not " + std::to_string(kind.attach_type);
    }
    for (size_t i = 0; i < kind.storages.size(); ++i) {
        if (kind.storages[i] && kind.storages[i] != owner_->storages[i]) {
            return "it is for the cgroup storage of " + first;
        }
    }
    return {};
}

} // namespace mimicsh::vm
