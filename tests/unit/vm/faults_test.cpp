// SPDX-License-Identifier: MIT
// Faults and warnings: each names cause, source line and what would have helped, and leaves maps as it
// should.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

extern "C" {
#include <unistd.h>
}

#include "tests/unit/vm/fault_cases.h"
#include "vm/target.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

uint32_t line_of(const std::string& source, const std::string& mark) {
    const size_t at = source.find(mark);
    return at == std::string::npos
               ? 0
               : static_cast<uint32_t>(
                     1 + std::count(source.begin(), source.begin() + static_cast<ptrdiff_t>(at), '\n'));
}

const FaultCase& fault_case(const std::string& name) {
    return *std::ranges::find(fault_cases(), name, &FaultCase::name);
}

Expected<RunResult> run_case(const FaultCase& one, const vm::Options& options, std::string& source) {
    source = fault_source(one);
    // In a file: only then does the compiler keep the text of its lines.
    const std::filesystem::path folder =
        std::filesystem::path(testing::TempDir()) / ("mimicsh-faults-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    const std::string path = (folder / "test.c").string();
    std::ofstream(path) << source;
    auto object = compile_file(path);
    std::filesystem::remove_all(folder);
    if (object == nullptr) {
        return Error{EINVAL, "compile", one.name, {}, {}};
    }
    if (one.section == "memory") { // no section stands for this type
        Object changed = *object;
        std::ranges::find(changed.functions, "filter", &Function::name)->spec =
            ProgramSpec{abi::ProgType::Memory, abi::AttachType::None, 0, {}};
        object = std::make_shared<const Object>(std::move(changed));
    }
    vm::Options scripted = options;
    if (!one.world.empty()) {
        auto world = vm::parse_world(one.world);
        if (!world) {
            return world.error();
        }
        scripted.world = *world;
    }
    auto instance = vm::make_target(scripted)->load(object, {});
    if (!instance) {
        return instance.error();
    }
    if (auto sent = (*instance)->find_map("samples")->send(ByteVec(kSample)); !sent) {
        return sent.error();
    }
    return (*instance)->find_program("filter")->run(packet_of(one.packet), {});
}

TEST(Faults, NameCauseLineAndRemedy) {
    for (const FaultCase& one : fault_cases()) {
        SCOPED_TRACE(one.name);
        vm::Options options;
        options.budget = 10000;
        std::string source;
        const auto result = run_case(one, options, source);
        if (!result) {
            ADD_FAILURE() << result.error().message();
            continue;
        }
        if (!result->fault) {
            ADD_FAILURE() << "no fault";
            continue;
        }
        const Fault& fault = *result->fault;
        EXPECT_EQ(name(fault.kind), name(one.kind));
        EXPECT_NE(fault.cause.find(one.cause), std::string::npos) << fault.cause;
        EXPECT_NE(fault.hint.find(one.hint), std::string::npos) << fault.hint;
        EXPECT_NE(fault.origin.find(one.origin), std::string::npos) << fault.origin;
        const uint32_t line = line_of(source, "// here");
        if (line != 0) {
            EXPECT_EQ(fault.source.line, line) << fault.report;
            EXPECT_NE(fault.source.text.find("// here"), std::string::npos) << fault.report;
        }
        EXPECT_TRUE(fault.source.file.ends_with("test.c")) << fault.report;
        for (const std::string& part :
             {"fault: " + std::string(name(fault.kind)) + ": " + fault.cause, fault.disasm, fault.program,
              "test.c:" + std::to_string(fault.source.line), fault.source.text, fault.hint, fault.origin}) {
            EXPECT_NE(fault.report.find(part), std::string::npos) << part << "\n" << fault.report;
        }
    }
}

TEST(Faults, ReportLeavesMapsAsTheRunDid) {
    // The report comes of a second run under the tracer; what it sees must not show in the maps.
    const FaultCase& one = fault_case("fault after changes of maps");
    const auto object = compile_text(fault_source(one));
    ASSERT_NE(object, nullptr);
    auto instance = vm::make_target()->load(object, {});
    ASSERT_TRUE(instance) << instance.error().message();
    for (uint32_t run = 1; run <= 3; ++run) {
        const auto result = (*instance)->find_program("filter")->run(packet_of(64), {});
        ASSERT_TRUE(result && result->fault);
        EXPECT_NE(result->fault->report.find("packet+64"), std::string::npos);
        EXPECT_EQ(mimicsh::load<uint32_t>(value_of(**instance, "array", 2).data()), 5 * run);
        EXPECT_EQ(mimicsh::load<uint32_t>(value_of(**instance, "array", 2).data() + 4), 3 * run);
        EXPECT_EQ(number_at(value_of(**instance, ".bss"), 0), run);
        EXPECT_EQ(number_at(value_of(**instance, ".data"), 0), 0x1234 + run);
        EXPECT_EQ(mimicsh::load<uint32_t>(value_of(**instance, "hash", 1).data()), 7u);
        size_t records = 0;
        const auto count = (*instance)->find_map("ring")->consume([&](ByteView record, uint32_t) {
            ++records;
            EXPECT_EQ(record.size(), 12u);
        });
        ASSERT_TRUE(count);
        EXPECT_EQ(records, 1u);
    }
}

TEST(Faults, StopFromOutsideEndsARun) {
    const FaultCase& one = fault_case("budget");
    const auto object = compile_text(fault_source(one));
    ASSERT_NE(object, nullptr);
    auto instance = vm::make_target()->load(object, {});
    ASSERT_TRUE(instance) << instance.error().message();
    const std::atomic<bool> stop{true};
    RunOptions options;
    options.stop = &stop;
    const auto result = (*instance)->find_program("filter")->run(packet_of(64), options);
    ASSERT_TRUE(result && result->fault);
    EXPECT_EQ(name(result->fault->kind), name(FaultKind::Interrupted));
}

TEST(Faults, RecursionThatIsNotRefusedEndsAtTheCallDepth) {
    RawObject raw;
    raw.call_function(1).add(exit_insn());
    raw.begin_function("again");
    raw.call_function(1).add(exit_insn());
    vm::Options options;
    options.mode = vm::Mode::Permissive;
    auto instance = vm::make_target(options)->load(raw.share(), {});
    ASSERT_TRUE(instance) << instance.error().message();
    const auto result = (*instance)->programs().front()->run(packet_of(64), {});
    ASSERT_TRUE(result && result->fault);
    EXPECT_EQ(name(result->fault->kind), name(FaultKind::StackOverflow));
    EXPECT_NE(result->fault->cause.find("8 frames"), std::string::npos) << result->fault->cause;
}

// -- Warnings --

TEST(Warnings, NameCauseAndLineAndTheRunGoesOn) {
    for (const FaultCase& one : warning_cases()) {
        SCOPED_TRACE(one.name);
        std::string source;
        const auto result = run_case(one, {}, source);
        ASSERT_TRUE(result) << result.error().message();
        EXPECT_FALSE(result->fault) << result->fault->report;
        EXPECT_EQ(result->ret, 2u);
        ASSERT_EQ(result->warnings.size(), 1u);
        EXPECT_NE(result->warnings[0].cause.find(one.cause), std::string::npos) << result->warnings[0].cause;
        EXPECT_EQ(result->warnings[0].source.line, line_of(source, "// here"));
        EXPECT_EQ(result->warnings[0].program, "filter");
    }
}

TEST(Warnings, BecomeFaultsOnRequest) {
    for (const FaultCase& one : warning_cases()) {
        SCOPED_TRACE(one.name);
        vm::Options options;
        options.sanitize_fault = true;
        std::string source;
        const auto result = run_case(one, options, source);
        ASSERT_TRUE(result) << result.error().message();
        if (!result->fault) {
            ADD_FAILURE() << "no fault";
            continue;
        }
        EXPECT_NE(result->fault->cause.find(one.cause), std::string::npos) << result->fault->cause;
        EXPECT_EQ(result->fault->source.line, line_of(source, "// here"));
    }
}

TEST(Warnings, CheckedProgramsHaveNone) {
    for (const FaultCase& one : clean_cases()) {
        SCOPED_TRACE(one.name);
        std::string source;
        const auto result = run_case(one, {}, source);
        ASSERT_TRUE(result) << result.error().message();
        EXPECT_TRUE(result->warnings.empty()) << result->warnings[0].cause;
        EXPECT_FALSE(result->fault);
        EXPECT_EQ(result->ret, one.section == "flow_dissector" ? 0u : 2u); // got to its end
    }
}

} // namespace

} // namespace mimicsh::test
