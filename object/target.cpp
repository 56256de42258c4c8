// SPDX-License-Identifier: MIT
// What both targets share: look-ups by name and the words for verdicts and faults.
#include "object/target.h"

#include <algorithm>
#include <cerrno>

#include "object/kernel_btf.h"

namespace mimicsh {

uint32_t host_value_size(const MapInfo& info) {
    return abi::is_percpu(info.type) ? info.cpus * round_up(info.value_size, 8u) : info.value_size;
}

std::string_view name(FaultKind kind) {
    switch (kind) {
    case FaultKind::OutOfBounds:
        return "out of bounds";
    case FaultKind::BadPointer:
        return "bad pointer";
    case FaultKind::NullPointer:
        return "null pointer";
    case FaultKind::Permission:
        return "permission";
    case FaultKind::StackOverflow:
        return "stack overflow";
    case FaultKind::BadInstruction:
        return "bad instruction";
    case FaultKind::BadCall:
        return "bad call";
    case FaultKind::Budget:
        return "budget";
    case FaultKind::Strict:
        return "strict";
    case FaultKind::MissingValue:
        return "missing value";
    case FaultKind::Interrupted:
        return "interrupted";
    }
    return "unknown";
}

Expected<AdvanceResult> Instance::advance(uint64_t) {
    return Error{
        ENOTSUP, "advance", "the clock of the " + std::string(target()) + " target cannot be set", {}, {}};
}

Status Instance::back_map(size_t, const Map&) {
    return Error{ENOTSUP,
                 "back map",
                 "programs of the " + std::string(target()) + " target have their maps from the load on",
                 "give the map at load: load(\"kernel\", {maps = {...}})",
                 {}};
}

Program* Instance::find_program(std::string_view program_name) {
    auto all = programs();
    auto it = std::ranges::find_if(all, [&](Program* program) { return program->name() == program_name; });
    return it == all.end() ? nullptr : *it;
}

Map* Instance::find_map(std::string_view map_name) {
    auto all = maps();
    auto it = std::ranges::find_if(all, [&](Map* map) { return map->info().name == map_name; });
    return it == all.end() ? nullptr : *it;
}

MapDef sized_for(MapDef def, uint32_t cpus) {
    if (def.type == abi::MapType::PerfEventArray && def.max_entries == 0) {
        def.max_entries = cpus;
    }
    return def;
}

std::string map_mismatch(const MapInfo& is, const MapDef& wanted) {
    if (is.type != wanted.type) {
        return "is of type " + std::string(abi::name(is.type)) + ", the object declares " +
               std::string(abi::name(wanted.type));
    }
    std::string text;
    const auto differs = [&](const char* what, uint64_t real, uint64_t declared) {
        if (real != declared) {
            text += (text.empty() ? "has " : ", ") + std::string(what) + " " + std::to_string(real) +
                    " where the object declares " + std::to_string(declared);
        }
    };
    differs("key size", is.key_size, wanted.key_size);
    differs("value size", is.value_size, wanted.value_size);
    differs("max_entries", is.max_entries, wanted.max_entries);
    const bool is_devmap = is.type == abi::MapType::Devmap || is.type == abi::MapType::DevmapHash;
    const uint32_t added = is_devmap ? abi::kMapRdonlyProg : 0; // by the kernel
    differs("flags", is.flags & ~added, wanted.flags & ~added);
    return text;
}

Status check_given_maps(const Object& object, const LoadOptions& options) {
    for (const auto& [name, map] : options.maps) {
        const auto def = std::ranges::find(object.maps, name, &MapDef::name);
        if (def == object.maps.end() || def->is_data) {
            return Error{EINVAL,
                         "load",
                         def == object.maps.end() ? "no map '" + name + "' in the object"
                                                  : name + ": a data section belongs to its instance",
                         {},
                         {}};
        }
    }
    return {};
}

Expected<LinkOptions> link_options_for(const Object& object, const LoadOptions& options) {
    LinkOptions result{options.kernel_btf};
    if (!result.kernel_btf && needs_kernel_btf(object)) {
        auto btf = running_kernel_btf();
        if (!btf) {
            return btf.error();
        }
        result.kernel_btf = *btf;
    }
    return result;
}

Status fill_data_map(Map& map, const MapDef& def, const LoadOptions& options) {
    const auto given = options.data.find(def.name);
    const ByteVec& contents = given != options.data.end() ? given->second : def.contents;
    if (contents.size() != def.value_size) {
        return Error{EINVAL,
                     "load",
                     def.name + ": initial contents have " + std::to_string(contents.size()) +
                         " bytes, the section has " + std::to_string(def.value_size),
                     {},
                     {}};
    }
    const uint32_t zero = 0;
    if (auto ok = map.update({reinterpret_cast<const uint8_t*>(&zero), sizeof zero}, contents, abi::kAny);
        !ok) {
        return ok;
    }
    return def.frozen ? map.freeze() : Status{};
}

namespace {

Status fill_slot(Instance& instance, const std::vector<Map*>& maps, size_t map, const MapDef::Slot& slot) {
    const Object& object = *instance.object();
    if (object.maps[map].type != abi::MapType::ProgArray) {
        const ByteView key(reinterpret_cast<const uint8_t*>(&slot.index), sizeof slot.index);
        return maps[map]->put_map(key, *maps[slot.target], abi::kAny);
    }
    Program* program = instance.find_program(object.functions[slot.target].name);
    if (program == nullptr) {
        return Error{EINVAL,
                     "load",
                     object.maps[map].name + ": slot " + std::to_string(slot.index) +
                         " names no program that is loaded",
                     object.functions[slot.target].section.starts_with('?')
                         ? "autoload it: SEC(\"?...\") leaves it out"
                         : "",
                     {}};
    }
    auto done = maps[map]->put_program(slot.index, *program);
    // A program that the target cannot run is left out: nothing that runs there could jump to it.
    return !done && done.error().code == ENOTSUP ? Status{} : done;
}

} // namespace

Status fill_slots(Instance& instance) {
    const std::vector<MapDef>& defs = instance.object()->maps;
    if (std::ranges::all_of(defs, [](const MapDef& def) { return def.slots.empty(); })) {
        return {};
    }
    const std::vector<Map*> maps = instance.maps();
    for (size_t i = 0; i < maps.size(); ++i) {
        for (const MapDef::Slot& slot : defs[i].slots) {
            if (auto ok = fill_slot(instance, maps, i, slot); !ok) {
                return ok;
            }
        }
    }
    return {};
}

Status Map::update_batch(ByteView keys, ByteView values) {
    const size_t key_size = info().key_size;
    const size_t value_size = host_value_size(info());
    for (; !keys.empty(); keys = keys.subspan(key_size), values = values.subspan(value_size)) {
        if (auto ok = update(keys.first(key_size), values.first(value_size), 0); !ok) {
            return ok;
        }
    }
    return {};
}

Expected<std::unique_ptr<Map>> Map::share() const {
    return Error{ENOTSUP,
                 "share map",
                 info().name + ": maps of the vm belong to their instance",
                 "give a map of an instance on the kernel",
                 {}};
}

Status Map::put_target(ByteView, uint32_t, Program&, uint64_t) {
    return Error{EINVAL, "put target", info().name + ": its values have no room for a program", {}, {}};
}

Expected<RaceReport> Program::race(const RaceOptions&) {
    return Error{ENOTSUP, "race", name() + ": only the vm can interleave two CPUs", "load(\"vm\")", {}};
}

std::string_view verdict_name(abi::ProgType type, uint32_t ret) {
    using abi::ProgType;
    static constexpr std::array<std::string_view, 5> kXdp{"ABORTED", "DROP", "PASS", "TX", "REDIRECT"};
    static constexpr std::array<std::string_view, 9> kTc{"OK",     "RECLASSIFY", "SHOT",     "PIPE", "STOLEN",
                                                         "QUEUED", "REPEAT",     "REDIRECT", "TRAP"};
    switch (type) {
    case ProgType::Xdp:
        return ret < kXdp.size() ? kXdp[ret] : "INVALID";
    case ProgType::SchedCls:
    case ProgType::SchedAct:
        return ret == 0xffffffff ? "UNSPEC" : ret < kTc.size() ? kTc[ret] : "INVALID";
    case ProgType::SocketFilter:
    case ProgType::CgroupSkb:
        return ret == 0 ? "DROP" : "PASS";
    case ProgType::FlowDissector:
        return ret == 0 ? "OK" : ret == 2 ? "DROP" : ret == 129 ? "CONTINUE" : "INVALID";
    case ProgType::LwtIn:
    case ProgType::LwtOut:
    case ProgType::LwtXmit:
        return ret == 0     ? "OK"
               : ret == 2   ? "DROP"
               : ret == 7   ? "REDIRECT"
               : ret == 128 ? "REROUTE"
                            : "INVALID";
    default:
        return "INVALID";
    }
}

std::optional<uint32_t> verdict_value(abi::ProgType type, std::string_view name) {
    for (uint32_t value = 0; value <= 129; ++value) {
        if (verdict_name(type, value) == name && name != "INVALID") {
            return value;
        }
    }
    return verdict_name(type, UINT32_MAX) == name && name != "INVALID" ? std::optional(UINT32_MAX)
                                                                       : std::nullopt;
}

} // namespace mimicsh
