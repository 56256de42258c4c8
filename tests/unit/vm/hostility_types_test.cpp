// SPDX-License-Identifier: MIT
// Types that no compiler writes: fields of the kernel's that are too short or lie over each other, and
// nests that would take for ever.
#include <gtest/gtest.h>

#include <cerrno>

#include "object/btf_edit.h"
#include "object/value_fields.h"
#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

std::vector<HiddenField> fields_of(const Btf& btf, std::string_view type) {
    const auto id = btf.find(type, BtfKind::Struct);
    const auto size = id ? btf.size_of(*id) : Expected<uint64_t>(Error{ENOENT, "find", "", {}, {}});
    if (!size) {
        ADD_FAILURE() << type;
        return {};
    }
    return hidden_fields_of(btf, *id, static_cast<uint32_t>(*size));
}

TEST(HostileTypes, FieldsOfAnotherSizeAreNotTheKernels) {
    const auto object = compile_text(R"(
struct bpf_timer { char one; };
struct bpf_list_head { long first; };
struct bpf_rb_root { int first; };
struct bpf_wq { long parts[3]; };
struct bpf_spin_lock { unsigned short val; };
struct bpf_refcount { int count; };
struct value {
    struct bpf_timer timer;
    struct bpf_list_head head;
    struct bpf_rb_root root;
    struct bpf_wq wq;
    struct bpf_spin_lock lock;
    struct bpf_refcount count;
} value;
)");
    ASSERT_NE(object, nullptr);
    const auto fields = fields_of(*object->btf, "value");
    ASSERT_EQ(fields.size(), 1u);
    EXPECT_EQ(fields[0].kind, HiddenField::Kind::Refcount);
}

TEST(HostileTypes, FieldsDoNotOverlap) {
    const auto object = compile_text(R"(
struct bpf_spin_lock { unsigned val; };
struct bpf_timer { long opaque[2]; };
struct value { struct bpf_spin_lock lock; struct bpf_timer timer; long last; } value;
)");
    ASSERT_NE(object, nullptr);
    const Btf& btf = *object->btf;
    const BtfMember timer = btf.type(*btf.find("value", BtfKind::Struct)).members[1];
    ASSERT_EQ(timer.bit_offset, 64u);
    ByteVec bytes(btf.raw().begin(), btf.raw().end());
    size_t changed = 0;
    for (size_t at = 0; at + 8 <= bytes.size(); at += 4) {
        if (mimicsh::load<uint32_t>(bytes.data() + at) == timer.type &&
            mimicsh::load<uint32_t>(bytes.data() + at + 4) == 64) {
            store<uint32_t>(bytes.data() + at + 4, 16); // bits: over the lock
            ++changed;
        }
    }
    ASSERT_EQ(changed, 1u);
    const auto overlapping = Btf::parse(bytes, "test");
    ASSERT_TRUE(overlapping) << overlapping.error().message();
    const auto fields = fields_of(*overlapping, "value");
    ASSERT_EQ(fields.size(), 1u);
    EXPECT_EQ(fields[0].kind, HiddenField::Kind::SpinLock);
}

TEST(HostileTypes, OptionsLieInTheirSection) {
    const auto object = compile_text(std::string(kPrelude) + R"(
extern int CONFIG_HZ __kconfig;
SEC("xdp") int prog(struct xdp_md *ctx) { return CONFIG_HZ; }
)");
    ASSERT_NE(object, nullptr);
    const auto section = object->btf->find(".kconfig", BtfKind::Datasec);
    ASSERT_TRUE(section);
    struct Case {
        size_t word;
        uint32_t value;
    };
    constexpr size_t kSize = 2, kVariableOffset = 4, kVariableSize = 5;
    for (const auto& [word, value] :
         {Case{kSize, 0}, Case{kVariableOffset, 2}, Case{kVariableSize, 3}, Case{kVariableSize, 16}}) {
        BtfEditor editor(*object->btf);
        editor.set_word(*section, word, value);
        if (value == 16) {
            editor.set_word(*section, kSize, value);
        }
        auto btf = Btf::parse(editor.finish(), "test");
        if (!btf) {
            continue; // refused even earlier
        }
        Object changed = *object;
        changed.btf = std::make_shared<const Btf>(std::move(*btf));
        LoadOptions load;
        load.kconfig = {{"CONFIG_HZ", "100"}};
        const auto loaded =
            vm::make_target({})->load(std::make_shared<const Object>(std::move(changed)), load);
        ASSERT_FALSE(loaded) << word << " " << value;
        EXPECT_EQ(loaded.error().code, EINVAL) << loaded.error().message();
    }
}

TEST(HostileTypes, NestsOfArraysAreLookedThroughOnce) {
    const auto object = compile_text(R"(
struct empty { };
struct bpf_refcount { int count; };
struct value {
    struct bpf_refcount count;
    struct empty nest[64][64][64][64][64][64][64];
} value;
)");
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(fields_of(*object->btf, "value").size(), 1u);
}

/// `text` with 30 levels of unions, each of two members of the type below.
std::string doubling(const std::string& below, const std::string& last) {
    std::string text = below;
    for (int level = 1; level <= 30; ++level) {
        const std::string number = std::to_string(level - 1);
        text +=
            "union u" + std::to_string(level) + " { union u" + number + " a; union u" + number + " b; };\n";
    }
    return text + last;
}

TEST(HostileTypes, FieldsOfTheKernelsStructsAreFoundInTime) {
    const auto object = compile_text(std::string(kPrelude) + doubling("union u0 { long value; };\n", R"(
struct task_struct { union u30 all; } *one;
SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task_btf();

    return ((volatile struct task_struct *)task)->all.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.value ? 1 : 2;
}
)"));
    ASSERT_NE(object, nullptr);
    LoadOptions load;
    load.kernel_btf = object->btf;
    vm::Options options;
    options.mode = vm::Mode::Permissive;
    const auto instance = vm::make_target(options)->load(object, load);
    ASSERT_TRUE(instance) << instance.error().message();
    const auto result = (*instance)->programs().front()->run(packet_of(64), {});
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_TRUE(result->fault && result->fault->kind == FaultKind::MissingValue);
}

TEST(HostileTypes, ShownValuesEnd) {
    const auto object = compile_text(std::string(kPrelude) + R"(
struct empty { };
struct endless { __u64 number; struct empty many[0xffffffff]; };
struct endless place;
char text[64];
SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct btf_ptr pointer = {
        .ptr = &place,
        .type_id = __builtin_btf_type_id(*(struct endless *)0, 0),
    };

    bpf_snprintf_btf(text, sizeof(text), &pointer, sizeof(pointer), BTF_F_ZERO);
    return 2;
}
)");
    ASSERT_NE(object, nullptr);
    vm::Options options;
    LoadOptions load;
    load.kernel_btf = object->btf;
    const auto instance = vm::make_target(options)->load(object, load);
    ASSERT_TRUE(instance) << instance.error().message();
    const auto result = (*instance)->programs().front()->run(packet_of(64), {});
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_FALSE(result->fault) << result->fault->report;
    EXPECT_EQ(result->ret, 2u);
}

} // namespace

} // namespace mimicsh::test
