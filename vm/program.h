// SPDX-License-Identifier: MIT
// A program loaded into the vm.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>

#include "object/target.h"
#include "vm/analysis.h"
#include "vm/code.h"
#include "vm/context/captured.h"
#include "vm/context/context.h"
#include "vm/decode.h"
#include "vm/machine.h"

namespace mimicsh::vm {

class Workers;

/// What one of several CPUs keeps of a batch.
struct BatchOutput {
    struct Place {
        uint32_t item = 0;
        size_t begin = 0; ///< in `packets`
        size_t size = 0;
    };
    ByteVec packets; ///< back to back
    std::vector<Place> places;
    std::optional<Fault> fault; ///< the first
    uint32_t fault_item = 0;
    std::vector<Warning> warnings;
};

class LoadedProgram final : public Program {
  public:
    LoadedProgram(LinkedProgram linked, Machine& machine);
    ~LoadedProgram() override;

    [[nodiscard]] const LinkedProgram& linked() const override { return linked_; }
    [[nodiscard]] Expected<RunResult> run(ByteView packet, const RunOptions& options) override;
    [[nodiscard]] Expected<size_t> run_batch(std::span<BatchItem> items,
                                             const BatchOptions& options) override;
    [[nodiscard]] Expected<RaceReport> race(const RaceOptions& options) override;

    // -- On other emulated CPUs --
    /// Code for CPUs that run at the same time; ENOTSUP by name for what they cannot do together.
    [[nodiscard]] Expected<const Code*> shared_code(const Machine& machine);
    /// One run with default context. The machine's state stays readable until its end_run.
    void run_on(Machine& machine, ByteView packet, const Code& entry);
    /// Runs the items with these indices; `done` counts them.
    void run_shared(Machine& machine, std::span<BatchItem> items, std::span<const uint32_t> mine,
                    const BatchOptions& options, BatchOutput& output, size_t& done);

    /// Unlike that of any other program that this process has loaded into the vm; from 1.
    [[nodiscard]] uint32_t id() const { return id_; }
    /// What the program gets in r1; null for a type that the vm has no context for (permissive mode).
    [[nodiscard]] const ContextKind* context() const { return context_; }

    /// Decodes for the fast interpreter: at load, and again when a map was replaced. Refusals name the source
    /// line.
    [[nodiscard]] Status prepare();
    /// Code for the fast interpreter, or (decoded on first use) for the traced one, for replayed calls or for
    /// recording inputs.
    [[nodiscard]] const Code& code(bool traced);

    /// Runs a function of the program as the callback of a timer or work item whose time has come.
    void run_callback(const AsyncCallback& what, AdvanceResult& result);

    /// Runs take results of helper calls from a recording; null = no longer.
    void set_replay(std::shared_ptr<Replay> replay) { replay_ = std::move(replay); }
    [[nodiscard]] Replay* replay() const { return replay_.get(); }

  private:
    /// Refuses options of a run that programs of the type have no use for.
    [[nodiscard]] Status check_given(const RunOptions& options) const;
    [[nodiscard]] Expected<RunResult> run_checked(ByteView packet, const RunOptions& options);
    /// Makes the program the owner of the prog arrays, device and CPU maps that it uses and that have none;
    /// an error when they are for programs of another kind.
    [[nodiscard]] Status claim_maps();
    /// Whether a run whose state is still there sends the packet to a target.
    [[nodiscard]] bool is_redirected(const Machine& machine, const BatchItem& item) const;
    /// A target of a redirect, and the program that the map has for it.
    struct Exit;
    [[nodiscard]] static std::vector<Exit> exits_of(const Machine& machine, const Redirect& redirect);
    /// Code of a target's program; null: a fault is pending.
    using CodeOf = std::function<const Code*(LoadedProgram& program)>;
    /// Called when such a program has run, while the machine's state is readable. False: no more of them.
    using AfterExit = std::function<bool(const Exit& exit)>;
    /// Sends the packet as it lies there where a redirect leads to: runs the targets' programs, each on the
    /// packet as it came, and goes on where one on a CPU redirects to. Context and CPU are then no longer the
    /// first program's. `egress`, when given, grows by the targets. False: `after` said so.
    bool follow(Machine& machine, Redirect redirect, const CodeOf& code_of, const AfterExit& after,
                std::vector<Emitted>* egress);
    static void run_second(Machine& machine, const Exit& exit, const Code& entry);
    /// Fills `egress` after a run, whose packet still lies there, and what programs of targets add.
    void send(RunResult& result);
    void send_redirected(RunResult& result);
    /// The same for one of many packets, after a run that redirects, whose state is still there; puts default
    /// context and CPU back. Fills the item's `second`, `others` and `faulted`, and `fault`. False:
    /// interrupted.
    [[nodiscard]] bool run_second_of(Machine& machine, BatchItem& item, std::optional<Fault>& fault,
                                     std::vector<Warning>* warnings);
    /// ENOTSUP when programs would run on CPUs that have workers of their own.
    [[nodiscard]] Status refuse_shared_cpus() const;
    /// Made for a device or CPU map, and so without a test run of its own.
    [[nodiscard]] bool runs_in_map() const;
    /// Begins a run on the packet that is in.
    void start_run(Machine& machine, const Code& entry);
    /// Runs again from the start with the tracer to write the report; the maps end as the first run left
    /// them.
    [[nodiscard]] Fault explain(ByteView packet, ByteView context, const PendingFault& first);
    /// The same for any kind of run; `again` runs the code from its start.
    [[nodiscard]] Fault explain_by(const PendingFault& first, const std::function<void(const Code&)>& again);
    void call_from_outside(const Code& entry, const AsyncCallback& what, uint64_t key);
    [[nodiscard]] Analysis analyse_linked() const;
    [[nodiscard]] DecodeOptions decode_options(bool traced) const;
    static inline std::atomic<uint32_t> last_id_{0};
    uint32_t id_ = ++last_id_;
    LinkedProgram linked_;
    Machine& machine_;
    const ContextKind* context_;
    Analysis analysis_; ///< as it was at load: the host may change what it read of constant data
    Code fast_;
    std::array<Code, 4> others_; ///< sum of traced 1, replaying 2
    Code shared_;
    std::unique_ptr<Workers> workers_; ///< of the last replay with workers
    std::shared_ptr<Replay> replay_;
    ByteVec out_; ///< packets of the last batch, back to back
};

/// Ends a run on one of several CPUs: others must not wait for a lock that it, or its exception callback,
/// forgot.
void finish_run(Machine& machine);

/// Adds warnings to those already there, once per site.
void add_warnings(std::vector<Warning>& all, const std::vector<Warning>& more);

/// Code that a tail call with the current r2 and r3 goes to; null = falls through (kernel/bpf/core.c).
[[nodiscard]] const Code* tail_call_target(Machine& machine, bool traced);

} // namespace mimicsh::vm
