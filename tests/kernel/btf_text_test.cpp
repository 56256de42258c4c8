// SPDX-License-Identifier: MIT
// bpf_snprintf_btf over types of the running kernel, on both targets.
#include <random>

#include "object/kernel_btf.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

constexpr uint64_t kCompact = 1, kNoName = 2, kRaw = 4, kZero = 8;
constexpr size_t kValue = 16384, kText = 65536;

class BtfText : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("btf_text");
            ASSERT_TRUE(ready());
            auto types = running_kernel_btf();
            ASSERT_TRUE(types);
            types_ = *types;
        }
    }

    void put(const ByteVec& value) {
        set_value(*vm_, ".data.value", value);
        set_value(*kernel_, ".data.value", value);
    }

    void show(uint32_t id, uint64_t size, uint64_t flags, const char* program = "on_tc") {
        SCOPED_TRACE("type " + std::to_string(id) + " " + types_->type_name(id) + ", " +
                     std::to_string(size) + " bytes, flags " + std::to_string(flags));
        set_args({id, size - 1, flags, 0});
        run_both(program, packet_of(64));
    }

    /// Whether every byte of a value is there and every pointer, when it is not raw, would be null.
    [[nodiscard]] bool fits(uint32_t id) const {
        const BtfKind kind = types_->type(types_->resolve(id)).kind;
        const auto size = types_->size_of(id);
        return size && *size <= kValue && kind != BtfKind::Void && kind != BtfKind::Var &&
               kind != BtfKind::Datasec;
    }

    std::shared_ptr<const Btf> types_;
};

/// Bytes of which some are 0, some letters, the rest anything.
ByteVec value_of_seed(uint32_t seed) {
    std::mt19937 engine(seed);
    const auto random = [&] { return static_cast<uint32_t>(engine()); };
    ByteVec bytes(kValue);
    for (size_t i = 0; i < bytes.size();) {
        const uint32_t run = 1 + random() % 24;
        const uint32_t kind = random() % 4;
        for (uint32_t k = 0; k < run && i < bytes.size(); ++k) {
            bytes[i++] = static_cast<uint8_t>(kind < 2 ? 0 : kind == 2 ? 'a' + random() % 26 : random());
        }
    }
    return bytes;
}

TEST_F(BtfText, TypesOfEveryKind) {
    size_t shown = 0;
    for (uint32_t seed = 1; seed <= 3; ++seed) {
        put(value_of_seed(seed));
        for (uint32_t id = 1 + seed; id < types_->type_count(); id += 331) {
            if (fits(id)) {
                show(id, kText, kRaw | (id % 16 & (kCompact | kNoName | kZero)));
                ++shown;
                if (HasFailure()) {
                    return;
                }
            }
        }
    }
    EXPECT_GT(shown, 200u);
}

TEST_F(BtfText, StructsWithAllFlags) {
    for (const char* name :
         {"ethhdr", "iphdr", "in6_addr", "tcphdr", "list_head", "timespec64", "sockaddr_in6", "sk_buff",
          "net_device", "task_struct", "bpf_sock_tuple", "bpf_map", "xdp_buff", "flow_keys"}) {
        const auto id = types_->find(name, BtfKind::Struct);
        if (!id || !fits(*id)) {
            continue;
        }
        for (uint32_t seed = 0; seed <= 2; ++seed) {
            put(seed == 0 ? ByteVec(kValue) : value_of_seed(seed));
            for (uint64_t flags = 0; flags < 16; ++flags) {
                show(*id, kText, seed == 0 ? flags : flags | kRaw);
                if (HasFailure()) {
                    return;
                }
            }
        }
    }
}

TEST_F(BtfText, BuffersThatAreTooSmall) {
    const auto id = types_->find("iphdr", BtfKind::Struct);
    ASSERT_TRUE(id);
    put(value_of_seed(7));
    for (uint64_t size = 1; size < 300; ++size) {
        show(*id, size, size % 2);
    }
}

TEST_F(BtfText, ArgumentsThatAreRefused) {
    const auto id = types_->find("iphdr", BtfKind::Struct);
    ASSERT_TRUE(id);
    for (const uint64_t flags : {16ull, 31ull, 1ull << 32, ~0ull}) {
        show(*id, 64, flags);
        show(*id, 64, flags, "on_xdp");
    }
    show(0, 64, 0);
    show(types_->type_count() + 100'000'000, 64, 0);
    show(UINT32_MAX, 64, 0);
    set_args({*id, 64, 0, 1});
    run_both("on_tc", packet_of(64)); // a null pointer
    show(*id, 64, 0, "short_pointer");
}

} // namespace

} // namespace mimicsh::test
