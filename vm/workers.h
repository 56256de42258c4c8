// SPDX-License-Identifier: MIT
// Replay on several emulated CPUs at the same time: maps shared with atomic operations as the kernel's,
// values of per-CPU maps each CPU's own.
#pragma once

#include <condition_variable>
#include <memory>
#include <thread>
#include <vector>

#include "vm/cpu_group.h"
#include "vm/machine.h"
#include "vm/program.h"

namespace mimicsh::vm {

/// ENOTSUP by name for a map that several emulated CPUs cannot share.
[[nodiscard]] Status check_shared_maps(const Machine& machine, const char* op, const char* hint);

/// A pool of threads, one emulated CPU each (CPU 0 among them). Packets are spread by addresses and ports, as
/// a card's queues spread them: those of a flow stay in order, those of different flows do not.
class Workers {
  public:
    /// ENOTSUP for maps that cannot be shared, EINVAL for more workers than the vm has CPUs.
    [[nodiscard]] static Expected<std::unique_ptr<Workers>> create(LoadedProgram& program, Machine& main,
                                                                   uint32_t count);
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(cpus_.size()); }
    /// Runs all items; returns how many of the first ones were run when `stop` was set.
    [[nodiscard]] size_t run(std::span<BatchItem> items, const BatchOptions& options);

  private:
    struct Cpu {
        std::unique_ptr<Machine> machine;
        std::thread thread;
        std::vector<uint32_t> items; ///< of the batch, by index
        BatchOutput output;
        size_t done = 0; ///< of `items`
    };

    Workers(LoadedProgram& program)
        : program_(program), group_([](Machine&) { std::this_thread::yield(); }) {}
    void work(Cpu& cpu);

    LoadedProgram& program_;
    CpuGroup group_;
    std::vector<std::unique_ptr<Cpu>> cpus_;
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t batch_ = 0; ///< number of the batch that is there
    uint32_t busy_ = 0;  ///< CPUs that have not finished it
    bool ends_ = false;
    std::span<BatchItem> items_;
    const BatchOptions* options_ = nullptr;
};

} // namespace mimicsh::vm
