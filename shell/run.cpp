// SPDX-License-Identifier: MIT
// Runs what the command line asks for, from the first chunk to the exit code.
#include "shell/run.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

extern "C" {
#include <luajit.h>
}

#include "base/fd.h"
#include "bindings/state.h"
#include "shell/repl.h"
#include "shell/report.h"

namespace mimicsh::shell {

namespace {

using lua::Loop;
using lua::State;
using lua::Task;

bool wants_color(ColorMode mode, int fd) {
    const char* no_color = std::getenv("NO_COLOR");
    const bool refused = no_color != nullptr && *no_color != '\0';
    return mode == ColorMode::Always || (mode == ColorMode::Auto && isatty(fd) != 0 && !refused);
}

lua::Config make_config(const CommandLine& line) {
    lua::Config config;
    config.color = !line.json && wants_color(line.color, STDOUT_FILENO);
    config.json = line.json;
    config.progress = !line.quiet && isatty(STDERR_FILENO) != 0;
    config.verbose = line.verbose;
    config.seed = line.seed;
    return config;
}

/// The session of one process: a state and how its errors reach people.
class Session {
  public:
    explicit Session(const CommandLine& line)
        : line_(line), state_(make_config(line)),
          reporter_(wants_color(line.color, STDERR_FILENO), line.verbose) {
        L_ = state_.lua();
        state_.loop().on_failure = [this](Task& task) { task_failed(task); };
    }

    int run();

  private:
    void prepare();
    int run_all();
    int run_code(const std::string& code);
    int run_script();
    int run_chunk(int arguments, const std::string& name);
    int wait_for(const std::shared_ptr<Task>& main);
    int unwind();
    void task_failed(Task& task);
    int finish(int code);
    bool push_test_function(const char* function);
    bool has_failed_case();
    void run_asked_prompt();
    void run_rc_file();
    static int open_repl(lua_State* L);
    void push_arguments();

    const CommandLine& line_;
    State state_;
    Reporter reporter_;
    lua_State* L_ = nullptr;
    bool task_failed_ = false;
    bool interrupted_ = false;
    int asked_ = LUA_NOREF; ///< environment of the prompt that a task waits for
    lua::Wake asking_;
};

void Session::task_failed(Task& task) {
    if (lua::is_interrupt(task.co, -1)) {
        interrupted_ = true;
        return;
    }
    task_failed_ = true;
    reporter_.print(task.co, task.name, false);
}

/// Sets `arg` as the lua command does: arg[0] the script, arg[1...] its arguments.
void Session::push_arguments() {
    lua_createtable(L_, static_cast<int>(line_.arguments.size()), 1);
    lua::push_string(L_, line_.script.empty() ? "mimicsh" : line_.script);
    lua_rawseti(L_, -2, 0);
    for (size_t i = 0; i < line_.arguments.size(); i++) {
        lua::push_string(L_, line_.arguments[i]);
        lua_rawseti(L_, -2, static_cast<int>(i + 1));
    }
    lua_setglobal(L_, "arg");
}

void Session::prepare() {
    push_arguments();
    lua_getfield(L_, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L_, -1, "mimicsh.core");
    lua_pushlightuserdata(L_, this);
    lua_pushcclosure(L_, &open_repl, 1);
    lua_setfield(L_, -2, "open_repl");
    lua_pop(L_, 2);
    if (!line_.jit) {
        luaJIT_setmode(L_, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    }
    lua_getglobal(L_, "math");
    lua_getfield(L_, -1, "randomseed");
    lua_pushnumber(L_, static_cast<double>(line_.seed));
    lua_call(L_, 1, 0);
    lua_pop(L_, 1);
    state_.loop().catch_signals(nullptr);
    if (line_.timeout) {
        state_.loop().set_timeout(*line_.timeout);
    }
}

/// Lets the interrupted tasks unwind (their pcalls and cleanups run), then gives the exit code.
int Session::unwind() {
    Loop& loop = state_.loop();
    loop.interrupt_all();
    (void)loop.run([&loop] { return loop.is_quiet(); });
    std::fflush(stdout);
    std::fprintf(stderr, "mimicsh: %s\n", loop.timed_out() ? "timed out" : "interrupted");
    return loop.timed_out() ? kExitTimedOut : kExitInterrupted;
}

/// Pushes `function` of the module test and answers true, when it was used.
bool Session::push_test_function(const char* function) {
    lua_getglobal(L_, "package");
    lua_getfield(L_, -1, "loaded");
    lua_getfield(L_, -1, "test");
    if (lua_istable(L_, -1)) {
        lua_getfield(L_, -1, function);
        lua_replace(L_, -4);
        lua_pop(L_, 2);
        return true;
    }
    lua_pop(L_, 3);
    return false;
}

bool Session::has_failed_case() {
    if (!push_test_function("has_failed")) {
        return false;
    }
    const bool failed = lua_pcall(L_, 0, 1, 0) == 0 && lua_toboolean(L_, -1) != 0;
    lua_pop(L_, 1);
    return failed;
}

/// Runs the loop until the program is over: the main chunk failed, or has ended after a failed case, or
/// nothing is left to wait for.
int Session::wait_for(const std::shared_ptr<Task>& main) {
    main->is_watched = true;
    const auto is_over = [&] {
        return main->state == Task::State::Failed || interrupted_ || (main->ended() && has_failed_case());
    };
    auto outcome = Loop::Outcome::Done;
    do {
        run_asked_prompt();
        outcome = state_.loop().run([&] { return is_over() || asked_ != LUA_NOREF; });
    } while (asked_ != LUA_NOREF && !is_over() && outcome == Loop::Outcome::Done);
    if (outcome == Loop::Outcome::Interrupted || interrupted_) {
        return unwind();
    }
    if (main->state == Task::State::Failed) {
        if (lua::is_interrupt(main->co, -1)) {
            return unwind();
        }
        reporter_.print(main->co, "", false);
        return kExitError;
    }
    if (!main->ended()) {
        std::fflush(stdout);
        std::fprintf(stderr, "mimicsh: %s waits in %s, and nothing is left that could wake it\n",
                     main->name.c_str(), main->op);
        return kExitError;
    }
    return kExitOk;
}

/// A task waits in repl().
void Session::run_asked_prompt() {
    if (asked_ != LUA_NOREF) {
        const int environment = std::exchange(asked_, LUA_NOREF);
        (void)Repl(state_, reporter_, true, environment).run();
        luaL_unref(L_, LUA_REGISTRYINDEX, environment);
        if (state_.loop().timed_out()) {
            interrupted_ = true;
            return;
        }
        state_.loop().wake(asking_, L_, 0);
    }
}

/// open_repl(environment): blocks until the prompt is left.
int Session::open_repl(lua_State* L) {
    auto& self = *static_cast<Session*>(lua_touserdata(L, lua_upvalueindex(1)));
    lua_pushvalue(L, 1);
    self.asked_ = luaL_ref(L, LUA_REGISTRYINDEX);
    self.asking_ = self.state_.loop().prepare_block(L, "repl");
    return self.state_.loop().block(L);
}

/// The user's own file, before the prompt.
void Session::run_rc_file() {
    const char* config = std::getenv("XDG_CONFIG_HOME");
    const char* home = std::getenv("HOME");
    const std::string folder = config != nullptr && config[0] == '/' ? config
                               : home != nullptr                     ? std::string(home) + "/.config"
                                                                     : "";
    const std::string path = folder + "/mimicsh/init.lua";
    if (line_.quiet || folder.empty() || access(path.c_str(), F_OK) != 0) {
        return;
    }
    if (luaL_loadfilex(L_, path.c_str(), "t") != 0) {
        reporter_.print(L_, "", false);
        return;
    }
    (void)run_chunk(0, "init.lua");
}

int Session::run_chunk(int arguments, const std::string& name) {
    return wait_for(state_.loop().spawn(L_, arguments, name));
}

int Session::run_code(const std::string& code) {
    reporter_.add_source("-e", code);
    keep_source(L_, code);
    if (!load_statement(L_, code, "=-e")) {
        reporter_.print(L_, "", false);
        return kExitError;
    }
    luaJIT_setmode(L_, -1, LUAJIT_MODE_ALLFUNC | LUAJIT_MODE_OFF);
    push_printing_call(L_, false);
    return run_chunk(0, "-e");
}

int Session::run_script() {
    const bool is_stdin = line_.script == "-";
    const auto bytes = read_file(line_.script, "run script", size_t{64} << 20);
    if (!bytes) {
        std::fprintf(stderr, "mimicsh: %s\n", bytes.error().message().c_str());
        return kExitError;
    }
    std::string_view text = as_text(*bytes);
    if (text.starts_with("#")) {
        const size_t end = text.find('\n');
        text.remove_prefix(end == std::string_view::npos ? text.size()
                                                         : end); // the line break stays: line numbers
    }
    if (is_stdin) {
        reporter_.add_source("stdin", std::string(text));
        keep_source(L_, text);
    }
    // Text only: bytecode can do anything to the process, and no script of ours is compiled.
    if (luaL_loadbufferx(L_, text.data(), text.size(), is_stdin ? "=stdin" : ("@" + line_.script).c_str(),
                         "t") != 0) {
        reporter_.print(L_, "", false);
        return kExitError;
    }
    luaL_checkstack(L_, static_cast<int>(line_.arguments.size()) + 8, "too many arguments");
    for (const auto& argument : line_.arguments) {
        lua::push_string(L_, argument);
    }
    return run_chunk(static_cast<int>(line_.arguments.size()), "main chunk");
}

int Session::run_all() {
    for (const auto& module : line_.modules) {
        const std::string code = "local name = ...; _G[name:match('[^.]+$')] = require(name)";
        if (luaL_loadbuffer(L_, code.data(), code.size(), "=[mimicsh -l]") != 0) {
            return kExitError;
        }
        lua::push_string(L_, module);
        if (const int failed = run_chunk(1, "-l " + module); failed != 0) {
            return failed;
        }
    }
    for (const auto& code : line_.code) {
        open_globals(L_);
        if (const int failed = run_code(code); failed != 0) {
            return failed;
        }
    }
    int code = line_.script.empty() ? kExitOk : run_script();
    if (line_.interactive || (line_.script.empty() && line_.code.empty())) {
        open_globals(L_);
        run_rc_file();
        code = Repl(state_, reporter_, line_.quiet).run();
        if (state_.loop().timed_out()) {
            return unwind();
        }
    }
    return code;
}

/// The test module's summary and exit code, when it was used.
int Session::finish(int code) {
    if (code == kExitOk && task_failed_) {
        code = kExitError;
    }
    lua_settop(L_, 0);
    if (push_test_function("finish") && lua_pcall(L_, 0, 1, 0) == 0 && lua_isnumber(L_, -1) &&
        code == kExitOk) {
        code = static_cast<int>(lua_tointeger(L_, -1));
    }
    if (std::fflush(stdout) != 0 && code == kExitOk) {
        std::fprintf(stderr, "mimicsh: write to standard output: %s\n", std::strerror(errno));
        code = kExitError;
    }
    return code;
}

int Session::run() {
    prepare();
    return finish(run_all());
}

} // namespace

int run(const CommandLine& line) {
    try {
        Session session(line);
        return session.run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "mimicsh: %s\n", e.what());
        return kExitError;
    }
}

} // namespace mimicsh::shell
