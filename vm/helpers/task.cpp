// SPDX-License-Identifier: MIT
// The current task, its cgroup, the buffer's socket, and reads of kernel memory: answers from the scripted
// world.
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"

namespace mimicsh::vm {

uint64_t helper_get_current_pid_tgid(Machine& machine, const uint64_t*) {
    const World::Task& task = machine.world().task;
    if (!machine.given(task.pid, "world.task.pid") || !machine.given(task.tgid, "world.task.tgid")) {
        return 0;
    }
    return uint64_t{*task.tgid} << 32 | *task.pid;
}

uint64_t helper_get_current_uid_gid(Machine& machine, const uint64_t*) {
    const World::Task& task = machine.world().task;
    if (!machine.given(task.uid, "world.task.uid") || !machine.given(task.gid, "world.task.gid")) {
        return 0;
    }
    return uint64_t{*task.gid} << 32 | *task.uid;
}

uint64_t helper_get_current_comm(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    uint8_t* out = machine.span(args[0], size, Access::Write, "buffer");
    const auto& comm = machine.world().task.comm;
    if (out == nullptr || !machine.given(comm, "world.task.comm")) {
        return 0;
    }
    std::fill_n(out, size, uint8_t{0});
    std::copy_n(comm->begin(), std::min<size_t>(comm->size(), size == 0 ? 0 : size - 1), out);
    return 0;
}

uint64_t helper_get_ns_current_pid_tgid(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kInfoSize = 8; // struct bpf_pidns_info
    const auto size = static_cast<uint32_t>(args[3]);
    uint8_t* out = machine.span(args[2], size, Access::Write, "buffer");
    if (out == nullptr) {
        return 0;
    }
    const auto& ns = machine.world().task.pid_namespace;
    std::fill_n(out, size, uint8_t{0});
    if (size != kInfoSize) {
        return errno_result(-EINVAL);
    }
    if (!machine.given(ns, "world.task.ns")) {
        return 0;
    }
    if (args[0] != ns->dev || args[1] != ns->ino) {
        return errno_result(-EINVAL);
    }
    mimicsh::store<uint32_t>(out, ns->pid);
    mimicsh::store<uint32_t>(out + 4, ns->tgid);
    return 0;
}

uint64_t helper_get_current_task(Machine&, const uint64_t*) {
    return make_addr(kTaskHandle, 0);
}

namespace {

/// Whether an argument is the current task; a fault is pending when not.
bool is_task(Machine& machine, uint64_t addr, const char* helper) {
    if (addr != make_addr(kTaskHandle, 0)) {
        machine.fault(FaultKind::BadCall, std::string(helper) + ": the first argument is no task", {}, addr);
    }
    return !machine.faulted();
}

/// An entry of a stack as struct bpf_stack_build_id: status, build id, offset or address.
void put_build_id(const World::Task::StackEntry& entry, uint8_t* out) {
    constexpr int32_t kValid = 1, kAddressOnly = 2; // enum bpf_stack_build_id_status
    mimicsh::store(out, entry.build_id ? kValid : kAddressOnly);
    if (entry.build_id) {
        std::copy(entry.build_id->begin(), entry.build_id->end(), out + 4);
    }
    mimicsh::store(out + 24, entry.build_id ? entry.offset : entry.address);
}

} // namespace

// __bpf_get_stack (kernel/bpf/stackmap.c)
uint64_t helper_get_task_stack(Machine& machine, const uint64_t* args) {
    constexpr uint64_t kSkip = 0xff, kUser = 1 << 8, kBuildId = 1 << 11;
    constexpr size_t kMaxDepth = 127; // kernel.perf_event_max_stack
    if (!is_task(machine, args[0], "bpf_get_task_stack")) {
        return 0;
    }
    const auto size = static_cast<uint32_t>(args[2]);
    const uint64_t flags = args[3];
    uint8_t* out = machine.span(args[1], size, Access::Write, "buffer");
    if (out == nullptr) {
        return 0;
    }
    std::fill_n(out, size, uint8_t{0});
    const bool user = (flags & kUser) != 0;
    const bool build_ids = (flags & kBuildId) != 0;
    const uint32_t element = build_ids ? 32 : 8;
    if ((flags & ~(kSkip | kUser | kBuildId)) != 0 || (build_ids && !user) || size % element != 0) {
        return errno_result(-EINVAL);
    }
    const World::Task& task = machine.world().task;
    const auto& stack = user ? task.user_stack : task.stack;
    if (!machine.given(stack, user ? "world.task.user_stack" : "world.task.stack")) {
        return 0;
    }
    const size_t skip = flags & kSkip;
    const size_t wanted = size / element;
    const size_t depth = std::min({stack->size(), wanted + skip, kMaxDepth});
    if (depth < skip) {
        return errno_result(-EFAULT);
    }
    const size_t count = std::min(depth - skip, wanted);
    for (size_t i = 0; i < count; ++i) {
        const World::Task::StackEntry& entry = (*stack)[skip + i];
        if (build_ids) {
            put_build_id(entry, out + i * element);
        } else {
            mimicsh::store(out + i * element, entry.address);
        }
    }
    return count * element;
}

uint64_t helper_task_pt_regs(Machine& machine, const uint64_t* args) {
    return is_task(machine, args[0], "bpf_task_pt_regs")
               ? run_kernel_struct(machine, KernelStruct::Registers, 0)
               : 0;
}

uint64_t helper_get_cgroup_classid(Machine& machine, const uint64_t*) {
    const auto& classid = machine.world().cgroup.classid;
    return machine.given(classid, "world.cgroup.classid") ? *classid : 0;
}

uint64_t helper_get_current_cgroup_id(Machine& machine, const uint64_t*) {
    const auto& id = machine.world().cgroup.id;
    return machine.given(id, "world.cgroup.id") ? *id : 0;
}

uint64_t helper_get_current_ancestor_cgroup_id(Machine& machine, const uint64_t* args) {
    const auto level = static_cast<int32_t>(args[0]);
    const auto& ancestors = machine.world().cgroup.ancestors;
    if (!machine.given(ancestors, "world.cgroup.ancestors") || level < 0 ||
        static_cast<size_t>(level) >= ancestors->size()) {
        return 0;
    }
    return (*ancestors)[static_cast<size_t>(level)];
}

uint64_t helper_get_route_realm(Machine& machine, const uint64_t*) {
    const auto& realm = machine.world().route_realm;
    return machine.given(realm, "world.route_realm") ? *realm : 0;
}

uint64_t helper_get_socket_cookie(Machine& machine, const uint64_t*) {
    const World::BufferSocket& socket = machine.world().socket;
    if (!buffer_socket(machine)) {
        return 0;
    }
    return machine.given(socket.cookie, "world.socket.cookie") ? *socket.cookie : 0;
}

uint64_t helper_get_socket_uid(Machine& machine, const uint64_t*) {
    constexpr uint32_t kOverflowUid = 65534; // kernel.overflowuid
    constexpr uint8_t kTimeWait = 6;         // a socket that has no owner any more
    const auto index = buffer_socket(machine);
    if (!index || machine.sockets[*index].scripted->state == kTimeWait) {
        return kOverflowUid;
    }
    const World::BufferSocket& socket = machine.world().socket;
    return machine.given(socket.uid, "world.socket.uid") ? *socket.uid : 0;
}

uint64_t helper_get_netns_cookie(Machine& machine, const uint64_t* args) {
    const World& world = machine.world();
    if (args[0] == 0 || !buffer_socket(machine)) { // of the namespace that was there first
        return machine.given(world.init_netns_cookie, "world.init_netns_cookie") ? *world.init_netns_cookie
                                                                                 : 0;
    }
    return machine.given(world.netns_cookie, "world.netns_cookie") ? *world.netns_cookie : 0;
}

// -- Reads that may fail (kernel/trace/bpf_trace.c) --

namespace {

/// The struct of the kernel that an address leads into, or null.
const Region* kernel_struct_at(const Machine& machine, uint64_t addr) {
    const uint32_t handle = handle_of(addr);
    const bool is_one = handle < machine.regions.size() && struct_of(machine.regions.at(handle));
    return is_one ? &machine.regions.at(handle) : nullptr;
}

/// Numbers that are no guest address stand for addresses of user space, which is not even tried.
uint64_t unreadable(uint64_t addr) {
    return errno_result(handle_of(addr) == 0 ? -ERANGE : -EFAULT);
}

} // namespace

uint64_t helper_probe_read_kernel(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    uint8_t* out = machine.span(args[0], size, Access::Write, "buffer");
    if (out == nullptr) {
        return 0;
    }
    if (const Region* region = kernel_struct_at(machine, args[2]); region != nullptr && size != 0) {
        (void)read_kernel_struct(machine, *region, offset_of(args[2]), ByteSpan(out, size));
        return 0;
    }
    const bool readable = machine.can_access(args[2], size, Access::Read);
    const uint8_t* from = readable ? machine.span(args[2], size, Access::Read, "kernel memory") : nullptr;
    if (from == nullptr) {
        std::fill_n(out, size, uint8_t{0});
        return unreadable(args[2]);
    }
    std::memmove(out, from, size);
    return 0;
}

uint64_t helper_probe_read_kernel_str(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    uint8_t* out = machine.span(args[0], size, Access::Write, "buffer");
    if (out == nullptr) {
        return 0;
    }
    for (uint32_t i = 0; i < size; ++i) {
        if (const Region* region = kernel_struct_at(machine, args[2] + i)) {
            if (!read_kernel_struct(machine, *region, offset_of(args[2] + i), ByteSpan(out + i, 1)) ||
                out[i] == 0) {
                return i + 1;
            }
            continue;
        }
        const bool readable = machine.can_access(args[2] + i, 1, Access::Read);
        const uint8_t* from =
            readable ? machine.span(args[2] + i, 1, Access::Read, "kernel memory") : nullptr;
        if (from == nullptr) {
            std::fill_n(out, size, uint8_t{0});
            return unreadable(args[2]);
        }
        out[i] = *from;
        if (*from == 0) {
            return i + 1;
        }
    }
    if (size != 0) {
        out[size - 1] = 0;
    }
    return size;
}

uint64_t helper_probe_read_user(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    uint8_t* out = machine.span(args[0], size, Access::Write, "buffer");
    if (out == nullptr) {
        return 0;
    }
    // There is no user memory here, and guest addresses are kernel addresses.
    std::fill_n(out, size, uint8_t{0});
    return errno_result(-EFAULT);
}

uint64_t helper_probe_read_user_str(Machine& machine, const uint64_t* args) {
    return static_cast<uint32_t>(args[1]) == 0 ? 0 : helper_probe_read_user(machine, args);
}

} // namespace mimicsh::vm
