// SPDX-License-Identifier: MIT
// Linked instructions of assembled objects, read again as raw ones.
#include <gtest/gtest.h>

#include "object/asm.h"
#include "object/linker.h"
#include "object/raw.h"

namespace mimicsh {

namespace {

constexpr const char* kSource = R"(
.map counts type=hash key=4 value=8 entries=16
.map .data type=array key=4 value=16 entries=1 data=0102
.section xdp
first:
    r1 = map[counts]
    r2 = map[.data][0] + 8
    r1 = 3
    r2 = func each
    r3 = 0
    r4 = 0
    call bpf_loop
    call last
    exit
each:
    r0 = 0
    exit
last:
    r0 = 2
    exit
)";

LinkedProgram linked(Object object) {
    auto program = link(std::make_shared<const Object>(std::move(object)), 0, {});
    EXPECT_TRUE(program) << program.error().message();
    return program ? std::move(*program) : LinkedProgram{};
}

/// What another tool would have saved of a linked program.
struct Saved {
    ByteVec insns;
    ByteVec func_info;
    RawOptions options;
};

Saved save(const LinkedProgram& program) {
    Saved saved;
    const auto* bytes = reinterpret_cast<const uint8_t*>(program.insns.data());
    saved.insns.assign(bytes, bytes + program.insns.size() * sizeof(Insn));
    for (const LinkedFunction& function : program.functions) {
        saved.func_info.resize(saved.func_info.size() + 8);
        store(saved.func_info.data() + saved.func_info.size() - 8, function.insn);
        store(saved.func_info.data() + saved.func_info.size() - 4, function.btf_id);
    }
    for (const LinkedRef& ref : program.refs) {
        saved.options.maps.push_back({ref.insn, program.object->maps[ref.target]});
    }
    saved.options.btf = program.object->btf->raw();
    return saved;
}

class RawInsns : public testing::Test {
  protected:
    void SetUp() override {
        auto object = assemble(kSource, {});
        ASSERT_TRUE(object) << object.error().message();
        program_ = linked(std::move(*object));
        saved_ = save(program_);
    }
    LinkedProgram program_;
    Saved saved_;
};

TEST_F(RawInsns, LinkToTheSameAgain) {
    saved_.options.func_info = saved_.func_info;
    auto object = read_raw(saved_.insns, saved_.options);
    ASSERT_TRUE(object) << object.error().message();
    const LinkedProgram again = linked(*object);
    EXPECT_EQ(again.insns, program_.insns);
    EXPECT_EQ(again.spec.type, abi::ProgType::Xdp);
    EXPECT_EQ(again.spec.attach_type, abi::AttachType::Xdp);
    ASSERT_EQ(again.functions.size(), program_.functions.size());
    for (size_t i = 0; i < again.functions.size(); ++i) {
        EXPECT_EQ(again.functions[i].name, program_.functions[i].name);
        EXPECT_EQ(again.functions[i].btf_id, program_.functions[i].btf_id);
    }
    const auto elf = write_elf(*object);
    ASSERT_TRUE(elf) << elf.error().message();
    auto read = read_elf(*elf, "raw.o");
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(linked(std::move(*read)).insns, program_.insns);
}

TEST_F(RawInsns, FunctionsWithoutTypesAreNumbered) {
    const auto object = read_raw(saved_.insns, saved_.options);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->functions[0].name, "raw");
    EXPECT_EQ(object->functions[1].name.find("function_"), 0U);
}

TEST_F(RawInsns, FuncInfoThatDoesNotFitIsRefused) {
    const auto refusal = [&](const ByteVec& info) {
        saved_.options.func_info = info;
        const auto object = read_raw(saved_.insns, saved_.options);
        return object ? std::string() : object.error().text;
    };
    ByteVec info = saved_.func_info;
    info.resize(info.size() - 8);
    EXPECT_NE(refusal(info).find("a function begins here that func_info does not have"), std::string::npos);
    info.resize(info.size() - 1);
    EXPECT_NE(refusal(info).find("not a multiple of 8"), std::string::npos);
    info = saved_.func_info;
    store(info.data() + 8, uint32_t{1});
    EXPECT_NE(refusal(info).find("that nothing calls"), std::string::npos);
    info = saved_.func_info;
    store(info.data() + 4, uint32_t{100000});
    EXPECT_NE(refusal(info).find("is no function"), std::string::npos);
    info = saved_.func_info;
    info.insert(info.end(), info.begin(), info.begin() + 8);
    EXPECT_NE(refusal(info).find("two records"), std::string::npos);
}

} // namespace

} // namespace mimicsh
