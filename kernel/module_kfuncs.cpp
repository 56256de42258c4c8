// SPDX-License-Identifier: MIT
// Tags in BTF first, then the symbols of sets of functions.
#include "kernel/module_kfuncs.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <set>

#include "base/fd.h"
#include "object/kernel_btf.h"

namespace mimicsh::kernel {

namespace {

constexpr std::string_view kKernel = "vmlinux";

struct Symbol {
    uint64_t address = 0;
    char type = 0;
    std::string_view name;
    std::string_view module = kKernel;
};

/// A line of /proc/kallsyms: "ffffffffc04dd4e6 r __BTF_ID__set8__nf_ct_kfunc_set\t[nf_conntrack]".
std::optional<Symbol> parse_symbol(std::string_view line) {
    Symbol symbol;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), symbol.address, 16);
    line.remove_prefix(static_cast<size_t>(end - line.data()));
    if (failed != std::errc() || line.size() < 4 || line[0] != ' ' || line[2] != ' ') {
        return std::nullopt;
    }
    symbol.type = line[1];
    line.remove_prefix(3);
    if (const size_t tab = line.find("\t["); tab != std::string_view::npos && line.ends_with(']')) {
        symbol.module = line.substr(tab + 2, line.size() - tab - 3);
        line = line.substr(0, tab);
    }
    symbol.name = line;
    return symbol;
}

/// "bpf_ct_release" of "__BTF_ID__func__bpf_ct_release__779480"; empty when it is no such symbol.
std::string_view function_of(std::string_view symbol) {
    constexpr std::string_view kFunction = "__BTF_ID__func__";
    if (!symbol.starts_with(kFunction)) {
        return {};
    }
    symbol.remove_prefix(kFunction.size());
    const size_t digits = symbol.find_last_not_of("0123456789");
    const bool is_numbered = digits != std::string_view::npos && digits + 1 < symbol.size() && digits >= 1 &&
                             symbol[digits] == '_' && symbol[digits - 1] == '_';
    return is_numbered ? symbol.substr(0, digits - 1) : symbol;
}

ModuleKfuncs cannot_tell(std::string reason) {
    return {std::nullopt, {}, std::move(reason)};
}

} // namespace

std::vector<std::string> tagged_kfuncs(const Btf& btf, uint32_t first_id) {
    std::set<std::string> names;
    for (uint32_t id = std::max(first_id, 1u); id < btf.type_count(); ++id) {
        const BtfType& tag = btf.type(id);
        if (tag.kind == BtfKind::DeclTag && tag.component == -1 && tag.name == "bpf_kfunc" &&
            btf.type(tag.type).kind == BtfKind::Func) {
            names.emplace(btf.type(tag.type).name);
        }
    }
    return {names.begin(), names.end()};
}

ModuleKfuncs kfuncs_in_symbols(std::string_view kallsyms, std::string_view module) {
    constexpr std::string_view kSet = "__BTF_ID__set8__";
    constexpr uint64_t kHeader = 8, kEntry = 8; // count and flags; id and flags
    std::multimap<uint64_t, std::string_view> by_address;
    std::vector<uint64_t> sets;
    bool has_data = false;
    bool has_addresses = false;
    bool has_ids = false;
    while (!kallsyms.empty()) {
        const size_t end = std::min(kallsyms.find('\n'), kallsyms.size());
        const auto symbol = parse_symbol(kallsyms.substr(0, end));
        kallsyms.remove_prefix(std::min(end + 1, kallsyms.size()));
        if (!symbol || symbol->module != module) {
            continue;
        }
        has_addresses |= symbol->address != 0;
        has_data |= std::string_view("rRdDbB").find(symbol->type) != std::string_view::npos;
        has_ids |= symbol->name.starts_with("__BTF_ID__");
        by_address.emplace(symbol->address, symbol->name);
        if (symbol->name.starts_with(kSet)) {
            sets.push_back(symbol->address);
        }
    }
    if (!has_addresses) {
        return cannot_tell("its BTF has no tags, and /proc/kallsyms hides the addresses of its symbols");
    }
    if (!has_data || (!has_ids && module == kKernel)) { // the newest kernels leave out their own
        return cannot_tell("its BTF has no tags, and /proc/kallsyms has no data (CONFIG_KALLSYMS_ALL)");
    }
    std::set<std::string> names;
    for (const uint64_t set : sets) {
        for (uint64_t at = set + kHeader;; at += kEntry) {
            // What begins behind the last entry has a symbol of its own.
            const auto [first, last] = by_address.equal_range(at);
            const bool ends = first == last || std::any_of(first, last, [](const auto& symbol) {
                                  return function_of(symbol.second).empty();
                              });
            if (ends) {
                break;
            }
            names.emplace(function_of(first->second));
        }
    }
    return {std::vector<std::string>(names.begin(), names.end()), "symbols", {}};
}

ModuleKfuncs module_kfuncs(const std::string& module) {
    const auto base = running_kernel_btf();
    if (!base) {
        return cannot_tell(base.error().message());
    }
    const Btf* btf = base->get();
    std::optional<Btf> own;
    if (module != kKernel) {
        const std::string path = "/sys/kernel/btf/" + module;
        const auto bytes = read_file(path, "read types");
        if (!bytes) {
            return cannot_tell(bytes.error().code == ENOENT ? "it has no BTF" : bytes.error().message());
        }
        auto parsed = Btf::parse_split(*bytes, *btf, path);
        if (!parsed) {
            return cannot_tell(parsed.error().message());
        }
        own = std::move(*parsed);
    }
    const uint32_t first_id = own ? btf->type_count() : 1;
    if (auto names = tagged_kfuncs(own ? *own : *btf, first_id); !names.empty()) {
        return {std::move(names), "BTF tags", {}};
    }
    const auto kallsyms = read_file("/proc/kallsyms", "read symbols");
    if (!kallsyms) {
        return cannot_tell(kallsyms.error().message());
    }
    return kfuncs_in_symbols(as_text(*kallsyms), module);
}

} // namespace mimicsh::kernel
