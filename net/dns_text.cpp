// SPDX-License-Identifier: MIT
// DNS records as text.
#include "net/dns_text.h"

#include <algorithm>
#include <cerrno>

#include "net/dns.h"
#include "net/field_text.h"

namespace mimicsh::net {

namespace {

struct TypeRow {
    uint16_t type;
    std::string_view name;
    std::string_view shape;
};

// RFC 1035 allows compressed names in its own types only (RFC 3597 section 4).
constexpr TypeRow kTypes[] = {
    {1, "A", "a"},      {2, "NS", "N"},   {5, "CNAME", "N"}, {6, "SOA", "NNwwwww"}, {12, "PTR", "N"},
    {13, "HINFO", "s"}, {15, "MX", "hN"}, {16, "TXT", "s"},  {28, "AAAA", "q"},     {33, "SRV", "hhhn"},
    {39, "DNAME", "n"}, {41, "OPT", ""},  {43, "DS", ""},    {46, "RRSIG", ""},     {47, "NSEC", ""},
    {48, "DNSKEY", ""}, {64, "SVCB", ""}, {65, "HTTPS", ""}, {99, "SPF", "s"},      {251, "IXFR", ""},
    {252, "AXFR", ""},  {255, "ANY", ""}, {257, "CAA", ""},
};

struct ClassRow {
    uint16_t klass;
    std::string_view name;
};
constexpr ClassRow kClasses[] = {{1, "IN"}, {3, "CH"}, {4, "HS"}};

// A word is a blank or comma away from the next, outside quotes and not behind a backslash.
size_t end_of_word(std::string_view text, size_t at, std::string_view separators) {
    bool is_quoted = false;
    for (; at < text.size(); at++) {
        if (text[at] == '\\') {
            at++;
        } else if (text[at] == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && separators.find(text[at]) != std::string_view::npos) {
            break;
        }
    }
    return std::min(at, text.size());
}

std::string escaped(std::string_view bytes, std::string_view special) {
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<uint8_t>(c);
        if (byte < 0x20 || byte >= 0x7f) {
            const std::string digits = std::to_string(byte);
            text += '\\' + std::string(3 - digits.size(), '0') + digits;
            continue;
        }
        text += special.find(c) != std::string_view::npos ? "\\" : "";
        text += c;
    }
    return text;
}

// The byte at `at`, which moves behind it, with \DDD and \c resolved.
std::optional<char> next_byte(std::string_view text, size_t& at) {
    const char c = text[at++];
    if (c != '\\') {
        return c;
    }
    if (at >= text.size()) {
        return std::nullopt;
    }
    const auto is_digit = [](char digit) { return digit >= '0' && digit <= '9'; };
    if (!is_digit(text[at])) {
        return text[at++];
    }
    const std::string_view digits = text.substr(at, 3);
    const auto value =
        digits.size() == 3 && std::ranges::all_of(digits, is_digit) ? parse_number(digits) : std::nullopt;
    if (!value || *value > 255) {
        return std::nullopt;
    }
    at += 3;
    return static_cast<char>(*value);
}

std::optional<uint16_t> numbered(std::string_view word, std::string_view prefix) {
    const auto number = word.starts_with(prefix) ? parse_number(word.substr(prefix.size())) : std::nullopt;
    return number && *number <= UINT16_MAX ? std::optional(static_cast<uint16_t>(*number)) : std::nullopt;
}

std::optional<uint16_t> parse_type(std::string_view word) {
    const auto* row = std::ranges::find(kTypes, word, &TypeRow::name);
    return row != std::end(kTypes) ? std::optional(row->type) : numbered(word, "TYPE");
}

std::optional<uint16_t> parse_class(std::string_view word) {
    const auto* row = std::ranges::find(kClasses, word, &ClassRow::name);
    return row != std::end(kClasses) ? std::optional(row->klass) : numbered(word, "CLASS");
}

std::string class_text(uint16_t klass) {
    const auto* row = std::ranges::find(kClasses, klass, &ClassRow::klass);
    return row != std::end(kClasses) ? std::string(row->name) : "CLASS" + std::to_string(klass);
}

std::optional<DnsRecord> parse_record(std::string_view text, bool is_question) {
    const std::vector<std::string_view> words = dns_words(text);
    if (words.size() < 2 || !parse_dns_name(words[0])) {
        return std::nullopt;
    }
    DnsRecord record;
    record.name = dns_name_text(*parse_dns_name(words[0]));
    size_t at = 1;
    for (; at < words.size(); at++) { // TTL and class in either order
        const uint64_t number = is_question ? UINT64_MAX : parse_number(words[at]).value_or(UINT64_MAX);
        const auto klass = parse_class(words[at]);
        if (number <= UINT32_MAX) {
            record.ttl = static_cast<uint32_t>(number);
        } else if (klass) {
            record.klass = *klass;
        } else {
            break;
        }
    }
    const auto type = at < words.size() && at <= 3 ? parse_type(words[at]) : std::nullopt;
    if (!type || (is_question && at + 1 != words.size())) {
        return std::nullopt;
    }
    record.type = *type;
    for (at++; at < words.size(); at++) {
        record.data += (record.data.empty() ? "" : " ") + std::string(words[at]);
    }
    return record;
}

} // namespace

/* -- Names, strings, types ------------------------------------------------ */

std::string dns_name_text(const DnsLabels& labels) {
    std::string text;
    for (const std::string& label : labels) {
        text += (text.empty() ? "" : ".") + escaped(label, "\\.\", ;()@$");
    }
    return text.empty() ? "." : text;
}

std::optional<DnsLabels> parse_dns_name(std::string_view text) {
    DnsLabels labels;
    if (text == ".") {
        return labels;
    }
    std::string label;
    size_t size = 1;
    for (size_t at = 0; at < text.size();) {
        const bool is_dot = text[at] == '.';
        const auto byte = next_byte(text, at);
        if (!byte) {
            return std::nullopt;
        }
        if (!is_dot) {
            label += *byte;
        }
        if (is_dot || at == text.size()) {
            size += 1 + label.size();
            if (label.empty() || label.size() > 63 || size > kMostDnsName) {
                return std::nullopt;
            }
            labels.push_back(std::move(label));
            label.clear();
        }
    }
    return labels.empty() ? std::nullopt : std::optional(labels);
}

std::string dns_quoted(std::string_view bytes) {
    return '"' + escaped(bytes, "\\\"") + '"';
}

std::optional<std::string> parse_dns_string(std::string_view word) {
    if (word.starts_with('"')) {
        if (word.size() < 2 || !word.ends_with('"')) {
            return std::nullopt;
        }
        word = word.substr(1, word.size() - 2);
    }
    std::string bytes;
    for (size_t at = 0; at < word.size();) {
        const auto byte = next_byte(word, at);
        if (!byte || bytes.size() == 255) {
            return std::nullopt;
        }
        bytes += *byte;
    }
    return bytes;
}

std::vector<std::string_view> dns_words(std::string_view text) {
    std::vector<std::string_view> words;
    for (size_t at = 0; at < text.size();) {
        const size_t end = end_of_word(text, at, " \t\n");
        if (end > at) {
            words.push_back(text.substr(at, end - at));
        }
        at = end + 1;
    }
    return words;
}

std::string_view dns_shape(uint16_t type) {
    const auto* row = std::ranges::find(kTypes, type, &TypeRow::type);
    return row != std::end(kTypes) ? row->shape : std::string_view();
}

std::string dns_type_text(uint16_t type) {
    const auto* row = std::ranges::find(kTypes, type, &TypeRow::type);
    return row != std::end(kTypes) ? std::string(row->name) : "TYPE" + std::to_string(type);
}

/* -- Lists of records ----------------------------------------------------- */

std::string dns_text(const std::vector<DnsRecord>& records, bool is_question) {
    std::string text;
    for (const DnsRecord& record : records) {
        text += (text.empty() ? "" : ", ") + record.name;
        text += is_question ? "" : " " + std::to_string(record.ttl);
        text += record.klass == 1 ? "" : " " + class_text(record.klass);
        text += " " + dns_type_text(record.type);
        text += record.data.empty() ? "" : " " + record.data;
    }
    return text;
}

Expected<std::vector<DnsRecord>> parse_dns(std::string_view text, bool is_question) {
    std::vector<DnsRecord> records;
    for (size_t at = 0; at < text.size();) {
        const size_t end = end_of_word(text, at, ",");
        const std::string_view part = text.substr(at, end - at);
        auto record = parse_record(part, is_question);
        if (!record) {
            return Error{
                EINVAL,
                "dns",
                "'" + std::string(part.substr(0, 160)) + "' is no " +
                    (is_question ? "question (NAME [CLASS] TYPE)" : "record (NAME [TTL] [CLASS] TYPE DATA)"),
                {},
                {}};
        }
        records.push_back(*std::move(record));
        at = end + 1;
    }
    return records;
}

} // namespace mimicsh::net
