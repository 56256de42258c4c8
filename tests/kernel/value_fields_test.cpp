// SPDX-License-Identifier: MIT
// Fields of the kernel in map values: which map types may have them, and what hosts see of them.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>

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
    "__u32 m : 7, n : 25; struct bpf_timer x;",
    "__u32 m : 8, n : 24; struct bpf_spin_lock x;",
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

/// How programs touch a value.
enum class Touch : uint8_t { Load, Store, StoreNull, Atomic, HelperReads, HelperWrites };

/// A program that does so to `size` bytes at an offset of the first value.
std::shared_ptr<const Object> toucher(const Object& types, const MapDef& map, Touch how, uint32_t offset,
                                      uint32_t size) {
    const int width = size == 1 ? op::kB : size == 2 ? op::kH : size == 4 ? op::kW : op::kDw;
    const auto off = static_cast<int>(offset);
    RawObject raw;
    raw.object.btf = types.btf;
    const uint32_t values = raw.add_map(map);
    const uint32_t keys = raw.add_map(map_def("keys", abi::MapType::Hash, size, 4, 1));
    raw.add({mov_reg(6, 1), store_imm(op::kW, 10, -4, 0), mov_reg(2, 10), add(2, -4)});
    raw.load_map(1, values).add({call(1), jump_if(op::kJne, 0, 0, 1), exit_insn(), mov_reg(7, 0), mov(3, 1)});
    switch (how) {
    case Touch::Load:
        raw.add(load(width, 3, 7, off));
        break;
    case Touch::Store:
        raw.add(store_reg(width, 7, off, 3));
        break;
    case Touch::StoreNull:
        raw.add(store_imm(width, 7, off, 0));
        break;
    case Touch::Atomic:
        raw.add(insn(op::kStx | op::kAtomic | width, 7, 3, off, op::kAdd));
        break;
    case Touch::HelperReads: // a key
        raw.load_map(1, keys).add({mov_reg(2, 7), add(2, offset), call(1)});
        break;
    case Touch::HelperWrites: // bpf_xdp_load_bytes
        raw.add({mov_reg(1, 6), mov(2, 0), mov_reg(3, 7), add(3, offset), mov(4, size), call(189)});
        break;
    }
    raw.add({mov(0, 2), exit_insn()});
    return raw.share();
}

/// Whether bytes begin or end where a field does, or one beside it.
bool is_at_a_border(const std::vector<HiddenField>& fields, uint32_t offset, uint32_t size) {
    const auto is_near = [](uint32_t place, uint32_t border) {
        return place + 1 >= border && place <= border + 1;
    };
    return std::ranges::any_of(fields, [&](const HiddenField& field) {
        const uint32_t end = field.offset + field.size;
        return is_near(offset, field.offset) || is_near(offset + size, field.offset) ||
               is_near(offset, end) || is_near(offset + size, end);
    });
}

/// Every kind of field: what the kernel does not load faults in the emulator, and nothing else.
TEST_F(FieldParity, WhatProgramsMayTouch) {
    const auto types_of_all = types();
    ASSERT_NE(types_of_all, nullptr);
    std::set<std::set<HiddenField::Kind>> seen;
    size_t refused = 0;
    size_t runs = 0;
    for (size_t i = 0; i < std::size(kValues); ++i) {
        const MapDef map = definition(*types_of_all, i, abi::MapType::Array);
        const auto fields = hidden_fields(*types_of_all, map);
        std::set<HiddenField::Kind> kinds;
        std::ranges::transform(fields, std::inserter(kinds, kinds.end()), &HiddenField::kind);
        if (is_left_out(kValues[i]) || fields.empty() || !seen.insert(kinds).second) {
            continue;
        }
        for (const Touch how : {Touch::Load, Touch::Store, Touch::StoreNull, Touch::Atomic,
                                Touch::HelperReads, Touch::HelperWrites}) {
            for (const uint32_t size : {1u, 4u, 8u}) {
                if (how == Touch::Atomic && size < 4) {
                    continue;
                }
                // Unaligned atomics are refused for that.
                const uint32_t step = how == Touch::Atomic ? size : 1;
                for (uint32_t offset = 0; offset + size <= map.value_size; offset += step) {
                    if (!is_at_a_border(fields, offset, size)) {
                        continue;
                    }
                    SCOPED_TRACE(testing::Message() << kValues[i] << " touch " << static_cast<int>(how)
                                                    << " of " << size << " at " << offset);
                    const auto object = toucher(*types_of_all, map, how, offset, size);
                    const bool loads = kernel_target()->load(object, {}).has_value();
                    const auto here = vm::make_target()->load(object, {});
                    ASSERT_TRUE(here) << here.error().message();
                    const auto result = (*here)->find_program("main")->run(packet_of(64), {});
                    ASSERT_TRUE(result) << result.error().message();
                    EXPECT_EQ(!result->fault, loads) << (result->fault ? result->fault->cause : "no fault");
                    if (result->fault) {
                        EXPECT_EQ(result->fault->kind, FaultKind::Permission) << result->fault->cause;
                        EXPECT_NE(result->fault->cause.find("which belongs to the kernel"), std::string::npos)
                            << result->fault->cause;
                    }
                    refused += loads ? 0 : 1;
                    ++runs;
                }
            }
        }
    }
    EXPECT_GT(refused, 1500u);
    EXPECT_GT(runs, refused + 800u);
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
