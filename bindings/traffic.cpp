// SPDX-License-Identifier: MIT
// Module traffic: many packets, sent by a worker while the task waits; lua/traffic.lua checks what is asked
// for.
#include "kernel/traffic.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>

#include "bindings/loop.h"
#include "bindings/modules.h"
#include "bindings/pkt.h"

namespace mimicsh::lua {

namespace {

/// The thread gets no signals while this lives: one would end a test run halfway, with nobody to say how far.
class SignalsHeld {
  public:
    SignalsHeld() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsHeld(const SignalsHeld&) = delete;
    SignalsHeld& operator=(const SignalsHeld&) = delete;

  private:
    sigset_t before_{};
};

/// One sending. The worker and the loop share it; the loop gives it up when the worker is done.
struct Job final : kernel::NetNsUser {
    uv_work_t work{};
    std::unique_ptr<kernel::TrafficSender> sender;
    net::TrafficOptions options;
    std::atomic<bool> stop = false;
    bool is_interrupted = false; ///< by ^C: the report is about a part
    Expected<net::TrafficReport> outcome = net::TrafficReport{};
    Loop* loop = nullptr;
    Wake wake;
    std::shared_ptr<Job> self;

    void let_go() override { stop = true; }
};

/// Jobs whose worker runs. A process that leaves by os.exit waits for its workers, so they are told.
std::set<Job*>& running() {
    static std::set<Job*> jobs;
    static const int once = [] {
        return std::atexit([] {
            for (Job* job : running()) {
                job->stop = true;
            }
        });
    }();
    (void)once;
    return jobs;
}

int push_report(lua_State* L, const Job& job) {
    const auto& outcome = job.outcome;
    if (!outcome) {
        return push_failure(L, outcome.error());
    }
    lua_createtable(L, 0, 6);
    const auto number = [L](const char* name, double value) {
        lua_pushnumber(L, value);
        lua_setfield(L, -2, name);
    };
    const auto sent = static_cast<double>(outcome->sent);
    number("sent", sent);
    number("seconds", outcome->seconds);
    number("pps", outcome->seconds > 0 ? sent / outcome->seconds : 0);
    push_string(L, outcome->how);
    lua_setfield(L, -2, "how");
    if (!outcome->note.empty()) {
        push_string(L, outcome->note);
        lua_setfield(L, -2, "note");
    }
    if (job.is_interrupted) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "interrupted");
    }
    return 1;
}

void finish(uv_work_t* work, int) {
    const auto job = std::move(static_cast<Job*>(work->data)->self);
    running().erase(job.get());
    lua_State* L = job->loop->state();
    const int values = push_report(L, *job);
    job->loop->wake(job->wake, L, values);
}

/// Starts the worker and blocks the task, which gets the report, or nil and the error.
int run(lua_State* L, Expected<std::unique_ptr<kernel::TrafficSender>> sender,
        const net::TrafficOptions& options) {
    if (!sender) {
        return push_failure(L, sender.error());
    }
    Loop& loop = Loop::of(L);
    auto job = std::make_shared<Job>();
    job->sender = std::move(*sender);
    job->options = options;
    job->options.stop = &job->stop;
    job->loop = &loop;
    job->wake = loop.prepare_block(L, "traffic.send");
    job->work.data = job.get();
    job->self = job;
    const int code = uv_queue_work(
        loop.uv(), &job->work,
        [](uv_work_t* work) {
            auto* own = static_cast<Job*>(work->data);
            const SignalsHeld held;
            own->outcome = own->sender->run(own->options);
            own->sender.reset(); // takes a while: not the loop's
        },
        &finish);
    if (code != 0) {
        job->self.reset();
        return push_failure(L, errno_error(-code, "traffic.send", "worker"));
    }
    running().insert(job.get());
    loop.ends_with_lab(job);
    // When the task is gone, the worker ends; after ^C the task gets the report on what was sent.
    loop.current()->waits_on = std::shared_ptr<void>(job.get(), [job](void*) { job->stop = true; });
    loop.current()->on_interrupt = [job] { job->stop = job->is_interrupted = true; };
    return loop.block(L);
}

net::TrafficOptions check_options(lua_State* L, int index) {
    net::TrafficOptions options;
    options.count = check_unsigned(L, index, "count", 0, UINT64_MAX);
    options.rate = luaL_checknumber(L, index + 1);
    return options;
}

kernel::SendWay check_way(lua_State* L, int index) {
    const auto name = check_string(L, index, "how");
    return name == "live"       ? kernel::SendWay::kLive
           : name == "sendmmsg" ? kernel::SendWay::kSendmmsg
           : name == "xsk"      ? kernel::SendWay::kXsk
                                : kernel::SendWay::kAuto;
}

/// send_list(device, list, loops, count, rate, how) -> report | nil, err. loops and count: 0 = without end.
int send_list(lua_State* L) {
    const std::string device(check_string(L, 1, "dev"));
    std::vector<ByteVec> packets;
    for (size_t i = 1; i <= lua_objlen(L, 2); ++i) {
        lua_rawgeti(L, 2, static_cast<int>(i));
        const ByteView bytes = check_packet_bytes(L, lua_gettop(L), "packets");
        packets.emplace_back(bytes.begin(), bytes.end());
        lua_pop(L, 1);
    }
    const uint64_t loops = check_unsigned(L, 3, "loop", 0, UINT64_MAX);
    return run(
        L,
        kernel::TrafficSender::create(device, net::supply_list(std::move(packets), loops), check_way(L, 6)),
        check_options(L, 4));
}

/// send_capture(device, path, loops, count, rate, how) -> report | nil, err.
int send_capture(lua_State* L) {
    const std::string device(check_string(L, 1, "dev"));
    auto supply = net::supply_capture(std::string(check_string(L, 2, "pcap")),
                                      check_unsigned(L, 3, "loop", 0, UINT64_MAX));
    if (!supply) {
        return push_failure(L, supply.error());
    }
    return run(L, kernel::TrafficSender::create(device, std::move(*supply), check_way(L, 6)),
               check_options(L, 4));
}

net::FieldValue check_value(lua_State* L, int index, const std::string& field) {
    if (lua_type(L, index) == LUA_TSTRING) {
        return std::string(check_string(L, index, field.c_str()));
    }
    return check_unsigned(L, index, field.c_str(), 0, UINT64_MAX);
}

/// Reads {field=, kind=, from=, to=, step=, list=} on top of the stack.
net::Variation check_variation(lua_State* L) {
    const int index = lua_gettop(L);
    Options options(L, index, "vary");
    net::Variation variation;
    variation.field = options.string("field").value_or("");
    const std::string kind = options.string("kind").value_or("");
    variation.kind = kind == "random" ? net::Variation::Kind::kRandom
                     : kind == "list" ? net::Variation::Kind::kList
                                      : net::Variation::Kind::kCounter;
    const auto limit = [&](const char* name) -> std::optional<net::FieldValue> {
        options.push(name);
        const int given = lua_gettop(L);
        return lua_isnil(L, given) ? std::nullopt : std::optional(check_value(L, given, variation.field));
    };
    variation.first = limit("from");
    variation.last = limit("to");
    variation.step = static_cast<uint32_t>(options.number("step", 1, UINT32_MAX).value_or(1));
    options.push("list");
    const int list = lua_gettop(L);
    for (size_t i = 1; lua_istable(L, list) && i <= lua_objlen(L, list); ++i) {
        lua_rawgeti(L, list, static_cast<int>(i));
        variation.list.push_back(check_value(L, lua_gettop(L), variation.field));
        lua_pop(L, 1);
    }
    options.finish();
    lua_settop(L, index);
    return variation;
}

/// send_template(device, packet, variations, count, rate, how, seed) -> report | nil, err.
int send_template(lua_State* L) {
    const std::string device(check_string(L, 1, "dev"));
    const net::Packet packet = check<PacketBox>(L, 2, "template").packet;
    std::vector<net::Variation> variations;
    for (size_t i = 1; i <= lua_objlen(L, 3); ++i) {
        lua_rawgeti(L, 3, static_cast<int>(i));
        variations.push_back(check_variation(L));
        lua_pop(L, 1);
    }
    const auto made = net::PacketTemplate::make(packet, variations);
    if (!made) {
        fail(L, made.error().message());
    }
    const uint64_t seed = check_unsigned(L, 7, "seed", 0, UINT64_MAX);
    return run(L, kernel::TrafficSender::create(device, *made, seed, check_way(L, 6)), check_options(L, 4));
}

constexpr Function kTraffic[] = {
    {"send_list", &guard<&send_list>},
    {"send_capture", &guard<&send_capture>},
    {"send_template", &guard<&send_template>},
};

} // namespace

void open_traffic(lua_State* L) {
    register_packet(L);
    lua_newtable(L);
    set_functions(L, "traffic.", kTraffic);
}

} // namespace mimicsh::lua
