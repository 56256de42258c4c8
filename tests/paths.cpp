// SPDX-License-Identifier: MIT
#include "tests/paths.h"

namespace mimicsh::test {

std::string in_tree(std::string_view path) {
    return std::string(MIMICSH_SOURCE_DIR "/").append(path);
}

std::string in_build(std::string_view path) {
    return std::string(MIMICSH_BINARY_DIR "/").append(path);
}

} // namespace mimicsh::test
