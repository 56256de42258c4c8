// SPDX-License-Identifier: MIT
// Test programs: compiled once per process from tests/data/bpf, and the bytes around them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "object/object.h"
#include "tests/bpf_sources.h"
#include "tests/paths.h"

namespace mimicsh::test {

inline std::string data_dir() {
    return in_tree("tests/data/bpf");
}

/// A folder of this test process, removed at its end.
class ScratchDir {
  public:
    ScratchDir() {
        std::string pattern = (std::filesystem::temp_directory_path() / "mimicsh-test-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ScratchDir(const ScratchDir&) = delete;
    ScratchDir& operator=(const ScratchDir&) = delete;
    ~ScratchDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// Names of the programs of tests/data/bpf, without ".bpf.c".
inline std::vector<std::string> program_names() {
    const std::string folder = "tests/data/bpf/";
    std::vector<std::string> names;
    for (const std::string& path : bpf_sources()) {
        if (path.starts_with(folder)) {
            names.push_back(path.substr(folder.size(), path.size() - folder.size() - 6));
        }
    }
    return names;
}

/// The object file of a test program as clang writes it, or of any C file by absolute path; empty when clang
/// fails.
inline ByteVec object_bytes(const std::string& name, const std::string& flags = "") {
    static const ScratchDir scratch;
    static std::map<std::string, ByteVec> made;
    const std::string source = name.starts_with("/") ? name : data_dir() + "/" + name + ".bpf.c";
    const std::string command = "clang-14 -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -idirafter "
                                "/usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu " +
                                flags + " -c " + source;
    if (const auto found = made.find(command); found != made.end()) {
        return found->second;
    }
    const std::string out = scratch / (std::filesystem::path(source).filename().string() + ".o");
    if (std::system((command + " -o " + out).c_str()) != 0) {
        return {};
    }
    auto bytes = read_file(out, "read");
    return bytes ? made[command] = std::move(*bytes) : ByteVec{};
}

/// Object file of C text.
inline ByteVec object_of_text(const std::string& text, const std::string& flags = "") {
    static const ScratchDir scratch;
    static int number = 0;
    const std::string path = scratch / ("text" + std::to_string(number++) + ".c");
    std::ofstream(path) << text;
    return object_bytes(path, flags);
}

} // namespace mimicsh::test
