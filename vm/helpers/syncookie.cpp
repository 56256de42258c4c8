// SPDX-License-Identifier: MIT
// SYN cookies with a keyed hash of our own: what is made here is accepted here (net/core/filter.c,
// net/ipv4/syncookies.c, net/ipv6/syncookies.c).
#include <algorithm>
#include <array>
#include <cerrno>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kIp4Header = 20, kIp6Header = 40, kTcpHeader = 20;
constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
constexpr uint64_t kMinuteNs = 60'000'000'000;
constexpr uint32_t kMaxAge = 2; // MAX_SYNCOOKIE_AGE, in minutes
constexpr uint32_t kLowMask = 0xffffff;
constexpr uint16_t kIp4Mss = 536,
                   kIp6Mss = 1220; ///< without an option: TCP_MSS_DEFAULT, IPV6_MIN_MTU less headers

/// Segment sizes that a cookie can carry.
constexpr std::array<uint16_t, 4> kIp4Sizes{536, 1300, 1440, 1460};
constexpr std::array<uint16_t, 4> kIp6Sizes{1220, 1420, 1440, 8940};

/// The headers that the helpers take, as bytes.
struct Headers {
    const uint8_t* ip = nullptr;
    const uint8_t* tcp = nullptr;
    uint32_t tcp_size = 0;
    bool v6 = false;

    [[nodiscard]] uint32_t header_size() const { return uint32_t{tcp[12]} >> 4 << 2; }
    [[nodiscard]] uint8_t flags() const { return tcp[13]; }
    [[nodiscard]] uint32_t sequence() const { return mimicsh::load_be<uint32_t>(tcp + 4); }
    [[nodiscard]] uint32_t acknowledged() const { return mimicsh::load_be<uint32_t>(tcp + 8); }
};

uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0x9e3779b97f4a7c15;
    return state ^ (state >> 29);
}

/// Keyed by the instance's seed.
uint32_t hash(const Machine& machine, const Headers& headers, uint64_t count, uint64_t which) {
    uint64_t state = mix(machine.options.seed, which);
    const uint32_t size = headers.v6 ? 32 : 8;
    const uint8_t* addresses = headers.ip + (headers.v6 ? 8 : 12);
    for (uint32_t i = 0; i < size; i += 4) {
        state = mix(state, mimicsh::load<uint32_t>(addresses + i));
    }
    state = mix(state, mimicsh::load<uint32_t>(headers.tcp)); // both ports
    return static_cast<uint32_t>(mix(state, count) >> 16);
}

/// The last MSS option of a SYN; 0 when there is none (tcp_parse_mss_option).
uint16_t mss_option(const Headers& headers) {
    constexpr uint8_t kEnd = 0, kNop = 1, kMss = 2, kMssSize = 4;
    const uint32_t end = headers.header_size();
    uint16_t mss = 0;
    for (uint32_t at = kTcpHeader; at < end && headers.tcp[at] != kEnd;) {
        if (headers.tcp[at] == kNop) {
            ++at;
            continue;
        }
        if (end - at < 2 || headers.tcp[at + 1] < 2 || headers.tcp[at + 1] > end - at) {
            return mss;
        }
        if (headers.tcp[at] == kMss && headers.tcp[at + 1] == kMssSize) {
            const auto given = mimicsh::load_be<uint16_t>(headers.tcp + at + 2);
            mss = given != 0 ? given : mss;
        }
        at += headers.tcp[at + 1];
    }
    return mss;
}

/// Cookie in the low half, the size it carries above it.
uint64_t make_cookie(const Machine& machine, const Headers& headers, uint16_t mss) {
    const auto& sizes = headers.v6 ? kIp6Sizes : kIp4Sizes;
    uint32_t index = static_cast<uint32_t>(sizes.size()) - 1;
    while (index > 0 && mss < sizes[index]) {
        --index;
    }
    const uint64_t count = machine.clock_ns / kMinuteNs;
    const uint32_t low = (hash(machine, headers, count, 1) + index) & kLowMask;
    const uint32_t cookie =
        hash(machine, headers, 0, 0) + headers.sequence() + static_cast<uint32_t>(count << 24) + low;
    return cookie | uint64_t{sizes[index]} << 32;
}

/// Whether the ACK carries a cookie that `make_cookie` gave its SYN.
bool check_cookie(const Machine& machine, const Headers& headers) {
    const uint32_t rest =
        headers.acknowledged() - 1 - hash(machine, headers, 0, 0) - (headers.sequence() - 1);
    const uint64_t count = machine.clock_ns / kMinuteNs;
    const uint32_t age = static_cast<uint32_t>(count - (rest >> 24)) & 0xff;
    if (age >= kMaxAge) {
        return false;
    }
    return ((rest - hash(machine, headers, count - age, 1)) & kLowMask) < kIp4Sizes.size();
}

// -- On packets alone --

uint64_t raw_generate(Machine& machine, const uint64_t* args, bool v6) {
    const auto size = static_cast<uint32_t>(args[2]);
    const uint8_t* ip = machine.span(args[0], v6 ? kIp6Header : kIp4Header, Access::Read, "IP header");
    const uint8_t* tcp = ip == nullptr ? nullptr : machine.span(args[1], size, Access::Read, "TCP header");
    if (tcp == nullptr) {
        return 0;
    }
    const Headers headers{ip, tcp, size, v6};
    if (size < kTcpHeader || size != headers.header_size()) {
        return errno_result(-EINVAL);
    }
    const uint16_t mss = mss_option(headers);
    return make_cookie(machine, headers, mss != 0 ? mss : v6 ? kIp6Mss : kIp4Mss);
}

uint64_t raw_check(Machine& machine, const uint64_t* args, bool v6) {
    const uint8_t* ip = machine.span(args[0], v6 ? kIp6Header : kIp4Header, Access::Read, "IP header");
    const uint8_t* tcp =
        ip == nullptr ? nullptr : machine.span(args[1], kTcpHeader, Access::Read, "TCP header");
    if (tcp == nullptr) {
        return 0;
    }
    return check_cookie(machine, {ip, tcp, kTcpHeader, v6}) ? 0 : errno_result(-EACCES);
}

// -- For a listener --

/// What both helpers look at first; `socket` stays null when a fault is pending.
struct Listener {
    Headers headers;
    const World::Socket* socket = nullptr;
    SocketState* state = nullptr;
    uint32_t ip_size = 0;
};

Listener listener_at(Machine& machine, const uint64_t* args, const char* helper) {
    Listener result;
    result.ip_size = static_cast<uint32_t>(args[2]);
    result.headers.tcp_size = static_cast<uint32_t>(args[4]);
    result.headers.ip = machine.span(args[1], result.ip_size, Access::Read, "IP header");
    result.headers.tcp = result.headers.ip == nullptr
                             ? nullptr
                             : machine.span(args[3], result.headers.tcp_size, Access::Read, "TCP header");
    const auto index = result.headers.tcp == nullptr ? std::nullopt : socket_index(machine, args[0], helper);
    if (index) {
        result.state = &machine.sockets[*index];
        result.socket = result.state->scripted;
    }
    return result;
}

bool listens(const World::Socket& socket) {
    constexpr uint8_t kListen = 10;
    return socket.tcp && socket.state == kListen;
}

/// Sets the family by the header's version; 0 or a negative errno.
int64_t choose_family(Listener& listener) {
    const bool v6_socket = listener.socket->local.address.v6;
    switch (listener.headers.ip[0] >> 4) {
    case 4:
        return v6_socket && listener.socket->v6only ? -EINVAL : 0;
    case 6:
        listener.headers.v6 = true;
        return listener.ip_size < kIp6Header || !v6_socket ? -EINVAL : 0;
    default:
        return -EPROTONOSUPPORT;
    }
}

} // namespace

uint64_t helper_tcp_gen_syncookie(Machine& machine, const uint64_t* args) {
    Listener listener = listener_at(machine, args, "bpf_tcp_gen_syncookie");
    if (listener.socket == nullptr) {
        return 0;
    }
    const Headers& headers = listener.headers;
    if (headers.tcp_size < kTcpHeader || headers.tcp_size != headers.header_size() ||
        !listens(*listener.socket)) {
        return errno_result(-EINVAL);
    }
    const auto& setting = machine.world().tcp_syncookies;
    if (!machine.given(setting, "world.tcp_syncookies")) {
        return 0;
    }
    if (*setting == 0) {
        return errno_result(-ENOENT);
    }
    if ((headers.flags() & (kSyn | kAck | kFin | kRst)) != kSyn || listener.ip_size < kIp4Header) {
        return errno_result(-EINVAL);
    }
    if (const int64_t refused = choose_family(listener); refused != 0) {
        return errno_result(refused);
    }
    if (*setting != 2 && !listener.socket->syn_queue_full) {
        return errno_result(-ENOENT); // cookies are sent only when the queue of half-open connections is full
    }
    uint16_t mss = mss_option(headers);
    if (mss == 0) {
        mss = headers.v6 ? kIp6Mss : kIp4Mss;
    } else if (listener.socket->mss != 0) {
        mss = static_cast<uint16_t>(std::min<uint32_t>(mss, listener.socket->mss));
    }
    machine.journal.bytes(reinterpret_cast<uint8_t*>(&listener.state->last_cookie_ns), sizeof(uint64_t));
    listener.state->last_cookie_ns = std::max<uint64_t>(machine.clock_ns, 1);
    return make_cookie(machine, headers, mss);
}

uint64_t helper_tcp_check_syncookie(Machine& machine, const uint64_t* args) {
    Listener listener = listener_at(machine, args, "bpf_tcp_check_syncookie");
    if (listener.socket == nullptr) {
        return 0;
    }
    const Headers& headers = listener.headers;
    if (headers.tcp_size < kTcpHeader || !listens(*listener.socket)) {
        return errno_result(-EINVAL);
    }
    const auto& setting = machine.world().tcp_syncookies;
    if (!machine.given(setting, "world.tcp_syncookies")) {
        return 0;
    }
    if (*setting == 0) {
        return errno_result(-EINVAL);
    }
    if ((headers.flags() & (kAck | kRst | kSyn)) != kAck) {
        return errno_result(-ENOENT);
    }
    if (listener.ip_size < kIp4Header) {
        return errno_result(-EINVAL);
    }
    const uint64_t last = listener.state->last_cookie_ns;
    if (last == 0 || machine.clock_ns - last > kMaxAge * kMinuteNs) {
        return errno_result(-ENOENT); // no cookie was sent lately
    }
    if (const int64_t refused = choose_family(listener); refused != 0) {
        return errno_result(refused);
    }
    return check_cookie(machine, headers) ? 0 : errno_result(-ENOENT);
}

uint64_t helper_tcp_raw_gen_syncookie_ipv4(Machine& machine, const uint64_t* args) {
    return raw_generate(machine, args, false);
}

uint64_t helper_tcp_raw_gen_syncookie_ipv6(Machine& machine, const uint64_t* args) {
    return raw_generate(machine, args, true);
}

uint64_t helper_tcp_raw_check_syncookie_ipv4(Machine& machine, const uint64_t* args) {
    return raw_check(machine, args, false);
}

uint64_t helper_tcp_raw_check_syncookie_ipv6(Machine& machine, const uint64_t* args) {
    return raw_check(machine, args, true);
}

} // namespace mimicsh::vm
