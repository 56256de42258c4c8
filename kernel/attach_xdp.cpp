// SPDX-License-Identifier: MIT
// XDP programs on devices, as bpf_links.
#include <array>
#include <cerrno>

#include <linux/if_link.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "kernel/bpf_ids.h"
#include "kernel/bpf_link.h"
#include "kernel/errors.h"
#include "kernel/interfaces.h"

namespace mimicsh::kernel {

namespace {

constexpr const char* kOp = "xdp.attach";

struct ModeRow {
    XdpMode mode;
    const char* name;
    uint32_t flag;
};
constexpr std::array kModes{ModeRow{XdpMode::Native, "native", XDP_FLAGS_DRV_MODE},
                            ModeRow{XdpMode::Skb, "skb", XDP_FLAGS_SKB_MODE},
                            ModeRow{XdpMode::Hw, "hw", XDP_FLAGS_HW_MODE}};

const ModeRow& row_of(XdpMode mode) {
    return mode == XdpMode::Skb ? kModes[1] : mode == XdpMode::Hw ? kModes[2] : kModes[0];
}

/// Who is there already, for the message.
std::string occupant(uint32_t ifindex) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    if (bpf_xdp_query(static_cast<int>(ifindex), 0, &query) != 0) {
        return "another program";
    }
    const uint32_t id = query.prog_id != 0       ? query.prog_id
                        : query.drv_prog_id != 0 ? query.drv_prog_id
                                                 : query.skb_prog_id;
    const std::string name = program_name(id);
    return (name == "xdp_dispatcher" ? "libxdp's dispatcher" : "program '" + name + "'") + " (id " +
           std::to_string(id) + ") in mode " +
           (query.drv_prog_id != 0  ? "native"
            : query.hw_prog_id != 0 ? "hw"
                                    : "skb");
}

/// What stands behind a driver's refusal, as far as the device shows it.
std::string reason_of(int code, const std::string& device) {
    const uint32_t mtu = interface_mtu(device).value_or(0);
    switch (code) {
    case EOPNOTSUPP:
        return "the driver has no such mode";
    case ERANGE:
    case EINVAL:
        return mtu > 1500 ? "the driver refuses it, perhaps for the MTU of " + std::to_string(mtu)
                          : "the driver refuses it";
    default:
        return errno_error(code, "", "").text;
    }
}

Error refusal(int code, const std::string& device, uint32_t ifindex, const ModeRow& mode) {
    if (code == EBUSY || code == EEXIST) {
        return Error{EBUSY,
                     kOp,
                     device + ": taken by " + occupant(ifindex),
                     "link.list() shows what is attached; detach it there, or use another device",
                     {}};
    }
    if (code == EPERM || code == EACCES) {
        return attach_error(code, kOp, device);
    }
    Error error{code, kOp, device + ": mode " + mode.name + ": " + reason_of(code, device), {}, {}};
    error.hint = mode.mode == XdpMode::Hw
                     ? "few drivers run programs on the card; mode=\"native\" runs them in the driver"
                 : mode.mode == XdpMode::Native
                     ? "mode=\"skb\" works on every device, mode=\"auto\" falls back to it"
                     : "";
    return error;
}

int try_mode(int prog_fd, uint32_t ifindex, const ModeRow& mode) {
    LIBBPF_OPTS(bpf_link_create_opts, opts);
    opts.flags = mode.flag;
    return bpf_link_create(prog_fd, static_cast<int>(ifindex), BPF_XDP, &opts);
}

} // namespace

bool is_for_devices(const Program& program) {
    const auto type = program.linked().spec.attach_type;
    return type != abi::AttachType::XdpDevmap && type != abi::AttachType::XdpCpumap;
}

Expected<std::unique_ptr<Link>> attach_xdp(Program& program, const std::string& device,
                                           const XdpOptions& options) {
    const auto prog_fd = kernel_fd(program, kOp);
    if (!prog_fd) {
        return prog_fd.error();
    }
    if (program.type() != abi::ProgType::Xdp) {
        return Error{EINVAL,
                     kOp,
                     program.name() + " is of type " + std::string(abi::name(program.type())) + ", not xdp",
                     {},
                     {}};
    }
    if (!is_for_devices(program)) {
        return Error{
            EINVAL,
            kOp,
            program.name() + " is for entries of a device or CPU map, not for devices",
            "give it to an entry: inst.maps.NAME[key] = {ifindex=, prog=}, of a CPU map {qsize=, prog=}",
            {}};
    }
    const auto ifindex = interface_index(device, kOp);
    if (!ifindex) {
        return ifindex.error();
    }
    const ModeRow* mode = &row_of(options.mode);
    LinkInfo info{.kind = "xdp", .device = device, .ifindex = *ifindex};
    Fd link(try_mode(*prog_fd, *ifindex, *mode));
    int code = link.valid() ? 0 : errno;
    const bool driver_refused = code == EOPNOTSUPP || code == EINVAL || code == ERANGE;
    if (options.mode == XdpMode::Auto && driver_refused) {
        info.note = "native: " + reason_of(code, device) + "; attached in skb mode";
        mode = &row_of(XdpMode::Skb);
        link = Fd(try_mode(*prog_fd, *ifindex, *mode));
        code = link.valid() ? 0 : errno;
    }
    if (!link.valid()) {
        return refusal(code, device, *ifindex, *mode);
    }
    info.mode = mode->name;
    info.prog_id = program_id(*prog_fd);
    info.program = program_name(info.prog_id);
    return std::unique_ptr<Link>(std::make_unique<BpfLink>(std::move(link), std::move(info)));
}

} // namespace mimicsh::kernel
