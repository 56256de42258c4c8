// SPDX-License-Identifier: MIT
// The kernel's BTF objects by id: those of modules are split BTF upon vmlinux.
#include "kernel/module_btf.h"

#include <array>
#include <cerrno>

extern "C" {
#include <bpf/bpf.h>
}

#include "object/kernel_btf.h"

namespace mimicsh::kernel {

namespace {

constexpr uint32_t kMaxModuleBtf = uint32_t{64} << 20;

uint64_t pointer(const void* at) {
    return reinterpret_cast<uintptr_t>(at);
}

/// BTF bytes of a module; nothing for vmlinux and for what programs brought along.
std::optional<ByteVec> module_bytes(const Fd& fd, std::string& name, uint32_t& id) {
    std::array<char, 64> text{};
    bpf_btf_info info{};
    info.name = pointer(text.data());
    info.name_len = text.size();
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0 || info.kernel_btf == 0) {
        return std::nullopt;
    }
    name.assign(text.data(), strnlen(text.data(), text.size()));
    id = info.id;
    if (name == "vmlinux" || info.btf_size > kMaxModuleBtf) {
        return std::nullopt;
    }
    ByteVec bytes(info.btf_size);
    info = {};
    info.btf = pointer(bytes.data());
    info.btf_size = static_cast<uint32_t>(bytes.size());
    size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
        return std::nullopt;
    }
    return bytes;
}

} // namespace

Expected<std::optional<ModuleSymbol>> find_in_modules(const std::string& name, BtfKind kind) {
    const std::string wanted = name + std::string(1, '\0');
    uint32_t id = 0;
    while (bpf_btf_get_next_id(id, &id) == 0) {
        ModuleSymbol found;
        found.btf = Fd(bpf_btf_get_fd_by_id(id));
        if (!found.btf.valid()) {
            continue; // gone meanwhile
        }
        const auto bytes = module_bytes(found.btf, found.module, found.object);
        // Reading a module's BTF takes vmlinux's along: first look whether the name is there at all.
        if (!bytes || as_text(*bytes).find(wanted) == std::string_view::npos) {
            continue;
        }
        auto base = running_kernel_btf();
        if (!base) {
            return base.error();
        }
        auto btf = Btf::parse_split(*bytes, **base, "BTF of module " + found.module);
        if (!btf) {
            return btf.error();
        }
        if (const auto type = btf->find(name, kind); type && *type >= (*base)->type_count()) {
            found.btf_id = *type;
            return std::optional(std::move(found));
        }
    }
    return std::optional<ModuleSymbol>();
}

} // namespace mimicsh::kernel
