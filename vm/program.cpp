// SPDX-License-Identifier: MIT
// Running a loaded program on one packet or on many.
#include "vm/program.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "vm/decode.h"
#include "vm/interp.h"
#include "vm/maps/prog_array.h"
#include "vm/prog_types.h"
#include "vm/race.h"
#include "vm/report.h"
#include "vm/trace.h"
#include "vm/workers.h"

namespace mimicsh::vm {

void add_warnings(std::vector<Warning>& all, const std::vector<Warning>& more) {
    for (const Warning& warning : more) {
        const bool known = std::ranges::any_of(all, [&](const Warning& other) {
            return other.program == warning.program && other.insn == warning.insn;
        });
        if (!known) {
            all.push_back(warning);
        }
    }
}

const Code* tail_call_target(Machine& machine, bool traced) {
    VmMap* map = machine.map_at(machine.regs[2], "bpf_tail_call");
    if (map == nullptr) {
        return nullptr;
    }
    if (map->info().type != abi::MapType::ProgArray) {
        machine.fault(FaultKind::BadCall, "bpf_tail_call: " + map->info().name + " is no prog_array");
        return nullptr;
    }
    auto* target = static_cast<LoadedProgram*>(
        static_cast<ProgArray*>(map)->program(static_cast<uint32_t>(machine.regs[3])));
    if (target == nullptr || machine.tail_calls >= abi::kMaxTailCalls) {
        return nullptr;
    }
    machine.note_effect();
    ++machine.tail_calls;
    if (machine.concurrent) {
        const auto shared = target->shared_code(machine);
        if (!shared) {
            machine.fault(FaultKind::BadCall, "bpf_tail_call: " + shared.error().message());
            return nullptr;
        }
        machine.code = *shared;
    } else {
        machine.code = &target->code(traced);
    }
    machine.frames[machine.depth].starts_program = true;
    machine.stack_init[machine.depth].fill(0);
    machine.sync_packet_context();
    return machine.code;
}

Analysis LoadedProgram::analyse_linked() const {
    return analyse(linked_, machine_.options.helpers,
                   [&](uint32_t index, uint32_t offset, uint32_t size) -> std::optional<uint64_t> {
                       const MapDef& def = linked_.object->maps[index];
                       const ByteSpan bytes = machine_.maps()[index]->live_bytes();
                       const bool fixed = def.frozen && (def.flags & abi::kMapRdonlyProg) != 0;
                       if (!fixed || size > bytes.size() || offset > bytes.size() - size) {
                           return std::nullopt;
                       }
                       uint64_t value = 0;
                       std::memcpy(&value, bytes.data() + offset, size);
                       return value;
                   });
}

LoadedProgram::LoadedProgram(LinkedProgram linked, Machine& machine)
    : linked_(std::move(linked)), machine_(machine), context_(context_kind(linked_.spec.type)) {}

LoadedProgram::~LoadedProgram() = default;

Status LoadedProgram::prepare() {
    if (auto ok = claim_maps(); !ok && machine_.options.mode == Mode::Strict) {
        return ok;
    }
    if (context_ == nullptr && machine_.options.mode == Mode::Strict) {
        return {}; // it never runs
    }
    for (Code& other : others_) {
        other = {};
    }
    shared_ = {};
    workers_.reset();
    analysis_ = analyse_linked();
    if (machine_.options.mode == Mode::Strict && analysis_.refusal) {
        return load_refusal(linked_, analysis_.refusal->slot, EACCES, analysis_.refusal->text);
    }
    if (machine_.options.mode == Mode::Strict) {
        if (auto ok = check_stack(linked_, analysis_); !ok) {
            return ok;
        }
    }
    auto code = decode(linked_, analysis_, decode_options(false));
    if (!code) {
        return code.error();
    }
    fast_ = std::move(*code);
    fast_.program = this;
    return {};
}

DecodeOptions LoadedProgram::decode_options(bool traced) const {
    return {traced,
            false,
            false,
            machine_.options.mode,
            machine_.maps(),
            &machine_.options.helpers,
            machine_.options.kernel,
            &machine_};
}

const Code& LoadedProgram::code(bool traced) {
    if (!traced && replay_ == nullptr) {
        return fast_;
    }
    Code& wanted = others_[(traced ? 1 : 0) + (replay_ != nullptr ? 2 : 0)];
    if (wanted.ops.empty()) {
        DecodeOptions options = decode_options(traced);
        options.replays = replay_ != nullptr;
        auto code = decode(linked_, analysis_, options);
        assert(code); // what decoded once decodes again
        wanted = std::move(*code);
        wanted.program = this;
    }
    return wanted;
}

Expected<const Code*> LoadedProgram::shared_code(const Machine& machine) {
    const std::lock_guard lock(machine.group->maps);
    if (shared_.ops.empty()) {
        DecodeOptions options = decode_options(false);
        options.shared = true;
        auto code = decode(linked_, analysis_, options);
        if (!code) {
            return code.error();
        }
        shared_ = std::move(*code);
        shared_.program = this;
    }
    return &shared_;
}

void LoadedProgram::start_run(Machine& machine, const Code& entry) {
    if (replay_ != nullptr) {
        replay_->rewind();
    }
    machine.begin_run(entry);
    if (context_->set_registers != nullptr) {
        context_->set_registers(machine);
    }
    if (context_->begin != nullptr) {
        context_->begin(machine);
    }
}

void finish_run(Machine& machine) {
    machine.finish_run();
    if (machine.group == nullptr) {
        return;
    }
    if (machine.held_lock) {
        machine.group->release(machine.held_lock->host);
    }
    for (const Machine::HeldLock& lock : machine.resilient_locks) {
        machine.group->release(lock.host);
    }
}

void LoadedProgram::run_on(Machine& machine, ByteView packet, const Code& entry) {
    context_->set_context(machine, {});
    context_->set_packet(machine, packet);
    start_run(machine, entry);
    (void)machine.execute(machine, entry, 0);
    finish_run(machine);
}

bool LoadedProgram::is_redirected(const Machine& machine, const BatchItem& item) const {
    return machine.redirect && !item.faulted && item.ret == abi::kXdpRedirect &&
           linked_.spec.type == abi::ProgType::Xdp;
}

void LoadedProgram::run_shared(Machine& machine, std::span<BatchItem> items, std::span<const uint32_t> mine,
                               const BatchOptions& options, BatchOutput& output, size_t& done) {
    const auto code = shared_code(machine);
    machine.stop = options.stop;
    for (const uint32_t index : mine) {
        BatchItem& item = items[index];
        const auto keep = [&](const auto& append) {
            const size_t before = output.packets.size();
            append();
            output.places.push_back({index, before, output.packets.size() - before});
        };
        item.faulted = runs_in_map() || !context_->check(linked_.name, item.in, {});
        if (item.faulted) {
            if (options.want_packets) {
                keep([&] { output.packets.insert(output.packets.end(), item.in.begin(), item.in.end()); });
            }
            ++done;
            continue;
        }
        run_on(machine, item.in, **code);
        item.ret = static_cast<uint32_t>(machine.regs[0]);
        item.faulted = machine.pending.has_value();
        if (item.faulted && machine.pending->kind == FaultKind::Interrupted) {
            machine.end_run();
            return;
        }
        if (item.faulted && !output.fault) {
            output.fault = make_fault(machine, *machine.pending, nullptr);
            output.fault_item = index;
        }
        add_warnings(output.warnings, machine.warnings);
        if (options.want_packets) {
            keep([&] { context_->packet_after(machine, output.packets); });
        }
        if (is_redirected(machine, item)) {
            std::optional<Fault> fault;
            if (!run_second_of(machine, item, fault, &output.warnings)) {
                machine.end_run();
                return;
            }
            if (fault && !output.fault) {
                output.fault = std::move(fault);
                output.fault_item = index;
            }
        }
        machine.end_run();
        ++done;
    }
}

Expected<RaceReport> LoadedProgram::race(const RaceOptions& options) {
    if (context_ == nullptr) {
        return run({}, {}).error();
    }
    return find_races(*this, machine_, options);
}

bool LoadedProgram::runs_in_map() const {
    const abi::AttachType attach = linked_.spec.attach_type;
    return attach == abi::AttachType::XdpDevmap || attach == abi::AttachType::XdpCpumap;
}

Expected<RunResult> LoadedProgram::run(ByteView packet, const RunOptions& options) {
    if (context_ == nullptr) {
        return Error{ENOTSUP,
                     "run",
                     linked_.name + ": " + prog_type_reason(linked_.spec.type),
                     "load(\"kernel\") runs it for real",
                     {}};
    }
    if (runs_in_map()) {
        return Error{EINVAL,
                     "run",
                     linked_.name +
                         ": programs of a devmap or cpumap run on what their map redirects, they have "
                         "no test run",
                     {},
                     {}};
    }
    if (auto ok = context_->check(linked_.name, packet, options.context); !ok) {
        return ok.error();
    }
    if (auto ok = check_given(options); !ok) {
        return ok.error();
    }
    if (options.cpu && *options.cpu >= machine_.options.cpus) {
        return Error{ENXIO,
                     "run",
                     "cpu " + std::to_string(*options.cpu) + " of " + std::to_string(machine_.options.cpus),
                     {},
                     {}};
    }
    return run_checked(packet, options);
}

/// On its own, so that the result is made where it is returned.
Expected<RunResult> LoadedProgram::run_checked(ByteView packet, const RunOptions& options) {
    machine_.cpu = options.cpu.value_or(machine_.options.cpu);
    machine_.stop = options.stop;
    std::optional<Tracer> tracer;
    machine_.tracer = options.trace ? &tracer.emplace(true) : nullptr;
    machine_.execute = options.trace ? execute_traced : execute;
    machine_.records_inputs = options.record_inputs;
    machine_.inputs.clear();
    const Code& entry = code(options.trace);

    Expected<RunResult> outcome = RunResult{};
    RunResult& result = *outcome;
    const auto begin = std::chrono::steady_clock::now();
    const uint32_t repeat = std::max(options.repeat, 1u);
    machine_.given_run = &options;
    context_->set_context(machine_, options.context);
    context_->set_packet(machine_, packet);
    machine_.begin_call();
    for (uint32_t i = 0; i < repeat; ++i) {
        start_run(machine_, entry);
        (void)machine_.execute(machine_, entry, 0);
        machine_.finish_run();
        if (machine_.pending) {
            break;
        }
        if (i + 1 < repeat) {
            if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
                machine_.fault(FaultKind::Interrupted, "stopped from outside");
                break;
            }
            machine_.end_run();
        }
    }
    const auto spent = std::chrono::steady_clock::now() - begin;
    result.duration_ns =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count()) / repeat;
    result.r0 = machine_.regs[0];
    result.ret = static_cast<uint32_t>(result.r0);
    if (machine_.touched) {
        result.warnings = machine_.warnings;
        result.log = machine_.log;
        result.redirect = machine_.redirect;
        result.emitted = machine_.emitted;
        result.assigned = machine_.assigned;
    }
    if (machine_.tunnel && machine_.tunnel->is_set) {
        result.tunnel = machine_.tunnel;
    }
    result.inputs = std::move(machine_.inputs);
    machine_.records_inputs = false;
    result.context = context_->context_after(machine_);
    context_->packet_after(machine_, result.packet);
    if (machine_.pending) {
        const PendingFault first = *machine_.pending;
        if (options.trace) {
            result.fault = make_fault(machine_, first, &*tracer);
        } else if (repeat > 1) {
            // The packet is no longer what the first run was given, so this run cannot be made again.
            result.fault = make_fault(machine_, first, nullptr);
        } else {
            result.fault = explain(packet, options.context, first);
        }
    }
    if (options.trace) {
        tracer->finish(machine_);
        result.trace = tracer->text();
        result.insns = tracer->instructions();
    }
    machine_.end_run();
    machine_.tracer = nullptr;
    send(result);
    machine_.stop = nullptr;
    machine_.given_run = nullptr;
    return outcome;
}

Fault LoadedProgram::explain(ByteView packet, ByteView context, const PendingFault& first) {
    return explain_by(first, [&](const Code& entry) {
        context_->set_context(machine_, context);
        context_->set_packet(machine_, packet);
        machine_.begin_call();
        start_run(machine_, entry);
        (void)machine_.execute(machine_, entry, 0);
        machine_.finish_run();
    });
}

Fault LoadedProgram::explain_by(const PendingFault& first, const std::function<void(const Code&)>& again) {
    const bool can_repeat = first.kind != FaultKind::Interrupted && first.kind != FaultKind::Budget &&
                            !machine_.has_backed_maps();
    if (!can_repeat || !machine_.rewind()) {
        return make_fault(machine_, first, nullptr);
    }
    machine_.end_run();
    Tracer tracer(false);
    machine_.tracer = &tracer;
    machine_.execute = execute_traced;
    machine_.repeats_run = true;
    again(code(true));
    machine_.tracer = nullptr;
    machine_.execute = execute;
    machine_.repeats_run = false;
    // In permissive mode helpers of other types leave a state that the second run begins with.
    return make_fault(machine_, machine_.pending ? *machine_.pending : first, &tracer);
}

Expected<size_t> LoadedProgram::run_batch(std::span<BatchItem> items, const BatchOptions& options) {
    if (context_ == nullptr) {
        return run({}, {}).error();
    }
    if (options.workers > 1) {
        if (auto ok = refuse_shared_cpus(); !ok) {
            return ok.error();
        }
        if (workers_ == nullptr || workers_->count() != options.workers) {
            auto made = Workers::create(*this, machine_, options.workers);
            if (!made) {
                return made.error();
            }
            workers_ = std::move(*made);
        }
        return workers_->run(items, options);
    }
    machine_.cpu = machine_.options.cpu;
    machine_.stop = options.stop;
    machine_.tracer = nullptr;
    machine_.execute = execute;
    out_.clear();
    std::vector<std::pair<size_t, size_t>> places;
    size_t done = 0;
    const bool is_xdp = linked_.spec.type == abi::ProgType::Xdp;
    const bool no_test_run = runs_in_map();
    context_->set_context(machine_, {});
    for (BatchItem& item : items) {
        item.faulted = no_test_run || (is_xdp ? item.in.size() < kMinPacket || item.in.size() > kXdpMaxPacket
                                              : !context_->check(linked_.name, item.in, {}));
        if (item.faulted) {
            if (options.want_packets) {
                places.emplace_back(out_.size(), item.in.size());
                out_.insert(out_.end(), item.in.begin(), item.in.end());
            }
            ++done;
            continue;
        }
        // Most replays are of XDP programs: worth a direct call.
        if (is_xdp) [[likely]] {
            machine_.set_xdp_packet(item.in);
            machine_.begin_run(fast_);
        } else {
            context_->set_packet(machine_, item.in);
            machine_.begin_call();
            start_run(machine_, fast_);
        }
        (void)execute(machine_, fast_, 0);
        machine_.finish_run();
        item.ret = static_cast<uint32_t>(machine_.regs[0]);
        item.faulted = machine_.pending.has_value();
        if (item.faulted) [[unlikely]] {
            const PendingFault first = *machine_.pending;
            if (first.kind == FaultKind::Interrupted) {
                machine_.end_run();
                break;
            }
            if (options.first_fault != nullptr && !*options.first_fault) {
                *options.first_fault = explain(item.in, {}, first);
            }
        }
        if (options.warnings != nullptr && !machine_.warnings.empty()) {
            add_warnings(*options.warnings, machine_.warnings);
        }
        if (options.want_packets) {
            const size_t before = out_.size();
            context_->packet_after(machine_, out_);
            places.emplace_back(before, out_.size() - before);
        }
        if (is_redirected(machine_, item)) [[unlikely]] {
            std::optional<Fault> fault;
            if (!run_second_of(machine_, item, fault, options.warnings)) {
                machine_.end_run();
                break;
            }
            if (fault && options.first_fault != nullptr && !*options.first_fault) {
                *options.first_fault = std::move(fault);
            }
        }
        machine_.end_run();
        ++done;
    }
    for (size_t i = 0; i < places.size(); ++i) {
        items[i].out = ByteView(out_).subspan(places[i].first, places[i].second);
    }
    machine_.stop = nullptr;
    return done;
}

// -- Callbacks whose time has come --

void LoadedProgram::call_from_outside(const Code& entry, const AsyncCallback& what, uint64_t key) {
    const VmMap& map = *machine_.maps()[what.map];
    machine_.begin_run(entry);
    machine_.touched = true;
    machine_.regs[1] = make_addr(map.handle(), 0);
    machine_.regs[2] = key;
    machine_.regs[3] = map.open_window(machine_.regions, what.element);
    if (machine_.execute(machine_, entry, entry.op_of_slot[what.callback]) && machine_.regs[0] != 0) {
        machine_.fault(FaultKind::Strict,
                       "the callback returned " + std::to_string(machine_.regs[0]) + ", only 0 is allowed");
    }
    machine_.finish_run();
}

void LoadedProgram::run_callback(const AsyncCallback& what, AdvanceResult& result) {
    machine_.cpu = machine_.options.cpu;
    machine_.stop = nullptr;
    machine_.tracer = nullptr;
    machine_.execute = execute;
    const VmMap& map = *machine_.maps()[what.map];
    ByteVec bytes(map.key_size());
    map.copy_key(what.element, bytes.data());
    const auto once = [&](const Code& entry) {
        Region region;
        region.kind = RegionKind::MapKey;
        region.host = bytes.data();
        region.size = region.load_limit = map.key_size();
        region.readable = true;
        call_from_outside(entry, what, make_addr(machine_.regions.add(region), 0));
    };
    ++result.callbacks;
    once(fast_);
    if (machine_.pending) {
        const PendingFault first = *machine_.pending;
        result.faults.push_back(explain_by(first, once));
    }
    add_warnings(result.warnings, machine_.warnings);
    result.log.insert(result.log.end(), machine_.log.begin(), machine_.log.end());
    machine_.end_run();
}

} // namespace mimicsh::vm
