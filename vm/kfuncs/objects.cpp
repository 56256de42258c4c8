// SPDX-License-Identifier: MIT
// Allocated objects: making, owning and dropping them, pointers to them in values, and lists of them.
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/graph.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

using Kind = HiddenField::Kind;

const char* describe(Kind kind) {
    switch (kind) {
    case Kind::ListHead:
        return "bpf_list_head";
    case Kind::ListNode:
        return "bpf_list_node";
    case Kind::RbRoot:
        return "bpf_rb_root";
    case Kind::RbNode:
        return "bpf_rb_node";
    default:
        return "kptr";
    }
}

/// Hidden fields of the map value or object at an address, and its offset there; null = neither.
struct Within {
    const std::vector<HiddenField>* fields = nullptr;
    uint64_t offset = 0;
};
Within within(Machine& machine, uint64_t addr) {
    const uint32_t handle = handle_of(addr);
    const auto offset = static_cast<uint64_t>(offset_of(addr));
    if (const uint32_t id = object_at(machine, addr); id != 0) {
        return {&machine.heap.type(machine.heap.at(id).type).fields, offset};
    }
    if (handle < machine.regions.size() && machine.regions.at(handle).kind == RegionKind::MapValues) {
        const Region& region = machine.regions.at(handle);
        return {&machine.maps()[region.owner]->hidden(), offset & ((uint64_t{1} << region.shift) - 1)};
    }
    return {};
}

bool has_field(const std::vector<HiddenField>& fields, Kind kind, uint64_t offset) {
    return std::ranges::any_of(
        fields, [&](const HiddenField& field) { return field.kind == kind && field.offset == offset; });
}

uint64_t not_there(Machine& machine, uint64_t addr, const char* function, const std::string& what) {
    return machine.fault(FaultKind::BadCall, std::string(function) + ": the argument is no " + what, {},
                         addr);
}

} // namespace

void put_word(uint8_t* to, uint64_t value, Journal* journal) {
    if (journal != nullptr) {
        journal->bytes(to, 8);
    }
    mimicsh::store(to, value);
}

// -- Places and nodes --

uint32_t object_at(Machine& machine, uint64_t addr) {
    const uint32_t handle = handle_of(addr);
    if (handle >= machine.regions.size()) {
        return 0;
    }
    const Region& region = machine.regions.at(handle);
    const bool is_object = region.kind == RegionKind::Object || region.kind == RegionKind::PercpuObject;
    return is_object && machine.heap.handle(region.owner) == handle ? region.owner : 0;
}

Place place_at(Machine& machine, uint64_t addr, Kind kind, const char* function) {
    const Within place = within(machine, addr);
    if (place.fields != nullptr && has_field(*place.fields, kind, place.offset)) {
        if (const uint32_t id = object_at(machine, addr); id != 0) {
            return {machine.heap.at(id).bytes + place.offset,
                    uint64_t{1} << 63 | uint64_t{id} << 32 | place.offset, addr};
        }
        return {machine.kernel_field(addr, 8, function), addr, addr};
    }
    not_there(machine, addr, function, std::string(describe(kind)) + " of a map value or object");
    return {};
}

std::optional<Kind> pointer_field_at(Machine& machine, uint64_t addr) {
    const Within place = within(machine, addr);
    if (place.fields != nullptr) {
        for (const HiddenField& field : *place.fields) {
            if (is_pointer(field) && field.offset == place.offset) {
                return field.kind;
            }
        }
    }
    return std::nullopt;
}

bool has_field_at(Machine& machine, uint64_t addr, Kind kind) {
    const Within place = within(machine, addr);
    return place.fields != nullptr && has_field(*place.fields, kind, place.offset);
}

Place locked_place_at(Machine& machine, uint64_t addr, Kind kind, const char* function) {
    const Place place = place_at(machine, addr, kind, function);
    if (place.bytes == nullptr) {
        return place;
    }
    const Region& region = machine.regions.at(handle_of(addr));
    const auto element = [&](uint64_t at) { return static_cast<uint64_t>(offset_of(at)) >> region.shift; };
    const auto guards = [&](const Machine::HeldLock& lock) {
        return handle_of(lock.address) == handle_of(addr) &&
               (region.kind == RegionKind::Object || element(lock.address) == element(addr));
    };
    if (!spend_on(machine, machine.resilient_locks.size())) {
        return {};
    }
    if (!(machine.held_lock && guards(*machine.held_lock)) &&
        std::ranges::none_of(machine.resilient_locks, guards)) {
        machine.fault(FaultKind::Strict,
                      std::string(function) + ": the lock beside the " + describe(kind) + " is not held",
                      "take the bpf_spin_lock or bpf_res_spin_lock of the same value or object first");
        return {};
    }
    return place;
}

Node node_at(Machine& machine, uint64_t addr, Kind kind, const char* function) {
    const uint32_t id = object_at(machine, addr);
    const auto offset = static_cast<uint64_t>(offset_of(addr));
    if (id == 0 || !has_field(machine.heap.type(machine.heap.at(id).type).fields, kind, offset)) {
        not_there(machine, addr, function, std::string(describe(kind)) + " of an object");
        return {};
    }
    return {id, static_cast<uint32_t>(offset)};
}

uint8_t* node_bytes(Machine& machine, uint64_t ref) {
    const Node node = Node::of(ref);
    return machine.heap.at(node.object).bytes + node.offset;
}

uint64_t node_address(Machine& machine, uint64_t ref) {
    const Node node = Node::of(ref);
    return object_address(machine, node.object) + node.offset;
}

// -- Owning --

uint64_t object_address(Machine& machine, uint32_t id) {
    uint32_t& handle = machine.heap.handle(id);
    if (handle == 0) {
        const HeapObject& object = machine.heap.at(id);
        const ObjectType& type = machine.heap.type(object.type);
        machine.note_effect(kUsualEffect * (1 + type.copies));
        Region region;
        region.owner = id;
        region.birth = machine.code->slot_of(machine.at);
        if (type.copies != 0) {
            region.kind = RegionKind::PercpuObject;
            handle = machine.regions.add(region);
        }
        region.kind = RegionKind::Object;
        region.size = type.size;
        region.load_limit = type.fields.empty() ? type.size : type.fields.front().offset;
        region.readable = region.writable = true;
        region.guarded = !type.fields.empty();
        for (uint32_t copy = 0; copy < std::max(type.copies, 1u); ++copy) {
            region.host = object.bytes + size_t{copy} * type.step();
            const uint32_t added = machine.regions.add(region);
            handle = type.copies != 0 ? handle : added;
        }
        machine.heap.shown.push_back(id);
    }
    return make_addr(handle, 0);
}

void give_to_program(Machine& machine, uint32_t id) {
    machine.open_references.push_back(handle_of(object_address(machine, id)));
    machine.regions.at(machine.heap.handle(id)).birth = machine.code->slot_of(machine.at);
}

bool take_from_program(Machine& machine, uint32_t id, const char* function) {
    auto& open = machine.open_references;
    if (!spend_on(machine, open.size())) {
        return false;
    }
    const auto found = std::ranges::find(open, machine.heap.handle(id));
    if (found == open.end()) {
        machine.fault(FaultKind::BadCall, std::string(function) + ": the program does not own this object");
        return false;
    }
    open.erase(found);
    return true;
}

namespace {

/// Appends the objects that a tree held.
void empty_tree(Machine& machine, uint64_t ref, Journal* journal, std::vector<uint32_t>& dropped) {
    std::vector<uint64_t> open{ref};
    ++machine.heap.tree_changes;
    while (!open.empty()) {
        const uint64_t one = open.back();
        open.pop_back();
        if (one == 0) {
            continue;
        }
        uint8_t* node = node_bytes(machine, one);
        open.push_back(mimicsh::load<uint64_t>(node + 8));
        open.push_back(mimicsh::load<uint64_t>(node + 16));
        put_word(node + 24, 0, journal);
        dropped.push_back(Node::of(one).object);
    }
}

/// Empties a pointer, list or tree, and appends the objects that it held.
void empty_field(Machine& machine, Kind kind, uint8_t* bytes, Journal* journal,
                 std::vector<uint32_t>& dropped) {
    auto first = mimicsh::load<uint64_t>(bytes);
    const bool points = kind == Kind::Kptr || kind == Kind::PercpuKptr;
    if (first == 0 || (!points && kind != Kind::ListHead && kind != Kind::RbRoot)) {
        return;
    }
    put_word(bytes, 0, journal);
    if (points) {
        dropped.push_back(static_cast<uint32_t>(first));
    } else if (kind == Kind::RbRoot) {
        empty_tree(machine, first, journal, dropped);
    } else {
        put_word(bytes + 8, 0, journal);
        while (first != 0) {
            uint8_t* node = node_bytes(machine, first);
            const uint64_t next = mimicsh::load<uint64_t>(node);
            put_word(node + 16, 0, journal);
            dropped.push_back(Node::of(first).object);
            first = next;
        }
    }
}

/// One owner less for each. Objects may own each other in chains of any length, so this does not recurse.
void drop_all(Machine& machine, std::vector<uint32_t> dropped, Journal* journal) {
    while (!dropped.empty()) {
        const uint32_t id = dropped.back();
        dropped.pop_back();
        HeapObject& object = machine.heap.change(id, journal);
        if (--object.references != 0) {
            continue;
        }
        for (const HiddenField& field : machine.heap.type(object.type).fields) {
            empty_field(machine, field.kind, object.bytes + field.offset, journal, dropped);
        }
        machine.heap.note_freed(id);
        if (machine.heap.handle(id) != 0) {
            for (uint32_t copy = 0; copy <= machine.heap.type(object.type).copies; ++copy) {
                machine.regions.kill(machine.heap.handle(id) + copy, "freeing the object");
            }
            machine.heap.handle(id) = 0;
        }
    }
    machine.touched = true;
}

} // namespace

void drop_object(Machine& machine, uint32_t id, Journal* journal) {
    drop_all(machine, {id}, journal);
}

void drop_contents(Machine& machine, Kind kind, uint8_t* bytes, Journal* journal) {
    std::vector<uint32_t> dropped;
    empty_field(machine, kind, bytes, journal, dropped);
    drop_all(machine, std::move(dropped), journal);
}

// -- Making and dropping --

namespace {

bool is_percpu(const Machine& machine, uint32_t object) {
    return machine.heap.type(machine.heap.at(object).type).copies != 0;
}

/// Object of that sort whose address an argument is; 0 = a fault is pending.
uint32_t object_argument(Machine& machine, uint64_t addr, bool percpu, const char* function) {
    const uint32_t id = object_at(machine, addr);
    if (id != 0 && offset_of(addr) == 0 && is_percpu(machine, id) == percpu) {
        return id;
    }
    not_there(machine, addr, function, percpu ? "per-CPU object" : "allocated object");
    return 0;
}

/// Whether a type is made of numbers alone (__btf_type_is_scalar_struct, kernel/bpf/verifier.c); `left`
/// bounds what is looked at of types that have many members without size.
bool has_only_numbers(const Btf& btf, uint32_t struct_id, uint32_t depth, uint32_t& left) {
    constexpr uint32_t kMaxDepth = 3;
    return std::ranges::all_of(btf.type(btf.resolve(struct_id)).members, [&](const BtfMember& member) {
        if (left == 0) {
            return false;
        }
        --left;
        uint32_t id = btf.resolve(member.type);
        if (btf.type(id).kind == BtfKind::Struct) {
            return depth < kMaxDepth && has_only_numbers(btf, id, depth + 1, left);
        }
        if (btf.type(id).kind == BtfKind::Array) {
            id = btf.resolve(btf.type(id).type);
        }
        const BtfKind kind = btf.type(id).kind;
        return kind == BtfKind::Int || kind == BtfKind::Enum || kind == BtfKind::Enum64;
    });
}

uint64_t make_object(Machine& machine, const uint64_t* args, bool percpu, const char* function) {
    const auto& btf = machine.code->program->linked().object->btf;
    const auto id = static_cast<uint32_t>(args[0]);
    const auto size = btf != nullptr && id < btf->type_count()
                          ? btf->size_of(id)
                          : Expected<uint64_t>(Error{EINVAL, "", "", "", ""});
    const auto refuse = [&](const std::string& why) {
        return machine.fault(FaultKind::BadCall,
                             std::string(function) + ": type " + std::to_string(id) + " " + why);
    };
    if (!size || btf->type(btf->resolve(id)).kind != BtfKind::Struct) {
        return refuse("is no struct of the program");
    }
    constexpr uint64_t kMaxObject = 4096 - 8; // what bpf_mem_alloc has caches for
    constexpr uint64_t kMaxPercpu = 512;      // BPF_GLOBAL_PERCPU_MA_MAX_SIZE
    if (percpu && *size > kMaxPercpu) {
        return refuse("has more than " + std::to_string(kMaxPercpu) + " bytes");
    }
    uint32_t left = 4096;
    if (percpu && !has_only_numbers(*btf, id, 0, left)) {
        return refuse("is no struct of numbers");
    }
    if (*size > kMaxObject || machine.heap.bytes() > machine.options.memory_limit) {
        return 0;
    }
    ObjectType type{id, static_cast<uint32_t>(*size), {}, percpu ? machine.options.cpus : 0};
    auto known = machine.heap.find_type(type);
    if (!known) {
        type.fields = hidden_fields_of(*btf, id, type.size);
        std::erase_if(type.fields, [](const HiddenField& field) {
            return field.kind == Kind::Timer || field.kind == Kind::Workqueue ||
                   field.kind == Kind::TaskWork || field.kind == Kind::UserPtr; // of map values alone
        });
        known = machine.heap.add_type(type);
    }
    const uint64_t bytes = percpu ? uint64_t{type.step()} * type.copies : type.size;
    machine.note_effect(kUsualEffect + bytes);
    if (!spend_on(machine, machine.heap.free_count())) {
        return 0;
    }
    const uint32_t object = machine.heap.create(*known, static_cast<uint32_t>(bytes), &machine.journal);
    give_to_program(machine, object);
    return object_address(machine, object);
}

uint64_t drop_argument(Machine& machine, const uint64_t* args, bool percpu, const char* function) {
    const uint32_t id = object_argument(machine, args[0], percpu, function);
    if (id != 0 && take_from_program(machine, id, function)) {
        drop_object(machine, id, &machine.journal);
    }
    return 0;
}

} // namespace

uint64_t kfunc_obj_new(Machine& machine, const uint64_t* args) {
    return make_object(machine, args, false, "bpf_obj_new_impl");
}
uint64_t kfunc_obj_drop(Machine& machine, const uint64_t* args) {
    return drop_argument(machine, args, false, "bpf_obj_drop_impl");
}
uint64_t kfunc_percpu_obj_new(Machine& machine, const uint64_t* args) {
    return make_object(machine, args, true, "bpf_percpu_obj_new_impl");
}
uint64_t kfunc_percpu_obj_drop(Machine& machine, const uint64_t* args) {
    return drop_argument(machine, args, true, "bpf_percpu_obj_drop_impl");
}

namespace {

/// The per-CPU object of an argument; 0 = a fault is pending. The kernel takes only pointers that were loaded
/// from a field (percpu_btf_ptr_types, kernel/bpf/verifier.c).
uint32_t shared_object(Machine& machine, uint64_t addr, const char* helper) {
    const uint32_t id = object_argument(machine, addr, true, helper);
    const auto& owned = machine.open_references;
    if (id != 0 && std::ranges::find(owned, machine.heap.handle(id)) != owned.end()) {
        machine.fault(FaultKind::Strict, std::string(helper) + ": the object is not in a map value yet",
                      "store it with bpf_kptr_xchg and load the pointer from there", addr);
        return 0;
    }
    return id;
}

/// Handle of a per-CPU variable of the kernel or a per-CPU object, whose copies have the handles behind it;
/// 0 = a fault is pending.
uint32_t percpu_handle(Machine& machine, uint64_t addr, const char* helper) {
    const uint32_t handle = handle_of(addr);
    if (handle < machine.regions.size() && offset_of(addr) == 0 &&
        machine.regions.at(handle).kind == RegionKind::PercpuVariable) {
        return handle;
    }
    const uint32_t id = shared_object(machine, addr, helper);
    return id == 0 ? 0 : machine.heap.handle(id);
}

} // namespace

uint64_t helper_per_cpu_ptr(Machine& machine, const uint64_t* args) {
    const uint32_t handle = percpu_handle(machine, args[0], "bpf_per_cpu_ptr");
    const auto cpu = static_cast<uint32_t>(args[1]);
    return handle == 0 || cpu >= machine.options.cpus ? 0 : make_addr(handle + 1 + cpu, 0);
}

uint64_t helper_this_cpu_ptr(Machine& machine, const uint64_t* args) {
    const uint32_t handle = percpu_handle(machine, args[0], "bpf_this_cpu_ptr");
    return handle == 0 ? 0 : make_addr(handle + 1 + machine.cpu, 0);
}

uint64_t kfunc_refcount_acquire(Machine& machine, const uint64_t* args) {
    const uint32_t id = object_at(machine, args[0]);
    const auto is_count = [](const HiddenField& field) { return field.kind == Kind::Refcount; };
    if (id == 0 || offset_of(args[0]) != 0 ||
        std::ranges::none_of(machine.heap.type(machine.heap.at(id).type).fields, is_count)) {
        return not_there(machine, args[0], "bpf_refcount_acquire_impl", "object with a bpf_refcount");
    }
    ++machine.heap.change(id, &machine.journal).references;
    give_to_program(machine, id);
    return args[0];
}

uint64_t helper_kptr_xchg(Machine& machine, const uint64_t* args) {
    const Kind kind = pointer_field_at(machine, args[0]).value_or(Kind::Kptr);
    const Place place = place_at(machine, args[0], kind, "bpf_kptr_xchg");
    if (place.bytes == nullptr) {
        return 0;
    }
    const uint32_t id =
        args[1] == 0 ? 0 : object_argument(machine, args[1], kind == Kind::PercpuKptr, "bpf_kptr_xchg");
    if (machine.faulted()) {
        return 0;
    }
    if (id != 0 && !take_from_program(machine, id, "bpf_kptr_xchg")) {
        return 0;
    }
    const auto old = static_cast<uint32_t>(mimicsh::load<uint64_t>(place.bytes));
    put_word(place.bytes, id, &machine.journal);
    if (old == 0) {
        return 0;
    }
    give_to_program(machine, old);
    return object_address(machine, old);
}

// -- Lists: of a node next 0, previous 8, owner 16; of a head first 0, last 8 --

namespace {

uint64_t push(Machine& machine, const uint64_t* args, bool front, const char* function) {
    const Place head = locked_place_at(machine, args[0], Kind::ListHead, function);
    const Node node = head.bytes == nullptr ? Node{} : node_at(machine, args[1], Kind::ListNode, function);
    if (node.object == 0 || !take_from_program(machine, node.object, function)) {
        return 0;
    }
    Journal* journal = &machine.journal;
    uint8_t* bytes = node_bytes(machine, node.ref());
    if (mimicsh::load<uint64_t>(bytes + 16) != 0) {
        drop_object(machine, node.object, journal);
        return errno_result(-EINVAL);
    }
    const size_t near = front ? 0 : 8; // the end of the head that changes, and the node's way to the others
    const auto old = mimicsh::load<uint64_t>(head.bytes + near);
    put_word(bytes + near, old, journal);
    put_word(bytes + (8 - near), 0, journal);
    put_word(bytes + 16, head.name, journal);
    put_word(old != 0 ? node_bytes(machine, old) + (8 - near) : head.bytes + (8 - near), node.ref(), journal);
    put_word(head.bytes + near, node.ref(), journal);
    return 0;
}

uint64_t pop(Machine& machine, const uint64_t* args, bool front, const char* function) {
    const Place head = locked_place_at(machine, args[0], Kind::ListHead, function);
    const size_t near = front ? 0 : 8;
    const uint64_t ref = head.bytes == nullptr ? 0 : mimicsh::load<uint64_t>(head.bytes + near);
    if (ref == 0) {
        return 0;
    }
    Journal* journal = &machine.journal;
    uint8_t* bytes = node_bytes(machine, ref);
    const auto next = mimicsh::load<uint64_t>(bytes + near);
    put_word(head.bytes + near, next, journal);
    put_word(next != 0 ? node_bytes(machine, next) + (8 - near) : head.bytes + (8 - near), 0, journal);
    put_word(bytes + 16, 0, journal);
    give_to_program(machine, Node::of(ref).object);
    return node_address(machine, ref);
}

uint64_t look(Machine& machine, const uint64_t* args, size_t end, const char* function) {
    const Place head = locked_place_at(machine, args[0], Kind::ListHead, function);
    const uint64_t ref = head.bytes == nullptr ? 0 : mimicsh::load<uint64_t>(head.bytes + end);
    return ref == 0 ? 0 : node_address(machine, ref);
}

} // namespace

uint64_t kfunc_list_push_front(Machine& machine, const uint64_t* args) {
    return push(machine, args, true, "bpf_list_push_front_impl");
}
uint64_t kfunc_list_push_back(Machine& machine, const uint64_t* args) {
    return push(machine, args, false, "bpf_list_push_back_impl");
}
uint64_t kfunc_list_pop_front(Machine& machine, const uint64_t* args) {
    return pop(machine, args, true, "bpf_list_pop_front");
}
uint64_t kfunc_list_pop_back(Machine& machine, const uint64_t* args) {
    return pop(machine, args, false, "bpf_list_pop_back");
}
uint64_t kfunc_list_front(Machine& machine, const uint64_t* args) {
    return look(machine, args, 0, "bpf_list_front");
}
uint64_t kfunc_list_back(Machine& machine, const uint64_t* args) {
    return look(machine, args, 8, "bpf_list_back");
}

} // namespace mimicsh::vm
