// SPDX-License-Identifier: MIT
// Linking one program: collects the subprograms it reaches, applies CO-RE, resolves calls, keeps the rest
// symbolic.
#include "object/linker.h"

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/similar.h"
#include "object/core_relo.h"
#include "object/section_names.h"

namespace mimicsh {

namespace {

constexpr uint32_t kNotPlaced = UINT32_MAX;

class Linker {
  public:
    Linker(std::shared_ptr<const Object> object, uint32_t main, const LinkOptions& options)
        : object_(std::move(object)), main_(main), options_(options),
          placed_(object_->functions.size(), kNotPlaced) {}

    Expected<LinkedProgram> run();

  private:
    /// A function whose references are being resolved, and how far that is.
    struct Open {
        uint32_t function;
        size_t next_reloc;
    };

    [[nodiscard]] Error bad(const std::string& text, int code = EINVAL) const {
        return Error{code, "link",
                     object_->origin + ": program '" + object_->functions[main_].name.substr(0, 128) +
                         "': " + text,
                     "", ""};
    }
    Status check_main() const;
    Status place(uint32_t index);
    Status place_reached();
    Status place_exception_callback();
    Status resolve(uint32_t index, const Relocation& reloc);

    std::shared_ptr<const Object> object_;
    uint32_t main_;
    const LinkOptions& options_;
    std::vector<uint32_t> placed_; // first slot of each function in the output
    std::vector<Open> open_;
    std::unique_ptr<CoreRelocator> core_;
    LinkedProgram out_;
};

Status Linker::check_main() const {
    const Function& main = object_->functions[main_];
    if (!main.spec) {
        return bad("is a subprogram, not a program");
    }
    if (main.spec->type == abi::ProgType::Unspec) {
        Error error = bad("section '" + main.section.substr(0, 128) + "' names no program type", ENOTSUP);
        error.hint = did_you_mean(main.section, section_names(),
                                  "use a section name such as SEC(\"xdp\") or SEC(\"tc\")");
        return error;
    }
    return {};
}

/// Appends a function to the output; its calls are resolved later, in the order of appending.
Status Linker::place(uint32_t index) {
    const Function& function = object_->functions[index];
    const auto start = static_cast<uint32_t>(out_.insns.size());
    if (function.insns.size() > abi::kMaxInsns - start) {
        return bad("more than " + std::to_string(abi::kMaxInsns) + " instructions", E2BIG);
    }
    const Insn& last = function.insns.back();
    const bool jumps = last.code == (op::kJmp | op::kJa) || last.code == (op::kJmp32 | op::kJa);
    if (last.code != (op::kJmp | op::kExit) && !jumps) {
        return bad("function '" + function.name.substr(0, 128) + "' runs over its end");
    }
    placed_[index] = start;
    out_.insns.insert(out_.insns.end(), function.insns.begin(), function.insns.end());
    out_.functions.push_back({start, function.btf_id, function.name, index});
    const size_t lines = out_.lines.size();
    out_.lines.insert(out_.lines.end(), function.lines.begin(), function.lines.end());
    for (LineInfo& line : std::span(out_.lines).subspan(lines)) {
        line.insn += start;
    }
    if (!function.core_relocs.empty()) {
        if (!core_) {
            core_ = std::make_unique<CoreRelocator>(*object_->btf, options_.kernel_btf.get());
        }
        if (auto ok = core_->apply(function, std::span(out_.insns).subspan(start)); !ok) {
            return ok;
        }
    }
    open_.push_back({index, 0});
    return {};
}

Status Linker::resolve(uint32_t index, const Relocation& reloc) {
    const uint32_t slot = placed_[index] + reloc.insn;
    const Insn before = object_->functions[index].insns[reloc.insn];
    if (out_.insns[slot].code != before.code) {
        return {}; // CO-RE has poisoned it
    }
    switch (reloc.kind) {
    case RelocKind::Map:
    case RelocKind::MapValue: {
        const bool is_value = reloc.kind == RelocKind::MapValue;
        out_.insns[slot].src = (is_value ? op::kMapValue : op::kMapFd) & 0xf;
        out_.insns[slot].imm = 0;
        out_.insns[slot + 1].imm = is_value ? static_cast<int32_t>(reloc.offset) : 0;
        out_.refs.push_back({slot, reloc.kind, reloc.target, is_value ? reloc.offset : 0});
        return {};
    }
    case RelocKind::Extern:
        if (before.code == (op::kJmp | op::kCall)) {
            out_.insns[slot].src = op::kCallKfunc & 0xf;
            out_.insns[slot].imm = 0;
        }
        out_.refs.push_back({slot, reloc.kind, reloc.target, 0});
        return {};
    case RelocKind::Call:
    case RelocKind::FuncAddress:
        break;
    }
    const bool is_new = placed_[reloc.target] == kNotPlaced;
    if (is_new) {
        if (auto ok = place(reloc.target); !ok) {
            return ok;
        }
    }
    const int64_t distance = int64_t{placed_[reloc.target]} - slot - 1;
    Insn& insn = out_.insns[slot];
    if (reloc.kind == RelocKind::Call) {
        insn.src = op::kCallLocal & 0xf;
    } else {
        insn.src = op::kFunc & 0xf;
        out_.insns[slot + 1].imm = 0;
    }
    insn.imm = static_cast<int32_t>(distance);
    return {};
}

/// Depth first by first reference, as libbpf lays subprograms out: a callee and all that it reaches come
/// before the caller's next callee. The stack is explicit, each function is placed once, so recursion in the
/// program is harmless.
Status Linker::place_reached() {
    while (!open_.empty()) {
        Open& top = open_.back();
        const uint32_t index = top.function;
        const auto& relocs = object_->functions[index].relocs;
        if (top.next_reloc == relocs.size()) {
            open_.pop_back();
            continue;
        }
        const Relocation& reloc = relocs[top.next_reloc++];
        if (auto ok = resolve(index, reloc); !ok) {
            return ok;
        }
    }
    return {};
}

/// The kernel finds the callback by the tag on the main function, which names one of the program's functions.
Status Linker::place_exception_callback() {
    constexpr std::string_view kTag = "exception_callback:";
    const uint32_t main_type = object_->functions[main_].btf_id;
    if (main_type == 0 || object_->btf == nullptr) {
        return {};
    }
    for (const uint32_t id : object_->btf->decl_tags()) {
        const BtfType& tag = object_->btf->type(id);
        if (tag.type != main_type || !tag.name.starts_with(kTag)) {
            continue;
        }
        const std::string_view name = tag.name.substr(kTag.size());
        const auto& all = object_->functions;
        const auto found = std::ranges::find(all, name, &Function::name);
        if (found == all.end() || found->spec) {
            return bad("exception callback '" + std::string(name.substr(0, 128)) +
                       "' is no function of the object");
        }
        const auto index = static_cast<uint32_t>(found - all.begin());
        if (placed_[index] == kNotPlaced) {
            if (auto ok = place(index); !ok) {
                return ok;
            }
        }
        out_.exception_callback = placed_[index];
        return place_reached();
    }
    return {};
}

/// Most often they are in order, and the sort takes memory.
template <typename Records>
void sort_by_insn(Records& records) {
    const auto by_insn = [](const auto& a, const auto& b) { return a.insn < b.insn; };
    if (!std::is_sorted(records.begin(), records.end(), by_insn)) {
        std::stable_sort(records.begin(), records.end(), by_insn);
    }
}

Expected<LinkedProgram> Linker::run() {
    if (auto ok = check_main(); !ok) {
        return ok.error();
    }
    const Function& main = object_->functions[main_];
    out_.name = main.name;
    out_.spec = *main.spec;
    constexpr size_t kUsual = 8; // functions of a program, at most
    out_.refs.reserve(main.relocs.size());
    out_.functions.reserve(std::min(object_->functions.size(), kUsual));
    open_.reserve(std::min(object_->functions.size(), kUsual));
    if (auto ok = place(main_); !ok) {
        return ok.error();
    }
    if (auto ok = place_reached(); !ok) {
        return ok.error();
    }
    if (auto ok = place_exception_callback(); !ok) {
        return ok.error();
    }
    sort_by_insn(out_.refs);
    sort_by_insn(out_.lines);
    out_.object = std::move(object_);
    return std::move(out_);
}

template <typename Records>
auto last_not_after(const Records& records, uint32_t insn) {
    return std::upper_bound(records.begin(), records.end(), insn,
                            [](uint32_t slot, const auto& record) { return slot < record.insn; });
}

} // namespace

Expected<LinkedProgram> link(std::shared_ptr<const Object> object, uint32_t function,
                             const LinkOptions& options) {
    if (!object || function >= object->functions.size()) {
        return Error{EINVAL, "link", "no function number " + std::to_string(function), "", ""};
    }
    if (!options.validated) {
        if (auto ok = validate(*object); !ok) {
            return ok.error();
        }
    }
    return Linker(std::move(object), function, options).run();
}

bool needs_kernel_btf(const Object& object) {
    return std::any_of(object.functions.begin(), object.functions.end(),
                       [](const Function& function) { return !function.core_relocs.empty(); });
}

// -- Reading a linked program --

uint32_t LinkedProgram::function_at(uint32_t insn) const {
    const auto after = last_not_after(functions, insn);
    return after == functions.begin() ? 0 : static_cast<uint32_t>(after - functions.begin() - 1);
}

const LineInfo* LinkedProgram::line_at(uint32_t insn) const {
    const auto after = last_not_after(lines, insn);
    if (after == lines.begin()) {
        return nullptr;
    }
    const LineInfo& line = *std::prev(after);
    // A record does not reach into the next function.
    return function_at(line.insn) == function_at(insn) ? &line : nullptr;
}

SourceLine source_line(const LinkedProgram& program, uint32_t insn) {
    SourceLine out;
    const LineInfo* line = program.line_at(insn);
    if (line == nullptr || !program.object || !program.object->btf) {
        return out;
    }
    const Btf& btf = *program.object->btf;
    out.file = btf.string(line->file_off);
    out.line = line->line;
    out.column = line->column;
    std::string_view text = btf.string(line->text_off);
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    out.text = text;
    return out;
}

} // namespace mimicsh
