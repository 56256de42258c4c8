// SPDX-License-Identifier: MIT
// One packet of which some fields change from copy to copy, with the checksums over them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/checksum.h"
#include "net/packet.h"

namespace mimicsh::net {

/// What a field does from copy to copy.
struct Variation {
    enum class Kind : uint8_t {
        kCounter, ///< from `first` by `step`, after `last` from the start again
        kRandom,  ///< anything from `first` to `last`
        kList,    ///< the values in turn
    };
    std::string field = {}; ///< "udp.sport", "ip#2.src"
    Kind kind = Kind::kCounter;
    std::optional<FieldValue> first = {}; ///< 0 when missing
    std::optional<FieldValue> last = {};  ///< all ones when missing
    uint32_t step = 1;
    std::vector<FieldValue> list = {};
};

/// The same in numbers: a field of 1, 2, 4 or 6 whole bytes.
struct VariedField {
    size_t offset = 0;
    size_t width = 0;
    Variation::Kind kind = Variation::Kind::kCounter;
    uint64_t first = 0;
    uint64_t span = 1; ///< how many values there are from `first` on, up to 2^48
    uint32_t step = 1;
    std::vector<uint64_t> list = {};
};

/// A checksum to be filled in: of the sum of what never changes, and of the varied fields it covers.
struct VariedChecksum {
    size_t offset = 0;
    uint16_t base = 0;               ///< ones' complement sum with the varied fields 0, in host order
    std::vector<size_t> fields = {}; ///< indices of VariedField
    size_t start = 0;                ///< where the sum begins: an odd distance to it swaps a field's bytes
    bool zero_is_ones = false;       ///< a result of 0 is sent as 0xffff (UDP)
};

class PacketTemplate {
  public:
    /// Checksums that are right in the packet stay right; others stay as they are. EINVAL for a field that is
    /// not there, that is not of 8, 16, 32 or 48 bits, that is itself such a checksum, or a value that it
    /// cannot have.
    [[nodiscard]] static Expected<PacketTemplate> make(const Packet& packet,
                                                       const std::vector<Variation>& variations);

    [[nodiscard]] const ByteVec& bytes() const { return bytes_; } ///< with the varied fields 0
    [[nodiscard]] const std::vector<VariedField>& fields() const { return fields_; }
    [[nodiscard]] const std::vector<VariedChecksum>& checksums() const { return checksums_; }

    /// Copy number `index`, from 0, in `into`, which is bytes() or an earlier copy. `random` is the state of
    /// the random fields.
    void write(uint64_t index, ByteSpan into, uint64_t& random) const;

  private:
    ByteVec bytes_;
    std::vector<VariedField> fields_;
    std::vector<VariedChecksum> checksums_;
};

} // namespace mimicsh::net
