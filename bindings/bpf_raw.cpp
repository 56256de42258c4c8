// SPDX-License-Identifier: MIT
// Objects from raw instructions.
#include "bindings/bpf.h"
#include "object/raw.h"

namespace mimicsh::lua {

namespace {

ByteVec bytes_of(const std::optional<std::string>& text) {
    const ByteView bytes = as_bytes(text ? std::string_view(*text) : std::string_view());
    return {bytes.begin(), bytes.end()};
}

/// The map definition in the table at index.
RawMap check_map_def(lua_State* L, int index) {
    Options options(L, index, "raw map");
    RawMap map;
    const auto number = [&](const char* name) {
        return static_cast<uint32_t>(options.number(name, 0, UINT32_MAX).value_or(0));
    };
    map.insn = number("insn");
    map.def.name = options.string("name").value_or("");
    const auto type_name = options.string("type").value_or("");
    const auto type = abi::map_type(type_name);
    if (!type) {
        fail(L, "raw: map '" + map.def.name + "': no map type '" + type_name + "'");
    }
    map.def.type = *type;
    map.def.key_size = number("key_size");
    map.def.value_size = number("value_size");
    map.def.max_entries = number("max_entries");
    map.def.flags = number("flags");
    map.def.extra = options.number("extra", 0, UINT64_MAX).value_or(0);
    map.def.key_btf_id = number("key_type_id");
    map.def.value_btf_id = number("value_type_id");
    map.def.contents = bytes_of(options.string("contents"));
    options.finish();
    return map;
}

/// Those in the list that an option has.
std::vector<RawMap> check_map_defs(lua_State* L, Options& options, const char* name) {
    std::vector<RawMap> all;
    options.push(name);
    const int list = lua_gettop(L);
    for (size_t i = 1; lua_istable(L, list) && i <= lua_objlen(L, list); i++) {
        lua_rawgeti(L, list, static_cast<int>(i));
        all.push_back(check_map_def(L, lua_gettop(L)));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return all;
}

/// object_raw{insns=, name=, type=, attach_type=, flags=, license=, btf=, func_info=, maps={{insn=, ...},
/// ...}, fd_array={{...}, ...}}
/// -> object | nil, err.
int object_raw(lua_State* L) {
    Options options(L, 1, "raw");
    RawOptions raw;
    const ByteVec insns = bytes_of(options.string("insns"));
    const ByteVec btf = bytes_of(options.string("btf"));
    const ByteVec func_info = bytes_of(options.string("func_info"));
    raw.btf = btf;
    raw.func_info = func_info;
    raw.name = options.string("name").value_or("");
    raw.license = options.string("license").value_or("GPL");
    raw.flags = static_cast<uint32_t>(options.number("flags", 0, UINT32_MAX).value_or(0));
    if (const auto attach = options.number("attach_type", 0, UINT32_MAX)) {
        raw.attach_type = static_cast<abi::AttachType>(*attach);
    }
    const auto type_name = options.string("type").value_or("xdp");
    raw.maps = check_map_defs(L, options, "maps");
    for (RawMap& map : check_map_defs(L, options, "fd_array")) {
        raw.fd_array.push_back(std::move(map.def));
    }
    options.finish();
    const auto type = abi::prog_type(type_name);
    if (!type) {
        fail(L, "bad argument 'type': no program type '" + type_name + "'");
    }
    raw.type = *type;
    return push_object(L, read_raw(insns, raw));
}

constexpr Function kFunctions[] = {
    {"object_raw", &guard<&object_raw>},
};

} // namespace

std::span<const Function> raw_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
