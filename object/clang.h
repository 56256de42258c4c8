// SPDX-License-Identifier: MIT
// bpf.compile: C source to Object through the system's clang, cached.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

struct CompileOptions {
    std::string file;          ///< path of a C file; empty: compile `source`
    std::string source;        ///< C text, when there is no file
    std::string origin;        ///< where `source` stands ("script.lua"), for messages; "string" when empty
    uint32_t first_line = 1;   ///< line of `origin` on which `source` begins
    uint32_t first_column = 1; ///< and column
    std::string name;          ///< Object::name; empty: from the file's name, or "bpf"
    std::vector<std::string> defines;      ///< "NAME" or "NAME=value"
    std::vector<std::string> include_dirs; ///< searched before the system's
    std::string cpu = "v3";                ///< clang's -mcpu
    bool cache = true;
    std::optional<std::string> cache_dir;    ///< instead of ${XDG_CACHE_HOME:-$HOME/.cache}/mimicsh/bpf
    std::string* warnings = nullptr;         ///< gets the compiler's output when it succeeds; may be null
    const std::atomic<bool>* stop = nullptr; ///< set from outside: the compiler is killed, EINTR returned
};

/// Compiles with `$MIMICSH_CLANG`, else clang-14, else clang. #include "..." is searched in the folder of
/// `file` (of `origin` for a string), then in include_dirs, then in the system's headers, <linux/...> and
/// <bpf/...> among them. A failure reads "file:line:column: message" and carries the whole compiler output in
/// Error::log; ENOENT with a hint when clang is not installed. A cached result is used when source, options,
/// compiler and the contents of every included file are the same; what a header that appears later in an
/// earlier folder would change is not seen.
[[nodiscard]] Expected<Object> compile(const CompileOptions& options);

} // namespace mimicsh
