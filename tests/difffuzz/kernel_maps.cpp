// SPDX-License-Identifier: MIT
// The kernel's side: the pool of maps, put back to where a case begins.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/mman.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "kernel/errors.h"
#include "tests/difffuzz/sides.h"

namespace mimicsh::difffuzz {

namespace {

constexpr size_t kPage = 4096;

} // namespace

Status KernelSide::make_map(MapId id) {
    const MapDef& def = pool_map(id);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = def.flags);
    if (def.value_btf_id != 0) {
        opts.btf_fd = static_cast<uint32_t>(btf_.get());
        opts.btf_key_type_id = def.key_btf_id;
        opts.btf_value_type_id = def.value_btf_id;
    }
    if (def.inner) {
        opts.inner_map_fd = static_cast<uint32_t>(fd(MapId::Inner));
    }
    const std::string name = def.is_data && def.frozen ? "text" : def.name == ".inputs" ? "inputs" : def.name;
    Fd made(bpf_map_create(static_cast<bpf_map_type>(def.type), name.c_str(), def.key_size, def.value_size,
                           def.max_entries, &opts));
    if (!made.valid()) {
        return kernel::bpf_error(errno, "create map", def.name);
    }
    fds_[static_cast<size_t>(id)] = std::move(made);
    if ((def.flags & abi::kMapMmapable) != 0) {
        const size_t size = round_up(size_t{def.value_size} * def.max_entries, kPage);
        void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd(id), 0);
        if (at == MAP_FAILED) {
            return kernel::bpf_error(errno, "map memory", def.name);
        }
        live_[static_cast<size_t>(id)] = {static_cast<uint8_t*>(at), size};
    }
    return {};
}

Status KernelSide::set_up_maps() {
    for (size_t i = 0; i < kMapCount; ++i) {
        if (auto ok = make_map(static_cast<MapId>(i)); !ok) {
            return ok;
        }
    }
    jumps_[0] = std::move(fds_[static_cast<size_t>(MapId::Jumps)]);
    if (auto ok = make_map(MapId::Jumps); !ok) {
        return ok;
    }
    jumps_[1] = std::move(fds_[static_cast<size_t>(MapId::Jumps)]);
    const uint32_t first = 0;
    const int inner = fd(MapId::Inner);
    if (bpf_map_update_elem(fd(MapId::Text), &first, pool_map(MapId::Text).contents.data(), BPF_ANY) != 0 ||
        bpf_map_freeze(fd(MapId::Text)) != 0 ||
        bpf_map_update_elem(fd(MapId::Outer), &first, &inner, BPF_ANY) != 0) {
        return kernel::bpf_error(errno, "fill map", "pool of maps");
    }
    ring_ = ring_buffer__new(
        fd(MapId::Ring),
        [](void* self, void* data, size_t size) {
            ByteVec& into = *static_cast<KernelSide*>(self)->records_;
            const auto* bytes = static_cast<const uint8_t*>(data);
            into.push_back(static_cast<uint8_t>(size));
            into.insert(into.end(), bytes, bytes + size);
            return 0;
        },
        this, nullptr);
    return ring_ != nullptr ? Status{} : kernel::bpf_error(errno, "map memory", "ring");
}

KernelSide::~KernelSide() {
    ring_buffer__free(ring_);
    for (const ByteSpan bytes : live_) {
        if (!bytes.empty()) {
            (void)munmap(bytes.data(), bytes.size());
        }
    }
}

void KernelSide::put_presets(const std::vector<MapId>& maps) {
    for (const MapId id : maps) {
        for (const Preset& preset : presets(id)) {
            const void* key = pool_map(id).key_size == 0 ? nullptr : preset.key.data();
            (void)bpf_map_update_elem(fd(id), key, preset.value.data(), BPF_ANY);
        }
    }
}

/// Reads all entries of a hash and deletes them, in one call.
void KernelSide::drain_hash(MapId id, ByteVec& into) {
    const MapDef& def = pool_map(id);
    const uint32_t most = std::min(def.max_entries, 64u); // keys are small numbers
    const size_t value_size =
        abi::is_percpu(def.type) ? round_up(def.value_size, 8u) * cpus_ : def.value_size;
    keys_.resize(size_t{most} * def.key_size);
    values_.resize(size_t{most} * value_size);
    uint32_t count = most;
    uint64_t position = 0;
    (void)bpf_map_lookup_and_delete_batch(fd(id), nullptr, &position, keys_.data(), values_.data(), &count,
                                          nullptr);
    for (size_t i = 0; i < count; ++i) {
        const uint8_t* key = keys_.data() + i * def.key_size;
        const uint8_t* value = values_.data() + i * value_size;
        into.insert(into.end(), key, key + def.key_size);
        into.insert(into.end(), value, value + value_size);
    }
}

void KernelSide::drain_trie(MapId id, ByteVec& into) {
    const MapDef& def = pool_map(id);
    keys_.resize(def.key_size);
    values_.resize(def.value_size);
    while (bpf_map_get_next_key(fd(id), nullptr, keys_.data()) == 0) {
        (void)bpf_map_lookup_elem(fd(id), keys_.data(), values_.data());
        (void)bpf_map_delete_elem(fd(id), keys_.data());
        into.insert(into.end(), keys_.begin(), keys_.end());
        into.insert(into.end(), values_.begin(), values_.end());
    }
}

void KernelSide::drain_queue(MapId id, ByteVec& into) {
    values_.resize(pool_map(id).value_size);
    while (bpf_map_lookup_and_delete_elem(fd(id), nullptr, values_.data()) == 0) {
        into.insert(into.end(), values_.begin(), values_.end());
    }
}

/// Values of an array, which become zero.
void KernelSide::read_array(MapId id, ByteVec& into) {
    const MapDef& def = pool_map(id);
    if (const ByteSpan bytes = live(id); !bytes.empty()) {
        into.assign(bytes.begin(), bytes.begin() + ptrdiff_t{def.value_size} * def.max_entries);
        std::memset(bytes.data(), 0, into.size());
        return;
    }
    const size_t size =
        abi::is_percpu(def.type) ? size_t{round_up(def.value_size, 8u)} * cpus_ : def.value_size;
    values_.assign(size, 0);
    into.resize(size * def.max_entries);
    for (uint32_t key = 0; key < def.max_entries; ++key) {
        (void)bpf_map_lookup_elem(fd(id), &key, into.data() + key * size);
        (void)bpf_map_update_elem(fd(id), &key, values_.data(), BPF_ANY);
    }
}

void KernelSide::read_and_reset(const std::vector<MapId>& maps, Outcome& outcome) {
    for (ByteVec& map : outcome.maps) {
        map.clear();
    }
    for (MapId id : maps) {
        ByteVec& into = outcome.maps[static_cast<size_t>(id)];
        switch (reading_of(id)) {
        case Reading::Never:
            break;
        case Reading::Array:
            read_array(id, into);
            break;
        case Reading::Ring:
            records_ = &into;
            (void)ring_buffer__consume(ring_);
            break;
        case Reading::Trie:
            drain_trie(id, into);
            break;
        case Reading::Queue:
            drain_queue(id, into);
            break;
        case Reading::Bloom: { // a new one, since it cannot be emptied
            const Status made = make_map(id);
            (void)made.has_value();
            break;
        }
        case Reading::Hash:
            drain_hash(id, into);
            break;
        }
    }
}

} // namespace mimicsh::difffuzz
