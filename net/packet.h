// SPDX-License-Identifier: MIT
// A packet: owned bytes plus the list of headers found or put there, with typed access to their fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "net/layout.h"

namespace mimicsh::net {

/// A field's value. Reading gives uint64_t for numbers and flags, text for addresses and options, bytes for
/// kBytes. Setting takes any that makes sense: numbers, names ("tcp"), flags ("syn,ack"), addresses, option
/// lists ("mss=1460,nop,wscale=7"), raw bytes of the field's size. In a kBytes field text is taken as bytes.
using FieldValue = std::variant<uint64_t, ByteVec, std::string>;

/// Longest packet that is built; what capture files hold at most.
inline constexpr size_t kMaxBuiltPacket = 262144;

/// One header inside a packet. Offsets are bytes from the start of the packet.
struct Layer {
    Protocol protocol = Protocol::kEth;
    uint32_t offset = 0;
    uint32_t size = 0;            ///< of the header, options included
    uint32_t end = 0;             ///< where this header's payload ends (bytes after that are padding)
    uint32_t explicit_fields = 0; ///< bit per field: written by the user, not filled again by a change
};

class Packet {
  public:
    Packet() = default;
    /// Bytes without any header: one payload.
    explicit Packet(ByteVec payload) : bytes_(std::move(payload)) {}
    /// For builder and dissector: layers lie one behind the other inside bytes.
    Packet(ByteVec bytes, std::vector<Layer> layers, std::string note = {});

    [[nodiscard]] const ByteVec& bytes() const { return bytes_; }
    [[nodiscard]] size_t size() const { return bytes_.size(); }
    [[nodiscard]] const std::vector<Layer>& layers() const { return layers_; }
    /// What follows the last header, without padding.
    [[nodiscard]] ByteView payload() const;
    /// What follows the end that the headers' length fields give (Ethernet padding).
    [[nodiscard]] ByteView padding() const;
    /// Why dissecting stopped before the payload it expected ("tcp: header needs 20 bytes, 7 are left");
    /// empty otherwise.
    [[nodiscard]] const std::string& note() const { return note_; }

    /// Index of the nth layer (from 0) of a protocol.
    [[nodiscard]] std::optional<size_t> find(Protocol protocol, size_t nth = 0) const;
    /// Header bytes of a layer.
    [[nodiscard]] ByteView header(size_t layer) const;

    /// Reads a field by its name. Fails on a layer that is not there (ENOENT) and on an unknown name (EINVAL,
    /// with the names as hint).
    [[nodiscard]] Expected<FieldValue> get(size_t layer, std::string_view field) const;
    /// An optional field that is not there reads as no bytes (text: "").
    [[nodiscard]] FieldValue get(size_t layer, const Field& field) const;
    /// The field where it lies in the layer's header; nothing for an optional one that is not there.
    [[nodiscard]] std::optional<Field> placed(size_t layer, const Field& field) const;
    /// The value as show() prints it: names, flags, addresses, hexadecimal.
    [[nodiscard]] std::string text(size_t layer, const Field& field) const;

    /// Writes a field. A value out of range is refused with the range. Changing options or routing data moves
    /// what follows. Lengths and checksums that the user never wrote are filled again; those of a dissected
    /// packet stay as they are until fix(). Writing an optional field, or the flag that says it is there,
    /// makes it appear; no bytes (or "") remove it. Which headers there are does not change: dissect again
    /// for that.
    [[nodiscard]] Status set(size_t layer, std::string_view field, const FieldValue& value);
    /// Replaces the payload, with the same effects. Refused above kMaxBuiltPacket (EMSGSIZE).
    [[nodiscard]] Status set_payload(ByteView payload);

    /// Recomputes all lengths, header lengths and checksums, explicit ones too. The checksum of a transport
    /// header in an IP fragment and a UDP checksum of 0 in a dissected IPv4 packet are left alone.
    void fix();
    /// Whether the nearest IP header below a layer is IPv6, where a UDP checksum must not be 0.
    [[nodiscard]] bool is_over_ip6(size_t layer) const;
    /// A fixed copy: what would be sent.
    [[nodiscard]] Packet wire() const;
    /// The checksum a layer should have; nothing where the layer has none or is cut off or a fragment.
    [[nodiscard]] std::optional<uint16_t> expected_checksum(size_t layer) const;

    friend bool operator==(const Packet& a, const Packet& b) { return a.bytes_ == b.bytes_; }

  private:
    friend Expected<Packet> stack(const Packet& below, const Packet& above);
    friend Expected<Packet> pad(const Packet& packet, ByteView padding);

    [[nodiscard]] Expected<const Field*> lookup(size_t layer, std::string_view field, const char* op) const;
    [[nodiscard]] Expected<ByteVec> encode(const ProtocolLayout& layout, const Field& field,
                                           const FieldValue& value) const;
    void resize_header(size_t layer, size_t new_size);
    [[nodiscard]] Status set_records(size_t layer, const Field& field, const FieldValue& value);
    void set_presence(size_t layer, unsigned flag_bit, bool is_on);
    void set_rest(size_t layer, const Field& field, ByteView bytes, size_t new_size);
    void fill_next(size_t layer);
    void fill(bool is_forced);
    void fill_lengths(bool is_forced);
    void fill_checksums(bool is_forced);
    [[nodiscard]] uint64_t role_value(size_t layer, FieldRole role) const;
    [[nodiscard]] bool is_inside_fragment(size_t layer) const;
    [[nodiscard]] std::optional<size_t> ip_below(size_t layer) const;
    [[nodiscard]] std::optional<uint16_t> compute_checksum(size_t layer) const;
    [[nodiscard]] std::optional<uint64_t> pseudo_sum(size_t layer, uint32_t length) const;

    ByteVec bytes_;
    std::vector<Layer> layers_;
    std::string note_;
};

} // namespace mimicsh::net
