// SPDX-License-Identifier: MIT
// Driving both sides, and explaining what differs.
#include "tests/difffuzz/fuzzer.h"

#include <algorithm>
#include <cstdio>

#include <sched.h>

#include "tests/difffuzz/shrink.h"

namespace mimicsh::difffuzz {

int pin(int wanted) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return -1;
    }
    for (int cpu = CPU_SETSIZE - 1; wanted < 0 && cpu >= 0; --cpu) {
        wanted = CPU_ISSET(cpu, &allowed) ? cpu : wanted;
    }
    CPU_ZERO(&allowed);
    CPU_SET(static_cast<size_t>(wanted), &allowed);
    return sched_setaffinity(0, sizeof allowed, &allowed) == 0 ? wanted : -1;
}

std::optional<std::string> Fuzzer::difference(const Case& which) {
    linked_ = vm_.load(which, here_);
    if (linked_ == nullptr) {
        auto linked = link(which.object, 0, {});
        if (!linked) {
            there_.refusal = linked.error().message();
            return std::nullopt;
        }
        own_ = std::move(*linked);
        linked_ = &own_;
    }
    kernel_->run(which, *linked_, there_);
    if (!there_.refusal.empty()) {
        return std::nullopt;
    }
    if (here_.refusal.empty()) {
        vm_.run(which, here_);
    }
    const uint64_t ran = now_ns();
    std::string text = compare(here_, there_, which);
    compare_ns_ += now_ns() - ran;
    return text;
}

Fuzzer::Verdict Fuzzer::run(uint64_t seed, std::string& text) {
    const uint64_t begin = now_ns();
    const Case which = generate(seed, shape_);
    generate_ns_ += now_ns() - begin;
    auto differs = difference(which);
    if (!differs) {
        statistics_.refused(there_.refusal);
        text = there_.refusal;
        return Verdict::Refused;
    }
    text = std::move(*differs);
    if (!text.empty()) {
        return Verdict::Different;
    }
    statistics_.accepted(which, *linked_, load<uint64_t>(there_.packets.back().out.data() + kOutEnds));
    return Verdict::Equal;
}

std::string Fuzzer::explain(uint64_t seed, bool with_bisect) {
    const Case which = generate(seed, shape_);
    if (difference(which).value_or("").empty()) {
        return "no difference when it is run again\n";
    }
    // Without an instruction that overwrites a pointer, the pointer may end up in the results.
    const bool modest = kernel_->shows_no_pointer(which, *linked_);
    const bool refused = !here_.refusal.empty();
    const Oracle oracle = [&](const Case& smaller) {
        std::string differs = difference(smaller).value_or("");
        const bool other = here_.refusal.empty() == refused;
        const bool shows =
            !differs.empty() && !other && modest && !kernel_->shows_no_pointer(smaller, *linked_);
        return other || shows ? std::string() : differs;
    };
    const Case small = shrink(which, oracle, !modest);
    std::string text = "shrunk: " + oracle(small) + "\n" + listing(small);
    if (with_bisect) {
        const std::string first = bisect(small, oracle);
        text += "first instruction that differs: " + (first.empty() ? "not found" : first) +
                "\ntrace of the vm:\n" + vm_.trace(small);
    }
    return text;
}

std::string Fuzzer::rate() const {
    const auto all = static_cast<double>(now_ns() - began_);
    const auto share = [&](uint64_t ns) { return 100.0 * static_cast<double>(ns) / all; };
    const Nanoseconds& ours = vm_.spent;
    const Nanoseconds& theirs = kernel_->spent;
    const double kernel = share(theirs.load + theirs.run + theirs.maps);
    const uint64_t slots = std::max<uint64_t>(statistics_.slots(), 1);
    const std::string verifier =
        kernel_->verified == 0 ? "" : "; verifier " + std::to_string(kernel_->verified / slots) + " per slot";
    std::array<char, 320> text{};
    std::snprintf(text.data(), text.size(),
                  "rate: %.0f programs/s over %.1f s; kernel %.0f %% (load %.0f, runs %.0f, maps %.0f), ours "
                  "%.0f %% (generate %.0f, vm load %.0f, vm runs %.0f, vm maps %.0f, compare %.0f)%s\n",
                  static_cast<double>(statistics_.programs()) / all * 1e9, all * 1e-9, kernel,
                  share(theirs.load), share(theirs.run), share(theirs.maps), 100 - kernel,
                  share(generate_ns_), share(ours.load), share(ours.run), share(ours.maps),
                  share(compare_ns_), verifier.c_str());
    return text.data();
}

} // namespace mimicsh::difffuzz
