// SPDX-License-Identifier: MIT
// The BTF reader: checks everything once, then materialises types when they are first asked for.
#include "object/btf.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>

#include "object/btf_raw.h"

namespace mimicsh {

using btf_raw::Record;

struct Btf::Impl {
    struct Named {
        uint32_t hash;
        uint32_t id;
    };

    ByteVec bytes;
    std::string origin;
    btf_raw::Sections sections;
    btf_raw::Checked checked;
    // The kernel's own BTF has 150,000 types and a program asks for a few: each is built on first use.
    // Several threads may ask at once; the first to publish wins.
    std::vector<std::atomic<const BtfType*>> cache;
    std::once_flag names_once;
    std::vector<Named> names; // sorted by hash, then id

    explicit Impl(uint32_t count) : cache(count) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        for (auto& slot : cache) {
            delete slot.load(std::memory_order_relaxed);
        }
    }

    [[nodiscard]] const uint8_t* at(uint32_t id) const { return sections.types.data() + checked.offsets[id]; }
    [[nodiscard]] Record record(uint32_t id) const {
        return id == 0 ? Record{0, 0, 0} : btf_raw::record_at(at(id));
    }
    [[nodiscard]] std::string_view text(uint32_t offset) const {
        return offset < sections.strings.size()
                   ? std::string_view(reinterpret_cast<const char*>(sections.strings.data()) + offset)
                   : std::string_view();
    }
    [[nodiscard]] uint32_t skip_modifiers(uint32_t id) const {
        for (Record rec = record(id); btf_raw::is_modifier(rec.kind()); rec = record(id)) {
            id = rec.size_or_type;
        }
        return id;
    }
    [[nodiscard]] BtfType build(uint32_t id) const;
    void build_lists(BtfType& type, const Record& rec, const uint8_t* tail) const;
    void build_names();
    [[nodiscard]] std::string spell(uint32_t id, std::string declarator, int depth, size_t& budget) const;
};

namespace {

uint32_t hash_of(std::string_view text) {
    uint32_t hash = 2166136261u;
    for (const char c : text) {
        hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
    }
    return hash;
}

uint32_t word(const uint8_t* at, size_t index) {
    return load<uint32_t>(at + 4 * index);
}

} // namespace

// -- Materialising --

void Btf::Impl::build_lists(BtfType& type, const Record& rec, const uint8_t* tail) const {
    for (uint32_t i = 0; i < rec.vlen(); ++i) {
        const uint8_t* entry = tail + btf_raw::tail_size(type.kind, i);
        switch (type.kind) {
        case BtfKind::Struct:
        case BtfKind::Union: {
            BtfMember member{text(word(entry, 0)), word(entry, 1), word(entry, 2), 0};
            if (rec.flag()) {
                member.bit_width = member.bit_offset >> 24;
                member.bit_offset &= 0xffffff;
            } else if (const uint32_t to = skip_modifiers(member.type); record(to).kind() == BtfKind::Int) {
                // Old encoding: the integer itself says which of its bits are meant.
                const uint32_t bits = word(at(to) + btf_raw::kRecordSize, 0);
                if ((bits & 0xff) != record(to).size_or_type * 8) {
                    member.bit_offset += (bits >> 16) & 0xff;
                    member.bit_width = bits & 0xff;
                }
            }
            type.members.push_back(member);
            break;
        }
        case BtfKind::Enum: {
            const uint32_t value = word(entry, 1);
            type.enumerators.push_back(
                {text(word(entry, 0)), type.is_signed ? static_cast<int32_t>(value) : int64_t{value}});
            break;
        }
        case BtfKind::Enum64:
            type.enumerators.push_back(
                {text(word(entry, 0)),
                 static_cast<int64_t>((uint64_t{word(entry, 2)} << 32) | word(entry, 1))});
            break;
        case BtfKind::FuncProto:
            type.params.push_back({text(word(entry, 0)), word(entry, 1)});
            break;
        case BtfKind::Datasec:
            type.vars.push_back({word(entry, 0), word(entry, 1), word(entry, 2)});
            break;
        default:
            return;
        }
    }
}

BtfType Btf::Impl::build(uint32_t id) const {
    BtfType type;
    if (id == 0) {
        return type;
    }
    const Record rec = record(id);
    const uint8_t* tail = at(id) + btf_raw::kRecordSize;
    type.kind = rec.kind();
    type.name = text(rec.name_off);
    switch (type.kind) {
    case BtfKind::Int: {
        const uint32_t encoding = word(tail, 0);
        type.size = rec.size_or_type;
        type.is_signed = (encoding & (1u << 24)) != 0;
        type.is_char = (encoding & (2u << 24)) != 0;
        type.is_bool = (encoding & (4u << 24)) != 0;
        type.int_offset = static_cast<uint8_t>(encoding >> 16);
        type.int_bits = static_cast<uint8_t>(encoding);
        break;
    }
    case BtfKind::Array:
        type.type = word(tail, 0);
        type.index_type = word(tail, 1);
        type.elements = word(tail, 2);
        break;
    case BtfKind::Enum:
    case BtfKind::Enum64:
        type.is_signed = rec.flag();
        [[fallthrough]];
    case BtfKind::Struct:
    case BtfKind::Union:
    case BtfKind::Datasec:
    case BtfKind::Float:
        type.size = rec.size_or_type;
        break;
    case BtfKind::Fwd:
        type.is_union = rec.flag();
        break;
    case BtfKind::Func:
        type.type = rec.size_or_type;
        type.linkage = rec.vlen();
        return type;
    case BtfKind::Var:
        type.linkage = word(tail, 0);
        type.type = rec.size_or_type;
        break;
    case BtfKind::DeclTag:
        type.component = static_cast<int32_t>(word(tail, 0));
        type.type = rec.size_or_type;
        break;
    default:
        type.type = rec.size_or_type;
        break;
    }
    build_lists(type, rec, tail);
    return type;
}

void Btf::Impl::build_names() {
    names.reserve(cache.size());
    for (uint32_t id = 1; id < cache.size(); ++id) {
        if (const std::string_view name = text(record(id).name_off); !name.empty()) {
            names.push_back({hash_of(essential_name(name)), id});
        }
    }
    std::sort(names.begin(), names.end(),
              [](Named a, Named b) { return a.hash != b.hash ? a.hash < b.hash : a.id < b.id; });
}

// -- The public face --

Btf::Btf(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Btf::Btf(Btf&&) noexcept = default;
Btf& Btf::operator=(Btf&&) noexcept = default;
Btf::~Btf() = default;

Expected<Btf> Btf::parse(ByteView bytes, const std::string& origin) {
    auto sections = btf_raw::split(bytes, origin);
    if (!sections) {
        return sections.error();
    }
    auto checked = btf_raw::check(*sections, origin);
    if (!checked) {
        return checked.error();
    }
    auto impl = std::make_unique<Impl>(static_cast<uint32_t>(checked->offsets.size()));
    impl->origin = origin;
    impl->checked = std::move(*checked);
    impl->bytes.assign(bytes.begin(), bytes.end());
    impl->sections = *btf_raw::split(impl->bytes, origin);
    return Btf(std::move(impl));
}

// Ids and string offsets go on from the base's, so that both after each other are plain BTF, which is then
// checked as such.
Expected<Btf> Btf::parse_split(ByteView bytes, const Btf& base, const std::string& origin) {
    const auto own = btf_raw::split(bytes, origin, true);
    if (!own) {
        return own.error();
    }
    const btf_raw::Sections& first = base.impl_->sections;
    const size_t types = first.types.size() + own->types.size();
    const size_t strings = first.strings.size() + own->strings.size();
    if (types + strings > UINT32_MAX) {
        return Error{EFBIG, "read btf", origin + ": too large", "", ""};
    }
    ByteVec joined(btf_raw::kHeaderSize);
    joined.reserve(joined.size() + types + strings);
    store(&joined[0], btf_raw::kMagic);
    joined[2] = 1;
    store(&joined[4], btf_raw::kHeaderSize);
    store(&joined[12], static_cast<uint32_t>(types));
    store(&joined[16], static_cast<uint32_t>(types));
    store(&joined[20], static_cast<uint32_t>(strings));
    for (const ByteView part : {first.types, own->types, first.strings, own->strings}) {
        joined.insert(joined.end(), part.begin(), part.end());
    }
    return parse(joined, origin);
}

uint32_t Btf::type_count() const {
    return static_cast<uint32_t>(impl_->cache.size());
}

const BtfType& Btf::type(uint32_t id) const {
    assert(id < impl_->cache.size());
    auto& slot = impl_->cache[id];
    if (const BtfType* known = slot.load(std::memory_order_acquire)) {
        return *known;
    }
    auto built = std::make_unique<const BtfType>(impl_->build(id));
    const BtfType* expected = nullptr;
    if (slot.compare_exchange_strong(expected, built.get(), std::memory_order_acq_rel)) {
        return *built.release();
    }
    return *expected;
}

std::string_view essential_name(std::string_view name) {
    for (size_t i = name.size() < 5 ? 0 : name.size() - 4; i-- > 0;) {
        if (name[i] != '_' && name.substr(i + 1, 3) == "___" && name[i + 4] != '_') {
            return name.substr(0, i + 1);
        }
    }
    return name;
}

std::string_view Btf::string(uint32_t offset) const {
    return impl_->text(offset);
}

std::vector<uint32_t> Btf::find_flavors(std::string_view essential) const {
    std::call_once(impl_->names_once, [this] { impl_->build_names(); });
    std::vector<uint32_t> ids;
    const uint32_t hash = hash_of(essential);
    auto it = std::lower_bound(impl_->names.begin(), impl_->names.end(), hash,
                               [](Impl::Named a, uint32_t h) { return a.hash < h; });
    for (; it != impl_->names.end() && it->hash == hash; ++it) {
        if (essential_name(impl_->text(impl_->record(it->id).name_off)) == essential) {
            ids.push_back(it->id);
        }
    }
    return ids;
}

std::vector<uint32_t> Btf::find_all(std::string_view name) const {
    std::vector<uint32_t> ids = find_flavors(essential_name(name));
    std::erase_if(ids, [&](uint32_t id) { return impl_->text(impl_->record(id).name_off) != name; });
    return ids;
}

std::optional<uint32_t> Btf::find(std::string_view name, BtfKind kind) const {
    for (const uint32_t id : find_all(name)) {
        if (impl_->record(id).kind() == kind) {
            return id;
        }
    }
    return std::nullopt;
}

const std::vector<uint32_t>& Btf::decl_tags() const {
    return impl_->checked.decl_tags;
}

uint32_t Btf::resolve(uint32_t id) const {
    return impl_->skip_modifiers(id);
}

Expected<uint64_t> Btf::size_of(uint32_t id) const {
    uint64_t count = 1;
    for (uint32_t at = id;;) {
        at = resolve(at);
        const Record rec = impl_->record(at);
        uint64_t size = 0;
        switch (rec.kind()) {
        case BtfKind::Array: {
            const uint32_t n = word(impl_->at(at) + btf_raw::kRecordSize, 2);
            if (__builtin_mul_overflow(count, uint64_t{n}, &count)) {
                return Error{EINVAL, "size of type", type_name(id) + ": too large", "", ""};
            }
            at = word(impl_->at(at) + btf_raw::kRecordSize, 0);
            continue;
        }
        case BtfKind::Var:
            at = rec.size_or_type;
            continue;
        case BtfKind::Ptr:
            size = 8;
            break;
        case BtfKind::Int:
        case BtfKind::Struct:
        case BtfKind::Union:
        case BtfKind::Enum:
        case BtfKind::Enum64:
        case BtfKind::Float:
        case BtfKind::Datasec:
            size = rec.size_or_type;
            break;
        default:
            return Error{EINVAL, "size of type", type_name(id) + ": has no size", "", ""};
        }
        if (__builtin_mul_overflow(count, size, &count)) {
            return Error{EINVAL, "size of type", type_name(id) + ": too large", "", ""};
        }
        return count;
    }
}

uint32_t Btf::align_of(uint32_t id) const {
    return id < type_count() && impl_->checked.aligns[id] != 0 ? impl_->checked.aligns[id] : 1;
}

ByteView Btf::raw() const {
    return impl_->bytes;
}

// -- Spelling --

// `budget` bounds the length of hostile prototypes, whose parameters may double at every level.
std::string Btf::Impl::spell(uint32_t id, std::string declarator, int depth, size_t& budget) const {
    constexpr int kMaxSpellDepth = 160;
    if (depth > kMaxSpellDepth || budget < declarator.size() + 16) {
        budget = 0;
        return "...";
    }
    budget -= 16;
    const Record rec = record(id);
    const auto through_tags = [this](uint32_t to) {
        for (Record r = record(to); btf_raw::is_modifier(r.kind()) && r.kind() != BtfKind::Typedef;
             r = record(to)) {
            to = r.size_or_type;
        }
        return record(to).kind();
    };
    const auto base = [&](std::string_view prefix, std::string_view name) {
        std::string out(prefix);
        out += name.empty() ? std::string_view("{...}") : name.substr(0, 256);
        if (!declarator.empty()) {
            out += declarator.front() == '[' || declarator.front() == ' ' ? declarator : " " + declarator;
        }
        return out;
    };
    const auto qualified = [&](const char* word_text) {
        if (through_tags(rec.size_or_type) == BtfKind::Ptr) {
            return spell(rec.size_or_type, std::string(" ") + word_text + declarator, depth + 1, budget);
        }
        return std::string(word_text) + " " + spell(rec.size_or_type, declarator, depth + 1, budget);
    };
    switch (rec.kind()) {
    case BtfKind::Void:
        return base("", "void");
    case BtfKind::Ptr: {
        const BtfKind to = through_tags(rec.size_or_type);
        std::string next = "*" + declarator;
        if (to == BtfKind::Array || to == BtfKind::FuncProto) {
            next = "(" + next + ")";
        }
        return spell(rec.size_or_type, std::move(next), depth + 1, budget);
    }
    case BtfKind::Array: {
        const uint8_t* tail = at(id) + btf_raw::kRecordSize;
        return spell(word(tail, 0), declarator + "[" + std::to_string(word(tail, 2)) + "]", depth + 1,
                     budget);
    }
    case BtfKind::Const:
        return qualified("const");
    case BtfKind::Volatile:
        return qualified("volatile");
    case BtfKind::Restrict:
        return qualified("restrict");
    case BtfKind::TypeTag:
    case BtfKind::Var:
    case BtfKind::DeclTag:
        return spell(rec.size_or_type, std::move(declarator), depth + 1, budget);
    case BtfKind::FuncProto: {
        std::string params;
        const uint8_t* tail = at(id) + btf_raw::kRecordSize;
        for (uint32_t i = 0; i < rec.vlen() && budget > 0; ++i) {
            const uint32_t to = word(tail, 2 * size_t{i} + 1);
            params += i == 0 ? "" : ", ";
            params += to == 0 ? "..." : spell(to, "", depth + 1, budget);
        }
        return spell(rec.size_or_type, declarator + "(" + (params.empty() ? "void" : params) + ")", depth + 1,
                     budget);
    }
    case BtfKind::Struct:
        return base("struct ", text(rec.name_off));
    case BtfKind::Union:
        return base("union ", text(rec.name_off));
    case BtfKind::Enum:
    case BtfKind::Enum64:
        return base("enum ", text(rec.name_off));
    case BtfKind::Fwd:
        return base(rec.flag() ? "union " : "struct ", text(rec.name_off));
    default:
        return base("", text(rec.name_off));
    }
}

std::string Btf::type_name(uint32_t id) const {
    size_t budget = 4096;
    return id < type_count() ? impl_->spell(id, "", 0, budget) : "?";
}

} // namespace mimicsh
