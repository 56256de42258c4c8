// SPDX-License-Identifier: MIT
// Children on the loop: pipes read to their end, and whoever waits is woken.
#include "bindings/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/child.h"

namespace mimicsh::lua {

namespace {

constexpr size_t kOutputLimit = size_t{64} << 20; ///< of output and of errors; what is more is dropped

/// One of the child's streams; lives until the loop has closed it.
struct Stream {
    uv_pipe_t pipe{};
    std::string* into = nullptr;
    std::shared_ptr<Process> process; ///< keeps it while the stream is open
    std::array<char, 65536> chunk{};
};

} // namespace

struct Process {
    std::optional<kernel::Child> child;
    std::string name;
    std::shared_ptr<Process> self; ///< while the loop knows it
    std::string output;
    std::string errors;
    std::string outcome; ///< what became of the command, as its child says it
    int open = 0;        ///< streams
    std::vector<Wake> waiters;
    Loop* loop = nullptr;
    lua_State* main = nullptr;

    /// Pushes exit status (128 + signal), output and errors.
    void push_outcome(lua_State* L) const {
        std::string complaints = errors;
        int status = SIGKILL; // what is killed as a whole says nothing
        if (outcome.size() >= sizeof status) {
            status = load<int>(outcome.data() + outcome.size() - sizeof status);
        }
        if (outcome.size() > sizeof status) { // it could not be started; why stands in front
            complaints += errno_error(load<int>(outcome.data()), {}, name).text + "\n";
        }
        lua_pushinteger(L, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        push_string(L, output);
        push_string(L, complaints);
    }

    void part_ended() {
        if (--open > 0) {
            return;
        }
        if (outcome.empty()) {
            child->reap(); // killed as a whole: its descriptors close before it is gone
        }
        for (const Wake& waiter : std::exchange(waiters, {})) {
            push_outcome(main);
            loop->wake(waiter, main, 3);
        }
        self.reset();
    }
};

namespace {

void on_alloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    auto* stream = static_cast<Stream*>(handle->data);
    *buffer = uv_buf_init(stream->chunk.data(), static_cast<unsigned>(stream->chunk.size()));
}

void on_read(uv_stream_t* handle, ssize_t got, const uv_buf_t*) {
    auto* stream = static_cast<Stream*>(handle->data);
    if (got >= 0) {
        const size_t room = kOutputLimit - std::min(kOutputLimit, stream->into->size());
        stream->into->append(stream->chunk.data(), std::min(room, static_cast<size_t>(got)));
        return;
    }
    uv_close(reinterpret_cast<uv_handle_t*>(handle), [](uv_handle_t* closed) {
        const std::unique_ptr<Stream> owned(static_cast<Stream*>(closed->data));
        if (owned->process != nullptr) {
            owned->process->part_ended();
        }
    });
}

std::vector<std::string> check_arguments(lua_State* L, int index) {
    if (!lua_istable(L, index) || lua_objlen(L, index) == 0) {
        bad_argument(L, index, "args", "list of strings");
    }
    std::vector<std::string> args;
    for (size_t i = 1; i <= lua_objlen(L, index); ++i) {
        lua_rawgeti(L, index, static_cast<int>(i));
        args.emplace_back(check_string(L, lua_gettop(L), "args"));
        lua_pop(L, 1);
    }
    return args;
}

/// Input as a file that the child reads from its start.
Expected<Fd> input_file(std::string_view input) {
    Fd file(memfd_create("mimicsh-input", MFD_CLOEXEC));
    if (!file.valid() ||
        ::write(file.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()) ||
        lseek(file.get(), 0, SEEK_SET) != 0) {
        return errno_error(errno, "run", "input");
    }
    return file;
}

} // namespace

int spawn_process(lua_State* L) {
    const std::vector<std::string> args = check_arguments(L, 1);
    const auto input = input_file(opt_string(L, 2, "input").value_or(""));
    if (!input) {
        return push_failure(L, input.error());
    }
    std::array<Fd, 2> ours;
    std::array<Fd, 2> theirs;
    for (size_t i = 0; i < ours.size(); ++i) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return push_failure(L, errno_error(errno, "run", "pipe"));
        }
        ours.at(i) = Fd(ends[0]);
        theirs.at(i) = Fd(ends[1]);
    }
    auto child = kernel::Child::start(args, input->get(), theirs[0].get(), theirs[1].get());
    if (!child) {
        return push_failure(L, child.error());
    }
    Loop& loop = Loop::of(L);
    auto process = std::make_shared<Process>();
    process->name = args.front();
    process->loop = &loop;
    process->main = loop.state();
    process->self = process;
    const auto listen = [&](Fd from, std::string& into) {
        auto* stream = new Stream; // the loop's until it has closed it
        stream->into = &into;
        stream->process = process;
        uv_pipe_init(loop.uv(), &stream->pipe, 0);
        stream->pipe.data = stream;
        uv_pipe_open(&stream->pipe, from.release());
        uv_read_start(reinterpret_cast<uv_stream_t*>(&stream->pipe), &on_alloc, &on_read);
        ++process->open;
    };
    listen(std::move(ours[0]), process->output);
    listen(std::move(ours[1]), process->errors);
    listen(child->take_status(), process->outcome);
    process->child = std::move(*child);
    push_owner(L, std::move(process));
    return 1;
}

int wait_process(lua_State* L) {
    Process& process = check<Process>(L, 1, "process");
    if (process.open == 0) {
        process.push_outcome(L);
        return 3;
    }
    process.waiters.push_back(process.loop->prepare_block(L, "run"));
    return process.loop->block(L);
}

int kill_process(lua_State* L) {
    Process& process = check<Process>(L, 1, "process");
    process.child->signal(static_cast<int>(check_unsigned(L, 2, "signal", 1, 64)));
    return 0;
}

} // namespace mimicsh::lua
