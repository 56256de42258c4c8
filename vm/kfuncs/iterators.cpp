// SPDX-License-Identifier: MIT
// Open-coded iterators (kernel/bpf/bpf_iter.c). The iterator of numbers lives in the program's 8 bytes of
// stack as the kernel keeps it: current number and end.
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

constexpr int64_t kMaxNumbers = 8 << 20; ///< BPF_MAX_LOOPS
constexpr uint32_t kSize = 8;

void put(uint8_t* iterator, int32_t current, int32_t end) {
    mimicsh::store(iterator, current);
    mimicsh::store(iterator + 4, end);
}

// Of an iterator of bits the program's 16 bytes hold: index of the copied words, bits, current bit.
constexpr uint32_t kBitsSize = 16;
constexpr uint32_t kMaxWords = 511; ///< BITS_ITER_NR_WORDS_MAX

} // namespace

uint64_t kfunc_iter_num_new(Machine& machine, const uint64_t* args) {
    uint8_t* iterator = machine.span(args[0], kSize, Access::Write, "iterator");
    if (iterator == nullptr) {
        return 0;
    }
    const auto start = static_cast<int32_t>(args[1]);
    const auto end = static_cast<int32_t>(args[2]);
    const int64_t count = int64_t{end} - start;
    if (count < 0 || count > kMaxNumbers) {
        put(iterator, 0, 0);
        return errno_result(count < 0 ? -EINVAL : -E2BIG);
    }
    // One before the first: the kernel counts in 32 bits, round the end.
    put(iterator, static_cast<int32_t>(static_cast<uint32_t>(start) - 1), end);
    return 0;
}

uint64_t kfunc_iter_num_next(Machine& machine, const uint64_t* args) {
    const uint8_t* before = machine.span(args[0], kSize, Access::Read, "iterator");
    uint8_t* iterator = before == nullptr ? nullptr : machine.span(args[0], kSize, Access::Write, "iterator");
    if (iterator == nullptr) {
        return 0;
    }
    const auto next = static_cast<int32_t>(mimicsh::load<uint32_t>(iterator) + 1);
    const auto end = mimicsh::load<int32_t>(iterator + 4);
    if (next >= end) {
        put(iterator, 0, 0);
        return 0;
    }
    put(iterator, next, end);
    return args[0];
}

uint64_t kfunc_iter_num_destroy(Machine& machine, const uint64_t* args) {
    if (uint8_t* iterator = machine.span(args[0], kSize, Access::Write, "iterator")) {
        put(iterator, 0, 0);
    }
    return 0;
}

// -- Bits --

uint64_t kfunc_iter_bits_new(Machine& machine, const uint64_t* args) {
    uint8_t* iterator = machine.span(args[0], kBitsSize, Access::Write, "iterator");
    if (iterator == nullptr) {
        return 0;
    }
    const auto words = static_cast<uint32_t>(args[2]);
    mimicsh::store(iterator, uint64_t{0});
    mimicsh::store(iterator + 8, int32_t{0});
    mimicsh::store(iterator + 12, int32_t{-1});
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
    mimicsh::store(iterator, static_cast<uint64_t>(machine.bit_sets.size()));
    mimicsh::store(iterator + 8, static_cast<int32_t>(words * 64));
    machine.bit_sets.emplace_back(bytes, bytes + size);
    return 0;
}

uint64_t kfunc_iter_bits_next(Machine& machine, const uint64_t* args) {
    uint8_t* iterator = machine.span(args[0], kBitsSize, Access::Write, "iterator");
    if (iterator == nullptr) {
        return 0;
    }
    const auto set = mimicsh::load<uint64_t>(iterator);
    const auto count = mimicsh::load<int32_t>(iterator + 8);
    auto bit = mimicsh::load<int32_t>(iterator + 12);
    if (bit >= count) {
        return 0;
    }
    // The program can write to its iterator.
    const bool is_empty = count == 0 && bit == -1;
    const bool is_whole = set < machine.bit_sets.size() && bit >= -1 &&
                          static_cast<uint64_t>(count) == machine.bit_sets[set].size() * 8;
    if (!is_whole && !is_empty) {
        return machine.fault(FaultKind::BadCall, "iterator: the argument was not initialised as one");
    }
    for (++bit; bit < count; ++bit) {
        if ((machine.bit_sets[set][static_cast<size_t>(bit / 8)] >> (bit % 8) & 1) != 0) {
            break;
        }
    }
    mimicsh::store(iterator + 12, bit);
    return bit < count ? args[0] + 12 : 0;
}

uint64_t kfunc_iter_bits_destroy(Machine& machine, const uint64_t* args) {
    (void)machine.span(args[0], kBitsSize, Access::Write, "iterator");
    return 0;
}

} // namespace mimicsh::vm
