// SPDX-License-Identifier: MIT
// A program loaded into the kernel, and its test run.
#pragma once

#include <memory>
#include <span>

#include "base/fd.h"
#include "kernel/map.h"
#include "object/target.h"

namespace mimicsh::kernel {

class KernelProgram final : public Program {
  public:
    /// Puts map descriptors into the linked instructions and loads them. A refusal by the verifier has the
    /// reason and the source line in the text and the whole log in Error::log.
    [[nodiscard]] static Expected<std::unique_ptr<KernelProgram>>
    load(LinkedProgram linked, std::span<const std::unique_ptr<KernelMap>> maps, int btf_fd);

    [[nodiscard]] const LinkedProgram& linked() const override { return linked_; }
    [[nodiscard]] Expected<RunResult> run(ByteView packet, const RunOptions& options) override;
    [[nodiscard]] Expected<size_t> run_batch(std::span<BatchItem> items,
                                             const BatchOptions& options) override;

    [[nodiscard]] int fd() const { return fd_.get(); }

  private:
    KernelProgram(LinkedProgram linked, Fd fd) : linked_(std::move(linked)), fd_(std::move(fd)) {}

    LinkedProgram linked_;
    Fd fd_;
    ByteVec out_;
};

} // namespace mimicsh::kernel
