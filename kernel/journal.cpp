// SPDX-License-Identifier: MIT
// Journals of living processes, and what to do with those of dead ones.
#include "kernel/journal.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/attach_tc.h"
#include "kernel/netns.h"
#include "kernel/trace_pipe.h"

namespace mimicsh::kernel {

namespace {

namespace fs = std::filesystem;

/// Where the journals of this user are.
fs::path folder() {
    if (geteuid() == 0) {
        return "/run/mimicsh";
    }
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    return fs::path(runtime != nullptr && *runtime != '\0' ? runtime
                                                           : "/tmp/mimicsh-" + std::to_string(geteuid())) /
           "mimicsh";
}

Error with_hint(Error error) {
    if (error.code == EACCES || error.code == EPERM) {
        error.hint = "what would outlive this process is written down first: XDG_RUNTIME_DIR has to name a "
                     "folder of yours";
    }
    return error;
}

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string boot_id() {
    return first_line("/proc/sys/kernel/random/boot_id");
}

/// When a process started, in clock ticks since boot (field 22 of /proc/PID/stat); empty when it has ended.
std::string start_time(const std::string& pid) {
    const std::string line = first_line("/proc/" + pid + "/stat");
    const size_t name_end = line.rfind(')'); // the name may hold anything
    if (name_end == std::string::npos) {
        return {};
    }
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int i = 0; i < 20; ++i) {
        fields >> field;
        if (i == 0 && (field == "Z" || field == "X")) {
            return {}; // it has ended, only nobody has asked yet
        }
    }
    return field;
}

std::string text_of(const JournalEntry& entry) {
    std::string line = entry.kind;
    for (const auto& [name, value] : entry.fields) {
        line += " " + name + "=" + std::to_string(value);
    }
    return line + "\n";
}

std::optional<JournalEntry> entry_of(const std::string& line) {
    std::istringstream words(line);
    JournalEntry entry;
    if (!(words >> entry.kind)) {
        return std::nullopt;
    }
    std::string word;
    while (words >> word) {
        const size_t equals = word.find('=');
        if (equals == std::string::npos) {
            return std::nullopt;
        }
        entry.fields[word.substr(0, equals)] = std::strtoull(word.c_str() + equals + 1, nullptr, 10);
    }
    return entry;
}

std::vector<JournalEntry> entries_of(const fs::path& path) {
    std::vector<JournalEntry> entries;
    std::ifstream lines(path);
    std::string line;
    while (std::getline(lines, line)) {
        if (auto entry = entry_of(line)) {
            entries.push_back(std::move(*entry));
        }
    }
    return entries;
}

} // namespace

Expected<Fd> Journal::lock() {
    const fs::path where = folder();
    std::error_code failed;
    fs::create_directories(where, failed);
    Fd file(::open(where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int done = -1;
    while (file.valid() && (done = flock(file.get(), LOCK_EX)) != 0 && errno == EINTR) {
    }
    return done == 0 ? Expected<Fd>(std::move(file))
                     : with_hint(errno_error(errno, "journal", where.string()));
}

std::vector<JournalEntry> Journal::all() {
    std::vector<JournalEntry> entries;
    std::error_code failed;
    for (const fs::directory_entry& file : fs::directory_iterator(folder(), failed)) {
        if (file.path().string().ends_with("-" + boot_id())) {
            std::ranges::move(entries_of(file.path()), std::back_inserter(entries));
        }
    }
    return entries;
}

Journal& Journal::own() {
    static Journal journal;
    return journal;
}

Journal::~Journal() {
    if (!path_.empty() && entries_.empty()) {
        ::unlink(path_.c_str());
    }
}

/// The whole file anew, through another that takes its place: a reader never sees half of it.
Status Journal::write() {
    if (path_.empty()) {
        const fs::path where = folder();
        std::error_code failed;
        fs::create_directories(where, failed);
        if (failed) {
            return with_hint(errno_error(failed.value(), "journal", where.string()));
        }
        fs::permissions(where, fs::perms::owner_all, failed);
        // As /proc shows it to those who clean up: in a process namespace getpid() says something else.
        const std::string pid = fs::read_symlink("/proc/self", failed).string();
        path_ = (where / (pid + "-" + start_time(pid) + "-" + boot_id())).string();
    }
    if (entries_.empty()) {
        return ::unlink(path_.c_str()) == 0 || errno == ENOENT ? Status{}
                                                               : Status{errno_error(errno, "journal", path_)};
    }
    std::string text;
    for (const auto& [number, entry] : entries_) {
        text += text_of(entry);
    }
    auto done = write_file(path_, as_bytes(text), "journal");
    return done ? std::move(done) : Status{with_hint(done.error())};
}

Expected<uint64_t> Journal::add(const JournalEntry& entry) {
    entries_[++last_] = entry;
    if (auto ok = write(); !ok) {
        entries_.erase(last_);
        return ok.error();
    }
    return last_;
}

void Journal::set(uint64_t number, const std::string& field, uint64_t value) {
    entries_[number].fields[field] = value;
    (void)write(); // it stands there already, with less in it
}

void Journal::remove(uint64_t number) {
    entries_.erase(number);
    (void)write(); // an entry too many is found gone by whoever cleans up
}

namespace {

/// Undoes one entry; says what became of it.
std::string undo(const JournalEntry& entry) {
    if (entry.kind == "clsact") {
        return undo_clsact(entry);
    }
    if (entry.kind == "trace") {
        return undo_trace(entry);
    }
    return entry.kind + ": written by another version, left alone";
}

} // namespace

Expected<std::vector<std::string>> clean_up() {
    std::vector<std::string> report;
    std::error_code failed;
    const std::string boot = boot_id();
    for (const fs::directory_entry& file : fs::directory_iterator(folder(), failed)) {
        const std::string name = file.path().filename().string();
        const size_t first = name.find('-');
        const size_t second = name.find('-', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string pid = name.substr(0, first);
        const bool this_boot = name.substr(second + 1) == boot;
        if (this_boot && start_time(pid) == name.substr(first + 1, second - first - 1)) {
            continue; // it lives, and cleans up itself
        }
        for (const JournalEntry& entry : this_boot ? entries_of(file.path()) : std::vector<JournalEntry>{}) {
            report.push_back(undo(entry));
        }
        fs::remove(file.path(), failed);
    }
    return report;
}

} // namespace mimicsh::kernel
