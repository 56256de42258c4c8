// SPDX-License-Identifier: MIT
// bpf_snprintf_btf: values of the kernel's types as text (kernel/trace/bpf_trace.c).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vm/btf_show.h"
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kAllFlags = kShowCompact | kShowNoName | kShowRawPointers | kShowZero;
constexpr uint32_t kPointerSize = 16; ///< struct btf_ptr: pointer, type id, flags

/// Bytes of the value; nothing when it cannot be shown, with a fault pending.
std::optional<ByteVec> value_at(Machine& machine, const Btf& btf, uint32_t id, uint64_t addr) {
    const BtfKind kind = btf.type(btf.resolve(id)).kind;
    if (kind == BtfKind::Void || kind == BtfKind::Var || kind == BtfKind::Datasec) {
        machine.fault(FaultKind::BadCall,
                      "bpf_snprintf_btf: type " + std::to_string(id) + " of the kernel has no values");
        return std::nullopt;
    }
    const auto size = btf.size_of(id);
    if (!size) {
        return ByteVec(); // is shown as "<unsupported kind:...>"
    }
    const uint8_t* bytes = machine.span(addr, *size, Access::Read, "value");
    return bytes == nullptr ? std::nullopt : std::optional(ByteVec(bytes, bytes + *size));
}

} // namespace

uint64_t helper_snprintf_btf(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    const auto pointer_size = static_cast<uint32_t>(args[3]);
    const uint64_t flags = args[4];
    const uint8_t* pointer = machine.span(args[2], pointer_size, Access::Read, "struct btf_ptr");
    if (pointer == nullptr) {
        return 0;
    }
    if ((flags & ~kAllFlags) != 0 || pointer_size != kPointerSize) {
        return errno_result(-EINVAL);
    }
    const auto addr = mimicsh::load<uint64_t>(pointer);
    const auto id = mimicsh::load<uint32_t>(pointer + 8);
    const Btf* btf = machine.kernel_types();
    if (btf == nullptr) {
        return machine.fault(FaultKind::MissingValue,
                             "bpf_snprintf_btf: the kernel's types are not known here");
    }
    if (id == 0) {
        return errno_result(-EINVAL);
    }
    if (id >= btf->type_count()) {
        return errno_result(-ENOENT);
    }
    if (handle_of(addr) == 0 && btf->size_of(id)) {
        return errno_result(-ERANGE); // no address of the kernel's (copy_from_kernel_nofault)
    }
    const auto value = value_at(machine, *btf, id, addr);
    uint8_t* out = value ? machine.span(args[0], size, Access::Write, "text") : nullptr;
    if (out == nullptr) {
        return 0;
    }
    const std::string text = show_value(*btf, id, *value, flags);
    if (size != 0) {
        const size_t kept = std::min<size_t>(text.size(), size - 1);
        std::memcpy(out, text.data(), kept);
        out[kept] = 0;
    }
    return text.size();
}

} // namespace mimicsh::vm
