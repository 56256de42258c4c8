// SPDX-License-Identifier: MIT
// p:code() evaluated in Lua, over random packets.
#include <gtest/gtest.h>

#include "bindings/lua_glue.h"
#include "bindings/state.h"
#include "net/dissect.h"
#include "net/show.h"
#include "tests/unit/net/random_packet.h"
#include "tests/unit/net/support.h"

namespace mimicsh::lua {

namespace {

// Bytes of what the code of the packet in these bytes evaluates to; an error's text where it does not.
std::string evaluated(lua_State* L, const ByteVec& bytes) {
    constexpr const char* kChunk = R"(
        local pkt, bytes = require "pkt", ...
        return assert(loadstring("local pkt = ...; return " .. pkt.parse(bytes):code()))(pkt):bytes())";
    std::string result = luaL_loadstring(L, kChunk) == 0 ? "" : "no chunk";
    push_bytes(L, bytes);
    (void)lua_pcall(L, 1, 1, 0);
    size_t size = 0;
    const char* text = lua_tolstring(L, -1, &size);
    result.append(text, size);
    lua_pop(L, 1);
    return result;
}

// Packets as they were built are written with constructors; damaged ones may have to fall back to their
// bytes.
TEST(PacketCode, EvaluatesToTheSameBytes) {
    const uint64_t seed = net::test_seed();
    std::mt19937_64 random(seed);
    State state{Config{}};
    for (size_t i = 0; i < 10000; i++) {
        const net::Packet packet = net::random_packet(random);
        ByteVec bytes = i % 4 == 3 ? net::damaged(random, packet) : packet.bytes();
        if (i % 4 == 1 && packet.layers()[1].protocol == net::Protocol::kIp) {
            bytes.resize(bytes.size() + 1 + random() % 8); // padding
        }
        const std::string code = net::code(net::dissect(bytes));
        ASSERT_EQ(evaluated(state.lua(), bytes), as_text(bytes)) << "seed " << seed << " packet " << i << "\n"
                                                                 << code;
        ASSERT_TRUE(i % 4 == 3 || !code.starts_with("pkt.parse"))
            << "seed " << seed << " packet " << i << "\n"
            << code;
    }
}

} // namespace

} // namespace mimicsh::lua
