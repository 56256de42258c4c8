// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7), on libpcap.
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/classic_bpf.h"
#include "base/error.h"
#include "net/pcap_file.h"

struct bpf_program; // of <pcap/pcap.h>, which stays out of headers: it clashes with <linux/bpf.h>

namespace mimicsh::net {

/// Where an expression stands, for messages: "name:line:column: reason".
struct FilterOrigin {
    std::string op = "pcap";
    std::string name = "filter";
    uint32_t line = 1; ///< of the expression's first character
    uint32_t column = 1;
};

/// An expression like "udp port 53", compiled for each link type it meets.
class PacketFilter {
  public:
    /// Compiles for that link type; EINVAL when the text is none, see filter_error. Names of hosts are looked
    /// up.
    [[nodiscard]] static Expected<PacketFilter> compile(const std::string& text, uint32_t link_type,
                                                        const FilterOrigin& origin = {});
    PacketFilter(PacketFilter&&) noexcept = default;
    PacketFilter& operator=(PacketFilter&&) noexcept = default;

    /// Whether it takes the packet. EINVAL when the expression has no meaning on that link type.
    [[nodiscard]] Expected<bool> matches(uint32_t link_type, const PacketRecord& packet);
    /// libpcap's instructions for the link type.
    [[nodiscard]] Expected<std::vector<ClassicInsn>> instructions(uint32_t link_type);

  private:
    struct Free {
        void operator()(bpf_program* program) const;
    };
    PacketFilter(std::string text, FilterOrigin origin)
        : text_(std::move(text)), origin_(std::move(origin)) {}
    [[nodiscard]] Expected<const bpf_program*> program(uint32_t link_type);

    std::string text_;
    FilterOrigin origin_;
    std::map<uint32_t, std::unique_ptr<bpf_program, Free>> programs_;
};

/// What libpcap has against the text; nothing when it compiles, then `program` is to be freed.
[[nodiscard]] std::optional<std::string> filter_complaint(const std::string& text, uint32_t link_type,
                                                          bpf_program& program);

/// The error for a text that libpcap refuses, with the line and a caret under the place in Error::log.
/// libpcap gives no place: it is the word that the reason names, or else the first word up to which no
/// continuation compiles. The hint names the word that was most likely meant.
[[nodiscard]] Error filter_error(const FilterOrigin& origin, const std::string& text,
                                 const std::string& reason, uint32_t link_type);
/// The error for what stands at a byte of the text.
[[nodiscard]] Error filter_error_at(const FilterOrigin& origin, const std::string& text, size_t byte,
                                    const std::string& reason, const std::string& hint, int code = EINVAL);

} // namespace mimicsh::net
