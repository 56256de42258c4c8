// SPDX-License-Identifier: MIT
// The prompt on a terminal: reads a statement while tasks go on, with colours, hints and completion.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bindings/loop.h"
#include "shell/editor.h"
#include "shell/lua_text.h"
#include "shell/terminal.h"

namespace mimicsh::shell {

class Prompt {
  public:
    // Longer texts are shown without, so that keys do not wait.
    static constexpr size_t kMaxColoured = size_t{64} << 10;
    static constexpr size_t kMaxHinted = size_t{16} << 10;

    /// Text and colours come from the state of the loop.
    Prompt(lua::Loop& loop, History history, bool has_colours);
    ~Prompt();
    Prompt(const Prompt&) = delete;
    Prompt& operator=(const Prompt&) = delete;

    /// Has the process keep memory that was freed, up to some megabytes: what a frame needs goes back and
    /// comes again with every key otherwise, page by page. The constructor calls it.
    static void keep_freed_memory();

    enum class Read : uint8_t { Statement, Interrupted, End };
    /// Waits for a statement; ENTER ends it once it `is_whole`. The terminal is in raw mode meanwhile only.
    Read read(std::string& statement, const std::function<bool(const std::string&)>& is_whole);

  private:
    struct Handles; // of libuv
    void take_input();
    void handle(const Key& key);
    void enter();
    void handle_keys(bool is_over);
    void complete();
    void suspend();
    [[nodiscard]] View view(size_t cursor);
    void show();
    void show_last();
    [[nodiscard]] std::string ask(const char* name);
    [[nodiscard]] bool is_global(std::string_view name);

    lua::Loop& loop_;
    History history_;
    Editor editor_;
    Terminal terminal_;
    KeyReader keys_;
    OpenText open_text_;
    std::unique_ptr<Handles> handles_;
    const std::function<bool(const std::string&)>* is_whole_ = nullptr;
    std::string prompt_;
    std::string statement_;
    std::vector<std::string> list_;
    std::vector<std::string> known_; ///< names beside the globals
    bool has_colours_;
    bool is_over_ = false; ///< `outcome_` says how
    Read outcome_ = Read::End;
};

} // namespace mimicsh::shell
