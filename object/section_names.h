// SPDX-License-Identifier: MIT
// The names of sections that say a program's type.
#pragma once

#include <string_view>
#include <vector>

namespace mimicsh {

/// All names that `spec_of_section` knows, without targets behind a '/'.
[[nodiscard]] std::vector<std::string_view> section_names();

} // namespace mimicsh
