// SPDX-License-Identifier: MIT
// Statements of earlier sessions and of this one, the newest last.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mimicsh::shell {

class History {
  public:
    /// Without a path nothing is kept. The file holds one statement a line, line breaks and backslashes
    /// escaped; it is made with mode 0600, and its folder with 0700.
    explicit History(std::string path = "");

    /// Adds a statement and appends it to the file. Nothing happens for blank ones, those that begin with a
    /// blank, and the same one again. Sessions at the same time append to the same file.
    void add(const std::string& statement);

    [[nodiscard]] size_t size() const { return entries_.size(); }
    [[nodiscard]] const std::string& at(size_t index) const { return entries_[index]; }
    /// The newest entry before `index` that begins with `prefix` and is not `but`.
    [[nodiscard]] std::optional<size_t> before(size_t index, std::string_view prefix,
                                               std::string_view but) const;
    /// The oldest one behind `index`.
    [[nodiscard]] std::optional<size_t> behind(size_t index, std::string_view prefix,
                                               std::string_view but) const;
    /// The newest entry before `index` that has `text` in it.
    [[nodiscard]] std::optional<size_t> containing(size_t index, std::string_view text) const;

    /// $XDG_STATE_HOME/mimicsh/history; empty when there is no home either.
    [[nodiscard]] static std::string usual_path();

  private:
    void read();
    void append(const std::string& statement) const;
    void rewrite() const;

    std::string path_;
    std::vector<std::string> entries_;
};

} // namespace mimicsh::shell
