// SPDX-License-Identifier: MIT
// What all vm maps share: checks of host calls, copying of values, regions of values.
#include "vm/maps/map.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::vm {

Expected<ZeroedBytes> ZeroedBytes::allocate(uint64_t size) {
    ZeroedBytes result;
    result.bytes_.reset(static_cast<uint8_t*>(std::calloc(1, std::max<uint64_t>(size, 1))));
    if (!result.bytes_) {
        return Error{ENOMEM, "create map", std::to_string(size) + " bytes are not to be had", {}, {}};
    }
    return result;
}

Error VmMap::error(int code, const char* op, std::string reason) const {
    return Error{code, op, info_.name + ": " + std::move(reason), {}, {}};
}

Status VmMap::check_host_call(const char* op, ByteView key, size_t value_size, bool writes) const {
    if (key.size() != info_.key_size) {
        return error(EINVAL, op,
                     "key has " + std::to_string(key.size()) + " bytes, wants " +
                         std::to_string(info_.key_size));
    }
    if (value_size != host_value_size(info_)) {
        return error(EINVAL, op,
                     "value has " + std::to_string(value_size) + " bytes, wants " +
                         std::to_string(host_value_size(info_)));
    }
    if (writes && (frozen_ || (info_.flags & abi::kMapRdonly) != 0)) {
        return error(EPERM, op, "map is read only");
    }
    if (!writes && (info_.flags & abi::kMapWronly) != 0) {
        return error(EPERM, op, "map is write only");
    }
    return {};
}

void VmMap::write_value(uint8_t* to, const uint8_t* from, bool is_new) const {
    uint32_t at = 0;
    for (const HiddenField& field : hidden_) {
        std::memcpy(to + at, from + at, field.offset - at);
        at = field.offset + field.size;
        if (is_new) {
            std::memset(to + field.offset, 0, field.size);
        }
    }
    std::memcpy(to + at, from + at, info_.value_size - at);
}

void VmMap::release_slot(uint32_t slot, Journal* journal) const {
    const uint32_t copies = abi::is_percpu(info_.type) ? info_.cpus : 1;
    for (uint32_t cpu = 0; cpu < copies; ++cpu) {
        release_fields(element_of(slot, cpu), journal);
    }
}

void VmMap::copy_in(uint32_t slot, ByteView host_value, bool is_new) {
    if (!abi::is_percpu(info_.type)) {
        write_value(value(slot), host_value.data(), is_new);
        return;
    }
    const uint32_t step = round_up(info_.value_size, 8u);
    for (uint32_t cpu = 0; cpu < info_.cpus; ++cpu) {
        write_value(value(cpu * slots_ + slot), host_value.data() + size_t{cpu} * step, is_new);
    }
}

void VmMap::copy_out(uint32_t slot, ByteSpan host_value) const {
    const auto copy = [&](uint8_t* to, uint32_t element) {
        std::memcpy(to, value(element), info_.value_size);
        for (const HiddenField& field : hidden_) {
            std::memset(to + field.offset, 0, field.size);
            if (field.kind == HiddenField::Kind::Refcount) {
                mimicsh::store(to + field.offset, uint32_t{1}); // as bpf_obj_init_field makes it
            }
        }
    };
    if (!abi::is_percpu(info_.type)) {
        copy(host_value.data(), slot);
        return;
    }
    const uint32_t step = round_up(info_.value_size, 8u);
    std::fill(host_value.begin(), host_value.end(), uint8_t{0});
    for (uint32_t cpu = 0; cpu < info_.cpus; ++cpu) {
        copy(host_value.data() + size_t{cpu} * step, cpu * slots_ + slot);
    }
}

bool VmMap::next_index(ByteView key, ByteSpan next) const {
    const uint32_t index = key.size() == 4 ? load<uint32_t>(key.data()) : UINT32_MAX;
    const uint32_t following = index >= info_.max_entries ? 0 : index + 1;
    if (following >= info_.max_entries) {
        return false;
    }
    store(next.data(), following);
    return true;
}

// -- Defaults: the operation does not exist for this type --

uint32_t VmMap::host_find(ByteView) {
    return kNoElement;
}

Status VmMap::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
        return ok;
    }
    const uint32_t slot = host_find(key);
    if (slot == kNoElement) {
        return error(ENOENT, "look up", "no such key");
    }
    copy_out(slot, value);
    return {};
}

Status VmMap::update(ByteView, ByteView, uint64_t) {
    return error(EINVAL, "update", std::string(abi::name(info_.type)) + " maps take no values from the host");
}

Status VmMap::erase(ByteView) {
    return error(EINVAL, "delete", std::string(abi::name(info_.type)) + " maps do not delete");
}

Status VmMap::take(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("take", key, value.size(), true); !ok) {
        return ok;
    }
    return error(ENOTSUP, "take",
                 std::string(abi::name(info_.type)) + " maps cannot look up and delete in one");
}

Status VmMap::put_map(ByteView, Map&, uint64_t) {
    return error(EINVAL, "put map", std::string(abi::name(info_.type)) + " maps hold no maps");
}

Status VmMap::listen() {
    return error(EINVAL, "listen", std::string(abi::name(info_.type)) + " maps hold no records");
}

Expected<bool> VmMap::next_key(ByteView, ByteSpan) {
    return error(EINVAL, "next key", std::string(abi::name(info_.type)) + " maps have no keys to walk");
}

Expected<size_t> VmMap::next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t limit) {
    if ((info_.flags & abi::kMapWronly) != 0) {
        return error(EPERM, "next key", "map is write only");
    }
    size_t count = 0;
    ByteVec next(info_.key_size);
    while (!cursor.done && count < limit) {
        auto more = next_key(cursor.position, next);
        if (!more) {
            return more.error();
        }
        if (!*more) {
            cursor.done = true;
            break;
        }
        cursor.started = true;
        cursor.position = next;
        values.resize(values.size() + host_value_size(info_));
        if (auto found = lookup(next, ByteSpan(values).last(host_value_size(info_))); !found) {
            values.resize(values.size() - host_value_size(info_));
            if (found.error().code != ENOENT) {
                return found.error();
            }
            continue;
        }
        keys.insert(keys.end(), next.begin(), next.end());
        ++count;
    }
    return count;
}

Status VmMap::freeze() {
    if (frozen_) {
        return error(EPERM, "freeze", "map is read only");
    }
    frozen_ = true;
    return {};
}

Status VmMap::put_program(uint32_t, Program&) {
    return error(EINVAL, "put program", std::string(abi::name(info_.type)) + " maps hold no programs");
}

Status VmMap::send(ByteView) {
    return error(EINVAL, "send", std::string(abi::name(info_.type)) + " maps take no samples");
}

Expected<size_t> VmMap::consume(const RecordFn&) {
    return error(EINVAL, "consume", std::string(abi::name(info_.type)) + " maps hold no records");
}

uint32_t VmMap::find(const uint8_t*, uint32_t, Journal*) {
    return kNoElement;
}

int64_t VmMap::put(const uint8_t*, const uint8_t*, uint64_t, uint32_t, Journal*) {
    return -EINVAL;
}

int64_t VmMap::remove(const uint8_t*, Journal*) {
    return -EINVAL;
}

int64_t VmMap::push(const uint8_t*, uint64_t, Journal*) {
    return -EOPNOTSUPP;
}

int64_t VmMap::pop(uint8_t*, Journal*) {
    return -EOPNOTSUPP;
}

int64_t VmMap::peek(uint8_t*) {
    return -EOPNOTSUPP;
}

// -- Regions --

void VmMap::find_plain_stretch() {
    plain_offset_ = plain_size_ = 0;
    uint32_t begin = 0;
    const auto stretch = [&](uint32_t end) {
        if (end - begin > plain_size_) {
            plain_offset_ = begin;
            plain_size_ = end - begin;
        }
    };
    for (const HiddenField& field : hidden_) {
        stretch(field.offset);
        begin = field.offset + field.size;
    }
    stretch(info_.value_size);
}

void VmMap::map_values(RegionTable& regions, uint32_t map_index) {
    Region object;
    object.kind = RegionKind::MapObject;
    object.owner = map_index;
    object_handle_ = regions.add(object);
    if (elements_ == 0) {
        return;
    }
    find_plain_stretch();
    shift_ = element_shift(info_.value_size);
    handle_log2_ = static_cast<uint8_t>(31 - shift_);
    const uint32_t per_handle = 1u << handle_log2_;
    first_handle_ = regions.size();
    handles_ = 0;
    for (uint32_t first = 0; first < elements_; first += std::min(per_handle, elements_ - first)) {
        Region region;
        region.kind = RegionKind::MapValues;
        region.shift = shift_;
        region.size = info_.value_size;
        region.elements = std::min(per_handle, elements_ - first);
        region.first = first;
        region.host_stride = host_stride_;
        region.storage = values_ + size_t{first} * host_stride_;
        region.base = kOrigin + plain_offset_;
        region.host = region.storage + plain_offset_;
        region.owner = map_index;
        region.readable = (info_.flags & abi::kMapWronlyProg) == 0;
        region.writable = takes_stores_ && (info_.flags & abi::kMapRdonlyProg) == 0;
        region.load_limit = region.readable ? plain_size_ : 0;
        region.tracked = tracks_stores_;
        region.guarded = !hidden_.empty();
        (void)regions.add(region);
        ++handles_;
    }
}

void VmMap::unmap_values(RegionTable& regions) const {
    constexpr const char* kDeath = "a map of the kernel that took its place";
    regions.kill(object_handle_, kDeath);
    for (uint32_t i = 0; i < handles_; ++i) {
        regions.kill(first_handle_ + i, kDeath);
    }
}

void VmMap::end_windows(RegionTable& regions) const {
    for (uint32_t i = 0; i < handles_; ++i) {
        Region& region = regions.at(first_handle_ + i);
        region.load_limit = region.store_limit = 0;
    }
}

} // namespace mimicsh::vm
