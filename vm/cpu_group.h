// SPDX-License-Identifier: MIT
// Emulated CPUs that share the maps of an instance: what they must not do at the same time.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>

namespace mimicsh::vm {

class Machine;

/// CPUs run at the same time (workers of a replay) or take turns instruction by instruction (a race).
class CpuGroup {
  public:
    /// `pause` lets others go on while a CPU waits for a lock.
    explicit CpuGroup(std::function<void(Machine&)> pause) : pause_(std::move(pause)) {}

    /// Held by helpers that look at or change the structure of maps, where CPUs run at the same time; not
    /// while they call back.
    std::mutex maps;
    /// The CPU whose helper holds it.
    std::atomic<const Machine*> inside = nullptr;

    /// Takes the bpf_spin_lock at a host address; waits while another CPU has it. False: the run was stopped.
    [[nodiscard]] bool acquire(Machine& machine, const void* lock);
    /// The same for a bpf_res_spin_lock, which is not waited for when that would have no end: 0, -EDEADLK
    /// when its holder waits for a lock of this CPU, -ETIMEDOUT when it does by way of others.
    [[nodiscard]] int acquire_resilient(Machine& machine, const void* lock);
    void release(const void* lock);

  private:
    [[nodiscard]] bool wait(Machine& machine);

    std::function<void(Machine&)> pause_;
    std::mutex mutex_;
    std::map<const void*, const Machine*> held_;    ///< locks, and who has them
    std::map<const Machine*, const void*> waiting_; ///< CPUs, and the resilient locks that they wait for
};

} // namespace mimicsh::vm
