// SPDX-License-Identifier: MIT
// Tunnel metadata, IPsec history and cgroups of socket buffers on both targets.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "tests/kernel/parity.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

class TunnelParity : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("tunnel");
            ASSERT_TRUE(ready());
            give(packet_of(512));
        }
    }
    void give(const ByteVec& bytes) {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.given", bytes);
        }
    }
    void sweep(const char* program, const std::vector<uint64_t>& args) {
        std::string text = program;
        for (const uint64_t arg : args) {
            text += " " + std::to_string(arg);
        }
        SCOPED_TRACE(text);
        set_args(args);
        run_both(program, packet_of(64));
    }
};

TEST_F(TunnelParity, Keys) {
    if (IsSkipped()) {
        return;
    }
    constexpr uint64_t kSizes[] = {1, 4, 8, 12, 20, 22, 23, 24, 27, 28, 40, 43, 44, 45, 60};
    for (const uint32_t label : {0u, 0xfffffu, 0xfff12345u}) {
        for (const uint16_t ext : std::initializer_list<uint16_t>{0, 1}) {
            ByteVec key = packet_of(512);
            store<uint16_t>(key.data() + 22, ext);
            store<uint32_t>(key.data() + 24, label);
            give(key);
            for (const uint64_t set_flags : {0, 1, 2, 4, 8, 16, 32, 30, 31, 64}) {
                for (const uint64_t get_flags : {0, 1, 16, 17, 2, 32}) {
                    for (const uint64_t size : kSizes) {
                        sweep("keys", {size, set_flags, 44, get_flags});
                        sweep("keys", {44, set_flags, size, get_flags});
                    }
                }
            }
        }
    }
}

TEST_F(TunnelParity, Options) {
    if (IsSkipped()) {
        return;
    }
    ByteVec key = packet_of(512);
    store<uint16_t>(key.data() + 22, 0);
    store<uint32_t>(key.data() + 24, 0);
    give(key);
    for (const uint64_t set : {1, 3, 4, 8, 64, 252, 255, 256, 260, 508}) {
        for (const uint64_t get : {1, 3, 4, 7, 8, 64, 255, 256}) {
            for (const uint64_t again : {0, 1}) {
                sweep("options", {set, get, again});
            }
        }
    }
}

TEST_F(TunnelParity, Xfrm) {
    if (IsSkipped()) {
        return;
    }
    for (const uint64_t index : {0, 1, 7}) {
        for (const uint64_t size : {1, 28, 32}) {
            for (const uint64_t flags : {0, 1}) {
                sweep("xfrm", {index, size, flags});
            }
        }
    }
}

// -- Cgroups --

/// Ids of a cgroup and what is above it, from the root down, by the inodes of their directories.
std::vector<uint64_t> ancestors_of(const std::string& root, const std::string& path) {
    std::vector<uint64_t> ids;
    std::string at = root;
    std::istringstream parts(path);
    std::string part;
    struct stat status {};
    EXPECT_EQ(stat(at.c_str(), &status), 0);
    ids.push_back(status.st_ino);
    while (std::getline(parts, part, '/')) {
        if (!part.empty()) {
            at += "/" + part;
            EXPECT_EQ(stat(at.c_str(), &status), 0);
            ids.push_back(status.st_ino);
        }
    }
    return ids;
}

/// The unified hierarchy's path of this process, empty without one.
std::string own_cgroup() {
    std::ifstream file("/proc/self/cgroup");
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with("0::")) {
            return line.substr(3);
        }
    }
    return {};
}

class CgroupParity : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        const std::string path = own_cgroup();
        for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
            if (access((std::string(root) + "/cgroup.controllers").c_str(), F_OK) == 0) {
                root_ = root;
            }
        }
        if (IsSkipped() || path.empty() || root_.empty()) {
            GTEST_SKIP() << "no cgroup v2 hierarchy is mounted";
        }
        ids_ = ancestors_of(root_, path);
        std::string list;
        for (const uint64_t id : ids_) {
            list += (list.empty() ? "" : ", ") + std::to_string(id);
        }
        const auto world = vm::parse_world(R"({"cgroup": {"id": )" + std::to_string(ids_.back()) +
                                           R"(, "classid": 0, "ancestors": [)" + list + "]}}");
        ASSERT_TRUE(world) << world.error().message();
        vm::Options options;
        options.world = *world;
        open(compile_case("parity/cgroup.bpf.c"), options);
        ASSERT_TRUE(ready());
    }
    /// Puts the cgroup of a directory into both maps.
    void put(uint32_t index, const std::string& directory, uint64_t flags = 0) {
        struct stat status {};
        ASSERT_EQ(stat(directory.c_str(), &status), 0);
        const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ASSERT_TRUE(fd.valid());
        const auto update = [&](Instance& side, uint32_t value) {
            ByteVec bytes(4);
            store(bytes.data(), value);
            return side.find_map("groups")->update(key_of(index), bytes, flags);
        };
        const auto here = update(*vm_, static_cast<uint32_t>(status.st_ino));
        const auto there = update(*kernel_, static_cast<uint32_t>(fd.get()));
        EXPECT_EQ(here ? "" : here.error().code_name(), there ? "" : there.error().code_name());
    }
    static ByteVec key_of(uint32_t index) {
        ByteVec key(4);
        store(key.data(), index);
        return key;
    }

    std::string root_;
    std::vector<uint64_t> ids_;
};

TEST_F(CgroupParity, Ids) {
    if (IsSkipped()) {
        return;
    }
    for (const char* program : {"ids", "ids_cgroup"}) {
        for (const uint64_t level : {0ull, 1ull, 2ull, 9ull, 0xffffffffull, 0x80000000ull}) {
            set_args({level});
            run_both_apart_from_maps(program, packet_of(64));
            EXPECT_EQ(value_of(*vm_, ".bss"), value_of(*kernel_, ".bss")) << program << " " << level;
            EXPECT_EQ(result(0), ids_.back());
        }
    }
}

TEST_F(CgroupParity, Under) {
    if (IsSkipped()) {
        return;
    }
    const std::string other = root_ + "/mimicsh_test_" + std::to_string(getpid());
    ASSERT_EQ(mkdir(other.c_str(), 0755), 0);
    put(0, root_);
    put(1, root_ + own_cgroup());
    put(2, other);
    for (const uint64_t index : {0, 1, 2, 3, 4, -1}) {
        set_args({index});
        run_both_apart_from_maps("under", packet_of(64));
        EXPECT_EQ(value_of(*vm_, ".bss"), value_of(*kernel_, ".bss")) << index;
    }
    EXPECT_EQ(rmdir(other.c_str()), 0);
}

TEST_F(CgroupParity, Array) {
    if (IsSkipped()) {
        return;
    }
    put(0, root_);
    put(0, root_, 1);
    put(0, root_, 2);
    put(4, root_);
    for (const uint32_t index : {0u, 0u, 3u, 4u}) {
        const auto here = vm_->find_map("groups")->erase(key_of(index));
        const auto there = kernel_->find_map("groups")->erase(key_of(index));
        EXPECT_EQ(here ? "" : here.error().code_name(), there ? "" : there.error().code_name()) << index;
        ByteVec value(4);
        const auto on_vm = vm_->find_map("groups")->lookup(key_of(index), value);
        const auto on_kernel = kernel_->find_map("groups")->lookup(key_of(index), value);
        EXPECT_FALSE(on_vm);
        EXPECT_FALSE(on_kernel);
        EXPECT_EQ(on_vm.error().code_name(), on_kernel.error().code_name());
    }
}

} // namespace

} // namespace mimicsh::test
