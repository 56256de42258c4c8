// SPDX-License-Identifier: MIT
// Reading the JSON of a scripted world: one object by names, with the path of what is refused.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "net/field_text.h"
#include "vm/world.h"

namespace mimicsh::vm {

using nlohmann::json;

[[nodiscard]] inline std::optional<IpAddress> ip_from(std::string_view text) {
    IpAddress address;
    address.v6 = text.find(':') != std::string_view::npos;
    const auto bytes = net::parse_address(address.v6 ? net::FieldKind::kIp6 : net::FieldKind::kIp4, text);
    if (!bytes) {
        return std::nullopt;
    }
    std::copy(bytes->begin(), bytes->end(), address.bytes.begin());
    return address;
}
/// Collects the first problem; after it everything reads as missing.
struct Problem {
    std::optional<Error> error;

    void refuse(const std::string& path, const std::string& why, std::string hint = {}) {
        if (!error) {
            error = Error{EINVAL, "load", path + ": " + why, std::move(hint), {}};
        }
    }
};

/// One JSON object, read by name; `finish` refuses what nobody asked for.
class Fields {
  public:
    Fields(const json& value, std::string path, Problem& problem)
        : value_(value), path_(std::move(path)), problem_(problem) {
        if (!value.is_object()) {
            problem.refuse(path_, "expected a table with named values");
        }
    }

    [[nodiscard]] std::string at(std::string_view name) const { return path_ + "." + std::string(name); }
    [[nodiscard]] const std::string& path() const { return path_; }
    void refuse(std::string_view name, const std::string& why) { problem_.refuse(at(name), why); }

    const json* find(const char* name) {
        known_.insert(name);
        if (!value_.is_object() || problem_.error) {
            return nullptr;
        }
        const auto found = value_.find(name);
        return found == value_.end() || found->is_null() ? nullptr : &*found;
    }

    /// Something that must be given.
    template <typename T>
    T need(const char* name, std::optional<T> value) {
        if (!value && !problem_.error) {
            refuse(name, "missing");
        }
        return value ? std::move(*value) : T{};
    }

    std::optional<uint64_t> number64(const char* name, uint64_t high = UINT64_MAX) {
        const json* value = find(name);
        if (value == nullptr) {
            return std::nullopt;
        }
        if (!value->is_number_unsigned() || value->get<uint64_t>() > high) {
            refuse(name,
                   "expected a whole number from 0 to " + std::to_string(high) + ", got " + value->dump());
            return std::nullopt;
        }
        return value->get<uint64_t>();
    }

    std::optional<uint32_t> number(const char* name, uint32_t high = UINT32_MAX) {
        const auto value = number64(name, high);
        return value ? std::optional<uint32_t>(static_cast<uint32_t>(*value)) : std::nullopt;
    }

    std::optional<bool> boolean(const char* name) {
        const json* value = find(name);
        if (value != nullptr && !value->is_boolean()) {
            refuse(name, "expected true or false, got " + value->dump());
            return std::nullopt;
        }
        return value == nullptr ? std::nullopt : std::optional<bool>(value->get<bool>());
    }

    std::optional<std::string> text(const char* name) {
        const json* value = find(name);
        if (value != nullptr && !value->is_string()) {
            refuse(name, "expected a text, got " + value->dump());
            return std::nullopt;
        }
        return value == nullptr ? std::nullopt : std::optional<std::string>(value->get<std::string>());
    }

    std::optional<IpAddress> address(const char* name) {
        const auto given = text(name);
        const auto parsed = given ? ip_from(*given) : std::nullopt;
        if (given && !parsed) {
            refuse(name, "not an address: '" + *given + "'");
        }
        return parsed;
    }

    std::optional<MacAddress> mac(const char* name) {
        const auto given = text(name);
        if (!given) {
            return std::nullopt;
        }
        const auto bytes = net::parse_address(net::FieldKind::kMac, *given);
        if (!bytes) {
            refuse(name, "not a MAC address: '" + *given + "'");
            return std::nullopt;
        }
        MacAddress address{};
        std::copy(bytes->begin(), bytes->end(), address.begin());
        return address;
    }

    /// "10.0.0.0/24"; without a length it is one address.
    std::optional<IpPrefix> prefix(std::string_view name, const std::string& given) {
        const size_t slash = given.find('/');
        const auto address = ip_from(std::string_view(given).substr(0, slash));
        if (!address) {
            refuse(name, "not an address: '" + given + "'");
            return std::nullopt;
        }
        const auto most = static_cast<uint32_t>(address->size() * 8);
        const auto length = slash == std::string::npos
                                ? std::optional<uint64_t>(most)
                                : net::parse_number(std::string_view(given).substr(slash + 1));
        if (!length || *length > most) {
            refuse(name, "the length of a prefix is 0 to " + std::to_string(most) + ": '" + given + "'");
            return std::nullopt;
        }
        return IpPrefix{*address, static_cast<uint32_t>(*length)};
    }

    /// "10.0.0.1:80" or "[2001:db8::1]:80".
    std::optional<World::Endpoint> endpoint(const char* name) {
        const auto given = text(name);
        if (!given) {
            return std::nullopt;
        }
        const size_t colon = std::min(given->rfind(':'), given->size());
        const std::string_view host = std::string_view(*given).substr(0, colon);
        const uint64_t port =
            net::parse_number(std::string_view(*given).substr(std::min(colon + 1, given->size())))
                .value_or(UINT64_MAX);
        const bool brackets = host.starts_with('[') && host.ends_with(']');
        const auto address = ip_from(brackets ? host.substr(1, host.size() - 2) : host);
        if (!address || address->v6 != brackets || port > UINT16_MAX) {
            refuse(name, "expected \"address:port\" or \"[address]:port\", got '" + *given + "'");
            return std::nullopt;
        }
        return World::Endpoint{*address, static_cast<uint16_t>(port)};
    }

    /// Bytes given as hexadecimal digits.
    std::optional<ByteVec> bytes(const char* name) {
        const auto given = text(name);
        auto parsed = given ? from_hex(*given) : std::nullopt;
        if (given && !parsed) {
            refuse(name, "expected an even number of hexadecimal digits, got '" + *given + "'");
        }
        return parsed;
    }

    /// Position of a word in a table of words.
    template <size_t N>
    std::optional<uint8_t> word(const char* name, const std::array<std::string_view, N>& words) {
        const auto given = text(name);
        if (!given) {
            return std::nullopt;
        }
        const auto found = std::ranges::find(words, *given);
        if (found == words.end() || given->empty()) {
            std::string list;
            for (const std::string_view one : words) {
                list += one.empty() ? "" : (list.empty() ? "" : ", ") + std::string(one);
            }
            refuse(name, "'" + *given + "' is none of " + list);
            return std::nullopt;
        }
        return static_cast<uint8_t>(found - words.begin());
    }

    /// Calls `each(element, path)`; an empty table counts as a list. False when there is none.
    template <typename F>
    bool list(const char* name, F each) {
        const json* value = find(name);
        if (value == nullptr) {
            return false;
        }
        if (!value->is_array() && !(value->is_object() && value->empty())) {
            refuse(name, "expected a list");
            return false;
        }
        for (size_t i = 0; i < value->size() && !problem_.error; ++i) {
            each((*value)[i], at(name) + "[" + std::to_string(i + 1) + "]");
        }
        return true;
    }

    void finish() {
        if (!value_.is_object()) {
            return;
        }
        for (const auto& [name, value] : value_.items()) {
            if (!known_.contains(name)) {
                std::string list;
                for (const std::string& one : known_) {
                    list += (list.empty() ? "" : ", ") + one;
                }
                problem_.refuse(at(name), "unknown word (known: " + list + ")");
            }
        }
    }

  private:
    const json& value_;
    std::string path_;
    Problem& problem_;
    std::set<std::string> known_;
};

/// The table "fields" of a socket, task, interface or the like.
[[nodiscard]] World::KernelFields read_kernel_fields(Fields& above, Problem& problem,
                                                     const char* member = "fields");
/// {name = number, ...}
[[nodiscard]] World::KernelFields read_named_numbers(const json& table, const std::string& path,
                                                     Problem& problem);
/// {id=, ancestors=, classid=, fields=}
[[nodiscard]] World::Cgroup read_cgroup(Fields& fields, Problem& problem);
/// What belongs to the packet of a run: its socket, tunnel and IPsec history, what the card says of it.
void read_packet_world(Fields& top, World& world, Problem& problem);

} // namespace mimicsh::vm
