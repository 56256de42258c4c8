// SPDX-License-Identifier: MIT
// Threads, and how packets are spread over them.
#include "vm/workers.h"

#include <algorithm>
#include <cerrno>

#include "vm/interp.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

/// Hash of the bytes that name a flow: addresses and ports of IPv4 and IPv6, else the Ethernet addresses.
uint32_t flow_of(ByteView packet) {
    constexpr uint32_t kIp4 = 0x0800, kIp6 = 0x86dd;
    constexpr size_t kEther = 14;
    uint32_t hash = 2166136261;
    const auto mix = [&](size_t from, size_t size) {
        for (size_t i = from; i < std::min(from + size, packet.size()); ++i) {
            hash = (hash ^ packet[i]) * 16777619;
        }
    };
    const uint32_t type = packet.size() > kEther ? load_be<uint16_t>(packet.data() + 12) : 0;
    if (type == kIp4 && packet.size() >= kEther + 20) {
        const size_t header = 4 * size_t{packet[kEther] & 0xfu};
        mix(kEther + 12, 8);
        const bool is_fragment = (load_be<uint16_t>(packet.data() + kEther + 6) & 0x3fff) != 0;
        mix(kEther + header, is_fragment ? 0 : 4);
    } else if (type == kIp6 && packet.size() >= kEther + 40) {
        mix(kEther + 8, 32);
        mix(kEther + 40, 4);
    } else {
        mix(0, 12);
    }
    return hash ^ hash >> 16;
}

/// Why emulated CPUs cannot share the map; empty when they can.
std::string_view why_unshared(const VmMap& map) {
    using abi::MapType;
    if (map.is_backed()) {
        return "it is the kernel's";
    }
    switch (map.type()) {
    case MapType::CgroupStorage:
    case MapType::PercpuCgroupStorage:
    case MapType::SkStorage:
        return "each run has storage of its own";
    case MapType::UserRingbuf:
        return "it has one reader";
    default:
        break;
    }
    const auto is_lock = [](const HiddenField& field) {
        return field.kind == HiddenField::Kind::SpinLock || field.kind == HiddenField::Kind::ResSpinLock;
    };
    return std::ranges::all_of(map.hidden(), is_lock) ? std::string_view{}
                                                      : "its values hold timers or objects";
}

} // namespace

Status check_shared_maps(const Machine& machine, const char* op, const char* hint) {
    for (const auto& map : machine.maps()) {
        if (const std::string_view why = why_unshared(*map); !why.empty()) {
            return Error{ENOTSUP,
                         op,
                         "map " + map->info().name + " cannot be shared between CPUs: " + std::string(why),
                         hint,
                         {}};
        }
    }
    return {};
}

Expected<std::unique_ptr<Workers>> Workers::create(LoadedProgram& program, Machine& main, uint32_t count) {
    if (count > main.options.cpus) {
        return Error{EINVAL,
                     "replay",
                     std::to_string(count) + " workers, the vm has " + std::to_string(main.options.cpus) +
                         " CPUs",
                     "give cpus= at load",
                     {}};
    }
    if (!main.options.helpers.empty()) {
        return Error{ENOTSUP,
                     "replay",
                     "helpers of one's own are called on one thread, and workers have several",
                     "replay without workers",
                     {}};
    }
    if (auto ok = check_shared_maps(main, "replay", "replay without workers"); !ok) {
        return ok.error();
    }
    std::unique_ptr<Workers> workers(new Workers(program));
    for (uint32_t i = 0; i < count; ++i) {
        auto cpu = std::make_unique<Cpu>();
        cpu->machine = std::make_unique<Machine>(main.options, main.options.cpus, main.frame_limit);
        cpu->machine->share_maps(main);
        cpu->machine->make_room_for(program.type());
        cpu->machine->cpu = i;
        cpu->machine->group = &workers->group_;
        cpu->machine->concurrent = true;
        cpu->machine->execute = execute;
        workers->cpus_.push_back(std::move(cpu));
    }
    if (auto code = program.shared_code(*workers->cpus_.front()->machine); !code) {
        return code.error();
    }
    for (auto& cpu : workers->cpus_) {
        cpu->thread = std::thread([&pool = *workers, &cpu = *cpu] { pool.work(cpu); });
    }
    return workers;
}

Workers::~Workers() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    changed_.notify_all();
    for (auto& cpu : cpus_) {
        if (cpu->thread.joinable()) {
            cpu->thread.join();
        }
    }
}

void Workers::work(Cpu& cpu) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return ends_ || batch_ != seen; });
        if (ends_) {
            return;
        }
        seen = batch_;
        lock.unlock();
        program_.run_shared(*cpu.machine, items_, cpu.items, *options_, cpu.output, cpu.done);
        lock.lock();
        if (--busy_ == 0) {
            changed_.notify_all();
        }
    }
}

size_t Workers::run(std::span<BatchItem> items, const BatchOptions& options) {
    for (auto& cpu : cpus_) {
        cpu->items.clear();
        cpu->output = {};
        cpu->done = 0;
    }
    for (uint32_t i = 0; i < items.size(); ++i) {
        cpus_[flow_of(items[i].in) % cpus_.size()]->items.push_back(i);
    }
    {
        std::unique_lock lock(mutex_);
        items_ = items;
        options_ = &options;
        busy_ = count();
        ++batch_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return busy_ == 0; });
    }
    size_t done = items.size();
    const BatchOutput* first = nullptr;
    for (auto& cpu : cpus_) {
        if (cpu->done < cpu->items.size()) {
            done = std::min<size_t>(done, cpu->items[cpu->done]);
        }
        for (const auto& [item, begin, size] : cpu->output.places) {
            items[item].out = ByteView(cpu->output.packets).subspan(begin, size);
        }
        if (cpu->output.fault && (first == nullptr || cpu->output.fault_item < first->fault_item)) {
            first = &cpu->output;
        }
        if (options.warnings != nullptr) {
            add_warnings(*options.warnings, cpu->output.warnings);
        }
    }
    if (first != nullptr && options.first_fault != nullptr && !*options.first_fault) {
        *options.first_fault = first->fault;
    }
    return done;
}

} // namespace mimicsh::vm
