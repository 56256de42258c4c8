// SPDX-License-Identifier: MIT
// Map operations through libbpf's thin wrappers of bpf(2).
#include "kernel/map.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "base/cpus.h"
#include "kernel/bpf_ids.h"
#include "kernel/errors.h"
#include "kernel/program.h"

namespace mimicsh::kernel {

namespace {

/// Maps without keys want a null pointer.
const uint8_t* key_or_null(ByteView key) {
    return key.empty() ? nullptr : key.data();
}

} // namespace

Expected<std::unique_ptr<KernelMap>> KernelMap::create(const MapDef& wanted, int btf_fd) {
    const MapDef def = sized_for(wanted, possible_cpus());
    LIBBPF_OPTS(bpf_map_create_opts, opts);
    opts.map_flags = def.flags;
    opts.map_extra = def.extra;
    opts.numa_node = def.numa_node;
    if (btf_fd >= 0 && def.value_btf_id != 0) {
        opts.btf_fd = static_cast<uint32_t>(btf_fd);
        opts.btf_key_type_id = def.key_btf_id;
        opts.btf_value_type_id = def.value_btf_id;
    }
    std::unique_ptr<KernelMap> inner; // only its shape matters: gone once the outer map is there
    if (def.inner != nullptr) {
        auto created = create(*def.inner, btf_fd);
        if (!created) {
            return created.error();
        }
        inner = std::move(*created);
        opts.inner_map_fd = static_cast<uint32_t>(inner->fd());
    }
    const std::string name = kernel_name(def.name);
    const auto type = static_cast<bpf_map_type>(def.type);
    int fd = bpf_map_create(type, name.c_str(), def.key_size, def.value_size, def.max_entries, &opts);
    int untyped = 0;
    if (fd < 0 && opts.btf_fd != 0) {
        untyped = errno;
        opts.btf_fd = opts.btf_key_type_id = opts.btf_value_type_id = 0;
        fd = bpf_map_create(type, name.c_str(), def.key_size, def.value_size, def.max_entries, &opts);
    }
    if (fd < 0) {
        const int code = errno;
        Error error = bpf_error(code, "create map", def.name);
        if (code == EINVAL && def.max_entries == 0 && !abi::name(def.type).ends_with("storage")) {
            error.hint = "its max_entries is 0";
        }
        return error;
    }
    MapInfo info{def.name, def.type, def.key_size, def.value_size, def.max_entries, def.flags, 1, 0};
    if (abi::is_percpu(def.type)) {
        info.cpus = possible_cpus();
    }
    bpf_map_info kernel_info{};
    uint32_t size = sizeof kernel_info;
    if (bpf_obj_get_info_by_fd(fd, &kernel_info, &size) == 0) {
        info.id = kernel_info.id;
    }
    std::unique_ptr<KernelMap> map(new KernelMap(std::move(info), Fd(fd)));
    map->untyped_ = untyped;
    map->place_arena(def.extra);
    return map;
}

Expected<std::unique_ptr<KernelMap>> KernelMap::open(const MapDef& declared, const std::string& path) {
    const MapDef def = sized_for(declared, possible_cpus());
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd.valid()) {
        Error error = errno_error(errno, "open map", path);
        if (error.code == EACCES || error.code == EPERM) {
            error.hint = "this needs the right to read and write that file: run as root (CAP_DAC_OVERRIDE)";
        }
        return error;
    }
    bpf_map_info is{};
    uint32_t size = sizeof is;
    if (bpf_obj_get_info_by_fd(fd.get(), &is, &size) != 0) {
        return Error{EINVAL, "open map", path + ": is no map", {}, {}};
    }
    MapInfo info{def.name,
                 static_cast<abi::MapType>(is.type),
                 is.key_size,
                 is.value_size,
                 is.max_entries,
                 is.map_flags,
                 1,
                 is.id};
    if (const std::string text = map_mismatch(info, def); !text.empty()) {
        return Error{EINVAL,
                     "open map",
                     path + ": " + text,
                     "remove the file to have a new map there, or pin this one elsewhere",
                     {}};
    }
    if (abi::is_percpu(def.type)) {
        info.cpus = possible_cpus();
    }
    std::unique_ptr<KernelMap> map(new KernelMap(std::move(info), std::move(fd)));
    map->place_arena(is.map_extra);
    return map;
}

Expected<std::unique_ptr<KernelMap>> KernelMap::open_or_pin(const MapDef& def, int btf_fd) {
    const std::string path = "/sys/fs/bpf/" + def.name;
    auto there = open(def, path);
    if (there || there.error().code != ENOENT) {
        return there;
    }
    auto made = create(def, btf_fd);
    if (made) {
        if (auto ok = pin_object((*made)->fd(), path, "load"); !ok) {
            return ok.error();
        }
    }
    return made;
}

Expected<std::unique_ptr<KernelMap>> KernelMap::adopt(const MapDef& declared, const Map& live) {
    const MapDef def = sized_for(declared, possible_cpus());
    if (const std::string text = map_mismatch(live.info(), def); !text.empty()) {
        return Error{EINVAL, "share map", def.name + ": " + live.info().name + " " + text, {}, {}};
    }
    auto shared = live.share();
    if (!shared) {
        return shared.error();
    }
    std::unique_ptr<KernelMap> map(dynamic_cast<KernelMap*>(shared->get()));
    if (map == nullptr) {
        return Error{ENOTSUP, "share map", live.info().name + ": it is no map of the kernel", {}, {}};
    }
    (void)shared->release();
    map->info_.name = def.name;
    return map;
}

Expected<std::unique_ptr<Map>> KernelMap::share() const {
    Fd fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) {
        return errno_error(errno, "share map", info_.name);
    }
    std::unique_ptr<KernelMap> map(new KernelMap(info_, std::move(fd)));
    map->lists_ = lists_;
    map->arena_address_ = arena_address_;
    return std::unique_ptr<Map>(std::move(map));
}

ByteSpan KernelMap::shared_values() {
    if (info_.type != abi::MapType::Array || (info_.flags & abi::kMapMmapable) == 0) {
        return {};
    }
    const size_t size = size_t{info_.max_entries} * round_up(info_.value_size, 8u);
    if (mapped_.empty()) {
        const int access = PROT_READ | ((info_.flags & abi::kMapRdonlyProg) != 0 ? 0 : PROT_WRITE);
        void* memory = mmap(nullptr, size, access, MAP_SHARED, fd_.get(), 0);
        if (memory == MAP_FAILED) {
            return {}; // of a frozen map no page may be written
        }
        mapped_ = {static_cast<uint8_t*>(memory), size};
    }
    return mapped_;
}

Status pin_map(Map& map, const std::string& path) {
    const auto* real = dynamic_cast<const KernelMap*>(&map);
    if (real == nullptr) {
        return Error{ENOTSUP, "pin", map.info().name + ": maps of the vm cannot be pinned", {}, {}};
    }
    return pin_object(real->fd(), path, "pin");
}

KernelMap::~KernelMap() {
    ring_buffer__free(ring_);
    user_ring_buffer__free(samples_);
    perf_buffer__free(perf_);
    if (!mapped_.empty()) {
        (void)munmap(mapped_.data(), mapped_.size());
    }
}

namespace {

/// Whether keys are the numbers below max_entries.
bool is_indexed(abi::MapType type) {
    using enum abi::MapType;
    constexpr std::array kIndexed{Array,       PercpuArray, ProgArray, PerfEventArray, CgroupArray,
                                  ArrayOfMaps, Devmap,      Cpumap,    Xskmap,         Sockmap};
    return std::ranges::find(kIndexed, type) != kIndexed.end();
}

/// Whether the key of a trie has a longer prefix than it has bits.
bool is_prefix_too_long(const MapInfo& info, ByteView key) {
    return info.type == abi::MapType::LpmTrie && key.size() >= sizeof(uint32_t) &&
           load<uint32_t>(key.data()) > (key.size() - sizeof(uint32_t)) * 8;
}

} // namespace

Error KernelMap::error(int code, const char* op, ByteView key) const {
    Error result = bpf_error(code, op, info_.name);
    const std::string most = std::to_string(info_.max_entries);
    const bool has_index = is_indexed(info_.type) && key.size() == sizeof(uint32_t);
    const uint32_t index = has_index ? load<uint32_t>(key.data()) : 0;
    if ((code == E2BIG || code == EINVAL) && has_index && index >= info_.max_entries) {
        result.text = info_.name + ": index " + std::to_string(index) + " of " + most;
    } else if (code == EINVAL && is_prefix_too_long(info_, key)) {
        result.text = info_.name + ": the prefix is longer than the key";
    } else if (code == E2BIG || (code == ENOSPC && info_.type == abi::MapType::LpmTrie)) {
        result.text = info_.name + ": map is full (max_entries " + most + ")";
    } else if (code == ENOENT) {
        result.text = info_.name + ": no such key";
    } else if (code == EPERM && ((info_.flags & abi::kMapRdonly) != 0 || is_frozen())) {
        result.text = info_.name + ": map is read only";
        result.hint.clear();
    } else if (code == EPERM && (info_.flags & abi::kMapWronly) != 0) {
        result.text = info_.name + ": map is write only";
        result.hint.clear();
    }
    return result;
}

/// Only the descriptor's own page tells.
bool KernelMap::is_frozen() const {
    const auto text = read_file("/proc/self/fdinfo/" + std::to_string(fd_.get()), "read map");
    return text && as_text(*text).find("frozen:\t1") != std::string_view::npos;
}

Status KernelMap::check_sizes(const char* op, ByteView key, size_t value_size) const {
    if (key.size() != info_.key_size) {
        return Error{EINVAL,
                     op,
                     info_.name + ": key has " + std::to_string(key.size()) + " bytes, wants " +
                         std::to_string(info_.key_size),
                     {},
                     {}};
    }
    if (value_size != host_value_size(info_)) {
        return Error{EINVAL,
                     op,
                     info_.name + ": value has " + std::to_string(value_size) + " bytes, wants " +
                         std::to_string(host_value_size(info_)),
                     {},
                     {}};
    }
    return {};
}

Status KernelMap::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_sizes("look up", key, value.size()); !ok) {
        return ok;
    }
    if (bpf_map_lookup_elem(fd(), key_or_null(key), value.data()) != 0) {
        return error(errno, "look up");
    }
    clear_lists(value);
    return {};
}

/// Lists that a copy shows are those of the copy: addresses in the kernel.
void KernelMap::clear_lists(ByteSpan values) const {
    for (size_t at = 0; !lists_.empty() && at < values.size(); at += info_.value_size) {
        for (const HiddenField& field : lists_) {
            std::memset(values.data() + at + field.offset, 0, field.size);
        }
    }
}

Status KernelMap::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_sizes("update", key, value.size()); !ok) {
        return ok;
    }
    return bpf_map_update_elem(fd(), key_or_null(key), value.data(), flags) == 0
               ? Status{}
               : error(errno, "update", key);
}

/// In one call where the type of map has that; what it does not take goes one by one, which also tells why.
Status KernelMap::update_batch(ByteView keys, ByteView values) {
    const size_t total = keys.size() / info_.key_size;
    auto count = static_cast<uint32_t>(total);
    if (bpf_map_update_batch(fd(), keys.data(), values.data(), &count, nullptr) == 0) {
        return {};
    }
    // A call that began with nothing leaves the count as it was.
    const size_t done = count < total ? count : 0;
    return Map::update_batch(keys.subspan(done * info_.key_size),
                             values.subspan(done * host_value_size(info_)));
}

Status KernelMap::erase(ByteView key) {
    if (auto ok = check_sizes("delete", key, host_value_size(info_)); !ok) {
        return ok;
    }
    if (bpf_map_delete_elem(fd(), key_or_null(key)) == 0) {
        return {};
    }
    Error failed = error(errno, "delete", key);
    if (info_.type == abi::MapType::Array || info_.type == abi::MapType::PercpuArray) {
        failed.text = info_.name + ": " + std::string(abi::name(info_.type)) + " maps do not delete";
    }
    return failed;
}

Status KernelMap::take(ByteView key, ByteSpan value) {
    if (auto ok = check_sizes("take", key, value.size()); !ok) {
        return ok;
    }
    if (bpf_map_lookup_and_delete_elem(fd(), key_or_null(key), value.data()) != 0) {
        return error(errno, "take");
    }
    clear_lists(value);
    return {};
}

Expected<bool> KernelMap::next_key(ByteView key, ByteSpan next) {
    if (next.size() != info_.key_size || (!key.empty() && key.size() != info_.key_size)) {
        return Error{EINVAL,
                     "next key",
                     info_.name + ": keys have " + std::to_string(info_.key_size) + " bytes",
                     {},
                     {}};
    }
    if (bpf_map_get_next_key(fd(), key.empty() ? nullptr : key.data(), next.data()) == 0) {
        return true;
    }
    if (errno == ENOENT) {
        return false;
    }
    return error(errno, "next key");
}

// -- Walking --

Expected<size_t> KernelMap::next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t limit) {
    if (cursor.done) {
        return size_t{0};
    }
    if (!batch_works_) {
        return step_by_key(cursor, keys, values, limit);
    }
    const size_t key_size = info_.key_size;
    const size_t value_size = host_value_size(info_);
    // The position of a hash walk is a bucket number, of an array walk a key.
    ByteVec position(std::max<size_t>(key_size, 8));
    std::copy(cursor.position.begin(), cursor.position.end(), position.begin());
    for (size_t room = std::max<size_t>(limit, 1);; room *= 2) {
        const size_t old_keys = keys.size();
        const size_t old_values = values.size();
        keys.resize(old_keys + room * key_size);
        values.resize(old_values + room * value_size);
        auto count = static_cast<uint32_t>(room);
        ByteVec next(position.size());
        const int failed =
            bpf_map_lookup_batch(fd(), cursor.started ? position.data() : nullptr, next.data(),
                                 keys.data() + old_keys, values.data() + old_values, &count, nullptr);
        const int code = failed != 0 ? errno : 0;
        const size_t got = code == 0 || code == ENOENT ? count : 0;
        keys.resize(old_keys + got * key_size);
        values.resize(old_values + got * value_size);
        if (code == ENOSPC && room < (size_t{1} << 20)) {
            continue; // a bucket holds more than there was room for
        }
        if (code == 0 || code == ENOENT) {
            cursor.started = true;
            cursor.done = code == ENOENT;
            cursor.position = std::move(next);
            clear_lists(ByteSpan(values).subspan(old_values));
            return got;
        }
        if (!cursor.started && (code == EINVAL || code == EOPNOTSUPP || code == 524 /* ENOTSUPP */)) {
            batch_works_ = false;
            return step_by_key(cursor, keys, values, limit);
        }
        return error(code, "iterate");
    }
}

Expected<size_t> KernelMap::step_by_key(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t limit) {
    size_t count = 0;
    ByteVec next(info_.key_size);
    ByteVec value(host_value_size(info_));
    while (count < limit) {
        auto more = next_key(cursor.started ? ByteView(cursor.position) : ByteView(), next);
        if (!more) {
            return more.error();
        }
        if (!*more) {
            cursor.done = true;
            break;
        }
        cursor.started = true;
        cursor.position = next;
        if (bpf_map_lookup_elem(fd(), next.data(), value.data()) == 0) {
            clear_lists(value);
            keys.insert(keys.end(), next.begin(), next.end());
            values.insert(values.end(), value.begin(), value.end());
            ++count;
        } else if (errno != ENOENT) {
            return error(errno, "iterate");
        }
    }
    return count;
}

// -- The rest --

Status KernelMap::freeze() {
    return bpf_map_freeze(fd()) == 0 ? Status{} : error(errno, "freeze");
}

Status KernelMap::put_program(uint32_t index, Program& program) {
    auto* loaded = dynamic_cast<KernelProgram*>(&program);
    if (loaded == nullptr) {
        return Error{EINVAL,
                     "put program",
                     info_.name + ": " + program.name() + " is not loaded into the kernel",
                     {},
                     {}};
    }
    const int value = loaded->fd();
    return bpf_map_update_elem(fd(), &index, &value, BPF_ANY) == 0
               ? Status{}
               : error(errno, "put program", {reinterpret_cast<const uint8_t*>(&index), sizeof index});
}

Status KernelMap::put_target(ByteView key, uint32_t target, Program& program, uint64_t flags) {
    constexpr size_t kWithProgram = 8; // struct bpf_devmap_val, struct bpf_cpumap_val
    using abi::MapType;
    const bool has_targets =
        info_.type == MapType::Devmap || info_.type == MapType::DevmapHash || info_.type == MapType::Cpumap;
    auto* loaded = dynamic_cast<KernelProgram*>(&program);
    if (!has_targets || info_.value_size != kWithProgram || key.size() != info_.key_size ||
        loaded == nullptr) {
        return Error{EINVAL,
                     "put target",
                     info_.name + (loaded == nullptr
                                       ? ": " + program.name() + " is not loaded into the kernel"
                                       : ": its values have no room for a program"),
                     {},
                     {}};
    }
    std::array<uint8_t, kWithProgram> value{};
    store(value.data(), target);
    store(value.data() + 4, loaded->fd());
    return bpf_map_update_elem(fd(), key.data(), value.data(), flags) == 0 ? Status{}
                                                                           : error(errno, "put target", key);
}

int KernelMap::on_record(void* self, void* data, size_t size) {
    auto* map = static_cast<KernelMap*>(self);
    ++map->consumed_;
    (*map->consumer_)({static_cast<const uint8_t*>(data), size}, 0);
    return 0;
}

Status KernelMap::put_map(ByteView key, Map& inner, uint64_t flags) {
    auto* map = dynamic_cast<KernelMap*>(&inner);
    if (map == nullptr || key.size() != info_.key_size || info_.value_size != 4) {
        return Error{EINVAL,
                     "put map",
                     info_.name + (map == nullptr ? ": " + inner.info().name + " is not in the kernel"
                                                  : ": it holds no maps, or the key has another size"),
                     {},
                     {}};
    }
    const int value = map->fd();
    return bpf_map_update_elem(fd(), key.data(), &value, flags) == 0 ? Status{}
                                                                     : error(errno, "put map", key);
}

void KernelMap::on_perf_record(void* self, int cpu, void* data, uint32_t size) {
    auto* map = static_cast<KernelMap*>(self);
    if (map->consumer_ != nullptr) {
        ++map->consumed_;
        (*map->consumer_)({static_cast<const uint8_t*>(data), size}, static_cast<uint32_t>(cpu));
    }
}

void KernelMap::on_lost(void* self, int, unsigned long long count) {
    static_cast<KernelMap*>(self)->lost_ += count;
}

Status KernelMap::listen() {
    if (info_.type == abi::MapType::PerfEventArray) {
        if (perf_ == nullptr) {
            const auto pages = kPerfBufferSize / static_cast<size_t>(sysconf(_SC_PAGESIZE));
            perf_ = perf_buffer__new(fd(), pages, on_perf_record, on_lost, this, nullptr);
        }
        return perf_ != nullptr ? Status{} : error(errno, "listen");
    }
    if (info_.type != abi::MapType::Ringbuf) {
        return Error{EINVAL,
                     "listen",
                     info_.name + ": " + std::string(abi::name(info_.type)) + " maps hold no records",
                     {},
                     {}};
    }
    if (ring_ == nullptr) {
        ring_ = ring_buffer__new(fd(), on_record, this, nullptr);
    }
    return ring_ != nullptr ? Status{} : error(errno, "listen");
}

Expected<size_t> KernelMap::consume(const RecordFn& record) {
    if (auto ok = listen(); !ok) {
        return ok.error();
    }
    consumer_ = &record;
    consumed_ = 0;
    const int result = perf_ != nullptr ? perf_buffer__consume(perf_) : ring_buffer__consume(ring_);
    consumer_ = nullptr;
    return result >= 0 ? Expected<size_t>(consumed_) : error(-result, "consume");
}

Status KernelMap::send(ByteView sample) {
    if (info_.type != abi::MapType::UserRingbuf) {
        return Error{EINVAL,
                     "send",
                     info_.name + ": " + std::string(abi::name(info_.type)) + " maps take no samples",
                     {},
                     {}};
    }
    if (samples_ == nullptr) {
        samples_ = user_ring_buffer__new(fd(), nullptr);
    }
    void* room = samples_ == nullptr
                     ? nullptr
                     : user_ring_buffer__reserve(samples_, static_cast<uint32_t>(sample.size()));
    if (room == nullptr) {
        return error(errno, "send");
    }
    std::copy(sample.begin(), sample.end(), static_cast<uint8_t*>(room));
    user_ring_buffer__submit(samples_, room);
    return {};
}

int KernelMap::event_fd() const {
    return ring_ != nullptr   ? ring_buffer__epoll_fd(ring_)
           : perf_ != nullptr ? perf_buffer__epoll_fd(perf_)
                              : -1;
}

} // namespace mimicsh::kernel
