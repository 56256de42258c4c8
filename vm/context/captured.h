// SPDX-License-Identifier: MIT
// Replaying helper calls that were recorded elsewhere, in place of emulating them.
#pragma once

#include <map>
#include <memory>
#include <variant>
#include <vector>

#include "object/target.h"

namespace mimicsh::vm {

class Machine;

/// What a call left in one register: a number, or bytes in the memory that the register points to.
struct RecordedValue {
    uint8_t reg = 0; ///< 0 to 9
    std::variant<uint64_t, ByteVec> value;
};

/// Results of the calls of a run by helper, each helper's in order.
using RecordedCalls = std::map<uint32_t, std::vector<std::vector<RecordedValue>>>;

/// A recording and how far a run has come in it.
class Replay {
  public:
    explicit Replay(RecordedCalls calls) : calls_(std::move(calls)) {}
    /// Begins again: a run starts.
    void rewind() { taken_.clear(); }
    /// The next recorded call of a helper, null when none is left.
    [[nodiscard]] const std::vector<RecordedValue>* next(uint32_t helper);

  private:
    RecordedCalls calls_;
    std::map<uint32_t, size_t> taken_;
};

/// Helpers whose calls may be replayed: they change nothing but their results. Strict mode refuses those of
/// them that are not emulated; permissive mode loads them, and a call that no record answers faults.
[[nodiscard]] bool is_replayable(uint32_t helper);

/// Runs of the instance's programs take results from the recording from now on; null ends that. ENOTSUP when
/// it is no instance of the vm.
[[nodiscard]] Status set_replay(Instance& instance, const std::shared_ptr<Replay>& replay);

/// What such programs call: the record's results, or the helper itself when none is left.
[[nodiscard]] uint64_t replayed_call(Machine& machine, const uint64_t* args);

} // namespace mimicsh::vm
