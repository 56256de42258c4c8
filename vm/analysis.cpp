// SPDX-License-Identifier: MIT
// Forward data flow over kinds of values, across local calls, to a fixed point.
#include "vm/analysis.h"

#include <algorithm>
#include <deque>
#include <functional>

#include "vm/analysis_state.h"
#include "vm/context/context.h"

namespace mimicsh::vm {

namespace {

using namespace flow;

const char* describe(Kind kind) {
    switch (kind) {
    case Kind::Context:
        return "the context pointer";
    case Kind::Stack:
        return "a stack pointer";
    case Kind::PacketData:
    case Kind::PacketMeta:
        return "a packet pointer";
    case Kind::PacketEnd:
        return "data_end";
    case Kind::MapObject:
        return "a map";
    case Kind::MapValue:
        return "a map value";
    case Kind::Callback:
        return "a function";
    default:
        return "a number";
    }
}

class Flow {
  public:
    Flow(const LinkedProgram& program, const UserHelpers& own, const ReadOnlyData& read_only)
        : program_(program), own_(own), read_only_(read_only), insns_(program.insns),
          context_(context_kind(program.spec.type)) {
        result_.slots.resize(insns_.size());
        refs_.resize(insns_.size());
        state_at_.resize(insns_.size(), kNoState);
        queued_.resize(insns_.size());
        forms_.resize(insns_.size());
        for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
            forms_[slot] = classify(insns_[slot]);
        }
        for (const LinkedRef& ref : program.refs) {
            refs_[ref.insn] = &ref;
        }
    }

    Analysis run() {
        State entry;
        entry.regs[10] = {Kind::Stack, abi::kStackSize};
        const bool has_context = context_ != nullptr && context_->set_registers == nullptr;
        entry.regs[1] = {has_context ? Kind::Context : Kind::Unknown, 0};
        if (context_ != nullptr && !has_context) {
            entry.regs[2] = {Kind::Scalar, 0};
        }
        enter(0, entry);
        if (program_.exception_callback != 0) {
            State thrown;
            thrown.regs[1] = {Kind::Scalar, 0};
            enter_function(program_.exception_callback, thrown);
            result_.async_callbacks.push_back(program_.exception_callback);
        }
        while (!work_.empty()) {
            std::ranges::pop_heap(work_, std::greater{}); // in order of slots few are walked twice
            const uint32_t slot = work_.back();
            work_.pop_back();
            queued_[slot] = false;
            walk(slot, states_[state_at_[slot]]);
        }
        if (!result_.refusal) {
            // The facts are read off once the states stand still; on the way there they may have been too
            // certain.
            finished_ = true;
            for (uint32_t slot = 0; slot < insns_.size(); ++slot) {
                if (state_at_[slot] != kNoState) {
                    walk(slot, states_[state_at_[slot]]);
                }
            }
            account_for_unreached();
        }
        return std::move(result_);
    }

  private:
    // -- Joining --

    static Value join(Value a, Value b) {
        if (a == b) {
            return a;
        }
        if (a.kind == b.kind && a.kind != Kind::MapObject) {
            return {a.kind, a.kind == Kind::Stack ? kNoOffset : 0};
        }
        if (may_be_end(a.kind) || may_be_end(b.kind)) {
            return {Kind::MaybeEnd, 0};
        }
        return {Kind::Unknown, 0};
    }

    void enter_function(uint32_t slot, State state) {
        state.regs[10] = {Kind::Stack, abi::kStackSize};
        for (size_t reg = 6; reg <= 9; ++reg) {
            state.regs[reg] = {};
        }
        state.forget_spills();
        enter(slot, state);
    }

    void enter(uint32_t slot, const State& state) {
        if (slot >= insns_.size() || finished_) {
            return;
        }
        if (state_at_[slot] == kNoState) {
            state_at_[slot] = static_cast<uint32_t>(states_.size());
            states_.push_back(state);
        } else if (!states_[state_at_[slot]].merge(state, join)) {
            return;
        }
        if (!queued_[slot]) {
            queued_[slot] = true;
            work_.push_back(slot);
            std::ranges::push_heap(work_, std::greater{});
        }
    }

    void refuse(uint32_t slot, std::string text) {
        // Only what is certain when the states stand still may refuse, so this counts in the last pass only.
        if (finished_ && !result_.refusal) {
            result_.refusal = Refusal{slot, std::move(text)};
        }
    }

    /// The kernel's check_cfg wants every instruction reached by some edge; what only the values leave out is
    /// dead.
    void account_for_unreached() {
        std::optional<std::vector<bool>> by_edges;
        for (uint32_t slot = 0; slot < insns_.size(); slot += slot_count(insns_[slot])) {
            if (forms_[slot] == nullptr) {
                return; // the decoder says so, and what follows such an instruction was not followed
            }
            if (result_.slots[slot].reached) {
                continue;
            }
            if (!by_edges) {
                by_edges = reached_by_edges();
            }
            if (!(*by_edges)[slot]) {
                refuse(slot, "nothing reaches this instruction");
                return;
            }
            result_.slots[slot].dead = true;
        }
    }

    std::vector<bool> reached_by_edges() {
        std::vector<bool> seen(insns_.size());
        std::vector<int64_t> open{0};
        while (!open.empty()) {
            const auto slot = static_cast<uint32_t>(open.back());
            open.pop_back();
            if (slot >= insns_.size() || seen[slot]) {
                continue;
            }
            seen[slot] = true;
            const Insn& insn = insns_[slot];
            const InsnForm* form = classify(insn);
            if (form == nullptr || form->kind == InsnKind::Exit) {
                continue;
            }
            const int64_t after = int64_t{slot} + 1;
            const bool far_goto = insn.code == (op::kJmp32 | op::kJa);
            if (form->kind == InsnKind::Goto) {
                open.push_back(after + (far_goto ? insn.imm : insn.off));
                continue;
            }
            open.push_back(int64_t{slot} + slot_count(insn));
            if (form->kind == InsnKind::Jump || form->kind == InsnKind::MayGoto) {
                open.push_back(after + insn.off);
            } else if (form->kind == InsnKind::CallLocal ||
                       (form->kind == InsnKind::LoadImm64 && insn.src == op::kFunc)) {
                open.push_back(after + insn.imm);
            }
        }
        return seen;
    }

    // -- Constants from read-only data --

    /// Number that stands for a constant or place; equal ones get the same.
    template <typename Item>
    static int32_t number_of(std::vector<Item>& known, const Item& item) {
        const auto found = std::ranges::find(known, item);
        if (found != known.end()) {
            return static_cast<int32_t>(found - known.begin()) + 1;
        }
        constexpr size_t kMost = 1000; // beyond, nothing more is followed
        if (known.size() == kMost) {
            return kVaries;
        }
        known.push_back(item);
        return static_cast<int32_t>(known.size());
    }

    struct Place {
        uint32_t map = 0;
        int64_t offset = 0;
        friend bool operator==(const Place&, const Place&) = default;
    };

    [[nodiscard]] std::optional<uint64_t> constant(Value value) const {
        return value.kind == Kind::Scalar && value.value != kVaries
                   ? std::optional(constants_[static_cast<size_t>(value.value) - 1])
                   : std::nullopt;
    }

    /// Second operand of an operation or comparison, when it is known.
    [[nodiscard]] std::optional<uint64_t> operand(const Insn& insn, const State& state) const {
        return (insn.code & op::kX) != 0 ? constant(state.regs[insn.src])
                                         : std::optional(static_cast<uint64_t>(int64_t{insn.imm}));
    }

    Value load_read_only(Value base, const Insn& insn) {
        const Value unknown{Kind::Scalar, kVaries};
        if (base.kind != Kind::MapValue || base.value == kVaries) {
            return unknown;
        }
        const Place& place = places_[static_cast<size_t>(base.value) - 1];
        const int64_t at = place.offset + insn.off;
        if (at < 0 || at > INT32_MAX) {
            return unknown;
        }
        const auto found = read_only_(place.map, static_cast<uint32_t>(at), access_size(insn.code));
        return found ? Value{Kind::Scalar, number_of(constants_, *found)} : unknown;
    }

    /// An operation on a number: known when its operands are, for what is done to flags and versions.
    Value computed(const Insn& insn, const State& state) {
        const auto a = constant(state.regs[insn.dst]);
        const auto b = operand(insn, state);
        const bool wide = (insn.code & 7) == op::kAlu64;
        if (!a || !b) {
            return {Kind::Scalar, kVaries};
        }
        const uint64_t count = *b & (wide ? 63 : 31);
        uint64_t value = wide ? *a : static_cast<uint32_t>(*a);
        switch (insn.code & 0xf0) {
        case op::kAdd:
            value += *b;
            break;
        case op::kSub:
            value -= *b;
            break;
        case op::kAnd:
            value &= *b;
            break;
        case op::kOr:
            value |= *b;
            break;
        case op::kXor:
            value ^= *b;
            break;
        case op::kLsh:
            value <<= count;
            break;
        case op::kRsh:
            value >>= count;
            break;
        default:
            return {Kind::Scalar, kVaries};
        }
        return {Kind::Scalar, number_of(constants_, wide ? value : uint64_t{static_cast<uint32_t>(value)})};
    }

    /// Whether a comparison of known numbers jumps.
    [[nodiscard]] std::optional<bool> decided(const Insn& insn, const State& state) const {
        auto a = constant(state.regs[insn.dst]);
        auto b = operand(insn, state);
        if (!a || !b) {
            return std::nullopt;
        }
        const bool wide = (insn.code & 7) == op::kJmp;
        const uint64_t x = wide ? *a : static_cast<uint32_t>(*a);
        const uint64_t y = wide ? *b : static_cast<uint32_t>(*b);
        const int64_t sx = wide ? static_cast<int64_t>(x) : static_cast<int32_t>(x);
        const int64_t sy = wide ? static_cast<int64_t>(y) : static_cast<int32_t>(y);
        switch (insn.code & 0xf0) {
        case op::kJeq:
            return x == y;
        case op::kJne:
            return x != y;
        case op::kJgt:
            return x > y;
        case op::kJge:
            return x >= y;
        case op::kJlt:
            return x < y;
        case op::kJle:
            return x <= y;
        case op::kJset:
            return (x & y) != 0;
        case op::kJsgt:
            return sx > sy;
        case op::kJsge:
            return sx >= sy;
        case op::kJslt:
            return sx < sy;
        case op::kJsle:
            return sx <= sy;
        default:
            return std::nullopt;
        }
    }

    // -- Walking a straight line --

    void walk(uint32_t slot, State state) {
        while (slot < insns_.size()) {
            const Insn& insn = insns_[slot];
            result_.slots[slot].reached = true;
            const uint32_t next = slot + slot_count(insn);
            const InsnForm* form = forms_[slot];
            if (form == nullptr) {
                return;
            }
            check_reads(slot, insn, *form, state);
            switch (form->kind) {
            case InsnKind::Exit:
                if (may_be_end(state.regs[0].kind)) {
                    result_.tracks_bounds = false;
                }
                return;
            case InsnKind::Goto: {
                const int64_t distance = insn.code == (op::kJmp32 | op::kJa) ? insn.imm : insn.off;
                enter(static_cast<uint32_t>(int64_t{slot} + 1 + distance), state);
                return;
            }
            case InsnKind::Jump:
            case InsnKind::MayGoto: {
                note_proof(slot, insn, *form, state);
                const auto jumps = form->kind == InsnKind::Jump ? decided(insn, state) : std::nullopt;
                if (jumps.value_or(true)) {
                    enter(static_cast<uint32_t>(int64_t{slot} + 1 + insn.off), state);
                }
                if (!jumps.value_or(false)) {
                    enter(next, state);
                }
                return;
            }
            default:
                step(slot, insn, *form, state);
                break;
            }
            slot = next;
            if (slot < insns_.size() && state_at_[slot] != kNoState) {
                enter(slot, state);
                return;
            }
        }
    }

    /// The register named in the instruction that it writes, or none.
    static std::optional<uint8_t> written_register(const Insn& insn, const InsnForm& form) {
        switch (form.kind) {
        case InsnKind::Alu:
        case InsnKind::Neg:
        case InsnKind::MovSx:
        case InsnKind::Endian:
        case InsnKind::Bswap:
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
        case InsnKind::LoadImm64:
            return insn.dst;
        case InsnKind::Atomic:
            return (insn.imm & op::kFetch) != 0 && insn.imm != op::kCmpxchg ? std::optional<uint8_t>(insn.src)
                                                                            : std::nullopt;
        default:
            return std::nullopt;
        }
    }

    void check_reads(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state) {
        const auto need = [&](uint8_t reg) {
            if (state.regs[reg].kind == Kind::Uninit) {
                refuse(slot, "r" + std::to_string(reg) + " is read before anything was put into it");
            }
        };
        if (written_register(insn, form) == 10) {
            refuse(slot, "r10 is read only");
        }
        switch (form.kind) {
        case InsnKind::Alu:
        case InsnKind::Jump:
            if ((insn.code & op::kX) != 0) {
                need(insn.src);
            }
            if (form.kind == InsnKind::Jump || (insn.code & 0xf0) != op::kMov) {
                need(insn.dst);
            }
            break;
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::MovSx:
        case InsnKind::LoadAcquire:
        case InsnKind::LoadInd:
            need(insn.src);
            break;
        case InsnKind::StoreReg:
        case InsnKind::Atomic:
        case InsnKind::StoreRelease:
            need(insn.src);
            need(insn.dst);
            break;
        case InsnKind::StoreImm:
        case InsnKind::Neg:
        case InsnKind::Endian:
        case InsnKind::Bswap:
            need(insn.dst);
            break;
        case InsnKind::Exit:
            if (program_.function_at(slot) == 0) {
                need(0); // a static subprogram may return nothing
            }
            break;
        default:
            break;
        }
    }

    void step(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
        Value& dst = state.regs[insn.dst];
        switch (form.kind) {
        case InsnKind::Alu:
            alu(slot, insn, state);
            break;
        case InsnKind::Neg:
        case InsnKind::Endian:
        case InsnKind::Bswap:
            if (is_pointer(dst.kind)) {
                refuse(slot, std::string("arithmetic of this kind on ") + describe(dst.kind));
            }
            set(dst, {Kind::Scalar, 0});
            break;
        case InsnKind::MovSx:
        case InsnKind::AddrCast:
            set(dst, {Kind::Scalar, 0});
            break;
        case InsnKind::LoadImm64:
            load_immediate(slot, insn, dst);
            break;
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
            load(slot, insn, form, state);
            break;
        case InsnKind::StoreReg:
        case InsnKind::StoreImm:
        case InsnKind::StoreRelease:
            store(slot, insn, form, state);
            break;
        case InsnKind::Atomic:
            atomic(slot, insn, state);
            break;
        case InsnKind::LoadAbs:
        case InsnKind::LoadInd:
            if (state.regs[6].kind != Kind::Context && state.regs[6].kind != Kind::Unknown) {
                refuse(slot, "packet loads want the context in r6");
            }
            if (const uint32_t at = program_.function_at(slot);
                at != 0 && program_.functions[at].btf_id == 0) {
                refuse(slot, "packet loads in a subprogram without BTF");
            }
            call_clobbers(state);
            set(state.regs[0], {Kind::Scalar, 0});
            break;
        case InsnKind::CallHelper:
            call_helper(slot, insn, state);
            break;
        case InsnKind::CallLocal:
            call_local(slot, insn, state);
            break;
        case InsnKind::CallKfunc:
            call_kfunc(slot, state);
            break;
        default:
            call_clobbers(state);
            set(state.regs[0], {Kind::Unknown, 0});
            break;
        }
    }

    /// Every overwrite of a register goes through here; nothing is lost when data_end is overwritten.
    static void set(Value& to, Value value) { to = value; }

    // -- Arithmetic --

    void alu(uint32_t slot, const Insn& insn, State& state) {
        Value& dst = state.regs[insn.dst];
        const bool by_register = (insn.code & op::kX) != 0;
        const Value src = by_register ? state.regs[insn.src] : Value{Kind::Scalar, 0};
        const uint8_t operation = insn.code & 0xf0;
        const bool wide = (insn.code & 7) == op::kAlu64;
        if (operation == op::kMov) {
            if (const auto known = constant(src); known && !wide) {
                set(dst, {Kind::Scalar, number_of(constants_, uint64_t{static_cast<uint32_t>(*known)})});
                return;
            }
            set(dst, wide ? src : Value{src.kind == Kind::Unknown ? Kind::Unknown : Kind::Scalar, kVaries});
            return;
        }
        if (dst.kind == Kind::MaybeEnd || src.kind == Kind::MaybeEnd) {
            result_.tracks_bounds = false;
        }
        if (operation == op::kSub && is_pointer(dst.kind) && is_pointer(src.kind)) {
            set(dst, {Kind::Scalar, 0});
            return;
        }
        if (is_pointer(dst.kind) || is_pointer(src.kind)) {
            pointer_arithmetic(slot, insn, operation, wide, dst, src);
            return;
        }
        const bool number = dst.kind == Kind::Scalar && src.kind == Kind::Scalar;
        set(dst, number ? computed(insn, state) : Value{Kind::Unknown, 0});
    }

    void pointer_arithmetic(uint32_t slot, const Insn& insn, uint8_t operation, bool wide, Value& dst,
                            Value src) {
        const Value pointer = is_pointer(dst.kind) ? dst : src;
        if (!wide) {
            if (operation != op::kSub) {
                refuse(slot, std::string("32-bit arithmetic on ") + describe(pointer.kind));
            }
            set(dst, {Kind::Scalar, 0});
            return;
        }
        if (operation == op::kSub && dst.kind == Kind::Unknown) {
            set(dst, {Kind::Unknown, 0}); // a pointer on some ways, and the difference of two is a number
            return;
        }
        if (operation != op::kAdd && (operation != op::kSub || !is_pointer(dst.kind))) {
            refuse(
                slot,
                std::string("only addition to and subtraction from a pointer are allowed, this is done to ") +
                    describe(pointer.kind));
            set(dst, {Kind::Unknown, 0});
            return;
        }
        if (is_pointer(dst.kind) && is_pointer(src.kind)) {
            refuse(slot,
                   std::string("sum of two pointers, ") + describe(dst.kind) + " and " + describe(src.kind));
            set(dst, {Kind::Unknown, 0});
            return;
        }
        if (pointer.kind == Kind::PacketEnd || pointer.kind == Kind::MapObject) {
            refuse(slot, std::string("arithmetic on ") + describe(pointer.kind));
        }
        Value moved = pointer;
        const int64_t by = operation == op::kSub ? -int64_t{insn.imm} : int64_t{insn.imm};
        if (pointer.kind == Kind::MapValue && pointer.value != kVaries) {
            Place place = places_[static_cast<size_t>(pointer.value) - 1];
            place.offset += by;
            moved.value = (insn.code & op::kX) == 0 ? number_of(places_, place) : kVaries;
        }
        if (pointer.kind == Kind::Stack || pointer.kind == Kind::Context) {
            const bool constant = (insn.code & op::kX) == 0 && pointer.value != kNoOffset;
            const int64_t to = int64_t{pointer.value} + by;
            moved.value =
                constant && to > -(1 << 29) && to < (1 << 29) ? static_cast<int32_t>(to) : kNoOffset;
        }
        set(dst, moved);
    }

    // -- Memory --

    void load_immediate(uint32_t slot, const Insn& insn, Value& dst) {
        const LinkedRef* ref = refs_[slot];
        if (insn.src == op::kFunc) {
            set(dst, {Kind::Callback, static_cast<int32_t>(int64_t{slot} + 1 + insn.imm)});
            State entry;
            for (size_t reg = 1; reg <= 5; ++reg) {
                entry.regs[reg] = {Kind::Unknown, 0};
            }
            enter_function(static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm), entry);
            // A callback gets at the caller's stack through its context argument; what was spilled there may
            // be data_end.
            has_callbacks_ = true;
        } else if (ref != nullptr && ref->kind == RelocKind::Map) {
            set(dst, {Kind::MapObject, static_cast<int32_t>(ref->target)});
        } else if (ref != nullptr && ref->kind == RelocKind::MapValue) {
            const bool fixed = read_only_(ref->target, 0, 1).has_value();
            set(dst, {Kind::MapValue, fixed ? number_of(places_, Place{ref->target, ref->offset}) : kVaries});
        } else {
            // An extern that the emulator lacks is refused by name, not for what is done with it.
            set(dst, {insn.src == 0 && ref == nullptr ? Kind::Scalar : Kind::Unknown, 0});
        }
    }

    /// Place of an access in the own frame, when it is fixed and inside.
    static std::optional<uint32_t> stack_place(Value base, const Insn& insn) {
        if (base.kind != Kind::Stack || base.value == kNoOffset) {
            return std::nullopt;
        }
        const int64_t at = int64_t{base.value} + insn.off;
        const uint32_t size = access_size(insn.code);
        if (at < 0 || at + size > abi::kStackSize) {
            return std::nullopt;
        }
        return static_cast<uint32_t>(at);
    }

    void check_base(uint32_t slot, uint8_t reg, Value base, bool writes) {
        const Insn& insn = insns_[slot];
        if (base.kind == Kind::Stack && base.value != kNoOffset && !stack_place(base, insn)) {
            refuse(slot, "access at stack" +
                             std::to_string(int64_t{base.value} + insn.off - abi::kStackSize) +
                             ", outside the " + std::to_string(abi::kStackSize) + " bytes of its frame");
        }
        if (base.kind == Kind::Scalar) {
            refuse(slot, "r" + std::to_string(reg) + " is a number, not a pointer that can be " +
                             (writes ? "written" : "read") + " through");
        } else if (base.kind == Kind::PacketEnd || base.kind == Kind::MapObject ||
                   base.kind == Kind::Callback) {
            refuse(slot, std::string("access through ") + describe(base.kind));
        }
    }

    void load(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
        const Value base = state.regs[insn.src];
        check_base(slot, insn.src, base, false);
        SlotFacts& facts = result_.slots[slot];
        Value result{base.kind == Kind::Unknown ? Kind::Unknown : Kind::Scalar, 0};
        facts.target = SlotFacts::Target::Unknown;
        if (base.kind == Kind::Context) {
            result = load_context(slot, insn, form, base);
        } else if (const auto place = stack_place(base, insn)) {
            facts.target = SlotFacts::Target::Stack;
            facts.value = static_cast<int32_t>(*place);
            if (access_size(insn.code) == 8 && *place % 8 == 0) {
                result = state.spill(*place / 8);
            }
        } else if (base.kind == Kind::Stack) {
            result = {Kind::Unknown, 0};
        } else if (is_packet(base.kind)) {
            facts.target = SlotFacts::Target::Packet;
        } else if (form.kind == InsnKind::Load && base.kind == Kind::MapValue) {
            result = load_read_only(base, insn);
        }
        set(state.regs[insn.dst], result);
    }

    Value load_context(uint32_t slot, const Insn& insn, const InsnForm& form, Value base) {
        if (base.value == kNoOffset) {
            refuse(slot, "context access at a variable offset");
            return {Kind::Unknown, 0};
        }
        const int64_t offset = int64_t{base.value} + insn.off;
        const uint32_t size = access_size(insn.code);
        const ContextField* field = context_->find(offset, size, false);
        if (field == nullptr || form.kind == InsnKind::LoadAcquire) {
            refuse(slot, "context access of " + std::to_string(size) + " bytes at offset " +
                             std::to_string(offset) + " of " + std::string(context_->struct_name) + ": " +
                             std::string(context_->loads));
            return {Kind::Unknown, 0};
        }
        if (form.kind == InsnKind::LoadSx && field->role <= FieldRole::PacketMeta) {
            refuse(slot, "sign-extending load of the packet pointer " + std::string(field->name));
        }
        if (field->name == "egress_ifindex" && program_.spec.attach_type != abi::AttachType::XdpDevmap) {
            refuse(slot, "egress_ifindex is there only in programs of a devmap (SEC(\"xdp/devmap\"))");
        }
        SlotFacts& facts = result_.slots[slot];
        facts.target = form.kind == InsnKind::Load ? SlotFacts::Target::Context : SlotFacts::Target::Unknown;
        facts.value = static_cast<int32_t>(offset);
        switch (field->role) {
        case FieldRole::PacketStart:
            return {Kind::PacketData, 0};
        case FieldRole::PacketEnd:
            return {Kind::PacketEnd, 0};
        case FieldRole::PacketMeta:
            return {Kind::PacketMeta, 0};
        case FieldRole::Pointer:
            return {Kind::Unknown, 0};
        default:
            return {Kind::Scalar, 0};
        }
    }

    void check_context_store(uint32_t slot, const Insn& insn, const InsnForm& form, Value base) {
        const int64_t offset = int64_t{base.value} + insn.off;
        if (base.value == kNoOffset || form.kind == InsnKind::StoreRelease ||
            context_->find(offset, access_size(insn.code), true) == nullptr) {
            refuse(slot,
                   "write to the context: " + std::string(context_->struct_name) +
                       (base.value == kNoOffset ? " at a variable offset"
                                                : " has no field at offset " + std::to_string(offset) +
                                                      " that programs of this type may write like that"));
        }
    }

    void store(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
        const Value base = state.regs[insn.dst];
        const Value value = form.kind == InsnKind::StoreImm ? Value{Kind::Scalar, 0} : state.regs[insn.src];
        check_base(slot, insn.dst, base, true);
        if (base.kind == Kind::Context) {
            check_context_store(slot, insn, form, base);
        }
        if (is_packet(base.kind) && context_ != nullptr && !context_->packet_writable) {
            refuse(slot, "write to the packet, which programs of this type may only read");
        }
        SlotFacts& facts = result_.slots[slot];
        facts.target = is_packet(base.kind) ? SlotFacts::Target::Packet : SlotFacts::Target::Unknown;
        const auto place = stack_place(base, insn);
        if (!place) {
            if (may_be_end(value.kind)) {
                result_.tracks_bounds = false;
            }
            if (base.kind == Kind::Stack || base.kind == Kind::Unknown) {
                forget_spills(state);
            }
            return;
        }
        facts.target = SlotFacts::Target::Stack;
        facts.value = static_cast<int32_t>(*place);
        const uint32_t size = access_size(insn.code);
        if (size == 8 && *place % 8 == 0) {
            state.set_spill(*place / 8, value);
            return;
        }
        if (may_be_end(value.kind)) {
            result_.tracks_bounds = false;
        }
        for (uint32_t byte = *place; byte < *place + size; byte += 1) {
            state.set_spill(byte / 8, {Kind::Scalar, 0});
        }
    }

    void atomic(uint32_t slot, const Insn& insn, State& state) {
        const Value base = state.regs[insn.dst];
        check_base(slot, insn.dst, base, true);
        if (base.kind == Kind::Context || is_packet(base.kind)) {
            refuse(slot, std::string("atomic operation on ") +
                             (base.kind == Kind::Context ? "the context" : "the packet"));
        }
        if (base.kind == Kind::Stack || base.kind == Kind::Unknown) {
            forget_spills(state);
        }
        if (insn.imm == op::kCmpxchg) {
            set(state.regs[0], {Kind::Unknown, 0});
        } else if ((insn.imm & op::kFetch) != 0) {
            set(state.regs[insn.src], {Kind::Unknown, 0});
        }
    }

    /// The frame was written at an unknown place: spilled pointers may be gone.
    void forget_spills(State& state) {
        for (const Value& spill : state.spills()) {
            if (may_be_end(spill.kind)) {
                result_.tracks_bounds = false;
            }
        }
        state.forget_spills();
    }

    // -- Calls --

    static void call_clobbers(State& state) {
        for (size_t reg = 1; reg <= 5; ++reg) {
            state.regs[reg] = {};
        }
    }

    static bool passes_stack(const State& state) {
        return std::any_of(state.regs.begin() + 1, state.regs.begin() + 6,
                           [](Value value) { return value.kind == Kind::Stack; });
    }

    void call_helper(uint32_t slot, const Insn& insn, State& state) {
        SlotFacts& facts = result_.slots[slot];
        facts.target =
            state.regs[1].kind == Kind::MapObject ? SlotFacts::Target::Map : SlotFacts::Target::Unknown;
        facts.value = state.regs[1].value;
        const auto id = static_cast<uint32_t>(insn.imm);
        constexpr uint32_t kLookup = 1, kUpdate = 2, kDelete = 3, kTimerSetCallback = 170;
        if (id == kTimerSetCallback) {
            note_async(state.regs[2]);
        }
        const bool only_reads = id == kLookup || id == kUpdate || id == kDelete;
        if (passes_stack(state) && !only_reads) {
            if (has_callbacks_ &&
                std::ranges::any_of(state.spills(), [](Value v) { return may_be_end(v.kind); })) {
                result_.tracks_bounds = false;
            }
            for (Value& spill : state.spills()) {
                if (!may_be_end(spill.kind)) {
                    spill = {Kind::Unknown, 0};
                }
            }
        }
        call_clobbers(state);
        set(state.regs[0], {own_.contains(id) ? Kind::Unknown : returned(id), 0});
    }

    void call_kfunc(uint32_t slot, State& state) {
        if (refs_[slot] != nullptr) {
            const std::string& name = program_.object->externs[refs_[slot]->target].name;
            if (name == "bpf_wq_set_callback_impl") {
                note_async(state.regs[2]);
            }
        }
        call_clobbers(state);
        set(state.regs[0], {Kind::Unknown, 0});
    }

    /// The function of a callback argument does not run below its caller.
    void note_async(Value callback) {
        if (finished_ && callback.kind == Kind::Callback && callback.value > 0) {
            result_.async_callbacks.push_back(static_cast<uint32_t>(callback.value));
        }
    }

    /// What a helper returns, by id.
    static Kind returned(uint32_t id) {
        switch (id) {
        case 1:   // map_lookup_elem
        case 195: // map_lookup_percpu_elem
            return Kind::MapValue;
        case 81:  // get_local_storage
        case 84:  // sk_lookup_tcp
        case 85:  // sk_lookup_udp
        case 95:  // sk_fullsock
        case 96:  // tcp_sock
        case 98:  // get_listener_sock
        case 99:  // skc_lookup_tcp
        case 107: // sk_storage_get
        case 131: // ringbuf_reserve
        case 153: // per_cpu_ptr
        case 154: // this_cpu_ptr
        case 156: // task_storage_get
        case 158: // get_current_task_btf
        case 194: // kptr_xchg
        case 203: // dynptr_data
        case 210: // cgrp_storage_get
            return Kind::Unknown;
        default:
            return (id >= 136 && id <= 140) || id == 178 || id == 196 ? Kind::Unknown // skc_to_*
                                                                      : Kind::Scalar;
        }
    }

    void call_local(uint32_t slot, const Insn& insn, State& state) {
        State entry;
        for (size_t reg = 1; reg <= 5; ++reg) {
            entry.regs[reg] = state.regs[reg];
            if (entry.regs[reg].kind == Kind::Stack || entry.regs[reg].kind == Kind::MapObject) {
                entry.regs[reg] = {Kind::Unknown, 0};
            }
        }
        if (passes_stack(state)) {
            forget_spills(state);
        }
        enter_function(static_cast<uint32_t>(int64_t{slot} + 1 + insn.imm), entry);
        call_clobbers(state);
        set(state.regs[0], {Kind::Unknown, 0});
    }

    // -- Proofs --

    void note_proof(uint32_t slot, const Insn& insn, const InsnForm& form, const State& state) {
        SlotFacts& facts = result_.slots[slot];
        facts.proves = false;
        const uint8_t operation = insn.code & 0xf0;
        const bool ordered =
            operation == op::kJgt || operation == op::kJge || operation == op::kJlt || operation == op::kJle;
        if (form.kind != InsnKind::Jump || (insn.code & 7) != op::kJmp || (insn.code & op::kX) == 0 ||
            !ordered) {
            return;
        }
        const auto proves = [&](Kind pointer, Kind end) {
            return ((pointer == Kind::PacketData || pointer == Kind::PacketMeta) && end == Kind::PacketEnd) ||
                   (pointer == Kind::PacketMeta && end == Kind::PacketData);
        };
        if (proves(state.regs[insn.dst].kind, state.regs[insn.src].kind)) {
            facts.proves = true;
            facts.pointer = insn.dst;
            facts.end = insn.src;
        } else if (proves(state.regs[insn.src].kind, state.regs[insn.dst].kind)) {
            facts.proves = true;
            facts.pointer = insn.src;
            facts.end = insn.dst;
        } else if (may_be_end(state.regs[insn.dst].kind) || may_be_end(state.regs[insn.src].kind)) {
            // data_end compared with something that is not known to be a packet pointer.
            result_.tracks_bounds = false;
        }
    }

    const LinkedProgram& program_;
    const UserHelpers& own_;
    const ReadOnlyData& read_only_;
    std::vector<uint64_t> constants_; ///< by number, from 1
    std::vector<Place> places_;       ///< by number, from 1
    const std::vector<Insn>& insns_;
    const ContextKind* context_;
    static constexpr uint32_t kNoState = UINT32_MAX;
    std::vector<const LinkedRef*> refs_; ///< by slot
    std::vector<const InsnForm*> forms_; ///< by slot; null where no instruction starts
    std::vector<uint32_t> state_at_;     ///< by slot: index in `states_`
    std::deque<State> states_;           ///< where ways meet
    std::vector<bool> queued_;           ///< by slot: in `work_`
    std::vector<uint32_t> work_;         ///< heap, the lowest slot on top
    Analysis result_;
    bool has_callbacks_ = false;
    bool finished_ = false;
};

} // namespace

Analysis analyse(const LinkedProgram& program, const UserHelpers& own, const ReadOnlyData& read_only) {
    return Flow(program, own, read_only).run();
}

} // namespace mimicsh::vm
