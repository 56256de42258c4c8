// SPDX-License-Identifier: MIT
// One list for all programs: what is the subject of one is the stranger of another.
#include "tests/kernel/program_packets.h"

#include <gtest/gtest.h>

#include <string>

#include "net/build.h"

namespace mimicsh::test {

namespace {

using net::LayerSpec;
using net::Part;
using net::Protocol;

LayerSpec eth() {
    return {Protocol::kEth};
}

LayerSpec ip(const std::string& src, const std::string& dst, std::vector<net::FieldSetting> more = {}) {
    more.push_back({"src", src});
    more.push_back({"dst", dst});
    return {Protocol::kIp, std::move(more)};
}

LayerSpec ip6(const std::string& src, const std::string& dst) {
    return {Protocol::kIp6, {{"src", src}, {"dst", dst}}};
}

LayerSpec tcp(uint64_t sport, uint64_t dport, const std::string& flags, const std::string& options = "") {
    LayerSpec spec{Protocol::kTcp,
                   {{"sport", sport}, {"dport", dport}, {"flags", flags}, {"seq", uint64_t{1000}}}};
    if (flags == "ack") {
        spec.fields.push_back({"ack", sport == 1025 ? uint64_t{7} : uint64_t{1001}});
    }
    if (!options.empty()) {
        spec.fields.push_back({"options", options});
    }
    return spec;
}

LayerSpec udp(uint64_t sport, uint64_t dport) {
    return {Protocol::kUdp, {{"sport", sport}, {"dport", dport}}};
}

LayerSpec echo(Protocol protocol, uint64_t type, uint64_t id) {
    return {protocol, {{"type", type}, {"id", id}, {"seq", uint64_t{1}}}};
}

ByteVec text(std::string_view bytes) {
    return {bytes.begin(), bytes.end()};
}

class List {
  public:
    void add(const std::vector<Part>& parts) {
        const auto built = net::build(parts);
        ASSERT_TRUE(built) << built.error().message();
        all_.push_back(built->bytes());
    }
    [[nodiscard]] const ByteVec& last() const { return all_.back(); }
    /// The last frame without its end.
    void add_cut(size_t size) {
        ASSERT_LT(size, last().size());
        all_.emplace_back(last().begin(), last().begin() + static_cast<ptrdiff_t>(size));
    }
    /// The last frame with another byte at `at`.
    void add_changed(size_t at, uint8_t value) {
        ByteVec copy = last();
        copy.at(at) = value;
        all_.push_back(std::move(copy));
    }
    [[nodiscard]] std::vector<ByteVec> take() { return std::move(all_); }

  private:
    std::vector<ByteVec> all_;
};

void add_tcp(List& list) {
    for (const uint64_t port : {1024, 1025, 1026, 1027}) {
        for (const char* flags : {"syn", "syn", "ack", "psh,ack", "fin,ack", "rst"}) {
            list.add({eth(), ip("192.0.2.1", "192.0.2.2"), tcp(port, port % 2 == 0 ? 80 : 443, flags),
                      text("GET /index.html HTTP/1.1\r\n")});
        }
    }
    for (const char* options : {"mss=1460", "mss=536,wscale=7", "nop,nop,timestamp=1:2",
                                "mss=9000,sackok,timestamp=99:0,nop,wscale=14", "sackok,nop,nop"}) {
        list.add({eth(), ip("10.1.2.3", "10.0.0.7"), tcp(2000, 8080, "syn", options)});
    }
    list.add_changed(55, 1);
    list.add_cut(57);
    list.add_cut(50);
    list.add({eth(), ip("198.51.100.9", "10.1.2.77", {{"ttl", uint64_t{1}}}), tcp(6, 7, "syn,ack")});
    list.add({eth(), ip("198.51.100.9", "203.0.113.1", {{"tos", uint64_t{0xb8}}}), tcp(80, 40000, "ack")});
    list.add({eth(), ip6("2001:db8::1", "2001:db8::2"), tcp(5, 80, "syn", "mss=1440")});
}

void add_udp(List& list) {
    const ByteVec query = [] {
        ByteVec bytes{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
        for (const char c : std::string("\3www\7example\3com")) {
            bytes.push_back(static_cast<uint8_t>(c));
        }
        bytes.insert(bytes.end(), {0, 0, 1, 0, 1});
        return bytes;
    }();
    for (const char* dst : {"192.0.2.2", "192.0.2.200", "10.1.2.3", "10.1.9.9", "10.200.0.1", "8.8.8.8"}) {
        list.add({eth(), ip("192.0.2.1", dst), udp(5000, 53), query});
        list.add({eth(), ip("192.0.2.3", dst, {{"ttl", uint64_t{2}}, {"tos", uint64_t{0x28}}}), udp(123, 124),
                  text("a payload of some length: 0123456789")});
    }
    list.add({eth(), ip("192.0.2.1", "192.0.2.2"), udp(5000, 53), query});
    list.add_changed(44, 0x81); // an answer
    list.add_changed(54, 0xc0); // a pointer for a name
    list.add_cut(58);
    list.add({eth(), ip6("2001:db8::1", "2001:db8:9::2"), udp(5000, 53), query});
    list.add({eth(), ip("192.0.2.1", "192.0.2.2"), LayerSpec{Protocol::kUdp, {{"checksum", uint64_t{0}}}},
              text("no checksum")});
    for (const size_t size : {0, 1, 2, 3, 8, 31, 32, 33, 200, 1400, 3400}) {
        list.add(
            {eth(), ip("172.16.0.1", "172.16.0.2"), udp(7, size), ByteVec(size, static_cast<uint8_t>(size))});
    }
}

void add_tunnels(List& list) {
    const auto bytes_of = [&list](const std::vector<Part>& parts) {
        List inner;
        inner.add(parts);
        return inner.last();
    };
    const ByteVec frame = bytes_of({eth(), ip("10.0.0.1", "10.0.0.2"), udp(1, 2), text("inside")});
    for (const uint8_t network : ByteVec{4, 5, 6, 6}) {
        ByteVec payload{8, 0, 0, 0, 0, 0, network, 0};
        payload.insert(payload.end(), frame.begin(), frame.end());
        list.add({eth(), ip("10.9.0.1", "10.9.0.2"), udp(50000, 4789), payload});
    }
    list.add_changed(42, 0);
    list.add({eth(), ip("10.9.0.1", "10.9.0.2"), udp(50000, 4789), ByteVec{8, 0, 0, 0, 0, 0, 2, 0}});
    const ByteVec packet(frame.begin() + 14, frame.end());
    list.add({eth(), ip("10.9.0.1", "10.9.0.2", {{"proto", uint64_t{4}}}), packet});
    ByteVec gre{0, 0, 8, 0};
    gre.insert(gre.end(), packet.begin(), packet.end());
    list.add({eth(), ip("10.9.0.1", "10.9.0.2", {{"proto", uint64_t{47}}}), gre});
    list.add_changed(34, 0x20);
    list.add_cut(36);
}

void add_layer2(List& list) {
    for (const uint64_t op : {1, 2}) {
        for (const char* target : {"192.0.2.2", "192.0.2.9"}) {
            list.add({eth(), LayerSpec{Protocol::kArp, {{"op", op}, {"pdst", std::string(target)}}}});
        }
    }
    list.add_cut(30);
    for (const uint64_t id : {1, 100, 4095}) {
        const LayerSpec tag{Protocol::kVlan, {{"id", id}, {"prio", id % 8}}};
        list.add({eth(), tag, ip("192.0.2.1", "192.0.2.2"), udp(1, 2)});
        list.add(
            {eth(), tag, LayerSpec{Protocol::kVlan, {{"id", uint64_t{7}}}}, ip6("::1", "::2"), udp(1, 2)});
        list.add({LayerSpec{Protocol::kEth, {{"type", uint64_t{0x88a8}}}}, tag, ip("192.0.2.1", "192.0.2.2"),
                  tcp(1, 2, "syn")});
    }
    list.add_cut(16);
}

void add_others(List& list) {
    for (const uint64_t type : {8, 8, 0, 3, 11}) {
        list.add({eth(), ip("192.0.2.1", "192.0.2.2"), echo(Protocol::kIcmp, type, type + 1),
                  text("ping payload")});
    }
    list.add_cut(40);
    for (const char* options : {"ra=0", "nop,nop,ra=0", "nop,eol"}) {
        list.add({eth(), ip("192.0.2.1", "192.0.2.2", {{"options", std::string(options)}}), udp(1, 2)});
    }
    for (const uint8_t kind : ByteVec{131, 137, 7, 0}) {
        list.add_changed(34, kind);
    }
    list.add({eth(), ip("192.0.2.1", "192.0.2.2", {{"flags", std::string("mf")}}), udp(1, 2), text("first")});
    list.add({eth(), ip("192.0.2.1", "192.0.2.2", {{"frag", uint64_t{100}}}), text("a later fragment")});
    for (const uint64_t type : {128, 129, 135}) {
        list.add({eth(), ip6("fe80::1", "ff02::1"), echo(Protocol::kIcmp6, type, 5), ByteVec(16, 0x20)});
    }
    list.add({eth(), ip6("::1", "::2"), LayerSpec{Protocol::kHopOpts}, tcp(1, 2, "syn")});
    list.add(
        {eth(), ip6("::1", "::2"), LayerSpec{Protocol::kHopOpts}, LayerSpec{Protocol::kDstOpts}, udp(1, 2)});
    list.add({eth(), ip6("::1", "::2"), LayerSpec{Protocol::kFragment, {{"frag", uint64_t{9}}}},
              text("later part")});
    list.add({eth(), ip6("::1", "::2"), LayerSpec{Protocol::kFragment}, udp(1, 2), text("atomic")});
    list.add_cut(57);
}

} // namespace

std::vector<ByteVec> program_packets() {
    List list;
    add_tcp(list);
    add_udp(list);
    add_tunnels(list);
    add_layer2(list);
    add_others(list);
    return list.take();
}

} // namespace mimicsh::test
