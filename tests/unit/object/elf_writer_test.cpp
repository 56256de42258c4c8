// SPDX-License-Identifier: MIT
// Written objects: read back equal, and accepted by libbpf and bpftool.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>

#include "libbpf_oracle.h"
#include "object/linker.h"
#include "programs.h"

namespace mimicsh {
namespace {

void expect_equal(const MapDef& a, const MapDef& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.type, b.type) << a.name;
    EXPECT_EQ(a.key_size, b.key_size) << a.name;
    EXPECT_EQ(a.value_size, b.value_size) << a.name;
    EXPECT_EQ(a.max_entries, b.max_entries) << a.name;
    EXPECT_EQ(a.flags, b.flags) << a.name;
    EXPECT_EQ(a.extra, b.extra) << a.name;
    EXPECT_EQ(a.pinning, b.pinning) << a.name;
    EXPECT_EQ(a.key_btf_id, b.key_btf_id) << a.name;
    EXPECT_EQ(a.value_btf_id, b.value_btf_id) << a.name;
    EXPECT_EQ(a.contents, b.contents) << a.name;
    EXPECT_EQ(a.frozen, b.frozen) << a.name;
    ASSERT_EQ(a.slots.size(), b.slots.size()) << a.name;
    for (size_t i = 0; i < a.slots.size(); ++i) {
        EXPECT_EQ(a.slots[i].index, b.slots[i].index) << a.name;
        EXPECT_EQ(a.slots[i].target, b.slots[i].target) << a.name;
    }
    ASSERT_EQ(!a.inner, !b.inner) << a.name;
    if (a.inner) {
        expect_equal(*a.inner, *b.inner);
    }
}

template <typename Record, typename Key>
void expect_records(const std::vector<Record>& a, const std::vector<Record>& b, Key key) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(key(a[i]), key(b[i])) << i;
    }
}

void expect_equal(const Function& a, const Function& b) {
    SCOPED_TRACE(a.name);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.section, b.section);
    EXPECT_EQ(a.is_global, b.is_global);
    EXPECT_EQ(a.is_weak, b.is_weak);
    EXPECT_EQ(a.btf_id, b.btf_id);
    EXPECT_EQ(a.insns, b.insns);
    ASSERT_EQ(a.spec.has_value(), b.spec.has_value());
    expect_records(a.relocs, b.relocs,
                   [](const Relocation& r) { return std::tuple(r.insn, r.kind, r.target, r.offset); });
    expect_records(a.core_relocs, b.core_relocs,
                   [](const CoreRelocation& r) { return std::tuple(r.insn, r.type_id, r.access, r.kind); });
    expect_records(a.lines, b.lines, [](const LineInfo& l) {
        return std::tuple(l.insn, l.file_off, l.text_off, l.line, l.column);
    });
}

class Written : public testing::TestWithParam<std::string> {
  protected:
    static Object read() {
        auto object = read_elf(test::object_bytes(GetParam()), GetParam());
        EXPECT_TRUE(object) << object.error().message();
        return object ? std::move(*object) : Object{};
    }
};

TEST_P(Written, ReadsBackEqual) {
    const Object before = read();
    auto bytes = write_elf(before);
    ASSERT_TRUE(bytes) << bytes.error().message();
    auto after = read_elf(*bytes, GetParam());
    ASSERT_TRUE(after) << after.error().message();
    EXPECT_EQ(before.license, after->license);
    EXPECT_EQ(before.kernel_version, after->kernel_version);
    ASSERT_EQ(before.functions.size(), after->functions.size());
    for (size_t i = 0; i < before.functions.size(); ++i) {
        expect_equal(before.functions[i], after->functions[i]);
    }
    ASSERT_EQ(before.maps.size(), after->maps.size());
    for (size_t i = 0; i < before.maps.size(); ++i) {
        expect_equal(before.maps[i], after->maps[i]);
    }
    expect_records(before.externs, after->externs, [](const ExternDef& d) {
        return std::tuple(d.name, d.kind, d.is_weak, d.btf_id, d.type_id);
    });
    // Writing what was written changes nothing any more.
    auto again = write_elf(*after);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(*bytes, *again);
}

TEST_P(Written, IsLoadedByLibbpfWithTheSameInstructions) {
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    auto bytes = write_elf(read());
    ASSERT_TRUE(bytes) << bytes.error().message();
    const test::LibbpfObject original = test::load_with_libbpf(test::object_bytes(GetParam()));
    const test::LibbpfObject written = test::load_with_libbpf(*bytes);
    ASSERT_EQ(original.error, "");
    ASSERT_EQ(written.error, "");
    EXPECT_EQ(original.maps, written.maps);
    ASSERT_EQ(original.programs.size(), written.programs.size());
    for (const auto& [name, insns] : original.programs) {
        const auto found = written.programs.find(name);
        ASSERT_NE(found, written.programs.end()) << name;
        ASSERT_EQ(found->second.size(), insns.size()) << name;
        for (size_t i = 0; i < insns.size(); ++i) {
            EXPECT_EQ(found->second[i].code, insns[i].code) << name << " " << i;
            EXPECT_EQ(found->second[i].off, insns[i].off) << name << " " << i;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, Written, testing::ValuesIn(test::program_names()),
                         [](const auto& param) { return param.param; });

/// A program with maps as a front-end without BTF makes it.
Object plain_object() {
    Object object;
    object.name = "plain";
    object.origin = "plain";
    object.license = "GPL";
    MapDef values;
    values.name = "values";
    values.type = abi::MapType::Array;
    values.key_size = 4;
    values.value_size = 8;
    values.max_entries = 3;
    MapDef jumps = values;
    jumps.name = "jumps";
    jumps.type = abi::MapType::ProgArray;
    jumps.value_size = 4;
    jumps.slots = {{2, 0}};
    object.maps = {values, jumps};
    Function main;
    main.name = "main";
    main.section = "xdp";
    main.spec = spec_of_section("xdp");
    main.insns = {{op::kLddw, 1, op::kMapFd, 0, 0},
                  {},
                  {op::kAlu64 | op::kMov | op::kK, 0, 0, 0, 0},
                  {op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1},
                  {op::kJmp | op::kExit, 0, 0, 0, 0}};
    main.relocs = {{0, RelocKind::Map, 0, 0}, {3, RelocKind::Call, 1, 0}};
    Function sub;
    sub.name = "sub";
    sub.section = ".text";
    sub.is_global = false;
    sub.insns = {{op::kAlu64 | op::kMov | op::kK, 0, 0, 0, 2}, {op::kJmp | op::kExit, 0, 0, 0, 0}};
    object.functions = {main, sub};
    return object;
}

TEST(ElfWriter, DescribesMapsThatHaveNoTypes) {
    auto bytes = write_elf(plain_object());
    ASSERT_TRUE(bytes) << bytes.error().message();
    auto object = read_elf(*bytes, "plain");
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->find_map("values")->max_entries, 3u);
    ASSERT_EQ(object->find_map("jumps")->slots.size(), 1u);
    EXPECT_EQ(object->find_map("jumps")->slots[0].index, 2u);
    if (test::cannot_load().empty()) {
        const test::LibbpfObject loaded = test::load_with_libbpf(*bytes);
        EXPECT_EQ(loaded.error, "");
        EXPECT_EQ(loaded.programs.at("main").size(), 7u);
    }
}

TEST(ElfWriter, IsAcceptedByBpftool) {
    if (const std::string why = test::cannot_load(); !why.empty()) {
        GTEST_SKIP() << why;
    }
    if (std::system("command -v bpftool >/dev/null 2>&1") != 0) {
        GTEST_SKIP() << "bpftool is not installed";
    }
    const test::ScratchDir scratch;
    auto object = read_elf(test::object_bytes("maps_xdp"), "maps_xdp");
    ASSERT_TRUE(object);
    auto bytes = write_elf(*object);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(write_file(scratch / "o.o", *bytes, "write"));
    // A bpf file system of our own, in a mount namespace of our own: nothing stays behind. A chroot's root is
    // no mount point that could be made private, and need not be.
    const std::string command = "unshare -m --propagation unchanged sh -c '(mount --make-rprivate / || true) "
                                "2>/dev/null; mount -t bpf none " +
                                scratch.path() + " 2>&1 && bpftool prog loadall /proc/self/fd/9 " +
                                scratch.path() + "/x 2>&1' 9<" + scratch.path() + "/o.o";
    EXPECT_EQ(std::system((command + " >/dev/null").c_str()), 0) << command;
}

TEST(ElfWriter, RefusesWhatAFileCannotKeep) {
    struct Case {
        std::function<void(Object&)> change;
        const char* text;
    };
    const Case cases[] = {
        {[](Object& o) { o.functions[1].section = "odd"; }, "function 'sub' has no section"},
        {[](Object& o) {
             MapDef bss = o.maps[0];
             bss.name = ".bss";
             bss.is_data = true;
             bss.value_size = 1;
             bss.contents = {1};
             o.maps.push_back(bss);
         },
         "section .bss cannot keep contents"},
        {[](Object& o) { o.functions[0].relocs[0].target = 9; }, "names number 9"},
    };
    for (const Case& c : cases) {
        Object object = plain_object();
        c.change(object);
        auto bytes = write_elf(object);
        ASSERT_FALSE(bytes) << c.text;
        EXPECT_NE(bytes.error().text.find(c.text), std::string::npos) << bytes.error().message();
    }
    auto typed = read_elf(test::object_bytes("maps_xdp"), "maps_xdp");
    ASSERT_TRUE(typed);
    typed->maps[0].max_entries = 77; // its BTF says 4
    auto bytes = write_elf(*typed);
    ASSERT_FALSE(bytes);
    EXPECT_NE(bytes.error().text.find("differs from what its BTF declares"), std::string::npos);
}

} // namespace
} // namespace mimicsh
