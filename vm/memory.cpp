// SPDX-License-Identifier: MIT
// Region table upkeep.
#include "vm/memory.h"

namespace mimicsh::vm {

const char* name(RegionKind kind) {
    switch (kind) {
    case RegionKind::Null:
        return "null";
    case RegionKind::Context:
        return "context";
    case RegionKind::Stack:
        return "stack";
    case RegionKind::Packet:
        return "packet";
    case RegionKind::MapValues:
        return "map value";
    case RegionKind::MapObject:
        return "map";
    case RegionKind::Object:
        return "object";
    case RegionKind::PercpuObject:
        return "per-CPU object (bpf_per_cpu_ptr gives a copy of it)";
    case RegionKind::Sample:
        return "ring-buffer sample";
    case RegionKind::MapKey:
        return "map key";
    case RegionKind::Slice:
        return "dynptr slice";
    case RegionKind::Connection:
        return "connection";
    case RegionKind::NewConnection:
        return "new connection";
    case RegionKind::FlowKeys:
        return "flow keys";
    case RegionKind::Memory:
        return "memory";
    case RegionKind::Record:
        return "ring-buffer record";
    case RegionKind::SocketCommon:
    case RegionKind::Socket:
        return "socket";
    case RegionKind::TcpSocket:
        return "tcp socket";
    case RegionKind::KernelStruct:
        return "struct of the kernel";
    case RegionKind::KernelVariable:
        return "variable of the kernel";
    case RegionKind::PercpuVariable:
        return "per-CPU variable of the kernel (bpf_per_cpu_ptr gives a copy of it)";
    case RegionKind::Callback:
        return "function";
    case RegionKind::Dead:
        return "dead";
    }
    return "unknown";
}

RegionTable::RegionTable() {
    constexpr size_t kUsual = 48; // frames of a call chain, packet, a few maps
    regions_.reserve(kUsual);
    regions_.emplace_back();
}

uint32_t RegionTable::add(const Region& region) {
    regions_.push_back(region);
    return size() - 1;
}

void RegionTable::kill(uint32_t handle, const char* death) {
    Region& region = regions_[handle];
    region.was = region.kind;
    region.kind = RegionKind::Dead;
    region.death = death;
    region.load_limit = region.store_limit = 0;
    region.readable = region.writable = false;
}

} // namespace mimicsh::vm
