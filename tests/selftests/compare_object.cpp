// SPDX-License-Identifier: MIT
// Loading a selftest into both targets and running it.
#include "tests/selftests/compare_object.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/differences.h"
#include "kernel/target.h"
#include "tests/kernel/packets.h"
#include "vm/context/context.h"
#include "vm/target.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

bool works_on_packets(const Function& function) {
    return function.spec && function.spec->type != abi::ProgType::Memory &&
           vm::context_kind(function.spec->type) != nullptr;
}

/// The object with the programs that `keep` takes; null when none is left. Slots that name others are empty.
template <typename Keep>
std::shared_ptr<const Object> with_programs(const Object& object, const Keep& keep) {
    auto copy = std::make_shared<Object>(object);
    for (Function& function : copy->functions) {
        if (function.spec && !(works_on_packets(function) && keep(function))) {
            function.spec.reset();
        }
    }
    for (MapDef& map : copy->maps) {
        if (abi::holds_maps(map.type) && map.inner == nullptr) {
            // Their loader gives the template; any will do.
            map.inner = std::make_shared<MapDef>();
            map.inner->name = "inner";
            map.inner->type = abi::MapType::Array;
            map.inner->key_size = map.inner->value_size = sizeof(uint32_t);
            map.inner->max_entries = 1;
        }
        if (map.type == abi::MapType::ProgArray) {
            std::erase_if(map.slots,
                          [&](const MapDef::Slot& slot) { return !copy->functions[slot.target].spec; });
        }
    }
    return copy->programs().empty() ? nullptr : copy;
}

/// "classifier_12" has the number 12.
std::optional<uint32_t> number_of(const std::string& program) {
    const size_t digits = program.find_last_not_of("0123456789") + 1;
    if (digits == 0 || digits == program.size() || program[digits - 1] != '_' ||
        program.size() - digits > 4) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(std::stoul(program.substr(digits)));
}

/// What the selftests' own loaders do for most tail-call tests.
void fill_prog_arrays(Instance& instance) {
    for (Map* map : instance.maps()) {
        if (map->info().type != abi::MapType::ProgArray) {
            continue;
        }
        for (Program* program : instance.programs()) {
            const auto number = number_of(program->name());
            if (number && *number < map->info().max_entries) {
                (void)map->put_program(*number, *program); // of another type than the others: refused by both
            }
        }
    }
}

/// The world of a new network namespace, where the kernel's side runs: a loopback device that is down.
vm::Options new_namespace() {
    vm::Options options;
    const std::string ids =
        R"("pid": )" + std::to_string(syscall(SYS_gettid)) + R"(, "tgid": )" + std::to_string(getpid());
    options.world = *vm::parse_world(
        R"({"interfaces": [], "routes": [], "neighbours": [], "sockets": [], "conntrack": [], "task": {)" +
        ids + R"(, "uid": 0, "gid": 0, "comm": "kernel_selftest"}})");
    return options;
}

class Pair {
  public:
    explicit Pair(std::shared_ptr<const Object> object) : object_(std::move(object)) {}

    /// The kernel's refusal, or nothing.
    std::optional<Error> load_kernel() {
        auto loaded = kernel::make_target()->load(object_, {});
        if (!loaded) {
            return loaded.error();
        }
        kernel_ = std::move(*loaded);
        return std::nullopt;
    }

    void compare(Comparison& result) {
        auto loaded = vm::make_target(new_namespace())->load(object_, {});
        if (!loaded) {
            result.outcome = loaded.error().code == ENOTSUP ? Outcome::NotEmulated : Outcome::Differs;
            result.text += loaded.error().message() + "\n";
            return;
        }
        vm_ = std::move(*loaded);
        fill_prog_arrays(*vm_);
        fill_prog_arrays(*kernel_);
        for (Program* program : vm_->programs()) {
            result.programs.push_back(program->name());
            run(*program, *kernel_->find_program(program->name()), result);
            if (result.outcome != Outcome::Agrees) {
                return;
            }
        }
    }

  private:
    void differs(Comparison& result, const std::string& where, const std::string& text) {
        result.outcome = Outcome::Differs;
        result.text += where + "\n" + text;
    }

    void run(Program& here, Program& there, Comparison& result) {
        size_t number = 0;
        for (const ByteVec& packet : corpus_packets()) {
            const std::string where = here.name() + ", packet " + std::to_string(number++) + " (" +
                                      std::to_string(packet.size()) + " bytes)";
            const auto emulated = here.run(packet, {});
            const auto real = there.run(packet, {});
            if (!emulated || !real) {
                if (emulated.has_value() != real.has_value() || emulated.error().code != real.error().code) {
                    return differs(result, where,
                                   "  vm: " + (emulated ? "ran" : emulated.error().message()) +
                                       "\n  kernel: " + (real ? "ran" : real.error().message()) + "\n");
                }
                continue;
            }
            if (emulated->fault && emulated->fault->kind == FaultKind::MissingValue) {
                result.outcome = Outcome::NeedsWorld;
                result.text += where + ": " + emulated->fault->cause + "\n";
                return;
            }
            if (const std::string text = kernel::run_differences(*emulated, *real); !text.empty()) {
                return differs(result, where, text);
            }
        }
        if (const std::string text = kernel::map_differences(*vm_, *kernel_); !text.empty()) {
            differs(result, here.name() + ", after all packets", text);
        }
    }

    std::shared_ptr<const Object> object_;
    std::unique_ptr<Instance> vm_;
    std::unique_ptr<Instance> kernel_;
};

std::string last_line(const std::string& text) {
    const size_t end = text.find_last_not_of('\n');
    const size_t begin = text.rfind('\n', end);
    return end == std::string::npos ? text : text.substr(begin + 1, end - begin);
}

/// Programs one by one, where the kernel does not take them all.
void compare_each(const Object& object, Comparison& result) {
    result.outcome = Outcome::KernelRefuses;
    for (const Function& function : object.functions) {
        if (!works_on_packets(function)) {
            continue;
        }
        Pair pair(with_programs(object, [&](const Function& other) { return other.name == function.name; }));
        if (const auto refusal = pair.load_kernel()) {
            result.refused.push_back(function.name + ": " + last_line(refusal->message()));
            continue;
        }
        if (result.outcome == Outcome::KernelRefuses) {
            result.outcome = Outcome::Agrees;
        }
        pair.compare(result);
        if (result.outcome != Outcome::Agrees) {
            return;
        }
    }
}

} // namespace

std::string_view name(Outcome outcome) {
    switch (outcome) {
    case Outcome::Agrees:
        return "agrees";
    case Outcome::Differs:
        return "DIFFERS";
    case Outcome::NotEmulated:
        return "not emulated";
    case Outcome::NeedsWorld:
        return "needs a world";
    case Outcome::KernelRefuses:
        return "kernel refuses";
    case Outcome::NoProgram:
        return "no program";
    }
    return "?";
}

Comparison compare_object(const std::shared_ptr<const Object>& object) {
    Comparison result;
    const auto all = with_programs(*object, [](const Function& function) {
        return !function.section.starts_with('?'); // not loaded unless asked for
    });
    if (all != nullptr) {
        Pair pair(all);
        if (!pair.load_kernel()) {
            result.outcome = Outcome::Agrees;
            pair.compare(result);
            return result;
        }
    }
    if (with_programs(*object, [](const Function&) { return true; }) != nullptr) {
        compare_each(*object, result);
    }
    return result;
}

} // namespace mimicsh::test
