// SPDX-License-Identifier: MIT
// Splits raw instructions into functions and turns what they name into relocations.
#include "object/raw.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

namespace mimicsh {

namespace {

constexpr size_t kFuncInfoSize = 8;

class RawReader {
  public:
    RawReader(ByteView bytes, const RawOptions& options) : bytes_(bytes), options_(options) {
        object_.name = options.name.empty() ? "raw" : options.name;
        object_.origin = options.origin;
        object_.license = options.license;
    }
    Expected<Object> run();

  private:
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return Error{code, "read instructions", options_.origin + ": " + text, "", ""};
    }
    [[nodiscard]] Error bad(size_t slot, const std::string& text) const {
        return bad("instruction " + std::to_string(slot) + ": " + text);
    }

    Status read_insns();
    Status find_functions();
    Status read_types();
    Status collect_maps();
    Status read_maps();
    Status add_map(const RawMap& map);
    uint32_t define_map(const MapDef& def);
    Expected<ProgramSpec> make_spec();
    Status make_function(uint32_t start, uint32_t end);
    Status relocate(Function& function, uint32_t start, uint32_t slot);
    void name_functions();

    [[nodiscard]] static bool is_call(const Insn& insn) {
        return insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
    }
    [[nodiscard]] static bool names_map(const Insn& insn) {
        return insn.code == op::kLddw && (insn.src == op::kMapFd || insn.src == op::kMapValue ||
                                          insn.src == op::kMapIdx || insn.src == op::kMapIdxValue);
    }
    [[nodiscard]] static bool names_index(const Insn& insn) {
        return insn.src == op::kMapIdx || insn.src == op::kMapIdxValue;
    }
    [[nodiscard]] static bool names_value(const Insn& insn) {
        return insn.src == op::kMapValue || insn.src == op::kMapIdxValue;
    }

    ByteView bytes_;
    const RawOptions& options_;
    Object object_;
    std::vector<RawMap> maps_; ///< of all loads that one is given for
    std::vector<Insn> insns_;
    std::vector<bool> begins_;                ///< slots where an instruction begins
    std::map<uint32_t, uint32_t> functions_;  ///< first slot -> index
    std::map<uint32_t, uint32_t> types_;      ///< first slot -> FUNC
    std::map<uint32_t, uint32_t> map_at_;     ///< slot of a load -> map
    std::map<std::string, uint32_t> by_name_; ///< name as given -> map
};

Status RawReader::read_insns() {
    if (bytes_.empty() || bytes_.size() % sizeof(Insn) != 0) {
        return bad(std::to_string(bytes_.size()) + " bytes of instructions, not a multiple of 8 above 0");
    }
    if (bytes_.size() / sizeof(Insn) > abi::kMaxInsns) {
        return bad("more than " + std::to_string(abi::kMaxInsns) + " instructions", E2BIG);
    }
    insns_.resize(bytes_.size() / sizeof(Insn));
    std::memcpy(insns_.data(), bytes_.data(), bytes_.size());
    begins_.assign(insns_.size(), false);
    for (size_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
        begins_[slot] = true;
        if (slot + slot_count(insns_[slot]) > insns_.size()) {
            return bad(slot, "64-bit load cut in half");
        }
    }
    return {};
}

/// Functions begin at slot 0 and wherever a call or a callback address leads.
Status RawReader::find_functions() {
    std::set<uint32_t> starts{0};
    for (size_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
        const Insn& insn = insns_[slot];
        const bool is_address = insn.code == op::kLddw && insn.src == op::kFunc;
        if (!is_call(insn) && !is_address) {
            continue;
        }
        const int64_t target = static_cast<int64_t>(slot) + 1 + insn.imm;
        if (target < 0 || target >= static_cast<int64_t>(insns_.size()) ||
            !begins_[static_cast<size_t>(target)]) {
            return bad(slot, std::string(is_address ? "address of a function" : "call") + " at slot " +
                                 std::to_string(target) + ", where no instruction begins");
        }
        starts.insert(static_cast<uint32_t>(target));
    }
    for (const uint32_t start : starts) {
        functions_.emplace(start, static_cast<uint32_t>(functions_.size()));
    }
    return {};
}

Status RawReader::read_types() {
    if (!options_.btf.empty()) {
        auto btf = Btf::parse(options_.btf, options_.origin);
        if (!btf) {
            return btf.error();
        }
        object_.btf = std::make_shared<const Btf>(std::move(*btf));
    }
    const ByteView info = options_.func_info;
    if (info.empty()) {
        return {};
    }
    if (!object_.btf) {
        return bad("func_info without btf");
    }
    if (info.size() % kFuncInfoSize != 0) {
        return bad(std::to_string(info.size()) + " bytes of func_info, not a multiple of 8");
    }
    for (size_t at = 0; at < info.size(); at += kFuncInfoSize) {
        const auto start = load<uint32_t>(info.data() + at);
        const auto type = load<uint32_t>(info.data() + at + 4);
        if (!functions_.contains(start)) {
            return bad(start, "func_info has a function here that nothing calls");
        }
        if (type >= object_.btf->type_count() || object_.btf->type(type).kind != BtfKind::Func) {
            return bad(start, "type " + std::to_string(type) + " of func_info is no function");
        }
        if (!types_.emplace(start, type).second) {
            return bad(start, "two records of func_info");
        }
    }
    for (const auto& [start, index] : functions_) {
        if (!types_.contains(start)) {
            return bad(start, "a function begins here that func_info does not have");
        }
    }
    return {};
}

bool same_map(const MapDef& a, const MapDef& b) {
    return a.type == b.type && a.key_size == b.key_size && a.value_size == b.value_size &&
           a.max_entries == b.max_entries && a.flags == b.flags && a.extra == b.extra &&
           a.contents == b.contents && a.key_btf_id == b.key_btf_id && a.value_btf_id == b.value_btf_id;
}

/// The section name that a map's value gets in an object file: ".rodata" of "prog.rodata", as libbpf names
/// them.
std::string data_name(const std::string& name) {
    for (const std::string_view section : {".rodata", ".data", ".bss"}) {
        if (const size_t at = name.find(section); at != std::string::npos) {
            return name.substr(at);
        }
    }
    return ".data." + name;
}

/// Those of `maps`, and for the other loads by index those of `fd_array`.
Status RawReader::collect_maps() {
    maps_ = options_.maps;
    std::set<uint32_t> given;
    for (const RawMap& map : maps_) {
        given.insert(map.insn);
    }
    for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
        const Insn& insn = insns_[slot];
        if (!names_map(insn) || !names_index(insn) || given.contains(slot) || options_.fd_array.empty()) {
            continue;
        }
        if (insn.imm < 0 || static_cast<uint32_t>(insn.imm) >= options_.fd_array.size()) {
            return bad(slot, "map " + std::to_string(insn.imm) + " of an fd_array with " +
                                 std::to_string(options_.fd_array.size()));
        }
        maps_.push_back({slot, options_.fd_array[static_cast<uint32_t>(insn.imm)]});
    }
    return {};
}

/// Index of the map of that name, made when it is new.
uint32_t RawReader::define_map(const MapDef& def) {
    const auto [known, is_new] = by_name_.emplace(def.name, static_cast<uint32_t>(object_.maps.size()));
    if (is_new) {
        object_.maps.push_back(def);
    }
    return known->second;
}

Status RawReader::add_map(const RawMap& map) {
    if (map.insn >= insns_.size() || !begins_[map.insn] || !names_map(insns_[map.insn])) {
        return bad(map.insn, "map '" + map.def.name + "' is given for it, but it is no load of a map");
    }
    if (!map_at_.emplace(map.insn, 0).second) {
        return bad(map.insn, "two maps are given for it");
    }
    if (map.def.inner || !map.def.slots.empty()) {
        return bad("map '" + map.def.name + "': inner maps and slots cannot be given", ENOTSUP);
    }
    const auto first =
        std::ranges::find_if(maps_, [&](const RawMap& other) { return other.def.name == map.def.name; });
    if (!same_map(first->def, map.def)) {
        return bad("map '" + map.def.name + "' is defined twice, differently");
    }
    const uint32_t index = define_map(map.def);
    map_at_[map.insn] = index;
    MapDef& def = object_.maps[index];
    if (names_value(insns_[map.insn]) && !def.is_data) {
        if (def.type != abi::MapType::Array || def.max_entries != 1 || def.key_size != 4) {
            return bad(map.insn,
                       "address of a value of map '" + def.name + "', which is no array of one element");
        }
        if (def.value_size > (uint32_t{1} << 30)) {
            return bad("map '" + def.name + "' is larger than 1 GiB", E2BIG);
        }
        def.name = data_name(def.name);
        def.is_data = true;
        def.frozen = def.name.starts_with(".rodata");
        def.flags |= def.frozen ? abi::kMapRdonlyProg : 0;
        def.contents.resize(def.value_size);
    }
    return {};
}

Status RawReader::read_maps() {
    if (auto ok = collect_maps(); !ok) {
        return ok;
    }
    for (const RawMap& map : maps_) {
        if (!map.def.contents.empty() && map.def.contents.size() != map.def.value_size) {
            return bad("map '" + map.def.name + "': " + std::to_string(map.def.contents.size()) +
                       " bytes of contents for a value of " + std::to_string(map.def.value_size));
        }
        if (auto ok = add_map(map); !ok) {
            return ok;
        }
    }
    for (const MapDef& def : options_.fd_array) {
        (void)define_map(def);
    }
    for (const MapDef& def : object_.maps) {
        if (!def.is_data && !def.contents.empty()) {
            return bad("map '" + def.name + "' has contents, but no instruction addresses its value");
        }
    }
    return {};
}

Expected<ProgramSpec> RawReader::make_spec() {
    ProgramSpec spec;
    spec.type = options_.type;
    spec.flags = options_.flags;
    if (spec.type == abi::ProgType::Memory) {
        return spec;
    }
    // Attach type 0 is cgroup_skb's, and what tools save that know of none.
    const bool is_given = options_.attach_type && (static_cast<uint32_t>(*options_.attach_type) != 0 ||
                                                   options_.type == abi::ProgType::CgroupSkb);
    if (is_given) {
        spec.attach_type = *options_.attach_type;
    } else if (const auto usual = usual_attach_type(spec.type)) {
        spec.attach_type = *usual;
    } else {
        return bad("programs of type " + std::string(abi::name(spec.type)) + " need an attach_type");
    }
    if (section_of_spec(spec).empty()) {
        return bad("no programs of type " + std::string(abi::name(spec.type)) + " have attach type " +
                   std::to_string(static_cast<uint32_t>(spec.attach_type)) + " with flags " +
                   std::to_string(spec.flags));
    }
    return spec;
}

Status RawReader::relocate(Function& function, uint32_t start, uint32_t slot) {
    Insn& insn = function.insns[slot - start];
    const auto target_of = [&] { return functions_.at(static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm)); };
    if (is_call(insn)) {
        function.relocs.push_back({slot - start, RelocKind::Call, target_of(), 0});
        insn.imm = -1;
    } else if (insn.code == op::kLddw && insn.src == op::kFunc) {
        function.relocs.push_back({slot - start, RelocKind::FuncAddress, target_of(), 0});
        insn.src = 0;
        insn.imm = 0;
    } else if (names_map(insn)) {
        const auto found = map_at_.find(slot);
        if (found == map_at_.end()) {
            return bad(slot, "loads a map, but none is given for it");
        }
        const bool is_value = names_value(insn);
        Insn& second = function.insns[slot - start + 1];
        if (!is_value && object_.maps[found->second].is_data) {
            return bad(slot, "loads map '" + object_.maps[found->second].name +
                                 "', a data section, otherwise than by its value");
        }
        const uint32_t offset = is_value ? static_cast<uint32_t>(second.imm) : 0;
        function.relocs.push_back(
            {slot - start, is_value ? RelocKind::MapValue : RelocKind::Map, found->second, offset});
        insn.src = 0;
        insn.imm = 0;
        second.imm = 0;
    }
    return {};
}

Status RawReader::make_function(uint32_t start, uint32_t end) {
    Function function;
    function.section = ".text";
    function.is_global = start == 0;
    function.insns.assign(insns_.begin() + start, insns_.begin() + end);
    if (start == 0) {
        auto spec = make_spec();
        if (!spec) {
            return spec.error();
        }
        function.section = section_of_spec(*spec);
        function.spec = std::move(*spec);
    }
    if (const auto type = types_.find(start); type != types_.end()) {
        function.btf_id = type->second;
        function.name = object_.btf->type(type->second).name;
    }
    for (uint32_t slot = start; slot < end; slot += slot_count(insns_[slot])) {
        if (auto ok = relocate(function, start, slot); !ok) {
            return ok;
        }
    }
    object_.functions.push_back(std::move(function));
    return {};
}

/// Names are unique: a number tells apart what the types call the same or not at all.
void RawReader::name_functions() {
    std::set<std::string> taken;
    auto start = functions_.begin();
    for (Function& function : object_.functions) {
        if (function.spec && (!options_.name.empty() || function.name.empty())) {
            function.name = object_.name;
        }
        if (function.name.empty() || taken.contains(function.name)) {
            function.name =
                (function.name.empty() ? "function" : function.name) + "_" + std::to_string(start->first);
        }
        taken.insert(function.name);
        ++start;
    }
}

Expected<Object> RawReader::run() {
    for (const auto step : {&RawReader::read_insns, &RawReader::find_functions, &RawReader::read_types,
                            &RawReader::read_maps}) {
        if (auto ok = (this->*step)(); !ok) {
            return ok.error();
        }
    }
    for (auto at = functions_.begin(); at != functions_.end(); ++at) {
        const auto next = std::next(at);
        const auto end = next == functions_.end() ? static_cast<uint32_t>(insns_.size()) : next->first;
        if (auto ok = make_function(at->first, end); !ok) {
            return ok.error();
        }
    }
    name_functions();
    if (auto ok = validate(object_); !ok) {
        Error error = ok.error();
        error.op = "read instructions";
        return error;
    }
    return std::move(object_);
}

} // namespace

Expected<Object> read_raw(ByteView insns, const RawOptions& options) {
    return RawReader(insns, options).run();
}

} // namespace mimicsh
