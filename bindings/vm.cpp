// SPDX-License-Identifier: MIT
// Module vm: what the emulator supports, from its own table.
#include "bindings/modules.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/support.h"
#include "vm/versions.h"

namespace mimicsh::lua {

namespace {

void push_row(lua_State* L, std::string_view name, std::string_view note, vm::KernelVersion since,
              vm::State state, int index) {
    lua_createtable(L, 0, 4);
    push_string(L, name);
    lua_setfield(L, -2, "name");
    push_string(L, note);
    lua_setfield(L, -2, "note");
    push_string(L, vm::name(since));
    lua_setfield(L, -2, "since");
    push_string(L, vm::name(state));
    lua_setfield(L, -2, "state");
    lua_rawseti(L, -2, index);
}

/// vm.support() -> {helpers=, maps=, kfuncs=, insns=}: lists of {name=, note=, since=, state=} of what is not
/// refused.
int support(lua_State* L) {
    lua_createtable(L, 0, 4);
    lua_newtable(L);
    int index = 0;
    for (const auto& row : vm::helper_rows()) {
        push_row(L, abi::helper_name(row.id), row.note, vm::since_helper(row.id), row.state, ++index);
    }
    lua_setfield(L, -2, "helpers");
    lua_newtable(L);
    index = 0;
    for (const auto& row : vm::map_rows()) {
        push_row(L, abi::name(row.type), row.note, vm::since_map(row.type), vm::State::Emulated, ++index);
    }
    lua_setfield(L, -2, "maps");
    lua_newtable(L);
    index = 0;
    for (const auto& row : vm::kfunc_rows()) {
        push_row(L, row.name, row.note, vm::since_kfunc(row.name), row.state, ++index);
    }
    lua_setfield(L, -2, "kfuncs");
    lua_newtable(L);
    index = 0;
    for (const auto& form : insn_forms()) {
        if (const vm::State state = vm::insn_state(form); state != vm::State::Refused) {
            push_row(L, form.mnemonic, "", vm::since_insn(form).value(), state, ++index);
        }
    }
    lua_setfield(L, -2, "insns");
    return 1;
}

constexpr Function kVm[] = {
    {"support", &guard<&support>,
     "vm.support() -> {helpers=, maps=, kfuncs=, insns=}\nLists of {name=, note=, since=, state=} of what "
     "the "
     "emulator does; everything else is refused at load, by name. since: the first of the kernels 6.1, 6.12, "
     "6.18 that has it. state: \"emulated\", or \"scripted\" when the scripted world gives the answer.\n"
     "print(vm.support().maps[1].name) --> hash"},
};

} // namespace

void open_vm(lua_State* L) {
    lua_newtable(L);
    set_functions(L, "vm.", kVm);
}

} // namespace mimicsh::lua
