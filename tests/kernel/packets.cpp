// SPDX-License-Identifier: MIT
// The packets that whole corpora of programs run on.
#include "tests/kernel/packets.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "net/pcap_file.h"
#include "tests/kernel/program_packets.h"
#include "tests/paths.h"
#include "tests/unit/vm/raw.h"

namespace mimicsh::test {

const std::vector<ByteVec>& corpus_packets() {
    static const std::vector<ByteVec> kPackets = [] {
        std::set<ByteVec> all;
        size_t files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(in_tree("tests/data/captures"))) {
            const std::string path = entry.path().string();
            if (!path.ends_with(".pcap") && !path.ends_with(".pcapng")) {
                continue;
            }
            auto reader = net::PcapReader::open(path);
            std::vector<net::PacketRecord> records;
            while (reader && (*reader)->read(records) && !records.empty()) {
                for (const net::PacketRecord& record : records) {
                    all.emplace(record.data.begin(), record.data.end());
                }
            }
            ++files;
        }
        EXPECT_GE(files, 8u);
        EXPECT_GE(all.size(), 100u);
        for (const size_t size : {14, 15, 33, 34, 41, 42, 60, 64, 1500, 1514, 3520, 3521, 9000}) {
            all.insert(packet_of(size));
        }
        std::vector<ByteVec> list = program_packets();
        EXPECT_GE(list.size(), 100u);
        list.insert(list.end(), all.begin(), all.end());
        return list;
    }();
    return kPackets;
}

} // namespace mimicsh::test
