// SPDX-License-Identifier: MIT
// Calls of helpers that the embedder gave, and their repetition when a faulting run is made again.
#include "vm/user_helper.h"

#include "vm/helpers/helpers.h"
#include "vm/program.h"

namespace mimicsh::vm {

HelperCall::HelperCall(Machine& machine, UserCall& record, const uint64_t* args)
    : machine_(machine), record_(record) {
    std::copy_n(args, args_.size(), args_.begin());
}

std::optional<ByteVec> HelperCall::read(uint64_t addr, uint64_t size) {
    const uint8_t* bytes = machine_.faulted() ? nullptr : machine_.span(addr, size, Access::Read, "helper");
    return bytes == nullptr ? std::nullopt : std::optional<ByteVec>(ByteVec(bytes, bytes + size));
}

bool HelperCall::write(uint64_t addr, ByteView bytes) {
    uint8_t* to = machine_.faulted() ? nullptr : machine_.span(addr, bytes.size(), Access::Write, "helper");
    if (to == nullptr) {
        return false;
    }
    std::copy(bytes.begin(), bytes.end(), to);
    record_.writes.emplace_back(addr, ByteVec(bytes.begin(), bytes.end()));
    return true;
}

bool HelperCall::can_access(uint64_t addr, uint64_t size, bool writes) {
    return machine_.can_access(addr, size, writes ? Access::Write : Access::Read);
}

namespace {

uint64_t repeat(Machine& machine, const UserCall& call) {
    for (const auto& [addr, bytes] : call.writes) {
        uint8_t* to = machine.span(addr, bytes.size(), Access::Write, "helper");
        if (to == nullptr) {
            return 0;
        }
        std::copy(bytes.begin(), bytes.end(), to);
    }
    return call.fault
               ? machine.fault(call.fault->kind, call.fault->cause, call.fault->hint, call.fault->address)
               : call.result;
}

} // namespace

uint64_t helper_from_outside(Machine& machine, const uint64_t* args) {
    machine.note_effect();
    if (machine.repeats_run && machine.next_user_call < machine.user_calls.size()) {
        return repeat(machine, machine.user_calls[machine.next_user_call++]);
    }
    const uint32_t slot = machine.code->slot_of(machine.at);
    const auto id = static_cast<uint32_t>(machine.code->program->linked().insns[slot].imm);
    UserCall record;
    HelperCall call(machine, record, args);
    const auto result = machine.options.helpers.at(id)(call);
    if (!machine.faulted() && !result) {
        machine.fault(FaultKind::BadCall, "helper " + std::to_string(id) + ": " + result.error().message());
    }
    record.result = result && !machine.faulted() ? *result : 0;
    record.fault = machine.pending;
    machine.user_calls.push_back(std::move(record));
    return machine.user_calls.back().result;
}

} // namespace mimicsh::vm
