// SPDX-License-Identifier: MIT
// Where the tree and the build folder are. Only paths.cpp is compiled with them, so that every other file of
// the tests compiles to the same in any folder and a compiler cache can share it.
#pragma once

#include <string>
#include <string_view>

namespace mimicsh::test {

/// Absolute path of a file of the tree: in_tree("tests/data/programs.pcap").
[[nodiscard]] std::string in_tree(std::string_view path);

/// Absolute path of something that was built: in_build("mimicsh").
[[nodiscard]] std::string in_build(std::string_view path);

} // namespace mimicsh::test
