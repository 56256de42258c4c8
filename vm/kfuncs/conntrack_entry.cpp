// SPDX-License-Identifier: MIT
// Entries of the conntrack table as programs see them: fields of struct nf_conn, and bpf_ct_set_nat_info
// (net/netfilter/nf_nat_bpf.c, nf_nat_core.c).
#include <algorithm>
#include <cerrno>

#include "object/kernel_btf.h"
#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/kfuncs/conntrack_entry.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace conntrack {

std::optional<uint32_t> connection_at(Machine& machine, uint64_t addr, RegionKind kind, const char* kfunc) {
    const uint32_t handle = handle_of(addr);
    if (handle < machine.regions.size() && offset_of(addr) == 0 && machine.regions.at(handle).kind == kind) {
        return machine.regions.at(handle).owner;
    }
    machine.fault(FaultKind::BadCall,
                  std::string(kfunc) + ": the argument is no " +
                      (kind == RegionKind::Connection ? "connection" : "connection that was allocated"),
                  {}, addr);
    return std::nullopt;
}

} // namespace conntrack

using namespace conntrack;

// -- Fields --

namespace {

using Tuple = ConntrackTable::Tuple;

ByteVec port_bytes(uint16_t port) {
    ByteVec bytes(2);
    store_be(bytes.data(), port);
    return bytes;
}

/// Fields of struct nf_conntrack_tuple.
std::optional<ByteVec> tuple_value(const World::Connection& connection, bool reply, std::string_view path,
                                   uint32_t size) {
    constexpr uint16_t kInet = 2, kInet6 = 10;
    const Tuple& tuple = reply ? connection.reply : connection.original;
    if (path == "src.l3num") {
        return bytes_of_number(tuple.source.address.v6 ? kInet6 : kInet);
    }
    if (path == "dst.protonum" || path == "dst.dir") {
        return ByteVec{path == "dst.dir" ? static_cast<uint8_t>(reply) : connection.protocol};
    }
    const World::Endpoint& end = path.starts_with("src.") ? tuple.source : tuple.destination;
    const std::string_view member = path.substr(std::min<size_t>(4, path.size()));
    if (member.starts_with("u3.") && size <= end.address.bytes.size()) {
        return ByteVec(end.address.bytes.begin(), end.address.bytes.begin() + size);
    }
    return member.starts_with("u.") && size == 2 ? std::optional(port_bytes(end.port)) : std::nullopt;
}

} // namespace

std::optional<ByteVec> connection_value(Machine& machine, uint32_t index, std::string_view path,
                                        uint32_t size) {
    const World::Connection& connection = machine.connections[index];
    for (const bool reply : {false, true}) {
        const std::string_view hash = reply ? "tuplehash[1].tuple." : "tuplehash[0].tuple.";
        if (path.starts_with(hash)) {
            return tuple_value(connection, reply, path.substr(hash.size()), size);
        }
    }
    if (path == "mark") {
        return bytes_of_number(connection.mark);
    }
    if (path == "status") {
        return bytes_of_number(uint64_t{connection.status});
    }
    if (path == "timeout") {
        return bytes_of_number(static_cast<uint32_t>(machine.connections.expires(index)));
    }
    if (path == "zone.id") {
        return bytes_of_number(connection.zone);
    }
    if (path == "zone.dir") {
        return ByteVec{connection.zone_direction};
    }
    return scripted_field(connection.fields, path, size);
}

bool store_to_connection(Machine& machine, const Region& region, int64_t offset, uint32_t size,
                         uint64_t value) {
    const uint32_t index = region.owner;
    const Btf* btf = machine.kernel_types();
    const auto id = btf == nullptr ? std::nullopt : btf->find("nf_conn", BtfKind::Struct);
    if (!id) {
        machine.fault(FaultKind::MissingValue,
                      "a field of struct nf_conn was written, and the kernel's types are not known here");
        return false;
    }
    const auto& members = btf->type(*id).members;
    const auto mark = std::ranges::find(members, "mark", &BtfMember::name);
    if (mark == members.end() || offset != mark->bit_offset / 8 || size > sizeof(uint32_t)) {
        machine.fault(FaultKind::Permission, "write of " + std::to_string(size) +
                                                 " bytes at struct nf_conn + " + std::to_string(offset) +
                                                 ": programs may write its field mark only");
        return false;
    }
    machine.note_effect(sizeof(ConntrackTable::Entry));
    std::memcpy(&machine.connections.change(index).mark, &value, size);
    return true;
}

// -- Address translation --

namespace {

enum Manip : uint32_t { kSource, kDestination };

struct Translation {
    World::Connection connection; ///< as it is
    Manip manip;
    IpAddress address;
    std::optional<uint16_t> port;

    /// The end of a tuple that changes.
    [[nodiscard]] World::Endpoint& end(Tuple& tuple) const {
        return manip == kSource ? tuple.source : tuple.destination;
    }
    [[nodiscard]] bool fits(Tuple tuple) const {
        return end(tuple).address == address && (!port || end(tuple).port == *port);
    }
};

/// In the original direction.
bool same_zone(const World::Connection& one, const World::Connection& other) {
    const auto zone = [](const World::Connection& of) { return (of.zone_direction & 1) != 0 ? of.zone : 0; };
    return zone(one) == zone(other);
}

Tuple inverse(const Tuple& tuple) {
    return {tuple.destination, tuple.source};
}

/// Whether replies to a tuple would be taken for another flow's (nf_conntrack_tuple_taken).
bool is_used(const Machine& machine, const World::Connection& own, const Tuple& tuple) {
    const auto found = machine.connections.find({inverse(tuple), own.protocol, own.zone, own.zone_direction},
                                                machine.clock_ns);
    if (!found) {
        return false;
    }
    const World::Connection& other = machine.connections[found->first];
    return other.original != own.original || !same_zone(other, own);
}

/// The tuple that the same source was given before, when it still fits (find_appropriate_src).
std::optional<Tuple> earlier_mapping(Machine& machine, const Translation& wanted, const Tuple& now) {
    const World::Connection& own = wanted.connection;
    const auto mapped = [&](const World::Connection& one) {
        return Tuple{one.reply.destination, now.destination};
    };
    if (!spend_on(machine, machine.connections.size())) {
        return std::nullopt;
    }
    const auto found = machine.connections.newest(machine.clock_ns, [&](const World::Connection& one) {
        return (one.status & kSourceNatDone) != 0 && one.protocol == own.protocol &&
               one.original.source == now.source && same_zone(one, own) && wanted.fits(mapped(one));
    });
    return found ? std::optional(mapped(machine.connections[*found])) : std::nullopt;
}

/// A port that nobody uses, at random, of the same class as the one that is taken.
uint16_t free_port(Machine& machine, const Translation& wanted, Tuple tuple) {
    constexpr uint32_t kAttempts = 128;
    const uint32_t old = tuple.source.port;
    const uint32_t first = old < 512 ? 1 : old < 1024 ? 600 : 1024;
    const uint32_t count = old < 512 ? 511 : old < 1024 ? 424 : 64512;
    const uint32_t at = machine.random();
    for (uint32_t i = 0; i < std::min(kAttempts, count); ++i) {
        tuple.source.port = static_cast<uint16_t>(first + (at + i) % count);
        if (!is_used(machine, wanted.connection, tuple)) {
            break;
        }
    }
    return tuple.source.port;
}

/// get_unique_tuple: what a tuple becomes.
Tuple translated(Machine& machine, const Translation& wanted, const Tuple& now) {
    if (wanted.manip == kSource) {
        if (wanted.fits(now)) {
            if (!is_used(machine, wanted.connection, now)) {
                return now;
            }
        } else if (const auto before = earlier_mapping(machine, wanted, now);
                   before && !is_used(machine, wanted.connection, *before)) {
            return *before;
        }
    }
    Tuple made = now;
    wanted.end(made).address = wanted.address;
    if (wanted.port) {
        wanted.end(made).port = *wanted.port;
    } else if (wanted.manip == kSource && is_used(machine, wanted.connection, made)) {
        made.source.port = free_port(machine, wanted, made);
    }
    return made;
}

} // namespace

uint64_t kfunc_ct_set_nat_info(Machine& machine, const uint64_t* args) {
    constexpr const char* kName = "bpf_ct_set_nat_info";
    constexpr uint32_t kAddress = 16; // union nf_inet_addr
    const auto index = connection_at(machine, args[0], RegionKind::NewConnection, kName);
    const uint8_t* address = index ? machine.span(args[1], kAddress, Access::Read, "address") : nullptr;
    if (address == nullptr) {
        return 0;
    }
    const auto manip = static_cast<uint32_t>(args[3]);
    if (manip > kDestination) {
        return machine.fault(FaultKind::BadCall,
                             std::string(kName) + ": " + std::to_string(manip) +
                                 " is neither NF_NAT_MANIP_SRC nor NF_NAT_MANIP_DST, the kernel warns");
    }
    const World::Connection& connection = machine.connections[*index];
    const uint32_t done = manip == kSource ? kSourceNatDone : kDestinationNatDone;
    if ((connection.status & done) != 0) {
        machine.warn(std::string(kName) + ": this end has been translated already, the kernel warns");
        return machine.faulted() ? 0 : errno_result(-ENOMEM);
    }
    Translation wanted{
        connection, static_cast<Manip>(manip), {connection.original.source.address.v6, {}}, {}};
    std::copy_n(address, kAddress, wanted.address.bytes.begin());
    if (const auto port = static_cast<int32_t>(args[2]); port > 0) {
        wanted.port = static_cast<uint16_t>(port);
    }
    const Tuple now = inverse(connection.reply);
    const Tuple made = translated(machine, wanted, now);
    if (machine.faulted()) {
        return 0;
    }
    machine.note_effect(sizeof(ConntrackTable::Entry));
    World::Connection& changed = machine.connections.change(*index);
    if (made != now) {
        changed.reply = inverse(made);
        changed.status |= manip == kSource ? kSourceNat : kDestinationNat;
    }
    changed.status |= done;
    return 0;
}

} // namespace mimicsh::vm
