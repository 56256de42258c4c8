// SPDX-License-Identifier: MIT
// The steps of reading an object, shared between the reader's files. Not a public header.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "object/elf_file.h"
#include "object/object.h"

namespace mimicsh::elf {

/// Where something of the object came from: section index and byte offset in it.
struct Place {
    uint32_t section = 0;
    uint64_t offset = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
};

/// The object under construction, and where its parts came from.
struct Build {
    const File& file;
    Object object;
    std::vector<Place> function_places;   ///< parallel to object.functions, ascending
    std::vector<Place> map_places;        ///< parallel to object.maps; data sections have offset 0
    std::vector<uint32_t> extern_symbols; ///< symbol index, parallel to object.externs

    /// Index of the function that starts at, or holds, a byte of a code section.
    [[nodiscard]] std::optional<uint32_t> function_holding(Place place) const;
    [[nodiscard]] std::optional<uint32_t> function_at(Place place) const;
    [[nodiscard]] std::optional<uint32_t> map_at(Place place) const;
    [[nodiscard]] std::optional<uint32_t> extern_of(uint32_t symbol) const;
    [[nodiscard]] std::string_view section_name(uint32_t section) const {
        return file.sections()[section].name;
    }
};

/// Reads .BTF, collects externs, and sets Build::object.btf to the section with what a compiler leaves to the
/// loader filled in: sizes and offsets of data sections, kinds of externs the kernel accepts (elf_btf.cpp).
[[nodiscard]] Status read_btf(Build& build);

/// Maps declared in .maps, and their initial contents (elf_maps.cpp).
[[nodiscard]] Status read_maps(Build& build);
[[nodiscard]] Status read_map_slots(Build& build);

/// .data, .rodata, .bss as maps (elf_maps.cpp).
[[nodiscard]] Status read_data_sections(Build& build);
[[nodiscard]] bool is_data_section(const Section& section);

/// Function and line records, CO-RE relocations from .BTF.ext (btf_ext.cpp).
[[nodiscard]] Status read_btf_ext(Build& build);

} // namespace mimicsh::elf
