// SPDX-License-Identifier: MIT
// Scratch instances, aligned inputs, and the packet by packet comparison.
#include "kernel/compare.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sched.h>

#include "kernel/differences.h"
#include "kernel/map_copy.h"
#include "kernel/target.h"
#include "object/align.h"

namespace mimicsh::kernel {

namespace {

constexpr uint64_t kSmallMaps = 1024; ///< entries of all maps together that are compared behind each packet

/// Helpers whose answers come from the machine: on the vm from the scripted world.
constexpr std::array kAskTheMachine{16u, 17u, 20u, 22u,  24u,  27u,  29u,  33u,  35u, 46u,
                                    47u, 55u, 69u, 79u,  80u,  83u,  84u,  85u,  86u, 95u,
                                    96u, 98u, 99u, 119u, 120u, 122u, 123u, 128u, 163u};
/// Kernel functions of that kind, by how their names begin.
constexpr std::array<std::string_view, 5> kAskingFunctions{"bpf_xdp_ct_", "bpf_skb_ct_", "bpf_xdp_metadata_",
                                                           "bpf_skb_get_xfrm", "bpf_xdp_get_xfrm"};

/// The calling thread on one CPU, while this lives.
class Pinned {
  public:
    Pinned() {
        ok_ = sched_getaffinity(0, sizeof before_, &before_) == 0;
        while (ok_ && cpu_ < CPU_SETSIZE - 1 && !CPU_ISSET(cpu_, &before_)) {
            ++cpu_;
        }
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(cpu_, &only);
        ok_ = ok_ && sched_setaffinity(0, sizeof only, &only) == 0;
    }
    ~Pinned() {
        if (ok_) {
            (void)sched_setaffinity(0, sizeof before_, &before_);
        }
    }
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;
    [[nodiscard]] uint32_t cpu() const { return ok_ ? cpu_ : 0; }

  private:
    cpu_set_t before_{};
    uint32_t cpu_ = 0;
    bool ok_ = false;
};

/// The first call in a program that asks the machine, for people; empty when there is none.
std::string asking_call(const LinkedProgram& program) {
    for (uint32_t slot = 0; slot < program.insns.size(); slot += slot_count(program.insns[slot])) {
        const Insn& insn = program.insns[slot];
        if (insn.code != (op::kJmp | op::kCall)) {
            continue;
        }
        std::string name;
        if (insn.src == op::kCallHelper &&
            std::ranges::count(kAskTheMachine, static_cast<uint32_t>(insn.imm)) != 0) {
            name = "bpf_" + std::string(abi::helper_name(static_cast<uint32_t>(insn.imm)));
        } else if (insn.src == op::kCallKfunc) {
            const auto ref = std::ranges::find(program.refs, slot, &LinkedRef::insn);
            const std::string& called =
                ref != program.refs.end() ? program.object->externs[ref->target].name : name;
            const bool asks = std::ranges::any_of(
                kAskingFunctions, [&](std::string_view start) { return called.starts_with(start); });
            name = asks ? called : "";
        }
        if (!name.empty()) {
            const SourceLine line = source_line(program, slot);
            return "call of " + name + " at " +
                   (line.file.empty() ? "instruction " + std::to_string(slot)
                                      : line.file + ":" + std::to_string(line.line));
        }
    }
    return {};
}

uint64_t entries_at_most(const Object& object) {
    uint64_t sum = 0;
    for (const MapDef& def : object.maps) {
        sum += def.max_entries;
    }
    return sum;
}

class Comparer {
  public:
    Comparer(Instance& instance, const std::string& program, const CompareOptions& options)
        : instance_(instance), name_(program), options_(options) {}

    Status set_up() {
        auto load = with_contents(instance_, options_.load);
        if (!load) {
            return load.error();
        }
        auto aligned = align_inputs(instance_.object());
        if (!aligned) {
            return aligned.error();
        }
        aligned_ = std::move(*aligned);
        auto vm = options_.load_on_vm(instance_.object(), *load, pinned_.cpu());
        if (!vm) {
            return vm.error();
        }
        auto real = make_target()->load(aligned_.object, *load);
        if (!real) {
            return real.error();
        }
        vm_ = std::move(*vm);
        real_ = std::move(*real);
        for (Instance* scratch : {vm_.get(), real_.get()}) {
            if (auto copied = copy_maps(instance_, *scratch, {}); !copied) {
                return copied.error();
            }
        }
        vm_program_ = vm_->find_program(name_);
        real_program_ = real_->find_program(name_);
        if (vm_program_ == nullptr || real_program_ == nullptr) {
            return Error{ENOENT, "compare", "no program '" + name_ + "'", {}, {}};
        }
        asks_ = asking_call(vm_program_->linked());
        report_.aligned_sites = aligned_.sites.size();
        return {};
    }

    Expected<Comparison> run(const std::vector<ByteView>& packets) {
        const bool map_by_map = entries_at_most(*instance_.object()) <= kSmallMaps;
        for (size_t i = 0; i < packets.size() && !report_.interrupted; ++i) {
            report_.interrupted = options_.stop != nullptr && *options_.stop;
            if (auto ok = one(packets[i], i + 1, map_by_map || i + 1 == packets.size()); !ok) {
                return ok.error();
            }
        }
        return std::move(report_);
    }

  private:
    void not_comparable(const std::string& reason) {
        ++report_.not_comparable;
        ++report_.reasons[reason];
    }

    Status one(ByteView packet, uint64_t number, bool with_maps) {
        RunOptions options;
        options.record_inputs = true;
        options.stop = options_.stop;
        const auto here = vm_program_->run(packet, options);
        if (here && !aligned_.sites.empty()) {
            if (auto ok = give_inputs(aligned_, *real_->maps()[aligned_.map], here->inputs); !ok) {
                return ok;
            }
        }
        options.record_inputs = false;
        const auto there = real_program_->run(packet, options);
        if (!here || !there) {
            const Error& refused = here ? there.error() : here.error();
            if (refused.code == EINTR) {
                report_.interrupted = true;
                return {};
            }
            not_comparable((here ? "the kernel cannot run it: " : "the vm cannot run it: ") +
                           refused.message());
            return {};
        }
        if (here->fault && here->fault->kind == FaultKind::MissingValue) {
            not_comparable(here->fault->cause);
            return {};
        }
        std::string text = run_differences(*here, *there);
        if (with_maps && text.empty()) {
            text = map_differences(*vm_, *real_);
        }
        if (text.empty()) {
            ++report_.equal;
        } else if (!asks_.empty()) {
            not_comparable(asks_);
        } else {
            ++report_.different;
            if (!report_.first) {
                report_.first = Difference{
                    number, ByteVec(packet.begin(), packet.end()),
                    here->fault ? "fault" : std::string(verdict_name(vm_program_->type(), here->ret)),
                    std::string(verdict_name(real_program_->type(), there->ret)), std::move(text)};
            }
        }
        return {};
    }

    const Pinned pinned_;
    Instance& instance_;
    const std::string& name_;
    const CompareOptions& options_;
    AlignedObject aligned_;
    std::unique_ptr<Instance> vm_;
    std::unique_ptr<Instance> real_;
    Program* vm_program_ = nullptr;
    Program* real_program_ = nullptr;
    std::string asks_;
    Comparison report_;
};

} // namespace

Expected<Comparison> compare(Instance& instance, const std::string& program,
                             const std::vector<ByteView>& packets, const CompareOptions& options) {
    Comparer comparer(instance, program, options);
    if (auto ok = comparer.set_up(); !ok) {
        return ok.error();
    }
    return comparer.run(packets);
}

} // namespace mimicsh::kernel
