// SPDX-License-Identifier: MIT
// Conntrack kernel functions over the scripted table (net/netfilter/nf_conntrack_bpf.c). Entries that
// programs insert stay for later runs, until their time on the vm's clock is over.
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/conntrack_entry.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

using namespace conntrack;

namespace {

/// Offsets in struct bpf_ct_opts.
constexpr uint32_t kNetns = 0, kError = 4, kProtocol = 8, kDirection = 9, kZone = 10, kZoneDirection = 12,
                   kReserved = 13, kOptsSize = 16, kOldOptsSize = 12;
constexpr uint8_t kTcp = 6, kUdp = 17, kBothDirections = 3;

/// What a change of status leaves alone: NAT, expectation, confirmation, death, templates, offloads.
constexpr uint32_t kUnchangeable = 0x1bf0 | 0xc000 | kExpected | kConfirmed;

using Tuple = World::Connection::Tuple;

/// What a look-up or allocation was asked for.
struct Question {
    uint8_t* opts = nullptr;
    uint32_t opts_size = 0;
    Tuple tuple;
    uint8_t protocol = 0;
    uint16_t zone = 0;
    uint8_t zone_direction = kBothDirections;
};

bool parse_tuple(const uint8_t* bytes, uint64_t size, Tuple& tuple) {
    constexpr uint64_t kIp4Size = 12, kIp6Size = 36;
    if (size != kIp4Size && size != kIp6Size) {
        return false;
    }
    tuple.source.address.v6 = tuple.destination.address.v6 = size == kIp6Size;
    const size_t length = tuple.source.address.size();
    std::copy_n(bytes, length, tuple.source.address.bytes.begin());
    std::copy_n(bytes + length, length, tuple.destination.address.bytes.begin());
    tuple.source.port = load_be<uint16_t>(bytes + 2 * length);
    tuple.destination.port = load_be<uint16_t>(bytes + 2 * length + 2);
    return true;
}

/// The errno of a question that cannot be asked, 0 when it can.
int64_t check_question(Question& question, const uint8_t* tuple, uint64_t tuple_size, bool looks_up,
                       KernelVersion kernel) {
    const uint8_t* opts = question.opts;
    if (tuple == nullptr) {
        return -EINVAL;
    }
    const bool takes_zones = kernel >= KernelVersion::V6_12;
    if (question.opts_size != kOldOptsSize && (question.opts_size != kOptsSize || !takes_zones)) {
        return -EINVAL;
    }
    const bool is_full = question.opts_size == kOptsSize;
    question.zone = mimicsh::load<uint16_t>(opts + kZone);
    if (is_full ? opts[kReserved] != 0 || opts[kReserved + 1] != 0 || opts[kReserved + 2] != 0
                : question.zone != 0) {
        return -EINVAL;
    }
    question.protocol = opts[kProtocol];
    const bool known = question.protocol == kTcp || question.protocol == kUdp;
    if (looks_up && !known) {
        return -EPROTO;
    }
    const auto netns = mimicsh::load<int32_t>(opts + kNetns);
    if (netns < -1) {
        return -EINVAL;
    }
    if (!known) {
        return -EPROTO;
    }
    if (!parse_tuple(tuple, tuple_size, question.tuple)) {
        return -EAFNOSUPPORT;
    }
    if (netns >= 0) {
        return -ENONET; // of other namespaces none has an id
    }
    if (is_full) {
        if (opts[kZoneDirection] == 0) {
            question.opts[kZoneDirection] = kBothDirections;
        }
        question.zone_direction = opts[kZoneDirection];
    }
    return 0;
}

ConntrackTable::Key key_of(const Question& question) {
    return {question.tuple, question.protocol, question.zone, question.zone_direction};
}

uint64_t add_pointer(Machine& machine, RegionKind kind, uint32_t index) {
    Region region;
    region.kind = kind;
    region.owner = index;
    region.birth = machine.code->slot_of(machine.at);
    machine.note_effect();
    const uint32_t handle = machine.regions.add(region);
    machine.open_references.push_back(handle);
    return make_addr(handle, 0);
}

/// Reads the arguments; null opts = a fault is pending.
Question ask(Machine& machine, const uint64_t* args, const char* kfunc, bool looks_up, int64_t& refusal) {
    Question question;
    if (args[0] != make_addr(kContextHandle, 0)) {
        machine.fault(FaultKind::BadCall, std::string(kfunc) + ": the first argument is not the context");
        return question;
    }
    const auto tuple_size = static_cast<uint32_t>(args[2]);
    question.opts_size = static_cast<uint32_t>(args[4]);
    const uint8_t* tuple = machine.span(args[1], tuple_size, Access::Read, "tuple");
    question.opts =
        tuple == nullptr ? nullptr : machine.span(args[3], question.opts_size, Access::Write, "options");
    if (question.opts != nullptr) {
        refusal = check_question(question, args[1] == 0 ? nullptr : tuple, tuple_size, looks_up,
                                 machine.options.kernel);
    }
    return question;
}

uint64_t refuse(const Question& question, int64_t error) {
    if (question.opts_size >= kError + sizeof(int32_t)) {
        mimicsh::store(question.opts + kError, static_cast<int32_t>(error));
    }
    return 0;
}

uint64_t look_up(Machine& machine, const uint64_t* args, const char* kfunc) {
    int64_t refusal = 0;
    const Question question = ask(machine, args, kfunc, true, refusal);
    if (question.opts == nullptr) {
        return 0;
    }
    if (refusal != 0) {
        return refuse(question, refusal);
    }
    if (!machine.given(machine.world().conntrack, "world.conntrack")) {
        return 0;
    }
    if (const auto found = machine.connections.find(key_of(question), machine.clock_ns)) {
        question.opts[kDirection] = found->second;
        return add_pointer(machine, RegionKind::Connection, found->first);
    }
    return refuse(question, -ENOENT);
}

uint64_t allocate(Machine& machine, const uint64_t* args, const char* kfunc) {
    constexpr uint32_t kTimeoutMs = 10'000;
    int64_t refusal = 0;
    const Question question = ask(machine, args, kfunc, false, refusal);
    if (question.opts == nullptr) {
        return 0;
    }
    if (refusal != 0) {
        return refuse(question, refusal);
    }
    if (!spend_on(machine,
                  machine.open_references.size() + machine.connections.work_of_adding(machine.clock_ns))) {
        return 0;
    }
    World::Connection made;
    made.protocol = question.protocol;
    made.original = question.tuple;
    made.reply = {question.tuple.destination, question.tuple.source};
    made.zone = question.zone;
    made.zone_direction = question.zone_direction;
    made.timeout_ms = kTimeoutMs;
    std::vector<uint32_t> held;
    for (const uint32_t handle : machine.open_references) {
        const Region& region = machine.regions.at(handle);
        if (region.kind == RegionKind::Connection || region.kind == RegionKind::NewConnection) {
            held.push_back(region.owner);
        }
    }
    std::ranges::sort(held);
    machine.note_effect(sizeof(ConntrackTable::Entry));
    const auto number = machine.connections.add(made, machine.clock_ns, held);
    return number ? add_pointer(machine, RegionKind::NewConnection, *number) : refuse(question, -ENOMEM);
}

void give_back(Machine& machine, uint64_t addr, const char* kfunc) {
    machine.note_effect();
    (void)spend_on(machine, machine.open_references.size());
    std::erase(machine.open_references, handle_of(addr));
    machine.regions.kill(handle_of(addr), kfunc);
}

uint64_t change_status(Machine& machine, const uint64_t* args, RegionKind kind, const char* kfunc) {
    const auto number = connection_at(machine, args[0], kind, kfunc);
    if (!number) {
        return 0;
    }
    const uint32_t status = machine.connections[*number].status;
    const auto wanted = static_cast<uint32_t>(args[1]);
    const uint32_t changed = status ^ wanted;
    const uint32_t taken = changed & ~wanted;
    if ((changed & (kExpected | kConfirmed | kDying)) != 0 || (taken & (kSeenReply | kAssured)) != 0) {
        return errno_result(-EBUSY);
    }
    machine.note_effect(sizeof(ConntrackTable::Entry));
    machine.connections.change(*number).status = status | (wanted & ~kUnchangeable); // nothing is taken away
    return 0;
}

} // namespace

uint64_t kfunc_xdp_ct_lookup(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, "bpf_xdp_ct_lookup");
}

uint64_t kfunc_skb_ct_lookup(Machine& machine, const uint64_t* args) {
    return look_up(machine, args, "bpf_skb_ct_lookup");
}

uint64_t kfunc_xdp_ct_alloc(Machine& machine, const uint64_t* args) {
    return allocate(machine, args, "bpf_xdp_ct_alloc");
}

uint64_t kfunc_skb_ct_alloc(Machine& machine, const uint64_t* args) {
    return allocate(machine, args, "bpf_skb_ct_alloc");
}

uint64_t kfunc_ct_insert_entry(Machine& machine, const uint64_t* args) {
    const auto number = connection_at(machine, args[0], RegionKind::NewConnection, "bpf_ct_insert_entry");
    if (!number || !machine.given(machine.world().conntrack, "world.conntrack")) {
        return 0;
    }
    give_back(machine, args[0], "bpf_ct_insert_entry");
    machine.note_effect(sizeof(ConntrackTable::Entry));
    return machine.connections.insert(*number, machine.clock_ns)
               ? add_pointer(machine, RegionKind::Connection, *number)
               : 0;
}

uint64_t kfunc_ct_release(Machine& machine, const uint64_t* args) {
    if (connection_at(machine, args[0], RegionKind::Connection, "bpf_ct_release")) {
        give_back(machine, args[0], "bpf_ct_release");
    }
    return 0;
}

uint64_t kfunc_ct_set_timeout(Machine& machine, const uint64_t* args) {
    if (const auto number =
            connection_at(machine, args[0], RegionKind::NewConnection, "bpf_ct_set_timeout")) {
        machine.note_effect(sizeof(ConntrackTable::Entry));
        machine.connections.set_timeout(*number, static_cast<uint32_t>(args[1]), machine.clock_ns);
    }
    return 0;
}

uint64_t kfunc_ct_change_timeout(Machine& machine, const uint64_t* args) {
    const auto number = connection_at(machine, args[0], RegionKind::Connection, "bpf_ct_change_timeout");
    if (!number) {
        return 0;
    }
    const uint32_t status = machine.connections[*number].status;
    if ((status & kFixedTimeout) != 0) {
        return errno_result(-EPERM);
    }
    machine.note_effect(sizeof(ConntrackTable::Entry));
    machine.connections.set_timeout(*number, static_cast<uint32_t>(args[1]), machine.clock_ns);
    return errno_result((status & kDying) != 0 ? -ETIME : 0);
}

uint64_t kfunc_ct_set_status(Machine& machine, const uint64_t* args) {
    return change_status(machine, args, RegionKind::NewConnection, "bpf_ct_set_status");
}

uint64_t kfunc_ct_change_status(Machine& machine, const uint64_t* args) {
    return change_status(machine, args, RegionKind::Connection, "bpf_ct_change_status");
}

} // namespace mimicsh::vm
