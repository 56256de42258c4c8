// SPDX-License-Identifier: MIT
// Why tshark may say something else than the dissector about a damaged packet.
#pragma once

#include <string_view>

#include "tests/unit/net/tshark_compare.h"

namespace mimicsh::net {

/// The name of the reason as in docs/net.md; empty where there is none.
[[nodiscard]] std::string_view reason_of(ByteView frame, const std::vector<FramePart>& parts,
                                         const TsharkPacket& theirs, const FieldDiffers& difference);

} // namespace mimicsh::net
