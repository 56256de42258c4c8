// SPDX-License-Identifier: MIT
// Writes a large pcap file of UDP frames, the same for the same options: gen_pcap OUT --size 1G --packet 64
// --dns 10%
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "net/build.h"
#include "net/checksum.h"
#include "net/pcap_file.h"

namespace {

using namespace mimicsh;
using namespace mimicsh::net;

struct Options {
    std::string path;
    uint64_t size = uint64_t{1} << 30; // of the file, headers of the records included
    uint64_t packet = 64;              // frame length
    uint64_t dns_permille = 100;
    uint64_t seed = 1;
    uint64_t flows = 4096;
};

// "64", "512K", "1G", "10%" (as permille).
uint64_t parse_amount(const std::string& text) {
    char* end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    static const std::map<char, double> kUnits = {{'K', 0x1p10}, {'M', 0x1p20}, {'G', 0x1p30}, {'%', 10}};
    auto unit = kUnits.find(*end);
    if (end == text.c_str() || value < 0 || (*end != '\0' && (unit == kUnits.end() || end[1] != '\0'))) {
        std::fprintf(stderr, "gen_pcap: not an amount: %s\n", text.c_str());
        std::exit(2);
    }
    return static_cast<uint64_t>(*end == '\0' ? value : value * unit->second);
}

Options parse(int argc, char** argv) {
    Options options;
    const std::map<std::string, uint64_t*> names = {{"--size", &options.size},
                                                    {"--packet", &options.packet},
                                                    {"--dns", &options.dns_permille},
                                                    {"--seed", &options.seed},
                                                    {"--flows", &options.flows}};
    for (int i = 1; i < argc; i++) {
        auto option = names.find(argv[i]);
        if (option != names.end() && i + 1 < argc) {
            *option->second = parse_amount(argv[++i]);
        } else if (option == names.end() && options.path.empty() &&
                   (argv[i][0] != '-' || argv[i][1] == '\0')) {
            options.path = argv[i];
        } else {
            options.path.clear();
            break;
        }
    }
    if (options.path.empty() || options.packet < 42 || options.packet > 65535 ||
        options.dns_permille > 1000 || options.flows == 0) {
        std::fprintf(stderr,
                     "usage: gen_pcap OUT [--size 1G] [--packet 64 (42..65535)] [--dns 10%%] [--seed 1] "
                     "[--flows 4096]\n");
        std::exit(2);
    }
    return options;
}

// splitmix64: short, and the same on every machine.
uint64_t next_random(uint64_t& state) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

constexpr size_t kIpChecksum = 24;
constexpr size_t kIpSource = 26;
constexpr size_t kSourcePort = 34;
constexpr size_t kDestinationPort = 36;
constexpr size_t kUdpChecksum = 40;

// Writes a word into the frame and keeps the checksum at `sum` right.
template <typename T>
void rewrite(ByteVec& frame, size_t at, T value, std::initializer_list<size_t> sums) {
    T before = load_be<T>(frame.data() + at);
    for (size_t sum : sums) {
        store_be(frame.data() + sum, checksum_update(load_be<uint16_t>(frame.data() + sum), before, value));
    }
    store_be(frame.data() + at, value);
}

Status generate(const Options& options) {
    auto writer = PcapWriter::create(options.path);
    if (!writer) {
        return writer.error();
    }
    auto base = build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp, {{"src", "10.0.0.0"}}},
                       LayerSpec{Protocol::kUdp}, ByteVec(options.packet - 42, 'x')});
    if (!base) {
        return base.error();
    }
    ByteVec frame = base->bytes();
    uint64_t state = options.seed;
    uint64_t record_size = frame.size() + 16;
    uint64_t count = options.size > 24 ? (options.size - 24) / record_size : 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t random = next_random(state);
        auto flow = static_cast<uint32_t>((random >> 32) % options.flows);
        bool is_dns = (random & 0xffffffff) % 1000 < options.dns_permille;
        rewrite(frame, kIpSource, 0x0a000000 | (flow & 0xffffff), {kIpChecksum, kUdpChecksum});
        rewrite(frame, kSourcePort, static_cast<uint16_t>(1024 + flow * 7 % 60000), {kUdpChecksum});
        rewrite(frame, kDestinationPort, static_cast<uint16_t>(is_dns ? 53 : 1024 + (flow * 13 + 5) % 60000),
                {kUdpChecksum});
        if (Status status = (*writer)->write({frame, 1'600'000'000'000'000'000 + i * 1000, 0, 0, {}});
            !status) {
            return status;
        }
    }
    std::fprintf(stderr, "%llu packets\n", static_cast<unsigned long long>(count));
    return (*writer)->close();
}

} // namespace

int main(int argc, char** argv) {
    if (Status status = generate(parse(argc, argv)); !status) {
        std::fprintf(stderr, "gen_pcap: %s\n", status.error().message().c_str());
        return 1;
    }
    return 0;
}
