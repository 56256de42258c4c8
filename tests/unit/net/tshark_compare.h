// SPDX-License-Identifier: MIT
// Comparing what the dissector found with what tshark shows at the same place.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "net/packet.h"
#include "tests/unit/net/tshark.h"

namespace mimicsh::net {

/// A packet as dissected, or one that an ICMP error in it quotes, `base` bytes from the start of the frame.
struct FramePart {
    Packet packet;
    uint32_t base = 0;
};
/// The packet and those that ICMP errors quote.
[[nodiscard]] std::vector<FramePart> frame_parts(ByteView frame);

/// How a value of ours and one of tshark's are told equal.
enum class ValueForm : uint8_t {
    kNumber,
    kText,
    kBytes,  ///< tshark's raw bytes in hexadecimal
    kStatus, ///< 1 a good checksum, 0 a bad one; where tshark says neither nothing is compared
};

/// A value of ours with tshark's name for it.
struct OurValue {
    std::string name;
    uint32_t place = 0; ///< byte in the frame
    std::string text;   ///< a number in decimal
    ValueForm form = ValueForm::kNumber;
    unsigned shift = 0; ///< of tshark's number, which is cut to `width` bits (0: all) and divided by `unit`
    unsigned width = 0;
    unsigned unit = 1;
    bool is_optional = false; ///< compared where tshark shows something at all
};

/// What options, routing data and DNS records of a layer hold; `place` is the header's in the frame.
void add_contents(const Packet& packet, size_t layer, uint32_t place, std::vector<OurValue>& values);
/// tshark's names that add_contents may give.
[[nodiscard]] bool is_content(std::string_view name);

/// Where tshark shows a header's field by that name; nothing for other names and fields without a fixed
/// place.
struct HeaderPlace {
    Protocol protocol;
    uint32_t at;
};
[[nodiscard]] std::optional<HeaderPlace> place_in_header(std::string_view name);

enum class DifferenceKind : uint8_t {
    kValue,
    kMissing, ///< tshark shows nothing there
    kSurplus, ///< tshark alone shows it
};
struct FieldDiffers {
    DifferenceKind kind = DifferenceKind::kValue;
    std::string name; ///< tshark's
    uint32_t place = 0;
    std::string ours;
    std::string theirs;
};

std::ostream& operator<<(std::ostream& out, const FieldDiffers& difference);

struct TsharkComparison {
    size_t fields = 0;         ///< values compared
    size_t good_checksums = 0; ///< both say that they are right
    std::vector<FieldDiffers> differences;
};

/// All packets of a capture file, with what compare_with_tshark needs.
[[nodiscard]] std::vector<TsharkPacket> tshark_rows(const std::string& path);

/// Every field of every header, contents of options and of DNS records, and checksums; each must be in the
/// other's packet at the same place.
[[nodiscard]] TsharkComparison compare_with_tshark(const std::vector<FramePart>& parts,
                                                   const TsharkPacket& theirs);

/// "layer.field" of all fields of the table that are not compared.
[[nodiscard]] std::vector<std::string> fields_without_counterpart();

} // namespace mimicsh::net
