// SPDX-License-Identifier: MIT
// Maps of an object file: BTF-defined ones in .maps, their initial slots, and data sections.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "object/elf_parts.h"

namespace mimicsh::elf {

namespace {

constexpr uint64_t kMaxDataBytes = 64u << 20; // of all data sections; a hostile .bss must not eat the memory
constexpr uint32_t kMaxMaps = 4096;

/// Reads one struct that describes a map. Each member's type carries a number or a type, never a value.
class MapParser {
  public:
    MapParser(const Build& build, const std::string& map_name)
        : build_(build), btf_(*build.object.btf), map_name_(map_name) {}

    Status parse(uint32_t struct_id, MapDef& map, bool is_inner);

  private:
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return build_.file.bad(".maps", "map '" + map_name_ + "': " + text, code);
    }
    [[nodiscard]] std::optional<uint64_t> number(const BtfMember& member) const;
    [[nodiscard]] Status field(const BtfMember& member, MapDef& map, bool is_inner, bool is_last);
    [[nodiscard]] Status type_field(const BtfMember& member, uint32_t& size, uint32_t& btf_id) const;
    [[nodiscard]] Status values_field(const BtfMember& member, MapDef& map, bool is_inner);
    [[nodiscard]] Status number_field(const BtfMember& member, MapDef& map) const;

    const Build& build_;
    const Btf& btf_;
    const std::string& map_name_;
};

/// __uint(x, n) is a pointer to an array of n elements; __ulong an enum with one value.
std::optional<uint64_t> MapParser::number(const BtfMember& member) const {
    const BtfType& outer = btf_.type(btf_.resolve(member.type));
    if (outer.kind == BtfKind::Ptr) {
        const BtfType& inner = btf_.type(btf_.resolve(outer.type));
        if (inner.kind == BtfKind::Array) {
            return inner.elements;
        }
    }
    if ((outer.kind == BtfKind::Enum || outer.kind == BtfKind::Enum64) && outer.enumerators.size() == 1) {
        return static_cast<uint64_t>(outer.enumerators[0].value);
    }
    return std::nullopt;
}

Status MapParser::type_field(const BtfMember& member, uint32_t& size, uint32_t& btf_id) const {
    const std::string name(member.name);
    const BtfType& pointer = btf_.type(btf_.resolve(member.type));
    if (pointer.kind != BtfKind::Ptr) {
        return bad("field '" + name + "' is no pointer to a type");
    }
    const auto bytes = btf_.size_of(pointer.type);
    if (!bytes || *bytes > UINT32_MAX) {
        return bad("type of '" + name + "' has no usable size");
    }
    if (size != 0 && size != *bytes) {
        return bad("field '" + name + "' is of " + std::to_string(*bytes) + " bytes, its size field says " +
                   std::to_string(size));
    }
    size = static_cast<uint32_t>(*bytes);
    btf_id = pointer.type;
    return {};
}

/// __array(values, ...): a zero-length array of pointers to the inner map's struct, or to programs.
Status MapParser::values_field(const BtfMember& member, MapDef& map, bool is_inner) {
    if (is_inner) {
        return bad("an inner map cannot have values of its own");
    }
    const BtfType& array = btf_.type(btf_.resolve(member.type));
    if (array.kind != BtfKind::Array || array.elements != 0) {
        return bad("field 'values' is no array without size");
    }
    const BtfType& pointer = btf_.type(btf_.resolve(array.type));
    if (pointer.kind != BtfKind::Ptr) {
        return bad("field 'values' holds no pointers");
    }
    if (map.value_size != 0 && map.value_size != 4) {
        return bad("value size " + std::to_string(map.value_size) + " beside 'values', which are of 4 bytes");
    }
    map.value_size = 4;
    const uint32_t target = btf_.resolve(pointer.type);
    if (map.type == abi::MapType::ProgArray) {
        return btf_.type(target).kind == BtfKind::FuncProto ? Status() : bad("values are no programs");
    }
    if (map.type != abi::MapType::ArrayOfMaps && map.type != abi::MapType::HashOfMaps) {
        return bad("field 'values' on a map that holds neither maps nor programs");
    }
    if (btf_.type(target).kind != BtfKind::Struct) {
        return bad("values are no maps");
    }
    map.inner = std::make_shared<MapDef>();
    map.inner->name = map.name + ".inner";
    return MapParser(build_, map.inner->name).parse(target, *map.inner, true);
}

Status MapParser::number_field(const BtfMember& member, MapDef& map) const {
    const std::string_view name = member.name;
    const auto value = number(member);
    if (!value) {
        return bad("field '" + std::string(name.substr(0, 64)) + "' is no number");
    }
    if (name == "map_extra") {
        map.extra = *value;
        return {};
    }
    if (*value > UINT32_MAX) {
        return bad("field '" + std::string(name) + "' is too large");
    }
    const auto small = static_cast<uint32_t>(*value);
    if (name == "type") {
        if (small == 0 || small > static_cast<uint32_t>(abi::MapType::Arena)) {
            return bad("unknown map type " + std::to_string(small), ENOTSUP);
        }
        map.type = static_cast<abi::MapType>(small);
    } else if (name == "max_entries") {
        map.max_entries = small;
    } else if (name == "map_flags") {
        map.flags = small;
    } else if (name == "numa_node") {
        map.numa_node = small;
    } else if (name == "pinning") {
        if (small > 1) {
            return bad("unknown pinning " + std::to_string(small));
        }
        map.pinning = small;
    } else if (name == "key_size" || name == "value_size") {
        uint32_t& size = name == "key_size" ? map.key_size : map.value_size;
        if (size != 0 && size != small) {
            return bad("field '" + std::string(name) + "' is " + std::to_string(small) + ", its type has " +
                       std::to_string(size) + " bytes");
        }
        size = small;
    } else {
        return bad("unknown field '" + std::string(name.substr(0, 64)) + "'");
    }
    return {};
}

Status MapParser::field(const BtfMember& member, MapDef& map, bool is_inner, bool is_last) {
    if (member.name == "key") {
        return type_field(member, map.key_size, map.key_btf_id);
    }
    if (member.name == "value") {
        return type_field(member, map.value_size, map.value_btf_id);
    }
    if (member.name == "values") {
        return is_last ? values_field(member, map, is_inner) : bad("field 'values' is not the last");
    }
    if (member.name == "pinning" && is_inner) {
        return bad("an inner map cannot be pinned");
    }
    return number_field(member, map);
}

/// Bytes of a ring whose size somebody asked for: the next power of two of at least a page, as loaders round
/// it up (bpf_object__create_map, libbpf). Nothing, and what 32 bits cannot hold, is left to the target to
/// refuse.
uint32_t ring_size(uint32_t asked) {
    constexpr uint32_t kPage = 4096;
    const uint32_t most = uint32_t{1} << 31;
    return asked == 0 || asked > most ? asked : std::bit_ceil(std::max(asked, kPage));
}

Status MapParser::parse(uint32_t struct_id, MapDef& map, bool is_inner) {
    const auto& members = btf_.type(struct_id).members;
    for (size_t i = 0; i < members.size(); ++i) {
        if (auto ok = field(members[i], map, is_inner, i + 1 == members.size()); !ok) {
            return ok;
        }
    }
    if (map.type == abi::MapType::Unspec) {
        return bad("has no type");
    }
    if (map.type == abi::MapType::Ringbuf || map.type == abi::MapType::UserRingbuf) {
        map.max_entries = ring_size(map.max_entries);
    }
    return {};
}

/// Member "values" of the map at a variable, as a byte offset from its start.
std::optional<uint32_t> values_offset(const Btf& btf, uint32_t var) {
    const BtfType& type = btf.type(btf.resolve(btf.type(var).type));
    if (type.members.empty() || type.members.back().name != "values") {
        return std::nullopt;
    }
    return type.members.back().bit_offset / 8;
}

} // namespace

Status read_maps(Build& build) {
    if (const auto legacy = build.file.find("maps")) {
        Error error = build.file.bad("maps", "map definitions without BTF are not supported", ENOTSUP);
        error.hint = "declare maps in SEC(\".maps\") with __uint and __type";
        return error;
    }
    const auto section = build.file.find(".maps");
    if (!section || build.file.sections()[*section].size == 0) {
        return {};
    }
    const Btf* btf = build.object.btf.get();
    const auto sec_id = btf != nullptr ? btf->find(".maps", BtfKind::Datasec) : std::nullopt;
    if (!sec_id) {
        Error error = build.file.bad(".maps", "no BTF describes it");
        error.hint = "compile with -g";
        return error;
    }
    if (btf->type(*sec_id).vars.size() > kMaxMaps) {
        return build.file.bad(".maps", "more than " + std::to_string(kMaxMaps) + " maps", E2BIG);
    }
    for (const BtfSecVar& entry : btf->type(*sec_id).vars) {
        const BtfType& var = btf->type(entry.var_type);
        MapDef map;
        map.name = var.name;
        const uint32_t def = btf->resolve(var.type);
        if (var.kind != BtfKind::Var || map.name.empty() || btf->type(def).kind != BtfKind::Struct) {
            return build.file.bad(".maps", "variable '" + map.name.substr(0, 128) + "' is no map definition");
        }
        if (auto ok = MapParser(build, map.name).parse(def, map, false); !ok) {
            return ok;
        }
        build.object.maps.push_back(std::move(map));
        build.map_places.push_back({*section, entry.offset});
    }
    return {};
}

namespace {

/// One relocation inside .maps: a slot of a map's 'values' names a program or another map.
Status read_slot(Build& build, const Reloc& reloc, const BtfSecVar& entry, MapDef& map) {
    const Btf& btf = *build.object.btf;
    const Symbol& symbol = build.file.symbols()[reloc.symbol];
    const auto bad = [&](const std::string& text) {
        return build.file.bad(".maps", "map '" + map.name + "': " + text);
    };
    const auto start = values_offset(btf, entry.var_type);
    const uint64_t within = reloc.offset - entry.offset;
    if (!start || within < *start || (within - *start) % 8 != 0) {
        return bad("relocation at offset " + std::to_string(reloc.offset) + " is outside its values");
    }
    const uint64_t index = (within - *start) / 8;
    const bool is_hash = map.type == abi::MapType::HashOfMaps; // whose keys are any numbers
    if (!is_hash && map.max_entries != 0 && index >= map.max_entries) {
        return bad("value " + std::to_string(index) + " is beyond max_entries");
    }
    if (symbol.section == kUndef || symbol.section >= kLoReserve) {
        return bad("value " + std::to_string(index) + " is not defined in this file");
    }
    const Place place{symbol.section, symbol.value};
    const auto target = map.type == abi::MapType::ProgArray ? build.function_at(place) : build.map_at(place);
    if (!target) {
        return bad("value " + std::to_string(index) + " is neither a program nor a map of this file");
    }
    map.slots.push_back({static_cast<uint32_t>(index), *target});
    return {};
}

} // namespace

Status read_map_slots(Build& build) {
    const auto section = build.file.find(".maps");
    if (!section) {
        return {};
    }
    auto relocs = build.file.relocs(*section);
    if (!relocs) {
        return relocs.error();
    }
    const auto sec_id = build.object.btf ? build.object.btf->find(".maps", BtfKind::Datasec) : std::nullopt;
    if (!sec_id) {
        return {}; // an empty section
    }
    const auto& vars = build.object.btf->type(*sec_id).vars;
    for (const Reloc& reloc : *relocs) {
        // Variables are sorted by offset: the one that holds the relocation is the last not behind it.
        const auto after = std::upper_bound(vars.begin(), vars.end(), reloc.offset,
                                            [](uint64_t at, const BtfSecVar& v) { return at < v.offset; });
        if (after == vars.begin() || reloc.offset - std::prev(after)->offset >= std::prev(after)->size) {
            return build.file.bad(".maps",
                                  "relocation at offset " + std::to_string(reloc.offset) + " is in no map");
        }
        const auto index = static_cast<size_t>(std::prev(after) - vars.begin());
        if (auto ok = read_slot(build, reloc, vars[index], build.object.maps[index]); !ok) {
            return ok;
        }
    }
    return {};
}

bool is_data_section(const Section& section) {
    const auto is = [&](std::string_view base) {
        return section.name == base ||
               (section.name.starts_with(base) && section.name.substr(base.size()).starts_with('.'));
    };
    return section.size != 0 &&
           ((section.type == kProgbits && !section.is_code() && (is(".data") || is(".rodata"))) ||
            (section.type == kNobits && is(".bss")));
}

namespace {

/// A data section is mapped into user space when it has a variable that others may see; libbpf's rule.
bool has_visible_variable(const Btf& btf, uint32_t datasec) {
    const auto& vars = btf.type(datasec).vars;
    return std::any_of(vars.begin(), vars.end(), [&](const BtfSecVar& entry) {
        return btf.type(entry.var_type).kind == BtfKind::Var && btf.type(entry.var_type).linkage != 0;
    });
}

} // namespace

Status read_data_sections(Build& build) {
    uint64_t total = 0;
    for (uint32_t i = 1; i < build.file.sections().size(); ++i) {
        const Section& section = build.file.sections()[i];
        if (section.name.starts_with(".struct_ops") && section.size != 0) {
            return build.file.bad(section.name, "struct_ops are not supported", ENOTSUP);
        }
        if (!is_data_section(section)) {
            continue;
        }
        if (section.size > kMaxDataBytes - total) {
            return build.file.bad(section.name,
                                  std::to_string(section.size) + " bytes, more than " +
                                      std::to_string(kMaxDataBytes >> 20) + " MiB of data",
                                  E2BIG);
        }
        total += section.size;
        // Initialised pointers stay what the file has in their place: maps hold no addresses, and loaders
        // leave such relocations alone (bpf_object__collect_relos, libbpf).
        MapDef map;
        map.name = section.name;
        map.type = abi::MapType::Array;
        map.key_size = 4;
        map.value_size = static_cast<uint32_t>(section.size);
        map.max_entries = 1;
        map.is_data = true;
        map.frozen = section.name.starts_with(".rodata");
        map.flags = map.frozen ? abi::kMapRdonlyProg : 0;
        map.contents.assign(section.data.begin(), section.data.end());
        map.contents.resize(section.size);
        const Btf* btf = build.object.btf.get();
        if (const auto id = btf != nullptr ? btf->find(section.name, BtfKind::Datasec) : std::nullopt) {
            map.value_btf_id = *id;
            map.flags |= has_visible_variable(*btf, *id) ? abi::kMapMmapable : 0;
        }
        build.object.maps.push_back(std::move(map));
        build.map_places.push_back({i, 0});
    }
    return {};
}

} // namespace mimicsh::elf
