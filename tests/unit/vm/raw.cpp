// SPDX-License-Identifier: MIT
// Test objects from instructions and from C.
#include "tests/unit/vm/raw.h"

#include <gtest/gtest.h>

#include "object/clang.h"
#include "tests/paths.h"

namespace mimicsh::test {

RawObject::RawObject() {
    object.name = object.origin = "raw";
    object.license = "GPL";
    Function main;
    main.name = "main";
    main.section = "xdp";
    main.spec = ProgramSpec{abi::ProgType::Xdp, abi::AttachType::Xdp, 0, {}};
    object.functions.push_back(std::move(main));
}

RawObject& RawObject::add(Insn one) {
    object.functions.back().insns.push_back(one);
    return *this;
}

RawObject& RawObject::add(const std::vector<Insn>& many) {
    auto& insns = object.functions.back().insns;
    insns.insert(insns.end(), many.begin(), many.end());
    return *this;
}

void RawObject::add_wide(int dst, uint64_t value) {
    add(insn(op::kLddw, dst, 0, 0, static_cast<int32_t>(value)));
    add(insn(0, 0, 0, 0, static_cast<int32_t>(value >> 32)));
}

void RawObject::relocate(RelocKind kind, uint32_t target, uint32_t offset) {
    object.functions.back().relocs.push_back({size(), kind, target, offset});
}

RawObject& RawObject::load_number(int dst, uint64_t value) {
    add_wide(dst, value);
    return *this;
}

RawObject& RawObject::load_map(int dst, uint32_t index) {
    relocate(RelocKind::Map, index, 0);
    add_wide(dst, 0);
    return *this;
}

RawObject& RawObject::load_value(int dst, uint32_t index, uint32_t offset) {
    relocate(RelocKind::MapValue, index, offset);
    add_wide(dst, 0);
    return *this;
}

RawObject& RawObject::call_function(uint32_t index) {
    relocate(RelocKind::Call, index, 0);
    return add(insn(op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1));
}

RawObject& RawObject::load_function(int dst, uint32_t index) {
    relocate(RelocKind::FuncAddress, index, 0);
    add_wide(dst, 0);
    return *this;
}

uint32_t RawObject::begin_function(const std::string& name) {
    Function function;
    function.name = name;
    function.section = ".text";
    function.is_global = false;
    object.functions.push_back(std::move(function));
    return static_cast<uint32_t>(object.functions.size() - 1);
}

uint32_t RawObject::add_map(MapDef def) {
    object.maps.push_back(std::move(def));
    return static_cast<uint32_t>(object.maps.size() - 1);
}

uint32_t RawObject::add_data(uint32_t size, const std::string& name) {
    MapDef def = map_def(name, abi::MapType::Array, 4, size, 1);
    def.is_data = true;
    def.contents.resize(size);
    return add_map(std::move(def));
}

namespace {

std::shared_ptr<const Object> compile_with(CompileOptions options) {
    options.cache_dir = in_tree("build/bpf-cache"); // one for all presets
    auto object = compile(options);
    if (!object) {
        ADD_FAILURE() << object.error().message() << "\n" << object.error().log;
        return nullptr;
    }
    return std::make_shared<const Object>(std::move(*object));
}

} // namespace

std::shared_ptr<const Object> compile_file(const std::string& path) {
    CompileOptions options;
    options.file = path;
    return compile_with(std::move(options));
}

std::shared_ptr<const Object> compile_case(const std::string& name) {
    return compile_file(in_tree("tests/cases/" + name));
}

std::shared_ptr<const Object> compile_text(const std::string& source, const std::string& origin) {
    CompileOptions options;
    options.source = source;
    options.origin = origin;
    options.name = "text";
    return compile_with(std::move(options));
}

ByteVec packet_of(size_t size) {
    ByteVec packet(size);
    for (size_t i = 0; i < size; ++i) {
        packet[i] = static_cast<uint8_t>(i < 12 ? 0x10 + i : i * 7 + i / 256);
    }
    if (size >= 14) {
        packet[12] = 0x08;
        packet[13] = 0x00;
    }
    return packet;
}

ByteVec frame_of(uint16_t ethertype, size_t size) {
    ByteVec packet = packet_of(size);
    store_be(packet.data() + 12, ethertype);
    return packet;
}

ByteVec value_of(Instance& instance, const std::string& map, uint32_t index) {
    Map* found = instance.find_map(map);
    if (found == nullptr) {
        ADD_FAILURE() << "no map " << map;
        return {};
    }
    ByteVec value(host_value_size(found->info()));
    const auto status = found->lookup({reinterpret_cast<const uint8_t*>(&index), sizeof index}, value);
    EXPECT_TRUE(status) << status.error().message();
    return value;
}

void set_value(Instance& instance, const std::string& map, ByteView bytes, uint32_t index) {
    Map* found = instance.find_map(map);
    ASSERT_NE(found, nullptr) << "no map " << map;
    const auto status =
        found->update({reinterpret_cast<const uint8_t*>(&index), sizeof index}, bytes, abi::kAny);
    EXPECT_TRUE(status) << status.error().message();
}

uint64_t number_at(ByteView bytes, size_t at) {
    return mimicsh::load<uint64_t>(bytes.data() + 8 * at);
}

} // namespace mimicsh::test
