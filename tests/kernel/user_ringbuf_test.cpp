// SPDX-License-Identifier: MIT
// The ring buffer that the host fills, on both targets.
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

class UserRingbuf : public MapParity {
  protected:
    void SetUp() override {
        MapParity::SetUp();
        if (!IsSkipped()) {
            open_case("user_ringbuf");
            ASSERT_TRUE(ready());
        }
    }

    void send(size_t size) {
        SCOPED_TRACE(size);
        host_both("samples", [&](Map& map) { return outcome(map.send(packet_of(size))); });
    }
};

TEST_F(UserRingbuf, Drains) {
    for (int round = 0; round < 40; ++round) { // positions wrap
        for (const size_t size : {8, 16, 24, 0, 1, 15, 100, 333}) {
            send(size);
        }
        run("drain", {0, 3});
        run("drain", {0, 100});
        run("drain", {0, 100});
    }
}

TEST_F(UserRingbuf, FlagsAndNesting) {
    for (const uint64_t flags : {0ull, 1ull, 2ull, 3ull, 4ull, 1ull << 32, ~0ull}) {
        send(16);
        run("drain", {flags, 100});
    }
    send(16);
    send(24);
    run("drain", {0, 100, 1});
}

TEST_F(UserRingbuf, Sizes) {
    for (const size_t size : {4088, 4089, 4096, 10000, 1, 4080, 4072}) {
        send(size);
        send(size);
        run("drain", {0, 100});
    }
}

TEST_F(UserRingbuf, OtherMapsTakeNoSamples) {
    host_both(".bss", [](Map& map) { return outcome(map.send(packet_of(8))); });
}

} // namespace

} // namespace mimicsh::test
