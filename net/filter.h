// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7), on libpcap.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/classic_bpf.h"
#include "base/error.h"
#include "net/pcap_file.h"

struct bpf_program; // of <pcap/pcap.h>, which stays out of headers: it clashes with <linux/bpf.h>

namespace mimicsh::net {

/// An expression like "udp port 53", compiled for each link type it meets.
class PacketFilter {
  public:
    /// Compiles for that link type; EINVAL when the text is none, see filter_error. Names of hosts are looked
    /// up.
    [[nodiscard]] static Expected<PacketFilter> compile(const std::string& text, uint32_t link_type);
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
    explicit PacketFilter(std::string text) : text_(std::move(text)) {}
    [[nodiscard]] Expected<const bpf_program*> program(uint32_t link_type);

    std::string text_;
    std::map<uint32_t, std::unique_ptr<bpf_program, Free>> programs_;
};

/// The error for a text that libpcap refuses: "filter:line:column: reason", with the line and a caret under
/// the place in Error::log. libpcap gives no place: it is the word that the reason names, or else the first
/// word up to which no continuation compiles.
[[nodiscard]] Error filter_error(const char* op, const std::string& text, const std::string& reason,
                                 uint32_t link_type);

} // namespace mimicsh::net
