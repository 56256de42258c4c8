// SPDX-License-Identifier: MIT
// From parsed lines to an object: which labels are functions, what names mean, BTF and line records.
#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <unordered_set>

#include "base/similar.h"
#include "object/asm_parts.h"
#include "object/helper_names.h"

namespace mimicsh::assembler {

namespace {

constexpr size_t kMaxLineText = 256;
constexpr uint32_t kMaxFunctions = 65536; // as the ELF reader has it

using Names = std::unordered_map<std::string, uint32_t>;

/// The keys of a map by names, for suggestions.
template <typename ByName>
std::vector<std::string_view> names_in(const ByName& map) {
    std::vector<std::string_view> names;
    for (const auto& [name, what] : map) {
        names.push_back(name);
    }
    return names;
}

std::optional<uint32_t> find(const Names& names, const std::string& name) {
    const auto known = names.find(name);
    return known != names.end() ? std::optional(known->second) : std::nullopt;
}

/// A label, and the scope that has it; null when several have.
struct Found {
    uint32_t scope;
    Label* label;
};

class Builder {
  public:
    explicit Builder(Source source)
        : source_(std::move(source)), object_(source_.object), edit_(source_.types) {}
    Expected<Object> run();

  private:
    [[nodiscard]] Error bad(const Position& at, const std::string& text, const std::string& hint = "",
                            int code = EINVAL) const {
        return error_at(source_.options, at, text, hint, code);
    }
    void index_names();
    Status find_functions();
    Status find_function(uint32_t scope, const Statement& statement);
    Expected<std::optional<Found>> find_label(uint32_t scope, const std::string& name, const Position& at);
    Status emit(uint32_t scope);
    Status emit(uint32_t scope, const Statement& statement, uint32_t first, uint32_t last, Function& out);
    Status resolve_jump(Scope& scope, const Statement& statement, Insn& insn);
    Status resolve_call(uint32_t scope, const Statement& statement, Insn& insn, Relocation& reloc,
                        bool& named);
    Status resolve(uint32_t scope, const Statement& statement, Insn& insn, Function& out);
    Status check_jump(const Scope& scope, const Statement& statement, const Insn& insn, uint32_t first,
                      uint32_t last) const;
    Status check_end(const Statement& last, const std::string& name) const;
    Status check_labels(const Scope& scope) const;
    Status fill_slots();
    Status find_exception_callback(uint32_t scope);
    void add_exception_callbacks();
    [[nodiscard]] uint32_t prototype(bool is_program, bool is_callback);
    void add_type(Function& function, bool is_program, bool is_callback);
    [[nodiscard]] uint32_t function_index(uint32_t scope, uint32_t slot) const;

    Source source_;
    Object& object_;
    BtfEditor& edit_;
    std::unordered_map<std::string, Found> labels_; // of all scopes
    Names externs_, maps_;
    uint32_t file_ = 0;                    // of line records
    uint32_t program_proto_ = 0;           // int (void *ctx)
    uint32_t function_proto_ = 0;          // int (void)
    uint32_t callback_proto_ = 0;          // int (u64 cookie)
    std::map<uint32_t, Found> exceptions_; // by scope of the program
};

// -- Names --

const Statement* statement_at(const Scope& scope, uint32_t slot) {
    const auto found = std::ranges::lower_bound(scope.statements, slot, {}, &Statement::slot);
    return found != scope.statements.end() && found->slot == slot ? &*found : nullptr;
}

bool ends_path(const Insn& insn) {
    return insn.code == (op::kJmp | op::kExit) || insn.code == (op::kJmp | op::kJa) ||
           insn.code == (op::kJmp32 | op::kJa);
}

/// A label of the scope, or of the one other scope that has it.
Expected<std::optional<Found>> Builder::find_label(uint32_t scope, const std::string& name,
                                                   const Position& at) {
    auto& own = source_.scopes[scope].labels;
    if (const auto known = own.find(name); known != own.end()) {
        return std::optional(Found{scope, &known->second});
    }
    const auto elsewhere = labels_.find(name);
    if (elsewhere == labels_.end()) {
        return std::optional<Found>();
    }
    if (elsewhere->second.label == nullptr) {
        return bad(at, "'" + name + "' is defined in several other sections");
    }
    return std::optional(elsewhere->second);
}

void Builder::index_names() {
    for (uint32_t i = 0; i < source_.scopes.size(); ++i) {
        for (auto& [name, label] : source_.scopes[i].labels) {
            const auto [known, is_new] = labels_.try_emplace(name, Found{i, &label});
            if (!is_new) {
                known->second.label = nullptr;
            }
        }
    }
    for (uint32_t i = 0; i < object_.externs.size(); ++i) {
        externs_.try_emplace(object_.externs[i].name, i);
    }
    for (uint32_t i = 0; i < object_.maps.size(); ++i) {
        maps_.try_emplace(object_.maps[i].name, i);
    }
}

/// Notes the function that an instruction calls or takes the address of.
Status Builder::find_function(uint32_t scope_index, const Statement& statement) {
    const ParsedInsn& parsed = statement.parsed;
    Scope& scope = source_.scopes[scope_index];
    if (parsed.reference == Reference::Jump || parsed.reference == Reference::LongJump) {
        if (const auto label = scope.labels.find(parsed.name); label != scope.labels.end()) {
            label->second.is_used = true;
        }
        return {};
    }
    if (parsed.reference == Reference::Call || parsed.reference == Reference::Function) {
        auto found = find_label(scope_index, parsed.name, statement.at);
        if (!found) {
            return found.error();
        }
        if (*found) {
            Scope& target = source_.scopes[(*found)->scope];
            (*found)->label->is_used = true;
            target.starts.try_emplace((*found)->label->slot, Start{parsed.name});
        }
        return {};
    }
    const Insn& insn = parsed.insn;
    const bool is_call = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
    const bool is_address = insn.code == op::kLddw && insn.src == op::kFunc;
    if (parsed.reference != Reference::None || (!is_call && !is_address)) {
        return {};
    }
    const int64_t target = int64_t{statement.slot} + 1 + insn.imm;
    if (target < 0 || target >= scope.slots ||
        statement_at(scope, static_cast<uint32_t>(target)) == nullptr) {
        return bad(statement.at, "call distance leads to no instruction of this section");
    }
    const auto slot = static_cast<uint32_t>(target);
    scope.starts.try_emplace(slot, Start{"sub_" + std::to_string(slot)});
    return {};
}

Status Builder::find_exception_callback(uint32_t scope_index) {
    const Scope& scope = source_.scopes[scope_index];
    if (scope.exception.empty()) {
        return {};
    }
    auto found = find_label(scope_index, scope.exception, scope.exception_at);
    if (!found) {
        return found.error();
    }
    if (!*found || scope.slots == 0) {
        return bad(scope.exception_at,
                   scope.slots == 0 ? "exception callback of a section without code"
                                    : "no function '" + scope.exception + "'",
                   did_you_mean(scope.exception, names_in(labels_)));
    }
    (*found)->label->is_used = true;
    source_.scopes[(*found)->scope].starts.try_emplace((*found)->label->slot, Start{scope.exception});
    exceptions_.emplace(scope_index, **found);
    return {};
}

Status Builder::find_functions() {
    for (Scope& scope : source_.scopes) {
        for (const auto& [name, label] : scope.labels) {
            if (label.slot == scope.slots) {
                return bad(label.at, "no instruction behind label '" + name + "'");
            }
        }
        if (scope.slots == 0) {
            continue;
        }
        const Label* first = nullptr;
        for (auto& [name, label] : scope.labels) {
            if (label.slot == 0 &&
                (first == nullptr || label.at.line < first->at.line ||
                 (label.at.line == first->at.line && label.at.column < first->at.column))) {
                first = &label;
                scope.starts[0].name = name;
            }
        }
        if (first == nullptr && !scope.spec) {
            return bad(scope.statements.front().at,
                       "code in .text needs a label in front that names the function");
        }
        scope.starts.try_emplace(0, Start{"main"});
    }
    for (uint32_t i = 0; i < source_.scopes.size(); ++i) {
        for (const Statement& statement : source_.scopes[i].statements) {
            if (auto ok = find_function(i, statement); !ok) {
                return ok;
            }
        }
        if (auto ok = find_exception_callback(i); !ok) {
            return ok;
        }
    }
    // In .text a label behind the end of a function starts the next one, called from here or not.
    for (Scope& scope : source_.scopes) {
        for (auto& [name, label] : scope.labels) {
            if (!scope.spec && label.slot != 0 && !label.is_used) {
                const auto after =
                    std::ranges::lower_bound(scope.statements, label.slot, {}, &Statement::slot);
                if (ends_path(std::prev(after)->parsed.insn)) {
                    scope.starts.try_emplace(label.slot, Start{name});
                }
            }
        }
    }
    return {};
}

uint32_t Builder::function_index(uint32_t scope, uint32_t slot) const {
    return source_.scopes[scope].starts.at(slot).index;
}

// -- Instructions --

Status Builder::resolve_jump(Scope& scope, const Statement& statement, Insn& insn) {
    const ParsedInsn& parsed = statement.parsed;
    const auto label = scope.labels.find(parsed.name);
    if (label == scope.labels.end()) {
        return bad(statement.at, "no label '" + parsed.name + "' in this section",
                   did_you_mean(parsed.name, names_in(scope.labels)));
    }
    const int64_t by = int64_t{label->second.slot} - statement.slot - 1;
    if (parsed.reference == Reference::LongJump) {
        insn.imm = static_cast<int32_t>(by);
        return {};
    }
    if (by < INT16_MIN || by > INT16_MAX) {
        return bad(statement.at,
                   "label '" + parsed.name + "' is " + std::to_string(by) +
                       " slots away, more than a jump reaches",
                   "gotol reaches further");
    }
    insn.off = static_cast<int16_t>(by);
    return {};
}

/// Functions of the text come first, then externs, then helpers.
Status Builder::resolve_call(uint32_t scope, const Statement& statement, Insn& insn, Relocation& reloc,
                             bool& named) {
    const std::string& name = statement.parsed.name;
    auto found = find_label(scope, name, statement.at);
    if (!found) {
        return found.error();
    }
    if (*found) {
        insn = {op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1};
        reloc.kind = RelocKind::Call;
        reloc.target = function_index((*found)->scope, (*found)->label->slot);
        return {};
    }
    if (const auto index = find(externs_, name)) {
        if (object_.externs[*index].kind != ExternKind::Kfunc) {
            return bad(statement.at, "extern '" + name + "' is no function");
        }
        insn.src = op::kCallKfunc;
        reloc.kind = RelocKind::Extern;
        reloc.target = *index;
        return {};
    }
    const auto helper = name.starts_with("bpf_") ? abi::helper_id(name) : std::nullopt;
    if (!helper) {
        std::vector<std::string_view> known = names_in(labels_);
        const std::vector<std::string_view> externs = names_in(externs_);
        known.insert(known.end(), externs.begin(), externs.end());
        return bad(
            statement.at, "call of '" + name + "', which is no label, extern or helper",
            did_you_mean_helper(name, std::move(known),
                                "helpers are called by their name with bpf_ (call bpf_map_lookup_elem); "
                                "kernel functions need '.extern NAME kfunc'"));
    }
    insn.imm = static_cast<int32_t>(*helper);
    named = false;
    return {};
}

Status Builder::resolve(uint32_t scope, const Statement& statement, Insn& insn, Function& out) {
    const ParsedInsn& parsed = statement.parsed;
    Relocation reloc{static_cast<uint32_t>(out.insns.size()), RelocKind::Map, 0, parsed.offset};
    bool named = true;
    switch (parsed.reference) {
    case Reference::Jump:
    case Reference::LongJump:
        return resolve_jump(source_.scopes[scope], statement, insn);
    case Reference::Call:
        if (auto ok = resolve_call(scope, statement, insn, reloc, named); !ok) {
            return ok;
        }
        break;
    case Reference::Function: {
        auto found = find_label(scope, parsed.name, statement.at);
        if (!found || !*found) {
            return found ? bad(statement.at, "no function '" + parsed.name + "'",
                               did_you_mean(parsed.name, names_in(labels_)))
                         : found.error();
        }
        reloc.kind = RelocKind::FuncAddress;
        reloc.target = function_index((*found)->scope, (*found)->label->slot);
        break;
    }
    case Reference::Map:
    case Reference::MapValue: {
        const auto index = find(maps_, parsed.name);
        if (!index) {
            return bad(statement.at, "no map '" + parsed.name + "'",
                       did_you_mean(parsed.name, names_in(maps_),
                                    "declare it: .map NAME type=hash key=4 value=8 entries=16"));
        }
        reloc.kind = parsed.reference == Reference::Map ? RelocKind::Map : RelocKind::MapValue;
        reloc.target = *index;
        if (reloc.kind == RelocKind::MapValue && parsed.offset >= object_.maps[*index].value_size) {
            return bad(statement.at, "byte " + std::to_string(parsed.offset) +
                                         " is outside the value of map '" + parsed.name + "', which has " +
                                         std::to_string(object_.maps[*index].value_size));
        }
        break;
    }
    case Reference::Extern: {
        const auto index = find(externs_, parsed.name);
        if (!index) {
            return bad(statement.at, "no extern '" + parsed.name + "'",
                       did_you_mean(parsed.name, names_in(externs_), "declare it: .extern NAME ksym"));
        }
        reloc.kind = RelocKind::Extern;
        reloc.target = *index;
        break;
    }
    case Reference::None: {
        const bool is_call = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
        named = is_call || (insn.code == op::kLddw && insn.src != 0 && insn.src != op::kBtfId);
        if (named && !is_call && insn.src != op::kFunc) {
            return bad(statement.at, "a map by number means nothing outside the process that opened it",
                       "name it: rN = map[NAME]");
        }
        if (named) {
            reloc.kind = is_call ? RelocKind::Call : RelocKind::FuncAddress;
            reloc.target =
                function_index(scope, static_cast<uint32_t>(int64_t{statement.slot} + 1 + insn.imm));
            insn.imm = is_call ? -1 : 0;
        }
        break;
    }
    }
    if (named) {
        out.relocs.push_back(reloc);
    }
    return {};
}

/// Jumps stay inside their function and arrive at whole instructions.
Status Builder::check_jump(const Scope& scope, const Statement& statement, const Insn& insn, uint32_t first,
                           uint32_t last) const {
    const uint8_t insn_class = insn.code & 7;
    const uint8_t operation = insn.code & 0xf0;
    const bool is_jump = insn_class == op::kJmp || insn_class == op::kJmp32;
    const bool by_register = operation == op::kJa && (insn.code & op::kX) != 0;
    if (!is_jump || operation == op::kCall || operation == op::kExit || by_register) {
        return {};
    }
    const bool is_long = insn.code == (op::kJmp32 | op::kJa);
    const int64_t target = int64_t{statement.slot} + 1 + (is_long ? insn.imm : insn.off);
    if (target < first || target >= last) {
        return bad(statement.at, "jump out of the function");
    }
    if (statement_at(scope, static_cast<uint32_t>(target)) == nullptr) {
        return bad(statement.at, "jump into the middle of a 64-bit load");
    }
    return {};
}

Status Builder::check_end(const Statement& last, const std::string& name) const {
    if (ends_path(last.parsed.insn)) {
        return {};
    }
    const bool more_behind = last.at.text.find(';') < last.at.text.find_last_not_of(" \t\r;");
    return bad(last.at, "function '" + name + "' runs over its end",
               more_behind ? "end it with exit or a jump; what stands behind ';' is a comment"
                           : "end it with exit or a jump");
}

/// Code behind an exit that nothing leads to is most likely meant as a program of its own.
Status Builder::check_labels(const Scope& scope) const {
    std::unordered_set<uint32_t> used;
    for (const auto& [name, label] : scope.labels) {
        if (label.is_used) {
            used.insert(label.slot);
        }
    }
    for (const auto& [name, label] : scope.labels) {
        if (used.contains(label.slot) || scope.starts.contains(label.slot)) {
            continue;
        }
        const auto after = std::ranges::lower_bound(scope.statements, label.slot, {}, &Statement::slot);
        if (ends_path(std::prev(after)->parsed.insn)) {
            return bad(label.at, "nothing jumps to or calls '" + name + "', and nothing runs into it",
                       "a further program starts with its own .section");
        }
    }
    return {};
}

Status Builder::emit(uint32_t scope, const Statement& statement, uint32_t first, uint32_t last,
                     Function& out) {
    Insn insn = statement.parsed.insn;
    if (auto ok = resolve(scope, statement, insn, out); !ok) {
        return ok;
    }
    if (auto ok = check_jump(source_.scopes[scope], statement, insn, first, last); !ok) {
        return ok;
    }
    std::string text(statement.at.text.substr(0, kMaxLineText));
    text.erase(0, text.find_first_not_of(" \t\r"));
    for (char& c : text) {
        c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    const uint64_t line = uint64_t{statement.at.line} + source_.options.first_line - 1;
    const uint32_t before = statement.at.line == 1 ? source_.options.first_column - 1 : 0;
    out.lines.push_back({static_cast<uint32_t>(out.insns.size()), file_, edit_.add_string(text),
                         static_cast<uint32_t>(std::min<uint64_t>(line, (1u << 22) - 1)),
                         std::min(statement.at.column + before, 1023u)});
    out.insns.push_back(insn);
    if (slot_count(insn) == 2) {
        out.insns.push_back(statement.parsed.second);
    }
    return {};
}

/// Makes the functions of one scope: its first one is the program, the others are subprograms.
Status Builder::emit(uint32_t index) {
    Scope& scope = source_.scopes[index];
    auto statement = scope.statements.begin();
    for (auto start = scope.starts.begin(); start != scope.starts.end(); ++start) {
        const auto next = std::next(start);
        const uint32_t last = next == scope.starts.end() ? scope.slots : next->first;
        Function& out = object_.functions[start->second.index];
        out.name = start->second.name;
        const bool is_program = start->first == 0 && scope.spec;
        out.section = is_program ? scope.section : ".text";
        out.is_global = is_program;
        if (is_program) {
            out.spec = scope.spec;
        }
        const bool is_callback = std::ranges::any_of(exceptions_, [&](const auto& entry) {
            return entry.second.scope == index && entry.second.label->slot == start->first;
        });
        add_type(out, is_program, is_callback);
        for (; statement != scope.statements.end() && statement->slot < last; ++statement) {
            if (auto ok = emit(index, *statement, start->first, last, out); !ok) {
                return ok;
            }
        }
        if (auto ok = check_end(*std::prev(statement), out.name); !ok) {
            return ok;
        }
    }
    return check_labels(scope);
}

// -- Types --

/// The kernel wants names of functions as C has them; a name that is not gets underscores there.
void Builder::add_type(Function& function, bool is_program, bool is_callback) {
    std::string name = function.name.substr(0, 127);
    for (char& c : name) {
        const bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '_' || c == '.';
        c = is_fine ? c : '_';
    }
    if (name.front() >= '0' && name.front() <= '9') {
        name.front() = '_';
    }
    // Static subprograms are checked with their callers; global ones would be by their types, which say
    // little. The kernel wants the exception callback global.
    const uint32_t linkage = is_program || is_callback ? 1 : 0;
    function.btf_id = edit_.add_type({edit_.add_string(name), btf_raw::make_info(BtfKind::Func, linkage),
                                      prototype(is_program, is_callback)});
}

uint32_t Builder::prototype(bool is_program, bool is_callback) {
    uint32_t& made = is_program ? program_proto_ : is_callback ? callback_proto_ : function_proto_;
    if (made != 0) {
        return made;
    }
    const uint32_t number = edit_.find_or_add_int();
    if (is_program) {
        const uint32_t pointer = edit_.add_type({0, btf_raw::make_info(BtfKind::Ptr, 0), 0});
        made = edit_.add_type(
            {0, btf_raw::make_info(BtfKind::FuncProto, 1), number, edit_.add_string("ctx"), pointer});
    } else if (is_callback) {
        uint32_t cookie = edit_.find("u64", BtfKind::Int);
        if (cookie == 0) {
            cookie = edit_.add_type({edit_.add_string("u64"), btf_raw::make_info(BtfKind::Int, 0), 8, 64});
        }
        made = edit_.add_type(
            {0, btf_raw::make_info(BtfKind::FuncProto, 1), number, edit_.add_string("cookie"), cookie});
    } else {
        made = edit_.add_type({0, btf_raw::make_info(BtfKind::FuncProto, 0), number});
    }
    return made;
}

/// The tag by which the kernel finds the callback of a program.
void Builder::add_exception_callbacks() {
    for (const auto& [scope, found] : exceptions_) {
        const Function& program = object_.functions[function_index(scope, 0)];
        Function& callback = object_.functions[function_index(found.scope, found.label->slot)];
        callback.is_global = true;
        edit_.add_type({edit_.add_string("exception_callback:" + callback.name),
                        btf_raw::make_info(BtfKind::DeclTag, 0), program.btf_id, UINT32_MAX});
    }
}

Status Builder::fill_slots() {
    Names programs;
    for (uint32_t i = 0; i < object_.functions.size(); ++i) {
        if (object_.functions[i].spec) {
            programs.try_emplace(object_.functions[i].name, i);
        }
    }
    for (const SlotEntry& entry : source_.slots) {
        MapDef& map = object_.maps[entry.map];
        const bool of_programs = map.type == abi::MapType::ProgArray;
        if (!of_programs && map.type != abi::MapType::ArrayOfMaps && map.type != abi::MapType::HashOfMaps) {
            return bad(entry.at, "map '" + map.name + "' holds neither programs nor maps");
        }
        const auto target = find(of_programs ? programs : maps_, entry.target);
        if (!target) {
            return bad(entry.at,
                       std::string("no ") + (of_programs ? "program" : "map") + " '" + entry.target + "'",
                       did_you_mean(entry.target, names_in(of_programs ? programs : maps_)));
        }
        if (map.type != abi::MapType::HashOfMaps && entry.index >= map.max_entries) {
            return bad(entry.at, "slot " + std::to_string(entry.index) + " of map '" + map.name +
                                     "', which has " + std::to_string(map.max_entries));
        }
        map.slots.push_back({entry.index, *target});
    }
    return {};
}

Expected<Object> Builder::run() {
    index_names();
    if (auto ok = find_functions(); !ok) {
        return ok.error();
    }
    std::string origin = source_.options.origin;
    std::replace(origin.begin(), origin.end(), '\0', '?');
    file_ = edit_.add_string(origin);
    uint32_t functions = 0;
    for (Scope& scope : source_.scopes) {
        for (auto& [slot, start] : scope.starts) {
            start.index = functions++;
        }
    }
    if (functions > kMaxFunctions) {
        return Error{E2BIG, "assemble",
                     source_.options.origin + ": more than " + std::to_string(kMaxFunctions) + " functions",
                     "", ""};
    }
    object_.functions.resize(functions);
    for (uint32_t i = 0; i < source_.scopes.size(); ++i) {
        if (source_.scopes[i].slots != 0) {
            if (auto ok = emit(i); !ok) {
                return ok.error();
            }
        }
    }
    if (auto ok = fill_slots(); !ok) {
        return ok.error();
    }
    add_exception_callbacks();
    if (edit_.type_count() > 1) {
        auto btf = Btf::parse(edit_.finish(), source_.options.origin);
        if (!btf) {
            return btf.error();
        }
        object_.btf = std::make_shared<const Btf>(std::move(*btf));
    }
    if (auto ok = validate(object_); !ok) {
        Error error = std::move(ok.error());
        error.op = "assemble";
        return error;
    }
    return std::move(object_);
}

} // namespace

Expected<Object> build(Source source) {
    return Builder(std::move(source)).run();
}

} // namespace mimicsh::assembler
