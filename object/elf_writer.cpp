// SPDX-License-Identifier: MIT
// From an Object to a relocatable ELF file, in the forms that clang writes and libbpf reads.
#include <algorithm>
#include <cerrno>
#include <map>

#include "object/elf_file.h"
#include "object/elf_writer_parts.h"

namespace mimicsh {

namespace elf {

namespace {

struct OutSection {
    std::string name;
    uint32_t type = kProgbits;
    uint64_t flags = 0;
    ByteVec data;
    uint64_t size = 0; ///< of NOBITS; else data.size() counts
    uint32_t link = 0;
    uint32_t info = 0;
    uint64_t entry = 0;
};

void put_rel(ByteVec& out, uint64_t offset, uint32_t symbol, uint32_t type) {
    out.resize(out.size() + kRelSize);
    store(&out[out.size() - 16], offset);
    store(&out[out.size() - 8], (uint64_t{symbol} << 32) | type);
}

class Writer {
  public:
    explicit Writer(const Object& object) : object_(object) {}
    Expected<ByteVec> run();

  private:
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return Error{code, "save object", object_.origin + ": " + text, "", ""};
    }
    Status collect_code();
    Status add_data();
    void add_plain_sections();
    uint32_t add_section(OutSection section) {
        sections_.push_back(std::move(section));
        return static_cast<uint32_t>(sections_.size() - 1);
    }
    uint32_t add_symbol(const std::string& name, uint8_t bind, uint8_t type, uint32_t section, uint64_t value,
                        uint64_t size);
    void add_local_symbols();
    void add_global_symbols();
    void add_function_symbol(uint32_t index);
    void add_variable_symbols();
    void write_code(const CodeSection& code, uint32_t section);
    void write_reloc(const Relocation& reloc, uint64_t offset, Insn* insn, ByteVec& rels) const;
    void write_map_slots();
    void add_rels(uint32_t section, ByteVec rels);
    uint32_t name_offset(const std::string& name);
    ByteVec assemble();

    const Object& object_;
    std::vector<CodeSection> code_;
    TypeSections types_;
    std::vector<OutSection> sections_{1};
    ByteVec names_{0};
    std::map<std::string, uint32_t> name_offsets_;
    ByteVec symbols_ = ByteVec(kSymbolSize, 0);
    uint32_t first_global_ = 0;
    uint32_t symtab_ = 0;
    std::vector<uint32_t> code_sections_;    // section index of each CodeSection
    std::vector<uint32_t> function_section_; // section index of each function
    std::vector<uint64_t> function_offset_;  // bytes in its section
    std::vector<uint32_t> function_symbol_;  // symbol of each function
    std::vector<uint32_t> map_symbol_;       // symbol of each map, of a data map its section's
    std::vector<uint32_t> map_section_;      // section index of each data map
    std::vector<uint32_t> extern_symbol_;
    std::map<uint32_t, uint32_t> section_symbol_;
    uint32_t maps_section_ = 0;
};

// -- Sections --

/// Whether reading the section's name gives the program's type and flags again.
bool keeps(const Function& function) {
    const ProgramSpec read = spec_of_section(function.section).value_or(ProgramSpec{});
    return read.type == function.spec->type && read.flags == function.spec->flags;
}

Status Writer::collect_code() {
    function_section_.resize(object_.functions.size());
    function_offset_.resize(object_.functions.size());
    for (uint32_t i = 0; i < object_.functions.size(); ++i) {
        const Function& function = object_.functions[i];
        if (function.section.empty() || (!function.spec && function.section != ".text")) {
            return bad("function '" + function.name + "' has no section that a file could keep");
        }
        if (function.spec && !keeps(function)) {
            return bad("program '" + function.name + "' has a type or flags that no section name says",
                       ENOTSUP);
        }
        auto found = std::find_if(code_.begin(), code_.end(),
                                  [&](const CodeSection& known) { return known.name == function.section; });
        if (found == code_.end()) {
            code_.push_back({function.section, {}, {}, 0});
            found = std::prev(code_.end());
        }
        found->functions.push_back(i);
        found->starts.push_back(found->slots);
        function_offset_[i] = uint64_t{found->slots} * 8;
        found->slots += static_cast<uint32_t>(function.insns.size());
    }
    return {};
}

Status Writer::add_data() {
    map_section_.resize(object_.maps.size());
    for (uint32_t i = 0; i < object_.maps.size(); ++i) {
        const MapDef& map = object_.maps[i];
        if (!map.is_data) {
            continue;
        }
        OutSection section;
        section.name = map.name;
        section.flags = kFlagAlloc | (map.frozen ? 0 : kFlagWrite);
        section.data = map.contents;
        if (map.name.starts_with(".bss")) {
            if (std::any_of(map.contents.begin(), map.contents.end(),
                            [](uint8_t byte) { return byte != 0; })) {
                return bad("section " + map.name + " cannot keep contents that are not zero", ENOTSUP);
            }
            section.type = kNobits;
            section.size = map.contents.size();
            section.data.clear();
        }
        map_section_[i] = add_section(std::move(section));
    }
    return {};
}

void Writer::add_plain_sections() {
    if (types_.maps_size != 0) {
        maps_section_ = add_section(
            {".maps", kProgbits, kFlagAlloc | kFlagWrite, ByteVec(types_.maps_size, 0), 0, 0, 0, 0});
    }
    if (!object_.license.empty()) {
        ByteVec text(object_.license.begin(), object_.license.end());
        text.push_back(0);
        add_section({"license", kProgbits, kFlagAlloc | kFlagWrite, std::move(text), 0, 0, 0, 0});
    }
    if (object_.kernel_version != 0) {
        ByteVec version(4);
        store(version.data(), object_.kernel_version);
        add_section({"version", kProgbits, kFlagAlloc | kFlagWrite, std::move(version), 0, 0, 0, 0});
    }
    if (!types_.btf.empty()) {
        add_section({".BTF", kProgbits, 0, types_.btf, 0, 0, 0, 0});
    }
    if (!types_.btf_ext.empty()) {
        add_section({".BTF.ext", kProgbits, 0, types_.btf_ext, 0, 0, 0, 0});
    }
}

// -- Symbols --

uint32_t Writer::name_offset(const std::string& name) {
    if (name.empty()) {
        return 0;
    }
    const auto [it, is_new] = name_offsets_.try_emplace(name, static_cast<uint32_t>(names_.size()));
    if (is_new) {
        names_.insert(names_.end(), name.begin(), name.end());
        names_.push_back(0);
    }
    return it->second;
}

uint32_t Writer::add_symbol(const std::string& name, uint8_t bind, uint8_t type, uint32_t section,
                            uint64_t value, uint64_t size) {
    const auto index = static_cast<uint32_t>(symbols_.size() / kSymbolSize);
    symbols_.resize(symbols_.size() + kSymbolSize);
    uint8_t* at = &symbols_[symbols_.size() - kSymbolSize];
    store(at, name_offset(name));
    at[4] = static_cast<uint8_t>((bind << 4) | type);
    store(at + 6, static_cast<uint16_t>(section));
    store(at + 8, value);
    store(at + 16, size);
    return index;
}

void Writer::add_function_symbol(uint32_t index) {
    const Function& function = object_.functions[index];
    const uint8_t bind = !function.is_global ? kBindLocal : function.is_weak ? kBindWeak : kBindGlobal;
    function_symbol_[index] = add_symbol(function.name, bind, kFuncType, function_section_[index],
                                         function_offset_[index], function.insns.size() * 8);
}

void Writer::add_local_symbols() {
    const auto add_section_symbol = [this](uint32_t section) {
        section_symbol_[section] = add_symbol("", kBindLocal, kSectionType, section, 0, 0);
    };
    for (const uint32_t section : code_sections_) {
        add_section_symbol(section);
    }
    map_symbol_.resize(object_.maps.size());
    for (uint32_t i = 0; i < object_.maps.size(); ++i) {
        if (object_.maps[i].is_data) {
            add_section_symbol(map_section_[i]);
            map_symbol_[i] = section_symbol_[map_section_[i]];
        }
    }
    function_symbol_.resize(object_.functions.size());
    for (uint32_t i = 0; i < object_.functions.size(); ++i) {
        if (!object_.functions[i].is_global) {
            add_function_symbol(i);
        }
    }
    first_global_ = static_cast<uint32_t>(symbols_.size() / kSymbolSize);
}

/// libbpf looks up every global variable that the BTF lists, even where the offset is known already.
void Writer::add_variable_symbols() {
    if (!object_.btf) {
        return;
    }
    const Btf& btf = *object_.btf;
    std::map<std::string_view, uint32_t> by_name;
    for (uint32_t i = 1; i < sections_.size(); ++i) {
        by_name.emplace(sections_[i].name, i);
    }
    for (uint32_t id = 1; id < btf.type_count(); ++id) {
        const BtfType& datasec = btf.type(id);
        const auto section = by_name.find(datasec.name);
        if (datasec.kind != BtfKind::Datasec || section == by_name.end() ||
            section->second == maps_section_) {
            continue;
        }
        for (const BtfSecVar& entry : datasec.vars) {
            const BtfType& var = btf.type(entry.var_type);
            if (var.kind == BtfKind::Var && var.linkage == 1) {
                add_symbol(std::string(var.name), kBindGlobal, kObjectType, section->second, entry.offset,
                           entry.size);
            }
        }
    }
}

void Writer::add_global_symbols() {
    for (uint32_t i = 0; i < object_.functions.size(); ++i) {
        if (object_.functions[i].is_global) {
            add_function_symbol(i);
        }
    }
    for (const MapPlace& place : types_.maps) {
        map_symbol_[place.map] = add_symbol(object_.maps[place.map].name, kBindGlobal, kObjectType,
                                            maps_section_, place.offset, place.size);
    }
    add_variable_symbols();
    for (const ExternDef& def : object_.externs) {
        extern_symbol_.push_back(
            add_symbol(def.name, def.is_weak ? kBindWeak : kBindGlobal, kNoType, kUndef, 0, 0));
    }
}

// -- Code and relocations --

void Writer::write_reloc(const Relocation& reloc, uint64_t offset, Insn* insn, ByteVec& rels) const {
    uint32_t symbol = 0;
    switch (reloc.kind) {
    case RelocKind::Map:
    case RelocKind::MapValue:
        insn[0].src = 0;
        insn[0].imm = reloc.kind == RelocKind::MapValue ? static_cast<int32_t>(reloc.offset) : 0;
        insn[1].imm = 0;
        symbol = map_symbol_[reloc.target];
        break;
    case RelocKind::Extern:
        symbol = extern_symbol_[reloc.target];
        if (insn[0].code != op::kLddw) {
            insn[0].src = op::kCallLocal & 0xf;
            insn[0].imm = -1;
        }
        break;
    case RelocKind::Call:
    case RelocKind::FuncAddress: {
        const bool is_call = reloc.kind == RelocKind::Call;
        const Function& target = object_.functions[reloc.target];
        const auto start = static_cast<int64_t>(function_offset_[reloc.target]);
        insn[0].src = (is_call ? op::kCallLocal : 0) & 0xf;
        if (target.is_global) {
            symbol = function_symbol_[reloc.target];
            insn[0].imm = is_call ? -1 : 0;
        } else {
            // libbpf wants local functions by section and distance.
            symbol = section_symbol_.at(function_section_[reloc.target]);
            insn[0].imm = static_cast<int32_t>(is_call ? start / 8 - 1 : start);
        }
        break;
    }
    }
    put_rel(rels, offset, symbol, insn[0].code == op::kLddw ? kRel6464 : kRel6432);
}

void Writer::write_code(const CodeSection& code, uint32_t section) {
    ByteVec bytes(size_t{code.slots} * 8);
    ByteVec rels;
    for (size_t i = 0; i < code.functions.size(); ++i) {
        const Function& function = object_.functions[code.functions[i]];
        std::vector<Insn> insns = function.insns;
        for (const Relocation& reloc : function.relocs) {
            write_reloc(reloc, uint64_t{code.starts[i] + reloc.insn} * 8, &insns[reloc.insn], rels);
        }
        std::memcpy(&bytes[size_t{code.starts[i]} * 8], insns.data(), insns.size() * 8);
    }
    sections_[section].data = std::move(bytes);
    add_rels(section, std::move(rels));
}

void Writer::add_rels(uint32_t section, ByteVec rels) {
    if (!rels.empty()) {
        add_section(
            {".rel" + sections_[section].name, kRel, 0x40, std::move(rels), 0, symtab_, section, kRelSize});
    }
}

void Writer::write_map_slots() {
    ByteVec rels;
    for (const MapPlace& place : types_.maps) {
        const MapDef& map = object_.maps[place.map];
        for (const MapDef::Slot& slot : map.slots) {
            const uint32_t symbol = map.type == abi::MapType::ProgArray ? function_symbol_[slot.target]
                                                                        : map_symbol_[slot.target];
            put_rel(rels, place.values_offset + uint64_t{8} * slot.index, symbol, kRelAbs64);
        }
    }
    add_rels(maps_section_, std::move(rels));
}

// -- The file --

ByteVec Writer::assemble() {
    std::vector<uint32_t> name_offsets;
    const uint32_t strtab = add_section({".strtab", kStrtab, 0, {}, 0, 0, 0, 0});
    for (const OutSection& section : sections_) {
        name_offsets.push_back(name_offset(section.name));
    }
    sections_[strtab].data = names_;
    sections_[symtab_].data = symbols_;
    sections_[symtab_].link = strtab;
    sections_[symtab_].info = first_global_;

    ByteVec out(kHeaderSize, 0);
    std::vector<uint64_t> offsets;
    for (const OutSection& section : sections_) {
        out.resize(round_up<size_t>(out.size(), 8));
        offsets.push_back(section.type == 0 ? 0 : out.size());
        out.insert(out.end(), section.data.begin(), section.data.end());
    }
    out.resize(round_up<size_t>(out.size(), 8));
    const uint64_t headers = out.size();
    out.resize(out.size() + sections_.size() * kSectionHeaderSize, 0);
    for (size_t i = 1; i < sections_.size(); ++i) {
        const OutSection& section = sections_[i];
        uint8_t* at = &out[headers + i * kSectionHeaderSize];
        store(at, name_offsets[i]);
        store(at + 4, section.type);
        store(at + 8, section.flags);
        store(at + 24, offsets[i]);
        store(at + 32, section.type == kNobits ? section.size : uint64_t{section.data.size()});
        store(at + 40, section.link);
        store(at + 44, section.info);
        store(at + 48, uint64_t{section.type == kStrtab ? 1u : 8u});
        store(at + 56, section.entry);
    }
    constexpr uint8_t kIdent[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    std::memcpy(out.data(), kIdent, sizeof kIdent);
    store(&out[16], kTypeRel);
    store(&out[18], kMachineBpf);
    store(&out[20], uint32_t{1});
    store(&out[40], headers);
    store(&out[52], static_cast<uint16_t>(kHeaderSize));
    store(&out[58], static_cast<uint16_t>(kSectionHeaderSize));
    store(&out[60], static_cast<uint16_t>(sections_.size()));
    store(&out[62], static_cast<uint16_t>(strtab));
    return out;
}

Expected<ByteVec> Writer::run() {
    if (auto ok = collect_code(); !ok) {
        return ok.error();
    }
    auto types = write_types(object_, code_);
    if (!types) {
        return types.error();
    }
    types_ = std::move(*types);
    for (const CodeSection& code : code_) {
        code_sections_.push_back(add_section({code.name, kProgbits, kFlagAlloc | kFlagExec, {}, 0, 0, 0, 0}));
        for (const uint32_t index : code.functions) {
            function_section_[index] = code_sections_.back();
        }
    }
    if (auto ok = add_data(); !ok) {
        return ok.error();
    }
    add_plain_sections();
    symtab_ = add_section({".symtab", kSymtab, 0, {}, 0, 0, 0, kSymbolSize});
    add_local_symbols();
    add_global_symbols();
    for (size_t i = 0; i < code_.size(); ++i) {
        write_code(code_[i], code_sections_[i]);
    }
    write_map_slots();
    if (sections_.size() + 1 >= kLoReserve) {
        return bad("too many sections", E2BIG);
    }
    return assemble();
}

bool same_map(const MapDef& a, const MapDef& b) {
    const bool same_inner = !a.inner == !b.inner && (!a.inner || same_map(*a.inner, *b.inner));
    return a.name == b.name && a.type == b.type && a.key_size == b.key_size && a.value_size == b.value_size &&
           a.max_entries == b.max_entries && a.extra == b.extra && a.numa_node == b.numa_node &&
           a.pinning == b.pinning && a.is_data == b.is_data && a.contents == b.contents &&
           a.slots.size() == b.slots.size() && same_inner && (a.is_data || a.flags == b.flags);
}

/// What a file cannot say must not be lost silently: the result is read back.
Status check_written(const Object& object, const ByteVec& bytes) {
    const auto bad = [&](const std::string& text) {
        return Error{ENOTSUP, "save object", object.origin + ": " + text, "", ""};
    };
    auto again = read_elf(bytes, object.origin);
    if (!again) {
        return bad("cannot be written: " + again.error().text);
    }
    for (const MapDef& map : object.maps) {
        const MapDef* other = again->find_map(map.name);
        if (other == nullptr || !same_map(map, *other)) {
            return bad("map '" + map.name + "' differs from what its BTF declares");
        }
    }
    if (again->functions.size() != object.functions.size()) {
        return bad("functions would be lost");
    }
    return {};
}

} // namespace

} // namespace elf

Expected<ByteVec> write_elf(const Object& object) {
    if (auto ok = validate(object); !ok) {
        return ok.error();
    }
    auto bytes = elf::Writer(object).run();
    if (!bytes) {
        return bytes.error();
    }
    if (auto ok = elf::check_written(object, *bytes); !ok) {
        return ok.error();
    }
    return bytes;
}

} // namespace mimicsh
