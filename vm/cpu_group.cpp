// SPDX-License-Identifier: MIT
// Spin locks between emulated CPUs.
#include "vm/cpu_group.h"

#include <cerrno>

#include "vm/machine.h"

namespace mimicsh::vm {

bool CpuGroup::acquire(Machine& machine, const void* lock) {
    while (true) {
        {
            const std::lock_guard guard(mutex_);
            if (held_.emplace(lock, &machine).second) {
                return true;
            }
        }
        if (!wait(machine)) {
            return false;
        }
    }
}

/// The kernel's lock looks for its waiter among the locks of its holder alone; where CPUs wait for each other
/// in a longer circle, its time runs out (kernel/bpf/rqspinlock.c).
int CpuGroup::acquire_resilient(Machine& machine, const void* lock) {
    while (true) {
        {
            const std::lock_guard guard(mutex_);
            waiting_.erase(&machine);
            const auto [place, is_free] = held_.emplace(lock, &machine);
            if (is_free) {
                return 0;
            }
            waiting_[&machine] = lock;
            const Machine* holder = place->second;
            for (size_t steps = 1; steps <= waiting_.size() && holder != nullptr; ++steps) {
                const auto next = waiting_.find(holder);
                const auto held = next == waiting_.end() ? held_.end() : held_.find(next->second);
                holder = held == held_.end() ? nullptr : held->second;
                if (holder == &machine) {
                    waiting_.erase(&machine);
                    return steps == 1 ? -EDEADLK : -ETIMEDOUT;
                }
            }
        }
        if (!wait(machine)) {
            const std::lock_guard guard(mutex_);
            waiting_.erase(&machine);
            return 0;
        }
    }
}

bool CpuGroup::wait(Machine& machine) {
    if (machine.stop != nullptr && machine.stop->load(std::memory_order_relaxed)) {
        machine.fault(FaultKind::Interrupted, "stopped from outside");
        return false;
    }
    pause_(machine);
    return true;
}

void CpuGroup::release(const void* lock) {
    const std::lock_guard guard(mutex_);
    held_.erase(lock);
}

} // namespace mimicsh::vm
