// SPDX-License-Identifier: MIT
// An attachment that is a bpf_link: the kernel ends it with its last descriptor.
#pragma once

#include "base/fd.h"
#include "kernel/link.h"

namespace mimicsh::kernel {

class BpfLink final : public Link {
  public:
    BpfLink(Fd fd, LinkInfo info);
    ~BpfLink() override;

    [[nodiscard]] bool is_attached() const override;
    [[nodiscard]] Status detach() override;
    [[nodiscard]] Status update(Program& program) override;
    [[nodiscard]] Status pin(const std::string& path) override;

  private:
    Fd fd_;
};

/// Whether a link of this id was made by this process and is attached.
[[nodiscard]] bool is_own_link(uint32_t link_id);

} // namespace mimicsh::kernel
