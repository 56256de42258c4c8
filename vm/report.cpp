// SPDX-License-Identifier: MIT
// The fault report: program, source, instruction, cause, origin of the pointer, registers.
#include "vm/report.h"

#include <algorithm>
#include <cstdio>

#include "object/disasm.h"
#include "object/program_text.h"
#include "vm/program.h"

namespace mimicsh::vm {

std::string describe_pointer(const Machine& machine, uint64_t value) {
    const uint32_t handle = handle_of(value);
    if (handle == 0 || handle >= machine.regions.size()) {
        return {};
    }
    const Region& region = machine.regions.at(handle);
    int64_t offset = offset_of(value);
    std::string text = name(region.kind);
    switch (region.kind) {
    case RegionKind::Packet:
        offset -= machine.packet.start;
        break;
    case RegionKind::Stack:
        offset -= abi::kStackSize;
        text += region.owner == machine.depth ? "" : " of frame " + std::to_string(region.owner);
        break;
    case RegionKind::MapValues:
        text = "value of map " + machine.maps()[region.owner]->info().name;
        offset &= (int64_t{1} << region.shift) - 1;
        break;
    case RegionKind::MapObject:
        text = "map " + machine.maps()[region.owner]->info().name;
        break;
    case RegionKind::Dead:
        text = std::string("stale ") + name(region.was);
        break;
    default:
        break;
    }
    if (offset != 0) {
        text += (offset < 0 ? "" : "+") + std::to_string(offset);
    }
    return text;
}

namespace {

/// The register that an access goes through, when the instruction is one.
std::optional<uint32_t> pointer_register(const Insn& insn) {
    const InsnForm* form = classify(insn);
    if (form == nullptr) {
        return std::nullopt;
    }
    switch (form->kind) {
    case InsnKind::Load:
    case InsnKind::LoadSx:
    case InsnKind::LoadAcquire:
        return insn.src;
    case InsnKind::StoreImm:
    case InsnKind::StoreReg:
    case InsnKind::StoreRelease:
    case InsnKind::Atomic:
        return insn.dst;
    default:
        return std::nullopt;
    }
}

std::string origin_text(const LinkedProgram& program, const Insn& insn, const Tracer& tracer) {
    const auto reg = pointer_register(insn);
    if (!reg) {
        return {};
    }
    const Origin& origin = tracer.origin(*reg);
    const std::string who = "r" + std::to_string(*reg);
    std::string text = who;
    if (origin.made_at != Origin::kNowhere) {
        text +=
            " was set at " + at_line(program, origin.made_at) + ": " + disassemble(program, origin.made_at);
    } else {
        const std::string first = "r" + std::to_string(origin.first_reg);
        text += " is ";
        text += origin.first_reg != *reg ? first + ", " : "";
        text += origin.first_reg == 10 ? "the frame pointer" : "as it was when the program started";
    }
    for (uint32_t slot : origin.moved_at) {
        text += "; moved at " + at_line(program, slot) + ": " + disassemble(program, slot);
    }
    return text;
}

void add_line(std::string& report, const char* label, const std::string& text) {
    if (!text.empty()) {
        char head[32];
        std::snprintf(head, sizeof head, "  %-9s", label);
        report += head + text + "\n";
    }
}

std::string register_lines(const Machine& machine, const std::array<uint64_t, 11>& regs) {
    std::string text;
    for (size_t reg = 0; reg < regs.size(); ++reg) {
        char line[96];
        const std::string what = describe_pointer(machine, regs[reg]);
        std::snprintf(line, sizeof line, "    r%-2zu 0x%016llx%s%s\n", reg,
                      static_cast<unsigned long long>(regs[reg]), what.empty() ? "" : "  ", what.c_str());
        text += line;
    }
    return text;
}

} // namespace

std::string at_line(const LinkedProgram& program, uint32_t slot) {
    const SourceLine source = source_line(program, slot);
    std::string text = "instruction " + std::to_string(slot);
    if (source.line != 0) {
        text = "line " + std::to_string(source.line) + " (" + text + ")";
    }
    return text;
}

Fault make_fault(const Machine& machine, const PendingFault& pending, const Tracer* tracer) {
    const LinkedProgram& program = pending.code->program->linked();
    const Insn& insn = program.insns[pending.slot];
    Fault fault;
    fault.kind = pending.kind;
    fault.program = program.name;
    fault.function =
        program.functions.empty() ? program.name : program.functions[program.function_at(pending.slot)].name;
    fault.insn = pending.slot;
    fault.disasm = disassemble(program, pending.slot);
    fault.source = source_line(program, pending.slot);
    fault.cause = pending.cause;
    fault.hint = pending.hint;
    std::copy_n(machine.regs.begin(), fault.regs.size(), fault.regs.begin());
    if (tracer != nullptr) {
        fault.origin = origin_text(program, insn, *tracer);
    }

    fault.report = "fault: " + std::string(name(fault.kind)) + ": " + fault.cause + "\n";
    std::string place = fault.program;
    if (fault.function != fault.program) {
        place += ", function " + fault.function;
    }
    add_line(fault.report, "program", place);
    if (fault.source.line != 0) {
        add_line(fault.report, "source", source_place(fault.source));
        add_line(fault.report, "", fault.source.text);
    }
    add_line(fault.report, "insn", std::to_string(fault.insn) + ": " + fault.disasm);
    add_line(fault.report, "pointer", fault.origin);
    add_line(fault.report, "try", fault.hint);
    fault.report += "  registers\n" + register_lines(machine, fault.regs);
    return fault;
}

} // namespace mimicsh::vm
