// SPDX-License-Identifier: MIT
// DNS messages: bytes to records and back.
#include "net/dns.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "net/dns_text.h"
#include "net/field_text.h"

namespace mimicsh::net {

namespace {

constexpr size_t kHead = 12;
constexpr size_t kMostJumps = 127;     // a name has no more labels than that
constexpr size_t kMostMessage = 65535; // what a TCP length prefix can say

enum class Read : uint8_t {
    kWhole,
    kCut,   ///< the bytes end first
    kWrong, ///< cannot be a name however it goes on
};

/* -- Names ---------------------------------------------------------------- */

// Reads the name at `at`, which moves behind it. Pointers go strictly backwards, to labels that end before
// them, so that every name ends and lies in the message as far as it is whole.
Read read_name(ByteView message, size_t& at, DnsLabels& labels) {
    labels.clear();
    size_t here = at;
    size_t run = at; // where this stretch of labels began; a pointer goes before it
    size_t limit = message.size();
    size_t jumps = 0;
    size_t size = 1;
    while (true) {
        const Read beyond = jumps == 0 ? Read::kCut : Read::kWrong;
        if (here >= limit) {
            return beyond;
        }
        const uint8_t head = message[here];
        if (head >= 0xc0) {
            if (here + 1 >= limit) {
                return beyond;
            }
            at = jumps == 0 ? here + 2 : at;
            const size_t target = load_be<uint16_t>(message.data() + here) & 0x3fffU;
            if (target >= run || target < kHead || ++jumps > kMostJumps) {
                return Read::kWrong;
            }
            limit = here;
            here = run = target;
            continue;
        }
        if (head >= 0x40) {
            return Read::kWrong;
        }
        if (head == 0) {
            at = jumps == 0 ? here + 1 : at;
            return Read::kWhole;
        }
        size += 1U + head;
        if (size > kMostDnsName) {
            return Read::kWrong;
        }
        auto label = slice(message.first(limit), here + 1, head);
        if (!label) {
            return beyond;
        }
        labels.emplace_back(as_text(*label));
        here += 1U + head;
    }
}

/* -- Data ----------------------------------------------------------------- */

// Numbers of 1, 2 or 4 bytes in the shapes of dns_shape.
size_t number_width(char item) {
    return item == 'b' ? 1 : item == 'h' ? 2 : item == 'w' ? 4 : 0;
}

std::optional<std::string> item_text(ByteView message, size_t& at, size_t end, char item) {
    if (item == 'N' || item == 'n') {
        DnsLabels labels;
        const bool is_name = read_name(message, at, labels) == Read::kWhole && at <= end;
        return is_name ? std::optional(dns_name_text(labels)) : std::nullopt;
    }
    const size_t width = item == 'a' ? 4 : item == 'q' ? 16 : item == 's' ? 1 : number_width(item);
    auto bytes = end - at >= width ? slice(message, at, width) : std::nullopt;
    if (!bytes) {
        return std::nullopt;
    }
    at += width;
    if (item == 'a') {
        return ip4_text(*bytes);
    }
    if (item == 'q') {
        return ip6_text(*bytes);
    }
    if (item == 's') {
        const size_t size = (*bytes)[0];
        if (end - at < size) {
            return std::nullopt;
        }
        at += size;
        return dns_quoted(as_text(message.subspan(at - size, size)));
    }
    uint64_t number = 0;
    for (const uint8_t byte : *bytes) {
        number = number << 8 | byte;
    }
    return std::to_string(number);
}

// Data that does not have its type's shape is hexadecimal (RFC 3597).
std::string data_text(ByteView message, size_t at, size_t size, uint16_t type) {
    const std::string_view shape = dns_shape(type);
    const size_t begin = at;
    const size_t end = at + size;
    std::string text;
    bool fits = !shape.empty() && size > 0;
    for (size_t i = 0; fits && i < shape.size(); i++) {
        do {
            auto item = item_text(message, at, end, shape[i]);
            fits = item.has_value();
            text += fits ? (text.empty() ? "" : " ") + *item : "";
        } while (fits && shape[i] == 's' && at < end);
    }
    if (fits && at == end) {
        return text;
    }
    if (size == 0 && shape.empty()) {
        return "";
    }
    return "\\# " + std::to_string(size) + (size == 0 ? "" : " " + to_hex(message.subspan(begin, size)));
}

/* -- Records -------------------------------------------------------------- */

// Reads what stands at `at`, which moves behind it only when it is whole.
Read read_record(ByteView message, size_t& at, bool is_question, DnsRecord* record) {
    size_t here = at;
    DnsLabels labels;
    if (Read read = read_name(message, here, labels); read != Read::kWhole) {
        return read;
    }
    auto fixed = slice(message, here, is_question ? 4 : 10);
    if (!fixed) {
        return Read::kCut;
    }
    here += fixed->size();
    const size_t size = is_question ? 0 : load_be<uint16_t>(fixed->data() + 8);
    if (!slice(message, here, size)) {
        return Read::kCut;
    }
    at = here + size;
    if (record != nullptr) {
        record->name = dns_name_text(labels);
        record->type = load_be<uint16_t>(fixed->data());
        record->klass = load_be<uint16_t>(fixed->data() + 2);
        record->ttl = is_question ? 0 : load_be<uint32_t>(fixed->data() + 4);
        record->data = is_question ? "" : data_text(message, here, size, record->type);
    }
    return Read::kWhole;
}

// Calls `take` with each section's number and record as far as they are whole; where the last one ends.
template <typename Take>
uint32_t walk(ByteView message, bool with_records, const Take& take) {
    size_t at = kHead;
    for (size_t section = 0; section < kDnsSections; section++) {
        const size_t count = load_be<uint16_t>(message.data() + 4 + 2 * section);
        for (size_t i = 0; i < count; i++) {
            DnsRecord record;
            const Read read = read_record(message, at, section == 0, with_records ? &record : nullptr);
            if (read != Read::kWhole) {
                return read == Read::kCut ? static_cast<uint32_t>(at) : 0;
            }
            take(section, std::move(record));
        }
    }
    return static_cast<uint32_t>(at);
}

/* -- Writing -------------------------------------------------------------- */

class Writer {
  public:
    explicit Writer(ByteView header) : bytes_(header.begin(), header.begin() + kHead) {}

    [[nodiscard]] const ByteVec& bytes() const { return bytes_; }

    void number(uint64_t value, size_t width) {
        for (size_t i = width; i-- > 0;) {
            bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
        }
    }

    void append(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

    // What the name has in common with an earlier one becomes a pointer to that.
    void name(const DnsLabels& labels, bool is_compressed) {
        for (auto label = labels.begin(); label != labels.end(); ++label) {
            std::vector<std::string> rest(label, labels.end());
            const auto known = seen_.find(rest);
            if (known != seen_.end() && is_compressed) {
                number(0xc000U | known->second, 2);
                return;
            }
            if (known == seen_.end() && bytes_.size() < 0x4000) {
                seen_.emplace(std::move(rest), bytes_.size());
            }
            number(label->size(), 1);
            append(as_bytes(*label));
        }
        number(0, 1);
    }

    // Data of a record in its type's shape; false where the text has another.
    [[nodiscard]] bool data(const DnsRecord& record) {
        const std::vector<std::string_view> words = dns_words(record.data);
        if (!words.empty() && words[0] == "\\#") {
            return generic(words);
        }
        const std::string_view shape = dns_shape(record.type);
        const bool is_list = shape == "s";
        if (is_list ? words.empty() : words.size() != shape.size()) {
            return false;
        }
        for (size_t i = 0; i < words.size(); i++) {
            if (!item(words[i], is_list ? 's' : shape[i])) {
                return false;
            }
        }
        return true;
    }

    // Sets the length in front of the data that began at `begin`; false when it is too long.
    [[nodiscard]] bool close_data(size_t begin) {
        const size_t size = bytes_.size() - begin;
        store_be(bytes_.data() + begin - 2, static_cast<uint16_t>(size));
        return size <= UINT16_MAX;
    }

  private:
    [[nodiscard]] bool generic(const std::vector<std::string_view>& words) {
        std::string digits;
        for (size_t i = 2; i < words.size(); i++) {
            digits += words[i];
        }
        const auto size = words.size() >= 2 ? parse_number(words[1]) : std::nullopt;
        const auto bytes = from_hex(digits);
        if (!size || !bytes || *size != bytes->size()) {
            return false;
        }
        append(*bytes);
        return true;
    }

    [[nodiscard]] bool item(std::string_view word, char item) {
        if (item == 'N' || item == 'n') {
            const auto labels = parse_dns_name(word);
            if (labels) {
                name(*labels, item == 'N');
            }
            return labels.has_value();
        }
        if (item == 'a' || item == 'q') {
            const auto address = parse_address(item == 'a' ? FieldKind::kIp4 : FieldKind::kIp6, word);
            append(address.value_or(ByteVec()));
            return address.has_value();
        }
        if (item == 's') {
            const auto text = parse_dns_string(word);
            if (text) {
                number(text->size(), 1);
                append(as_bytes(*text));
            }
            return text.has_value();
        }
        const auto value = parse_number(word);
        if (!value || *value >> (8 * number_width(item)) != 0) {
            return false;
        }
        number(*value, number_width(item));
        return true;
    }

    ByteVec bytes_;
    std::map<std::vector<std::string>, size_t> seen_;
};

Error wrong_record(const DnsRecord& record, bool is_question) {
    return Error{EINVAL,
                 "dns",
                 "'" + dns_text({record}, is_question).substr(0, 160) + "' is no record",
                 "NAME [TTL] [CLASS] TYPE DATA, as in zone files",
                 {}};
}

} // namespace

uint32_t dns_size(ByteView bytes) {
    return bytes.size() < kHead ? 0 : walk(bytes, false, [](size_t, DnsRecord&&) {});
}

DnsSections read_dns(ByteView message) {
    DnsSections sections;
    if (message.size() >= kHead) {
        (void)walk(message, true, [&](size_t section, DnsRecord&& record) {
            sections[section].push_back(std::move(record));
        });
    }
    return sections;
}

Expected<ByteVec> write_dns(ByteView header, const DnsSections& sections) {
    Writer writer(header);
    for (size_t section = 0; section < kDnsSections; section++) {
        for (const DnsRecord& record : sections[section]) {
            const auto labels = parse_dns_name(record.name);
            if (!labels) {
                return wrong_record(record, section == 0);
            }
            writer.name(*labels, true);
            writer.number(record.type, 2);
            writer.number(record.klass, 2);
            if (section != 0) {
                writer.number(record.ttl, 4);
                writer.number(0, 2);
                const size_t begin = writer.bytes().size();
                if (!writer.data(record) || !writer.close_data(begin)) {
                    return wrong_record(record, false);
                }
            }
            if (writer.bytes().size() > kMostMessage) {
                return Error{EMSGSIZE, "dns", "the message is longer than 65535 bytes", {}, {}};
            }
        }
    }
    return writer.bytes();
}

} // namespace mimicsh::net
