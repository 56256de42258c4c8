// SPDX-License-Identifier: MIT
// Instructions and one-function objects by hand, and access to the `io` block that test programs share with
// the host.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "object/insn.h"
#include "object/object.h"
#include "object/target.h"

namespace mimicsh::test {

// -- Instructions --

/// Any instruction from its fields; narrowing to the bit fields happens here and nowhere else.
constexpr Insn insn(int code, int dst, int src, int off, int64_t imm) {
    Insn made;
    made.code = static_cast<uint8_t>(code);
    made.dst = static_cast<uint8_t>(dst) & 0xf;
    made.src = static_cast<uint8_t>(src) & 0xf;
    made.off = static_cast<int16_t>(off);
    made.imm = static_cast<int32_t>(imm);
    return made;
}
constexpr Insn mov(int dst, int64_t imm) {
    return insn(op::kAlu64 | op::kMov | op::kK, dst, 0, 0, imm);
}
constexpr Insn mov_reg(int dst, int src) {
    return insn(op::kAlu64 | op::kMov | op::kX, dst, src, 0, 0);
}
constexpr Insn add(int dst, int64_t imm) {
    return insn(op::kAlu64 | op::kAdd | op::kK, dst, 0, 0, imm);
}
constexpr Insn load(int size, int dst, int src, int off) {
    return insn(op::kLdx | op::kMem | size, dst, src, off, 0);
}
constexpr Insn store_reg(int size, int dst, int off, int src) {
    return insn(op::kStx | op::kMem | size, dst, src, off, 0);
}
constexpr Insn store_imm(int size, int dst, int off, int64_t imm) {
    return insn(op::kSt | op::kMem | size, dst, 0, off, imm);
}
constexpr Insn jump(int off) {
    return insn(op::kJmp | op::kJa, 0, 0, off, 0);
}
constexpr Insn jump_if(int compare, int dst, int64_t imm, int off) {
    return insn(op::kJmp | compare | op::kK, dst, 0, off, imm);
}
constexpr Insn call(int64_t helper) {
    return insn(op::kJmp | op::kCall, 0, 0, 0, helper);
}
constexpr Insn exit_insn() {
    return insn(op::kJmp | op::kExit, 0, 0, 0, 0);
}

// -- Objects --

/// Builds an object whose functions are instruction lists; function 0 is the XDP program "main".
class RawObject {
  public:
    RawObject();
    RawObject& add(Insn one);
    RawObject& add(const std::vector<Insn>& many);
    /// r`dst` = 64-bit number.
    RawObject& load_number(int dst, uint64_t value);
    /// r`dst` = address of map `index`.
    RawObject& load_map(int dst, uint32_t index);
    /// r`dst` = address of byte `offset` of the only value of map `index`.
    RawObject& load_value(int dst, uint32_t index, uint32_t offset = 0);
    /// Call of function `index`.
    RawObject& call_function(uint32_t index);
    /// r`dst` = address of function `index`.
    RawObject& load_function(int dst, uint32_t index);
    /// What follows goes into a new subprogram; returns its index.
    uint32_t begin_function(const std::string& name);
    /// Declares a map; returns its index.
    uint32_t add_map(MapDef def);
    /// Declares a zeroed data section of one value; returns its index.
    uint32_t add_data(uint32_t size, const std::string& name = ".bss");

    Object object; ///< free to change before `share`
    [[nodiscard]] uint32_t size() const {
        return static_cast<uint32_t>(object.functions.back().insns.size());
    }
    [[nodiscard]] std::shared_ptr<const Object> share() const {
        return std::make_shared<const Object>(object);
    }

  private:
    void add_wide(int dst, uint64_t value);
    void relocate(RelocKind kind, uint32_t target, uint32_t offset);
};

/// A map of the given shape.
[[nodiscard]] inline MapDef map_def(const std::string& name, abi::MapType type, uint32_t key, uint32_t value,
                                    uint32_t entries, uint32_t flags = 0) {
    MapDef def;
    def.name = name;
    def.type = type;
    def.key_size = key;
    def.value_size = value;
    def.max_entries = entries;
    def.flags = flags;
    return def;
}

// -- C programs --

/// Compiles a C file of tests/cases, or fails the test and returns null.
[[nodiscard]] std::shared_ptr<const Object> compile_case(const std::string& name);
/// Compiles any C file, whose lines the object then shows.
[[nodiscard]] std::shared_ptr<const Object> compile_file(const std::string& path);
/// Compiles C text, or fails the test and returns null. `origin` names it in positions.
[[nodiscard]] std::shared_ptr<const Object> compile_text(const std::string& source,
                                                         const std::string& origin = "test.c");
/// The includes that every C text of the tests starts with, on one line.
inline constexpr std::string_view kPrelude = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n";

// -- Data --

/// A packet of `size` bytes whose contents show their place; the first bytes look like Ethernet.
[[nodiscard]] ByteVec packet_of(size_t size);
/// The same with an EtherType; `size` is at least 14.
[[nodiscard]] ByteVec frame_of(uint16_t ethertype, size_t size);
/// Bytes of the one value of an array map; fails the test when there is none.
[[nodiscard]] ByteVec value_of(Instance& instance, const std::string& map, uint32_t index = 0);
void set_value(Instance& instance, const std::string& map, ByteView bytes, uint32_t index = 0);
/// Number `at` of 64-bit numbers.
[[nodiscard]] uint64_t number_at(ByteView bytes, size_t at);

} // namespace mimicsh::test
