// SPDX-License-Identifier: MIT
// Feature probes.
#include "kernel/features.h"

#include <array>
#include <cerrno>

#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "base/fd.h"
#include "kernel/errors.h"

namespace mimicsh::kernel {

namespace {

void silence_libbpf() {
    libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
}

/// r0 = 2; exit, as an XDP program.
Expected<Fd> load_trivial() {
    const std::array<bpf_insn, 2> insns{
        {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 2}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
    const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "probe", "GPL", insns.data(), insns.size(), nullptr);
    if (fd < 0) {
        return bpf_error(errno, "load", "XDP program");
    }
    return Fd(fd);
}

Status test_run(const Fd& program) {
    const std::array<uint8_t, 64> packet{};
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = packet.data();
    opts.data_size_in = packet.size();
    if (bpf_prog_test_run_opts(program.get(), &opts) != 0) {
        return bpf_error(errno, "run", "XDP program");
    }
    return opts.retval == 2 ? Status{} : Status{Error{EIO, "run", "XDP program: wrong return value", {}, {}}};
}

Feature feature(const char* name, const Status& status) {
    if (status) {
        return {name, true, ""};
    }
    const Error& error = status.error();
    return {name, false, error.message() + (error.hint.empty() ? "" : ": " + error.hint)};
}

Status make_map(bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries) {
    const Fd fd(bpf_map_create(type, "probe", key, value, entries, nullptr));
    return fd.valid() ? Status{} : Status{bpf_error(errno, "create map", libbpf_bpf_map_type_str(type))};
}

} // namespace

std::vector<Feature> probe_features() {
    silence_libbpf();
    std::vector<Feature> features;
    auto program = load_trivial();
    features.push_back(feature("xdp", program ? Status{} : Status{program.error()}));
    features.push_back(feature("test_run", program ? test_run(*program) : Status{program.error()}));
    features.push_back(feature("array", make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1)));
    features.push_back(feature("lru_hash", make_map(BPF_MAP_TYPE_LRU_HASH, 4, 8, 16)));
    features.push_back(feature("ringbuf", make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)));
    const bool btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    features.push_back({"btf", btf, btf ? "" : "/sys/kernel/btf/vmlinux is not there"});
    return features;
}

Status usable() {
    silence_libbpf();
    auto program = load_trivial();
    return program ? test_run(*program) : Status{program.error()};
}

} // namespace mimicsh::kernel
