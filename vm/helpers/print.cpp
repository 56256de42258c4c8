// SPDX-License-Identifier: MIT
// trace_printk, trace_vprintk and snprintf: the kernel's subset of printf (bpf_bprintf_prepare in
// kernel/bpf/helpers.c).
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr size_t kMaxLine = 1024;  // MAX_BPRINTF_BUF: what is kept of a line that is printed
constexpr size_t kMaxBinary = 512; // MAX_BPRINTF_BIN_ARGS: the arguments of a line, strings among them
constexpr uint32_t kMaxArgs = 12;  // MAX_BPRINTF_VARARGS
constexpr int32_t kMaxWidth = (1 << 23) - 1; // FIELD_WIDTH_MAX of lib/vsprintf.c
constexpr int64_t kPointerDigits = 16;

// -- The kernel's classes of characters (lib/ctype.c): Latin-1 --

bool is_space(uint8_t c) {
    return c <= 127 ? std::isspace(c) != 0 : c == 0xa0;
}
bool is_letter_or_digit(uint8_t c) {
    return c <= 127 ? std::isalnum(c) != 0 : c >= 0xc0 && c != 0xd7 && c != 0xf7;
}
bool is_punctuation(uint8_t c) {
    return c <= 127 ? std::ispunct(c) != 0 : c > 0xa0 && !is_letter_or_digit(c);
}

/// One conversion of a format.
struct Conversion {
    bool left = false, zeros = false, plus = false, blank = false;
    int64_t width = -1; ///< -1 when none is given
    char kind = 0;      ///< d i u x X c s p, or % for itself
    bool is_long = false;
    std::string_view suffix; ///< what follows %p: "I4", "i6", "x", ...

    /// The text was made when the arguments were gathered.
    [[nodiscard]] bool is_ready() const { return suffix.size() == 2 || suffix == "B"; }
};

/// Reads the conversion after a '%' at `at`; false when the kernel refuses it.
bool read_conversion(std::string_view format, size_t& at, Conversion& out) {
    const auto next = [&] { return at < format.size() ? format[at] : '\0'; };
    const auto ends_word = [&] {
        const auto c = static_cast<uint8_t>(next());
        return c == 0 || is_space(c) || is_punctuation(c);
    };
    if (next() == '%') {
        out.kind = '%';
        ++at;
        return true;
    }
    for (;; ++at) {
        bool* flag = next() == '0'   ? &out.zeros
                     : next() == '+' ? &out.plus
                     : next() == '-' ? &out.left
                     : next() == ' ' ? &out.blank
                                     : nullptr;
        if (flag == nullptr) {
            break;
        }
        *flag = true;
    }
    if (next() >= '0' && next() <= '9') {
        uint32_t width = 0; // an int, that goes round
        for (; next() >= '0' && next() <= '9'; ++at) {
            width = width * 10 + static_cast<uint32_t>(next() - '0');
        }
        out.width = std::clamp(static_cast<int32_t>(width), -kMaxWidth, kMaxWidth);
    }
    if (next() == 'l') {
        out.is_long = true;
        ++at;
        at += next() == 'l' ? 1 : 0;
    }
    out.kind = next();
    ++at;
    if (out.kind == 'p' && !out.is_long) {
        for (std::string_view known : {"I4", "i4", "I6", "i6", "ks", "us", "K", "x", "s", "S", "B"}) {
            if (format.substr(std::min(at, format.size())).starts_with(known)) {
                out.suffix = known;
                at += known.size();
                break;
            }
        }
        return (!out.suffix.empty() && out.suffix != "ks" && out.suffix != "us") || ends_word();
    }
    if (out.kind == 's' && !out.is_long) {
        return ends_word();
    }
    return out.kind != 0 &&
           std::string_view(out.is_long ? "diuxX" : "diuxXc").find(out.kind) != std::string_view::npos;
}

std::string guest_string(Machine& machine, uint64_t addr, size_t limit, const char* what) {
    constexpr size_t kCharactersPerStep = 16;
    std::string text;
    while (text.size() < limit) {
        if (text.size() % kCharactersPerStep == kCharactersPerStep - 1 && !machine.spend(1)) {
            break;
        }
        const uint8_t* byte = machine.span(addr + text.size(), 1, Access::Read, what);
        if (byte == nullptr || *byte == 0) {
            break;
        }
        text += static_cast<char>(*byte);
    }
    return text;
}

std::string address_text(Machine& machine, std::string_view suffix, uint64_t addr) {
    const uint32_t size = suffix[1] == '4' ? 4 : 16;
    std::array<uint8_t, 16> bytes{};
    if (machine.can_access(addr, size, Access::Read)) {
        if (const uint8_t* from = machine.span(addr, size, Access::Read, "address")) {
            std::copy_n(from, size, bytes.begin());
        }
    }
    std::string text;
    for (uint32_t i = 0; i < size; ++i) {
        char part[8];
        if (size == 4) {
            std::snprintf(part, sizeof part, suffix[0] == 'I' ? "%s%u" : "%s%03u", i == 0 ? "" : ".",
                          unsigned{bytes[i]});
        } else {
            std::snprintf(part, sizeof part, "%s%02x", suffix[0] == 'I' && i != 0 && i % 2 == 0 ? ":" : "",
                          unsigned{bytes[i]});
        }
        text += part;
    }
    return text;
}

/// An address that is not one of the kernel's symbols.
std::string symbol_text(uint64_t addr) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(addr));
    return text;
}

/// The arguments of a line as bpf_bprintf_prepare leaves them for bstr_printf: numbers, and texts with their
/// NUL.
struct BinaryArgs {
    std::vector<uint8_t> bytes;
    size_t at = 0; ///< what bstr_printf has read

    [[nodiscard]] size_t room() const { return kMaxBinary - std::min(kMaxBinary, bytes.size()); }
    void add_text(std::string_view text) {
        bytes.insert(bytes.end(), text.begin(), text.end());
        bytes.push_back(0);
    }
    [[nodiscard]] bool add_number(uint64_t value, size_t size) {
        bytes.resize((bytes.size() + 3) & ~size_t{3});
        if (room() < size) {
            return false;
        }
        const auto* from = reinterpret_cast<const uint8_t*>(&value);
        bytes.insert(bytes.end(), from, from + size);
        return true;
    }
    uint64_t number(size_t size) {
        at = (at + 3) & ~size_t{3};
        uint64_t value = 0;
        for (size_t i = 0; i < size && at + i < bytes.size(); ++i) {
            value |= uint64_t{bytes[at + i]} << 8 * i;
        }
        at += size;
        return value;
    }
    uint8_t byte() { return at < bytes.size() ? bytes[at++] : 0; }
    /// The text at the cursor, which stays there.
    [[nodiscard]] std::string_view text() const {
        const std::string_view rest = as_text(ByteView(bytes).subspan(std::min(at, bytes.size())));
        return rest.substr(0, rest.find('\0'));
    }
};

/// Puts the argument of a conversion there; 0 or a negative errno.
int64_t gather(Machine& machine, const Conversion& conversion, uint64_t arg, BinaryArgs& to) {
    const bool is_user = conversion.suffix == "us"; // there is no user memory
    if (conversion.kind == 's' || is_user || conversion.suffix == "ks") {
        if (to.room() == 0) {
            return -ENOSPC;
        }
        to.add_text(is_user || !machine.can_access(arg, 1, Access::Read)
                        ? ""
                        : guest_string(machine, arg, to.room() - 1, "string"));
    } else if (conversion.kind == 'c') {
        if (to.room() == 0) {
            return -ENOSPC;
        }
        to.bytes.push_back(static_cast<uint8_t>(arg));
    } else if (conversion.suffix == "B") {
        to.add_text(symbol_text(arg));
    } else if (conversion.is_ready()) {
        if (to.room() < (conversion.suffix[1] == '4' ? 4u : 16u)) {
            return -ENOSPC;
        }
        to.add_text(address_text(machine, conversion.suffix, arg));
    } else if (!to.add_number(arg, conversion.kind == 'p' || conversion.is_long ? 8 : 4)) {
        return -ENOSPC;
    }
    return 0;
}

/// A line as it grows: text up to what is kept of it, and the length it would have had.
struct Line {
    size_t limit = kMaxLine;
    std::string text;
    uint64_t length = 0;

    void add(std::string_view more) {
        length += more.size();
        text += more.substr(0, limit - std::min(limit, text.size()));
    }
    void pad(int64_t count, char with) {
        const auto size = static_cast<size_t>(std::max<int64_t>(count, 0));
        length += size;
        text.append(std::min(size, limit - std::min(limit, text.size())), with);
    }
    void add_text(const Conversion& conversion, std::string_view more) {
        const int64_t missing = conversion.width - static_cast<int64_t>(more.size());
        pad(conversion.left ? 0 : missing, ' ');
        add(more);
        pad(conversion.left ? missing : 0, ' ');
    }
    void add_number(const Conversion& conversion, uint64_t value) {
        const bool is_signed = conversion.kind == 'd' || conversion.kind == 'i';
        const bool negative = is_signed && static_cast<int64_t>(value) < 0;
        const std::string_view sign = negative                        ? "-"
                                      : is_signed && conversion.plus  ? "+"
                                      : is_signed && conversion.blank ? " "
                                                                      : "";
        const char* form = conversion.kind == 'X'                             ? "%llX"
                           : conversion.kind == 'x' || conversion.kind == 'p' ? "%llx"
                                                                              : "%llu";
        char digits[24];
        const int size = std::snprintf(digits, sizeof digits, form,
                                       static_cast<unsigned long long>(negative ? 0 - value : value));
        const int64_t missing = conversion.width - size - static_cast<int64_t>(sign.size());
        const bool zeros = conversion.zeros && !conversion.left;
        pad(zeros || conversion.left ? 0 : missing, ' ');
        add(sign);
        pad(zeros ? missing : 0, '0');
        add(digits);
        pad(conversion.left ? missing : 0, ' ');
    }
    /// What bstr_printf makes of a conversion.
    void add_conversion(Conversion conversion, BinaryArgs& args) {
        if (conversion.kind == 'c') {
            const auto c = static_cast<char>(args.byte());
            add_text(conversion, {&c, 1});
        } else if (conversion.kind == 's') {
            const std::string_view more = args.text();
            add_text(conversion, more);
            args.at += more.size() + 1;
        } else if (conversion.is_ready()) {
            if (length < limit) { // else it is neither counted nor taken from the arguments
                const std::string_view more = args.text();
                add(more);
                args.at += more.size() + 1;
            }
        } else if (conversion.suffix == "s" || conversion.suffix == "S") {
            add_text(conversion, symbol_text(args.number(8)));
        } else if (conversion.kind == 'p') {
            if (conversion.width < 0) {
                conversion.width = kPointerDigits;
                conversion.zeros = true;
            }
            add_number(conversion, args.number(8));
        } else if (conversion.is_long) {
            add_number(conversion, args.number(8));
        } else {
            const auto value = static_cast<uint32_t>(args.number(4));
            const bool is_signed = conversion.kind == 'd' || conversion.kind == 'i';
            add_number(conversion, is_signed ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)})
                                             : uint64_t{value});
        }
    }
};

/// Formats into `line`; 0, or the errno with which the kernel refuses.
int64_t format_line(Machine& machine, std::string_view format, std::span<const uint64_t> args, Line& line) {
    struct Piece {
        std::string_view text; ///< in front of the conversion
        Conversion conversion;
    };
    std::vector<Piece> pieces(1);
    BinaryArgs binary;
    size_t used = 0;
    for (size_t at = 0; at < format.size();) {
        const auto c = static_cast<uint8_t>(format[at]);
        if (c != '%') {
            if (c <= 127 && std::isprint(c) == 0 && std::isspace(c) == 0) {
                return -EINVAL;
            }
            std::string_view& text = pieces.back().text;
            text = format.substr(text.empty() ? at : static_cast<size_t>(text.data() - format.data()),
                                 text.size() + 1);
            ++at;
            continue;
        }
        ++at;
        Conversion& conversion = pieces.back().conversion;
        if (!read_conversion(format, at, conversion)) {
            return -EINVAL;
        }
        if (conversion.kind != '%') {
            if (used == args.size()) {
                return -EINVAL;
            }
            const int64_t bad = gather(machine, conversion, args[used++], binary);
            if (bad != 0 || machine.faulted()) {
                return bad;
            }
        }
        // bstr_printf takes letters and digits behind a pointer for its kind.
        while (conversion.kind == 'p' && at < format.size() &&
               is_letter_or_digit(static_cast<uint8_t>(format[at]))) {
            ++at;
        }
        pieces.emplace_back();
    }
    for (const Piece& piece : pieces) {
        line.add(piece.text);
        if (piece.conversion.kind == '%') {
            line.add("%");
        } else if (piece.conversion.kind != 0) {
            line.add_conversion(piece.conversion, binary);
        }
    }
    return 0;
}

/// Formats and logs; the result is the length of the line, or a negative errno as the kernel gives it.
uint64_t print(Machine& machine, std::string_view format, std::span<const uint64_t> args) {
    Line line;
    const int64_t bad = format_line(machine, format, args, line);
    if (bad != 0 || machine.faulted()) {
        return errno_result(bad);
    }
    while (!line.text.empty() && line.text.back() == '\n') {
        line.text.pop_back();
    }
    machine.note_effect(line.text.size() + kUsualEffect);
    machine.log.push_back(std::move(line.text));
    return line.length;
}

/// Arguments given as an array of `size` bytes; nothing when the size is refused or a fault is pending.
std::optional<std::vector<uint64_t>> arguments_at(Machine& machine, uint64_t addr, uint32_t size) {
    if (size % 8 != 0 || size > kMaxArgs * 8 || (size != 0 && addr == 0)) {
        return std::nullopt;
    }
    const uint8_t* data = machine.span(addr, size, Access::Read, "arguments");
    if (data == nullptr) {
        return std::nullopt;
    }
    std::vector<uint64_t> values(size / 8);
    if (size != 0) {
        std::memcpy(values.data(), data, size);
    }
    return values;
}

/// The format argument up to its NUL; the kernel insists on one inside the given size.
std::optional<std::string> format_at(Machine& machine, uint64_t addr, uint64_t size) {
    const uint8_t* bytes = machine.span(addr, static_cast<uint32_t>(size), Access::Read, "format");
    if (bytes == nullptr) {
        return std::nullopt;
    }
    const std::string_view text = as_text({bytes, static_cast<uint32_t>(size)});
    const size_t end = text.find('\0');
    return end == std::string_view::npos ? std::nullopt : std::optional<std::string>(text.substr(0, end));
}

} // namespace

uint64_t helper_trace_printk(Machine& machine, const uint64_t* args) {
    const auto format = format_at(machine, args[0], args[1]);
    return format ? print(machine, *format, {args + 2, 3}) : errno_result(-EINVAL);
}

uint64_t helper_trace_vprintk(Machine& machine, const uint64_t* args) {
    const auto format = format_at(machine, args[0], args[1]);
    if (!format) {
        return errno_result(-EINVAL);
    }
    const auto values = arguments_at(machine, args[2], static_cast<uint32_t>(args[3]));
    return values ? print(machine, *format, *values) : errno_result(-EINVAL);
}

uint64_t kfunc_stream_vprintk(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kStdout = 1, kStderr = 2;
    const auto stream = static_cast<uint32_t>(args[0]);
    if (stream != kStdout && stream != kStderr) {
        return errno_result(-ENOENT);
    }
    const auto values = arguments_at(machine, args[2], static_cast<uint32_t>(args[3]));
    if (!values) {
        return errno_result(-EINVAL);
    }
    const std::string format = guest_string(machine, args[1], UINT32_MAX, "format");
    if (machine.faulted()) {
        return 0;
    }
    const uint64_t length = print(machine, format, *values);
    return static_cast<int64_t>(length) < 0 ? length : 0;
}

uint64_t helper_snprintf(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    const auto values = arguments_at(machine, args[3], static_cast<uint32_t>(args[4]));
    if (!values) {
        return errno_result(-EINVAL);
    }
    const std::string format = guest_string(machine, args[2], UINT32_MAX, "format");
    if (machine.faulted()) {
        return 0;
    }
    Line line{size, {}, 0};
    if (!machine.spend(format.size() / 16)) {
        return 0;
    }
    const int64_t bad = format_line(machine, format, *values, line);
    if (bad == -EINVAL) {
        return machine.fault(FaultKind::Strict,
                             "bpf_snprintf: the kernel refuses the format \"" + format + "\"");
    }
    if (bad != 0 || machine.faulted()) {
        return errno_result(bad);
    }
    uint8_t* out = machine.span(args[0], size, Access::Write, "text");
    if (out == nullptr) {
        return 0;
    }
    if (size != 0) {
        const size_t kept = std::min<size_t>(line.text.size(), size - 1);
        std::memcpy(out, line.text.data(), kept);
        out[kept] = 0;
    }
    return line.length + 1;
}

} // namespace mimicsh::vm
