// SPDX-License-Identifier: MIT
// Entries by batch. What the kernel does not take in one call goes one by one, which also tells why.
#include "kernel/map_batch.h"

#include <cerrno>

#include <bpf/bpf.h>

#include "kernel/map.h"

namespace mimicsh::kernel {

namespace {

bool takes_batches(abi::MapType type) {
    using abi::MapType;
    return type == MapType::Hash || type == MapType::LruHash || type == MapType::PercpuHash ||
           type == MapType::LruPercpuHash;
}

Status erase_each(Map& map, ByteView keys, size_t& done) {
    const size_t size = map.info().key_size;
    for (; done * size < keys.size(); ++done) {
        if (auto ok = map.erase(keys.subspan(done * size, size)); !ok) {
            return ok;
        }
    }
    return {};
}

/// Entry by entry from the first key on; their count.
Expected<size_t> take_each(Map& map, ByteVec& keys, ByteVec& values, size_t limit) {
    ByteVec key(map.info().key_size);
    ByteVec value(host_value_size(map.info()));
    size_t count = 0;
    while (count < limit) {
        const auto more = map.next_key({}, key);
        if (!more) {
            return more.error();
        }
        if (!*more) {
            break;
        }
        if (auto ok = map.take(key, value); !ok) {
            if (ok.error().code == ENOENT) {
                continue; // somebody else was faster
            }
            return ok.error();
        }
        keys.insert(keys.end(), key.begin(), key.end());
        values.insert(values.end(), value.begin(), value.end());
        ++count;
    }
    return count;
}

/// What the kernel gives by its own batches: up to `limit` entries from the first bucket on. `done` is set
/// when those were all.
size_t take_by_bucket(const KernelMap& map, ByteVec& keys, ByteVec& values, size_t limit, bool& done) {
    const size_t key_size = map.info().key_size;
    const size_t value_size = host_value_size(map.info());
    const size_t old_keys = keys.size();
    const size_t old_values = values.size();
    keys.resize(old_keys + limit * key_size);
    values.resize(old_values + limit * value_size);
    uint64_t position = 0; // a bucket's number
    size_t got = 0;
    for (bool more = true; more && got < limit;) {
        auto count = static_cast<uint32_t>(limit - got);
        uint64_t next = 0;
        const int failed = bpf_map_lookup_and_delete_batch(
            map.fd(), got == 0 ? nullptr : &position, &next, keys.data() + old_keys + got * key_size,
            values.data() + old_values + got * value_size, &count, nullptr);
        done = failed != 0 && errno == ENOENT;
        more = failed == 0;
        got += more || done ? count : 0;
        position = next;
    }
    keys.resize(old_keys + got * key_size);
    values.resize(old_values + got * value_size);
    return got;
}

} // namespace

Status erase_batch(Map& map, ByteView keys, size_t& done) {
    done = 0;
    if (const auto* real = dynamic_cast<const KernelMap*>(&map)) {
        const size_t total = keys.size() / map.info().key_size;
        auto count = static_cast<uint32_t>(total);
        if (bpf_map_delete_batch(real->fd(), keys.data(), &count, nullptr) == 0) {
            done = total;
            return {};
        }
        // A call that began with nothing leaves the count as it was.
        done = count < total ? count : 0;
    }
    return erase_each(map, keys, done);
}

Expected<size_t> take_batch(Map& map, ByteVec& keys, ByteVec& values, size_t limit) {
    if (!takes_batches(map.info().type)) {
        return Error{ENOTSUP,
                     "take batch",
                     map.info().name + ": " + std::string(abi::name(map.info().type)) +
                         " maps have no look-up and delete in one step for many entries",
                     {},
                     {}};
    }
    size_t got = 0;
    if (const auto* real = dynamic_cast<const KernelMap*>(&map); real != nullptr && !real->hides_lists()) {
        bool done = false;
        got = take_by_bucket(*real, keys, values, limit, done);
        if (done || got == limit) {
            return got;
        }
        // The next bucket holds more than there is room for, or the kernel takes single entries only.
    }
    const auto rest = take_each(map, keys, values, limit - got);
    return rest ? Expected<size_t>(got + *rest) : rest;
}

} // namespace mimicsh::kernel
