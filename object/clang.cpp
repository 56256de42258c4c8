// SPDX-License-Identifier: MIT
// The clang driver: arguments, diagnostics, and the way through the cache.
#include "object/clang.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

extern "C" {
#include <sys/stat.h>
#include <unistd.h>
}

#include "base/fd.h"
#include "object/clang_errors.h"
#include "object/compile_cache.h"
#include "object/process.h"

namespace mimicsh {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOp = "compile";
constexpr size_t kMaxSource = size_t{16} << 20;
constexpr uint64_t kDriverVersion = 1; // part of the cache key: raise it when arguments change their meaning

#if defined(__x86_64__)
constexpr const char* kMultiarch = "/usr/include/x86_64-linux-gnu";
constexpr const char* kTargetArch = "-D__TARGET_ARCH_x86";
#elif defined(__aarch64__)
constexpr const char* kMultiarch = "/usr/include/aarch64-linux-gnu";
constexpr const char* kTargetArch = "-D__TARGET_ARCH_arm64";
#else
#error "name the multiarch folder of this machine"
#endif

// -- Finding the compiler --

bool is_program(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> find_in_path(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        return is_program(name) ? std::optional(fs::absolute(name).string()) : std::nullopt;
    }
    const char* path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
    while (true) {
        const size_t colon = rest.find(':');
        const std::string_view dir = rest.substr(0, colon);
        if (!dir.empty() && dir.front() == '/') {
            std::string candidate = std::string(dir) + "/" + name;
            if (is_program(candidate)) {
                return candidate;
            }
        }
        if (colon == std::string_view::npos) {
            return std::nullopt;
        }
        rest.remove_prefix(colon + 1);
    }
}

Expected<std::string> find_clang() {
    const char* wanted = std::getenv("MIMICSH_CLANG");
    if (wanted != nullptr && wanted[0] != '\0') {
        if (auto found = find_in_path(wanted)) {
            return std::move(*found);
        }
        return Error{ENOENT, kOp, std::string(wanted) + ": no such program", "correct MIMICSH_CLANG", ""};
    }
    for (const char* name : {"clang-14", "clang"}) {
        if (auto found = find_in_path(name)) {
            return std::move(*found);
        }
    }
    return Error{ENOENT, kOp, "clang: not found", "install the package clang-14, or set MIMICSH_CLANG", ""};
}

// -- One compilation --

/// What is compiled, with everything that its result depends on.
struct Job {
    std::string clang;
    compiler::Source source;
    std::string directory; ///< of the file, absolute
    std::string input;     ///< #line and the text
    std::vector<std::string> args;
    std::string name;
};

std::string c_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c == '\n' ? ' ' : c;
    }
    return out + "\"";
}

std::string absolute_path(const std::string& path) {
    std::error_code error;
    const fs::path absolute = fs::absolute(path, error);
    return error ? path : absolute.lexically_normal().string();
}

std::vector<std::string> make_args(const CompileOptions& options, const std::string& clang) {
    std::error_code error;
    const std::string here = fs::current_path(error).string();
    std::vector<std::string> args{clang,
                                  "-target",
                                  "bpf",
                                  "-mcpu=" + options.cpu,
                                  "-O2",
                                  "-g",
                                  "-Wall",
                                  "-fno-color-diagnostics",
                                  "-fdebug-compilation-dir=" + here,
                                  kTargetArch,
                                  "-x",
                                  "c"};
    for (const std::string& define : options.defines) {
        args.push_back("-D" + define);
    }
    for (const std::string& dir : options.include_dirs) {
        args.push_back("-I" + absolute_path(dir));
    }
    for (const char* arg :
         {"-idirafter", kMultiarch, "-MD", "-MF", "/dev/fd/3", "-MT", "o", "-c", "-o", "-", "-"}) {
        args.emplace_back(arg);
    }
    return args;
}

Expected<Job> make_job(const CompileOptions& options) {
    Job job;
    std::string text = options.source;
    job.source.origin = options.origin.empty() ? "string" : options.origin;
    if (!options.file.empty()) {
        job.source.origin = options.file;
        auto bytes = read_file(options.file, kOp, kMaxSource);
        if (!bytes) {
            return bytes.error();
        }
        text = as_text(*bytes);
    } else if (text.size() > kMaxSource) {
        return Error{EFBIG, kOp, job.source.origin + ": source larger than 16 MiB", "", ""};
    }
    if (options.file.empty()) {
        text.insert(0, options.first_column - 1, ' ');
    }
    job.source.first_line = options.file.empty() ? options.first_line : 1;
    job.source.text = std::move(text);
    if (auto ok = compiler::check_text(job.source); !ok) {
        return ok.error();
    }
    auto clang = find_clang();
    if (!clang) {
        return clang.error();
    }
    job.clang = std::move(*clang);
    // The compiler reads descriptor 0; running it in the source's folder makes #include "..." look there
    // first.
    const fs::path folder = fs::path(absolute_path(job.source.origin)).parent_path();
    std::error_code error;
    job.directory = fs::is_directory(folder, error) ? folder.string() : "";
    job.input = "#line " + std::to_string(job.source.first_line) + " " + c_string(job.source.origin) + "\n" +
                job.source.text;
    job.source.include_dirs = options.include_dirs;
    job.source.include_dirs.insert(job.source.include_dirs.end(), {"/usr/include", kMultiarch});
    job.args = make_args(options, job.clang);
    job.name = options.name;
    if (job.name.empty()) {
        fs::path stem = options.file.empty() ? fs::path("bpf") : fs::path(options.file).filename();
        for (const char* suffix : {".c", ".bpf"}) {
            if (stem.extension() == suffix) {
                stem = stem.stem();
            }
        }
        job.name = stem.string();
    }
    return job;
}

Expected<Digest> key_of(const Job& job) {
    struct stat info {};
    if (stat(job.clang.c_str(), &info) != 0) {
        return errno_error(errno, kOp, job.clang);
    }
    Hasher hasher;
    hasher.add(kDriverVersion);
    hasher.add(static_cast<uint64_t>(info.st_ino));
    hasher.add(static_cast<uint64_t>(info.st_size));
    hasher.add(static_cast<uint64_t>(info.st_mtim.tv_sec));
    hasher.add(static_cast<uint64_t>(info.st_mtim.tv_nsec));
    hasher.add(job.directory);
    hasher.add(job.input);
    hasher.add(uint64_t{job.args.size()});
    for (const std::string& arg : job.args) {
        hasher.add(arg);
    }
    for (const char* variable : {"CPATH", "C_INCLUDE_PATH", "CCC_OVERRIDE_OPTIONS"}) {
        const char* value = std::getenv(variable);
        hasher.add(std::string_view(value != nullptr ? value : ""));
    }
    return hasher.digest();
}

/// Names of a make rule "o: a.h b.h \", with "\ " for blanks and "$$" for dollars.
std::vector<std::string> parse_dependencies(std::string_view text, const std::string& directory) {
    std::vector<std::string> out;
    std::string word;
    const auto flush = [&] {
        if (!word.empty() && word != "-" && word.back() != ':') {
            out.push_back(word.front() == '/' ? word
                                              : (fs::path(directory) / word).lexically_normal().string());
        }
        word.clear();
    };
    for (size_t i = 0; i < text.size(); ++i) {
        const char next = i + 1 < text.size() ? text[i + 1] : '\0';
        if (text[i] == '\\' && (next == ' ' || next == '#')) {
            word += next;
            ++i;
        } else if (text[i] == '$' && next == '$') {
            word += '$';
            ++i;
        } else if (text[i] == '\\' && next == '\n') {
            ++i;
            flush();
        } else if (text[i] == ' ' || text[i] == '\n') {
            flush();
        } else {
            word += text[i];
        }
    }
    flush();
    return out;
}

// -- Results --

/// The symbol that the reader found undefined; empty for other errors.
std::string undefined_name(const Error& error) {
    constexpr std::string_view kMark = "undefined symbol '";
    const size_t at = error.text.find(kMark);
    return at == std::string::npos
               ? ""
               : error.text.substr(at + kMark.size(), error.text.rfind('\'') - at - kMark.size());
}

Error diagnose(const Job& job, const ProcessResult& result) {
    std::string log(as_text(result.errors));
    if (auto error = compiler::first_error(job.source, log)) {
        return std::move(*error);
    }
    const size_t at = log.find("error: ");
    std::string text =
        job.source.origin + ": " +
        (at != std::string_view::npos ? log.substr(at + 7, log.find('\n', at) - at - 7)
                                      : job.clang + " exited with status " + std::to_string(result.status));
    return Error{EINVAL, kOp, std::move(text), "", std::move(log)};
}

Expected<Object> to_object(const Job& job, const CompileOptions& options, const CacheEntry& entry) {
    auto object = read_elf(entry.object, job.source.origin);
    if (!object) {
        const std::string name = undefined_name(object.error());
        return name.empty() ? object.error() : compiler::undefined_symbol(job.source, name, entry.warnings);
    }
    if (auto ok = compiler::check_programs(job.source, *object); !ok) {
        return ok.error();
    }
    object->name = job.name;
    if (options.warnings != nullptr) {
        *options.warnings = entry.warnings;
    }
    return object;
}

} // namespace

Expected<Object> compile(const CompileOptions& options) {
    auto job = make_job(options);
    if (!job) {
        return job.error();
    }
    auto key = key_of(*job);
    if (!key) {
        return key.error();
    }
    const CompileCache cache(!options.cache ? "" : options.cache_dir.value_or(CompileCache::default_dir()));
    if (const auto known = cache.find(*key)) {
        if (auto object = to_object(*job, options, *known)) {
            return object;
        }
    }
    ProcessOptions process;
    process.path = job->clang;
    process.args = job->args;
    process.input = job->input;
    process.directory = job->directory;
    process.stop = options.stop;
    auto result = run_process(process, kOp);
    if (!result) {
        return result.error();
    }
    if (result->status != 0) {
        return diagnose(*job, *result);
    }
    CacheEntry entry{parse_dependencies(as_text(result->extra), job->directory),
                     std::string(as_text(result->errors)), std::move(result->output)};
    auto object = to_object(*job, options, entry);
    if (object && options.cache) {
        cache.store(*key, entry);
    }
    return object;
}

} // namespace mimicsh
