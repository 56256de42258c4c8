// SPDX-License-Identifier: MIT
// Objects from expressions of pcap-filter(7).
#include <algorithm>
#include <array>
#include <cerrno>

#include "base/similar.h"
#include "bindings/bpf.h"
#include "net/filter.h"
#include "object/classic_bpf.h"

namespace mimicsh::lua {

namespace {

/// What the verdict was meant to be, or all that there are.
std::string known_verdicts(abi::ProgType type, std::string_view text) {
    constexpr uint32_t kMost = 16; // numbers of verdicts are small
    std::vector<std::string_view> names;
    std::string list = "known:";
    for (uint32_t value = 0; value < kMost; ++value) {
        const std::string_view name = verdict_name(type, value);
        if (name != "INVALID" && std::ranges::find(names, name) == names.end()) {
            list += (names.empty() ? " " : ", ") + std::string(name);
            names.push_back(name);
        }
    }
    return did_you_mean(text, names, list);
}

/// What only a socket that captures knows, and loops, have no place in a program: the error, at the word.
Error unsupported(const net::FilterOrigin& origin, const std::string& text, const Error& error) {
    constexpr std::array<std::pair<const char*, const char*>, 4> kWords{{
        {"protochain", "needs a loop, which kernels refuse in filters"},
        {"inbound", "asks the socket that captures, not the packet"},
        {"outbound", "asks the socket that captures, not the packet"},
        {"ifindex", "asks the socket that captures, not the packet"},
    }};
    for (const auto& [word, reason] : kWords) {
        if (const size_t at = text.find(word); at != std::string::npos) {
            return net::filter_error_at(origin, text, at, "'" + std::string(word) + "' " + reason, "",
                                        error.code);
        }
    }
    return error;
}

/// The return value in field `name`, a verdict's name or a number.
uint32_t check_verdict(lua_State* L, Options& options, const char* name, abi::ProgType type) {
    options.push(name);
    const bool is_number = lua_type(L, -1) == LUA_TNUMBER;
    lua_pop(L, 1);
    if (is_number) {
        return static_cast<uint32_t>(options.number(name, 0, UINT32_MAX).value_or(0));
    }
    const auto text = options.string(name);
    if (!text) {
        fail(L,
             std::string("bad argument '") + name + "': a verdict is wanted, such as " + name + "=\"PASS\"");
    }
    // A socket keeps as many bytes of a packet as the program returns.
    const bool keeps = type == abi::ProgType::SocketFilter && *text == "PASS";
    const auto value = keeps ? std::optional(UINT32_MAX) : verdict_value(type, *text);
    if (!value) {
        fail(L, std::string("bad argument '") + name + "': programs of type " + std::string(abi::name(type)) +
                    " have no verdict '" + std::string(*text) + "'; " + known_verdicts(type, *text));
    }
    return *value;
}

/// object_filter{expression=, origin=, line=, column=, type=, hit=, miss=} -> object | nil, err.
int object_filter(lua_State* L) {
    Options options(L, 1, "filter");
    const std::string text(options.string("expression").value_or(""));
    const net::FilterOrigin origin{
        "filter", std::string(options.string("origin").value_or("filter")),
        static_cast<uint32_t>(options.number("line", 1, UINT32_MAX).value_or(1)),
        static_cast<uint32_t>(options.number("column", 1, UINT32_MAX).value_or(1))};
    const auto type_name = options.string("type").value_or("xdp");
    ClassicOptions classic;
    if (type_name == "xdp") {
        classic.type = abi::ProgType::Xdp;
    } else if (type_name == "tc" || type_name == "sched_cls") {
        classic.type = abi::ProgType::SchedCls;
    } else if (type_name == "socket" || type_name == "socket_filter") {
        classic.type = abi::ProgType::SocketFilter;
    } else {
        fail(L, "bad argument 'type': expected \"xdp\", \"tc\" or \"socket\", got \"" +
                    std::string(type_name) + "\"");
    }
    classic.hit = check_verdict(L, options, "hit", classic.type);
    classic.miss = check_verdict(L, options, "miss", classic.type);
    options.finish();
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
        return push_failure(
            L, net::filter_error_at(origin, text, 0, "empty expression", "'len >= 0' takes every packet"));
    }
    auto filter = net::PacketFilter::compile(text, net::kLinkEthernet, origin);
    if (!filter) {
        return push_failure(L, filter.error());
    }
    auto insns = filter->instructions(net::kLinkEthernet);
    if (!insns) {
        return push_failure(L, insns.error());
    }
    classic.origin = "filter '" + text + "'";
    auto object = classic_object(*insns, classic);
    if (!object && object.error().code == ENOTSUP) {
        return push_failure(L, unsupported(origin, text, object.error()));
    }
    return push_object(L, std::move(object));
}

constexpr Function kFunctions[] = {
    {"object_filter", &guard<&object_filter>},
};

} // namespace

std::span<const Function> filter_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
