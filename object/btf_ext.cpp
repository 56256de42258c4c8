// SPDX-License-Identifier: MIT
// .BTF.ext: function and line records and CO-RE relocations, per code section.
#include <algorithm>
#include <cerrno>

#include "object/btf_raw.h"
#include "object/elf_parts.h"

namespace mimicsh::elf {

namespace {

constexpr uint32_t kFuncRecord = 8, kLineRecord = 16, kCoreRecord = 16;
constexpr uint32_t kMaxAccess =
    1024; // characters of an access string; the deepest real ones have a few dozen

class ExtReader {
  public:
    ExtReader(Build& build, ByteView bytes) : build_(build), bytes_(bytes) {}
    Status run();

  private:
    enum class Part { Func, Line, Core };
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return build_.file.bad(".BTF.ext", text, code);
    }
    Status read_part(Part part, const char* what, ByteView data, uint32_t min_record);
    Status read_record(Part part, uint32_t section, const uint8_t* at);
    Status read_core(Function& function, uint32_t insn, const uint8_t* at) const;
    [[nodiscard]] std::optional<uint32_t> code_section(std::string_view name) const;

    Build& build_;
    ByteView bytes_;
};

std::optional<uint32_t> ExtReader::code_section(std::string_view name) const {
    const auto& sections = build_.file.sections();
    for (uint32_t i = 1; i < sections.size(); ++i) {
        if (sections[i].is_code() && sections[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

Status ExtReader::run() {
    if (bytes_.size() < 24) {
        return bad("header truncated");
    }
    if (load<uint16_t>(bytes_.data()) != btf_raw::kMagic) {
        return bad("wrong magic");
    }
    if (bytes_[2] != 1) {
        return bad("version " + std::to_string(bytes_[2]) + " is not supported", ENOTSUP);
    }
    const auto header = load<uint32_t>(&bytes_[4]);
    if (header < 24 || header > bytes_.size()) {
        return bad("header length " + std::to_string(header) + " leaves the section");
    }
    const ByteView body = bytes_.subspan(header);
    struct Row {
        Part part;
        const char* what;
        uint32_t at;
        uint32_t record;
    };
    for (const Row& row :
         {Row{Part::Func, "func_info", 8, kFuncRecord}, Row{Part::Line, "line_info", 16, kLineRecord},
          Row{Part::Core, "core_relo", 24, kCoreRecord}}) {
        if (header < row.at + 8) {
            continue;
        }
        const auto data = slice(body, load<uint32_t>(&bytes_[row.at]), load<uint32_t>(&bytes_[row.at + 4]));
        if (!data) {
            return bad(std::string(row.what) + " leaves the section");
        }
        if (auto ok = read_part(row.part, row.what, *data, row.record); !ok) {
            return ok;
        }
    }
    return {};
}

Status ExtReader::read_part(Part part, const char* what, ByteView data, uint32_t min_record) {
    if (data.empty()) {
        return {};
    }
    if (data.size() < 4) {
        return bad(std::string(what) + " truncated");
    }
    const auto record = load<uint32_t>(data.data());
    if (record < min_record || record % 4 != 0) {
        return bad(std::string(what) + ": records of " + std::to_string(record) + " bytes");
    }
    data = data.subspan(4);
    while (!data.empty()) {
        if (data.size() < 8) {
            return bad(std::string(what) + " truncated");
        }
        const std::string_view name = build_.object.btf->string(load<uint32_t>(data.data()));
        const uint64_t count = load<uint32_t>(&data[4]);
        const auto records = slice(data, 8, count * record);
        if (count == 0 || !records) {
            return bad(std::string(what) + " of section '" + std::string(name.substr(0, 128)) +
                       "' truncated");
        }
        if (const auto section = code_section(name)) {
            for (size_t at = 0; at < records->size(); at += record) {
                if (auto ok = read_record(part, *section, &(*records)[at]); !ok) {
                    return ok;
                }
            }
        }
        data = data.subspan(8 + records->size());
    }
    return {};
}

Status ExtReader::read_core(Function& function, uint32_t insn, const uint8_t* at) const {
    CoreRelocation relo;
    relo.insn = insn;
    relo.type_id = load<uint32_t>(at + 4);
    const std::string_view access = build_.object.btf->string(load<uint32_t>(at + 8));
    relo.kind = load<uint32_t>(at + 12);
    if (relo.type_id >= build_.object.btf->type_count()) {
        return bad("function '" + function.name + "': core_relo refers to type " +
                   std::to_string(relo.type_id));
    }
    if (access.empty() || access.size() > kMaxAccess) {
        return bad("function '" + function.name + "': core_relo without a usable access string");
    }
    relo.access = access;
    function.core_relocs.push_back(std::move(relo));
    return {};
}

Status ExtReader::read_record(Part part, uint32_t section, const uint8_t* at) {
    const auto offset = load<uint32_t>(at);
    const auto index = build_.function_holding({section, offset});
    if (!index || offset % 8 != 0) {
        return bad("record at offset " + std::to_string(offset) + " of section '" +
                   std::string(build_.section_name(section)) + "' is in no function");
    }
    Function& function = build_.object.functions[*index];
    const auto insn = static_cast<uint32_t>((offset - build_.function_places[*index].offset) / 8);
    switch (part) {
    case Part::Func: {
        const auto id = load<uint32_t>(at + 4);
        if (id >= build_.object.btf->type_count() || build_.object.btf->type(id).kind != BtfKind::Func) {
            return bad("function '" + function.name + "': type " + std::to_string(id) + " is no function");
        }
        if (insn == 0) {
            function.btf_id = id;
        }
        return {};
    }
    case Part::Line: {
        const auto column = load<uint32_t>(at + 12);
        function.lines.push_back(
            {insn, load<uint32_t>(at + 4), load<uint32_t>(at + 8), column >> 10, column & 0x3ff});
        return {};
    }
    case Part::Core:
        return read_core(function, insn, at);
    }
    return {};
}

} // namespace

Status read_btf_ext(Build& build) {
    const auto section = build.file.find(".BTF.ext");
    if (!section || !build.object.btf) {
        return {};
    }
    if (auto ok = ExtReader(build, build.file.sections()[*section].data).run(); !ok) {
        return ok;
    }
    const auto by_insn = [](const auto& a, const auto& b) { return a.insn < b.insn; };
    for (Function& function : build.object.functions) {
        std::stable_sort(function.lines.begin(), function.lines.end(), by_insn);
        std::stable_sort(function.core_relocs.begin(), function.core_relocs.end(), by_insn);
    }
    return {};
}

} // namespace mimicsh::elf
