// SPDX-License-Identifier: MIT
// Fuzz target: assembler text. What is accepted links or is refused by name, and its listing assembles to the
// same instructions.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "object/asm.h"
#include "object/disasm.h"
#include "object/linker.h"

using namespace mimicsh;

namespace {

void require(bool holds, const char* what, const std::string& text) {
    if (!holds) {
        std::fprintf(stderr, "%s:\n%s\n", what, text.c_str());
        std::abort();
    }
}

void check_listing(const Object& object, const LinkedProgram& program) {
    for (const bool labels : {true, false}) {
        ListingOptions options;
        options.labels = labels;
        const std::string text = list_declarations(object) + disassemble(program, options);
        auto again = assemble(text, {});
        require(again.has_value(), again ? "" : again.error().text.c_str(), text);
        const auto shared = std::make_shared<const Object>(std::move(*again));
        const auto programs = shared->programs();
        require(programs.size() == 1, "not one program", text);
        const auto linked = link(shared, programs[0], {});
        require(linked.has_value(), linked ? "" : linked.error().text.c_str(), text);
        require(linked->insns == program.insns, "other instructions", text);
        require(linked->refs.size() == program.refs.size(), "other references", text);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto object = assemble({reinterpret_cast<const char*>(data), size}, {});
    if (!object) {
        return 0;
    }
    (void)write_elf(*object).has_value();
    const auto shared = std::make_shared<const Object>(std::move(*object));
    for (const uint32_t index : shared->programs()) {
        if (const auto linked = link(shared, index, {})) {
            check_listing(*shared, *linked);
        }
    }
    return 0;
}
