// SPDX-License-Identifier: MIT
// Idioms of three and more instructions first, since they save most; then pairs.
#include "vm/fuse.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <span>

#include "object/abi.h"
#include "vm/interp.h"

namespace mimicsh::vm {

namespace {

using Drafts = std::span<const Draft>;

/// What the first `length` of some drafts become.
struct Fused {
    Draft draft;
    size_t length = 0;
};

/// True when there are `length` drafts and nothing jumps behind the first.
bool is_straight(Drafts drafts, size_t length) {
    if (drafts.size() < length) {
        return false;
    }
    for (size_t i = 1; i < length; ++i) {
        if (drafts[i].leader) {
            return false;
        }
    }
    return true;
}

bool is_one_of(OpCode code, OpCode a, OpCode b) {
    return code == a || code == b;
}

// -- Idioms --

/// A register that programs do not have: where an idiom puts a constant that is not there.
constexpr uint8_t kNowhere = 15;

/// True for a constant put into a register that none of `used` is: it may move in front of its neighbours.
bool is_free_constant(const Draft& draft, std::initializer_list<uint8_t> used) {
    return draft.code == OpCode::mov32_k && std::find(used.begin(), used.end(), draft.op.dst) == used.end();
}

/// pointer = base; pointer += size; [other = constant;] if (pointer > data_end) goto
std::optional<Fused> bounds_check(Drafts d) {
    if (!is_straight(d, 4) || d[0].code != OpCode::mov64_x || d[1].code != OpCode::add64_k) {
        return std::nullopt;
    }
    const size_t at = d[2].code == OpCode::mov32_k ? 3 : 2; // of the comparison
    if (!is_straight(d, at + 2) || d[at].code != OpCode::prove || d[at + 1].code != OpCode::jgt64_x_f) {
        return std::nullopt;
    }
    const uint8_t base = d[0].op.src;
    const uint8_t pointer = d[0].op.dst;
    const uint8_t end = d[at + 1].op.src;
    if (d[1].op.dst != pointer || d[at + 1].op.dst != pointer || d[at].op.dst != pointer ||
        d[at].op.src != end || end == pointer || (at == 3 && !is_free_constant(d[2], {base, pointer, end}))) {
        return std::nullopt;
    }
    Draft joined = d[0];
    joined.code = OpCode::check_bounds;
    joined.op.a = d[1].op.a;
    joined.op.src2 = end;
    joined.op.dst2 = at == 3 ? d[2].op.dst : kNowhere;
    joined.op.b = at == 3 ? d[2].op.a : 0;
    joined.target = d[at + 1].target;
    return Fused{joined, at + 2};
}

/// A 16-bit field of a packed header, read as two bytes, shifted and merged; then perhaps compared with a
/// constant.
std::optional<Fused> two_bytes(Drafts d) {
    if (!is_straight(d, 4)) {
        return std::nullopt;
    }
    const bool high_first = is_one_of(d[1].code, OpCode::lsh64_k, OpCode::lsh32_k);
    const Draft& high = high_first ? d[0] : d[1];
    const Draft& low = high_first ? d[2] : d[0];
    const Draft& shift = high_first ? d[1] : d[2];
    const Draft& merge = d[3];
    const uint8_t result = high.op.dst;
    const uint8_t byte = low.op.dst;
    const uint8_t base = high.op.src;
    if (high.code != OpCode::ldp8 || low.code != OpCode::ldp8 ||
        !is_one_of(shift.code, OpCode::lsh64_k, OpCode::lsh32_k) || shift.op.a != 8 ||
        !is_one_of(merge.code, OpCode::or64_x, OpCode::or32_x) || shift.op.dst != result ||
        merge.op.dst != result || merge.op.src != byte || low.op.src != base || result == base ||
        byte == base || result == byte || high.op.a != low.op.a + 1) {
        return std::nullopt;
    }
    Draft joined = d[0];
    joined.code = OpCode::load_two_bytes;
    joined.op.dst = result;
    joined.op.src = base;
    joined.op.dst2 = byte;
    joined.op.a = low.op.a;
    joined.op.b = high_first ? 0 : INT32_MIN;
    // Then perhaps [other = constant;] if (field != constant) goto
    const bool with_constant = is_straight(d, 6) && is_free_constant(d[4], {result, byte, base}) &&
                               d[4].op.a >= 0 && d[4].op.a < 0x8000;
    const size_t at = with_constant ? 5 : 4;
    const bool compared = is_straight(d, at + 1) &&
                          is_one_of(d[at].code, OpCode::jne64_k_f, OpCode::jne32_k_f) &&
                          d[at].op.dst == result && d[at].op.a >= 0 && d[at].op.a <= 0xffff;
    if (!compared) {
        return Fused{joined, 4};
    }
    joined.code = OpCode::load_two_bytes_jne;
    joined.op.src2 = with_constant ? d[4].op.dst : kNowhere;
    joined.op.b |= d[at].op.a | (with_constant ? d[4].op.a << 16 : 0);
    joined.target = d[at].target;
    return Fused{joined, at + 1};
}

/// A 16-bit field of a packed header, written as low byte, shift, high byte.
std::optional<Fused> store_two_bytes(Drafts d) {
    if (!is_straight(d, 3) || d[0].code != OpCode::stp8 || d[1].code != OpCode::rsh32_k || d[1].op.a != 8 ||
        d[2].code != OpCode::stp8) {
        return std::nullopt;
    }
    const uint8_t value = d[0].op.src;
    const uint8_t base = d[0].op.dst;
    if (d[1].op.dst != value || d[2].op.src != value || d[2].op.dst != base || value == base ||
        d[2].op.a != d[0].op.a + 1) {
        return std::nullopt;
    }
    Draft joined = d[0];
    joined.code = OpCode::store_two_bytes;
    return Fused{joined, 3};
}

/// Two neighbouring bytes, each loaded and stored, through one register.
std::optional<Fused> copy_two_bytes(Drafts d) {
    if (!is_straight(d, 4) || d[0].code != OpCode::ldp8 || d[1].code != OpCode::stp8 ||
        d[2].code != OpCode::ldp8 || d[3].code != OpCode::stp8) {
        return std::nullopt;
    }
    const uint8_t byte = d[0].op.dst;
    const uint8_t from = d[0].op.src;
    const uint8_t to = d[1].op.dst;
    if (byte == from || byte == to || d[1].op.src != byte || d[2].op.dst != byte || d[2].op.src != from ||
        d[3].op.dst != to || d[3].op.src != byte || d[2].op.a != d[0].op.a + 1 ||
        d[3].op.a != d[1].op.a + 1) {
        return std::nullopt;
    }
    Draft joined = d[0];
    joined.code = OpCode::copy_two_bytes;
    joined.op.dst = to;
    joined.op.dst2 = byte;
    joined.op.b = d[1].op.a;
    return Fused{joined, 4};
}

/// field = packet[...]; field &= mask; if (field != 0) goto
std::optional<Fused> flag_test(Drafts d) {
    if (!is_straight(d, 3) || !is_one_of(d[1].code, OpCode::and64_k, OpCode::and32_k) || d[1].op.a < 0 ||
        !is_one_of(d[2].code, OpCode::jne64_k_f, OpCode::jne32_k_f) || d[2].op.a != 0 ||
        d[1].op.dst != d[0].op.dst || d[2].op.dst != d[0].op.dst) {
        return std::nullopt;
    }
    Draft joined = d[0];
    switch (d[0].code) {
    case OpCode::ldp8:
        joined.code = OpCode::load_test8;
        break;
    case OpCode::ldp16:
        joined.code = OpCode::load_test16;
        break;
    case OpCode::ldp32:
        joined.code = OpCode::load_test32;
        break;
    default:
        return std::nullopt;
    }
    joined.op.b = d[1].op.a;
    joined.target = d[2].target;
    return Fused{joined, 3};
}

/// A look-up by a key on the stack, and perhaps the test of its result for null.
std::optional<Fused> stack_lookup(Drafts d) {
    if (!is_straight(d, 4) || d[0].code != OpCode::mov64_x || d[0].op.dst != 2 || d[0].op.src != 10 ||
        d[1].code != OpCode::add64_k || d[1].op.dst != 2 || d[2].code != OpCode::lddw || d[2].op.dst != 1 ||
        d[3].code != OpCode::lookup || d[1].op.a >= 0 || d[1].op.a < -static_cast<int32_t>(abi::kStackSize)) {
        return std::nullopt;
    }
    const auto offset = static_cast<uint32_t>(static_cast<int32_t>(abi::kStackSize) + d[1].op.a);
    Draft joined = d[3];
    joined.slot = d[0].slot;
    joined.access = d[3].slot;
    joined.code = OpCode::lookup_stack;
    joined.op.dst = static_cast<uint8_t>(offset);
    joined.op.src = static_cast<uint8_t>(offset >> 8);
    if (!is_straight(d, 5) || d[4].code != OpCode::jeq64_k_f || d[4].op.dst != 0 || d[4].op.a != 0) {
        return Fused{joined, 4};
    }
    joined.code = OpCode::lookup_stack_null;
    joined.target = d[4].target;
    return Fused{joined, 5};
}

/// The idiom that the drafts begin with.
std::optional<Fused> idiom(Drafts drafts) {
    std::optional<Fused> fused;
    if (drafts.size() < 3 || drafts[1].leader) {
        return fused;
    }
    switch (drafts[0].code) {
    case OpCode::mov64_x:
        fused = bounds_check(drafts);
        fused = fused ? fused : stack_lookup(drafts);
        break;
    case OpCode::ldp8:
        fused = two_bytes(drafts);
        fused = fused ? fused : copy_two_bytes(drafts);
        fused = fused ? fused : flag_test(drafts);
        break;
    case OpCode::ldp16:
    case OpCode::ldp32:
        fused = flag_test(drafts);
        break;
    case OpCode::stp8:
        fused = store_two_bytes(drafts);
        break;
    default:
        break;
    }
    if (fused) {
        fused->draft.leader = drafts[0].leader;
    }
    return fused;
}

// -- Pairs --

/// Pairs that are an operation of their own: both ends of the packet loaded, something returned, a field in
/// network order. `refused` when they are none.
OpCode special_pair(const Draft& first, const Draft& second) {
    switch (second.code) {
    case OpCode::ctx_load:
        return first.code == OpCode::ctx_load ? OpCode::ctx_load_two : OpCode::refused;
    case OpCode::exit:
        return first.op.dst != 0               ? OpCode::refused
               : first.code == OpCode::mov32_k ? OpCode::exit_with
               : first.code == OpCode::mov64_x ? OpCode::exit_with_64
               : first.code == OpCode::mov32_x ? OpCode::exit_with_32
                                               : OpCode::refused;
    case OpCode::swap16:
    case OpCode::swap32: {
        const bool is_short = second.code == OpCode::swap16;
        const bool fits =
            second.op.dst == first.op.dst && first.code == (is_short ? OpCode::ldp16 : OpCode::ldp32);
        return !fits ? OpCode::refused : is_short ? OpCode::load_be16 : OpCode::load_be32;
    }
    default:
        return OpCode::refused;
    }
}

/// Columns of MIMICSH_VM_ACCESS.
enum class AccessPart : int { Load, Store, StoreImm };

struct AccessKind {
    AccessPart part = AccessPart::Load;
    size_t row = 0; ///< four widths anywhere, then four in the packet
    [[nodiscard]] bool in_packet() const { return row >= 4; }
    [[nodiscard]] size_t log2_size() const { return row % 4; }
};

std::optional<AccessKind> access_kind(OpCode code) {
    const int place = static_cast<int>(code) - static_cast<int>(OpCode::ldx8);
    if (place < 0 || code > OpCode::sti64) {
        return std::nullopt;
    }
    return AccessKind{static_cast<AccessPart>(place % 3), static_cast<size_t>(place / 3)};
}

bool is_jump(OpCode code) {
    return code >= OpCode::jeq64_k_f && code <= OpCode::jsle32_x_b;
}
bool is_backward(OpCode code) {
    return ((static_cast<int>(code) - static_cast<int>(OpCode::jeq64_k_f)) & 1) != 0;
}

const void* proved_jump(const Draft& jump) {
    constexpr std::array<OpCode, 4> kProved{OpCode::jgt64_x_f, OpCode::jge64_x_f, OpCode::jlt64_x_f,
                                            OpCode::jle64_x_f};
    for (size_t i = 0; i < kProved.size(); ++i) {
        if (jump.code == kProved[i] || jump.code == plus(kProved[i], 1)) {
            return fast_labels().prove_jump[2 * i + (jump.code == kProved[i] ? 0 : 1)];
        }
    }
    return nullptr;
}

/// Label for a load or store of a register and what follows it, or null. `alu` and `jump` are the second's
/// places in the pair lists.
const void* after_access(AccessKind first, const Draft& second, int alu, int jump, bool backward) {
    const Labels& table = fast_labels();
    const auto next = access_kind(second.code);
    const bool alike = next && next->in_packet() == first.in_packet();
    if (first.part == AccessPart::Store) {
        return alike && next->part == AccessPart::Store ? table.store_store[first.row * 4 + next->log2_size()]
                                                        : nullptr;
    }
    const auto row = static_cast<int>(first.row);
    if (alu >= 0) {
        return table.load_alu[row * pair_alu_count() + alu];
    }
    if (jump >= 0) {
        return table.load_jump[(row * pair_jump_count() + jump) * 2 + (backward ? 1 : 0)];
    }
    if (!alike || next->part == AccessPart::StoreImm) {
        return nullptr;
    }
    if (next->part == AccessPart::Store) {
        return next->row == first.row ? table.load_store[first.row] : nullptr;
    }
    return table.load_load[first.row * 4 + next->log2_size()];
}

/// Handler of a pair, or null when there is none for it.
const void* pair_label(const Draft& first, const Draft& second) {
    if (first.code == OpCode::prove) {
        return proved_jump(second);
    }
    const Labels& table = fast_labels();
    const bool jumps = is_jump(second.code);
    const bool backward = jumps && is_backward(second.code);
    const int alu = pair_alu_index(second.code);
    const int jump = jumps ? pair_jump_index(plus(second.code, backward ? -1 : 0)) : -1;
    if (const auto access = access_kind(first.code)) {
        return access->part == AccessPart::StoreImm ? nullptr
                                                    : after_access(*access, second, alu, jump, backward);
    }
    const int first_alu = pair_alu_index(first.code);
    if (first_alu < 0) {
        return nullptr;
    }
    if (alu >= 0) {
        return table.alu_alu[first_alu * pair_alu_count() + alu];
    }
    if (jump >= 0) {
        return table.alu_jump[(first_alu * pair_jump_count() + jump) * 2 + (backward ? 1 : 0)];
    }
    const auto access = access_kind(second.code);
    if (!access || access->part == AccessPart::StoreImm) {
        return nullptr;
    }
    const size_t index = static_cast<size_t>(first_alu) * kAccessRows + access->row;
    return access->part == AccessPart::Load ? table.alu_load[index] : table.alu_store[index];
}

/// Makes `first` what it and the next one are together.
void join(Draft& first, const Draft& second, const void* label) {
    first.op.label = label;
    first.op.dst2 = second.op.dst;
    first.op.src2 = second.op.src;
    first.op.b = second.op.a;
    first.target = second.target;
    // Only memory accesses fault or warn; of two, the first is named until the traced run locates the fault.
    first.access = access_kind(first.code) ? first.slot : second.slot;
}

/// Where in fused operations an operation can stand: most drafts are done with when that is known.
struct Roles {
    bool begins_idiom = false;
    bool begins_pair = false;
    bool ends_pair = false;
};

Roles roles_of(OpCode code) {
    const bool jumps = is_jump(code);
    const OpCode forward = jumps && is_backward(code) ? plus(code, -1) : code;
    const auto access = access_kind(code);
    const bool takes_part = pair_alu_index(code) >= 0 || (access && access->part != AccessPart::StoreImm);
    Draft proved;
    proved.code = code;
    Roles roles;
    roles.begins_idiom = is_one_of(code, OpCode::mov64_x, OpCode::stp8) ||
                         is_one_of(code, OpCode::ldp8, OpCode::ldp16) || code == OpCode::ldp32;
    roles.begins_pair = takes_part || is_one_of(code, OpCode::prove, OpCode::ctx_load) ||
                        is_one_of(code, OpCode::mov32_k, OpCode::mov32_x);
    roles.ends_pair = takes_part || (jumps && pair_jump_index(forward) >= 0) ||
                      proved_jump(proved) != nullptr || is_one_of(code, OpCode::ctx_load, OpCode::exit) ||
                      is_one_of(code, OpCode::swap16, OpCode::swap32);
    return roles;
}

/// By code.
const Roles* all_roles() {
    static const auto kAll = [] {
        std::array<Roles, static_cast<size_t>(OpCode::count)> all{};
        for (size_t code = 0; code < all.size(); ++code) {
            all[code] = roles_of(static_cast<OpCode>(code));
        }
        return all;
    }();
    return kAll.data();
}

/// Joins the first two in `into`, a copy of the first; false when they stay apart.
bool pair(Drafts d, Draft& into, const Roles* roles) {
    if (!is_straight(d, 2) || !roles[static_cast<size_t>(d[0].code)].begins_pair ||
        !roles[static_cast<size_t>(d[1].code)].ends_pair) {
        return false;
    }
    if (const OpCode special = special_pair(d[0], d[1]); special != OpCode::refused) {
        into.code = special;
        into.op.dst2 = special == OpCode::ctx_load_two ? d[1].op.dst : into.op.dst2;
        into.op.src2 = special == OpCode::ctx_load_two ? d[1].op.src : into.op.src2;
        return true;
    }
    const void* label = pair_label(d[0], d[1]);
    // The second may be worth more as the beginning of an idiom.
    if (label == nullptr || (d[0].code != OpCode::prove &&
                             roles[static_cast<size_t>(d[1].code)].begins_idiom && idiom(d.subspan(1)))) {
        return false;
    }
    join(into, d[1], label);
    return true;
}

} // namespace

void fuse(std::vector<Draft>& drafts) {
    // In place: what is written lies at or before what is read next.
    const Roles* roles = all_roles();
    size_t written = 0;
    for (Drafts rest = drafts; !rest.empty(); ++written) {
        const auto found =
            roles[static_cast<size_t>(rest.front().code)].begins_idiom ? idiom(rest) : std::nullopt;
        if (found) {
            drafts[written] = found->draft;
            rest = rest.subspan(found->length);
        } else {
            Draft& into = drafts[written];
            into = rest.front();
            rest = rest.subspan(pair(rest, into, roles) ? 2 : 1);
        }
    }
    drafts.resize(written);
}

} // namespace mimicsh::vm
