// SPDX-License-Identifier: MIT
// Replay: packet sources from captures and lists, one capture per verdict, progress.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "bindings/bpf.h"
#include "bindings/capture.h"
#include "bindings/loop.h"
#include "object/replay.h"

namespace mimicsh::lua {

namespace {

/// Packets given as a Lua list of byte strings.
class ListSource : public PacketSource {
  public:
    explicit ListSource(std::vector<ByteVec> packets) : packets_(std::move(packets)) {}
    Status next(std::vector<ByteView>& packets, size_t limit) override {
        packets.clear();
        for (; next_ < packets_.size() && packets.size() < limit; next_++) {
            packets.emplace_back(packets_[next_]);
        }
        return {};
    }

  private:
    std::vector<ByteVec> packets_;
    size_t next_ = 0;
};

/// Packets one by one, for programs that call helpers of the script's own: ^C in such a helper ends the run
/// that it was called from, and no other begins.
class StoppableSource : public PacketSource {
  public:
    explicit StoppableSource(std::unique_ptr<PacketSource> source) : source_(std::move(source)) {}
    Status next(std::vector<ByteView>& packets, size_t) override {
        packets.clear();
        is_stopped_ = interrupt_flag();
        return is_stopped_ ? Status{} : source_->next(packets, 1);
    }
    [[nodiscard]] std::span<const uint64_t> times() const override {
        return is_stopped_ ? std::span<const uint64_t>() : source_->times();
    }
    [[nodiscard]] bool is_stopped() const { return is_stopped_; }

  private:
    std::unique_ptr<PacketSource> source_;
    bool is_stopped_ = false;
};

/// One line on stderr, rewritten: packets so far, rate, and the time left when the total is known.
class Progress {
  public:
    /// limit: packets to come, 0 = not known; file: the capture being read, or null.
    Progress(uint64_t limit, const net::PcapReader* file)
        : limit_(limit), file_(file), start_(Clock::now()), last_(start_) {}
    ~Progress() {
        if (shown_) {
            std::fputs("\r\33[K", stderr);
        }
    }
    void update(const ReplayReport& report) {
        const auto now = Clock::now();
        if (now - last_ < std::chrono::milliseconds(200)) {
            return;
        }
        last_ = now;
        shown_ = true;
        const double seconds = std::chrono::duration<double>(now - start_).count();
        const double rate = static_cast<double>(report.packets) / seconds;
        std::fprintf(stderr, "\r\33[K%llu packets, %.2f Mpps",
                     static_cast<unsigned long long>(report.packets), rate / 1e6);
        if (const double left = share_left(report); left > 0 && left < 1) {
            std::fprintf(stderr, ", %.0f s left", seconds / (1 - left) * left);
        }
        std::fflush(stderr);
    }

  private:
    using Clock = std::chrono::steady_clock;
    /// What is still to do, from 0 to 1; 0 when not known.
    [[nodiscard]] double share_left(const ReplayReport& report) const {
        double done = 0;
        if (limit_ != 0) {
            done = static_cast<double>(report.packets) / static_cast<double>(limit_);
        }
        if (file_ != nullptr && file_->file_size() != 0) {
            done = std::max(done,
                            static_cast<double>(file_->position()) / static_cast<double>(file_->file_size()));
        }
        return done > 0 && done < 1 ? 1 - done : 0;
    }

    uint64_t limit_;
    const net::PcapReader* file_;
    Clock::time_point start_;
    Clock::time_point last_;
    bool shown_ = false;
};

void set_number(lua_State* L, const char* field, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

void push_counts(lua_State* L, const std::map<std::string, uint64_t>& verdicts) {
    lua_newtable(L);
    for (const auto& [verdict, count] : verdicts) {
        set_number(L, verdict.c_str(), static_cast<double>(count));
    }
}

void push_report(lua_State* L, const ReplayReport& report) {
    lua_createtable(L, 0, 10);
    set_number(L, "packets", static_cast<double>(report.packets));
    set_number(L, "bytes", static_cast<double>(report.bytes));
    set_number(L, "seconds", report.seconds);
    set_number(L, "pps", report.seconds > 0 ? static_cast<double>(report.packets) / report.seconds : 0);
    lua_pushboolean(L, report.interrupted);
    lua_setfield(L, -2, "interrupted");
    push_counts(L, report.verdicts);
    lua_setfield(L, -2, "verdicts");
    push_counts(L, report.second);
    lua_setfield(L, -2, "second");
    set_number(L, "callbacks", static_cast<double>(report.callbacks));
    set_number(L, "callback_faults", static_cast<double>(report.callback_faults));
    lua_newtable(L);
    for (const auto& [verdict, first] : report.first) {
        lua_createtable(L, 0, 2);
        set_number(L, "index", static_cast<double>(first.index));
        push_bytes(L, first.packet);
        lua_setfield(L, -2, "bytes");
        lua_setfield(L, -2, verdict.c_str());
    }
    lua_setfield(L, -2, "first");
    if (report.first_fault) {
        push_fault(L, *report.first_fault);
        lua_setfield(L, -2, "fault");
    }
    push_warnings(L, report.warnings);
    lua_setfield(L, -2, "warnings");
    lua_newtable(L);
    for (const auto& change : report.map_changes) {
        lua_createtable(L, 0, 3);
        set_number(L, "added", static_cast<double>(change.added));
        set_number(L, "removed", static_cast<double>(change.removed));
        set_number(L, "changed", static_cast<double>(change.changed));
        lua_setfield(L, -2, change.map.c_str());
    }
    lua_setfield(L, -2, "maps");
}

std::vector<ByteVec> check_packets(lua_State* L, int index) {
    std::vector<ByteVec> packets;
    for (size_t i = 1; i <= lua_objlen(L, index); i++) {
        lua_rawgeti(L, index, static_cast<int>(i));
        const ByteView bytes = as_bytes(check_string(L, lua_gettop(L), "packets"));
        packets.emplace_back(bytes.begin(), bytes.end());
        lua_pop(L, 1);
    }
    return packets;
}

/// program_replay(program, {pcap= | packets=, out=, limit=, workers=, clock=, progress=}) -> report | nil,
/// err.
int program_replay(lua_State* L) {
    Program& program = check_program(L, 1);
    Options options(L, 2, "replay");
    const auto pcap = options.string("pcap");
    const auto out = options.string("out");
    ReplayOptions replay_options;
    const auto limit = options.number("limit", 1, UINT64_MAX);
    replay_options.limit = limit.value_or(UINT64_MAX);
    const bool progress = options.boolean("progress").value_or(false);
    replay_options.workers = static_cast<uint32_t>(options.number("workers", 1, 1024).value_or(1));
    if (const auto clock = options.string("clock")) {
        if (*clock != "packets") {
            fail(L, "replay: clock: the only one is \"packets\", got '" + *clock + "'");
        }
        replay_options.packet_clock = true;
    }
    options.push("packets");
    std::vector<ByteVec> packets =
        lua_istable(L, -1) ? check_packets(L, lua_gettop(L)) : std::vector<ByteVec>{};
    const bool has_packets = lua_istable(L, -1);
    lua_pop(L, 1);
    options.finish();
    if (pcap.has_value() == has_packets) {
        fail(L, "replay: give pcap= or packets=, one of them");
    }
    const auto owner = check<ProgramRef>(L, 1, "program").owner;
    std::unique_ptr<PacketSource> source;
    uint64_t total = limit.value_or(0);
    const CaptureSource* capture = nullptr;
    if (has_packets) {
        total = packets.size();
        for (const ByteVec& packet : packets) {
            owner->inputs[program.name()].add(packet);
        }
        source = std::make_unique<ListSource>(std::move(packets));
    } else {
        auto reader = net::PcapReader::open(*pcap, &interrupt_flag());
        if (!reader) {
            return push_failure(L, reader.error());
        }
        auto made = std::make_unique<CaptureSource>(std::move(*reader));
        capture = made.get();
        source = std::move(made);
    }
    const StoppableSource* stoppable = nullptr;
    if (owner->has_own_helpers) {
        auto made = std::make_unique<StoppableSource>(std::move(source));
        stoppable = made.get();
        source = std::move(made);
    }
    std::unique_ptr<VerdictWriter> writer;
    if (out) {
        auto made = VerdictWriter::create(*out);
        if (!made) {
            return push_failure(L, made.error());
        }
        writer = std::move(*made);
        replay_options.on_packet = [&writer](uint64_t index, std::string_view verdict, ByteView packet) {
            return writer->write(index, verdict, packet);
        };
    }
    Progress line(total, capture != nullptr ? &capture->reader() : nullptr);
    if (progress) {
        replay_options.on_progress = [&line](const ReplayReport& report) { line.update(report); };
    }
    replay_options.stop = &interrupt_flag();
    auto report = [&] {
        const Running running(L, *owner);
        return replay(*owner->instance, program, *source, replay_options);
    }();
    owner->waits.wake();
    if (!report) {
        return push_failure(L, report.error());
    }
    if (writer != nullptr) {
        if (const auto closed = writer->close(); !closed) {
            return push_failure(L, closed.error());
        }
    }
    report->interrupted = report->interrupted || (capture != nullptr && capture->is_stopped()) ||
                          (stoppable != nullptr && stoppable->is_stopped());
    if (report->interrupted) {
        consume_interrupt(L); // ^C has done its work: the script goes on with what was counted so far
    }
    if (capture != nullptr && *pcap != "-") {
        owner->inputs[program.name()].add_capture(*pcap, report->packets);
    }
    push_report(L, *report);
    return 1;
}

/// program_race(program, first, second, {runs=, seed=}) -> report | nil, err.
int program_race(lua_State* L) {
    Program& program = check_program(L, 1);
    RaceOptions race;
    race.packets = {as_bytes(check_string(L, 2, "race")), as_bytes(check_string(L, 3, "race"))};
    Options options(L, 4, "race");
    race.runs = options.number("runs", 1, 1'000'000).value_or(race.runs);
    race.seed = options.number("seed", 0, UINT32_MAX).value_or(race.seed);
    options.finish();
    race.stop = &interrupt_flag();
    const auto report = program.race(race);
    if (!report) {
        return push_failure(L, report.error());
    }
    lua_createtable(L, 0, 4);
    set_number(L, "runs", static_cast<double>(report->runs));
    lua_createtable(L, static_cast<int>(report->outcomes.size()), 0);
    int at = 0;
    for (const RaceOutcome& outcome : report->outcomes) {
        lua_createtable(L, 0, 5);
        set_number(L, "count", static_cast<double>(outcome.count));
        set_number(L, "seed", static_cast<double>(outcome.seed));
        lua_pushboolean(L, outcome.serial);
        lua_setfield(L, -2, "serial");
        push_string(L, outcome.difference);
        lua_setfield(L, -2, "difference");
        lua_createtable(L, 2, 0);
        for (const size_t cpu : {size_t{0}, size_t{1}}) {
            push_string(L, outcome.faulted[cpu] ? "fault" : verdict_name(program.type(), outcome.ret[cpu]));
            lua_rawseti(L, -2, static_cast<int>(cpu) + 1);
        }
        lua_setfield(L, -2, "verdicts");
        lua_rawseti(L, -2, ++at);
    }
    lua_setfield(L, -2, "outcomes");
    if (report->first_fault) {
        push_fault(L, *report->first_fault);
        lua_setfield(L, -2, "fault");
    }
    if (report->interrupted) {
        consume_interrupt(L);
    }
    return 1;
}

constexpr Function kFunctions[] = {
    {"program_race", &guard<&program_race>},
    {"program_replay", &guard<&program_replay>},
};

} // namespace

std::span<const Function> replay_functions() {
    return kFunctions;
}

} // namespace mimicsh::lua
