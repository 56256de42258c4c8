// SPDX-License-Identifier: MIT
// Making maps from definitions: what the kernel refuses, the memory limit, the class for each type.
#include <algorithm>
#include <cerrno>

#include "vm/maps/arena.h"
#include "vm/maps/map.h"
#include "vm/maps/sock_map.h"
#include "vm/maps/storage.h"
#include "vm/maps/unemulated.h"

namespace mimicsh::vm {

namespace {

Error refuse(const MapDef& def, int code, std::string reason, std::string hint = {}) {
    return Error{code, "create map", def.name + ": " + std::move(reason), std::move(hint), {}};
}

/// Maps whose values are maps, interfaces, CPUs and sockets.
Status check_pointer_map(const MapDef& def) {
    using abi::MapType;
    constexpr uint32_t kMaxCpus = 8192; // NR_CPUS of Debian's kernels
    if (def.type == MapType::ArrayOfMaps || def.type == MapType::HashOfMaps) {
        if (def.inner == nullptr) {
            return refuse(def, EINVAL, "the inner map is not declared",
                          "declare it with __array(values, ...)");
        }
        if (def.value_size != 4) {
            return refuse(def, EINVAL, "values have 4 bytes");
        }
    }
    if (def.type == MapType::HashOfMaps) {
        return def.key_size != 0 ? Status{} : refuse(def, EINVAL, "key size is 0");
    }
    const bool has_program = def.type != MapType::ArrayOfMaps && def.type != MapType::Xskmap;
    if (def.key_size != 4 || (def.value_size != 4 && (def.value_size != 8 || !has_program))) {
        return refuse(def, EINVAL, "keys have 4 bytes, values 4" + std::string(has_program ? " or 8" : ""));
    }
    if (def.type == MapType::DevmapHash && def.max_entries > 1u << 31) {
        return refuse(def, EINVAL, "more entries than buckets can be made for");
    }
    if (def.type == MapType::Cpumap && def.max_entries > kMaxCpus) {
        return refuse(def, E2BIG, "more entries than the kernel knows CPUs");
    }
    return {};
}

/// Largest value of all kinds of storage (BPF_LOCAL_STORAGE_MAX_VALUE_SIZE): its length and the element's own
/// fields fit 16 bits.
constexpr uint32_t kMaxStorage = 65535 - 128;

/// bpf_local_storage_map_alloc_check (kernel/bpf/bpf_local_storage.c).
Status check_storage(const MapDef& def) {
    if ((def.flags & ~(abi::kMapNoPrealloc | abi::kMapClone)) != 0 ||
        (def.flags & abi::kMapNoPrealloc) == 0) {
        return refuse(def, EINVAL,
                      "storage wants the flag BPF_F_NO_PREALLOC and takes no other but BPF_F_CLONE");
    }
    if (def.key_size != 4 || def.value_size == 0 || def.max_entries != 0) {
        return refuse(def, EINVAL, "storage has a key of 4 bytes, a value, and max_entries 0");
    }
    if (def.key_btf_id == 0 || def.value_btf_id == 0) {
        return refuse(def, EINVAL, "storage wants the types of its key and value (__type(key, int))");
    }
    if (def.value_size > kMaxStorage) {
        return refuse(def, E2BIG, "value of " + std::to_string(def.value_size) + " bytes");
    }
    return {};
}

/// cgroup_storage_map_alloc (kernel/bpf/local_storage.c).
Status check_cgroup_storage(const MapDef& def) {
    constexpr uint32_t kKeySize = 16, kIdSize = 8;
    const uint32_t largest = def.type == abi::MapType::PercpuCgroupStorage ? 32u << 10 : kMaxStorage;
    constexpr uint32_t kAllowed =
        abi::kMapNumaNode | abi::kMapRdonly | abi::kMapWronly | abi::kMapRdonlyProg | abi::kMapWronlyProg;
    if ((def.key_size != kKeySize && def.key_size != kIdSize) || def.value_size == 0 ||
        def.max_entries != 0) {
        return refuse(def, EINVAL,
                      "the key is a cgroup's id or struct bpf_cgroup_storage_key, and max_entries is 0");
    }
    if (def.value_size > largest) {
        return refuse(def, E2BIG,
                      "value of " + std::to_string(def.value_size) + " bytes, at most " +
                          std::to_string(largest));
    }
    const auto both = [&](uint32_t flags) { return (def.flags & flags) == flags; };
    if ((def.flags & ~kAllowed) != 0 || both(abi::kMapRdonly | abi::kMapWronly) ||
        both(abi::kMapRdonlyProg | abi::kMapWronlyProg)) {
        return refuse(def, EINVAL, "flags the kernel refuses for " + std::string(abi::name(def.type)));
    }
    return {};
}

/// sock_map_alloc and sock_hash_alloc (net/core/sock_map.c), reuseport_array_alloc_check.
Status check_sock_map(const MapDef& def) {
    const bool is_hash = def.type == abi::MapType::Sockhash;
    if (is_hash ? def.key_size == 0 : def.key_size != 4) {
        return refuse(def, EINVAL, "key of " + std::to_string(def.key_size) + " bytes");
    }
    if (def.key_size > abi::kStackSize) {
        return refuse(def, E2BIG, "a key has at most 512 bytes");
    }
    if (def.value_size != 4 && def.value_size != 8) {
        return refuse(def, EINVAL, "values have 4 or 8 bytes: a file descriptor, or a cookie too");
    }
    return {};
}

/// arena_map_alloc (kernel/bpf/arena.c).
Status check_arena(const MapDef& def) {
    constexpr uint32_t kAllowed = abi::kMapMmapable | abi::kMapSegvOnFault | abi::kMapNoUserConv;
    if (def.key_size != 0 || def.value_size != 0) {
        return refuse(def, EINVAL, "an arena has neither key nor value size");
    }
    if (def.max_entries == 0) {
        return refuse(def, EINVAL, "max_entries is 0, it is the number of pages");
    }
    if ((def.flags & abi::kMapMmapable) == 0 || (def.flags & ~kAllowed) != 0) {
        return refuse(def, EINVAL,
                      "an arena wants the flag BPF_F_MMAPABLE and takes no other but BPF_F_SEGV_ON_FAULT and "
                      "BPF_F_NO_USER_CONV");
    }
    if (def.extra % abi::kArenaPage != 0) {
        return refuse(def, EINVAL, "map_extra is the address of a page");
    }
    const uint64_t size = uint64_t{def.max_entries} * abi::kArenaPage;
    if (size > uint64_t{1} << 32) {
        return refuse(def, E2BIG, "an arena has at most 4 GiB");
    }
    if (def.extra >> 32 != (def.extra + size - 1) >> 32) {
        return refuse(def, ERANGE, "the upper halves of its addresses differ",
                      "move map_extra, or lower max_entries");
    }
    return {};
}

/// The kernel's alloc_check functions (kernel/bpf/arraymap.c, hashtab.c, ringbuf.c) for the types the vm has.
Status check_definition(const MapDef& def) {
    using abi::MapType;
    const bool is_lru = def.type == MapType::LruHash || def.type == MapType::LruPercpuHash;
    constexpr uint32_t kMostBuckets = 1u << 27; // a power of two, of 16 bytes each
    const bool is_hash = is_lru || def.type == MapType::Hash || def.type == MapType::PercpuHash;
    constexpr uint32_t kCommonFlags =
        abi::kMapRdonly | abi::kMapWronly | abi::kMapRdonlyProg | abi::kMapWronlyProg | abi::kMapNumaNode;
    uint32_t allowed = kCommonFlags;
    if (def.type == MapType::Arena) {
        return check_arena(def);
    }
    if (def.extra != 0 && def.type != MapType::BloomFilter) {
        return refuse(def, EINVAL, "map_extra means something to bloom filters only");
    }
    switch (def.type) {
    case MapType::Array:
    case MapType::PercpuArray:
        allowed |= def.type == MapType::Array ? abi::kMapMmapable | abi::kMapInnerMap : 0;
        if (def.key_size != 4) {
            return refuse(def, EINVAL,
                          "the key of an array has 4 bytes, not " + std::to_string(def.key_size));
        }
        break;
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
    case MapType::Devmap:
    case MapType::DevmapHash:
    case MapType::Cpumap:
    case MapType::Xskmap:
        if (auto ok = check_pointer_map(def); !ok) {
            return ok;
        }
        allowed = def.type == MapType::Cpumap        ? abi::kMapNumaNode
                  : def.type == MapType::HashOfMaps  ? allowed | abi::kMapNoPrealloc | abi::kMapZeroSeed
                  : def.type == MapType::ArrayOfMaps ? allowed & ~(abi::kMapRdonlyProg | abi::kMapWronlyProg)
                                                     : abi::kMapNumaNode | abi::kMapRdonly | abi::kMapWronly;
        break;
    case MapType::ProgArray:
    case MapType::PerfEventArray:
    case MapType::CgroupArray:
        allowed &= ~(abi::kMapRdonlyProg | abi::kMapWronlyProg);
        allowed |= def.type == MapType::PerfEventArray ? kMapPreserveElements : 0;
        if (def.key_size != 4 || def.value_size != 4) {
            return refuse(def, EINVAL,
                          "key and value of a " + std::string(abi::name(def.type)) + " have 4 bytes each");
        }
        break;
    case MapType::Ringbuf:
    case MapType::UserRingbuf:
        allowed = abi::kMapNumaNode;
        if (def.key_size != 0 || def.value_size != 0) {
            return refuse(def, EINVAL,
                          "a " + std::string(abi::name(def.type)) + " has neither key nor value size");
        }
        if (def.max_entries < 4096 || (def.max_entries & (def.max_entries - 1)) != 0) {
            return refuse(def, EINVAL,
                          "size " + std::to_string(def.max_entries) +
                              " is no power of two of at least one page");
        }
        return (def.flags & ~allowed) != 0 ? refuse(def, EINVAL, "flags the kernel refuses") : Status{};
    case MapType::SkStorage:
    case MapType::TaskStorage:
    case MapType::CgrpStorage:
        return check_storage(def);
    case MapType::CgroupStorage:
    case MapType::PercpuCgroupStorage:
        return check_cgroup_storage(def);
    case MapType::Sockmap:
    case MapType::Sockhash:
    case MapType::ReuseportSockarray:
        if (auto ok = check_sock_map(def); !ok) {
            return ok;
        }
        allowed = abi::kMapNumaNode | abi::kMapRdonly | abi::kMapWronly |
                  (def.type == MapType::ReuseportSockarray ? abi::kMapRdonlyProg | abi::kMapWronlyProg : 0);
        break;
    case MapType::LpmTrie:
        allowed |= abi::kMapNoPrealloc;
        if ((def.flags & abi::kMapNoPrealloc) == 0) {
            return refuse(def, EINVAL, "an LPM trie wants the flag BPF_F_NO_PREALLOC");
        }
        if (def.key_size < 5 || def.key_size > 4 + 256) {
            return refuse(def, EINVAL, "the key of an LPM trie is a prefix length and 1 to 256 bytes");
        }
        break;
    case MapType::BloomFilter:
        allowed |= abi::kMapZeroSeed;
        if ((def.extra & ~uint64_t{0xf}) != 0) {
            return refuse(def, EINVAL, "map_extra is the number of hash functions, 0 to 15");
        }
        [[fallthrough]];
    case MapType::Queue:
    case MapType::Stack:
        if (def.key_size != 0) {
            return refuse(def, EINVAL, std::string(abi::name(def.type)) + " maps have no keys");
        }
        break;
    default: // the hash family
        allowed |= abi::kMapZeroSeed;
        allowed |= abi::kMapNoPrealloc | (is_lru ? abi::kMapNoCommonLru : 0);
        break;
    }
    const auto both = [&](uint32_t flags) { return (def.flags & flags) == flags; };
    if ((def.flags & ~allowed) != 0 || both(abi::kMapRdonly | abi::kMapWronly) ||
        both(abi::kMapRdonlyProg | abi::kMapWronlyProg)) {
        return refuse(def, EINVAL, "flags the kernel refuses for " + std::string(abi::name(def.type)));
    }
    if (is_lru && (def.flags & abi::kMapNoPrealloc) != 0) {
        return refuse(def, EOPNOTSUPP, "an LRU map is always preallocated");
    }
    if ((def.flags & abi::kMapNumaNode) != 0 &&
        (abi::is_percpu(def.type) || (def.flags & abi::kMapNoCommonLru) != 0)) {
        return refuse(def, EINVAL, "what each CPU has of its own cannot lie on one NUMA node");
    }
    if (def.max_entries == 0) {
        return refuse(def, EINVAL, "max_entries is 0");
    }
    if (def.value_size == 0) {
        return refuse(def, EINVAL, "value size is 0");
    }
    if (is_hash && def.key_size == 0) {
        return refuse(def, EINVAL, "key size is 0");
    }
    if (is_hash && def.max_entries > kMostBuckets) {
        return refuse(def, E2BIG, "more entries than buckets can be made for");
    }
    // A per-CPU value must fit the kernel's per-CPU allocator, an element of a hash one kmalloc.
    const bool is_array = def.type == MapType::Array || def.type == MapType::PercpuArray;
    const uint64_t limit = abi::is_percpu(def.type) ? 32u << 10
                           : is_array               ? INT32_MAX
                                                    : (4u << 20) - 49 - std::min(def.key_size, 4u << 20);
    if (def.value_size > limit || def.key_size >= 4u << 20) {
        return refuse(def, E2BIG,
                      "value of " + std::to_string(def.value_size) + " bytes, at most " +
                          std::to_string(limit));
    }
    return {};
}

MapInfo inner_info(const MapDef& def, const MapOptions& options) {
    const MapDef sized = sized_for(def, options.cpus);
    return {sized.name,        sized.type,  sized.key_size, sized.value_size,
            sized.max_entries, sized.flags, options.cpus,   0};
}

Expected<std::unique_ptr<VmMap>> create_checked(const MapDef& def, const MapOptions& options,
                                                uint64_t& taken) {
    using abi::MapType;
    if (def.inner != nullptr) {
        if (!is_emulated(def.inner->type)) {
            return not_emulated("create map", def.inner->name, def.inner->type);
        }
        uint64_t nothing = 0;
        if (auto inner = create_map(*def.inner, options, nothing); !inner) {
            return inner.error();
        }
    }
    if (auto ok = check_definition(def); !ok) {
        return ok.error();
    }
    if (def.inner != nullptr && abi::holds_maps(def.inner->type)) {
        return refuse(def, EINVAL, "maps of maps of maps do not exist");
    }
    if (def.inner != nullptr && def.inner->type == MapType::ProgArray) {
        return refuse(def, ENOTSUP, "a prog_array cannot be an inner map");
    }
    MapInfo info{def.name,        def.type,  def.key_size, def.value_size,
                 def.max_entries, def.flags, options.cpus, 0};
    if (def.type == MapType::Arena) {
        taken += uint64_t{160} << 10; // which pages are there; they themselves are counted as they come
        if (taken > options.memory_limit) {
            return refuse(def, ENOMEM, "no page of it fits the memory limit of the vm");
        }
        const uint64_t address = def.extra != 0 ? def.extra : abi::arena_address(def.max_entries);
        return ArenaMap::create(info, address, options.memory_limit - std::min(taken, options.memory_limit));
    }
    const uint64_t copies = abi::is_percpu(def.type) ? options.cpus : 1;
    const bool has_spares = def.type == MapType::Hash || def.type == MapType::LruHash;
    const uint64_t entries = uint64_t{def.max_entries} + (has_spares ? options.cpus : 0);
    const uint64_t bytes =
        def.type == MapType::Ringbuf || def.type == MapType::UserRingbuf ? uint64_t{def.max_entries} * 2
        : def.type == MapType::BloomFilter
            ? uint64_t{def.max_entries} * def.value_size * 16
            : entries * (copies * round_up(def.value_size, 8u) + round_up(def.key_size, 4u) + 16 +
                         (def.type == MapType::DevmapHash ? 64 : 0));
    if (bytes > options.memory_limit - std::min(taken, options.memory_limit)) {
        return refuse(def, ENOMEM,
                      std::to_string(bytes >> 20) + " MiB do not fit the memory limit of " +
                          std::to_string(options.memory_limit >> 20) + " MiB",
                      "lower max_entries or raise the memory limit of the vm");
    }
    if (uint64_t{def.max_entries} * copies >= kNoElement) {
        return refuse(def, E2BIG, "too many elements");
    }
    taken += bytes;
    const size_t sockets = options.world && options.world->sockets ? options.world->sockets->size() : 0;
    switch (def.type) {
    case MapType::SkStorage:
        return create_storage(info, static_cast<uint32_t>(sockets) + 1);
    case MapType::TaskStorage:
    case MapType::CgrpStorage:
        return create_storage(info, 1);
    case MapType::CgroupStorage:
    case MapType::PercpuCgroupStorage:
        return create_cgroup_storage(info);
    case MapType::Sockmap:
    case MapType::Sockhash:
    case MapType::ReuseportSockarray:
        return create_sock_map(info, options.world);
    case MapType::Array:
    case MapType::PercpuArray:
        return create_array(info);
    case MapType::ProgArray:
        return create_prog_array(info);
    case MapType::CgroupArray:
        return create_cgroup_array(info);
    case MapType::Ringbuf:
        return create_ringbuf(info);
    case MapType::UserRingbuf:
        return create_user_ringbuf(info);
    case MapType::LpmTrie:
        return create_lpm_trie(info);
    case MapType::Queue:
    case MapType::Stack:
        return create_queue(info);
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
        return create_map_of_maps(info, inner_info(*def.inner, options), options);
    case MapType::Devmap:
    case MapType::DevmapHash:
        info.flags |= abi::kMapRdonlyProg; // as the kernel adds it
        return create_redirect_map(info, options.world);
    case MapType::Cpumap:
    case MapType::Xskmap:
        return create_redirect_map(info, options.world);
    case MapType::PerfEventArray:
        return create_perf_event_array(info);
    case MapType::BloomFilter:
        return create_bloom_filter(info);
    default:
        return create_hash(info, options.seed);
    }
}

} // namespace

Expected<std::unique_ptr<VmMap>> create_map(const MapDef& def, const MapOptions& options, uint64_t& taken) {
    if (!is_emulated(def.type)) {
        return create_unemulated_map(
            {def.name, def.type, def.key_size, def.value_size, def.max_entries, def.flags, options.cpus, 0});
    }
    // Only what is of no size is given one.
    auto map = def.max_entries != 0 ? create_checked(def, options, taken)
                                    : create_checked(sized_for(def, options.cpus), options, taken);
    if (map && !options.hidden.empty()) {
        (*map)->hide(options.hidden);
    }
    return map;
}

} // namespace mimicsh::vm
