// SPDX-License-Identifier: MIT
// Capture readers on hostile bytes; serves the pcap and the pcapng corpus.
#include "net/pcap_file.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace mimicsh::net;
    auto reader = PcapReader::from_bytes({data, size}, "fuzz");
    if (!reader) {
        return 0;
    }
    std::vector<PacketRecord> records;
    uint64_t touched = 0;
    // Every record takes at least 16 bytes, so that more of them than that would be an endless loop.
    for (size_t packets = 0; (*reader)->read(records, 7) && !records.empty();) {
        packets += records.size();
        if (packets > size / 16 || (*reader)->position() > size) {
            std::abort();
        }
        for (const PacketRecord& record : records) {
            for (uint8_t byte : record.data) {
                touched += byte;
            }
            for (char c : record.comment) {
                touched += static_cast<uint8_t>(c);
            }
            touched += (*reader)->interfaces().at(record.interface).link_type;
        }
    }
    return touched == UINT64_MAX ? 1 : 0;
}
