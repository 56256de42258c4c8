// SPDX-License-Identifier: MIT
// struct __sk_buff and the test runs of programs on socket buffers: rights of access, values, inputs that are
// taken, what comes back.
#include <array>

#include "tests/kernel/parity.h"
#include "vm/context/context.h"
#include "vm/context/sk_buff.h"

namespace mimicsh::test {

namespace {

using abi::ProgType;

constexpr std::array kTypes{ProgType::SchedCls,  ProgType::SchedAct, ProgType::SocketFilter,
                            ProgType::CgroupSkb, ProgType::LwtIn,    ProgType::LwtOut,
                            ProgType::LwtXmit};

class SkbParity : public ParityTest {};

RawObject object_for(ProgType type) {
    RawObject raw;
    raw.object.functions.front().spec =
        ProgramSpec{type,
                    type == ProgType::CgroupSkb ? abi::AttachType::CgroupInetIngress : abi::AttachType::None,
                    0,
                    {}};
    return raw;
}

ByteVec frame(uint16_t ethertype, size_t size, std::array<uint8_t, 6> to = {2, 0, 0, 0, 0, 1}) {
    ByteVec bytes = packet_of(size);
    std::copy(to.begin(), to.end(), bytes.begin());
    if (size >= 14) {
        bytes[12] = static_cast<uint8_t>(ethertype >> 8);
        bytes[13] = static_cast<uint8_t>(ethertype);
    }
    return bytes;
}

constexpr std::array<int, 4> kSizes{op::kB, op::kH, op::kW, op::kDw};

/// Reads every number of the context, whole and in part, into a map.
RawObject reader_for(ProgType type) {
    RawObject raw = object_for(type);
    raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(64 * 8));
    const vm::ContextKind* kind = vm::context_kind(type);
    int at = 0;
    for (const vm::ContextField& field : kind->fields) {
        if (field.role <= vm::FieldRole::PacketMeta || field.role == vm::FieldRole::Pointer ||
            (field.readers & kind->user) == 0) {
            continue;
        }
        const int size = field.size == 8 ? op::kDw : field.size == 1 ? op::kB : op::kW;
        for (int part = 0; part < field.size; part += field.size == 20 ? 4 : field.size) {
            raw.add({load(size, 2, 6, field.offset + part), store_reg(op::kDw, 7, 8 * at++, 2)});
        }
        if (field.narrow && field.size == 4) {
            raw.add({load(op::kB, 2, 6, field.offset + 1), store_reg(op::kB, 7, 8 * at - 1, 2),
                     load(op::kH, 2, 6, field.offset + 2), store_reg(op::kH, 7, 8 * at - 4, 2)});
        }
    }
    return raw.add({mov(0, 1), exit_insn()});
}

} // namespace

TEST_F(SkbParity, RightsOfAccess) {
    size_t allowed = 0;
    for (const ProgType type : kTypes) {
        for (int offset = 0; offset <= vm::kSkbSize; ++offset) {
            for (const int size : kSizes) {
                for (const bool writes : {false, true}) {
                    RawObject raw = object_for(type);
                    if (writes) {
                        raw.add({mov(2, 0), store_reg(size, 1, offset, 2)});
                    } else {
                        raw.add(load(size, 2, 1, offset));
                    }
                    raw.add({mov(0, 0), exit_insn()});
                    const auto object = raw.share();
                    const bool here = vm::make_target()->load(object, {}).has_value();
                    const bool there = kernel_target()->load(object, {}).has_value();
                    allowed += there ? 1 : 0;
                    EXPECT_EQ(here, there) << abi::name(type) << (writes ? " store" : " load") << " of code "
                                           << size << " at " << offset;
                }
            }
        }
    }
    EXPECT_GT(allowed, 1000u);
}

TEST_F(SkbParity, Values) {
    const std::vector<ByteVec> packets{frame(0x0800, 74),
                                       frame(0x86dd, 80),
                                       frame(0x0806, 60),
                                       frame(0x8100, 60),
                                       frame(0x0100, 60),
                                       frame(0x05dc, 14),
                                       frame(0x0600, 60),
                                       frame(0x0800, 74, {1, 0, 0x5e, 0, 0, 1}),
                                       frame(0x0800, 34, {0, 0, 0, 0, 0, 0}),
                                       frame(0x0800, 74, {255, 255, 255, 255, 255, 255})};
    for (const ProgType type : kTypes) {
        open(reader_for(type).share());
        ASSERT_TRUE(ready());
        for (const ByteVec& packet : packets) {
            run_both("main", packet);
        }
    }
}

TEST_F(SkbParity, LengthsOfInput) {
    for (const ProgType type : kTypes) {
        RawObject raw = object_for(type);
        open(raw.add({mov(0, 1), exit_insn()}).share());
        ASSERT_TRUE(ready());
        for (const uint16_t ethertype : std::array<uint16_t, 3>{0x0800, 0x86dd, 0x0806}) {
            for (size_t size = 13; size < 60; ++size) {
                run_both("main", frame(ethertype, size));
            }
            for (size_t size = 3705; size < 3720; ++size) {
                run_both("main", frame(ethertype, size));
            }
        }
    }
}

TEST_F(SkbParity, ContextIn) {
    for (const ProgType type : kTypes) {
        open(reader_for(type).share());
        ASSERT_TRUE(ready());
        for (uint32_t word = 0; word < vm::kSkbSize; word += 4) {
            // Another interface than the loopback device may not be there.
            for (const uint32_t value : {0u, 1u, 60u, 74u, 65535u, 65536u, 65537u}) {
                if (word == vm::kSkbIfindex && value > 1) {
                    continue;
                }
                RunOptions options;
                options.context.resize(vm::kSkbSize);
                mimicsh::store(options.context.data() + word, value);
                SCOPED_TRACE(std::string(abi::name(type)) + " word at " + std::to_string(word) + " = " +
                             std::to_string(value));
                run_both("main", frame(0x0800, 74), options);
            }
        }
        RunOptions wrong;
        wrong.context.resize(24);
        EXPECT_FALSE(vm_->find_program("main")->run(frame(0x0800, 74), wrong));
    }
}

TEST_F(SkbParity, Stores) {
    for (const ProgType type : kTypes) {
        const vm::ContextKind* kind = vm::context_kind(type);
        for (const vm::ContextField& field : kind->fields) {
            if ((field.writers & kind->user) == 0) {
                continue;
            }
            const int size = field.size == 8 ? op::kDw : field.size == 20 ? op::kH : op::kW;
            constexpr auto kUpperHalf = int64_t{0x0000000100000003}; // of the register, not of the field
            for (const int64_t value : {int64_t{0x12345678}, int64_t{-1}, int64_t{3}, kUpperHalf}) {
                for (const bool immediate : {false, true}) {
                    RawObject raw = object_for(type);
                    raw.add(mov_reg(6, 1))
                        .load_value(7, raw.add_data(64))
                        .load_number(2, static_cast<uint64_t>(value));
                    raw.add({immediate ? store_imm(size, 6, field.offset, static_cast<int32_t>(value))
                                       : store_reg(size, 6, field.offset, 2),
                             load(size, 3, 6, field.offset), store_reg(op::kDw, 7, 0, 3), mov(0, 1),
                             exit_insn()});
                    SCOPED_TRACE(std::string(abi::name(type)) + " " + std::string(field.name) + " = " +
                                 std::to_string(value) + (immediate ? " immediate" : ""));
                    open(raw.share());
                    ASSERT_TRUE(ready());
                    run_both("main", frame(0x0800, 74));
                }
            }
        }
    }
}

} // namespace mimicsh::test
