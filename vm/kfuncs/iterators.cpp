// SPDX-License-Identifier: MIT
// Open-coded iterators (kernel/bpf/bpf_iter.c, kernel/bpf/helpers.c). The program's bytes of stack hold what
// `next` points to and a tag; the iterator itself is the machine's, which so knows what was made, written
// over and destroyed: all of what the verifier proves of iterators.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/program.h"
#include "vm/report.h"

namespace mimicsh::vm {

namespace {

constexpr int64_t kMaxNumbers = 8 << 20; ///< BPF_MAX_LOOPS
constexpr uint32_t kMaxWords = 511;      ///< BITS_ITER_NR_WORDS_MAX
constexpr uint32_t kTag = 0x6974'6572;
constexpr uint32_t kLargest = 16;

constexpr uint32_t size_of(Iterator::Kind kind) {
    return kind == Iterator::Kind::Numbers ? 8 : kLargest;
}

/// Where in the program's bytes the number is that `next` points to.
constexpr uint32_t place_of_current(Iterator::Kind kind) {
    return kind == Iterator::Kind::Numbers ? 0 : 12;
}

/// The program's bytes of an iterator.
void show(const Iterator& iterator, uint8_t* bytes) {
    std::memset(bytes, 0, size_of(iterator.kind));
    mimicsh::store(bytes + 4, kTag);
    mimicsh::store(bytes + place_of_current(iterator.kind), iterator.current);
}

std::string function_name(Iterator::Kind kind, const char* verb) {
    return std::string("bpf_iter_") + name(kind) + "_" + verb;
}

bool is_on_stack(Machine& machine, uint64_t addr, Iterator::Kind kind, const char* verb) {
    const bool good = handle_of(addr) - kStackHandle <= machine.depth && addr % 8 == 0;
    if (!good) {
        machine.fault(FaultKind::BadCall,
                      function_name(kind, verb) + ": an iterator is on the stack, at a multiple of 8", {},
                      addr);
    }
    return good;
}

std::string made_at(const Machine& machine, const Iterator& iterator) {
    return at_line(machine.code->program->linked(), iterator.slot);
}

/// Puts an iterator into the program's bytes; null: a fault is pending.
Iterator* make(Machine& machine, uint64_t addr, Iterator::Kind kind) {
    if (!is_on_stack(machine, addr, kind, "new") || !spend_on(machine, machine.iterators.size())) {
        return nullptr;
    }
    const auto there = std::ranges::find_if(machine.iterators, [&](const Iterator& one) {
        return one.address < addr + size_of(kind) && addr < one.address + size_of(one.kind);
    });
    if (there != machine.iterators.end()) {
        machine.fault(FaultKind::BadCall,
                      function_name(kind, "new") + ": the iterator that is there was not destroyed",
                      "call " + function_name(there->kind, "destroy") + " on what was made at " +
                          made_at(machine, *there),
                      addr);
        return nullptr;
    }
    if (machine.span(addr, size_of(kind), Access::Write, "iterator") == nullptr) {
        return nullptr;
    }
    if (machine.touched == 0) {
        machine.touched = Machine::kIteratorOnly;
    }
    Iterator& made = machine.iterators.emplace_back();
    made.kind = kind;
    made.slot = machine.code->slot_of(machine.at);
    made.address = addr;
    return &made;
}

void show(Machine& machine, const Iterator& iterator) {
    if (uint8_t* bytes = machine.span(iterator.address, size_of(iterator.kind), Access::Write, "iterator")) {
        show(iterator, bytes);
    }
}

/// The iterator that an argument leads to; null: a fault is pending.
Iterator* find(Machine& machine, uint64_t addr, Iterator::Kind kind, const char* verb) {
    if (!is_on_stack(machine, addr, kind, verb) || !spend_on(machine, machine.iterators.size())) {
        return nullptr;
    }
    const auto found = std::find_if(machine.iterators.rbegin(), machine.iterators.rend(),
                                    [&](const Iterator& one) { return one.address == addr; });
    if (found == machine.iterators.rend() || found->kind != kind) {
        machine.fault(FaultKind::BadCall,
                      function_name(kind, verb) + ": no iterator is there that was made and not destroyed",
                      "call " + function_name(kind, "new") + " before it", addr);
        return nullptr;
    }
    const uint8_t* bytes = machine.span(addr, size_of(kind), Access::Read, "iterator");
    if (bytes == nullptr) {
        return nullptr;
    }
    std::array<uint8_t, kLargest> expected;
    show(*found, expected.data());
    if (std::memcmp(bytes, expected.data(), size_of(kind)) != 0) {
        machine.fault(FaultKind::BadCall,
                      function_name(kind, verb) + ": the program wrote over the iterator that was made at " +
                          made_at(machine, *found),
                      {}, addr);
        return nullptr;
    }
    return &*found;
}

void destroy(Machine& machine, uint64_t addr, Iterator::Kind kind) {
    Iterator* iterator = find(machine, addr, kind, "destroy");
    if (iterator == nullptr) {
        return;
    }
    if (kind == Iterator::Kind::Numbers) {
        iterator->current = 0;
        show(machine, *iterator);
    }
    machine.iterators.erase(machine.iterators.begin() + (iterator - machine.iterators.data()));
    if (machine.iterators.empty() && machine.touched == Machine::kIteratorOnly) {
        machine.touched = 0;
    }
}

} // namespace

const char* name(Iterator::Kind kind) {
    return kind == Iterator::Kind::Numbers ? "num" : "bits";
}

// -- Numbers --

uint64_t kfunc_iter_num_new(Machine& machine, const uint64_t* args) {
    Iterator* iterator = make(machine, args[0], Iterator::Kind::Numbers);
    if (iterator == nullptr) {
        return 0;
    }
    const auto start = static_cast<int32_t>(args[1]);
    const auto end = static_cast<int32_t>(args[2]);
    const int64_t count = int64_t{end} - start;
    const bool good = count >= 0 && count <= kMaxNumbers;
    if (good) {
        // One before the first: the kernel counts in 32 bits, round the end.
        iterator->current = static_cast<int32_t>(static_cast<uint32_t>(start) - 1);
        iterator->end = end;
    }
    show(machine, *iterator);
    return good ? 0 : errno_result(count < 0 ? -EINVAL : -E2BIG);
}

uint64_t kfunc_iter_num_next(Machine& machine, const uint64_t* args) {
    Iterator* iterator = find(machine, args[0], Iterator::Kind::Numbers, "next");
    if (iterator == nullptr) {
        return 0;
    }
    const auto next = static_cast<int32_t>(static_cast<uint32_t>(iterator->current) + 1);
    const bool more = next < iterator->end;
    iterator->current = more ? next : 0;
    iterator->end = more ? iterator->end : 0;
    show(machine, *iterator);
    return more ? args[0] + place_of_current(Iterator::Kind::Numbers) : 0;
}

uint64_t kfunc_iter_num_destroy(Machine& machine, const uint64_t* args) {
    destroy(machine, args[0], Iterator::Kind::Numbers);
    return 0;
}

// -- Bits --

uint64_t kfunc_iter_bits_new(Machine& machine, const uint64_t* args) {
    Iterator* iterator = make(machine, args[0], Iterator::Kind::Bits);
    if (iterator == nullptr) {
        return 0;
    }
    iterator->current = -1;
    show(machine, *iterator);
    const auto words = static_cast<uint32_t>(args[2]);
    if (args[1] == 0 || words == 0 || words > kMaxWords) {
        return errno_result(words > kMaxWords && args[1] != 0 ? -E2BIG : -EINVAL);
    }
    const uint64_t size = uint64_t{words} * 8;
    if (!machine.can_access(args[1], size, Access::Read)) {
        return errno_result(-EFAULT);
    }
    const uint8_t* bytes = machine.span(args[1], size, Access::Read, "words");
    if (bytes == nullptr) {
        return 0;
    }
    machine.note_effect(size);
    iterator->end = static_cast<int32_t>(words * 64);
    iterator->words.assign(bytes, bytes + size);
    return 0;
}

uint64_t kfunc_iter_bits_next(Machine& machine, const uint64_t* args) {
    Iterator* iterator = find(machine, args[0], Iterator::Kind::Bits, "next");
    if (iterator == nullptr || iterator->current >= iterator->end) {
        return 0;
    }
    int32_t& bit = iterator->current;
    for (++bit; bit < iterator->end; ++bit) {
        if ((iterator->words[static_cast<size_t>(bit / 8)] >> (bit % 8) & 1) != 0) {
            break;
        }
    }
    show(machine, *iterator);
    return bit < iterator->end ? args[0] + place_of_current(Iterator::Kind::Bits) : 0;
}

uint64_t kfunc_iter_bits_destroy(Machine& machine, const uint64_t* args) {
    destroy(machine, args[0], Iterator::Kind::Bits);
    return 0;
}

} // namespace mimicsh::vm
