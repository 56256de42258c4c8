// SPDX-License-Identifier: MIT
// The terminal of the prompt.
#include "shell/terminal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <stdio_ext.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace mimicsh::shell {

namespace {

constexpr const char* kMarkPastes = "\x1b[?2004h";
constexpr std::string_view kLeavePastes = "\x1b[?2004l";

/// Signals that end the process: not before the terminal is as it was.
constexpr std::array kEnds{SIGHUP, SIGTERM};
termios before_signal; ///< for `restore`, which may call little
std::array<struct sigaction, kEnds.size()> handlers;

void restore(int signal) {
    (void)!::write(STDOUT_FILENO, kLeavePastes.data(), kLeavePastes.size());
    (void)!::write(STDOUT_FILENO, "\r\n", 2);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &before_signal);
    (void)raise(signal); // its own action is back: SA_RESETHAND
}

void catch_ends(const termios& before) {
    before_signal = before;
    for (size_t i = 0; i < kEnds.size(); ++i) {
        sigaction(kEnds[i], nullptr, &handlers[i]);
        if (handlers[i].sa_handler == SIG_DFL) {
            struct sigaction action {};
            action.sa_handler = restore;
            action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
            sigaction(kEnds[i], &action, nullptr);
        }
    }
}

void leave_ends() {
    for (size_t i = 0; i < kEnds.size(); ++i) {
        sigaction(kEnds[i], &handlers[i], nullptr);
    }
}

} // namespace

int watch_input(uv_loop_t* loop, uv_poll_t* poll) {
    const int flags = fcntl(STDIN_FILENO, F_GETFL);
    const int code = uv_poll_init(loop, poll, STDIN_FILENO);
    if (code == 0 && flags >= 0) {
        (void)fcntl(STDIN_FILENO, F_SETFL, flags);
    }
    return code;
}

Terminal::~Terminal() {
    leave();
}

bool Terminal::is_usable() {
    const char* term = std::getenv("TERM");
    const bool is_dumb = term == nullptr || term[0] == '\0' || std::string_view(term) == "dumb";
    return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && !is_dumb;
}

void Terminal::enter() {
    termios now{};
    if (before_ || tcgetattr(STDIN_FILENO, &now) != 0) {
        return;
    }
    before_ = now;
    now.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
    now.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    // Output of tasks is written between frames, not in the middle of one.
    std::fflush(stdout);
    std::fflush(stderr);
    catch_ends(*before_);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
    write(kMarkPastes);
    measure();
    shown_ = {};
}

void Terminal::leave() {
    if (before_) {
        write(std::string(kLeavePastes));
        tcsetattr(STDIN_FILENO, TCSADRAIN, &*before_);
        leave_ends();
        before_.reset();
    }
}

void Terminal::measure() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        columns_ = size.ws_col;
        rows_ = std::max<int>(size.ws_row, 1);
    }
}

void Terminal::write(const std::string& text) {
    for (size_t done = 0; done < text.size();) {
        const ssize_t wrote = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
        if (wrote < 0 && errno != EINTR && errno != EAGAIN) {
            return; // the terminal is gone; reading says so
        }
        done += wrote > 0 ? static_cast<size_t>(wrote) : 0;
    }
}

/// From the cursor of the shown frame to its first column.
void Terminal::to_top(std::string& out) const {
    if (shown_.cursor_row > 0) {
        out += "\x1b[" + std::to_string(shown_.cursor_row) + "A";
    }
    out += "\r";
}

void Terminal::paint(Frame frame) {
    std::string out;
    to_top(out);
    for (size_t i = 0; i < frame.rows.size(); ++i) {
        const Row& row = frame.rows[i];
        out += i > 0 ? "\r\n" : "";
        if (i < shown_.rows.size() && shown_.rows[i] == row) {
            continue;
        }
        out += row.text;
        if (row.width < columns_) {
            out += "\x1b[K";
        }
    }
    if (shown_.rows.size() > frame.rows.size()) {
        out += "\r\n\x1b[J\x1b[A";
    }
    const int up = static_cast<int>(frame.rows.size()) - 1 - frame.cursor_row;
    if (up > 0) {
        out += "\x1b[" + std::to_string(up) + "A";
    }
    out += "\r";
    if (frame.cursor_column > 0) {
        out += "\x1b[" + std::to_string(frame.cursor_column) + "C";
    }
    write(out);
    shown_ = std::move(frame);
}

void Terminal::finish() {
    std::string out;
    const int down = static_cast<int>(shown_.rows.size()) - 1 - shown_.cursor_row;
    if (down > 0) {
        out += "\x1b[" + std::to_string(down) + "B";
    }
    write(out + "\r\n");
    shown_ = {};
}

void Terminal::hide() {
    std::string out;
    to_top(out);
    write(out + "\x1b[J");
    shown_ = {};
}

void Terminal::resize() {
    measure();
    // Terminals fold rows that have become too long: the cursor is further down than it was.
    int down = 0;
    for (int i = 0; i < shown_.cursor_row; ++i) {
        down += std::max(shown_.rows[static_cast<size_t>(i)].width - 1, 0) / columns_;
    }
    shown_.cursor_row = std::min(shown_.cursor_row + down + shown_.cursor_column / columns_, rows_ - 1);
    hide();
}

void Terminal::clear() {
    write("\x1b[H\x1b[2J");
    shown_ = {};
}

bool Terminal::has_output() {
    return __fpending(stdout) > 0 || __fpending(stderr) > 0;
}

void Terminal::print_output() {
    hide();
    std::fflush(stdout);
    std::fflush(stderr);
}

} // namespace mimicsh::shell
