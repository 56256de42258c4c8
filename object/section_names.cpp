// SPDX-License-Identifier: MIT
// Section names to program types: the table that libbpf users know from SEC("...").
#include "object/section_names.h"

#include <array>

#include "object/object.h"

namespace mimicsh {

namespace {

using abi::AttachType;
using abi::ProgType;

/// One section name. With `takes_target`, "name" and "name/anything" match, else the name alone.
struct Row {
    std::string_view name;
    ProgType type;
    uint32_t attach = static_cast<uint32_t>(AttachType::None); ///< enum bpf_attach_type
    uint32_t flags = 0;
    bool takes_target = false;
};

constexpr uint32_t kNone = static_cast<uint32_t>(AttachType::None);
constexpr uint32_t kFrags = abi::kProgXdpHasFrags;
constexpr uint32_t kSleep = abi::kProgSleepable;

constexpr std::array kRows{
    Row{"socket", ProgType::SocketFilter},
    Row{"sk_reuseport/migrate", ProgType::SkReuseport, 40},
    Row{"sk_reuseport", ProgType::SkReuseport, 39},
    Row{"kprobe", ProgType::Kprobe, kNone, 0, true},
    Row{"kretprobe", ProgType::Kprobe, kNone, 0, true},
    Row{"uprobe", ProgType::Kprobe, kNone, 0, true},
    Row{"uprobe.s", ProgType::Kprobe, kNone, kSleep, true},
    Row{"uretprobe", ProgType::Kprobe, kNone, 0, true},
    Row{"uretprobe.s", ProgType::Kprobe, kNone, kSleep, true},
    Row{"kprobe.multi", ProgType::Kprobe, 42, 0, true},
    Row{"kretprobe.multi", ProgType::Kprobe, 42, 0, true},
    Row{"ksyscall", ProgType::Kprobe, kNone, 0, true},
    Row{"kretsyscall", ProgType::Kprobe, kNone, 0, true},
    Row{"usdt", ProgType::Kprobe, kNone, 0, true},
    Row{"tc", ProgType::SchedCls},
    Row{"classifier", ProgType::SchedCls},
    Row{"action", ProgType::SchedAct},
    Row{"tc/ingress", ProgType::SchedCls, 46},
    Row{"tc/egress", ProgType::SchedCls, 47},
    Row{"tcx/ingress", ProgType::SchedCls, 46},
    Row{"tcx/egress", ProgType::SchedCls, 47},
    Row{"netkit/primary", ProgType::SchedCls, 54},
    Row{"netkit/peer", ProgType::SchedCls, 55},
    Row{"tracepoint", ProgType::Tracepoint, kNone, 0, true},
    Row{"tp", ProgType::Tracepoint, kNone, 0, true},
    Row{"raw_tracepoint", ProgType::RawTracepoint, kNone, 0, true},
    Row{"raw_tp", ProgType::RawTracepoint, kNone, 0, true},
    Row{"raw_tracepoint.w", ProgType::RawTracepointWritable, kNone, 0, true},
    Row{"raw_tp.w", ProgType::RawTracepointWritable, kNone, 0, true},
    Row{"tp_btf", ProgType::Tracing, 23, 0, true},
    Row{"fentry", ProgType::Tracing, 24, 0, true},
    Row{"fentry.s", ProgType::Tracing, 24, kSleep, true},
    Row{"fmod_ret", ProgType::Tracing, 26, 0, true},
    Row{"fmod_ret.s", ProgType::Tracing, 26, kSleep, true},
    Row{"fexit", ProgType::Tracing, 25, 0, true},
    Row{"fexit.s", ProgType::Tracing, 25, kSleep, true},
    Row{"freplace", ProgType::Ext, kNone, 0, true},
    Row{"lsm", ProgType::Lsm, 27, 0, true},
    Row{"lsm.s", ProgType::Lsm, 27, kSleep, true},
    Row{"lsm_cgroup", ProgType::Lsm, 43, 0, true},
    Row{"iter", ProgType::Tracing, 28, 0, true},
    Row{"iter.s", ProgType::Tracing, 28, kSleep, true},
    Row{"syscall", ProgType::Syscall, kNone, kSleep},
    Row{"xdp.frags/devmap", ProgType::Xdp, 33, kFrags},
    Row{"xdp/devmap", ProgType::Xdp, 33},
    Row{"xdp.frags/cpumap", ProgType::Xdp, 35, kFrags},
    Row{"xdp/cpumap", ProgType::Xdp, 35},
    Row{"xdp.frags", ProgType::Xdp, 37, kFrags},
    Row{"xdp", ProgType::Xdp, 37},
    Row{"perf_event", ProgType::PerfEvent},
    Row{"lwt_in", ProgType::LwtIn},
    Row{"lwt_out", ProgType::LwtOut},
    Row{"lwt_xmit", ProgType::LwtXmit},
    Row{"lwt_seg6local", ProgType::LwtSeg6local},
    Row{"sockops", ProgType::SockOps, 3},
    Row{"sk_skb/stream_parser", ProgType::SkSkb, 4},
    Row{"sk_skb/stream_verdict", ProgType::SkSkb, 5},
    Row{"sk_skb/verdict", ProgType::SkSkb, 38},
    Row{"sk_skb", ProgType::SkSkb},
    Row{"sk_msg", ProgType::SkMsg, 7},
    Row{"lirc_mode2", ProgType::LircMode2, 16},
    Row{"flow_dissector", ProgType::FlowDissector, 17},
    Row{"cgroup_skb/ingress", ProgType::CgroupSkb, 0},
    Row{"cgroup_skb/egress", ProgType::CgroupSkb, 1},
    Row{"cgroup/skb", ProgType::CgroupSkb},
    Row{"cgroup/sock_create", ProgType::CgroupSock, 2},
    Row{"cgroup/sock_release", ProgType::CgroupSock, 34},
    Row{"cgroup/sock", ProgType::CgroupSock, 2},
    Row{"cgroup/post_bind4", ProgType::CgroupSock, 12},
    Row{"cgroup/post_bind6", ProgType::CgroupSock, 13},
    Row{"cgroup/bind4", ProgType::CgroupSockAddr, 8},
    Row{"cgroup/bind6", ProgType::CgroupSockAddr, 9},
    Row{"cgroup/connect4", ProgType::CgroupSockAddr, 10},
    Row{"cgroup/connect6", ProgType::CgroupSockAddr, 11},
    Row{"cgroup/sendmsg4", ProgType::CgroupSockAddr, 14},
    Row{"cgroup/sendmsg6", ProgType::CgroupSockAddr, 15},
    Row{"cgroup/recvmsg4", ProgType::CgroupSockAddr, 19},
    Row{"cgroup/recvmsg6", ProgType::CgroupSockAddr, 20},
    Row{"cgroup/getpeername4", ProgType::CgroupSockAddr, 29},
    Row{"cgroup/getpeername6", ProgType::CgroupSockAddr, 30},
    Row{"cgroup/getsockname4", ProgType::CgroupSockAddr, 31},
    Row{"cgroup/getsockname6", ProgType::CgroupSockAddr, 32},
    Row{"cgroup/sysctl", ProgType::CgroupSysctl, 18},
    Row{"cgroup/getsockopt", ProgType::CgroupSockopt, 21},
    Row{"cgroup/setsockopt", ProgType::CgroupSockopt, 22},
    Row{"cgroup/dev", ProgType::CgroupDevice, 6},
    Row{"sk_lookup", ProgType::SkLookup, 36},
    Row{"netfilter", ProgType::Netfilter, 45},
};

} // namespace

std::vector<std::string_view> section_names() {
    std::vector<std::string_view> names;
    for (const Row& row : kRows) {
        names.push_back(row.name);
    }
    return names;
}

std::optional<ProgramSpec> spec_of_section(std::string_view section) {
    if (section.starts_with('?')) {
        section.remove_prefix(1); // libbpf's mark for "not loaded unless asked for"
    }
    for (const Row& row : kRows) {
        if (!section.starts_with(row.name)) {
            continue;
        }
        const std::string_view rest = section.substr(row.name.size());
        const bool has_target = row.takes_target && rest.starts_with('/');
        if (rest.empty() || has_target) {
            return ProgramSpec{row.type, static_cast<AttachType>(row.attach), row.flags,
                               std::string(has_target ? rest.substr(1) : rest)};
        }
    }
    return std::nullopt;
}

std::string section_of_spec(const ProgramSpec& spec) {
    constexpr uint32_t kKept = kFrags | kSleep;
    if (spec.type == ProgType::Memory) {
        return "memory";
    }
    for (const Row& row : kRows) {
        if (row.type == spec.type && row.attach == static_cast<uint32_t>(spec.attach_type) &&
            row.flags == (spec.flags & kKept)) {
            return std::string(row.name) + (spec.attach_target.empty() ? "" : "/" + spec.attach_target);
        }
    }
    return {};
}

std::optional<AttachType> usual_attach_type(ProgType type) {
    if (type == ProgType::Xdp) {
        return AttachType::Xdp;
    }
    std::optional<uint32_t> found;
    for (const Row& row : kRows) {
        if (row.type != type) {
            continue;
        }
        if (row.attach == kNone) {
            return AttachType::None;
        }
        if (found && *found != row.attach) {
            return std::nullopt;
        }
        found = row.attach;
    }
    return found ? std::optional(static_cast<AttachType>(*found)) : std::nullopt;
}

} // namespace mimicsh
