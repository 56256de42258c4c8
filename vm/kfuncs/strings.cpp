// SPDX-License-Identifier: MIT
// String kfuncs (kernel/bpf/helpers.c): positions or negative errnos; strings end at a NUL, and at most
// XATTR_SIZE_MAX bytes are looked at.
#include <cerrno>
#include <optional>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kLongest = 65536; ///< XATTR_SIZE_MAX
/// Searches for one string in another look at up to kLongest squared characters: they count as steps.
constexpr uint64_t kCharactersPerStep = 16;

/// Reads single characters; a place that cannot be read is a fault and gives nothing.
class Text {
  public:
    Text(Machine& machine, uint64_t addr) : machine_(machine), addr_(addr) {}
    [[nodiscard]] std::optional<char> at(uint64_t i) const {
        if (++looked_at_ % kCharactersPerStep == 0 && !machine_.spend(1)) {
            return std::nullopt;
        }
        const uint8_t* byte = machine_.span(addr_ + i, 1, Access::Read, "string");
        return byte == nullptr ? std::nullopt : std::optional(static_cast<char>(*byte));
    }

  private:
    Machine& machine_;
    uint64_t addr_;
    mutable uint64_t looked_at_ = 0;
};

/// First place below `count` where `found` says so of the character; -ENOENT behind the string's end.
template <typename Found>
uint64_t search(const Text& text, uint64_t count, Found found) {
    uint64_t i = 0;
    for (; i < count && i < kLongest; ++i) {
        const auto c = text.at(i);
        if (!c) {
            return 0;
        }
        if (found(*c)) {
            return i;
        }
        if (*c == '\0') {
            return errno_result(-ENOENT);
        }
    }
    return errno_result(i == kLongest ? -E2BIG : -ENOENT);
}

/// Length of the part in front of the first character for which membership in `set` is `wanted`.
uint64_t span_of(Machine& machine, const uint64_t* args, bool wanted) {
    const Text text(machine, args[0]);
    const Text set(machine, args[1]);
    for (uint64_t i = 0; i < kLongest; ++i) {
        const auto c = text.at(i);
        if (!c) {
            return 0;
        }
        if (*c == '\0') {
            return i;
        }
        bool is_member = false;
        uint64_t j = 0;
        for (; j < kLongest; ++j) {
            const auto member = set.at(j);
            if (!member) {
                return 0;
            }
            is_member = *member == *c;
            if (is_member || *member == '\0') {
                break;
            }
        }
        if (j == kLongest) {
            return errno_result(-E2BIG);
        }
        if (is_member == wanted) {
            return i;
        }
    }
    return errno_result(-E2BIG);
}

uint64_t find_text(Machine& machine, uint64_t where, uint64_t what, uint64_t length) {
    const Text wanted(machine, what);
    const Text text(machine, where);
    for (uint64_t i = 0; i < kLongest; ++i) {
        uint64_t j = 0;
        for (; i + j <= length && j < kLongest; ++j) {
            const auto c = wanted.at(j);
            if (!c) {
                return 0;
            }
            if (*c == '\0') {
                return i;
            }
            if (i + j == length) {
                break;
            }
            const auto here = text.at(i + j);
            if (!here) {
                return 0;
            }
            if (*here == '\0') {
                return errno_result(-ENOENT);
            }
            if (*here != *c) {
                break;
            }
        }
        if (j == kLongest) {
            return errno_result(-E2BIG);
        }
        if (i + j == length) {
            return errno_result(-ENOENT);
        }
    }
    return errno_result(-E2BIG);
}

/// The kernel's tolower: ISO 8859-1, of which \xd7 is no letter.
constexpr char to_lower(char c) {
    const auto code = static_cast<uint8_t>(c);
    const bool is_upper = (code >= 'A' && code <= 'Z') || (code >= 0xc0 && code <= 0xde && code != 0xd7);
    return is_upper ? static_cast<char>(code + 0x20) : c;
}

/// -1, 0 or 1; `fold` maps characters that count as the same to one.
template <typename Fold>
uint64_t compare(Machine& machine, const uint64_t* args, Fold fold) {
    const Text a(machine, args[0]);
    const Text b(machine, args[1]);
    for (uint64_t i = 0; i < kLongest; ++i) {
        const auto left = a.at(i);
        const auto right = left ? b.at(i) : std::nullopt;
        if (!right) {
            return 0;
        }
        if (fold(*left) != fold(*right)) {
            const bool is_less = static_cast<uint8_t>(fold(*left)) < static_cast<uint8_t>(fold(*right));
            return errno_result(is_less ? -1 : 1);
        }
        if (*left == '\0') {
            return 0;
        }
    }
    return errno_result(-E2BIG);
}

} // namespace

uint64_t kfunc_strcmp(Machine& machine, const uint64_t* args) {
    return compare(machine, args, [](char c) { return c; });
}

uint64_t kfunc_strcasecmp(Machine& machine, const uint64_t* args) {
    return compare(machine, args, to_lower);
}

uint64_t kfunc_strnchr(Machine& machine, const uint64_t* args) {
    const auto wanted = static_cast<char>(args[2]);
    return search(Text(machine, args[0]), args[1], [wanted](char c) { return c == wanted; });
}

uint64_t kfunc_strchr(Machine& machine, const uint64_t* args) {
    const auto wanted = static_cast<char>(args[1]);
    return search(Text(machine, args[0]), kLongest, [wanted](char c) { return c == wanted; });
}

uint64_t kfunc_strchrnul(Machine& machine, const uint64_t* args) {
    const auto wanted = static_cast<char>(args[1]);
    return search(Text(machine, args[0]), kLongest, [wanted](char c) { return c == wanted || c == '\0'; });
}

uint64_t kfunc_strrchr(Machine& machine, const uint64_t* args) {
    const Text text(machine, args[0]);
    const auto wanted = static_cast<int32_t>(args[1]); // the one of them that takes an int
    int64_t last = -ENOENT;
    for (uint64_t i = 0; i < kLongest; ++i) {
        const auto c = text.at(i);
        if (!c) {
            return 0;
        }
        if (static_cast<uint8_t>(*c) == wanted) {
            last = static_cast<int64_t>(i);
        }
        if (*c == '\0') {
            return errno_result(last);
        }
    }
    return errno_result(-E2BIG);
}

uint64_t kfunc_strnlen(Machine& machine, const uint64_t* args) {
    const Text text(machine, args[0]);
    uint64_t i = 0;
    for (; i < args[1] && i < kLongest; ++i) {
        const auto c = text.at(i);
        if (!c || *c == '\0') {
            return i;
        }
    }
    return i == kLongest ? errno_result(-E2BIG) : i;
}

uint64_t kfunc_strlen(Machine& machine, const uint64_t* args) {
    const uint64_t with_length[2] = {args[0], kLongest};
    return kfunc_strnlen(machine, with_length);
}

uint64_t kfunc_strspn(Machine& machine, const uint64_t* args) {
    return span_of(machine, args, false);
}

uint64_t kfunc_strcspn(Machine& machine, const uint64_t* args) {
    return span_of(machine, args, true);
}

uint64_t kfunc_strnstr(Machine& machine, const uint64_t* args) {
    return find_text(machine, args[0], args[1], args[2]);
}

uint64_t kfunc_strstr(Machine& machine, const uint64_t* args) {
    return find_text(machine, args[0], args[1], kLongest);
}

} // namespace mimicsh::vm
