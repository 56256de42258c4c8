// SPDX-License-Identifier: MIT
// Wording of bpf(2) errors.
#include "kernel/errors.h"

#include <cctype>
#include <cerrno>

#include "object/abi.h"

namespace mimicsh::kernel {

Error bpf_error(int code, const std::string& op, const std::string& what) {
    constexpr int kKernelEnotsupp = 524; // not an errno of user space, but bpf(2) returns it
    Error error = errno_error(code == kKernelEnotsupp ? ENOTSUP : code, op, what);
    if (code == EPERM || code == EACCES) {
        error.hint = "the kernel target needs CAP_BPF and CAP_NET_ADMIN: run as root, or use load(\"vm\")";
    } else if (code == ENOSYS) {
        error.hint = "this kernel has no bpf(2); load(\"vm\") needs none";
    }
    return error;
}

std::string kernel_name(std::string_view name) {
    std::string result(name.substr(0, abi::kObjNameLen - 1));
    for (char& c : result) {
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.') {
            c = '_';
        }
    }
    return result;
}

} // namespace mimicsh::kernel
