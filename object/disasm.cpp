// SPDX-License-Identifier: MIT
// Printing instructions.
#include "object/disasm.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <vector>

#include "object/asm_lexer.h"

namespace mimicsh {

using assembler::quote_name;

namespace {

std::string reg(uint32_t number, bool wide) {
    return (wide ? "r" : "w") + std::to_string(number);
}

std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

/// "r1 + 8", "r10 - 8".
std::string place(uint32_t base, int32_t off) {
    return reg(base, true) + (off < 0 ? " - " + std::to_string(-int64_t{off}) : " + " + std::to_string(off));
}

std::string distance(int64_t by) {
    return (by < 0 ? "" : "+") + std::to_string(by);
}

std::string type_of(const Insn& insn, bool is_signed) {
    return (is_signed ? "s" : "u") + std::to_string(access_size(insn.code) * 8);
}

std::string memory(const Insn& insn, uint32_t base, bool is_signed) {
    return "*(" + type_of(insn, is_signed) + " *)(" + place(base, insn.off) + ")";
}

std::string operand(const Insn& insn, bool wide) {
    return (insn.code & op::kX) != 0 ? reg(insn.src, wide) : std::to_string(insn.imm);
}

std::string alu_text(const Insn& insn) {
    const bool wide = (insn.code & 7) == op::kAlu64;
    const char* sign = "?=";
    switch (insn.code & 0xf0) {
    case op::kMov:
        sign = "=";
        break;
    case op::kAdd:
        sign = "+=";
        break;
    case op::kSub:
        sign = "-=";
        break;
    case op::kMul:
        sign = "*=";
        break;
    case op::kDiv:
        sign = insn.off == 1 ? "s/=" : "/=";
        break;
    case op::kMod:
        sign = insn.off == 1 ? "s%=" : "%=";
        break;
    case op::kOr:
        sign = "|=";
        break;
    case op::kAnd:
        sign = "&=";
        break;
    case op::kXor:
        sign = "^=";
        break;
    case op::kLsh:
        sign = "<<=";
        break;
    case op::kRsh:
        sign = ">>=";
        break;
    default:
        sign = "s>>=";
        break;
    }
    return reg(insn.dst, wide) + " " + sign + " " + operand(insn, wide);
}

const char* comparison(uint8_t code) {
    switch (code & 0xf0) {
    case op::kJeq:
        return "==";
    case op::kJne:
        return "!=";
    case op::kJgt:
        return ">";
    case op::kJge:
        return ">=";
    case op::kJlt:
        return "<";
    case op::kJle:
        return "<=";
    case op::kJset:
        return "&";
    case op::kJsgt:
        return "s>";
    case op::kJsge:
        return "s>=";
    case op::kJslt:
        return "s<";
    default:
        return "s<=";
    }
}

std::string atomic_text(const Insn& insn) {
    const bool wide = access_size(insn.code) == 8;
    const std::string at = "(" + type_of(insn, false) + " *)(" + place(insn.dst, insn.off) + ")";
    // LLVM's names: xchg_64, but xchg32_32.
    const std::string suffix = wide ? "_64(" : "32_32(";
    if (insn.imm == op::kXchg) {
        return reg(insn.src, wide) + " = xchg" + suffix + place(insn.dst, insn.off) + ", " +
               reg(insn.src, wide) + ")";
    }
    if (insn.imm == op::kCmpxchg) {
        return reg(0, wide) + " = cmpxchg" + suffix + place(insn.dst, insn.off) + ", " + reg(0, wide) + ", " +
               reg(insn.src, wide) + ")";
    }
    const int32_t operation = insn.imm & ~op::kFetch;
    if ((insn.imm & op::kFetch) != 0) {
        const char* name = operation == op::kAdd   ? "add"
                           : operation == op::kOr  ? "or"
                           : operation == op::kAnd ? "and"
                                                   : "xor";
        return reg(insn.src, wide) + " = atomic_fetch_" + name + "(" + at + ", " + reg(insn.src, wide) + ")";
    }
    const char* sign = operation == op::kAdd   ? "+="
                       : operation == op::kOr  ? "|="
                       : operation == op::kAnd ? "&="
                                               : "^=";
    return "lock *" + at + " " + sign + " " + reg(insn.src, wide);
}

/// What has no text form: its bytes, both slots of a 64-bit load.
std::string raw_text(const Insn& insn, const Insn& second) {
    const std::string first = ".bytes " + to_hex({reinterpret_cast<const uint8_t*>(&insn), sizeof insn});
    return slot_count(insn) == 1
               ? first
               : first + " " + to_hex({reinterpret_cast<const uint8_t*>(&second), sizeof second});
}

/// "[0] + 8"; the offset is signed only for a map that is named by number.
std::string element(int64_t offset) {
    return "[0] " + std::string(offset < 0 ? "- " : "+ ") + std::to_string(offset < 0 ? -offset : offset);
}

std::string wide_text(const Insn& insn, const Insn& second) {
    const bool no_offset = insn.src == op::kMapFd || insn.src == op::kFunc || insn.src == op::kMapIdx;
    if (second != Insn{0, 0, 0, 0, second.imm} || (no_offset && second.imm != 0)) {
        return raw_text(insn, second);
    }
    const std::string dst = reg(insn.dst, true) + " = ";
    const uint64_t value = static_cast<uint32_t>(insn.imm) | uint64_t{static_cast<uint32_t>(second.imm)}
                                                                 << 32;
    switch (insn.src) {
    case 0:
        return dst + hex(value) + " ll";
    case op::kMapFd:
        return dst + "map_fd[" + std::to_string(insn.imm) + "]";
    case op::kMapValue:
        return dst + "map_fd[" + std::to_string(insn.imm) + "]" + element(second.imm);
    case op::kBtfId:
        return dst + "btf_id[" + std::to_string(insn.imm) + "] fd " + std::to_string(second.imm);
    case op::kFunc:
        return dst + "func " + distance(insn.imm);
    case op::kMapIdx:
        return dst + "map_idx[" + std::to_string(insn.imm) + "]";
    default:
        return dst + "map_idx[" + std::to_string(insn.imm) + "]" + element(second.imm);
    }
}

std::string helper_text(int32_t id) {
    const std::string_view name = abi::helper_name(static_cast<uint32_t>(id));
    return name.empty() ? std::to_string(id) : "bpf_" + std::string(name);
}

} // namespace

std::string disassemble(const Insn& insn, const Insn& second) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return raw_text(insn, second);
    }
    const bool wide = (insn.code & 7) == op::kAlu64;
    const std::string dst = reg(insn.dst, wide);
    switch (form->kind) {
    case InsnKind::Alu:
        return alu_text(insn);
    case InsnKind::Neg:
        return dst + " = -" + dst;
    case InsnKind::MovSx:
        return dst + " = (s" + std::to_string(insn.off) + ")" + reg(insn.src, wide);
    case InsnKind::Endian:
        return reg(insn.dst, true) + " = " + ((insn.code & op::kX) != 0 ? "be" : "le") +
               std::to_string(insn.imm) + " " + reg(insn.dst, true);
    case InsnKind::Bswap:
        return dst + " = bswap" + std::to_string(insn.imm) + " " + dst;
    case InsnKind::AddrCast:
        return dst + " = addr_space_cast(" + reg(insn.src, true) + ", " +
               hex(static_cast<uint32_t>(insn.imm) >> 16) + ", " + hex(insn.imm & 0xffff) + ")";
    case InsnKind::Load:
        return reg(insn.dst, true) + " = " + memory(insn, insn.src, false);
    case InsnKind::LoadSx:
        return reg(insn.dst, true) + " = " + memory(insn, insn.src, true);
    case InsnKind::StoreReg:
        return memory(insn, insn.dst, false) + " = " + reg(insn.src, true);
    case InsnKind::StoreImm:
        return memory(insn, insn.dst, false) + " = " + std::to_string(insn.imm);
    case InsnKind::Atomic:
        return atomic_text(insn);
    case InsnKind::LoadAcquire:
        return reg(insn.dst, true) + " = load_acquire((" + type_of(insn, false) + " *)(" +
               place(insn.src, insn.off) + "))";
    case InsnKind::StoreRelease:
        return "store_release((" + type_of(insn, false) + " *)(" + place(insn.dst, insn.off) + "), " +
               reg(insn.src, true) + ")";
    case InsnKind::LoadImm64:
        return wide_text(insn, second);
    case InsnKind::LoadAbs:
        return "r0 = *(" + type_of(insn, false) + " *)skb[" + std::to_string(insn.imm) + "]";
    case InsnKind::LoadInd:
        return "r0 = *(" + type_of(insn, false) + " *)skb[" + place(insn.src, insn.imm) + "]";
    case InsnKind::Jump: {
        const bool wide_jump = (insn.code & 7) == op::kJmp;
        return "if " + reg(insn.dst, wide_jump) + " " + comparison(insn.code) + " " +
               operand(insn, wide_jump) + " goto " + distance(insn.off);
    }
    case InsnKind::Goto:
        return insn.code == (op::kJmp32 | op::kJa) ? "gotol " + distance(insn.imm)
                                                   : "goto " + distance(insn.off);
    case InsnKind::MayGoto:
        return "may_goto " + distance(insn.off);
    case InsnKind::CallHelper:
        return "call " + helper_text(insn.imm);
    case InsnKind::CallLocal:
        return "call pc" + distance(insn.imm);
    case InsnKind::CallKfunc:
        return "call kfunc " + std::to_string(insn.imm) + " fd " + std::to_string(insn.off);
    case InsnKind::CallReg:
        return "callx " + reg(insn.dst, true);
    case InsnKind::GotoReg:
        return "gotox " + reg(insn.dst, true);
    case InsnKind::Exit:
        return "exit";
    }
    return ".bytes";
}

namespace {

/// Index of the function that a local call or a callback's address names; nothing for other instructions.
std::optional<size_t> named_function(const LinkedProgram& program, uint32_t slot) {
    const Insn& insn = program.insns[slot];
    const bool is_call = insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal;
    const bool is_address = insn.code == op::kLddw && insn.src == op::kFunc;
    const int64_t target = int64_t{slot} + 1 + insn.imm;
    if ((!is_call && !is_address) || target < 0 || classify(insn) == nullptr) {
        return std::nullopt;
    }
    const auto found = std::ranges::lower_bound(program.functions, target, {},
                                                [](const LinkedFunction& f) { return int64_t{f.insn}; });
    if (found == program.functions.end() || found->insn != target) {
        return std::nullopt;
    }
    return static_cast<size_t>(found - program.functions.begin());
}

/// Text of an instruction that names a map, an extern or a function; empty for others.
template <typename FunctionName>
std::string named_text(const LinkedProgram& program, uint32_t slot, FunctionName function_name) {
    const Insn& insn = program.insns[slot];
    const std::string dst = reg(insn.dst, true) + " = ";
    const bool is_load = insn.code == op::kLddw;
    const auto ref = std::ranges::lower_bound(program.refs, slot, {}, &LinkedRef::insn);
    if (ref != program.refs.end() && ref->insn == slot) {
        if (ref->kind == RelocKind::Extern) {
            const std::string name = quote_name(program.object->externs[ref->target].name);
            return is_load ? dst + "extern " + name : "call " + name;
        }
        const std::string map = dst + "map[" + quote_name(program.object->maps[ref->target].name) + "]";
        return ref->kind == RelocKind::Map ? map : map + element(ref->offset);
    }
    if (const auto function = named_function(program, slot)) {
        return (is_load ? dst + "func " : "call ") + function_name(*function);
    }
    return {};
}

Insn second_slot(const LinkedProgram& program, uint32_t slot) {
    return slot + 1 < program.insns.size() ? program.insns[slot + 1] : Insn{};
}

} // namespace

std::string disassemble(const LinkedProgram& program, uint32_t slot) {
    const auto plain = [&](size_t index) { return quote_name(program.functions[index].name); };
    const std::string named = named_text(program, slot, plain);
    return named.empty() ? disassemble(program.insns[slot], second_slot(program, slot)) : named;
}

// -- Whole programs --

namespace {

/// One program with names that the assembler can tell apart.
class Listing {
  public:
    Listing(const LinkedProgram& program, const ListingOptions& options)
        : program_(program), options_(options) {
        choose_names();
        choose_labels();
    }
    std::string run();

  private:
    void choose_names();
    void choose_labels();
    [[nodiscard]] std::optional<uint32_t> jump_target(uint32_t slot) const;
    [[nodiscard]] std::string text(uint32_t slot) const;
    void add_source(uint32_t slot);

    const LinkedProgram& program_;
    const ListingOptions& options_;
    std::vector<std::string> names_;     // of functions, parallel to program_.functions, each once
    std::set<std::string> taken_;        // what a `call` may mean before it means a helper
    std::vector<bool> starts_, targets_; // by slot: an instruction begins, a jump arrives
    std::string prefix_ = "L";           // of labels
    const LineInfo* last_line_ = nullptr;
    std::string out_;
};

/// Static functions of one object may share a name; a text cannot keep them apart.
void Listing::choose_names() {
    if (program_.object) {
        for (const ExternDef& def : program_.object->externs) {
            taken_.insert(def.name);
        }
    }
    for (const LinkedFunction& function : program_.functions) {
        std::string name = function.name;
        for (uint32_t number = 2; !taken_.insert(name).second; ++number) {
            name = function.name + "." + std::to_string(number);
        }
        names_.push_back(name);
    }
    const auto clashes = [&] {
        return std::ranges::any_of(names_, [&](const std::string& n) { return n.starts_with(prefix_); });
    };
    while (clashes()) {
        prefix_ += '_';
    }
}

std::optional<uint32_t> Listing::jump_target(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    const InsnForm* form = classify(insn);
    if (form == nullptr ||
        (form->kind != InsnKind::Jump && form->kind != InsnKind::Goto && form->kind != InsnKind::MayGoto)) {
        return std::nullopt;
    }
    const bool is_long = insn.code == (op::kJmp32 | op::kJa);
    const int64_t target = int64_t{slot} + 1 + (is_long ? insn.imm : insn.off);
    if (target < 0 || target >= static_cast<int64_t>(starts_.size()) ||
        !starts_[static_cast<size_t>(target)]) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(target);
}

void Listing::choose_labels() {
    const auto count = static_cast<uint32_t>(program_.insns.size());
    starts_.assign(count, false);
    targets_.assign(count, false);
    for (uint32_t slot = 0; slot < count; slot += slot_count(program_.insns[slot])) {
        starts_[slot] = true;
    }
    for (uint32_t slot = 0; options_.labels && slot < count; slot += slot_count(program_.insns[slot])) {
        if (const auto target = jump_target(slot)) {
            targets_[*target] = true;
        }
    }
}

std::string Listing::text(uint32_t slot) const {
    const Insn& insn = program_.insns[slot];
    const auto unique = [&](size_t index) { return quote_name(names_[index]); };
    if (std::string named = named_text(program_, slot, unique); !named.empty()) {
        return named;
    }
    std::string plain = disassemble(insn, second_slot(program_, slot));
    const InsnForm* form = classify(insn);
    if (form != nullptr && form->kind == InsnKind::CallHelper && plain.starts_with("call bpf_") &&
        taken_.contains(plain.substr(5))) {
        return "call " + std::to_string(insn.imm);
    }
    if (const auto target = options_.labels ? jump_target(slot) : std::nullopt) {
        return plain.substr(0, plain.rfind(' ') + 1) + prefix_ + std::to_string(*target);
    }
    return plain;
}

void Listing::add_source(uint32_t slot) {
    const LineInfo* line = program_.line_at(slot);
    if (line == nullptr || line == last_line_) {
        return;
    }
    last_line_ = line;
    const SourceLine source = source_line(program_, slot);
    if (source.text.empty()) {
        return;
    }
    const std::string file = source.file.substr(source.file.rfind('/') + 1);
    std::string comment = "; " + file + ":" + std::to_string(source.line) + " " + source.text;
    for (char& c : comment) {
        c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    out_ += comment + "\n";
}

std::string Listing::run() {
    if (options_.section && program_.object) {
        for (const Function& function : program_.object->functions) {
            if (function.spec && function.name == program_.name) {
                out_ += ".section " + quote_name(function.section) + "\n";
            }
        }
    }
    size_t next = 0;
    for (uint32_t slot = 0; slot < program_.insns.size(); slot += slot_count(program_.insns[slot])) {
        if (next < program_.functions.size() && program_.functions[next].insn == slot) {
            out_ += (slot == 0 ? "" : "\n") + quote_name(names_[next++]) + ":\n";
        }
        if (options_.source) {
            add_source(slot);
        }
        if (targets_[slot]) {
            out_ += prefix_ + std::to_string(slot) + ":\n";
        }
        std::string margin = "    ";
        if (options_.slots) {
            const std::string number = std::to_string(slot);
            margin = std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + ": ";
        }
        out_ += margin + text(slot) + "\n";
    }
    return std::move(out_);
}

// -- Declarations --

void attribute(std::string& out, const char* name, uint64_t value) {
    if (value != 0) {
        out += std::string(" ") + name + "=" + std::to_string(value);
    }
}

std::string map_text(const char* directive, const MapDef& map, const std::string& name) {
    std::string out =
        std::string(directive) + " " + quote_name(name) + " type=" + std::string(abi::name(map.type));
    attribute(out, "key", map.key_size);
    attribute(out, "value", map.value_size);
    attribute(out, "entries", map.max_entries);
    attribute(out, "flags", map.flags);
    attribute(out, "extra", map.extra);
    attribute(out, "numa", map.numa_node);
    attribute(out, "pinning", map.pinning);
    if (map.frozen) {
        out += " frozen";
    }
    if (map.is_data) {
        const auto last =
            std::find_if(map.contents.rbegin(), map.contents.rend(), [](uint8_t byte) { return byte != 0; });
        const auto used = static_cast<size_t>(map.contents.rend() - last);
        out += used == 0 ? " data" : " data=" + to_hex(ByteView(map.contents).first(used));
    }
    return out + "\n";
}

void add_slots(std::string& out, const Object& object, const MapDef& map, bool programs) {
    const bool of_programs = map.type == abi::MapType::ProgArray;
    for (const MapDef::Slot& slot : map.slots) {
        if (of_programs == programs) {
            out +=
                ".slot " + quote_name(map.name) + " " + std::to_string(slot.index) + " " +
                quote_name(of_programs ? object.functions[slot.target].name : object.maps[slot.target].name) +
                "\n";
        }
    }
}

} // namespace

std::string disassemble(const LinkedProgram& program, const ListingOptions& options) {
    return Listing(program, options).run();
}

std::string list_declarations(const Object& object) {
    std::string out = ".license " + quote_name(object.license) + "\n";
    for (const MapDef& map : object.maps) {
        out += map_text(".map", map, map.name);
        if (map.inner) {
            out += map_text(".inner", *map.inner, map.name);
        }
    }
    for (const MapDef& map : object.maps) {
        add_slots(out, object, map, false);
    }
    for (const ExternDef& def : object.externs) {
        const char* kind = def.kind == ExternKind::Kfunc  ? "kfunc"
                           : def.kind == ExternKind::Ksym ? "ksym"
                                                          : "kconfig";
        out += ".extern " + quote_name(def.name) + " " + kind + (def.is_weak ? " weak" : "") + "\n";
    }
    return out;
}

std::string list_program_slots(const Object& object) {
    std::string out;
    for (const MapDef& map : object.maps) {
        add_slots(out, object, map, true);
    }
    return out;
}

} // namespace mimicsh
