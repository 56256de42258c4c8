// SPDX-License-Identifier: MIT
// Comparing what the dissector found with tshark's fields.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/packet.h"

namespace mimicsh::net {

/// One packet of tshark's: a cell per column, several occurrences in a cell.
using TsharkRow = std::vector<std::vector<std::string>>;

/// All packets of a capture file, with the columns that compare_with_tshark needs.
[[nodiscard]] std::vector<TsharkRow> tshark_rows(const std::string& path);
/// A column by tshark's name.
[[nodiscard]] const std::vector<std::string>& tshark_column(const TsharkRow& row, std::string_view name);

struct FieldDiffers {
    std::string field; ///< tshark's name
    std::string ours;
    std::string theirs;
    bool is_surplus = false; ///< tshark has more of it than we
    bool is_quoted = false;  ///< in a packet that an ICMP error quotes
};

struct TsharkComparison {
    size_t fields = 0;         ///< values compared
    size_t good_checksums = 0; ///< both say that they are right
    std::vector<FieldDiffers> differences;
};

/// Every field of every header, of the packets that ICMP errors quote too, records of DNS, and checksums.
[[nodiscard]] TsharkComparison compare_with_tshark(const Packet& packet, const TsharkRow& row);

/// "layer.field" of all fields of the table that have no counterpart in tshark.
[[nodiscard]] std::vector<std::string> fields_without_counterpart();

} // namespace mimicsh::net
