// SPDX-License-Identifier: MIT
// Running tshark over a capture file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mimicsh::net {

/// One packet per row, one column per field name; several occurrences in a column.
[[nodiscard]] std::vector<std::vector<std::vector<std::string>>>
tshark_fields(const std::string& path, const std::vector<std::string>& fields);

/// A field where tshark sees it in a packet.
struct TsharkField {
    std::string name;
    uint32_t place = 0; ///< first byte, from the start of the packet
    uint32_t size = 0;
    std::string show;  ///< the value as people read it; of a protocol its title
    std::string bytes; ///< hexadecimal; of fields that are part of a byte their value
};
using TsharkPacket = std::vector<TsharkField>;

/// All packets with those fields (and protocols) whose name `is_wanted`, in tshark's order. Fields that
/// tshark hides, as they repeat another, are left out.
[[nodiscard]] std::vector<TsharkPacket>
tshark_packets(const std::string& path, const std::function<bool(std::string_view name)>& is_wanted);

} // namespace mimicsh::net
