// SPDX-License-Identifier: MIT
// Looking things up in an object, and checking that its parts keep what they promise each other.
#include "object/object.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace mimicsh {

const MapDef* Object::find_map(std::string_view map_name) const {
    for (const MapDef& map : maps) {
        if (map.name == map_name) {
            return &map;
        }
    }
    return nullptr;
}

std::vector<uint32_t> Object::programs() const {
    std::vector<uint32_t> out;
    for (uint32_t i = 0; i < functions.size(); ++i) {
        if (functions[i].spec) {
            out.push_back(i);
        }
    }
    return out;
}

const Function* Object::find_function(std::string_view function_name) const {
    for (const Function& function : functions) {
        if (function.name == function_name) {
            return &function;
        }
    }
    return nullptr;
}

namespace {

/// By code: 1 for 64-bit loads, jumps, calls and exits.
constexpr auto kNoted = [] {
    std::array<uint8_t, 256> noted{};
    for (size_t code = 0; code < noted.size(); ++code) {
        const size_t insn_class = code & 7;
        noted[code] = code == op::kLddw || insn_class == op::kJmp || insn_class == op::kJmp32;
    }
    return noted;
}();

class Validator {
  public:
    explicit Validator(const Object& object) : object_(object) {}
    Status run();

  private:
    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return Error{code, "open object", object_.origin + ": " + text, "", ""};
    }
    [[nodiscard]] Error bad(const Function& function, uint32_t insn, const std::string& text) const {
        return bad("function '" + function.name.substr(0, 128) + "' instruction " + std::to_string(insn) +
                   ": " + text);
    }
    [[nodiscard]] Error bad(const MapDef& map, const std::string& text) const {
        return bad("map '" + map.name.substr(0, 128) + "': " + text);
    }
    [[nodiscard]] bool has_type(uint32_t id) const {
        return id == 0 || (object_.btf && id < object_.btf->type_count());
    }

    Status check_function(const Function& function);
    void note_slots(const Function& function);
    Status check_loads(const Function& function) const;
    Status check_jump(const Function& function, uint32_t at) const;
    Status check_named(const Function& function) const;
    Status check_relocs(const Function& function) const;
    Status check_reloc(const Function& function, const Relocation& reloc) const;
    Status check_records(const Function& function) const;
    Status check_map(const MapDef& map, bool is_inner) const;
    Status check_externs() const;

    /// Whether an instruction begins at a slot of a function whose 64-bit loads are whole.
    [[nodiscard]] static bool is_start(const Function& function, uint64_t slot) {
        return slot == 0 || function.insns[slot - 1].code != op::kLddw;
    }

    const Object& object_;
    std::vector<uint32_t> noted_; // of the function at hand: slots of 64-bit loads, jumps, calls and exits
};

void Validator::note_slots(const Function& function) {
    const auto slots = static_cast<uint32_t>(function.insns.size());
    noted_.resize(slots);
    size_t count = 0;
    for (uint32_t slot = 0; slot < slots; ++slot) {
        noted_[count] = slot; // without a branch, which nobody could predict
        count += kNoted[function.insns[slot].code];
    }
    noted_.resize(count);
}

/// Both halves of a 64-bit load must be there; so no first half is another's second.
Status Validator::check_loads(const Function& function) const {
    const auto& insns = function.insns;
    for (const uint32_t slot : noted_) {
        if (insns[slot].code != op::kLddw) {
            continue;
        }
        if (slot + 1 == insns.size()) {
            return bad(function, slot, "64-bit load cut in half");
        }
        const Insn& second = insns[slot + 1];
        if (second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0) {
            return bad(function, slot + 1, "second half of a 64-bit load has fields set");
        }
    }
    return {};
}

Status Validator::check_jump(const Function& function, uint32_t at) const {
    const Insn& insn = function.insns[at];
    const uint8_t operation = insn.code & 0xf0;
    const bool is_register_goto = operation == op::kJa && (insn.code & op::kX) != 0;
    if (insn.code == op::kLddw || operation == op::kCall || operation == op::kExit || is_register_goto) {
        return {};
    }
    const bool is_long = insn.code == (op::kJmp32 | op::kJa);
    const int64_t target = int64_t{at} + 1 + (is_long ? insn.imm : insn.off);
    if (target < 0 || target >= static_cast<int64_t>(function.insns.size())) {
        return bad(function, at, "jump out of the function");
    }
    if (!is_start(function, static_cast<uint64_t>(target))) {
        return bad(function, at, "jump into the middle of a 64-bit load");
    }
    return {};
}

Status Validator::check_reloc(const Function& function, const Relocation& reloc) const {
    if (reloc.insn >= function.insns.size() || !is_start(function, reloc.insn)) {
        return bad(function, reloc.insn, "relocation at no instruction");
    }
    const Insn& insn = function.insns[reloc.insn];
    const bool is_call = insn.code == (op::kJmp | op::kCall);
    const bool is_load = insn.code == op::kLddw;
    bool fits = false;
    size_t limit = 0;
    switch (reloc.kind) {
    case RelocKind::Map:
    case RelocKind::MapValue:
        fits = is_load;
        limit = object_.maps.size();
        break;
    case RelocKind::Call:
        fits = is_call;
        limit = object_.functions.size();
        break;
    case RelocKind::FuncAddress:
        fits = is_load;
        limit = object_.functions.size();
        break;
    case RelocKind::Extern:
        fits = is_load || is_call;
        limit = object_.externs.size();
        break;
    }
    if (!fits) {
        return bad(function, reloc.insn, "relocation on an instruction that cannot take it");
    }
    if (reloc.target >= limit) {
        return bad(function, reloc.insn,
                   "relocation names number " + std::to_string(reloc.target) + " of " +
                       std::to_string(limit));
    }
    if (reloc.kind == RelocKind::MapValue && reloc.offset >= object_.maps[reloc.target].value_size) {
        return bad(function, reloc.insn,
                   "address " + std::to_string(reloc.offset) + " outside the value of map '" +
                       object_.maps[reloc.target].name + "'");
    }
    if (reloc.kind == RelocKind::Extern && is_call &&
        object_.externs[reloc.target].kind != ExternKind::Kfunc) {
        return bad(function, reloc.insn,
                   "call of '" + object_.externs[reloc.target].name + "', which is no function");
    }
    return {};
}

Status Validator::check_relocs(const Function& function) const {
    size_t next = 0;
    for (const Relocation& reloc : function.relocs) {
        if (next > 0 && function.relocs[next - 1].insn >= reloc.insn) {
            return bad(function, reloc.insn, "relocations out of order");
        }
        if (auto ok = check_reloc(function, reloc); !ok) {
            return ok;
        }
        ++next;
    }
    return {};
}

/// What names something must have a relocation that says what.
Status Validator::check_named(const Function& function) const {
    size_t next = 0;
    for (const uint32_t slot : noted_) {
        const Insn& insn = function.insns[slot];
        const bool names_map = insn.code == op::kLddw && insn.src != 0 && insn.src != op::kBtfId;
        const bool names_function = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
        if (!names_map && !names_function) {
            continue;
        }
        while (next < function.relocs.size() && function.relocs[next].insn < slot) {
            ++next;
        }
        if (next == function.relocs.size() || function.relocs[next].insn != slot) {
            return bad(function, slot, "reference without a relocation");
        }
    }
    return {};
}

Status Validator::check_records(const Function& function) const {
    uint32_t last = 0;
    for (const CoreRelocation& relo : function.core_relocs) {
        if (relo.insn < last || relo.insn >= function.insns.size() || !is_start(function, relo.insn)) {
            return bad(function, relo.insn, "CO-RE relocation out of order or at no instruction");
        }
        if (!has_type(relo.type_id) || !object_.btf) {
            return bad(function, relo.insn, "CO-RE relocation of type " + std::to_string(relo.type_id));
        }
        last = relo.insn;
    }
    last = 0;
    for (const LineInfo& line : function.lines) {
        if (line.insn < last || line.insn >= function.insns.size()) {
            return bad(function, line.insn, "line record out of order or outside");
        }
        last = line.insn;
    }
    if (function.btf_id != 0 &&
        (!has_type(function.btf_id) || object_.btf->type(function.btf_id).kind != BtfKind::Func)) {
        return bad(function, 0, "type " + std::to_string(function.btf_id) + " is no function");
    }
    return {};
}

Status Validator::check_function(const Function& function) {
    if (function.name.empty() || function.insns.empty() || function.insns.size() > abi::kMaxInsns) {
        return bad("function '" + function.name.substr(0, 128) + "' has " +
                   std::to_string(function.insns.size()) + " instructions");
    }
    note_slots(function);
    if (auto ok = check_loads(function); !ok) {
        return ok;
    }
    for (const uint32_t slot : noted_) {
        if (auto ok = check_jump(function, slot); !ok) {
            return ok;
        }
    }
    if (auto ok = check_relocs(function); !ok) {
        return ok;
    }
    if (auto ok = check_named(function); !ok) {
        return ok;
    }
    return check_records(function);
}

Status Validator::check_map(const MapDef& map, bool is_inner) const {
    if (map.name.empty() || map.type == abi::MapType::Unspec || map.type > abi::MapType::Arena) {
        return bad(map, "unknown map type " + std::to_string(static_cast<uint32_t>(map.type)));
    }
    if (!has_type(map.key_btf_id) || !has_type(map.value_btf_id)) {
        return bad(map, "names a type that the object does not have");
    }
    if (map.is_data && map.contents.size() != map.value_size) {
        return bad(map, std::to_string(map.contents.size()) + " bytes of contents for a value of " +
                            std::to_string(map.value_size));
    }
    if (map.inner && (is_inner || map.inner->inner)) {
        return bad(map, "maps of maps nest only once");
    }
    const size_t limit = map.type == abi::MapType::ProgArray ? object_.functions.size() : object_.maps.size();
    for (const MapDef::Slot& slot : map.slots) {
        if (slot.target >= limit) {
            return bad(map, "slot " + std::to_string(slot.index) + " names number " +
                                std::to_string(slot.target) + " of " + std::to_string(limit));
        }
    }
    return map.inner ? check_map(*map.inner, true) : Status();
}

Status Validator::check_externs() const {
    for (const ExternDef& def : object_.externs) {
        if (def.name.empty() || !has_type(def.btf_id) || !has_type(def.type_id)) {
            return bad("extern '" + def.name.substr(0, 128) + "' has no usable type");
        }
    }
    return {};
}

Status Validator::run() {
    std::vector<std::string_view> names;
    names.reserve(std::max(object_.functions.size(), object_.maps.size()));
    const auto check_names = [&](const char* what) -> Status {
        if (names.size() > 1) {
            std::ranges::sort(names);
        }
        if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
            return bad("two " + std::string(what) + " are called '" + std::string(twice->substr(0, 128)) +
                       "'");
        }
        names.clear();
        return {};
    };
    for (const Function& function : object_.functions) {
        if (auto ok = check_function(function); !ok) {
            return ok;
        }
        if (function.spec) {
            names.push_back(function.name);
        }
    }
    if (auto ok = check_names("programs"); !ok) {
        return ok;
    }
    for (const MapDef& map : object_.maps) {
        if (auto ok = check_map(map, false); !ok) {
            return ok;
        }
        names.push_back(map.name);
    }
    if (auto ok = check_names("maps"); !ok) {
        return ok;
    }
    return check_externs();
}

} // namespace

Status validate(const Object& object) {
    return Validator(object).run();
}

} // namespace mimicsh
