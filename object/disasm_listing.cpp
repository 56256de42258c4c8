// SPDX-License-Identifier: MIT
// Listings: whole programs, and the declarations that the assembler needs in front of them.
#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "object/asm_lexer.h"
#include "object/disasm.h"
#include "object/disasm_parts.h"

namespace mimicsh {

using assembler::quote_name;

// -- Whole programs --

namespace {

/// One program with names that the assembler can tell apart.
class Listing {
  public:
    Listing(const LinkedProgram& program, const ListingOptions& options)
        : program_(program), options_(options) {
        choose_names();
        choose_labels();
    }
    std::string run();

  private:
    void choose_names();
    void choose_labels();
    [[nodiscard]] std::optional<uint32_t> jump_target(uint32_t slot) const;
    [[nodiscard]] std::string text(uint32_t slot) const;
    void add_source(uint32_t slot);

    const LinkedProgram& program_;
    const ListingOptions& options_;
    std::vector<std::string> names_;     // of functions, parallel to program_.functions, each once
    std::set<std::string> taken_;        // what a `call` may mean before it means a helper
    std::vector<bool> starts_, targets_; // by slot: an instruction begins, a jump arrives
    std::string prefix_ = "L";           // of labels
    const LineInfo* last_line_ = nullptr;
    std::string last_comment_;
    std::string out_;
};

/// Static functions of one object may share a name; a text cannot keep them apart.
void Listing::choose_names() {
    if (program_.object) {
        for (const ExternDef& def : program_.object->externs) {
            taken_.insert(def.name);
        }
    }
    for (const LinkedFunction& function : program_.functions) {
        std::string name = function.name;
        for (uint32_t number = 2; !taken_.insert(name).second; ++number) {
            name = function.name + "." + std::to_string(number);
        }
        names_.push_back(name);
    }
    const auto clashes = [&] {
        return std::ranges::any_of(names_, [&](const std::string& n) { return n.starts_with(prefix_); });
    };
    while (clashes()) {
        prefix_ += '_';
    }
}

std::optional<uint32_t> Listing::jump_target(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    const InsnForm* form = classify(insn);
    if (form == nullptr ||
        (form->kind != InsnKind::Jump && form->kind != InsnKind::Goto && form->kind != InsnKind::MayGoto)) {
        return std::nullopt;
    }
    const bool is_long = insn.code == (op::kJmp32 | op::kJa);
    const int64_t target = int64_t{slot} + 1 + (is_long ? insn.imm : insn.off);
    if (target < 0 || target >= static_cast<int64_t>(starts_.size()) ||
        !starts_[static_cast<size_t>(target)]) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(target);
}

void Listing::choose_labels() {
    const auto count = static_cast<uint32_t>(program_.insns.size());
    starts_.assign(count, false);
    targets_.assign(count, false);
    for (uint32_t slot = 0; slot < count; slot += slot_count(program_.insns[slot])) {
        starts_[slot] = true;
    }
    for (uint32_t slot = 0; options_.labels && slot < count; slot += slot_count(program_.insns[slot])) {
        if (const auto target = jump_target(slot)) {
            targets_[*target] = true;
        }
    }
}

std::string Listing::text(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    if (std::string named = named_text(program_, slot, &names_); !named.empty()) {
        return named;
    }
    std::string plain = disassemble(insn, second_slot(program_, slot));
    const InsnForm* form = classify(insn);
    if (form != nullptr && form->kind == InsnKind::CallHelper && plain.starts_with("call bpf_") &&
        taken_.contains(plain.substr(5))) {
        return "call " + std::to_string(insn.imm);
    }
    if (const auto target = options_.labels ? jump_target(slot) : std::nullopt) {
        return plain.substr(0, plain.rfind(' ') + 1) + prefix_ + std::to_string(*target);
    }
    return plain;
}

void Listing::add_source(uint32_t slot) {
    const LineInfo* line = program_.line_at(slot);
    if (line == nullptr || line == last_line_) {
        return;
    }
    last_line_ = line;
    const SourceLine source = source_line(program_, slot);
    if (source.text.empty()) {
        return;
    }
    const std::string file = source.file.substr(source.file.rfind('/') + 1);
    std::string comment = "; " + file + ":" + std::to_string(source.line) + " " + source.text;
    for (char& c : comment) {
        c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    if (comment != last_comment_) { // records of one line that differ by column only
        out_ += comment + "\n";
        last_comment_ = comment;
    }
}

std::string Listing::run() {
    if (options_.section && program_.object) {
        for (const Function& function : program_.object->functions) {
            if (function.spec && function.name == program_.name) {
                out_ += ".section " + quote_name(function.section) + "\n";
            }
        }
    }
    size_t next = 0;
    for (uint32_t slot = 0; slot < program_.insns.size(); slot += slot_count(program_.insns[slot])) {
        if (next < program_.functions.size() && program_.functions[next].insn == slot) {
            out_ += (slot == 0 ? "" : "\n") + quote_name(names_[next++]) + ":\n";
        }
        if (targets_[slot]) {
            out_ += prefix_ + std::to_string(slot) + ":\n";
        }
        if (options_.source) {
            add_source(slot);
        }
        std::string margin = "    ";
        if (options_.slots) {
            const std::string number = std::to_string(slot);
            margin = std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + ": ";
        }
        out_ += margin + text(slot) + "\n";
    }
    return std::move(out_);
}

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

std::string disassemble(const LinkedProgram& program, const ListingOptions& options) {
    return Listing(program, options).run();
}

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
