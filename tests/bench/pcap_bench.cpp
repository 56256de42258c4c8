// SPDX-License-Identifier: MIT
// Speed of the capture reader, the dissector and the checksum: pcap_bench [FILE [ROUNDS]], by processor time.
// Without a file, over 128 MiB of generated packets of 64 bytes.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <ctime>

#include "net/checksum.h"
#include "net/dissect.h"
#include "net/pcap_file.h"
#include "tests/bench/measure.h"
#include "tests/paths.h"

namespace {

using namespace mimicsh;
using namespace mimicsh::net;

// Processor time, user and system: the machine may be busy with other things.
double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

uint64_t fail(const Error& error) {
    std::fprintf(stderr, "pcap_bench: %s\n", error.message().c_str());
    std::exit(1);
}

// Reads the whole file; `each` sees every record.
template <typename Each>
uint64_t for_each_packet(const char* path, Each each) {
    auto reader = PcapReader::open(path);
    if (!reader) {
        return fail(reader.error());
    }
    std::vector<PacketRecord> records;
    uint64_t packets = 0;
    while (true) {
        if (Status status = (*reader)->read(records); !status) {
            return fail(status.error());
        }
        if (records.empty()) {
            return packets;
        }
        for (const PacketRecord& record : records) {
            each(record);
        }
        packets += records.size();
    }
}

template <typename Each>
void measure(const char* what, const char* path, Each each) {
    double start = cpu_seconds();
    uint64_t packets = for_each_packet(path, each);
    double seconds = cpu_seconds() - start;
    std::printf("%-9s %8.2f Mpps  %6.1f ns/packet\n", what, static_cast<double>(packets) / seconds / 1e6,
                seconds * 1e9 / static_cast<double>(packets == 0 ? 1 : packets));
}

int measure_all(const char* path, int rounds) {
    uint64_t sink = 0;
    for (int round = 0; round < rounds; round++) {
        measure("read", path, [&](const PacketRecord& record) { sink += record.data[0] + record.time_ns; });
        measure("checksum", path, [&](const PacketRecord& record) { sink += checksum(record.data); });
    }
    measure("dissect", path,
            [&](const PacketRecord& record) { sink += dissect(record.data).layers().size(); });
    return sink == 0 ? 1 : 0;
}

} // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
    if (argc > 1) {
        return measure_all(argv[1], rounds);
    }
    const bench::TempFolder folder;
    const std::string path = folder.file("packets.pcap");
    if (!bench::run_command({test::in_build("tests/bench/gen_pcap"), path, "--size", "128M"}).ok) {
        std::fprintf(stderr, "gen_pcap does not run\n");
        return 1;
    }
    return measure_all(path.c_str(), rounds);
}
