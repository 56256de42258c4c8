// SPDX-License-Identifier: MIT
// Statements from a terminal, a pipe or a file, one after the other.
#include "shell/repl.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <unistd.h>

extern "C" {
#include <luajit.h>
}

#include "shell/run.h"

namespace mimicsh::shell {

using lua::Loop;
using lua::Task;

// -- Statements --

bool is_incomplete(std::string_view message) {
    // A quoted string ends with its line: no further line can complete it.
    return message.ends_with("near '<eof>'") &&
           message.find("unfinished string near") == std::string_view::npos;
}

void keep_source(lua_State* L, std::string_view text) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.core");
    lua::push_string(L, text);
    lua_setfield(L, -2, "source");
    lua_pop(L, 2);
}

std::optional<std::string> command_of(lua_State* L, std::string_view text) {
    constexpr std::string_view kBlanks = " \t\n";
    const size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos) {
        return std::nullopt;
    }
    text = text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
    if (text[0] == ':') { // no statement of Lua's begins like that
        return std::string(text.substr(1));
    }
    if (text == "help") {
        return "help";
    }
    if (text.starts_with("help ")) {
        const std::string_view word = text.substr(std::min(text.find_first_not_of(' ', 4), text.size()));
        const bool is_word = std::ranges::all_of(word, [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == ':';
        });
        return is_word ? std::optional(std::string(text)) : std::nullopt;
    }
    for (const std::string name : {"quit", "exit"}) {
        if (text == name || text == name + "()") {
            lua_pushlstring(L, name.data(), name.size());
            lua_rawget(L, LUA_GLOBALSINDEX);
            const bool is_free = lua_isnil(L, -1);
            lua_pop(L, 1);
            return is_free ? std::optional<std::string>("quit") : std::nullopt;
        }
    }
    return std::nullopt;
}

bool load_statement(lua_State* L, const std::string& text, const std::string& chunk) {
    const size_t first = text.find_first_not_of(" \t\n");
    if (const auto words = command_of(L, text)) {
        lua_getglobal(L, "string");
        lua_getfield(L, -1, "format");
        lua_remove(L, -2);
        lua_pushliteral(L, "require('session').command(%q)");
        lua::push_string(L, *words);
        lua_call(L, 2, 1);
        const std::string command = lua_tostring(L, -1);
        lua_pop(L, 1);
        return load_statement(L, command, chunk);
    }
    std::string expression = text;
    if (first != std::string::npos && text[first] == '=') {
        expression = text.substr(0, first) + "return " + text.substr(first + 1);
    } else {
        expression = "return " + text;
    }
    if (luaL_loadbufferx(L, expression.data(), expression.size(), chunk.c_str(), "t") == 0) {
        // "return f()" is a tail call, which forgets the position of the caller; an argument list does not.
        // The second form is for a trailing comment; what neither takes ("1;") stays as it is.
        const std::string call = expression.replace(expression.find("return "), 7, "(...)(");
        for (const char* end : {")", "\n)"}) {
            const std::string code = call + end;
            if (luaL_loadbufferx(L, code.data(), code.size(), chunk.c_str(), "t") == 0) {
                lua_remove(L, -2);
                return true;
            }
            lua_pop(L, 1);
        }
        return true;
    }
    if (first != std::string::npos && text[first] == '=') {
        return false;
    }
    if (luaL_loadbufferx(L, text.data(), text.size(), chunk.c_str(), "t") == 0) {
        return true;
    }
    // An expression that goes on in the next line is no statement at all: "{ 1," and "a +".
    lua_remove(L, is_incomplete(lua_tostring(L, -2)) ? -1 : -2);
    return false;
}

void push_printing_call(lua_State* L, bool print_nil) {
    static constexpr std::string_view kCode = R"(local run, print_nil = ...
return function()
    local function out(...)
        if print_nil and select("#", ...) > 0 then
            require("session").keep(...)
        end
        if select("#", ...) > 0 and (print_nil or select("#", ...) > 1 or (...) ~= nil) then
            require("mimicsh.printer").print_results(...)
        end
    end
    out(run(out))
end)";
    if (luaL_loadbuffer(L, kCode.data(), kCode.size(), "=[mimicsh print]") != 0) {
        lua_error(L);
    }
    lua_insert(L, -2);
    lua_pushboolean(L, print_nil);
    lua_call(L, 2, 1);
}

void open_globals(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.core");
    lua_getfield(L, -1, "open_globals");
    lua_call(L, 0, 0);
    lua_pop(L, 2);
}

// -- Input: standard input, waited for in the loop where the kernel can poll it --

struct Repl::Input {
    static constexpr size_t kMaxLine = size_t{64} << 20;

    explicit Input(uv_loop_t* loop) : poll(new uv_poll_t) {
        if (watch_input(loop, poll) != 0) { // a regular file or /dev/null
            delete poll;
            poll = nullptr;
            return;
        }
        poll->data = this;
    }
    ~Input() {
        if (poll != nullptr) {
            uv_poll_stop(poll);
            lua::close_and_delete(poll);
        }
    }

    void wait(bool on) {
        if (poll != nullptr && on) {
            uv_poll_start(poll, UV_READABLE,
                          [](uv_poll_t* handle, int, int) { static_cast<Input*>(handle->data)->fill(); });
        } else if (poll != nullptr) {
            uv_poll_stop(poll);
        }
    }

    void fill() {
        char chunk[65536];
        const ssize_t size = read(STDIN_FILENO, chunk, sizeof chunk);
        if (size > 0) {
            buffer.append(chunk, static_cast<size_t>(size));
        } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
            is_end = true;
        }
    }

    [[nodiscard]] bool has_line() {
        const size_t end = buffer.find('\n', std::max(start, scanned));
        scanned = end == std::string::npos ? buffer.size() : end;
        return end != std::string::npos;
    }

    [[nodiscard]] bool is_too_long() const { return buffer.size() - start > kMaxLine; }

    bool take(std::string& line) {
        const size_t end = has_line() ? scanned : std::string::npos;
        if (end == std::string::npos && (!is_end || start == buffer.size())) {
            return false;
        }
        line = buffer.substr(start, end == std::string::npos ? end : end - start);
        start = end == std::string::npos ? buffer.size() : end + 1;
        if (start > (size_t{1} << 16)) {
            buffer.erase(0, start);
            start = 0;
            scanned = 0;
        }
        return true;
    }

    uv_poll_t* poll;
    std::string buffer;
    size_t start = 0;
    size_t scanned = 0; ///< no line break between start and here
    bool is_end = false;
};

namespace {

/// For repl(), which opens no prompt inside another.
void set_at_prompt(lua_State* L, bool is_open) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.core");
    lua_pushboolean(L, is_open ? 1 : 0);
    lua_setfield(L, -2, "at_prompt");
    lua_pop(L, 2);
}

} // namespace

Repl::Repl(lua::State& state, Reporter& reporter, bool quiet, int environment)
    : state_(state), L_(state.lua()), reporter_(reporter), input_(std::make_unique<Input>(state.loop().uv())),
      is_terminal_(isatty(STDIN_FILENO) != 0), environment_(environment) {
    set_at_prompt(L_, true);
    if (is_terminal_ && !quiet) {
        std::puts("mimicsh " MIMICSH_VERSION "  help() lists what there is, ^D leaves");
    }
    if (Terminal::is_usable()) {
        lua_getglobal(L_, "require");
        lua_pushliteral(L_, "mimicsh.live");
        lua_call(L_, 1, 0);
        prompt_ =
            std::make_unique<Prompt>(state.loop(), History(History::usual_path()), reporter.has_colours());
    }
}

Repl::~Repl() {
    set_at_prompt(L_, false);
}

bool Repl::is_line_over() const {
    return input_->is_end || input_->has_line() || input_->is_too_long();
}

Repl::Read Repl::read_line(std::string& line) {
    if (input_->take(line)) {
        return Read::Line;
    }
    input_->wait(true);
    auto outcome = Loop::Outcome::Done;
    if (input_->poll != nullptr) {
        outcome = state_.loop().run([this] { return is_line_over(); });
    } else {
        while (!is_line_over()) {
            input_->fill();
        }
    }
    input_->wait(false);
    if (outcome == Loop::Outcome::Interrupted) {
        return Read::Interrupted;
    }
    if (input_->is_too_long() && !input_->has_line()) {
        return Read::TooLong;
    }
    return input_->take(line) ? Read::Line : Read::End;
}

// -- Running --

/// Runs one statement as the foreground task; false when it needs more lines.
bool Repl::evaluate(const std::string& text, int first_line) {
    Loop& loop = state_.loop();
    lua_settop(L_, 0);
    // Line breaks in front make the positions those of the input.
    const std::string padded = std::string(static_cast<size_t>(first_line - 1), '\n') + text;
    keep_source(L_, padded);
    if (!load_statement(L_, padded, "=stdin")) {
        if (is_incomplete(lua_tostring(L_, -1)) && !input_->is_end) {
            return false;
        }
        reporter_.print(L_, "", true);
        is_failed_ = true;
        return true;
    }
    if (environment_ != LUA_NOREF) {
        lua_rawgeti(L_, LUA_REGISTRYINDEX, environment_);
        lua_setfenv(L_, -2);
    }
    // A compiled loop would never look at the ^C hook.
    luaJIT_setmode(L_, -1, LUAJIT_MODE_ALLFUNC | LUAJIT_MODE_OFF);
    push_printing_call(L_, true);
    const auto task = loop.spawn(L_, 0, "stdin");
    task->is_watched = true;
    while (!task->ended()) {
        const auto outcome = loop.run([&task] { return task->ended(); });
        if (outcome == Loop::Outcome::Idle) {
            std::fprintf(stderr, "stdin: waits in %s, and nothing is left that could wake it\n", task->op);
            is_failed_ = true;
        }
        if (outcome != Loop::Outcome::Done) {
            loop.interrupt(task);
        }
    }
    if (task->state == Task::State::Failed &&
        !(lua::is_interrupt(task->co, -1) && is_failed_ && !is_terminal_)) {
        reporter_.print(task->co, "", true);
        is_failed_ = true;
    } else if (task->state == Task::State::Done && is_terminal_) {
        note(text);
    }
    std::fflush(stdout);
    return true;
}

/// Keeps a statement for the session's script.
void Repl::note(const std::string& text) {
    if (command_of(L_, text)) {
        return;
    }
    lua_settop(L_, 0);
    lua_getglobal(L_, "require");
    lua_pushliteral(L_, "session");
    lua_call(L_, 1, 1);
    lua_getfield(L_, -1, "note");
    lua::push_string(L_, text);
    lua_call(L_, 1, 0);
    lua_settop(L_, 0);
}

bool Repl::is_quitting() {
    lua_settop(L_, 0);
    lua_getfield(L_, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L_, -1, "session");
    if (lua_istable(L_, -1)) {
        lua_getfield(L_, -1, "is_over");
    }
    const bool is_over = lua_toboolean(L_, -1) != 0 && lua_isboolean(L_, -1) != 0;
    lua_settop(L_, 0);
    return is_over;
}

/// Input over: what is still running goes on when the input was no terminal.
int Repl::drain() {
    if (is_terminal_) {
        std::puts("");
        return kExitOk;
    }
    if (state_.loop().run([] { return false; }) == Loop::Outcome::Interrupted) {
        return interrupted();
    }
    return is_failed_ ? kExitError : kExitOk;
}

bool Repl::is_whole(const std::string& text) {
    lua_settop(L_, 0);
    const bool is_over = load_statement(L_, text, "=stdin") || !is_incomplete(lua_tostring(L_, -1));
    lua_settop(L_, 0);
    return is_over || text.find_first_not_of(" \t\n") == std::string::npos;
}

int Repl::run() {
    return prompt_ != nullptr ? run_prompt() : run_lines();
}

int Repl::interrupted() const {
    return state_.loop().timed_out() ? kExitTimedOut : kExitInterrupted;
}

int Repl::run_prompt() {
    std::string statement;
    while (!is_quitting() && !state_.loop().timed_out()) {
        Loop::forget_interrupt();
        switch (prompt_->read(statement, [this](const std::string& text) { return is_whole(text); })) {
        case Prompt::Read::End:
            return kExitOk;
        case Prompt::Read::Interrupted:
            break;
        case Prompt::Read::Statement:
            if (statement.find_first_not_of(" \t\n") != std::string::npos) {
                (void)evaluate(statement, 1);
            }
            break;
        }
    }
    return state_.loop().timed_out() ? kExitTimedOut : kExitOk;
}

int Repl::run_lines() {
    std::string statement;
    std::string line;
    int number = 0;
    int first = 1;
    while (true) {
        Loop::forget_interrupt(); // before the prompt: what is typed at the sight of it is no second ^C
        if (is_terminal_) {
            std::fputs(statement.empty() ? "mimicsh> " : "     ..> ", stdout);
            std::fflush(stdout);
        }
        const auto read = read_line(line);
        if (read == Read::Interrupted) {
            if (!is_terminal_ || state_.loop().timed_out()) {
                return interrupted();
            }
            std::puts("");
            statement.clear();
            continue;
        }
        if (read == Read::TooLong) {
            std::fflush(stdout);
            std::fprintf(stderr, "stdin:%d: line of more than %zu bytes\n", number + 1, Input::kMaxLine);
            return kExitError;
        }
        if (read == Read::End) {
            if (!statement.empty()) {
                (void)evaluate(statement, first);
            }
            return drain();
        }
        number++;
        if (statement.empty()) {
            first = is_terminal_ ? 1 : number;
            statement = line;
        } else {
            statement += "\n" + line;
        }
        if (statement.find_first_not_of(" \t\r\n") == std::string::npos || evaluate(statement, first)) {
            statement.clear();
            if (state_.loop().timed_out()) {
                return interrupted();
            }
            if (is_quitting()) {
                return drain();
            }
        }
    }
}

} // namespace mimicsh::shell
