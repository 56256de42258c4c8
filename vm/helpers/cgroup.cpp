// SPDX-License-Identifier: MIT
// The cgroups of sockets, and whether a cgroup lies under one of a map (net/core/filter.c,
// kernel/trace/bpf_trace.c): answers from the scripted world.
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/maps/cgroup_array.h"

namespace mimicsh::vm {

namespace {

/// A cgroup of the world and the path of its fields.
struct Place {
    const World::Cgroup* cgroup = nullptr;
    std::string path;
};

Place task_cgroup(const Machine& machine) {
    return {&machine.world().cgroup, "world.cgroup"};
}

/// The cgroup of a socket by its index; a test run's socket is in the task's.
Place socket_cgroup(const Machine& machine, uint32_t index) {
    static const World::Cgroup kNotGiven;
    if (index + 1 == machine.sockets.size()) {
        return task_cgroup(machine);
    }
    const World::Socket& socket = *machine.sockets[index].scripted;
    return {socket.cgroup ? &*socket.cgroup : &kNotGiven, socket.path + ".cgroup"};
}

/// The cgroup of the buffer's socket; without a place when there is no socket.
Place buffer_cgroup(Machine& machine, uint64_t context, const char* helper) {
    if (context != make_addr(kContextHandle, 0)) {
        machine.fault(FaultKind::BadCall, std::string(helper) + ": the first argument is not the context");
        return {};
    }
    const auto index = buffer_socket(machine);
    if (!index) {
        return {};
    }
    if (const auto& cgroup = machine.world().socket.cgroup) {
        return {&*cgroup, "world.socket.cgroup"};
    }
    return socket_cgroup(machine, *index);
}

uint64_t id_of(Machine& machine, const Place& place) {
    if (place.cgroup == nullptr || !machine.given(place.cgroup->id, place.path + ".id")) {
        return 0;
    }
    return *place.cgroup->id;
}

uint64_t ancestor_of(Machine& machine, const Place& place, uint64_t wanted) {
    const auto level = static_cast<int32_t>(wanted);
    if (place.cgroup == nullptr || !machine.given(place.cgroup->ancestors, place.path + ".ancestors")) {
        return 0;
    }
    const auto& ancestors = *place.cgroup->ancestors;
    return level < 0 || static_cast<size_t>(level) >= ancestors.size()
               ? 0
               : ancestors[static_cast<size_t>(level)];
}

uint64_t is_under(Machine& machine, const Place& place, VmMap& map, uint64_t wanted) {
    const auto index = static_cast<uint32_t>(wanted);
    if (index >= map.info().max_entries) {
        return errno_result(-E2BIG);
    }
    const auto cgroup = static_cast<const CgroupArray&>(map).cgroup(index);
    if (!cgroup) {
        return errno_result(-EAGAIN);
    }
    if (!machine.given(place.cgroup->ancestors, place.path + ".ancestors")) {
        return 0;
    }
    for (const uint64_t ancestor : *place.cgroup->ancestors) {
        if (static_cast<uint32_t>(ancestor) == *cgroup) {
            return 1;
        }
    }
    return 0;
}

} // namespace

uint64_t helper_skb_under_cgroup(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kSkbUnderCgroup = 33;
    VmMap* map = map_argument(machine, args[1], kSkbUnderCgroup);
    const Place place = map == nullptr ? Place{} : buffer_cgroup(machine, args[0], "bpf_skb_under_cgroup");
    if (machine.faulted()) {
        return 0;
    }
    return place.cgroup == nullptr ? errno_result(-ENOENT) : is_under(machine, place, *map, args[2]);
}

uint64_t helper_current_task_under_cgroup(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kTaskUnderCgroup = 37;
    VmMap* map = map_argument(machine, args[0], kTaskUnderCgroup);
    return map == nullptr ? 0 : is_under(machine, task_cgroup(machine), *map, args[1]);
}

uint64_t helper_skb_cgroup_id(Machine& machine, const uint64_t* args) {
    return id_of(machine, buffer_cgroup(machine, args[0], "bpf_skb_cgroup_id"));
}

uint64_t helper_skb_ancestor_cgroup_id(Machine& machine, const uint64_t* args) {
    return ancestor_of(machine, buffer_cgroup(machine, args[0], "bpf_skb_ancestor_cgroup_id"), args[1]);
}

uint64_t helper_skb_cgroup_classid(Machine& machine, const uint64_t* args) {
    const Place place = buffer_cgroup(machine, args[0], "bpf_skb_cgroup_classid");
    if (place.cgroup == nullptr || !machine.given(place.cgroup->classid, place.path + ".classid")) {
        return 0;
    }
    return *place.cgroup->classid;
}

uint64_t helper_sk_cgroup_id(Machine& machine, const uint64_t* args) {
    const auto index = socket_index(machine, args[0], "bpf_sk_cgroup_id");
    return index ? id_of(machine, socket_cgroup(machine, *index)) : 0;
}

uint64_t helper_sk_ancestor_cgroup_id(Machine& machine, const uint64_t* args) {
    const auto index = socket_index(machine, args[0], "bpf_sk_ancestor_cgroup_id");
    return index ? ancestor_of(machine, socket_cgroup(machine, *index), args[1]) : 0;
}

} // namespace mimicsh::vm
