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

} // namespace mimicsh::vm
