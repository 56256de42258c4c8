// SPDX-License-Identifier: MIT
// bpf_redirect_map (include/linux/filter.h, __bpf_xdp_redirect_map).
#include "vm/maps/redirect_map.h"
#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

uint64_t helper_redirect_map(Machine& machine, const uint64_t* args) {
    constexpr uint32_t kRedirectMap = 51;
    constexpr uint64_t kActions = 3, kBroadcast = 8, kExcludeIngress = 16;
    VmMap* map = map_argument(machine, args[0], kRedirectMap);
    if (map == nullptr) {
        return 0;
    }
    const auto key = static_cast<uint32_t>(args[1]);
    const uint64_t flags = args[2];
    const bool is_device = map->type() == abi::MapType::Devmap || map->type() == abi::MapType::DevmapHash;
    const uint64_t known = kActions | (is_device ? kBroadcast | kExcludeIngress : 0);
    if ((flags & ~known) != 0) {
        return abi::kXdpAborted;
    }
    machine.note_effect();
    if ((flags & kBroadcast) == 0 && !static_cast<RedirectMap*>(map)->has(key)) {
        machine.redirect.reset();
        return flags & kActions;
    }
    machine.redirect =
        Redirect{std::string(abi::name(map->type())), key, flags & ~kActions, map->info().name};
    return abi::kXdpRedirect;
}

} // namespace mimicsh::vm
