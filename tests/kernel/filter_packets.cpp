// SPDX-License-Identifier: MIT
// Packets and expressions for filters.
#include "tests/kernel/filter_packets.h"

#include <array>

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "tests/kernel/packets.h"

namespace mimicsh::test {

namespace {

constexpr size_t kShortest = 14; // that a test run takes
constexpr size_t kLongest = 3500;
constexpr size_t kHeaders = 90; // bytes within which a packet is cut everywhere

// -- Packets --

constexpr const char* kEther = "020000000002020000000001";
// IPv4 192.0.2.1 to 192.0.2.2; the lengths and sums matter to no filter but those that ask for them.
constexpr const char* kTcp = "4500003c1c4640004006b1e6c0000201c0000202"
                             "1f90005000000001000000025018ffff00000000474554202f20485454502f312e31";
constexpr const char* kUdp =
    "4500002a1c4600004011f1e6c0000201c0000202003500350016000012348180000100010000000000";

/// Frames of what captures and builders of this tree do not have.
std::vector<ByteVec> odd_packets() {
    const std::string ether = kEther, tcp = kTcp, udp = kUdp;
    const std::string ip6 =
        "6000000000141140fe80000000000000000000fffe000002ff020000000000000000000000000001";
    const std::vector<std::string> texts{
        ether + "0800" + tcp, ether + "0800" + udp,
        ether + "8847" + "00064140" + tcp,              // MPLS, label 100, bottom of the stack
        ether + "8847" + "00064040" + "000c8140" + udp, // two labels
        ether + "8848" + "fffff140" + ip6 + "0035003500140000",
        ether + "8863" +
            "1109000000040101"
            "0000"
            "0000",                                // PPPoE discovery
        ether + "8864" + "11000001003e0021" + tcp, // PPPoE session, IPv4
        ether + "8864" + "1100123400340057" + ip6 + "0035003500140000",
        ether + "0026" +
            "42420300000000008000020000000001000000008000020000000001800100001400020000000f", // STP
        ether + "0030" +
            "aaaa03000000"
            "0800" +
            udp,                                                           // SNAP with IPv4
        ether + "0030" + "aaaa0308000780f3" + "0001000800060400",          // AppleTalk ARP
        ether + "0022" + "e0e003ffff00220000000000000000ffffffffffff0453", // IPX
        ether + "001e" +
            "fefe0383"
            "1b0100", // ISO
        ether + "0010" +
            "f0f003"
            "2c00ffef", // NetBEUI
        ether + "8137" + "ffff0022000000000000ffffffffffff0453", ether + "6001" + "0000",
        ether + "6002" + "0000", ether + "6003" + "0200", ether + "6004" + "0000", ether + "809b" + "0001",
        ether + "80f3" + "00010800",
        ether + "8035" + "0001080006040003020000000001c0000201020000000001c0000202", // RARP
        ether +
            "8100"
            "0064"
            "8100"
            "006d"
            "0800" +
            udp, // two tags
        ether +
            "88a8"
            "0064"
            "8100"
            "0065"
            "86dd" +
            ip6 + "0035003500140000",
        ether +
            "9100"
            "0064"
            "0800" +
            tcp,
        ether +
            "8100"
            "2064"
            "8847"
            "00064140" +
            tcp, // a tag, then MPLS
        ether +
            "8100"
            "0064"
            "8864"
            "11000001003e0021" +
            udp,
        ether + "88cc" + "0207040200000000010403", ether + "888e" + "01010000",
        // Geneve: IPv4, UDP 6081, no options, and 4 bytes of them; then Ethernet with TCP and with IPv6.
        ether + "0800" +
            "4500006a0000000040110000c0000201c0000202"
            "abcd17c100560000"
            "0000655800006400" +
            ether + "0800" + tcp,
        ether + "0800" +
            "4500006a0000000040110000c0000201c0000202"
            "abcd17c100560000"
            "0140655800000100"
            "01020304" +
            ether + "86dd" + ip6 + "0035003500140000",
        ether + "0800" +
            "450000300000000040840000c0000201c0000202"
            "0050230500000001deadbeef"
            "0000000c00000000", // SCTP
        ether + "0800" +
            "460000200000000001020000c0000201e0000001"
            "94040000"
            "1164ee9b00000000", // IGMP
        ether + "0800" +
            "450000300000000040320000c0000201c0000202"
            "0000000100000001"
            "00112233", // ESP
        ether + "0800" +
            "450000300000000040330000c0000201c0000202"
            "0604000000000001"
            "00000001", // AH
        ether + "0800" +
            "4500001c0000000001670000c0000201e000000d"
            "2000df7a"
            "00010002", // PIM
        ether + "0800" +
            "4500001c00000000ff700000c0000201e0000012"
            "21016401"
            "00010000", // VRRP
        "01005e0000fb"
        "020000000001"
        "0800" +
            udp,
        "ffffffffffff"
        "020000000001"
        "0800" +
            udp,
        "333300000001"
        "020000000001"
        "86dd" +
            ip6 + "0035003500140000",
        ether + "0800" + "4f" + tcp.substr(2), ether + "0800" + "40" + udp.substr(2), // header lengths
        ether + "0800" +
            "450000ff00003fff4006b1e6c0000201c0000202"
            "1f90005000000001", // the last fragment
        ether + "86dd" +
            "60000000002c2c40"
            "20010db8000000000000000000000001"
            "20010db8000000000000000000000002"
            "1100000100000001"
            "0035003500140000", // a fragment of IPv6
        ether + "86dd" +
            "6000000000200040"
            "20010db8000000000000000000000001"
            "20010db8000000000000000000000002"
            "0600000000000000"
            "0050005000000001000000025002ffff00000000", // options, then TCP
    };
    std::vector<ByteVec> frames;
    for (const std::string& text : texts) {
        auto bytes = from_hex(text);
        EXPECT_TRUE(bytes.has_value()) << text;
        frames.push_back(bytes.value_or(ByteVec(14)));
    }
    return frames;
}

ByteVec cut_to(ByteVec packet, size_t size) {
    packet.resize(size);
    return packet;
}

} // namespace

const std::vector<ByteVec>& filter_packets() {
    static const std::vector<ByteVec> kPackets = [] {
        std::vector<ByteVec> all;
        std::mt19937 random(53);
        std::vector<ByteVec> whole = odd_packets();
        // TCP, UDP, MPLS, PPPoE, VLAN tags, Geneve twice, SCTP, a fragment and options of IPv6.
        std::vector<ByteVec> cut_everywhere;
        for (const size_t index : {size_t{0}, size_t{1}, size_t{2}, size_t{6}, size_t{22}, size_t{29},
                                   size_t{30}, size_t{31}, whole.size() - 2, whole.size() - 1}) {
            cut_everywhere.push_back(whole.at(index));
        }
        whole.insert(whole.end(), corpus_packets().begin(), corpus_packets().end());
        for (const ByteVec& packet : whole) {
            if (packet.size() < kShortest || packet.size() > kLongest) {
                continue;
            }
            all.push_back(packet);
            all.push_back(
                cut_to(packet, kShortest + random() % std::min<size_t>(packet.size() - kShortest + 1, 80)));
            ByteVec changed = packet;
            for (int i = 0; i < 3; ++i) {
                changed[12 + random() % std::min<size_t>(changed.size() - 12, 60)] =
                    static_cast<uint8_t>(random());
            }
            all.push_back(std::move(changed));
        }
        for (const ByteVec& packet : cut_everywhere) {
            for (size_t size = kShortest; size < std::min(packet.size(), kHeaders); ++size) {
                all.push_back(cut_to(packet, size));
            }
        }
        return all;
    }();
    return kPackets;
}

bool libpcap_takes(std::span<const ClassicInsn> program, ByteView packet, uint32_t length) {
    std::vector<bpf_insn> insns;
    for (const ClassicInsn& insn : program) {
        insns.push_back({insn.code, insn.jt, insn.jf, insn.k});
    }
    return bpf_filter(insns.data(), packet.data(), length, static_cast<u_int>(packet.size())) != 0;
}

// -- Expressions --

namespace {

template <size_t N>
std::string one_of(std::mt19937& random, const std::array<const char*, N>& texts) {
    return texts[random() % N];
}

std::string number(std::mt19937& random) {
    constexpr std::array kInteresting{
        "0",     "1",          "2",    "3",  "4",  "6",  "8",    "14",   "17",     "20",        "0x45",
        "0x40",  "0xf",        "0xff", "53", "80", "64", "1500", "2048", "0x0800", "0x1fff",    "0xffff",
        "65536", "0x7fffffff", "31",   "32", "33", "60", "42",   "0xf0", "98",     "0xffffffff"};
    return random() % 4 != 0 ? one_of(random, kInteresting) : std::to_string(random() % 300);
}

std::string arithmetic(std::mt19937& random, int depth);

std::string byte_of(std::mt19937& random, int depth) {
    constexpr std::array kLayers{"ether", "ip",  "ip6",  "tcp",  "udp", "icmp",
                                 "icmp6", "arp", "link", "sctp", "igmp"};
    constexpr std::array kSizes{"", ":1", ":2", ":4"};
    const std::string place =
        depth > 0 && random() % 4 == 0 ? arithmetic(random, depth - 1) : std::to_string(random() % 70);
    return one_of(random, kLayers) + "[" + place + one_of(random, kSizes) + "]";
}

std::string arithmetic(std::mt19937& random, int depth) {
    constexpr std::array kOperators{"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"};
    switch (depth > 0 ? random() % 8 : random() % 4) {
    case 0:
        return number(random);
    case 1:
        return "len";
    case 2:
    case 3:
        return byte_of(random, depth);
    case 4:
        return "-(" + arithmetic(random, depth - 1) + ")";
    default:
        return "(" + arithmetic(random, depth - 1) + " " + one_of(random, kOperators) + " " +
               (random() % 2 == 0 ? number(random) : arithmetic(random, depth - 1)) + ")";
    }
}

std::string address(std::mt19937& random) {
    constexpr std::array kHosts{"192.0.2.1", "192.0.2.2",   "10.0.0.1",        "198.51.100.7",
                                "224.0.0.1", "2001:db8::1", "fe80::ff:fe00:2", "ff02::1"};
    return one_of(random, kHosts);
}

std::string network(std::mt19937& random) {
    constexpr std::array kNets{"192.0.2.0/24",  "192.0.2.0/31", "10.0.0.0/8",
                               "0.0.0.0/0",     "224.0.0.0/4",  "192.0.2.0 mask 255.255.255.252",
                               "2001:db8::/32", "fe80::/10",    "ff00::/8",
                               "192.0.2"};
    return one_of(random, kNets);
}

std::string primitive(std::mt19937& random) {
    constexpr std::array kWords{"ip",
                                "ip6",
                                "arp",
                                "rarp",
                                "tcp",
                                "udp",
                                "icmp",
                                "icmp6",
                                "igmp",
                                "sctp",
                                "esp",
                                "ah",
                                "pim",
                                "vrrp",
                                "stp",
                                "ipx",
                                "netbeui",
                                "llc",
                                "iso",
                                "atalk",
                                "aarp",
                                "lat",
                                "mopdl",
                                "ip multicast",
                                "ip6 multicast",
                                "ether broadcast",
                                "ether multicast",
                                "multicast",
                                "len >= 0",
                                "ip proto 17",
                                "ip6 proto 6",
                                "ether proto 0x88cc",
                                "ether proto 0x0800"};
    constexpr std::array kDirections{"", "src ", "dst ", "src or dst ", "src and dst "};
    constexpr std::array kTransports{"", "tcp ", "udp ", "sctp ", "ip6 and tcp ", "ip and udp "};
    constexpr std::array kRelations{"=", "!=", ">", "<", ">=", "<=", "=="};
    constexpr std::array kMacs{"02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff",
                               "33:33:00:00:00:01"};
    constexpr std::array kFlags{"tcp-syn",  "tcp-ack", "tcp-fin",          "tcp-rst",
                                "tcp-push", "tcp-urg", "(tcp-syn|tcp-fin)"};
    switch (random() % 12) {
    case 0:
        return one_of(random, kDirections) + "host " + address(random);
    case 1:
        return one_of(random, kDirections) + "net " + network(random);
    case 2:
        return one_of(random, kTransports) + one_of(random, kDirections) + "port " +
               std::to_string(random() % 3 == 0 ? random() % 65536 : 53);
    case 3: {
        const uint32_t low = random() % 65536;
        return one_of(random, kTransports) + one_of(random, kDirections) + "portrange " +
               std::to_string(low) + "-" + std::to_string(low + random() % (65536 - low));
    }
    case 4:
        return "tcp[tcpflags] & " + one_of(random, kFlags) + " != 0";
    case 5:
        return (random() % 2 == 0 ? "less " : "greater ") + std::to_string(random() % 200);
    case 6:
        return "ether " + one_of(random, std::array{"host ", "src ", "dst "}) + one_of(random, kMacs);
    case 7:
    case 8:
    case 9:
        return arithmetic(random, 2) + " " + one_of(random, kRelations) + " " +
               (random() % 2 == 0 ? number(random) : arithmetic(random, 1));
    default:
        return one_of(random, kWords);
    }
}

std::string combined(std::mt19937& random, int depth) {
    if (depth == 0 || random() % 3 == 0) {
        return primitive(random);
    }
    switch (random() % 5) {
    case 0:
        return "not (" + combined(random, depth - 1) + ")";
    case 1:
        return "(" + combined(random, depth - 1) + ") and (" + combined(random, depth - 1) + ")";
    case 2:
        return combined(random, depth - 1) + " and not " + primitive(random);
    default:
        return "(" + combined(random, depth - 1) + ") or " + combined(random, depth - 1);
    }
}

} // namespace

std::string random_expression(std::mt19937& random) {
    // What moves the offsets of all that stands behind it.
    constexpr std::array kEncapsulations{"vlan",       "vlan 100",      "vlan and vlan", "mpls",
                                         "mpls 100",   "mpls and mpls", "pppoes",        "geneve",
                                         "geneve 100", "pppoes 1",      "vlan and mpls"};
    const std::string tail = combined(random, 3);
    return random() % 5 == 0 ? one_of(random, kEncapsulations) + " and (" + tail + ")" : tail;
}

} // namespace mimicsh::test
