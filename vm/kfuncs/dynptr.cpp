// SPDX-License-Identifier: MIT
// Dynptr helpers and kfuncs (kernel/bpf/helpers.c, kernel/bpf/ringbuf.c, net/core/filter.c).
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

/// Puts a dynptr into the program's stack bytes; false: a fault is pending.
bool put(Machine& machine, uint64_t place, const Dynptr& value) {
    uint8_t* bytes = machine.span(place, kDynptrBytes, Access::Write, "dynptr");
    if (bytes == nullptr) {
        return false;
    }
    std::memset(bytes, 0, kDynptrBytes);
    if (value.kind != Dynptr::Kind::Null) {
        mimicsh::store(bytes, add_dynptr(machine, value));
    }
    machine.note_effect();
    return true;
}

constexpr Dynptr kNullDynptr{};

/// The dynptr that the stack bytes name, the null one included. Nothing: a fault is pending.
Dynptr* get(Machine& machine, uint64_t place) {
    thread_local Dynptr null; // workers run at the same time
    const uint8_t* bytes = machine.span(place, kDynptrBytes, Access::Read, "dynptr");
    if (bytes == nullptr) {
        return nullptr;
    }
    const auto word = mimicsh::load<uint64_t>(bytes);
    if (word == 0) {
        null = {};
        return &null;
    }
    const auto index = static_cast<uint32_t>(word);
    if (word >> 32 != kDynptrTag || index >= machine.dynptrs.size()) {
        machine.fault(FaultKind::BadCall, "dynptr: the argument was not initialised as one");
        return nullptr;
    }
    return &machine.dynptrs[index];
}

bool is_inside(const Dynptr& view, uint64_t offset, uint64_t size) {
    return size <= view.size && offset <= view.size - size;
}

bool is_xdp(const Machine& machine) {
    return machine.code->program->linked().spec.type == abi::ProgType::Xdp;
}

bool is_on_skb(const Machine& machine, const Dynptr& view) {
    return view.kind == Dynptr::Kind::Packet && !is_xdp(machine);
}

/// Host address of packet bytes that lie in one piece: in the linear part or in one fragment
/// (bpf_xdp_pointer); null when they do not.
uint8_t* in_one_piece(PacketState& packet, uint64_t offset, uint64_t size) {
    constexpr uint64_t kMaxOffset = 0xffff;
    const uint64_t linear = packet.linear_end() - packet.start;
    if (packet.paged != 0 || offset < linear) {
        return offset + size <= linear ? packet.buffer.data() + packet.start + offset : nullptr;
    }
    const uint64_t at = offset - linear;
    if (size == 0 && at == packet.fragments.size()) { // behind the last byte, where nothing is
        return packet.buffer.data() + packet.start;
    }
    const uint64_t room = kFragment - (packet.pulled + at) % kFragment;
    return offset <= kMaxOffset && size <= room && at + size <= packet.fragments.size()
               ? packet.fragments.data() + at
               : nullptr;
}

/// Address of part of a view for the program: a region of its own, so that it ends where the part ends. It
/// dies with the packet's next move, or with the record; 0 when the part is not in one piece.
uint64_t part_address(Machine& machine, const Dynptr& view, uint64_t offset, uint64_t size) {
    const bool in_packet = view.kind == Dynptr::Kind::Packet;
    const uint64_t address = view.address + view.offset + offset;
    if (!in_packet && size == 0) {
        return address;
    }
    // A write of memory outside the packet is noted here for a rewind; later ones go past the journal.
    uint8_t* host =
        in_packet ? in_one_piece(machine.packet, uint64_t{view.offset} + offset, size)
                  : machine.span(address, size, view.read_only ? Access::Read : Access::Write, "dynptr");
    if (host == nullptr) {
        return 0;
    }
    Region region;
    region.kind = RegionKind::Slice;
    region.host = host;
    region.size = static_cast<uint32_t>(size);
    region.readable = true;
    region.writable = !view.read_only;
    region.load_limit = region.size;
    region.store_limit = region.writable ? region.size : 0;
    region.birth = machine.code->slot_of(machine.at);
    region.first = view.kind == Dynptr::Kind::Record ? handle_of(view.address) : 0;
    const uint32_t handle = machine.regions.add(region);
    if (in_packet) {
        machine.packet_slices.push_back(handle);
    }
    machine.note_effect();
    return make_addr(handle, 0);
}

uint64_t from_packet(Machine& machine, const uint64_t* args, const char* name) {
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall,
                             std::string(name) + ": the first argument is not the context");
    }
    if (args[1] != 0) {
        return put(machine, args[2], kNullDynptr) ? errno_result(-EINVAL) : 0;
    }
    Dynptr view;
    view.kind = Dynptr::Kind::Packet;
    view.read_only = !machine.packet.writable;
    view.size = static_cast<uint32_t>(packet_length(machine.packet));
    (void)put(machine, args[2], view);
    return 0;
}

uint64_t slice(Machine& machine, const uint64_t* args, bool writes) {
    const Dynptr* view = get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[3]);
    if (view->kind == Dynptr::Kind::Null || !is_inside(*view, offset, size) || (writes && view->read_only)) {
        return 0;
    }
    if (const uint64_t address = part_address(machine, *view, offset, size); address != 0) {
        return address;
    }
    if (args[2] == 0) {
        return 0;
    }
    const uint64_t from = uint64_t{view->offset} + offset;
    uint8_t* buffer = machine.span(args[2], size, Access::Write, "buffer");
    if (buffer == nullptr || from + size > packet_length(machine.packet)) {
        return 0;
    }
    copy_packet(machine.packet, from, buffer, size, false);
    return args[2];
}

/// Copies between a view of the packet and host bytes; the errno of bpf_xdp_load_bytes and _store_bytes.
int64_t copy_view(Machine& machine, const Dynptr& view, uint32_t offset, uint8_t* bytes, uint32_t size,
                  bool to_packet) {
    constexpr uint64_t kMaxOffset = 0xffff;
    const uint64_t from = uint64_t{view.offset} + offset;
    if (is_xdp(machine) && (from > kMaxOffset || size > kMaxOffset)) {
        return -EFAULT;
    }
    if (from + size > packet_length(machine.packet)) { // the packet was made shorter since
        return is_xdp(machine) ? -EINVAL : -EFAULT;
    }
    copy_packet(machine.packet, from, bytes, size, to_packet);
    return 0;
}

/// Host address of part of a view of memory; null = fault pending.
uint8_t* memory_part(Machine& machine, const Dynptr& view, uint64_t offset, uint64_t size, Access access) {
    return machine.span(view.address + view.offset + offset, size, access, "dynptr");
}

/// Host address of a part that lies in one piece, as bpf_dynptr_slice gives it without a buffer; null when
/// there is none, or when a fault is pending.
uint8_t* piece_of(Machine& machine, const Dynptr& view, uint32_t offset, uint32_t size, Access access) {
    static uint8_t nothing; // where a part of no bytes is
    if (view.kind == Dynptr::Kind::Null || !is_inside(view, offset, size) ||
        (access == Access::Write && view.read_only)) {
        return nullptr;
    }
    if (view.kind == Dynptr::Kind::Packet) {
        return in_one_piece(machine.packet, uint64_t{view.offset} + offset, size);
    }
    return size == 0 ? &nothing : memory_part(machine, view, offset, size, access);
}

/// bpf_dynptr_read to host bytes; a fault may be pending.
int64_t read_view(Machine& machine, const Dynptr& view, uint32_t offset, uint8_t* to, uint32_t size) {
    if (view.kind == Dynptr::Kind::Null) {
        return -EINVAL;
    }
    if (!is_inside(view, offset, size)) {
        return -E2BIG;
    }
    if (view.kind == Dynptr::Kind::Packet) {
        const int64_t result = copy_view(machine, view, offset, to, size, false);
        if (result != 0 && is_on_skb(machine, view)) {
            std::memset(to, 0, size);
        }
        return result;
    }
    if (const uint8_t* from = memory_part(machine, view, offset, size, Access::Read)) {
        std::memmove(to, from, size);
    }
    return 0;
}

/// bpf_dynptr_write from host bytes; a fault may be pending. Packet pointers stay good.
int64_t write_view(Machine& machine, const Dynptr& view, uint32_t offset, const uint8_t* from, uint32_t size,
                   uint64_t flags) {
    if (view.kind == Dynptr::Kind::Null || view.read_only) {
        return -EINVAL;
    }
    if (!is_inside(view, offset, size)) {
        return -E2BIG;
    }
    if (is_on_skb(machine, view)) {
        const uint32_t paged = machine.packet.paged;
        const int64_t result = store_in_skb(machine, view.offset + offset, from, size, flags);
        if (machine.packet.paged != paged) { // what was compared with data_end before stays so
            const uint64_t proven = machine.window.proven;
            machine.sync_packet_context();
            machine.window.prove(std::max(proven, machine.window.proven));
        }
        return result;
    }
    if (flags != 0) {
        return -EINVAL;
    }
    if (view.kind == Dynptr::Kind::Packet) {
        return copy_view(machine, view, offset, const_cast<uint8_t*>(from), size, true);
    }
    if (uint8_t* to = memory_part(machine, view, offset, size, Access::Write)) {
        std::memmove(to, from, size);
    }
    return 0;
}

} // namespace

uint64_t add_dynptr(Machine& machine, const Dynptr& value) {
    machine.note_effect();
    machine.dynptrs.push_back(value);
    return uint64_t{kDynptrTag} << 32 | (machine.dynptrs.size() - 1);
}

// -- Helpers --

uint64_t helper_dynptr_from_mem(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    const int64_t bad = size > kDynptrMaxSize ? -E2BIG : args[2] != 0 ? -EINVAL : 0;
    if (bad != 0) {
        return put(machine, args[3], kNullDynptr) ? errno_result(bad) : 0;
    }
    if (machine.span(args[0], size, Access::Read, "memory of the dynptr") == nullptr) {
        return 0;
    }
    // Parts of it are shown by their place in the emulator, which values of maps keep.
    const uint32_t handle = handle_of(args[0]);
    if (handle == 0 || machine.regions.at(handle).kind != RegionKind::MapValues) {
        return machine.fault(FaultKind::BadCall, "bpf_dynptr_from_mem: the memory is no value of a map", {},
                             args[0]);
    }
    (void)put(machine, args[3], Dynptr{Dynptr::Kind::Memory, false, args[0], 0, size});
    return 0;
}

uint64_t helper_ringbuf_reserve_dynptr(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    const int64_t bad = args[2] != 0 ? -EINVAL : size > kDynptrMaxSize ? -E2BIG : 0;
    if (bad != 0) {
        return put(machine, args[3], kNullDynptr) ? errno_result(bad) : 0;
    }
    const uint64_t reserve[3] = {args[0], size, 0};
    const uint64_t record = helper_ringbuf_reserve(machine, reserve);
    if (machine.faulted()) {
        return 0;
    }
    if (record == 0) {
        return put(machine, args[3], kNullDynptr) ? errno_result(-EINVAL) : 0;
    }
    (void)put(machine, args[3], Dynptr{Dynptr::Kind::Record, false, record, 0, size});
    return 0;
}

namespace {

uint64_t finish_record(Machine& machine, const uint64_t* args, HelperFn finish) {
    Dynptr* view = get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    if (view->kind == Dynptr::Kind::Record) {
        const uint64_t record[2] = {view->address, args[1]};
        (void)finish(machine, record);
        const uint32_t handle = handle_of(view->address);
        if (!spend_on(machine, machine.regions.size() - handle)) {
            return 0;
        }
        for (uint32_t slice = handle + 1; slice < machine.regions.size(); ++slice) {
            const Region& region = machine.regions.at(slice);
            if (region.kind == RegionKind::Slice && region.first == handle) {
                machine.regions.kill(slice, machine.regions.at(handle).death);
            }
        }
    }
    (void)put(machine, args[0], kNullDynptr);
    return 0;
}

} // namespace

uint64_t helper_ringbuf_submit_dynptr(Machine& machine, const uint64_t* args) {
    return finish_record(machine, args, helper_ringbuf_submit);
}

uint64_t helper_ringbuf_discard_dynptr(Machine& machine, const uint64_t* args) {
    return finish_record(machine, args, helper_ringbuf_discard);
}

uint64_t helper_dynptr_read(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    uint8_t* to = machine.span(args[0], size, Access::Write, "buffer");
    const Dynptr* view = to == nullptr ? nullptr : get(machine, args[2]);
    if (view == nullptr) {
        return 0;
    }
    return errno_result(args[4] != 0 ? -EINVAL
                                     : read_view(machine, *view, static_cast<uint32_t>(args[3]), to, size));
}

uint64_t helper_dynptr_write(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[3]);
    const uint8_t* from = machine.span(args[2], size, Access::Read, "buffer");
    const Dynptr* view = from == nullptr ? nullptr : get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    const bool on_skb = is_on_skb(machine, *view);
    const int64_t result = write_view(machine, *view, static_cast<uint32_t>(args[1]), from, size, args[4]);
    if (on_skb) {
        machine.move_packet("bpf_dynptr_write");
    }
    return errno_result(result);
}

uint64_t helper_dynptr_data(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    if (view == nullptr || view->kind == Dynptr::Kind::Null || view->kind == Dynptr::Kind::Packet ||
        view->read_only ||
        !is_inside(*view, static_cast<uint32_t>(args[1]), static_cast<uint32_t>(args[2]))) {
        return 0;
    }
    return part_address(machine, *view, static_cast<uint32_t>(args[1]), static_cast<uint32_t>(args[2]));
}

// -- Kfuncs --

uint64_t kfunc_dynptr_from_skb(Machine& machine, const uint64_t* args) {
    return from_packet(machine, args, "bpf_dynptr_from_skb");
}

/// The metadata that an XDP program left in front of the packet, of which a test run has none.
uint64_t kfunc_dynptr_from_skb_meta(Machine& machine, const uint64_t* args) {
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_dynptr_from_skb_meta: the first argument is not the context");
    }
    if (args[1] != 0) {
        return put(machine, args[2], kNullDynptr) ? errno_result(-EINVAL) : 0;
    }
    Dynptr view;
    view.kind = Dynptr::Kind::Packet;
    (void)put(machine, args[2], view);
    return 0;
}

uint64_t kfunc_dynptr_from_xdp(Machine& machine, const uint64_t* args) {
    return from_packet(machine, args, "bpf_dynptr_from_xdp");
}

uint64_t kfunc_dynptr_slice(Machine& machine, const uint64_t* args) {
    return slice(machine, args, false);
}

uint64_t kfunc_dynptr_slice_rdwr(Machine& machine, const uint64_t* args) {
    return slice(machine, args, true);
}

uint64_t kfunc_dynptr_adjust(Machine& machine, const uint64_t* args) {
    Dynptr* view = get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    const auto start = static_cast<uint32_t>(args[1]);
    const auto end = static_cast<uint32_t>(args[2]);
    if (view->kind == Dynptr::Kind::Null || start > end) {
        return errno_result(-EINVAL);
    }
    if (start > view->size || end > view->size) {
        return errno_result(-ERANGE);
    }
    view->offset += start;
    view->size = end - start;
    return 0;
}

uint64_t kfunc_dynptr_is_null(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    return view != nullptr && view->kind == Dynptr::Kind::Null ? 1 : 0;
}

uint64_t kfunc_dynptr_is_rdonly(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    return view != nullptr && view->kind != Dynptr::Kind::Null && view->read_only ? 1 : 0;
}

uint64_t kfunc_dynptr_size(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    return view->kind == Dynptr::Kind::Null ? static_cast<uint32_t>(-EINVAL) : view->size;
}

uint64_t kfunc_dynptr_clone(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    if (view == nullptr) {
        return 0;
    }
    const Dynptr copy = *view;
    if (!put(machine, args[1], copy)) {
        return 0;
    }
    return copy.kind == Dynptr::Kind::Null ? errno_result(-EINVAL) : 0;
}

namespace {

constexpr uint32_t kChunk = 256; ///< what the kernel moves at once where a side is not in one piece

/// One step after the other over `size` bytes until one gives an error or faults; its result.
template <typename Move>
uint64_t by_chunks(Machine& machine, uint32_t size, Move move) {
    for (uint32_t done = 0; done < size && !machine.faulted(); done += kChunk) {
        if (const int64_t error = move(done, std::min(kChunk, size - done)); error != 0) {
            return errno_result(error);
        }
    }
    return 0;
}

} // namespace

uint64_t kfunc_dynptr_copy(Machine& machine, const uint64_t* args) {
    const Dynptr* to = get(machine, args[0]);
    const Dynptr* from = to == nullptr ? nullptr : get(machine, args[2]);
    const auto to_offset = static_cast<uint32_t>(args[1]);
    const auto from_offset = static_cast<uint32_t>(args[3]);
    const auto size = static_cast<uint32_t>(args[4]);
    if (from == nullptr || !spend_on(machine, size)) {
        return 0;
    }
    const uint8_t* source = piece_of(machine, *from, from_offset, size, Access::Read);
    uint8_t* target = machine.faulted() ? nullptr : piece_of(machine, *to, to_offset, size, Access::Write);
    if (machine.faulted()) {
        return 0;
    }
    machine.note_effect();
    if (source != nullptr && target != nullptr) {
        std::memmove(target, source, size);
        return 0;
    }
    if (source != nullptr) {
        return errno_result(write_view(machine, *to, to_offset, source, size, 0));
    }
    if (target != nullptr) {
        return errno_result(read_view(machine, *from, from_offset, target, size));
    }
    if (!is_inside(*to, to_offset, size) || !is_inside(*from, from_offset, size)) {
        return errno_result(-E2BIG);
    }
    return by_chunks(machine, size, [&](uint32_t done, uint32_t bytes) {
        std::array<uint8_t, kChunk> chunk;
        const int64_t error = read_view(machine, *from, from_offset + done, chunk.data(), bytes);
        return error != 0 || machine.faulted()
                   ? error
                   : write_view(machine, *to, to_offset + done, chunk.data(), bytes, 0);
    });
}

uint64_t kfunc_dynptr_memset(Machine& machine, const uint64_t* args) {
    const Dynptr* view = get(machine, args[0]);
    const auto offset = static_cast<uint32_t>(args[1]);
    const auto size = static_cast<uint32_t>(args[2]);
    const auto value = static_cast<uint8_t>(args[3]);
    if (view == nullptr || !spend_on(machine, size)) {
        return 0;
    }
    uint8_t* target = piece_of(machine, *view, offset, size, Access::Write);
    if (machine.faulted()) {
        return 0;
    }
    machine.note_effect();
    if (target != nullptr) {
        std::memset(target, value, size);
        return 0;
    }
    if (view->read_only) {
        return errno_result(-EINVAL);
    }
    if (!is_inside(*view, offset, size)) {
        return errno_result(-E2BIG);
    }
    std::array<uint8_t, kChunk> chunk;
    chunk.fill(value);
    return by_chunks(machine, size, [&](uint32_t done, uint32_t bytes) {
        return write_view(machine, *view, offset + done, chunk.data(), bytes, 0);
    });
}

} // namespace mimicsh::vm
