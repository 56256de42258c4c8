// SPDX-License-Identifier: MIT
// Statements of earlier sessions and of this one.
#include "shell/history.h"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

namespace mimicsh::shell {

namespace {

constexpr size_t kMaxEntries = 10'000;

std::string escaped(const std::string& statement) {
    std::string line;
    for (const char c : statement) {
        if (c == '\n') {
            line += "\\n";
        } else if (c == '\\') {
            line += "\\\\";
        } else {
            line += c;
        }
    }
    return line + "\n";
}

std::string unescaped(const std::string& line) {
    std::string statement;
    for (size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '\\' && i + 1 < line.size()) {
            ++i;
            statement += line[i] == 'n' ? '\n' : line[i];
        } else {
            statement += line[i];
        }
    }
    return statement;
}

/// False when not all of it could be written.
bool write_all(int fd, const std::string& text) {
    for (size_t done = 0; done < text.size();) {
        const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
        if (wrote <= 0) {
            return false;
        }
        done += static_cast<size_t>(wrote);
    }
    return true;
}

} // namespace

std::string History::usual_path() {
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state != nullptr && state[0] == '/') {
        return std::string(state) + "/mimicsh/history";
    }
    const char* home = std::getenv("HOME");
    return home != nullptr && home[0] == '/' ? std::string(home) + "/.local/state/mimicsh/history" : "";
}

History::History(std::string path) : path_(std::move(path)) {
    if (!path_.empty()) {
        read();
    }
}

void History::read() {
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
        entries_.push_back(unescaped(line));
    }
    if (entries_.size() > 2 * kMaxEntries) {
        entries_.erase(entries_.begin(), entries_.end() - kMaxEntries);
        rewrite();
    }
}

void History::rewrite() const {
    const std::string fresh = path_ + ".new";
    std::string all;
    for (const std::string& entry : entries_) {
        all += escaped(entry);
    }
    const Fd file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid() || !write_all(file.get(), all) || rename(fresh.c_str(), path_.c_str()) != 0) {
        (void)unlink(fresh.c_str()); // the long file stays
    }
}

void History::append(const std::string& statement) const {
    std::error_code ignored;
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    if (!std::filesystem::exists(folder, ignored)) {
        std::filesystem::create_directories(folder, ignored);
        (void)chmod(folder.c_str(), 0700);
    }
    const Fd file(open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (file.valid()) {
        (void)fchmod(file.get(), 0600);
        (void)write_all(file.get(), escaped(statement)); // a full disk is no reason to stop working
    }
}

void History::add(const std::string& statement) {
    const bool is_blank = statement.find_first_not_of(" \t\n") == std::string::npos;
    if (is_blank || statement[0] == ' ' || (!entries_.empty() && entries_.back() == statement)) {
        return;
    }
    entries_.push_back(statement);
    if (!path_.empty()) {
        append(statement);
    }
}

std::optional<size_t> History::before(size_t index, std::string_view prefix, std::string_view but) const {
    while (index-- > 0) {
        if (entries_[index].starts_with(prefix) && entries_[index] != but) {
            return index;
        }
    }
    return std::nullopt;
}

std::optional<size_t> History::behind(size_t index, std::string_view prefix, std::string_view but) const {
    for (++index; index < entries_.size(); ++index) {
        if (entries_[index].starts_with(prefix) && entries_[index] != but) {
            return index;
        }
    }
    return std::nullopt;
}

std::optional<size_t> History::containing(size_t index, std::string_view text) const {
    while (index-- > 0) {
        if (entries_[index].find(text) != std::string::npos) {
            return index;
        }
    }
    return std::nullopt;
}

} // namespace mimicsh::shell
