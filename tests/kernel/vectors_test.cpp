// SPDX-License-Identifier: MIT
// The vectors of tests/cases/plugin through the kernel: a prolog puts memory into r1 and its length into r2.
#include "tests/kernel/parity.h"
#include "tests/unit/shell/vectors.h"

namespace mimicsh::test {

namespace {

/// The program as a subprogram of one that hands it memory in a map and keeps all 64 bits of its r0.
std::shared_ptr<const Object> with_prolog(Object object, const Vector& vector) {
    RawObject raw;
    const uint32_t result = raw.add_data(8, ".bss");
    if (vector.memory.empty()) {
        raw.add(mov(1, 0));
    } else {
        const uint32_t memory = raw.add_data(static_cast<uint32_t>(vector.memory.size()), ".data");
        raw.object.maps[memory].contents = vector.memory;
        raw.load_value(1, memory);
    }
    raw.add(mov(2, static_cast<int64_t>(vector.memory.size()))).call_function(1);
    raw.load_value(1, result).add({store_reg(op::kDw, 1, 0, 0), mov(0, abi::kXdpPass), exit_insn()});
    for (Function& function : object.functions) {
        function.spec.reset();
        function.section = ".text";
        function.is_global = false;
        function.btf_id = 0;
        function.lines.clear();
        for (Relocation& reloc : function.relocs) {
            reloc.target += 1; // behind the prolog
        }
        raw.object.functions.push_back(std::move(function));
    }
    raw.object.functions[1].name = "vector";
    return raw.share();
}

/// Programs that read the packet want it in r6.
std::shared_ptr<const Object> on_packet(Object object) {
    Function& main = object.functions.front();
    main.spec = ProgramSpec{abi::ProgType::SchedCls, abi::AttachType::None, 0, {}};
    main.section = "tc";
    main.insns.insert(main.insns.begin(), mov_reg(6, 1));
    main.lines.clear();
    main.btf_id = 0;
    object.btf = nullptr;
    return std::make_shared<const Object>(std::move(object));
}

class PluginParity : public ParityTest {
  protected:
    void compare(const Vector& vector) {
        auto object = assemble_vector(vector);
        ASSERT_TRUE(object);
        const auto shared =
            vector.on_skb ? on_packet(std::move(*object)) : with_prolog(std::move(*object), vector);
        const auto instance = kernel_target()->load(shared, {});
        ASSERT_EQ(instance.has_value(), !vector.refused)
            << vector.name() << "\n"
            << vector.source << (instance ? "" : instance.error().message() + "\n" + instance.error().log);
        if (vector.refused) {
            return;
        }
        const ByteVec packet = vector.on_skb ? vector.memory : packet_of(64);
        const auto run = (*instance)->programs().front()->run(packet, {});
        ASSERT_TRUE(run) << vector.name() << ": " << run.error().message();
        const uint64_t r0 = vector.on_skb ? run->ret : number_at(value_of(**instance, ".bss"), 0);
        EXPECT_EQ(r0, vector.result) << vector.name() << "\n" << vector.source;
        ++compared_;
    }

    size_t compared_ = 0;
};

TEST_F(PluginParity, VectorsReturnTheSameOnTheKernel) {
    for (const Vector& vector : vectors()) {
        // A callback needs types, which the prolog has not: HelperParity.Loop shows lddw_func.
        const bool needs_types = vector.form == "lddw_btf_id" || vector.form == "lddw_func";
        if (!vector.source.starts_with("bytes ") && !needs_types) {
            compare(vector);
        }
        ASSERT_FALSE(HasFatalFailure());
    }
    EXPECT_GT(compared_, vectors().size() * 9 / 10);
}

} // namespace

} // namespace mimicsh::test
