// SPDX-License-Identifier: MIT
// Helpers that the embedder gives, in place of ours or beside them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh::vm {

class Machine;
struct UserCall;

/// One call of such a helper: its arguments, and the guest's memory through the checks that programs go
/// through. A refused access is a fault of the run, and the helper's result no longer counts.
class HelperCall {
  public:
    HelperCall(Machine& machine, UserCall& record, const uint64_t* args);

    [[nodiscard]] const std::array<uint64_t, 5>& args() const { return args_; }
    /// `size` bytes at a guest address; nothing when the run has faulted.
    [[nodiscard]] std::optional<ByteVec> read(uint64_t addr, uint64_t size);
    /// False when the run has faulted.
    [[nodiscard]] bool write(uint64_t addr, ByteView bytes);
    /// Whether `read` or `write` would be allowed; asking is no fault.
    [[nodiscard]] bool can_access(uint64_t addr, uint64_t size, bool writes);

  private:
    Machine& machine_;
    UserCall& record_;
    std::array<uint64_t, 5> args_{};
};

/// Gives r0, or an error that ends the run as a fault with its text.
using UserHelper = std::function<Expected<uint64_t>(HelperCall& call)>;
/// By helper id.
using UserHelpers = std::map<uint32_t, UserHelper>;

} // namespace mimicsh::vm
