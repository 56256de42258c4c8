// SPDX-License-Identifier: MIT
// Storage of the current task, its cgroup, and what belongs to a test run alone.
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>

#include "base/fd.h"
#include "tests/kernel/parity.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

/// Id of this process's cgroup: the inode of its folder; 0 where that cannot be found out.
uint64_t cgroup_id() {
    std::ifstream file("/proc/self/cgroup");
    std::string line;
    while (std::getline(file, line)) {
        struct stat folder {};
        if (line.starts_with("0::") && stat(("/sys/fs/cgroup" + line.substr(3)).c_str(), &folder) == 0) {
            return folder.st_ino;
        }
    }
    return 0;
}

class StorageParity : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (IsSkipped()) {
            return;
        }
        ASSERT_TRUE(cpu_.pinned());
        char comm[16] = {};
        ASSERT_EQ(prctl(PR_GET_NAME, comm), 0);
        vm::Options options;
        const auto world =
            vm::parse_world(R"({"task": {"pid": )" + std::to_string(syscall(SYS_gettid)) + R"(, "tgid": )" +
                            std::to_string(getpid()) + R"(, "comm": ")" + comm + R"("}, "cgroup": {"id": )" +
                            std::to_string(std::max(cgroup_id(), uint64_t{1})) + "}}");
        ASSERT_TRUE(world) << world.error().message();
        options.world = *world;
        open(compile_case("parity/storage.bpf.c"), options);
    }

    /// Runs with arguments from all combinations of flags.
    void sweep(const std::string& program) {
        ASSERT_TRUE(ready());
        for (const uint64_t first : {0ull, 1ull, 2ull, 3ull, 1ull << 40}) {
            for (const uint64_t second : {0ull, 1ull, 2ull}) {
                for (const uint64_t keep : {0ull, 1ull}) {
                    SCOPED_TRACE(testing::Message()
                                 << program << " " << first << " " << second << " " << keep);
                    set_args({first, second, 1, keep});
                    run_both_apart_from_maps(program, packet_of(64));
                    EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss")));
                }
            }
        }
    }

  private:
    OnFirstCpu cpu_;
};

TEST_F(StorageParity, ValuesHaveLocks) {
    ASSERT_TRUE(ready());
    for (const uint64_t add : {1, 2, 3}) {
        set_args({add});
        run_both_apart_from_maps("locks", packet_of(64));
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss")));
        EXPECT_EQ(result(0), 1u);
        EXPECT_EQ(result(2), add); // a task keeps its own
        EXPECT_EQ(result(6), 2u);
    }
}

TEST_F(StorageParity, ValuesHavePointersToObjects) {
    ASSERT_TRUE(ready());
    const auto step = [&](uint64_t number, uint64_t stays) {
        set_args({number, stays});
        run_both_apart_from_maps("owners", packet_of(64));
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss"))) << number;
    };
    step(10, 1);
    EXPECT_EQ(result(5), 10u);
    step(20, 1); // the task keeps its own
    EXPECT_EQ(result(2), 11u);
    step(30, 0); // which deleting frees
    step(40, 1);
    EXPECT_EQ(result(2), 0u);
    // So does an update by the host, which names the task its own way on either side.
    const Fd task(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
    for (const uint64_t flags : {uint64_t{abi::kAny}, uint64_t{abi::kLock}}) {
        for (const auto& [instance, key] : {std::pair{vm_.get(), 1}, std::pair{kernel_.get(), task.get()}}) {
            Map& map = *instance->find_map("owner_task");
            const ByteView name(reinterpret_cast<const uint8_t*>(&key), sizeof key);
            const auto done = map.update(name, ByteVec(map.info().value_size, 3), flags);
            ASSERT_TRUE(done) << done.error().message();
            ByteVec value(map.info().value_size);
            ASSERT_TRUE(map.lookup(name, value));
            EXPECT_EQ(to_hex(value), "030303030303030300000000030303030000000000000000");
        }
        step(50, 1);
    }
}

TEST_F(StorageParity, TaskStorage) {
    sweep("task");
    set_args({});
    run_both_apart_from_maps("task_fields", packet_of(64));
    EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss")));
    EXPECT_EQ(result(0) + result(1) + result(4) + result(6) + result(7), 5u);
}

TEST_F(StorageParity, CgroupOfTheTask) {
    sweep("cgroup");
}

TEST_F(StorageParity, CgroupStorage) {
    ASSERT_TRUE(ready());
    for (const uint32_t repeat : {1u, 1u, 3u}) {
        set_args({});
        RunOptions options;
        options.repeat = repeat;
        run_both_apart_from_maps("run", packet_of(64), options);
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss"))) << repeat << " runs";
    }
    for (const char* name : {"of_run", "of_run_percpu"}) {
        Map* maps[2] = {vm_->find_map(name), kernel_->find_map(name)};
        const ByteVec key(16);
        std::vector<std::string> texts[2];
        for (const int side : {0, 1}) {
            ByteVec value(host_value_size(maps[side]->info()));
            ByteVec next(16);
            const auto more = maps[side]->next_key({}, next);
            texts[side] = {std::string(maps[side]->lookup(key, value).error().code_name()),
                           std::string(maps[side]->update(key, value, 0).error().code_name()),
                           std::string(maps[side]->update(key, value, 1).error().code_name()),
                           std::string(maps[side]->update(key, value, 2).error().code_name()),
                           std::string(maps[side]->erase(key).error().code_name()),
                           more ? std::to_string(*more) : std::string(more.error().code_name())};
        }
        EXPECT_EQ(texts[0], texts[1]) << name;
    }
    for (const auto type : {abi::MapType::CgroupStorage, abi::MapType::PercpuCgroupStorage}) {
        for (const uint32_t size : {0u, 1u, 4096u, 32768u, 32769u, 65407u, 65408u}) {
            RawObject raw;
            raw.add({mov(0, 2), exit_insn()});
            raw.add_map(map_def("m", type, 16, size, 0));
            EXPECT_EQ(vm::make_target()->load(raw.share(), {}).has_value(),
                      kernel_target()->load(raw.share(), {}).has_value())
                << abi::name(type) << " of " << size;
        }
    }
}

TEST_F(StorageParity, SocketOfTheTestRun) {
    sweep("socket");
}

TEST_F(StorageParity, DefinitionsThatAreRefused) {
    const auto base = [](abi::MapType type) {
        RawObject raw;
        raw.add({mov(0, 2), exit_insn()});
        raw.object.btf = compile_case("parity/storage.bpf.c")->btf;
        MapDef def = map_def("storage", type, 4, 8, 0, abi::kMapNoPrealloc);
        const auto from = compile_case("parity/storage.bpf.c");
        def.key_btf_id = from->find_map("of_task")->key_btf_id;
        def.value_btf_id = from->find_map("of_task")->value_btf_id;
        def.value_size = from->find_map("of_task")->value_size;
        return std::pair{raw, def};
    };
    size_t accepted = 0;
    for (const auto type : {abi::MapType::SkStorage, abi::MapType::TaskStorage, abi::MapType::CgrpStorage}) {
        for (int change = 0; change < 8; ++change) {
            auto [raw, def] = base(type);
            def.key_size += change == 1 ? 4 : 0;
            def.max_entries += change == 2 ? 1 : 0;
            def.flags = change == 3 ? 0 : change == 4 ? def.flags | abi::kMapRdonly : def.flags;
            def.flags |= change == 5 ? abi::kMapClone : 0;
            def.key_btf_id = change == 6 ? 0 : def.key_btf_id;
            def.value_btf_id = change == 7 ? 0 : def.value_btf_id;
            raw.add_map(def);
            const auto here = vm::make_target()->load(raw.share(), {});
            const auto there = kernel_target()->load(raw.share(), {});
            EXPECT_EQ(here.has_value(), there.has_value())
                << abi::name(type) << ", change " << change << ": "
                << (here ? there.error().message() : here.error().message());
            accepted += there ? 1 : 0;
        }
    }
    EXPECT_GE(accepted, 3u);
}

} // namespace

} // namespace mimicsh::test
