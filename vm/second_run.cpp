// SPDX-License-Identifier: MIT
// Where packets go after a run, and the programs that device and CPU maps hold for their targets
// (kernel/bpf/devmap.c, cpumap.c). The kernel does both with live packets only; here every run does.
#include <algorithm>
#include <cerrno>
#include <iterator>

#include "vm/helpers/helpers.h"
#include "vm/helpers/routes.h"
#include "vm/helpers/skb_call.h"
#include "vm/interp.h"
#include "vm/maps/prog_array.h"
#include "vm/maps/redirect_map.h"
#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

bool has_targets(abi::MapType type) {
    return type == abi::MapType::Devmap || type == abi::MapType::DevmapHash || type == abi::MapType::Cpumap;
}

/// Of the maps whose programs have to be alike (map_type_contains_progs; the kernel leaves devmap_hash out).
MapOwner* owner_of(VmMap& map) {
    switch (map.type()) {
    case abi::MapType::ProgArray:
        return &static_cast<ProgArray&>(map).owner;
    case abi::MapType::Devmap:
    case abi::MapType::Cpumap:
        return &static_cast<RedirectMap&>(map).owner;
    default:
        return nullptr;
    }
}

/// Of programs on socket buffers, those whose verdict can send the packet elsewhere.
bool sends_by_verdict(abi::ProgType type) {
    using abi::ProgType;
    return type == ProgType::SchedCls || type == ProgType::SchedAct || type == ProgType::LwtXmit;
}

} // namespace

Status LoadedProgram::claim_maps() {
    for (const LinkedRef& ref : linked_.refs) {
        if (ref.kind != RelocKind::Map || ref.target >= machine_.maps().size()) {
            continue;
        }
        VmMap& map = *machine_.maps()[ref.target];
        MapOwner* owner = owner_of(map);
        const std::string why = owner != nullptr ? owner->claim(linked_) : std::string();
        if (!why.empty()) {
            return Error{EINVAL,
                         "load",
                         linked_.name + ": uses map " + map.info().name + ", but " + why,
                         "give programs that differ in this a map each",
                         {}};
        }
    }
    return {};
}

/// Bounds chains of CPU maps whose programs send packets on to each other.
constexpr uint32_t kMaxHops = 8;
constexpr uint64_t kBroadcast = 8, kExcludeIngress = 16; ///< flags of bpf_redirect_map

struct LoadedProgram::Exit {
    uint32_t key = 0;                 ///< in the map
    uint32_t interface = 0;           ///< index; 0 of a CPU or socket
    bool is_cpu = false;              ///< the key is that of the CPU that goes on with the packet
    LoadedProgram* program = nullptr; ///< of the map's entry
    std::string_view dropped;         ///< why nothing gets there; empty = it does
};

namespace {

/// What keeps an XDP packet from leaving by an interface (xdp_ok_fwd_dev), as far as the world says.
std::string_view exit_refusal(const Machine& machine, uint32_t interface) {
    constexpr uint32_t kLoopback = 1, kHeaders = 14 + 4; // of Ethernet and a VLAN
    const World::Interface* device = machine.world().find_interface(interface);
    if (device == nullptr) {
        const bool is_known = !machine.world().interfaces || interface == kLoopback;
        return is_known ? "" : "there is no such interface";
    }
    const bool fits = !device->mtu || packet_length(machine.packet) <= uint64_t{*device->mtu} + kHeaders;
    return fits ? "" : "longer than the MTU of the interface allows";
}

/// What keeps a frame from being sent to a neighbour (__bpf_redirect_neigh).
std::string_view neighbour_refusal(const ByteVec& frame, uint16_t protocol) {
    if (frame.size() < kEthHeader || (frame[0] & 1) != 0) {
        return "a frame to a group has no neighbour";
    }
    return protocol == kIp || protocol == kIp6 ? "" : "neither IPv4 nor IPv6";
}

/// Where a packet goes next by its own route out of an interface, when the program of a bpf_redirect_neigh
/// did not say it (__bpf_redirect_neigh_v4, _v6). Puts the MAC address into `mac` when the world has it; what
/// keeps the packet from being sent, if anything does.
std::string_view follow_route(const Machine& machine, uint32_t interface, bool v6,
                              std::optional<MacAddress>& mac) {
    constexpr uint32_t kIpDestination = 16, kIp6Destination = 24;
    const World& world = machine.world();
    IpAddress next;
    next.v6 = v6;
    const uint64_t at = uint64_t{machine.skb.network} + (v6 ? kIp6Destination : kIpDestination);
    if (!world.routes || at + next.size() > machine.packet.end) {
        return {};
    }
    std::copy_n(machine.packet.buffer.data() + at, next.size(), next.bytes.begin());
    const World::Route* route = route_to(world, {next, interface, true});
    const bool leads =
        route != nullptr && (route->type == RouteType::Unicast || route->type == RouteType::Local);
    if (v6 && !leads) {
        return "there is no route to its destination";
    }
    if (route != nullptr && route->type == RouteType::Broadcast) {
        return "a broadcast address has no neighbour";
    }
    // IPv4 takes what no route leads to for a neighbour (ip_route_output_key_hash_rcu).
    next = leads && route->via ? *route->via : next;
    if (const World::Neighbour* known = neighbour_of(world, interface, next)) {
        mac = known->mac;
    }
    return {};
}

/// Puts the addresses of next hop and interface in front, where the world has both (neigh_output).
void address_frame(ByteVec& frame, const std::optional<MacAddress>& mac, const World::Interface* device) {
    if (mac && device != nullptr && device->mac && frame.size() >= kEthHeader) {
        std::ranges::copy(*mac, frame.begin());
        std::ranges::copy(*device->mac, frame.begin() + std::tuple_size_v<MacAddress>);
    }
}

} // namespace

std::vector<LoadedProgram::Exit> LoadedProgram::exits_of(const Machine& machine, const Redirect& redirect) {
    if (redirect.map.empty()) {
        return {{0, redirect.index, false, nullptr, exit_refusal(machine, redirect.index)}};
    }
    const auto found = std::ranges::find_if(machine.maps(), [&](const auto& one) {
        return one->info().name == redirect.map &&
               (has_targets(one->type()) || one->type() == abi::MapType::Xskmap);
    });
    if (found == machine.maps().end()) {
        return {};
    }
    const auto& map = static_cast<const RedirectMap&>(**found);
    const bool is_device = has_targets(map.type()) && map.type() != abi::MapType::Cpumap;
    const auto at = [&](uint32_t key) {
        Exit exit{key, is_device ? map.target(key) : 0, map.type() == abi::MapType::Cpumap, nullptr, {}};
        exit.program = has_targets(map.type()) ? static_cast<LoadedProgram*>(map.program(key)) : nullptr;
        exit.dropped = is_device ? exit_refusal(machine, exit.interface) : "";
        return exit;
    };
    if ((redirect.flags & kBroadcast) == 0) {
        return {at(redirect.index)};
    }
    const auto ingress =
        mimicsh::load<uint32_t>(machine.context_image.data() + offsetof(abi::XdpMd, ingress_ifindex));
    std::vector<Exit> exits;
    for (const uint32_t key : map.keys_in_order()) {
        if ((redirect.flags & kExcludeIngress) == 0 || map.target(key) != ingress) {
            exits.push_back(at(key));
        }
    }
    return exits;
}

void LoadedProgram::run_second(Machine& machine, const Exit& exit, const Code& entry) {
    // The receiving interface stays, its queue is not known any more.
    uint8_t* md = machine.context_image.data();
    store(md + offsetof(abi::XdpMd, rx_queue_index), uint32_t{0});
    store(md + offsetof(abi::XdpMd, egress_ifindex), exit.interface);
    machine.cpu = exit.is_cpu ? exit.key : machine.cpu;
    exit.program->start_run(machine, entry);
    (void)machine.execute(machine, entry, 0);
    finish_run(machine);
}

bool LoadedProgram::follow(Machine& machine, Redirect redirect, const CodeOf& code_of, const AfterExit& after,
                           std::vector<Emitted>* egress) {
    for (uint32_t hop = 0; hop < kMaxHops; ++hop) {
        const std::vector<Exit> exits = exits_of(machine, redirect);
        const bool runs = std::ranges::any_of(exits, [](const Exit& one) { return one.program != nullptr; });
        if (!runs && egress == nullptr) {
            return true;
        }
        machine.redirect.reset(); // of a program that ran before
        // A broadcast gives each target a copy of its own (dev_map_enqueue_multi).
        const PacketState packet = exits.size() > 1 ? machine.packet : PacketState{};
        const auto image = machine.context_image;
        std::vector<Emitted> sent(egress != nullptr ? exits.size() : 0);
        bool goes_on = true;
        // The queues of devices are emptied in the reverse of the order in which they were filled.
        for (size_t i = exits.size(); i-- > 0 && goes_on;) {
            const Exit& exit = exits[i];
            if (i + 1 < exits.size()) {
                const uint32_t handle = machine.packet.handle;
                machine.packet = packet;
                machine.packet.handle = handle;
                machine.context_image = image;
            }
            const bool ran = exit.program != nullptr && exit.dropped.empty();
            if (ran) {
                machine.end_run();
                if (const Code* entry = code_of(*exit.program); entry != nullptr) {
                    run_second(machine, exit, *entry);
                }
            }
            if (egress != nullptr) {
                Emitted& one = sent[i];
                one = {redirect.kind,
                       exit.interface,
                       redirect.flags,
                       {},
                       machine.world().interface_name(exit.interface)};
                one.map = redirect.map;
                one.key = exit.key;
                one.dropped = exit.dropped;
                context_->packet_after(machine, one.packet);
                if (ran) {
                    const auto ret = static_cast<uint32_t>(machine.regs[0]);
                    one.second = SecondRun{exit.program->name(), ret, one.packet};
                    if (ret != abi::kXdpPass &&
                        !(exit.is_cpu && ret == abi::kXdpRedirect && machine.redirect)) {
                        one.dropped = exit.program->name() + " returned " +
                                      std::string(verdict_name(abi::ProgType::Xdp, ret));
                    }
                }
            }
            goes_on = !ran || after(exit);
        }
        if (egress != nullptr && goes_on) {
            std::ranges::move(sent, std::back_inserter(*egress));
        }
        const bool onward = goes_on && exits.size() == 1 && exits[0].is_cpu && runs && machine.redirect &&
                            static_cast<uint32_t>(machine.regs[0]) == abi::kXdpRedirect;
        if (!onward) {
            return goes_on;
        }
        redirect = *machine.redirect;
    }
    return true;
}

void LoadedProgram::send_redirected(RunResult& result) {
    machine_.execute = execute;
    bool is_first = (result.redirect->flags & kBroadcast) == 0;
    const auto after = [&](const Exit& exit) {
        if (is_first) {
            result.redirect->second =
                SecondRun{exit.program->name(), static_cast<uint32_t>(machine_.regs[0]), {}};
            context_->packet_after(machine_, result.redirect->second->packet);
            is_first = false;
        }
        result.log.insert(result.log.end(), machine_.log.begin(), machine_.log.end());
        result.warnings.insert(result.warnings.end(), machine_.warnings.begin(), machine_.warnings.end());
        if (machine_.pending) {
            result.fault = make_fault(machine_, *machine_.pending, nullptr);
        }
        return !machine_.pending;
    };
    (void)follow(
        machine_, *result.redirect, [](LoadedProgram& program) { return &program.code(false); }, after,
        &result.egress);
    machine_.end_run();
}

void LoadedProgram::send(RunResult& result) {
    if (result.fault) {
        return;
    }
    using abi::ProgType;
    const ProgType type = linked_.spec.type;
    if (type == ProgType::Xdp && result.ret == abi::kXdpTx) {
        const auto interface =
            mimicsh::load<uint32_t>(machine_.context_image.data() + offsetof(abi::XdpMd, ingress_ifindex));
        result.egress.push_back(
            {"tx", interface, 0, result.packet, machine_.world().interface_name(interface)});
    } else if (type == ProgType::Xdp && result.ret == abi::kXdpRedirect && result.redirect) {
        send_redirected(result);
    } else if (sends_by_verdict(type) && result.ret == abi::kTcRedirect && result.redirect) {
        const Redirect& to = *result.redirect;
        Emitted& one = result.egress.emplace_back(Emitted{
            to.kind, to.index, to.flags, leaving_frame(machine_), machine_.world().interface_name(to.index)});
        const auto protocol = mimicsh::load_be<uint16_t>(machine_.context_image.data() + kSkbProtocol);
        const bool is_known = !one.name.empty() || !machine_.world().interfaces;
        one.dropped = is_known ? "" : "there is no such interface";
        if (to.kind == "neigh" && is_known) {
            std::optional<MacAddress> mac = to.next_hop ? to.next_hop->mac : std::nullopt;
            std::string_view refusal = neighbour_refusal(one.packet, protocol);
            if (refusal.empty() && !to.next_hop) {
                refusal = follow_route(machine_, to.index, protocol == kIp6, mac);
            }
            one.dropped = refusal;
            address_frame(one.packet, mac, machine_.world().find_interface(to.index));
        }
    }
}

bool LoadedProgram::run_second_of(Machine& machine, BatchItem& item, std::optional<Fault>& fault,
                                  std::vector<Warning>* warnings) {
    if (machine.redirect->map.empty()) {
        return true; // an interface, which has no program
    }
    const uint32_t cpu = machine.cpu;
    bool ran = false;
    const auto code_of = [&](LoadedProgram& program) -> const Code* {
        if (!machine.concurrent) {
            return &program.code(false);
        }
        const auto shared = program.shared_code(machine);
        if (!shared) {
            machine.fault(FaultKind::BadCall, shared.error().message());
        }
        return shared ? *shared : nullptr;
    };
    const auto after = [&](const Exit&) {
        const auto ret = static_cast<uint32_t>(machine.regs[0]);
        if (ran) {
            item.others.push_back(ret);
        } else {
            item.second = ret;
        }
        ran = true;
        item.faulted = machine.pending.has_value();
        if (item.faulted) {
            fault = make_fault(machine, *machine.pending, nullptr);
        }
        if (warnings != nullptr) {
            add_warnings(*warnings, machine.warnings);
        }
        return !item.faulted;
    };
    (void)follow(machine, *machine.redirect, code_of, after, nullptr);
    if (!ran) {
        return true;
    }
    machine.cpu = cpu;
    context_->set_context(machine, {}); // for the packets that follow
    return !item.faulted || machine.pending->kind != FaultKind::Interrupted;
}

Status LoadedProgram::refuse_shared_cpus() const {
    for (const auto& map : machine_.maps()) {
        if (map->type() == abi::MapType::Cpumap && static_cast<const RedirectMap&>(*map).holds_programs()) {
            return Error{ENOTSUP,
                         "replay",
                         "programs in map " + map->info().name +
                             " run on its CPUs, which the workers run on themselves",
                         "replay without workers",
                         {}};
        }
    }
    return {};
}

} // namespace mimicsh::vm
