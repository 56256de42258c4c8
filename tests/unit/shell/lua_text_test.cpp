// SPDX-License-Identifier: MIT
// Tokens and colours of Lua that is being typed. Lua's own compiler is the judge where it can be.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lua.hpp>

#include "shell/lua_text.h"

namespace mimicsh::shell {
namespace {

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    for (const LuaToken& token : lua_tokens(text)) {
        words.emplace_back(text.substr(token.begin, token.end - token.begin));
    }
    return words;
}

std::string joined(std::string_view text) {
    std::string all;
    for (const LuaToken& token : lua_tokens(text)) {
        // A comment of one line ends with it.
        const bool is_comment = token.kind == LuaToken::Kind::Comment;
        all += std::string(text.substr(token.begin, token.end - token.begin)) + (is_comment ? "\n" : " ");
    }
    return all;
}

/// Programs are compared in one state: each has its own order of the keys of a table.
class Compiler {
  public:
    Compiler() { luaL_openlibs(L_.get()); }

    /// What the compiler makes of a text, without positions: its bytecode, or nothing.
    std::string operator()(const std::string& text) {
        std::string code;
        if (luaL_loadbuffer(L_.get(), text.data(), text.size(), "=x") == 0) {
            lua_getglobal(L_.get(), "string");
            lua_getfield(L_.get(), -1, "dump");
            lua_pushvalue(L_.get(), -3);
            lua_pushboolean(L_.get(), 1); // stripped
            lua_call(L_.get(), 2, 1);
            size_t size = 0;
            const char* bytes = lua_tolstring(L_.get(), -1, &size);
            code.assign(bytes, size);
        }
        lua_settop(L_.get(), 0);
        return code;
    }

  private:
    std::unique_ptr<lua_State, decltype(&lua_close)> L_{luaL_newstate(), &lua_close};
};

TEST(LuaText, TokensWithBlanksBetweenAreTheSameProgram) {
    Compiler compiled;
    for (const char* text : {"local x=1 return x+1",
                             "return 0x1e+1,1e+1,0x1p-4,.5,3.,1 ..2",
                             "return a..b, ...",
                             "x=a<=b==c~=d>=e",
                             "goto done ::done::",
                             "return 1LL, 0xffULL, 2i",
                             "return [[a\nb]],[==[ ]] ]==]",
                             "return 'a\\'b',\"\\\"\"",
                             "return 'a\\z  \n  b'",
                             "return 'a\\\nb'",
                             "return 'a\\\r\nb'",
                             "f{a=1;b=2}:g'x'[[y]](3)",
                             "-- comment\nx=1--[[long\n]]y=2",
                             "--[==[ ]] ]==] return 1",
                             "return -2^-3, #t, not a",
                             "for i=1,2 do local function f(...)return select('#',...)end end",
                             "a.b.c=d['e'].f",
                             "x=1\vy=2\fz=3",
                             "return {[1]=2,[ [[k]] ]=3}",
                             "return \"\xff\xc3\"",
                             "äö = 1",
                             "x =- - 1",
                             "--[=x\nreturn 1",
                             "return 1 -- the end"}) {
        const std::string code = compiled(text);
        ASSERT_NE(code, "") << text;
        EXPECT_EQ(compiled(joined(text)), code) << text << "\nbecame\n" << joined(text);
    }
}

TEST(LuaText, KindsAndEnds) {
    EXPECT_EQ(words_of("if x~=0x1p-4then"), (std::vector<std::string>{"if", "x", "~=", "0x1p-4then"}))
        << "as Lua reads it";
    EXPECT_EQ(words_of("a...b"), (std::vector<std::string>{"a", "...", "b"}));
    EXPECT_EQ(words_of(""), std::vector<std::string>());
    const auto tokens = lua_tokens("local s='x'--c");
    ASSERT_EQ(tokens.size(), 5U);
    EXPECT_EQ(tokens[0].kind, LuaToken::Kind::Keyword);
    EXPECT_EQ(tokens[1].kind, LuaToken::Kind::Name);
    EXPECT_EQ(tokens[2].kind, LuaToken::Kind::Sign);
    EXPECT_EQ(tokens[3].kind, LuaToken::Kind::String);
    EXPECT_EQ(tokens[4].kind, LuaToken::Kind::Comment);
}

TEST(LuaText, UnfinishedOnesAreOpen) {
    Compiler compiled;
    for (const char* text :
         {"x = 'abc", "x = \"", "x = [[ab\n", "x = [=[ ]]", "--[[ abc", "x = 'a\\", "x = 'a\\'"}) {
        const auto tokens = lua_tokens(text);
        ASSERT_FALSE(tokens.empty());
        EXPECT_TRUE(tokens.back().is_open) << text;
        EXPECT_EQ(tokens.back().end, std::string_view(text).size()) << text;
        EXPECT_EQ(compiled(text), "") << text;
    }
    const auto tokens = lua_tokens("x = 'abc\ny");
    EXPECT_EQ(words_of("x = 'abc\ny").back(), "y") << "a quoted string ends with its line";
    EXPECT_TRUE(tokens[2].is_open);
    EXPECT_FALSE(lua_tokens("'a\\\\'").back().is_open);
}

TEST(LuaText, AnyBytesAreCoveredInOrder) {
    uint32_t seed = 7;
    constexpr std::string_view kAlphabet = "ab1.-=[]\"'\\\n(){}:~<> \t\xff\xc3z0xep+";
    for (int round = 0; round < 3'000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            seed = seed * 1664525 + 1013904223;
            text += kAlphabet[(seed >> 16) % kAlphabet.size()];
        }
        size_t at = 0;
        for (const LuaToken& token : lua_tokens(text)) {
            ASSERT_GE(token.begin, at);
            ASSERT_LT(token.begin, token.end);
            ASSERT_LE(token.end, text.size());
            ASSERT_EQ(text.substr(at, token.begin - at).find_first_not_of(" \t\n"), std::string::npos)
                << text;
            at = token.end;
        }
        ASSERT_EQ(text.substr(at).find_first_not_of(" \t\n"), std::string::npos) << text;
        (void)lua_colours(text, round % 41, [](std::string_view) { return false; });
    }
}

std::string styled(std::string_view text, Style style, size_t cursor = std::string::npos) {
    std::string all;
    for (const Span& span :
         lua_colours(text, cursor, [](std::string_view name) { return name == "print" || name == "pkt"; })) {
        if (span.style == style) {
            all += (all.empty() ? "" : " ") + std::string(text.substr(span.begin, span.end - span.begin));
        }
    }
    return all;
}

TEST(LuaText, GlobalsThatNobodyKnows) {
    EXPECT_EQ(styled("print(pkt.nothing, nothing)", Style::Unknown), "nothing");
    EXPECT_EQ(styled("local a, b = c; print(a, b)", Style::Unknown), "c");
    EXPECT_EQ(styled("for i, v in print(x) do print(i, v) end", Style::Unknown), "x");
    EXPECT_EQ(styled("function f(a, ...) return a, b end", Style::Unknown), "b");
    EXPECT_EQ(styled("function pkt:f() return self end", Style::Unknown), "");
    EXPECT_EQ(styled("x = 1", Style::Unknown), "") << "it is made here";
    EXPECT_EQ(styled("goto l ::l::", Style::Unknown), "");
    EXPECT_EQ(styled("print{key=1}", Style::Unknown), "");
}

TEST(LuaText, Colours) {
    EXPECT_EQ(styled("if print then return 'x', 12 end -- done", Style::Keyword), "if then return end");
    EXPECT_EQ(styled("return 'x', [[y]]", Style::String), "'x' [[y]]");
    EXPECT_EQ(styled("return 1, 0x2ULL", Style::Number), "1 0x2ULL");
    EXPECT_EQ(styled("x = 1 -- 'no string'", Style::Comment), "-- 'no string'");
}

TEST(LuaText, BracketsAtTheCursorAndTheirPartners) {
    EXPECT_EQ(styled("f({1})", Style::Match, 1), "( )");
    EXPECT_EQ(styled("f({1})", Style::Match, 2), "{ }");
    EXPECT_EQ(styled("f({1})", Style::Match, 6), "( )") << "right behind it";
    EXPECT_EQ(styled("f({1)", Style::Match, 5), "");
    EXPECT_EQ(styled("f(')', 1)", Style::Match, 1), "( )");
    EXPECT_EQ(styled("f(1)", Style::Match, 0), "");
}

TEST(OpenText, KnowsWhatNoStatementEndsIn) {
    for (const auto& [text, is_open] : {std::pair{"x = {", true},
                                        {"x = { 1 }", false},
                                        {"f(", true},
                                        {"for i = 1, 2 do", true},
                                        {"if x then y() end", false},
                                        {"if x then", true},
                                        {"repeat", true},
                                        {"repeat until x", false},
                                        {"function f() return", true},
                                        {"x = [[", true},
                                        {"x = [==[ ]]", true},
                                        {"x = [[ ]]", false},
                                        {"--[[ open", true},
                                        {"-- do {", false},
                                        {"'do {'", false},
                                        {"x = 'open {", false},
                                        {"x.doit, ended = 1", false},
                                        {"}", false},
                                        {"while x do\n  y = {\n", true},
                                        {"{\n}\n", false},
                                        {"", false}}) {
        OpenText whole;
        EXPECT_EQ(whole.is_open(text), is_open) << text;
        OpenText grows;
        for (const std::string_view all = text; const size_t end : {all.size() / 3, all.size() / 2}) {
            (void)grows.is_open(all.substr(0, end));
        }
        EXPECT_EQ(grows.is_open(text), is_open) << text << ", by and by";
    }
}

TEST(OpenText, LinesInAnyOrderGiveTheSameAsTheWhole) {
    const std::vector<std::string> lines{"t = {",      "}",  "[[", "]]",   "do", "end",
                                         "x = 1 --[[", "f(", ")",  "-- {", "'{'"};
    uint32_t seed = 5;
    OpenText grows;
    for (int round = 0; round < 500; ++round) {
        std::string text;
        for (int i = 0; i < 20; ++i) {
            seed = seed * 1664525 + 1013904223;
            text += lines[(seed >> 16) % lines.size()];
            OpenText whole;
            ASSERT_EQ(grows.is_open(text), whole.is_open(text)) << text;
            text += "\n";
        }
    }
}

} // namespace
} // namespace mimicsh::shell
