// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7) as programs, on both targets, against libpcap's own answer.
#include <algorithm>
#include <fstream>
#include <random>

#include "net/filter.h"
#include "object/classic_bpf.h"
#include "tests/kernel/packets.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

constexpr uint32_t kShortest = 14; // that a test run takes
constexpr uint32_t kLongest = 3500;

std::vector<std::string> expressions() {
    std::ifstream file(std::string(MIMICSH_SOURCE_DIR) + "/tests/cases/filters.txt");
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line);) {
        if (!line.empty() && line[0] != '#') {
            found.push_back(line);
        }
    }
    return found;
}

/// Recorded and built packets, each also cut somewhere and with bytes of its headers changed.
std::vector<ByteVec> packets() {
    std::vector<ByteVec> all;
    std::mt19937 random(53);
    for (const ByteVec& packet : corpus_packets()) {
        if (packet.size() < kShortest || packet.size() > kLongest) {
            continue;
        }
        all.push_back(packet);
        ByteVec cut = packet;
        cut.resize(kShortest + random() % std::min<size_t>(packet.size() - kShortest + 1, 80));
        all.push_back(std::move(cut));
        ByteVec changed = packet;
        for (int i = 0; i < 3; ++i) {
            changed[12 + random() % std::min<size_t>(changed.size() - 12, 60)] =
                static_cast<uint8_t>(random());
        }
        all.push_back(std::move(changed));
    }
    return all;
}

class FilterParity : public ParityTest {
  protected:
    void compare(abi::ProgType type);
};

/// 1 for packets that the filter takes, 2 for others: both targets and libpcap agree on each.
void FilterParity::compare(abi::ProgType type) {
    const std::vector<std::string> filters = expressions();
    const std::vector<ByteVec> inputs = packets();
    ASSERT_GE(filters.size(), 300u);
    ASSERT_GE(inputs.size(), 500u);
    size_t runs = 0;
    size_t decisive = 0; // expressions that take some packets and not others
    for (const std::string& text : filters) {
        auto filter = net::PacketFilter::compile(text, net::kLinkEthernet);
        ASSERT_TRUE(filter) << text << ": " << filter.error().message();
        const auto insns = filter->instructions(net::kLinkEthernet);
        ASSERT_TRUE(insns);
        auto object = classic_object(*insns, {type, 1, 2, text});
        ASSERT_TRUE(object) << text << ": " << object.error().message() << "\n" << object.error().log;
        open(std::make_shared<const Object>(std::move(*object)));
        ASSERT_TRUE(ready()) << text;
        Program* here = vm_->find_program("filter");
        Program* there = kernel_->find_program("filter");
        const bool asks_length =
            text.find("len") != std::string::npos || text.find("less") == 0 || text.find("greater") == 0;
        if (type == abi::ProgType::SocketFilter && asks_length) {
            continue; // a test run lets a socket see the packet without the first header: tested below
        }
        size_t taken = 0;
        size_t ran = 0;
        for (const ByteVec& packet : inputs) {
            net::PacketRecord record;
            record.data = packet;
            const auto wanted = filter->matches(net::kLinkEthernet, record);
            ASSERT_TRUE(wanted);
            const auto on_vm = here->run(packet, {});
            const auto on_kernel = there->run(packet, {});
            ASSERT_EQ(on_vm.has_value(), on_kernel.has_value()) << text << ", " << packet.size() << " bytes";
            if (!on_vm) {
                continue; // a test run wants whole IP headers in socket buffers
            }
            ++ran;
            ASSERT_FALSE(on_vm->fault) << text;
            ASSERT_EQ(on_vm->ret, *wanted ? 1u : 2u) << text << " on the vm, " << packet.size() << " bytes";
            ASSERT_EQ(on_kernel->ret, *wanted ? 1u : 2u)
                << text << " on the kernel, " << packet.size() << " bytes";
            taken += *wanted ? 1 : 0;
        }
        ASSERT_GE(ran, 500u) << text;
        runs += ran;
        decisive += taken != 0 && taken != ran ? 1 : 0;
    }
    EXPECT_GE(decisive, 200u);
    std::printf("%zu expressions, %zu runs on each target, %zu expressions decide\n", filters.size(), runs,
                decisive);
}

TEST_F(FilterParity, XdpProgramsSayWhatLibpcapSays) {
    compare(abi::ProgType::Xdp);
}

TEST_F(FilterParity, TcProgramsSayWhatLibpcapSays) {
    compare(abi::ProgType::SchedCls);
}

TEST_F(FilterParity, SocketProgramsSayWhatLibpcapSays) {
    compare(abi::ProgType::SocketFilter);
}

TEST_F(FilterParity, SocketsCountTheLengthThatTheySee) {
    auto filter = net::PacketFilter::compile("greater 100", net::kLinkEthernet);
    ASSERT_TRUE(filter);
    auto object = classic_object(*filter->instructions(net::kLinkEthernet),
                                 {abi::ProgType::SocketFilter, 1, 2, "socket"});
    ASSERT_TRUE(object);
    open(std::make_shared<const Object>(std::move(*object)));
    ASSERT_TRUE(ready());
    EXPECT_EQ(run_both("filter", packet_of(113)).ret, 2u);
    EXPECT_EQ(run_both("filter", packet_of(114)).ret, 1u); // 100 behind the first header
}

} // namespace

} // namespace mimicsh::test
