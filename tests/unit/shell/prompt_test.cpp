// SPDX-License-Identifier: MIT
// The prompt on a real terminal: ^C, background output, leaving. Everything waits for text with a deadline.
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "shell/repl.h"
#include "tests/paths.h"

namespace mimicsh::shell {
namespace {

constexpr int kDeadlineMs = 60'000;
constexpr const char* kPrompt = "mimicsh> ";

/// A mimicsh on its own terminal.
class Terminal {
  public:
    Terminal() {
        const std::string binary = test::in_build("mimicsh");
        pid_ = forkpty(&fd_, nullptr, nullptr, nullptr);
        if (pid_ == 0) {
            setenv("NO_COLOR", "1", 1);
            setenv("TERM", "dumb", 1); // whole lines; the editor has its own tests
            setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
            setenv("XDG_STATE_HOME", "/nonexistent", 1);
            execl(binary.c_str(), binary.c_str(), "-q", static_cast<char*>(nullptr));
            _exit(127);
        }
    }
    ~Terminal() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(fd_);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    void type(const std::string& text) {
        ASSERT_EQ(write(fd_, text.data(), text.size()), ssize_t(text.size()));
    }

    /// Output up to and with `end`, each part handed out once; what came so far when the deadline passes.
    std::string until(const std::string& end) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
        while (pending_.find(end) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
            pollfd ready{fd_, POLLIN, 0};
            char chunk[4096];
            if (poll(&ready, 1, 100) > 0) {
                const ssize_t size = read(fd_, chunk, sizeof chunk);
                if (size <= 0) {
                    break;
                }
                pending_.append(chunk, static_cast<size_t>(size));
            }
        }
        const size_t at = pending_.find(end);
        const size_t size = at == std::string::npos ? pending_.size() : at + end.size();
        std::string part = pending_.substr(0, size);
        pending_.erase(0, size);
        return part;
    }

    /// Exit code once the process has ended.
    int leave() {
        int status = 0;
        (void)until("nothing ever prints this");
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    int fd_ = -1;
    pid_t pid_ = -1;
    std::string pending_;
};

TEST(Prompt, InterruptStopsALoopAndTheSessionGoesOn) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("io.write('lo', 'op\\n') while true do end\n");
    terminal.until("loop\r\n");
    terminal.type("\3");
    EXPECT_NE(terminal.until(kPrompt).find("interrupted"), std::string::npos);
    terminal.type("1 + 1\n");
    EXPECT_NE(terminal.until(kPrompt).find("2\r\n"), std::string::npos);
}

TEST(Prompt, InterruptEndsAWait) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("io.write('wa', 'it\\n') timer.sleep(1000)\n");
    terminal.until("wait\r\n");
    terminal.type("\3");
    EXPECT_NE(terminal.until(kPrompt).find("interrupted"), std::string::npos);
}

TEST(Prompt, InterruptDropsAHalfTypedStatement) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("x = {\n");
    terminal.until("..> ");
    terminal.type("\3");
    terminal.until(kPrompt);
    terminal.type("'fresh'\n");
    EXPECT_NE(terminal.until(kPrompt).find("\"fresh\""), std::string::npos);
}

TEST(Prompt, SecondInterruptLeavesWith130) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("while true do pcall(function() io.write('ro', 'und\\n') while true do end end) end\n");
    // Both within a second; where it took longer, the second was one more first.
    std::chrono::steady_clock::time_point first;
    terminal.until("round\r\n");
    do {
        first = std::chrono::steady_clock::now();
        terminal.type("\3");
        terminal.until("round\r\n");
        terminal.type("\3");
    } while (std::chrono::steady_clock::now() - first > std::chrono::seconds(1) &&
             terminal.until("round\r\n").find("round") != std::string::npos);
    EXPECT_EQ(terminal.leave(), 130);
}

/// A name for a named pipe that exists while the object does.
class NamedPipe {
  public:
    NamedPipe() {
        if (mkdtemp(folder_) == nullptr || mkfifo(path().c_str(), 0600) != 0) {
            ADD_FAILURE() << "no named pipe in " << folder_;
        }
    }
    ~NamedPipe() {
        unlink(path().c_str());
        rmdir(folder_);
    }
    NamedPipe(const NamedPipe&) = delete;
    NamedPipe& operator=(const NamedPipe&) = delete;
    [[nodiscard]] std::string path() const { return std::string(folder_) + "/pipe"; }

  private:
    char folder_[32] = "/tmp/mimicsh-prompt.XXXXXX";
};

/// Loads one program, `text`, as P.
void load_program(Terminal& terminal, const std::string& text) {
    terminal.until(kPrompt);
    terminal.type("i = assert(assert(bpf.asm '" + text + "'):load('vm', {budget = 2^52}))\n");
    terminal.until(kPrompt);
    terminal.type("for _, p in pairs(i.progs) do P = p end\n");
    terminal.until(kPrompt);
}

TEST(Prompt, InterruptStopsARunningProgram) {
    Terminal terminal;
    load_program(terminal, "l: goto l");
    for (const char* call : {"P:run(('x'):rep(64))", "P:run(('x'):rep(64), {times = 2^31})",
                             "P:replay{packets = {('x'):rep(64)}}.interrupted"}) {
        terminal.type(std::string("io.write('ru', 'ns\\n') return ") + call + "\n");
        terminal.until("runs\r\n");
        terminal.type("\3");
        const std::string answer = terminal.until(kPrompt);
        EXPECT_NE(answer.find(kPrompt), std::string::npos) << call << ": " << answer;
        EXPECT_TRUE(answer.find("interrupted") != std::string::npos ||
                    answer.find("true") != std::string::npos)
            << call << ": " << answer;
    }
}

TEST(Prompt, InterruptEndsTheReplayOfASilentPipeWithItsReport) {
    const NamedPipe pipe;
    Terminal terminal;
    load_program(terminal, "r0 = 2\\nexit");
    terminal.type("r = P:replay '" + pipe.path() + "'\n");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
    int writer = -1; // to be had once the replay has opened its end
    while (writer < 0 && std::chrono::steady_clock::now() < deadline) {
        writer = open(pipe.path().c_str(), O_WRONLY | O_NONBLOCK);
        std::this_thread::yield();
    }
    ASSERT_GE(writer, 0);
    // Header of a capture (little endian, Ethernet), then a packet of 60 zero bytes.
    std::string bytes("\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0", 24);
    bytes += std::string(8, '\0') + std::string("\x3c\0\0\0\x3c\0\0\0", 8) + std::string(60, '\0');
    ASSERT_EQ(write(writer, bytes.data(), bytes.size()), ssize_t(bytes.size()));
    int unread = 1;
    while (unread > 0 && std::chrono::steady_clock::now() < deadline) {
        ASSERT_EQ(ioctl(writer, FIONREAD, &unread), 0);
        std::this_thread::yield();
    }
    terminal.type("\3");
    terminal.until(kPrompt);
    terminal.type("r.interrupted, r.packets\n");
    EXPECT_NE(terminal.until(kPrompt).find("true\r\n1\r\n"), std::string::npos);
    close(writer);
}

TEST(Prompt, InterruptEndsTheWaitForTheWriterOfAPipe) {
    const NamedPipe pipe;
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("io.write('op', 'ens\\n') return pcap.open '" + pipe.path() + "'\n");
    terminal.until("opens\r\n");
    terminal.type("\3");
    EXPECT_NE(terminal.until(kPrompt).find("interrupted"), std::string::npos);
}

TEST(Prompt, LineTypedRightBehindAnInterruptRuns) {
    Terminal terminal;
    terminal.until(kPrompt);
    for (int i = 0; i < 10; i++) {
        terminal.type("\3x = " + std::to_string(i) + "\n'x' .. x\n");
        EXPECT_NE(terminal.until("\"x" + std::to_string(i) + "\"").find("\"x"), std::string::npos) << i;
    }
}

TEST(Prompt, InterruptsAtTheEmptyPromptDoNotLeave) {
    Terminal terminal;
    for (int i = 0; i < 4; i++) {
        terminal.until(kPrompt);
        terminal.type("\3");
    }
    terminal.until(kPrompt);
    terminal.type("1 + 1\n");
    EXPECT_NE(terminal.until("2\r\n").find("2\r\n"), std::string::npos);
}

TEST(Prompt, TimersFireWhileItWaitsForInput) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("t = timer.after(0.05, function() print('ti' .. 'ck') end)\n");
    EXPECT_NE(terminal.until("tick\r\n").find("tick\r\n"), std::string::npos);
}

TEST(Prompt, EndOfInputLeavesWith0) {
    Terminal terminal;
    terminal.until(kPrompt);
    terminal.type("\4");
    EXPECT_EQ(terminal.leave(), 0);
}

TEST(Statement, IncompleteIsWhatEndsAtTheEndOfInput) {
    lua_State* L = luaL_newstate();
    for (const auto& [text, incomplete] : {std::pair{"for i = 1, 2 do", true},
                                           {"f(", true},
                                           {"x = [[", true},
                                           {"x =", true},
                                           {"x = = 1", false},
                                           {"end", false},
                                           {"x = 'open", false}}) {
        ASSERT_FALSE(load_statement(L, text, "=stdin")) << text;
        EXPECT_EQ(is_incomplete(lua_tostring(L, -1)), incomplete) << text << ": " << lua_tostring(L, -1);
        lua_settop(L, 0);
    }
    for (const char* text : {"1 + 1", "=x", "x = 1", "f(), 2 -- comment", "1;", "for i = 1, 2 do end", ""}) {
        EXPECT_TRUE(load_statement(L, text, "=stdin")) << text;
        lua_settop(L, 0);
    }
    lua_close(L);
}

} // namespace
} // namespace mimicsh::shell
