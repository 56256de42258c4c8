// SPDX-License-Identifier: MIT
// libbpf as a second opinion: what it makes of an object file that it loads into the running kernel.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "object/insn.h"

namespace mimicsh::test {

struct LibbpfMap {
    uint32_t type, key_size, value_size, max_entries, flags;
    uint64_t extra;
    friend bool operator==(const LibbpfMap&, const LibbpfMap&) = default;
};

struct LibbpfObject {
    std::string error;                                 ///< why it did not load; empty = it did
    std::map<std::string, std::vector<Insn>> programs; ///< after loading
    std::map<std::string, LibbpfMap> maps;             ///< as declared, before loading adjusts them
    std::vector<std::string> map_order;
    std::string log;
};

/// Empty, or why this process cannot load programs.
[[nodiscard]] std::string cannot_load();

/// Opens and loads with libbpf. Externs and maps become real; everything is released before it returns.
[[nodiscard]] LibbpfObject load_with_libbpf(ByteView bytes);

/// Empty, or what the kernel says against a BTF section.
[[nodiscard]] std::string kernel_refuses_btf(ByteView btf);

} // namespace mimicsh::test
