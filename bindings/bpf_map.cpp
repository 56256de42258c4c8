// SPDX-License-Identifier: MIT
// Maps as bytes: what lua/bpf.lua makes typed. Keys and values cross as Lua strings in kernel layout.
#include <algorithm>
#include <cerrno>

#include "bindings/bpf.h"
#include "kernel/map.h"
#include "kernel/map_batch.h"
#include "object/arena.h"

namespace mimicsh::lua {

Map& check_map(lua_State* L, int index) {
    MapRef& ref = check<MapRef>(L, index, "map");
    if (ref.owner->instance == nullptr) {
        fail(L, "map: its instance is closed");
    }
    if (ref.replaced_maps != ref.owner->replaced_maps) {
        ref.map = ref.owner->instance->maps()[ref.index];
        ref.replaced_maps = ref.owner->replaced_maps;
    }
    return *ref.map;
}

namespace {

ByteView check_key(lua_State* L, int index, const Map& map) {
    const auto key = check_string(L, index, "key");
    if (key.size() != map.info().key_size) {
        fail(L, "map " + map.info().name + ": a key has " + std::to_string(map.info().key_size) +
                    " bytes, got " + std::to_string(key.size()));
    }
    return as_bytes(key);
}

int map_info(lua_State* L) {
    const MapInfo& info = check_map(L, 1).info();
    lua_createtable(L, 0, 10);
    const auto set = [L](const char* field, uint32_t value) {
        lua_pushnumber(L, value);
        lua_setfield(L, -2, field);
    };
    push_string(L, info.name);
    lua_setfield(L, -2, "name");
    push_string(L, abi::name(info.type));
    lua_setfield(L, -2, "type");
    set("key_size", info.key_size);
    set("value_size", info.value_size);
    set("host_value_size", host_value_size(info));
    set("max_entries", info.max_entries);
    set("flags", info.flags);
    set("cpus", info.cpus);
    set("id", info.id);
    if (info.live_id != 0) {
        set("live_id", info.live_id);
    }
    lua_pushboolean(L, abi::is_percpu(info.type));
    lua_setfield(L, -2, "percpu");
    return 1;
}

/// map_types(map) -> key description, value description (nil without BTF), key name, value name.
int map_types(lua_State* L) {
    (void)check_map(L, 1);
    const MapRef& ref = check<MapRef>(L, 1, "map");
    const Object& object = *ref.owner->instance->object();
    const MapDef& def = object.maps.at(ref.index);
    const auto push = [&](uint32_t id, uint32_t size) {
        const auto btf_size =
            object.btf != nullptr && id != 0 ? object.btf->size_of(id) : Expected<uint64_t>(Error{});
        if (!btf_size || *btf_size != size || def.is_data) {
            lua_pushnil(L);
        } else {
            push_btf_type(L, *object.btf, id);
        }
    };
    push(def.key_btf_id, def.key_size);
    push(def.value_btf_id, def.value_size);
    return 2;
}

/// map_variables(map) -> list of {name=, offset=, size=, type=} of a data section.
int map_variables(lua_State* L) {
    (void)check_map(L, 1);
    const MapRef& ref = check<MapRef>(L, 1, "map");
    const Object& object = *ref.owner->instance->object();
    push_variables(L, object, object.maps.at(ref.index));
    return 1;
}

void check_value_size(lua_State* L, const Map& map, std::string_view value) {
    if (value.size() != host_value_size(map.info())) {
        fail(L, "map " + map.info().name + ": a value has " + std::to_string(host_value_size(map.info())) +
                    " bytes, got " + std::to_string(value.size()));
    }
}

/// map_lookup(map, key [, value]) -> value | nil [, err]. A bloom filter is asked for the given value.
int map_lookup(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView key = check_key(L, 2, map);
    ByteVec value(host_value_size(map.info()));
    if (!lua_isnoneornil(L, 3)) {
        const auto asked = check_string(L, 3, "value");
        check_value_size(L, map, asked);
        std::copy(asked.begin(), asked.end(), value.begin());
    }
    if (const auto found = map.lookup(key, value); !found) {
        if (found.error().code == ENOENT) {
            lua_pushnil(L);
            return 1;
        }
        return push_failure(L, found.error());
    }
    push_bytes(L, value);
    return 1;
}

int map_update(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView key = check_key(L, 2, map);
    const auto value = check_string(L, 3, "value");
    const uint64_t flags = check_unsigned(L, 4, "flags", 0, UINT64_MAX);
    check_value_size(L, map, value);
    if (const auto done = map.update(key, as_bytes(value), flags); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

int map_erase(lua_State* L) {
    Map& map = check_map(L, 1);
    if (const auto done = map.erase(check_key(L, 2, map)); !done) {
        if (done.error().code == ENOENT) {
            lua_pushnil(L);
            return 1;
        }
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_take(map, key) -> value | nil [, err].
int map_take(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView key = check_key(L, 2, map);
    ByteVec value(host_value_size(map.info()));
    if (const auto taken = map.take(key, value); !taken) {
        if (taken.error().code == ENOENT) {
            lua_pushnil(L);
            return 1;
        }
        return push_failure(L, taken.error());
    }
    push_bytes(L, value);
    return 1;
}

int map_put_map(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView key = check_key(L, 2, map);
    Map& inner = check_map(L, 3);
    const uint64_t flags = check_unsigned(L, 4, "flags", 0, UINT64_MAX);
    if (check<MapRef>(L, 3, "map").owner != check<MapRef>(L, 1, "map").owner) {
        fail(L, "map " + map.info().name + ": the inner map belongs to another instance");
    }
    if (const auto done = map.put_map(key, inner, flags); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_by_id(map, id) -> the instance's map with that id, nil when it is none of its maps.
int map_by_id(lua_State* L) {
    (void)check_map(L, 1);
    const auto owner = check<MapRef>(L, 1, "map").owner;
    const auto id = static_cast<uint32_t>(check_unsigned(L, 2, "id", 0, UINT32_MAX));
    const auto maps = owner->instance->maps();
    for (size_t i = 0; i < maps.size(); ++i) {
        if (maps[i]->info().id == id) {
            push_owner(L, std::make_shared<MapRef>(MapRef{owner, maps[i], i, owner->replaced_maps}));
            return 1;
        }
    }
    lua_pushnil(L);
    return 1;
}

int map_cursor(lua_State* L) {
    (void)check_map(L, 1);
    push_owner(L, std::make_shared<MapCursor>());
    return 1;
}

/// What cannot be walked the kernel refuses by a number alone; the vm has the words.
Error walk_error(const Map& map, Error error) {
    using abi::MapType;
    const MapType type = map.info().type;
    const char* const what = type == MapType::PerfEventArray ? "an event"
                             : type == MapType::Xskmap       ? "a socket"
                             : type == MapType::CgroupArray  ? "a cgroup"
                                                             : nullptr;
    if (type == MapType::BloomFilter) {
        error.text = map.info().name + ": a bloom filter has no keys to walk";
    } else if (map.info().key_size == 0) {
        error.text = map.info().name + ": " + std::string(abi::name(type)) + " maps have no keys to walk";
    } else if (error.code == EOPNOTSUPP && what != nullptr) {
        error.op = "look up";
        error.text = map.info().name + ": " + what + " has no value to read";
    }
    return error;
}

/// map_batch(map, cursor, limit) -> count, keys, values | nil, err; count 0 at the end.
int map_batch(lua_State* L) {
    Map& map = check_map(L, 1);
    MapCursor& cursor = check<MapCursor>(L, 2, "cursor");
    const auto limit = static_cast<size_t>(check_unsigned(L, 3, "batch", 1, 1 << 20));
    ByteVec keys;
    ByteVec values;
    const auto count = map.next_batch(cursor, keys, values, limit);
    if (!count) {
        return push_failure(L, walk_error(map, count.error()));
    }
    lua_pushnumber(L, static_cast<double>(*count));
    push_bytes(L, keys);
    push_bytes(L, values);
    return 3;
}

/// map_update_batch(map, keys, values) -> true | nil, err; entries back to back, as map_batch gives them.
int map_update_batch(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView keys = as_bytes(check_string(L, 2, "keys"));
    const ByteView values = as_bytes(check_string(L, 3, "values"));
    const size_t count = keys.size() / std::max<size_t>(map.info().key_size, 1);
    if (count == 0 || keys.size() != count * map.info().key_size ||
        values.size() != count * host_value_size(map.info())) {
        fail(L, "map " + map.info().name + ": keys and values are no entries");
    }
    if (const auto done = map.update_batch(keys, values); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_erase_batch(map, keys) -> count [, err]; an error is that of the key behind the count.
int map_erase_batch(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView keys = as_bytes(check_string(L, 2, "keys"));
    if (keys.empty() || map.info().key_size == 0 || keys.size() % map.info().key_size != 0) {
        fail(L, "map " + map.info().name + ": these are no keys");
    }
    size_t count = 0;
    const auto done = kernel::erase_batch(map, keys, count);
    lua_pushnumber(L, static_cast<double>(count));
    if (done) {
        return 1;
    }
    (void)push_failure(L, done.error());
    lua_remove(L, -2);
    return 2;
}

/// map_take_batch(map, limit) -> count, keys, values | nil, err.
int map_take_batch(lua_State* L) {
    Map& map = check_map(L, 1);
    const auto limit = static_cast<size_t>(check_unsigned(L, 2, "limit", 1, 1 << 20));
    ByteVec keys;
    ByteVec values;
    const auto count = kernel::take_batch(map, keys, values, limit);
    if (!count) {
        return push_failure(L, count.error());
    }
    lua_pushnumber(L, static_cast<double>(*count));
    push_bytes(L, keys);
    push_bytes(L, values);
    return 3;
}

int map_freeze(lua_State* L) {
    if (const auto done = check_map(L, 1).freeze(); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

int map_pin(lua_State* L) {
    if (const auto done = kernel::pin_map(check_map(L, 1), std::string(check_string(L, 2, "path"))); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

int map_send(lua_State* L) {
    if (const auto done = check_map(L, 1).send(as_bytes(check_string(L, 2, "sample"))); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

int map_put_program(lua_State* L) {
    Map& map = check_map(L, 1);
    const auto index = static_cast<uint32_t>(check_unsigned(L, 2, "index", 0, UINT32_MAX));
    const MapRef& ref = check<MapRef>(L, 1, "map");
    Program& program = check_program(L, 3);
    if (check<ProgramRef>(L, 3, "program").owner != ref.owner) {
        fail(L, "map " + map.info().name + ": the program belongs to another instance");
    }
    if (const auto done = map.put_program(index, program); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_put_target(map, key, target, program, flags) -> true | nil, err
int map_put_target(lua_State* L) {
    Map& map = check_map(L, 1);
    const ByteView key = check_key(L, 2, map);
    const auto target = static_cast<uint32_t>(check_unsigned(L, 3, "target", 0, UINT32_MAX));
    Program& program = check_program(L, 4);
    const uint64_t flags = check_unsigned(L, 5, "flags", 0, UINT64_MAX);
    if (check<ProgramRef>(L, 4, "program").owner != check<MapRef>(L, 1, "map").owner) {
        fail(L, "map " + map.info().name + ": the program belongs to another instance");
    }
    if (const auto done = map.put_target(key, target, program, flags); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

ArenaBytes& check_arena(lua_State* L, const Map& map, ArenaBytes* arena) {
    if (arena == nullptr) {
        fail(L, "map " + map.info().name + ": its type is " + std::string(abi::name(map.info().type)) +
                    ", only arenas have this");
    }
    return *arena;
}

/// map_read(map, offset, size) -> bytes | nil, err. Of arenas, as the next two.
int map_read(lua_State* L) {
    constexpr uint64_t kMost = uint64_t{64} << 20; // of a string
    Map& map = check_map(L, 1);
    ArenaBytes& arena = check_arena(L, map, arena_of(map));
    const uint64_t offset = check_unsigned(L, 2, "offset", 0, UINT64_MAX);
    ByteVec bytes(check_unsigned(L, 3, "size", 0, kMost));
    if (const auto done = arena.read_at(offset, bytes); !done) {
        return push_failure(L, done.error());
    }
    push_bytes(L, bytes);
    return 1;
}

/// map_write(map, offset, bytes) -> true | nil, err
int map_write(lua_State* L) {
    Map& map = check_map(L, 1);
    ArenaBytes& arena = check_arena(L, map, arena_of(map));
    const uint64_t offset = check_unsigned(L, 2, "offset", 0, UINT64_MAX);
    if (const auto done = arena.write_at(offset, as_bytes(check_string(L, 3, "bytes"))); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

/// map_address(map) -> address of the first page, a 64-bit integer
int map_address(lua_State* L) {
    Map& map = check_map(L, 1);
    push_u64(L, check_arena(L, map, arena_of(map)).address());
    return 1;
}

/// map_back(map of the vm, map of the kernel) -> true | nil, err. The first becomes the second.
int map_back(lua_State* L) {
    (void)check_map(L, 1);
    const MapRef& ref = check<MapRef>(L, 1, "map");
    const Map& live = check_map(L, 2);
    const Running refuses_inside(L, *ref.owner);
    if (const auto done = ref.owner->instance->back_map(ref.index, live); !done) {
        return push_failure(L, done.error());
    }
    ++ref.owner->replaced_maps;
    lua_pushboolean(L, 1);
    return 1;
}

constexpr Function kFunctions[] = {
    {"map_info", &guard<&map_info>},
    {"map_types", &guard<&map_types>},
    {"map_variables", &guard<&map_variables>},
    {"map_lookup", &guard<&map_lookup>},
    {"map_update", &guard<&map_update>},
    {"map_erase", &guard<&map_erase>},
    {"map_cursor", &guard<&map_cursor>},
    {"map_batch", &guard<&map_batch>},
    {"map_update_batch", &guard<&map_update_batch>},
    {"map_erase_batch", &guard<&map_erase_batch>},
    {"map_take_batch", &guard<&map_take_batch>},
    {"map_take", &guard<&map_take>},
    {"map_put_map", &guard<&map_put_map>},
    {"map_by_id", &guard<&map_by_id>},
    {"map_read", &guard<&map_read>},
    {"map_write", &guard<&map_write>},
    {"map_address", &guard<&map_address>},
    {"map_back", &guard<&map_back>},
    {"map_freeze", &guard<&map_freeze>},
    {"map_pin", &guard<&map_pin>},
    {"map_send", &guard<&map_send>},
    {"map_put_program", &guard<&map_put_program>},
    {"map_put_target", &guard<&map_put_target>},
};

} // namespace

std::span<const Function> map_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
