// SPDX-License-Identifier: MIT
// Classifiers on devices: tcx links, and filters on clsact for kernels that have no tcx.
#include "kernel/attach_tc.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "kernel/bpf_ids.h"
#include "kernel/bpf_link.h"
#include "kernel/errors.h"
#include "kernel/interfaces.h"
#include "kernel/journal.h"
#include "kernel/netlink.h"
#include "kernel/netns.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "tc.attach";
constexpr uint32_t kFirstPriority = 0xc000; ///< where we look for a free one, downwards
constexpr uint32_t kHandle = 0x6d6d;        ///< of all filters of ours

const char* name(Direction direction) {
    return direction == Direction::Ingress ? "ingress" : "egress";
}

bpf_tc_attach_point point(Direction direction) {
    return direction == Direction::Ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

std::set<std::pair<uint32_t, uint32_t>>& own_filters() {
    static std::set<std::pair<uint32_t, uint32_t>> programs_and_priorities;
    return programs_and_priorities;
}

/// Value of a field of an entry of the journal; 0 where it has none.
uint64_t field(const JournalEntry& entry, const char* wanted) {
    const auto found = entry.fields.find(wanted);
    return found == entry.fields.end() ? 0 : found->second;
}

/// Whether the clsact that carries these filters is ours: one of them is in the journal of a process, this
/// one, another or one that was killed, as on a clsact that was made for us. Then the last to leave takes it
/// along.
bool is_our_qdisc(uint64_t netns, const std::vector<LinkInfo>& filters) {
    const auto entries = Journal::all();
    return std::ranges::any_of(filters, [&](const LinkInfo& filter) {
        return filter.handle == kHandle && std::ranges::any_of(entries, [&](const JournalEntry& entry) {
                   return entry.kind == "clsact" && field(entry, "qdisc") != 0 &&
                          field(entry, "netns") == netns && field(entry, "ifindex") == filter.ifindex &&
                          field(entry, "priority") == filter.priority &&
                          field(entry, "program") == filter.prog_id;
               });
    });
}

/// Calls `each` with all filters of one direction, of any kind and whosever.
Status each_filter(Netlink& netlink, const std::string& device, uint32_t ifindex, Direction direction,
                   const std::function<void(const nlmsghdr*)>& each) {
    NetlinkRequest request(RTM_GETTFILTER, 0);
    auto& header = request.header<tcmsg>();
    header.tcm_family = AF_UNSPEC;
    header.tcm_ifindex = static_cast<int>(ifindex);
    header.tcm_parent =
        TC_H_MAKE(TC_H_CLSACT, direction == Direction::Ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    return netlink.dump(request, device, each);
}

/// Filters with BPF programs of one direction.
Status list_direction(Netlink& netlink, const std::string& device, uint32_t ifindex, Direction direction,
                      std::vector<LinkInfo>& found) {
    return each_filter(netlink, device, ifindex, direction, [&](const nlmsghdr* message) {
        const auto* filter = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
        const auto fields = attributes(message, sizeof(tcmsg));
        if (text(fields, TCA_KIND) != "bpf" || TCA_OPTIONS >= fields.size() ||
            fields[TCA_OPTIONS] == nullptr || filter->tcm_handle == 0) {
            return; // the chain itself has handle 0
        }
        LinkInfo info{.kind = "clsact", .device = device, .ifindex = ifindex, .direction = name(direction)};
        info.prog_id = number(nested_attributes(fields[TCA_OPTIONS]), TCA_BPF_ID);
        info.program = program_name(info.prog_id);
        info.priority = TC_H_MAJ(filter->tcm_info) >> 16;
        info.handle = filter->tcm_handle;
        info.ours = own_filters().contains({info.prog_id, info.priority});
        found.push_back(std::move(info));
    });
}

/// Whether the device has a clsact.
Expected<bool> has_clsact(Netlink& netlink, const std::string& device, uint32_t ifindex) {
    NetlinkRequest request(RTM_GETQDISC, 0);
    auto& header = request.header<tcmsg>();
    header.tcm_family = AF_UNSPEC;
    header.tcm_ifindex = static_cast<int>(ifindex);
    bool found = false;
    auto ok = netlink.dump(request, device, [&](const nlmsghdr* message) {
        const auto* qdisc = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
        found |= qdisc->tcm_ifindex == static_cast<int>(ifindex) &&
                 text(attributes(message, sizeof(tcmsg)), TCA_KIND) == "clsact";
    });
    return ok ? Expected<bool>(found) : Expected<bool>(ok.error());
}

/// Removes a clsact of ours that nothing hangs on any more.
Status remove_qdisc(const std::string& device, uint32_t ifindex) {
    auto netlink = Netlink::open("tc.detach");
    if (!netlink) {
        return netlink.error();
    }
    bool is_used = false;
    for (const Direction direction : {Direction::Ingress, Direction::Egress}) {
        auto ok = each_filter(*netlink, device, ifindex, direction, [&](const nlmsghdr*) { is_used = true; });
        if (!ok) {
            return ok;
        }
    }
    if (!is_used) {
        LIBBPF_OPTS(bpf_tc_hook, hook);
        hook.ifindex = static_cast<int>(ifindex);
        hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
        (void)bpf_tc_hook_destroy(&hook); // gone already is fine
    }
    return {};
}

/// Removes a filter of a program, and with `with_qdisc` the clsact below it when nothing hangs on that now;
/// the calling thread's namespace. False when that filter is not there: the clsact may be another by now, and
/// stays.
Expected<bool> remove_filter(uint32_t ifindex, Direction direction, uint32_t priority, uint32_t prog_id,
                             bool with_qdisc) {
    char device[IF_NAMESIZE] = {};
    if (if_indextoname(ifindex, device) == nullptr) {
        return false;
    }
    auto there = list_clsact(device, ifindex);
    if (!there) {
        return there.error();
    }
    const auto is_it = [&](const LinkInfo& info) {
        return info.direction == name(direction) && info.priority == priority && info.handle == kHandle &&
               info.prog_id == prog_id;
    };
    const bool found = std::ranges::any_of(*there, is_it);
    LIBBPF_OPTS(bpf_tc_hook, hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = point(direction);
    if (found) {
        LIBBPF_OPTS(bpf_tc_opts, opts);
        opts.handle = kHandle;
        opts.priority = priority;
        if (const int failed = bpf_tc_detach(&hook, &opts); failed != 0) {
            return attach_error(-failed, "tc.detach", device);
        }
    }
    if (found && with_qdisc) {
        if (auto ok = remove_qdisc(device, ifindex); !ok) {
            return ok.error();
        }
    }
    return found;
}

/// A filter on clsact: it would stay behind, so it is in the journal while it is there.
class ClsactFilter final : public Link {
  public:
    ClsactFilter(LinkInfo info, Direction direction, uint64_t entry, bool makes_qdisc,
                 std::shared_ptr<NetNs> where)
        : direction_(direction), makes_qdisc_(makes_qdisc), entry_(entry), where_(std::move(where)) {
        info_ = std::move(info);
        info_.ours = true;
        own_filters().insert({info_.prog_id, info_.priority});
    }
    ~ClsactFilter() override { (void)detach(); }

    bool is_attached() const override {
        char device[IF_NAMESIZE] = {};
        const NetNsScope inside(where_);
        return attached_ && (!inside.status() || if_indextoname(info_.ifindex, device) != nullptr);
    }

    Status detach() override {
        if (!attached_) {
            return {};
        }
        {
            const NetNsScope inside(where_);
            if (!inside.status()) {
                return inside.status();
            }
            const auto alone = Journal::lock();
            if (!alone) {
                return alone.error();
            }
            // Killed between taking away the filter and the clsact: the clsact alone is left to undo.
            Journal::own().set(entry_, "attached", 0);
            auto removed =
                remove_filter(info_.ifindex, direction_, info_.priority, info_.prog_id, makes_qdisc_);
            if (!removed) {
                return removed.error();
            }
            attached_ = false;
            own_filters().erase({info_.prog_id, info_.priority});
            Journal::own().remove(entry_);
        }
        where_.reset(); // it would keep the namespace
        return {};
    }

    Status update(Program& program) override {
        const auto fd = kernel_fd(program, "link.update");
        if (!fd) {
            return fd.error();
        }
        if (!attached_) {
            return Error{EBADF, "link.update", info_.device + ": the filter is detached", {}, {}};
        }
        const NetNsScope inside(where_);
        if (!inside.status()) {
            return inside.status();
        }
        LIBBPF_OPTS(bpf_tc_hook, hook);
        hook.ifindex = static_cast<int>(info_.ifindex);
        hook.attach_point = point(direction_);
        LIBBPF_OPTS(bpf_tc_opts, opts);
        opts.handle = kHandle;
        opts.priority = info_.priority;
        opts.prog_fd = *fd;
        opts.flags = BPF_TC_F_REPLACE;
        if (const int failed = bpf_tc_attach(&hook, &opts); failed != 0) {
            return attach_error(-failed, "link.update", info_.device);
        }
        own_filters().erase({info_.prog_id, info_.priority});
        info_.prog_id = program_id(*fd);
        info_.program = program_name(info_.prog_id);
        own_filters().insert({info_.prog_id, info_.priority});
        Journal::own().set(entry_, "program", info_.prog_id);
        return {};
    }

    Status pin(const std::string& path) override {
        return Error{ENOTSUP,
                     "link.pin",
                     path + ": a clsact filter is no bpf_link",
                     "only links can be pinned: tcx (Linux 6.6 and newer) and xdp",
                     {}};
    }

  private:
    Direction direction_;
    bool makes_qdisc_; ///< the clsact is ours, of this process or of another
    uint64_t entry_;
    std::shared_ptr<NetNs> where_; ///< while it is attached
};

Expected<std::unique_ptr<Link>> attach_clsact(int prog_fd, LinkInfo info, const TcOptions& options) {
    auto netlink = Netlink::open(kOp);
    if (!netlink) {
        return netlink.error();
    }
    auto where = NetNs::current();
    if (!where) {
        return where.error();
    }
    const auto alone = Journal::lock(); // nobody of ours takes the clsact away meanwhile
    if (!alone) {
        return alone.error();
    }
    const auto had_qdisc = has_clsact(*netlink, info.device, info.ifindex);
    if (!had_qdisc) {
        return had_qdisc.error();
    }
    const auto there = list_clsact(info.device, info.ifindex);
    if (!there) {
        return there.error();
    }
    const auto is_taken = [&](uint32_t priority) {
        return std::ranges::any_of(*there, [&](const LinkInfo& filter) {
            return filter.direction == info.direction && filter.priority == priority;
        });
    };
    info.kind = "clsact";
    info.handle = kHandle;
    info.priority = options.priority != 0 ? options.priority : kFirstPriority;
    while (options.priority == 0 && is_taken(info.priority)) {
        --info.priority;
    }
    if (is_taken(info.priority)) {
        return Error{EBUSY,
                     kOp,
                     info.device + ": priority " + std::to_string(info.priority) +
                         " is taken by another filter",
                     "leave prio= out to get a free one",
                     {}};
    }
    const bool makes_qdisc = !*had_qdisc || is_our_qdisc((*where)->inode(), *there);
    auto entry = Journal::own().add({"clsact",
                                     {{"netns", (*where)->inode()},
                                      {"ifindex", info.ifindex},
                                      {"egress", options.direction == Direction::Egress ? 1 : 0},
                                      {"priority", info.priority},
                                      {"program", info.prog_id},
                                      {"qdisc", makes_qdisc ? 1 : 0}}});
    if (!entry) {
        return entry.error();
    }
    LIBBPF_OPTS(bpf_tc_hook, hook);
    hook.ifindex = static_cast<int>(info.ifindex);
    hook.attach_point = point(options.direction);
    int failed = *had_qdisc ? 0 : bpf_tc_hook_create(&hook);
    const bool has_made = !*had_qdisc && failed == 0;
    if (failed == 0) {
        LIBBPF_OPTS(bpf_tc_opts, opts);
        opts.handle = kHandle;
        opts.priority = info.priority;
        opts.prog_fd = prog_fd;
        failed = bpf_tc_attach(&hook, &opts);
    }
    if (failed != 0) {
        if (has_made) {
            (void)remove_qdisc(info.device, info.ifindex);
        }
        Journal::own().remove(*entry);
        return attach_error(-failed, kOp, info.device);
    }
    Journal::own().set(*entry, "attached", 1);
    return std::unique_ptr<Link>(std::make_unique<ClsactFilter>(std::move(info), options.direction, *entry,
                                                                makes_qdisc, std::move(*where)));
}

} // namespace

Expected<std::vector<LinkInfo>> list_clsact(const std::string& device, uint32_t ifindex) {
    std::vector<LinkInfo> found;
    auto netlink = Netlink::open("link.list");
    if (!netlink) {
        return netlink.error();
    }
    const auto there = has_clsact(*netlink, device, ifindex);
    if (!there || !*there) {
        return there ? Expected<std::vector<LinkInfo>>(found)
                     : Expected<std::vector<LinkInfo>>(there.error());
    }
    for (const Direction direction : {Direction::Ingress, Direction::Egress}) {
        if (auto ok = list_direction(*netlink, device, ifindex, direction, found); !ok) {
            return ok.error();
        }
    }
    return found;
}

std::string undo_clsact(const JournalEntry& entry) {
    const auto ifindex = static_cast<uint32_t>(field(entry, "ifindex"));
    const auto program = static_cast<uint32_t>(field(entry, "program"));
    const Direction direction = field(entry, "egress") != 0 ? Direction::Egress : Direction::Ingress;
    const std::string what = "clsact filter of program " + std::to_string(program) + " on interface " +
                             std::to_string(ifindex) + " " + name(direction);
    const auto where = NetNs::find(field(entry, "netns"));
    if (!where) {
        return what + ": gone with its network namespace";
    }
    const NetNsScope inside(*where);
    if (!inside.status()) {
        return what + ": not removed: " + inside.status().error().message();
    }
    const auto alone = Journal::lock();
    if (!alone) {
        return what + ": not removed: " + alone.error().message();
    }
    const bool with_qdisc = field(entry, "qdisc") != 0;
    const auto removed = remove_filter(ifindex, direction, static_cast<uint32_t>(field(entry, "priority")),
                                       program, with_qdisc);
    // Killed between making the clsact and the filter: there is only the former.
    char device[IF_NAMESIZE] = {};
    if (removed && !*removed && with_qdisc && field(entry, "attached") == 0 &&
        if_indextoname(ifindex, device) != nullptr) {
        (void)remove_qdisc(device, ifindex);
    }
    return what + (!removed   ? ": not removed: " + removed.error().message()
                   : *removed ? ": removed"
                              : ": gone already");
}

Expected<std::unique_ptr<Link>> attach_tc(Program& program, const std::string& device,
                                          const TcOptions& options) {
    const auto prog_fd = kernel_fd(program, kOp);
    if (!prog_fd) {
        return prog_fd.error();
    }
    if (program.type() != abi::ProgType::SchedCls && program.type() != abi::ProgType::SchedAct) {
        return Error{EINVAL,
                     kOp,
                     program.name() + " is of type " + std::string(abi::name(program.type())) +
                         ", not sched_cls",
                     {},
                     {}};
    }
    const auto ifindex = interface_index(device, kOp);
    if (!ifindex) {
        return ifindex.error();
    }
    LinkInfo info{.kind = "tcx", .device = device, .ifindex = *ifindex, .direction = name(options.direction)};
    info.prog_id = program_id(*prog_fd);
    info.program = program_name(info.prog_id);
    if (options.kind == TcKind::Clsact) {
        return attach_clsact(*prog_fd, std::move(info), options);
    }
    const auto type = static_cast<bpf_attach_type>(
        options.direction == Direction::Ingress ? abi::AttachType::TcxIngress : abi::AttachType::TcxEgress);
    Fd link(bpf_link_create(*prog_fd, static_cast<int>(*ifindex), type, nullptr));
    if (link.valid()) {
        return std::unique_ptr<Link>(std::make_unique<BpfLink>(std::move(link), std::move(info)));
    }
    const int code = errno;
    if (code != EINVAL) {
        return attach_error(code, kOp, device);
    }
    if (options.kind == TcKind::Tcx) {
        return Error{ENOTSUP,
                     kOp,
                     device + ": this kernel has no tcx",
                     "Linux 6.6 brought it; kind=\"clsact\" works before",
                     {}};
    }
    info.note = "this kernel has no tcx; attached to clsact";
    return attach_clsact(*prog_fd, std::move(info), options);
}

} // namespace mimicsh::kernel
