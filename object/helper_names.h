// SPDX-License-Identifier: MIT
// Names of helpers as programs write them, for suggestions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mimicsh {

/// "did you mean 'bpf_map_lookup_elem'?" for a mistyped helper or one without its bpf_; `more` are further
/// names that it could have been. Else `otherwise`.
[[nodiscard]] std::string did_you_mean_helper(std::string_view mistyped, std::vector<std::string_view> more,
                                              std::string otherwise);

} // namespace mimicsh
