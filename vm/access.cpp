// SPDX-License-Identifier: MIT
// The slow, exact side of memory: what the interpreter's one compare did not settle is decided here.
#include <algorithm>
#include <atomic>

#include "vm/context/context.h"
#include "vm/guards.h"
#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/kfuncs/graph.h"
#include "vm/machine.h"
#include "vm/outside.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

/// Map values up to this size are remembered whole on the first store of a run, so that later stores are
/// direct.
constexpr uint32_t kWholeElement = 512;
/// So many bytes of a helper's argument count as one step of the budget.
constexpr uint64_t kLargeSpan = 4096;

std::string bytes_text(uint64_t count) {
    return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

std::string verb(Access access, uint64_t size, const char* what) {
    const std::string base = (access == Access::Read ? "read of " : "write of ") + bytes_text(size);
    return what == nullptr ? base : std::string(what) + ": " + base;
}

std::string place(const std::string& name, int64_t offset) {
    return name + (offset < 0 ? "-" + std::to_string(-offset) : "+" + std::to_string(offset));
}

/// Whether an access has the alignment that the stack wants; when not, a fault is pending.
bool aligned_for_stack(Machine& machine, uint64_t addr, uint32_t size, Access access) {
    const uint32_t handle = handle_of(addr);
    if ((addr & (size - 1)) == 0 || machine.options.mode == Mode::Permissive ||
        handle >= machine.regions.size() || machine.regions.at(handle).kind != RegionKind::Stack) {
        return true;
    }
    machine.fault(FaultKind::Strict,
                  "misaligned stack access: " + verb(access, size, nullptr) + " at " +
                      place("stack", offset_of(addr) - abi::kStackSize),
                  "an access to the stack has to be at a multiple of its size", addr);
    return false;
}

/// Whether a __kptr_untrusted of a map value is at an address. Only null may be stored to it as a number.
bool is_untrusted_pointer(Machine& machine, uint64_t addr) {
    const uint32_t handle = handle_of(addr);
    return handle < machine.regions.size() && machine.regions.at(handle).guarded &&
           machine.regions.at(handle).kind == RegionKind::MapValues &&
           has_field_at(machine, addr, HiddenField::Kind::UntrustedKptr);
}

/// Whether a helper reads there as at any number, so that the kernel looks at nothing before.
bool is_probed(const Machine& machine, uint64_t addr, Access access, const char* what) {
    return what != nullptr && access == Access::Read && is_probing(machine, addr);
}

} // namespace

// -- Deciding --

Machine::Resolved Machine::resolve(uint64_t addr, uint64_t size, Access access, const char* what) {
    const uint32_t handle = handle_of(addr);
    if (handle == 0 || handle >= regions.size()) {
        no_region(addr, size, access, what);
        return {};
    }
    Region& region = regions.at(handle);
    switch (region.kind) {
    case RegionKind::MapValues:
        return resolve_element(region, addr, size, access, what);
    case RegionKind::Packet:
        return resolve_packet(region, addr, size, access, what);
    case RegionKind::Stack:
    case RegionKind::MapKey:
    case RegionKind::FlowKeys:
    case RegionKind::Sample:
    case RegionKind::Object:
    case RegionKind::Memory:
    case RegionKind::Record:
    case RegionKind::Slice:
    case RegionKind::KernelVariable: {
        const uint64_t q = static_cast<uint32_t>(static_cast<uint32_t>(addr) - region.base);
        if (q > region.size || size > region.size - q) {
            out_of_bounds(region, addr, size, access, what);
            return {};
        }
        if (region.kind == RegionKind::Stack && region.owner > depth) {
            fault(FaultKind::BadPointer,
                  verb(access, size, what) + " in the stack frame of a function that returned", {}, addr);
            return {};
        }
        if (access == Access::Write && !region.writable) {
            fault(FaultKind::Permission,
                  verb(access, size, what) + " of a " + name(region.kind) + ", which may only be read", {},
                  addr);
            return {};
        }
        return {region.host + q, &region};
    }
    case RegionKind::SocketCommon:
    case RegionKind::Socket:
    case RegionKind::TcpSocket:
        return resolve_socket(region, addr, size, access, what);
    case RegionKind::Dead:
        fault(FaultKind::BadPointer,
              verb(access, size, what) + " through a stale " + name(region.was) +
                  " pointer: " + region.death + " made it invalid",
              region.was == RegionKind::Packet ? "load ctx->data and ctx->data_end again after the call" : "",
              addr);
        return {};
    case RegionKind::Context: {
        const ContextKind* kind = code->program->context();
        const std::string structure(kind == nullptr ? "the context" : kind->struct_name);
        fault(FaultKind::Permission,
              verb(access, size, what) + " at " + place("context", offset_of(addr)) +
                  (kind == nullptr           ? ": this program type has no context here"
                   : access == Access::Write ? ": " + structure + " cannot be written there"
                                             : ": " + std::string(kind->loads)),
              {}, addr);
        return {};
    }
    case RegionKind::KernelStruct:
        fault(FaultKind::Permission,
              verb(access, size, what) + " through a pointer to the kernel's struct " +
                  struct_text(*this, region),
              {}, addr);
        return {};
    default:
        fault(FaultKind::Permission,
              verb(access, size, what) + " through a pointer to a " + name(region.kind), {}, addr);
        return {};
    }
}

Machine::Resolved Machine::resolve_element(Region& region, uint64_t addr, uint64_t size, Access access,
                                           const char* what) {
    const int64_t offset = offset_of(addr);
    const int64_t element = offset >> region.shift;
    const uint64_t inner = static_cast<uint64_t>(offset) & ((uint64_t{1} << region.shift) - 1);
    if (element < 0 || element >= region.elements || inner > region.size || size > region.size - inner) {
        out_of_bounds(region, addr, size, access, what);
        return {};
    }
    if (access == Access::Write ? !region.writable : !region.readable) {
        fault(FaultKind::Permission,
              verb(access, size, what) + " of map " + maps_[region.owner]->info().name +
                  ", which programs may only " + (access == Access::Write ? "read" : "write"),
              maps_[region.owner]->takes_stores()
                  ? ""
                  : "bpf(2) does not say which prefix a look-up found: update the entry by its key",
              addr);
        return {};
    }
    VmMap& map = *maps_[region.owner];
    if (map.deleted_in_run() && !map.is_live(region.first + static_cast<uint32_t>(element))) {
        warn("map value of " + map.info().name + " used after its key was deleted");
        if (faulted()) {
            return {};
        }
    }
    return {region.storage + static_cast<size_t>(element) * region.host_stride + inner, &region};
}

Machine::Resolved Machine::resolve_socket(Region& region, uint64_t addr, uint64_t size, Access access,
                                          const char* what) {
    const int64_t offset = offset_of(addr);
    const auto refuse = [&](const std::string& why) -> Resolved {
        fault(FaultKind::Permission,
              verb(access, size, what) + " at " + place(name(region.kind), offset) + ": " + why, {}, addr);
        return {};
    };
    if (access == Access::Write) {
        return refuse("sockets can only be read");
    }
    if (offset < 0 || offset > region.size || size > region.size - static_cast<uint64_t>(offset)) {
        out_of_bounds(region, addr, size, access, what);
        return {};
    }
    const auto at_offset = static_cast<uint32_t>(offset);
    if (region.kind == RegionKind::TcpSocket) {
        const TcpField* field = find_tcp_field(at_offset, static_cast<uint32_t>(size));
        if (field == nullptr) {
            return refuse("only whole fields of struct bpf_tcp_sock can be loaded");
        }
        const World::Socket& socket = *sockets[region.owner].scripted;
        if (!socket.values.contains(field->name)) {
            const std::optional<uint64_t> none;
            (void)given(none, socket.path + ".tcp." + std::string(field->name));
            return {};
        }
    } else if (!is_sock_field(at_offset, static_cast<uint32_t>(size), region.kind == RegionKind::Socket)) {
        return refuse("struct bpf_sock has no field there that can be loaded like that");
    }
    return {region.host + offset, &region};
}

Machine::Resolved Machine::resolve_packet(Region& region, uint64_t addr, uint64_t size, Access access,
                                          const char* what) {
    const uint64_t q = static_cast<uint32_t>(static_cast<uint32_t>(addr) - region.base);
    if (q > region.size || size > region.size - q) {
        out_of_bounds(region, addr, size, access, what);
        return {};
    }
    if (access == Access::Write && !region.writable) {
        fault(FaultKind::Permission,
              verb(access, size, what) + " to the packet, which programs of this type may only read", {},
              addr);
        return {};
    }
    if (q + size > window.proven && !is_probed(*this, addr, access, what)) {
        const int64_t from_start = int64_t{region.base} + static_cast<int64_t>(q) - kOrigin - packet.start;
        warn(verb(access, size, what) + " at " + place("packet", from_start) +
                 " without a comparison with data_end that covers it: unchecked access",
             true);
        if (faulted()) {
            return {};
        }
    }
    return {region.host + q, &region};
}

// -- Loads and stores --

bool Machine::load_context(uint64_t addr, uint32_t size, uint64_t& value) {
    const ContextKind* kind = code->program->context();
    const ContextField* field = kind == nullptr ? nullptr : kind->find(offset_of(addr), size, false);
    if (field == nullptr) {
        (void)resolve(addr, size, Access::Read, nullptr);
        return false;
    }
    if (field->role > FieldRole::PacketMeta) {
        value = 0;
        std::memcpy(&value, context_image.data() + field->read_from(offset_of(addr), size), size);
        return true;
    }
    value = packet_pointers[static_cast<size_t>(field->role)];
    if (field->role == FieldRole::PacketEnd) {
        // Not seen by the analysis, so comparisons with it are not recognised either.
        window.prove(window.size);
    }
    return true;
}

bool Machine::store_context(uint64_t addr, uint32_t size, uint64_t value) {
    const ContextKind* kind = code->program->context();
    const ContextField* field = kind == nullptr ? nullptr : kind->find(offset_of(addr), size, true);
    if (field == nullptr) {
        (void)resolve(addr, size, Access::Write, nullptr);
        return false;
    }
    if (field->role == FieldRole::Number && field->width == 2) {
        if (field->ignored_from != 0) {
            // The kernel compares the whole register, or the immediate with its sign.
            const Insn& insn = code->program->linked().insns[code->slot_of(at)];
            if ((insn.code & 7) == op::kSt ? static_cast<int64_t>(value) >= field->ignored_from
                                           : value >= field->ignored_from) {
                return true;
            }
        }
        value = static_cast<uint16_t>(value);
    }
    std::memcpy(context_image.data() + offset_of(addr), &value, size);
    return true;
}

bool Machine::load(uint64_t addr, uint32_t size, uint64_t& value) {
    if (handle_of(addr) == kContextHandle) {
        return load_context(addr, size, value);
    }
    if (const uint32_t handle = handle_of(addr); handle < regions.size() && struct_of(regions.at(handle))) {
        uint8_t bytes[8] = {};
        const bool ok = read_kernel_struct(*this, regions.at(handle), offset_of(addr), ByteSpan(bytes, size));
        value = mimicsh::load<uint64_t>(bytes);
        return ok;
    }
    if (!aligned_for_stack(*this, addr, size, Access::Read)) {
        return false;
    }
    const uint8_t* host = span(addr, size, Access::Read, nullptr);
    if (host == nullptr) {
        return false;
    }
    value = 0;
    std::memcpy(&value, host, size);
    const Region& region = regions.at(handle_of(addr));
    if (region.kind == RegionKind::Socket || region.kind == RegionKind::SocketCommon) {
        value = widen_sock_field(static_cast<uint32_t>(offset_of(addr)), value);
    } else if (region.guarded && value != 0 && pointer_field_at(*this, addr)) {
        value = object_address(*this, static_cast<uint32_t>(value));
    }
    return true;
}

bool Machine::store(uint64_t addr, uint32_t size, uint64_t value) {
    const uint32_t handle = handle_of(addr);
    if (handle == kContextHandle) {
        return store_context(addr, size, value);
    }
    if (handle < regions.size()) {
        Region& region = regions.at(handle);
        const uint32_t q = static_cast<uint32_t>(addr) - region.base;
        if (region.kind == RegionKind::MapValues && uint64_t{q} + size <= region.load_limit &&
            region.writable && !region.tracked && region.load_limit <= kWholeElement) {
            // The first store of a run into the element that was looked up last.
            journal.bytes(region.host, region.load_limit);
            region.store_limit = region.load_limit;
            note_opened(handle);
            std::memcpy(region.host + q, &value, size);
            return true;
        }
        if (struct_of(region) == KernelStruct::Connection) {
            return store_to_connection(*this, region, offset_of(addr), size, value);
        }
    }
    if (value == 0 && size == sizeof(value) && is_untrusted_pointer(*this, addr)) {
        return true; // null is all that such a field ever holds here
    }
    if (!aligned_for_stack(*this, addr, size, Access::Write)) {
        return false;
    }
    uint8_t* host = span(addr, size, Access::Write, nullptr);
    if (host == nullptr) {
        return false;
    }
    std::memcpy(host, &value, size);
    return true;
}

bool Machine::is_open(const Resolved& found, uint64_t addr, uint64_t size, Access access, const char* what) {
    if (is_probed(*this, addr, access, what)) {
        return true;
    }
    const Region& region = *found.region;
    const bool is_object = region.kind == RegionKind::Object;
    const auto& fields =
        is_object ? heap.type(heap.at(region.owner).type).fields : maps_[region.owner]->hidden();
    const auto from_first = static_cast<uint64_t>(found.host - (is_object ? region.host : region.storage));
    const uint64_t begin = is_object ? from_first : from_first % region.host_stride;
    for (const HiddenField& field : fields) {
        if (begin >= uint64_t{field.offset} + field.size || field.offset >= begin + size) {
            continue;
        }
        const bool loadable = is_loadable(field) && !is_object;
        if (access == Access::Read && what == nullptr && loadable && field.offset == begin &&
            size == field.size) {
            continue;
        }
        fault(FaultKind::Permission,
              verb(access, size, what) + " at " + place(name(region.kind), static_cast<int64_t>(begin)) +
                  ", where its " + std::string(mimicsh::name(field.kind)) +
                  " is, which belongs to the kernel",
              access == Access::Read && what == nullptr && loadable
                  ? "a pointer is loaded whole, by 8 bytes at its offset " + std::to_string(field.offset)
                  : "programs reach it by the helpers and kernel functions for it only",
              addr);
        return false;
    }
    return true;
}

uint8_t* Machine::kernel_field(uint64_t addr, uint32_t size, const char* what) {
    return resolve(addr, size, Access::Read, what).host;
}

uint8_t* Machine::span(uint64_t addr, uint64_t size, Access access, const char* what) {
    if (const uint64_t place = addr - window.address; size <= window.proven &&
                                                      place <= window.proven - size &&
                                                      (access == Access::Read || packet.writable)) {
        if (what != nullptr) {
            want_packet_access(*this, addr, what);
            if (faulted()) {
                return nullptr;
            }
        }
        return window.host + place;
    }
    if (access == Access::Read) {
        if (uint8_t* bytes = stack_bytes(addr, size)) {
            return bytes;
        }
    }
    static uint8_t nothing[8];
    if (size == 0 && what != nullptr && handle_of(addr) == 0) {
        return nothing; // helpers take a null pointer with size 0
    }
    const Resolved found = resolve(addr, size, access, what);
    if (found.host == nullptr) {
        return nullptr;
    }
    if (size >= kLargeSpan && !spend(size / kLargeSpan)) {
        return nullptr;
    }
    Region& region = *found.region;
    if (region.kind == RegionKind::Packet && what != nullptr) {
        want_packet_access(*this, addr, what);
    }
    if (region.guarded && !is_open(found, addr, size, access, what)) {
        return nullptr;
    }
    if (region.kind == RegionKind::Stack) {
        const auto offset = static_cast<uint32_t>(found.host - region.host);
        if (access == Access::Write) {
            mark_initialised(region.owner, offset, static_cast<uint32_t>(size));
        } else {
            const uint32_t current = std::exchange(depth, region.owner);
            stack_read_uninitialised(offset, static_cast<uint32_t>(size));
            depth = current;
        }
    } else if (access == Access::Write && (region.guarded || region.tracked)) {
        if (region.tracked) {
            maps_[region.owner]->written(found.host, size);
        }
        journal.bytes(found.host, static_cast<uint32_t>(size));
    } else if (region.kind == RegionKind::Object) {
        if (access == Access::Write && region.store_limit == 0) {
            journal.bytes(region.host, region.size); // once for the run, which the region ends with
            region.store_limit = region.size;
        }
    } else if (region.kind == RegionKind::MapValues) {
        if (access == Access::Write) {
            open_element(region, addr);
            if (region.store_limit == 0) {
                journal.bytes(found.host, static_cast<uint32_t>(size));
            }
        }
    }
    return faulted() ? nullptr : found.host;
}

void Machine::open_element(Region& region, uint64_t addr) {
    if (region.size > kWholeElement || maps_[region.owner]->deleted_in_run()) {
        region.store_limit = 0;
        return;
    }
    const auto element = static_cast<uint32_t>(offset_of(addr) >> region.shift);
    uint8_t* first = region.storage + size_t{element} * region.host_stride;
    if (region.store_limit != 0 && region.host == first) {
        return;
    }
    journal.bytes(first, region.size);
    region.host = first;
    region.base = kOrigin + (element << region.shift);
    region.load_limit = region.readable ? region.size : 0;
    region.store_limit = region.size;
    note_opened(handle_of(addr));
}

/// A long run opens the same few windows again and again.
void Machine::note_opened(uint32_t handle) {
    constexpr size_t kMany = 4096;
    if (opened_.size() >= kMany && opened_.size() == opened_.capacity()) {
        std::ranges::sort(opened_);
        opened_.erase(std::unique(opened_.begin(), opened_.end()), opened_.end());
        opened_.reserve(2 * opened_.size() + kMany);
    }
    opened_.push_back(handle);
}

bool Machine::can_access(uint64_t addr, uint64_t size, Access access) {
    if (faulted() || handle_of(addr) == 0) {
        return false;
    }
    const bool allowed = resolve(addr, size, access, "memory").host != nullptr && !faulted();
    pending.reset();
    return allowed;
}

bool Machine::load_packet(int32_t offset, uint32_t size, uint64_t& value) const {
    constexpr int32_t kFromNetwork = -0x100000, kFromMac = -0x200000; // SKF_NET_OFF, SKF_LL_OFF
    const bool is_buffer = code->program->type() != abi::ProgType::Memory;
    int64_t place = int64_t{packet.start} + offset;
    int64_t lowest = packet.start;
    if (offset < 0 && is_buffer) {
        lowest = int64_t{packet.start} - skb.headroom;
        place = offset >= kFromNetwork ? int64_t{skb.network} + offset - kFromNetwork
                : offset >= kFromMac   ? int64_t{skb.mac} + offset - kFromMac
                                       : -1;
    }
    if (place < std::max<int64_t>(lowest, 0) || place + size > packet.end) {
        return false;
    }
    const uint8_t* at_host = packet.buffer.data() + place;
    value = size == 1   ? load_be<uint8_t>(at_host)
            : size == 2 ? load_be<uint16_t>(at_host)
                        : load_be<uint32_t>(at_host);
    return true;
}

// -- Stack --

void Machine::mark_initialised(uint32_t frame, uint32_t offset, uint32_t size) {
    for (uint32_t byte = offset; byte < offset + size; ++byte) {
        stack_init[frame][byte / 64] |= uint64_t{1} << (byte % 64);
    }
}

void Machine::stack_read_uninitialised(uint32_t offset, uint32_t size) {
    uint32_t missing = 0;
    for (uint32_t byte = offset; byte < offset + size; ++byte) {
        const uint64_t bit = uint64_t{1} << (byte % 64);
        uint64_t& word = stack_init[depth][byte / 64];
        if ((word & bit) == 0) {
            // Reads as zero from now on; the kernel would give what an earlier program left there.
            stack[depth][byte] = 0;
            word |= bit;
            ++missing;
        }
    }
    if (missing != 0) {
        warn("read of " + bytes_text(size) + " at " + place("stack", int64_t{offset} - abi::kStackSize) +
             ", " + std::to_string(missing) +
             " of them never written: they read as 0 here, as leftovers in the kernel");
    }
}

// -- Atomics --

namespace {

/// The same with the processor's own atomic operations, as CPUs that run at the same time need it.
template <typename T>
uint64_t run_shared_atomic(uint8_t* host, int32_t operation, uint64_t operand, uint64_t compared) {
    const std::atomic_ref<T> place(*reinterpret_cast<T*>(host));
    const T value = static_cast<T>(operand);
    switch (operation & ~op::kFetch) {
    case op::kAdd:
        return place.fetch_add(value);
    case op::kOr:
        return place.fetch_or(value);
    case op::kAnd:
        return place.fetch_and(value);
    case op::kXor:
        return place.fetch_xor(value);
    case op::kXchg & ~op::kFetch:
        return place.exchange(value);
    default: {
        T expected = static_cast<T>(compared);
        (void)place.compare_exchange_strong(expected, value);
        return expected;
    }
    }
}

} // namespace

uint64_t Machine::run_atomic(uint8_t* host, const Op& op, uint32_t size, bool shared) {
    if (shared) {
        return size == 4 ? run_shared_atomic<uint32_t>(host, op.b, regs[op.src], regs[0])
                         : run_shared_atomic<uint64_t>(host, op.b, regs[op.src], regs[0]);
    }
    const auto operand = size == 4 ? uint64_t{static_cast<uint32_t>(regs[op.src])} : regs[op.src];
    uint64_t old = 0;
    std::memcpy(&old, host, size);
    uint64_t now = old;
    switch (op.b & ~op::kFetch) {
    case op::kAdd:
        now = old + operand;
        break;
    case op::kOr:
        now = old | operand;
        break;
    case op::kAnd:
        now = old & operand;
        break;
    case op::kXor:
        now = old ^ operand;
        break;
    case op::kXchg & ~op::kFetch:
        now = operand;
        break;
    default: // cmpxchg compares with r0
        now = old == (size == 4 ? static_cast<uint32_t>(regs[0]) : regs[0]) ? operand : old;
        break;
    }
    std::memcpy(host, &now, size);
    return old;
}

bool Machine::atomic(const Op& op) {
    const auto work = static_cast<Outside>(op.src2);
    if (work > Outside::ArenaAtomic) {
        return work_outside(*this, op);
    }
    const auto take_old_value = [&](uint64_t old) {
        if (op.b == op::kCmpxchg) {
            regs[0] = old;
        } else if ((op.b & op::kFetch) != 0) {
            regs[op.src] = old;
        }
    };
    if (work == Outside::ArenaAtomic) {
        const ArenaPlace arena = arena_place(*this, op);
        if (arena.host != nullptr) {
            const bool shared = concurrent && reinterpret_cast<uintptr_t>(arena.host) % op.dst2 == 0;
            journal.bytes(arena.host, op.dst2);
            const uint64_t upper = regs[0] & ~uint64_t{UINT32_MAX};
            const uint64_t old = run_atomic(arena.host, op, op.dst2, shared);
            // The kernel forgets that the instruction leaves the upper half of r0 when the values are equal:
            // is_cmpxchg_insn in kernel/bpf/verifier.c does not know it any more after its rewrite.
            const bool keeps = op.b == op::kCmpxchg && op.dst2 == 4 && old == static_cast<uint32_t>(regs[0]);
            take_old_value(keeps ? upper | old : old);
        }
        if (!arena.elsewhere) {
            return !faulted();
        }
    }
    const uint64_t addr = regs[op.dst] + static_cast<uint64_t>(int64_t{op.a});
    const uint32_t size = op.dst2;
    const uint32_t handle = handle_of(addr);
    if (handle < regions.size() && regions.at(handle).kind == RegionKind::Packet) {
        fault(FaultKind::Strict, "atomic operation on the packet", {}, addr);
        return false;
    }
    if (span(addr, size, Access::Read, nullptr) == nullptr) {
        return false;
    }
    VmMap* backed = nullptr;
    if (regions.at(handle).kind == RegionKind::MapValues) {
        const Region& region = regions.at(handle);
        backed = maps_[region.owner]->is_backed() ? maps_[region.owner].get() : nullptr;
        if (backed != nullptr) {
            (void)backed->refresh(region.first + static_cast<uint32_t>(offset_of(addr) >> region.shift));
        }
    }
    uint8_t* host = span(addr, size, Access::Write, nullptr);
    if (host == nullptr) {
        return false;
    }
    if ((addr & (size - 1)) != 0) {
        fault(FaultKind::Strict,
              "atomic operation of " + bytes_text(size) + " at an address that is no multiple of it", {},
              addr);
        return false;
    }
    const uint64_t old = run_atomic(host, op, size, concurrent || backed != nullptr);
    if (backed != nullptr) {
        backed->write_back();
        if (!check_backed(*backed)) {
            return false;
        }
    }
    take_old_value(old);
    return true;
}

// -- Maps as arguments --

VmMap* Machine::find_map(uint64_t addr) {
    const uint32_t handle = handle_of(addr);
    const bool is_map = handle != 0 && handle < regions.size() &&
                        regions.at(handle).kind == RegionKind::MapObject && offset_of(addr) == 0;
    return is_map ? maps_[regions.at(handle).owner].get() : nullptr;
}

VmMap* Machine::map_at(uint64_t addr, const char* what) {
    VmMap* map = find_map(addr);
    if (map == nullptr) {
        fault(FaultKind::BadCall, std::string(what) + ": the first argument is no map");
    }
    return map;
}

// -- Texts --

void Machine::no_region(uint64_t addr, uint64_t size, Access access, const char* what) {
    const std::string action = verb(access, size, what);
    if (addr == 0) {
        fault(FaultKind::NullPointer, action + " through a null pointer",
              "test the result of the look-up for NULL before using it", addr);
    } else if (handle_of(addr) == 0 && addr < 0x10000) {
        fault(FaultKind::NullPointer, action + " at null+" + std::to_string(addr),
              "test the result of the look-up for NULL before using it", addr);
    } else {
        fault(FaultKind::BadPointer, action + " through a number, not a pointer", {}, addr);
    }
}

void Machine::out_of_bounds(const Region& region, uint64_t addr, uint64_t size, Access access,
                            const char* what) {
    int64_t offset = offset_of(addr);
    int64_t limit = region.size;
    std::string where;
    std::string hint;
    switch (region.kind) {
    case RegionKind::Packet:
        offset -= packet.start;
        limit = int64_t{packet.linear_end()} - packet.start;
        if (offset < 0 && packet.meta < packet.start) {
            offset += packet.start - packet.meta;
            where = place("packet metadata", offset);
            break;
        }
        where = place("packet", offset);
        if (const int64_t last = offset + static_cast<int64_t>(size); offset >= 0) {
            const std::string bytes = std::to_string(last);
            hint =
                last <= limit + packet.paged
                    ? "the bytes are in pages: bpf_skb_pull_data(skb, " + bytes + "), then compare data_end"
                    : "before this line: if (data + " + bytes + " > data_end) return ...;";
        }
        break;
    case RegionKind::Stack:
        where = place("stack", offset - abi::kStackSize);
        break;
    case RegionKind::MapValues: {
        const int64_t stride = int64_t{1} << region.shift;
        // The nearest element: a little before an element counts as before it, not as far behind the last
        // one.
        int64_t element = offset >= 0 ? offset / stride : 0;
        int64_t inner = offset - element * stride;
        if (inner > (limit + stride) / 2 && element + 1 < region.elements) {
            ++element;
            inner -= stride;
        }
        where = place("value of map " + maps_[region.owner]->info().name, inner);
        offset = inner;
        break;
    }
    default:
        where = place(name(region.kind), offset);
        break;
    }
    const int64_t past = offset + static_cast<int64_t>(size) - limit;
    const std::string miss = offset < 0 ? bytes_text(static_cast<uint64_t>(-offset)) + " before its start"
                                        : bytes_text(static_cast<uint64_t>(past)) + " past its end (length " +
                                              std::to_string(limit) + ")";
    fault(FaultKind::OutOfBounds, verb(access, size, what) + " at " + where + ", " + miss, hint, addr);
}

} // namespace mimicsh::vm
