// SPDX-License-Identifier: MIT
// Fields of the kernel in map values: which map types may have them, and what hosts see of them.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "object/value_fields.h"
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

constexpr std::string_view kTypes = R"(
struct bpf_res_spin_lock { __u32 val; };
struct bpf_wq { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_task_work { __u64 opaque; } __attribute__((aligned(8)));
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));
#define contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define tag(name) __attribute__((btf_type_tag(name)))
struct plain { __u64 number; };
typedef struct plain plain_a, plain_b, plain_c, plain_d; /* clang 14 takes pointers to one type for the same */
typedef plain_a tag("kptr") *pointer;
typedef struct bpf_spin_lock lock_type;
struct item { __u64 number; struct bpf_list_node list; };
struct leaf { __u64 number; struct bpf_rb_node node; };
)";

/// Members of a value between two numbers. BTF with what the kernel does not take at all is no case of these.
constexpr std::string_view kValues[] = {
    "__u64 x;",
    "struct bpf_spin_lock x;",
    "struct bpf_res_spin_lock x;",
    "struct bpf_timer x;",
    "struct bpf_wq x;",
    "struct bpf_task_work x;",
    "plain_a tag(\"kptr\") *x;",
    "plain_b tag(\"percpu_kptr\") *x;",
    "plain_c tag(\"kptr_untrusted\") *x;",
    "plain_d tag(\"uptr\") *x;",
    "struct bpf_refcount x;",
    "struct bpf_list_node x;",
    "struct bpf_rb_node x;",
    "struct bpf_spin_lock x; struct bpf_list_head y contains(item, list);",
    "struct bpf_res_spin_lock x; struct bpf_list_head y contains(item, list);",
    "struct bpf_spin_lock x; struct bpf_rb_root y contains(leaf, node);",
    "struct bpf_res_spin_lock x; struct bpf_rb_root y contains(leaf, node);",
    "struct bpf_refcount x, y;",
    "struct bpf_res_spin_lock x, y;",
    "struct bpf_timer x, y;",
    "plain_a tag(\"kptr\") *x; struct bpf_timer y, z;",
    "plain_a tag(\"kptr\") *x; struct bpf_timer y;",
    "plain_a tag(\"kptr\") *x; struct bpf_spin_lock y;",
    "struct bpf_spin_lock x[1];",
    "struct bpf_spin_lock x[2];",
    "struct { struct { struct bpf_spin_lock x; } y; } z;",
    "union { __u64 x; plain_a tag(\"kptr\") *y; } z;",
    "struct { __u64 x; plain_a tag(\"kptr\") *y; } z[3];",
    "struct { __u64 x; plain_a tag(\"kptr\") *y; } z[2][2];",
    "struct { plain_a tag(\"kptr\") *y; } z[11];",
    "struct { plain_a tag(\"kptr\") *y; } z[12];",
    "pointer x;",
    "pointer x[2];",
    "plain_a tag(\"kptr\") *const x;",
    "const plain_a tag(\"kptr\") *x;",
    "__u64 tag(\"kptr\") *x;",
    "void tag(\"kptr\") *x;",
    "lock_type x;",
    "const struct bpf_spin_lock x;",
};

/// Map types whose values may have types at all.
constexpr abi::MapType kMapTypes[] = {abi::MapType::Hash,        abi::MapType::Array,
                                      abi::MapType::PercpuHash,  abi::MapType::PercpuArray,
                                      abi::MapType::LruHash,     abi::MapType::LruPercpuHash,
                                      abi::MapType::SkStorage,   abi::MapType::InodeStorage,
                                      abi::MapType::TaskStorage, abi::MapType::CgrpStorage};

bool is_storage(abi::MapType type) {
    return abi::name(type).ends_with("storage");
}

class FieldParity : public MapParity {
  protected:
    /// An object with the types of all values, and a map definition for the one at `place`.
    static std::shared_ptr<const Object> types() {
        std::string text(kTypes);
        for (size_t i = 0; i < std::size(kValues); ++i) {
            const std::string name = "value_" + std::to_string(i);
            text += "struct " + name + " { __u64 a; " + std::string(kValues[i]) + " __u64 b; };\nint use_" +
                    name + "(struct " + name + " *p) { return 0; }\n";
        }
        return compile_text("#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n" + text +
                            "int more(struct plain *a, struct item *b, struct leaf *c, int d) { return 0; }\n"
                            "SEC(\"xdp\") int pass(struct xdp_md *ctx) { return XDP_PASS; }\n"
                            "char LICENSE[] SEC(\"license\") = \"GPL\";\n");
    }

    static MapDef definition(const Object& object, size_t place, abi::MapType type) {
        MapDef def =
            map_def("m", type, 4, 0, is_storage(type) ? 0 : 4, is_storage(type) ? abi::kMapNoPrealloc : 0);
        def.key_btf_id = *object.btf->find("int", BtfKind::Int);
        def.value_btf_id = *object.btf->find("value_" + std::to_string(place), BtfKind::Struct);
        def.value_size = static_cast<uint32_t>(*object.btf->size_of(def.value_btf_id));
        return def;
    }
};

/// The kernel warns when it frees lists and trees beside a bpf_res_spin_lock.
bool is_left_out(std::string_view members) {
    return stops_at_warnings() && members.starts_with("struct bpf_res_spin_lock x; struct");
}

/// Without the second try that loaders make, which leaves the types away.
TEST_F(FieldParity, MapTypesThatMayHaveThem) {
    const auto object = types();
    ASSERT_NE(object, nullptr);
    const ByteView raw = object->btf->raw();
    const Fd btf(bpf_btf_load(raw.data(), raw.size(), nullptr));
    ASSERT_TRUE(btf.valid());
    const auto create = [&](const MapDef& def) {
        LIBBPF_OPTS(bpf_map_create_opts, opts);
        opts.map_flags = def.flags;
        opts.btf_fd = static_cast<uint32_t>(btf.get());
        opts.btf_key_type_id = def.key_size == 0 ? 0 : def.key_btf_id;
        opts.btf_value_type_id = def.value_btf_id;
        const Fd fd(bpf_map_create(static_cast<bpf_map_type>(def.type), "m", def.key_size, def.value_size,
                                   def.max_entries, &opts));
        return fd.valid() ? 0 : errno;
    };
    size_t refused = 0;
    for (size_t i = 0; i < std::size(kValues); ++i) {
        if (is_left_out(kValues[i])) {
            continue;
        }
        // Bloom filters take types, but no field.
        MapDef bloom = definition(*object, i, abi::MapType::BloomFilter);
        bloom.key_size = 0;
        const bool has_fields = create(bloom) == EOPNOTSUPP;
        MapDef any = definition(*object, i, abi::MapType::Array);
        const auto in_arrays = hidden_fields(*object, any);
        any.type = abi::MapType::TaskStorage;
        const auto in_tasks = hidden_fields(*object, any);
        EXPECT_EQ(!in_arrays.empty() || !in_tasks.empty(), has_fields) << kValues[i];
        const auto& fields = in_arrays.empty() ? in_tasks : in_arrays;
        for (const abi::MapType type : kMapTypes) {
            const MapDef def = definition(*object, i, type);
            const bool all = std::ranges::all_of(
                fields, [&](const HiddenField& field) { return can_have(type, field.kind); });
            EXPECT_EQ(all ? 0 : EOPNOTSUPP, create(def)) << kValues[i] << " in " << abi::name(type);
            EXPECT_EQ(hidden_fields(*object, def).empty(), !all || fields.empty())
                << kValues[i] << " in " << abi::name(type);
            refused += all ? 0 : 1;
        }
    }
    EXPECT_GT(refused, 50u);
}

/// Both targets, with that second try: which bytes a host's update reaches.
TEST_F(FieldParity, WhatHostsSee) {
    const auto types_of_all = types();
    ASSERT_NE(types_of_all, nullptr);
    for (const abi::MapType type : kMapTypes) {
        for (const uint32_t flags : {0u, abi::kMapRdonlyProg}) {
            if (is_storage(type)) {
                continue;
            }
            Object object = *types_of_all;
            object.functions.clear();
            for (size_t i = 0; i < std::size(kValues); ++i) {
                if (!is_left_out(kValues[i])) {
                    object.maps.push_back(definition(object, i, type));
                    object.maps.back().name = "m" + std::to_string(i);
                    object.maps.back().flags |= flags;
                }
            }
            const auto shared = std::make_shared<const Object>(std::move(object));
            const auto here = vm::make_target()->load(shared, {});
            const auto there = kernel_target()->load(shared, {});
            ASSERT_TRUE(here && there) << abi::name(type);
            for (const MapDef& def : shared->maps) {
                std::vector<std::string> outcomes;
                for (Instance* one : {here->get(), there->get()}) {
                    Map& map = *one->find_map(def.name);
                    ByteVec value(host_value_size(map.info()), 0xff);
                    outcomes.push_back(outcome(map.update(bytes_of(1), value, 0)));
                    outcomes.back() += ", " + outcome(map.lookup(bytes_of(1), value), value);
                }
                EXPECT_EQ(outcomes[0], outcomes[1])
                    << kValues[static_cast<size_t>(std::stoi(def.name.substr(1)))] << " in "
                    << abi::name(type) << ", " << flags;
            }
        }
    }
}

/// Storage without types there is none.
TEST_F(FieldParity, StorageWantsTheTypesOfItsValues) {
    const auto types_of_all = types();
    ASSERT_NE(types_of_all, nullptr);
    size_t made = 0;
    for (const abi::MapType type :
         {abi::MapType::SkStorage, abi::MapType::TaskStorage, abi::MapType::CgrpStorage}) {
        for (size_t i = 0; i < std::size(kValues); ++i) {
            Object object = *types_of_all;
            object.functions.clear();
            object.maps = {definition(object, i, type)};
            const auto shared = std::make_shared<const Object>(std::move(object));
            const auto here = vm::make_target()->load(shared, {});
            const auto there = kernel_target()->load(shared, {});
            EXPECT_EQ(here ? "made" : here.error().code_name(), there ? "made" : there.error().code_name())
                << kValues[i] << " in " << abi::name(type);
            made += there ? 1 : 0;
        }
    }
    EXPECT_GT(made, 3 * std::size(kValues) / 2);
}

} // namespace

} // namespace mimicsh::test
