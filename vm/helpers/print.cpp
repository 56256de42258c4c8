// SPDX-License-Identifier: MIT
// trace_printk and trace_vprintk: the kernel's subset of printf (bpf_bprintf_prepare in
// kernel/bpf/helpers.c).
#include <cctype>
#include <cerrno>
#include <cstdio>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

/// One conversion of a format, as text and in parts.
struct Conversion {
    std::string flags; ///< "%" with flags and width
    char kind = 0;     ///< d i u x X c s p, or % for itself
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
    for (int digits = 0; at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])) != 0;
         ++digits) {
        if (digits == 4) {
            return false; // no sane width has more digits
        }
        out.flags += format[at++];
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

std::string guest_string(Machine& machine, uint64_t addr) {
    std::string text;
    while (text.size() < 512) {
        const uint8_t* byte = machine.span(addr + text.size(), 1, Access::Read, "string");
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
        std::snprintf(buffer, sizeof buffer, (conversion.flags + "c").c_str(), static_cast<int>(arg));
        return buffer;
    case 's':
        if (conversion.suffix.empty()) {
            return guest_string(machine, arg);
        }
        break;
    case 'p':
        if (conversion.suffix == "ks" || conversion.suffix == "us") {
            return guest_string(machine, arg);
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
    const std::string spec = conversion.flags + "ll" + conversion.kind;
    const uint64_t value = conversion.longs > 0 ? arg
                           : is_signed          ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(arg)})
                                                : uint64_t{static_cast<uint32_t>(arg)};
    std::snprintf(buffer, sizeof buffer, spec.c_str(), static_cast<unsigned long long>(value));
    return buffer;
}

/// Formats and logs; the result is the length of the line, or a negative errno as the kernel gives it.
uint64_t print(Machine& machine, std::string_view format, const uint64_t* args, size_t count) {
    std::string line;
    size_t used = 0;
    for (size_t at = 0; at < format.size();) {
        const auto c = static_cast<unsigned char>(format[at++]);
        if (c != '%') {
            if ((std::isprint(c) == 0 && std::isspace(c) == 0) || c > 127) {
                return errno_result(-EINVAL);
            }
            line += static_cast<char>(c);
            continue;
        }
        Conversion conversion;
        if (!read_conversion(format, at, conversion)) {
            return errno_result(-EINVAL);
        }
        if (conversion.kind == '%') {
            line += '%';
            continue;
        }
        if (used == count) {
            return errno_result(-EINVAL);
        }
        line += convert(machine, conversion, args[used++]);
        if (machine.faulted()) {
            return 0;
        }
    }
    const uint64_t length = line.size();
    while (!line.empty() && line.back() == '\n') {
        line.pop_back();
    }
    machine.note_effect();
    machine.log.push_back(std::move(line));
    return length;
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
    return format ? print(machine, *format, args + 2, 3) : errno_result(-EINVAL);
}

uint64_t helper_trace_vprintk(Machine& machine, const uint64_t* args) {
    const auto format = format_at(machine, args[0], args[1]);
    if (!format) {
        return errno_result(-EINVAL);
    }
    const auto size = static_cast<uint32_t>(args[3]);
    if (size % 8 != 0 || size > 12 * 8 || (size != 0 && args[2] == 0)) {
        return errno_result(-EINVAL);
    }
    uint64_t values[12] = {};
    const uint8_t* data = machine.span(args[2], size, Access::Read, "arguments");
    if (data == nullptr) {
        return 0;
    }
    std::memcpy(values, data, size);
    return print(machine, *format, values, size / 8);
}

} // namespace mimicsh::vm
