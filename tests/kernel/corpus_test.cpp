// SPDX-License-Identifier: MIT
// Every BPF program in C of the tree over every recorded packet: what the kernel loads runs the same on both
// targets, what it refuses is named here.
#include <sched.h>

#include <filesystem>
#include <map>
#include <set>

#include "net/pcap_file.h"
#include "object/replay.h"
#include "tests/bpf_sources.h"
#include "tests/kernel/parity.h"
#include "vm/context/context.h"

namespace mimicsh::test {

namespace {

/// Why a source does not run on both, by path. Everything else must.
enum class Exception {
    KernelRefuses, ///< the verifier does; the emulator loads it and faults or warns when it runs
    NotEmulated,   ///< the emulator refuses by name what it does not have, the kernel loads it
    NotSupported,  ///< neither target has what it needs, and both say so
    NoProgram,     ///< has no program of a type that is emulated
    NeedsWorld,    ///< both load it; what it asks the machine is compared in world_test.cpp
};

const std::map<std::string, Exception>& exceptions() {
    static const std::map<std::string, Exception> kExceptions{
        {"examples/first_fault/first_fault.bpf.c", Exception::KernelRefuses},
        {"tests/cases/parity/world.bpf.c", Exception::NeedsWorld},
        {"tests/data/bpf/core.bpf.c", Exception::NoProgram},
        {"tests/data/bpf/externs.bpf.c", Exception::NotSupported}, // kernel configuration
    };
    return kExceptions;
}

/// The object with only the programs whose type is emulated.
std::shared_ptr<const Object> only_emulated(const Object& object) {
    auto copy = std::make_shared<Object>(object);
    for (Function& function : copy->functions) {
        if (function.spec && vm::context_kind(function.spec->type) == nullptr) {
            function.spec.reset();
        }
    }
    return copy->programs().empty() ? nullptr : copy;
}

/// All packets of tests/data/captures, equal ones once, and the sizes around the limits of a test run.
const std::vector<ByteVec>& packets() {
    static const std::vector<ByteVec> kPackets = [] {
        std::set<ByteVec> all;
        size_t files = 0;
        for (const auto& entry :
             std::filesystem::directory_iterator(MIMICSH_SOURCE_DIR "/tests/data/captures")) {
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
        return std::vector<ByteVec>(all.begin(), all.end());
    }();
    return kPackets;
}

/// The packets in order, for a replay.
class AllPackets : public PacketSource {
  public:
    Status next(std::vector<ByteView>& batch, size_t limit) override {
        batch.clear();
        while (batch.size() < limit && at_ < packets().size()) {
            batch.emplace_back(packets()[at_++]);
        }
        return {};
    }

  private:
    size_t at_ = 0;
};

/// What a replay reports, as text.
std::string report_of(Instance& instance, const std::string& name) {
    AllPackets source;
    const auto report = replay(instance, *instance.find_program(name), source, {});
    if (!report) {
        return report.error().message();
    }
    std::string text =
        std::to_string(report->packets) + " packets, " + std::to_string(report->bytes) + " bytes\n";
    for (const auto& [verdict, count] : report->verdicts) {
        text += verdict + " " + std::to_string(count) + " first " +
                std::to_string(report->first.at(verdict).index) + "\n";
    }
    for (const MapChange& change : report->map_changes) {
        text += change.map + " " + std::to_string(change.added) + " " + std::to_string(change.removed) + " " +
                std::to_string(change.changed) + "\n";
    }
    return text;
}

/// On CPU 0, whose number is the emulator's default: it differs by nature.
class CorpusParity : public ParityTest, public testing::WithParamInterface<std::string> {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        ASSERT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
        ASSERT_EQ(sched_setaffinity(0, sizeof first, &first), 0);
    }
    void TearDown() override { (void)sched_setaffinity(0, sizeof before_, &before_); }

    static void expect_exception(const std::shared_ptr<const Object>& object, Exception why) {
        EXPECT_EQ(why == Exception::NoProgram, object == nullptr);
        if (object == nullptr) {
            return;
        }
        const auto here = vm::make_target()->load(object, {});
        const auto there = kernel_target()->load(object, {});
        const bool both = why == Exception::NeedsWorld;
        EXPECT_EQ(here.has_value(), both || why == Exception::KernelRefuses);
        EXPECT_EQ(there.has_value(), both || why == Exception::NotEmulated);
        EXPECT_TRUE(here || here.error().code == ENOTSUP) << here.error().message();
        const int expected = why == Exception::KernelRefuses ? EACCES : ENOTSUP;
        EXPECT_TRUE(there || there.error().code == expected) << there.error().message();
    }

  private:
    cpu_set_t before_{};
};

TEST_P(CorpusParity, EveryPacketGivesTheSame) {
    const auto whole = compile_case("../../" + GetParam());
    ASSERT_NE(whole, nullptr);
    const auto object = only_emulated(*whole);
    if (const auto found = exceptions().find(GetParam()); found != exceptions().end()) {
        return expect_exception(object, found->second);
    }
    ASSERT_NE(object, nullptr);
    open(object);
    ASSERT_TRUE(ready());
    for (Program* program : vm_->programs()) {
        const std::string name = program->name();
        for (size_t i = 0; i < packets().size() && !HasFailure(); ++i) {
            SCOPED_TRACE(testing::Message() << name << ", packet " << to_hex(packets()[i]));
            run_both(name, packets()[i]);
        }
        EXPECT_EQ(report_of(*vm_, name), report_of(*kernel_, name)) << name;
        expect_same_maps();
    }
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, CorpusParity, testing::ValuesIn(bpf_sources()),
                         [](const auto& param) { return test_name_of_source(param.param); });

} // namespace

} // namespace mimicsh::test
