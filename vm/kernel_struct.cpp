// SPDX-License-Identifier: MIT
// From an offset in a struct of the kernel to the name of the field there, and from that to a scripted value.
#include "vm/kernel_struct.h"

#include <algorithm>
#include <array>
#include <vector>

#include "object/kernel_btf.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

constexpr std::array<std::string_view, 20> kNames{"task_struct",
                                                  "css_set",
                                                  "cgroup",
                                                  "kernfs_node",
                                                  "sk_buff",
                                                  "skb_shared_info",
                                                  "xdp_buff",
                                                  "xdp_rxq_info",
                                                  "net_device",
                                                  "net",
                                                  "pt_regs",
                                                  "nf_conn",
                                                  "xfrm_state",
                                                  "",
                                                  "sock",
                                                  "tcp_sock",
                                                  "tcp6_sock",
                                                  "tcp_timewait_sock",
                                                  "tcp_request_sock",
                                                  "udp6_sock"};

// -- Names of fields --

/// A field that covers an access, by its path without the names of anonymous structs: "inet_conn.icsk_rto".
struct Field {
    std::string path;
    uint32_t offset = 0; ///< of the access in the field
    uint32_t size = 0;   ///< bytes of the field
};

/// All fields that cover [offset, offset + size) and are not structs themselves: in unions there are several.
/// `left` bounds what is looked at of types that no compiler wrote.
void find_fields(const Btf& btf, uint32_t type_id, uint32_t offset, uint32_t size, const std::string& path,
                 std::vector<Field>& found, uint32_t& left) {
    constexpr uint64_t kMaxField = 64 * 1024;
    const uint32_t id = btf.resolve(type_id);
    const BtfType& type = btf.type(id);
    if (type.kind == BtfKind::Array) {
        const auto step = btf.size_of(type.type);
        const BtfKind element = btf.type(btf.resolve(type.type)).kind;
        if (step && *step != 0 && (element == BtfKind::Struct || element == BtfKind::Union)) {
            const auto at = static_cast<uint32_t>(offset / *step);
            find_fields(btf, type.type, static_cast<uint32_t>(offset % *step), size,
                        path + "[" + std::to_string(at) + "]", found, left);
            return;
        }
    }
    if (type.kind != BtfKind::Struct && type.kind != BtfKind::Union) {
        const auto whole = btf.size_of(id);
        if (whole && offset + size <= *whole && *whole <= kMaxField) {
            found.push_back({path, offset, static_cast<uint32_t>(*whole)});
        }
        return;
    }
    for (const BtfMember& member : type.members) {
        if (left == 0) {
            return;
        }
        --left;
        const auto member_size = btf.size_of(member.type);
        const uint32_t begin = member.bit_offset / 8;
        if (member.bit_width != 0 || !member_size || begin > offset || offset + size > begin + *member_size) {
            continue;
        }
        const std::string name(member.name);
        const std::string below = name.empty() ? path : path.empty() ? name : path + "." + name;
        find_fields(btf, member.type, offset - begin, size, below, found, left);
    }
}

// -- Values --

template <typename T>
std::optional<ByteVec> bytes_of(const std::optional<T>& value) {
    return value ? std::optional(bytes_of_number(*value)) : std::nullopt;
}

std::optional<ByteVec> task_value(Machine& machine, const std::string& path, uint32_t size) {
    const World::Task& task = machine.world().task;
    if (path == "pid") {
        return bytes_of(task.pid);
    }
    if (path == "tgid") {
        return bytes_of(task.tgid);
    }
    if (path == "comm" && task.comm) {
        ByteVec bytes(task.comm->begin(), task.comm->end());
        bytes.resize(size);
        return bytes;
    }
    if (path == "cgroups") {
        return bytes_of_number(add_kernel_struct(machine, KernelStruct::CssSet, 0, 0));
    }
    return scripted_field(task.fields, path, size);
}

std::optional<ByteVec> socket_value(const World::Socket& socket, std::string_view path, uint32_t size) {
    const auto is = [&](std::string_view name) { return ends_with_field(name, path); };
    const auto address = [&](const IpAddress& one, bool v6) -> std::optional<ByteVec> {
        return one.v6 == v6 ? std::optional(ByteVec(one.bytes.begin(), one.bytes.begin() + (v6 ? 16 : 4)))
                            : std::nullopt;
    };
    const IpAddress none{socket.local.address.v6, {}};
    const IpAddress& peer = socket.peer ? socket.peer->address : none;
    if (const auto found = scripted_field(socket.fields, path, size)) {
        return found;
    }
    if (is("skc_family")) {
        constexpr uint16_t kInet = 2, kInet6 = 10;
        return bytes_of_number(socket.local.address.v6 ? kInet6 : kInet);
    }
    if (is("skc_state")) {
        return bytes_of_number(socket.state);
    }
    if (is("skc_num")) {
        return bytes_of_number(socket.local.port);
    }
    if (is("skc_dport")) {
        ByteVec bytes(2);
        mimicsh::store_be<uint16_t>(bytes.data(), socket.peer ? socket.peer->port : uint16_t{0});
        return bytes;
    }
    if (is("skc_bound_dev_if")) {
        return bytes_of_number(socket.interface);
    }
    if (is("skc_rcv_saddr") || is("skc_daddr")) {
        return address(is("skc_daddr") ? peer : socket.local.address, false);
    }
    if (path.find("skc_v6_rcv_saddr") != std::string_view::npos) {
        return address(socket.local.address, true);
    }
    if (path.find("skc_v6_daddr") != std::string_view::npos) {
        return address(peer, true);
    }
    if (is("sk_mark")) {
        return bytes_of_number(socket.mark);
    }
    if (is("sk_priority")) {
        return bytes_of_number(socket.priority);
    }
    const size_t dot = path.rfind('.');
    const auto value = socket.values.find(path.substr(dot == std::string_view::npos ? 0 : dot + 1));
    if (value == socket.values.end()) {
        return std::nullopt;
    }
    ByteVec bytes = bytes_of_number(value->second);
    bytes.resize(size);
    return bytes;
}

std::optional<ByteVec> value_of(Machine& machine, const Region& region, const std::string& path,
                                uint32_t size) {
    const KernelStruct kind = *struct_of(region);
    const World& world = machine.world();
    switch (kind) {
    case KernelStruct::Task:
        return task_value(machine, path, size);
    case KernelStruct::CssSet:
        return path == "dfl_cgrp"
                   ? std::optional(bytes_of_number(add_kernel_struct(machine, KernelStruct::Cgroup, 0, 0)))
                   : std::nullopt;
    case KernelStruct::Cgroup:
        if (path == "kn") {
            return bytes_of_number(add_kernel_struct(machine, KernelStruct::Kernfs, 0, 0));
        }
        return scripted_field(world.cgroup.fields, path, size);
    case KernelStruct::Kernfs:
        return path == "id" ? bytes_of(world.cgroup.id) : std::nullopt;
    case KernelStruct::SkBuff:
    case KernelStruct::SharedInfo:
    case KernelStruct::XdpBuff:
    case KernelStruct::XdpRxq:
    case KernelStruct::NetDevice:
    case KernelStruct::Net:
        return context_struct_value(machine, region, path, size);
    case KernelStruct::Registers:
        return scripted_field(world.task.registers, path, size);
    case KernelStruct::Connection:
        return connection_value(machine, region.owner, path, size);
    case KernelStruct::XfrmState:
        return xfrm_state_value(machine, region.owner, path, size);
    case KernelStruct::Variable:
        return scripted_field(machine.variables.content(region).fields, path, size);
    default:
        return socket_value(*machine.sockets[region.owner].scripted, path, size);
    }
}

std::string place_of_device(const World& world, uint32_t index, const std::string& path) {
    const World::Interface* device = world.find_interface(index);
    if (device == nullptr) {
        return "world.interfaces with index " + std::to_string(index);
    }
    return device->path + (path == "mtu" ? ".mtu" : ".fields[\"" + path + "\"]");
}

/// Where the world would say the field.
std::string place_in_world(const Machine& machine, const Region& region, const std::string& path) {
    const KernelStruct kind = *struct_of(region);
    const auto in_fields = [&](const std::string& of) {
        return of.empty() ? of : of + ".fields[\"" + path + "\"]";
    };
    switch (kind) {
    case KernelStruct::Connection:
        return in_fields(machine.connections[region.owner].path);
    case KernelStruct::XfrmState:
        return in_fields((*machine.world().xfrm_states)[region.owner].path);
    case KernelStruct::Variable:
        return machine.variables.place(region) + "[\"" + path + "\"]";
    case KernelStruct::Task:
        return path == "pid" || path == "tgid" || path == "comm" ? "world.task." + path
                                                                 : "world.task.fields[\"" + path + "\"]";
    case KernelStruct::Registers:
        return "world.task.regs[\"" + path + "\"]";
    case KernelStruct::Kernfs:
        return path == "id" ? "world.cgroup.id" : "";
    case KernelStruct::Cgroup:
        return "world.cgroup.fields[\"" + path + "\"]";
    case KernelStruct::CssSet:
        return "";
    case KernelStruct::NetDevice:
        return place_of_device(machine.world(), region.owner, path);
    case KernelStruct::Net:
        return path == "net_cookie" ? "world.netns_cookie" : "world.kernel.net[\"" + path + "\"]";
    case KernelStruct::SkBuff:
    case KernelStruct::SharedInfo:
    case KernelStruct::XdpBuff:
    case KernelStruct::XdpRxq:
        return "world.kernel." + std::string(struct_name(kind)) + "[\"" + path + "\"]";
    default:
        return machine.sockets[region.owner].scripted->path + ".fields[\"" + path + "\"]";
    }
}

} // namespace

std::optional<KernelStruct> struct_of(const Region& region) {
    if (region.kind == RegionKind::Connection || region.kind == RegionKind::NewConnection) {
        return KernelStruct::Connection;
    }
    return region.kind == RegionKind::KernelStruct ? std::optional(static_cast<KernelStruct>(region.shift))
                                                   : std::nullopt;
}

bool ends_with_field(std::string_view name, std::string_view path) {
    return path == name ||
           (path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.');
}

std::optional<ByteVec> scripted_field(const World::KernelFields& all, std::string_view path, uint32_t size) {
    const auto found =
        std::ranges::find_if(all, [&](const auto& one) { return ends_with_field(one.first, path); });
    if (found == all.end()) {
        return std::nullopt;
    }
    ByteVec bytes = bytes_of_number(found->second);
    bytes.resize(size);
    return bytes;
}

std::string_view struct_name(KernelStruct kind) {
    return kNames[static_cast<size_t>(kind)];
}

std::string struct_text(const Machine& machine, const Region& region) {
    const KernelStruct kind = *struct_of(region);
    return kind == KernelStruct::Variable ? "of " + machine.variables.at(region.owner).name
                                          : std::string(struct_name(kind));
}

uint64_t add_kernel_struct(Machine& machine, KernelStruct kind, uint32_t owner, uint32_t reference) {
    Region region;
    region.kind = RegionKind::KernelStruct;
    region.shift = static_cast<uint8_t>(kind);
    region.owner = owner;
    region.first = reference;
    region.readable = true;
    region.birth = machine.code->slot_of(machine.at);
    machine.note_effect();
    return make_addr(machine.regions.add(region), 0);
}

uint64_t run_kernel_struct(Machine& machine, KernelStruct kind, uint32_t owner) {
    for (uint32_t handle = 1; handle < machine.regions.size(); ++handle) {
        const Region& one = machine.regions.at(handle);
        if (one.kind == RegionKind::KernelStruct && one.shift == static_cast<uint8_t>(kind) &&
            one.owner == owner && one.first == 0) {
            return make_addr(handle, 0);
        }
    }
    return add_kernel_struct(machine, kind, owner, 0);
}

bool read_kernel_struct(Machine& machine, const Region& region, int64_t offset, ByteSpan out) {
    const Region read = region; // values may add regions
    const bool is_variable = struct_of(read) == KernelStruct::Variable;
    const std::string type = struct_text(machine, read);
    const Btf* btf = is_variable ? machine.variables.types(machine, read.owner) : machine.kernel_types();
    if (btf == nullptr) {
        machine.fault(FaultKind::MissingValue,
                      "a field of struct " + type + " was read, and the kernel's types are not known here");
        return false;
    }
    const auto id = is_variable ? std::optional(machine.variables.at(read.owner).type_id)
                                : btf->find(type, BtfKind::Struct);
    std::vector<Field> fields;
    uint32_t left = 1 << 16;
    if (id && offset >= 0 && offset <= INT32_MAX) {
        find_fields(*btf, *id, static_cast<uint32_t>(offset), static_cast<uint32_t>(out.size()), {}, fields,
                    left);
    }
    for (const Field& field : fields) {
        const auto value = value_of(machine, read, field.path, field.size);
        if (value && field.offset + out.size() <= value->size()) {
            std::copy_n(value->begin() + field.offset, out.size(), out.begin());
            return true;
        }
    }
    const std::string where = "struct " + type + " + " + std::to_string(offset);
    if (fields.empty()) {
        machine.fault(FaultKind::MissingValue,
                      where + " is no field of " + std::to_string(out.size()) + " bytes");
        return false;
    }
    const std::string wanted = place_in_world(machine, read, fields.front().path);
    if (wanted.empty()) {
        machine.fault(FaultKind::MissingValue,
                      "field " + fields.front().path + " of struct " + type + " cannot be scripted");
        return false;
    }
    const std::optional<uint64_t> none;
    (void)machine.given(none, wanted);
    return false;
}

} // namespace mimicsh::vm
