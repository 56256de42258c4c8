// SPDX-License-Identifier: MIT
// Running tshark over a capture file.
#include "tests/unit/net/tshark.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include <gtest/gtest.h>

#include "tests/unit/net/support.h"

namespace mimicsh::net {

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    size_t from = 0;
    while (from <= text.size()) {
        size_t to = std::min(text.find(separator, from), text.size());
        parts.push_back(text.substr(from, to - from));
        from = to + 1;
    }
    return parts;
}

// A folder of settings in which tshark dissects the table's protocols and nothing else, so that neither a
// random port nor random bytes make it see others.
std::string settings_with_our_protocols() {
    static const TempDir folder;
    static const bool is_written = [] {
        constexpr std::string_view kOurs[] = {"frame", "eth",   "ethertype", "vlan", "ieee8021ad",
                                              "arp",   "ip",    "icmp",      "udp",  "tcp",
                                              "gre",   "vxlan", "dns",       "data"};
        int status = 0;
        std::ofstream file(folder.file("disabled_protos"));
        for (const std::string& line : split(run_command("tshark -G protocols 2>/dev/null", status), '\n')) {
            const std::string name = line.substr(line.rfind('\t') + 1);
            const bool is_ours = std::ranges::find(kOurs, name) != std::end(kOurs) ||
                                 name.starts_with("icmpv6") || name.starts_with("ipv6") ||
                                 name.starts_with("_ws");
            if (!is_ours) {
                file << name << '\n';
            }
        }
        return status == 0;
    }();
    EXPECT_TRUE(is_written);
    return folder.file("");
}

std::string command_for(const std::string& path) {
    return "WIRESHARK_CONFIG_DIR='" + settings_with_our_protocols() + "' tshark -n -r '" + path +
           "' -o ip.defragment:FALSE -o ipv6.defragment:FALSE -o tcp.desegment_tcp_streams:FALSE"
           " --disable-heuristic dns_udp -d udp.port==4754,data -d udp.port==4790,data -o "
           "ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE -o "
           "tcp.analyze_sequence_numbers:FALSE";
}

/* -- PDML ------------------------------------------------------------------ */

// The text of an attribute in a line of XML, nothing decoded.
std::string_view attribute(std::string_view line, std::string_view name) {
    const std::string start = " " + std::string(name) + "=\"";
    const size_t at = line.find(start);
    if (at == std::string_view::npos) {
        return {};
    }
    const size_t from = at + start.size();
    return line.substr(from, line.find('"', from) - from);
}

std::string decoded(std::string_view text) {
    constexpr std::pair<std::string_view, char> kEntities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#x27;", '\''}};
    std::string plain;
    while (!text.empty()) {
        const auto* entity =
            std::ranges::find_if(kEntities, [&](const auto& each) { return text.starts_with(each.first); });
        const bool is_entity = entity != std::end(kEntities);
        plain += is_entity ? entity->second : text[0];
        text.remove_prefix(is_entity ? entity->first.size() : 1);
    }
    return plain;
}

uint32_t decimal(std::string_view text) {
    uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

} // namespace

std::vector<TsharkPacket> tshark_packets(const std::string& path,
                                         const std::function<bool(std::string_view name)>& is_wanted) {
    const std::string command = command_for(path) + " -T pdml 2>/dev/null";
    FILE* pipe = ::popen(command.c_str(), "r");
    std::vector<TsharkPacket> packets;
    char* buffer = nullptr;
    size_t capacity = 0;
    std::string rest; // a text may hold line ends
    for (ssize_t size = 0; (size = ::getline(&buffer, &capacity, pipe)) > 0;) {
        rest.append(buffer, static_cast<size_t>(size));
        if (std::ranges::count(rest, '"') % 2 != 0) {
            continue;
        }
        const std::string line = std::exchange(rest, {});
        if (line.starts_with("<packet>")) {
            packets.emplace_back();
        }
        const std::string_view name = attribute(line, "name");
        if (!packets.empty() && is_wanted(name) && attribute(line, "hide").empty()) {
            const bool is_protocol = line.find("<proto ") != std::string_view::npos;
            packets.back().push_back({std::string(name), decimal(attribute(line, "pos")),
                                      decimal(attribute(line, "size")),
                                      decoded(attribute(line, is_protocol ? "showname" : "show")),
                                      std::string(attribute(line, "value"))});
        }
    }
    std::free(buffer);
    EXPECT_EQ(::pclose(pipe), 0) << command;
    return packets;
}

std::vector<std::vector<std::vector<std::string>>> tshark_fields(const std::string& path,
                                                                 const std::vector<std::string>& fields) {
    std::string command = command_for(path) + " -T fields -E separator=/t -E 'aggregator=;'";
    for (const std::string& field : fields) {
        command += " -e " + field;
    }
    int status = 0;
    std::string output = run_command(command + " 2>/dev/null", status);
    EXPECT_EQ(status, 0) << command;
    std::vector<std::vector<std::vector<std::string>>> rows;
    for (const std::string& line : split(output, '\n')) {
        if (line.empty()) {
            continue;
        }
        std::vector<std::vector<std::string>> row;
        for (const std::string& cell : split(line, '\t')) {
            row.push_back(cell.empty() ? std::vector<std::string>() : split(cell, ';'));
        }
        EXPECT_EQ(row.size(), fields.size());
        row.resize(fields.size());
        rows.push_back(std::move(row));
    }
    return rows;
}

} // namespace mimicsh::net
