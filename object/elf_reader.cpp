// SPDX-License-Identifier: MIT
// From an ELF file to an Object: functions, relocations, license; maps and BTF have files of their own.
#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "object/elf_parts.h"

namespace mimicsh {

namespace elf {

namespace {
constexpr size_t kMaxFunctions = 65536;
constexpr size_t kMaxFileSize = size_t{256} << 20;

std::string short_name(std::string_view text) {
    return std::string(text.substr(0, 128));
}
} // namespace

// -- Looking up by place --

std::optional<uint32_t> Build::function_holding(Place place) const {
    const auto after = std::upper_bound(function_places.begin(), function_places.end(), place);
    if (after == function_places.begin()) {
        return std::nullopt;
    }
    const auto index = static_cast<size_t>(std::prev(after) - function_places.begin());
    const Place& start = function_places[index];
    const bool inside = start.section == place.section &&
                        (place.offset - start.offset) / 8 < object.functions[index].insns.size();
    return inside ? std::optional(static_cast<uint32_t>(index)) : std::nullopt;
}

std::optional<uint32_t> Build::function_at(Place place) const {
    const auto it = std::lower_bound(function_places.begin(), function_places.end(), place);
    return it != function_places.end() && *it == place
               ? std::optional(static_cast<uint32_t>(it - function_places.begin()))
               : std::nullopt;
}

std::optional<uint32_t> Build::map_at(Place place) const {
    const auto it = std::find(map_places.begin(), map_places.end(), place);
    return it != map_places.end() ? std::optional(static_cast<uint32_t>(it - map_places.begin()))
                                  : std::nullopt;
}

std::optional<uint32_t> Build::extern_of(uint32_t symbol) const {
    const auto it = std::find(extern_symbols.begin(), extern_symbols.end(), symbol);
    return it != extern_symbols.end() ? std::optional(static_cast<uint32_t>(it - extern_symbols.begin()))
                                      : std::nullopt;
}

namespace {

// -- Functions --

Status add_function(Build& build, const Symbol& symbol, uint64_t end) {
    const Section& section = build.file.sections()[symbol.section];
    const uint64_t size = end - symbol.value;
    if (size == 0) {
        Error error =
            build.file.bad(section.name, "function '" + short_name(symbol.name) + "' has no instructions");
        error.hint =
            "compilers leave out code whose behaviour is undefined, as of a call through a null pointer";
        return error;
    }
    if (symbol.value % 8 != 0 || size % 8 != 0) {
        return build.file.bad(section.name,
                              "function '" + short_name(symbol.name) + "' is not made of whole instructions");
    }
    if (size / 8 > abi::kMaxInsns) {
        return build.file.bad(section.name,
                              "function '" + short_name(symbol.name) + "' has more than " +
                                  std::to_string(abi::kMaxInsns) + " instructions",
                              E2BIG);
    }
    if (build.object.functions.size() >= kMaxFunctions) {
        return build.file.bad(section.name, "more than " + std::to_string(kMaxFunctions) + " functions",
                              E2BIG);
    }
    Function function;
    function.name = symbol.name;
    function.section = section.name;
    function.is_global = symbol.bind != kBindLocal && !symbol.is_hidden();
    function.is_weak = symbol.bind == kBindWeak;
    if (section.name != ".text") {
        // A section name that says nothing is kept: only loading that program has to fail.
        function.spec = spec_of_section(section.name)
                            .value_or(ProgramSpec{abi::ProgType::Unspec, abi::AttachType::None, 0,
                                                  std::string(section.name)});
    }
    function.insns.resize(static_cast<size_t>(size / 8));
    std::memcpy(function.insns.data(), section.data.data() + symbol.value, static_cast<size_t>(size));
    build.object.functions.push_back(std::move(function));
    build.function_places.push_back({symbol.section, symbol.value});
    return {};
}

Status read_functions(Build& build) {
    std::vector<const Symbol*> symbols;
    for (const Symbol& symbol : build.file.symbols()) {
        if (symbol.type == kFuncType && symbol.section != kUndef && symbol.section < kLoReserve) {
            if (!build.file.sections()[symbol.section].is_code()) {
                return build.file.bad(build.section_name(symbol.section),
                                      "function '" + short_name(symbol.name) + "' in a section without code");
            }
            if (symbol.name.empty()) {
                return build.file.bad(build.section_name(symbol.section), "function without a name");
            }
            symbols.push_back(&symbol);
        }
    }
    std::stable_sort(symbols.begin(), symbols.end(), [](const Symbol* a, const Symbol* b) {
        return Place{a->section, a->value} < Place{b->section, b->value};
    });
    for (size_t i = 0; i < symbols.size(); ++i) {
        const Symbol& symbol = *symbols[i];
        const bool has_next = i + 1 < symbols.size() && symbols[i + 1]->section == symbol.section;
        const uint64_t limit = has_next ? symbols[i + 1]->value : build.file.sections()[symbol.section].size;
        // Hand-written assembly may leave sizes out.
        const uint64_t end = symbol.size == 0 ? limit : symbol.value + symbol.size;
        if (end > limit) {
            return build.file.bad(build.section_name(symbol.section),
                                  "functions '" + short_name(symbol.name) + "' and '" +
                                      short_name(symbols[i + 1]->name) + "' overlap");
        }
        if (auto ok = add_function(build, symbol, end); !ok) {
            return ok;
        }
    }
    return {};
}

// -- Relocations of code --

/// One relocation of one instruction; `bad` names function and slot.
class CodeReloc {
  public:
    CodeReloc(Build& build, uint32_t function, uint32_t insn, const Reloc& reloc)
        : build_(build), function_(build.object.functions[function]), insn_(insn),
          symbol_index_(reloc.symbol), symbol_(build.file.symbols()[reloc.symbol]) {}

    Status apply();

  private:
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return build_.file.bad(function_.section,
                               "function '" + short_name(function_.name) + "' instruction " +
                                   std::to_string(insn_) + ": " + text,
                               code);
    }
    Status add(RelocKind kind, uint32_t target, uint32_t offset = 0) {
        function_.relocs.push_back({insn_, kind, target, offset});
        return {};
    }
    [[nodiscard]] Insn& insn() { return function_.insns[insn_]; }
    Status apply_call();
    Status apply_load();
    Status apply_data(uint32_t map);

    Build& build_;
    Function& function_;
    uint32_t insn_;
    uint32_t symbol_index_;
    const Symbol& symbol_;
};

Status CodeReloc::apply_call() {
    if (const auto found = build_.extern_of(symbol_index_)) {
        insn().src = op::kCallKfunc;
        insn().imm = 0;
        insn().off = 0;
        return add(RelocKind::Extern, *found);
    }
    if (insn().src != op::kCallLocal) {
        return bad("a helper call with a relocation");
    }
    if (symbol_.section == kUndef || symbol_.section >= kLoReserve) {
        return bad("call of '" + short_name(symbol_.name) + "', which this file does not define");
    }
    // A global function's call has imm -1 and its symbol; a static one has the section's symbol and counts in
    // imm.
    const int64_t slot = static_cast<int64_t>(symbol_.value / 8) + insn().imm + 1;
    const auto target = slot < 0 || symbol_.value % 8 != 0
                            ? std::nullopt
                            : build_.function_at({symbol_.section, static_cast<uint64_t>(slot) * 8});
    if (!target) {
        return bad("call of '" + short_name(symbol_.name) + "' is to no start of a function");
    }
    insn().imm = -1;
    return add(RelocKind::Call, *target);
}

Status CodeReloc::apply_data(uint32_t map) {
    const int64_t offset = static_cast<int64_t>(symbol_.value) + insn().imm;
    const MapDef& def = build_.object.maps[map];
    if (symbol_.value > UINT32_MAX || offset < 0 || offset >= def.value_size) {
        return bad("address of byte " + std::to_string(offset) + " of " + def.name + ", which has " +
                   std::to_string(def.value_size));
    }
    insn().src = op::kMapValue;
    insn().imm = 0;
    function_.insns[insn_ + 1].imm = 0;
    return add(RelocKind::MapValue, map, static_cast<uint32_t>(offset));
}

Status CodeReloc::apply_load() {
    if (insn_ + 1 >= function_.insns.size()) {
        return bad("64-bit load cut in half");
    }
    if (const auto found = build_.extern_of(symbol_index_)) {
        insn().imm = 0;
        function_.insns[insn_ + 1].imm = 0;
        return add(RelocKind::Extern, *found);
    }
    if (symbol_.section == kUndef || symbol_.section >= kLoReserve) {
        return bad("refers to '" + short_name(symbol_.name) + "', which this file does not define");
    }
    const Section& section = build_.file.sections()[symbol_.section];
    if (section.is_code()) {
        const int64_t offset = static_cast<int64_t>(symbol_.value) + insn().imm;
        const auto target = symbol_.value > UINT32_MAX || offset < 0
                                ? std::nullopt
                                : build_.function_at({symbol_.section, static_cast<uint64_t>(offset)});
        if (!target) {
            return bad("address inside '" + short_name(symbol_.name) + "' is no start of a function");
        }
        insn().src = op::kFunc;
        insn().imm = 0;
        return add(RelocKind::FuncAddress, *target);
    }
    if (is_data_section(section)) {
        const auto map = build_.map_at({symbol_.section, 0});
        return map ? apply_data(*map) : bad("refers to section " + short_name(section.name));
    }
    const int64_t offset = static_cast<int64_t>(symbol_.value) + insn().imm;
    const auto map = section.name == ".maps" && offset >= 0
                         ? build_.map_at({symbol_.section, static_cast<uint64_t>(offset)})
                         : std::nullopt;
    if (!map) {
        return bad("refers to '" + short_name(symbol_.name) + "' in section " + short_name(section.name) +
                       ", which is neither a map nor data",
                   ENOTSUP);
    }
    insn().src = op::kMapFd;
    insn().imm = 0;
    return add(RelocKind::Map, *map);
}

Status CodeReloc::apply() {
    if (!function_.relocs.empty() && function_.relocs.back().insn == insn_) {
        return bad("more than one relocation");
    }
    if (insn().code == (op::kJmp | op::kCall)) {
        return apply_call();
    }
    if (insn().code == op::kLddw) {
        return apply_load();
    }
    return bad("relocation on an instruction that cannot take one");
}

Status read_code_relocs(Build& build) {
    for (uint32_t i = 1; i < build.file.sections().size(); ++i) {
        if (!build.file.sections()[i].is_code()) {
            continue;
        }
        auto relocs = build.file.relocs(i);
        if (!relocs) {
            return relocs.error();
        }
        for (const Reloc& reloc : *relocs) {
            const auto function = build.function_holding({i, reloc.offset});
            if (!function || reloc.offset % 8 != 0) {
                return build.file.bad(build.section_name(i), "relocation at offset " +
                                                                 std::to_string(reloc.offset) +
                                                                 " is at no instruction of a function");
            }
            const uint64_t start = build.function_places[*function].offset;
            const auto insn = static_cast<uint32_t>((reloc.offset - start) / 8);
            if (auto ok = CodeReloc(build, *function, insn, reloc).apply(); !ok) {
                return ok;
            }
        }
    }
    return {};
}

/// Calls within one section come without relocation: the distance is already in imm.
Status add_plain_calls(Build& build) {
    for (uint32_t index = 0; index < build.object.functions.size(); ++index) {
        Function& function = build.object.functions[index];
        const Place start = build.function_places[index];
        std::vector<Relocation> found;
        size_t next = 0;
        for (uint32_t i = 0; i < function.insns.size(); i += slot_count(function.insns[i])) {
            while (next < function.relocs.size() && function.relocs[next].insn < i) {
                ++next;
            }
            Insn& insn = function.insns[i];
            const bool is_call = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
            if (!is_call || (next < function.relocs.size() && function.relocs[next].insn == i)) {
                continue;
            }
            const int64_t slot = static_cast<int64_t>(start.offset / 8) + i + 1 + insn.imm;
            const auto target =
                slot < 0 ? std::nullopt : build.function_at({start.section, static_cast<uint64_t>(slot) * 8});
            if (!target) {
                return build.file.bad(function.section, "function '" + short_name(function.name) +
                                                            "' instruction " + std::to_string(i) +
                                                            ": call to no start of a function");
            }
            insn.imm = -1;
            found.push_back({i, RelocKind::Call, *target, 0});
        }
        function.relocs.insert(function.relocs.end(), found.begin(), found.end());
        std::stable_sort(function.relocs.begin(), function.relocs.end(),
                         [](const Relocation& a, const Relocation& b) { return a.insn < b.insn; });
    }
    return {};
}

// -- The rest --

Status read_small_sections(Build& build) {
    if (const auto section = build.file.find("license")) {
        const std::string_view text = as_text(build.file.sections()[*section].data);
        build.object.license = text.substr(0, std::min<size_t>(text.find('\0'), 127));
    }
    if (const auto section = build.file.find("version")) {
        const ByteView data = build.file.sections()[*section].data;
        if (data.size() != 4) {
            return build.file.bad("version", "size " + std::to_string(data.size()) + ", not 4");
        }
        build.object.kernel_version = load<uint32_t>(data.data());
    }
    return {};
}

std::string object_name(std::string_view origin) {
    if (const size_t slash = origin.rfind('/'); slash != std::string_view::npos) {
        origin.remove_prefix(slash + 1);
    }
    for (const std::string_view suffix : {".o", ".bpf"}) {
        if (origin.size() > suffix.size() && origin.ends_with(suffix)) {
            origin.remove_suffix(suffix.size());
        }
    }
    return std::string(origin);
}

} // namespace

} // namespace elf

Expected<Object> read_elf(ByteView bytes, const std::string& origin) {
    auto file = elf::File::parse(bytes, origin);
    if (!file) {
        return file.error();
    }
    elf::Build build{*file, {}, {}, {}, {}};
    build.object.origin = origin;
    build.object.name = elf::object_name(origin);
    for (const auto step : {elf::read_small_sections, elf::read_functions, elf::read_btf, elf::read_maps,
                            elf::read_data_sections, elf::read_map_slots, elf::read_code_relocs,
                            elf::add_plain_calls, elf::read_btf_ext}) {
        if (auto ok = step(build); !ok) {
            return ok.error();
        }
    }
    if (auto ok = validate(build.object); !ok) {
        return ok.error();
    }
    return std::move(build.object);
}

Expected<Object> open_object(const std::string& path) {
    auto bytes = read_file(path, "open object", elf::kMaxFileSize);
    if (!bytes) {
        return bytes.error();
    }
    return read_elf(*bytes, path);
}

} // namespace mimicsh
