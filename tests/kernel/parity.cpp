// SPDX-License-Identifier: MIT
// Loading, running and comparing on both targets.
#include "tests/kernel/parity.h"

#include <map>

#include "kernel/features.h"
#include "kernel/target.h"

namespace mimicsh::test {

namespace {

/// All entries of a map, or what stopped the walk.
std::map<ByteVec, ByteVec> entries_of(Map& map, std::string& error) {
    std::map<ByteVec, ByteVec> all;
    MapCursor cursor;
    const size_t key_size = map.info().key_size;
    const size_t value_size = host_value_size(map.info());
    while (!cursor.done) {
        ByteVec keys;
        ByteVec values;
        const auto count = map.next_batch(cursor, keys, values, 64);
        if (!count) {
            error = count.error().code_name();
            break;
        }
        for (size_t i = 0; i < *count; ++i) {
            const auto key = keys.begin() + static_cast<ptrdiff_t>(i * key_size);
            const auto value = values.begin() + static_cast<ptrdiff_t>(i * value_size);
            all[ByteVec(key, key + static_cast<ptrdiff_t>(key_size))] =
                ByteVec(value, value + static_cast<ptrdiff_t>(value_size));
        }
    }
    return all;
}

/// A record for comparing: long ones by their length, both ends and a sum.
std::string text_of(ByteView record, uint32_t cpu) {
    constexpr size_t kEnds = 16;
    std::string text = std::to_string(cpu) + ": ";
    if (record.size() <= 4 * kEnds) {
        return text + to_hex(record);
    }
    uint64_t sum = 0;
    for (const uint8_t byte : record) {
        sum = sum * 31 + byte;
    }
    return text + std::to_string(record.size()) + " bytes " + to_hex(record.first(kEnds)) + ".." +
           to_hex(record.last(kEnds)) + " sum " + std::to_string(sum);
}

using Entries = std::map<ByteVec, ByteVec>;

/// Where two maps differ: missing keys, and the 8-byte words of values (of the io block by its own numbers).
std::string differences(const Entries& here, const Entries& there) {
    std::string text;
    for (const auto& [key, value] : there) {
        const auto found = here.find(key);
        if (found == here.end()) {
            text += "  key " + to_hex(key) + " only in the kernel\n";
            continue;
        }
        for (size_t at = 0; at < value.size(); at += 8) {
            const size_t size = std::min<size_t>(8, value.size() - at);
            const std::string a = to_hex(ByteView(found->second).subspan(at, size));
            const std::string b = to_hex(ByteView(value).subspan(at, size));
            if (a != b && text.size() < 1000) {
                text += "  key " + to_hex(key) + " word " + std::to_string(at / 8) + ": vm " + a +
                        ", kernel " + b + "\n";
            }
        }
    }
    for (const auto& [key, value] : here) {
        text += there.contains(key) ? "" : "  key " + to_hex(key) + " only on the vm\n";
    }
    return text;
}

} // namespace

std::unique_ptr<Target> kernel_target() {
    return kernel::make_target();
}

void ParityTest::SetUp() {
    const auto usable = kernel::usable();
    if (!usable) {
        GTEST_SKIP() << "the kernel target cannot be used here: " << usable.error().message();
    }
}

void ParityTest::open(std::shared_ptr<const Object> object, const vm::Options& options) {
    ASSERT_NE(object, nullptr);
    auto on_vm = vm::make_target(options)->load(object, {});
    ASSERT_TRUE(on_vm) << on_vm.error().message();
    auto on_kernel = kernel::make_target()->load(object, {});
    ASSERT_TRUE(on_kernel) << on_kernel.error().message() << "\n" << on_kernel.error().log;
    vm_ = std::move(*on_vm);
    kernel_ = std::move(*on_kernel);
}

void ParityTest::open_case(const std::string& name) {
    open(compile_case("parity/" + name + ".bpf.c"));
}

void ParityTest::set_args(const std::vector<uint64_t>& args) {
    ByteVec io((kIoArgs + kIoResults) * 8);
    size_t at = 0;
    for (const uint64_t arg : args) {
        mimicsh::store(io.data() + 8 * at++, arg);
    }
    set_value(*vm_, ".bss", io);
    set_value(*kernel_, ".bss", io);
}

RunResult ParityTest::run_both(const std::string& program, ByteView packet, const RunOptions& options) {
    RunResult result = run_both_apart_from_maps(program, packet, options);
    expect_same_maps();
    return result;
}

RunResult ParityTest::run_both_apart_from_maps(const std::string& program, ByteView packet,
                                               const RunOptions& options) {
    Program* here = vm_->find_program(program);
    Program* there = kernel_->find_program(program);
    if (here == nullptr || there == nullptr) {
        ADD_FAILURE() << "no program " << program;
        return {};
    }
    auto emulated = here->run(packet, options);
    auto real = there->run(packet, options);
    EXPECT_EQ(emulated.has_value(), real.has_value())
        << (emulated ? "" : emulated.error().message()) << " / " << (real ? "" : real.error().message());
    if (!emulated || !real) {
        if (!emulated && !real) {
            EXPECT_EQ(emulated.error().code_name(), real.error().code_name());
        }
        return {};
    }
    EXPECT_FALSE(emulated->fault) << emulated->fault->report;
    EXPECT_EQ(emulated->ret, real->ret);
    EXPECT_EQ(emulated->packet.size(), real->packet.size());
    EXPECT_TRUE(emulated->packet == real->packet) << "packets differ";
    EXPECT_EQ(to_hex(emulated->context), to_hex(real->context));
    return std::move(*real);
}

uint64_t ParityTest::result(size_t at) {
    return number_at(value_of(*kernel_, ".bss"), kIoArgs + at);
}

void ParityTest::expect_same_maps() {
    const auto here = vm_->maps();
    const auto there = kernel_->maps();
    ASSERT_EQ(here.size(), there.size());
    for (size_t i = 0; i < here.size(); ++i) {
        const abi::MapType type = here[i]->info().type;
        if (type == abi::MapType::ProgArray) {
            continue; // holds program ids, which only the kernel has
        }
        if (here[i]->info().key_size == 0 && type != abi::MapType::Ringbuf) {
            continue; // queues and filters cannot be walked
        }
        if (type == abi::MapType::Ringbuf || type == abi::MapType::PerfEventArray) {
            std::vector<std::string> records[2];
            for (Map* map : {here[i], there[i]}) {
                auto& list = records[map == there[i] ? 1 : 0];
                const auto count = map->consume(
                    [&](ByteView record, uint32_t cpu) { list.push_back(text_of(record, cpu)); });
                EXPECT_TRUE(count) << count.error().message();
                EXPECT_EQ(count ? *count : 0, list.size());
            }
            EXPECT_EQ(records[0], records[1]) << here[i]->info().name;
            EXPECT_EQ(here[i]->lost(), there[i]->lost()) << here[i]->info().name;
            continue;
        }
        std::string errors[2];
        const auto a = entries_of(*here[i], errors[0]);
        auto b = entries_of(*there[i], errors[1]);
        if (abi::holds_maps(type)) { // the values are ids, each target's own
            for (auto& [key, value] : b) {
                value = a.contains(key) ? a.at(key) : value;
            }
        }
        EXPECT_EQ(errors[0], errors[1]);
        EXPECT_TRUE(a == b) << "map " << here[i]->info().name << " differs (word 8 is out[0] of .bss)\n"
                            << differences(a, b);
    }
}

} // namespace mimicsh::test
