// SPDX-License-Identifier: MIT
// Which helpers a recording may answer for, and how it does.
#include "vm/context/captured.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "vm/machine.h"
#include "vm/program.h"
#include "vm/support.h"

namespace mimicsh::vm {

namespace {

constexpr std::array<std::string_view, 64> kReplayable{
    "probe_read",
    "ktime_get_ns",
    "get_prandom_u32",
    "get_smp_processor_id",
    "get_current_pid_tgid",
    "get_current_uid_gid",
    "get_current_comm",
    "get_cgroup_classid",
    "perf_event_read",
    "redirect",
    "get_route_realm",
    "skb_load_bytes",
    "get_stackid",
    "csum_diff",
    "skb_under_cgroup",
    "get_hash_recalc",
    "current_task_under_cgroup",
    "get_numa_node_id",
    "probe_read_str",
    "get_socket_cookie",
    "get_socket_uid",
    "redirect_map",
    "perf_event_read_value",
    "get_stack",
    "skb_load_bytes_relative",
    "fib_lookup",
    "rc_repeat",
    "rc_keydown",
    "skb_cgroup_id",
    "get_current_cgroup_id",
    "skb_ancestor_cgroup_id",
    "rc_pointer_rel",
    "sysctl_get_name",
    "sysctl_get_current_value",
    "sysctl_get_new_value",
    "sysctl_set_new_value",
    "strtol",
    "strtoul",
    "send_signal",
    "probe_read_user",
    "probe_read_kernel",
    "probe_read_user_str",
    "probe_read_kernel_str",
    "send_signal_thread",
    "jiffies64",
    "get_ns_current_pid_tgid",
    "get_netns_cookie",
    "get_current_ancestor_cgroup_id",
    "sk_assign",
    "ktime_get_boot_ns",
    "seq_printf",
    "seq_write",
    "sk_cgroup_id",
    "sk_ancestor_cgroup_id",
    "snprintf_btf",
    "seq_printf_btf",
    "skb_cgroup_classid",
    "ktime_get_coarse_ns",
    "check_mtu",
    "get_func_ip",
    "get_attach_cookie",
    "strncmp",
    "get_retval",
    "set_retval",
};

bool put(Machine& machine, const RecordedValue& recorded, uint64_t& result) {
    if (const auto* number = std::get_if<uint64_t>(&recorded.value)) {
        (recorded.reg == 0 ? result : machine.regs[recorded.reg]) = *number;
        return true;
    }
    const auto& bytes = std::get<ByteVec>(recorded.value);
    uint8_t* to =
        machine.span(machine.regs[recorded.reg], bytes.size(), Access::Write, "recorded result of a helper");
    if (to == nullptr) {
        return false;
    }
    std::ranges::copy(bytes, to);
    return true;
}

} // namespace

const std::vector<RecordedValue>* Replay::next(uint32_t helper) {
    const auto found = calls_.find(helper);
    size_t& taken = taken_[helper];
    return found != calls_.end() && taken < found->second.size() ? &found->second[taken++] : nullptr;
}

bool is_replayable(uint32_t helper) {
    return std::ranges::find(kReplayable, abi::helper_name(helper)) != kReplayable.end();
}

Status set_replay(Instance& instance, const std::shared_ptr<Replay>& replay) {
    if (instance.target() != "vm") {
        return Error{ENOTSUP, "run", "recorded helper calls are replayed on the vm only", {}, {}};
    }
    for (Program* program : instance.programs()) {
        static_cast<LoadedProgram*>(program)->set_replay(replay);
    }
    return {};
}

uint64_t replayed_call(Machine& machine, const uint64_t* args) {
    LoadedProgram& program = *machine.code->program;
    const auto id = static_cast<uint32_t>(program.linked().insns[machine.code->slot_of(machine.at)].imm);
    Replay* replay = program.replay();
    if (const auto* record = replay != nullptr ? replay->next(id) : nullptr) {
        uint64_t result = machine.regs[0];
        for (const RecordedValue& recorded : *record) {
            if (!put(machine, recorded, result)) {
                return 0;
            }
        }
        return result;
    }
    if (const HelperFn helper = helper_function(id)) {
        return helper(machine, args);
    }
    return machine.fault(FaultKind::BadCall, "bpf_" + std::string(abi::helper_name(id)) +
                                                 " is not emulated, and no recorded call of it is left");
}

} // namespace mimicsh::vm
