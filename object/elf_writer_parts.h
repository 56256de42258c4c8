// SPDX-License-Identifier: MIT
// What the writer's two files share: the object's types as a file wants them. Not a public header.
#pragma once

#include <string>
#include <vector>

#include "object/btf_edit.h"
#include "object/object.h"

namespace mimicsh::elf {

/// Where a map's definition lies in .maps.
struct MapPlace {
    uint32_t map = 0; ///< index in the object
    uint32_t offset = 0;
    uint32_t size = 0;
    uint32_t values_offset = 0; ///< of slot 0, from the start of the section
};

/// One contiguous run of functions in a section.
struct CodeSection {
    std::string name;
    std::vector<uint32_t> functions; ///< indices in the object
    std::vector<uint32_t> starts;    ///< slot of each in the section
    uint32_t slots = 0;
};

/// Types, map layout and .BTF.ext of an object file.
struct TypeSections {
    ByteVec btf; ///< empty when the object has neither types nor maps
    ByteVec btf_ext;
    std::vector<MapPlace> maps;
    uint32_t maps_size = 0;
};

/// Puts externs back as a compiler writes them, describes maps that no type describes, and collects the
/// records of functions, lines and CO-RE.
[[nodiscard]] Expected<TypeSections> write_types(const Object& object, const std::vector<CodeSection>& code);

} // namespace mimicsh::elf
