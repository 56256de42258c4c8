// SPDX-License-Identifier: MIT
// The kernel's side on bpf(2): programs come and go, maps stay and are put back to where a case begins.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "base/cpus.h"
#include "kernel/errors.h"
#include "kernel/verifier_log.h"
#include "object/btf_edit.h"
#include "tests/difffuzz/generate.h"
#include "tests/difffuzz/sides.h"

namespace mimicsh::difffuzz {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLogSize = size_t{1} << 16; ///< since Linux 6.4 a log that does not fit keeps its end
constexpr size_t kGrowth = 3 * kPage;

uint8_t* map_live(int fd) {
    void* at = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
}

/// Types for function records, which the kernel wants where a program has callbacks: FUNC ids by function
/// index. All are static and return int; the verifier looks at no more of static functions.
ByteVec function_types(std::array<uint32_t, 9>& ids) {
    BtfEditor editor;
    const uint32_t number = editor.find_or_add_int();
    const uint32_t proto = editor.add_type({0, btf_raw::make_info(BtfKind::FuncProto, 0), number});
    for (size_t i = 0; i < ids.size(); ++i) {
        const uint32_t text = editor.add_string("f" + std::to_string(i));
        ids[i] = editor.add_type({text, btf_raw::make_info(BtfKind::Func, 0), proto});
    }
    return editor.finish();
}

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

Status KernelSide::set_up() {
    cpus_ = possible_cpus();
    log_.resize(kLogSize);
    for (size_t i = 0; i < kMapCount; ++i) {
        const MapDef& def = pool_map(static_cast<MapId>(i));
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = def.flags);
        fds_[i] = Fd(bpf_map_create(static_cast<bpf_map_type>(def.type), def.name.c_str(), def.key_size,
                                    def.value_size, def.max_entries, &opts));
        if (!fds_[i].valid()) {
            return kernel::bpf_error(errno, "create map", def.name);
        }
    }
    out_ = map_live(fd(MapId::Out));
    array_ = map_live(fd(MapId::Array));
    ring_ = ring_buffer__new(
        fd(MapId::Ring),
        [](void* self, void* data, size_t size) {
            ByteVec& into = *static_cast<KernelSide*>(self)->records_;
            const auto* bytes = static_cast<const uint8_t*>(data);
            into.push_back(static_cast<uint8_t>(size));
            into.insert(into.end(), bytes, bytes + size);
            return 0;
        },
        this, nullptr);
    if (out_ == nullptr || array_ == nullptr || ring_ == nullptr) {
        return kernel::bpf_error(errno, "map memory", "pool of maps");
    }
    const ByteVec types = function_types(function_ids_);
    btf_ = Fd(bpf_btf_load(types.data(), types.size(), nullptr));
    if (!btf_.valid()) {
        return kernel::bpf_error(errno, "load btf", "function types");
    }
    return {};
}

KernelSide::~KernelSide() {
    ring_buffer__free(ring_);
    for (uint8_t* live : {out_, array_}) {
        if (live != nullptr) {
            (void)munmap(live, kPage);
        }
    }
}

Fd KernelSide::load(const LinkedProgram& linked, const std::vector<MapId>& maps, std::string& refusal) {
    std::vector<Insn> insns = linked.insns;
    bool has_callbacks = false;
    for (const LinkedRef& ref : linked.refs) {
        insns[ref.insn].imm = fd(maps[ref.target]);
        insns[ref.insn + 1].imm = ref.kind == RelocKind::Map ? 0 : static_cast<int32_t>(ref.offset);
    }
    for (size_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
        has_callbacks |= insns[slot].code == op::kLddw && insns[slot].src == op::kFunc;
    }
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    std::array<bpf_func_info, 9> functions{};
    if (has_callbacks) {
        for (size_t i = 0; i < linked.functions.size(); ++i) {
            functions[i] = {linked.functions[i].insn, function_ids_[i]};
        }
        opts.prog_btf_fd = static_cast<uint32_t>(btf_.get());
        opts.func_info = functions.data();
        opts.func_info_cnt = static_cast<uint32_t>(linked.functions.size());
        opts.func_info_rec_size = sizeof(bpf_func_info);
    }
    const auto try_load = [&] {
        return bpf_prog_load(BPF_PROG_TYPE_XDP, "difffuzz", "GPL",
                             reinterpret_cast<const bpf_insn*>(insns.data()), insns.size(), &opts);
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

bool KernelSide::shows_no_pointer(const Case& which, const LinkedProgram& linked) {
    const WithoutPerfmon modest;
    std::string refusal;
    return load(linked, which.maps, refusal).valid();
}

void KernelSide::run(const Case& which, const LinkedProgram& linked, Outcome& outcome) {
    outcome.refusal.clear();
    if (std::ranges::count(which.maps, MapId::Jumps) != 0 && !tail_.valid()) {
        // The function behind tail calls is the same in every object.
        auto tail = link(which.object, static_cast<uint32_t>(which.object->functions.size() - 1), {});
        tail_ = tail ? load(*tail, which.maps, outcome.refusal) : Fd();
        const uint32_t key = 0;
        const int program = tail_.get();
        if (bpf_map_update_elem(fd(MapId::Jumps), &key, &program, 0) != 0) {
            outcome.refusal = "no program behind tail calls";
            return;
        }
    }
    uint64_t begin = now_ns();
    Fd program = load(linked, which.maps, outcome.refusal);
    uint64_t end = now_ns();
    spent.load += end - begin;
    if (!program.valid()) {
        return;
    }
    put_presets(which.maps);
    const ByteVec& contents = which.object->maps.front().contents;
    std::memcpy(out_, contents.data(), contents.size());
    begin = now_ns();
    spent.maps += begin - end;
    outcome.packets.resize(which.inputs.size());
    for (size_t i = 0; i < which.inputs.size(); ++i) {
        const Input& input = which.inputs[i];
        PacketOutcome& packet = outcome.packets[i];
        abi::XdpMd in;
        abi::XdpMd out;
        in.data = input.meta;
        in.data_end = static_cast<uint32_t>(input.packet.size());
        buffer_.resize(std::max(buffer_.size(), input.packet.size() + kGrowth));
        LIBBPF_OPTS(bpf_test_run_opts, opts);
        opts.data_in = input.packet.data();
        opts.data_size_in = in.data_end;
        opts.data_out = buffer_.data();
        opts.data_size_out = static_cast<uint32_t>(buffer_.size());
        opts.ctx_in = &in;
        opts.ctx_size_in = sizeof in;
        opts.ctx_out = &out;
        opts.ctx_size_out = sizeof out;
        packet.fault.clear();
        if (bpf_prog_test_run_opts(program.get(), &opts) != 0) {
            packet.fault = "test run: " + std::string(std::strerror(errno));
            continue;
        }
        packet.ret = opts.retval;
        packet.meta = out.data;
        packet.linear = out.data_end;
        packet.packet.assign(buffer_.data() + out.data, buffer_.data() + opts.data_size_out);
        packet.out.assign(out_, out_ + kOutSize);
    }
    end = now_ns();
    spent.run += end - begin;
    read_and_reset(which.maps, outcome);
    begin = now_ns();
    spent.maps += begin - end;
    program.reset();
    spent.load += now_ns() - begin;
}

// -- Maps --

void KernelSide::put_presets(const std::vector<MapId>& maps) {
    for (const Preset& preset : presets()) {
        if (std::ranges::count(maps, preset.map) != 0) {
            (void)bpf_map_update_elem(fd(preset.map), preset.key.data(), preset.value.data(), BPF_ANY);
        }
    }
}

/// Reads all entries of a hash and deletes them, in one call.
void KernelSide::drain_hash(MapId id, ByteVec& into) {
    const MapDef& def = pool_map(id);
    const size_t value_size =
        abi::is_percpu(def.type) ? round_up(def.value_size, 8u) * cpus_ : def.value_size;
    ByteVec keys(size_t{def.max_entries} * def.key_size);
    ByteVec values(size_t{def.max_entries} * value_size);
    uint32_t count = def.max_entries;
    uint64_t position = 0;
    (void)bpf_map_lookup_and_delete_batch(fd(id), nullptr, &position, keys.data(), values.data(), &count,
                                          nullptr);
    for (size_t i = 0; i < count; ++i) {
        const uint8_t* key = keys.data() + i * def.key_size;
        const uint8_t* value = values.data() + i * value_size;
        into.insert(into.end(), key, key + def.key_size);
        into.insert(into.end(), value, value + value_size);
    }
}

void KernelSide::read_and_reset(const std::vector<MapId>& maps, Outcome& outcome) {
    for (ByteVec& map : outcome.maps) {
        map.clear();
    }
    for (MapId id : maps) {
        ByteVec& into = outcome.maps[static_cast<size_t>(id)];
        const MapDef& def = pool_map(id);
        switch (id) {
        case MapId::Out:
        case MapId::Jumps:
            break; // compared packet by packet; never changes
        case MapId::Array:
            into.assign(array_, array_ + size_t{def.value_size} * def.max_entries);
            std::memset(array_, 0, into.size());
            break;
        case MapId::PercpuArray: {
            ByteVec value(size_t{round_up(def.value_size, 8u)} * cpus_);
            const ByteVec zero(value.size());
            for (uint32_t key = 0; key < def.max_entries; ++key) {
                (void)bpf_map_lookup_elem(fd(id), &key, value.data());
                into.insert(into.end(), value.begin(), value.end());
                (void)bpf_map_update_elem(fd(id), &key, zero.data(), BPF_ANY);
            }
            break;
        }
        case MapId::Ring:
            records_ = &into;
            (void)ring_buffer__consume(ring_);
            break;
        default:
            drain_hash(id, into);
            break;
        }
    }
}

} // namespace mimicsh::difffuzz
