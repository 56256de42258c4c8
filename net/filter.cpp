// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7), on libpcap.
#include "net/filter.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <pcap/pcap.h>

namespace mimicsh::net {

namespace {

constexpr size_t kMaxText = size_t{64} << 10;

struct PcapClose {
    void operator()(pcap_t* handle) const { pcap_close(handle); }
};

/// libpcap's number for a link type of the registry: they differ for raw IP only, of those with a filter.
int to_dlt(uint32_t link_type) {
    return link_type == kLinkRaw ? DLT_RAW : static_cast<int>(link_type);
}

} // namespace

std::optional<std::string> filter_complaint(const std::string& text, uint32_t link_type,
                                            bpf_program& program) {
    const std::unique_ptr<pcap_t, PcapClose> dead(
        pcap_open_dead(to_dlt(link_type), static_cast<int>(kMaxCapturedPacket)));
    if (pcap_compile(dead.get(), &program, text.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0) {
        return std::nullopt;
    }
    return pcap_geterr(dead.get());
}

void PacketFilter::Free::operator()(bpf_program* program) const {
    pcap_freecode(program);
    delete program;
}

Expected<const bpf_program*> PacketFilter::program(uint32_t link_type) {
    if (const auto found = programs_.find(link_type); found != programs_.end()) {
        return found->second.get();
    }
    if (text_.size() > kMaxText) {
        return Error{EINVAL, origin_.op, origin_.name + ": text longer than 64 KiB", {}, {}};
    }
    if (const size_t zero = text_.find('\0'); zero != std::string::npos) {
        return filter_error_at(origin_, text_, zero, "zero byte in the text", {});
    }
    auto owned = std::make_unique<bpf_program>();
    if (const auto reason = filter_complaint(text_, link_type, *owned)) {
        return filter_error(origin_, text_, *reason, link_type);
    }
    std::unique_ptr<bpf_program, Free> compiled(owned.release());
    return programs_.emplace(link_type, std::move(compiled)).first->second.get();
}

Expected<PacketFilter> PacketFilter::compile(const std::string& text, uint32_t link_type,
                                             const FilterOrigin& origin) {
    PacketFilter filter(text, origin);
    if (auto compiled = filter.program(link_type); !compiled) {
        return compiled.error();
    }
    return filter;
}

Expected<bool> PacketFilter::matches(uint32_t link_type, const PacketRecord& packet) {
    const auto compiled = program(link_type);
    if (!compiled) {
        return compiled.error();
    }
    pcap_pkthdr header{};
    header.caplen = narrow<uint32_t>(packet.data.size());
    header.len = std::max(packet.orig_len, header.caplen);
    return pcap_offline_filter(*compiled, &header, packet.data.data()) != 0;
}

Expected<std::vector<ClassicInsn>> PacketFilter::instructions(uint32_t link_type) {
    const auto compiled = program(link_type);
    if (!compiled) {
        return compiled.error();
    }
    std::vector<ClassicInsn> insns;
    for (u_int i = 0; i < (*compiled)->bf_len; ++i) {
        const bpf_insn& insn = (*compiled)->bf_insns[i];
        insns.push_back({insn.code, insn.jt, insn.jf, insn.k});
    }
    return insns;
}

} // namespace mimicsh::net
