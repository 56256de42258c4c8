// SPDX-License-Identifier: MIT
// Pages of arenas (kernel/bpf/arena.c).
#include "vm/maps/arena.h"
#include "vm/kfuncs/arena.h"

namespace mimicsh::vm {

namespace {

/// So many pages count as one step of the budget.
constexpr uint32_t kPagesPerStep = 16;

/// The arena of the first argument; null = fault pending.
ArenaMap* arena_at(Machine& machine, const uint64_t* args, const char* what) {
    VmMap* map = machine.map_at(args[0], what);
    if (map != nullptr && map->type() != abi::MapType::Arena) {
        machine.fault(FaultKind::BadCall, std::string(what) + ": " + map->info().name + " is no arena");
        return nullptr;
    }
    return static_cast<ArenaMap*>(map);
}

} // namespace

uint64_t kfunc_arena_alloc_pages(Machine& machine, const uint64_t* args) {
    ArenaMap* arena = arena_at(machine, args, "bpf_arena_alloc_pages");
    const auto pages = static_cast<uint32_t>(args[2]);
    if (arena == nullptr || args[4] != 0 || pages == 0) {
        return 0;
    }
    if (pages <= arena->info().max_entries && !machine.spend(pages / kPagesPerStep)) {
        return 0;
    }
    const auto made = arena->allocate(args[1], pages, &machine.journal);
    if (made.exceeds_memory) {
        return machine.fault(FaultKind::Budget, "bpf_arena_alloc_pages: " + std::to_string(pages) +
                                                    " pages more of " + arena->info().name +
                                                    " do not fit the memory limit of the vm");
    }
    return made.address;
}

uint64_t kfunc_arena_free_pages(Machine& machine, const uint64_t* args) {
    ArenaMap* arena = arena_at(machine, args, "bpf_arena_free_pages");
    const auto pages = static_cast<uint32_t>(args[2]);
    if (arena != nullptr && args[1] != 0 && pages != 0) {
        (void)machine.spend(arena->release(args[1], pages, &machine.journal) / kPagesPerStep);
    }
    return 0;
}

uint64_t kfunc_arena_reserve_pages(Machine& machine, const uint64_t* args) {
    ArenaMap* arena = arena_at(machine, args, "bpf_arena_reserve_pages");
    const auto pages = static_cast<uint32_t>(args[2]);
    if (arena == nullptr || pages == 0) {
        return 0;
    }
    return static_cast<uint32_t>(arena->reserve(args[1], pages, &machine.journal));
}

} // namespace mimicsh::vm
