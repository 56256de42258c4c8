// SPDX-License-Identifier: MIT
// Everything that is attached to the interfaces of a network namespace, by asking each of them.
#include <array>
#include <cerrno>
#include <cstring>

#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "kernel/attach_tc.h"
#include "kernel/bpf_ids.h"
#include "kernel/bpf_link.h"
#include "kernel/errors.h"
#include "kernel/interfaces.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "link.list";
constexpr uint32_t kMost = 64; ///< programs in a row: BPF_MPROG_MAX

/// The XDP link with a program on a device, by walking all links: an id, or 0 when it was attached without
/// one.
uint32_t xdp_link(uint32_t ifindex, uint32_t prog_id) {
    for (uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
        const Fd fd(bpf_link_get_fd_by_id(id));
        bpf_link_info info{};
        uint32_t size = sizeof info;
        if (fd.valid() && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 &&
            info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == ifindex && info.prog_id == prog_id) {
            return id;
        }
    }
    return 0;
}

void list_xdp(const Interface& device, std::vector<LinkInfo>& found) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    if (bpf_xdp_query(static_cast<int>(device.index), 0, &query) != 0) {
        return; // gone meanwhile
    }
    for (const auto& [mode, id] :
         {std::pair{"native", query.drv_prog_id}, {"skb", query.skb_prog_id}, {"hw", query.hw_prog_id}}) {
        if (id != 0) {
            LinkInfo info{.kind = "xdp", .device = device.name, .ifindex = device.index, .mode = mode};
            info.link_id = xdp_link(device.index, id);
            info.prog_id = id;
            info.program = program_name(id);
            info.ours = is_own_link(info.link_id);
            found.push_back(std::move(info));
        }
    }
}

/// BPF_PROG_QUERY as Linux 6.6 has it; the headers at hand stop before the ids of links.
struct ProgQuery {
    uint32_t target_ifindex = 0;
    uint32_t attach_type = 0;
    uint32_t query_flags = 0;
    uint32_t attach_flags = 0;
    uint64_t prog_ids = 0;
    uint32_t count = 0;
    uint32_t padding = 0;
    uint64_t prog_attach_flags = 0;
    uint64_t link_ids = 0;
    uint64_t link_attach_flags = 0;
    uint64_t revision = 0;
};

Status list_tcx(const Interface& device, abi::AttachType type, const char* direction,
                std::vector<LinkInfo>& found) {
    std::array<uint32_t, kMost> programs{};
    std::array<uint32_t, kMost> links{};
    ProgQuery query;
    query.target_ifindex = device.index;
    query.attach_type = static_cast<uint32_t>(type);
    query.prog_ids = reinterpret_cast<uintptr_t>(programs.data());
    query.link_ids = reinterpret_cast<uintptr_t>(links.data());
    query.count = kMost;
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0) {
        // Anything else: no tcx in this kernel, or nothing attached.
        return errno == EPERM ? Status{attach_error(errno, kOp, device.name + ": tcx")} : Status{};
    }
    for (uint32_t i = 0; i < std::min(query.count, kMost); ++i) {
        LinkInfo info{.kind = "tcx", .device = device.name, .ifindex = device.index, .direction = direction};
        info.link_id = links.at(i);
        info.prog_id = programs.at(i);
        info.program = program_name(info.prog_id);
        info.ours = is_own_link(info.link_id);
        found.push_back(std::move(info));
    }
    return {};
}

} // namespace

Expected<std::vector<LinkInfo>> list_links() {
    libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
    const auto devices = interfaces(kOp);
    if (!devices) {
        return devices.error();
    }
    std::vector<LinkInfo> found;
    for (const Interface& device : *devices) {
        list_xdp(device, found);
        for (const auto& [type, direction] :
             {std::pair{abi::AttachType::TcxIngress, "ingress"}, {abi::AttachType::TcxEgress, "egress"}}) {
            if (auto ok = list_tcx(device, type, direction, found); !ok) {
                return ok.error();
            }
        }
        auto filters = list_clsact(device.name, device.index);
        if (!filters) {
            return filters.error();
        }
        found.insert(found.end(), filters->begin(), filters->end());
    }
    return found;
}

} // namespace mimicsh::kernel
