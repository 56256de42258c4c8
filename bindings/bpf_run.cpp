// SPDX-License-Identifier: MIT
// One run of a program: options in, result table out.
#include <cerrno>

#include <arpa/inet.h>

#include "bindings/bpf.h"
#include "bindings/loop.h"
#include "kernel/bpf_ids.h"
#include "net/field_text.h"
#include "vm/context/captured.h"
#include "vm/prog_types.h"
#include "vm/program.h"

namespace mimicsh::lua {

Program& check_program(lua_State* L, int index) {
    ProgramRef& ref = check<ProgramRef>(L, index, "program");
    if (ref.owner->instance == nullptr) {
        fail(L, "program: its instance is closed");
    }
    return *ref.program;
}

namespace {

void set_text(lua_State* L, const char* field, std::string_view text) {
    if (!text.empty()) {
        push_string(L, text);
        lua_setfield(L, -2, field);
    }
}

void set_number(lua_State* L, const char* field, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

void set_source(lua_State* L, const SourceLine& source) {
    set_text(L, "file", source.file);
    set_text(L, "source", source.text);
    if (source.line != 0) {
        set_number(L, "line", source.line);
        set_number(L, "column", source.column);
    }
}

/// Adds what the program sent and set: emitted, tunnel, assigned.
void set_address(lua_State* L, const char* name, bool v6, const std::array<uint8_t, 16>& bytes) {
    char text[INET6_ADDRSTRLEN] = {};
    set_text(L, name, inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text));
}

void set_second(lua_State* L, const SecondRun& second) {
    lua_createtable(L, 0, 4);
    set_text(L, "program", second.program);
    set_text(L, "verdict", verdict_name(abi::ProgType::Xdp, second.ret));
    set_number(L, "ret", second.ret);
    push_bytes(L, second.packet);
    lua_setfield(L, -2, "bytes");
    lua_setfield(L, -2, "second");
}

/// Pushes where one packet goes: of a copy kind, index, flags and bytes; with `details` all that is known.
void push_emitted(lua_State* L, const Emitted& one, bool details) {
    lua_createtable(L, 0, 4);
    set_text(L, "kind", one.kind);
    if (!details || one.interface != 0) {
        set_number(L, "index", one.interface);
    }
    push_u64(L, one.flags);
    lua_setfield(L, -2, "flags");
    push_bytes(L, one.packet);
    lua_setfield(L, -2, "bytes");
    if (!details) {
        return;
    }
    set_text(L, "name", one.name);
    set_text(L, "map", one.map);
    if (!one.map.empty()) {
        set_number(L, "key", one.key);
    }
    if (one.second) {
        set_second(L, *one.second);
    }
    set_text(L, "dropped", one.dropped);
}

void push_sent(lua_State* L, const RunResult& result) {
    lua_createtable(L, static_cast<int>(result.emitted.size()), 0);
    lua_createtable(L, static_cast<int>(result.emitted.size() + result.egress.size()), 0);
    int count = 0;
    for (const Emitted& copy : result.emitted) {
        push_emitted(L, copy, false);
        lua_rawseti(L, -3, ++count);
        push_emitted(L, copy, true);
        lua_rawseti(L, -2, count);
    }
    for (const Emitted& one : result.egress) {
        push_emitted(L, one, true);
        lua_rawseti(L, -2, ++count);
    }
    lua_setfield(L, -3, "egress");
    lua_setfield(L, -2, "emitted");
    if (result.tunnel) {
        const Tunnel& tunnel = *result.tunnel;
        lua_createtable(L, 0, 8);
        push_u64(L, tunnel.id);
        lua_setfield(L, -2, "id");
        set_address(L, "remote", tunnel.v6, tunnel.destination);
        set_address(L, "local", tunnel.v6, tunnel.source);
        set_number(L, "tos", tunnel.tos);
        set_number(L, "ttl", tunnel.ttl);
        set_number(L, "label", tunnel.label);
        set_number(L, "flags", tunnel.flags);
        push_bytes(L, tunnel.options);
        lua_setfield(L, -2, "options");
        lua_setfield(L, -2, "tunnel");
    }
    if (result.assigned) {
        set_number(L, "assigned", *result.assigned + 1);
    }
}

void set_log(lua_State* L, const std::vector<std::string>& log) {
    lua_createtable(L, static_cast<int>(log.size()), 0);
    for (size_t i = 0; i < log.size(); i++) {
        push_string(L, log[i]);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
    lua_setfield(L, -2, "log");
}

void push_result(lua_State* L, const Program& program, const RunResult& result, bool is_traced) {
    lua_createtable(L, 0, 12);
    if (result.fault) {
        push_fault(L, *result.fault);
        lua_setfield(L, -2, "fault");
    } else {
        set_text(L, "verdict", verdict_name(program.type(), result.ret));
        set_number(L, "ret", result.ret);
        if (program.type() == abi::ProgType::Memory) {
            push_u64(L, result.r0);
            lua_setfield(L, -2, "r0");
        }
    }
    push_bytes(L, result.packet);
    lua_setfield(L, -2, "bytes");
    if (!result.context.empty()) {
        push_bytes(L, result.context);
        lua_setfield(L, -2, "context");
    }
    push_u64(L, result.duration_ns);
    lua_setfield(L, -2, "ns");
    if (is_traced) { // nobody counts them else
        push_u64(L, result.insns);
        lua_setfield(L, -2, "insns");
    }
    push_warnings(L, result.warnings);
    lua_setfield(L, -2, "warnings");
    set_log(L, result.log);
    if (result.redirect) {
        lua_createtable(L, 0, 3);
        set_text(L, "kind", result.redirect->kind);
        set_number(L, "index", result.redirect->index);
        if (!result.redirect->map.empty()) {
            set_text(L, "map", result.redirect->map);
        }
        push_u64(L, result.redirect->flags);
        lua_setfield(L, -2, "flags");
        if (const auto& hop = result.redirect->next_hop) {
            set_address(L, "via", hop->v6, hop->address);
            if (hop->mac) {
                set_text(L, "mac", net::mac_text(*hop->mac));
            }
        }
        if (result.redirect->peer) {
            set_number(L, "peer", *result.redirect->peer);
        }
        if (const auto& second = result.redirect->second) {
            set_second(L, *second);
        }
        lua_setfield(L, -2, "redirect");
    }
    push_sent(L, result);
    set_text(L, "trace", result.trace);
}

/// advance(instance, ns) -> {callbacks=, faults=, warnings=, log=} | nil, err.
int instance_advance(lua_State* L) {
    Instance& instance = check_instance(L, 1);
    const uint64_t ns = check_unsigned(L, 2, "ns", 0, INT64_MAX);
    InstanceOwner& owner = check<InstanceOwner>(L, 1, "instance");
    const auto result = [&] {
        const Running running(L, owner);
        return instance.advance(ns);
    }();
    owner.waits.wake();
    if (!result) {
        return push_failure(L, result.error());
    }
    lua_createtable(L, 0, 4);
    set_number(L, "callbacks", static_cast<double>(result->callbacks));
    lua_createtable(L, static_cast<int>(result->faults.size()), 0);
    for (size_t i = 0; i < result->faults.size(); i++) {
        push_fault(L, result->faults[i]);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
    lua_setfield(L, -2, "faults");
    push_warnings(L, result->warnings);
    lua_setfield(L, -2, "warnings");
    set_log(L, result->log);
    return 1;
}

/// One call of {helper=, values={{reg=, number= | bytes=}, ...}} at index, put behind the others.
void add_call(lua_State* L, int index, vm::RecordedCalls& calls) {
    Options call(L, index, "call");
    const auto helper = static_cast<uint32_t>(call.number("helper", 1, UINT32_MAX).value_or(0));
    auto& values = calls[helper].emplace_back();
    call.push("values");
    const int list = lua_gettop(L);
    for (size_t i = 1; i <= lua_objlen(L, list); i++) {
        lua_rawgeti(L, list, static_cast<int>(i));
        Options entry(L, lua_gettop(L), "value");
        vm::RecordedValue value;
        value.reg = static_cast<uint8_t>(entry.number("reg", 0, 9).value_or(0));
        entry.push("number");
        const auto number = to_u64(L, lua_gettop(L));
        lua_pop(L, 1);
        const auto text = entry.string("bytes");
        const ByteView bytes = as_bytes(text ? std::string_view(*text) : std::string_view());
        value.value = number ? std::variant<uint64_t, ByteVec>(*number) : ByteVec(bytes.begin(), bytes.end());
        values.push_back(std::move(value));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    call.finish();
}

/// The recorded calls in the list at index; null when it is no list.
std::shared_ptr<vm::Replay> check_calls(lua_State* L, int index) {
    if (!lua_istable(L, index)) {
        return nullptr;
    }
    vm::RecordedCalls calls;
    for (size_t i = 1; i <= lua_objlen(L, index); i++) {
        lua_rawgeti(L, index, static_cast<int>(i));
        add_call(L, lua_gettop(L), calls);
        lua_pop(L, 1);
    }
    return std::make_shared<vm::Replay>(std::move(calls));
}

/// run(program, bytes, {times=, trace=, cpu=, context=, calls=, headroom=, tailroom=, linear=, l2=, sock=,
/// keys=})
/// -> result | nil, err.
int program_run(lua_State* L) {
    Program& program = check_program(L, 1);
    const ByteView packet = as_bytes(check_string(L, 2, "packet"));
    Options options(L, 3, "run");
    RunOptions run;
    run.repeat = static_cast<uint32_t>(options.number("times", 1, UINT32_MAX).value_or(1));
    run.trace = options.boolean("trace").value_or(false);
    if (const auto cpu = options.number("cpu", 0, 65535)) {
        run.cpu = static_cast<uint32_t>(*cpu);
    }
    const auto take = [&](const char* name, ByteVec& into) {
        if (const auto text = options.string(name)) {
            const ByteView bytes = as_bytes(*text);
            into.assign(bytes.begin(), bytes.end());
        }
    };
    take("context", run.context);
    take("sock", run.socket);
    take("keys", run.flow_keys);
    const auto room = [&](const char* name) {
        const auto bytes = options.number(name, 0, UINT32_MAX);
        return bytes ? std::optional(static_cast<uint32_t>(*bytes)) : std::nullopt;
    };
    run.headroom = room("headroom");
    run.tailroom = room("tailroom");
    run.linearise = options.boolean("linear").value_or(false);
    run.link_layer = options.boolean("l2").value_or(false);
    options.push("calls");
    const auto replay = check_calls(L, lua_gettop(L));
    lua_pop(L, 1);
    options.finish();
    run.stop = &interrupt_flag();
    InstanceOwner& owner = *check<ProgramRef>(L, 1, "program").owner;
    Instance& instance = *owner.instance;
    std::optional<Running> running(std::in_place, L, owner);
    if (replay != nullptr) {
        if (const auto ok = vm::set_replay(instance, replay); !ok) {
            return push_failure(L, ok.error());
        }
    }
    const auto result = program.run(packet, run);
    if (replay != nullptr) {
        (void)vm::set_replay(instance, nullptr);
    }
    running.reset();
    owner.waits.wake();
    if (!result) {
        return push_failure(L, result.error());
    }
    if (instance.target() == "vm") {
        owner.inputs[program.name()].add(packet);
    }
    push_result(L, program, *result, run.trace && instance.target() == "vm");
    return 1;
}

int program_info(lua_State* L) {
    const Program& program = check_program(L, 1);
    const LinkedProgram& linked = program.linked();
    lua_createtable(L, 0, 4);
    set_text(L, "name", program.name());
    set_text(L, "type", abi::name(program.type()));
    set_number(L, "insns", static_cast<double>(linked.insns.size()));
    const ProgramRef& ref = check<ProgramRef>(L, 1, "program");
    set_text(L, "target", ref.owner->instance->target());
    if (ref.owner->instance->target() == "vm") {
        set_text(L, "unsupported", vm::prog_type_reason(program.type()));
        set_number(L, "id", static_cast<const vm::LoadedProgram&>(program).id());
    }
    if (const auto facts = kernel::program_facts(*ref.program)) {
        set_number(L, "id", facts->id);
        set_text(L, "tag", facts->tag);
        set_number(L, "translated", facts->translated);
        set_number(L, "jited", facts->jited);
        set_number(L, "verified", facts->verified_insns);
        push_u64(L, facts->loaded_ns);
        lua_setfield(L, -2, "loaded");
    }
    return 1;
}

constexpr Function kFunctions[] = {
    {"program_run", &guard<&program_run>},
    {"program_info", &guard<&program_info>},
    {"instance_advance", &guard<&instance_advance>},
};

} // namespace

void push_fault(lua_State* L, const Fault& fault) {
    lua_createtable(L, 0, 14);
    set_text(L, "kind", name(fault.kind));
    set_text(L, "program", fault.program);
    set_text(L, "function", fault.function);
    set_number(L, "insn", fault.insn);
    set_text(L, "disasm", fault.disasm);
    set_source(L, fault.source);
    set_text(L, "cause", fault.cause);
    set_text(L, "origin", fault.origin);
    set_text(L, "hint", fault.hint);
    set_text(L, "report", fault.report);
    lua_createtable(L, 0, static_cast<int>(fault.regs.size()));
    for (size_t i = 0; i < fault.regs.size(); i++) {
        push_u64(L, fault.regs[i]);
        lua_setfield(L, -2, ("r" + std::to_string(i)).c_str());
    }
    lua_setfield(L, -2, "regs");
}

void push_warnings(lua_State* L, const std::vector<Warning>& warnings) {
    lua_createtable(L, static_cast<int>(warnings.size()), 0);
    for (size_t i = 0; i < warnings.size(); i++) {
        const Warning& warning = warnings[i];
        lua_createtable(L, 0, 6);
        set_text(L, "program", warning.program);
        set_number(L, "insn", warning.insn);
        set_source(L, warning.source);
        set_text(L, "cause", warning.cause);
        lua_rawseti(L, -2, static_cast<int>(i + 1));
    }
}

std::span<const Function> run_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
