// SPDX-License-Identifier: MIT
// The scheduler: tasks (coroutines) on one libuv loop. The only code that calls uv_run, and never from inside
// a task.
#pragma once

#include <uv.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bindings/lua_glue.h"
#include "kernel/netns.h"

namespace mimicsh::lua {

class Loop;

/// One coroutine under the scheduler. Its results (or its error value) stay on its own stack when it has
/// ended.
struct Task {
    enum class State : uint8_t { Ready, Running, Blocked, Done, Failed };

    lua_State* main = nullptr;
    lua_State* co = nullptr;
    int anchor = LUA_NOREF; ///< registry reference that keeps `co`
    std::string name;       ///< for reports: "main chunk", "timer.every", ...
    State state = State::Ready;
    int arguments = 0;       ///< values on co's stack for the next resume
    uint64_t wait_id = 0;    ///< grows with each block and wake, so that a late waker finds itself stale
    const char* op = "";     ///< what a blocked task waits in
    bool interrupt = false;  ///< raise "interrupted" as soon as it runs again
    bool is_watched = false; ///< somebody looks at the outcome: not reported by the loop
    std::vector<std::pair<std::weak_ptr<Task>, uint64_t>> joiners;
    std::shared_ptr<void> waits_on; ///< what the block holds (handles of the loop); let go when it ends
    std::function<void()>
        on_interrupt; ///< what the first ^C does to the block instead of raising; may be empty
    std::shared_ptr<kernel::NetNs> where; ///< network namespace that it runs in; null = the shell's own

    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task();
    [[nodiscard]] bool ended() const { return state == State::Done || state == State::Failed; }
};

template <>
inline constexpr const char* kTypeName<Task> = "task";

/// Right to wake one block of one task, once.
struct Wake {
    std::weak_ptr<Task> task;
    uint64_t wait_id = 0;
};

/// Set by ^C; long C++ work polls it. Whoever honours it says so with `consume_interrupt`.
[[nodiscard]] std::atomic<bool>& interrupt_flag();
/// Takes a pending ^C back because the operation in course has ended itself in good order.
void consume_interrupt(lua_State* L);

/// Makes an interrupt pending again that was caught where nothing can raise it through: it is raised when Lua
/// goes on.
void renew_interrupt(lua_State* L);

class Loop {
  public:
    explicit Loop(lua_State* L);
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// The loop of a state (also from a coroutine).
    [[nodiscard]] static Loop& of(lua_State* L);
    [[nodiscard]] uv_loop_t* uv() { return &uv_; }
    [[nodiscard]] lua_State* state() { return L_; }

    /// Makes a task of the function and its `arguments` on top of L's stack (popped).
    std::shared_ptr<Task> spawn(lua_State* L, int arguments, std::string name);

    /// A task that has not begun never does; it ends without results. Others go on.
    void withdraw(Task& task);

    /// First half of blocking: who will have to be woken. Raises "would block" where yielding is impossible.
    [[nodiscard]] Wake prepare_block(lua_State* L, const char* op);
    /// Second half: `return loop.block(L);` from the bound function. Its results are the values given to
    /// `wake`.
    [[nodiscard]] int block(lua_State* L);
    /// Makes a blocked task ready with the top `values` of `from` (popped in any case). False when it is
    /// stale.
    bool wake(const Wake& wake, lua_State* from, int values);

    /// Wakes with no values after that many milliseconds.
    void wake_after(Wake wake, uint64_t milliseconds);

    /// Runs tasks and events until `done` says so, or nothing can happen any more, or ^C arrives with nobody
    /// running and no block that ends itself in good order.
    enum class Outcome : uint8_t { Done, Idle, Interrupted };
    Outcome run(const std::function<bool()>& done);

    /// Makes every blocked task raise "interrupted" when it runs next.
    void interrupt_all();
    void interrupt(const std::shared_ptr<Task>& task);

    /// Called with each task that failed and that nobody watches.
    std::function<void(Task&)> on_failure;

    /// `user` is asked to let go when the lab whose host the current task is in ends; nothing outside of
    /// labs.
    void ends_with_lab(std::weak_ptr<kernel::NetNsUser> user);

    /// The current task is in that network namespace from now on, whenever it runs; null = the shell's own.
    /// Tasks that it starts begin there.
    [[nodiscard]] Status move(std::shared_ptr<kernel::NetNs> where);

    /// Tasks that are ready or blocked.
    [[nodiscard]] std::vector<std::shared_ptr<Task>> waiting() const;
    /// True when no task is ready to run.
    [[nodiscard]] bool is_quiet() const { return ready_.empty(); }
    [[nodiscard]] const std::shared_ptr<Task>& current() const { return current_; }

    /// Installs the SIGINT handler and the wake-up it uses. `second` (async-signal-safe) runs on a second ^C
    /// within two seconds, before the process leaves with 130.
    void catch_signals(void (*second)());
    /// The next ^C counts as a first one: what the last one was for is over.
    static void forget_interrupt();
    /// Calls `fn` when the loop ends, while the state is still open: for what would keep itself alive.
    void on_end(std::function<void()> fn) { endings_.push_back(std::move(fn)); }
    /// Raises "timed out" in whatever runs after that many seconds, and leaves with 142 two seconds later.
    void set_timeout(double seconds);
    [[nodiscard]] bool timed_out() const;

  private:
    /// A timer that wakes one task; the loop's until it has fired.
    struct Alarm {
        Loop* loop = nullptr;
        Wake wake;
        uv_timer_t timer{};
    };
    void resume(const std::shared_ptr<Task>& task);
    [[nodiscard]] bool end_in_good_order();
    [[nodiscard]] Status enter(const std::shared_ptr<kernel::NetNs>& where);
    void finish(const std::shared_ptr<Task>& task, bool ok);

    lua_State* L_;
    uv_loop_t uv_;
    std::vector<std::function<void()>> endings_;
    std::unique_ptr<uv_async_t> wakeup_;
    std::unordered_map<Alarm*, std::unique_ptr<Alarm>> alarms_;
    std::deque<std::shared_ptr<Task>> ready_;
    std::unordered_set<std::shared_ptr<Task>> blocked_;
    std::shared_ptr<Task> current_;
    std::shared_ptr<kernel::NetNs> home_;   ///< the shell's own namespace, once another was entered
    std::shared_ptr<kernel::NetNs> inside_; ///< the one that the thread is in; null = home
};

/// Handle of the loop that frees itself when closed; for uv_close.
template <typename Handle>
void close_and_delete(Handle* handle) {
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* h) { delete reinterpret_cast<Handle*>(h); });
}

} // namespace mimicsh::lua
