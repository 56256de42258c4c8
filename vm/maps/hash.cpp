// SPDX-License-Identifier: MIT
// Making hash maps.
#include "vm/maps/hash.h"

namespace mimicsh::vm {

Expected<std::unique_ptr<VmMap>> create_hash(const MapInfo& info, uint64_t seed) {
    const uint64_t slots = HashMap::slot_count(info);
    const uint64_t copies = abi::is_percpu(info.type) ? info.cpus : 1;
    auto values = ZeroedBytes::allocate(slots * copies * round_up(info.value_size, 8u));
    if (!values) {
        return values.error();
    }
    auto keys = ZeroedBytes::allocate(slots * info.key_size);
    if (!keys) {
        return keys.error();
    }
    return std::unique_ptr<VmMap>(
        std::make_unique<HashMap>(info, seed, std::move(*values), std::move(*keys)));
}

} // namespace mimicsh::vm
