// SPDX-License-Identifier: MIT
// BTF: against bpftool's reading of the same kernel, and against damaged input.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>

#include "base/fd.h"
#include "object/btf_edit.h"
#include "object/btf_raw.h"
#include "programs.h"

namespace mimicsh {
namespace {

using btf_raw::make_info;

Expected<Btf> parse(const BtfEditor& edit) {
    return Btf::parse(edit.finish(), "test");
}

uint32_t add_int(BtfEditor& edit, const char* name, uint32_t size, uint32_t encoding = 0) {
    return edit.add_type(
        {edit.add_string(name), make_info(BtfKind::Int, 0), size, (encoding << 24) | size * 8});
}

uint32_t add_ref(BtfEditor& edit, BtfKind kind, uint32_t to, const char* name = "") {
    return edit.add_type({edit.add_string(name), make_info(kind, 0), to});
}

/// The line that bpftool prints for a type, for instance "[17] STRUCT 'flow' size=12 vlen=3".
std::vector<std::string> bpftool_lines(const std::string& path) {
    std::vector<std::string> lines;
    FILE* pipe = popen(("bpftool btf dump file " + path + " 2>/dev/null").c_str(), "r");
    std::array<char, 4096> buffer{};
    while (pipe != nullptr && fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
        if (buffer[0] == '[') {
            lines.emplace_back(buffer.data());
            lines.back().pop_back();
        }
    }
    if (pipe != nullptr) {
        pclose(pipe);
    }
    return lines;
}

std::string kind_word(const BtfType& type) {
    constexpr std::array<const char*, 20> kWords{"VOID",    "INT",      "PTR",      "ARRAY",      "STRUCT",
                                                 "UNION",   "ENUM",     "FWD",      "TYPEDEF",    "VOLATILE",
                                                 "CONST",   "RESTRICT", "FUNC",     "FUNC_PROTO", "VAR",
                                                 "DATASEC", "FLOAT",    "DECL_TAG", "TYPE_TAG",   "ENUM64"};
    return kWords[static_cast<size_t>(type.kind)];
}

/// Our reading in bpftool's words, as far as one line goes.
std::string describe(const Btf& btf, uint32_t id) {
    const BtfType& type = btf.type(id);
    std::string out = "[" + std::to_string(id) + "] " + kind_word(type) + " '" +
                      (type.name.empty() ? "(anon)" : std::string(type.name)) + "'";
    const auto number = [](const char* key, uint64_t value) {
        return std::string(" ") + key + "=" + std::to_string(value);
    };
    switch (type.kind) {
    case BtfKind::Struct:
    case BtfKind::Union:
        return out + number("size", type.size) + number("vlen", type.members.size());
    case BtfKind::Enum:
        return out + " encoding=" + (type.is_signed ? "SIGNED" : "UNSIGNED") + number("size", type.size) +
               number("vlen", type.enumerators.size());
    case BtfKind::Array:
        return out + number("type_id", type.type) + number("index_type_id", type.index_type) +
               number("nr_elems", type.elements);
    case BtfKind::FuncProto:
        return out + number("ret_type_id", type.type) + number("vlen", type.params.size());
    case BtfKind::Ptr:
    case BtfKind::Typedef:
    case BtfKind::Const:
    case BtfKind::Volatile:
    case BtfKind::Restrict:
        return out + number("type_id", type.type);
    default:
        return out;
    }
}

TEST(Btf, ReadsTheRunningKernelAsBpftoolDoes) {
    auto bytes = read_file("/sys/kernel/btf/vmlinux", "read");
    if (!bytes) {
        GTEST_SKIP() << bytes.error().message();
    }
    auto btf = Btf::parse(*bytes, "vmlinux");
    ASSERT_TRUE(btf) << btf.error().message();
    const auto lines = bpftool_lines("/sys/kernel/btf/vmlinux");
    if (lines.empty()) {
        GTEST_SKIP() << "bpftool is not installed";
    }
    ASSERT_EQ(lines.size() + 1, btf->type_count());
    size_t different = 0;
    for (uint32_t id = 1; id < btf->type_count() && different < 5; ++id) {
        const std::string ours = describe(*btf, id);
        if (!lines[id - 1].starts_with(ours)) {
            ++different;
            ADD_FAILURE() << "ours " << ours << "\nbpftool " << lines[id - 1];
        }
    }
}

TEST(Btf, FindsTypesByNameAndKind) {
    BtfEditor edit;
    const uint32_t a = add_int(edit, "u32", 4);
    const uint32_t b = add_ref(edit, BtfKind::Typedef, a, "same");
    const uint32_t c = edit.add_type({edit.add_string("same"), make_info(BtfKind::Struct, 0), 4});
    const uint32_t d = edit.add_type({edit.add_string("same___old"), make_info(BtfKind::Struct, 0), 8});
    auto btf = parse(edit);
    ASSERT_TRUE(btf) << btf.error().message();
    EXPECT_EQ(btf->find("same", BtfKind::Struct), c);
    EXPECT_EQ(btf->find("same", BtfKind::Union), std::nullopt);
    EXPECT_EQ(btf->find_all("same"), (std::vector<uint32_t>{b, c}));
    EXPECT_EQ(btf->find_flavors("same"), (std::vector<uint32_t>{b, c, d}));
    EXPECT_EQ(btf->resolve(b), a);
}

/// BTF of one function that goes on from a base: a prototype returning type 1, and "toy" of that prototype.
ByteVec module_btf(uint32_t base_ids, uint32_t base_strings) {
    ByteVec bytes(btf_raw::kHeaderSize);
    const std::string strings("toy\0", 4);
    store(&bytes[0], btf_raw::kMagic);
    bytes[2] = 1;
    store(&bytes[4], btf_raw::kHeaderSize);
    store(&bytes[12], uint32_t{24});
    store(&bytes[16], uint32_t{24});
    store(&bytes[20], static_cast<uint32_t>(strings.size()));
    for (const uint32_t word : {uint32_t{0}, make_info(BtfKind::FuncProto, 0), uint32_t{1}, base_strings,
                                make_info(BtfKind::Func, 0), base_ids}) {
        bytes.resize(bytes.size() + 4);
        store(&bytes[bytes.size() - 4], word);
    }
    bytes.insert(bytes.end(), strings.begin(), strings.end());
    return bytes;
}

TEST(Btf, ModuleGoesOnWhereTheKernelEnds) {
    BtfEditor edit;
    add_int(edit, "int", 4);
    const Btf base = std::move(*parse(edit));
    const uint32_t ids = base.type_count();
    constexpr uint32_t kStrings = 5; // "", "int"
    const auto both = Btf::parse_split(module_btf(ids, kStrings), base, "module");
    ASSERT_TRUE(both) << both.error().message();
    EXPECT_EQ(both->find("toy", BtfKind::Func), ids + 1);
    EXPECT_EQ(both->find("int", BtfKind::Int), base.find("int", BtfKind::Int));
    EXPECT_EQ(both->type_name(both->type(ids + 1).type), "int (void)");
}

TEST(Btf, RefusesModulesThatAreDamaged) {
    BtfEditor edit;
    add_int(edit, "int", 4);
    const Btf base = std::move(*parse(edit));
    const ByteVec whole = module_btf(base.type_count(), 5);
    for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(Btf::parse_split(ByteView(whole).first(size), base, "module")) << size;
    }
    EXPECT_FALSE(Btf::parse_split(module_btf(base.type_count() + 2, 5), base, "module"))
        << "no such prototype";
    EXPECT_FALSE(Btf::parse_split(module_btf(base.type_count(), 9), base, "module")) << "no such name";
    std::mt19937 random(7);
    for (int i = 0; i < 20000; ++i) {
        ByteVec bytes = whole;
        for (int n = 0; n < 3; ++n) {
            bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
        }
        (void)Btf::parse_split(bytes, base, "module").has_value();
    }
}

TEST(Btf, SplitsFlavoursAsLibbpfDoes) {
    const std::pair<const char*, const char*> cases[] = {
        {"task_struct", "task_struct"},
        {"task_struct___old", "task_struct"},
        {"a___b___c", "a___b"},
        {"___a", "___a"},
        {"a____b", "a____b"},
        {"a___", "a___"},
        {"x___y", "x"},
        {"", ""},
    };
    for (const auto& [name, essential] : cases) {
        EXPECT_EQ(essential_name(name), essential) << name;
    }
}

TEST(Btf, SpellsTypesAsCDeclaresThem) {
    BtfEditor edit;
    const uint32_t int_id = add_int(edit, "int", 4, 1);
    const uint32_t char_id = add_int(edit, "char", 1, 1);
    const uint32_t flow = edit.add_type({edit.add_string("flow"), make_info(BtfKind::Struct, 0), 4});
    const uint32_t const_char = add_ref(edit, BtfKind::Const, char_id);
    const uint32_t text = add_ref(edit, BtfKind::Ptr, const_char);
    const uint32_t const_text = add_ref(edit, BtfKind::Const, text);
    const uint32_t array = edit.add_type({0, make_info(BtfKind::Array, 0), 0, char_id, int_id, 16});
    const uint32_t matrix = edit.add_type({0, make_info(BtfKind::Array, 0), 0, array, int_id, 3});
    const uint32_t to_array = add_ref(edit, BtfKind::Ptr, array);
    const uint32_t proto = edit.add_type({0, make_info(BtfKind::FuncProto, 2), int_id, 0, text, 0, 0});
    const uint32_t callback = add_ref(edit, BtfKind::Ptr, proto);
    const uint32_t voids = add_ref(edit, BtfKind::Ptr, 0);
    auto btf = parse(edit);
    ASSERT_TRUE(btf) << btf.error().message();
    const std::pair<uint32_t, const char*> cases[] = {
        {flow, "struct flow"},
        {text, "const char *"},
        {const_text, "const char * const"},
        {array, "char[16]"},
        {matrix, "char[3][16]"},
        {to_array, "char (*)[16]"},
        {callback, "int (*)(const char *, ...)"},
        {voids, "void *"},
    };
    for (const auto& [id, spelling] : cases) {
        EXPECT_EQ(btf->type_name(id), spelling);
    }
    EXPECT_EQ(*btf->size_of(matrix), 48u);
    EXPECT_FALSE(btf->size_of(proto));
    EXPECT_EQ(btf->size_of(proto).error().code, EINVAL);
}

TEST(Btf, KnowsSizesOffsetsAndAlignmentOfAStruct) {
    const ByteVec object =
        test::object_of_text("struct inner { char a; long b; };\n"
                             "struct packed { char a; long b; } __attribute__((packed));\n"
                             "struct { struct inner i; struct packed p; unsigned f : 3, g : 13; }"
                             " v __attribute__((section(\".data.v\"))) = {};\n");
    auto parsed = read_elf(object, "struct.o");
    ASSERT_TRUE(parsed) << parsed.error().message();
    const Btf& btf = *parsed->btf;
    const uint32_t inner = *btf.find("inner", BtfKind::Struct);
    const uint32_t packed = *btf.find("packed", BtfKind::Struct);
    EXPECT_EQ(*btf.size_of(inner), 16u);
    EXPECT_EQ(btf.align_of(inner), 8u);
    EXPECT_EQ(btf.type(inner).members[1].bit_offset, 64u);
    EXPECT_EQ(*btf.size_of(packed), 9u);
    EXPECT_EQ(btf.align_of(packed), 1u);
    const auto& members = btf.type(btf.type(*btf.find("v", BtfKind::Var)).type).members;
    ASSERT_EQ(members.size(), 4u);
    EXPECT_EQ(members[3].bit_offset, members[2].bit_offset + 3);
    EXPECT_EQ(members[3].bit_width, 13u);
}

TEST(Btf, ReadsEveryKindThatClang14CannotWrite) {
    BtfEditor edit;
    const uint32_t wide =
        edit.add_type({edit.add_string("wide"), make_info(BtfKind::Enum64, 2, true), 8,
                       edit.add_string("low"), 0, 0x80000000, edit.add_string("high"), 7, 1});
    const uint32_t real = edit.add_type({edit.add_string("double"), make_info(BtfKind::Float, 0), 8});
    const uint32_t tag = edit.add_type({edit.add_string("user"), make_info(BtfKind::TypeTag, 0), real});
    const uint32_t note = edit.add_type(
        {edit.add_string("note"), make_info(BtfKind::DeclTag, 0), wide, static_cast<uint32_t>(-1)});
    auto btf = parse(edit);
    ASSERT_TRUE(btf) << btf.error().message();
    EXPECT_EQ(btf->type(wide).enumerators[0].value, INT64_MIN);
    EXPECT_EQ(btf->type(wide).enumerators[1].value, 0x100000007);
    EXPECT_TRUE(btf->type(wide).is_signed);
    EXPECT_EQ(btf->resolve(tag), real);
    EXPECT_EQ(*btf->size_of(tag), 8u);
    EXPECT_EQ(btf->type(note).component, -1);
    EXPECT_EQ(btf->decl_tags(), std::vector{note});
}

TEST(BtfEditor, KeepsEachStringOnce) {
    BtfEditor first;
    std::vector<uint32_t> offsets;
    for (int i = 0; i < 100; ++i) {
        offsets.push_back(first.add_string("name_" + std::to_string(i)));
        add_ref(first, BtfKind::Typedef, 0, ("name_" + std::to_string(i)).c_str());
    }
    auto btf = parse(first);
    ASSERT_TRUE(btf) << btf.error().message();
    BtfEditor second(*btf); // finds the strings that were there before it
    for (int i = 0; i < 100; ++i) {
        const std::string name = "name_" + std::to_string(i);
        EXPECT_EQ(btf->string(offsets[static_cast<size_t>(i)]), name);
        EXPECT_EQ(second.add_string(name), offsets[static_cast<size_t>(i)]);
    }
    EXPECT_EQ(second.finish(), first.finish());
    EXPECT_GT(second.add_string("name_100"), offsets.back());
}

TEST(Btf, RefusesWhatIsDamagedByName) {
    struct Case {
        const char* what;
        std::function<ByteVec()> make;
        const char* text;
    };
    const auto built = [](const std::function<void(BtfEditor&)>& fill) {
        return [fill] {
            BtfEditor edit;
            fill(edit);
            return edit.finish();
        };
    };
    const auto patched = [](size_t at, uint8_t value) {
        return [at, value] {
            ByteVec bytes = BtfEditor().finish();
            bytes[at] = value;
            return bytes;
        };
    };
    const Case cases[] = {
        {"empty", [] { return ByteVec{}; }, "header truncated"},
        {"magic", patched(0, 0), "wrong magic"},
        {"version", patched(2, 9), "version 9"},
        {"big endian",
         [] {
             return ByteVec{0xeb, 0x9f, 1, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
         },
         "big-endian BTF is not supported"},
        {"types outside", patched(13, 9), "type section leaves"},
        {"strings outside", patched(21, 9), "string section leaves"},
        {"unknown kind", built([](BtfEditor& e) {
             e.add_type({0, 20u << 24, 0});
         }),
         "unknown kind 20"},
        {"reference", built([](BtfEditor& e) { add_ref(e, BtfKind::Ptr, 7); }), "refers to type 7"},
        {"own typedef", built([](BtfEditor& e) { add_ref(e, BtfKind::Typedef, 1, "t"); }), "contains itself"},
        {"pointer loop", built([](BtfEditor& e) {
             add_ref(e, BtfKind::Ptr, 2);
             add_ref(e, BtfKind::Const, 1);
         }),
         "contains itself"},
        {"struct in itself", built([](BtfEditor& e) {
             e.add_type({e.add_string("s"), make_info(BtfKind::Struct, 1), 4, 0, 1, 0});
         }),
         "type 1 's': contains itself"},
        {"member outside", built([](BtfEditor& e) {
             add_int(e, "long", 8);
             e.add_type({e.add_string("s"), make_info(BtfKind::Struct, 1), 4, 0, 1, 0});
         }),
         "member 0 leaves the type"},
        {"deep", built([](BtfEditor& e) {
             add_int(e, "int", 4);
             for (uint32_t i = 1; i < 200; ++i) {
                 add_ref(e, BtfKind::Const, i);
             }
         }),
         "nested more than"},
        {"function", built([](BtfEditor& e) {
             add_int(e, "int", 4);
             add_ref(e, BtfKind::Func, 1, "f");
         }),
         "function without a prototype"},
    };
    for (const Case& c : cases) {
        auto btf = Btf::parse(c.make(), "bad.btf");
        ASSERT_FALSE(btf) << c.what;
        EXPECT_NE(btf.error().text.find("bad.btf: "), std::string::npos) << btf.error().message();
        EXPECT_NE(btf.error().text.find(c.text), std::string::npos)
            << c.what << ": " << btf.error().message();
    }
}

TEST(Btf, SurvivesRandomDamage) {
    auto object = read_elf(test::object_bytes("core"), "core.o");
    ASSERT_TRUE(object);
    const ByteVec good(object->btf->raw().begin(), object->btf->raw().end());
    const auto seed = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    size_t accepted = 0;
    for (int round = 0; round < 5000; ++round) {
        ByteVec bytes = good;
        for (uint32_t i = 0; i <= random() % 4; ++i) {
            bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
        }
        if (round % 5 == 0) {
            bytes.resize(random() % bytes.size());
        }
        auto btf = Btf::parse(bytes, "damaged");
        accepted += btf.has_value() ? 1 : 0;
        for (uint32_t id = 0; btf && id < btf->type_count(); ++id) {
            EXPECT_LE(btf->type_name(id).size(), 65536u);
            (void)btf->size_of(id).has_value();
        }
    }
    EXPECT_GT(accepted, 0u); // names may change freely: not everything can be refused
}

} // namespace
} // namespace mimicsh
