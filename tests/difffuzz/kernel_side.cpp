// SPDX-License-Identifier: MIT
// The kernel's side on bpf(2): programs come and go, maps stay (kernel_maps.cpp).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
}

#include "base/cpus.h"
#include "kernel/errors.h"
#include "kernel/verifier_log.h"
#include "tests/difffuzz/generate.h"
#include "tests/difffuzz/sides.h"

namespace mimicsh::difffuzz {

namespace {

constexpr size_t kLogSize = size_t{1} << 16; ///< since Linux 6.4 a log that does not fit keeps its end
constexpr size_t kLongest = size_t{4} << 20; ///< longer than a program can make a packet

/// Takes from this thread, while it lives, what lets programs show kernel addresses.
class WithoutPerfmon {
  public:
    WithoutPerfmon() {
        ok_ = syscall(SYS_capget, &header_, data_.data()) == 0;
        auto fewer = data_;
        fewer[CAP_PERFMON / 32].effective &= ~(1u << CAP_PERFMON % 32);
        fewer[CAP_SYS_ADMIN / 32].effective &= ~(1u << CAP_SYS_ADMIN % 32);
        ok_ = ok_ && syscall(SYS_capset, &header_, fewer.data()) == 0;
    }
    ~WithoutPerfmon() {
        if (ok_) {
            (void)syscall(SYS_capset, &header_, data_.data());
        }
    }
    WithoutPerfmon(const WithoutPerfmon&) = delete;
    WithoutPerfmon& operator=(const WithoutPerfmon&) = delete;

  private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data_{};
    bool ok_ = false;
};

} // namespace

Expected<std::unique_ptr<KernelSide>> KernelSide::open() {
    libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
    std::unique_ptr<KernelSide> side(new KernelSide);
    if (auto ok = side->set_up(); !ok) {
        return ok.error();
    }
    return side;
}

/// Ids of the kernel's functions. Kernels without types have none that programs could call.
void KernelSide::read_kfuncs() {
    const std::unique_ptr<btf, decltype(&btf__free)> types(btf__load_vmlinux_btf(), btf__free);
    const uint32_t count = types ? btf__type_cnt(types.get()) : 0;
    for (uint32_t id = 1; id < count; ++id) {
        const btf_type* type = btf__type_by_id(types.get(), id);
        if (btf_is_func(type)) {
            const std::string_view name = btf__name_by_offset(types.get(), type->name_off);
            if (name.starts_with("bpf_")) {
                kfuncs_.emplace(name, static_cast<int32_t>(id));
            }
        }
    }
}

Status KernelSide::set_up() {
    cpus_ = possible_cpus();
    log_.resize(kLogSize);
    buffer_ = std::make_unique_for_overwrite<uint8_t[]>(kLongest);
    read_kfuncs();
    const ByteView types = pool_types().btf->raw();
    btf_ = Fd(bpf_btf_load(types.data(), types.size(), nullptr));
    if (!btf_.valid()) {
        return kernel::bpf_error(errno, "load btf", "pool of types");
    }
    return set_up_maps();
}

/// Puts descriptors and ids into the instructions.
void KernelSide::resolve(const LinkedProgram& linked, const std::vector<MapId>& maps) {
    insns_ = linked.insns;
    for (const LinkedRef& ref : linked.refs) {
        if (ref.kind == RelocKind::Extern) {
            const std::string& name = linked.object->externs[ref.target].name;
            const auto known = kfuncs_.find(name);
            insns_[ref.insn].imm = known == kfuncs_.end() ? 0 : known->second;
            continue;
        }
        const MapId id = maps[ref.target];
        insns_[ref.insn].imm = id == MapId::Jumps ? jumps_[on_skb_ ? 1 : 0].get() : fd(id);
        insns_[ref.insn + 1].imm = ref.kind == RelocKind::Map ? 0 : static_cast<int32_t>(ref.offset);
    }
}

Fd KernelSide::load(const LinkedProgram& linked, const std::vector<MapId>& maps, std::string& refusal) {
    resolve(linked, maps);
    bool has_callbacks = false;
    for (const Insn& insn : insns_) { // of a second slot the code is 0
        has_callbacks |= (insn.code == op::kLddw) & (insn.src == op::kFunc);
    }
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    std::vector<bpf_func_info> functions;
    if (has_callbacks) {
        for (size_t i = 0; i < linked.functions.size(); ++i) {
            functions.push_back({linked.functions[i].insn, pool_types().functions[i]});
        }
        opts.prog_btf_fd = static_cast<uint32_t>(btf_.get());
        opts.func_info = functions.data();
        opts.func_info_cnt = static_cast<uint32_t>(linked.functions.size());
        opts.func_info_rec_size = sizeof(bpf_func_info);
    }
    const auto try_load = [&] {
        return bpf_prog_load(static_cast<bpf_prog_type>(linked.spec.type), "difffuzz", "GPL",
                             reinterpret_cast<const bpf_insn*>(insns_.data()), insns_.size(), &opts);
    };
    if (watches_) {
        constexpr uint32_t kStatistics = 4; // BPF_LOG_STATS
        opts.log_buf = log_.data();
        opts.log_size = static_cast<uint32_t>(log_.size());
        opts.log_level = kStatistics;
    }
    Fd loaded(try_load());
    if (loaded.valid() && watches_) {
        const size_t at = log_.find("processed ");
        verified += at == std::string::npos ? 0 : std::strtoull(log_.c_str() + at + 10, nullptr, 10);
    }
    if (!loaded.valid()) {
        const int code = errno;
        if (code == E2BIG) { // a second walk up to the verifier's limits would take as long as the first
            refusal = "too much for the verifier to walk";
            return loaded;
        }
        log_[0] = '\0';
        opts.log_buf = log_.data();
        opts.log_size = static_cast<uint32_t>(log_.size());
        opts.log_level = 1;
        loaded.reset(try_load());
        refusal = kernel::verifier_refusal(linked, code, std::string(log_.c_str())).message();
        loaded.reset();
    }
    return loaded;
}

bool KernelSide::shows_no_pointer(const std::vector<MapId>& maps, const LinkedProgram& linked) {
    const WithoutPerfmon modest;
    std::string refusal;
    on_skb_ = linked.spec.type == abi::ProgType::SchedCls;
    return load(linked, maps, refusal).valid();
}

/// The function behind tail calls, the same in every object of a type.
bool KernelSide::put_tail(const Case& which, std::string& refusal) {
    Fd& tail = tails_[on_skb_ ? 1 : 0];
    if (tail.valid()) {
        return true;
    }
    auto linked = link(which.object, static_cast<uint32_t>(which.object->functions.size() - 1), {});
    tail = linked ? load(*linked, which.maps, refusal) : Fd();
    const uint32_t key = 0;
    const int program = tail.get();
    if (bpf_map_update_elem(jumps_[on_skb_ ? 1 : 0].get(), &key, &program, 0) != 0) {
        refusal = "no program behind tail calls";
        return false;
    }
    return true;
}

void KernelSide::run_packet(int program, const Input& input, PacketOutcome& packet) {
    abi::XdpMd in;
    abi::XdpMd out;
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = input.packet.data();
    opts.data_size_in = static_cast<uint32_t>(input.packet.size());
    opts.data_out = buffer_.get();
    opts.data_size_out = kLongest;
    if (on_skb_) {
        packet.context.resize(input.context.size());
        opts.ctx_in = input.context.data();
        opts.ctx_out = packet.context.data();
        opts.ctx_size_in = opts.ctx_size_out = static_cast<uint32_t>(input.context.size());
    } else {
        in.data = input.meta;
        in.data_end = opts.data_size_in;
        opts.ctx_in = &in;
        opts.ctx_out = &out;
        opts.ctx_size_in = opts.ctx_size_out = sizeof in;
    }
    packet.fault.clear();
    if (bpf_prog_test_run_opts(program, &opts) != 0) {
        packet.fault = "test run: " + std::string(std::strerror(errno));
        return;
    }
    packet.ret = opts.retval;
    packet.meta = on_skb_ ? 0 : out.data;
    packet.linear = on_skb_ ? 0 : out.data_end;
    packet.packet.assign(buffer_.get() + packet.meta, buffer_.get() + opts.data_size_out);
    const ByteSpan results = live(MapId::Out);
    packet.out.assign(results.begin(), results.begin() + kOutSize);
}

void KernelSide::run(const Case& which, const LinkedProgram& linked, Outcome& outcome,
                     const AlignedObject* aligned, const Outcome& given, Stopwatch& watch) {
    outcome.refusal.clear();
    on_skb_ = which.type == abi::ProgType::SchedCls;
    if (std::ranges::count(which.maps, MapId::Jumps) != 0 && !put_tail(which, outcome.refusal)) {
        return;
    }
    maps_ = which.maps;
    if (aligned != nullptr) {
        maps_.push_back(MapId::Inputs);
    }
    Fd program = load(linked, maps_, outcome.refusal);
    spent.load += watch.lap();
    if (!program.valid()) {
        return;
    }
    put_presets(which.maps);
    const ByteVec& contents = which.object->maps.front().contents;
    std::memcpy(live(MapId::Out).data(), contents.data(), contents.size());
    spent.maps += watch.lap();
    outcome.packets.resize(which.inputs.size());
    for (size_t i = 0; i < which.inputs.size(); ++i) {
        if (aligned != nullptr) {
            const Status put = put_inputs(*aligned, given.packets[i].inputs, live(MapId::Inputs));
            if (!put) {
                outcome.refusal = "aligned inputs: " + put.error().message();
            }
        }
        run_packet(program.get(), which.inputs[i], outcome.packets[i]);
    }
    spent.run += watch.lap();
    read_and_reset(which.maps, outcome);
    spent.maps += watch.lap();
    program.reset();
    spent.load += watch.lap();
}

} // namespace mimicsh::difffuzz
