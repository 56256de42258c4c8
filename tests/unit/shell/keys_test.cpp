// SPDX-License-Identifier: MIT
// Bytes of a terminal to keys.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "shell/keys.h"

namespace mimicsh::shell {
namespace {

using Kind = Key::Kind;

/// Kinds with their code or text, in a form that reads well when it differs.
std::string keys_of(KeyReader& reader, bool is_over = false) {
    std::string all;
    while (const auto key = reader.next(is_over)) {
        all += all.empty() ? "" : " ";
        switch (key->kind) {
        case Kind::Text:
            all += "'" + key->text + "'";
            break;
        case Kind::Paste:
            all += "paste'" + key->text + "'";
            break;
        case Kind::Control:
            all += std::string("^") + key->code;
            break;
        case Kind::Meta:
            all += std::string("M-") + key->code;
            break;
        default:
            all += "#" + std::to_string(static_cast<int>(key->kind));
        }
    }
    return all;
}

std::string keys_of(std::string_view bytes, bool is_over = false) {
    KeyReader reader;
    reader.feed(bytes);
    return keys_of(reader, is_over);
}

std::string name(Kind kind) {
    return "#" + std::to_string(static_cast<int>(kind));
}

TEST(Keys, TextAndControlCharacters) {
    EXPECT_EQ(keys_of("ab"), "'a' 'b'");
    EXPECT_EQ(keys_of("\1\r\t\x7f\x1f"), "^A ^M ^I ^? ^_");
    EXPECT_EQ(keys_of("ä漢"), "'ä' '漢'");
}

TEST(Keys, Sequences) {
    for (const auto& [bytes, kind] :
         {std::pair{"\x1b[A", Kind::Up}, std::pair{"\x1bOA", Kind::Up}, std::pair{"\x1b[B", Kind::Down},
          std::pair{"\x1b[C", Kind::Right}, std::pair{"\x1b[D", Kind::Left}, std::pair{"\x1b[H", Kind::Home},
          std::pair{"\x1b[1~", Kind::Home}, std::pair{"\x1b[F", Kind::End},
          std::pair{"\x1b[3~", Kind::Delete}, std::pair{"\x1b[1;5C", Kind::WordRight},
          std::pair{"\x1b[1;5D", Kind::WordLeft}, std::pair{"\x1b[3;5~", Kind::WordDelete},
          std::pair{"\x1b[5~", Kind::PageUp}}) {
        EXPECT_EQ(keys_of(bytes), name(kind)) << bytes + 1;
    }
    EXPECT_EQ(keys_of("\x1b"
                      "b\x1b\x7f"),
              "M-b M-\x7f");
}

TEST(Keys, UnknownSequencesAreOneKeyThatMeansNothing) {
    const std::string none = name(Kind::None);
    EXPECT_EQ(keys_of("\x1b[15~x"), none + " 'x'");
    EXPECT_EQ(keys_of("\x1b[<0;10;20Mx"), none + " 'x'");
    EXPECT_EQ(keys_of("\x1b[" + std::string(100, '1')), none);
}

TEST(Keys, SplitAtEveryByteGivesTheSame) {
    const std::string bytes = "a\x1b[A\x1b[1;5D漢\x1b[200~p\tq\x1b[20x\r\n\x1b[201~\x1b"
                              "b\x1b[3~z";
    const std::string whole = keys_of(bytes);
    for (size_t split = 1; split < bytes.size(); ++split) {
        KeyReader reader;
        reader.feed(std::string_view(bytes).substr(0, split));
        std::string got = keys_of(reader);
        reader.feed(std::string_view(bytes).substr(split));
        const std::string rest = keys_of(reader);
        got += got.empty() || rest.empty() ? rest : " " + rest;
        EXPECT_EQ(got, whole) << split;
    }
    KeyReader reader;
    std::string got;
    for (const char c : bytes) {
        reader.feed({&c, 1});
        const std::string part = keys_of(reader);
        got += got.empty() || part.empty() ? part : " " + part;
    }
    EXPECT_EQ(got, whole);
}

TEST(Keys, LoneEscapeIsOneWhenNothingFollows) {
    EXPECT_EQ(keys_of("\x1b"), "");
    EXPECT_EQ(keys_of("\x1b", true), name(Kind::Escape));
    EXPECT_EQ(keys_of("\x1b\x1b[A"), name(Kind::Escape) + " " + name(Kind::Up));
    EXPECT_EQ(keys_of("\x1b[", true), "M-[");
    KeyReader reader;
    reader.feed("\x1b");
    (void)keys_of(reader);
    EXPECT_TRUE(reader.is_waiting());
    (void)keys_of(reader, true);
    EXPECT_FALSE(reader.is_waiting());
}

TEST(Keys, InvalidBytesAreTextOfTheirOwn) {
    EXPECT_EQ(keys_of("\xff"
                      "a"),
              "'\xff' 'a'");
    EXPECT_EQ(keys_of("\xc3"
                      "a"),
              "'\xc3' 'a'");
    EXPECT_EQ(keys_of("\xe6\xbc"), "") << "the rest may come";
    EXPECT_EQ(keys_of("\xe6\xbc", true), "'\xe6' '\xbc'");
    EXPECT_EQ(keys_of("\xc0\x80", true), "'\xc0' '\x80'") << "overlong";
    EXPECT_EQ(keys_of("\xed\xa0\x80", true), "'\xed' '\xa0' '\x80'") << "a surrogate";
}

TEST(Keys, PasteIsOneKeyWithItsTabsAndEscapes) {
    EXPECT_EQ(keys_of("\x1b[200~a\tb\x1b[A\r\x1b[201~c"), "paste'a\tb\x1b[A\r' 'c'");
    KeyReader reader;
    reader.feed("\x1b[200~text");
    EXPECT_EQ(keys_of(reader), "");
    EXPECT_FALSE(reader.is_waiting()) << "no timeout ends a paste";
    EXPECT_EQ(keys_of(reader, true), "");
    reader.feed("\x1b[201~");
    EXPECT_EQ(keys_of(reader), "paste'text'");
}

} // namespace
} // namespace mimicsh::shell
