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
    const auto& cookie = machine.world().socket.cookie;
    return machine.given(cookie, "world.socket.cookie") ? *cookie : 0;
}

uint64_t helper_get_socket_uid(Machine& machine, const uint64_t*) {
    const auto& uid = machine.world().socket.uid;
    return machine.given(uid, "world.socket.uid") ? *uid : 0;
}

uint64_t helper_get_netns_cookie(Machine& machine, const uint64_t*) {
    const auto& cookie = machine.world().netns_cookie;
    return machine.given(cookie, "world.netns_cookie") ? *cookie : 0;
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
