// SPDX-License-Identifier: MIT
// Errors of bpf(2) in words, and names as the kernel takes them.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace mimicsh::kernel {

/// Error from an errno of bpf(2); a lack of privilege gets the hint that says what is missing and what to do.
[[nodiscard]] Error bpf_error(int code, const std::string& op, const std::string& what);
/// The same for attaching and detaching, which CAP_NET_ADMIN is enough for.
[[nodiscard]] Error attach_error(int code, const std::string& op, const std::string& what);

/// Name cut to 15 characters with everything but letters, digits, '_' and '.' replaced (BPF_OBJ_NAME_LEN).
[[nodiscard]] std::string kernel_name(std::string_view name);

} // namespace mimicsh::kernel
