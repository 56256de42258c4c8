// SPDX-License-Identifier: MIT
// Fused operations leave what their instructions would: the fast interpreter against the traced one, which
// has an operation per instruction, with the packet proven long enough and not, and too short for the access.
#include <gtest/gtest.h>

#include <algorithm>

#include "object/asm.h"
#include "tests/unit/vm/raw.h"
#include "vm/fuse.h"
#include "vm/interp.h"
#include "vm/program.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

struct Idiom {
    const char* name;
    vm::OpCode code;  ///< what the text has to become
    const char* text; ///< r1 = data, r2 = data_end
};

// Offset 40 is beyond the shortest packets; r3 to r5 and r7 are folded into the verdict.
const std::vector<Idiom>& idioms() {
    using vm::OpCode;
    static const std::vector<Idiom> kIdioms{
        {"bounds check", OpCode::check_bounds, "r3 = r1\nr3 += 34\nif r3 > r2 goto out\nr5 = 7\n"},
        {"bounds check with a constant", OpCode::check_bounds,
         "r3 = r1\nr3 += 34\nw4 = -3\nif r3 > r2 goto out\nr5 = 7\n"},
        {"field by bytes, high first", OpCode::load_two_bytes,
         "r3 = *(u8 *)(r1 + 41)\nr3 <<= 8\nr4 = *(u8 *)(r1 + 40)\nr3 |= r4\n"},
        {"field by bytes, low first", OpCode::load_two_bytes,
         "r4 = *(u8 *)(r1 + 40)\nr3 = *(u8 *)(r1 + 41)\nw3 <<= 8\nw3 |= w4\n"},
        {"field by bytes, compared", OpCode::load_two_bytes_jne,
         "r4 = *(u8 *)(r1 + 40)\nr3 = *(u8 *)(r1 + 41)\nw3 <<= 8\nw3 |= w4\nif w3 != 0x2928 goto out\nr5 = "
         "7\n"},
        {"field by bytes, compared, with a constant", OpCode::load_two_bytes_jne,
         "r4 = *(u8 *)(r1 + 40)\nr3 = *(u8 *)(r1 + 41)\nw3 <<= 8\nw3 |= w4\nw7 = 9\nif w3 != 0x2928 goto "
         "out\n"
         "r5 = 7\n"},
        {"field written by bytes", OpCode::store_two_bytes,
         "r3 = 0x123456789a ll\n*(u8 *)(r1 + 40) = r3\nw3 >>= 8\n*(u8 *)(r1 + 41) = r3\n"},
        {"two bytes copied", OpCode::copy_two_bytes,
         "r3 = *(u8 *)(r1 + 40)\n*(u8 *)(r1 + 6) = r3\nr3 = *(u8 *)(r1 + 41)\n*(u8 *)(r1 + 7) = r3\n"},
        {"two bytes copied forward by one", OpCode::copy_two_bytes,
         "r3 = *(u8 *)(r1 + 40)\n*(u8 *)(r1 + 41) = r3\nr3 = *(u8 *)(r1 + 41)\n*(u8 *)(r1 + 42) = r3\n"},
        {"two bytes copied back by one", OpCode::copy_two_bytes,
         "r3 = *(u8 *)(r1 + 40)\n*(u8 *)(r1 + 39) = r3\nr3 = *(u8 *)(r1 + 41)\n*(u8 *)(r1 + 40) = r3\n"},
        {"16-bit field in network order", OpCode::load_be16, "r3 = *(u16 *)(r1 + 40)\nr3 = be16 r3\n"},
        {"32-bit field in network order", OpCode::load_be32, "r3 = *(u32 *)(r1 + 40)\nr3 = be32 r3\n"},
        {"bits of 8", OpCode::load_test8, "r3 = *(u8 *)(r1 + 40)\nw3 &= 8\nif w3 != 0 goto out\nr5 = 7\n"},
        {"bits of 16", OpCode::load_test16,
         "r3 = *(u16 *)(r1 + 40)\nr3 &= 16\nif r3 != 0 goto out\nr5 = 7\n"},
        {"bits of 32", OpCode::load_test32,
         "r3 = *(u32 *)(r1 + 40)\nw3 &= 0x40000000\nif w3 != 0 goto out\nr5 = 7\n"},
        {"look-up by a key on the stack", OpCode::lookup_stack,
         "*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[array]\ncall bpf_map_lookup_elem\nr3 = r0\n"},
        {"look-up tested for null", OpCode::lookup_stack_null,
         "*(u32 *)(r10 - 4) = 9\nr2 = r10\nr2 += -4\nr1 = map[array]\ncall bpf_map_lookup_elem\n"
         "if r0 == 0 goto out\nr5 = 7\n"},
        {"look-up by a key that was not written", OpCode::lookup_stack_null,
         "r2 = r10\nr2 += -300\nr1 = map[array]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr5 = 7\n"},
    };
    return kIdioms;
}

std::string program_of(const Idiom& idiom, bool checked) {
    return std::string("r3 = 0\nr4 = 0\nr5 = 0\nr7 = 0\nr2 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\n") +
           (checked ? "r8 = r1\nr8 += 48\nif r2 < r8 goto out\n" : "") + idiom.text +
           "out:\nr0 = r3\nr0 *= 31\nr0 += r4\nr0 *= 31\nr0 += r5\nr0 *= 31\nr0 += r7\nr3 = r0\nr3 >>= 32\n"
           "r0 ^= r3\nexit\n";
}

class Fusion : public testing::TestWithParam<std::tuple<size_t, bool>> {};

std::string place(const std::optional<Fault>& fault) {
    return fault ? std::to_string(fault->insn) + " " + fault->cause : "";
}

} // namespace

TEST_P(Fusion, LeavesWhatTheInstructionsWould) {
    const Idiom& idiom = idioms()[std::get<0>(GetParam())];
    AsmOptions options;
    options.maps = {map_def("array", abi::MapType::Array, 4, 8, 4)};
    auto object = assemble(program_of(idiom, std::get<1>(GetParam())), options);
    ASSERT_TRUE(object) << object.error().message() << "\n" << object.error().log;
    vm::Options permissive;
    permissive.mode = vm::Mode::Permissive;
    auto instance = vm::make_target(permissive)->load(std::make_shared<const Object>(std::move(*object)), {});
    ASSERT_TRUE(instance) << instance.error().message();
    auto& program = dynamic_cast<vm::LoadedProgram&>(*(*instance)->programs().front());
    const auto& ops = program.code(false).ops;
    EXPECT_TRUE(std::ranges::any_of(ops, [&](const vm::Op& op) {
        return op.label == vm::fast_labels().single[static_cast<size_t>(idiom.code)];
    })) << "not recognised";

    for (size_t size = 14; size <= 64; ++size) {
        const ByteVec packet = packet_of(size);
        RunOptions traced;
        traced.trace = true;
        const auto slow = program.run(packet, traced);
        const auto fast = program.run(packet, {});
        ASSERT_TRUE(slow && fast);
        ASSERT_EQ(fast->ret, slow->ret) << size;
        ASSERT_EQ(fast->packet, slow->packet) << size;
        ASSERT_EQ(place(fast->fault), place(slow->fault)) << size;
        // Of the accesses of one operation the fast interpreter warns once.
        ASSERT_EQ(fast->warnings.empty(), slow->warnings.empty()) << size;
    }
}

INSTANTIATE_TEST_SUITE_P(All, Fusion,
                         testing::Combine(testing::Range(size_t{0}, idioms().size()), testing::Bool()),
                         [](const auto& one) {
                             std::string name = idioms()[std::get<0>(one.param)].name;
                             std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                             return name + (std::get<1>(one.param) ? "Checked" : "");
                         });

} // namespace mimicsh::test
