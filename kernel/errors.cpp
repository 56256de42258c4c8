// SPDX-License-Identifier: MIT
// Wording of bpf(2) errors.
#include "kernel/errors.h"

#include <cctype>
#include <cerrno>

#include "kernel/capabilities.h"
#include "object/abi.h"

namespace mimicsh::kernel {

namespace {

Error error_of(int code, const std::string& op, const std::string& what) {
    constexpr int kKernelEnotsupp = 524; // not an errno of user space, but bpf(2) returns it
    return errno_error(code == kKernelEnotsupp ? ENOTSUP : code, op, what);
}

bool is_refused(int code) {
    return code == EPERM || code == EACCES;
}

std::string hint(const char* begin, const std::vector<Capability>& needed, const char* end) {
    const std::string middle = run_with(needed);
    return middle.empty() ? "" : begin + middle + end;
}

} // namespace

Error bpf_error(int code, const std::string& op, const std::string& what) {
    Error error = error_of(code, op, what);
    if (is_refused(code)) {
        error.hint = hint("the kernel target needs ", {Capability::Bpf, Capability::NetAdmin},
                          ", or use load(\"vm\")");
    } else if (code == ENOSYS) {
        error.hint = "this kernel has no bpf(2); load(\"vm\") needs none";
    }
    return error;
}

Error attach_error(int code, const std::string& op, const std::string& what) {
    Error error = error_of(code, op, what);
    if (is_refused(code)) {
        error.hint = hint("this needs ", {Capability::NetAdmin}, "");
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
