// SPDX-License-Identifier: MIT
// The prompt on a terminal.
#include "shell/prompt.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include "base/characters.h"
#include "shell/lua_text.h"

namespace mimicsh::shell {

namespace {

constexpr uint64_t kEscapeMs = 50; ///< until a lone ESC is a key
constexpr size_t kMaxInput = size_t{1} << 20;
constexpr size_t kOutputBuffer = size_t{1} << 20;
constexpr int kKept = 8 << 20; ///< bytes of freed memory that stay with the process

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return lines;
}

/// While it lives, output waits in buffers until somebody flushes them.
class HeldOutput {
  public:
    HeldOutput() {
        // The streams keep them for good.
        static std::vector<char> out(kOutputBuffer);
        static std::vector<char> error(kOutputBuffer);
        std::setvbuf(stdout, out.data(), _IOFBF, out.size());
        std::setvbuf(stderr, error.data(), _IOFBF, error.size());
    }
    ~HeldOutput() {
        std::fflush(stdout);
        std::fflush(stderr);
        std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
        std::setvbuf(stderr, nullptr, _IONBF, 0);
    }
    HeldOutput(const HeldOutput&) = delete;
    HeldOutput& operator=(const HeldOutput&) = delete;
};

} // namespace

struct Prompt::Handles {
    explicit Handles(uv_loop_t* loop)
        : input(new uv_poll_t), resize(new uv_signal_t), escape(new uv_timer_t) {
        (void)watch_input(loop, input); // a terminal can be waited for
        uv_signal_init(loop, resize);
        uv_timer_init(loop, escape);
    }
    ~Handles() {
        stop();
        lua::close_and_delete(input);
        lua::close_and_delete(resize);
        lua::close_and_delete(escape);
    }
    Handles(const Handles&) = delete;
    Handles& operator=(const Handles&) = delete;

    void stop() {
        uv_poll_stop(input);
        uv_signal_stop(resize);
        uv_timer_stop(escape);
    }

    uv_poll_t* input;
    uv_signal_t* resize;
    uv_timer_t* escape;
};

Prompt::Prompt(lua::Loop& loop, History history, bool has_colours)
    : loop_(loop), history_(std::move(history)), editor_(history_),
      handles_(std::make_unique<Handles>(loop.uv())), has_colours_(has_colours) {
    handles_->input->data = this;
    handles_->resize->data = this;
    handles_->escape->data = this;
    known_ = lines_of(ask("known"));
    keep_freed_memory();
}

Prompt::~Prompt() = default;

void Prompt::keep_freed_memory() {
    // Both, since glibc fits neither to the program any more once one of them is given.
    mallopt(M_MMAP_THRESHOLD, kKept);
    mallopt(M_TRIM_THRESHOLD, kKept);
}

// -- Asking Lua --

/// Calls a function of the module behind the prompt with text and cursor; its text, empty when there is none.
std::string Prompt::ask(const char* name) {
    lua_State* L = loop_.state();
    const int top = lua_gettop(L);
    std::string answer;
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.live");
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, name);
        lua_pushlstring(L, editor_.text().data(), editor_.text().size());
        lua_pushinteger(L, static_cast<lua_Integer>(editor_.cursor()));
        if (lua_pcall(L, 2, 1, 0) == 0 && lua_type(L, -1) == LUA_TSTRING) {
            size_t size = 0;
            const char* text = lua_tolstring(L, -1, &size);
            answer.assign(text, size);
        }
    }
    lua_settop(L, top);
    return answer;
}

/// Without metamethods: colours call nobody's code.
bool Prompt::is_global(std::string_view name) {
    lua_State* L = loop_.state();
    lua_pushlstring(L, name.data(), name.size());
    lua_rawget(L, LUA_GLOBALSINDEX);
    const bool is_known = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return is_known || std::ranges::find(known_, name) != known_.end();
}

/// TAB: the words that may stand here. Lua says where they begin and what they are, a word a line.
void Prompt::complete() {
    std::vector<std::string> words = lines_of(ask("complete"));
    if (words.empty()) {
        return;
    }
    const auto from = static_cast<size_t>(std::strtoul(words.front().c_str(), nullptr, 10));
    const bool has_more = words.front().ends_with('+');
    words.erase(words.begin());
    std::string common = words.empty() ? "" : words.front();
    for (const std::string& word : words) {
        const auto [mine, theirs] = std::ranges::mismatch(common, word);
        common.erase(mine, common.end());
    }
    const std::string typed = editor_.text().substr(from, editor_.cursor() - from);
    if (!has_more && (words.size() == 1 || common.size() > typed.size())) {
        editor_.replace(from, editor_.cursor(), common);
    }
    if (has_more || words.size() > 1) {
        const auto room = static_cast<size_t>(std::max(terminal_.rows() / 2, 3));
        list_ = in_columns(words, terminal_.columns(), room, has_more);
    }
}

// -- Keys --

void Prompt::suspend() {
    terminal_.finish();
    terminal_.leave();
    raise(SIGTSTP);
    terminal_.enter();
}

/// When more has come already, nobody types: a text is pasted by a terminal that does not say so. It brings
/// its blanks along, and is not compiled for each of its lines.
void Prompt::enter() {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    const bool is_pasted = keys_.has_more() || (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0);
    if ((!is_pasted || !open_text_.is_open(editor_.text())) && (*is_whole_)(editor_.text())) {
        is_over_ = true;
        outcome_ = Read::Statement;
    } else {
        editor_.break_line(!is_pasted);
    }
}

void Prompt::handle(const Key& key) {
    list_.clear();
    switch (editor_.handle(key)) {
    case Editor::Event::None:
        break;
    case Editor::Event::Enter:
        enter();
        break;
    case Editor::Event::Complete:
        complete();
        break;
    case Editor::Event::Interrupt:
        is_over_ = true;
        outcome_ = Read::Interrupted;
        break;
    case Editor::Event::End:
        is_over_ = true;
        outcome_ = Read::End;
        break;
    case Editor::Event::Suspend:
        suspend();
        break;
    case Editor::Event::Clear:
        terminal_.clear();
        break;
    }
}

void Prompt::handle_keys(bool is_over) {
    while (!is_over_) {
        const auto key = keys_.next(is_over);
        if (!key) {
            break;
        }
        handle(*key);
    }
    if (!is_over_) {
        show();
    }
    if (keys_.is_waiting() && !is_over_) {
        uv_timer_start(
            handles_->escape, [](uv_timer_t* timer) { static_cast<Prompt*>(timer->data)->handle_keys(true); },
            kEscapeMs, 0);
    }
}

void Prompt::take_input() {
    // A terminal hands out a few thousand bytes at a time: all of a paste is taken before it is shown.
    std::string input;
    char chunk[4096];
    ssize_t size = 0;
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    do {
        size = ::read(STDIN_FILENO, chunk, sizeof chunk);
        if (size > 0) {
            input.append(chunk, static_cast<size_t>(size));
        }
    } while (size > 0 && input.size() < kMaxInput && poll(&ready, 1, 0) == 1 &&
             (ready.revents & POLLIN) != 0);
    if (!input.empty()) {
        uv_timer_stop(handles_->escape);
        keys_.feed(input);
        handle_keys(false);
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
        is_over_ = true; // the terminal is gone
        outcome_ = Read::End;
    }
}

// -- Showing --

/// The text with its colours; what only helps while typing is added by `show`.
View Prompt::view(size_t cursor) {
    View view;
    view.prompt = prompt_;
    view.more_prompt =
        std::string(static_cast<size_t>(std::max(utf8::columns(prompt_) - 4, 0)), ' ') + "..> ";
    view.text = editor_.text();
    view.cursor = cursor;
    view.has_colours = has_colours_;
    const bool is_command = view.text.starts_with(':');
    if (has_colours_ && !is_command && view.text.size() <= kMaxColoured) {
        view.spans =
            lua_colours(view.text, cursor, [this](std::string_view name) { return is_global(name); });
    }
    return view;
}

void Prompt::show() {
    View now = view(editor_.cursor());
    if (editor_.is_searching()) {
        now.prompt =
            std::string(editor_.is_found() ? "(search)'" : "(no such line)'") + editor_.search_text() + "': ";
    } else if (has_colours_ && editor_.cursor() == now.text.size() && now.text.size() <= kMaxHinted) {
        now.hint = ask("hint");
    }
    now.list = list_;
    terminal_.paint(draw(now, terminal_.columns(), terminal_.rows()));
}

/// The statement as it stays on the screen.
void Prompt::show_last() {
    View last = view(std::string::npos);
    const std::string interrupted = editor_.text() + "^C";
    if (outcome_ == Read::Interrupted) {
        last.text = interrupted;
    }
    terminal_.paint(draw(last, terminal_.columns(), terminal_.rows()));
    terminal_.finish();
}

Prompt::Read Prompt::read(std::string& statement, const std::function<bool(const std::string&)>& is_whole) {
    is_whole_ = &is_whole;
    is_over_ = false;
    list_.clear();
    prompt_ = ask("prompt");
    terminal_.enter();
    uv_signal_start(
        handles_->resize,
        [](uv_signal_t* signal, int) {
            auto& self = *static_cast<Prompt*>(signal->data);
            self.terminal_.resize();
            self.show();
        },
        SIGWINCH);
    {
        const HeldOutput held;
        handle_keys(false); // what was typed ahead
        if (!is_over_) {
            uv_poll_start(handles_->input, UV_READABLE | UV_DISCONNECT,
                          [](uv_poll_t* poll, int, int) { static_cast<Prompt*>(poll->data)->take_input(); });
            const auto outcome = loop_.run([this] {
                if (Terminal::has_output() && !is_over_) {
                    terminal_.print_output();
                    show();
                }
                return is_over_;
            });
            if (outcome == lua::Loop::Outcome::Interrupted) { // by kill -INT: raw mode makes none of ^C
                outcome_ = Read::Interrupted;
            }
        }
        handles_->stop();
        show_last();
    }
    terminal_.leave();
    statement = outcome_ == Read::Statement ? editor_.accept() : editor_.take();
    return outcome_;
}

} // namespace mimicsh::shell
