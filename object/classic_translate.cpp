// SPDX-License-Identifier: MIT
// Classic BPF to eBPF. A classic program only jumps forward, so one pass in order sees every way to an
// instruction before the instruction, and one pass backwards every way from it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "object/classic_parts.h"

namespace mimicsh {

namespace classic {

namespace {

constexpr const char* kOp = "filter";
constexpr size_t kMaxProgram = 65536;

/// The verifier follows constant and bounded offsets into the packet up to here (MAX_PACKET_OFF in
/// kernel/bpf/verifier.c).
constexpr uint64_t kMaxOffset = 0xffff;
/// What the kernel's sockets offer in place of bytes (SKF_AD_OFF and SKF_AD_MAX of linux/filter.h).
constexpr uint32_t kAncillary = 0xfffff000, kAncillaries = 64;
/// No way from here takes the packet.
constexpr uint64_t kNever = UINT64_MAX;

class Translator {
  public:
    Translator(std::span<const ClassicInsn> program, const ClassicOptions& options)
        : program_(program), options_(options), facts_(program.size()) {}

    Expected<std::string> run();

  private:
    /// What is known in front of an instruction, on every way there, and what is wanted behind it.
    struct Facts {
        bool reached = false;
        uint64_t proven = 0;   ///< bytes that the packet has
        uint64_t wanted = 0;   ///< bytes that it must have to be taken, kNever when nothing takes it
        uint64_t proven_x = 0; ///< the same counted from X on; r4 then points to the byte at X
        uint64_t wanted_x = 0; ///< before X is set anew
        bool has_a = false;    ///< A and X were set
        bool has_x = false;
        bool a_matters = false;  ///< A is read before it is set anew
        uint32_t words = 0;      ///< scratch words that were set, by bit
        uint32_t a_from = kNone; ///< the one load that A comes from
        bool in_order = false;   ///< of a load: its number has to be put into the host's byte order
        bool is_named = false;   ///< a jump to its label was written
    };
    static constexpr uint32_t kNone = UINT32_MAX;

    [[nodiscard]] Error bad(size_t at, const std::string& why, int code = EINVAL) const;
    Status check() const;
    [[nodiscard]] What what(size_t at) const { return *what_is(program_[at]); }
    [[nodiscard]] bool reads_a(size_t at) const;
    [[nodiscard]] bool reads_x(size_t at) const;
    [[nodiscard]] bool writes_a(size_t at) const;
    [[nodiscard]] bool writes_x(size_t at) const;
    [[nodiscard]] static bool is_indirect(const ClassicInsn& insn);
    void look_back();
    void look_ahead();
    void flow(size_t to, const Facts& after);
    void note_use(size_t at);
    [[nodiscard]] static uint64_t extent(const ClassicInsn& insn);
    [[nodiscard]] uint64_t proven_behind(size_t at) const;
    [[nodiscard]] uint64_t proven_x_behind(size_t at) const;

    void line(const std::string& text);
    void begin();
    bool translate(size_t at);
    void prove(size_t at);
    void load_end() { line("r5 = *(u32 *)(r6 + 80)"); }
    void load_by_helper(const char* to, const std::vector<std::string>& offsets, int size);
    void load_fixed(const char* to, size_t at);
    void load_indirect(size_t at);
    void load_from_x(size_t at);
    void load_at(const std::string& base, uint32_t offset, const std::string& to, int size);
    void to_host_order(size_t at);
    void load_length(const char* to);
    void calculate(const ClassicInsn& insn);
    bool jump(size_t at);
    void go(size_t to, const std::string& condition = "");
    [[nodiscard]] std::string place(size_t at);
    [[nodiscard]] bool on_xdp() const { return options_.type == abi::ProgType::Xdp; }
    /// Sockets do not show where their packets are; elsewhere a verifier does not follow offsets as large.
    [[nodiscard]] bool by_helper(uint64_t bytes) const {
        return options_.type == abi::ProgType::SocketFilter || bytes > kMaxOffset;
    }
    static std::string word(uint32_t k) { return "*(u32 *)(r10 - " + std::to_string(4 * (k + 1)) + ")"; }

    std::span<const ClassicInsn> program_;
    const ClassicOptions& options_;
    std::vector<Facts> facts_;
    std::string text_;
    std::string comment_; ///< for the next line
    uint64_t reach_ = 0;  ///< bytes from the packet's start that loads at fixed offsets use
    bool finds_packet_ = false;
    bool wants_a_ = false; ///< A, X and words that are read before they are set are 0
    bool wants_x_ = false;
    uint32_t wants_words_ = 0;
    bool hits_ = false;
    bool misses_ = false;
    uint32_t ways_ = 0; ///< local labels
};

// -- Looking at the program --

Error Translator::bad(size_t at, const std::string& why, int code) const {
    return Error{
        code, kOp, options_.origin + ": classic instruction " + std::to_string(at) + ": " + why, {}, {}};
}

Status Translator::check() const {
    if (program_.empty() || program_.size() > kMaxProgram) {
        return Error{EINVAL, kOp, options_.origin + ": a program has 1 to 65536 instructions", {}, {}};
    }
    for (size_t at = 0; at < program_.size(); ++at) {
        const ClassicInsn& insn = program_[at];
        const auto kind = what_is(insn);
        if (!kind) {
            return bad(at, "there is no such instruction");
        }
        const bool is_ancillary = insn.k >= kAncillary && insn.k < kAncillary + kAncillaries;
        if (*kind == What::LoadPacket && mode_of(insn.code) == kModeAbs && is_ancillary) {
            return bad(at, "what the kernel's sockets offer behind negative offsets is not in the packet",
                       ENOTSUP);
        }
        if (*kind == What::Goto && insn.k > INT32_MAX) {
            return bad(at, "it jumps back, as protochain does, which kernels refuse in filters", ENOTSUP);
        }
        const size_t left = program_.size() - 1 - at; // instructions behind it
        const uint64_t furthest = *kind == What::ReturnA || *kind == What::ReturnK ? 0
                                  : *kind == What::Goto                            ? uint64_t{insn.k} + 1
                                  : *kind == What::Jump ? uint64_t{std::max(insn.jt, insn.jf)} + 1
                                                        : 1;
        if (furthest > left) {
            return bad(at, "it goes on behind the program's end");
        }
    }
    return {};
}

bool Translator::reads_a(size_t at) const {
    switch (what(at)) {
    case What::Alu:
    case What::Negate:
    case What::Jump:
    case What::ReturnA:
    case What::ToX:
        return true;
    case What::StoreWord:
        return class_of(program_[at].code) == kClassSt;
    default:
        return false;
    }
}

bool Translator::reads_x(size_t at) const {
    const uint16_t code = program_[at].code;
    switch (what(at)) {
    case What::LoadPacket:
        return mode_of(code) == kModeInd;
    case What::Alu:
    case What::Jump:
        return by_x(code);
    case What::StoreWord:
        return class_of(code) == kClassStx;
    case What::ToA:
        return true;
    default:
        return false;
    }
}

bool Translator::writes_a(size_t at) const {
    switch (what(at)) {
    case What::LoadPacket:
    case What::Alu:
    case What::Negate:
    case What::ToA:
        return true;
    case What::LoadLength:
    case What::Immediate:
    case What::LoadWord:
        return class_of(program_[at].code) == kClassLd;
    default:
        return false;
    }
}

bool Translator::writes_x(size_t at) const {
    return class_of(program_[at].code) == kClassLdx || what(at) == What::ToX;
}

bool Translator::is_indirect(const ClassicInsn& insn) {
    return class_of(insn.code) == kClassLd && mode_of(insn.code) == kModeInd;
}

/// Bytes that the packet must have for the instruction to go on, counted from X for indirect loads.
uint64_t Translator::extent(const ClassicInsn& insn) {
    switch (*what_is(insn)) {
    case What::LoadPacket:
        return uint64_t{insn.k} + access_size(static_cast<uint8_t>(insn.code));
    case What::LoadHeaderLength:
        return uint64_t{insn.k} + 1;
    default:
        return 0;
    }
}

/// Bytes that the packet has behind a load at a fixed offset.
uint64_t Translator::proven_behind(size_t at) const {
    const Facts& facts = facts_[at];
    const uint64_t own = extent(program_[at]);
    return facts.proven >= own ? facts.proven : facts.wanted > kMaxOffset ? own : facts.wanted;
}

/// The same for indirect loads, from X on.
uint64_t Translator::proven_x_behind(size_t at) const {
    const Facts& facts = facts_[at];
    const uint64_t own = extent(program_[at]);
    return facts.proven_x >= own ? facts.proven_x : facts.wanted_x > kMaxOffset ? own : facts.wanted_x;
}

/// From the end: what the ways on want.
void Translator::look_back() {
    for (size_t at = program_.size(); at-- > 0;) {
        const ClassicInsn& insn = program_[at];
        Facts& facts = facts_[at];
        switch (what(at)) {
        case What::ReturnA:
            facts.a_matters = true;
            break;
        case What::ReturnK:
            facts.wanted = insn.k == 0 ? kNever : 0;
            break;
        case What::Goto:
            facts.wanted = facts_[at + 1 + insn.k].wanted;
            facts.wanted_x = facts_[at + 1 + insn.k].wanted_x;
            facts.a_matters = facts_[at + 1 + insn.k].a_matters;
            break;
        case What::Jump: {
            const Facts& taken = facts_[at + 1 + insn.jt];
            const Facts& other = facts_[at + 1 + insn.jf];
            facts.wanted = std::min(taken.wanted, other.wanted);
            facts.wanted_x = std::min(taken.wanted == kNever ? kNever : taken.wanted_x,
                                      other.wanted == kNever ? kNever : other.wanted_x);
            facts.a_matters = true;
            break;
        }
        default: {
            const Facts& next = facts_[at + 1];
            const uint64_t bytes = extent(insn);
            const bool divides = what(at) == What::Alu && !by_x(insn.code) && insn.k == 0 &&
                                 (operation_of(insn.code) == op::kDiv || operation_of(insn.code) == op::kMod);
            const bool is_beyond = bytes > (on_xdp() ? kMaxOffset : INT32_MAX); // no packet is that long
            facts.wanted = divides || is_beyond ? kNever : std::max(next.wanted, bytes);
            facts.wanted_x = writes_x(at) ? 0 : next.wanted_x;
            if (is_indirect(insn)) {
                facts.wanted_x = std::max(facts.wanted_x, bytes);
            }
            facts.a_matters = reads_a(at) || (next.a_matters && !writes_a(at));
            break;
        }
        }
    }
}

void Translator::flow(size_t to, const Facts& after) {
    Facts& facts = facts_[to];
    if (facts.wanted == kNever) {
        return;
    }
    if (!facts.reached) {
        facts.reached = true;
        facts.proven = after.proven;
        facts.proven_x = after.proven_x;
        facts.has_a = after.has_a;
        facts.has_x = after.has_x;
        facts.words = after.words;
        facts.a_from = after.a_from;
        return;
    }
    facts.proven = std::min(facts.proven, after.proven);
    facts.proven_x = std::min(facts.proven_x, after.proven_x);
    facts.has_a &= after.has_a;
    facts.has_x &= after.has_x;
    facts.words &= after.words;
    if (facts.a_from != after.a_from && facts.a_matters) {
        for (const uint32_t from : {facts.a_from, after.a_from}) {
            if (from != kNone) {
                facts_[from].in_order = true;
            }
        }
        facts.a_from = kNone;
    }
}

/// Notes what an instruction reads: what was not set before, and the byte order that it wants.
void Translator::note_use(size_t at) {
    const Facts& facts = facts_[at];
    const ClassicInsn& insn = program_[at];
    wants_a_ |= reads_a(at) && !facts.has_a;
    wants_x_ |= reads_x(at) && !facts.has_x;
    if (what(at) == What::LoadWord) {
        wants_words_ |= ~facts.words & 1u << insn.k;
    }
    const uint16_t operation = operation_of(insn.code);
    const bool any_order =
        what(at) == What::Jump && !by_x(insn.code) && (operation == op::kJeq || operation == op::kJset);
    if (reads_a(at) && !any_order && facts.a_from != kNone) {
        facts_[facts.a_from].in_order = true;
    }
}

/// From the start: what is known on the ways here.
void Translator::look_ahead() {
    facts_[0].reached = facts_[0].wanted != kNever;
    for (size_t at = 0; at < program_.size(); ++at) {
        if (!facts_[at].reached) {
            continue;
        }
        note_use(at);
        const ClassicInsn& insn = program_[at];
        const What kind = what(at);
        Facts after = facts_[at];
        if (writes_a(at)) {
            after.has_a = true;
            after.a_from = kind == What::LoadPacket ? static_cast<uint32_t>(at) : kNone;
        }
        if (writes_x(at)) {
            after.has_x = true;
            after.proven_x = 0;
        }
        if (is_indirect(insn) && on_xdp()) {
            after.proven_x = proven_x_behind(at);
        }
        if (kind == What::StoreWord) {
            after.words |= 1u << insn.k;
        }
        const bool is_fixed =
            kind == What::LoadHeaderLength || (kind == What::LoadPacket && mode_of(insn.code) == kModeAbs);
        if (is_fixed && !by_helper(extent(insn))) {
            after.proven = proven_behind(at);
            reach_ = std::max(reach_, after.proven);
        }
        finds_packet_ |= (is_fixed || kind == What::LoadPacket) && !by_helper(extent(insn));
        finds_packet_ |= kind == What::LoadLength && on_xdp();
        if (kind == What::Goto) {
            flow(at + 1 + insn.k, after);
        } else if (kind == What::Jump) {
            flow(at + 1 + insn.jt, after);
            flow(at + 1 + insn.jf, after);
        } else if (kind != What::ReturnA && kind != What::ReturnK) {
            flow(at + 1, after);
        }
    }
}

// -- Writing --
// r6 = context (not on XDP), r7 = A, r8 = X, r9 = start of the packet, r5 = its end, r4 = the byte at X
// (XDP).

void Translator::line(const std::string& text) {
    std::string padded = "    " + text;
    if (!comment_.empty()) {
        padded.resize(std::max(padded.size() + 1, size_t{40}), ' ');
        padded += comment_;
        comment_.clear();
    }
    text_ += padded + "\n";
}

void Translator::begin() {
    text_ = ".section " +
            std::string(on_xdp()                                   ? "xdp"
                        : options_.type == abi::ProgType::SchedCls ? "tc"
                                                                   : "socket") +
            "\nfilter:\n";
    if (facts_[0].wanted == kNever) {
        return;
    }
    comment_ = "; " + options_.origin;
    if (on_xdp()) {
        if (finds_packet_) {
            line("r9 = *(u32 *)(r1 + 0)");
            line("r5 = *(u32 *)(r1 + 4)");
        }
    } else {
        line("r6 = r1");
        if (finds_packet_) {
            line("r9 = *(u32 *)(r6 + 76)");
        }
        if (reach_ > 0) { // the packet's start may lie in pages of its own
            load_end();
            line("r1 = r9");
            line("r1 += " + std::to_string(reach_));
            line("if r1 <= r5 goto whole");
            line("r2 = *(u32 *)(r6 + 0)");
            line("if w2 <= " + std::to_string(reach_) + " goto pull");
            line("w2 = " + std::to_string(reach_));
            text_ += "pull:\n";
            line("r1 = r6");
            line("call bpf_skb_pull_data");
            line("r9 = *(u32 *)(r6 + 76)");
            text_ += "whole:\n";
        }
    }
    if (wants_a_) {
        line("w7 = 0");
    }
    if (wants_x_) {
        line("w8 = 0");
    }
    for (uint32_t k = 0; k < kWords; ++k) {
        if ((wants_words_ >> k & 1) != 0) {
            line(word(k) + " = 0");
        }
    }
}

/// Where to jump to get to an instruction.
std::string Translator::place(size_t at) {
    if (facts_[at].wanted == kNever) {
        misses_ = true;
        return "miss";
    }
    if (what(at) == What::ReturnK) {
        hits_ = true;
        return "hit";
    }
    facts_[at].is_named = true;
    return "L" + std::to_string(at);
}

void Translator::go(size_t to, const std::string& condition) {
    line((condition.empty() ? "" : "if " + condition + " ") + "goto " + place(to));
}

/// The packet has the bytes of a load at a fixed offset, and those that all ways on want.
void Translator::prove(size_t at) {
    if (facts_[at].proven >= extent(program_[at])) {
        return;
    }
    if (!on_xdp()) {
        load_end();
    }
    line("r1 = r9");
    line("r1 += " + std::to_string(proven_behind(at)));
    line("if r1 > r5 goto miss");
    misses_ = true;
}

/// By helper into `to`; `offsets` are the lines that put the offset into r2.
void Translator::load_by_helper(const char* to, const std::vector<std::string>& offsets, int size) {
    const auto call = [&](const char* helper) {
        std::ranges::for_each(offsets, [&](const std::string& text) { line(text); });
        line("r1 = r6");
        line("r3 = r10");
        line("r3 += -72");
        line("w4 = " + std::to_string(size));
        line(std::string("call ") + helper);
    };
    const std::string loaded = "got" + std::to_string(ways_++);
    if (options_.type == abi::ProgType::SocketFilter) {
        // Sockets see packets from some header on. This counts from the first one, in what is in one piece.
        line("w5 = 0");
        call("bpf_skb_load_bytes_relative");
        line("if r0 == 0 goto " + loaded);
    }
    call("bpf_skb_load_bytes");
    line("if r0 != 0 goto miss");
    text_ += loaded + ":\n";
    line(std::string(to) + " = *(u" + std::to_string(8 * size) + " *)(r10 - 72)");
    misses_ = true;
}

void Translator::load_fixed(const char* to, size_t at) {
    const ClassicInsn& insn = program_[at];
    const int size = static_cast<int>(access_size(static_cast<uint8_t>(insn.code)));
    if (by_helper(extent(insn))) {
        return load_by_helper(to, {"w2 = " + std::to_string(insn.k)}, size);
    }
    prove(at);
    load_at("r9", insn.k, to, size);
}

void Translator::load_indirect(size_t at) {
    const ClassicInsn& insn = program_[at];
    const int size = static_cast<int>(access_size(static_cast<uint8_t>(insn.code)));
    const uint64_t bytes = extent(insn);
    const std::string number = std::to_string(ways_++);
    const auto slowly = [&] {
        line("if w8 > " + std::to_string(INT32_MAX - insn.k) + " goto miss");
        load_by_helper("r7", {"r2 = r8", "w2 += " + std::to_string(insn.k)}, size);
    };
    if (by_helper(bytes)) {
        return slowly();
    }
    if (on_xdp()) {
        return load_from_x(at);
    }
    line("if w8 > " + std::to_string(kMaxOffset - bytes) + " goto slow" + number);
    load_end();
    line("r1 = r9");
    line("r1 += r8");
    line("r2 = r1");
    line("r2 += " + std::to_string(bytes));
    line("if r2 > r5 goto slow" + number);
    load_at("r1", insn.k, "r7", size);
    line("goto loaded" + number);
    text_ += "slow" + number + ":\n";
    slowly();
    text_ += "loaded" + number + ":\n";
}

/// XDP: no call comes between, so that r4 keeps the place. No frame is as long as the bound on X.
void Translator::load_from_x(size_t at) {
    const ClassicInsn& insn = program_[at];
    if (facts_[at].proven_x < extent(insn)) {
        const uint64_t bytes = proven_x_behind(at);
        // X of an earlier check is known to be small enough for the usual loads.
        constexpr uint64_t kUsual = 0x1fff;
        if (facts_[at].proven_x == 0 || bytes > kUsual) {
            line("if w8 > " + std::to_string(kMaxOffset - std::max(bytes, kUsual)) + " goto miss");
        }
        line("r4 = r9");
        line("r4 += r8");
        line("r1 = r4");
        line("r1 += " + std::to_string(bytes));
        line("if r1 > r5 goto miss");
        misses_ = true;
    }
    load_at("r4", insn.k, "r7", static_cast<int>(access_size(static_cast<uint8_t>(insn.code))));
}

/// From `offset` bytes behind the pointer in `base`; uses r1.
void Translator::load_at(const std::string& base, uint32_t offset, const std::string& to, int size) {
    const std::string access = to + " = *(u" + std::to_string(8 * size) + " *)";
    if (offset <= INT16_MAX) {
        line(access + "(" + base + " + " + std::to_string(offset) + ")");
        return;
    }
    if (base != "r1") {
        line("r1 = " + base);
    }
    line("r1 += " + std::to_string(offset));
    line(access + "(r1 + 0)");
}

void Translator::to_host_order(size_t at) {
    const uint32_t size = access_size(static_cast<uint8_t>(program_[at].code));
    if (size > 1 && facts_[at].in_order) {
        line("r7 = be" + std::to_string(8 * size) + " r7");
    }
}

void Translator::load_length(const char* to) {
    const std::string reg = to;
    if (on_xdp()) {
        line(reg + " = r5");
        line(reg + " -= r9");
    } else {
        line(reg + " = *(u32 *)(r6 + 0)");
    }
}

/// Division by zero ends the program, and shifts by more than the width leave 0.
void Translator::calculate(const ClassicInsn& insn) {
    const uint16_t operation = operation_of(insn.code);
    const std::string sign = std::string("w7 ") + arithmetic(insn.code)->sign + " ";
    const bool shifts = operation == op::kLsh || operation == op::kRsh;
    if (!by_x(insn.code)) {
        line(shifts && insn.k > 31 ? "w7 = 0" : sign + hex(insn.k));
        return;
    }
    if (operation == op::kDiv || operation == op::kMod) {
        misses_ = true;
        line("if w8 == 0 goto miss");
    }
    line(sign + "w8");
    if (shifts) {
        const std::string label = "shifted" + std::to_string(ways_++);
        line("if w8 < 32 goto " + label);
        line("w7 = 0");
        text_ += label + ":\n";
    }
}

/// True when it goes on with the next instruction.
bool Translator::jump(size_t at) {
    const ClassicInsn& insn = program_[at];
    const Facts& facts = facts_[at];
    size_t taken = at + 1 + insn.jt;
    size_t other = at + 1 + insn.jf;
    const auto same = [&](size_t a, size_t b) {
        return a == b || (facts_[a].wanted == kNever && facts_[b].wanted == kNever);
    };
    if (same(taken, other)) {
        const bool falls = taken == at + 1 && facts_[taken].reached;
        if (!falls) {
            go(taken);
        }
        return falls;
    }
    uint32_t k = insn.k;
    if (facts.a_from != kNone && !facts_[facts.a_from].in_order) { // both sides in the packet's byte order
        const uint32_t size = access_size(static_cast<uint8_t>(program_[facts.a_from].code));
        if (size == 2 && (k <= UINT16_MAX || operation_of(insn.code) == op::kJset)) {
            k = __builtin_bswap16(static_cast<uint16_t>(k));
        } else if (size == 4) {
            k = __builtin_bswap32(k);
        }
    }
    const char* sign = "==";
    const char* opposite = "!=";
    switch (operation_of(insn.code)) {
    case op::kJgt:
        sign = ">";
        opposite = "<=";
        break;
    case op::kJge:
        sign = ">=";
        opposite = "<";
        break;
    case op::kJset:
        sign = "&";
        opposite = nullptr;
        break;
    default:
        break;
    }
    if (taken == at + 1 && opposite != nullptr) {
        std::swap(taken, other);
        sign = opposite;
    }
    go(taken, std::string("w7 ") + sign + " " + (by_x(insn.code) ? "w8" : hex(k)));
    const bool falls = other == at + 1 && facts_[other].reached;
    if (!falls) {
        go(other);
    }
    return falls;
}

/// True when it goes on with the next instruction.
bool Translator::translate(size_t at) {
    const ClassicInsn& insn = program_[at];
    const bool to_x = class_of(insn.code) == kClassLdx;
    const char* wide = to_x ? "r8" : "r7";
    const std::string narrow_to = to_x ? "w8" : "w7";
    if (facts_[at].is_named) {
        text_ += place(at) + ":\n";
    }
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), "; (%03zu) ", at);
    comment_ = number.data() + classic_text(program_, at);
    switch (what(at)) {
    case What::LoadPacket:
        mode_of(insn.code) == kModeInd ? load_indirect(at) : load_fixed("r7", at);
        to_host_order(at);
        break;
    case What::LoadHeaderLength:
        load_fixed("r8", at);
        line("w8 &= 15");
        line("w8 <<= 2");
        break;
    case What::LoadLength:
        load_length(wide);
        break;
    case What::Immediate:
        line(narrow_to + " = " + hex(insn.k));
        break;
    case What::LoadWord:
        line(std::string(wide) + " = " + word(insn.k));
        break;
    case What::StoreWord:
        line(word(insn.k) + " = " + (class_of(insn.code) == kClassStx ? "r8" : "r7"));
        break;
    case What::Alu:
        calculate(insn);
        break;
    case What::Negate:
        line("w7 = -w7");
        break;
    case What::Goto:
        go(at + 1 + insn.k);
        return false;
    case What::Jump:
        return jump(at);
    case What::ReturnA:
        hits_ = misses_ = true;
        line("if w7 == 0 goto miss");
        line("goto hit");
        return false;
    case What::ReturnK:
        hits_ = true;
        line("goto hit");
        return false;
    case What::ToX:
        line("w8 = w7");
        break;
    case What::ToA:
        line("w7 = w8");
        break;
    }
    if (!facts_[at + 1].reached) {
        go(at + 1); // nothing behind takes the packet
        return false;
    }
    return true;
}

Expected<std::string> Translator::run() {
    if (auto ok = check(); !ok) {
        return ok.error();
    }
    look_back();
    look_ahead();
    begin();
    bool falls_in = true; // the line before goes on here
    for (size_t at = 0; at < program_.size(); ++at) {
        if (facts_[at].reached && (falls_in || facts_[at].is_named)) {
            falls_in = translate(at);
        } else {
            falls_in = false;
        }
    }
    const auto end = [&](const char* label, uint32_t value) {
        text_ += std::string(label) + ":\n";
        comment_ = std::string("; ") + label;
        line("w0 = " + hex(value));
        line("exit");
    };
    if (hits_) {
        end("hit", options_.hit);
    }
    if (misses_ || !hits_) {
        end("miss", options_.miss);
    }
    return std::move(text_);
}

} // namespace

} // namespace classic

Expected<std::string> translate_classic(std::span<const ClassicInsn> program, const ClassicOptions& options) {
    return classic::Translator(program, options).run();
}

} // namespace mimicsh
