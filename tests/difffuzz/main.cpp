// SPDX-License-Identifier: MIT
// Differential fuzzing: generated programs on the emulator and on the running kernel, everything compared.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/klog.h>

#include "tests/difffuzz/fuzzer.h"
#include "tests/difffuzz/shrink.h"

namespace mimicsh::difffuzz {

namespace {

constexpr const char* kUsage =
    R"(usage: difffuzz [options]
  --seed A[..B]     seeds to run, both included (default 1..1000)
  --seconds N       stop after N seconds
  --length N        median of the programs' length in instruction slots (default 120)
  --packets N       packets per program (default 8)
  --type T          xdp, tc or mixed (default: mixed, every third is for tc)
  --cpu N           CPU that both sides run on (default: the last one allowed)
  --bisect          after shrinking, name the first instruction that differs
  --show            print the program of the first seed, and stop
  --progress N      print the totals every N seeds
  --keep-going N    count differences up to N instead of stopping at the first
  --refusals        print each refused program's seed and reason
  --verifier        print how many instructions the verifier looked at per instruction slot
)";

struct Settings {
    uint64_t first = 1;
    uint64_t last = 1000;
    uint64_t seconds = 0;
    uint64_t progress = 0;
    Shape shape;
    bool bisect = false;
    bool show = false;
    bool refusals = false;
    bool verifier = false;
    uint64_t differences = 1;
    int cpu = -1;
};

uint64_t number(const char* text) {
    char* end = nullptr;
    const uint64_t value = std::strtoull(text, &end, 0);
    if (end == text || (*end != '\0' && std::strncmp(end, "..", 2) != 0)) {
        std::fprintf(stderr, "difffuzz: '%s' is no number\n%s", text, kUsage);
        std::exit(2);
    }
    return value;
}

Settings parse(int argc, char** argv) {
    Settings settings;
    const auto fail = [](const std::string& why) {
        std::fprintf(stderr, "difffuzz: %s\n%s", why.c_str(), kUsage);
        std::exit(2);
    };
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--help") {
            std::printf("%s", kUsage);
            std::exit(0);
        }
        const auto value = [&] {
            if (i + 1 == argc) {
                fail(option + " needs a value");
            }
            return argv[++i];
        };
        if (option == "--seed") {
            const char* text = value();
            settings.first = settings.last = number(text);
            if (const char* dots = std::strstr(text, "..")) {
                settings.last = number(dots + 2);
            }
        } else if (option == "--seconds") {
            settings.seconds = number(value());
        } else if (option == "--length") {
            settings.shape.length = static_cast<uint32_t>(number(value()));
        } else if (option == "--packets") {
            settings.shape.packets = static_cast<uint32_t>(number(value()));
        } else if (option == "--type") {
            const std::string type = value();
            if (type != "xdp" && type != "tc" && type != "mixed") {
                fail("'" + type + "' is no type of programs");
            }
            settings.shape.types = type == "xdp" ? Types::Xdp : type == "tc" ? Types::Tc : Types::Mixed;
        } else if (option == "--cpu") {
            settings.cpu = static_cast<int>(number(value()));
        } else if (option == "--progress") {
            settings.progress = number(value());
        } else if (option == "--keep-going") {
            settings.differences = number(value());
        } else if (option == "--bisect") {
            settings.bisect = true;
        } else if (option == "--show") {
            settings.show = true;
        } else if (option == "--verifier") {
            settings.verifier = true;
        } else if (option == "--refusals") {
            settings.refusals = true;
        } else {
            fail("unknown option " + option);
        }
    }
    return settings;
}

/// Warnings in the kernel's log; 0 where it cannot be read. The verifier's reports about itself do not count:
/// they come with a refusal, so nothing was run.
size_t kernel_warnings() {
    constexpr int kReadAll = 3;
    constexpr int kSizeOfBuffer = 10;
    const int size = klogctl(kSizeOfBuffer, nullptr, 0);
    if (size <= 0) {
        return 0;
    }
    std::string log(static_cast<size_t>(size), '\0');
    const int got = klogctl(kReadAll, log.data(), size);
    log.resize(static_cast<size_t>(std::max(got, 0)));
    const auto count = [&](std::string_view what) {
        size_t found = 0;
        for (size_t at = 0; (at = log.find(what, at)) != std::string::npos; ++at) {
            ++found;
        }
        return found;
    };
    return count("cut here ]") + count("BUG: ") - count(" verifier bug: ");
}

int run(const Settings& settings, Fuzzer& fuzzer) {
    const uint64_t began = now_ns();
    const size_t warnings = kernel_warnings();
    uint64_t differences = 0;
    bool warned = false;
    uint64_t seed = settings.first;
    std::string text;
    for (; seed <= settings.last; ++seed) {
        if (settings.seconds != 0 && now_ns() - began > settings.seconds * 1'000'000'000) {
            break;
        }
        const Fuzzer::Verdict verdict = fuzzer.run(seed, text);
        const auto number = static_cast<unsigned long long>(seed);
        if (verdict == Fuzzer::Verdict::Refused && settings.refusals) {
            std::printf("seed %llu refused: %s\n", number, text.c_str());
        }
        if (verdict == Fuzzer::Verdict::Different) {
            std::printf("seed %llu differs: %s\n", number, text.c_str());
            std::printf("%s", fuzzer.explain(seed, settings.bisect).c_str());
            if (++differences >= settings.differences) {
                break;
            }
        }
        if (seed % 1024 == 0 && kernel_warnings() > warnings) {
            std::printf("the kernel's log has a new warning; last seed %llu\n", number);
            warned = true;
            break;
        }
        if (settings.progress != 0 && (seed - settings.first + 1) % settings.progress == 0) {
            std::printf("%s%s", fuzzer.statistics().text().c_str(), fuzzer.rate().c_str());
            std::fflush(stdout);
        }
    }
    std::printf("seeds %llu..%llu\n%s%s%llu differences\n", static_cast<unsigned long long>(settings.first),
                static_cast<unsigned long long>(std::min(seed, settings.last)),
                fuzzer.statistics().text().c_str(), fuzzer.rate().c_str(),
                static_cast<unsigned long long>(differences));
    return differences == 0 && !warned ? 0 : 1;
}

} // namespace

} // namespace mimicsh::difffuzz

int main(int argc, char** argv) {
    using namespace mimicsh::difffuzz;
    const Settings settings = parse(argc, argv);
    const int cpu = pin(settings.cpu);
    auto kernel = KernelSide::open();
    if (cpu < 0 || !kernel) {
        std::fprintf(stderr, "difffuzz: %s\n", cpu < 0 ? "no such CPU" : kernel.error().message().c_str());
        return 2;
    }
    if (settings.show) {
        std::printf("%s", listing(generate(settings.first, settings.shape)).c_str());
        return 0;
    }
    if (settings.verifier) {
        (*kernel)->watch_verifier();
    }
    Fuzzer fuzzer(settings.shape, std::move(*kernel), static_cast<uint32_t>(cpu));
    return run(settings, fuzzer);
}
