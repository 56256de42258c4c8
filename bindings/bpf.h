// SPDX-License-Identifier: MIT
// What scripts hold of the bpf module: objects, instances, programs, maps; shared by the module's sources.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bindings/fd_wait.h"
#include "bindings/inputs.h"
#include "bindings/lua_glue.h"
#include "kernel/compare.h"
#include "object/target.h"

namespace mimicsh::lua {

/// A loaded instance. Closing it ends its programs and maps for every holder.
struct InstanceOwner {
    std::unique_ptr<Target> target;
    std::unique_ptr<Instance> instance;     ///< null when closed
    LoadOptions load;                       ///< as it was loaded
    kernel::LoadOnVm load_on_vm;            ///< loads an object as this one would be on the vm
    std::map<std::string, InputLog> inputs; ///< of the vm's programs, by name
    FdWaiters waits; ///< for records of its ring buffers: woken by runs on the vm, and before it closes
    uint64_t replaced_maps = 0;   ///< how often a map of the instance has given way to another
    bool has_own_helpers = false; ///< functions of the script's
    bool is_running = false;      ///< a program, which may have called a helper of the script's own
};

/// Marks an instance as running while it lives; raises when it is already.
class Running {
  public:
    Running(lua_State* L, InstanceOwner& owner) : owner_(owner) {
        if (owner.is_running) {
            fail(L, "instance: a program of it is running");
        }
        owner.is_running = true;
    }
    ~Running() { owner_.is_running = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    InstanceOwner& owner_;
};

struct ProgramRef {
    std::shared_ptr<InstanceOwner> owner;
    Program* program = nullptr;
};

struct MapRef {
    std::shared_ptr<InstanceOwner> owner;
    Map* map = nullptr;
    size_t index = 0;           ///< into object()->maps
    uint64_t replaced_maps = 0; ///< the owner's count when `map` was looked up
};

/// An object, until closed.
struct ObjectRef {
    std::shared_ptr<const Object> object;
};

template <>
inline constexpr const char* kTypeName<ObjectRef> = "object";
template <>
inline constexpr const char* kTypeName<InstanceOwner> = "instance";
template <>
inline constexpr const char* kTypeName<ProgramRef> = "program";
template <>
inline constexpr const char* kTypeName<MapRef> = "map";
template <>
inline constexpr const char* kTypeName<MapCursor> = "map cursor";

/// The things behind an argument; raise when it is something else or closed.
[[nodiscard]] const std::shared_ptr<const Object>& check_object(lua_State* L, int index);
[[nodiscard]] Instance& check_instance(lua_State* L, int index);
[[nodiscard]] Program& check_program(lua_State* L, int index);
[[nodiscard]] Map& check_map(lua_State* L, int index);

/// Pushes an object, or nil and the error; returns how many values.
int push_object(lua_State* L, Expected<Object> object);

/// Pushes a type as nested tables that lua/types.lua builds ctypes from; raises on types that have no layout.
void push_btf_type(lua_State* L, const Btf& btf, uint32_t id);

/// Pushes the variables of a data section as a list of {name=, offset=, size=, type=}; empty without BTF.
void push_variables(lua_State* L, const Object& object, const MapDef& def);

/// Pushes a fault or source position as the table that scripts see.
void push_fault(lua_State* L, const Fault& fault);

/// Pushes warnings as a list of {program=, insn=, file=, line=, source=, cause=}.
void push_warnings(lua_State* L, const std::vector<Warning>& warnings);

// Functions of the module by source file, all guarded.
[[nodiscard]] std::span<const Function> map_functions();
[[nodiscard]] std::span<const Function> raw_functions();
[[nodiscard]] std::span<const Function> filter_functions();
[[nodiscard]] std::span<const Function> ring_functions();
[[nodiscard]] std::span<const Function> run_functions();
[[nodiscard]] std::span<const Function> replay_functions();
[[nodiscard]] std::span<const Function> promote_functions();

} // namespace mimicsh::lua
