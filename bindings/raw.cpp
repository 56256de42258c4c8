// SPDX-License-Identifier: MIT
// Module raw: sockets past the stack; lua/raw.lua waits for them and keeps connections alive.
#include <cerrno>

#include "bindings/bpf.h"
#include "bindings/fd_wait.h"
#include "bindings/modules.h"
#include "bindings/pkt.h"
#include "kernel/link.h"
#include "net/raw_socket.h"

namespace mimicsh::lua {

namespace {

struct SocketRef final : kernel::NetNsUser {
    std::unique_ptr<net::RawSocket> socket; ///< null when closed
    net::RawCounters counters;              ///< the last, once closed
    std::vector<net::PacketRecord> batch;   ///< received and not yet handed out, from `next` on
    size_t next = 0;
    FdWaiters waiters;

    void close() {
        if (socket != nullptr) {
            counters = socket->counters();
            socket.reset();
            waiters.wake();
        }
    }
    void let_go() override { close(); }
};

} // namespace

template <>
inline constexpr const char* kTypeName<SocketRef> = "raw socket";

namespace {

int push_socket(lua_State* L, Expected<std::unique_ptr<net::RawSocket>> socket) {
    if (!socket) {
        return push_failure(L, socket.error());
    }
    auto ref = std::make_shared<SocketRef>();
    ref->socket = std::move(*socket);
    Loop::of(L).ends_with_lab(ref);
    push_owner(L, std::move(ref));
    return 1;
}

SocketRef& check_socket(lua_State* L) {
    SocketRef& ref = check<SocketRef>(L, 1, "socket");
    if (ref.socket == nullptr) {
        fail(L, "raw socket: it is closed");
    }
    return ref;
}

/// open_device(device, is_reading) -> socket | nil, err.
int open_device(lua_State* L) {
    return push_socket(
        L, net::RawSocket::open_device(std::string(check_string(L, 1, "device")), lua_toboolean(L, 2) != 0));
}

/// open_protocol(number, is_ipv6, is_reading) -> socket | nil, err.
int open_protocol(lua_State* L) {
    const auto protocol = static_cast<uint8_t>(check_unsigned(L, 1, "proto", 1, 255));
    const auto family = lua_toboolean(L, 2) != 0 ? net::IpFamily::kIpv6 : net::IpFamily::kIpv4;
    return push_socket(L, net::RawSocket::open_protocol(protocol, family, lua_toboolean(L, 3) != 0));
}

/// socket_send(socket, list, from) -> how many went out, or that and the error about the next one.
int socket_send(lua_State* L) {
    SocketRef& ref = check_socket(L);
    const auto from = static_cast<int>(check_unsigned(L, 3, "from", 1, INT32_MAX));
    const auto total = static_cast<int>(lua_objlen(L, 2));
    constexpr int kAtOnce = 1024; // the views need their values on the stack
    const int last = std::min(total, from + kAtOnce - 1);
    luaL_checkstack(L, kAtOnce + 8, "too many packets");
    std::vector<ByteView> packets;
    for (int i = from; i <= last; ++i) {
        lua_rawgeti(L, 2, i);
        packets.push_back(check_packet_bytes(L, lua_gettop(L), "packet"));
    }
    size_t sent = 0;
    const auto done = ref.socket->send(packets, sent);
    lua_pushnumber(L, static_cast<double>(sent));
    if (!done) {
        push_error(L, done.error());
        return 2;
    }
    return 1;
}

/// socket_wait(socket, "recv" | "send" [, seconds]) -> true to try again | false after that time. Blocks.
int socket_wait(lua_State* L) {
    SocketRef& ref = check_socket(L);
    const bool is_sending = check_string(L, 2, "what") == "send";
    std::optional<double> seconds;
    if (!lua_isnoneornil(L, 3)) {
        seconds = check_duration(L, 3, "timeout");
    }
    return ref.waiters.wait(L, ref.socket->fd(), is_sending ? UV_WRITABLE : UV_READABLE,
                            is_sending ? "send" : "recv", seconds);
}

/// socket_recv(socket) -> packet | nil when nothing is there | nil, err.
int socket_recv(lua_State* L) {
    SocketRef& ref = check_socket(L);
    if (ref.next == ref.batch.size()) {
        ref.next = 0;
        if (const auto done = ref.socket->receive(ref.batch); !done) {
            return push_failure(L, done.error());
        }
        if (ref.batch.empty()) {
            return 0;
        }
    }
    push_captured(L, ref.batch[ref.next++], ref.socket->link_type());
    return 1;
}

int socket_is_open(lua_State* L) {
    lua_pushboolean(L, check<SocketRef>(L, 1, "socket").socket != nullptr ? 1 : 0);
    return 1;
}

int socket_is_reading(lua_State* L) {
    lua_pushboolean(L, check_socket(L).socket->is_reading() ? 1 : 0);
    return 1;
}

int socket_attach(lua_State* L) {
    const SocketRef& ref = check_socket(L);
    if (const auto done = kernel::attach_socket(check_program(L, 2), ref.socket->fd()); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

int socket_close(lua_State* L) {
    check<SocketRef>(L, 1, "socket").close();
    return 0;
}

int socket_stats(lua_State* L) {
    const SocketRef& ref = check<SocketRef>(L, 1, "socket");
    const net::RawCounters& counters = ref.socket != nullptr ? ref.socket->counters() : ref.counters;
    lua_createtable(L, 0, 5);
    const auto set = [L](const char* name, uint64_t value) {
        lua_pushnumber(L, static_cast<double>(value));
        lua_setfield(L, -2, name);
    };
    set("sent", counters.sent);
    set("sent_bytes", counters.sent_bytes);
    set("received", counters.received);
    set("received_bytes", counters.received_bytes);
    set("errors", counters.errors);
    return 1;
}

/// clock() -> seconds since some start, for timeouts.
int clock(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(uv_hrtime()) / 1e9);
    return 1;
}

/// source_address(destination) -> text | nil, err.
int source_address(lua_State* L) {
    const auto address = net::source_address(std::string(check_string(L, 1, "dst")));
    if (!address) {
        return push_failure(L, address.error());
    }
    push_string(L, *address);
    return 1;
}

constexpr Function kRaw[] = {
    {"open_device", &guard<&open_device>},
    {"open_protocol", &guard<&open_protocol>},
    {"socket_send", &guard<&socket_send>},
    {"socket_wait", &guard<&socket_wait>},
    {"socket_recv", &guard<&socket_recv>},
    {"socket_is_open", &guard<&socket_is_open>},
    {"socket_is_reading", &guard<&socket_is_reading>},
    {"socket_attach", &guard<&socket_attach>},
    {"socket_close", &guard<&socket_close>},
    {"socket_stats", &guard<&socket_stats>},
    {"clock", &guard<&clock>},
    {"source_address", &guard<&source_address>},
};

} // namespace

void open_raw(lua_State* L) {
    register_packet(L);
    push_metatable<SocketRef>(L);
    lua_pop(L, 1);
    lua_newtable(L);
    set_functions(L, "raw.", kRaw);
}

} // namespace mimicsh::lua
