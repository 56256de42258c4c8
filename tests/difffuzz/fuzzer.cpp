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

bool Fuzzer::link_for_kernel(const Case& which) {
    std::shared_ptr<const Object> object = which.object;
    if (which.has(Feature::NaturalInput)) {
        auto aligned = align_inputs(object, {.values_per_site = kInputValues});
        if (!aligned) {
            there_.refusal = aligned.error().message();
            return false;
        }
        object = aligned->object;
        if (!aligned->sites.empty()) {
            aligned_ = std::move(*aligned);
        }
    }
    auto linked = link(object, 0, {});
    if (!linked) {
        there_.refusal = linked.error().message();
        return false;
    }
    own_ = std::move(*linked);
    for_kernel_ = &own_;
    linked_ = linked_ == nullptr ? &own_ : linked_;
    align_ns_ += watch_.lap();
    return true;
}

namespace {

/// An address of the vm's beside one of the kernel's: they name the same, and never are the same.
bool are_pointers(uint64_t ours, uint64_t theirs) {
    const uint64_t low = ours & 0xffffffff;
    return ours >> 32 != 0 && ours >> 48 == 0 && low >= 0x30000000 && low < 0x50000000 &&
           theirs >> 47 == (uint64_t{1} << 17) - 1;
}

/// Whether a pointer is among the results of some packet.
bool results_are_pointers(const Outcome& ours, const Outcome& theirs) {
    for (size_t i = 0; i < ours.packets.size() && i < theirs.packets.size(); ++i) {
        const ByteVec& here = ours.packets[i].out;
        const ByteVec& there = theirs.packets[i].out;
        for (size_t at = 0; at + 8 <= here.size() && at + 8 <= there.size(); at += 8) {
            if (are_pointers(load<uint64_t>(here.data() + at), load<uint64_t>(there.data() + at))) {
                return true;
            }
        }
    }
    return false;
}

} // namespace

bool Fuzzer::probe_differs(const Case& probed) {
    (void)watch_.lap();
    if (!difference(probed) || !here_.refusal.empty()) {
        return false;
    }
    for (size_t i = 0; i < probed.inputs.size(); ++i) {
        const PacketOutcome& here = here_.packets[i];
        const PacketOutcome& there = there_.packets[i];
        if (!here.fault.empty() || !there.fault.empty()) {
            continue;
        }
        const auto ours = load<uint64_t>(here.out.data() + kOutProbe);
        const auto theirs = load<uint64_t>(there.out.data() + kOutProbe);
        if (ours != theirs) {
            return !are_pointers(ours, theirs);
        }
    }
    return false;
}

bool Fuzzer::shows_no_pointer(const Case& which) {
    std::vector<MapId> maps = which.maps;
    if (aligned_) {
        maps.push_back(MapId::Inputs);
    }
    return kernel_->shows_no_pointer(maps, *for_kernel_);
}

std::optional<std::string> Fuzzer::difference(const Case& which) {
    linked_ = for_kernel_ = vm_.load(which, here_, watch_);
    aligned_.reset();
    if ((which.has(Feature::NaturalInput) || linked_ == nullptr) && !link_for_kernel(which)) {
        return std::nullopt;
    }
    // Runs that the kernel refuses are rare, so a run for its inputs' sake is seldom in vain.
    if (aligned_ && here_.refusal.empty()) {
        vm_.run(which, here_, watch_);
    }
    here_.packets.resize(which.inputs.size());
    kernel_->run(which, *for_kernel_, there_, aligned_ ? &*aligned_ : nullptr, here_, watch_);
    if (!there_.refusal.empty()) {
        return std::nullopt;
    }
    if (!aligned_ && here_.refusal.empty()) {
        vm_.run(which, here_, watch_);
    }
    std::string text = compare(here_, there_, which);
    compare_ns_ += watch_.lap();
    return text;
}

Fuzzer::Verdict Fuzzer::run(uint64_t seed, std::string& text) {
    (void)watch_.lap();
    case_ = generate(seed, shape_, std::move(case_.inputs));
    generate_ns_ += watch_.lap();
    auto differs = difference(case_);
    if (!differs) {
        statistics_.refused(there_.refusal);
        text = there_.refusal;
        return Verdict::Refused;
    }
    text = std::move(*differs);
    if (!text.empty()) {
        return Verdict::Different;
    }
    statistics_.accepted(case_, *linked_, load<uint64_t>(there_.packets.back().out.data() + kOutEnds));
    return Verdict::Equal;
}

std::string Fuzzer::explain(uint64_t seed, bool with_bisect) {
    const Case which = generate(seed, shape_);
    if (difference(which).value_or("").empty()) {
        return "no difference when it is run again\n";
    }
    // Without an instruction that overwrites a pointer, the pointer may end up in the results.
    const bool modest = shows_no_pointer(which);
    const bool refused = !here_.refusal.empty();
    const bool shows_pointers = !refused && results_are_pointers(here_, there_);
    const Oracle oracle = [&](const Case& smaller) {
        (void)watch_.lap();
        std::string differs = difference(smaller).value_or("");
        const bool other = here_.refusal.empty() == refused;
        // What is read before it is written may be anything.
        const bool unclear = std::ranges::any_of(here_.packets, &PacketOutcome::warned) ||
                             (!shows_pointers && results_are_pointers(here_, there_));
        const bool shows = !differs.empty() && !other && modest && !shows_no_pointer(smaller);
        return other || unclear || shows ? std::string() : differs;
    };
    const Case small = shrink(which, oracle, !modest);
    std::string text = "shrunk: " + oracle(small) + "\n" + listing(small);
    if (with_bisect) {
        const std::string first = bisect(small, [&](const Case& probed) { return probe_differs(probed); });
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
    const auto programs = static_cast<double>(statistics_.programs());
    std::array<char, 384> text{};
    std::snprintf(
        text.data(), text.size(),
        "rate: %.0f programs/s over %.1f s, %.0f per second of processor time; kernel %.0f %% (load %.0f, "
        "runs %.0f, maps %.0f), ours "
        "%.1f %% (generate %.0f, align %.0f, vm load %.0f, vm runs %.0f, vm maps %.0f, compare %.0f)%s\n",
        programs / all * 1e9, all * 1e-9, programs / static_cast<double>(cpu_ns() - cpu_began_) * 1e9, kernel,
        share(theirs.load), share(theirs.run), share(theirs.maps), 100 - kernel, share(generate_ns_),
        share(align_ns_), share(ours.load), share(ours.run), share(ours.maps), share(compare_ns_),
        verifier.c_str());
    return text.data();
}

} // namespace mimicsh::difffuzz
