// SPDX-License-Identifier: MIT
// `mimicsh plugin`: program and memory in, r0 out.
#include "shell/plugin.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include "base/fd.h"
#include "object/raw.h"
#include "shell/run.h"
#include "vm/target.h"

namespace mimicsh::shell {

namespace {

constexpr size_t kMaxInput = size_t{64} << 20;
constexpr const char* kUsage =
    "Usage: mimicsh plugin [MEMORY] [--strict] [--program HEX] [--elf]\n"
    "Runs a program with r1 = MEMORY (hex bytes) and r2 = its length and prints r0 in hex, as the runner of\n"
    "bpf_conformance asks. The program is hex on standard input: instructions, or with --elf an object file "
    "whose\n"
    "function main is run. --strict refuses what the kernel refuses.\n"
    "Exit codes: 0 done, 1 refused or faulted, 2 usage.\n";

struct PluginOptions {
    ByteVec memory;
    std::optional<std::string> program;
    bool is_strict = false;
    bool is_elf = false;
    bool wants_help = false;
};

Expected<ByteVec> parse_hex(const std::string& text, const char* what) {
    auto bytes = from_hex(text);
    if (!bytes) {
        return Error{EINVAL, "plugin", std::string(what) + " is not hex bytes", {}, {}};
    }
    return std::move(*bytes);
}

Expected<PluginOptions> parse(const std::vector<std::string>& arguments) {
    PluginOptions options;
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word == "--strict") {
            options.is_strict = true;
        } else if (word == "--elf") {
            options.is_elf = true;
        } else if (word == "--help") {
            options.wants_help = true;
        } else if (word == "--program" && i + 1 < arguments.size()) {
            options.program = arguments[++i];
        } else if (word == "--program") {
            return Error{EINVAL, "plugin", "--program needs a value", {}, {}};
        } else if (i == 0 && !word.starts_with('-')) {
            auto memory = parse_hex(word, "MEMORY");
            if (!memory) {
                return memory.error();
            }
            options.memory = std::move(*memory);
        } else if (!word.empty()) {
            return Error{EINVAL, "plugin", "unknown argument '" + word + "'", {}, {}};
        }
    }
    return options;
}

/// The function main of an object file, made a program on memory.
Expected<Object> read_main(ByteView bytes) {
    auto object = read_elf(bytes, "program");
    if (!object) {
        return object.error();
    }
    bool found = false;
    for (Function& function : object->functions) {
        const bool is_main = function.name == "main";
        function.spec.reset();
        if (is_main && !found) {
            function.spec = ProgramSpec{abi::ProgType::Memory, abi::AttachType::None, 0, {}};
            found = true;
        }
    }
    if (!found) {
        return Error{ENOENT, "plugin", "the object has no function main", {}, {}};
    }
    return object;
}

Expected<Object> read_program(const PluginOptions& options) {
    std::string text = options.program.value_or("");
    if (!options.program) {
        const auto input = read_file("-", "read program", kMaxInput);
        if (!input) {
            return input.error();
        }
        text = as_text(*input);
    }
    const auto bytes = parse_hex(text, "the program");
    if (!bytes) {
        return bytes.error();
    }
    if (options.is_elf) {
        return read_main(*bytes);
    }
    RawOptions raw;
    raw.name = "main";
    raw.origin = "program";
    raw.type = abi::ProgType::Memory;
    return read_raw(*bytes, raw);
}

Expected<uint64_t> run_program(const PluginOptions& options) {
    auto object = read_program(options);
    if (!object) {
        return object.error();
    }
    vm::Options vm;
    vm.mode = options.is_strict ? vm::Mode::Strict : vm::Mode::Permissive;
    auto instance =
        vm::make_target(vm)->load(std::make_shared<const Object>(std::move(*object)), LoadOptions{});
    if (!instance) {
        return instance.error();
    }
    const auto result = (*instance)->find_program("main")->run(options.memory, RunOptions{});
    if (!result) {
        return result.error();
    }
    if (result->fault) {
        return Error{EFAULT,
                     "run",
                     "instruction " + std::to_string(result->fault->insn) + ": " + result->fault->cause,
                     {},
                     {}};
    }
    return result->r0;
}

} // namespace

int run_plugin(const std::vector<std::string>& arguments) {
    const auto options = parse(arguments);
    if (!options) {
        std::fprintf(stderr, "%s\nhint: mimicsh plugin --help\n", options.error().message().c_str());
        return kExitUsage;
    }
    if (options->wants_help) {
        std::fputs(kUsage, stdout);
        return kExitOk;
    }
    const auto r0 = run_program(*options);
    if (!r0) {
        std::fprintf(stderr, "%s\n", r0.error().message().c_str());
        return kExitError;
    }
    std::printf("%" PRIx64 "\n", *r0);
    return std::fflush(stdout) == 0 ? kExitOk : kExitError;
}

} // namespace mimicsh::shell
