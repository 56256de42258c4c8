// SPDX-License-Identifier: MIT
// Random packets.
#include "tests/unit/net/random_packet.h"

#include <gtest/gtest.h>

#include "net/build.h"

namespace mimicsh::net {

namespace {

constexpr size_t kMostTunnels = 3;

// Fields that may hold anything without making the packet another one.
constexpr std::pair<Protocol, const char*> kFree[] = {
    {Protocol::kEth, "dst"},
    {Protocol::kEth, "src"},
    {Protocol::kVlan, "prio"},
    {Protocol::kVlan, "dei"},
    {Protocol::kVlan, "id"},
    {Protocol::kIp, "tos"},
    {Protocol::kIp, "id"},
    {Protocol::kIp, "ttl"},
    {Protocol::kIp, "src"},
    {Protocol::kIp, "dst"},
    {Protocol::kIp6, "tclass"},
    {Protocol::kIp6, "flow"},
    {Protocol::kIp6, "hlim"},
    {Protocol::kIp6, "src"},
    {Protocol::kIp6, "dst"},
    {Protocol::kArp, "hwsrc"},
    {Protocol::kArp, "psrc"},
    {Protocol::kArp, "pdst"},
    {Protocol::kArp, "hwdst"},
    {Protocol::kArp, "op"},
    {Protocol::kTcp, "seq"},
    {Protocol::kTcp, "ack"},
    {Protocol::kTcp, "window"},
    {Protocol::kTcp, "urgent"},
    {Protocol::kTcp, "flags"},
    {Protocol::kTcp, "reserved"},
    {Protocol::kIcmp, "id"},
    {Protocol::kIcmp, "seq"},
    {Protocol::kIcmp6, "id"},
    {Protocol::kIcmp6, "seq"},
    {Protocol::kGre, "key"},
    {Protocol::kGre, "seq"},
    {Protocol::kGre, "has_checksum"},
    {Protocol::kVxlan, "vni"},
    {Protocol::kVxlan, "reserved2"},
    {Protocol::kDns, "id"},
    {Protocol::kDns, "qr"},
    {Protocol::kDns, "rcode"},
    {Protocol::kDns, "aa"},
    {Protocol::kDns, "ra"},
    {Protocol::kDns, "cd"},
    {Protocol::kFragment, "id"},
    {Protocol::kFragment, "reserved"},
    {Protocol::kDns, "tc"},
};

class Maker {
  public:
    explicit Maker(std::mt19937_64& random) : random_(random) {}

    Packet packet() {
        ethernet(0);
        auto made = build(parts_);
        EXPECT_TRUE(made) << made.error().message();
        return made ? *made : Packet();
    }

  private:
    size_t below(size_t limit) { return random_() % limit; }

    ByteVec bytes(size_t size) {
        ByteVec made(size);
        for (uint8_t& byte : made) {
            byte = static_cast<uint8_t>(random_());
        }
        return made;
    }

    template <typename T, size_t N>
    T pick(const T (&choices)[N]) {
        return choices[below(N)];
    }

    FieldValue value(const Field& field) {
        if (field.kind == FieldKind::kMac || field.kind == FieldKind::kIp4 || field.kind == FieldKind::kIp6) {
            ByteVec address = bytes(field.bit_width / 8U);
            address[0] &= 0x1e; // neither multicast nor a reserved network
            return address;
        }
        return random_() & ((uint64_t{1} << field.bit_width) - 1);
    }

    void add(Protocol protocol, std::vector<FieldSetting> fields = {}) {
        for (const auto& [owner, name] : kFree) {
            if (owner == protocol && below(2) == 0) {
                fields.insert(fields.begin(), {name, value(*find_field(layout_of(protocol), name))});
            }
        }
        parts_.emplace_back(LayerSpec{protocol, std::move(fields)});
    }

    void payload() { parts_.emplace_back(bytes(below(120))); }

    void ethernet(size_t tunnels) {
        add(Protocol::kEth);
        for (size_t tags = below(4) == 0 ? 1 + below(2) : 0; tags > 0; tags--) {
            add(Protocol::kVlan);
        }
        if (below(12) == 0) {
            add(Protocol::kArp);
        } else {
            network(tunnels);
        }
    }

    void network(size_t tunnels) {
        if (below(2) == 0) {
            const char* options[] = {"",
                                     "",
                                     "",
                                     "ra=0",
                                     "nop,rr=04c0000201,eol",
                                     "nop,nop,nop,eol",
                                     "ts=05000000002a",
                                     "sec=000000000000000000"};
            add(Protocol::kIp, {{"options", pick(options)}});
            if (below(12) == 0) {
                std::get<LayerSpec>(parts_.back()).fields.push_back({"frag", uint64_t{1 + below(1000)}});
                payload();
                return;
            }
            transport(tunnels, false);
            return;
        }
        add(Protocol::kIp6);
        if (below(5) == 0) {
            const char* options[] = {"ra=0,padn", "padn=00000000", "pad1,pad1,padn=0000"};
            add(Protocol::kHopOpts, {{"options", pick(options)}});
        }
        if (below(6) == 0) {
            const uint64_t types[] = {0, 2, 253};
            add(Protocol::kRouting, {{"type", pick(types)},
                                     {"left", uint64_t{1}},
                                     {"data", *from_hex("0000000020010db8000000000000000000000099")}});
        }
        if (below(8) == 0) {
            const bool is_later = below(2) == 0;
            add(Protocol::kFragment, {{"frag", uint64_t{is_later ? 1 + below(1000) : 0}}});
            if (is_later) {
                payload();
                return;
            }
        }
        if (below(6) == 0) {
            const char* options[] = {"padn=00000000", "padn=0000,home=20010db8000000000000000000000077"};
            add(Protocol::kDstOpts, {{"options", pick(options)}});
        }
        transport(tunnels, true);
    }

    void transport(size_t tunnels, bool is_ip6) {
        const size_t kind = below(tunnels < kMostTunnels ? 9 : 5);
        const uint64_t ports[] = {40000, 40001};
        switch (kind) {
        case 0:
            add(Protocol::kUdp, {{"sport", pick(ports)}, {"dport", pick(ports)}});
            payload();
            break;
        case 1: {
            const char* options[] = {"",
                                     "",
                                     "mss=1460,sackok,timestamp=7:0,nop,wscale=7",
                                     "nop,nop,timestamp=1:2",
                                     "nop,nop,sack=1:2",
                                     "254=01020304",
                                     "tfo=0102030405060708",
                                     "nop,wscale=14,sackok,eol"};
            add(Protocol::kTcp, {{"sport", pick(ports)}, {"dport", pick(ports)}, {"options", pick(options)}});
            payload();
            break;
        }
        case 2:
            add(is_ip6 ? Protocol::kIcmp6 : Protocol::kIcmp,
                {{"type", uint64_t{is_ip6 ? 128U + below(2) : below(2) * 8}}});
            payload();
            break;
        case 3:
            icmp_error(is_ip6);
            break;
        case 4:
            dns();
            break;
        case 5:
        case 6:
            gre(tunnels);
            break;
        case 7:
            add(Protocol::kUdp, {{"sport", pick(ports)}});
            add(Protocol::kVxlan);
            ethernet(tunnels + 1);
            break;
        default:
            network(tunnels + 1);
        }
    }

    void gre(size_t tunnels) {
        add(Protocol::kGre);
        if (below(3) == 0) {
            ethernet(tunnels + 1);
        } else {
            network(tunnels + 1);
        }
    }

    // The first bytes of a packet are quoted, 8 behind its header at least (RFC 792, RFC 4443).
    void icmp_error(bool is_ip6) {
        const uint64_t types4[] = {3, 11, 12};
        const uint64_t types6[] = {1, 2, 3, 4};
        add(is_ip6 ? Protocol::kIcmp6 : Protocol::kIcmp,
            {{"type", is_ip6 ? pick(types6) : pick(types4)}, {"id", uint64_t{0}}, {"seq", uint64_t{0}}});
        const std::vector<Part> quoted = {
            LayerSpec{is_ip6 ? Protocol::kIp6 : Protocol::kIp},
            LayerSpec{Protocol::kUdp, {{"sport", uint64_t{40000}}, {"dport", uint64_t{40001}}}}, bytes(8)};
        parts_.emplace_back(build(quoted)->bytes());
    }

    std::string name() {
        const char* names[] = {"example.com", "www.example.com", "mail.example.com", "a.b.example.org", "x"};
        return pick(names);
    }

    std::string records() {
        std::string text;
        for (size_t count = below(4); count > 0; count--) {
            const std::string data[] = {"A 192.0.2." + std::to_string(below(256)),
                                        "AAAA 2001:db8::7",
                                        "MX 10 " + name(),
                                        "CNAME " + name(),
                                        "NS " + name(),
                                        "PTR " + name(),
                                        "SRV 1 2 5060 " + name(),
                                        "SOA " + name() + " " + name() + " 1 2 3 4 5",
                                        "TXT \"some text\"",
                                        "TXT \"one\" \"two\"",
                                        "HINFO \"a processor\" \"a system\"",
                                        "DNAME " + name(),
                                        "TYPE65280 \\# 3 010203"};
            text += (text.empty() ? "" : ", ") + name() + " " + std::to_string(below(100000)) + " " +
                    (below(8) == 0 ? "CH " : "") + data[below(std::size(data))];
        }
        return text;
    }

    void dns() {
        const bool is_reply = below(2) == 0;
        add(Protocol::kUdp,
            {{is_reply ? "sport" : "dport", uint64_t{53}}, {is_reply ? "dport" : "sport", uint64_t{40000}}});
        std::string additional = records();
        additional += below(2) == 0 ? "" : std::string(additional.empty() ? "" : ", ") + ". 0 CLASS1232 OPT";
        add(Protocol::kDns, {{"questions", name() + (below(2) == 0 ? " A" : " AAAA")},
                             {"answers", records()},
                             {"authority", records()},
                             {"additional", additional}});
    }

    std::mt19937_64& random_;
    std::vector<Part> parts_;
};

} // namespace

Packet random_packet(std::mt19937_64& random) {
    return Maker(random).packet();
}

ByteVec damaged(std::mt19937_64& random, const Packet& packet) {
    ByteVec bytes = packet.bytes();
    const size_t kind = random() % 3;
    for (size_t changes = kind == 0 ? 0 : 1 + random() % 3; changes > 0; changes--) {
        bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    if (kind != 1) {
        bytes.resize(1 + random() % bytes.size());
    }
    return bytes;
}

} // namespace mimicsh::net
