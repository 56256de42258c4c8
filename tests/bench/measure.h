// SPDX-License-Identifier: MIT
// Running a command as a whole process and reading what the kernel accounted to it; a folder for its files.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mimicsh::bench {

struct Usage {
    bool ok = false; ///< started and exited with 0
    double cpu = 0;  ///< user and system seconds
    double wall = 0; ///< seconds
    long peak_kib = 0;
};

/// Runs a command with its output thrown away, and waits for it.
inline Usage run_command(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const std::string& word : words) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    const auto begin = std::chrono::steady_clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
        const int null = ::open("/dev/null", O_RDWR);
        ::dup2(null, 0);
        ::dup2(null, 1);
        ::dup2(null, 2);
        ::execvp(argv[0], argv.data());
        ::_exit(127);
    }
    int status = 0;
    rusage used{};
    Usage usage;
    usage.ok = child > 0 && ::wait4(child, &status, 0, &used) == child && WIFEXITED(status) &&
               WEXITSTATUS(status) == 0;
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    usage.cpu = seconds(used.ru_utime) + seconds(used.ru_stime);
    usage.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    usage.peak_kib = used.ru_maxrss;
    return usage;
}

/// A new folder that goes with all that is in it.
class TempFolder {
  public:
    TempFolder() {
        path_ = (std::filesystem::temp_directory_path() / "mimicsh-bench-").string() + std::string(6, 'X');
        if (::mkdtemp(path_.data()) == nullptr) {
            std::perror(path_.c_str());
            std::exit(1);
        }
    }
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

struct Spread {
    double low = 0;
    double median = 0;
    double high = 0;
};

inline Spread spread(std::vector<double> values) {
    std::ranges::sort(values);
    return {values.front(), values[values.size() / 2], values.back()};
}

} // namespace mimicsh::bench
