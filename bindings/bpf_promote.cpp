// SPDX-License-Identifier: MIT
// Comparing an instance of the vm with the kernel, and promoting it to an interface. lua/promote.lua makes
// the reports readable.
#include "bindings/attach.h"
#include "bindings/bpf.h"
#include "bindings/loop.h"
#include "kernel/promote.h"

namespace mimicsh::lua {

namespace {

void set_number(lua_State* L, const char* field, uint64_t value) {
    lua_pushnumber(L, static_cast<double>(value));
    lua_setfield(L, -2, field);
}

void set_text(lua_State* L, const char* field, std::string_view value) {
    push_string(L, value);
    lua_setfield(L, -2, field);
}

void push_comparison(lua_State* L, const kernel::Comparison& report) {
    lua_createtable(L, 0, 7);
    set_number(L, "equal", report.equal);
    set_number(L, "different", report.different);
    set_number(L, "not_comparable", report.not_comparable);
    set_number(L, "aligned", report.aligned_sites);
    lua_pushboolean(L, report.interrupted ? 1 : 0);
    lua_setfield(L, -2, "interrupted");
    lua_newtable(L);
    for (const auto& [reason, count] : report.reasons) {
        set_number(L, reason.c_str(), count);
    }
    lua_setfield(L, -2, "reasons");
    if (report.first) {
        lua_createtable(L, 0, 5);
        set_number(L, "index", report.first->packet);
        push_bytes(L, report.first->input);
        lua_setfield(L, -2, "bytes");
        set_text(L, "vm", report.first->verdict_vm);
        set_text(L, "kernel", report.first->verdict_kernel);
        set_text(L, "text", report.first->text);
        lua_setfield(L, -2, "first");
    }
}

void push_map_copies(lua_State* L, const std::vector<kernel::MapCopy>& copies) {
    lua_createtable(L, static_cast<int>(copies.size()), 0);
    int index = 0;
    for (const kernel::MapCopy& copy : copies) {
        lua_createtable(L, 0, 3);
        set_text(L, "map", copy.map);
        set_number(L, "entries", copy.entries);
        set_text(L, "rule", copy.rule);
        lua_rawseti(L, -2, ++index);
    }
}

/// Packets from the options `pcap` or `packets`, else what the program has run on.
Expected<std::vector<ByteVec>> take_packets(lua_State* L, Options& options, const InstanceOwner& owner,
                                            const std::string& program) {
    const auto pcap = options.string("pcap");
    options.push("packets");
    std::vector<ByteVec> given;
    const bool has_list = lua_istable(L, -1);
    if (has_list) {
        for (size_t i = 1; i <= lua_objlen(L, -1); ++i) {
            lua_rawgeti(L, -1, static_cast<int>(i));
            const ByteView bytes = as_bytes(check_string(L, lua_gettop(L), "packets"));
            given.emplace_back(bytes.begin(), bytes.end());
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    if (has_list) {
        return given;
    }
    if (pcap) {
        return last_packets(*pcap, UINT64_MAX);
    }
    const auto log = owner.inputs.find(program);
    return log != owner.inputs.end() ? log->second.packets() : Expected<std::vector<ByteVec>>(given);
}

kernel::CompareOptions compare_options(const InstanceOwner& owner) {
    return {owner.load, owner.load_on_vm, &interrupt_flag()};
}

InstanceOwner& check_owner(lua_State* L, int index) {
    (void)check_instance(L, index);
    return check<InstanceOwner>(L, index, "instance");
}

InstanceOwner& check_vm(lua_State* L, const char* op) {
    InstanceOwner& owner = check_owner(L, 1);
    if (owner.instance->target() != "vm") {
        fail(L, std::string(op) + ": this instance is the kernel's already");
    }
    return owner;
}

/// An instance with the verb's ways to load more of it.
void push_sibling(lua_State* L, const InstanceOwner& of, std::unique_ptr<Instance> instance) {
    auto owner = std::make_shared<InstanceOwner>();
    owner->instance = std::move(instance);
    owner->load = of.load;
    owner->load_on_vm = of.load_on_vm;
    push_owner(L, std::move(owner));
}

/// instance_compare(vm instance, program name, {pcap=, packets=}) -> report | nil, err.
int instance_compare(lua_State* L) {
    InstanceOwner& owner = check_vm(L, "compare");
    const std::string program(check_string(L, 2, "prog"));
    Options options(L, 3, "compare");
    const auto packets = take_packets(L, options, owner, program);
    options.finish();
    if (!packets) {
        return push_failure(L, packets.error());
    }
    const std::vector<ByteView> views(packets->begin(), packets->end());
    const auto report = kernel::compare(*owner.instance, program, views, compare_options(owner));
    if (!report) {
        return push_failure(L, report.error());
    }
    if (report->interrupted) {
        consume_interrupt(L);
    }
    push_comparison(L, *report);
    return 1;
}

std::vector<std::string> take_names(lua_State* L, Options& options, const char* name) {
    std::vector<std::string> names;
    options.push(name);
    for (size_t i = 1; lua_istable(L, -1) && i <= lua_objlen(L, -1); ++i) {
        lua_rawgeti(L, -1, static_cast<int>(i));
        names.emplace_back(check_string(L, lua_gettop(L), name));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return names;
}

/// instance_promote(vm instance, device, {hook=, prog=, mode=, kind=, prio=, without=, pcap=, packets=,
/// force=})
/// -> report, instance, link | report (when the comparison forbade it) | nil, err.
int instance_promote(lua_State* L) {
    using kernel::PromoteHook;
    using kernel::TcKind;
    using kernel::XdpMode;
    static constexpr std::pair<const char*, PromoteHook> kHooks[] = {{"xdp", PromoteHook::Xdp},
                                                                     {"tc-ingress", PromoteHook::TcIngress},
                                                                     {"tc-egress", PromoteHook::TcEgress}};
    InstanceOwner& owner = check_vm(L, "promote");
    kernel::PromoteOptions promote;
    promote.device = check_string(L, 2, "device");
    Options options(L, 3, "promote");
    promote.hook = choose(L, options, "hook", kHooks);
    promote.xdp.mode = choose(L, options, "mode", kXdpModes);
    promote.tc.kind = choose(L, options, "kind", kTcKinds);
    promote.tc.priority = static_cast<uint32_t>(options.number("prio", 1, 65535).value_or(0));
    promote.program = options.string("prog").value_or("");
    promote.without_maps = take_names(L, options, "without");
    promote.force = options.boolean("force").value_or(false);
    auto program = kernel::choose_program(*owner.instance, promote.hook, promote.program);
    if (!program) {
        return push_failure(L, program.error());
    }
    promote.program = *program;
    const auto packets = take_packets(L, options, owner, *program);
    options.finish();
    if (!packets) {
        return push_failure(L, packets.error());
    }
    promote.packets.assign(packets->begin(), packets->end());
    promote.compare = compare_options(owner);
    auto done = kernel::promote(*owner.instance, promote);
    if (!done) {
        return push_failure(L, done.error());
    }
    if (done->comparison.interrupted) {
        consume_interrupt(L);
    }
    lua_createtable(L, 0, 4);
    set_text(L, "program", done->program);
    set_text(L, "device", promote.device);
    push_comparison(L, done->comparison);
    lua_setfield(L, -2, "comparison");
    push_map_copies(L, done->maps);
    lua_setfield(L, -2, "maps");
    if (done->link == nullptr) {
        return 1;
    }
    push_link_info(L, done->link->info());
    lua_setfield(L, -2, "link");
    push_sibling(L, owner, std::move(done->instance));
    return 2 + push_link(L, std::move(done->link));
}

/// instance_demote(kernel instance) -> vm instance, list of map copies | nil, err.
int instance_demote(lua_State* L) {
    InstanceOwner& owner = check_owner(L, 1);
    if (owner.instance->target() != "kernel") {
        fail(L, "demote: this instance is the vm's already");
    }
    auto done = kernel::demote(*owner.instance, compare_options(owner));
    if (!done) {
        return push_failure(L, done.error());
    }
    push_sibling(L, owner, std::move(done->instance));
    push_map_copies(L, done->maps);
    return 2;
}

constexpr Function kFunctions[] = {
    {"instance_compare", &guard<&instance_compare>},
    {"instance_promote", &guard<&instance_promote>},
    {"instance_demote", &guard<&instance_demote>},
};

} // namespace

std::span<const Function> promote_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
