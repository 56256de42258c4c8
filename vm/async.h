// SPDX-License-Identifier: MIT
// Timers and work queues of map values (struct bpf_timer, struct bpf_wq): what is to run later, on the
// virtual clock. The field of the value holds the id.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>

#include "vm/journal.h"

namespace mimicsh::vm {

class LoadedProgram;

/// One timer or work item. Plain bytes, so that the journal can bring it back.
struct AsyncCallback {
    enum class Kind : uint8_t { Free, Timer, Work };
    Kind kind = Kind::Free;
    bool armed = false;
    uint8_t clock = 0; ///< CLOCK_REALTIME 0, MONOTONIC 1, BOOTTIME 7
    uint32_t map = 0;  ///< index in the instance
    uint32_t element = 0;
    LoadedProgram* program = nullptr; ///< null: no callback was set
    uint32_t callback = 0;            ///< slot of the function in the program
    uint64_t expires = 0;             ///< armed: ns of the virtual clock
    uint64_t order = 0;               ///< armed: of several for one moment the lower one is first
    uint32_t next_free = 0;
};

/// All of an instance. Ids count from 1; a null journal means that no run is being recorded.
class AsyncTable {
  public:
    [[nodiscard]] uint32_t create(const AsyncCallback& what, Journal* journal);
    /// Remembers the entry for the journal and gives it for changing.
    [[nodiscard]] AsyncCallback& change(uint32_t id, Journal* journal);
    [[nodiscard]] const AsyncCallback& at(uint32_t id) const { return all_[id - 1]; }
    void arm(uint32_t id, uint64_t expires, Journal* journal);
    void release(uint32_t id, Journal* journal);

    /// Whether nothing expires up to that moment: then there is nothing to collect.
    [[nodiscard]] bool is_idle(uint64_t until) const { return until < earliest_; }
    /// Puts everything armed in order; `next_due` needs it, and that `advancing` is set from here on.
    void collect();
    /// Disarms and gives the first that expires up to that moment; what was armed since `collect` counts too.
    [[nodiscard]] std::optional<uint32_t> next_due(uint64_t until);
    /// After the last of `next_due`.
    void finish() { earliest_ = due_.empty() ? UINT64_MAX : due_.begin()->expires; }

    uint32_t running = 0;   ///< timer whose callback runs
    bool advancing = false; ///< `collect` was called, and callbacks run

  private:
    struct Due {
        uint64_t expires = 0;
        uint64_t order = 0;
        uint32_t id = 0;
        friend auto operator<=>(const Due&, const Due&) = default;
    };
    /// Bookkeeping that the journal keeps like an entry.
    struct Head {
        uint64_t free = 0; ///< first of the free entries, 0 = none
        uint64_t next_order = 0;
    };
    void note(void* bytes, uint32_t size, Journal* journal);

    std::deque<AsyncCallback> all_; ///< never moves
    Head head_;
    std::set<Due> due_;              ///< may hold what was disarmed since
    uint64_t earliest_ = UINT64_MAX; ///< nothing that is armed expires before; a run that is taken back may
                                     ///< leave it too low
};

} // namespace mimicsh::vm
