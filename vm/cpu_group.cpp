// SPDX-License-Identifier: MIT
// Spin locks between emulated CPUs.
#include "vm/cpu_group.h"

#include "vm/machine.h"

namespace mimicsh::vm {

bool CpuGroup::acquire(Machine& machine, const void* lock) {
    while (true) {
        {
            const std::lock_guard guard(mutex_);
            if (held_.insert(lock).second) {
                return true;
            }
        }
        if (machine.stop != nullptr && machine.stop->load(std::memory_order_relaxed)) {
            machine.fault(FaultKind::Interrupted, "stopped from outside");
            return false;
        }
        pause_(machine);
    }
}

void CpuGroup::release(const void* lock) {
    const std::lock_guard guard(mutex_);
    held_.erase(lock);
}

} // namespace mimicsh::vm
