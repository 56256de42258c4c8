// SPDX-License-Identifier: MIT
// Bounds-checked parsing of ELF64 relocatable files.
#include "object/elf_file.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::elf {

namespace {

/// The NUL-terminated string at `offset`, or nothing when it leaves the table.
std::optional<std::string_view> string_at(ByteView table, uint64_t offset) {
    if (offset >= table.size()) {
        return std::nullopt;
    }
    const std::string_view rest = as_text(table.subspan(static_cast<size_t>(offset)));
    const size_t end = rest.find('\0');
    return end == std::string_view::npos ? std::nullopt : std::optional(rest.substr(0, end));
}

} // namespace

Error File::bad_file(const std::string& text, int code) const {
    return Error{code, "open object", origin_ + ": " + text, "", ""};
}

Error File::bad(std::string_view section, const std::string& text, int code) const {
    return bad_file("section " + std::string(section.substr(0, 128)) + ": " + text, code);
}

Error File::bad(std::string_view section, const std::string& text) const {
    return bad(section, text, EINVAL);
}

Expected<File> File::parse(ByteView bytes, const std::string& origin) {
    File file;
    file.origin_ = origin;
    constexpr std::string_view kMagic("\177ELF");
    if (bytes.size() < kMagic.size() || as_text(bytes.first(kMagic.size())) != kMagic) {
        Error error = file.bad_file("not an ELF file", EINVAL);
        error.hint = origin.ends_with(".c") ? "bpf.compile{file=\"" + origin + "\"} compiles C"
                                            : "give a .o file made by clang -target bpf";
        return error;
    }
    if (bytes.size() < kHeaderSize) {
        return file.bad_file("ELF header truncated", EINVAL);
    }
    if (bytes[4] != 2) {
        return file.bad_file("not a 64-bit ELF file", EINVAL);
    }
    if (bytes[5] != 1) {
        return file.bad_file("big-endian BPF objects are not supported", ENOTSUP);
    }
    const auto type = load<uint16_t>(&bytes[16]);
    const auto machine = load<uint16_t>(&bytes[18]);
    if (machine != kMachineBpf && machine != kMachineNone) {
        Error error = file.bad_file("made for machine " + std::to_string(machine) + ", not for BPF", EINVAL);
        error.hint = "compile with clang -target bpf";
        return error;
    }
    if (type != kTypeRel) {
        return file.bad_file("not a relocatable file (ELF type " + std::to_string(type) + ")", EINVAL);
    }
    if (auto ok = file.parse_sections(bytes); !ok) {
        return ok.error();
    }
    if (auto ok = file.parse_symbols(); !ok) {
        return ok.error();
    }
    return file;
}

Status File::parse_sections(ByteView bytes) {
    const auto offset = load<uint64_t>(&bytes[40]);
    const auto entry_size = load<uint16_t>(&bytes[58]);
    const auto count = load<uint16_t>(&bytes[60]);
    const auto names_index = load<uint16_t>(&bytes[62]);
    if (entry_size != kSectionHeaderSize) {
        return bad_file("section headers of " + std::to_string(entry_size) + " bytes", EINVAL);
    }
    const auto headers = slice(bytes, offset, uint64_t{count} * kSectionHeaderSize);
    if (!headers || count == 0) {
        return bad_file("section headers leave the file", EINVAL);
    }
    if (names_index >= count) {
        return bad_file("no section name table", EINVAL);
    }
    const auto raw_section = [&](size_t index) { return headers->data() + index * kSectionHeaderSize; };
    const uint8_t* names_header = raw_section(names_index);
    const auto names = slice(bytes, load<uint64_t>(names_header + 24), load<uint64_t>(names_header + 32));
    if (!names) {
        return bad_file("section name table leaves the file", EINVAL);
    }
    for (size_t i = 0; i < count; ++i) {
        const uint8_t* at = raw_section(i);
        Section section;
        section.type = load<uint32_t>(at + 4);
        section.flags = load<uint64_t>(at + 8);
        section.size = load<uint64_t>(at + 32);
        section.link = load<uint32_t>(at + 40);
        section.info = load<uint32_t>(at + 44);
        if (i != 0) {
            const auto name = string_at(*names, load<uint32_t>(at));
            if (!name) {
                return bad_file("name of section " + std::to_string(i) + " leaves the name table", EINVAL);
            }
            section.name = *name;
        }
        if (i != 0 && section.type != kNobits && section.type != 0) {
            const auto data = slice(bytes, load<uint64_t>(at + 24), section.size);
            if (!data) {
                return bad(section.name, "contents leave the file");
            }
            section.data = *data;
        }
        sections_.push_back(section);
    }
    return {};
}

Status File::parse_symbols() {
    const auto table = std::find_if(sections_.begin(), sections_.end(),
                                    [](const Section& section) { return section.type == kSymtab; });
    if (table == sections_.end()) {
        return bad_file("no symbol table", EINVAL);
    }
    if (table->link >= sections_.size() || sections_[table->link].type != kStrtab) {
        return bad(table->name, "no string table");
    }
    if (table->data.size() % kSymbolSize != 0) {
        return bad(table->name, "size is no multiple of a symbol's");
    }
    const ByteView names = sections_[table->link].data;
    for (size_t offset = 0; offset < table->data.size(); offset += kSymbolSize) {
        const uint8_t* at = table->data.data() + offset;
        Symbol symbol;
        const auto name = string_at(names, load<uint32_t>(at));
        const std::string which = "symbol " + std::to_string(symbols_.size());
        if (!name) {
            return bad(table->name, which + ": name leaves the string table");
        }
        symbol.name = *name;
        symbol.bind = at[4] >> 4;
        symbol.type = at[4] & 0xf;
        symbol.visibility = at[5] & 3;
        symbol.section = load<uint16_t>(at + 6);
        symbol.value = load<uint64_t>(at + 8);
        symbol.size = load<uint64_t>(at + 16);
        if (symbol.section == kXindex) {
            return bad(table->name, which + ": extended section indices are not supported", ENOTSUP);
        }
        if (symbol.section < kLoReserve && symbol.section >= sections_.size()) {
            return bad(table->name,
                       which + ": section " + std::to_string(symbol.section) + " does not exist");
        }
        if (symbol.section != kUndef && symbol.section < kLoReserve) {
            const Section& section = sections_[symbol.section];
            if (symbol.type == kSectionType) {
                symbol.name = section.name;
            }
            // Debug information has symbols of its own kinds; only code and variables must lie inside.
            if ((symbol.type == kFuncType || symbol.type == kObjectType) &&
                (symbol.value > section.size || symbol.size > section.size - symbol.value)) {
                return bad(section.name,
                           "symbol '" + std::string(symbol.name.substr(0, 128)) + "' leaves it");
            }
        }
        symbols_.push_back(symbol);
    }
    return {};
}

std::optional<uint32_t> File::find(std::string_view name) const {
    for (uint32_t i = 1; i < sections_.size(); ++i) {
        if (sections_[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

Expected<std::vector<Reloc>> File::relocs(uint32_t section) const {
    std::vector<Reloc> out;
    for (const Section& table : sections_) {
        if ((table.type != kRel && table.type != kRela) || table.info != section) {
            continue;
        }
        if (table.type == kRela) {
            return bad(table.name, "relocations with addends are not supported", ENOTSUP);
        }
        if (table.data.size() % kRelSize != 0) {
            return bad(table.name, "size is no multiple of a relocation's");
        }
        for (size_t at = 0; at < table.data.size(); at += kRelSize) {
            const auto info = load<uint64_t>(&table.data[at + 8]);
            const Reloc reloc{load<uint64_t>(&table.data[at]), static_cast<uint32_t>(info),
                              static_cast<uint32_t>(info >> 32)};
            if (reloc.symbol >= symbols_.size()) {
                return bad(table.name, "relocation " + std::to_string(at / kRelSize) + " names symbol " +
                                           std::to_string(reloc.symbol) + ", which does not exist");
            }
            if (reloc.offset >= sections_[section].size) {
                return bad(table.name, "relocation " + std::to_string(at / kRelSize) + " at offset " +
                                           std::to_string(reloc.offset) + " leaves section " +
                                           std::string(sections_[section].name));
            }
            out.push_back(reloc);
        }
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const Reloc& a, const Reloc& b) { return a.offset < b.offset; });
    return out;
}

} // namespace mimicsh::elf
