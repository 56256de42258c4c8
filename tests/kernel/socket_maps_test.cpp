// SPDX-License-Identifier: MIT
// Sockets in maps, their storage, and their structs, beside a network namespace that has the same sockets.
#include <sys/socket.h>

#include <algorithm>

#include "tests/kernel/sockets.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr const char* kSockets = R"(,
"sockets": [
  {"proto": "tcp", "local": "10.0.0.1:81", "mark": 7, "priority": 7, "fields": {"sk_rcvlowat": 1, "bytes_received": 0}},
  {"proto": "udp", "local": "10.0.0.1:82"},
  {"proto": "udp", "local": "127.0.0.1:90", "peer": "127.0.0.1:91"},
  {"proto": "tcp", "local": "127.0.0.1:80", "fields": {"sk_rcvlowat": 1}},
  {"proto": "tcp", "local": "127.0.0.1:4000", "peer": "127.0.0.1:80",
   "fields": {"inet_conn.icsk_inet.sk.sk_rcvlowat": 1}, "tcp": {"bytes_received": 0}}]})";

class SocketMapsTest : public WorldParity {
  protected:
    void prepare() {
        if (IsSkipped()) {
            return;
        }
        sockets_.push_back(socket_of(SOCK_STREAM, {"10.0.0.1", 81, "", 0, false, "", 7}));
        sockets_.push_back(socket_of(SOCK_DGRAM, {"10.0.0.1", 82, "", 0, false, "", 0}));
        sockets_.push_back(socket_of(SOCK_DGRAM, {"127.0.0.1", 90, "127.0.0.1", 91, false, "", 0}));
        sockets_.push_back(socket_of(SOCK_STREAM, {"127.0.0.1", 80, "", 0, false, "", 0}));
        sockets_.push_back(socket_of(SOCK_STREAM, {"127.0.0.1", 4000, "127.0.0.1", 80, false, "", 0}));
        const std::string world = std::string(kWorld).substr(0, std::strlen(kWorld) - 1) + kSockets;
        open_world("parity/socket_maps", world.c_str());
    }

    /// Sets the tuple that programs look for.
    void ask(const char* source, uint16_t source_port, const char* destination, uint16_t port) {
        ByteVec key(64);
        const ByteVec from = bytes_of(source);
        const ByteVec to = bytes_of(destination);
        std::copy(from.begin(), from.end(), key.begin());
        std::copy(to.begin(), to.end(), key.begin() + 4);
        mimicsh::store_be<uint16_t>(key.data() + 8, source_port);
        mimicsh::store_be<uint16_t>(key.data() + 10, port);
        set_value(*vm_, ".data.tuple", key);
        set_value(*kernel_, ".data.tuple", key);
    }

    void run_and_compare(const std::string& program, const std::vector<uint64_t>& args) {
        set_args(args);
        run_both_apart_from_maps(program, packet_of(64));
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss")));
    }

    struct Socket {
        const char* source;
        uint16_t source_port;
        const char* destination;
        uint16_t port;
        uint64_t is_udp;
    };
    static constexpr Socket kAsked[] = {{"10.0.0.9", 5, "10.0.0.1", 81, 0},
                                        {"10.0.0.9", 5, "10.0.0.1", 82, 1},
                                        {"127.0.0.1", 91, "127.0.0.1", 90, 1},
                                        {"127.0.0.1", 80, "127.0.0.1", 4000, 0},
                                        {"10.0.0.9", 5, "10.0.0.1", 99, 0}};

    std::vector<Fd> sockets_;
};

/// The support table names the suite.
class WorldParitySockets : public SocketMapsTest {};

TEST_F(WorldParitySockets, SocketMaps) {
    prepare();
    ASSERT_TRUE(ready());
    uint64_t found = 0;
    for (const Socket& one : kAsked) {
        ask(one.source, one.source_port, one.destination, one.port);
        for (const uint64_t key : {0u, 1u, 3u, 4u}) {
            for (const uint64_t flags : {1u, 2u, 0u, 1u, 3u}) {
                SCOPED_TRACE(testing::Message()
                             << "port " << one.port << ", key " << key << ", flags " << flags);
                run_and_compare("update", {one.is_udp, key, flags});
                found += result(0);
            }
            run_and_compare("look_up", {0, key});
        }
        for (const uint64_t key : {0u, 3u, 3u, 9u}) {
            SCOPED_TRACE(testing::Message() << "delete " << key);
            run_and_compare("erase", {0, key});
            run_and_compare("look_up", {0, key});
        }
    }
    EXPECT_GE(found, 60u);
}

TEST_F(WorldParitySockets, HostSide) {
    prepare();
    ASSERT_TRUE(ready());
    for (const char* name : {"by_number", "by_key", "group"}) {
        Map* maps[2] = {vm_->find_map(name), kernel_->find_map(name)};
        std::vector<std::string> texts[2];
        for (const int side : {0, 1}) {
            Map& map = *maps[side];
            const auto note = [&](const Status& status) {
                texts[side].push_back(status ? "ok" : std::string(status.error().code_name()));
            };
            for (const size_t socket : {0u, 1u, 2u, 3u, 4u}) {
                for (const uint64_t flags : {2u, 1u, 0u, 3u}) {
                    ByteVec key(map.info().key_size);
                    ByteVec value(8);
                    key[0] = static_cast<uint8_t>(socket);
                    mimicsh::store<uint64_t>(
                        value.data(), side == 0 ? socket + 1 : static_cast<uint64_t>(sockets_[socket].get()));
                    if (std::string_view(name) != "group") { // takes sockets of a reuseport group alone
                        note(map.update(key, value, flags));
                    }
                    note(map.lookup(key, value));
                }
            }
            ByteVec next(map.info().key_size);
            const auto first = map.next_key({}, next);
            texts[side].push_back(first ? std::to_string(*first) : std::string(first.error().code_name()));
            for (const uint8_t key_byte : {uint8_t{0}, uint8_t{0}, uint8_t{9}}) {
                ByteVec key(map.info().key_size);
                key[0] = key_byte;
                note(map.erase(key));
            }
        }
        EXPECT_EQ(texts[0], texts[1]) << name;
    }
}

TEST_F(WorldParitySockets, SocketStorage) {
    prepare();
    ASSERT_TRUE(ready());
    for (const Socket& one : kAsked) {
        ask(one.source, one.source_port, one.destination, one.port);
        for (const uint64_t flags : {0u, 1u, 1u, 0u, 2u}) {
            for (const uint64_t drop : {0u, 1u}) {
                SCOPED_TRACE(testing::Message()
                             << "port " << one.port << ", flags " << flags << ", drop " << drop);
                run_and_compare("count", {one.is_udp, flags, drop});
            }
        }
        run_and_compare("count", {one.is_udp, 1, 0});
    }
    Map* maps[2] = {vm_->find_map("counters"), kernel_->find_map("counters")};
    std::vector<std::string> texts[2];
    for (const int side : {0, 1}) {
        for (const size_t socket : {0u, 1u, 3u}) {
            ByteVec key(4);
            ByteVec value(8);
            mimicsh::store<uint32_t>(key.data(), side == 0 ? static_cast<uint32_t>(socket + 1)
                                                           : static_cast<uint32_t>(sockets_[socket].get()));
            const auto note = [&](const Status& status) {
                texts[side].push_back((status ? "ok " : std::string(status.error().code_name())) +
                                      to_hex(value));
            };
            note(maps[side]->lookup(key, value));
            note(maps[side]->update(key, value, 1));
            note(maps[side]->update(key, value, 2));
            note(maps[side]->update(key, ByteVec(8, 9), 0));
            note(maps[side]->lookup(key, value));
            note(maps[side]->erase(key));
            note(maps[side]->erase(key));
            note(maps[side]->update(key, value, 2));
        }
    }
    EXPECT_EQ(texts[0], texts[1]);
}

TEST_F(WorldParitySockets, SocketStructs) {
    prepare();
    ASSERT_TRUE(ready());
    uint64_t seen = 0;
    for (const Socket& one : kAsked) {
        ask(one.source, one.source_port, one.destination, one.port);
        SCOPED_TRACE(testing::Message() << "port " << one.port);
        run_and_compare("structs", {one.is_udp});
        seen += result(7);
    }
    EXPECT_EQ(seen, 2u);
}

} // namespace

} // namespace mimicsh::test
