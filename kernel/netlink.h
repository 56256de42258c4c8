// SPDX-License-Identifier: MIT
// Requests to the kernel's routing sockets (rtnetlink(7)), on libmnl.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libmnl/libmnl.h>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::kernel {

/// One request under construction: a header of the family (struct ifinfomsg, tcmsg, ...) and attributes.
class NetlinkRequest {
  public:
    /// `flags` beside NLM_F_REQUEST: NLM_F_CREATE, NLM_F_EXCL, NLM_F_DUMP, ...
    NetlinkRequest(uint16_t type, uint16_t flags);

    /// The family's header, zeroed: before any attribute, or first in an attribute that has one of its own
    /// (VETH_INFO_PEER).
    template <typename Header>
    Header& header() {
        return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
    }
    NetlinkRequest& put(uint16_t attribute, ByteView bytes);
    NetlinkRequest& put(uint16_t attribute, std::string_view text); ///< with the final zero
    NetlinkRequest& put_u8(uint16_t attribute, uint8_t value);
    NetlinkRequest& put_u16(uint16_t attribute, uint16_t value);
    NetlinkRequest& put_u32(uint16_t attribute, uint32_t value);
    /// Attributes until `end_nest` belong to this one.
    NetlinkRequest& begin_nest(uint16_t attribute);
    NetlinkRequest& end_nest();

    [[nodiscard]] nlmsghdr* message() { return message_; }

  private:
    static constexpr size_t kSize = 8192;
    std::unique_ptr<uint8_t[]> buffer_;
    nlmsghdr* message_;
    std::vector<nlattr*> nests_;
};

/// A socket in the network namespace of the thread that opens it.
class Netlink {
  public:
    /// `op` names the caller's verb in errors.
    [[nodiscard]] static Expected<Netlink> open(const std::string& op);

    /// Sends and waits for the end of the answer, and hands out its messages. An error's text is `what` and
    /// the kernel's own words where it has some.
    [[nodiscard]] Status request(
        NetlinkRequest& request, const std::string& what,
        const std::function<void(const nlmsghdr*)>& each = [](const nlmsghdr*) {});
    /// Sends a dump and hands out each message.
    [[nodiscard]] Status dump(NetlinkRequest& request, const std::string& what,
                              const std::function<void(const nlmsghdr*)>& each);

  private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    Netlink(std::string op, mnl_socket* socket) : op_(std::move(op)), socket_(socket) {}
    [[nodiscard]] Status send(NetlinkRequest& request, const std::string& what);
    [[nodiscard]] Status receive(const std::string& what, const std::function<void(const nlmsghdr*)>& each);

    std::string op_;
    std::unique_ptr<mnl_socket, Close> socket_;
    uint32_t sequence_ = 0;
};

/// Attributes of a message behind a family header of `header_size` bytes: by number, null when absent.
[[nodiscard]] std::vector<const nlattr*> attributes(const nlmsghdr* message, size_t header_size);
[[nodiscard]] std::vector<const nlattr*> nested_attributes(const nlattr* outer);
/// Payload of an attribute as a number of 32 bits, or 0 when it is absent or shorter.
[[nodiscard]] uint32_t number(const std::vector<const nlattr*>& attributes, size_t type);
[[nodiscard]] std::string text(const std::vector<const nlattr*>& attributes, size_t type);

} // namespace mimicsh::kernel
