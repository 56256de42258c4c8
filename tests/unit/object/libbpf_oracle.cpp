// SPDX-License-Identifier: MIT
// libbpf as a second opinion.
#include "libbpf_oracle.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>
}

namespace mimicsh::test {

namespace {

std::string* g_log = nullptr;

int keep_log(libbpf_print_level, const char* format, va_list args) {
    char buffer[4096];
    const int n = vsnprintf(buffer, sizeof buffer, format, args);
    if (g_log != nullptr && n > 0) {
        g_log->append(buffer);
    }
    return n;
}

} // namespace

std::string cannot_load() {
    const Insn program[] = {{op::kAlu64 | op::kMov | op::kK, 0, 0, 0, 0}, {op::kJmp | op::kExit, 0, 0, 0, 0}};
    const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "probe", "GPL",
                                 reinterpret_cast<const bpf_insn*>(program), 2, nullptr);
    if (fd < 0) {
        return std::string("cannot load BPF programs here: ") + strerror(-fd);
    }
    close(fd);
    return {};
}

std::string kernel_refuses_btf(ByteView btf) {
    std::string log(65536, '\0');
    LIBBPF_OPTS(bpf_btf_load_opts, options);
    options.log_buf = log.data();
    options.log_size = static_cast<__u32>(log.size());
    options.log_level = 1;
    const int fd = bpf_btf_load(btf.data(), btf.size(), &options);
    if (fd < 0) {
        return std::string(strerror(-fd)) + "\n" + log.c_str();
    }
    close(fd);
    return {};
}

LibbpfObject load_with_libbpf(ByteView bytes) {
    LibbpfObject out;
    g_log = &out.log;
    libbpf_set_print(keep_log);
    bpf_object* object = bpf_object__open_mem(bytes.data(), bytes.size(), nullptr);
    if (object == nullptr) {
        out.error = "open: " + std::string(strerror(errno)) + "\n" + out.log;
        g_log = nullptr;
        return out;
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        // Data sections are called "<object>.bss" by libbpf; ours have the name of the section.
        const std::string full = bpf_map__name(map);
        const size_t dot = full.find('.');
        const std::string name =
            bpf_map__is_internal(map) && dot != std::string::npos ? full.substr(dot) : full;
        out.map_order.emplace_back(name);
        out.maps[name] = {bpf_map__type(map),        bpf_map__key_size(map),  bpf_map__value_size(map),
                          bpf_map__max_entries(map), bpf_map__map_flags(map), bpf_map__map_extra(map)};
        // An arena has to be at an address before programs are loaded; libbpf before 1.5 maps it nowhere.
        constexpr uint32_t kArena = 33;
        constexpr uint64_t kAddress = uint64_t{1} << 44;
        if (bpf_map__type(map) == kArena && bpf_map__map_extra(map) == 0) {
            bpf_map__set_map_extra(map, kAddress);
        }
    }
    if (const int error = bpf_object__load(object); error != 0) {
        out.error = "load: " + std::string(strerror(-error)) + "\n" + out.log;
    } else {
        bpf_program* program = nullptr;
        bpf_object__for_each_program(program, object) {
            const bpf_insn* insns = bpf_program__insns(program);
            const size_t count = bpf_program__insn_cnt(program);
            auto& copy = out.programs[bpf_program__name(program)];
            copy.resize(count);
            memcpy(static_cast<void*>(copy.data()), insns, count * sizeof(Insn));
        }
    }
    bpf_object__close(object);
    g_log = nullptr;
    return out;
}

} // namespace mimicsh::test
