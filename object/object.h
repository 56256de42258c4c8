// SPDX-License-Identifier: MIT
// Object: compiled programs, map definitions and BTF, not loaded. Every front-end makes one of these.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "object/abi.h"
#include "object/btf.h"
#include "object/insn.h"

namespace mimicsh {

enum class RelocKind : uint8_t {
    Map,         ///< LDDW of a map: target = map index
    MapValue,    ///< LDDW of an address inside a data section's value: target = map index, offset = bytes
    Call,        ///< call of a subprogram: target = function index
    FuncAddress, ///< LDDW of a callback: target = function index
    Extern,      ///< ksym, kconfig or kfunc: target = extern index
};

/// A place in a function that names something; resolved by the linker, never by a front-end.
struct Relocation {
    uint32_t insn = 0; ///< slot index within the function
    RelocKind kind = RelocKind::Map;
    uint32_t target = 0;
    uint32_t offset = 0;
};

/// bpf_core_relo: an access that depends on the layout of a type (include/uapi/linux/bpf.h, enum
/// bpf_core_relo_kind).
struct CoreRelocation {
    uint32_t insn = 0;    ///< slot index within the function
    uint32_t type_id = 0; ///< root type in the object's BTF
    std::string access;   ///< "0:1:2"
    uint32_t kind = 0;
};

/// Source position of the instructions from `insn` up to the next record. Offsets are into the BTF string
/// section.
struct LineInfo {
    uint32_t insn = 0;
    uint32_t file_off = 0;
    uint32_t text_off = 0;
    uint32_t line = 0;
    uint32_t column = 0;
};

/// What makes a function a program.
struct ProgramSpec {
    abi::ProgType type = abi::ProgType::Unspec;
    abi::AttachType attach_type = abi::AttachType::None;
    uint32_t flags = 0;        ///< abi::kProg*
    std::string attach_target; ///< rest of the section name for types that need one
};

/// A function: a program when `spec` is set, else a subprogram.
struct Function {
    std::string name;
    std::string section; ///< section name as written ("xdp", ".text")
    bool is_global = true;
    bool is_weak = false;
    uint32_t btf_id = 0; ///< FUNC type in the object's BTF, 0 = none
    std::optional<ProgramSpec> spec;
    std::vector<Insn> insns;
    std::vector<Relocation> relocs;          ///< sorted by insn
    std::vector<CoreRelocation> core_relocs; ///< sorted by insn
    std::vector<LineInfo> lines;             ///< sorted by insn, insn relative to this function
};

/// A map as the object declares it.
struct MapDef {
    std::string name; ///< as declared; data sections have their section name (".rodata")
    abi::MapType type = abi::MapType::Unspec;
    uint32_t key_size = 0;
    uint32_t value_size = 0;
    uint32_t max_entries = 0;
    uint32_t flags = 0; ///< abi::kMap*
    uint64_t extra = 0; ///< map_extra
    uint32_t numa_node = 0;
    uint32_t pinning = 0;          ///< 1 = LIBBPF_PIN_BY_NAME
    uint32_t key_btf_id = 0;       ///< in the object's BTF, 0 = none
    uint32_t value_btf_id = 0;     ///< for a data section: its DATASEC type
    bool is_data = false;          ///< .data, .bss, .rodata and their suffixed forms
    bool frozen = false;           ///< read only for everybody after load (.rodata)
    ByteVec contents;              ///< data sections: initial value, value_size bytes
    std::shared_ptr<MapDef> inner; ///< template of map-in-map
    struct Slot {
        uint32_t index;
        uint32_t target; ///< function index (prog array) or map index (map-in-map)
    };
    std::vector<Slot> slots; ///< initial contents of prog arrays and maps of maps
};

enum class ExternKind : uint8_t { Ksym, Kconfig, Kfunc };

struct ExternDef {
    std::string name;
    ExternKind kind = ExternKind::Ksym;
    bool is_weak = false;
    uint32_t btf_id = 0; ///< VAR or FUNC type in the object's BTF
    /// Declared type, since the VAR itself is fixed up for the kernel. Ksym: without qualifiers, 0 = untyped
    /// (void). Kconfig: as declared. Kfunc: its FUNC_PROTO.
    uint32_t type_id = 0;
};

/// Compiled programs and map definitions. Plain data; `validate` has passed on everything a front-end
/// returns.
struct Object {
    std::string name;   ///< file name without folders and ".bpf.o", or what the front-end calls it
    std::string origin; ///< path or description, for messages
    std::string license;
    uint32_t kernel_version = 0;
    std::vector<Function> functions;
    std::vector<MapDef> maps;
    std::vector<ExternDef> externs;
    std::shared_ptr<const Btf> btf; ///< null when the object has none

    [[nodiscard]] const MapDef* find_map(std::string_view map_name) const;
    /// Indices of the functions that are programs, in order of definition.
    [[nodiscard]] std::vector<uint32_t> programs() const;
    [[nodiscard]] const Function* find_function(std::string_view function_name) const;
};

/// Checks what the parts promise each other: indices in range, instruction slots whole, jumps inside their
/// function.
[[nodiscard]] Status validate(const Object& object);

/// Reads a relocatable ELF64 BPF file from memory; `origin` names it in errors. Never trusts the bytes.
[[nodiscard]] Expected<Object> read_elf(ByteView bytes, const std::string& origin);
[[nodiscard]] Expected<Object> open_object(const std::string& path);

/// Writes the object as a relocatable ELF with BTF and line info, loadable by bpftool and libbpf.
[[nodiscard]] Expected<ByteVec> write_elf(const Object& object);

/// Section name to program type ("xdp.frags" -> Xdp with kProgXdpHasFrags), libbpf's names; nothing when
/// unknown.
[[nodiscard]] std::optional<ProgramSpec> spec_of_section(std::string_view section);
/// The reverse: a section name that stands for type, attach type and those flags that names carry; empty when
/// none does. Memory gives "memory", which no file keeps.
[[nodiscard]] std::string section_of_spec(const ProgramSpec& spec);
/// What a program of the type has when nobody says more; nothing when it could be several.
[[nodiscard]] std::optional<abi::AttachType> usual_attach_type(abi::ProgType type);

} // namespace mimicsh
