// SPDX-License-Identifier: MIT
// The kernel target beside the bare system calls: walking a large map, attaching, ring-buffer events into
// Lua, and packets sent. Needs root; works in a network namespace of its own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

extern "C" {
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
}

#include "kernel/devices.h"
#include "kernel/link.h"
#include "kernel/map.h"
#include "kernel/program.h"
#include "kernel/target.h"
#include "object/asm.h"
#include "tests/bench/measure.h"
#include "tests/paths.h"

using namespace mimicsh;
using bench::Spread;
using bench::spread;

namespace {

constexpr uint32_t kEntries = 1'000'000;
constexpr size_t kFill = 4096; // entries in a call
constexpr int kRuns = 21;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void give_up(const Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    std::exit(1);
}

template <typename T>
T must(Expected<T> value) {
    if (!value) {
        give_up(value.error());
    }
    return std::move(value).value();
}

void must(const Status& status) {
    if (!status) {
        give_up(status.error());
    }
}

/// A hash of a million entries: our batches to write and to walk, and a key after another.
void bench_walk() {
    MapDef def;
    def.name = "flows";
    def.type = abi::MapType::Hash;
    def.key_size = 4;
    def.value_size = 8;
    def.max_entries = kEntries;
    auto map = must(kernel::KernelMap::create(def, -1));
    ByteVec keys(size_t{kEntries} * 4);
    ByteVec values(size_t{kEntries} * 8);
    for (uint32_t key = 0; key < kEntries; ++key) {
        store(keys.data() + size_t{key} * 4, key);
        store(values.data() + size_t{key} * 8, uint64_t{key});
    }
    std::vector<double> fill_ratios;
    std::vector<double> filled;
    for (int run = 0; run < 5; ++run) { // the first one makes the entries, the others change them
        double begin = now();
        for (size_t at = 0; at < kEntries; at += kFill) {
            const size_t count = std::min<size_t>(kFill, kEntries - at);
            must(map->update_batch(ByteView(keys).subspan(at * 4, count * 4),
                                   ByteView(values).subspan(at * 8, count * 8)));
        }
        const double with_batch = now() - begin;
        begin = now();
        for (size_t at = 0; at < kEntries; ++at) {
            (void)bpf_map_update_elem(map->fd(), keys.data() + at * 4, values.data() + at * 8, BPF_ANY);
        }
        fill_ratios.push_back((now() - begin) / with_batch);
        filled.push_back(with_batch * 1e9 / kEntries);
    }
    const Spread fills = spread(fill_ratios);
    std::printf("fill of %u entries: batch %.0f ns an entry, key by key %.1fx (%.1f-%.1f) as long\n",
                kEntries, spread(filled).median, fills.median, fills.low, fills.high);
    std::vector<double> ratios;
    std::vector<double> batched;
    for (int run = 0; run < 5; ++run) {
        double begin = now();
        MapCursor cursor;
        size_t seen = 0;
        while (!cursor.done) {
            keys.clear();
            values.clear();
            seen += must(map->next_batch(cursor, keys, values, 4096));
        }
        const double with_batch = now() - begin;
        begin = now();
        uint32_t key = 0;
        uint64_t value = 0;
        size_t walked = 0;
        for (const uint32_t* last = nullptr; bpf_map_get_next_key(map->fd(), last, &key) == 0; last = &key) {
            (void)bpf_map_lookup_elem(map->fd(), &key, &value);
            ++walked;
        }
        const double by_key = now() - begin;
        if (seen != kEntries || walked != kEntries) {
            std::fprintf(stderr, "%zu and %zu entries of %u\n", seen, walked, kEntries);
            std::exit(1);
        }
        ratios.push_back(by_key / with_batch);
        batched.push_back(with_batch * 1e9 / kEntries);
    }
    const Spread s = spread(ratios);
    std::printf("walk of %u entries: batch %.0f ns an entry, key by key %.1fx (%.1f-%.1f) as long (bar 4)\n",
                kEntries, spread(batched).median, s.median, s.low, s.high);
}

std::unique_ptr<Instance> load(const char* text) {
    AsmOptions options;
    options.name = "bench";
    options.license = "GPL";
    auto object = std::make_shared<const Object>(must(assemble(text, options)));
    return must(kernel::make_target()->load(std::move(object), {}));
}

/// Our attach and detach, and a bare link made and closed, on a veth.
void bench_attach() {
    auto a = must(kernel::NetNs::create());
    const kernel::NetNsScope inside(a);
    must(inside.status());
    must(kernel::create_veth({a, "a", ""}, {a, "b", ""}, 0));
    must(kernel::set_up("a", true));
    const auto instance = load("pass:\n r0 = 2\n exit\n");
    Program& program = *instance->programs().front();
    const int fd = static_cast<kernel::KernelProgram&>(program).fd();
    const int index = static_cast<int>(if_nametoindex("a"));
    std::vector<double> ratios;
    std::vector<double> ours;
    for (int run = 0; run < kRuns; ++run) {
        double begin = now();
        for (int i = 0; i < 20; ++i) {
            auto link = must(kernel::attach_xdp(program, "a", {kernel::XdpMode::Native}));
            must(link->detach());
        }
        const double with_us = (now() - begin) / 20;
        begin = now();
        for (int i = 0; i < 20; ++i) {
            LIBBPF_OPTS(bpf_link_create_opts, opts);
            opts.flags = XDP_FLAGS_DRV_MODE;
            const Fd link(bpf_link_create(fd, index, BPF_XDP, &opts));
            if (!link.valid()) {
                give_up(errno_error(errno, "bench", "bare link"));
            }
        }
        ratios.push_back(with_us / ((now() - begin) / 20));
        ours.push_back(with_us * 1e6);
    }
    const Spread s = spread(ratios);
    std::printf("attach and detach: %.0f us, %.2fx (%.2f-%.2f) of a bare link (bar 1.3)\n",
                spread(ours).median, s.median, s.low, s.high);
}

} // namespace

int main() {
    bench_walk();
    bench_attach();
    std::fflush(stdout);
    const auto run = [](const char* script) {
        return std::system((test::in_build("mimicsh ") + test::in_tree(script)).c_str());
    };
    const int events = run("tests/bench/ring_events.lua");
    const int packets = run("tests/bench/traffic.lua");
    return events != 0 || packets != 0 ? 1 : 0;
}
