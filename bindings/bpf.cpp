// SPDX-License-Identifier: MIT
// Module bpf: objects and instances. The typed and friendly side is lua/bpf.lua.
#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/similar.h"
#include "bindings/bpf.h"
#include "bindings/bpf_helpers.h"
#include "bindings/loop.h"
#include "bindings/modules.h"
#include "kernel/target.h"
#include "object/asm.h"
#include "object/autoload.h"
#include "object/clang.h"
#include "object/disasm.h"
#include "object/kernel_btf.h"
#include "vm/target.h"
#include "vm/versions.h"

namespace mimicsh::lua {

const std::shared_ptr<const Object>& check_object(lua_State* L, int index) {
    ObjectRef& ref = check<ObjectRef>(L, index, "object");
    if (ref.object == nullptr) {
        fail(L, "object: it is closed");
    }
    return ref.object;
}

Instance& check_instance(lua_State* L, int index) {
    InstanceOwner& owner = check<InstanceOwner>(L, index, "instance");
    if (owner.instance == nullptr) {
        fail(L, "instance: it is closed");
    }
    return *owner.instance;
}

int push_object(lua_State* L, Expected<Object> object) {
    if (!object) {
        return push_failure(L, object.error());
    }
    auto shared = std::make_shared<const Object>(std::move(*object));
    push_owner(L, std::make_shared<ObjectRef>(ObjectRef{std::move(shared)}));
    return 1;
}

namespace {

/// object_open(path | bytes of an ELF file) -> object | nil, err.
int object_open(lua_State* L) {
    const auto from = check_string(L, 1, "path");
    if (from.starts_with("\177ELF")) {
        return push_object(L, read_elf(as_bytes(from), "bytes"));
    }
    return push_object(L, open_object(std::string(from)));
}

std::vector<std::string> check_list(lua_State* L, int index, const char* name) {
    std::vector<std::string> list;
    if (lua_isnoneornil(L, index)) {
        return list;
    }
    if (!lua_istable(L, index)) {
        bad_argument(L, index, name, "list of strings");
    }
    for (size_t i = 1; i <= lua_objlen(L, index); i++) {
        lua_rawgeti(L, index, static_cast<int>(i));
        list.emplace_back(check_string(L, lua_gettop(L), name));
        lua_pop(L, 1);
    }
    return list;
}

/// object_compile{file= | source=, origin=, line=, column=, defs={}, include={}, name=} -> object | nil, err.
int object_compile(lua_State* L) {
    Options options(L, 1, "compile");
    CompileOptions compile_options;
    compile_options.file = options.string("file").value_or("");
    compile_options.source = options.string("source").value_or("");
    compile_options.origin = options.string("origin").value_or("");
    compile_options.first_line = static_cast<uint32_t>(options.number("line", 1, UINT32_MAX).value_or(1));
    compile_options.first_column = static_cast<uint32_t>(options.number("column", 1, UINT32_MAX).value_or(1));
    compile_options.name = options.string("name").value_or("");
    options.push("defs");
    compile_options.defines = check_list(L, lua_gettop(L), "defs");
    options.push("include");
    compile_options.include_dirs = check_list(L, lua_gettop(L), "include");
    lua_pop(L, 2);
    options.finish();
    compile_options.stop = &interrupt_flag();
    return push_object(L, compile(compile_options));
}

int object_close(lua_State* L) {
    check<ObjectRef>(L, 1, "object").object.reset();
    return 0;
}

int object_save(lua_State* L) {
    const auto& object = check_object(L, 1);
    const std::string path(check_string(L, 2, "path"));
    const auto bytes = write_elf(*object);
    if (!bytes) {
        return push_failure(L, bytes.error());
    }
    if (const auto done = write_file(path, *bytes, "save object"); !done) {
        return push_failure(L, done.error());
    }
    lua_pushboolean(L, 1);
    return 1;
}

void set_text(lua_State* L, const char* field, std::string_view text) {
    push_string(L, text);
    lua_setfield(L, -2, field);
}

void set_number(lua_State* L, const char* field, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

/// object_info(object) -> {name=, origin=, license=, programs={...}, maps={...}}.
int object_info(lua_State* L) {
    const auto object = check_object(L, 1);
    lua_createtable(L, 0, 5);
    set_text(L, "name", object->name);
    set_text(L, "origin", object->origin);
    set_text(L, "license", object->license);
    lua_newtable(L);
    int index = 0;
    for (const uint32_t id : object->programs()) {
        const mimicsh::Function& function = object->functions[id];
        lua_createtable(L, 0, 4);
        set_text(L, "name", function.name);
        set_text(L, "section", function.section);
        set_text(L, "type", abi::name(function.spec->type));
        set_number(L, "insns", static_cast<double>(function.insns.size()));
        lua_rawseti(L, -2, ++index);
    }
    lua_setfield(L, -2, "programs");
    lua_newtable(L);
    index = 0;
    for (const auto& map : object->maps) {
        lua_createtable(L, 0, 6);
        set_text(L, "name", map.name);
        set_text(L, "type", abi::name(map.type));
        set_number(L, "key_size", map.key_size);
        set_number(L, "value_size", map.value_size);
        set_number(L, "max_entries", map.max_entries);
        lua_pushboolean(L, map.is_data);
        lua_setfield(L, -2, "is_data");
        lua_rawseti(L, -2, ++index);
    }
    lua_setfield(L, -2, "maps");
    return 1;
}

/// object_sections(object) -> list of {name=, contents=, variables=} of the data sections.
int object_sections(lua_State* L) {
    const auto object = check_object(L, 1);
    lua_newtable(L);
    int index = 0;
    for (const auto& map : object->maps) {
        if (map.is_data) {
            lua_createtable(L, 0, 3);
            set_text(L, "name", map.name);
            push_bytes(L, map.contents);
            lua_setfield(L, -2, "contents");
            push_variables(L, *object, map);
            lua_setfield(L, -2, "variables");
            lua_rawseti(L, -2, ++index);
        }
    }
    return 1;
}

/// object_asm{source=, origin=, line=, column=, name=, type=, license=} -> object | nil, err.
int object_asm(lua_State* L) {
    Options options(L, 1, "asm");
    AsmOptions asm_options;
    const auto source = options.string("source").value_or("");
    asm_options.origin = options.string("origin").value_or("string");
    asm_options.first_line = static_cast<uint32_t>(options.number("line", 1, UINT32_MAX).value_or(1));
    asm_options.first_column = static_cast<uint32_t>(options.number("column", 1, UINT32_MAX).value_or(1));
    asm_options.name = options.string("name").value_or("asm");
    asm_options.license = options.string("license").value_or("GPL");
    const auto type_name = options.string("type").value_or("xdp");
    options.finish();
    const auto type = abi::prog_type(type_name);
    if (!type) {
        std::vector<std::string_view> names;
        for (uint32_t number = 1; abi::name(static_cast<abi::ProgType>(number)) != "unknown"; ++number) {
            names.push_back(abi::name(static_cast<abi::ProgType>(number)));
        }
        const std::string hint = did_you_mean(type_name, names);
        fail(L,
             "bad argument 'type': no program type '" + type_name + "'" + (hint.empty() ? "" : "; " + hint));
    }
    asm_options.type = *type;
    return push_object(L, assemble(source, asm_options));
}

/// Listings of the programs asked for (all when empty), as text or an error.
Expected<std::string> list_programs(const std::shared_ptr<const Object>& object, std::string_view wanted,
                                    const ListingOptions& listing) {
    LinkOptions options;
    if (needs_kernel_btf(*object)) {
        auto btf = running_kernel_btf();
        if (!btf) {
            return btf.error();
        }
        options.kernel_btf = std::move(*btf);
    }
    std::string text;
    for (const uint32_t id : object->programs()) {
        if (!wanted.empty() && object->functions[id].name != wanted) {
            continue;
        }
        const auto program = link(object, id, options);
        if (!program) {
            return program.error();
        }
        text += (text.empty() ? "" : "\n") + disassemble(*program, listing);
    }
    return text;
}

/// object_disasm(object, {program=, full=, labels=, source=, slots=}) -> text | nil, err.
int object_disasm(lua_State* L) {
    const auto object = check_object(L, 1);
    Options options(L, 2, "disasm");
    const auto wanted = options.string("program").value_or("");
    const bool full = options.boolean("full").value_or(false);
    ListingOptions listing;
    listing.section = full;
    listing.labels = options.boolean("labels").value_or(true);
    listing.source = options.boolean("source").value_or(true);
    listing.slots = options.boolean("slots").value_or(!full);
    options.finish();
    const auto programs = object->programs();
    const bool is_known =
        std::ranges::any_of(programs, [&](uint32_t id) { return object->functions[id].name == wanted; });
    if (!wanted.empty() && !is_known) {
        std::vector<std::string_view> names;
        for (const uint32_t id : programs) {
            names.emplace_back(object->functions[id].name);
        }
        const std::string hint = did_you_mean(wanted, names);
        fail(L, "disasm: the object has no program '" + wanted + "'" + (hint.empty() ? "" : "; " + hint));
    }
    auto text = list_programs(object, wanted, listing);
    if (!text) {
        return push_failure(L, text.error());
    }
    if (full) {
        *text = list_declarations(*object) + *text + (wanted.empty() ? list_program_slots(*object) : "");
    }
    push_string(L, *text);
    return 1;
}

// -- Targets --

constexpr uint32_t kMaxCpus = 1024; // of a vm

Expected<vm::Options> vm_options(lua_State* L, Options& options) {
    vm::Options vm;
    vm.seed = options.number("seed", 0, UINT64_MAX).value_or(vm.seed);
    vm.cpus = static_cast<uint32_t>(options.number("cpus", 1, kMaxCpus).value_or(vm.cpus));
    vm.cpu = static_cast<uint32_t>(options.number("cpu", 0, kMaxCpus - 1).value_or(vm.cpu));
    vm.budget = options.number("budget", 1, UINT64_MAX).value_or(vm.budget);
    const auto mode = options.string("mode").value_or("strict");
    const auto sanitize = options.string("sanitize").value_or("warn");
    if (mode != "strict" && mode != "permissive") {
        fail(L, "bad argument 'mode': expected \"strict\" or \"permissive\", got \"" + mode + "\"");
    }
    if (sanitize != "warn" && sanitize != "fault") {
        fail(L, "bad argument 'sanitize': expected \"warn\" or \"fault\", got \"" + sanitize + "\"");
    }
    const auto kernel = options.string("kernel").value_or(std::string(name(vm.kernel)));
    const auto version = vm::kernel_version(kernel);
    if (!version) {
        fail(L, "bad argument 'kernel': expected \"6.1\", \"6.12\" or \"6.18\", got \"" + kernel + "\"");
    }
    vm.kernel = *version;
    vm.mode = mode == "strict" ? vm::Mode::Strict : vm::Mode::Permissive;
    vm.sanitize_fault = sanitize == "fault";
    if (const auto text = options.string("world")) {
        auto world = vm::parse_world(*text);
        if (!world) {
            return world.error();
        }
        vm.world = std::move(*world);
    }
    vm.helpers = take_helpers(L, options);
    return vm;
}

/// A way to load more objects on the vm as the options say, for programs on a given CPU.
kernel::LoadOnVm loader(vm::Options options) {
    return [options = std::move(options)](std::shared_ptr<const Object> object, const LoadOptions& load,
                                          uint32_t cpu) mutable {
        options.cpus = 0; // as many as the machine may have
        options.cpu = cpu;
        return vm::make_target(options)->load(std::move(object), load);
    };
}

/// Calls `each` with the keys and values of the option on top of the stack, a table by names, and pops it.
template <typename F>
void pop_named(lua_State* L, const char* option, const char* expected, F each) {
    const int table = lua_gettop(L);
    if (!lua_isnil(L, table) && !lua_istable(L, table)) {
        bad_argument(L, table, option, expected);
    }
    lua_pushnil(L);
    while (lua_istable(L, table) && lua_next(L, table) != 0) {
        each(std::string(check_string(L, table + 1, option)), table + 2);
        lua_settop(L, table + 1);
    }
    lua_settop(L, table - 1);
}

std::map<std::string, std::string> pop_texts(lua_State* L, const char* option, const char* expected) {
    std::map<std::string, std::string> texts;
    pop_named(L, option, expected, [&](const std::string& name, int value) {
        texts[name] = check_string(L, value, (std::string(option) + "." + name).c_str());
    });
    return texts;
}

/// The list of texts on top of the stack, which is popped.
std::vector<std::string> pop_list(lua_State* L, const char* option, const char* expected) {
    if (!lua_isnil(L, -1) && !lua_istable(L, -1)) {
        bad_argument(L, lua_gettop(L), option, expected);
    }
    auto texts = check_list(L, lua_gettop(L), option);
    lua_pop(L, 1);
    return texts;
}

std::map<std::string, const Map*> pop_maps(lua_State* L) {
    std::map<std::string, const Map*> maps;
    pop_named(L, "maps", "table of maps by name",
              [&](const std::string& name, int value) { maps[name] = &check_map(L, value); });
    return maps;
}

/// The option values in the table on top of the stack, which is popped; true and false mean y and n.
KconfigValues pop_kconfig(lua_State* L) {
    KconfigValues values;
    pop_named(L, "kconfig", "table of values by name", [&](const std::string& name, int index) {
        if (lua_isboolean(L, index)) {
            values[name] = lua_toboolean(L, index) != 0 ? "y" : "n";
        } else if (const auto number = to_u64(L, index)) {
            values[name] = std::to_string(*number);
        } else if (lua_type(L, index) == LUA_TSTRING) {
            values[name] = check_string(L, index, "kconfig");
        } else {
            bad_argument(L, index, ("kconfig." + name).c_str(), "integer, boolean or string");
        }
    });
    return values;
}

/// object_load(object, target, options) -> instance | nil, err. options.data = {[section] = bytes},
/// options.kconfig = {[option] = value}, options.autoload = {names}.
int object_load(lua_State* L) {
    const auto object = check_object(L, 1);
    const std::string target_name(check_string(L, 2, "target"));
    Options options(L, 3, "load");
    LoadOptions load;
    options.push("data");
    if (lua_istable(L, -1)) {
        const int table = lua_gettop(L);
        lua_pushnil(L);
        while (lua_next(L, table) != 0) {
            const ByteView bytes = as_bytes(check_string(L, -1, "data"));
            load.data[lua_tostring(L, -2)] = ByteVec(bytes.begin(), bytes.end());
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    options.push("kconfig");
    load.kconfig = pop_kconfig(L);
    options.push("maps");
    load.maps = pop_maps(L);
    options.push("autoload");
    const auto autoload = pop_list(L, "autoload", "list of names of programs");
    options.push("pinned");
    auto pinned = pop_texts(L, "pinned", "table of paths by name of map");
    auto owner = std::make_shared<InstanceOwner>();
    if (target_name == "vm") {
        auto vm = vm_options(L, options);
        if (!vm) {
            return push_failure(L, vm.error());
        }
        owner->target = vm::make_target(*vm);
        owner->has_own_helpers = !vm->helpers.empty();
        owner->load_on_vm = loader(std::move(*vm));
    } else if (target_name == "kernel") {
        kernel::Options own;
        own.pinned = std::move(pinned);
        owner->target = kernel::make_target(std::move(own));
        owner->load_on_vm = loader({});
    } else {
        fail(L, "bad argument 'target': expected \"vm\" or \"kernel\", got \"" + target_name + "\"");
    }
    options.finish();
    auto chosen = with_autoload(object, autoload);
    if (!chosen) {
        return push_failure(L, chosen.error());
    }
    auto instance = owner->target->load(std::move(*chosen), load);
    if (!instance) {
        return push_failure(L, instance.error());
    }
    owner->instance = std::move(*instance);
    load.maps.clear(); // what else is loaded like this has maps of its own
    owner->load = std::move(load);
    push_owner(L, owner);
    return 1;
}

int instance_close(lua_State* L) {
    InstanceOwner& owner = check<InstanceOwner>(L, 1, "instance");
    const Running refuses_inside(L, owner);
    owner.waits.wake();
    owner.instance.reset();
    return 0;
}

/// instance_parts(instance) -> target name, list of programs, list of maps (parallel to the object's),
/// object.
int instance_parts(lua_State* L) {
    Instance& instance = check_instance(L, 1);
    const auto owner = *test_owner<InstanceOwner>(L, 1);
    push_string(L, instance.target());
    lua_newtable(L);
    int index = 0;
    for (Program* program : instance.programs()) {
        push_owner(L, std::make_shared<ProgramRef>(ProgramRef{owner, program}));
        lua_rawseti(L, -2, ++index);
    }
    lua_newtable(L);
    size_t map_index = 0;
    for (Map* map : instance.maps()) {
        push_owner(L, std::make_shared<MapRef>(MapRef{owner, map, map_index++, owner->replaced_maps}));
        lua_rawseti(L, -2, static_cast<int>(map_index));
    }
    push_owner(L, std::make_shared<ObjectRef>(ObjectRef{instance.object()}));
    return 4;
}

constexpr Function kFunctions[] = {
    {"object_open", &guard<&object_open>},       {"object_close", &guard<&object_close>},
    {"object_save", &guard<&object_save>},       {"object_info", &guard<&object_info>},
    {"object_compile", &guard<&object_compile>}, {"object_asm", &guard<&object_asm>},
    {"object_disasm", &guard<&object_disasm>},   {"object_sections", &guard<&object_sections>},
    {"object_load", &guard<&object_load>},       {"instance_close", &guard<&instance_close>},
    {"instance_parts", &guard<&instance_parts>},
};

} // namespace

void open_bpf(lua_State* L) {
    set_helper_memory(L);
    push_metatable<ObjectRef>(L);
    push_metatable<InstanceOwner>(L);
    push_metatable<ProgramRef>(L);
    push_metatable<MapRef>(L);
    push_metatable<MapCursor>(L);
    lua_pop(L, 5);
    lua_newtable(L);
    set_functions(L, "bpf.", kFunctions);
    set_functions(L, "bpf.", map_functions());
    set_functions(L, "bpf.", raw_functions());
    set_functions(L, "bpf.", filter_functions());
    set_functions(L, "bpf.", ring_functions());
    set_functions(L, "bpf.", run_functions());
    set_functions(L, "bpf.", replay_functions());
    set_functions(L, "bpf.", promote_functions());
}

} // namespace mimicsh::lua
