// SPDX-License-Identifier: MIT
// `mimicsh plugin`: runs one program on memory, as the runner of the public bpf_conformance suite asks.
#pragma once

#include <string>
#include <vector>

namespace mimicsh::shell {

/// Arguments after the word "plugin": [MEMORY] [--strict] [--program HEX] [--elf]. The program comes from
/// standard input unless given; r0 goes to standard output as hex, what went wrong to standard error. Returns
/// the exit code.
[[nodiscard]] int run_plugin(const std::vector<std::string>& arguments);

} // namespace mimicsh::shell
