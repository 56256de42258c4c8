// SPDX-License-Identifier: MIT
// Text of typed values: layout, names and what is left out follow kernel/bpf/btf.c (Linux 6.18), oddities
// included: members of an array's elements have no names until an inner array has ended, arrays of pointers
// and of arrays show their first element again and again, enums of zero are always shown.
#include "vm/btf_show.h"

#include <algorithm>
#include <cstdio>
#include <optional>

namespace mimicsh::vm {

namespace {

constexpr size_t kMostName = 79;       // BTF_SHOW_NAME_SIZE less the end
constexpr size_t kMostIndent = 32;     // beyond, lines do not move to the right any more
constexpr int kMostSuffixes = 10;      // BTF_SHOW_MAX_ITER
constexpr size_t kMostShown = 1 << 18; // values and elements; more have only types that no compiler wrote

std::string hex(uint64_t high, uint64_t low) {
    char text[48];
    if (high == 0) {
        std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(low));
    } else {
        std::snprintf(text, sizeof text, "0x%llx%016llx", static_cast<unsigned long long>(high),
                      static_cast<unsigned long long>(low));
    }
    return text;
}

/// isprint of the kernel, which counts Latin-1.
bool is_printable(uint8_t byte) {
    return (byte >= 0x20 && byte < 0x7f) || byte >= 0xa0;
}

class Shower {
  public:
    Shower(const Btf& btf, ByteView bytes, uint64_t flags) : btf_(btf), bytes_(bytes), flags_(flags) {}

    std::string run(uint32_t id) {
        show(id, id, 0, 0);
        return std::move(text_);
    }

  private:
    // -- Bytes --

    /// A number of up to eight bytes; what lies behind the value reads as 0.
    [[nodiscard]] uint64_t number(size_t at, size_t size) const {
        uint64_t value = 0;
        for (size_t i = 0; i < size && at + i < bytes_.size(); ++i) {
            value |= uint64_t{bytes_[at + i]} << (8 * i);
        }
        return value;
    }

    // -- Output --

    void put(const std::string& text) {
        if (!dry_) {
            text_ += text;
        }
    }
    [[nodiscard]] std::string indent() const {
        return std::string((flags_ & kShowCompact) != 0 ? 0 : std::min(depth_, kMostIndent), ' ');
    }
    [[nodiscard]] const char* newline() const { return (flags_ & kShowCompact) != 0 ? "" : "\n"; }
    [[nodiscard]] const char* delimiter() const {
        const bool is_union = type_ != 0 && btf_.type(type_).kind == BtfKind::Union;
        return depth_ == 0 ? "" : (flags_ & kShowCompact) != 0 && is_union ? "|" : ",";
    }

    void put_value(const std::string& value, bool is_zero = false) {
        if (is_zero && (flags_ & kShowZero) == 0 && depth_ != 0) {
            return;
        }
        put(indent() + name() + value + delimiter() + newline());
        deepest_ = std::max(deepest_, depth_);
    }

    // -- Names --

    [[nodiscard]] uint32_t without_qualifiers(uint32_t id) const {
        for (;;) {
            const BtfType& type = btf_.type(id);
            if (type.kind != BtfKind::Const && type.kind != BtfKind::Volatile &&
                type.kind != BtfKind::Restrict && type.kind != BtfKind::TypeTag) {
                return id;
            }
            id = type.type;
        }
    }

    /// ".member = (struct type *[])" and the parenthesis that opens the value.
    [[nodiscard]] std::string name() const {
        if (in_element_) {
            return {};
        }
        uint32_t id = member_ != nullptr ? member_->type : type_id_;
        std::optional<std::string_view> name;
        std::string stars;
        std::string brackets;
        int steps = 0;
        for (; steps < kMostSuffixes; ++steps) {
            const BtfType& type = btf_.type(id);
            if (type.kind == BtfKind::Typedef) {
                name = name ? name : type.name;
            } else if (type.kind == BtfKind::Array) {
                brackets += "[]";
            } else if (type.kind == BtfKind::Ptr) {
                stars += "*";
            } else {
                break;
            }
            if (type.type == 0) {
                break;
            }
            id = without_qualifiers(type.type);
        }
        return steps == kMostSuffixes ? std::string() : assembled(btf_.type(id), name, stars, brackets);
    }

    [[nodiscard]] std::string assembled(const BtfType& type, std::optional<std::string_view> alias,
                                        const std::string& stars, const std::string& brackets) const {
        const bool is_struct = type.kind == BtfKind::Struct || type.kind == BtfKind::Union;
        std::string open = !brackets.empty() ? "[" : is_struct ? "{" : "";
        if (!stars.empty()) {
            open.clear();
        }
        if ((flags_ & kShowNoName) != 0) {
            return open;
        }
        std::string prefix;
        if (!alias) {
            prefix = type.kind == BtfKind::Struct                                 ? "struct"
                     : type.kind == BtfKind::Union                                ? "union"
                     : type.kind == BtfKind::Enum || type.kind == BtfKind::Enum64 ? "enum"
                                                                                  : "";
        }
        const std::string own(alias.value_or(type.name));
        std::string text;
        if (member_ != nullptr && !member_->name.empty()) {
            text = "." + std::string(member_->name) + " = ";
        }
        text += "(" + prefix + (!prefix.empty() && !own.empty() ? " " : "") + own +
                (stars.empty() ? "" : " ") + stars + brackets + ")" + open;
        return text.substr(0, kMostName);
    }

    // -- Types --

    void start(uint32_t type, uint32_t id) {
        type_ = type;
        type_id_ = id;
    }
    void end() { type_ = type_id_ = 0; }

    void show(uint32_t type, uint32_t id, size_t at, uint32_t bit) {
        if (++shown_ > kMostShown) {
            return;
        }
        type = btf_.resolve(type);
        const BtfType& shown = btf_.type(type);
        switch (shown.kind) {
        case BtfKind::Int:
            start(type, id);
            show_int(shown, at, bit);
            end();
            break;
        case BtfKind::Ptr:
            start(type, id);
            show_pointer(number(at, 8));
            end();
            break;
        case BtfKind::Enum:
        case BtfKind::Enum64:
            start(type, id);
            show_enum(shown, at);
            end();
            break;
        case BtfKind::Struct:
        case BtfKind::Union:
        case BtfKind::Array:
            show_aggregate(type, id, at, bit);
            break;
        default:
            put("<unsupported kind:" + std::to_string(static_cast<uint32_t>(shown.kind)) + ">");
            break;
        }
    }

    void show_bits(size_t at, uint32_t bit, uint32_t width) {
        // At most 128 bits and the seven in front of them.
        const auto take = [&](uint32_t from, uint32_t count) {
            uint64_t value = 0;
            for (uint32_t i = 0; i < count; ++i) {
                const size_t place = bit + from + i;
                value |= (number(at + place / 8, 1) >> (place % 8) & 1) << i;
            }
            return value;
        };
        const uint64_t low = take(0, std::min(width, 64u));
        const uint64_t high = width > 64 ? take(64, std::min(width - 64, 64u)) : 0;
        put_value(hex(high, low), low == 0 && high == 0);
    }

    void show_int(const BtfType& type, size_t at, uint32_t bit) {
        const uint32_t bits = type.int_bits;
        const bool plain = bits == 8 || bits == 16 || bits == 32 || bits == 64;
        if (bit != 0 || type.int_offset != 0 || !plain) {
            const uint32_t from = bit + type.int_offset;
            show_bits(at + from / 8, from % 8, bits);
            return;
        }
        const uint64_t value = number(at, bits / 8);
        if (bits == 8 && in_text_) {
            if (text_ended_) {
                return;
            }
            if (value == 0) {
                text_ended_ = true;
                return;
            }
            if (is_printable(static_cast<uint8_t>(value))) {
                put_value(std::string("'") + static_cast<char>(value) + "'");
                return;
            }
        }
        const auto widened = static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
        put_value(type.is_signed ? std::to_string(widened) : std::to_string(value), value == 0);
    }

    void show_pointer(uint64_t value) {
        constexpr uint64_t kMostErrno = 4095;
        const bool plain = value == 0 || value >= ~uint64_t{0} - kMostErrno + 1;
        if ((flags_ & kShowRawPointers) == 0 && !plain) {
            value = value * 0x9e3779b97f4a7c15 >> 32;
        }
        char text[24];
        std::snprintf(text, sizeof text, "0x%016llx", static_cast<unsigned long long>(value));
        put_value(text, value == 0);
    }

    void show_enum(const BtfType& type, size_t at) {
        const bool wide = type.kind == BtfKind::Enum64;
        const uint64_t raw = number(at, wide ? 8 : 4);
        const auto narrow_value = static_cast<int32_t>(raw);
        for (const BtfEnumerator& one : type.enumerators) {
            if (wide ? static_cast<uint64_t>(one.value) == raw
                     : static_cast<int32_t>(one.value) == narrow_value) {
                put_value(std::string(one.name));
                return;
            }
        }
        const auto as_signed = wide ? static_cast<int64_t>(raw) : int64_t{narrow_value};
        put_value(type.is_signed ? std::to_string(as_signed) : std::to_string(raw), raw == 0);
    }

    // -- Structs and arrays --

    void show_aggregate(uint32_t type, uint32_t id, size_t at, uint32_t bit) {
        const BtfMember* member = member_;
        if (depth_ > 0 && (flags_ & kShowZero) == 0) {
            // Once without output: is anything in it other than zero?
            const bool outermost = !dry_;
            if (outermost) {
                dry_ = true;
                deepest_ = 0;
            }
            show_contents(type, id, at, bit);
            member_ = member;
            if (!outermost) {
                return;
            }
            dry_ = false;
            if (deepest_ <= depth_) {
                return;
            }
        }
        show_contents(type, id, at, bit);
    }

    void show_contents(uint32_t type, uint32_t id, size_t at, uint32_t bit) {
        const BtfType& shown = btf_.type(type);
        const bool is_array = shown.kind == BtfKind::Array;
        start(type, id);
        if (is_array) {
            const BtfType& element = btf_.type(btf_.resolve(shown.type));
            in_text_ = element.kind == BtfKind::Int && element.size == 1;
            text_ended_ = false;
        }
        put(indent() + name() + newline());
        ++depth_;
        if (is_array) {
            show_elements(shown, at, bit);
            in_text_ = text_ended_ = false;
        } else {
            show_members(shown, at);
        }
        --depth_;
        put(indent() + (is_array ? "]" : "}") + delimiter() + newline());
        end();
    }

    void show_elements(const BtfType& array, size_t at, uint32_t bit) {
        const uint32_t element = btf_.resolve(array.type);
        const uint32_t size = btf_.type(element).kind == BtfKind::Ptr ? 0 : btf_.type(element).size;
        for (uint32_t i = 0; i < array.elements && shown_ <= kMostShown; ++i) {
            in_element_ = true;
            member_ = nullptr;
            show(element, array.type, at + size_t{i} * size, bit);
            in_element_ = false;
            member_ = nullptr;
            if (text_ended_) {
                break;
            }
        }
    }

    void show_members(const BtfType& type, size_t at) {
        for (const BtfMember& member : type.members) {
            member_ = &member;
            const size_t place = at + member.bit_offset / 8;
            const uint32_t bit = member.bit_offset % 8;
            if (member.bit_width != 0) {
                start(member.type, member.type);
                show_bits(place, bit, member.bit_width);
                end();
            } else {
                show(member.type, member.type, place, bit);
            }
            member_ = nullptr;
        }
    }

    const Btf& btf_;
    ByteView bytes_;
    uint64_t flags_;
    std::string text_;
    size_t depth_ = 0;
    size_t shown_ = 0;   ///< values so far, those without output too
    size_t deepest_ = 0; ///< at which a value was shown since the last look ahead began
    bool dry_ = false;   ///< looking ahead
    const BtfMember* member_ = nullptr;
    uint32_t type_ = 0;    ///< being shown, without modifiers
    uint32_t type_id_ = 0; ///< the same as it was named
    bool in_element_ = false;
    bool in_text_ = false;    ///< elements of one byte, shown as characters up to a zero
    bool text_ended_ = false; ///< the zero was seen
};

} // namespace

std::string show_value(const Btf& btf, uint32_t id, ByteView bytes, uint64_t flags) {
    return Shower(btf, bytes, flags).run(id);
}

} // namespace mimicsh::vm
