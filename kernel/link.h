// SPDX-License-Identifier: MIT
// Attachments: XDP links, tcx links and clsact filters of ours, and the list of everything attached.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "object/target.h"

namespace mimicsh::kernel {

enum class XdpMode : uint8_t { Auto, Native, Skb, Hw };
enum class TcKind : uint8_t { Auto, Tcx, Clsact };
enum class Direction : uint8_t { Ingress, Egress };

struct LinkInfo {
    std::string kind = {};   ///< "xdp", "tcx", "clsact", "socket_filter", "cgroup_skb"
    std::string device = {}; ///< interface name; of "cgroup_skb" the cgroup's path
    uint32_t ifindex = 0;
    std::string direction = {}; ///< "ingress" or "egress"; empty for "xdp" and "socket_filter"
    std::string mode = {};      ///< of "xdp": "native", "skb", "hw"
    uint32_t link_id = 0;       ///< 0 for what is no bpf_link
    uint32_t prog_id = 0;
    std::string program = {}; ///< its name in the kernel, at most 15 characters
    uint32_t priority = 0;    ///< of "clsact"
    uint32_t handle = 0;      ///< of "clsact"
    bool ours = false;        ///< made by this process
    std::string pinned = {};  ///< where this process pinned it
    std::string note = {};    ///< which fallback was taken, and why
};

/// An attachment of ours. It ends with this object unless it is pinned.
class Link {
  public:
    virtual ~Link() = default;
    Link() = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    [[nodiscard]] const LinkInfo& info() const { return info_; }
    /// False too when the device is gone: the kernel has ended the attachment then.
    [[nodiscard]] virtual bool is_attached() const = 0;
    /// Ends the attachment; a second call does nothing. A pinned one loses its pin.
    [[nodiscard]] virtual Status detach() = 0;
    /// Puts another program of the same type in its place; no packet passes without a program meanwhile.
    [[nodiscard]] virtual Status update(Program& program) = 0;
    /// Keeps the link alive under a path of a bpf file system. ENOTSUP for what is no bpf_link.
    [[nodiscard]] virtual Status pin(const std::string& path) = 0;

  protected:
    LinkInfo info_;
    bool attached_ = true;
};

struct XdpOptions {
    XdpMode mode =
        XdpMode::Auto; ///< Auto: native, and where the driver cannot, skb with the reason in `note`
};

/// Whether an XDP program is one that devices run, not one for the entries of device and CPU maps.
[[nodiscard]] bool is_for_devices(const Program& program);

/// Attaches an XDP program to a device of the calling thread's network namespace. EBUSY when a program is
/// attached there already: the error names it, and nothing is changed.
[[nodiscard]] Expected<std::unique_ptr<Link>> attach_xdp(Program& program, const std::string& device,
                                                         const XdpOptions& options);

struct TcOptions {
    Direction direction = Direction::Ingress;
    TcKind kind = TcKind::Auto; ///< Auto: tcx, and on kernels before 6.6 clsact
    uint32_t priority = 0;      ///< of clsact, 1 to 65535; 0 = one that is free
};

/// Attaches a classifier beside those that are there: with tcx behind the others.
[[nodiscard]] Expected<std::unique_ptr<Link>> attach_tc(Program& program, const std::string& device,
                                                        const TcOptions& options);

/// Attaches a program to the packets of a cgroup's sockets (type cgroup_skb; its section says the direction).
[[nodiscard]] Expected<std::unique_ptr<Link>> attach_cgroup(Program& program, const std::string& path);

/// The socket gets only what a socket filter lets through, from now on; another program takes its place. Ends
/// with the socket.
[[nodiscard]] Status attach_socket(Program& program, int socket);

/// What is attached to the interfaces of the calling thread's network namespace, ours or not.
[[nodiscard]] Expected<std::vector<LinkInfo>> list_links();

} // namespace mimicsh::kernel
