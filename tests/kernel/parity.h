// SPDX-License-Identifier: MIT
// One object loaded into both targets: runs, maps and errors must be the same on the emulator and on the
// kernel.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "object/align.h"
#include "object/target.h"
#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

/// Fixture: skips with the reason where programs cannot be loaded into the kernel.
class ParityTest : public testing::Test {
  protected:
    void SetUp() override;
    /// The emulator's side of `open`.
    [[nodiscard]] virtual Expected<std::unique_ptr<Instance>>
    load_on_vm(const std::shared_ptr<const Object>& object, const vm::Options& options);
    /// Loads into both; fails the test when one refuses.
    void open(std::shared_ptr<const Object> object, const vm::Options& options = {});
    /// The same, but calls that differ by nature give on the kernel what they gave on the emulator.
    void open_aligned(const std::shared_ptr<const Object>& object, const vm::Options& options = {});
    /// Compiles tests/cases/parity/NAME.bpf.c and loads it.
    void open_case(const std::string& name);
    [[nodiscard]] bool ready() const { return vm_ != nullptr && kernel_ != nullptr; }

    /// Puts arguments into the `io` block of both sides (its results become 0).
    void set_args(const std::vector<uint64_t>& args);
    /// Runs one program on one packet on both and compares everything that a run shows, maps included.
    /// Returns the kernel's result.
    RunResult run_both(const std::string& program, ByteView packet, const RunOptions& options = {});
    /// The same without the maps, for programs that store what differs by nature.
    RunResult run_both_apart_from_maps(const std::string& program, ByteView packet,
                                       const RunOptions& options = {});
    /// Result `at` of the last run on the kernel.
    [[nodiscard]] uint64_t result(size_t at);
    /// Compares the contents of all maps.
    void expect_same_maps();

    std::unique_ptr<Instance> vm_;
    std::unique_ptr<Instance> kernel_;
    AlignedObject aligned_; ///< what the kernel has loaded, after open_aligned
};

/// The suite's name is the support table's.
class HelperParity : public ParityTest {};

/// Pins the thread to CPU 0, whose number is the emulator's default: it differs by nature.
class OnFirstCpu {
  public:
    OnFirstCpu();
    ~OnFirstCpu();
    OnFirstCpu(const OnFirstCpu&) = delete;
    OnFirstCpu& operator=(const OnFirstCpu&) = delete;
    [[nodiscard]] bool pinned() const { return pinned_; }

  private:
    cpu_set_t before_{};
    bool pinned_ = false;
};

/// The kernel target, for objects of a single test.
[[nodiscard]] std::unique_ptr<Target> kernel_target();

/// Words in the io block: arguments first, then results (tests/cases/parity/io.h).
inline constexpr size_t kIoArgs = 8, kIoResults = 56;

} // namespace mimicsh::test
