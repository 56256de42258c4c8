// SPDX-License-Identifier: MIT
// ELF64 relocatable files for BPF: sections, symbols and relocations as checked views. Knows nothing about
// programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::elf {

// -- Numbers of the format (System V ABI; BPF relocations: Documentation/bpf/llvm_reloc.rst) --
inline constexpr uint16_t kMachineNone = 0, kMachineBpf = 247, kTypeRel = 1;
inline constexpr uint32_t kProgbits = 1, kSymtab = 2, kStrtab = 3, kRela = 4, kNobits = 8, kRel = 9;
inline constexpr uint64_t kFlagWrite = 1, kFlagAlloc = 2, kFlagExec = 4;
inline constexpr uint32_t kUndef = 0, kLoReserve = 0xff00, kAbs = 0xfff1, kCommon = 0xfff2, kXindex = 0xffff;
inline constexpr uint8_t kBindLocal = 0, kBindGlobal = 1, kBindWeak = 2;
inline constexpr uint8_t kNoType = 0, kObjectType = 1, kFuncType = 2, kSectionType = 3;
inline constexpr uint8_t kHidden = 2, kInternal = 1;
inline constexpr uint32_t kRel6464 = 1, kRelAbs64 = 2, kRelAbs32 = 3, kRelNodyld32 = 4, kRel6432 = 10;
inline constexpr size_t kHeaderSize = 64, kSectionHeaderSize = 64, kSymbolSize = 24, kRelSize = 16;

struct Section {
    std::string_view name;
    uint32_t type = 0;
    uint64_t flags = 0;
    ByteView data;     ///< empty for NOBITS
    uint64_t size = 0; ///< data.size(), or what a NOBITS section would take
    uint32_t link = 0;
    uint32_t info = 0;

    [[nodiscard]] bool is_code() const { return type == kProgbits && (flags & kFlagExec) != 0; }
};

struct Symbol {
    std::string_view name; ///< of a section symbol: the section's
    uint8_t bind = 0;
    uint8_t type = 0;
    uint8_t visibility = 0;
    uint32_t section = 0; ///< index, or kUndef, or from kLoReserve on
    uint64_t value = 0;   ///< offset in its section
    uint64_t size = 0;

    [[nodiscard]] bool is_hidden() const { return visibility == kHidden || visibility == kInternal; }
};

struct Reloc {
    uint64_t offset = 0; ///< in the section it patches
    uint32_t type = 0;
    uint32_t symbol = 0; ///< index, checked
};

/// A parsed file. Views point into the bytes it was parsed from, which must outlive it.
class File {
  public:
    [[nodiscard]] static Expected<File> parse(ByteView bytes, const std::string& origin);

    [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
    [[nodiscard]] const std::vector<Symbol>& symbols() const { return symbols_; }
    [[nodiscard]] const std::string& origin() const { return origin_; }
    /// First section of that name.
    [[nodiscard]] std::optional<uint32_t> find(std::string_view name) const;
    /// All relocations that patch a section, ordered by offset. Refuses RELA, bad symbol indices and offsets
    /// outside.
    [[nodiscard]] Expected<std::vector<Reloc>> relocs(uint32_t section) const;
    /// Error about a section: "a.o: section .maps: text".
    [[nodiscard]] Error bad(std::string_view section, const std::string& text, int code) const;
    [[nodiscard]] Error bad(std::string_view section, const std::string& text) const;

  private:
    [[nodiscard]] Status parse_sections(ByteView bytes);
    [[nodiscard]] Status parse_symbols();
    [[nodiscard]] Error bad_file(const std::string& text, int code) const;

    std::string origin_;
    std::vector<Section> sections_;
    std::vector<Symbol> symbols_;
};

} // namespace mimicsh::elf
