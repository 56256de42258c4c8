// SPDX-License-Identifier: MIT
// Expressions of pcap-filter(7) as programs, on both targets, against libpcap's own answer.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include "net/filter.h"
#include "object/classic_bpf.h"
#include "tests/kernel/filter_packets.h"
#include "tests/kernel/parity.h"
#include "tests/paths.h"

namespace mimicsh::test {

namespace {

std::vector<std::string> expressions() {
    std::ifstream file(in_tree("tests/cases/filters.txt"));
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line);) {
        if (!line.empty() && line[0] != '#') {
            found.push_back(line);
        }
    }
    EXPECT_GE(found.size(), 300u);
    return found;
}

/// How an expression went over all packets.
struct Outcome {
    size_t ran = 0;       ///< on each target
    bool decides = false; ///< takes some packets and not others
};

class FilterParity : public ParityTest {
  protected:
    void compare(abi::ProgType type, const std::string& text, Outcome& outcome);
    void compare_all(abi::ProgType type, const std::vector<std::string>& filters, double least);
};

/// 1 for packets that the filter takes, 2 for others: both targets and libpcap agree on each.
void FilterParity::compare(abi::ProgType type, const std::string& text, Outcome& outcome) {
    auto filter = net::PacketFilter::compile(text, net::kLinkEthernet);
    ASSERT_TRUE(filter) << text << ": " << filter.error().message();
    const auto insns = filter->instructions(net::kLinkEthernet);
    ASSERT_TRUE(insns);
    auto object = classic_object(*insns, {type, 1, 2, text});
    ASSERT_TRUE(object) << text << ": " << object.error().message() << "\n" << object.error().log;
    open(std::make_shared<const Object>(std::move(*object)));
    ASSERT_TRUE(ready()) << text;
    ASSERT_FALSE(HasFatalFailure()) << text;
    Program* here = vm_->find_program("filter");
    Program* there = kernel_->find_program("filter");
    size_t taken = 0;
    for (const ByteVec& packet : filter_packets()) {
        net::PacketRecord record;
        record.data = packet;
        auto wanted = filter->matches(net::kLinkEthernet, record);
        ASSERT_TRUE(wanted);
        if (type == abi::ProgType::SocketFilter) {
            // A test run lets a socket see the packet without the first header, which counts in its length
            // only.
            constexpr uint32_t kHeader = 14;
            wanted = libpcap_takes(*insns, packet, static_cast<uint32_t>(packet.size()) - kHeader);
        }
        const auto on_vm = here->run(packet, {});
        const auto on_kernel = there->run(packet, {});
        ASSERT_EQ(on_vm.has_value(), on_kernel.has_value()) << text << ", " << packet.size() << " bytes";
        if (!on_vm) {
            continue; // a test run wants whole IP headers in socket buffers
        }
        ++outcome.ran;
        ASSERT_FALSE(on_vm->fault) << text;
        ASSERT_EQ(on_vm->ret, *wanted ? 1u : 2u) << text << " on the vm, " << to_hex(packet);
        ASSERT_EQ(on_kernel->ret, *wanted ? 1u : 2u) << text << " on the kernel, " << to_hex(packet);
        taken += *wanted ? 1 : 0;
    }
    outcome.decides = taken != 0 && taken != outcome.ran;
}

void FilterParity::compare_all(abi::ProgType type, const std::vector<std::string>& filters, double least) {
    ASSERT_GE(filter_packets().size(), 500u);
    size_t runs = 0, decisive = 0;
    std::string undecided;
    for (const std::string& text : filters) {
        Outcome outcome;
        compare(type, text, outcome);
        if (HasFatalFailure() || IsSkipped()) {
            return;
        }
        ASSERT_GE(outcome.ran, 500u) << text;
        runs += outcome.ran;
        decisive += outcome.decides ? 1 : 0;
        undecided += outcome.decides ? "" : "  " + text + "\n";
    }
    EXPECT_GE(static_cast<double>(decisive), least * static_cast<double>(filters.size())) << undecided;
    std::printf("%zu expressions, %zu runs on each target, %zu expressions decide\n", filters.size(), runs,
                decisive);
}

/// Expressions that libpcap takes, by a seed; more of them when the environment says so.
std::vector<std::string> random_expressions(size_t count) {
    const char* wanted = std::getenv("MIMICSH_FILTER_SEED");
    const auto seed = static_cast<uint32_t>(wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 1);
    const char* more = std::getenv("MIMICSH_FILTER_COUNT");
    count = more != nullptr ? std::strtoul(more, nullptr, 10) : count;
    std::printf("seed %u (MIMICSH_FILTER_SEED, MIMICSH_FILTER_COUNT)\n", seed);
    std::mt19937 random(seed);
    std::vector<std::string> found;
    while (found.size() < count) {
        std::string text = random_expression(random);
        if (net::PacketFilter::compile(text, net::kLinkEthernet)) {
            found.push_back(std::move(text));
        }
    }
    return found;
}

TEST_F(FilterParity, XdpProgramsSayWhatLibpcapSays) {
    compare_all(abi::ProgType::Xdp, expressions(), 0.8);
}

TEST_F(FilterParity, TcProgramsSayWhatLibpcapSays) {
    compare_all(abi::ProgType::SchedCls, expressions(), 0.8);
}

TEST_F(FilterParity, SocketProgramsSayWhatLibpcapSays) {
    compare_all(abi::ProgType::SocketFilter, expressions(), 0.8);
}

TEST_F(FilterParity, RandomExpressionsSayWhatLibpcapSays) {
    const std::vector<std::string> filters = random_expressions(150);
    for (const auto type : {abi::ProgType::Xdp, abi::ProgType::SchedCls, abi::ProgType::SocketFilter}) {
        compare_all(type, filters, 0.5);
        if (HasFatalFailure() || IsSkipped()) {
            return;
        }
    }
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
