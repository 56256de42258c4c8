// SPDX-License-Identifier: MIT
// Runs of one emulated CPU: begin, end, rewind, budget, calls.
#include "vm/machine.h"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "object/kernel_btf.h"
#include "vm/guards.h"
#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/kfuncs/graph.h"
#include "vm/maps/hash.h"
#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kTicksPerRefill = 4096;
/// Iterations that may_goto grants one run (BPF_MAX_LOOPS, 8 Mi).
constexpr uint64_t kMayGotoLimit = 8u << 20;

uint64_t splitmix(uint64_t& state) {
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

bool is_async(const HiddenField& field) {
    return field.kind == HiddenField::Kind::Timer || field.kind == HiddenField::Kind::Workqueue;
}

/// Whether a field of a map value holds the id of something that ends with the value.
bool is_root(const HiddenField& field) {
    return field.kind == HiddenField::Kind::ListHead || field.kind == HiddenField::Kind::RbRoot;
}

bool owns_something(const HiddenField& field) {
    return is_async(field) || is_pointer(field) || is_root(field);
}

} // namespace

Machine::Machine(const Options& wanted, uint32_t cpus, uint32_t frames_at_most, Journal* joint)
    : frame_limit(frames_at_most), journal(joint != nullptr ? *joint : own_journal), options(wanted) {
    assert(frames_at_most <= kMaxFrames);
    options.cpus = cpus;
    if (options.world == nullptr) {
        static const auto kNothingScripted = std::make_shared<const World>();
        options.world = kNothingScripted;
    }
    options.cpu = options.world->cpu.value_or(options.cpu);
    cpu = options.cpu;
    clock_ns = options.world->clock_ns.value_or(options.clock_ns);
    fill_sockets(*this);
    connections.load(*options.world, clock_ns);
    uint64_t seed = options.seed;
    random_state_ = {splitmix(seed), splitmix(seed)};

    Region region;
    region.kind = RegionKind::Context;
    region.size = sizeof(abi::XdpMd);
    region.readable = true;
    (void)regions.add(region);
    region = {};
    region.kind = RegionKind::Packet;
    region.readable = region.writable = true;
    (void)regions.add(region);
    region = {};
    region.kind = RegionKind::Callback;
    (void)regions.add(region);
    region = {};
    region.kind = RegionKind::KernelStruct; // the current task
    region.shift = static_cast<uint8_t>(KernelStruct::Task);
    region.readable = true;
    (void)regions.add(region);
    (void)regions.add(buffer_socket_region(*this));
    region = {};
    region.kind = RegionKind::FlowKeys;
    region.host = flow_keys.data();
    region.size = region.load_limit = region.store_limit = kFlowKeysSize;
    region.readable = region.writable = true;
    (void)regions.add(region);
    for (uint32_t frame = 0; frame < frame_limit; ++frame) {
        region = {};
        region.kind = RegionKind::Stack;
        region.host = stack[frame].data();
        region.size = abi::kStackSize;
        region.owner = frame;
        region.readable = region.writable = true;
        (void)regions.add(region);
    }
    forget_last_run();
}

void Machine::make_room_for(abi::ProgType type) {
    // Permissive mode lets a program call the helpers of every type.
    const bool small = type == abi::ProgType::Xdp && options.mode == Mode::Strict;
    const uint32_t room = small ? kXdpBuffer : kPacketBuffer;
    packet.buffer.resize(std::max<size_t>(packet.buffer.size(), room));
}

void Machine::add_map(std::unique_ptr<VmMap> map) {
    map->set_id(static_cast<uint32_t>(maps_.size()) + 1);
    map->map_values(regions, static_cast<uint32_t>(maps_.size()));
    if (std::ranges::any_of(map->hidden(), owns_something)) {
        // Linux 6.18 frees no list or tree beside a bpf_res_spin_lock (bpf_obj_free_fields, with a warning in
        // its log); only where elements are never made anew can a program tell.
        const bool keeps_roots = map->type() == abi::MapType::Array &&
                                 map->hidden_offset(HiddenField::Kind::ResSpinLock).has_value();
        map->on_release([this, keeps_roots](const HiddenField& field, uint8_t* bytes, Journal* record) {
            if (!keeps_roots || !is_root(field)) {
                release_field(field, bytes, record);
            }
        });
    }
    if (map->type() == abi::MapType::CgroupStorage || map->type() == abi::MapType::PercpuCgroupStorage) {
        cgroup_storage_.push_back(static_cast<CgroupStorageMap*>(map.get()));
    }
    if (map->type() == abi::MapType::SkStorage) {
        socket_storage_.push_back(static_cast<StorageMap*>(map.get()));
    }
    if (map->is_backed()) {
        backed_.push_back(map.get());
    }
    maps_.push_back(std::move(map));
}

void Machine::replace_map(size_t index, std::unique_ptr<VmMap> map) {
    VmMap* old = maps_[index].get();
    old->unmap_values(regions);
    map->set_id(static_cast<uint32_t>(index) + 1);
    map->map_values(regions, static_cast<uint32_t>(index));
    seal();
    for (const auto& other : maps_) {
        other->replace_inner(old, map.get());
    }
    std::erase(backed_, old);
    if (map->is_backed()) {
        backed_.push_back(map.get());
    }
    maps_[index] = std::move(map);
}

void Machine::share_maps(const Machine& other) {
    for (const auto& map : other.maps_) {
        map->map_values(regions, static_cast<uint32_t>(maps_.size()));
        maps_.push_back(map);
    }
    kernel_btf_ = other.kernel_btf_;
    variables.share(other.variables, regions);
    seal();
}

void Machine::release_field(const HiddenField& field, uint8_t* bytes, Journal* record) {
    if (!is_async(field)) {
        drop_contents(*this, field.kind, bytes, record);
        return;
    }
    const auto id = mimicsh::load<uint32_t>(bytes);
    if (id == 0) {
        return;
    }
    if (record != nullptr) {
        record->bytes(bytes, 4);
    }
    mimicsh::store(bytes, uint32_t{0});
    async.release(id, record);
}

// -- A run --

void Machine::set_xdp_packet(ByteView bytes, std::optional<uint32_t> headroom,
                             std::optional<uint32_t> tailroom) {
    packet.start = headroom.value_or(kXdpHeadroom);
    packet.meta = packet.start - packet.metadata;
    packet.end = packet.meta + static_cast<uint32_t>(bytes.size());
    const uint32_t usual = std::max(packet.end, packet.start + kXdpMaxLinear) - packet.end;
    packet.room_end = packet.end + tailroom.value_or(usual);
    packet.buffer.resize(std::max<size_t>(packet.buffer.size(), packet.room_end));
    packet.paged = packet.pulled = 0;
    packet.fragments.clear();
    packet.lowest = std::min(packet.meta, kXdpHeadroom);
    std::fill_n(packet.buffer.begin(), packet.meta, uint8_t{0});
    std::copy(bytes.begin(), bytes.end(), packet.buffer.begin() + packet.meta);
}

void Machine::forget_last_run() {
    touched = false;
    random_at_start_ = random_state_;
    clock_at_start_ = clock_ns;
    may_goto_left = kMayGotoLimit;
    kept_bytes = 0;
    tail_calls = 0;
    pending.reset();
    redirect.reset();
    emitted.clear();
    assigned.reset();
    connections.begin_run();
    log.clear();
    warned_.clear();
    warnings.clear();
    open_references.clear();
    next_user_call = 0;
    if (!repeats_run) {
        user_calls.clear();
    }
    held_lock.reset();
    thrown.reset();
    resilient_locks.clear();
    iterators.clear();
    sections.clear();
    dynptrs.clear();
    packet_slices.clear();
    packet.handle = kPacketHandle;
    Region& region = regions.at(kPacketHandle);
    region.kind = RegionKind::Packet;
    region.readable = region.writable = true;
}

void Machine::move_packet(const char* helper) {
    touched = true;
    packet.lowest = std::min(packet.lowest, packet.meta);
    regions.kill(packet.handle, helper);
    for (const uint32_t slice : packet_slices) {
        regions.kill(slice, helper);
    }
    packet_slices.clear();
    Region region;
    region.kind = RegionKind::Packet;
    region.readable = region.writable = true;
    region.birth = code->slot_of(at);
    packet.handle = regions.add(region);
    sync_packet_context();
}

void Machine::report_open_reference() {
    const Region& left = regions.at(open_references.back());
    const LinkedProgram& program = code->program->linked();
    const std::string where = at_line(program, left.birth);
    if (left.kind == RegionKind::Record) {
        fault(FaultKind::Strict,
              "the program ends with a ring-buffer record that was neither submitted nor discarded",
              "submit or discard the record that was reserved at " + where);
    } else if (left.kind == RegionKind::Object || left.kind == RegionKind::PercpuObject) {
        fault(FaultKind::Strict, "the program ends with an object that was neither dropped nor stored",
              "drop or store the object that was taken at " + where);
    } else if (left.kind == RegionKind::Connection || left.kind == RegionKind::NewConnection) {
        fault(FaultKind::Strict, "the program ends with a connection that was not given back",
              "call bpf_ct_release (of a new one bpf_ct_insert_entry) on what was found at " + where);
    } else if (struct_of(left) == KernelStruct::XfrmState) {
        fault(FaultKind::Strict, "the program ends with an IPsec state that was not released",
              "call bpf_xdp_xfrm_state_release on what was found at " + where);
    } else {
        fault(FaultKind::Strict, "the program ends with a socket that was not released",
              "call bpf_sk_release on the socket that was found at " + where);
    }
}

/// Everything that ran below the program is gone; its result is the cookie or what the callback makes of it.
void Machine::catch_thrown() {
    regs[0] = *thrown;
    regs[1] = *thrown;
    thrown.reset();
    pending.reset();
    depth = 0;
    stack_init[0].fill(0);
    regs[10] = frame_pointer();
    const uint32_t callback = code->program->linked().exception_callback;
    if (callback != 0) {
        (void)execute(*this, *code, code->op_of_slot[callback]);
    }
    if (thrown) {
        thrown.reset();
        pending.reset();
        fault(FaultKind::Strict, "bpf_throw: called from the exception callback");
    }
}

void Machine::report_left_open() {
    if (thrown) {
        catch_thrown();
    }
    if (pending) {
        return;
    }
    const LinkedProgram& program = code->program->linked();
    if (held_lock) {
        fault(FaultKind::Strict, "the program ends while it holds " + lock_text(*held_lock),
              "call bpf_spin_unlock on every path after the lock was taken at " +
                  at_line(program, held_lock->slot));
        return;
    }
    if (!resilient_locks.empty()) {
        fault(FaultKind::Strict, "the program ends while it holds " + lock_text(resilient_locks.back()),
              "call bpf_res_spin_unlock on every path after the lock was taken at " +
                  at_line(program, resilient_locks.back().slot));
        return;
    }
    if (!open_references.empty()) {
        report_open_reference();
    } else if (!iterators.empty()) {
        const Iterator& left = iterators.back();
        fault(FaultKind::Strict, "the program ends with an iterator that was not destroyed",
              std::string("call bpf_iter_") + name(left.kind) + "_destroy on what was made at " +
                  at_line(program, left.slot));
    } else if (!sections.empty()) {
        fault(FaultKind::Strict, std::string("the program ends inside a ") + sections.back().kind,
              "leave the section that was entered at " + at_line(program, sections.back().slot));
    }
}

void Machine::settle_backed_maps() {
    for (VmMap* map : backed_) {
        map->settle();
        (void)check_backed(*map);
    }
}

bool Machine::check_backed(VmMap& map) {
    if (map.is_backed()) [[unlikely]] {
        if (const std::string text = map.take_trouble(); !text.empty()) {
            fault(FaultKind::BadCall, "map " + map.info().name + " of the kernel: " + text);
        }
    }
    return !faulted();
}

void Machine::close_run() {
    for (uint32_t handle : opened_) {
        regions.at(handle).store_limit = 0;
    }
    opened_.clear();
    if (touched) {
        for (VmMap* map : deleted_from_) {
            map->end_run();
        }
        deleted_from_.clear();
        regions.end_run();
        heap.end_run();
    }
}

bool Machine::rewind() {
    if (!journal.rewind()) {
        return false;
    }
    random_state_ = random_at_start_;
    clock_ns = clock_at_start_;
    connections.rewind();
    return true;
}

// -- Faults and warnings --

uint64_t Machine::fault(FaultKind kind, std::string cause, std::string hint,
                        std::optional<uint64_t> address) {
    touched = true;
    if (!pending) {
        pending = PendingFault{kind, code->slot_of(at), code, std::move(cause), std::move(hint), address};
    }
    return 0;
}

void Machine::warn(std::string cause, bool refused) {
    if (refused) {
        cause += ", the kernel will refuse";
    }
    const uint32_t slot = code->slot_of(at);
    if (options.sanitize_fault) {
        fault(FaultKind::Strict, std::move(cause));
        return;
    }
    touched = true;
    if (warned_.emplace(code, slot).second) {
        const LinkedProgram& linked = code->program->linked();
        warnings.push_back({linked.name, slot, source_line(linked, slot), std::move(cause), refused});
    }
}

void Machine::fault_for_budget() {
    fault(FaultKind::Budget,
          "the run took " + std::to_string(options.budget) + " backward jumps and calls, which is its budget",
          "raise budget= at load if the loop is meant to be that long");
}

void Machine::fault_for_memory() {
    fault(FaultKind::Budget, "the run keeps more than " + std::to_string(kMaxKept >> 20) +
                                 " MiB of records, moved packets, log lines and the like");
}

bool Machine::refill(uint32_t& ticks) {
    // A part of what is left: callbacks of helpers count by themselves.
    const uint64_t wanted = std::min<uint64_t>(budget / 8 + 1, kTicksPerRefill);
    if (!spend(wanted)) {
        return false;
    }
    ticks = static_cast<uint32_t>(wanted);
    return true;
}

bool Machine::spend(uint64_t steps) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
        fault(FaultKind::Interrupted, "stopped from outside");
        return false;
    }
    if (budget < steps) {
        fault_for_budget();
        return false;
    }
    budget -= steps;
    return true;
}

const Btf* Machine::kernel_types() {
    if (kernel_btf_ == nullptr) {
        const auto running = running_kernel_btf();
        kernel_btf_ = running ? *running : nullptr;
    }
    return kernel_btf_.get();
}

uint32_t Machine::device_index() const {
    const bool is_xdp = code->program->linked().spec.type == abi::ProgType::Xdp;
    const size_t offset = is_xdp ? offsetof(abi::XdpMd, ingress_ifindex) : size_t{kSkbIfindex};
    return mimicsh::load<uint32_t>(context_image.data() + offset);
}

// -- Calls --

bool Machine::push_frame(const Op* return_to) {
    if (depth + 1 >= frame_limit ||
        (depth + 1 >= abi::kMaxCallFrames && own_frames() >= abi::kMaxCallFrames)) {
        fault(FaultKind::StackOverflow,
              "call chain deeper than " + std::to_string(abi::kMaxCallFrames) + " frames");
        return false;
    }
    Frame& frame = frames[depth];
    frame.return_to = return_to;
    frame.code = code;
    std::memcpy(frame.saved.data(), regs.data() + 6, sizeof frame.saved);
    ++depth;
    frames[depth].starts_program = false;
    stack_init[depth].fill(0);
    regs[10] = frame_pointer();
    return true;
}

uint32_t Machine::own_frames() const {
    uint32_t first = depth;
    while (first > 0 && !frames[first].starts_program) {
        --first;
    }
    return depth - first + 1;
}

bool Machine::is_callback(uint64_t function) const {
    // Not any slot that has an operation: which ones do differs between the fast code and the traced one.
    const LinkedProgram& program = code->program->linked();
    const int64_t slot = offset_of(function);
    return handle_of(function) == kCallbackHandle && slot >= 0 &&
           static_cast<uint64_t>(slot) < program.insns.size() &&
           program.functions[program.function_at(static_cast<uint32_t>(slot))].insn == slot;
}

std::optional<uint64_t> Machine::call_back(uint64_t function, std::array<uint64_t, 5> args,
                                           const char* helper) {
    const int64_t slot = offset_of(function);
    if (!is_callback(function)) {
        fault(FaultKind::BadCall, std::string(helper) + ": the callback is no function of the program");
        return std::nullopt;
    }
    const Op* resume = at;
    const Code* caller = code;
    if (!spend(1) || !push_frame(nullptr)) {
        return std::nullopt;
    }
    std::copy(args.begin(), args.end(), regs.begin() + 1);
    // Others may hold a lock that the callback waits for, and want the maps before they give it back.
    const bool has_maps = concurrent && group->inside == this;
    if (has_maps) {
        group->inside = nullptr;
        group->maps.unlock();
    }
    const bool ok = execute(*this, *caller, caller->op_of_slot[static_cast<size_t>(slot)]);
    if (has_maps) {
        group->maps.lock();
        group->inside = this;
    }
    if (!ok) {
        return std::nullopt;
    }
    --depth;
    std::memcpy(regs.data() + 6, frames[depth].saved.data(), sizeof frames[depth].saved);
    regs[10] = frame_pointer();
    code = caller;
    at = resume;
    return regs[0];
}

uint64_t Machine::look_up(VmMap& map, uint64_t key, uint32_t on_cpu) {
    const uint32_t size = map.key_size();
    const uint8_t* bytes = stack_bytes(key, size);
    if (bytes == nullptr) {
        bytes = span(key, size, Access::Read, "map key");
        if (bytes == nullptr) {
            return 0;
        }
    }
    // The commonest type by its name, so that the search is compiled in here.
    const uint32_t element = map.is_plain_hash() ? static_cast<const HashMap&>(map).find_plain(bytes)
                                                 : map.find(bytes, on_cpu, &journal);
    if (element == kNoElement) {
        (void)check_backed(map);
        return 0;
    }
    return map.open_window(regions, element);
}

uint32_t Machine::random() {
    touched = true;
    uint64_t s1 = random_state_[0];
    const uint64_t s0 = random_state_[1];
    const uint64_t result = s0 + s1;
    random_state_[0] = s0;
    s1 ^= s1 << 23;
    random_state_[1] = s1 ^ s0 ^ (s1 >> 18) ^ (s0 >> 5);
    return static_cast<uint32_t>(result >> 32);
}

} // namespace mimicsh::vm
