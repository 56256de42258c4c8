// SPDX-License-Identifier: MIT
// Arithmetic and memory in the flow of kinds: what becomes of pointers, what is loaded and stored where.
#include <algorithm>
#include <string>

#include "vm/analysis_flow.h"
#include "vm/context/context.h"

namespace mimicsh::vm::flow {

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
    case Kind::Arena:
        return "a pointer to an arena";
    case Kind::Callback:
        return "a function";
    default:
        return "a number";
    }
}

/// Whether the number that an instruction loads is CO-RE's answer.
bool Flow::is_known_to_core(uint32_t slot) const {
    return std::ranges::binary_search(core_moves_, slot);
}

/// Before an instruction that the kernel wants a pointer for which was compared with NULL. One that was not
/// is complained of once, so that it counts as compared behind it.
void Flow::want_not_null(uint32_t slot, uint8_t reg, State& state) {
    const Value pointer = state.regs[reg];
    SlotFacts& facts = result_.slots[slot];
    facts.guard = SlotFacts::Guard::None;
    if (pointer.kind == Kind::MaybeNull) {
        facts.guard = SlotFacts::Guard::NotNull;
        facts.pointer = reg;
        facts.origin = pointer.value;
        take_for_checked(pointer, state);
    }
}

// -- Arithmetic --

void Flow::alu(uint32_t slot, const Insn& insn, State& state) {
    Value& dst = state.regs[insn.dst];
    const bool by_register = (insn.code & op::kX) != 0;
    Value src = by_register              ? state.regs[insn.src]
                : is_known_to_core(slot) ? constants_.scalar(static_cast<uint64_t>(int64_t{insn.imm}))
                                         : Value{Kind::Scalar, kVaries};
    const uint8_t operation = insn.code & 0xf0;
    const bool wide = (insn.code & 7) == op::kAlu64;
    if (operation == op::kMov) {
        if (const auto known = constants_.known(src); known && !wide) {
            set(dst, constants_.scalar(uint64_t{static_cast<uint32_t>(*known)}));
            return;
        }
        set(dst, wide ? src : Value{src.kind == Kind::Unknown ? Kind::Unknown : Kind::Scalar, kVaries});
        return;
    }
    if (dst.kind == Kind::MaybeEnd || src.kind == Kind::MaybeEnd) {
        current_->loses_bounds = true;
    }
    // The difference of two pointers is a number; of iterators the verifier follows both results.
    const bool moves = operation == op::kAdd || operation == op::kSub;
    const bool of_kfunc = dst.kind == Kind::MaybeNull && dst.value != kVaries &&
                          insns_[static_cast<uint32_t>(dst.value) - 1].src == op::kCallKfunc;
    if (wide && moves && src.kind == Kind::Scalar && !of_kfunc) {
        want_not_null(slot, insn.dst, state);
    }
    dst = checked(dst);
    src = checked(src);
    const bool in_arena = dst.kind == Kind::Arena || src.kind == Kind::Arena;
    if (arena_) {
        note_target(slot, {in_arena ? Kind::Arena : Kind::Scalar, kVaries});
    }
    if (in_arena) { // any arithmetic, in 32 bits
        set(dst, {Kind::Arena, 0});
        return;
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
    set(dst, number ? constants_.computed(insn, state) : Value{Kind::Unknown, 0});
}

void Flow::pointer_arithmetic(uint32_t slot, const Insn& insn, uint8_t operation, bool wide, Value& dst,
                              Value src) {
    const Value pointer = is_pointer(dst.kind) ? dst : src;
    if (!wide) {
        if (operation != op::kSub) {
            refuse(slot, std::string("32-bit arithmetic on ") + describe(pointer.kind));
        }
        set(dst, {Kind::Scalar, 0});
        return;
    }
    const bool by_register = (insn.code & op::kX) != 0;
    if (operation == op::kSub && (dst.kind == Kind::Unknown || (by_register && src.kind == Kind::Unknown))) {
        set(dst, {Kind::Unknown, 0}); // a pointer on some ways, and the difference of two is a number
        return;
    }
    if (operation != op::kAdd && (operation != op::kSub || !is_pointer(dst.kind))) {
        refuse(slot,
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
    const bool adds_nothing = operation == op::kAdd && !by_register && insn.imm == 0;
    if (pointer.kind == Kind::PacketEnd || (pointer.kind == Kind::MapObject && !adds_nothing)) {
        refuse(slot, std::string("arithmetic on ") + describe(pointer.kind));
    }
    Value moved = pointer;
    const int64_t by = operation == op::kSub ? -int64_t{insn.imm} : int64_t{insn.imm};
    if (pointer.kind == Kind::MapValue) {
        moved = (insn.code & op::kX) == 0 ? constants_.moved(pointer, by) : Value{Kind::MapValue, kVaries};
    }
    if (pointer.kind == Kind::Stack || pointer.kind == Kind::Context) {
        const bool constant = (insn.code & op::kX) == 0 && pointer.value != kNoOffset;
        const int64_t to = int64_t{pointer.value} + by;
        moved.value = constant && to > -(1 << 29) && to < (1 << 29) ? static_cast<int32_t>(to) : kNoOffset;
    }
    set(dst, moved);
}

// -- Memory --

namespace {

/// Of a variable that is declared as void the kernel knows the address alone, a number.
bool is_typeless(const ExternDef& wanted) {
    return wanted.kind == ExternKind::Ksym && wanted.type_id == 0;
}

} // namespace

void Flow::load_immediate(uint32_t slot, const Insn& insn, Value& dst) {
    const LinkedRef* ref = refs_[slot];
    if (insn.src == op::kFunc) {
        const auto function = static_cast<uint32_t>(*target(slot));
        set(dst, {Kind::Callback, static_cast<int32_t>(function)});
        State entry;
        for (size_t reg = 1; reg <= 5; ++reg) {
            entry.regs[reg] = {Kind::Unknown, 0};
        }
        entry.lock = locks_ ? Lock::Maybe : Lock::Free;
        enter_function(function, entry);
    } else if (ref != nullptr && ref->kind == RelocKind::Map) {
        set(dst, {Kind::MapObject, static_cast<int32_t>(ref->target)});
    } else if (ref != nullptr && ref->kind == RelocKind::MapValue) {
        set(dst, constants_.pointer(ref->target, ref->offset));
    } else if (ref != nullptr && is_typeless(program_.object->externs[ref->target])) {
        set(dst, {Kind::Scalar, kVaries});
    } else if (is_known_to_core(slot)) {
        const auto low = static_cast<uint32_t>(insn.imm);
        const auto high = static_cast<uint32_t>(insns_[slot + 1].imm);
        set(dst, constants_.scalar(low | uint64_t{high} << 32));
    } else {
        // An extern that the emulator lacks is refused by name, not for what is done with it.
        set(dst, {insn.src == 0 && ref == nullptr ? Kind::Scalar : Kind::Unknown, 0});
    }
}

/// Place of an access in the own frame, when it is fixed and inside.
std::optional<uint32_t> Flow::stack_place(Value base, const Insn& insn) {
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

void Flow::check_base(uint32_t slot, uint8_t reg, Value base, bool writes) {
    const Insn& insn = insns_[slot];
    if (base.kind == Kind::Stack && base.value != kNoOffset) {
        const int64_t offset = int64_t{base.value} + insn.off - abi::kStackSize;
        const auto place = [&] { return (offset < 0 ? "stack" : "stack+") + std::to_string(offset); };
        const uint32_t size = access_size(insn.code);
        if (offset % size != 0) {
            refuse(slot, "misaligned stack access: " + std::to_string(size) + " bytes at " + place());
        } else if (!stack_place(base, insn)) {
            refuse(slot, "access at " + place() + ", outside the " + std::to_string(abi::kStackSize) +
                             " bytes of its frame");
        }
    }
    if (base.kind == Kind::Scalar) {
        refuse(slot, "r" + std::to_string(reg) + " is a number, not a pointer that can be " +
                         (writes ? "written" : "read") + " through");
    } else if (base.kind == Kind::PacketEnd || base.kind == Kind::MapObject || base.kind == Kind::Callback) {
        refuse(slot, std::string("access through ") + describe(base.kind));
    }
}

/// What of an access is known by the kind of its pointer alone. What may point to the arena is looked at when
/// the program runs.
void Flow::note_target(uint32_t slot, Value base) {
    SlotFacts& facts = result_.slots[slot];
    const bool in_arena = base.kind == Kind::Arena || (base.kind == Kind::Unknown && arena_);
    facts.target = in_arena               ? SlotFacts::Target::Map
                   : is_packet(base.kind) ? SlotFacts::Target::Packet
                                          : SlotFacts::Target::Unknown;
    facts.value = in_arena ? static_cast<int32_t>(*arena_) : 0;
}

void Flow::load(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
    want_not_null(slot, insn.src, state);
    const Value base = state.regs[insn.src];
    check_base(slot, insn.src, base, false);
    SlotFacts& facts = result_.slots[slot];
    Value result{base.kind == Kind::Unknown ? Kind::Unknown : Kind::Scalar, 0};
    note_target(slot, base);
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
    } else if (form.kind == InsnKind::Load && base.kind == Kind::MapValue) {
        const bool may_point = values_point_ && access_size(insn.code) == 8 && base.value == kVaries;
        result = may_point ? Value{Kind::Unknown, 0} : constants_.load(base, insn);
    }
    set(state.regs[insn.dst], result);
}

Value Flow::load_context(uint32_t slot, const Insn& insn, const InsnForm& form, Value base) {
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
        return field->name == "sk" ? maybe_null(slot) : Value{Kind::Unknown, 0};
    default:
        return {Kind::Scalar, 0};
    }
}

void Flow::check_context_store(uint32_t slot, const Insn& insn, const InsnForm& form, Value base) {
    const int64_t offset = int64_t{base.value} + insn.off;
    if (base.value == kNoOffset || form.kind == InsnKind::StoreRelease ||
        context_->find(offset, access_size(insn.code), true) == nullptr) {
        refuse(slot, "write to the context: " + std::string(context_->struct_name) +
                         (base.value == kNoOffset ? " at a variable offset"
                                                  : " has no field at offset " + std::to_string(offset) +
                                                        " that programs of this type may write like that"));
    }
}

void Flow::store(uint32_t slot, const Insn& insn, const InsnForm& form, State& state) {
    want_not_null(slot, insn.dst, state);
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
    note_target(slot, base);
    const auto place = stack_place(base, insn);
    if (!place) {
        if (may_be_end(value.kind)) {
            current_->loses_bounds = true;
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
        current_->loses_bounds = true;
    }
    for (uint32_t byte = *place; byte < *place + size; byte += 1) {
        state.set_spill(byte / 8, {Kind::Scalar, 0});
    }
}

void Flow::atomic(uint32_t slot, const Insn& insn, State& state) {
    want_not_null(slot, insn.dst, state);
    const Value base = state.regs[insn.dst];
    check_base(slot, insn.dst, base, true);
    note_target(slot, base);
    const int32_t operation = insn.imm & ~op::kFetch;
    const bool bitwise = operation == op::kOr || operation == op::kAnd || operation == op::kXor;
    if (base.kind == Kind::Arena && bitwise && (insn.imm & op::kFetch) != 0) {
        refuse(slot, "atomic operation on an arena that x86 has no instruction for");
    }
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
void Flow::forget_spills(State& state) {
    for (const Value& spill : state.spills()) {
        if (may_be_end(spill.kind)) {
            current_->loses_bounds = true;
        }
    }
    state.forget_spills();
}

} // namespace mimicsh::vm::flow
