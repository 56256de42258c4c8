// SPDX-License-Identifier: MIT
// Listings: whole programs, and the declarations that the assembler needs in front of them.
#include <algorithm>

#include "object/asm_lexer.h"
#include "object/disasm.h"
#include "object/program_text.h"

namespace mimicsh {

using assembler::quote_name;

// -- Whole programs --

namespace {

constexpr size_t kBeside = 32; // column of what stands beside an instruction, behind the margin

} // namespace

std::string disassemble(const LinkedProgram& program, const ListingOptions& options) {
    const ProgramText lines(program, options.labels);
    SourceNotes notes;
    std::string out;
    if (options.section && program.object) {
        for (const Function& function : program.object->functions) {
            if (function.spec && function.name == program.name) {
                out += ".section " + quote_name(function.section) + "\n";
                if (program.exception_callback != 0) {
                    out += ".exception " + lines.function_at(program.exception_callback) + "\n";
                }
            }
        }
    }
    for (uint32_t slot = 0; slot < program.insns.size(); slot += slot_count(program.insns[slot])) {
        if (const std::string function = lines.function_at(slot); !function.empty()) {
            out += (slot == 0 ? "" : "\n") + function + ":\n";
        }
        if (const std::string label = lines.label_at(slot); !label.empty()) {
            out += label + ":\n";
        }
        std::string text = lines.text(slot);
        const SourceNote note = options.source ? notes.next(program, slot, text) : SourceNote();
        if (!note.above.empty()) {
            out += note.above + "\n";
        }
        if (!note.place.empty()) {
            text.resize(std::max(text.size() + 1, kBeside), ' ');
            text += "; " + note.place + (note.more.empty() ? "" : " " + note.more);
        }
        std::string margin = "    ";
        if (options.slots) {
            const std::string number = std::to_string(slot);
            margin = std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + ": ";
        }
        out += margin + text + "\n";
    }
    return out;
}

namespace {

// -- Declarations --

void attribute(std::string& out, const char* name, uint64_t value) {
    if (value != 0) {
        out += std::string(" ") + name + "=" + std::to_string(value);
    }
}

std::string map_text(const char* directive, const MapDef& map, const std::string& name) {
    std::string out =
        std::string(directive) + " " + quote_name(name) + " type=" + std::string(abi::name(map.type));
    attribute(out, "key", map.key_size);
    attribute(out, "value", map.value_size);
    attribute(out, "entries", map.max_entries);
    attribute(out, "flags", map.flags);
    attribute(out, "extra", map.extra);
    attribute(out, "numa", map.numa_node);
    attribute(out, "pinning", map.pinning);
    if (map.frozen) {
        out += " frozen";
    }
    if (map.is_data) {
        const auto last =
            std::find_if(map.contents.rbegin(), map.contents.rend(), [](uint8_t byte) { return byte != 0; });
        const auto used = static_cast<size_t>(map.contents.rend() - last);
        out += used == 0 ? " data" : " data=" + to_hex(ByteView(map.contents).first(used));
    }
    return out + "\n";
}

void add_slots(std::string& out, const Object& object, const MapDef& map, bool programs) {
    const bool of_programs = map.type == abi::MapType::ProgArray;
    for (const MapDef::Slot& slot : map.slots) {
        if (of_programs == programs) {
            out +=
                ".slot " + quote_name(map.name) + " " + std::to_string(slot.index) + " " +
                quote_name(of_programs ? object.functions[slot.target].name : object.maps[slot.target].name) +
                "\n";
        }
    }
}

} // namespace

std::string list_declarations(const Object& object) {
    std::string out = ".license " + quote_name(object.license) + "\n";
    for (const MapDef& map : object.maps) {
        out += map_text(".map", map, map.name);
        if (map.inner) {
            out += map_text(".inner", *map.inner, map.name);
        }
    }
    for (const MapDef& map : object.maps) {
        add_slots(out, object, map, false);
    }
    for (const ExternDef& def : object.externs) {
        const char* kind = def.kind == ExternKind::Kfunc  ? "kfunc"
                           : def.kind == ExternKind::Ksym ? "ksym"
                                                          : "kconfig";
        out += ".extern " + quote_name(def.name) + " " + kind + (def.is_weak ? " weak" : "") + "\n";
    }
    return out;
}

std::string list_program_slots(const Object& object) {
    std::string out;
    for (const MapDef& map : object.maps) {
        add_slots(out, object, map, true);
    }
    return out;
}

} // namespace mimicsh
