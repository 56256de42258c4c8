// SPDX-License-Identifier: MIT
// The linker: from an object's program to final instructions, the same for both targets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

/// A symbolic reference left in linked instructions; each target puts in its own handle, descriptor or
/// address.
struct LinkedRef {
    uint32_t insn = 0;               ///< slot index in LinkedProgram::insns
    RelocKind kind = RelocKind::Map; ///< Map, MapValue or Extern; calls and callbacks are resolved already
    uint32_t target = 0;             ///< map or extern index in the object
    uint32_t offset = 0;             ///< MapValue: bytes into the value
};

struct LinkedFunction {
    uint32_t insn = 0; ///< first slot
    uint32_t btf_id = 0;
    std::string name;
    uint32_t index = 0; ///< in the object
};

/// Final instructions of one program: main function first, then the subprograms it reaches, each once, then
/// the function that its declaration tag "exception_callback:NAME" names, and what that reaches. Local
/// calls and callback addresses are pc-relative in imm. Map references keep src kMapFd/kMapValue with imm 0
/// in the first slot and the offset in the second slot's imm for MapValue; `refs` says which map.
struct LinkedProgram {
    std::string name;
    ProgramSpec spec;
    std::vector<Insn> insns;
    std::vector<LinkedRef> refs;           ///< sorted by insn
    std::vector<LinkedFunction> functions; ///< sorted by insn, the first at 0
    std::vector<LineInfo> lines;           ///< sorted by insn
    std::shared_ptr<const Object> object;
    uint32_t exception_callback = 0; ///< first slot of what bpf_throw ends in, 0 = its cookie is returned

    /// Index into `functions` of the function that holds a slot.
    [[nodiscard]] uint32_t function_at(uint32_t insn) const;
    /// Line record that covers a slot, or null.
    [[nodiscard]] const LineInfo* line_at(uint32_t insn) const;
};

/// Text form of a source position; empty fields where the object carries none.
struct SourceLine {
    std::string file;
    uint32_t line = 0;
    uint32_t column = 0;
    std::string text; ///< the source line, trimmed
};
[[nodiscard]] SourceLine source_line(const LinkedProgram& program, uint32_t insn);

struct LinkOptions {
    std::shared_ptr<const Btf>
        kernel_btf;         ///< types that CO-RE resolves against; null = a program that needs it fails
    bool validated = false; ///< the caller has called `validate` for the object: once for all its programs
};

/// Links one program (index into object->functions). CO-RE failures that libbpf would poison are poisoned the
/// same way.
[[nodiscard]] Expected<LinkedProgram> link(std::shared_ptr<const Object> object, uint32_t function,
                                           const LinkOptions& options);

/// True when some function of the object has CO-RE relocations, so that callers load kernel BTF only then.
[[nodiscard]] bool needs_kernel_btf(const Object& object);

} // namespace mimicsh
