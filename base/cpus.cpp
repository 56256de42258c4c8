// SPDX-License-Identifier: MIT
// Reading the possible-CPU list ("0-7", "0,2-3").
#include "base/cpus.h"

#include <algorithm>
#include <cctype>

#include <unistd.h>

#include "base/fd.h"

namespace mimicsh {

namespace {

uint32_t read_possible() {
    auto bytes = read_file("/sys/devices/system/cpu/possible", "count cpus", 4096);
    uint32_t highest = 0;
    bool any = false;
    if (bytes) {
        // The list is in ascending order, so its last number is the highest CPU.
        uint32_t number = 0;
        for (uint8_t c : *bytes) {
            if (std::isdigit(c) != 0) {
                number = number * 10 + (c - '0');
                highest = number;
                any = true;
            } else {
                number = 0;
            }
        }
    }
    if (!any || highest >= 1 << 16) {
        return static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
    }
    return highest + 1;
}

} // namespace

uint32_t possible_cpus() {
    static const uint32_t count = read_possible();
    return count;
}

} // namespace mimicsh
