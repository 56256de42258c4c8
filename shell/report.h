// SPDX-License-Identifier: MIT
// Errors as people read them: position, text, source line, hint; the traceback only when asked for.
#pragma once

#include <map>
#include <string>

#include "bindings/lua_glue.h"

namespace mimicsh::shell {

class Reporter {
  public:
    Reporter(bool color, bool verbose) : color_(color), verbose_(verbose) {}

    [[nodiscard]] bool has_colours() const { return color_; }
    /// Remembers the text of a chunk that is no file ("stdin", "-e"), for its source lines.
    void add_source(const std::string& chunk, std::string text) { sources_[chunk] = std::move(text); }

    /// Prints the error value on top of `co`'s stack (left there) to stderr. `who` names the failing task, ""
    /// = main. With `is_brief` only position and text: the prompt's form.
    void print(lua_State* co, const std::string& who, bool is_brief);

    /// The same as text, without colour and traceback; what print writes.
    [[nodiscard]] std::string text(lua_State* co, bool is_brief);

  private:
    [[nodiscard]] std::string source_line(const std::string& file, int line) const;

    bool color_;
    bool verbose_;
    std::map<std::string, std::string> sources_;
};

} // namespace mimicsh::shell
