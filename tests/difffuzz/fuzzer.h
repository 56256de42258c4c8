// SPDX-License-Identifier: MIT
// One case after another on both sides.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tests/difffuzz/generate.h"
#include "tests/difffuzz/sides.h"
#include "tests/difffuzz/statistics.h"

namespace mimicsh::difffuzz {

/// Pins this thread, so that per-CPU maps mean the same on both sides: to the CPU wanted, or the last allowed
/// one when that is negative. Returns the CPU, -1 on failure.
[[nodiscard]] int pin(int wanted);

class Fuzzer {
  public:
    enum class Verdict : uint8_t { Equal, Refused, Different };

    /// `cpu`: where this thread is pinned to. `helpers` replace the vm's own, to see a difference found.
    Fuzzer(const Shape& shape, std::unique_ptr<KernelSide> kernel, uint32_t cpu, vm::UserHelpers helpers = {})
        : shape_(shape), kernel_(std::move(kernel)), vm_(cpu, std::move(helpers)) {}

    /// Runs the case of a seed and counts it. `text`: the kernel's refusal, or what differs.
    [[nodiscard]] Verdict run(uint64_t seed, std::string& text);
    /// Shrinks the case of a seed that differs; its listing, and with `with_bisect` the first instruction
    /// that differs and a trace of the vm.
    [[nodiscard]] std::string explain(uint64_t seed, bool with_bisect);

    [[nodiscard]] const Statistics& statistics() const { return statistics_; }
    /// Programs per second since construction, and where the time went.
    [[nodiscard]] std::string rate() const;

  private:
    /// Runs a case on both sides. Nothing: the kernel refused it.
    [[nodiscard]] std::optional<std::string> difference(const Case& which);

    Shape shape_;
    std::unique_ptr<KernelSide> kernel_;
    VmSide vm_;
    Outcome here_;
    Outcome there_;
    /// Puts what the kernel runs into `for_kernel_`; false when that cannot be linked.
    [[nodiscard]] bool link_for_kernel(const Case& which);
    [[nodiscard]] bool shows_no_pointer(const Case& which);
    [[nodiscard]] bool probe_differs(const Case& probed);

    LinkedProgram own_; ///< of a case that the vm refuses, or with aligned inputs
    const LinkedProgram* linked_ = nullptr;
    const LinkedProgram* for_kernel_ = nullptr;
    std::optional<AlignedObject> aligned_;
    Case case_; ///< run last
    Statistics statistics_;
    Stopwatch watch_;
    uint64_t began_ = now_ns();
    uint64_t cpu_began_ = cpu_ns();
    uint64_t generate_ns_ = 0;
    uint64_t align_ns_ = 0;
    uint64_t compare_ns_ = 0;
};

} // namespace mimicsh::difffuzz
