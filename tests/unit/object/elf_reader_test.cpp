// SPDX-License-Identifier: MIT
// Object files: what clang writes, what it may write, and what nobody should have written.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <random>

#include "libbpf_oracle.h"
#include "object/elf_file.h"
#include "object/linker.h"
#include "programs.h"

namespace mimicsh {
namespace {

Object read_program(const std::string& name) {
    auto object = read_elf(test::object_bytes(name), "folder/" + name + ".bpf.o");
    EXPECT_TRUE(object) << object.error().message();
    return object ? std::move(*object) : Object{};
}

TEST(ElfReader, ReadsProgramsMapsAndData) {
    const Object object = read_program("maps_xdp");
    EXPECT_EQ(object.name, "maps_xdp");
    EXPECT_EQ(object.origin, "folder/maps_xdp.bpf.o");
    EXPECT_EQ(object.license, "Dual MIT/GPL");
    ASSERT_EQ(object.programs().size(), 2u);
    const Function& count = object.functions[object.programs()[0]];
    EXPECT_EQ(count.name, "count");
    EXPECT_EQ(count.spec->type, abi::ProgType::Xdp);
    EXPECT_EQ(count.spec->attach_type, abi::AttachType::Xdp);
    EXPECT_FALSE(object.find_function("account")->is_global);
    EXPECT_TRUE(object.find_function("classify")->is_global);
    EXPECT_FALSE(object.find_function("classify")->spec);
    const MapDef* flows = object.find_map("flows");
    ASSERT_NE(flows, nullptr);
    EXPECT_EQ(object.btf->type_name(flows->key_btf_id), "struct flow");
    EXPECT_EQ(flows->key_size, 12u);
    EXPECT_EQ(flows->flags, abi::kMapNoPrealloc);
    const MapDef* data = object.find_map(".data");
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(data->contents, (ByteVec{7, 0, 0, 0}));
    const MapDef* constants = object.find_map(".rodata");
    ASSERT_NE(constants, nullptr);
    EXPECT_TRUE(constants->frozen);
    EXPECT_EQ(object.btf->type(constants->value_btf_id).name, ".rodata");
    EXPECT_EQ(object.btf->type(constants->value_btf_id).size, constants->value_size);
}

TEST(ElfReader, ReadsSlotsOfProgArraysAndMapsOfMaps) {
    const Object object = read_program("tail_calls");
    const MapDef* jumps = object.find_map("jumps");
    ASSERT_EQ(jumps->slots.size(), 2u);
    EXPECT_EQ(jumps->slots[0].index, 0u);
    EXPECT_EQ(object.functions[jumps->slots[0].target].name, "pass");
    EXPECT_EQ(jumps->slots[1].index, 3u);
    EXPECT_EQ(object.functions[jumps->slots[1].target].name, "drop");
    const MapDef* outer = object.find_map("outer");
    ASSERT_NE(outer->inner, nullptr);
    EXPECT_EQ(outer->inner->value_size, 8u);
    ASSERT_EQ(outer->slots.size(), 2u);
    EXPECT_EQ(outer->slots[1].index, 2u);
    EXPECT_EQ(object.maps[outer->slots[1].target].name, "two");
}

TEST(ElfReader, ReadsExternsWithTheirDeclaredTypes) {
    const Object object = read_program("externs");
    struct Case {
        const char* name;
        ExternKind kind;
        bool weak;
        const char* type;
    };
    const Case cases[] = {
        {"LINUX_KERNEL_VERSION", ExternKind::Kconfig, false, "unsigned int"},
        {"CONFIG_NO_SUCH_OPTION", ExternKind::Kconfig, true, "_Bool"},
        {"schedule", ExternKind::Ksym, false, "void"},
        {"bpf_task_release", ExternKind::Kfunc, true, "void (struct task_struct *)"},
    };
    for (const Case& c : cases) {
        const ExternDef* found = nullptr;
        for (const ExternDef& def : object.externs) {
            found = def.name == c.name ? &def : found;
        }
        ASSERT_NE(found, nullptr) << c.name;
        EXPECT_EQ(found->kind, c.kind) << c.name;
        EXPECT_EQ(found->is_weak, c.weak) << c.name;
        EXPECT_EQ(object.btf->type_name(found->type_id), c.type) << c.name;
    }
}

TEST(ElfReader, AcceptsConstantsThatClangMovedIntoMergeableSections) {
    const ByteVec bytes = test::object_of_text(
        "static const int powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};\n"
        "const volatile int limit = 3;\n"
        "__attribute__((section(\"xdp\"))) int prog(int *ctx) { return powers[*ctx & 7] + limit; }\n");
    auto object = read_elf(bytes, "moved.o");
    ASSERT_TRUE(object) << object.error().message();
    ASSERT_NE(object->find_map(".rodata.cst32"), nullptr);
    EXPECT_EQ(object->find_map(".rodata.cst32")->contents[4], 10);
    const auto sec = object->btf->find(".rodata", BtfKind::Datasec);
    ASSERT_TRUE(sec);
    EXPECT_EQ(object->btf->type(*sec).vars.size(), 1u);
    if (test::cannot_load().empty()) {
        EXPECT_EQ(test::kernel_refuses_btf(object->btf->raw()), "");
    }
}

TEST(ElfReader, ReadsObjectsWithoutDebugInformation) {
    const ByteVec bytes = test::object_of_text(
        "int total;\n__attribute__((section(\"xdp\"))) int prog(int *ctx) { return total++; }\n", "-g0");
    auto object = read_elf(bytes, "plain.o");
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->btf, nullptr);
    EXPECT_TRUE(link(std::make_shared<const Object>(std::move(*object)), 0, {}));
}

TEST(ElfReader, RefusesSourcesItCannotServeByName) {
    struct Case {
        const char* source;
        const char* flags;
        int code;
        const char* text;
    };
    const Case cases[] = {
        {"struct { int t, k, v, n; } m __attribute__((section(\"maps\")));", "", ENOTSUP,
         "section maps: map definitions without BTF"},
        {"struct { int (*type)[99]; } m __attribute__((section(\".maps\")));", "", ENOTSUP,
         "section .maps: map 'm': unknown map type 99"},
        {"struct { int (*type)[1]; int *key; int (*colour)[1]; } m __attribute__((section(\".maps\")));", "",
         EINVAL, "unknown field 'colour'"},
        {"struct { int (*type)[1]; int *key; int (*key_size)[8]; } m __attribute__((section(\".maps\")));",
         "", EINVAL, "field 'key_size' is 8, its type has 4 bytes"},
        {"struct { int *key; } m __attribute__((section(\".maps\")));", "", EINVAL, "has no type"},
        {"struct { int (*type)[1]; } m __attribute__((section(\".maps\")));", "-g0", EINVAL,
         "no BTF describes it"},
        {"int g(void); __attribute__((section(\"xdp\"))) int f(void) { return g(); }", "", EINVAL,
         "undefined symbol 'g'"},
        {"char big[100 << 20];", "", E2BIG, "section .bss: 104857600 bytes"},
        {"int v __attribute__((section(\"odd\"))); __attribute__((section(\"xdp\"))) int f(void) { return v; "
         "}",
         "", ENOTSUP, "in section odd, which is neither a map nor data"},
        {"int x __attribute__((section(\".struct_ops\"))) = 3;", "", ENOTSUP, "struct_ops are not supported"},
        {"__attribute__((section(\"version\"))) char v[2] = {1, 1};", "", EINVAL, "section version: size 2"},
    };
    for (const Case& c : cases) {
        const ByteVec bytes = test::object_of_text(c.source, c.flags);
        ASSERT_FALSE(bytes.empty()) << c.source;
        auto object = read_elf(bytes, "bad.o");
        ASSERT_FALSE(object) << c.source;
        EXPECT_EQ(object.error().code, c.code) << object.error().message();
        EXPECT_TRUE(object.error().message().starts_with("open object: bad.o: ")) << object.error().message();
        EXPECT_NE(object.error().text.find(c.text), std::string::npos) << object.error().message();
    }
}

TEST(ElfReader, RefusesFilesOfOtherKinds) {
    const ByteVec good = test::object_bytes("calls");
    const auto patched = [&](size_t at, uint8_t value) {
        ByteVec bytes = good;
        bytes[at] = value;
        return bytes;
    };
    struct Case {
        ByteVec bytes;
        const char* text;
    };
    const Case cases[] = {
        {{}, "not an ELF file"},
        {{'#', '!', '/', 'b'}, "not an ELF file"},
        {ByteVec(good.begin(), good.begin() + 40), "ELF header truncated"},
        {patched(4, 1), "not a 64-bit ELF file"},
        {patched(5, 2), "big-endian BPF objects are not supported"},
        {patched(16, 2), "not a relocatable file"},
        {patched(18, 62), "made for machine 62"},
        {patched(45, 0x7f), "section headers leave the file"},
    };
    for (const Case& c : cases) {
        auto object = read_elf(c.bytes, "other");
        ASSERT_FALSE(object) << c.text;
        EXPECT_NE(object.error().text.find(c.text), std::string::npos) << object.error().message();
    }
}

TEST(ElfReader, NamesAFileThatIsNotThere) {
    auto object = open_object("/no/such/file.o");
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().code, ENOENT);
    EXPECT_NE(object.error().message().find("/no/such/file.o"), std::string::npos);
}

class DamagedObject : public testing::TestWithParam<std::string> {};

TEST_P(DamagedObject, IsReadOrRefusedButNeverCrashes) {
    const ByteVec good = test::object_bytes(GetParam());
    const auto seed = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    size_t refused = 0;
    for (int round = 0; round < 1500; ++round) {
        ByteVec bytes = good;
        for (uint32_t i = 0; i <= random() % 8; ++i) {
            bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
        }
        if (round % 7 == 0) {
            bytes.resize(random() % bytes.size());
        }
        auto object = read_elf(bytes, "damaged");
        if (!object) {
            ++refused;
            EXPECT_FALSE(object.error().text.empty());
            continue;
        }
        const auto shared = std::make_shared<const Object>(std::move(*object));
        for (const uint32_t index : shared->programs()) {
            (void)link(shared, index, {shared->btf}).has_value();
        }
    }
    EXPECT_GT(refused, 0u);
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, DamagedObject, testing::ValuesIn(test::program_names()),
                         [](const auto& param) { return param.param; });

} // namespace
} // namespace mimicsh
