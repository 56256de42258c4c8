// SPDX-License-Identifier: MIT
// Reading /sys/kernel/btf/vmlinux once.
#include "object/kernel_btf.h"

#include <mutex>

#include "base/fd.h"

namespace mimicsh {

Expected<std::shared_ptr<const Btf>> running_kernel_btf() {
    static std::mutex guard;
    static std::shared_ptr<const Btf> shared;
    const std::lock_guard lock(guard);
    if (shared) {
        return shared;
    }
    constexpr const char* kPath = "/sys/kernel/btf/vmlinux";
    auto bytes = read_file(kPath, "read kernel types");
    if (!bytes) {
        bytes.error().hint = "CO-RE needs the types of a kernel: give btf= at load, or use a kernel with BTF";
        return bytes.error();
    }
    auto btf = Btf::parse(*bytes, kPath);
    if (!btf) {
        return btf.error();
    }
    shared = std::make_shared<const Btf>(std::move(*btf));
    return shared;
}

} // namespace mimicsh
