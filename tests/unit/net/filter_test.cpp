// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7): where errors are, and the text of libpcap's instructions against tcpdump's.
#include "net/filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>

#include "object/classic_bpf.h"
#include "tests/paths.h"
#include "tests/unit/net/support.h"

namespace mimicsh::net {

namespace {

struct Wrong {
    const char* text;
    const char* marked; ///< the text with a '^' in front of the place
    const char* reason; ///< part of the message
};

constexpr Wrong kWrong[] = {
    {"udp prot 53", "udp ^prot 53", "syntax error"},
    {"tcp and or udp", "tcp and ^or udp", "syntax error"},
    {"host 1.2.3.4 and (port 80", "host 1.2.3.4 and (port 80^", "something is missing at the end"},
    {"tcp and", "tcp and^", "something is missing at the end"},
    {"portrange 5-", "portrange 5-^", "something is missing at the end"},
    {"port 80)", "port 80^)", "syntax error"},
    {")", "^)", "syntax error"},
    {"udp\n  and prot 5", "udp\n  and ^prot 5", "syntax error"},
    {"tcp port nosuchservice", "tcp port ^nosuchservice", "unknown port 'nosuchservice'"},
    {"port 99999", "port ^99999", "illegal port number 99999"},
    {"ip[0:3] = 1", "ip[0:^3] = 1", "data size must be 1, 2, or 4"},
    {"ip[2 = 5", "ip[2 ^= 5", "syntax error"},
    {"ether host 1:2", "ether host ^1:2", "illegal link layer address"},
    {"tcp[tcpflags] & & 2 = 0", "tcp[tcpflags] & ^& 2 = 0", "syntax error"},
    {"net 1.2.3.0/33", "net 1.2.3.0^/33", "mask length must be <= 32"},
    {"icmp and src", "icmp and src^", "something is missing at the end"},
    {"host 1.2.3.4 port 80", "host 1.2.3.4 ^port 80", "syntax error"},
    {"(udp) tcp", "(udp) ^tcp", "syntax error"},
    {"len > > 5", "len > ^> 5", "syntax error"},
    {"udp and @", "udp and ^@", "syntax error"},
    {"host localhost and (udp prot 5)", "host localhost and (udp ^prot 5)", "syntax error"},
};

TEST(Filter, ErrorsPointAtTheWord) {
    for (const Wrong& wrong : kWrong) {
        const auto filter = PacketFilter::compile(wrong.text, kLinkEthernet);
        ASSERT_FALSE(filter) << wrong.text;
        const Error& error = filter.error();
        const std::string marked = wrong.marked;
        const size_t place = marked.find('^');
        const size_t begin = place == 0 ? 0 : marked.rfind('\n', place) + 1;
        const auto line =
            std::count(marked.begin(), marked.begin() + static_cast<ptrdiff_t>(place), '\n') + 1;
        const std::string where =
            "filter:" + std::to_string(line) + ":" + std::to_string(place - begin + 1) + ": ";
        EXPECT_EQ(error.message().find(where) != std::string::npos, true)
            << wrong.text << ": " << error.message();
        EXPECT_NE(error.message().find(wrong.reason), std::string::npos)
            << wrong.text << ": " << error.message();
        const std::string text = wrong.text;
        const std::string margin = std::to_string(line);
        EXPECT_EQ(error.log, margin + " | " + text.substr(begin, text.find('\n', begin) - begin) + "\n" +
                                 std::string(margin.size(), ' ') + " | " + std::string(place - begin, ' ') +
                                 "^\n")
            << wrong.text;
    }
}

TEST(Filter, LinkTypesWithoutFiltersSaySo) {
    constexpr uint32_t kUser0 = 147;
    const auto right = PacketFilter::compile("udp port 53", kUser0);
    ASSERT_FALSE(right);
    // libpcap's own words for a link type that it has no filters for.
    EXPECT_EQ(right.error().text, "filter:1:1: DLT 147 link-layer type filtering not implemented");
    const auto wrong = PacketFilter::compile("udp prot 53", kUser0);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().text, "filter:1:5: syntax error, 'prot' cannot stand here");
}

TEST(Filter, LongAndBinaryTextsAreRefused) {
    std::string deep;
    for (int i = 0; i < 3000; ++i) {
        deep += "(tcp or (";
    }
    EXPECT_FALSE(PacketFilter::compile(deep, kLinkEthernet));
    EXPECT_FALSE(PacketFilter::compile(std::string(70000, ' '), kLinkEthernet));
    EXPECT_FALSE(PacketFilter::compile(std::string("udp\0tcp", 7), kLinkEthernet));
    EXPECT_FALSE(PacketFilter::compile("\xff\xfe", kLinkEthernet));
}

/// Runs of blanks as one, none at the ends of lines.
std::string squeezed(const std::string& text) {
    return std::regex_replace(std::regex_replace(text, std::regex("[ \t]+"), " "), std::regex(" \n"), "\n");
}

TEST(Filter, InstructionsReadAsTcpdumpPrintsThem) {
    if (!has_program("tcpdump")) {
        GTEST_SKIP() << "tcpdump is not installed";
    }
    std::ifstream file(test::in_tree("tests/cases/filters.txt"));
    size_t compared = 0;
    for (std::string text; std::getline(file, text);) {
        if (text.empty() || text[0] == '#' || text[0] == '-') {
            continue;
        }
        auto filter = PacketFilter::compile(text, kLinkEthernet);
        ASSERT_TRUE(filter) << text;
        const auto insns = filter->instructions(kLinkEthernet);
        ASSERT_TRUE(insns);
        std::string ours;
        for (size_t i = 0; i < insns->size(); ++i) {
            char number[32];
            std::snprintf(number, sizeof number, "(%03zu) ", i);
            ours += number + classic_text(*insns, i) + "\n";
        }
        int status = 0;
        const std::string theirs = run_command("tcpdump -d -y EN10MB '" + text + "' 2>/dev/null", status);
        ASSERT_EQ(status, 0) << text;
        ASSERT_EQ(ours, squeezed(theirs)) << text;
        ++compared;
    }
    EXPECT_GE(compared, 300u);
}

} // namespace

} // namespace mimicsh::net
