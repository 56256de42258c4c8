// SPDX-License-Identifier: MIT
// trace_printk, trace_vprintk and snprintf: the kernel's subset of printf (bpf_bprintf_prepare in
// kernel/bpf/helpers.c).
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr size_t kMaxWidth = (1 << 23) - 1; // FIELD_WIDTH_MAX of lib/vsprintf.c
constexpr size_t kMaxLine = 1024;           // MAX_BPRINTF_BUF: what is kept of a line that is printed
constexpr size_t kMaxString = 512;          // MAX_BPRINTF_BIN_ARGS: all strings of a line together
constexpr uint32_t kMaxArgs = 12;           // MAX_BPRINTF_VARARGS

/// One conversion of a format, as text and in parts.
struct Conversion {
    std::string flags; ///< "%" with flags
    size_t width = 0;
    char kind = 0; ///< d i u x X c s p, or % for itself
    int longs = 0;
    std::string suffix; ///< what follows %p: "I4", "i6", "x", ...
};

/// Reads the conversion after a '%' at `at`; false when the kernel refuses it.
bool read_conversion(std::string_view format, size_t& at, Conversion& out) {
    out.flags = "%";
    if (at < format.size() && format[at] == '%') {
        out.kind = '%';
        ++at;
        return true;
    }
    while (at < format.size() && std::string_view("0+- ").find(format[at]) != std::string_view::npos) {
        out.flags += format[at++];
    }
    while (at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])) != 0) {
        out.width = std::min(out.width * 10 + static_cast<size_t>(format[at++] - '0'), kMaxWidth);
    }
    while (at < format.size() && format[at] == 'l' && out.longs < 2) {
        ++out.longs;
        ++at;
    }
    if (at == format.size()) {
        return false;
    }
    out.kind = format[at++];
    if (out.longs > 0) {
        return std::string_view("diuxX").find(out.kind) != std::string_view::npos;
    }
    if (out.kind == 'p') {
        for (std::string_view known : {"I4", "i4", "I6", "i6", "ks", "us", "K", "x", "s", "S", "B"}) {
            if (format.substr(at).starts_with(known)) {
                out.suffix = known;
                at += known.size();
                break;
            }
        }
        return out.suffix.size() == 2 || at == format.size() ||
               std::isalnum(static_cast<unsigned char>(format[at])) == 0;
    }
    return std::string_view("diuxXcs").find(out.kind) != std::string_view::npos;
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

std::string address_text(Machine& machine, const std::string& suffix, uint64_t addr) {
    const uint32_t size = suffix[1] == '4' ? 4 : 16;
    const uint8_t* bytes = machine.span(addr, size, Access::Read, "address");
    std::string text;
    for (uint32_t i = 0; bytes != nullptr && i < size; ++i) {
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

std::string convert(Machine& machine, const Conversion& conversion, uint64_t arg) {
    char buffer[128];
    switch (conversion.kind) {
    case 'c':
        return std::string(1, static_cast<char>(arg));
    case 's':
        if (conversion.suffix.empty()) {
            return guest_string(machine, arg, kMaxString, "string");
        }
        break;
    case 'p':
        if (conversion.suffix == "ks" || conversion.suffix == "us") {
            return guest_string(machine, arg, kMaxString, "string");
        }
        if (conversion.suffix.size() == 2) {
            return address_text(machine, conversion.suffix, arg);
        }
        std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(arg));
        return buffer;
    default:
        break;
    }
    const bool is_signed = conversion.kind == 'd' || conversion.kind == 'i';
    std::string spec = conversion.flags + "ll" + conversion.kind;
    std::erase(spec, '0'); // zeros are padding, and that comes later
    std::erase(spec, '-');
    const uint64_t value = conversion.longs > 0 ? arg
                           : is_signed          ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(arg)})
                                                : uint64_t{static_cast<uint32_t>(arg)};
    std::snprintf(buffer, sizeof buffer, spec.c_str(), static_cast<unsigned long long>(value));
    return buffer;
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
    void pad(size_t count, char with) {
        length += count;
        text.append(std::min(count, limit - std::min(limit, text.size())), with);
    }
    /// Adds a converted argument, filled up to its width as printf does it.
    void add_padded(const Conversion& conversion, std::string_view more) {
        const bool is_address = conversion.kind == 'p' && conversion.suffix.size() == 2 &&
                                (conversion.suffix[1] == '4' || conversion.suffix[1] == '6');
        if (is_address && length >= limit) {
            return; // bstr_printf does not count an address once the room is used up
        }
        const size_t missing = conversion.width - std::min(conversion.width, more.size());
        const bool left = conversion.flags.find('-') != std::string::npos;
        const bool numeric = conversion.kind != 'c' && conversion.kind != 's';
        if (left) {
            add(more);
            pad(missing, ' ');
        } else if (numeric && conversion.flags.find('0') != std::string::npos) {
            const size_t sign = more.find_first_not_of("+- ") == 0 ? 0 : 1;
            add(more.substr(0, sign));
            pad(missing, '0');
            add(more.substr(sign));
        } else {
            pad(missing, ' ');
            add(more);
        }
    }
};

/// Formats into `line`; false when the kernel refuses the format.
bool format_line(Machine& machine, std::string_view format, std::span<const uint64_t> args, Line& line) {
    size_t used = 0;
    for (size_t at = 0; at < format.size();) {
        const auto c = static_cast<unsigned char>(format[at++]);
        if (c != '%') {
            if (c <= 127 && std::isprint(c) == 0 && std::isspace(c) == 0) {
                return false;
            }
            line.add(format.substr(at - 1, 1));
            continue;
        }
        Conversion conversion;
        if (!read_conversion(format, at, conversion)) {
            return false;
        }
        if (conversion.kind == '%') {
            line.add("%");
            continue;
        }
        if (used == args.size()) {
            return false;
        }
        line.add_padded(conversion, convert(machine, conversion, args[used++]));
        if (machine.faulted()) {
            return true;
        }
    }
    return true;
}

/// Formats and logs; the result is the length of the line, or a negative errno as the kernel gives it.
uint64_t print(Machine& machine, std::string_view format, std::span<const uint64_t> args) {
    Line line;
    if (!format_line(machine, format, args, line)) {
        return errno_result(-EINVAL);
    }
    if (machine.faulted()) {
        return 0;
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
    if (!format_line(machine, format, *values, line)) {
        return machine.fault(FaultKind::Strict,
                             "bpf_snprintf: the kernel refuses the format \"" + format + "\"");
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
