// SPDX-License-Identifier: MIT
// Runs and host calls on a loaded object, chosen by the input.
#include "tests/fuzz/vm_exercise.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "tests/unit/vm/raw.h"
#include "vm/world.h"

namespace mimicsh::fuzz {

namespace {

constexpr uint32_t kWitnessAnswer = 42;
constexpr std::string_view kWitness = "witness";
constexpr size_t kMaxSteps = 16;
constexpr double kMaxSeconds = 1.0; // of processor time
constexpr double kMaxRacing = 4.0;  // with a race, whose threads change places thousands of times

constexpr std::string_view kWorld = R"({
  "interfaces": [
    {"name": "eth0", "index": 2, "mtu": 1500, "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1/24", "2001:db8::1/64"]},
    {"name": "eth1", "index": 3, "mtu": 68, "mac": "02:00:00:00:00:02", "addresses": ["192.168.7.1/31"], "forwarding": false},
    {"name": "wg0", "index": 1000000, "mtu": 65535}],
  "routes": [
    {"to": "default", "via": "10.0.0.254", "dev": "eth0"},
    {"to": "10.1.0.0/16", "dev": "eth0", "mtu": 600, "metric": 5},
    {"to": "10.2.0.0/16", "type": "blackhole"}, {"to": "10.3.0.0/16", "type": "prohibit"},
    {"to": "10.4.0.0/16", "dev": "eth1", "encap": true}, {"to": "10.5.0.0/16", "type": "unreachable"},
    {"to": "default", "via": "2001:db8::fe", "dev": "eth0"}, {"to": "2001:db8:1::/48", "type": "throw"}],
  "neighbours": [
    {"ip": "10.0.0.254", "dev": "eth0", "mac": "02:00:00:00:00:fe"},
    {"ip": "2001:db8::fe", "dev": "eth0", "mac": "02:00:00:00:00:fd"}],
  "sockets": [
    {"proto": "tcp", "local": "10.0.0.1:80", "mss": 1460, "syn_queue_full": true, "cgroup": {"id": 9, "ancestors": [1, 9]},
     "tcp": {"snd_cwnd": 10}},
    {"proto": "tcp", "local": "10.0.0.1:80", "peer": "10.0.0.2:1234", "tcp": {"srtt_us": 1, "bytes_acked": 5000000000}},
    {"proto": "udp", "local": "0.0.0.0:53", "mark": 7, "rx_queue": 3},
    {"proto": "tcp", "local": "[::]:80", "v6only": true}],
  "task": {"pid": 7, "tgid": 7, "uid": 1000, "gid": 1000, "comm": "fuzz", "ns": {"dev": 4, "ino": 5, "pid": 1, "tgid": 1}},
  "cgroup": {"id": 9, "ancestors": [1, 5, 9], "classid": 65537},
  "socket": {"cookie": 5, "uid": 1000, "is": 1},
  "conntrack": [
    {"proto": "tcp", "source": "10.0.0.2:1234", "destination": "10.0.0.1:80", "status": 14, "timeout_ms": 1000},
    {"proto": "udp", "source": "[2001:db8::2]:53", "destination": "[2001:db8::1]:53", "zone": 3}],
  "tunnel": {"id": 77, "remote": "10.9.9.9", "local": "10.9.9.1", "tos": 4, "ttl": 64, "flags": 4, "options": "0102030405060708"},
  "xfrm": [{"reqid": 1, "spi": 2, "remote": "10.9.9.9"}, {"reqid": 3, "spi": 4, "remote": "2001:db8::9"}],
  "rx": {"timestamp": 12345, "hash": 99, "hash_type": 1, "vlan_tci": 100},
  "tc_ingress": true, "netns_cookie": 4, "route_realm": 3, "tcp_syncookies": 2, "numa_node": 0, "cpu": 1,
  "time": {"ns": 1000000000, "boot_ns": 2000000000, "tai_ns": 1700000000000000000})";

/// The world, of socket buffers in one piece or with what is behind 40 bytes in pages.
std::shared_ptr<const vm::World> rich_world(bool paged) {
    const auto parse = [](const std::string& text) {
        auto parsed = vm::parse_world(text);
        if (!parsed) {
            std::fprintf(stderr, "%s\n", parsed.error().message().c_str());
            std::abort();
        }
        return *parsed;
    };
    static const auto linear_world = parse(std::string(kWorld) + "}");
    static const auto paged_world = parse(std::string(kWorld) + R"(, "linear": 40})");
    return paged ? paged_world : linear_world;
}

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    std::abort();
}

/// Ethernet, IPv4 and TCP that meet the world's sockets and routes, overwritten by the input here and there.
ByteVec choose_packet(Source& source) {
    static constexpr std::array<uint32_t, 22> kSizes{14,   15,   20,    34,    54,    60,   64,   65,
                                                     128,  256,  600,   1500,  1514,  3519, 3520, 3521,
                                                     4096, 7616, 65535, 70000, 73152, 0};
    static constexpr uint8_t kHeaders[] = {
        2,    0,    0, 0,  0, 1, 2, 0, 0,  0, 0, 0xfe, 8,    0,                     // Ethernet
        0x45, 0,    0, 40, 0, 1, 0, 0, 64, 6, 0, 0,    10,   0, 0,  2, 10, 0, 0, 1, // IPv4
        4,    0xd2, 0, 80, 0, 0, 0, 1, 0,  0, 0, 0,    0x50, 2, 16, 0, 0,  0, 0, 0  // TCP
    };
    ByteVec packet(source.chance(70) ? source.pick(kSizes) : source.below(2000));
    std::copy_n(kHeaders, std::min(sizeof kHeaders, packet.size()), packet.begin());
    for (uint32_t left = source.below(6); left != 0 && !packet.empty(); --left) {
        const size_t at = source.below(std::min<size_t>(packet.size(), 80));
        const ByteView bytes = source.take(std::min<size_t>(packet.size() - at, 1u + source.below(8)));
        std::copy(bytes.begin(), bytes.end(), packet.begin() + static_cast<ptrdiff_t>(at));
    }
    return packet;
}

ByteVec choose_context(Source& source) {
    static constexpr std::array<uint32_t, 8> kSizes{24, 192, 0, 1, 20, 184, 191, 256};
    ByteVec context(source.pick(kSizes));
    for (uint32_t left = source.below(5); left != 0 && context.size() >= 4; --left) {
        const auto value = static_cast<uint32_t>(source.hostile());
        std::memcpy(context.data() + source.below(context.size() / 4) * 4, &value, sizeof value);
    }
    return context;
}

void run_one(Program& program, Source& source) {
    RunOptions run;
    const ByteVec packet = choose_packet(source);
    if (source.chance(40)) {
        run.context = choose_context(source);
    }
    if (source.chance(20)) {
        run.repeat = 1 + source.below(5);
    }
    if (source.chance(20)) {
        run.cpu = source.below(3);
    }
    run.trace = source.chance(20);
    run.record_inputs = source.chance(10);
    const auto result = program.run(packet, run);
    if (result && result->fault && result->fault->cause.empty()) {
        fail("a fault without a cause");
    }
}

void run_batch(Program& program, Source& source) {
    std::vector<ByteVec> packets;
    for (uint32_t left = 1 + source.below(4); left != 0; --left) {
        packets.push_back(choose_packet(source));
    }
    std::vector<BatchItem> items(packets.size());
    for (size_t i = 0; i < items.size(); ++i) {
        items[i].in = packets[i];
    }
    std::optional<Fault> fault;
    std::vector<Warning> warnings;
    BatchOptions options;
    options.want_packets = source.flag();
    options.workers = source.chance(25) ? 2 + source.below(2) : 1;
    options.first_fault = source.flag() ? &fault : nullptr;
    options.warnings = source.flag() ? &warnings : nullptr;
    (void)program.run_batch(items, options).has_value();
    size_t sum = 0; // reads all that was handed out
    for (const BatchItem& item : items) {
        for (const uint8_t byte : item.out) {
            sum += byte;
        }
    }
    (void)sum;
}

/// Few and short ones: each instruction may hand over to another thread.
void run_race(Program& program, Source& source) {
    const std::array<ByteVec, 2> packets{choose_packet(source), choose_packet(source)};
    RaceOptions options;
    options.packets = {packets[0], packets[1]};
    options.runs = 1 + source.below(3);
    options.seed = source.byte();
    const auto report = program.race(options);
    if (report && report->runs != options.runs) {
        fail("a race without all its runs");
    }
}

ByteVec choose_bytes(Source& source, size_t usual) {
    ByteVec bytes(source.chance(95) ? usual : source.below(300));
    const ByteView given = source.take(std::min<size_t>(bytes.size(), source.below(24)));
    std::copy(given.begin(), given.end(), bytes.begin());
    return bytes;
}

/// One call of the host on one map; most have right sizes.
void call_map(Instance& instance, Map& map, Source& source) {
    const MapInfo& info = map.info();
    const ByteVec key = choose_bytes(source, info.key_size);
    ByteVec value = choose_bytes(source, host_value_size(info));
    const uint64_t flags = source.chance(70) ? source.below(5) : source.hostile();
    switch (source.below(16)) {
    case 0:
    case 1:
    case 2:
        (void)map.update(key, value, flags).has_value();
        break;
    case 3:
        (void)map.lookup(key, value).has_value();
        break;
    case 4:
        (void)map.erase(key).has_value();
        break;
    case 5:
        (void)map.take(key, value).has_value();
        break;
    case 6: {
        ByteVec at, next(info.key_size);
        for (int left = 40; left != 0; --left) {
            const auto more = map.next_key(at, next);
            if (!more || !*more) {
                break;
            }
            at = next;
        }
        (void)map.next_key(key, next).has_value();
        break;
    }
    case 7: {
        MapCursor cursor;
        for (int left = 8; left != 0 && !cursor.done; --left) {
            ByteVec keys, values;
            if (!map.next_batch(cursor, keys, values, 1 + source.below(20))) {
                break;
            }
            if (source.chance(30) && keys.size() >= info.key_size) {
                (void)map.erase(ByteView(keys).first(info.key_size)).has_value();
            }
        }
        break;
    }
    case 8:
        (void)(source.chance(10) ? map.freeze().has_value() : map.listen().has_value());
        break;
    case 9:
        (void)map
            .put_program(static_cast<uint32_t>(source.hostile() % 5),
                         *instance.programs()[source.below(instance.programs().size())])
            .has_value();
        break;
    case 10:
        (void)map
            .put_target(key, source.below(4), *instance.programs()[source.below(instance.programs().size())],
                        flags)
            .has_value();
        break;
    case 11:
        (void)map.put_map(key, *instance.maps()[source.below(instance.maps().size())], flags).has_value();
        break;
    case 12:
        (void)map
            .consume([](ByteView record, uint32_t) {
                size_t sum = 0;
                for (const uint8_t byte : record) {
                    sum += byte;
                }
                (void)sum;
            })
            .has_value();
        break;
    case 13:
        (void)map.send(choose_bytes(source, source.below(200))).has_value();
        break;
    default: {
        const ByteSpan live = map.live_bytes();
        for (uint32_t left = source.below(8); left != 0 && live.size() >= 8; --left) {
            const uint64_t number = source.hostile();
            std::memcpy(live.data() + source.below(live.size() / 8) * 8, &number, sizeof number);
        }
        break;
    }
    }
}

/// Gives device and CPU maps a target with a program that is made for one.
void aim(Instance& instance, Source& source) {
    for (Map* map : instance.maps()) {
        const abi::MapType type = map->info().type;
        if (type != abi::MapType::Devmap && type != abi::MapType::DevmapHash &&
            type != abi::MapType::Cpumap) {
            continue;
        }
        for (Program* program : instance.programs()) {
            const uint32_t key = source.below(2);
            ByteVec bytes(sizeof key);
            store(bytes.data(), key);
            (void)map->put_target(bytes, 1 + source.below(2), *program, 0).has_value();
        }
    }
}

/// `may_race`: no race came before.
void step(Instance& instance, Source& source, bool& may_race) {
    const auto programs = instance.programs();
    const auto maps = instance.maps();
    const uint32_t what = source.below(16);
    if (what < 6 && !programs.empty()) {
        run_one(*programs[source.below(programs.size())], source);
    } else if (what < 7 && !programs.empty() && may_race) {
        may_race = false;
        run_race(*programs[source.below(programs.size())], source);
    } else if (what < 9 && !programs.empty()) {
        run_batch(*programs[source.below(programs.size())], source);
    } else if (what < 10) {
        (void)instance.advance(source.hostile()).has_value();
    } else if (!maps.empty() && !programs.empty()) {
        call_map(instance, *maps[source.below(maps.size())], source);
    }
}

} // namespace

vm::Options choose_options(Source& source) {
    vm::Options options;
    options.mode = source.chance(60) ? vm::Mode::Permissive : vm::Mode::Strict;
    options.sanitize_fault = source.chance(10);
    static constexpr std::array<uint64_t, 8> kBudgets{3000, 3000, 3000, 3000, 3000, 0, 17, 20000};
    static constexpr std::array<uint32_t, 8> kCpus{2, 2, 2, 2, 3, 1, 8, 64};
    static constexpr std::array<uint64_t, 8> kLimits{16 << 20, 16 << 20, 16 << 20, 16 << 20,
                                                     16 << 20, 64 << 20, 1 << 20,  70000};
    options.budget = source.pick(kBudgets);
    options.cpus = source.pick(kCpus);
    options.memory_limit = source.pick(kLimits);
    options.world = source.chance(90) ? rich_world(source.chance(30)) : nullptr;
    return options;
}

void add_witness(Object& object) {
    using namespace test;
    Function function;
    function.name = kWitness;
    function.section = "xdp";
    function.spec = ProgramSpec{abi::ProgType::Xdp, abi::AttachType::Xdp, 0, {}};
    function.insns = {load(op::kW, 2, 1, 0),
                      load(op::kW, 3, 1, 4),
                      mov(0, 1),
                      mov_reg(4, 2),
                      add(4, 4),
                      insn(op::kJmp | op::kJgt | op::kX, 4, 3, 4, 0),
                      load(op::kW, 5, 2, 0),
                      store_reg(op::kW, 10, -4, 5),
                      load(op::kW, 0, 10, -4),
                      jump(0),
                      exit_insn()};
    object.functions.push_back(std::move(function));
}

void exercise(std::shared_ptr<const Object> object, const vm::Options& options, Source& source) {
    const std::clock_t begin = std::clock();
    LoadOptions load;
    if (source.chance(50)) {
        load.kernel_btf = object->btf; // so that hostile types are also the kernel's
    }
    const bool is_short = options.budget <= 3000;
    bool may_race = is_short;
    auto instance = vm::make_target(options)->load(std::move(object), load);
    if (instance) {
        if (source.chance(40)) {
            aim(**instance, source);
        }
        for (size_t steps = 0; steps < kMaxSteps && (steps < 3 || !source.empty()); ++steps) {
            step(**instance, source, may_race);
        }
        ByteVec packet(64);
        packet[0] = kWitnessAnswer;
        RunOptions plain;
        const auto result = (*instance)->find_program(kWitness)->run(packet, plain);
        if (!result || result->fault || result->ret != kWitnessAnswer || !result->warnings.empty()) {
            fail("the witness: " + (!result         ? result.error().message()
                                    : result->fault ? result->fault->report
                                                    : std::to_string(result->ret)));
        }
    }
    instance = Error{};
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > (may_race == is_short ? kMaxSeconds : kMaxRacing)) {
        fail("one input took " + std::to_string(seconds) + " s");
    }
}

} // namespace mimicsh::fuzz
