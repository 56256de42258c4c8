// SPDX-License-Identifier: MIT
// The emulator's side, and the comparison.
#include <algorithm>
#include <cstring>

#include "base/cpus.h"
#include "tests/difffuzz/sides.h"
#include "vm/target.h"

namespace mimicsh::difffuzz {

namespace {

void put_context(const Case& which, const Input& input, RunOptions& options) {
    if (which.type != abi::ProgType::Xdp) {
        options.context.assign(input.context.begin(), input.context.end());
        return;
    }
    abi::XdpMd md;
    md.data = input.meta;
    options.context.resize(sizeof md);
    std::memcpy(options.context.data(), &md, sizeof md);
}

/// Values alone are compared of arrays, in order; so are those of queues and records.
bool is_ordered(MapId id) {
    return reading_of(id) != Reading::Hash && reading_of(id) != Reading::Trie;
}

/// Entries of a hash in the order of their bytes: its own order says nothing.
std::vector<std::string> sorted_entries(MapId id, const ByteVec& bytes, size_t cpus) {
    const MapDef& def = pool_map(id);
    const size_t value = abi::is_percpu(def.type) ? round_up(def.value_size, 8u) * cpus : def.value_size;
    const size_t step = is_ordered(id) ? std::max<size_t>(bytes.size(), 1) : def.key_size + value;
    std::vector<std::string> entries;
    for (size_t at = 0; at < bytes.size(); at += step) {
        entries.push_back(to_hex(ByteView(bytes).subspan(at, std::min(step, bytes.size() - at))));
    }
    std::ranges::sort(entries);
    return entries;
}

std::string bytes_differ(const char* what, ByteView vm, ByteView kernel) {
    const size_t both = std::min(vm.size(), kernel.size());
    const auto at = static_cast<size_t>(
        std::mismatch(vm.begin(), vm.begin() + static_cast<ptrdiff_t>(both), kernel.begin()).first -
        vm.begin());
    std::string text = std::string(what) + " at byte " + std::to_string(at) + ": vm " +
                       to_hex(vm.subspan(at, std::min<size_t>(vm.size() - at, 16))) + ", kernel " +
                       to_hex(kernel.subspan(at, std::min<size_t>(kernel.size() - at, 16)));
    if (vm.size() != kernel.size()) {
        text += " (lengths " + std::to_string(vm.size()) + " and " + std::to_string(kernel.size()) + ")";
    }
    return text;
}

std::string packets_differ(const PacketOutcome& here, const PacketOutcome& there, abi::ProgType type) {
    if (here.fault.empty() != there.fault.empty()) {
        return here.fault.empty() ? "kernel: " + there.fault : "vm: " + here.fault;
    }
    if (!here.fault.empty()) {
        return {};
    }
    if (here.ret != there.ret) {
        return "return value: vm " + std::to_string(here.ret) + ", kernel " + std::to_string(there.ret);
    }
    if (here.out != there.out) {
        return bytes_differ("results", here.out, there.out);
    }
    if (here.meta != there.meta || here.linear != there.linear) {
        return "context: vm data " + std::to_string(here.meta) + " data_end " + std::to_string(here.linear) +
               ", kernel " + std::to_string(there.meta) + " and " + std::to_string(there.linear);
    }
    if (type != abi::ProgType::Xdp && here.context != there.context) {
        return bytes_differ("context", here.context, there.context);
    }
    if (here.packet != there.packet) {
        return bytes_differ("packet", here.packet, there.packet);
    }
    return {};
}

} // namespace

VmSide::VmSide(uint32_t cpu, vm::UserHelpers helpers) {
    vm::Options options;
    options.helpers = std::move(helpers);
    options.cpu = cpu;
    target_ = vm::make_target(options);
}

const LinkedProgram* VmSide::load(const Case& which, Outcome& outcome, Stopwatch& watch) {
    outcome.refusal.clear();
    instance_.reset();
    auto instance = target_->load(which.object, {});
    if (instance) {
        instance_ = std::move(*instance);
        program_ = instance_->programs().front();
    } else {
        outcome.refusal = instance.error().message();
    }
    spent.load += watch.lap();
    return instance_ ? &program_->linked() : nullptr;
}

void VmSide::run(const Case& which, Outcome& outcome, Stopwatch& watch) {
    const std::vector<Map*> maps = instance_->maps();
    for (size_t i = 0; i < maps.size(); ++i) {
        for (const Preset& preset : presets(which.maps[i])) {
            const MapInfo& info = maps[i]->info();
            const Status ok = maps[i]->update(ByteView(preset.key).first(info.key_size),
                                              ByteView(preset.value).first(info.value_size), 0);
            (void)ok.has_value();
        }
    }
    spent.maps += watch.lap();
    const ByteSpan out = maps.front()->live_bytes();
    RunOptions options;
    options.record_inputs = which.has(Feature::NaturalInput);
    outcome.packets.resize(which.inputs.size());
    for (size_t i = 0; i < which.inputs.size(); ++i) {
        PacketOutcome& packet = outcome.packets[i];
        put_context(which, which.inputs[i], options);
        auto result = program_->run(which.inputs[i].packet, options);
        packet.fault.clear();
        if (!result) {
            packet.fault = result.error().message();
            continue;
        }
        if (result->fault) {
            packet.fault = result->fault->report;
        }
        packet.ret = result->ret;
        packet.packet = std::move(result->packet);
        packet.inputs = std::move(result->inputs);
        packet.warned = !result->warnings.empty();
        for (const Warning& warning : result->warnings) {
            if (warning.refused) { // the kernel has loaded the program
                packet.fault = warning.cause;
            }
        }
        if (which.type == abi::ProgType::Xdp) {
            packet.meta = mimicsh::load<uint32_t>(result->context.data());
            packet.linear = mimicsh::load<uint32_t>(result->context.data() + 4);
        } else {
            packet.meta = packet.linear = 0;
            packet.context = std::move(result->context);
        }
        packet.out.assign(out.begin(), out.end());
    }
    spent.run += watch.lap();
    for (ByteVec& map : outcome.maps) {
        map.clear();
    }
    for (size_t i = 0; i < maps.size(); ++i) {
        read_map(which.maps[i], *maps[i], outcome.maps[static_cast<size_t>(which.maps[i])]);
    }
    spent.maps += watch.lap();
}

void VmSide::read_map(MapId id, Map& map, ByteVec& into) {
    const MapInfo& info = map.info();
    const size_t value_size = host_value_size(info);
    switch (reading_of(id)) {
    case Reading::Never:
    case Reading::Bloom:
        return;
    case Reading::Ring:
        (void)map.consume([&](ByteView record, uint32_t) {
            into.push_back(static_cast<uint8_t>(record.size()));
            into.insert(into.end(), record.begin(), record.end());
        });
        return;
    case Reading::Queue:
        values_.resize(value_size);
        while (map.take({}, values_)) {
            into.insert(into.end(), values_.begin(), values_.end());
        }
        return;
    case Reading::Array:
        into.resize(value_size * info.max_entries);
        for (uint32_t i = 0; i < info.max_entries; ++i) {
            const ByteView key(reinterpret_cast<const uint8_t*>(&i), sizeof i);
            const Status ok = map.lookup(key, ByteSpan(into).subspan(i * value_size, value_size));
            (void)ok.has_value();
        }
        return;
    case Reading::Hash:
    case Reading::Trie:
        break;
    }
    MapCursor cursor;
    keys_.clear();
    values_.clear();
    const auto count = map.next_batch(cursor, keys_, values_, info.max_entries);
    for (size_t i = 0; count && i < *count; ++i) {
        const auto key = keys_.begin() + static_cast<ptrdiff_t>(i * info.key_size);
        const auto value = values_.begin() + static_cast<ptrdiff_t>(i * value_size);
        into.insert(into.end(), key, key + static_cast<ptrdiff_t>(info.key_size));
        into.insert(into.end(), value, value + static_cast<ptrdiff_t>(value_size));
    }
}

std::string VmSide::trace(const Case& which) {
    auto instance = target_->load(which.object, {});
    if (!instance || which.inputs.empty()) {
        return {};
    }
    RunOptions options;
    options.record_inputs = which.has(Feature::NaturalInput);
    put_context(which, which.inputs.back(), options);
    options.trace = true;
    const auto result = (*instance)->programs().front()->run(which.inputs.back().packet, options);
    return result ? result->trace : result.error().message();
}

std::string compare(const Outcome& vm, const Outcome& kernel, const Case& which) {
    if (!vm.refusal.empty()) {
        return "the vm refuses: " + vm.refusal;
    }
    for (size_t i = 0; i < which.inputs.size(); ++i) {
        const std::string text = packets_differ(vm.packets[i], kernel.packets[i], which.type);
        if (!text.empty()) {
            return "packet " + std::to_string(i + 1) + ": " + text;
        }
    }
    for (MapId id : which.maps) {
        const ByteVec& here = vm.maps[static_cast<size_t>(id)];
        const ByteVec& there = kernel.maps[static_cast<size_t>(id)];
        if (here == there) {
            continue;
        }
        const MapDef& def = pool_map(id);
        const size_t cpus = std::max<size_t>(possible_cpus(), 1);
        const auto ours = sorted_entries(id, here, cpus);
        const auto theirs = sorted_entries(id, there, cpus);
        if (ours != theirs) {
            std::string text = "map " + def.name + ": vm";
            for (const std::string& entry : ours) {
                text += " " + entry;
            }
            text += "; kernel";
            for (const std::string& entry : theirs) {
                text += " " + entry;
            }
            return text;
        }
    }
    return {};
}

} // namespace mimicsh::difffuzz
