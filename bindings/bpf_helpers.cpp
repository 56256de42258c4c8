// SPDX-License-Identifier: MIT
// Helpers written in Lua: what `load("vm", {helpers = ...})` takes, and the memory they see.
#include <cerrno>

#include "bindings/bpf_helpers.h"
#include "bindings/loop.h"
#include "vm/address.h"

namespace mimicsh::lua {

/// The guest's memory during one call; afterwards `call` is null.
struct HelperMemory {
    vm::HelperCall* call = nullptr;
};

template <>
inline constexpr const char* kTypeName<HelperMemory> = "helper memory";

namespace {

/// Text of the error value on top of the stack, whatever it is.
std::string error_text(lua_State* L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.core");
    lua_getfield(L, -1, "text_of");
    lua_pushvalue(L, -4);
    if (lua_pcall(L, 1, 1, 0) != 0 && is_interrupt(L, -1)) {
        renew_interrupt(L);
    }
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "the function failed";
}

/// A function and the coroutine that it runs in, kept from the collector.
class KeptFunction {
  public:
    /// Takes the function on top of the stack.
    explicit KeptFunction(lua_State* L) {
        function_ = luaL_ref(L, LUA_REGISTRYINDEX);
        thread_ = lua_newthread(L);
        anchor_ = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    ~KeptFunction() {
        luaL_unref(thread_, LUA_REGISTRYINDEX, function_);
        luaL_unref(thread_, LUA_REGISTRYINDEX, anchor_);
    }
    KeptFunction(const KeptFunction&) = delete;
    KeptFunction& operator=(const KeptFunction&) = delete;

    Expected<uint64_t> call(vm::HelperCall& call) {
        lua_State* L = thread_;
        lua_settop(L, 0);
        auto memory = std::make_shared<HelperMemory>(HelperMemory{&call});
        lua_rawgeti(L, LUA_REGISTRYINDEX, function_);
        push_owner(L, memory);
        for (const uint64_t arg : call.args()) {
            push_u64(L, arg);
        }
        const int failed = lua_pcall(L, 1 + static_cast<int>(call.args().size()), 1, 0);
        memory->call = nullptr;
        if (failed != 0 && is_interrupt(L, -1)) {
            renew_interrupt(L); // which ends the run, and is raised where the script called it
            return Error{EINTR, "", "interrupted", {}, {}};
        }
        if (failed != 0) {
            return Error{EINVAL, "", error_text(L), {}, {}};
        }
        const auto result = to_u64(L, -1);
        if (!result) {
            return Error{EINVAL,
                         "",
                         std::string("the function gave a ") + luaL_typename(L, -1) + ", no integer",
                         {},
                         {}};
        }
        return *result;
    }

  private:
    lua_State* thread_ = nullptr;
    int function_ = LUA_NOREF;
    int anchor_ = LUA_NOREF;
};

vm::HelperCall& check_memory(lua_State* L) {
    const HelperMemory& memory = check<HelperMemory>(L, 1, "memory");
    if (memory.call == nullptr) {
        fail(L, "helper memory: the call is over");
    }
    return *memory.call;
}

/// mem:read(address, size) -> bytes.
int memory_read(lua_State* L) {
    vm::HelperCall& call = check_memory(L);
    const auto bytes = call.read(check_unsigned(L, 2, "address", 0, UINT64_MAX),
                                 check_unsigned(L, 3, "size", 0, UINT32_MAX));
    if (!bytes) {
        fail(L, "the run has faulted");
    }
    push_bytes(L, *bytes);
    return 1;
}

/// mem:write(address, bytes).
int memory_write(lua_State* L) {
    vm::HelperCall& call = check_memory(L);
    if (!call.write(check_unsigned(L, 2, "address", 0, UINT64_MAX), as_bytes(check_string(L, 3, "bytes")))) {
        fail(L, "the run has faulted");
    }
    return 0;
}

/// mem:valid(address, size [, "w"]) -> boolean.
int memory_valid(lua_State* L) {
    vm::HelperCall& call = check_memory(L);
    const auto mode = opt_string(L, 4, "mode");
    if (mode && *mode != "r" && *mode != "w") {
        fail(L, "bad argument 'mode': expected \"r\" or \"w\", got \"" + std::string(*mode) + "\"");
    }
    const uint64_t address = check_unsigned(L, 2, "address", 0, UINT64_MAX);
    const uint64_t size = check_unsigned(L, 3, "size", 0, UINT32_MAX);
    const bool is_nothing = size == 0 && vm::handle_of(address) == 0; // as helpers take it
    lua_pushboolean(L, is_nothing || call.can_access(address, size, mode && *mode == "w") ? 1 : 0);
    return 1;
}

constexpr Function kMemory[] = {
    {"read", &guard<&memory_read>,
     "mem:read(address, size) -> bytes\nThe guest's memory inside a helper of one's own; a refused access "
     "ends the "
     "run with a fault."},
    {"write", &guard<&memory_write>,
     "mem:write(address, bytes)\nWrites the guest's memory inside a helper of one's own, checked like a "
     "store."},
    {"valid", &guard<&memory_valid>,
     "mem:valid(address, size [, \"w\"]) -> boolean\nWhether read (or write) would be allowed; asking is no "
     "fault."},
};

/// Id of the helper that the key at `index` names.
uint32_t helper_id(lua_State* L, int index) {
    if (lua_type(L, index) == LUA_TNUMBER) {
        return static_cast<uint32_t>(check_unsigned(L, index, "helper", 1, INT32_MAX));
    }
    const std::string name(check_string(L, index, "helper"));
    const std::string_view own = std::string_view(name).substr(name.starts_with("bpf_") ? 4 : 0);
    for (uint32_t id = 1; id < abi::kHelperCount; ++id) {
        if (abi::helper_name(id) == own) {
            return id;
        }
    }
    fail(L, "load: no helper is named '" + name + "' (give others by number)");
}

} // namespace

vm::UserHelpers take_helpers(lua_State* L, Options& options) {
    vm::UserHelpers helpers;
    options.push("helpers");
    if (!lua_isnil(L, -1) && !lua_istable(L, -1)) {
        fail(L, std::string("bad argument 'helpers': expected table, got ") + luaL_typename(L, -1));
    }
    const int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_istable(L, table) && lua_next(L, table) != 0) {
        const uint32_t id = helper_id(L, -2);
        if (!lua_isfunction(L, -1)) {
            fail(L, "bad argument 'helpers': helper " + std::to_string(id) + " is no function but a " +
                        luaL_typename(L, -1));
        }
        if (helpers.contains(id)) {
            fail(L, "bad argument 'helpers': helper " + std::to_string(id) + " (bpf_" +
                        std::string(abi::helper_name(id)) + ") is given twice");
        }
        auto function = std::make_shared<KeptFunction>(L);
        helpers[id] = [function](vm::HelperCall& call) { return function->call(call); };
    }
    lua_settop(L, table - 1);
    return helpers;
}

void set_helper_memory(lua_State* L) {
    push_metatable<HelperMemory>(L);
    lua_getfield(L, -1, "__index");
    set_functions(L, "mem:", kMemory);
    lua_pop(L, 2);
}

} // namespace mimicsh::lua
