// SPDX-License-Identifier: MIT
// Appends instructions to a function of an object, with the relocations of those that name something.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "object/object.h"
#include "tests/unit/vm/raw.h"

namespace mimicsh::fuzz {

/// A type of programs.
struct ProgramKind {
    abi::ProgType type;
    abi::AttachType attach;
    uint32_t flags;
    std::string_view section;
    int16_t data; ///< offset of ctx->data, data_end four bytes behind; negative: none
};

inline constexpr std::array<ProgramKind, 15> kProgramKinds{{
    {abi::ProgType::Xdp, abi::AttachType::Xdp, 0, "xdp", 0},
    {abi::ProgType::SchedCls, abi::AttachType::None, 0, "tc", 76},
    {abi::ProgType::Xdp, abi::AttachType::Xdp, abi::kProgXdpHasFrags, "xdp.frags", 0},
    {abi::ProgType::SchedCls, abi::AttachType::None, 0, "tc", 76},
    {abi::ProgType::SocketFilter, abi::AttachType::None, 0, "socket", -1},
    {abi::ProgType::CgroupSkb, abi::AttachType::CgroupInetIngress, 0, "cgroup_skb/ingress", 76},
    {abi::ProgType::LwtIn, abi::AttachType::None, 0, "lwt_in", 76},
    {abi::ProgType::LwtOut, abi::AttachType::None, 0, "lwt_out", 76},
    {abi::ProgType::LwtXmit, abi::AttachType::None, 0, "lwt_xmit", 76},
    {abi::ProgType::FlowDissector, abi::AttachType::FlowDissector, 0, "flow_dissector", 76},
    {abi::ProgType::SchedAct, abi::AttachType::None, 0, "action", 76},
    {abi::ProgType::Xdp, abi::AttachType::XdpDevmap, 0, "xdp/devmap", 0},
    {abi::ProgType::Memory, abi::AttachType::None, 0, "memory", -1},
    {abi::ProgType::Kprobe, abi::AttachType::None, 0, "kprobe/x", -1},
    {abi::ProgType::Xdp, abi::AttachType::XdpCpumap, 0, "xdp/cpumap", 0},
}};

/// A function without instructions; a program when a kind is given.
[[nodiscard]] inline Function empty_function(std::string name, const ProgramKind* kind) {
    Function function;
    function.name = std::move(name);
    function.section = kind != nullptr ? kind->section : ".text";
    function.is_global = false;
    if (kind != nullptr) {
        function.spec = ProgramSpec{kind->type, kind->attach, kind->flags, {}};
    }
    return function;
}

class Writer {
  public:
    explicit Writer(Object& object) : object_(object) {}

  protected:
    /// What follows goes to the end of this function.
    void write_to(size_t function) { at_ = &object_.functions[function]; }
    void add(Insn one) { at_->insns.push_back(one); }
    void wide(int dst, int src, uint64_t value) {
        add(test::insn(op::kLddw, dst, src, 0, static_cast<int32_t>(value)));
        add(test::insn(0, 0, 0, 0, static_cast<int32_t>(value >> 32)));
    }
    void refer(RelocKind kind, size_t target, uint32_t offset = 0) {
        at_->relocs.push_back(
            {static_cast<uint32_t>(at_->insns.size()), kind, static_cast<uint32_t>(target), offset});
    }
    void load_map(int dst, size_t map) {
        refer(RelocKind::Map, map);
        wide(dst, op::kMapFd, 0);
    }
    void load_value(int dst, size_t map, uint32_t offset) {
        if (offset < object_.maps[map].value_size) {
            refer(RelocKind::MapValue, map, offset);
            wide(dst, op::kMapValue, 0);
        } else {
            add(test::mov(dst, 0));
        }
    }
    void load_function(int dst, size_t function) {
        refer(RelocKind::FuncAddress, function);
        wide(dst, op::kFunc, 0);
    }
    void call_function(size_t function) {
        refer(RelocKind::Call, function);
        add(test::insn(op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1));
    }
    /// Index of a kernel function, declared when it is new; nothing when the name is something else's.
    std::optional<size_t> kfunc(std::string_view name, bool is_weak) {
        auto found = std::ranges::find(object_.externs, name, &ExternDef::name);
        if (found == object_.externs.end()) {
            ExternDef wanted;
            wanted.name = name;
            wanted.kind = ExternKind::Kfunc;
            wanted.is_weak = is_weak;
            found = object_.externs.insert(found, wanted);
        }
        return found->kind == ExternKind::Kfunc
                   ? std::optional(static_cast<size_t>(found - object_.externs.begin()))
                   : std::nullopt;
    }
    void call_kfunc_number(size_t number) {
        refer(RelocKind::Extern, number);
        add(test::insn(op::kJmp | op::kCall, 0, op::kCallKfunc, 0, 0));
    }

    Object& object_;
    Function* at_ = nullptr;
};

} // namespace mimicsh::fuzz
