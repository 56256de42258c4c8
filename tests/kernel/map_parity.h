// SPDX-License-Identifier: MIT
// The fixture of all tests of maps: operations by programs and by the host, on both targets.
#pragma once

#include <fstream>

#include "base/cpus.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

enum Operation : uint64_t { kLookUp, kUpdate, kDelete, kHeldUpdate, kHeldDelete, kAtomic };

inline ByteView bytes_of(const uint32_t& key) {
    return {reinterpret_cast<const uint8_t*>(&key), sizeof key};
}

/// The suite's name is the support table's.
class MapParity : public ParityTest {
  protected:
    void operate(const std::string& program, uint64_t operation, uint64_t key, uint64_t value = 0,
                 uint64_t flags = 0, uint32_t cpu = 0) {
        SCOPED_TRACE(testing::Message() << program << " operation " << operation << " key " << key
                                        << " value " << value << " flags " << flags << " cpu " << cpu);
        set_args({operation, key, value, flags});
        RunOptions options;
        options.cpu = cpu;
        run_both(program, packet_of(64), options);
    }

    /// Flags and errors, one operation after the other, on an empty map of four entries.
    void edges(const std::string& program) {
        open_case("maps");
        ASSERT_TRUE(ready());
        for (const uint64_t flags : {0ull, 1ull, 2ull, 3ull, 4ull, 5ull, 6ull, 8ull, 1ull << 32, ~0ull}) {
            operate(program, kUpdate, 1, 10, flags);
            operate(program, kUpdate, 1, 11, flags);
            operate(program, kDelete, 1);
            operate(program, kDelete, 1);
        }
        for (const uint64_t key : {0ull, 1ull, 2ull, 3ull, 4ull, 5ull, 0xffffffffull}) {
            operate(program, kUpdate, key, 100 + key);
            operate(program, kLookUp, key, 1);
        }
        for (const uint64_t operation : {kUpdate, kHeldUpdate, kAtomic, kHeldUpdate, kHeldDelete, kLookUp}) {
            operate(program, operation, 2, 0x1234567890);
            operate(program, operation, 77, 5);
        }
        for (const uint32_t cpu : {0u, 1u}) {
            if (cpu < possible_cpus()) {
                operate(program, kUpdate, 3, 50 + cpu, 0, cpu);
                operate(program, kLookUp, 3, 1000, 0, cpu);
                operate(program, kHeldUpdate, 3, 7 + cpu, 0, cpu);
            }
        }
    }

    // Cases that the emulator has to pass with maps of its own and with maps of the kernel's.
    void queues();
    void bloom_filters();
    void walks(std::initializer_list<const char*> maps);

    /// One host call on the map on both sides; the outcomes must be the same.
    template <typename Call>
    void host_both(const char* map, Call call) {
        std::string outcomes[2];
        Instance* sides[] = {vm_.get(), kernel_.get()};
        for (size_t i = 0; i < 2; ++i) {
            outcomes[i] = call(*sides[i]->find_map(map));
        }
        EXPECT_EQ(outcomes[0], outcomes[1]) << map;
    }

    void run(const std::string& program, const std::vector<uint64_t>& args, uint32_t cpu = 0) {
        set_args(args);
        RunOptions options;
        options.cpu = cpu;
        run_both(program, packet_of(64), options);
    }
};

/// Whether the kernel panics where it would warn.
inline bool stops_at_warnings() {
    std::ifstream setting("/proc/sys/kernel/panic_on_warn");
    int value = 0;
    return setting >> value && value != 0;
}

/// A host call's result as text, with the bytes it gave.
inline std::string outcome(const Status& status, ByteView value = {}) {
    return status ? "ok " + to_hex(value) : status.error().code_name();
}

} // namespace mimicsh::test
