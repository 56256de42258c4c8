// SPDX-License-Identifier: MIT
// The border: what raising does to C++ objects, exceptions to Lua, and options to callers.
#include <cerrno>
#include <memory>
#include <stdexcept>

#include <gtest/gtest.h>

#include "bindings/lua_glue.h"
#include "bindings/state.h"

namespace mimicsh::lua {

struct Probe {
    explicit Probe(int* counter) : count(counter) { ++*count; }
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;
    ~Probe() { --*count; }
    int* count;
};

template <>
inline constexpr const char* kTypeName<Probe> = "probe";

namespace {

int g_alive = 0;

int raise_over_objects(lua_State* L) {
    const Probe probe(&g_alive);
    const auto owned = std::make_unique<Probe>(&g_alive);
    fail(L, "raised");
}

int throw_exception(lua_State*) {
    const Probe probe(&g_alive);
    throw std::runtime_error("thrown");
}

int make_probe(lua_State* L) {
    push_owner(L, std::make_shared<Probe>(&g_alive));
    return 1;
}

int use_probe(lua_State* L) {
    (void)check<Probe>(L, 1, "thing");
    return 0;
}

int read_options(lua_State* L) {
    Options options(L, 1, "work");
    const auto count = options.number("count", 1, 10);
    const auto name = options.string("name");
    options.finish();
    lua_pushnumber(L, static_cast<double>(count.value_or(0)));
    push_string(L, name.value_or("none"));
    return 2;
}

int read_u64(lua_State* L) {
    push_u64(L, check_unsigned(L, 1, "n", 0, UINT64_MAX));
    return 1;
}

int read_duration(lua_State* L) {
    lua_pushnumber(L, check_duration(L, 1, "seconds"));
    return 1;
}

int give_error(lua_State* L) {
    return push_failure(L, Error{ENOENT, "open thing", "x: missing", "make one", ""});
}

class LuaGlue : public ::testing::Test {
  protected:
    void SetUp() override {
        g_alive = 0;
        static constexpr Function kFunctions[] = {
            {"raise", &guard<&raise_over_objects>}, {"throw", &guard<&throw_exception>},
            {"make", &guard<&make_probe>},          {"use", &guard<&use_probe>},
            {"options", &guard<&read_options>},     {"u64", &guard<&read_u64>},
            {"duration", &guard<&read_duration>},   {"fails", &guard<&give_error>},
        };
        lua_newtable(L());
        set_functions(L(), "t.", kFunctions);
        lua_setglobal(L(), "t");
    }

    lua_State* L() { return state_.lua(); }

    /// tostring of what the chunk returns, or of its error after "error: ".
    std::string eval(const std::string& code) {
        lua_settop(L(), 0);
        lua_getglobal(L(), "tostring");
        if (luaL_loadbuffer(L(), code.data(), code.size(), "=test") != 0) {
            return lua_tostring(L(), -1);
        }
        const bool ok = lua_pcall(L(), 0, 1, 0) == 0;
        lua_call(L(), 1, 1);
        return (ok ? "" : "error: ") + std::string(lua_tostring(L(), -1));
    }

    State state_{Config{}};
};

TEST_F(LuaGlue, RaisingDestroysObjectsOnTheCStack) {
    EXPECT_EQ(eval("return t.raise()"), "error: raised"); // a tail call leaves no line
    EXPECT_EQ(eval("local x = t.raise() return x"), "error: test:1: raised");
    EXPECT_EQ(g_alive, 0);
}

TEST_F(LuaGlue, ExceptionsBecomeErrorsAndNeverCross) {
    EXPECT_EQ(eval("local ok, err = pcall(t.throw) return err"), "thrown");
    EXPECT_EQ(g_alive, 0);
}

TEST_F(LuaGlue, OwnersDieWithTheCollectorAndRefuseOtherTypes) {
    EXPECT_EQ(eval("keep = t.make() t.use(keep) return 1"), "1");
    EXPECT_EQ(g_alive, 1);
    EXPECT_EQ(eval("keep = nil collectgarbage() collectgarbage() return 1"), "1");
    EXPECT_EQ(g_alive, 0);
    EXPECT_EQ(eval("t.use(io.stdout) return 1"),
              "error: test:1: bad argument 'thing': expected probe, got userdata");
    EXPECT_EQ(eval("t.use() return 1"), "error: test:1: bad argument 'thing': expected probe, got nothing");
    EXPECT_EQ(eval("return getmetatable(t.make())"), "probe");
}

TEST_F(LuaGlue, OptionsNameTheUnknownAndTheKnown) {
    EXPECT_EQ(eval("local a, b = t.options{count = 3, name = 'x'} return a .. b"), "3x");
    EXPECT_EQ(eval("local a, b = t.options() return a .. b"), "0none");
    EXPECT_EQ(eval("local a = t.options{cuont = 3} return a"),
              "error: test:1: work: unknown option 'cuont' (known: count, name)");
    EXPECT_EQ(eval("local a = t.options{count = 11} return a"),
              "error: test:1: bad argument 'count': 11 is outside 1 to 10");
    EXPECT_EQ(eval("local a = t.options{name = 1} return a"),
              "error: test:1: bad argument 'name': expected string, got number");
    EXPECT_EQ(eval("local a = t.options(1) return a"),
              "error: test:1: bad argument 'work': expected table of options, got number");
}

TEST_F(LuaGlue, IntegersCrossExactly) {
    EXPECT_EQ(eval("return t.u64(18446744073709551615ULL)"), "18446744073709551615ULL");
    EXPECT_EQ(eval("return t.u64(2^53)"), "9007199254740992ULL");
    EXPECT_EQ(eval("local a = t.u64(-1) return a"),
              "error: test:1: bad argument 'n': -1 is outside 0 to 18446744073709551615");
    EXPECT_EQ(eval("local a = t.u64(-1LL) return a"),
              "error: test:1: bad argument 'n': -1 is outside 0 to 18446744073709551615");
    EXPECT_EQ(eval("local a = t.u64(1.5) return a"),
              "error: test:1: bad argument 'n': expected integer, got number");
    EXPECT_EQ(eval("local a = t.u64(0/0) return a"),
              "error: test:1: bad argument 'n': expected integer, got number");
}

TEST_F(LuaGlue, DurationsTakeUnits) {
    EXPECT_EQ(eval("return t.duration('250ms') .. ' ' .. t.duration(2) .. ' ' .. t.duration('1.5m')"),
              "0.25 2 90");
    for (const char* bad : {"'x'", "-1", "'1 s'", "''", "0/0", "1/0", "'1e99h'"}) {
        EXPECT_EQ(eval(std::string("local a = t.duration(") + bad + ") return a").substr(0, 7), "error: ")
            << bad;
    }
}

TEST_F(LuaGlue, ErrorsAreValuesWithFields) {
    EXPECT_EQ(eval("local v, e = t.fails() return e"), "open thing: x: missing");
    EXPECT_EQ(eval("local v, e = t.fails() return e.code .. ' ' .. e.hint .. ' ' .. tostring(e.log)"),
              "ENOENT make one nil");
    EXPECT_EQ(eval("local ok, e = pcall(assert, t.fails()) return e.code"), "ENOENT");
    EXPECT_EQ(eval("local v, e = t.fails() return 'got ' .. e"), "got open thing: x: missing");
}

} // namespace
} // namespace mimicsh::lua
