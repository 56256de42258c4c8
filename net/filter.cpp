// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7), on libpcap.
#include "net/filter.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <pcap/pcap.h>

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "pcap";
constexpr size_t kMaxText = size_t{64} << 10;
constexpr size_t kMaxSearched = 4096; // of a text in which an error's place is looked for

struct PcapClose {
    void operator()(pcap_t* handle) const { pcap_close(handle); }
};

/// libpcap's number for a link type of the registry: they differ for raw IP only, of those with a filter.
int to_dlt(uint32_t link_type) {
    return link_type == kLinkRaw ? DLT_RAW : static_cast<int>(link_type);
}

/// What libpcap has against the text; nothing when it compiles.
std::optional<std::string> complaint(const std::string& text, uint32_t link_type, bpf_program& program) {
    const std::unique_ptr<pcap_t, PcapClose> dead(
        pcap_open_dead(to_dlt(link_type), static_cast<int>(kMaxCapturedPacket)));
    if (pcap_compile(dead.get(), &program, text.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0) {
        return std::nullopt;
    }
    return pcap_geterr(dead.get());
}

// -- The place of an error --

bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' || c == '\\';
}

struct Word {
    size_t begin;
    size_t end;
};

/// Words and single signs; blanks are left out.
std::vector<Word> words_of(const std::string& text) {
    std::vector<Word> words;
    for (size_t at = 0; at < text.size();) {
        size_t end = at + 1;
        while (is_word(text[at]) && end < text.size() && is_word(text[end])) {
            ++end;
        }
        if (std::isspace(static_cast<unsigned char>(text[at])) == 0) {
            words.push_back({at, end});
        }
        at = end;
    }
    return words;
}

/// Whether something could stand behind these words, by trying what mostly stands there.
bool can_go_on(const std::string& words, uint32_t link_type) {
    static constexpr std::array kEnds{"",
                                      " 1",
                                      " ip",
                                      " 1.2.3.4",
                                      " port 1",
                                      " host 1.2.3.4",
                                      " = 1",
                                      " == 0",
                                      " = 0x1",
                                      "0] = 0",
                                      "] = 0",
                                      " 1.2.3.0/24",
                                      ":1] = 0",
                                      "1] = 0",
                                      " mask 255.255.255.0",
                                      " 01:02:03:04:05:06",
                                      " 1-2",
                                      " src port 1",
                                      " proto 6",
                                      "1::1",
                                      ":1",
                                      " net 1.2.3.0/24",
                                      "1.2.3.4",
                                      ".1.1.1",
                                      "/24",
                                      " 1 = 0",
                                      " ip = 0",
                                      " broadcast"};
    const auto open = std::ranges::count(words, '(') - std::ranges::count(words, ')');
    const std::string closing(static_cast<size_t>(std::max<ptrdiff_t>(open, 0)), ')');
    return std::ranges::any_of(kEnds, [&](const char* end) {
        bpf_program program{};
        const bool compiles = !complaint(words + end + closing, link_type, program);
        if (compiles) {
            pcap_freecode(&program);
        }
        return compiles;
    });
}

/// The last word of the text that a reason like "unknown port 'x'" names.
std::optional<size_t> named_word(const std::string& text, const std::string& reason) {
    const size_t open = reason.find_first_of("'\":");
    if (open == std::string::npos) {
        return std::nullopt;
    }
    const std::vector<Word> named = words_of(reason.substr(open));
    std::optional<size_t> place;
    for (const Word& word : words_of(text)) {
        const std::string_view here(text.data() + word.begin, word.end - word.begin);
        const bool is_named = std::ranges::any_of(named, [&](const Word& other) {
            return reason.substr(open + other.begin, other.end - other.begin) == here;
        });
        place = is_named && is_word(here[0]) ? word.begin : place;
    }
    return place;
}

/// Where the text stops being the beginning of an expression.
size_t place_of_error(const std::string& text, const std::string& reason, uint32_t link_type) {
    if (const auto named = named_word(text, reason)) {
        return *named;
    }
    const std::vector<Word> words = words_of(text);
    const auto wrong = std::ranges::partition_point(
        words, [&](const Word& word) { return can_go_on(text.substr(0, word.end), link_type); });
    return wrong != words.end() ? wrong->begin : text.size();
}

} // namespace

Error filter_error(const char* op, const std::string& text, const std::string& reason, uint32_t link_type) {
    if (text.size() > kMaxSearched) {
        return Error{EINVAL, op, "filter: " + reason, "man pcap-filter has the language", {}};
    }
    const size_t place = place_of_error(text, reason, link_type);
    const size_t begin = place == 0 ? 0 : text.rfind('\n', place - 1) + 1; // npos + 1 is 0
    const size_t end = std::min(text.find('\n', place), text.size());
    const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(place), '\n') + 1;
    std::string quoted = text.substr(begin, end - begin);
    std::ranges::replace_if(
        quoted, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
    const std::string what = place == text.size() && reason.find("syntax error") != std::string::npos
                                 ? "something is missing at the end"
                                 : reason;
    return Error{EINVAL, op,
                 "filter:" + std::to_string(line) + ":" + std::to_string(place - begin + 1) + ": " + what,
                 "man pcap-filter has the language", quoted + "\n" + std::string(place - begin, ' ') + "^"};
}

void PacketFilter::Free::operator()(bpf_program* program) const {
    pcap_freecode(program);
    delete program;
}

Expected<const bpf_program*> PacketFilter::program(uint32_t link_type) {
    if (const auto found = programs_.find(link_type); found != programs_.end()) {
        return found->second.get();
    }
    if (text_.size() > kMaxText || text_.find('\0') != std::string::npos) {
        return Error{EINVAL, kOp, "filter: text longer than 64 KiB or with a zero byte", {}, {}};
    }
    auto owned = std::make_unique<bpf_program>();
    if (const auto reason = complaint(text_, link_type, *owned)) {
        return filter_error(kOp, text_, *reason, link_type);
    }
    std::unique_ptr<bpf_program, Free> compiled(owned.release());
    return programs_.emplace(link_type, std::move(compiled)).first->second.get();
}

Expected<PacketFilter> PacketFilter::compile(const std::string& text, uint32_t link_type) {
    PacketFilter filter(text);
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
