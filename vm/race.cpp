// SPDX-License-Identifier: MIT
// Taking turns, and comparing what comes of it with what either order gives.
#include "vm/race.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <thread>

#include "object/replay.h"
#include "vm/interp.h"
#include "vm/report.h"
#include "vm/trace.h"
#include "vm/workers.h"

namespace mimicsh::vm {

namespace {

// -- Turns --

/// Who of two threads may go on; a seeded generator decides after each instruction.
class Turns {
  public:
    explicit Turns(uint64_t seed)
        : state_(seed * 0x9e3779b97f4a7c15 + 1), one_in_(2 + (next() % 4) * (next() % 5)) {
        whose_ = static_cast<int>(next() % 2);
    }

    void begin(int me) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return whose_ == me; });
    }
    void step(int me) {
        if (next() % one_in_ == 0) {
            give(me);
        }
    }
    /// Lets the other go on, if it has not finished, and waits for the turn to come back.
    void give(int me) {
        std::unique_lock lock(mutex_);
        if (finished_[1 - me]) {
            return;
        }
        whose_ = 1 - me;
        changed_.notify_all();
        changed_.wait(lock, [&] { return whose_ == me; });
    }
    void finish(int me) {
        const std::lock_guard lock(mutex_);
        finished_[me] = true;
        whose_ = 1 - me;
        changed_.notify_all();
    }

  private:
    /// xorshift64; only the thread whose turn it is asks.
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ >> 11;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t state_;
    uint64_t one_in_; ///< a switch every so many steps, on average
    int whose_ = 0;
    bool finished_[2] = {};
};

// -- What came of it --

using Entries = std::map<ByteVec, ByteVec>;

struct Effects {
    std::array<uint32_t, 2> ret{};
    std::array<ByteVec, 2> packet;
    std::array<bool, 2> faulted{};
    std::vector<Entries> maps;
    friend bool operator==(const Effects&, const Effects&) = default;
};

constexpr uint64_t kMostEntries = 4096; // of a map that is compared

bool is_compared(const VmMap& map) {
    return holds_plain_entries(map.type()) &&
           (map.info().max_entries <= kMostEntries || map.type() == abi::MapType::Hash);
}

Entries entries_of(VmMap& map) {
    Entries all;
    MapCursor cursor;
    const size_t key_size = map.info().key_size;
    const size_t value_size = host_value_size(map.info());
    while (!cursor.done && all.size() < kMostEntries) {
        ByteVec keys;
        ByteVec values;
        const auto count = map.next_batch(cursor, keys, values, 256);
        if (!count) {
            break;
        }
        for (size_t i = 0; i < *count; ++i) {
            const auto key = ByteView(keys).subspan(i * key_size, key_size);
            const auto value = ByteView(values).subspan(i * value_size, value_size);
            all[ByteVec(key.begin(), key.end())] = ByteVec(value.begin(), value.end());
        }
    }
    return all;
}

std::string value_text(const Entries& entries, const ByteVec& key) {
    const auto found = entries.find(key);
    return found == entries.end() ? "absent" : to_hex(found->second);
}

std::string end_text(const Effects& effects, size_t cpu) {
    return effects.faulted[cpu] ? "faulted" : "returned " + std::to_string(effects.ret[cpu]);
}

/// Where an outcome differs from a serial one, a few lines.
std::string difference(const Machine& machine, const Effects& here, const Effects& serial) {
    std::string text;
    for (const size_t cpu : {size_t{0}, size_t{1}}) {
        if (const std::string now = end_text(here, cpu), then = end_text(serial, cpu); now != then) {
            text += "CPU " + std::to_string(cpu) + " " + now + ", in order " + then + "\n";
        }
        if (here.packet[cpu] != serial.packet[cpu]) {
            text += "the packet of CPU " + std::to_string(cpu) + " ends otherwise\n";
        }
    }
    for (size_t i = 0; i < here.maps.size(); ++i) {
        Entries keys = here.maps[i];
        keys.insert(serial.maps[i].begin(), serial.maps[i].end());
        for (const auto& [key, value] : keys) {
            const std::string now = value_text(here.maps[i], key);
            const std::string then = value_text(serial.maps[i], key);
            if (now != then && text.size() < 600) {
                text += "map " + machine.maps()[i]->info().name + " key " + to_hex(key) + ": " + now +
                        ", in order " + then + "\n";
            }
        }
    }
    return text;
}

// -- Running --

class Race {
  public:
    Race(LoadedProgram& program, Machine& main, const RaceOptions& options)
        : program_(program), options_(options), journal_(main.journal) {
        for (uint32_t cpu = 0; cpu < 2; ++cpu) {
            machines_[cpu] =
                std::make_unique<Machine>(main.options, main.options.cpus, main.frame_limit, &journal_);
            machines_[cpu]->share_maps(main);
            machines_[cpu]->make_room_for(program.type());
            machines_[cpu]->cpu = cpu;
            machines_[cpu]->execute = execute_traced;
        }
    }

    /// Nothing: more was changed than can be put back.
    std::optional<Effects> in_order(int first) {
        journal_.join();
        run(first, nullptr);
        run(1 - first, nullptr);
        return finish();
    }

    std::optional<Effects> interleaved(uint64_t seed) {
        journal_.join();
        Turns turns(seed);
        CpuGroup group([&](Machine& machine) { turns.give(machine.cpu == 0 ? 0 : 1); });
        const auto body = [&](int cpu) {
            machines_[static_cast<size_t>(cpu)]->group = &group;
            turns.begin(cpu);
            run(cpu, &turns);
            turns.finish(cpu);
            machines_[static_cast<size_t>(cpu)]->group = nullptr;
        };
        std::thread other(body, 1);
        body(0);
        other.join();
        return finish();
    }

    /// Whether the program calls only what CPUs can share.
    [[nodiscard]] Status check() {
        CpuGroup group([](Machine&) {});
        machines_[0]->group = &group;
        const auto code = program_.shared_code(*machines_[0]);
        machines_[0]->group = nullptr;
        return code ? Status{} : Status(code.error());
    }

    [[nodiscard]] const Machine& machine() const { return *machines_[0]; }
    [[nodiscard]] const std::optional<Fault>& fault() const { return fault_; }

  private:
    void run(int cpu, Turns* turns) {
        Machine& machine = *machines_[static_cast<size_t>(cpu)];
        Tracer tracer(false);
        if (turns != nullptr) {
            tracer.on_step([turns, cpu] { turns->step(cpu); });
        }
        machine.tracer = &tracer;
        machine.stop = options_.stop;
        program_.run_on(machine, options_.packets[static_cast<size_t>(cpu)], program_.code(true));
        const auto at = static_cast<size_t>(cpu);
        effects_.faulted[at] = machine.pending.has_value();
        effects_.ret[at] = machine.pending ? 0 : static_cast<uint32_t>(machine.regs[0]);
        if (machine.pending && !fault_) {
            fault_ = make_fault(machine, *machine.pending, nullptr);
        }
        effects_.packet[at].clear();
        program_.context()->packet_after(machine, effects_.packet[at]);
        machine.end_run();
        machine.tracer = nullptr;
    }

    std::optional<Effects> finish() {
        effects_.maps.clear();
        for (const auto& map : machines_[0]->maps()) {
            effects_.maps.push_back(is_compared(*map) ? entries_of(*map) : Entries{});
        }
        return journal_.part() ? std::optional(effects_) : std::nullopt;
    }

    LoadedProgram& program_;
    const RaceOptions& options_;
    Journal& journal_;
    std::array<std::unique_ptr<Machine>, 2> machines_;
    Effects effects_;
    std::optional<Fault> fault_;
};

} // namespace

Expected<RaceReport> find_races(LoadedProgram& program, Machine& main, const RaceOptions& options) {
    if (main.options.cpus < 2) {
        return Error{EINVAL, "race", "the vm has one CPU", "give cpus=2 at load", {}};
    }
    if (!main.options.helpers.empty()) {
        return Error{
            ENOTSUP, "race", "helpers of one's own are called on one thread, and a race has two", {}, {}};
    }
    if (auto ok = check_shared_maps(main, "race", ""); !ok) {
        return ok.error();
    }
    const auto is_arena = [](const auto& map) { return map->type() == abi::MapType::Arena; };
    if (std::ranges::any_of(main.maps(), is_arena)) {
        return Error{ENOTSUP, "race", "what runs leave in arenas is not compared", {}, {}};
    }
    for (const ByteView packet : options.packets) {
        if (auto ok = program.context()->check(program.name(), packet, {}); !ok) {
            return ok.error();
        }
    }
    const Error too_much{ENOTSUP, "race", "the runs change more than can be put back", {}, {}};
    Race race(program, main, options);
    if (auto ok = race.check(); !ok) {
        return ok.error();
    }
    std::vector<Effects> serial;
    for (const int first : {0, 1}) {
        auto effects = race.in_order(first);
        if (!effects) {
            return too_much;
        }
        serial.push_back(std::move(*effects));
    }
    RaceReport report;
    std::vector<Effects> kinds;
    for (uint64_t seed = options.seed; seed < options.seed + options.runs; ++seed) {
        if (options.stop != nullptr && options.stop->load()) {
            report.interrupted = true;
            break;
        }
        auto effects = race.interleaved(seed);
        if (!effects) {
            return too_much;
        }
        ++report.runs;
        const auto known = std::ranges::find(kinds, *effects);
        if (known != kinds.end()) {
            ++report.outcomes[static_cast<size_t>(known - kinds.begin())].count;
            continue;
        }
        RaceOutcome outcome;
        outcome.count = 1;
        outcome.seed = seed;
        outcome.ret = effects->ret;
        outcome.faulted = effects->faulted;
        outcome.serial = std::ranges::find(serial, *effects) != serial.end();
        if (!outcome.serial) {
            outcome.difference = difference(race.machine(), *effects, serial.front());
        }
        report.outcomes.push_back(std::move(outcome));
        kinds.push_back(std::move(*effects));
    }
    report.first_fault = race.fault();
    return report;
}

} // namespace mimicsh::vm
