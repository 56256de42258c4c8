// SPDX-License-Identifier: MIT
// Statements from a terminal, a pipe or a file, one after the other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bindings/state.h"
#include "shell/prompt.h"
#include "shell/report.h"

namespace mimicsh::shell {

/// Keeps what runs next, for messages about literals in it.
void keep_source(lua_State* L, std::string_view text);
/// Compiles a statement or expression (`=expr` too) and leaves the function on the stack; else the message,
/// and false. The function takes a collector: it gives the values of an expression to it, and returns those
/// of a statement.
[[nodiscard]] bool load_statement(lua_State* L, const std::string& text, const std::string& chunk);
/// The command that a text is, without its colon: ":save x", and "help", "help map", "quit", "exit" where no
/// global has the name.
[[nodiscard]] std::optional<std::string> command_of(lua_State* L, std::string_view text);
/// True when the compiler's message says that the statement only needs more lines.
[[nodiscard]] bool is_incomplete(std::string_view message);
/// Replaces the function on top of the stack by one that also prints its values, nil too with `print_nil`.
void push_printing_call(lua_State* L, bool print_nil);
/// Makes the built-in modules visible as globals.
void open_globals(lua_State* L);

class Repl {
  public:
    /// With `environment`, a table in the registry, statements see its names before the globals.
    Repl(lua::State& state, Reporter& reporter, bool quiet, int environment = LUA_NOREF);
    ~Repl();
    Repl(const Repl&) = delete;
    Repl& operator=(const Repl&) = delete;

    /// Reads and runs statements until the input ends; returns the exit code.
    [[nodiscard]] int run();

  private:
    struct Input;
    enum class Read : uint8_t { Line, End, Interrupted, TooLong };
    Read read_line(std::string& line);
    [[nodiscard]] bool is_line_over() const;
    [[nodiscard]] bool is_whole(const std::string& text);
    int run_prompt();
    /// The exit code after ^C, or after --timeout.
    [[nodiscard]] int interrupted() const;
    int run_lines();
    bool evaluate(const std::string& text, int first_line);
    void note(const std::string& text);
    [[nodiscard]] bool is_quitting();
    int drain();

    lua::State& state_;
    lua_State* L_;
    Reporter& reporter_;
    std::unique_ptr<Input> input_;
    std::unique_ptr<Prompt> prompt_; ///< null where whole lines are read
    bool is_terminal_;
    int environment_;
    bool is_failed_ = false;
};

} // namespace mimicsh::shell
