// SPDX-License-Identifier: MIT
// Loading one linked program into the kernel.
#include "kernel/program.h"

#include <cerrno>
#include <cstring>
#include <memory>

extern "C" {
#include <bpf/bpf.h>
}

#include "kernel/errors.h"
#include "kernel/externs.h"
#include "kernel/verifier_log.h"

namespace mimicsh::kernel {

namespace {

constexpr size_t kLogSize = size_t{4} << 20;

/// Instructions with the descriptors of this instance's maps and the kernel's numbers of externs.
Expected<std::vector<Insn>> with_descriptors(const LinkedProgram& program,
                                             std::span<const std::unique_ptr<KernelMap>> maps,
                                             ModuleBtfs& modules) {
    std::vector<Insn> insns = program.insns;
    for (const LinkedRef& ref : program.refs) {
        if (ref.kind == RelocKind::Extern) {
            continue;
        }
        insns[ref.insn].imm = maps[ref.target]->fd();
        insns[ref.insn].src = ref.kind == RelocKind::Map ? op::kMapFd : op::kMapValue;
        insns[ref.insn + 1].imm = ref.kind == RelocKind::Map ? 0 : static_cast<int32_t>(ref.offset);
    }
    if (auto ok = resolve_externs(program, insns, modules); !ok) {
        return ok.error();
    }
    return insns;
}

std::vector<bpf_func_info> func_info(const LinkedProgram& program) {
    std::vector<bpf_func_info> records;
    for (const LinkedFunction& function : program.functions) {
        if (function.btf_id == 0) {
            return {}; // the kernel wants a type for every function or for none
        }
        records.push_back({function.insn, function.btf_id});
    }
    return records;
}

std::vector<bpf_line_info> line_info(const LinkedProgram& program) {
    std::vector<bpf_line_info> records;
    for (const LineInfo& line : program.lines) {
        records.push_back({line.insn, line.file_off, line.text_off, line.line << 10 | (line.column & 0x3ff)});
    }
    return records;
}

} // namespace

Expected<std::unique_ptr<KernelProgram>>
KernelProgram::load(LinkedProgram linked, std::span<const std::unique_ptr<KernelMap>> maps, int btf_fd) {
    if (linked.spec.type == abi::ProgType::Memory) {
        return Error{ENOTSUP, "load", linked.name + ": programs on plain memory run on the vm only", {}, {}};
    }
    ModuleBtfs modules;
    auto insns = with_descriptors(linked, maps, modules);
    if (!insns) {
        return insns.error();
    }
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    if (linked.spec.attach_type != abi::AttachType::None) {
        opts.expected_attach_type = static_cast<bpf_attach_type>(linked.spec.attach_type);
    }
    opts.prog_flags = linked.spec.flags;
    opts.kern_version = linked.object->kernel_version;
    const std::vector<int> fd_array = modules.fd_array();
    opts.fd_array = fd_array.empty() ? nullptr : fd_array.data();
    const std::vector<bpf_func_info> functions = func_info(linked);
    const std::vector<bpf_line_info> lines = line_info(linked);
    if (btf_fd >= 0 && !functions.empty()) {
        opts.prog_btf_fd = static_cast<uint32_t>(btf_fd);
        opts.func_info = functions.data();
        opts.func_info_cnt = static_cast<uint32_t>(functions.size());
        opts.func_info_rec_size = sizeof(bpf_func_info);
        if (!lines.empty()) {
            opts.line_info = lines.data();
            opts.line_info_cnt = static_cast<uint32_t>(lines.size());
            opts.line_info_rec_size = sizeof(bpf_line_info);
        }
    }
    const auto try_load = [&] {
        return bpf_prog_load(static_cast<bpf_prog_type>(linked.spec.type), kernel_name(linked.name).c_str(),
                             linked.object->license.c_str(), reinterpret_cast<const bpf_insn*>(insns->data()),
                             insns->size(), &opts);
    };
    int fd = try_load();
    if (fd < 0 && errno != EPERM) {
        // The kernel ends what it writes. Kept: who tries programs that are refused tries thousands of them.
        static thread_local const auto log = std::make_unique_for_overwrite<char[]>(kLogSize);
        log[0] = '\0';
        opts.log_buf = log.get();
        opts.log_size = static_cast<uint32_t>(kLogSize);
        opts.log_level = 1;
        fd = try_load();
        if (fd < 0) {
            const int code = errno;
            return verifier_refusal(linked, code, std::string(log.get(), strnlen(log.get(), kLogSize)));
        }
    }
    if (fd < 0) {
        return bpf_error(errno, "load", linked.name);
    }
    return std::unique_ptr<KernelProgram>(new KernelProgram(std::move(linked), Fd(fd)));
}

} // namespace mimicsh::kernel
