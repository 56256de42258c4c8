// SPDX-License-Identifier: MIT
// Names and texts of errno values.
#include "base/error.h"

#include <cstring>

namespace mimicsh {

std::string Error::code_name() const {
    const char* name = strerrorname_np(code);
    return name != nullptr ? name : "E" + std::to_string(code);
}

Error errno_error(int code, std::string op, const std::string& what) {
    const char* reason = strerrordesc_np(code);
    std::string text = reason != nullptr ? reason : "error " + std::to_string(code);
    if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z') {
        text[0] = static_cast<char>(text[0] - 'A' + 'a');
    }
    return Error{code, std::move(op), what.empty() ? text : what + ": " + text, {}, {}};
}

} // namespace mimicsh
