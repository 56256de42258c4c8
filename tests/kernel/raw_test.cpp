// SPDX-License-Identifier: MIT
// Raw instructions as bpf(2) takes them, and as read_raw gives them to the emulator.
#include <bpf/bpf.h>

#include "base/fd.h"
#include "object/raw.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class RawParity : public ParityTest {};

/// r0 = what a look-up of key `arg` in the second map finds, added to a number in the first, by its value.
std::vector<Insn> lookups(int32_t key) {
    return {insn(op::kLddw, 6, op::kMapIdxValue, 0, 0),
            insn(0, 0, 0, 0, 8),
            load(op::kDw, 7, 6, 0),
            add(7, 1),
            store_reg(op::kDw, 6, 0, 7),
            store_imm(op::kW, 10, -4, key),
            mov_reg(2, 10),
            add(2, -4),
            insn(op::kLddw, 1, op::kMapIdx, 0, 1),
            insn(0, 0, 0, 0, 0),
            call(1),
            jump_if(op::kJeq, 0, 0, 2),
            load(op::kDw, 0, 0, 0),
            insn(op::kAlu64 | op::kAdd | op::kX, 7, 0, 0, 0),
            mov_reg(0, 7),
            exit_insn()};
}

TEST_F(RawParity, MapsByIndex) {
    const MapDef numbers = map_def("numbers", abi::MapType::Array, 4, 16, 1);
    const MapDef seen = map_def("seen", abi::MapType::Hash, 4, 8, 4);
    const Fd array(bpf_map_create(BPF_MAP_TYPE_ARRAY, "numbers", 4, 16, 1, nullptr));
    const Fd hash(bpf_map_create(BPF_MAP_TYPE_HASH, "seen", 4, 8, 4, nullptr));
    ASSERT_TRUE(array.valid() && hash.valid());
    const uint32_t key = 7;
    const uint64_t value = 100;
    ASSERT_EQ(bpf_map_update_elem(hash.get(), &key, &value, 0), 0);
    const int descriptors[] = {array.get(), hash.get()};
    for (const int32_t wanted : {7, 8}) {
        const std::vector<Insn> insns = lookups(wanted);
        LIBBPF_OPTS(bpf_prog_load_opts, load_opts);
        load_opts.fd_array = descriptors;
        const Fd prog(bpf_prog_load(BPF_PROG_TYPE_XDP, "raw", "GPL",
                                    reinterpret_cast<const bpf_insn*>(insns.data()), insns.size(),
                                    &load_opts));
        ASSERT_TRUE(prog.valid()) << errno;
        RawOptions options;
        options.fd_array = {numbers, seen};
        auto object =
            read_raw({reinterpret_cast<const uint8_t*>(insns.data()), insns.size() * sizeof(Insn)}, options);
        ASSERT_TRUE(object) << object.error().message();
        const auto shared = std::make_shared<const Object>(std::move(*object));
        const auto here = vm::make_target()->load(shared, {});
        const auto there = kernel_target()->load(shared, {});
        ASSERT_TRUE(here && there);
        const uint64_t zero = 0;
        ASSERT_EQ(bpf_map_update_elem(array.get(), &zero, std::array<uint64_t, 2>{}.data(), 0), 0);
        for (Instance* one : {here->get(), there->get()}) {
            Map* map = one->find_map("seen");
            ASSERT_NE(map, nullptr);
            ASSERT_TRUE(map->update({reinterpret_cast<const uint8_t*>(&key), sizeof key},
                                    {reinterpret_cast<const uint8_t*>(&value), sizeof value}, 0));
        }
        const ByteVec packet = packet_of(64);
        for (int run = 0; run < 3; ++run) {
            LIBBPF_OPTS(bpf_test_run_opts, test);
            test.data_in = packet.data();
            test.data_size_in = static_cast<uint32_t>(packet.size());
            ASSERT_EQ(bpf_prog_test_run_opts(prog.get(), &test), 0);
            for (Instance* one : {here->get(), there->get()}) {
                const auto done = one->programs().front()->run(packet, {});
                ASSERT_TRUE(done && !done->fault);
                EXPECT_EQ(done->ret, test.retval) << one->target() << ", key " << wanted << ", run " << run;
            }
            EXPECT_EQ(test.retval, static_cast<uint32_t>(run + 1 + (wanted == 7 ? 100 : 0)));
        }
    }
    // An index that the array does not have.
    const std::vector<Insn> beyond{insn(op::kLddw, 1, op::kMapIdx, 0, 2), insn(0, 0, 0, 0, 0), mov(0, 2),
                                   exit_insn()};
    RawOptions options;
    options.fd_array = {numbers, seen};
    const auto refused =
        read_raw({reinterpret_cast<const uint8_t*>(beyond.data()), beyond.size() * sizeof(Insn)}, options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(),
              "read instructions: raw: instruction 0: map 2 of an fd_array with 2");
}

} // namespace

} // namespace mimicsh::test
