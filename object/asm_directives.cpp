// SPDX-License-Identifier: MIT
// Lines that start with a dot: sections, licence, maps, externs, raw bytes.
#include <array>
#include <cerrno>

#include "base/similar.h"
#include "object/asm_hints.h"
#include "object/asm_parts.h"

namespace mimicsh::assembler {

namespace {

constexpr size_t kMaxMaps = 4096, kMaxExterns = 4096, kMaxScopes = 4096;
constexpr uint64_t kMaxData = uint64_t{64} << 20; // of one data section, as the ELF reader has it

/// Types that `key=` and `value=` take beside a number of bytes.
struct ValueType {
    std::string_view name;
    uint32_t size;
    bool is_signed = false;
    std::string_view typedef_name = {}; ///< what the shell shows in host byte order
};

constexpr std::array<ValueType, 11> kValueTypes{{
    {"u8", 1},
    {"u16", 2},
    {"u32", 4},
    {"u64", 8},
    {"s8", 1, true},
    {"s16", 2, true},
    {"s32", 4, true},
    {"s64", 8, true},
    {"be16", 2, false, "__be16"},
    {"be32", 4, false, "__be32"},
    {"be64", 8, false, "__be64"},
}};

/// The section that a program of that type has when the text names only the type; empty where it must say
/// how it attaches.
std::string_view section_of(abi::ProgType type) {
    constexpr std::array<std::string_view, 17> kSections{
        "xdp",     "tc",         "socket", "action",  "tracepoint", "raw_tp",
        "kprobe",  "perf_event", "lwt_in", "lwt_out", "lwt_xmit",   "lwt_seg6local",
        "sockops", "sk_msg",     "sk_skb", "syscall", "cgroup/skb",
    };
    for (const std::string_view section : kSections) {
        if (spec_of_section(section)->type == type) {
            return section;
        }
    }
    return {};
}

class Directive {
  public:
    Directive(Source& source, const Token& name, Lexer& lexer, const Position& at)
        : source_(source), name_(name), lexer_(lexer), at_(at) {}
    Status run();

  private:
    [[nodiscard]] Error bad(const Token& at, const std::string& text, const std::string& hint = "",
                            int code = EINVAL) const {
        Position place = at_;
        place.column = at.column;
        return error_at(source_.options, place, text, hint, code);
    }
    /// A word or a quoted text.
    Expected<std::string> text(const char* what);
    Expected<uint64_t> number(uint64_t limit, const char* what);
    Status end();

    Status section();
    Status type();
    Status license();
    Status map(bool is_inner);
    Status attribute(MapDef& map, const Token& key);
    Status type_or_size(uint32_t& size, uint32_t& btf_id);
    Status data(MapDef& map, const Token& key, ByteVec& bytes);
    uint32_t add_type(const ValueType& type);
    Expected<uint32_t> find_map(const Token& at, const std::string& name) const;
    Status slot();
    Status external();
    Status exception();
    Status bytes();

    Source& source_;
    const Token name_;
    Lexer& lexer_;
    const Position at_;
};

Expected<std::string> Directive::text(const char* what) {
    const Token next = lexer_.peek();
    if (next.kind == TokenKind::Quoted) {
        (void)lexer_.next();
        auto plain = unquote(next.text);
        if (!plain) {
            return bad(next, "malformed quoted text");
        }
        return std::move(*plain);
    }
    const Token word = lexer_.word();
    if (word.kind == TokenKind::End || next.kind == TokenKind::Bad) {
        return bad(word, next.kind == TokenKind::Bad
                             ? std::string(next.text)
                             : std::string("expected ") + what + " behind " + std::string(name_.text));
    }
    return std::string(word.text);
}

Expected<uint64_t> Directive::number(uint64_t limit, const char* what) {
    const Token token = lexer_.next();
    if (token.kind != TokenKind::Number) {
        return bad(token, token.kind == TokenKind::Bad ? std::string(token.text)
                          : token.kind == TokenKind::End
                              ? std::string("expected ") + what + " before the end of the line"
                              : std::string("expected ") + what + ", got '" +
                                    std::string(token.text.substr(0, 64)) + "'");
    }
    if (token.number > limit) {
        return bad(token, std::string(what) + " is larger than " + std::to_string(limit));
    }
    return token.number;
}

Status Directive::end() {
    const Token token = lexer_.next();
    if (token.kind != TokenKind::End) {
        return bad(token, "unexpected text behind " + std::string(name_.text));
    }
    return {};
}

// -- Sections --

Status Directive::section() {
    const Token at = lexer_.peek();
    auto name = text("section name");
    if (!name) {
        return name.error();
    }
    Position place = at_;
    place.column = at.column;
    if (auto ok = open_scope(source_, *name, place); !ok) {
        return ok;
    }
    return end();
}

/// .type sched_cls: the section that programs of the type have.
Status Directive::type() {
    const Token word = lexer_.word();
    if (const auto type = abi::prog_type(word.text)) {
        Position place = at_;
        place.column = word.column;
        auto ok = open_scope(source_, *type, place);
        return ok ? end() : ok;
    }
    return bad(word, "no program type '" + std::string(word.text.substr(0, 64)) + "'",
               hint_for_program_type(word.text));
}

Status Directive::license() {
    const Token next = lexer_.peek();
    if (next.kind == TokenKind::Bad) {
        return bad(next, std::string(next.text));
    }
    if (next.kind != TokenKind::Quoted) {
        source_.object.license = lexer_.rest().text;
        return {};
    }
    auto plain = text("licence");
    if (!plain) {
        return plain.error();
    }
    source_.object.license = std::move(*plain);
    return end();
}

// -- Maps --

uint32_t Directive::add_type(const ValueType& type) {
    BtfEditor& edit = source_.types;
    const std::string name = std::string(type.is_signed ? "s" : "u") + std::to_string(type.size * 8);
    uint32_t id = edit.find(name, BtfKind::Int);
    if (id == 0) {
        const uint32_t encoding = (type.is_signed ? 1u << 24 : 0u) | type.size * 8;
        id = edit.add_type({edit.add_string(name), btf_raw::make_info(BtfKind::Int, 0), type.size, encoding});
    }
    if (type.typedef_name.empty()) {
        return id;
    }
    const uint32_t known = edit.find(type.typedef_name, BtfKind::Typedef);
    return known != 0 ? known
                      : edit.add_type({edit.add_string(type.typedef_name),
                                       btf_raw::make_info(BtfKind::Typedef, 0), id});
}

Status Directive::type_or_size(uint32_t& size, uint32_t& btf_id) {
    const Token token = lexer_.peek();
    for (const ValueType& type : kValueTypes) {
        if (token.is(type.name)) {
            (void)lexer_.next();
            size = type.size;
            btf_id = add_type(type);
            return {};
        }
    }
    auto bytes = number(UINT32_MAX, "number of bytes, or a type (u8 to u64, s8 to s64, be16, be32, be64)");
    if (!bytes) {
        return bytes.error();
    }
    size = static_cast<uint32_t>(*bytes);
    return {};
}

/// Contents in hexadecimal; what is missing at the end is zero.
Status Directive::data(MapDef& map, const Token& key, ByteVec& bytes) {
    map.is_data = true;
    if (!lexer_.peek().is("=")) {
        return {};
    }
    (void)lexer_.next();
    const Token word = lexer_.word();
    auto parsed = from_hex(word.text);
    if (!parsed || parsed->empty()) {
        return bad(word.kind == TokenKind::End ? key : word,
                   "expected contents as hexadecimal digits, two a byte");
    }
    bytes = std::move(*parsed);
    return {};
}

Status Directive::attribute(MapDef& map, const Token& key) {
    if (const Token sign = lexer_.next(); !sign.is("=")) {
        return bad(sign, "expected '=' behind '" + std::string(key.text.substr(0, 64)) + "'");
    }
    if (key.is("type")) {
        const Token token = lexer_.next();
        const auto type = abi::map_type(token.text);
        if (!type) {
            return bad(token, "no map type '" + std::string(token.text.substr(0, 64)) + "'",
                       hint_for_map_type(token.text));
        }
        map.type = *type;
        return {};
    }
    if (key.is("key")) {
        return type_or_size(map.key_size, map.key_btf_id);
    }
    if (key.is("value")) {
        return type_or_size(map.value_size, map.value_btf_id);
    }
    const bool is_extra = key.is("extra");
    auto value = number(is_extra ? UINT64_MAX : UINT32_MAX, "number");
    if (!value) {
        return value.error();
    }
    if (is_extra) {
        map.extra = *value;
        return {};
    }
    uint32_t* field = key.is("entries")   ? &map.max_entries
                      : key.is("flags")   ? &map.flags
                      : key.is("numa")    ? &map.numa_node
                      : key.is("pinning") ? &map.pinning
                                          : nullptr;
    if (field == nullptr) {
        return bad(key, "a map has no '" + std::string(key.text.substr(0, 64)) + "'",
                   hint_for_map_attribute(key.text));
    }
    *field = static_cast<uint32_t>(*value);
    return {};
}

Status Directive::map(bool is_inner) {
    const Token at = lexer_.peek();
    auto name = text("map name");
    if (!name) {
        return name.error();
    }
    if (at.kind == TokenKind::Name && name->find('=') != std::string::npos) {
        return bad(at, "expected the map's name in front of '" + name->substr(0, 64) + "'",
                   "write for example '.map counts type=array key=u32 value=u64 entries=4'");
    }
    MapDef map;
    map.name = *name;
    ByteVec contents;
    while (lexer_.peek().kind != TokenKind::End) {
        const Token key = lexer_.next();
        if (key.is("frozen")) {
            map.frozen = true;
            continue;
        }
        auto ok = key.is("data")                ? data(map, key, contents)
                  : key.kind == TokenKind::Name ? attribute(map, key)
                                                : Status(bad(key, "expected name=value"));
        if (!ok) {
            return ok;
        }
    }
    if (map.type == abi::MapType::Unspec) {
        return bad(at, "map without a type",
                   "write for example '.map counts type=array key=u32 value=u64 entries=4'");
    }
    if (map.is_data) {
        if (map.value_size > kMaxData || contents.size() > map.value_size) {
            return bad(at, std::to_string(contents.size()) + " bytes of data in a value of " +
                               std::to_string(map.value_size));
        }
        contents.resize(map.value_size);
        map.contents = std::move(contents);
    }
    if (is_inner) {
        auto outer = find_map(at, *name);
        if (!outer) {
            return outer.error();
        }
        source_.object.maps[*outer].inner = std::make_shared<MapDef>(std::move(map));
        return {};
    }
    if (source_.object.find_map(*name) != nullptr) {
        return bad(at, "map '" + *name + "' is declared twice");
    }
    if (source_.object.maps.size() >= kMaxMaps) {
        return bad(at, "more than " + std::to_string(kMaxMaps) + " maps", "", E2BIG);
    }
    source_.object.maps.push_back(std::move(map));
    return {};
}

Expected<uint32_t> Directive::find_map(const Token& at, const std::string& name) const {
    const auto& maps = source_.object.maps;
    for (uint32_t i = 0; i < maps.size(); ++i) {
        if (maps[i].name == name) {
            return i;
        }
    }
    std::vector<std::string_view> names;
    for (const MapDef& map : maps) {
        names.push_back(map.name);
    }
    return bad(at, "no map '" + name + "' is declared above", did_you_mean(name, names));
}

/// .slot jumps 0 pass
Status Directive::slot() {
    const Token at = lexer_.peek();
    auto name = text("map name");
    auto map = name ? find_map(at, *name) : Expected<uint32_t>(name.error());
    if (!map) {
        return map.error();
    }
    auto index = number(UINT32_MAX, "slot number");
    if (!index) {
        return index.error();
    }
    Position place = at_;
    place.column = lexer_.peek().column;
    auto target = text("name of a program or map");
    if (!target) {
        return target.error();
    }
    source_.slots.push_back({*map, static_cast<uint32_t>(*index), std::move(*target), place});
    return end();
}

// -- Externs and bytes --

/// .extern bpf_xdp_metadata_rx_hash kfunc [weak]
Status Directive::external() {
    const Token at = lexer_.peek();
    auto name = text("name");
    if (!name) {
        return name.error();
    }
    ExternDef def;
    def.name = *name;
    const Token kind = lexer_.next();
    if (kind.is("kfunc")) {
        def.kind = ExternKind::Kfunc;
    } else if (kind.is("kconfig")) {
        def.kind = ExternKind::Kconfig;
    } else if (!kind.is("ksym")) {
        return bad(kind, "expected kfunc, ksym or kconfig",
                   did_you_mean(kind.text, {"kfunc", "ksym", "kconfig"}));
    }
    if (lexer_.peek().is("weak")) {
        (void)lexer_.next();
        def.is_weak = true;
    }
    for (const ExternDef& other : source_.object.externs) {
        if (other.name == def.name) {
            return bad(at, "extern '" + def.name + "' is declared twice");
        }
    }
    if (def.name.empty() || source_.object.externs.size() >= kMaxExterns) {
        return bad(at, def.name.empty() ? "extern without a name"
                                        : "more than " + std::to_string(kMaxExterns) + " externs");
    }
    source_.object.externs.push_back(std::move(def));
    return end();
}

/// .exception handler: what bpf_throw in the section's program ends in.
Status Directive::exception() {
    const Token at = lexer_.peek();
    auto name = text("name of a function");
    if (!name) {
        return name.error();
    }
    if (source_.scopes.empty()) {
        if (auto ok = open_scope(source_, source_.options.type, at_); !ok) {
            return ok;
        }
    }
    Scope& scope = source_.scopes.back();
    if (!scope.exception.empty() || !scope.spec) {
        return bad(name_,
                   scope.spec ? "the section has an exception callback" : "no program stands in .text");
    }
    scope.exception = std::move(*name);
    scope.exception_at = at_;
    scope.exception_at.column = at.column;
    return end();
}

/// .bytes b700000002000000: whole instructions as they are stored.
Status Directive::bytes() {
    const Token digits = lexer_.rest();
    const auto raw = from_hex(digits.text);
    if (!raw || raw->empty() || raw->size() % sizeof(Insn) != 0) {
        return bad(digits, "expected hexadecimal digits, 8 bytes an instruction");
    }
    for (size_t at = 0; at < raw->size(); at += sizeof(Insn)) {
        ParsedInsn parsed;
        parsed.column = digits.column;
        std::memcpy(&parsed.insn, &(*raw)[at], sizeof(Insn));
        if (slot_count(parsed.insn) == 2) {
            at += sizeof(Insn);
            if (at >= raw->size()) {
                return bad(digits, "64-bit load cut in half");
            }
            std::memcpy(&parsed.second, &(*raw)[at], sizeof(Insn));
        }
        if (auto ok = add_statement(source_, std::move(parsed), at_); !ok) {
            return ok;
        }
    }
    return {};
}

Status Directive::run() {
    if (name_.is(".section")) {
        return section();
    }
    if (name_.is(".type")) {
        return type();
    }
    if (name_.is(".license")) {
        return license();
    }
    if (name_.is(".map") || name_.is(".inner")) {
        return map(name_.is(".inner"));
    }
    if (name_.is(".slot")) {
        return slot();
    }
    if (name_.is(".extern")) {
        return external();
    }
    if (name_.is(".exception")) {
        return exception();
    }
    if (name_.is(".bytes")) {
        return bytes();
    }
    return bad(name_, "no directive '" + std::string(name_.text.substr(0, 64)) + "'",
               hint_for_directive(name_.text));
}

} // namespace

Status open_scope(Source& source, const std::string& section, const Position& at) {
    if (source.scopes.size() >= kMaxScopes) {
        return error_at(source.options, at, "more than " + std::to_string(kMaxScopes) + " sections", "",
                        E2BIG);
    }
    Scope scope;
    scope.section = section;
    scope.at = at;
    if (section != ".text") {
        scope.spec = spec_of_section(section);
        if (!scope.spec) {
            return error_at(source.options, at,
                            "section '" + section.substr(0, 128) + "' names no program type",
                            hint_for_section(section));
        }
    }
    source.scopes.push_back(std::move(scope));
    return {};
}

Status open_scope(Source& source, abi::ProgType type, const Position& at) {
    const std::string_view section = section_of(type);
    if (section.empty()) {
        return error_at(source.options, at,
                        "programs of type " + std::string(abi::name(type)) +
                            " need a section that says where they attach",
                        "begin with a line such as '.section cgroup/connect4'");
    }
    return open_scope(source, std::string(section), at);
}

Status read_directive(Source& source, const Token& name, Lexer& lexer, const Position& at) {
    return Directive(source, name, lexer, at).run();
}

} // namespace mimicsh::assembler
