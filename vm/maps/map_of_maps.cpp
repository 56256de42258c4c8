// SPDX-License-Identifier: MIT
// array_of_maps and hash_of_maps (kernel/bpf/map_in_map.c): maps by key, put in by the host.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

/// An array or hash of numbers, which are places in the list of maps that were put in.
class MapOfMaps final : public VmMap {
  public:
    MapOfMaps(MapInfo info, MapInfo inner, std::unique_ptr<VmMap> numbers)
        : VmMap(std::move(info)), template_(std::move(inner)), numbers_(std::move(numbers)), maps_(1) {}

    /// The id of the map in a slot.
    Status lookup(ByteView key, ByteSpan value) override {
        if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
            return ok;
        }
        const VmMap* found = inner(key.data());
        if (found == nullptr) {
            return error(ENOENT, "look up", "no such key");
        }
        mimicsh::store(value.data(), found->info().id);
        return {};
    }

    Status update(ByteView, ByteView, uint64_t) override {
        return error(EINVAL, "update", "the values of " + std::string(abi::name(info_.type)) + " are maps");
    }

    Status put_map(ByteView key, Map& map, uint64_t flags) override {
        if (auto ok = check_host_call("put map", key, info_.value_size, true); !ok) {
            return ok;
        }
        auto* wanted = dynamic_cast<VmMap*>(&map);
        if (is_array() && flags != abi::kAny) {
            return error(EINVAL, "put map", "bad flags");
        }
        if (is_array() && mimicsh::load<uint32_t>(key.data()) >= info_.max_entries) {
            return error(E2BIG, "put map",
                         "index " + std::to_string(mimicsh::load<uint32_t>(key.data())) + " of " +
                             std::to_string(info_.max_entries));
        }
        if (wanted == nullptr || !is_like_template(wanted->info())) {
            return error(EINVAL, "put map", map.info().name + " is not like the declared inner map");
        }
        const auto place = static_cast<uint32_t>(maps_.size());
        if (auto ok = numbers_->update(key, {reinterpret_cast<const uint8_t*>(&place), sizeof place}, flags);
            !ok) {
            return error(ok.error().code, "put map", ok.error().text);
        }
        maps_.push_back(wanted);
        return {};
    }

    Status erase(ByteView key) override {
        if (!is_array()) {
            return numbers_->erase(key);
        }
        if (auto ok = check_host_call("delete", key, info_.value_size, true); !ok) {
            return ok;
        }
        if (mimicsh::load<uint32_t>(key.data()) >= info_.max_entries) {
            return error(E2BIG, "delete", "no such index");
        }
        if (inner(key.data()) == nullptr) {
            return error(ENOENT, "delete", "the slot is empty");
        }
        const uint32_t empty = 0;
        return numbers_->update(key, {reinterpret_cast<const uint8_t*>(&empty), sizeof empty}, abi::kAny);
    }

    Expected<bool> next_key(ByteView key, ByteSpan next) override { return numbers_->next_key(key, next); }

    VmMap* inner(const uint8_t* key) override {
        const uint32_t element = numbers_->find(key, 0, nullptr);
        return element == kNoElement ? nullptr : maps_[mimicsh::load<uint32_t>(numbers_->value(element))];
    }

    void replace_inner(VmMap* old, VmMap* now) override { std::ranges::replace(maps_, old, now); }

  private:
    [[nodiscard]] bool is_array() const { return info_.type == abi::MapType::ArrayOfMaps; }

    /// bpf_map_meta_equal and array_map_meta_equal.
    [[nodiscard]] bool is_like_template(const MapInfo& map) const {
        const bool same_size = map.type != abi::MapType::Array || (map.flags & abi::kMapInnerMap) != 0 ||
                               map.max_entries == template_.max_entries;
        return map.type == template_.type && map.key_size == template_.key_size &&
               map.value_size == template_.value_size && map.flags == template_.flags && same_size;
    }

    MapInfo template_;
    std::unique_ptr<VmMap> numbers_;
    std::vector<VmMap*> maps_; ///< by number; 0 is none
};

} // namespace

Expected<std::unique_ptr<VmMap>> create_map_of_maps(const MapInfo& info, const MapInfo& inner,
                                                    const MapOptions& options) {
    MapInfo numbers = info;
    const bool is_array = info.type == abi::MapType::ArrayOfMaps;
    numbers.type = is_array ? abi::MapType::Array : abi::MapType::Hash;
    auto storage = is_array ? create_array(numbers) : create_hash(numbers, options.seed);
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<MapOfMaps>(info, inner, std::move(*storage)));
}

} // namespace mimicsh::vm
