// SPDX-License-Identifier: MIT
// What programs in the kernel print (bpf_printk), in a buffer of our own.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/journal.h"

namespace mimicsh::kernel {

/// A tracing instance of the kernel that gets what programs print from now on. The machine's own trace pipe,
/// its switch and its readers are left alone. Where tracefs is not mounted it is mounted in a namespace that
/// nobody else sees.
class TracePipe {
  public:
    [[nodiscard]] static Expected<std::unique_ptr<TracePipe>> open();
    /// Removes the instance.
    ~TracePipe();
    TracePipe(const TracePipe&) = delete;
    TracePipe& operator=(const TracePipe&) = delete;
    /// Read without waiting: EAGAIN while it is empty.
    [[nodiscard]] int fd() const { return pipe_.get(); }

  private:
    TracePipe() = default;
    [[nodiscard]] Status make();
    void remove();
    friend struct OpenPipes;
    Fd instances_; ///< the folder
    Fd pipe_;
    std::string name_;
    uint64_t entry_ = 0; ///< in the journal; 0 = none
};

/// Removes the instance that an entry names. Returns a line that says what became of it.
[[nodiscard]] std::string undo_trace(const JournalEntry& entry);

} // namespace mimicsh::kernel
