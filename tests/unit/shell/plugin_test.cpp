// SPDX-License-Identifier: MIT
// `mimicsh plugin`, as a runner of conformance suites starts it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <sstream>

#include "object/linker.h"
#include "object/process.h"
#include "shell/plugin.h"
#include "tests/paths.h"
#include "tests/unit/shell/vectors.h"

namespace mimicsh::test {

namespace {

struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
};

Outcome plugin(std::vector<std::string> arguments, const std::string& input) {
    ProcessOptions options;
    options.path = test::in_build("mimicsh");
    options.args = {"mimicsh", "plugin"};
    options.args.insert(options.args.end(), arguments.begin(), arguments.end());
    options.input = input;
    const auto done = run_process(options, "run plugin");
    if (!done) {
        ADD_FAILURE() << done.error().message();
        return {};
    }
    return {done->status, std::string(as_text(done->output)), std::string(as_text(done->errors))};
}

/// The same without a process of its own, which for hundreds of runs under sanitizers is minutes less.
Outcome plugin_inside(const std::vector<std::string>& arguments, const std::string& input) {
    FILE* files[] = {std::tmpfile(), std::tmpfile(), std::tmpfile()};
    std::fwrite(input.data(), 1, input.size(), files[0]);
    std::rewind(files[0]);
    std::fflush(nullptr);
    int before[3];
    for (int fd = 0; fd < 3; ++fd) {
        before[fd] = dup(fd);
        dup2(fileno(files[fd]), fd);
    }
    Outcome outcome;
    outcome.code = shell::run_plugin(arguments);
    std::fflush(nullptr);
    for (int fd = 0; fd < 3; ++fd) {
        dup2(before[fd], fd);
        close(before[fd]);
    }
    for (const int fd : {1, 2}) {
        std::rewind(files[fd]);
        char part[4096];
        for (size_t got = 0; (got = std::fread(part, 1, sizeof part, files[fd])) > 0;) {
            (fd == 1 ? outcome.out : outcome.err).append(part, got);
        }
    }
    for (FILE* file : files) {
        std::fclose(file);
    }
    return outcome;
}

/// Hex as the runner writes it: two digits a byte and a blank behind each.
std::string spaced(ByteView bytes) {
    std::string text;
    for (const uint8_t byte : bytes) {
        text += to_hex(ByteView(&byte, 1)) + " ";
    }
    return text;
}

std::string hex_of(const Vector& vector) {
    if (vector.source.starts_with("bytes ")) {
        return vector.source.substr(6);
    }
    auto object = assemble_vector(vector);
    if (!object) {
        return {};
    }
    const auto linked = link(std::make_shared<const Object>(std::move(*object)), 0, {});
    if (!linked) {
        ADD_FAILURE() << vector.name() << ": " << linked.error().message();
        return {};
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(linked->insns.data());
    return spaced({bytes, linked->insns.size() * sizeof(Insn)}) + "\n";
}

std::string hex_text(uint64_t value) {
    std::ostringstream text;
    text << std::hex << value << "\n";
    return text.str();
}

constexpr const char* kReturnsLength = "bf20000000000000 9500000000000000";

TEST(Plugin, AProcessDoesTheSame) {
    EXPECT_EQ(plugin_inside({"aabb"}, kReturnsLength).out, plugin({"aabb"}, kReturnsLength).out);
    const Outcome inside = plugin_inside({"--strict"}, "zz"), process = plugin({"--strict"}, "zz");
    EXPECT_EQ(inside.err, process.err);
    EXPECT_EQ(inside.code, process.code);
}

TEST(Plugin, VectorsGiveWhatTheySay) {
    for (const Vector& vector : vectors()) {
        const std::string program = hex_of(vector);
        ASSERT_FALSE(program.empty());
        std::vector<std::string> arguments;
        if (!vector.memory.empty()) {
            arguments.push_back(spaced(vector.memory));
        }
        const Outcome run = plugin_inside(arguments, program);
        EXPECT_EQ(run.out, vector.error.empty() ? hex_text(vector.result) : "") << vector.name() << "\n"
                                                                                << vector.source << run.err;
        EXPECT_EQ(run.err, vector.error.empty() ? "" : vector.error + "\n") << vector.name();
        EXPECT_EQ(run.code, vector.error.empty() ? 0 : 1) << vector.name();
    }
}

TEST(Plugin, VectorsHaveEveryForm) {
    std::set<std::string> seen;
    for (const Vector& vector : vectors()) {
        seen.insert(vector.form);
    }
    for (const InsnForm& form : insn_forms()) {
        EXPECT_TRUE(seen.contains(std::string(form.mnemonic))) << form.mnemonic;
        seen.erase(std::string(form.mnemonic));
    }
    EXPECT_TRUE(seen.empty()) << *seen.begin() << " is no form";
}

TEST(Plugin, StrictRefusesWhatTheKernelRefuses) {
    // r0 = 1; r0 <<= 64; exit
    const std::string shift = "b700000001000000 6700000040000000 9500000000000000";
    EXPECT_EQ(plugin({}, shift).out, "1\n");
    const Outcome strict = plugin({"--strict"}, shift);
    EXPECT_EQ(strict.code, 1);
    EXPECT_EQ(strict.err, "load: main: instruction 1: shift by 64, the register has 64 bits\n");
    const Outcome callx = plugin({"--strict"}, "b702000005000000 8d02000000000000 9500000000000000");
    EXPECT_EQ(callx.err, "load: main: instruction 1: callx is in no supported kernel\n");
    // r0 = r3; exit: nothing was put into r3
    EXPECT_EQ(plugin({"--strict"}, "bf30000000000000 9500000000000000").code, 1);
    EXPECT_EQ(plugin({"01 02", "--strict"}, kReturnsLength).out, "2\n");
}

TEST(Plugin, TakesItsArgumentsAsTheRunnerGivesThem) {
    EXPECT_EQ(plugin({"aa  bb  cc"}, kReturnsLength).out, "3\n");
    EXPECT_EQ(plugin({}, kReturnsLength).out, "0\n");
    EXPECT_EQ(plugin({"aabb", "--program", kReturnsLength}, "").out, "2\n");
    EXPECT_NE(plugin({"--help"}, "").out.find("MEMORY"), std::string::npos);
}

TEST(Plugin, RunsTheFunctionMainOfAnObjectFile) {
    Vector vector;
    vector.source = "r0 = 77\nexit\n";
    const auto object = assemble_vector(vector);
    ASSERT_TRUE(object);
    const auto elf = write_elf(*object);
    ASSERT_TRUE(elf);
    EXPECT_EQ(plugin({"--elf"}, spaced(*elf)).out, "4d\n");
    EXPECT_EQ(plugin({"--elf"}, "00 01").code, 1);
}

TEST(Plugin, SaysWhatIsWrongWithItsInput) {
    EXPECT_EQ(plugin({}, "").err,
              "read instructions: program: 0 bytes of instructions, not a multiple of 8 above 0\n");
    EXPECT_EQ(plugin({}, "95000000").code, 1);
    EXPECT_EQ(plugin({}, "xyz").err, "plugin: the program is not hex bytes\n");
    EXPECT_EQ(plugin({}, "1800000000000000").err,
              "read instructions: program: instruction 0: 64-bit load cut in half\n");
    EXPECT_EQ(plugin({}, "b700000000000000").err,
              "link: program: program 'main': function 'main' runs over its end\n");
    EXPECT_EQ(plugin({}, "0500640000000000 9500000000000000").err,
              "read instructions: program: function 'main' instruction 0: jump out of the function\n");
    EXPECT_EQ(plugin({}, "8510000064000000 9500000000000000").err,
              "read instructions: program: instruction 0: call at slot 101, where no instruction begins\n");
    EXPECT_EQ(plugin({}, "ff00000000000000 9500000000000000").err,
              "load: main: instruction 0: no kernel knows opcode 0xff with these fields\n");
    EXPECT_EQ(plugin({"0g"}, kReturnsLength).code, 2);
    EXPECT_EQ(plugin({"--nonsense"}, kReturnsLength).code, 2);
    EXPECT_EQ(plugin({"--program"}, "").code, 2);
}

} // namespace

} // namespace mimicsh::test
