// SPDX-License-Identifier: MIT
// What went wrong in a C source: clang's output as one Error, and mistakes that clang lets pass. Not a public
// header.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh::compiler {

/// A source as the compiler got it.
struct Source {
    std::string origin; ///< as messages name it
    std::string text;   ///< without the #line in front
    uint32_t first_line = 1;
    std::vector<std::string> include_dirs; ///< searched by #include <>, the system's too
};

/// An error for a text with zero bytes, over which clang reads on.
[[nodiscard]] Status check_text(const Source& source);

/// The first error of clang's output: "origin:line:column: message", the whole output in Error::log; nothing
/// when the output has none.
[[nodiscard]] std::optional<Error> first_error(const Source& source, std::string output);

/// The error for a function that is called and defined nowhere, by the place of the first such warning or of
/// the call.
[[nodiscard]] Error undefined_symbol(const Source& source, const std::string& name,
                                     std::string_view warnings);

/// An error when the object has functions and none of them is a program, or nothing at all.
[[nodiscard]] Status check_programs(const Source& source, const Object& object);

} // namespace mimicsh::compiler
