// SPDX-License-Identifier: MIT
// BTF types as Lua tables: what lua/types.lua needs to lay out keys, values and variables.
#include <unordered_map>

#include "bindings/bpf.h"

namespace mimicsh::lua {

namespace {

constexpr int kMaxDepth = 32;

void set_string(lua_State* L, const char* field, std::string_view text) {
    push_string(L, text);
    lua_setfield(L, -2, field);
}

void set_number(lua_State* L, const char* field, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

void set_true(lua_State* L, const char* field) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, field);
}

bool is_big_endian_name(std::string_view name) {
    return name == "__be16" || name == "__be32" || name == "__be64";
}

/// Pushes descriptions; equal types of one walk are one table, so that a hostile nest of structs stays
/// linear.
class Describer {
  public:
    Describer(lua_State* L, const Btf& btf) : L_(L), btf_(btf) {
        lua_newtable(L);
        memo_ = lua_gettop(L);
    }

    void push(uint32_t id, int depth) {
        if (depth > kMaxDepth) {
            fail(L_, "type " + btf_.type_name(id) + " is nested deeper than " + std::to_string(kMaxDepth));
        }
        luaL_checkstack(L_, 10, "types nested too deep");
        lua_rawgeti(L_, memo_, static_cast<int>(id));
        if (!lua_isnil(L_, -1)) {
            return;
        }
        lua_pop(L_, 1);
        lua_newtable(L_);
        const bool is_big_endian = describe_names(id);
        const BtfType& type = btf_.type(btf_.resolve(id));
        if (is_big_endian && type.kind == BtfKind::Int) {
            set_true(L_, "be");
        }
        describe(btf_.resolve(id), type, depth);
        lua_pushvalue(L_, -1);
        lua_rawseti(L_, memo_, static_cast<int>(id));
    }

    void finish() { lua_remove(L_, memo_); }

  private:
    /// Follows typedefs for the names that carry meaning; says whether one of them means big-endian.
    bool describe_names(uint32_t id) {
        set_string(L_, "name", btf_.type_name(id));
        for (int step = 0; step < 64; step++) {
            const BtfType& type = btf_.type(id);
            if (type.kind == BtfKind::Typedef && is_big_endian_name(type.name)) {
                return true;
            }
            if (type.kind != BtfKind::Typedef && type.kind != BtfKind::Const &&
                type.kind != BtfKind::Volatile && type.kind != BtfKind::Restrict &&
                type.kind != BtfKind::TypeTag) {
                break;
            }
            id = type.type;
        }
        return false;
    }

    void describe(uint32_t id, const BtfType& type, int depth) {
        switch (type.kind) {
        case BtfKind::Int:
            set_string(L_, "kind", "int");
            set_number(L_, "size", type.size);
            if (type.is_signed) {
                set_true(L_, "signed");
            }
            if (type.is_bool) {
                set_true(L_, "bool");
            }
            if (type.is_char || type.name == "char") {
                set_true(L_, "char");
            }
            return;
        case BtfKind::Float:
            set_string(L_, "kind", "float");
            set_number(L_, "size", type.size);
            return;
        case BtfKind::Ptr:
            set_string(L_, "kind", "pointer");
            set_number(L_, "size", 8);
            return;
        case BtfKind::Enum:
        case BtfKind::Enum64:
            return describe_enum(type);
        case BtfKind::Array:
            set_string(L_, "kind", "array");
            set_number(L_, "count", type.elements);
            push(type.type, depth + 1);
            lua_setfield(L_, -2, "element");
            set_size(id);
            return;
        case BtfKind::Struct:
        case BtfKind::Union:
            return describe_struct(type, depth);
        default:
            fail(L_, "type " + btf_.type_name(id) + " has no layout");
        }
    }

    void set_size(uint32_t id) {
        const auto size = btf_.size_of(id);
        if (!size) {
            fail(L_, size.error().message());
        }
        set_number(L_, "size", static_cast<double>(*size));
    }

    void describe_enum(const BtfType& type) {
        set_string(L_, "kind", "enum");
        set_number(L_, "size", type.size);
        if (type.is_signed) {
            set_true(L_, "signed");
        }
        lua_newtable(L_);
        for (const auto& enumerator : type.enumerators) {
            push_string(L_, enumerator.name);
            if (type.size < 8) {
                lua_pushnumber(L_, static_cast<double>(enumerator.value));
            } else if (type.is_signed) {
                push_i64(L_, enumerator.value);
            } else {
                push_u64(L_, static_cast<uint64_t>(enumerator.value));
            }
            lua_rawset(L_, -3);
        }
        lua_setfield(L_, -2, "values");
    }

    void describe_struct(const BtfType& type, int depth) {
        set_string(L_, "kind", type.kind == BtfKind::Struct ? "struct" : "union");
        set_number(L_, "size", type.size);
        lua_createtable(L_, static_cast<int>(type.members.size()), 0);
        int index = 0;
        for (const auto& member : type.members) {
            lua_createtable(L_, 0, 4);
            set_string(L_, "name", member.name);
            set_number(L_, "bit_offset", member.bit_offset);
            if (member.bit_width != 0) {
                set_number(L_, "bit_width", member.bit_width);
            }
            push(member.type, depth + 1);
            lua_setfield(L_, -2, "type");
            lua_rawseti(L_, -2, ++index);
        }
        lua_setfield(L_, -2, "members");
    }

    lua_State* L_;
    const Btf& btf_;
    int memo_ = 0;
};

} // namespace

void push_btf_type(lua_State* L, const Btf& btf, uint32_t id) {
    Describer describer(L, btf);
    describer.push(id, 0);
    describer.finish();
}

void push_variables(lua_State* L, const Object& object, const MapDef& def) {
    lua_newtable(L);
    if (object.btf == nullptr || !def.is_data || def.value_btf_id == 0 ||
        object.btf->type(def.value_btf_id).kind != BtfKind::Datasec) {
        return;
    }
    int index = 0;
    for (const auto& variable : object.btf->type(def.value_btf_id).vars) {
        const BtfType& var = object.btf->type(variable.var_type);
        const auto size =
            var.kind == BtfKind::Var ? object.btf->size_of(var.type) : Expected<uint64_t>(Error{});
        // The reader has checked ids, not that the section has room for what its BTF promises.
        if (!size || variable.offset > def.value_size || *size > def.value_size - variable.offset) {
            continue;
        }
        lua_createtable(L, 0, 4);
        set_string(L, "name", var.name);
        set_number(L, "offset", variable.offset);
        set_number(L, "size", static_cast<double>(*size));
        push_btf_type(L, *object.btf, var.type);
        lua_setfield(L, -2, "type");
        lua_rawseti(L, -2, ++index);
    }
}

} // namespace mimicsh::lua
