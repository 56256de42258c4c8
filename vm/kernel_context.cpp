// SPDX-License-Identifier: MIT
// What is behind the context: struct sk_buff, struct xdp_buff, their device and namespace, and the kernel
// functions that lead there (bpf_cast_to_kern_ctx and bpf_rdonly_cast in kernel/bpf/helpers.c). Values are
// those of a test run (net/bpf/test_run.c), of the context and of the scripted world.
#include <algorithm>
#include <array>

#include "object/kernel_btf.h"
#include "vm/context/sk_buff.h"
#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/machine.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

/// Fields of struct sk_buff whose value is a number of struct __sk_buff.
struct Number {
    std::string_view name;
    SkBuffOffset from;
    uint32_t size = 4;
};
constexpr std::array kNumbers{
    Number{"len", kSkbLen},
    Number{"mark", kSkbMark},
    Number{"queue_mapping", kSkbQueueMapping, 2},
    Number{"protocol", kSkbProtocol, 2},
    Number{"vlan_tci", kSkbVlanTci, 2},
    Number{"vlan_proto", kSkbVlanProto, 2},
    Number{"priority", kSkbPriority},
    Number{"skb_iif", kSkbIngressIfindex},
    Number{"tc_index", kSkbTcIndex, 2},
    Number{"hash", kSkbHash},
    Number{"napi_id", kSkbNapiId},
    Number{"tstamp", kSkbTstamp, 8},
};

ByteVec from_context(const Machine& machine, uint32_t offset, uint32_t size) {
    const uint8_t* from = machine.context_image.data() + offset;
    return {from, from + size};
}

std::optional<ByteVec> of_sk_buff(Machine& machine, std::string_view path) {
    const auto is = [&](std::string_view name) { return ends_with_field(name, path); };
    for (const Number& one : kNumbers) {
        if (is(one.name)) {
            return from_context(machine, one.from, one.size);
        }
    }
    const uint32_t head = machine.packet.start - machine.skb.headroom;
    const auto from_head = [&](uint32_t place) {
        return bytes_of_number(static_cast<uint16_t>(place - head));
    };
    if (is("data")) {
        return bytes_of_number(machine.packet_pointers[0]);
    }
    if (is("head")) {
        return bytes_of_number(machine.packet_pointers[0] - machine.skb.headroom);
    }
    if (is("tail")) {
        return bytes_of_number(machine.packet.linear_end() - head);
    }
    if (is("mac_header") || is("network_header")) {
        return from_head(is("mac_header") ? machine.skb.mac : machine.skb.network);
    }
    if (is("transport_header")) {
        return bytes_of_number(machine.skb.transport);
    }
    if (is("mac_len")) {
        return bytes_of_number(static_cast<uint16_t>(machine.skb.mac_len));
    }
    if (is("data_len")) {
        return bytes_of_number(machine.packet.paged);
    }
    if (is("next") || is("prev")) {
        return bytes_of_number(uint64_t{0});
    }
    if (is("dev")) {
        return bytes_of_number(run_kernel_struct(machine, KernelStruct::NetDevice, machine.device_index()));
    }
    if (is("sk")) {
        const auto index = buffer_socket(machine);
        // What a test run makes is no struct that anything is known of.
        const bool known = !index || *index + 1 < machine.sockets.size() || has_run_socket(machine);
        return known ? std::optional(bytes_of_number(
                           index ? run_kernel_struct(machine, KernelStruct::Sock, *index) : 0))
                     : std::nullopt;
    }
    return std::nullopt;
}

std::optional<ByteVec> of_shared_info(Machine& machine, std::string_view path) {
    if (machine.code->program->type() == abi::ProgType::Xdp) {
        return std::nullopt;
    }
    if (path == "gso_size" || path == "gso_segs") {
        return from_context(machine, path == "gso_size" ? kSkbGsoSize : kSkbGsoSegs, 2);
    }
    if (path == "nr_frags" || path == "meta_len") {
        return ByteVec{0};
    }
    return path == "frag_list" ? std::optional(bytes_of_number(uint64_t{0})) : std::nullopt;
}

std::optional<ByteVec> of_xdp_buff(Machine& machine, std::string_view path) {
    constexpr uint32_t kHasFragments = 1; // XDP_FLAGS_HAS_FRAGS
    constexpr uint32_t kFrameSize = 4096;
    constexpr std::array<std::string_view, 3> kPointers{"data", "data_end", "data_meta"};
    if (const auto found = std::ranges::find(kPointers, path); found != kPointers.end()) {
        return bytes_of_number(machine.packet_pointers[static_cast<size_t>(found - kPointers.begin())]);
    }
    if (path == "data_hard_start") {
        return bytes_of_number(make_addr(machine.packet.handle, 0));
    }
    if (path == "rxq") {
        return bytes_of_number(run_kernel_struct(machine, KernelStruct::XdpRxq, 0));
    }
    if (path == "txq" && machine.code->program->linked().spec.attach_type != abi::AttachType::XdpDevmap) {
        return bytes_of_number(uint64_t{0});
    }
    if (path == "frame_sz") {
        return bytes_of_number(kFrameSize);
    }
    if (path == "flags") {
        return bytes_of_number(machine.packet.fragments.empty() ? 0 : kHasFragments);
    }
    return std::nullopt;
}

std::optional<ByteVec> of_rxq(Machine& machine, std::string_view path) {
    if (path == "dev") {
        return bytes_of_number(run_kernel_struct(machine, KernelStruct::NetDevice, machine.device_index()));
    }
    return path == "queue_index"
               ? std::optional(from_context(machine, offsetof(abi::XdpMd, rx_queue_index), 4))
               : std::nullopt;
}

std::optional<ByteVec> of_device(Machine& machine, uint32_t index, std::string_view path, uint32_t size) {
    constexpr uint32_t kLoopback = 1;
    const World::Interface* device = machine.world().find_interface(index);
    if (path == "ifindex") {
        return bytes_of_number(index);
    }
    if (path == "nd_net.net") {
        return bytes_of_number(run_kernel_struct(machine, KernelStruct::Net, 0));
    }
    if (path == "name" && (device != nullptr || index == kLoopback)) {
        const std::string name = device != nullptr ? device->name : "lo";
        ByteVec bytes(name.begin(), name.end());
        bytes.resize(size);
        return bytes;
    }
    if (path == "mtu" && device != nullptr && device->mtu) {
        return bytes_of_number(*device->mtu);
    }
    return device == nullptr ? std::nullopt : scripted_field(device->fields, path, size);
}

std::optional<ByteVec> known_value(Machine& machine, KernelStruct kind, uint32_t owner, std::string_view path,
                                   uint32_t size) {
    switch (kind) {
    case KernelStruct::SkBuff:
        return of_sk_buff(machine, path);
    case KernelStruct::SharedInfo:
        return of_shared_info(machine, path);
    case KernelStruct::XdpBuff:
        return of_xdp_buff(machine, path);
    case KernelStruct::XdpRxq:
        return of_rxq(machine, path);
    case KernelStruct::NetDevice:
        return of_device(machine, owner, path, size);
    default: {
        const auto& cookie = machine.world().netns_cookie;
        return path == "net_cookie" && cookie ? std::optional(bytes_of_number(*cookie)) : std::nullopt;
    }
    }
}

} // namespace

KernelStruct context_struct(const Machine& machine) {
    return machine.code->program->type() == abi::ProgType::Xdp ? KernelStruct::XdpBuff : KernelStruct::SkBuff;
}

std::optional<ByteVec> context_struct_value(Machine& machine, const Region& region, const std::string& path,
                                            uint32_t size) {
    const auto kind = static_cast<KernelStruct>(region.shift);
    if (auto known = known_value(machine, kind, region.owner, path, size)) {
        return known;
    }
    const auto& all = machine.world().kernel;
    const auto fields = all.find(struct_name(kind));
    return fields == all.end() ? std::nullopt : scripted_field(fields->second, path, size);
}

// -- Kernel functions --

namespace {

/// Whether an address is the end of the buffer, where struct skb_shared_info begins.
bool is_buffer_end(Machine& machine, uint64_t addr) {
    const auto& all = machine.world().kernel;
    const auto fields = all.find("sk_buff");
    const auto end = fields == all.end() ? std::nullopt : scripted_field(fields->second, "end", 8);
    return end && context_struct(machine) == KernelStruct::SkBuff &&
           addr == machine.packet_pointers[0] - machine.skb.headroom + mimicsh::load<uint64_t>(end->data());
}

} // namespace

uint64_t kfunc_cast_to_kern_ctx(Machine& machine, const uint64_t* args) {
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall, "bpf_cast_to_kern_ctx: the argument is not the context", {},
                             args[0]);
    }
    return run_kernel_struct(machine, context_struct(machine), 0);
}

uint64_t kfunc_rdonly_cast(Machine& machine, const uint64_t* args) {
    const Btf* btf = machine.kernel_types();
    const auto id = static_cast<uint32_t>(args[1]);
    if (id == 0 || handle_of(args[0]) == 0) {
        return args[0]; // void, or a number
    }
    if (btf == nullptr || id >= btf->type_count() || btf->type(id).kind != BtfKind::Struct) {
        return machine.fault(FaultKind::BadCall,
                             "bpf_rdonly_cast: type " + std::to_string(id) + " is no struct of the kernel");
    }
    const std::string_view name = btf->type(id).name;
    const uint32_t handle = handle_of(args[0]);
    const Region* region = handle < machine.regions.size() ? &machine.regions.at(handle) : nullptr;
    const bool at_start = region != nullptr && offset_of(args[0]) == 0;
    if (at_start && region->kind == RegionKind::Context && name == struct_name(context_struct(machine))) {
        return run_kernel_struct(machine, context_struct(machine), 0);
    }
    if (at_start && region->kind == RegionKind::KernelStruct &&
        name == struct_name(static_cast<KernelStruct>(region->shift))) {
        return args[0];
    }
    const bool is_socket =
        region != nullptr && (region->kind == RegionKind::Socket || region->kind == RegionKind::SocketCommon);
    if (at_start && is_socket && name == struct_name(KernelStruct::Sock) &&
        machine.sockets[region->owner].scripted != nullptr) {
        return add_kernel_struct(machine, KernelStruct::Sock, region->owner,
                                 region->first != 0 ? region->first : handle);
    }
    if (name == struct_name(KernelStruct::SharedInfo) && is_buffer_end(machine, args[0])) {
        return run_kernel_struct(machine, KernelStruct::SharedInfo, 0);
    }
    return machine.fault(FaultKind::MissingValue,
                         "bpf_rdonly_cast: no struct " + std::string(name) + " is known at this address", {},
                         args[0]);
}

} // namespace mimicsh::vm
