// SPDX-License-Identifier: MIT
// Timers and work queues in map values (kernel/bpf/helpers.c, struct bpf_async_kern). They run when the host
// moves the virtual clock.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr uint64_t kAbsolute = 1, kCpuPin = 2;
constexpr uint64_t kMaxClocks = 16;
constexpr uint8_t kRealtime = 0, kMonotonic = 1, kBoottime = 7;
using FieldKind = HiddenField::Kind;

/// The timer or work queue of a value that an argument points to.
struct Field {
    uint8_t* bytes = nullptr; ///< null: a fault is pending
    uint32_t map = 0;
    uint32_t element = 0;

    [[nodiscard]] uint32_t id() const { return mimicsh::load<uint32_t>(bytes); }
};

Field field_at(Machine& machine, uint64_t addr, FieldKind kind, const char* helper) {
    const uint32_t handle = handle_of(addr);
    if (handle < machine.regions.size() && machine.regions.at(handle).kind == RegionKind::MapValues) {
        const Region& region = machine.regions.at(handle);
        const VmMap& map = *machine.maps()[region.owner];
        const auto offset = static_cast<uint64_t>(offset_of(addr));
        const uint64_t within = offset & ((uint64_t{1} << region.shift) - 1);
        if (map.hidden_offset(kind) == within) {
            Field field;
            field.bytes = machine.kernel_field(addr, 16, helper);
            field.map = region.owner;
            field.element = region.first + static_cast<uint32_t>(offset >> region.shift);
            return field;
        }
    }
    machine.fault(FaultKind::BadCall,
                  std::string(helper) + ": the argument is no " +
                      (kind == FieldKind::Timer ? "bpf_timer" : "bpf_wq") + " of a map value",
                  {}, addr);
    return {};
}

uint64_t init(Machine& machine, const Field& field, uint64_t map_addr, AsyncCallback::Kind kind,
              uint8_t clock, const char* helper) {
    const VmMap* map = machine.map_at(map_addr, helper);
    if (map == nullptr) {
        return 0;
    }
    if (map != machine.maps()[field.map].get()) {
        return machine.fault(FaultKind::BadCall,
                             std::string(helper) + ": the value is not one of map " + map->info().name);
    }
    if (field.id() != 0) {
        return errno_result(-EBUSY);
    }
    AsyncCallback fresh;
    fresh.kind = kind;
    fresh.clock = clock;
    fresh.map = field.map;
    fresh.element = field.element;
    machine.note_effect(); // what a value that is gone had initialised is not given back
    machine.journal.bytes(field.bytes, 4);
    mimicsh::store(field.bytes, machine.async.create(fresh, &machine.journal));
    return 0;
}

uint64_t set_callback(Machine& machine, const Field& field, uint64_t function, const char* helper) {
    if (field.id() == 0) {
        return errno_result(-EINVAL);
    }
    if (!machine.is_callback(function)) {
        return machine.fault(FaultKind::BadCall,
                             std::string(helper) + ": the callback is no function of the program");
    }
    AsyncCallback& entry = machine.async.change(field.id(), &machine.journal);
    entry.program = machine.code->program;
    entry.callback = static_cast<uint32_t>(offset_of(function));
    return 0;
}

/// What a clock adds to the monotonic one. There is no scripted offset of CLOCK_REALTIME: it stands for TAI.
int64_t offset_of_clock(const Machine& machine, uint8_t clock) {
    return clock == kBoottime   ? machine.world().boot_offset_ns
           : clock == kRealtime ? machine.world().tai_offset_ns
                                : 0;
}

/// When a timer expires: in signed time as the kernel counts it, where a sum that is out of range is never.
uint64_t expiry(const Machine& machine, uint8_t clock, uint64_t ns, bool absolute) {
    const auto time = static_cast<int64_t>(ns);
    const auto now = static_cast<int64_t>(machine.clock_ns);
    if (absolute) {
        const int64_t at = std::max(time, int64_t{0}) - offset_of_clock(machine, clock);
        return at > 0 ? static_cast<uint64_t>(at) : 0;
    }
    const auto sum = static_cast<int64_t>(ns + machine.clock_ns);
    return sum < time || sum < now ? static_cast<uint64_t>(INT64_MAX) : static_cast<uint64_t>(sum);
}

} // namespace

uint64_t helper_timer_init(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Timer, "bpf_timer_init");
    if (field.bytes == nullptr) {
        return 0;
    }
    const uint64_t clock = args[2];
    if (clock >= kMaxClocks || (clock != kMonotonic && clock != kRealtime && clock != kBoottime)) {
        return errno_result(-EINVAL);
    }
    return init(machine, field, args[1], AsyncCallback::Kind::Timer, static_cast<uint8_t>(clock),
                "bpf_timer_init");
}

uint64_t helper_timer_set_callback(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Timer, "bpf_timer_set_callback");
    return field.bytes == nullptr ? 0 : set_callback(machine, field, args[1], "bpf_timer_set_callback");
}

uint64_t helper_timer_start(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Timer, "bpf_timer_start");
    if (field.bytes == nullptr) {
        return 0;
    }
    if ((args[2] & ~(kAbsolute | kCpuPin)) != 0 || field.id() == 0 ||
        machine.async.at(field.id()).program == nullptr) {
        return errno_result(-EINVAL);
    }
    const AsyncCallback& timer = machine.async.at(field.id());
    machine.async.arm(field.id(), expiry(machine, timer.clock, args[1], (args[2] & kAbsolute) != 0),
                      &machine.journal);
    return 0;
}

uint64_t helper_timer_cancel(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Timer, "bpf_timer_cancel");
    if (field.bytes == nullptr) {
        return 0;
    }
    if (field.id() == 0) {
        return errno_result(-EINVAL);
    }
    if (machine.async.running == field.id()) {
        return errno_result(-EDEADLK);
    }
    AsyncCallback& timer = machine.async.change(field.id(), &machine.journal);
    timer.program = nullptr; // a start before the next set_callback is refused
    return std::exchange(timer.armed, false) ? 1 : 0;
}

uint64_t kfunc_wq_init(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Workqueue, "bpf_wq_init");
    if (field.bytes == nullptr) {
        return 0;
    }
    return static_cast<uint32_t>(args[2]) != 0
               ? errno_result(-EINVAL)
               : init(machine, field, args[1], AsyncCallback::Kind::Work, kMonotonic, "bpf_wq_init");
}

uint64_t kfunc_wq_set_callback(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Workqueue, "bpf_wq_set_callback_impl");
    if (field.bytes == nullptr) {
        return 0;
    }
    return static_cast<uint32_t>(args[2]) != 0
               ? errno_result(-EINVAL)
               : set_callback(machine, field, args[1], "bpf_wq_set_callback_impl");
}

uint64_t kfunc_wq_start(Machine& machine, const uint64_t* args) {
    const Field field = field_at(machine, args[0], FieldKind::Workqueue, "bpf_wq_start");
    if (field.bytes == nullptr) {
        return 0;
    }
    if (static_cast<uint32_t>(args[1]) != 0 || field.id() == 0 ||
        machine.async.at(field.id()).program == nullptr) {
        return errno_result(-EINVAL);
    }
    if (!machine.async.at(field.id()).armed) { // what waits already is not put in again
        machine.async.arm(field.id(), machine.clock_ns, &machine.journal);
    }
    return 0;
}

} // namespace mimicsh::vm
