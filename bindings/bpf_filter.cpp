// SPDX-License-Identifier: MIT
// Objects from expressions of pcap-filter(7).
#include "bindings/bpf.h"
#include "net/filter.h"
#include "object/classic_bpf.h"

namespace mimicsh::lua {

namespace {

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
                    " have no verdict '" + std::string(*text) + "'");
    }
    return *value;
}

/// object_filter{expression=, type=, hit=, miss=} -> object | nil, err.
int object_filter(lua_State* L) {
    Options options(L, 1, "filter");
    const std::string text(options.string("expression").value_or(""));
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
    auto filter = net::PacketFilter::compile(text, net::kLinkEthernet);
    if (!filter) {
        return push_failure(L, filter.error());
    }
    auto insns = filter->instructions(net::kLinkEthernet);
    if (!insns) {
        return push_failure(L, insns.error());
    }
    classic.origin = "filter '" + text + "'";
    return push_object(L, classic_object(*insns, classic));
}

constexpr Function kFunctions[] = {
    {"object_filter", &guard<&object_filter>},
};

} // namespace

std::span<const Function> filter_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
