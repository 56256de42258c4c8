// SPDX-License-Identifier: MIT
// prog_array (kernel/bpf/arraymap.c): targets of tail calls; only the host writes it.
#include <cerrno>

#include "vm/maps/prog_array.h"
#include "vm/prog_types.h"
#include "vm/program.h"

namespace mimicsh::vm {

Status ProgArray::put_program(uint32_t index, Program& program) {
    if (index >= programs_.size()) {
        return error(E2BIG, "put program",
                     "index " + std::to_string(index) + " of " + std::to_string(info_.max_entries));
    }
    if (const std::string why = owner.claim(program.linked()); !why.empty()) {
        return error(EINVAL, "put program", program.name() + ": " + why);
    }
    if (const std::string why = prog_type_reason(program.type()); !why.empty()) {
        return error(ENOTSUP, "put program", program.name() + ": " + why);
    }
    programs_[index] = &program;
    return {};
}

Status ProgArray::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, host_value_size(info_), true); !ok) {
        return ok;
    }
    const auto index = load<uint32_t>(key.data());
    if (index >= programs_.size()) {
        return error(E2BIG, "delete",
                     "index " + std::to_string(index) + " of " + std::to_string(info_.max_entries));
    }
    if (programs_[index] == nullptr) {
        return error(ENOENT, "delete", "slot " + std::to_string(index) + " is empty");
    }
    programs_[index] = nullptr;
    return {};
}

Status ProgArray::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
        return ok;
    }
    const Program* found = program(load<uint32_t>(key.data()));
    if (found == nullptr) {
        return error(ENOENT, "look up", "no such key");
    }
    store(value.data(), static_cast<const LoadedProgram*>(found)->id());
    return {};
}

Expected<bool> ProgArray::next_key(ByteView key, ByteSpan next) {
    return next_index(key, next);
}

Expected<std::unique_ptr<VmMap>> create_prog_array(const MapInfo& info) {
    return std::unique_ptr<VmMap>(std::make_unique<ProgArray>(info));
}

} // namespace mimicsh::vm
