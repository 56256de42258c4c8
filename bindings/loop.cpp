// SPDX-License-Identifier: MIT
// The scheduler: tasks (coroutines) on one libuv loop. The only code that calls uv_run, and never from inside
// a task.
#include "bindings/loop.h"

#include <csignal>
#include <ctime>
#include <sys/time.h>
#include <unistd.h>

namespace mimicsh::lua {

namespace {

constexpr const char* kLoopKey = "mimicsh.loop";

// What a blocking call yields: the scheduler and the coroutine functions of the prelude know it by its
// address.
const char kBlockTag = 0;

// Signal handlers can only reach globals; there is one loop with signals in a process.
std::atomic<bool> g_interrupt{false};
std::atomic<bool> g_timeout{false};
uv_async_t* volatile g_wakeup = nullptr;
lua_State* volatile g_state = nullptr;
void (*volatile g_second)() = nullptr;
volatile time_t g_last = 0;

/// Only a task is there to be interrupted: outside of one nothing would catch the error, so the flag stays
/// for the loop.
void raise_interrupted(lua_State* L, lua_Debug*) {
    lua_sethook(L, nullptr, 0, 0);
    if (Loop::of(L).current() == nullptr) {
        return;
    }
    g_interrupt = false;
    push_error(L, Error{EINTR, "", g_timeout ? "timed out" : "interrupted", "", ""});
    lua_error(L);
}

void arm(lua_State* L) {
    lua_sethook(L, &raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/// lua_sethook and uv_async_send are async-signal-safe by their documentation.
void on_signal(int signal) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (signal == SIGALRM) {
        if (g_timeout) {
            _exit(128 + SIGALRM);
        }
        g_timeout = true;
        const itimerval again{{0, 0}, {2, 0}};
        setitimer(ITIMER_REAL, &again, nullptr);
    } else {
        if (g_last != 0 && now.tv_sec - g_last < 2) {
            if (g_second != nullptr) {
                g_second();
            }
            _exit(128 + SIGINT);
        }
        g_last = now.tv_sec;
    }
    g_interrupt = true;
    if (g_state != nullptr) {
        arm(g_state);
    }
    if (g_wakeup != nullptr) {
        uv_async_send(g_wakeup);
    }
}

void install(int signal) {
    struct sigaction action {};
    action.sa_handler = &on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
}

} // namespace

std::atomic<bool>& interrupt_flag() {
    return g_interrupt;
}

void consume_interrupt(lua_State* L) {
    g_interrupt = false;
    lua_sethook(L, nullptr, 0, 0);
}

void renew_interrupt(lua_State* L) {
    g_interrupt = true;
    arm(L);
}

Task::~Task() {
    if (main != nullptr) {
        luaL_unref(main, LUA_REGISTRYINDEX, anchor);
    }
}

Loop::Loop(lua_State* L) : L_(L) {
    uv_loop_init(&uv_);
    lua_pushlightuserdata(L, this);
    lua_setfield(L, LUA_REGISTRYINDEX, kLoopKey);
    lua_pushlightuserdata(L, const_cast<char*>(&kBlockTag));
    lua_setfield(L, LUA_REGISTRYINDEX, "mimicsh.block");
}

Loop::~Loop() {
    g_state = nullptr;
    g_wakeup = nullptr;
    if (wakeup_ != nullptr) {
        uv_close(reinterpret_cast<uv_handle_t*>(wakeup_.get()), nullptr);
    }
    ready_.clear();
    for (const auto& task : blocked_) {
        task->waits_on.reset(); // Lua may hold the task itself for longer; workers stop with this
    }
    blocked_.clear();
    current_.reset();
    for (const auto& end : endings_) {
        end();
    }
    // Handles whose owners are gone close themselves; what is still open was left by a program that ended
    // early.
    uv_walk(
        &uv_,
        [](uv_handle_t* handle, void*) {
            if (uv_is_closing(handle) == 0) {
                uv_close(handle, nullptr);
            }
        },
        nullptr);
    uv_run(&uv_, UV_RUN_DEFAULT); // until handles are closed and workers done
    uv_loop_close(&uv_);
}

Loop& Loop::of(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, kLoopKey);
    auto* loop = static_cast<Loop*>(lua_touserdata(L, -1));
    lua_pop(L, 1);
    return *loop;
}

// -- Tasks --

std::shared_ptr<Task> Loop::spawn(lua_State* L, int arguments, std::string name) {
    auto task = std::make_shared<Task>();
    task->main = L_;
    task->co = lua_newthread(L);
    task->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    task->name = std::move(name);
    task->arguments = arguments;
    task->where = current_ != nullptr ? current_->where : nullptr;
    if (lua_checkstack(task->co, arguments + 8) == 0) {
        fail(L, "too many arguments for a task");
    }
    lua_xmove(L, task->co, arguments + 1);
    ready_.push_back(task);
    return task;
}

void Loop::withdraw(Task& task) {
    if (task.state == Task::State::Ready && lua_status(task.co) != LUA_YIELD) {
        lua_settop(task.co, 0);
        task.arguments = 0;
        task.state = Task::State::Done; // which resume() leaves alone
    }
}

Wake Loop::prepare_block(lua_State* L, const char* op) {
    if (current_ == nullptr || lua_isyieldable(L) == 0) {
        fail(L, std::string(op) + ": would block: call it from a task");
    }
    current_->op = op;
    return {current_, ++current_->wait_id};
}

int Loop::block(lua_State* L) {
    current_->state = Task::State::Blocked;
    lua_pushlightuserdata(L, const_cast<char*>(&kBlockTag));
    return lua_yield(L, 1);
}

bool Loop::wake(const Wake& wake, lua_State* from, int values) {
    const auto task = wake.task.lock();
    if (task == nullptr || task->wait_id != wake.wait_id || task->state != Task::State::Blocked ||
        lua_checkstack(task->co, values + 8) == 0) {
        lua_pop(from, values);
        return false;
    }
    task->wait_id++;
    if (task == current_) { // not suspended yet: it wakes itself before its block() has returned
        lua_pop(from, values);
        return false;
    }
    task->waits_on.reset();
    task->on_interrupt = nullptr;
    lua_xmove(from, task->co, values);
    task->arguments = values;
    task->state = Task::State::Ready;
    blocked_.erase(task);
    ready_.push_back(task);
    return true;
}

void Loop::wake_after(Wake wake, uint64_t milliseconds) {
    auto owned = std::make_unique<Alarm>();
    Alarm* alarm = owned.get();
    alarm->loop = this;
    alarm->wake = std::move(wake);
    uv_timer_init(&uv_, &alarm->timer);
    alarm->timer.data = alarm;
    alarms_.emplace(alarm, std::move(owned));
    uv_update_time(&uv_);
    uv_timer_start(
        &alarm->timer,
        [](uv_timer_t* timer) {
            auto* fired = static_cast<Alarm*>(timer->data);
            fired->loop->wake(fired->wake, fired->loop->L_, 0);
            uv_close(reinterpret_cast<uv_handle_t*>(timer), [](uv_handle_t* closed) {
                auto* ended = static_cast<Alarm*>(closed->data);
                ended->loop->alarms_.erase(ended);
            });
        },
        milliseconds, 0);
}

void Loop::resume(const std::shared_ptr<Task>& task) {
    if (task->state != Task::State::Ready) {
        return;
    }
    current_ = task;
    task->state = Task::State::Running;
    if (task->interrupt || g_interrupt) {
        task->interrupt = false;
        arm(L_);
    }
    if (auto ok = enter(task->where); !ok) {
        push_error(task->co, ok.error());
        current_.reset();
        return finish(task, false);
    }
    const int status = lua_resume(task->co, task->arguments);
    task->arguments = 0;
    (void)enter(nullptr);
    current_.reset();
    if (status == LUA_YIELD) {
        // A plain coroutine.yield at the top of a task lets the others run.
        lua_settop(task->co, 0);
        if (task->state == Task::State::Blocked) {
            blocked_.insert(task);
        } else {
            task->state = Task::State::Ready;
            ready_.push_back(task);
        }
        return;
    }
    finish(task, status == 0);
}

Status Loop::enter(const std::shared_ptr<kernel::NetNs>& where) {
    if (where == inside_) {
        return {};
    }
    if (home_ == nullptr) {
        auto home = kernel::NetNs::current();
        if (!home) {
            return home.error();
        }
        home_ = std::move(*home);
    }
    auto ok = (where != nullptr ? where : home_)->enter();
    inside_ = ok ? where : inside_;
    return ok;
}

Status Loop::move(std::shared_ptr<kernel::NetNs> where) {
    auto ok = enter(where);
    if (ok) {
        current_->where = std::move(where);
    }
    return ok;
}

void Loop::ends_with_lab(std::weak_ptr<kernel::NetNsUser> user) {
    if (current_ != nullptr && current_->where != nullptr) {
        current_->where->add_user(std::move(user));
    }
}

void Loop::finish(const std::shared_ptr<Task>& task, bool ok) {
    task->state = ok ? Task::State::Done : Task::State::Failed;
    const bool watched = task->is_watched || !task->joiners.empty();
    const bool is_interrupted = !ok && is_interrupt(task->co, -1);
    for (const auto& [joiner, wait_id] : task->joiners) {
        if (is_interrupted) { // who waits for it is not to take that for an outcome
            if (const auto waiting = joiner.lock(); waiting != nullptr && waiting->wait_id == wait_id) {
                interrupt(waiting);
            }
            continue;
        }
        const int values = ok ? lua_gettop(task->co) : 2;
        if (lua_checkstack(L_, values + 8) == 0) {
            continue;
        }
        if (ok) {
            for (int i = 1; i <= values; i++) {
                lua_pushvalue(task->co, i);
            }
            lua_xmove(task->co, L_, values);
        } else {
            lua_pushnil(L_);
            lua_pushvalue(task->co, -1);
            lua_xmove(task->co, L_, 1);
        }
        wake({joiner, wait_id}, L_, values);
    }
    task->joiners.clear();
    if (!ok && !watched && on_failure) {
        on_failure(*task);
    }
}

// -- Running --

Loop::Outcome Loop::run(const std::function<bool()>& done) {
    while (true) {
        for (size_t batch = ready_.size(); batch > 0 && !done(); batch--) {
            const auto task = std::move(ready_.front());
            ready_.pop_front();
            // A task that was woken in the meantime is not the one that ^C is for.
            if (g_interrupt && !g_timeout && end_in_good_order()) {
                consume_interrupt(L_);
            }
            resume(task);
        }
        if (g_interrupt) { // before done(): what follows must not find it pending
            consume_interrupt(L_);
            if (g_timeout || !end_in_good_order()) {
                return Outcome::Interrupted;
            }
        }
        if (done()) {
            return Outcome::Done;
        }
        const bool is_alive = uv_run(&uv_, ready_.empty() ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
        if (!is_alive && ready_.empty() && !g_interrupt) {
            return done() ? Outcome::Done : Outcome::Idle;
        }
    }
}

/// Whether some block was told to end itself; the next ^C raises.
bool Loop::end_in_good_order() {
    bool is_any = false;
    for (const auto& task : blocked_) {
        if (const auto end = std::exchange(task->on_interrupt, nullptr)) {
            end();
            is_any = true;
        }
    }
    return is_any;
}

void Loop::interrupt(const std::shared_ptr<Task>& task) {
    task->interrupt = true;
    if (task->state == Task::State::Blocked) {
        wake({task, task->wait_id}, L_, 0);
    }
}

std::vector<std::shared_ptr<Task>> Loop::waiting() const {
    std::vector<std::shared_ptr<Task>> all(ready_.begin(), ready_.end());
    all.insert(all.end(), blocked_.begin(), blocked_.end());
    return all;
}

void Loop::interrupt_all() {
    const auto blocked = blocked_;
    for (const auto& task : blocked) {
        interrupt(task);
    }
}

void Loop::catch_signals(void (*second)()) {
    wakeup_ = std::make_unique<uv_async_t>();
    uv_async_init(&uv_, wakeup_.get(), [](uv_async_t*) {});
    uv_unref(reinterpret_cast<uv_handle_t*>(wakeup_.get()));
    g_wakeup = wakeup_.get();
    g_state = L_;
    g_second = second;
    install(SIGINT);
}

void Loop::forget_interrupt() {
    g_last = 0;
}

void Loop::set_timeout(double seconds) {
    install(SIGALRM);
    const auto whole = static_cast<time_t>(seconds);
    const itimerval timer{
        {0, 0}, {whole, static_cast<suseconds_t>((seconds - static_cast<double>(whole)) * 1e6) + 1}};
    setitimer(ITIMER_REAL, &timer, nullptr);
}

bool Loop::timed_out() const {
    return g_timeout;
}

} // namespace mimicsh::lua
