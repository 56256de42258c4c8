// SPDX-License-Identifier: MIT
// What a mistyped name was most likely meant to be.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mimicsh {

/// The name that is so like a mistyped one that it was most likely meant; nothing when none is, or when
/// several are equally like it. A letter left out, added, replaced, or two swapped count one each, and a
/// third of the letters at most may differ; case, and o for 0 or l for 1, do not count.
[[nodiscard]] std::optional<std::string_view> similar(std::string_view mistyped,
                                                      const std::vector<std::string_view>& names);

/// All names within that reach, the most similar first.
[[nodiscard]] std::vector<std::string_view> similar_names(std::string_view mistyped,
                                                          const std::vector<std::string_view>& names);

/// "did you mean 'name'?" or "did you mean 'port' or 'proto'?"; `otherwise` when no name, or more than three,
/// are most similar.
[[nodiscard]] std::string did_you_mean(std::string_view mistyped, const std::vector<std::string_view>& names,
                                       std::string otherwise = {});

} // namespace mimicsh
