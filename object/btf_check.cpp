// SPDX-License-Identifier: MIT
// Checks of a BTF section: header, records, references, member bounds, cycles. After it the reader may trust
// the bytes.
#include "object/btf_raw.h"

#include <algorithm>
#include <cerrno>
#include <optional>

namespace mimicsh::btf_raw {

namespace {

constexpr uint64_t kNoSize = UINT64_MAX;
constexpr uint64_t kMaxSize = uint64_t{1} << 48; // sizes saturate here, far above any struct's 32 bits
// The kernel follows at most 32 unresolved references; real types nest far less than this.
constexpr uint32_t kMaxDepth = 128;

Error bad(const std::string& origin, const std::string& text, int code = EINVAL) {
    return Error{code, "read btf", origin + ": " + text, "", ""};
}

} // namespace

Expected<Sections> split(ByteView bytes, const std::string& origin, bool is_continued) {
    if (bytes.size() < kHeaderSize) {
        return bad(origin, "header truncated (" + std::to_string(bytes.size()) + " bytes)");
    }
    const auto magic = load<uint16_t>(bytes.data());
    if (magic == kMagicSwapped) {
        return bad(origin, "big-endian BTF is not supported", ENOTSUP);
    }
    if (magic != kMagic) {
        return bad(origin, "no BTF (wrong magic)");
    }
    if (bytes[2] != 1) {
        return bad(origin, "BTF version " + std::to_string(bytes[2]) + " is not supported", ENOTSUP);
    }
    const uint32_t header = load<uint32_t>(&bytes[4]);
    if (header < kHeaderSize || header > bytes.size()) {
        return bad(origin, "header length " + std::to_string(header) + " is outside the section");
    }
    const ByteView body = bytes.subspan(header);
    const auto types = slice(body, load<uint32_t>(&bytes[8]), load<uint32_t>(&bytes[12]));
    const auto strings = slice(body, load<uint32_t>(&bytes[16]), load<uint32_t>(&bytes[20]));
    if (!types) {
        return bad(origin, "type section leaves the file");
    }
    if (!strings) {
        return bad(origin, "string section leaves the file");
    }
    if (is_continued && (strings->empty() || strings->back() == 0)) {
        return Sections{*types, *strings};
    }
    if (strings->empty() || strings->front() != 0 || strings->back() != 0) {
        return bad(origin, "string section does not start and end with NUL");
    }
    return Sections{*types, *strings};
}

namespace {

/// One checking run. Sizes and depths are kept only while it lasts.
class Checker {
  public:
    Checker(const Sections& sections, const std::string& origin) : sections_(sections), origin_(origin) {}

    Expected<Checked> run() {
        for (const auto step : {&Checker::find_records, &Checker::check_references, &Checker::check_values,
                                &Checker::check_spellings}) {
            if (auto status = (this->*step)(); !status) {
                return status.error();
            }
        }
        return std::move(out_);
    }

  private:
    [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(out_.offsets.size()); }
    [[nodiscard]] const uint8_t* at(uint32_t id) const { return sections_.types.data() + out_.offsets[id]; }
    [[nodiscard]] Record record(uint32_t id) const { return id == 0 ? Record{0, 0, 0} : record_at(at(id)); }
    [[nodiscard]] uint32_t tail_word(uint32_t id, size_t index) const {
        return load<uint32_t>(at(id) + kRecordSize + 4 * index);
    }

    [[nodiscard]] Error bad_type(uint32_t id, const std::string& text) const {
        std::string who = "type " + std::to_string(id);
        const std::string_view name = text_at(record(id).name_off);
        if (!name.empty()) {
            who += " '" + std::string(name.substr(0, 128)) + "'";
        }
        return bad(origin_, who + ": " + text);
    }

    [[nodiscard]] std::string_view text_at(uint32_t offset) const {
        return offset < sections_.strings.size()
                   ? std::string_view(reinterpret_cast<const char*>(sections_.strings.data()) + offset)
                   : std::string_view();
    }

    Status find_records();
    Status check_references();
    Status check_reference(uint32_t id, uint32_t to, const char* what, bool void_allowed) const;
    Status check_one(uint32_t id) const;
    Status check_list(uint32_t id, const Record& rec) const;
    Status check_values();
    Status check_spellings();
    Status finish_value(uint32_t id);
    Status finish_members(uint32_t id, const Record& rec);

    template <typename Child, typename Done>
    Status walk(Child child, Done done);

    const Sections& sections_;
    const std::string& origin_;
    Checked out_;
    std::vector<uint64_t> sizes_;
};

Status Checker::find_records() {
    const ByteView types = sections_.types;
    out_.offsets.reserve(types.size() / 24 + 1);
    out_.offsets.push_back(0);
    for (size_t offset = 0; offset < types.size();) {
        const uint32_t id = count();
        if (types.size() - offset < kRecordSize) {
            return bad(origin_, "type " + std::to_string(id) + ": record truncated");
        }
        const Record rec = record_at(&types[offset]);
        if (rec.kind_bits() == 0 || rec.kind_bits() > kMaxKind) {
            return bad(origin_,
                       "type " + std::to_string(id) + ": unknown kind " + std::to_string(rec.kind_bits()),
                       rec.kind_bits() == 0 ? EINVAL : ENOTSUP);
        }
        const uint64_t size = uint64_t{kRecordSize} + tail_size(rec.kind(), rec.vlen());
        if (size > types.size() - offset) {
            return bad(origin_, "type " + std::to_string(id) + ": record truncated");
        }
        if (rec.name_off >= sections_.strings.size()) {
            return bad(origin_, "type " + std::to_string(id) + ": name leaves the string section");
        }
        out_.offsets.push_back(static_cast<uint32_t>(offset));
        if (rec.kind() == BtfKind::DeclTag) {
            out_.decl_tags.push_back(id);
        }
        offset += size;
    }
    return {};
}

Status Checker::check_reference(uint32_t id, uint32_t to, const char* what, bool void_allowed) const {
    if (to >= count()) {
        return bad_type(id, std::string(what) + " refers to type " + std::to_string(to) + ", the last is " +
                                std::to_string(count() - 1));
    }
    if (to == 0 && !void_allowed) {
        return bad_type(id, std::string(what) + " is void");
    }
    if (!is_value_kind(record(to).kind())) {
        return bad_type(id, std::string(what) + " refers to type " + std::to_string(to) +
                                ", which is no data type");
    }
    return {};
}

/// Members, enumerators, parameters, variables: names and references of every entry.
Status Checker::check_list(uint32_t id, const Record& rec) const {
    const BtfKind kind = rec.kind();
    const size_t words = tail_size(kind, 1) / 4;
    for (uint32_t i = 0; i < rec.vlen(); ++i) {
        const uint32_t first = tail_word(id, words * i);
        if (kind == BtfKind::Datasec) {
            const BtfKind target = first < count() ? record(first).kind() : BtfKind::Void;
            if (target != BtfKind::Var && target != BtfKind::Func) {
                return bad_type(id, "entry " + std::to_string(i) + " is no variable");
            }
            continue;
        }
        if (first >= sections_.strings.size()) {
            return bad_type(id, "name of entry " + std::to_string(i) + " leaves the string section");
        }
        if (kind == BtfKind::Struct || kind == BtfKind::Union) {
            if (auto ok = check_reference(id, tail_word(id, words * i + 1), "member", false); !ok) {
                return ok;
            }
        } else if (kind == BtfKind::FuncProto) {
            if (auto ok = check_reference(id, tail_word(id, words * i + 1), "parameter", true); !ok) {
                return ok;
            }
        }
    }
    return {};
}

Status Checker::check_one(uint32_t id) const {
    const Record rec = record(id);
    switch (rec.kind()) {
    case BtfKind::Int: {
        const uint32_t word = tail_word(id, 0);
        const uint32_t bits = word & 0xff;
        const uint32_t offset = (word >> 16) & 0xff;
        if (rec.size_or_type == 0 || rec.size_or_type > 16 || bits == 0 ||
            bits + offset > rec.size_or_type * 8) {
            return bad_type(id, "integer of " + std::to_string(bits) + " bits in " +
                                    std::to_string(rec.size_or_type) + " bytes");
        }
        return {};
    }
    case BtfKind::Enum:
    case BtfKind::Enum64:
    case BtfKind::Float:
        if (rec.size_or_type == 0 || rec.size_or_type > 16) {
            return bad_type(id, "size " + std::to_string(rec.size_or_type));
        }
        return check_list(id, rec);
    case BtfKind::Array:
        if (auto ok = check_reference(id, tail_word(id, 0), "element", false); !ok) {
            return ok;
        }
        return check_reference(id, tail_word(id, 1), "index", false);
    case BtfKind::Struct:
    case BtfKind::Union:
    case BtfKind::Datasec:
        return check_list(id, rec);
    case BtfKind::FuncProto:
        if (auto ok = check_reference(id, rec.size_or_type, "return type", true); !ok) {
            return ok;
        }
        return check_list(id, rec);
    case BtfKind::Func:
        if (rec.size_or_type >= count() || record(rec.size_or_type).kind() != BtfKind::FuncProto) {
            return bad_type(id, "function without a prototype");
        }
        return {};
    case BtfKind::DeclTag: {
        if (rec.size_or_type == 0 || rec.size_or_type >= count()) {
            return bad_type(id, "tag refers to type " + std::to_string(rec.size_or_type));
        }
        return {};
    }
    case BtfKind::Fwd:
        return {};
    default:
        return check_reference(id, rec.size_or_type, "reference", true);
    }
}

Status Checker::check_references() {
    for (uint32_t id = 1; id < count(); ++id) {
        if (auto ok = check_one(id); !ok) {
            return ok;
        }
    }
    return {};
}

/// Depth-first over all types without recursion. child(id, i) is the i-th type that id is made of, or nothing
/// when there are no more; done(id) runs after all children of id.
template <typename Child, typename Done>
Status Checker::walk(Child child, Done done) {
    enum : uint8_t { kNew, kOpen, kClosed };
    struct Frame {
        uint32_t id;
        uint32_t next;
    };
    std::vector<uint8_t> state(count(), kNew);
    std::vector<uint8_t> height(count(), 0); // longest chain below, so that later readers may recurse
    state[0] = kClosed;
    std::vector<Frame> stack;
    for (uint32_t root = 1; root < count(); ++root) {
        if (state[root] != kNew) {
            continue;
        }
        stack.push_back({root, 0});
        state[root] = kOpen;
        while (!stack.empty()) {
            const uint32_t id = stack.back().id;
            const std::optional<uint32_t> to = child(id, stack.back().next++);
            if (to) {
                if (state[*to] == kOpen) {
                    return bad_type(*to, "contains itself");
                }
                if (state[*to] == kNew) {
                    state[*to] = kOpen;
                    stack.push_back({*to, 0});
                } else {
                    height[id] = std::max<uint8_t>(height[id], height[*to]);
                }
                continue;
            }
            if (++height[id] > kMaxDepth) {
                return bad_type(id, "nested more than " + std::to_string(kMaxDepth) + " deep");
            }
            if (auto ok = done(id); !ok) {
                return ok;
            }
            state[id] = kClosed;
            stack.pop_back();
            if (!stack.empty()) {
                uint8_t& parent = height[stack.back().id];
                parent = std::max(parent, height[id]);
            }
        }
    }
    return {};
}

Status Checker::finish_members(uint32_t id, const Record& rec) {
    uint8_t align = 1;
    const uint64_t bits = uint64_t{rec.size_or_type} * 8;
    bool packed = false;
    for (uint32_t i = 0; i < rec.vlen(); ++i) {
        const uint32_t type = tail_word(id, 3 * size_t{i} + 1);
        const uint32_t word = tail_word(id, 3 * size_t{i} + 2);
        const uint32_t width = rec.flag() ? word >> 24 : 0;
        const uint64_t offset = rec.flag() ? word & 0xffffff : word;
        if (sizes_[type] == kNoSize) {
            return bad_type(id, "member " + std::to_string(i) + " has no size");
        }
        const uint64_t size = width != 0 ? width : sizes_[type] * 8;
        if (offset > bits || size > bits - offset) {
            return bad_type(id, "member " + std::to_string(i) + " leaves the type");
        }
        const uint8_t member_align = std::max<uint8_t>(out_.aligns[type], 1);
        align = std::max(align, member_align);
        packed = packed || (width == 0 && offset % (8u * member_align) != 0);
    }
    // No attribute says "packed"; it shows in a size or an offset that natural alignment would not give.
    packed = packed || rec.size_or_type % align != 0;
    sizes_[id] = rec.size_or_type;
    out_.aligns[id] = packed ? 1 : align;
    return {};
}

/// Size and alignment of a type whose parts are known.
Status Checker::finish_value(uint32_t id) {
    const Record rec = record(id);
    switch (rec.kind()) {
    case BtfKind::Int:
    case BtfKind::Enum:
    case BtfKind::Enum64:
    case BtfKind::Float: {
        sizes_[id] = rec.size_or_type;
        const bool power = (rec.size_or_type & (rec.size_or_type - 1)) == 0;
        out_.aligns[id] = power ? static_cast<uint8_t>(rec.size_or_type) : uint8_t{1};
        return {};
    }
    case BtfKind::Ptr:
        sizes_[id] = 8;
        out_.aligns[id] = 8;
        return {};
    case BtfKind::Array: {
        const uint32_t element = tail_word(id, 0);
        if (sizes_[element] == kNoSize) {
            return bad_type(id, "element has no size");
        }
        const uint64_t n = tail_word(id, 2);
        sizes_[id] = n != 0 && sizes_[element] > kMaxSize / n ? kMaxSize : sizes_[element] * n;
        out_.aligns[id] = out_.aligns[element];
        return {};
    }
    case BtfKind::Struct:
    case BtfKind::Union:
        return finish_members(id, rec);
    case BtfKind::Typedef:
    case BtfKind::Volatile:
    case BtfKind::Const:
    case BtfKind::Restrict:
    case BtfKind::TypeTag:
    case BtfKind::Var:
        sizes_[id] = sizes_[rec.size_or_type];
        out_.aligns[id] = out_.aligns[rec.size_or_type];
        return {};
    case BtfKind::Datasec:
        // A compiler leaves size 0 and fills offsets by relocation; once it is set, everything must lie
        // inside.
        for (uint32_t i = 0; rec.size_or_type != 0 && i < rec.vlen(); ++i) {
            const uint32_t offset = tail_word(id, 3 * size_t{i} + 1);
            const uint32_t size = tail_word(id, 3 * size_t{i} + 2);
            if (offset > rec.size_or_type || size > rec.size_or_type - offset) {
                return bad_type(id, "variable " + std::to_string(i) + " leaves the section");
            }
        }
        sizes_[id] = rec.size_or_type;
        return {};
    default:
        return {};
    }
}

/// What a value of a type holds by value: members, elements, what a modifier modifies.
Status Checker::check_values() {
    sizes_.assign(count(), kNoSize);
    out_.aligns.assign(count(), 0);
    const auto child = [this](uint32_t id, uint32_t index) -> std::optional<uint32_t> {
        const Record rec = record(id);
        switch (rec.kind()) {
        case BtfKind::Struct:
        case BtfKind::Union:
            return index < rec.vlen() ? std::optional(tail_word(id, 3 * size_t{index} + 1)) : std::nullopt;
        case BtfKind::Array:
            return index == 0 ? std::optional(tail_word(id, 0)) : std::nullopt;
        case BtfKind::Var:
            return index == 0 ? std::optional(rec.size_or_type) : std::nullopt;
        default:
            return index == 0 && is_modifier(rec.kind()) ? std::optional(rec.size_or_type) : std::nullopt;
        }
    };
    return walk(child, [this](uint32_t id) { return finish_value(id); });
}

/// What the spelling of a type goes through: pointers and prototypes too, but not the inside of structs.
Status Checker::check_spellings() {
    const auto child = [this](uint32_t id, uint32_t index) -> std::optional<uint32_t> {
        const Record rec = record(id);
        if (rec.kind() == BtfKind::Array) {
            return index < 2 ? std::optional(tail_word(id, index)) : std::nullopt;
        }
        if (rec.kind() == BtfKind::FuncProto && index > 0) {
            return index <= rec.vlen() ? std::optional(tail_word(id, 2 * size_t{index} - 1)) : std::nullopt;
        }
        const bool refers = rec.kind() == BtfKind::Ptr || rec.kind() == BtfKind::FuncProto ||
                            rec.kind() == BtfKind::Func || rec.kind() == BtfKind::DeclTag ||
                            is_modifier(rec.kind());
        return index == 0 && refers ? std::optional(rec.size_or_type) : std::nullopt;
    };
    return walk(child, [](uint32_t) { return Status(); });
}

} // namespace

Expected<Checked> check(const Sections& sections, const std::string& origin) {
    return Checker(sections, origin).run();
}

} // namespace mimicsh::btf_raw
