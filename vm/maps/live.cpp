// SPDX-License-Identifier: MIT
// Maps of the vm whose contents are those of a map of the kernel. What programs do goes to the kernel's map:
// through memory that both share, else through copies of values that bpf(2) reads and writes.
#include <algorithm>
#include <cerrno>
#include <deque>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "vm/maps/map.h"

namespace mimicsh::vm {

namespace {

/// The host's side is the kernel's map. So is the program's side of maps whose values have no addresses
/// (queues, stacks, bloom filters).
class LiveMap : public VmMap {
  public:
    LiveMap(MapInfo info, std::unique_ptr<Map> live) : VmMap(std::move(info)), live_(std::move(live)) {
        info_.live_id = live_->info().id;
        is_backed_ = true;
    }

    // -- Host side --

    Status lookup(ByteView key, ByteSpan value) override {
        write_back();
        return live_->lookup(key, value);
    }
    Status update(ByteView key, ByteView value, uint64_t flags) override {
        write_back();
        return live_->update(key, value, flags);
    }
    Status erase(ByteView key) override {
        write_back();
        return live_->erase(key);
    }
    Status take(ByteView key, ByteSpan value) override {
        write_back();
        return live_->take(key, value);
    }
    Expected<bool> next_key(ByteView key, ByteSpan next) override { return live_->next_key(key, next); }
    Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t limit) override {
        write_back();
        return live_->next_batch(cursor, keys, values, limit);
    }
    Status freeze() override { return live_->freeze(); }
    Expected<std::unique_ptr<Map>> share() const override { return live_->share(); }

    // -- Program side --

    int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t, Journal*) override {
        if (type() == abi::MapType::Array && (flags & abi::kLock) != 0) {
            // No value has a lock. Helpers look at that last, bpf(2) at once.
            const uint64_t others = flags & ~abi::kLock;
            return others > abi::kExist                       ? -EINVAL
                   : load<uint32_t>(key) >= info_.max_entries ? -E2BIG
                   : others == abi::kNoExist                  ? -EEXIST
                                                              : -EINVAL;
        }
        return result_of(live_->update(key_view(key), value_view(value), flags));
    }
    int64_t remove(const uint8_t* key, Journal*) override { return result_of(live_->erase(key_view(key))); }
    int64_t push(const uint8_t* value, uint64_t flags, Journal*) override {
        return result_of(live_->update({}, value_view(value), flags));
    }
    int64_t pop(uint8_t* value, Journal*) override {
        return zero_unless(result_of(live_->take({}, {value, info_.value_size})), value);
    }
    int64_t peek(uint8_t* value) override {
        const int64_t result = result_of(live_->lookup({}, {value, info_.value_size}));
        return type() == abi::MapType::BloomFilter ? result : zero_unless(result, value);
    }
    std::string take_trouble() override { return std::exchange(trouble_, {}); }

  protected:
    [[nodiscard]] ByteView key_view(const uint8_t* key) const { return {key, info_.key_size}; }
    [[nodiscard]] ByteView value_view(const uint8_t* value) const { return {value, info_.value_size}; }

    /// What a helper returns; what none could is kept as trouble.
    int64_t result_of(const Status& status) {
        static constexpr std::array kOfHelpers{EEXIST, ENOENT, E2BIG, EINVAL, ENOMEM, ENOSPC, EBUSY};
        if (status) {
            return 0;
        }
        if (std::ranges::count(kOfHelpers, status.error().code) == 0) {
            note_trouble(status.error().message());
        }
        return -status.error().code;
    }
    void note_trouble(std::string text) {
        if (trouble_.empty()) {
            trouble_ = std::move(text);
        }
    }
    [[nodiscard]] bool in_trouble() const { return !trouble_.empty(); }

    std::unique_ptr<Map> live_;

  private:
    int64_t zero_unless(int64_t result, uint8_t* value) const {
        if (result != 0) {
            std::memset(value, 0, info_.value_size);
        }
        return result;
    }

    std::string trouble_;
};

/// An array whose values lie in memory that the kernel's programs use too (BPF_F_MMAPABLE).
class SharedArray final : public LiveMap {
  public:
    SharedArray(MapInfo info, std::unique_ptr<Map> live, ByteSpan memory)
        : LiveMap(std::move(info), std::move(live)) {
        values_ = memory.data();
        host_stride_ = round_up(info_.value_size, 8u);
        elements_ = slots_ = info_.max_entries;
    }

    uint32_t find(const uint8_t* key, uint32_t, Journal*) override {
        const auto index = load<uint32_t>(key);
        return index < info_.max_entries ? index : kNoElement;
    }
    std::optional<std::vector<uint32_t>> entries() override {
        std::vector<uint32_t> all(info_.max_entries);
        std::iota(all.begin(), all.end(), 0u);
        return all;
    }
    void copy_key(uint32_t slot, uint8_t* to) const override { store(to, slot); }
};

/// Copies of the values that the current run has looked up, one for each key. Bytes that the program stores
/// are written back, over the value as it is then, before the next operation on the map and when the run
/// ends.
class CopiedMap final : public LiveMap {
  public:
    CopiedMap(MapInfo info, std::unique_ptr<Map> live, uint32_t keys, ZeroedBytes storage)
        : LiveMap(std::move(info), std::move(live)), storage_(std::move(storage)), keys_at_most_(keys) {
        host_stride_ = stride(info_);
        elements_ = slots_ = keys + kSpare;
        values_ = storage_.data();
        masks_ = values_ + size_t{elements_} * host_stride_;
        keys_ = masks_ + size_t{elements_} * host_stride_;
        attached_.resize(elements_);
        tracks_stores_ = true;
        takes_stores_ = info_.type != abi::MapType::LpmTrie;
    }

    /// Elements whose key was deleted, or has a new value, stay readable for that many more of them.
    static constexpr uint32_t kSpare = 64;
    static constexpr uint32_t kMostKeys = 1u << 16;
    static uint32_t stride(const MapInfo& info) { return round_up(info.value_size, 8u); }
    static uint64_t bytes_per_element(const MapInfo& info) {
        return uint64_t{2} * stride(info) + info.key_size;
    }

    uint32_t find(const uint8_t* key, uint32_t, Journal*) override {
        write_back();
        ByteVec value(info_.value_size);
        const int64_t result = in_trouble() ? -EIO : result_of(live_->lookup(key_view(key), value));
        if (result == 0) {
            return hold(key, value);
        }
        detach(key);
        return kNoElement;
    }

    int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t cpu,
                Journal* journal) override {
        write_back();
        const int64_t result = in_trouble() ? 0 : LiveMap::put(key, value, flags, cpu, journal);
        if (result != 0 || in_trouble()) {
            return result;
        }
        if (type() != abi::MapType::Array) {
            detach(key); // the kernel makes a new element: pointers to the old one see the old value
        } else if (const auto slot = by_key_.find(as_text(key_view(key))); slot != by_key_.end()) {
            std::memcpy(this->value(slot->second), value, info_.value_size);
        }
        return 0;
    }

    int64_t remove(const uint8_t* key, Journal* journal) override {
        write_back();
        const int64_t result = in_trouble() ? -EIO : LiveMap::remove(key, journal);
        if (result == 0) {
            detach(key);
            deleted_in_run_ = true;
        }
        return result;
    }

    std::optional<std::vector<uint32_t>> entries() override {
        write_back();
        std::vector<uint32_t> all;
        MapCursor cursor;
        while (!cursor.done && !in_trouble()) {
            ByteVec keys;
            ByteVec values;
            const auto count = live_->next_batch(cursor, keys, values, 1024);
            if (!count) {
                note_trouble(count.error().message());
                break;
            }
            for (size_t i = 0; i < *count && !in_trouble(); ++i) {
                const uint32_t slot = hold(keys.data() + i * info_.key_size,
                                           ByteView(values).subspan(i * info_.value_size, info_.value_size));
                all.push_back(slot);
            }
        }
        return in_trouble() ? std::vector<uint32_t>() : all;
    }

    void copy_key(uint32_t slot, uint8_t* to) const override {
        std::memcpy(to, key_of(slot), info_.key_size);
    }
    bool is_live(uint32_t element) const override { return attached_[element] != 0; }

    bool refresh(uint32_t element) override {
        write_back();
        if (attached_[element] == 0 || in_trouble()) {
            return false;
        }
        if (result_of(live_->lookup(key_view(key_of(element)), {value(element), info_.value_size})) != 0) {
            detach(key_of(element));
            return false;
        }
        return true;
    }

    void written(const uint8_t* host, uint64_t size) override {
        const auto offset = static_cast<size_t>(host - values_);
        std::memset(masks_ + offset, 1, size);
        const auto slot = static_cast<uint32_t>(offset / host_stride_);
        if (written_.empty() || written_.back() != slot) {
            written_.push_back(slot);
        }
    }

    void write_back() override {
        for (const uint32_t slot : written_) {
            uint8_t* mask = masks_ + size_t{slot} * host_stride_;
            if (attached_[slot] != 0 && std::memchr(mask, 1, info_.value_size) != nullptr) {
                write_back(slot, mask);
            }
            std::memset(mask, 0, info_.value_size);
        }
        written_.clear();
    }

    void settle() override {
        write_back();
        by_key_.clear();
        free_.clear();
        std::fill_n(attached_.begin(), fresh_, uint8_t{0});
        fresh_ = 0;
    }

  private:
    [[nodiscard]] uint8_t* key_of(uint32_t slot) const { return keys_ + size_t{slot} * info_.key_size; }

    /// The slot of a key, with the value as it is now.
    uint32_t hold(const uint8_t* key, ByteView value) {
        auto found = by_key_.find(as_text(key_view(key)));
        if (found == by_key_.end()) {
            if (by_key_.size() == keys_at_most_) {
                note_trouble("a run can look at " + std::to_string(keys_at_most_) + " keys of it at most");
                return kNoElement;
            }
            const uint32_t slot = take_slot();
            std::memcpy(key_of(slot), key, info_.key_size);
            attached_[slot] = 1;
            found = by_key_.emplace(as_text(key_view(key_of(slot))), slot).first;
        }
        std::memcpy(this->value(found->second), value.data(), info_.value_size);
        return found->second;
    }

    uint32_t take_slot() {
        if (fresh_ < elements_) {
            return fresh_++;
        }
        const uint32_t slot = free_.front();
        free_.pop_front();
        return slot;
    }

    /// The element is not the key's any more: what is stored to it goes nowhere.
    void detach(const uint8_t* key) {
        if (const auto found = by_key_.find(as_text(key_view(key))); found != by_key_.end()) {
            attached_[found->second] = 0;
            free_.push_back(found->second);
            by_key_.erase(found);
        }
    }

    /// Bytes that the program did not store keep what the kernel made of them meanwhile.
    void write_back(uint32_t slot, const uint8_t* mask) {
        uint8_t* ours = value(slot);
        const ByteView key = key_view(key_of(slot));
        if (std::memchr(mask, 0, info_.value_size) != nullptr) {
            ByteVec now(info_.value_size);
            if (result_of(live_->lookup(key, now)) != 0) {
                return; // deleted meanwhile: a store of the kernel's would be lost as well
            }
            for (size_t i = 0; i < now.size(); ++i) {
                ours[i] = mask[i] != 0 ? ours[i] : now[i];
            }
        }
        (void)result_of(live_->update(key, value_view(ours), abi::kExist));
    }

    ZeroedBytes storage_; ///< values, masks of the bytes that were stored, keys
    uint32_t keys_at_most_;
    uint8_t* masks_ = nullptr;
    uint8_t* keys_ = nullptr;
    std::unordered_map<std::string_view, uint32_t> by_key_; ///< attached slots; the keys are in the storage
    std::vector<uint8_t> attached_;                         ///< by slot: it is its key's
    std::deque<uint32_t> free_;                             ///< detached ones, in the order of their ends
    std::vector<uint32_t> written_;                         ///< slots with stored bytes
    uint32_t fresh_ = 0;                                    ///< slots from here on were not used in this run
};

// -- What can be backed --

/// Why a type cannot be backed; empty when it can.
std::string_view why_not(abi::MapType type) {
    using abi::MapType;
    switch (type) {
    case MapType::Array:
    case MapType::Hash:
    case MapType::LruHash:
    case MapType::LpmTrie:
    case MapType::Queue:
    case MapType::Stack:
    case MapType::BloomFilter:
        return {};
    case MapType::PercpuArray:
    case MapType::PercpuHash:
    case MapType::LruPercpuHash:
        return "bpf(2) writes the values of all CPUs at once, and would take back what programs of the "
               "kernel "
               "count on the others";
    case MapType::ProgArray:
        return "its programs are those of one instance";
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
        return "its maps are those of one instance";
    case MapType::Ringbuf:
    case MapType::UserRingbuf:
    case MapType::PerfEventArray:
        return "its records are read where they are written";
    case MapType::Devmap:
    case MapType::DevmapHash:
    case MapType::Cpumap:
    case MapType::Xskmap:
        return "what it redirects to is the machine's";
    case MapType::Sockmap:
    case MapType::Sockhash:
    case MapType::ReuseportSockarray:
        return "its sockets are the machine's";
    default:
        return "what it belongs to is the machine's";
    }
}

Status check_live(const MapDef& def, const MapOptions& options, const MapInfo& live) {
    const auto refuse = [&](int code, std::string text) {
        return Error{code,
                     "back map",
                     def.name + ": " + std::move(text),
                     code == ENOTSUP ? "leave it to the vm, or run on load(\"kernel\")" : "",
                     {}};
    };
    const std::string type(abi::name(def.type));
    if (const std::string_view why = why_not(def.type); !why.empty()) {
        return refuse(ENOTSUP, "no map of the kernel can back a " + type + ": " + std::string(why));
    }
    if (!options.hidden.empty()) {
        return refuse(ENOTSUP,
                      "values with locks, timers or pointers of the kernel cannot be shared with it");
    }
    if (const std::string text = map_mismatch(live, def); !text.empty()) {
        return refuse(EINVAL, live.name + " " + text);
    }
    if ((live.flags & (abi::kMapRdonly | abi::kMapWronly)) != 0) {
        return refuse(ENOTSUP, std::string("user space may only ") +
                                   ((live.flags & abi::kMapRdonly) != 0 ? "read" : "write") + " it");
    }
    return {};
}

} // namespace

Expected<std::unique_ptr<VmMap>> create_live_map(const MapDef& def, const MapOptions& options,
                                                 const Map& given) {
    if (auto ok = check_live(def, options, given.info()); !ok) {
        return ok.error();
    }
    auto live = given.share();
    if (!live) {
        return live.error();
    }
    MapInfo info{def.name,        def.type,  def.key_size, def.value_size,
                 def.max_entries, def.flags, options.cpus, 0};
    if (def.key_size == 0) {
        return std::unique_ptr<VmMap>(std::make_unique<LiveMap>(std::move(info), std::move(*live)));
    }
    if (const ByteSpan memory = (*live)->shared_values(); !memory.empty()) {
        return std::unique_ptr<VmMap>(
            std::make_unique<SharedArray>(std::move(info), std::move(*live), memory));
    }
    constexpr uint64_t kMostBytes = uint64_t{256} << 20;
    const uint64_t bytes = CopiedMap::bytes_per_element(info);
    const uint64_t room = std::min(kMostBytes, options.memory_limit) / bytes;
    const auto keys =
        static_cast<uint32_t>(std::clamp<uint64_t>(room, CopiedMap::kSpare, CopiedMap::kMostKeys));
    auto storage = ZeroedBytes::allocate((uint64_t{keys} + CopiedMap::kSpare) * bytes);
    if (!storage) {
        return storage.error();
    }
    return std::unique_ptr<VmMap>(
        std::make_unique<CopiedMap>(std::move(info), std::move(*live), keys, std::move(*storage)));
}

} // namespace mimicsh::vm
