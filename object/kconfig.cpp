// SPDX-License-Identifier: MIT
// Finding option values, writing them by type, and making the map.
#include "object/kconfig.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

extern "C" {
#include <sys/utsname.h>
#include <unistd.h>
}

#include "base/fd.h"
#include "object/process.h"

namespace mimicsh {

namespace {

/// What a declared type can hold; the kinds that libbpf knows.
enum class Kind : uint8_t { Unknown, Bool, Char, Int, Tristate, Text };

struct Option {
    const ExternDef* def = nullptr;
    Kind kind = Kind::Unknown;
    bool is_signed = false;
    uint32_t offset = 0;
    uint32_t size = 0;
};

bool is_power_of_two(uint32_t size) {
    return size != 0 && (size & (size - 1)) == 0;
}

Kind kind_of(const Btf& btf, uint32_t id, bool& is_signed) {
    const BtfType& type = btf.type(btf.resolve(id));
    switch (type.kind) {
    case BtfKind::Int:
        is_signed = type.is_signed;
        return type.is_bool                                   ? (type.size == 1 ? Kind::Bool : Kind::Unknown)
               : type.size == 1                               ? Kind::Char
               : type.size <= 8 && is_power_of_two(type.size) ? Kind::Int
                                                              : Kind::Unknown;
    case BtfKind::Enum:
        return type.size == 4 && type.name == "libbpf_tristate" ? Kind::Tristate : Kind::Unknown;
    case BtfKind::Array: {
        bool ignored = false;
        return type.elements != 0 && kind_of(btf, type.type, ignored) == Kind::Char ? Kind::Text
                                                                                    : Kind::Unknown;
    }
    default:
        return Kind::Unknown;
    }
}

// -- Values of the running kernel --

/// KERNEL_VERSION of a release such as "6.1.0-18-amd64", or of Debian's "#1 SMP ... Debian 6.1.76-1", whose
/// release does not say the last number.
uint32_t version_of(const utsname& name) {
    unsigned part[3] = {};
    constexpr std::string_view kDebian = "Debian ";
    const std::string version = name.version;
    const size_t debian = version.find(kDebian);
    const std::string from =
        debian != std::string::npos ? version.substr(debian + kDebian.size()) : name.release;
    if (std::sscanf(from.c_str(), "%u.%u.%u", &part[0], &part[1], &part[2]) < 2) {
        return 0;
    }
    return part[0] << 16 | part[1] << 8 | std::min(part[2], 255u);
}

/// The running kernel's .config as lines; empty when it is nowhere.
std::string running_config(const utsname& name) {
    if (const auto plain = read_file("/boot/config-" + std::string(name.release), "read kernel options")) {
        return {plain->begin(), plain->end()};
    }
    constexpr const char* kPacked = "/proc/config.gz";
    if (::access(kPacked, R_OK) != 0) {
        return {};
    }
    ProcessOptions unpack;
    unpack.path = "/bin/gzip";
    unpack.args = {"gzip", "-dc", kPacked};
    const auto result = run_process(unpack, "read kernel options");
    return result && result->status == 0 ? std::string(result->output.begin(), result->output.end())
                                         : std::string();
}

KconfigValues parse_config(const std::string& text) {
    KconfigValues values;
    size_t at = 0;
    while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = std::string_view(text).substr(at, end - at);
        const size_t equal = line.find('=');
        if (line.starts_with("CONFIG_") && equal != std::string_view::npos) {
            values.emplace(line.substr(0, equal), line.substr(equal + 1));
        }
        at = end + 1;
    }
    return values;
}

/// Value of an option on the running machine; nothing when it has none.
std::optional<std::string> running_value(const std::string& option) {
    utsname name{};
    if (::uname(&name) != 0) {
        return std::nullopt;
    }
    const uint32_t version = version_of(name);
    if (option == "LINUX_KERNEL_VERSION" && version != 0) {
        return std::to_string(version);
    }
    if (option == "LINUX_HAS_BPF_COOKIE") {
        return std::to_string(version >= 0x050f00 ? 1 : 0);
    }
    if (option == "LINUX_HAS_SYSCALL_WRAPPER") {
        return std::to_string(version >= 0x041100 ? 1 : 0);
    }
    if (!option.starts_with("CONFIG_")) {
        return std::nullopt;
    }
    static const KconfigValues config = parse_config(running_config(name));
    const auto found = config.find(option);
    return found == config.end() ? std::nullopt : std::optional(found->second);
}

// -- Writing --

Error bad(const std::string& origin, const Option& option, int code, const std::string& why,
          std::string hint = {}) {
    return Error{code, "load", origin + ": option " + option.def->name + " " + why, std::move(hint), {}};
}

/// y, m or n: what the option's own kind makes of it; nothing where the kind has no such value.
std::optional<uint8_t> tristate(Kind kind, char letter) {
    switch (kind) {
    case Kind::Bool:
        return letter == 'm' ? std::nullopt : std::optional<uint8_t>(letter == 'y' ? 1 : 0);
    case Kind::Tristate:
        return static_cast<uint8_t>(letter == 'y' ? 1 : letter == 'm' ? 2 : 0);
    case Kind::Char:
        return static_cast<uint8_t>(letter);
    default:
        return std::nullopt;
    }
}

std::optional<uint64_t> number(std::string_view text) {
    const bool negative = text.starts_with('-');
    text.remove_prefix(negative ? 1 : 0);
    const bool is_hex = text.starts_with("0x") || text.starts_with("0X");
    text.remove_prefix(is_hex ? 2 : 0);
    uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, is_hex ? 16 : 10);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return negative ? ~value + 1 : value;
}

bool fits(const Option& option, uint64_t value) {
    const uint32_t bits = 8 * option.size;
    if (bits == 64) {
        return true;
    }
    if (!option.is_signed) {
        return value >> bits == 0;
    }
    const auto as_signed = static_cast<int64_t>(value);
    const int64_t half = int64_t{1} << (bits - 1);
    return as_signed >= -half && as_signed < half;
}

Status write(const std::string& origin, const Option& option, std::string_view text, ByteVec& contents) {
    uint8_t* to = contents.data() + option.offset;
    if (option.kind == Kind::Text) {
        if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
            text = text.substr(1, text.size() - 2);
        }
        const size_t size = std::min<size_t>(text.size(), option.size - 1); // cut, as libbpf does
        std::copy_n(text.begin(), size, to);
        return {};
    }
    const bool is_letter = text == "y" || text == "m" || text == "n";
    if (is_letter) {
        const auto value = tristate(option.kind, text[0]);
        if (!value) {
            return bad(origin, option, EINVAL, "is " + std::string(text) + ", which its type cannot hold");
        }
        *to = *value;
        return {};
    }
    const auto value = number(text);
    const bool takes = option.kind == Kind::Int || option.kind == Kind::Char || option.kind == Kind::Bool;
    if (!value || !takes || !fits(option, *value)) {
        return bad(origin, option, EINVAL,
                   "is " + std::string(text.substr(0, 64)) + ", which its type cannot hold");
    }
    std::memcpy(to, &*value, option.size);
    return {};
}

// -- The map --

/// Where the options lie in the section, by extern index.
Expected<std::map<uint32_t, Option>> options_of(const Object& object, uint32_t section) {
    std::map<uint32_t, Option> all;
    for (uint32_t i = 0; i < object.externs.size(); ++i) {
        const ExternDef& def = object.externs[i];
        if (def.kind != ExternKind::Kconfig) {
            continue;
        }
        Option option;
        option.def = &def;
        if (section == 0) {
            return bad(object.origin, option, EINVAL, "has no type: the object carries none");
        }
        for (const BtfSecVar& var : object.btf->type(section).vars) {
            if (var.var_type == def.btf_id) {
                option.offset = var.offset;
                option.size = var.size;
            }
        }
        option.kind = kind_of(*object.btf, def.type_id, option.is_signed);
        if (option.size == 0 || option.kind == Kind::Unknown) {
            return bad(object.origin, option, ENOTSUP, "is of a type that no option has");
        }
        const uint32_t room = object.btf->type(section).size; // 0 where nobody has laid the section out
        const bool is_number = option.size == 1 || option.size == 2 || option.size == 4 || option.size == 8;
        if (option.offset > room || option.size > room - option.offset ||
            (option.kind != Kind::Text && !is_number)) {
            return bad(object.origin, option, EINVAL,
                       "has " + std::to_string(option.size) + " bytes at " + std::to_string(option.offset) +
                           " of a section of " + std::to_string(room));
        }
        all.emplace(i, option);
    }
    return all;
}

void refer_to_map(Object& object, const std::map<uint32_t, Option>& options, uint32_t map) {
    for (Function& function : object.functions) {
        for (Relocation& reloc : function.relocs) {
            if (reloc.kind == RelocKind::Extern) {
                if (const auto found = options.find(reloc.target); found != options.end()) {
                    reloc = {reloc.insn, RelocKind::MapValue, map, found->second.offset};
                }
            }
        }
    }
}

/// An instance's own object, which goes to another target with the values that it has.
bool has_answers(const Object& object) {
    const auto is_open = [&](const Relocation& reloc) {
        return reloc.kind == RelocKind::Extern && object.externs.at(reloc.target).kind == ExternKind::Kconfig;
    };
    return std::ranges::count(object.maps, ".kconfig", &MapDef::name) != 0 &&
           std::ranges::none_of(object.functions, [&](const Function& function) {
               return std::ranges::any_of(function.relocs, is_open);
           });
}

} // namespace

Expected<std::shared_ptr<const Object>> with_kconfig(std::shared_ptr<const Object> object,
                                                     const KconfigValues& given) {
    const bool is_asked = std::ranges::any_of(
        object->externs, [](const ExternDef& def) { return def.kind == ExternKind::Kconfig; });
    if (!is_asked || has_answers(*object)) {
        return object;
    }
    const uint32_t section =
        object->btf == nullptr ? 0 : object->btf->find(".kconfig", BtfKind::Datasec).value_or(0);
    const auto options = options_of(*object, section);
    if (!options) {
        return options.error();
    }
    MapDef map;
    map.name = ".kconfig";
    map.type = abi::MapType::Array;
    map.key_size = 4;
    map.value_size = object->btf->type(section).size;
    map.max_entries = 1;
    map.flags = abi::kMapRdonlyProg;
    map.value_btf_id = section;
    map.is_data = map.frozen = true;
    map.contents.resize(map.value_size);
    for (const auto& [index, option] : *options) {
        const auto own = given.find(option.def->name);
        const auto text = own != given.end() ? std::optional(own->second) : running_value(option.def->name);
        if (!text && !option.def->is_weak) {
            return bad(object->origin, option, ESRCH, "is not set in the kernel's configuration",
                       "give it at load: kconfig = {" + option.def->name + " = ...}, or declare it __weak");
        }
        if (text) {
            if (auto ok = write(object->origin, option, *text, map.contents); !ok) {
                return ok.error();
            }
        }
    }
    auto resolved = std::make_shared<Object>(*object);
    refer_to_map(*resolved, *options, static_cast<uint32_t>(resolved->maps.size()));
    resolved->maps.push_back(std::move(map));
    return std::shared_ptr<const Object>(std::move(resolved));
}

} // namespace mimicsh
