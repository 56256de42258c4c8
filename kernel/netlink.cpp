// SPDX-License-Identifier: MIT
// Building, sending and answers of rtnetlink requests.
#include "kernel/netlink.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace mimicsh::kernel {

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags)
    : buffer_(std::make_unique<uint8_t[]>(kSize)), message_(mnl_nlmsg_put_header(buffer_.get())) {
    message_->nlmsg_type = type;
    message_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
}

NetlinkRequest& NetlinkRequest::put(uint16_t attribute, ByteView bytes) {
    mnl_attr_put(message_, attribute, bytes.size(), bytes.data());
    return *this;
}

NetlinkRequest& NetlinkRequest::put(uint16_t attribute, std::string_view text) {
    mnl_attr_put_strz(message_, attribute, std::string(text).c_str());
    return *this;
}

NetlinkRequest& NetlinkRequest::put_u8(uint16_t attribute, uint8_t value) {
    mnl_attr_put_u8(message_, attribute, value);
    return *this;
}

NetlinkRequest& NetlinkRequest::put_u16(uint16_t attribute, uint16_t value) {
    mnl_attr_put_u16(message_, attribute, value);
    return *this;
}

NetlinkRequest& NetlinkRequest::put_u32(uint16_t attribute, uint32_t value) {
    mnl_attr_put_u32(message_, attribute, value);
    return *this;
}

NetlinkRequest& NetlinkRequest::begin_nest(uint16_t attribute) {
    nests_.push_back(mnl_attr_nest_start(message_, attribute));
    return *this;
}

NetlinkRequest& NetlinkRequest::end_nest() {
    mnl_attr_nest_end(message_, nests_.back());
    nests_.pop_back();
    return *this;
}

Expected<Netlink> Netlink::open(const std::string& op) {
    mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (socket == nullptr) {
        return errno_error(errno, op, "netlink socket");
    }
    Netlink opened(op, socket);
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        return errno_error(errno, op, "netlink socket");
    }
    // The kernel's reasons in words; kernels that have none ignore the wish.
    const int on = 1;
    (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, const_cast<int*>(&on), sizeof on);
    return opened;
}

Status Netlink::send(NetlinkRequest& request, const std::string& what) {
    request.message()->nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), request.message(), request.message()->nlmsg_len) < 0) {
        return errno_error(errno, op_, what);
    }
    return {};
}

namespace {

/// Words that the kernel adds to an error (NLMSGERR_ATTR_MSG), or nothing.
std::string reason_of(const nlmsghdr* message) {
    constexpr uint16_t kHasAttributes = NLM_F_ACK_TLVS;
    constexpr uint16_t kCapped = NLM_F_CAPPED;
    if ((message->nlmsg_flags & kHasAttributes) == 0) {
        return {};
    }
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
    size_t behind = sizeof(nlmsgerr);
    if ((message->nlmsg_flags & kCapped) == 0) {
        behind += error->msg.nlmsg_len - sizeof(nlmsghdr);
    }
    return text(attributes(message, behind), NLMSGERR_ATTR_MSG);
}

Error request_error(const std::string& op, const std::string& what, int code, const std::string& reason) {
    Error error = errno_error(code, op, what);
    if (!reason.empty()) {
        error.text += " (" + reason + ")";
    }
    if (code == EPERM || code == EACCES) {
        error.hint = "this needs CAP_NET_ADMIN: run as root, or inside `unshare -Urn`";
    }
    return error;
}

} // namespace

Status Netlink::receive(const std::string& what, const std::function<void(const nlmsghdr*)>& each) {
    std::array<uint8_t, 65536> buffer{};
    while (true) {
        const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error(errno, op_, what);
        }
        int left = static_cast<int>(got);
        for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
             mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_seq != sequence_) {
                continue;
            }
            if (message->nlmsg_type == NLMSG_DONE) {
                return {};
            }
            if (message->nlmsg_type == NLMSG_ERROR) {
                const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
                return code == 0 ? Status{} : Status{request_error(op_, what, code, reason_of(message))};
            }
            each(message);
        }
    }
}

Status Netlink::request(NetlinkRequest& request, const std::string& what,
                        const std::function<void(const nlmsghdr*)>& each) {
    request.message()->nlmsg_flags |= NLM_F_ACK;
    if (auto ok = send(request, what); !ok) {
        return ok;
    }
    return receive(what, each);
}

Status Netlink::dump(NetlinkRequest& request, const std::string& what,
                     const std::function<void(const nlmsghdr*)>& each) {
    request.message()->nlmsg_flags |= NLM_F_DUMP;
    if (auto ok = send(request, what); !ok) {
        return ok;
    }
    return receive(what, each);
}

namespace {

int keep(const nlattr* attribute, void* into) {
    auto& found = *static_cast<std::vector<const nlattr*>*>(into);
    const size_t type = mnl_attr_get_type(attribute);
    found.resize(std::max(found.size(), type + 1));
    found[type] = attribute;
    return MNL_CB_OK;
}

} // namespace

std::vector<const nlattr*> attributes(const nlmsghdr* message, size_t header_size) {
    std::vector<const nlattr*> found;
    (void)mnl_attr_parse(message, static_cast<unsigned>(header_size), keep, &found);
    return found;
}

std::vector<const nlattr*> nested_attributes(const nlattr* outer) {
    std::vector<const nlattr*> found;
    (void)mnl_attr_parse_nested(outer, keep, &found);
    return found;
}

uint32_t number(const std::vector<const nlattr*>& attributes, size_t type) {
    if (type >= attributes.size() || attributes[type] == nullptr ||
        mnl_attr_get_payload_len(attributes[type]) < sizeof(uint32_t)) {
        return 0;
    }
    return mnl_attr_get_u32(attributes[type]);
}

std::string text(const std::vector<const nlattr*>& attributes, size_t type) {
    if (type >= attributes.size() || attributes[type] == nullptr) {
        return {};
    }
    const char* bytes = mnl_attr_get_str(attributes[type]);
    return {bytes, strnlen(bytes, mnl_attr_get_payload_len(attributes[type]))};
}

} // namespace mimicsh::kernel
