// SPDX-License-Identifier: MIT
// Text forms of field values.
#include "net/field_text.h"

#include <charconv>
#include <cstdio>

#include <arpa/inet.h>

namespace mimicsh::net {

namespace {

// Cuts the part before the first of `separators` off text.
std::string_view next_part(std::string_view& text, std::string_view separators) {
    size_t at = text.find_first_of(separators);
    std::string_view part = text.substr(0, at);
    text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
    return part;
}

std::string hex_number(uint64_t value, unsigned digits) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%0*llx", static_cast<int>(digits),
                  static_cast<unsigned long long>(value));
    return text;
}

const OptionLayout* find_option(const ProtocolLayout& layout, uint8_t kind) {
    for (const OptionLayout& option : layout.options) {
        if (option.kind == kind) {
            return &option;
        }
    }
    return nullptr;
}

} // namespace

/* -- Addresses ------------------------------------------------------------ */

std::string mac_text(ByteView bytes) {
    std::string text;
    for (uint8_t byte : bytes) {
        text += text.empty() ? "" : ":";
        text += to_hex({&byte, 1});
    }
    return text;
}

std::string ip4_text(ByteView bytes) {
    char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, bytes.data(), text, sizeof text) != nullptr ? text : "";
}

std::string ip6_text(ByteView bytes) {
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, bytes.data(), text, sizeof text) != nullptr ? text : "";
}

std::optional<ByteVec> parse_address(FieldKind kind, std::string_view text) {
    if (kind == FieldKind::kMac) {
        ByteVec bytes;
        while (!text.empty() && bytes.size() < 7) {
            std::string_view part = next_part(text, ":-");
            auto byte = part.size() == 2 ? from_hex(part) : std::nullopt;
            if (!byte || byte->size() != 1) {
                return std::nullopt;
            }
            bytes.push_back(byte->front());
        }
        return bytes.size() == 6 ? std::optional(bytes) : std::nullopt;
    }
    if (text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    ByteVec bytes(kind == FieldKind::kIp4 ? 4 : 16);
    int family = kind == FieldKind::kIp4 ? AF_INET : AF_INET6;
    if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) {
        return std::nullopt;
    }
    return bytes;
}

/* -- Numbers and names ---------------------------------------------------- */

std::optional<uint64_t> parse_number(std::string_view text) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        base = 16;
    }
    uint64_t value = 0;
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<uint64_t> parse_value(const Field& field, std::string_view text) {
    if (auto number = parse_number(text)) {
        return number;
    }
    auto named = [&](std::string_view name) -> std::optional<uint64_t> {
        for (const NamedValue& candidate : field.names) {
            if (candidate.name == name) {
                return candidate.value;
            }
        }
        return std::nullopt;
    };
    if (field.kind != FieldKind::kFlags) {
        return named(text);
    }
    uint64_t value = 0;
    if (text == "none") {
        return value;
    }
    while (!text.empty()) {
        auto bit = named(next_part(text, ",| "));
        if (!bit) {
            return std::nullopt;
        }
        value |= *bit;
    }
    return value;
}

std::string value_text(const Field& field, uint64_t value) {
    bool is_hex = field.kind == FieldKind::kHex;
    std::string text = is_hex ? hex_number(value, (field.bit_width + 3U) / 4) : std::to_string(value);
    if (field.kind == FieldKind::kFlags) {
        std::string names;
        uint64_t rest = value;
        for (const NamedValue& flag : field.names) {
            if ((value & flag.value) != 0) {
                names += (names.empty() ? "" : ",") + std::string(flag.name);
                rest &= ~flag.value;
            }
        }
        return rest != 0 ? hex_number(value, 0) : names.empty() ? "none" : names;
    }
    for (const NamedValue& candidate : field.names) {
        if (candidate.value == value) {
            return text + " (" + std::string(candidate.name) + ")";
        }
    }
    return text;
}

/* -- Options -------------------------------------------------------------- */

namespace {

std::string option_data_text(const OptionLayout* option, ByteView data) {
    if (option == nullptr || option->width == 0 || data.size() % option->width != 0) {
        return to_hex(data);
    }
    std::string text;
    for (size_t i = 0; i < data.size(); i += option->width) {
        uint64_t value = 0;
        for (size_t byte = 0; byte < option->width; byte++) {
            value = value << 8 | data[i + byte];
        }
        text += (text.empty() ? "" : ":") + std::to_string(value);
    }
    return text;
}

std::optional<ByteVec> parse_option_data(const OptionLayout* option, std::string_view text) {
    if (option == nullptr || option->width == 0) {
        return from_hex(text);
    }
    ByteVec data;
    while (!text.empty()) {
        auto value = parse_number(next_part(text, ":"));
        if (!value || *value >> (option->width * 8U) != 0) {
            return std::nullopt;
        }
        for (unsigned byte = option->width; byte > 0; byte--) {
            data.push_back(static_cast<uint8_t>(*value >> ((byte - 1) * 8)));
        }
    }
    return data;
}

const OptionLayout* option_by_name(const ProtocolLayout& layout, std::string_view name) {
    for (const OptionLayout& option : layout.options) {
        if (option.name == name) {
            return &option;
        }
    }
    return nullptr;
}

} // namespace

std::string options_text(const ProtocolLayout& layout, ByteView options) {
    std::string text;
    auto add = [&](const std::string& part) { text += (text.empty() ? "" : ",") + part; };
    unsigned head = layout.option_length_has_head ? 2 : 0;
    bool is_ended = false;
    while (!options.empty()) {
        const OptionLayout* option = find_option(layout, options[0]);
        if (is_ended && (option == nullptr || !option->is_end)) { // padding that is not 0
            add("raw=" + to_hex(options));
            break;
        }
        if (option != nullptr && option->is_single) {
            add(std::string(option->name));
            is_ended = option->is_end;
            options = options.subspan(1);
            continue;
        }
        bool has_length = options.size() >= 2 && options[1] >= head;
        auto data = has_length ? slice(options, 2, options[1] - head) : std::nullopt;
        if (!data) {
            add("raw=" + to_hex(options));
            break;
        }
        std::string name = option != nullptr ? std::string(option->name) : std::to_string(options[0]);
        // A list option whose data is no whole number of words keeps its number, so that it reads back as
        // bytes.
        if (option != nullptr && option->width != 0 && data->size() % option->width != 0) {
            name = std::to_string(options[0]);
        }
        add(name + (data->empty() ? "" : "=" + option_data_text(option, *data)));
        options = options.subspan(2 + data->size());
    }
    return text;
}

std::optional<ByteVec> parse_options(const ProtocolLayout& layout, std::string_view text) {
    ByteVec bytes;
    unsigned head = layout.option_length_has_head ? 2 : 0;
    while (!text.empty()) {
        std::string_view part = next_part(text, ", ");
        if (part.empty()) {
            continue;
        }
        std::string_view name = next_part(part, "=");
        if (name == "raw") {
            auto raw = from_hex(part);
            if (!raw) {
                return std::nullopt;
            }
            bytes.insert(bytes.end(), raw->begin(), raw->end());
            continue;
        }
        const OptionLayout* option = option_by_name(layout, name);
        auto number = option == nullptr ? parse_number(name) : std::optional<uint64_t>(option->kind);
        if (!number || *number > 255) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<uint8_t>(*number));
        if (option != nullptr && option->is_single) {
            if (!part.empty()) {
                return std::nullopt;
            }
            continue;
        }
        auto data = parse_option_data(option, part);
        if (!data || data->size() + head > 255) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<uint8_t>(data->size() + head));
        bytes.insert(bytes.end(), data->begin(), data->end());
    }
    return bytes;
}

} // namespace mimicsh::net
