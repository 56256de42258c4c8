// SPDX-License-Identifier: MIT
// Every BPF program in C of the tree over every recorded packet: what the kernel loads runs the same on both
// targets, what it refuses is named here.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "object/replay.h"
#include "tests/bpf_sources.h"
#include "tests/kernel/packets.h"
#include "tests/kernel/parity.h"
#include "vm/context/context.h"

namespace mimicsh::test {

namespace {

/// Why a source does not run on both, by path. Everything else must.
enum class Exception {
    OneCardOnly,   ///< the kernel loads it bound to a card, which none of the targets has
    KernelRefuses, ///< the verifier does; the emulator loads it and faults or warns when it runs
    NotEmulated,   ///< the emulator refuses by name what it does not have, the kernel loads it
    NoProgram,     ///< has no program of a type that is emulated
    NeedsWorld, ///< both load it; what it asks of the machine or of its maps is compared in tests of its own
};

const std::map<std::string, Exception>& exceptions() {
    static const std::map<std::string, Exception> kExceptions{
        {"examples/first_fault/first_fault.bpf.c", Exception::KernelRefuses},
        {"tests/cases/parity/card.bpf.c", Exception::OneCardOnly},
        {"tests/cases/parity/conntrack.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/targets.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/answers.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/cgroup.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/sends.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/socket_maps.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/sockets.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/storage.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/syncookie.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/task.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/kernel_context.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/world.bpf.c", Exception::NeedsWorld},
        {"tests/cases/parity/xfrm_state.bpf.c", Exception::NeedsWorld},
        {"tests/cases/programs/connection_gate.bpf.c", Exception::NeedsWorld},
        {"tests/cases/programs/fib_router.bpf.c", Exception::NeedsWorld},
        {"tests/data/bpf/core.bpf.c", Exception::NoProgram},
        {"tests/data/bpf/externs.bpf.c", Exception::NotEmulated}, // addresses of kernel symbols
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

/// The programs that people write, one source each.
constexpr std::string_view kPrograms = "tests/cases/programs/";

/// What the packets reach in one program, as the emulator alone traces it.
struct Reached {
    std::set<uint32_t> verdicts;
    size_t percent = 0; ///< of its instructions
    size_t packets = 0; ///< that get further than those that are turned away first
};

/// Slot of one line of a trace.
uint32_t slot_of(std::string_view line) {
    return static_cast<uint32_t>(
        std::strtoul(std::string(line.substr(0, line.find(':'))).c_str(), nullptr, 10));
}

Reached reached_by_packets(Program& program) {
    Reached reached;
    std::set<uint32_t> executed;
    std::vector<size_t> sizes;
    RunOptions options;
    options.trace = true;
    for (const ByteVec& packet : corpus_packets()) {
        const auto result = program.run(packet, options);
        if (!result) {
            continue; // refused before it ran, as by the kernel
        }
        reached.verdicts.insert(result->ret);
        std::set<uint32_t> slots;
        for (size_t at = 0; at < result->trace.size(); at = result->trace.find('\n', at) + 1) {
            if (result->trace[at] == ' ') { // functions, labels and source lines are not indented
                slots.insert(slot_of(std::string_view(result->trace).substr(at, 16)));
            }
        }
        executed.insert(slots.begin(), slots.end());
        sizes.push_back(slots.size());
    }
    const auto& insns = program.linked().insns;
    const auto wide =
        std::count_if(insns.begin(), insns.end(), [](Insn one) { return one.code == op::kLddw; });
    reached.percent = 100 * executed.size() / (insns.size() - static_cast<size_t>(wide));
    const size_t least = sizes.empty() ? 0 : *std::min_element(sizes.begin(), sizes.end());
    reached.packets = static_cast<size_t>(
        std::count_if(sizes.begin(), sizes.end(), [&](size_t size) { return size > least; }));
    return reached;
}

/// The packets in order, for a replay.
class AllPackets : public PacketSource {
  public:
    Status next(std::vector<ByteView>& batch, size_t limit) override {
        batch.clear();
        while (batch.size() < limit && at_ < corpus_packets().size()) {
            batch.emplace_back(corpus_packets()[at_++]);
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

class CorpusParity : public ParityTest, public testing::WithParamInterface<std::string> {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        ASSERT_TRUE(cpu_.pinned());
    }

    static void expect_exception(const std::shared_ptr<const Object>& object, Exception why) {
        EXPECT_EQ(why == Exception::NoProgram, object == nullptr);
        if (object == nullptr) {
            return;
        }
        const auto here = vm::make_target()->load(object, {});
        const auto there = kernel_target()->load(object, {});
        const bool both = why == Exception::NeedsWorld;
        const bool refused = why == Exception::KernelRefuses || why == Exception::OneCardOnly;
        EXPECT_EQ(here.has_value(), both || refused);
        EXPECT_EQ(there.has_value(), both || why == Exception::NotEmulated);
        EXPECT_TRUE(here || here.error().code == ENOTSUP) << here.error().message();
        const int expected = why == Exception::KernelRefuses ? EACCES
                             : why == Exception::OneCardOnly ? EINVAL
                                                             : ENOTSUP;
        EXPECT_TRUE(there || there.error().code == expected) << there.error().message();
    }

    /// The comparison means little for a program whose branches no packet takes.
    static void expect_all_reached(const std::shared_ptr<const Object>& object) {
        const auto alone = vm::make_target()->load(object, {});
        ASSERT_TRUE(alone) << alone.error().message();
        for (Program* program : (*alone)->programs()) {
            const Reached reached = reached_by_packets(*program);
            EXPECT_GE(reached.verdicts.size(), 2u) << program->name();
            EXPECT_GE(reached.packets, 20u) << program->name();
            EXPECT_GE(reached.percent, 75u) << program->name();
        }
    }

  private:
    OnFirstCpu cpu_;
};

TEST_P(CorpusParity, EveryPacketGivesTheSame) {
    const auto whole = compile_case("../../" + GetParam());
    ASSERT_NE(whole, nullptr);
    const auto object = only_emulated(*whole);
    if (const auto found = exceptions().find(GetParam()); found != exceptions().end()) {
        return expect_exception(object, found->second);
    }
    ASSERT_NE(object, nullptr);
    open_aligned(object);
    ASSERT_TRUE(ready());
    for (Program* program : vm_->programs()) {
        const std::string name = program->name();
        for (size_t i = 0; i < corpus_packets().size() && !HasFailure(); ++i) {
            SCOPED_TRACE(testing::Message() << name << ", packet " << to_hex(corpus_packets()[i]));
            run_both(name, corpus_packets()[i]);
        }
        if (aligned_.sites.empty()) { // a replay gives no inputs
            EXPECT_EQ(report_of(*vm_, name), report_of(*kernel_, name)) << name;
            expect_same_maps();
        }
    }
    if (GetParam().starts_with(kPrograms)) {
        expect_all_reached(object);
    }
}

TEST(Corpus, HasFortyProgramsOfItsOwn) {
    const auto sources = bpf_sources();
    EXPECT_GE(std::count_if(sources.begin(), sources.end(),
                            [](const std::string& path) { return path.starts_with(kPrograms); }),
              40);
}

INSTANTIATE_TEST_SUITE_P(AllPrograms, CorpusParity, testing::ValuesIn(bpf_sources()),
                         [](const auto& param) { return test_name_of_source(param.param); });

} // namespace

} // namespace mimicsh::test
