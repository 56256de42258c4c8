// SPDX-License-Identifier: MIT
// Bytes of a terminal to keys.
#include "shell/keys.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/characters.h"

namespace mimicsh::shell {

using namespace utf8;

namespace {

using Kind = Key::Kind;

constexpr char kEsc = '\x1b';
constexpr std::string_view kPasteBegins = "\x1b[200~";
constexpr std::string_view kPasteEnds = "\x1b[201~";
constexpr size_t kMaxSequence = 32;

struct Sequence {
    std::string_view text; ///< behind ESC
    Kind kind;
};

// ECMA-48 and what xterm, the Linux console, rxvt and screen send.
constexpr std::array kSequences{
    Sequence{"[A", Kind::Up},           Sequence{"OA", Kind::Up},
    Sequence{"[B", Kind::Down},         Sequence{"OB", Kind::Down},
    Sequence{"[C", Kind::Right},        Sequence{"OC", Kind::Right},
    Sequence{"[D", Kind::Left},         Sequence{"OD", Kind::Left},
    Sequence{"[H", Kind::Home},         Sequence{"OH", Kind::Home},
    Sequence{"[1~", Kind::Home},        Sequence{"[7~", Kind::Home},
    Sequence{"[F", Kind::End},          Sequence{"OF", Kind::End},
    Sequence{"[4~", Kind::End},         Sequence{"[8~", Kind::End},
    Sequence{"[3~", Kind::Delete},      Sequence{"[3;5~", Kind::WordDelete},
    Sequence{"[5~", Kind::PageUp},      Sequence{"[6~", Kind::PageDown},
    Sequence{"[1;5C", Kind::WordRight}, Sequence{"[1;5D", Kind::WordLeft},
    Sequence{"[1;3C", Kind::WordRight}, Sequence{"[1;3D", Kind::WordLeft},
    Sequence{"Oc", Kind::WordRight},    Sequence{"Od", Kind::WordLeft},
    Sequence{"[1;5H", Kind::Home},      Sequence{"[1;5F", Kind::End},
};

} // namespace

void KeyReader::feed(std::string_view bytes) {
    pending_.erase(0, taken_);
    taken_ = 0;
    pending_ += bytes;
}

Key KeyReader::take(size_t bytes, Key key) {
    taken_ += bytes;
    return key;
}

std::optional<Key> KeyReader::paste() {
    const std::string_view here = rest();
    const size_t end = here.find(kPasteEnds);
    if (end == std::string_view::npos) {
        // The end may have come in part.
        const size_t kept = std::min(here.size(), kPasteEnds.size() - 1);
        pasted_.append(here, 0, here.size() - kept);
        taken_ += here.size() - kept;
        return std::nullopt;
    }
    pasted_.append(here, 0, end);
    is_pasting_ = false;
    return take(end + kPasteEnds.size(), {Kind::Paste, 0, std::exchange(pasted_, {})});
}

std::optional<Key> KeyReader::escape(bool is_over) {
    const std::string_view here = rest();
    if (here.size() == 1) {
        return is_over ? std::optional(take(1, {Kind::Escape})) : std::nullopt;
    }
    const char second = here[1];
    if (second != '[' && second != 'O') {
        if (second == kEsc) {
            return take(1, {Kind::Escape});
        }
        return take(2, {Kind::Meta, second});
    }
    // CSI: parameters and intermediates end with a byte from @ to ~; SS3 has one byte.
    size_t end = 2;
    while (second == '[' && end < here.size() && here[end] >= ' ' && here[end] < '@') {
        ++end;
    }
    if (end >= here.size()) {
        if (is_over || end > kMaxSequence) {
            return take(end == 2 ? 2 : end, end == 2 ? Key{Kind::Meta, second} : Key{});
        }
        return std::nullopt;
    }
    const std::string_view sequence = here.substr(0, end + 1);
    if (sequence == kPasteBegins) {
        taken_ += sequence.size();
        is_pasting_ = true;
        return paste();
    }
    for (const Sequence& known : kSequences) {
        if (sequence.substr(1) == known.text) {
            return take(sequence.size(), {known.kind});
        }
    }
    return take(sequence.size(), {});
}

std::optional<Key> KeyReader::text(bool is_over) {
    const std::string_view here = rest();
    const Character character = decode(here);
    if (!character.is_valid && character.may_continue && !is_over) {
        return std::nullopt;
    }
    return take(character.size, {Kind::Text, 0, std::string(here.substr(0, character.size))});
}

std::optional<Key> KeyReader::next(bool is_over) {
    if (is_pasting_) {
        return paste();
    }
    if (rest().empty()) {
        return std::nullopt;
    }
    const char first = rest()[0];
    if (first == kEsc) {
        return escape(is_over);
    }
    if (first == '\x7f') {
        return take(1, {Kind::Control, '?'});
    }
    if (static_cast<unsigned char>(first) < ' ') {
        return take(1, {Kind::Control, static_cast<char>(first + '@')});
    }
    return text(is_over);
}

} // namespace mimicsh::shell
