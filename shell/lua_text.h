// SPDX-License-Identifier: MIT
// Lua as it is typed: tokens of text that may be unfinished or wrong, and their colours.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "shell/screen.h"

namespace mimicsh::shell {

struct LuaToken {
    enum class Kind : uint8_t { Name, Keyword, String, Number, Comment, Sign };
    Kind kind = Kind::Sign;
    size_t begin = 0;
    size_t end = 0;
    bool is_open = false; ///< a string or comment that does not end
};

/// All tokens, in order; blanks are left out. Any bytes are taken.
[[nodiscard]] std::vector<LuaToken> lua_tokens(std::string_view text);

/// Colours of a text. Names of globals that `is_global` does not know are Unknown, and the pair of brackets
/// at the cursor is Match.
[[nodiscard]] std::vector<Span> lua_colours(std::string_view text, size_t cursor,
                                            const std::function<bool(std::string_view)>& is_global);

/// Whether a text that grows line by line can end where it ends; lines that were looked at are not read
/// again.
class OpenText {
  public:
    /// True while brackets, blocks, or a long string or comment are open: no statement ends there.
    [[nodiscard]] bool is_open(std::string_view text);

  private:
    [[nodiscard]] static int depth_of(std::string_view word, LuaToken::Kind kind);

    std::string seen_; ///< whole lines, with no token over their end
    int depth_ = 0;    ///< of brackets and blocks at their end
};

} // namespace mimicsh::shell
