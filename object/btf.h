// SPDX-License-Identifier: MIT
// BPF Type Format: a bounds-checked reader (Documentation/bpf/btf.rst). Nothing here trusts its input.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace mimicsh {

enum class BtfKind : uint8_t {
    Void = 0,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
};

/// Field of a struct or union.
struct BtfMember {
    std::string_view name;
    uint32_t type = 0;
    uint32_t bit_offset = 0;
    uint32_t bit_width = 0; ///< 0 when the field is no bit-field
};

struct BtfEnumerator {
    std::string_view name;
    int64_t value = 0; ///< reinterpret as unsigned unless the enum is signed
};

struct BtfParam {
    std::string_view name;
    uint32_t type = 0; ///< 0 with an empty name in last position: varargs
};

struct BtfSecVar {
    uint32_t var_type = 0;
    uint32_t offset = 0;
    uint32_t size = 0;
};

/// One type. `kind` says which members mean something; string views live as long as the Btf.
struct BtfType {
    BtfKind kind = BtfKind::Void;
    std::string_view name;
    uint32_t size = 0; ///< bytes: Int, Struct, Union, Enum, Enum64, Datasec, Float
    uint32_t type = 0; ///< referenced type: Ptr, Typedef, qualifiers, Func, FuncProto (return), Var, Array
                       ///< (element), tags
    bool is_signed = false;  ///< Enum, Enum64: values are signed; Int: signed encoding
    bool is_bool = false;    ///< Int with BTF_INT_BOOL
    bool is_char = false;    ///< Int with BTF_INT_CHAR
    bool is_union = false;   ///< Fwd of a union
    uint8_t int_offset = 0;  ///< Int: bit offset (0 in practice)
    uint8_t int_bits = 0;    ///< Int: width in bits
    uint32_t linkage = 0;    ///< Func (0 static, 1 global, 2 extern), Var
    uint32_t elements = 0;   ///< Array: number of elements
    uint32_t index_type = 0; ///< Array
    int32_t component = -1;  ///< DeclTag: member or parameter index, -1 the type itself
    std::vector<BtfMember> members;
    std::vector<BtfEnumerator> enumerators;
    std::vector<BtfParam> params;
    std::vector<BtfSecVar> vars;
};

/// Parsed BTF. Immutable and movable; all ids and offsets in it have been checked, and no type contains
/// itself.
class Btf {
  public:
    /// Parses a .BTF section (or /sys/kernel/btf/vmlinux). `origin` names it in errors. Keeps a copy of
    /// `bytes`.
    [[nodiscard]] static Expected<Btf> parse(ByteView bytes, const std::string& origin);

    /// Parses BTF that goes on where `base` ends, as a kernel module's does: its first id is
    /// base.type_count(), and what comes out has the types of both. Keeps a copy of both.
    [[nodiscard]] static Expected<Btf> parse_split(ByteView bytes, const Btf& base,
                                                   const std::string& origin);

    Btf(Btf&&) noexcept;
    Btf& operator=(Btf&&) noexcept;
    ~Btf();

    /// Number of ids, void (0) included.
    [[nodiscard]] uint32_t type_count() const;
    /// id < type_count().
    [[nodiscard]] const BtfType& type(uint32_t id) const;
    /// String at an offset of the string section; empty when the offset is outside.
    [[nodiscard]] std::string_view string(uint32_t offset) const;
    /// First type of that kind and name.
    [[nodiscard]] std::optional<uint32_t> find(std::string_view name, BtfKind kind) const;
    /// All types of that name (for CO-RE candidates), in id order.
    [[nodiscard]] std::vector<uint32_t> find_all(std::string_view name) const;
    /// All types whose name, without a CO-RE flavour ("task_struct___old"), is `essential`; in id order.
    [[nodiscard]] std::vector<uint32_t> find_flavors(std::string_view essential) const;
    /// All declaration tags, in id order.
    [[nodiscard]] const std::vector<uint32_t>& decl_tags() const;
    /// Follows typedefs and qualifiers (const, volatile, restrict, type tags).
    [[nodiscard]] uint32_t resolve(uint32_t id) const;
    /// Size in bytes of a value of the type; EINVAL for functions, forward declarations and the like.
    [[nodiscard]] Expected<uint64_t> size_of(uint32_t id) const;
    /// Natural alignment in bytes (1 for packed structs).
    [[nodiscard]] uint32_t align_of(uint32_t id) const;
    /// C spelling of a type as used in declarations ("struct flow_key", "__u32", "char[16]").
    [[nodiscard]] std::string type_name(uint32_t id) const;
    /// The section as it was read.
    [[nodiscard]] ByteView raw() const;

  private:
    struct Impl;
    explicit Btf(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// A name up to its CO-RE flavour: the last "___" between two characters that are no underscores starts it.
[[nodiscard]] std::string_view essential_name(std::string_view name);

} // namespace mimicsh
