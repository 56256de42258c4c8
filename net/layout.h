// SPDX-License-Identifier: MIT
// The protocol layout table: one description of every header for building, dissecting, showing and compiling.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace mimicsh::net {

enum class Protocol : uint8_t {
    kEth,
    kVlan,
    kArp,
    kIp,
    kIp6,
    kHopOpts,
    kRouting,
    kFragment,
    kDstOpts,
    kIcmp,
    kIcmp6,
    kUdp,
    kTcp,
    kGre,
    kVxlan,
    kDns,
};

enum class FieldKind : uint8_t {
    kUint,    ///< shown in decimal
    kHex,     ///< a number shown in hexadecimal
    kFlags,   ///< a number whose bits have names
    kMac,     ///< 48 bits, text "02:00:00:00:00:01"
    kIp4,     ///< 32 bits, text "192.0.2.1"
    kIp6,     ///< 128 bits, text "2001:db8::1"
    kBytes,   ///< the rest of the header as it is
    kOptions, ///< the rest of the header as a list of options (ProtocolLayout::options)
    kRecords, ///< a section of DNS records; all of them together are the rest of the header
};

/// What a field means to its own header. At most one field of a header has each role but kNone, kFixed and
/// kRecordCount.
enum class FieldRole : uint8_t {
    kNone,
    kFixed,        ///< must hold its default, else the bytes are not dissected as this protocol
    kHeaderLength, ///< header bytes = value * header_unit + header_base
    kLength,       ///< header and payload bytes = value + length_base
    kNextHeader,   ///< names the protocol that follows (ProtocolLayout::next)
    kNextPort,     ///< a port that may name it: the smaller of the two that ProtocolLayout::next knows does
    kOtherPort,    ///< the other port; never filled
    kRecordCount,  ///< records of a section; filled when the section is written
    kFragment,     ///< where not 0, the payload starts inside another packet's and is not dissected
    kMore,         ///< set: the payload goes on in another packet, its checksum cannot be checked
    kChecksum,
    kCount_,
};

enum class ByteOrder : uint8_t { kBig, kLittle };

struct NamedValue {
    uint64_t value; ///< for kFlags a mask
    std::string_view name;
};

struct Field {
    std::string_view name; ///< as in Lua: p.ip.ttl
    uint16_t bit_offset;   ///< from the start of the header, most significant bit first
    uint16_t bit_width;    ///< 0: from bit_offset to the end of the header (kBytes, kOptions)
    FieldKind kind;
    uint64_t default_value = 0;
    FieldRole role = FieldRole::kNone;
    std::span<const NamedValue> names = {}; ///< values (or flags) with names; accepted when setting
    std::string_view also = {};             ///< a second accepted name
    bool is_view = false; ///< overlaps other fields: can be read and set, is not shown or compared
    ByteOrder order = ByteOrder::kBig; ///< kLittle only for whole bytes
    /// Bit offset of the flag that says whether the field is there; -1: always. Such fields lie behind the
    /// minimal header one behind the other; bit_offset counts as if all of them were there.
    int8_t presence = -1;
    uint8_t section = 0;           ///< of kRecords and kRecordCount: which one, from 0
    std::string_view meaning = {}; ///< in a few words, for help
};

/// One kind of option inside a kOptions field.
struct OptionLayout {
    uint8_t kind;
    std::string_view name;
    bool is_single = false; ///< one byte, without length and data
    bool is_end = false;    ///< what follows is padding
    uint8_t width = 0;      ///< data is a list of integers of 1, 2 or 4 bytes; 0: hexadecimal bytes
};

struct NextHeader {
    uint64_t value;
    Protocol protocol;
};

enum class ChecksumRule : uint8_t {
    kNone,
    kHeader, ///< over the header alone
    kData,   ///< over header and payload
    kPseudo, ///< over an IP pseudo header, header and payload
};

struct ProtocolLayout {
    Protocol protocol;
    std::string_view name;   ///< as in Lua: pkt.ip
    std::string_view title;  ///< for people: "Internet Protocol version 4"
    std::string_view source; ///< what defines the header: "RFC 791 section 3.1"
    std::span<const Field> fields;
    uint16_t header_minimum; ///< bytes
    /// The header's size by its contents, 0 where the bytes cannot be this protocol; null: by fields.
    uint32_t (*measure)(ByteView bytes) = nullptr;
    uint8_t header_unit = 0; ///< bytes per step of the kHeaderLength field
    uint8_t header_base = 0;
    uint8_t length_base = 0; ///< bytes of this header that the kLength field does not count
    std::span<const NextHeader> next = {};
    std::optional<Protocol> always_next = {}; ///< what follows when no field names it
    std::span<const OptionLayout> options = {};
    bool option_length_has_head = true; ///< the length byte of an option counts kind and length bytes
    bool has_payload = true;            ///< false: what follows the header is padding
    ChecksumRule checksum = ChecksumRule::kNone;
    uint8_t ip_number = 0;          ///< next-header number for the pseudo header
    bool checksum_optional = false; ///< 0 means "not computed"; a computed 0 is sent as 0xffff
    std::string_view summary = {};  ///< what one line says of it: field names are replaced, other words kept
    std::array<int8_t, static_cast<size_t>(FieldRole::kCount_)> roles{}; ///< index into fields or -1
    bool has_optional = false;                                           ///< some field has a presence flag

    [[nodiscard]] const Field* with_role(FieldRole role) const {
        int index = roles[static_cast<size_t>(role)];
        return index < 0 ? nullptr : &fields[static_cast<size_t>(index)];
    }
};

/// Every protocol, in the order of the enum.
[[nodiscard]] std::span<const ProtocolLayout> protocols();
[[nodiscard]] const ProtocolLayout& layout_of(Protocol protocol);
/// By Lua name ("ip6"); nullptr when there is none.
[[nodiscard]] const ProtocolLayout* find_protocol(std::string_view name);
/// By name or second name; nullptr when there is none.
[[nodiscard]] const Field* find_field(const ProtocolLayout& layout, std::string_view name);
[[nodiscard]] size_t field_index(const ProtocolLayout& layout, const Field& field);

/// The protocol that a value of the kNextHeader field or a port names.
[[nodiscard]] std::optional<Protocol> find_next(const ProtocolLayout& layout, uint64_t value);
/// Bytes of a header that starts with these (header_minimum of them at least) by its presence flags.
[[nodiscard]] uint16_t header_size_by_flags(const ProtocolLayout& layout, const uint8_t* header);
/// The field where it lies in this header; nothing when its flag says that it is not there.
[[nodiscard]] std::optional<Field> place_field(const ProtocolLayout& layout, const uint8_t* header,
                                               const Field& field);

/// Reads a field of 1 to 64 bits; the header must cover it.
[[nodiscard]] uint64_t load_field(const uint8_t* header, const Field& field);
/// Writes a field of 1 to 64 bits; upper bits of value are cut off.
void store_field(uint8_t* header, const Field& field, uint64_t value);

} // namespace mimicsh::net
