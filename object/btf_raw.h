// SPDX-License-Identifier: MIT
// Raw layout of BTF records, shared by the reader and the editor (include/uapi/linux/btf.h).
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "object/btf.h"

namespace mimicsh::btf_raw {

inline constexpr uint16_t kMagic = 0xeb9f;
inline constexpr uint16_t kMagicSwapped = 0x9feb;
inline constexpr uint32_t kHeaderSize = 24;
inline constexpr uint32_t kRecordSize = 12; ///< name_off, info, size or type
inline constexpr uint32_t kMaxKind = static_cast<uint32_t>(BtfKind::Enum64);

/// Views into a BTF section whose header has been checked.
struct Sections {
    ByteView types;
    ByteView strings; ///< starts and ends with NUL
};

/// Checks the header and the string section. `origin` names the input in errors. The strings of a module go
/// on where the kernel's end (`is_continued`), and need no empty one at their start.
[[nodiscard]] Expected<Sections> split(ByteView bytes, const std::string& origin, bool is_continued = false);

/// The three words every record starts with.
struct Record {
    uint32_t name_off;
    uint32_t info;
    uint32_t size_or_type;

    [[nodiscard]] uint32_t kind_bits() const { return (info >> 24) & 0x1f; }
    [[nodiscard]] BtfKind kind() const { return static_cast<BtfKind>(kind_bits()); }
    [[nodiscard]] uint32_t vlen() const { return info & 0xffff; }
    [[nodiscard]] bool flag() const { return (info >> 31) != 0; }
};

[[nodiscard]] inline Record record_at(const uint8_t* at) {
    return {load<uint32_t>(at), load<uint32_t>(at + 4), load<uint32_t>(at + 8)};
}

[[nodiscard]] constexpr uint32_t make_info(BtfKind kind, uint32_t vlen, bool flag = false) {
    return (static_cast<uint32_t>(kind) << 24) | vlen | (flag ? 1u << 31 : 0);
}

/// Bytes that follow the three words of a record.
[[nodiscard]] constexpr uint32_t tail_size(BtfKind kind, uint32_t vlen) {
    switch (kind) {
    case BtfKind::Int:
    case BtfKind::Var:
    case BtfKind::DeclTag:
        return 4;
    case BtfKind::Array:
        return 12;
    case BtfKind::Struct:
    case BtfKind::Union:
    case BtfKind::Enum64:
    case BtfKind::Datasec:
        return 12 * vlen;
    case BtfKind::Enum:
    case BtfKind::FuncProto:
        return 8 * vlen;
    default:
        return 0;
    }
}

/// True for typedefs, qualifiers and type tags: what Btf::resolve follows.
[[nodiscard]] constexpr bool is_modifier(BtfKind kind) {
    return kind == BtfKind::Typedef || kind == BtfKind::Volatile || kind == BtfKind::Const ||
           kind == BtfKind::Restrict || kind == BtfKind::TypeTag;
}

/// False for what names an object rather than a type of one.
[[nodiscard]] constexpr bool is_value_kind(BtfKind kind) {
    return kind != BtfKind::Func && kind != BtfKind::Var && kind != BtfKind::Datasec &&
           kind != BtfKind::DeclTag;
}

/// What the checker learnt about every type.
struct Checked {
    std::vector<uint32_t> offsets;   ///< of each record in the type section; [0] unused (void)
    std::vector<uint8_t> aligns;     ///< natural alignment in bytes, 0 = none
    std::vector<uint32_t> decl_tags; ///< ids
};

/// Checks every record, reference, offset and the absence of cycles.
[[nodiscard]] Expected<Checked> check(const Sections& sections, const std::string& origin);

} // namespace mimicsh::btf_raw
