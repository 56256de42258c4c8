// SPDX-License-Identifier: MIT
// Every BPF program in C of the tree, found by looking: a new one is tested without being listed.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/paths.h"

namespace mimicsh::test {

/// Paths of all .bpf.c files below examples/ and tests/, relative to the tree, sorted.
inline std::vector<std::string> bpf_sources() {
    const std::filesystem::path root = in_tree("");
    std::vector<std::string> all;
    for (const char* folder : {"examples", "tests"}) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
            const std::string path = entry.path().lexically_relative(root).string();
            if (path.ends_with(".bpf.c")) {
                all.push_back(path);
            }
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

/// A source's path as the name of a parameterised test.
inline std::string test_name_of_source(std::string path) {
    path.resize(path.size() - std::string(".bpf.c").size());
    std::replace_if(
        path.begin(), path.end(), [](char c) { return c == '/' || c == '-' || c == '.'; }, '_');
    return path;
}

} // namespace mimicsh::test
