// SPDX-License-Identifier: MIT
// The terminal of the prompt: raw mode, size, painting. Everything that is written by others while the prompt
// stands goes above it.
#pragma once

#include <optional>
#include <termios.h>

#include <uv.h>

#include "shell/screen.h"

namespace mimicsh::shell {

/// Watches standard input, which stays as it is: other processes have the same open file, and uv_poll_init
/// alone would leave it without blocking for them. An error number of libuv's when it cannot be waited for.
[[nodiscard]] int watch_input(uv_loop_t* loop, uv_poll_t* poll);

class Terminal {
  public:
    Terminal() = default;
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    /// Whether standard input and output are a terminal that can move its cursor.
    [[nodiscard]] static bool is_usable();

    /// Raw mode: keys come as they are pressed, and pastes are marked. Errors leave the terminal as it is.
    void enter();
    /// As it was before.
    void leave();
    [[nodiscard]] int columns() const { return columns_; }
    [[nodiscard]] int rows() const { return rows_; }
    /// The size has changed: takes the frame off the screen.
    void resize();

    /// Shows a frame in place of the one before, writing what differs.
    void paint(Frame frame);
    /// The cursor goes below the frame, which stays where it is.
    void finish();
    /// The frame is taken off the screen until the next one is painted.
    void hide();
    /// An empty screen.
    void clear();
    /// Something to standard output or error waits to be written.
    [[nodiscard]] static bool has_output();
    /// Writes it, above the prompt.
    void print_output();

  private:
    void measure();
    void to_top(std::string& out) const;
    static void write(const std::string& text);

    std::optional<termios> before_;
    Frame shown_;
    int columns_ = 80;
    int rows_ = 24;
};

} // namespace mimicsh::shell
