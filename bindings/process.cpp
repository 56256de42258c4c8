// SPDX-License-Identifier: MIT
// Children on the loop: uv_spawn, pipes read to their end, and whoever waits is woken.
#include "bindings/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

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
    uv_process_t handle{};
    std::shared_ptr<Process> self; ///< while the loop knows it
    std::string output;
    std::string errors;
    int status = 0;
    int open = 0; ///< streams and the process itself
    std::optional<Wake> waiter;
    Loop* loop = nullptr;
    lua_State* main = nullptr;

    void push_outcome(lua_State* L) const {
        lua_pushinteger(L, status);
        push_string(L, output);
        push_string(L, errors);
    }

    void part_ended() {
        if (--open > 0) {
            return;
        }
        if (waiter) {
            push_outcome(main);
            loop->wake(*waiter, main, 3);
            waiter.reset();
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

void on_exit(uv_process_t* handle, int64_t status, int signal) {
    auto* process = static_cast<Process*>(handle->data);
    process->status = signal != 0 ? 128 + signal : static_cast<int>(status);
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* closed) { static_cast<Process*>(closed->data)->part_ended(); });
}

std::vector<std::string> check_arguments(lua_State* L, int index) {
    if (!lua_istable(L, index) || lua_objlen(L, index) == 0) {
        bad_argument(L, index, "args", "list of strings");
    }
    // Whatever becomes of this process, its children end with it.
    std::vector<std::string> args{"setpriv", "--pdeathsig", "KILL", "--"};
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
    std::vector<std::string> args = check_arguments(L, 1);
    const auto input = input_file(opt_string(L, 2, "input").value_or(""));
    if (!input) {
        return push_failure(L, input.error());
    }
    Loop& loop = Loop::of(L);
    auto process = std::make_shared<Process>();
    process->loop = &loop;
    process->main = loop.state();
    process->handle.data = process.get();
    std::vector<char*> pointers;
    for (std::string& arg : args) {
        pointers.push_back(arg.data());
    }
    pointers.push_back(nullptr);
    std::array<std::unique_ptr<Stream>, 2> streams{std::make_unique<Stream>(), std::make_unique<Stream>()};
    streams[0]->into = &process->output;
    streams[1]->into = &process->errors;
    std::array<uv_stdio_container_t, 3> stdio{};
    stdio[0].flags = UV_INHERIT_FD;
    stdio[0].data.fd = input->get();
    for (size_t i = 0; i < streams.size(); ++i) {
        uv_pipe_init(loop.uv(), &streams[i]->pipe, 0);
        streams[i]->pipe.data = streams[i].get();
        stdio[i + 1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
        stdio[i + 1].data.stream = reinterpret_cast<uv_stream_t*>(&streams[i]->pipe);
    }
    uv_process_options_t options{};
    options.exit_cb = &on_exit;
    options.file = pointers[0];
    options.args = pointers.data();
    options.stdio = stdio.data();
    options.stdio_count = static_cast<int>(stdio.size());
    const int failed = uv_spawn(loop.uv(), &process->handle, &options);
    for (auto& stream : streams) {
        auto* pipe = reinterpret_cast<uv_stream_t*>(&stream->pipe);
        if (failed == 0) {
            stream->process = process;
            uv_read_start(pipe, &on_alloc, &on_read);
        } else {
            uv_close(reinterpret_cast<uv_handle_t*>(pipe),
                     [](uv_handle_t* closed) { delete static_cast<Stream*>(closed->data); });
        }
        (void)stream.release(); // the loop's until it has closed it
    }
    process->self = process;
    process->open = failed == 0 ? 3 : 1;
    if (failed != 0) {
        uv_close(reinterpret_cast<uv_handle_t*>(&process->handle),
                 [](uv_handle_t* closed) { static_cast<Process*>(closed->data)->part_ended(); });
        return push_failure(L, errno_error(-failed, "run", args[4]));
    }
    push_owner(L, std::move(process));
    return 1;
}

int wait_process(lua_State* L) {
    Process& process = check<Process>(L, 1, "process");
    if (process.open == 0) {
        process.push_outcome(L);
        return 3;
    }
    if (process.waiter) {
        fail(L, "another task waits for this process");
    }
    process.waiter = process.loop->prepare_block(L, "run");
    return process.loop->block(L);
}

int kill_process(lua_State* L) {
    Process& process = check<Process>(L, 1, "process");
    if (process.open > 0) {
        (void)uv_process_kill(&process.handle, static_cast<int>(check_unsigned(L, 2, "signal", 1, 64)));
    }
    return 0;
}

} // namespace mimicsh::lua
