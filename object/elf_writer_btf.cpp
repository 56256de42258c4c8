// SPDX-License-Identifier: MIT
// .BTF, .BTF.ext and the layout of .maps for the writer.
#include <algorithm>
#include <cerrno>

#include "object/elf_writer_parts.h"

namespace mimicsh::elf {

namespace {

using btf_raw::make_info;

constexpr uint32_t kLinkageExtern = 2;
constexpr uint32_t kLinkageGlobal = 1;

Error bad(const Object& object, const std::string& text, int code = EINVAL) {
    return Error{code, "save object", object.origin + ": " + text, "", ""};
}

// -- Externs --

/// The reader made externs palatable to the kernel; a file has them as declared.
void restore_externs(const Object& object, BtfEditor& edit) {
    std::vector<uint32_t> kfuncs;
    for (const ExternDef& def : object.externs) {
        if (def.btf_id == 0) {
            continue;
        }
        if (def.kind == ExternKind::Kfunc) {
            edit.set_word(def.btf_id, 1, make_info(BtfKind::Func, kLinkageExtern));
            kfuncs.push_back(def.btf_id);
        } else {
            edit.set_word(def.btf_id, 3, kLinkageExtern);
            if (def.kind == ExternKind::Ksym) {
                edit.set_word(def.btf_id, 2, def.type_id);
            }
        }
    }
    const uint32_t sec = edit.find(".ksyms", BtfKind::Datasec);
    const uint32_t dummy = edit.find("dummy_ksym", BtfKind::Var);
    if (sec == 0) {
        return;
    }
    size_t next = 0;
    for (uint32_t i = 0; i < edit.vlen(sec); ++i) {
        const size_t at = 3 + 3 * size_t{i};
        if (dummy != 0 && edit.word(sec, at) == dummy && next < kfuncs.size()) {
            edit.set_word(sec, at, kfuncs[next++]);
        }
        edit.set_word(sec, at + 1, 0);
        edit.set_word(sec, at + 2, 0);
    }
    edit.set_word(sec, 2, 0);
}

// -- Maps --

/// Writes the struct that declares a map: numbers as pointers to arrays, types as pointers to them.
class MapTypes {
  public:
    explicit MapTypes(BtfEditor& edit) : edit_(edit), int_(edit.find_or_add_int()) {}

    uint32_t struct_of(const MapDef& map);
    uint32_t var_of(const MapDef& map, uint32_t type) {
        return edit_.add_type({edit_.add_string(map.name), make_info(BtfKind::Var, 0), type, kLinkageGlobal});
    }

  private:
    void number(const char* name, uint64_t value) {
        if (value != 0) {
            const uint32_t array = edit_.add_type(
                {0, make_info(BtfKind::Array, 0), 0, int_, int_, static_cast<uint32_t>(value)});
            member(name, edit_.add_type({0, make_info(BtfKind::Ptr, 0), array}));
        }
    }
    void type_or_size(const char* type_name, const char* size_name, uint32_t btf_id, uint32_t size) {
        if (btf_id != 0) {
            member(type_name, edit_.add_type({0, make_info(BtfKind::Ptr, 0), btf_id}));
        } else {
            number(size_name, size);
        }
    }
    void member(const char* name, uint32_t type) {
        members_.insert(members_.end(), {edit_.add_string(name), type, size_ * 8});
        size_ += 8;
    }
    uint32_t values_of(const MapDef& map);

    BtfEditor& edit_;
    uint32_t int_;
    std::vector<uint32_t> members_;
    uint32_t size_ = 0;
};

uint32_t MapTypes::values_of(const MapDef& map) {
    uint32_t target = 0;
    if (map.inner) {
        target = MapTypes(edit_).struct_of(*map.inner);
    } else {
        const uint32_t context = edit_.add_type({0, make_info(BtfKind::Ptr, 0), 0});
        target = edit_.add_type({0, make_info(BtfKind::FuncProto, 1), int_, 0, context});
    }
    const uint32_t pointer = edit_.add_type({0, make_info(BtfKind::Ptr, 0), target});
    return edit_.add_type({0, make_info(BtfKind::Array, 0), 0, pointer, int_, 0});
}

uint32_t MapTypes::struct_of(const MapDef& map) {
    members_.clear();
    size_ = 0;
    const bool has_values = map.inner || !map.slots.empty();
    number("type", static_cast<uint64_t>(map.type));
    type_or_size("key", "key_size", map.key_btf_id, map.key_size);
    if (!has_values) {
        type_or_size("value", "value_size", map.value_btf_id, map.value_size);
    }
    number("max_entries", map.max_entries);
    number("map_flags", map.flags);
    number("map_extra", map.extra);
    number("numa_node", map.numa_node);
    number("pinning", map.pinning);
    if (has_values) {
        const uint32_t values = values_of(map);
        members_.insert(members_.end(), {edit_.add_string("values"), values, size_ * 8});
    }
    std::vector<uint32_t> words{0, make_info(BtfKind::Struct, static_cast<uint32_t>(members_.size() / 3)),
                                size_};
    words.insert(words.end(), members_.begin(), members_.end());
    return edit_.add_type(words);
}

/// Maps that no DATASEC describes: front-ends other than a C compiler make such.
void add_map_types(const Object& object, BtfEditor& edit, TypeSections& out) {
    std::vector<uint32_t> entries;
    for (uint32_t i = 0; i < object.maps.size(); ++i) {
        const MapDef& map = object.maps[i];
        if (map.is_data) {
            continue;
        }
        MapTypes types(edit);
        const uint32_t type = types.struct_of(map);
        uint32_t slots = 0;
        for (const MapDef::Slot& slot : map.slots) {
            slots = std::max(slots, slot.index + 1);
        }
        const uint32_t fixed = edit.word(type, 2);
        const uint32_t size = std::max(fixed + 8 * slots, 8u);
        entries.insert(entries.end(), {types.var_of(map, type), out.maps_size, size});
        out.maps.push_back({i, out.maps_size, size, out.maps_size + fixed});
        out.maps_size += size;
    }
    if (entries.empty()) {
        return;
    }
    std::vector<uint32_t> words{edit.add_string(".maps"),
                                make_info(BtfKind::Datasec, static_cast<uint32_t>(entries.size() / 3)),
                                out.maps_size};
    words.insert(words.end(), entries.begin(), entries.end());
    edit.add_type(words);
}

/// Maps as their DATASEC lays them out.
Status place_maps(const Object& object, const Btf& btf, uint32_t datasec, TypeSections& out) {
    out.maps_size = btf.type(datasec).size;
    for (uint32_t i = 0; i < object.maps.size(); ++i) {
        const MapDef& map = object.maps[i];
        if (map.is_data) {
            continue;
        }
        const auto& vars = btf.type(datasec).vars;
        const auto entry = std::find_if(vars.begin(), vars.end(), [&](const BtfSecVar& var) {
            return btf.type(var.var_type).name == map.name;
        });
        if (entry == vars.end()) {
            return bad(object, "map '" + map.name + "' is not described by the object's BTF, but others are",
                       ENOTSUP);
        }
        const BtfType& type = btf.type(btf.resolve(btf.type(entry->var_type).type));
        const uint32_t values = type.members.empty() ? 0 : type.members.back().bit_offset / 8;
        out.maps.push_back({i, entry->offset, entry->size, entry->offset + values});
    }
    return {};
}

// -- .BTF.ext --

void put(ByteVec& out, uint32_t value) {
    out.resize(out.size() + 4);
    store(&out[out.size() - 4], value);
}

/// One of the three tables: record size, then per section its name, a count, and the records.
template <typename Records>
ByteVec table(const std::vector<CodeSection>& code, BtfEditor& edit, uint32_t record_size, Records records) {
    ByteVec out;
    put(out, record_size);
    for (const CodeSection& section : code) {
        ByteVec body;
        for (size_t i = 0; i < section.functions.size(); ++i) {
            records(section.functions[i], section.starts[i] * 8, body);
        }
        if (!body.empty()) {
            put(out, edit.add_string(section.name));
            put(out, static_cast<uint32_t>(body.size() / record_size));
            out.insert(out.end(), body.begin(), body.end());
        }
    }
    return out.size() == 4 ? ByteVec{} : out;
}

ByteVec write_ext(const Object& object, const std::vector<CodeSection>& code, BtfEditor& edit) {
    const ByteVec functions = table(code, edit, 8, [&](uint32_t index, uint32_t start, ByteVec& body) {
        if (object.functions[index].btf_id != 0) {
            put(body, start);
            put(body, object.functions[index].btf_id);
        }
    });
    const ByteVec lines = table(code, edit, 16, [&](uint32_t index, uint32_t start, ByteVec& body) {
        for (const LineInfo& line : object.functions[index].lines) {
            put(body, start + line.insn * 8);
            put(body, line.file_off);
            put(body, line.text_off);
            put(body, (line.line << 10) | (line.column & 0x3ff));
        }
    });
    const ByteVec relocs = table(code, edit, 16, [&](uint32_t index, uint32_t start, ByteVec& body) {
        for (const CoreRelocation& relo : object.functions[index].core_relocs) {
            put(body, start + relo.insn * 8);
            put(body, relo.type_id);
            put(body, edit.add_string(relo.access));
            put(body, relo.kind);
        }
    });
    if (functions.empty() && lines.empty() && relocs.empty()) {
        return {};
    }
    ByteVec out{0x9f, 0xeb, 1, 0};
    put(out, 32);
    uint32_t offset = 0;
    for (const ByteVec* part : {&functions, &lines, &relocs}) {
        put(out, offset);
        put(out, static_cast<uint32_t>(part->size()));
        offset += static_cast<uint32_t>(part->size());
    }
    for (const ByteVec* part : {&functions, &lines, &relocs}) {
        out.insert(out.end(), part->begin(), part->end());
    }
    return out;
}

} // namespace

Expected<TypeSections> write_types(const Object& object, const std::vector<CodeSection>& code) {
    TypeSections out;
    const bool has_maps =
        std::any_of(object.maps.begin(), object.maps.end(), [](const MapDef& map) { return !map.is_data; });
    if (!object.btf && !has_maps) {
        return out;
    }
    BtfEditor edit = object.btf ? BtfEditor(*object.btf) : BtfEditor();
    const auto datasec = object.btf ? object.btf->find(".maps", BtfKind::Datasec) : std::nullopt;
    if (datasec) {
        if (auto ok = place_maps(object, *object.btf, *datasec, out); !ok) {
            return ok.error();
        }
    } else {
        add_map_types(object, edit, out);
    }
    out.btf_ext = write_ext(object, code, edit);
    restore_externs(object, edit);
    out.btf = edit.finish();
    return out;
}

} // namespace mimicsh::elf
