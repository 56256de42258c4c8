// SPDX-License-Identifier: MIT
// The BTF of an object file: externs, and the fix-ups that compilers leave to the loader.
#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "object/btf_edit.h"
#include "object/elf_parts.h"

namespace mimicsh::elf {

namespace {

constexpr uint32_t kLinkageExtern = 2; // BTF_VAR_GLOBAL_EXTERN, BTF_FUNC_EXTERN
constexpr uint32_t kLinkageGlobal = 1;
constexpr uint32_t kLinkageStatic = 0;
constexpr size_t kVarLinkageWord = 3;

constexpr size_t secvar_word(uint32_t index, size_t field) {
    return 3 + 3 * size_t{index} + field;
}

/// Section of every variable and function that a DATASEC lists.
std::unordered_map<uint32_t, uint32_t> datasec_of_types(const Btf& btf) {
    std::unordered_map<uint32_t, uint32_t> out;
    for (uint32_t id = 1; id < btf.type_count(); ++id) {
        if (btf.type(id).kind == BtfKind::Datasec) {
            for (const BtfSecVar& var : btf.type(id).vars) {
                out.emplace(var.var_type, id);
            }
        }
    }
    return out;
}

/// One pass over the BTF of one file.
class Fixer {
  public:
    Fixer(Build& build, const Btf& btf) : build_(build), btf_(btf), edit_(btf) {}

    Expected<ByteVec> run() {
        index_symbols();
        if (auto ok = collect_externs(); !ok) {
            return ok.error();
        }
        for (uint32_t id = 1; id < btf_.type_count(); ++id) {
            if (btf_.type(id).kind == BtfKind::Datasec) {
                if (auto ok = fix_datasec(id); !ok) {
                    return ok.error();
                }
            }
        }
        hide_functions();
        return edit_.finish();
    }

  private:
    Status collect_externs();
    Status add_extern(uint32_t symbol_index, uint32_t id, std::string_view section);
    Status fix_datasec(uint32_t id);
    Status fix_data(uint32_t id, const BtfType& sec, uint32_t size);
    void drop_moved(uint32_t id, const BtfType& sec);
    void fix_ksyms(uint32_t id);
    void fix_kconfig(uint32_t id);
    void sort_vars(uint32_t id);
    void hide_functions();
    uint32_t dummy_var();
    void index_symbols();
    [[nodiscard]] bool is_moved(const BtfType& var, std::string_view section) const;
    [[nodiscard]] const Symbol* variable_symbol(std::string_view name) const;

    Build& build_;
    const Btf& btf_;
    BtfEditor edit_;
    uint32_t dummy_ = 0; // the variable that stands for kfuncs in .ksyms
    std::unordered_map<std::string_view, const Symbol*> variables_;    // global
    std::unordered_multimap<std::string_view, const Symbol*> statics_; // local
};

Status Fixer::add_extern(uint32_t symbol_index, uint32_t id, std::string_view section) {
    const Symbol& symbol = build_.file.symbols()[symbol_index];
    const BtfType& type = btf_.type(id);
    ExternDef out;
    out.name = symbol.name;
    out.is_weak = symbol.bind == kBindWeak;
    out.btf_id = id;
    if (section == ".kconfig" && type.kind == BtfKind::Var) {
        out.kind = ExternKind::Kconfig;
        out.type_id = type.type;
    } else if (section == ".ksyms") {
        out.kind = type.kind == BtfKind::Func ? ExternKind::Kfunc : ExternKind::Ksym;
        out.type_id = btf_.resolve(type.type);
    } else {
        return build_.file.bad(section.empty() ? ".BTF" : section,
                               "extern '" + out.name + "' is in no section that names externs");
    }
    build_.object.externs.push_back(std::move(out));
    build_.extern_symbols.push_back(symbol_index);
    return {};
}

Status Fixer::collect_externs() {
    const auto& symbols = build_.file.symbols();
    const auto sections = datasec_of_types(btf_);
    for (uint32_t i = 1; i < symbols.size(); ++i) {
        const Symbol& symbol = symbols[i];
        if (symbol.section != kUndef || symbol.bind == kBindLocal || symbol.name.empty()) {
            continue;
        }
        uint32_t found = 0;
        for (const uint32_t id : btf_.find_all(symbol.name)) {
            const BtfType& type = btf_.type(id);
            if ((type.kind == BtfKind::Var || type.kind == BtfKind::Func) && type.linkage == kLinkageExtern) {
                found = id;
                break;
            }
        }
        const auto section = sections.find(found);
        if (found == 0 || section == sections.end()) {
            Error error = build_.file.bad(".symtab", "undefined symbol '" +
                                                         std::string(symbol.name.substr(0, 128)) + "'");
            error.hint = "define it, or declare it extern with __ksym or __kconfig";
            return error;
        }
        if (auto ok = add_extern(i, found, btf_.type(section->second).name); !ok) {
            return ok;
        }
    }
    return {};
}

void Fixer::index_symbols() {
    for (const Symbol& symbol : build_.file.symbols()) {
        if (symbol.type != kObjectType || symbol.section == kUndef || symbol.section >= kLoReserve) {
            continue;
        }
        if (symbol.bind == kBindLocal) {
            statics_.emplace(symbol.name, &symbol);
        } else {
            variables_.emplace(symbol.name, &symbol);
        }
    }
}

/// clang puts small constants into mergeable sections (.rodata.cst32), but its BTF still lists them under
/// .rodata.
bool Fixer::is_moved(const BtfType& var, std::string_view section) const {
    if (var.kind != BtfKind::Var || var.linkage != kLinkageStatic) {
        return false;
    }
    const auto [first, last] = statics_.equal_range(var.name);
    return first != last && std::none_of(first, last, [&](const auto& known) {
               return build_.section_name(known.second->section) == section;
           });
}

void Fixer::drop_moved(uint32_t id, const BtfType& sec) {
    for (auto i = static_cast<uint32_t>(sec.vars.size()); i-- > 0;) {
        if (is_moved(btf_.type(sec.vars[i].var_type), sec.name)) {
            edit_.remove_secvar(id, i);
        }
    }
}

const Symbol* Fixer::variable_symbol(std::string_view name) const {
    const auto it = variables_.find(name);
    return it == variables_.end() ? nullptr : it->second;
}

/// Sizes come from the section, offsets of global variables from the symbol table.
Status Fixer::fix_data(uint32_t id, const BtfType& sec, uint32_t size) {
    edit_.set_word(id, 2, std::max(size, 1u)); // the kernel takes no empty section
    for (uint32_t i = 0; i < sec.vars.size(); ++i) {
        const BtfSecVar& entry = sec.vars[i];
        const BtfType& var = btf_.type(entry.var_type);
        if (var.kind != BtfKind::Var) {
            return build_.file.bad(sec.name, "entry " + std::to_string(i) + " of its BTF is no variable");
        }
        uint64_t offset = entry.offset;
        if (is_moved(var, sec.name)) {
            continue;
        }
        if (var.linkage != kLinkageStatic) {
            const Symbol* symbol = variable_symbol(var.name);
            if (symbol == nullptr || build_.section_name(symbol->section) != sec.name) {
                return build_.file.bad(sec.name, "variable '" + std::string(var.name.substr(0, 128)) +
                                                     "' has no symbol");
            }
            offset = symbol->value;
            if (symbol->is_hidden()) {
                edit_.set_word(entry.var_type, kVarLinkageWord, kLinkageStatic);
            }
        }
        if (offset > size || entry.size > size - offset) {
            return build_.file.bad(sec.name,
                                   "variable '" + std::string(var.name.substr(0, 128)) + "' leaves it");
        }
        edit_.set_word(id, secvar_word(i, 1), static_cast<uint32_t>(offset));
    }
    return {};
}

uint32_t Fixer::dummy_var() {
    constexpr std::string_view kName = "dummy_ksym";
    if (dummy_ == 0) {
        dummy_ = btf_.find(kName, BtfKind::Var).value_or(0);
    }
    if (dummy_ != 0) {
        return dummy_;
    }
    const uint32_t int_id = edit_.find_or_add_int();
    return dummy_ = edit_.add_type(
               {edit_.add_string(kName), btf_raw::make_info(BtfKind::Var, 0), int_id, kLinkageGlobal});
}

/// The kernel knows neither extern variables nor functions in a DATASEC: variables become global ints or keep
/// a type that has a size, functions are replaced by one dummy variable, as libbpf does it.
void Fixer::fix_ksyms(uint32_t id) {
    const BtfType& sec = btf_.type(id);
    for (uint32_t i = 0; i < sec.vars.size(); ++i) {
        const uint32_t target = sec.vars[i].var_type;
        const BtfType& type = btf_.type(target);
        if (type.kind == BtfKind::Func) {
            const uint32_t dummy = dummy_var();
            const BtfType& proto = btf_.type(type.type);
            for (uint32_t p = 0; p < proto.params.size(); ++p) {
                if (proto.params[p].type != 0 && proto.params[p].name.empty()) {
                    edit_.set_word(type.type, 3 + 2 * size_t{p}, edit_.word(dummy, 0));
                }
            }
            edit_.set_word(target, 1, btf_raw::make_info(BtfKind::Func, kLinkageGlobal));
            edit_.set_word(id, secvar_word(i, 0), dummy);
        } else {
            edit_.set_word(target, 2, edit_.find_or_add_int());
            edit_.set_word(target, kVarLinkageWord, kLinkageGlobal);
        }
        edit_.set_word(id, secvar_word(i, 1), 4 * i);
        edit_.set_word(id, secvar_word(i, 2), 4);
    }
    edit_.set_word(id, 2, 4 * static_cast<uint32_t>(sec.vars.size()));
}

/// Lays out the values of .kconfig externs in libbpf's order: by alignment downwards, then size, then name.
void Fixer::fix_kconfig(uint32_t id) {
    const BtfType& sec = btf_.type(id);
    std::vector<uint32_t> order(sec.vars.size());
    for (uint32_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    const auto align = [&](uint32_t i) { return btf_.align_of(btf_.type(sec.vars[i].var_type).type); };
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (align(a) != align(b)) {
            return align(a) > align(b);
        }
        if (sec.vars[a].size != sec.vars[b].size) {
            return sec.vars[a].size < sec.vars[b].size;
        }
        return btf_.type(sec.vars[a].var_type).name < btf_.type(sec.vars[b].var_type).name;
    });
    uint32_t offset = 0;
    for (const uint32_t i : order) {
        offset = round_up(offset, align(i));
        edit_.set_word(id, secvar_word(i, 1), offset);
        edit_.set_word(sec.vars[i].var_type, kVarLinkageWord, kLinkageGlobal);
        offset += sec.vars[i].size;
    }
    edit_.set_word(id, 2, offset);
}

void Fixer::sort_vars(uint32_t id) {
    struct Entry {
        uint32_t type, offset, size;
    };
    std::vector<Entry> entries(edit_.vlen(id));
    for (uint32_t i = 0; i < entries.size(); ++i) {
        entries[i] = {edit_.word(id, secvar_word(i, 0)), edit_.word(id, secvar_word(i, 1)),
                      edit_.word(id, secvar_word(i, 2))};
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
    for (uint32_t i = 0; i < entries.size(); ++i) {
        edit_.set_word(id, secvar_word(i, 0), entries[i].type);
        edit_.set_word(id, secvar_word(i, 1), entries[i].offset);
        edit_.set_word(id, secvar_word(i, 2), entries[i].size);
    }
}

Status Fixer::fix_datasec(uint32_t id) {
    const BtfType& sec = btf_.type(id);
    const bool has_externs = std::any_of(sec.vars.begin(), sec.vars.end(), [this](const BtfSecVar& v) {
        return btf_.type(v.var_type).linkage == kLinkageExtern;
    });
    if (sec.name == ".ksyms" && has_externs) {
        fix_ksyms(id);
    } else if (sec.name == ".kconfig" && has_externs) {
        // Sizes are a compiler's word; bounded so that the sum below cannot wrap.
        for (const BtfSecVar& var : sec.vars) {
            if (btf_.type(var.var_type).kind != BtfKind::Var || var.size > 1u << 16) {
                return build_.file.bad(sec.name, "entry of its BTF is no option");
            }
        }
        if (sec.vars.size() > 4096) {
            return build_.file.bad(sec.name, "too many options");
        }
        fix_kconfig(id);
    } else if (sec.size == 0) {
        const auto section = build_.file.find(sec.name);
        const uint64_t size = section ? build_.file.sections()[*section].size : 0;
        if (size > UINT32_MAX) {
            return build_.file.bad(sec.name, "larger than 4 GiB");
        }
        if (auto ok = fix_data(id, sec, static_cast<uint32_t>(size)); !ok) {
            return ok;
        }
        drop_moved(id, sec);
    }
    sort_vars(id);
    return {};
}

/// A hidden global function is verified together with its callers, as a static one is.
void Fixer::hide_functions() {
    for (const Symbol& symbol : build_.file.symbols()) {
        if (symbol.type != kFuncType || symbol.bind == kBindLocal || !symbol.is_hidden()) {
            continue;
        }
        if (const auto id = btf_.find(symbol.name, BtfKind::Func)) {
            edit_.set_word(*id, 1, btf_raw::make_info(BtfKind::Func, kLinkageStatic));
        }
    }
}

} // namespace

Status read_btf(Build& build) {
    const auto section = build.file.find(".BTF");
    if (!section || build.file.sections()[*section].data.empty()) {
        for (const Symbol& symbol : build.file.symbols()) {
            if (symbol.section == kUndef && symbol.bind != kBindLocal && !symbol.name.empty()) {
                Error error =
                    build.file.bad(".symtab", "undefined symbol '" + std::string(symbol.name.substr(0, 128)) +
                                                  "' and no BTF that says what it is");
                error.hint = "compile with -g";
                return error;
            }
        }
        return {};
    }
    const std::string what = build.file.origin() + ": section .BTF";
    auto raw = Btf::parse(build.file.sections()[*section].data, what);
    if (!raw) {
        return raw.error();
    }
    auto bytes = Fixer(build, *raw).run();
    if (!bytes) {
        return bytes.error();
    }
    auto fixed = Btf::parse(*bytes, what);
    if (!fixed) {
        return fixed.error();
    }
    build.object.btf = std::make_shared<const Btf>(std::move(*fixed));
    return {};
}

} // namespace mimicsh::elf
