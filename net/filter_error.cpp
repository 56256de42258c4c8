// SPDX-License-Identifier: MIT
// Where an expression of pcap-filter(7) is wrong, and what was meant.
#include <algorithm>
#include <array>
#include <cctype>
#include <span>

#include <netdb.h>
#include <pcap/pcap.h>

#include "base/excerpt.h"
#include "base/similar.h"
#include "net/filter.h"

namespace mimicsh::net {

namespace {

constexpr size_t kMaxSearched = 4096; // of a text in which an error's place is looked for
constexpr size_t kMaxNamed = 64;      // bytes of a wrong word in a message
constexpr size_t kMaxTried = 12;      // similar words that are tried in the place of a wrong one

bool is_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) != 0 || byte >= 0x80 || c == '_' || c == '.' || c == '-' || c == '\\';
}

struct Word {
    size_t begin;
    size_t end;
};

/// Words and signs; blanks are left out.
std::vector<Word> words_of(const std::string& text) {
    static constexpr std::array<std::string_view, 8> kPairs{"&&", "||", "==", "!=", "<=", ">=", "<<", ">>"};
    std::vector<Word> words;
    for (size_t at = 0; at < text.size();) {
        size_t end = at + 1;
        while (is_word(text[at]) && end < text.size() && is_word(text[end])) {
            ++end;
        }
        if (std::ranges::find(kPairs, std::string_view(text).substr(at, 2)) != kPairs.end()) {
            end = at + 2;
        }
        if (std::isspace(static_cast<unsigned char>(text[at])) == 0) {
            words.push_back({at, end});
        }
        at = end;
    }
    return words;
}

// -- The place --

/// The text with an address in the place of names of hosts, which would be looked up at every try.
std::string without_names(const std::string& text) {
    std::string out;
    size_t copied = 0;
    bool is_host = false;
    for (const Word& word : words_of(text)) {
        if (is_host && std::isalpha(static_cast<unsigned char>(text[word.begin])) != 0) {
            out += text.substr(copied, word.begin - copied) + "192.0.2.1";
            copied = word.end;
        }
        is_host = std::string_view(text).substr(word.begin, word.end - word.begin) == "host";
    }
    return out + text.substr(copied);
}

constexpr std::string_view kRejects = "rejects all packets";

/// Whether it is an expression; one that takes no packet is, unless that is what is wrong with it.
bool compiles(const std::string& text, uint32_t link_type, bool must_take) {
    bpf_program program{};
    if (const auto reason = filter_complaint(without_names(text), link_type, program)) {
        return !must_take && reason->find(kRejects) != std::string::npos;
    }
    pcap_freecode(&program);
    return true;
}

/// Whether something could stand behind these words, by trying what mostly stands there.
bool can_go_on(const std::string& words, uint32_t link_type, bool must_take = false) {
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
    return std::ranges::any_of(
        kEnds, [&](const char* end) { return compiles(words + end + closing, link_type, must_take); });
}

/// An address or number of the text that a reason like "bogus ethernet address 1:2" names as a whole.
std::optional<size_t> named_part(const std::string& text, const std::string& reason) {
    std::optional<size_t> place;
    size_t longest = 0;
    for (size_t begin = 0; begin < reason.size();) {
        size_t end = std::min(reason.find_first_of(" '\"", begin), reason.size());
        std::string part = reason.substr(begin, end - begin);
        begin = end + 1;
        while (part.ends_with(':') || part.ends_with(',')) {
            part.pop_back();
        }
        const size_t at = text.find(part);
        if (part.find_first_of(":/") != std::string::npos && at != std::string::npos &&
            part.size() > longest) {
            longest = part.size();
            place = at;
        }
    }
    return place;
}

/// The last word of the text that a reason like "unknown port 'x'" names.
std::optional<size_t> named_word(const std::string& text, const std::string& reason) {
    if (const auto whole = named_part(text, reason)) {
        return whole;
    }
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
size_t place_of_error(const std::string& text, uint32_t link_type, bool must_take) {
    const std::vector<Word> words = words_of(text);
    const auto wrong = std::ranges::partition_point(
        words, [&](const Word& word) { return can_go_on(text.substr(0, word.end), link_type, must_take); });
    return wrong != words.end() ? wrong->begin : text.size();
}

// -- What was meant --

constexpr std::array<std::string_view, 93> kKeywords{"aarp",
                                                     "ah",
                                                     "and",
                                                     "arp",
                                                     "atalk",
                                                     "broadcast",
                                                     "decnet",
                                                     "dst",
                                                     "esp",
                                                     "ether",
                                                     "fddi",
                                                     "gateway",
                                                     "geneve",
                                                     "greater",
                                                     "host",
                                                     "icmp",
                                                     "icmp6",
                                                     "icmp6code",
                                                     "icmp6type",
                                                     "icmpcode",
                                                     "icmptype",
                                                     "icmp-echo",
                                                     "igmp",
                                                     "igrp",
                                                     "inbound",
                                                     "ip",
                                                     "ip6",
                                                     "ipx",
                                                     "iso",
                                                     "lat",
                                                     "len",
                                                     "less",
                                                     "link",
                                                     "llc",
                                                     "mask",
                                                     "mopdl",
                                                     "moprc",
                                                     "mpls",
                                                     "multicast",
                                                     "net",
                                                     "netbeui",
                                                     "not",
                                                     "or",
                                                     "outbound",
                                                     "pim",
                                                     "port",
                                                     "portrange",
                                                     "pppoed",
                                                     "pppoes",
                                                     "proto",
                                                     "protochain",
                                                     "rarp",
                                                     "sctp",
                                                     "slip",
                                                     "src",
                                                     "stp",
                                                     "tcp",
                                                     "tcpflags",
                                                     "tcp-ack",
                                                     "tcp-fin",
                                                     "tcp-push",
                                                     "tcp-rst",
                                                     "tcp-syn",
                                                     "tcp-urg",
                                                     "tcp-ece",
                                                     "tcp-cwr",
                                                     "udp",
                                                     "vlan",
                                                     "vrrp",
                                                     "carp",
                                                     "icmp-echoreply",
                                                     "icmp-unreach",
                                                     "icmp-sourcequench",
                                                     "icmp-redirect",
                                                     "icmp-routeradvert",
                                                     "icmp-routersolicit",
                                                     "icmp-timxceed",
                                                     "icmp-paramprob",
                                                     "icmp-tstamp",
                                                     "icmp-tstampreply",
                                                     "icmp-ireq",
                                                     "icmp-ireqreply",
                                                     "icmp-maskreq",
                                                     "icmp-maskreply",
                                                     "icmp6-echo",
                                                     "icmp6-echoreply",
                                                     "icmp6-packettoobig",
                                                     "icmp6-destinationunreach",
                                                     "icmp6-timeexceeded",
                                                     "icmp6-parameterproblem",
                                                     "icmp6-neighborsolicit",
                                                     "icmp6-neighboradvert",
                                                     "icmp6-routersolicit"};

/// Names of services and protocols of this machine.
std::vector<std::string> names_of_machine() {
    std::vector<std::string> names;
    setservent(0);
    while (const servent* entry = getservent()) {
        names.emplace_back(entry->s_name);
    }
    endservent();
    setprotoent(0);
    while (const protoent* entry = getprotoent()) {
        names.emplace_back(entry->p_name);
    }
    endprotoent();
    return names;
}

/// "did you mean 'port'?", or empty: the words like a wrong one with which the expression can go on.
std::string meant_words(const std::string& before, const std::string& word, uint32_t link_type) {
    const std::vector<std::string> machine = names_of_machine();
    std::vector<std::string_view> names(kKeywords.begin(), kKeywords.end());
    names.insert(names.end(), machine.begin(), machine.end());
    std::vector<std::string_view> found = similar_names(word, names);
    found.resize(std::min(found.size(), kMaxTried));
    std::erase_if(found,
                  [&](std::string_view name) { return !can_go_on(before + std::string(name), link_type); });
    return did_you_mean(word, found);
}

/// "ip.src", "tcp.port": the language of Wireshark's display filters.
bool is_display_filter(const std::string& word) {
    const size_t dot = word.find('.');
    return dot != std::string::npos && dot > 0 && dot + 1 < word.size() &&
           std::ranges::all_of(word, [](char c) {
               return std::islower(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
           });
}

std::string hint_at(const std::string& text, size_t place, const std::string& reason, uint32_t link_type) {
    const std::string manual = "man pcap-filter has the language";
    if (reason.find(kRejects) != std::string::npos) {
        return "no packet is all of this at once; 'or' takes packets of either kind";
    }
    const std::vector<Word> words = words_of(text);
    const auto here = std::ranges::find(words, place, &Word::begin);
    if (here == words.end()) {
        const bool is_open = std::ranges::count(text, '(') > std::ranges::count(text, ')');
        return place == text.size() && is_open ? "a '(' is not closed" : manual;
    }
    const std::string word = text.substr(here->begin, here->end - here->begin);
    const std::string before = text.substr(0, here->begin);
    if (word == ")" && std::ranges::count(before, '(') <= std::ranges::count(before, ')')) {
        return "no '(' stands in front of this ')'";
    }
    if (word == "," || word == "{") {
        return "alternatives are joined by 'or': port 80 or port 443";
    }
    if (word == "&" || word == "|") {
        return "did you mean '" + word + word + "'?";
    }
    if (word == "dns") {
        return "did you mean 'domain'?"; // as /etc/services names port 53
    }
    const bool is_syntax = reason.find("syntax error") != std::string::npos;
    if (is_syntax && is_display_filter(word)) {
        return "this looks like a display filter; here one writes 'src host 1.2.3.4', 'tcp port 80'";
    }
    if (is_syntax && std::isalpha(static_cast<unsigned char>(word[0])) != 0 &&
        can_go_on(before + "\\" + word, link_type)) {
        return "a name that is a keyword too has a backslash in front: \\" + word +
               " (in a quoted text of Lua \\\\" + word + ")";
    }
    const std::string meant = is_word(word[0]) ? meant_words(before, word, link_type) : "";
    return meant.empty() ? manual : meant;
}

/// libpcap's words, or plainer ones.
std::string reason_at(const std::string& text, size_t place, const std::string& reason) {
    if (reason.find("syntax error") == std::string::npos) {
        return reason;
    }
    if (place >= text.size()) {
        return "something is missing at the end";
    }
    const std::vector<Word> words = words_of(text);
    const auto here = std::ranges::find(words, place, &Word::begin);
    return here == words.end()
               ? reason
               : "syntax error, '" + text.substr(here->begin, std::min(here->end - here->begin, kMaxNamed)) +
                     "' cannot stand here";
}

} // namespace

Error filter_error_at(const FilterOrigin& origin, const std::string& text, size_t byte,
                      const std::string& reason, const std::string& hint, int code) {
    const size_t begin = byte == 0 ? 0 : text.rfind('\n', byte - 1) + 1; // npos + 1 is 0
    const auto line =
        static_cast<uint64_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(byte), '\n'));
    const size_t column = byte - begin + 1;
    return Error{code, origin.op,
                 origin.name + ":" + std::to_string(origin.line + line) + ":" +
                     std::to_string(column + (line == 0 ? origin.column - 1 : 0)) + ": " + reason,
                 hint, excerpt(origin.line + line, line_at(text, begin), column)};
}

Error filter_error(const FilterOrigin& origin, const std::string& text, const std::string& reason,
                   uint32_t link_type) {
    const auto named = named_word(text, reason);
    if (text.size() > kMaxSearched && !named) {
        return Error{EINVAL, origin.op, origin.name + ": " + reason, "man pcap-filter has the language", {}};
    }
    const bool is_syntax = reason.find("syntax error") != std::string::npos;
    // Where the link type has no filters at all, the grammar is that of Ethernet, and the place the
    // beginning.
    const bool has_filters = compiles("ip", link_type, false);
    const uint32_t tried = has_filters ? link_type : uint32_t{kLinkEthernet};
    const bool rejects = reason.find(kRejects) != std::string::npos;
    const size_t place = named ? *named : has_filters || is_syntax ? place_of_error(text, tried, rejects) : 0;
    const std::string hint = text.size() > kMaxSearched ? std::string() : hint_at(text, place, reason, tried);
    return filter_error_at(origin, text, place, reason_at(text, place, reason), hint);
}

} // namespace mimicsh::net
