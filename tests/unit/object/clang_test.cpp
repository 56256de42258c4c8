// SPDX-License-Identifier: MIT
// The clang driver: diagnostics that point into the user's source, and a cache that is never wrong.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "object/clang.h"
#include "object/compile_cache.h"
#include "object/process.h"
#include "programs.h"

namespace mimicsh {
namespace {

constexpr const char* kProgram = "__attribute__((section(\"xdp\"))) int prog(void *ctx) { return 2; }\n";

/// Sets an environment variable for one scope.
class ScopedEnv {
  public:
    ScopedEnv(const char* name, const std::optional<std::string>& value) : name_(name) {
        if (const char* old = std::getenv(name)) {
            old_ = old;
        }
        set(value);
    }
    ScopedEnv(const ScopedEnv&) = delete;
    ScopedEnv& operator=(const ScopedEnv&) = delete;
    ~ScopedEnv() { set(old_); }

  private:
    void set(const std::optional<std::string>& value) const {
        value ? setenv(name_, value->c_str(), 1) : unsetenv(name_);
    }
    const char* name_;
    std::optional<std::string> old_;
};

class Clang : public testing::Test {
  protected:
    /// Options for a text, with a cache folder of its own.
    CompileOptions text(const std::string& source) {
        CompileOptions options;
        options.source = source;
        options.cache_dir = scratch_ / "cache";
        return options;
    }
    void write(const std::string& name, const std::string& contents) {
        std::ofstream(scratch_ / name) << contents;
    }

    /// A compiler that fails when it is started: what still works came from the cache.
    std::string broken_compiler() {
        write("broken", "#!/bin/sh\nexit 77\n");
        std::filesystem::permissions(scratch_ / "broken", std::filesystem::perms::owner_all);
        return scratch_ / "broken";
    }
    [[nodiscard]] std::vector<std::string> cache_files() const {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(scratch_ / "cache")) {
            out.push_back(entry.path());
        }
        return out;
    }

    test::ScratchDir scratch_;
};

TEST_F(Clang, CompilesTextAndFiles) {
    auto object = compile(text(kProgram));
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->name, "bpf");
    ASSERT_EQ(object->programs().size(), 1u);
    CompileOptions options = text("");
    options.file = test::data_dir() + "/maps_xdp.bpf.c";
    auto from_file = compile(options);
    ASSERT_TRUE(from_file) << from_file.error().message() << from_file.error().log;
    EXPECT_EQ(from_file->name, "maps_xdp");
    EXPECT_EQ(from_file->origin, options.file);
}

TEST_F(Clang, PointsIntoTheScriptThatHoldsTheText) {
    CompileOptions options = text("int a;\nint f(void)\n{\n    return nope;\n}\n");
    options.origin = "folder/script.lua";
    options.first_line = 40;
    auto object = compile(options);
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().message(),
              "compile: folder/script.lua:43:12: use of undeclared identifier 'nope'");
    EXPECT_NE(object.error().log.find("folder/script.lua:43:12: error:"), std::string::npos)
        << object.error().log;
    EXPECT_TRUE(object.error().hint.empty());
}

TEST_F(Clang, PointsIntoHeadersToo) {
    write("broken.h", "int x;\nint y = ;\n");
    write("prog.c", "#include \"broken.h\"\n");
    CompileOptions options = text("");
    options.file = scratch_ / "prog.c";
    auto object = compile(options);
    ASSERT_FALSE(object);
    EXPECT_NE(object.error().text.find("broken.h:2:9: expected expression"), std::string::npos)
        << object.error().message();
}

TEST_F(Clang, SaysWhichPackageHasAMissingHeader) {
    auto object = compile(text("#include <bpf/no_such_header.h>\n"));
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().text, "string:1:10: 'bpf/no_such_header.h' file not found");
    EXPECT_NE(object.error().hint.find("libbpf-dev"), std::string::npos);
}

TEST_F(Clang, SaysHowToGetACompiler) {
    const ScopedEnv path("PATH", scratch_.path());
    const ScopedEnv none("MIMICSH_CLANG", std::nullopt);
    auto object = compile(text(kProgram));
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().code, ENOENT);
    EXPECT_NE(object.error().hint.find("clang-14"), std::string::npos);
}

TEST_F(Clang, RefusesAWrongCompilerSetting) {
    const ScopedEnv wrong("MIMICSH_CLANG", "no-such-compiler");
    auto object = compile(text(kProgram));
    ASSERT_FALSE(object);
    EXPECT_NE(object.error().text.find("no-such-compiler"), std::string::npos);
}

TEST_F(Clang, TakesDefinesIncludesAndCpu) {
    write("limit.h", "#define LIMIT 5\n");
    CompileOptions options = text("#include <limit.h>\n__attribute__((section(\"xdp\"))) int prog(void *ctx)"
                                  " { return LIMIT + EXTRA; }\n");
    options.include_dirs = {scratch_.path()};
    options.defines = {"EXTRA=4"};
    options.cpu = "v2";
    auto object = compile(options);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->functions[0].insns[0].imm, 9);
}

TEST_F(Clang, HandsOutWarnings) {
    std::string warnings;
    CompileOptions options = text(std::string(kProgram) + "static int unused(void) { return 1; }\n");
    options.warnings = &warnings;
    for (int round = 0; round < 2; ++round) { // compiled, then from the cache
        warnings.clear();
        ASSERT_TRUE(compile(options));
        EXPECT_NE(warnings.find("unused function"), std::string::npos) << round;
    }
}

TEST_F(Clang, UsesTheCacheWithoutStartingTheCompiler) {
    // A compiler that works once: it removes its own works after the first run, but keeps size and time.
    write("once", "#!/bin/sh\n[ -e \"$MIMICSH_TEST_RAN\" ] && exit 77\ntouch \"$MIMICSH_TEST_RAN\"\nexec "
                  "clang-14 \"$@\"\n");
    std::filesystem::permissions(scratch_ / "once", std::filesystem::perms::owner_all);
    const ScopedEnv compiler("MIMICSH_CLANG", scratch_ / "once");
    const ScopedEnv ran("MIMICSH_TEST_RAN", scratch_ / "ran");
    auto first = compile(text(kProgram));
    ASSERT_TRUE(first) << first.error().message();
    auto second = compile(text(kProgram));
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(first->functions[0].insns, second->functions[0].insns);
    auto other = compile(text(std::string(kProgram) + "int more;\n"));
    EXPECT_FALSE(other); // another text needs the compiler, which is used up
}

TEST_F(Clang, CompilesAgainWhenAHeaderChanges) {
    write("value.h", "#define VALUE 1\n");
    write("prog.c",
          "#include \"value.h\"\n__attribute__((section(\"xdp\"))) int prog(void *ctx) { return VALUE; }\n");
    CompileOptions options = text("");
    options.file = scratch_ / "prog.c";
    auto object = compile(options);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_EQ(object->functions[0].insns[0].imm, 1);
    const auto time = std::filesystem::last_write_time(scratch_ / "value.h");
    write("value.h", "#define VALUE 2\n");
    std::filesystem::last_write_time(scratch_ / "value.h", time); // contents count, not times
    object = compile(options);
    ASSERT_TRUE(object);
    EXPECT_EQ(object->functions[0].insns[0].imm, 2);
}

TEST_F(Clang, NeverTrustsADamagedCacheEntry) {
    ASSERT_TRUE(compile(text(kProgram)));
    ASSERT_EQ(cache_files().size(), 1u);
    const std::string file = cache_files()[0];
    const auto good = read_file(file, "read");
    ASSERT_TRUE(good);
    for (size_t at = 0; at < good->size(); at += 97) {
        ByteVec bad = *good;
        bad[at] ^= 0x20;
        if (at % 2 == 0) {
            bad.resize(at);
        }
        ASSERT_TRUE(write_file(file, bad, "write"));
        const CompileCache cache(scratch_ / "cache");
        auto object = compile(text(kProgram));
        ASSERT_TRUE(object) << at;
        const auto again = read_file(file, "read");
        ASSERT_TRUE(again);
        EXPECT_EQ(*again, *good) << "entry not rewritten, damage at " << at;
    }
}

TEST_F(Clang, WorksWithoutAnyPlaceForACache) {
    const ScopedEnv home("HOME", std::nullopt);
    const ScopedEnv xdg("XDG_CACHE_HOME", std::nullopt);
    CompileOptions options = text(kProgram);
    options.cache_dir.reset();
    EXPECT_EQ(CompileCache::default_dir(), "");
    EXPECT_TRUE(compile(options));
    options.cache_dir = "/proc/no/such/place";
    EXPECT_TRUE(compile(options));
}

TEST_F(Clang, IsKilledWhenAsked) {
    write("slow", "#!/bin/sh\nsleep 1000\n");
    std::filesystem::permissions(scratch_ / "slow", std::filesystem::perms::owner_all);
    const ScopedEnv compiler("MIMICSH_CLANG", scratch_ / "slow");
    std::atomic<bool> stop = true;
    CompileOptions options = text(kProgram);
    options.stop = &stop;
    auto object = compile(options);
    ASSERT_FALSE(object);
    EXPECT_EQ(object.error().code, EINTR);
}

TEST_F(Clang, RefusesBinaryRubbishFromTheCompiler) {
    write("rubbish", "#!/bin/sh\nhead -c 100 /dev/zero\n");
    std::filesystem::permissions(scratch_ / "rubbish", std::filesystem::perms::owner_all);
    const ScopedEnv compiler("MIMICSH_CLANG", scratch_ / "rubbish");
    auto object = compile(text(kProgram));
    ASSERT_FALSE(object);
    EXPECT_NE(object.error().text.find("not an ELF file"), std::string::npos);
}

TEST(Process, BoundsWhatAChildMayPrint) {
    ProcessOptions options;
    options.path = "/bin/sh";
    options.args = {"sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"};
    options.output_limit = 100'000;
    auto result = run_process(options, "test");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EFBIG);
}

TEST(Process, KeepsOutputsApart) {
    ProcessOptions options;
    options.path = "/bin/sh";
    options.args = {"sh", "-c", "cat; echo err >&2; echo extra >&3; exit 3"};
    options.input = "in\n";
    auto result = run_process(options, "test");
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(as_text(result->output), "in\n");
    EXPECT_EQ(as_text(result->errors), "err\n");
    EXPECT_EQ(as_text(result->extra), "extra\n");
    EXPECT_EQ(result->status, 3);
}

} // namespace
} // namespace mimicsh
