// SPDX-License-Identifier: MIT
// The maps that bpf_redirect_map takes.
#pragma once

#include <memory>
#include <vector>

#include "vm/maps/map.h"
#include "vm/maps/map_owner.h"
#include "vm/world.h"

namespace mimicsh::vm {

/// Values start with the target: an interface, the length of a CPU's queue, or whatever the host put for a
/// socket. Programs may only read them. Keys of a devmap_hash walk in the kernel's order: buckets by the low
/// bits of the key, the newest entry of a bucket first.
class RedirectMap final : public VmMap {
  public:
    RedirectMap(MapInfo info, ZeroedBytes storage, std::shared_ptr<const World> world);

    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status put_target(ByteView key, uint32_t target, Program& program, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;
    [[nodiscard]] uint32_t find(const uint8_t* key, uint32_t cpu, Journal* journal) override;
    [[nodiscard]] bool has(uint32_t key) const { return slot_of(key) != kNoElement; }

    /// Interface or length of queue in a slot that is set.
    [[nodiscard]] uint32_t target(uint32_t key) const { return load<uint32_t>(value(slot_of(key))); }
    /// Keys with a target, in the order in which a broadcast goes through them.
    [[nodiscard]] std::vector<uint32_t> keys_in_order() const;
    /// Program for a key; null without one.
    [[nodiscard]] Program* program(uint32_t key) const;
    [[nodiscard]] bool holds_programs() const;

    MapOwner owner;

  protected:
    uint32_t host_find(ByteView key) override { return slot_of(load<uint32_t>(key.data())); }

  private:
    [[nodiscard]] bool is_hash() const { return info_.type == abi::MapType::DevmapHash; }
    [[nodiscard]] uint32_t slot_of(uint32_t key) const;
    [[nodiscard]] uint32_t take_free();
    [[nodiscard]] Status check_value(uint32_t key, uint32_t target, uint64_t flags) const;

    [[nodiscard]] Status put_entry(ByteView key, uint32_t target, Program* program, uint64_t flags);

    ZeroedBytes storage_;
    std::shared_ptr<const World> world_;
    std::vector<uint32_t> keys_; ///< by slot
    std::vector<bool> is_set_;
    std::vector<Program*> programs_;             ///< by slot
    std::vector<uint32_t> free_;                 ///< devmap_hash: slots that were given back
    uint32_t fresh_ = 0;                         ///< devmap_hash: slots from here on were never used
    std::vector<std::vector<uint32_t>> buckets_; ///< devmap_hash: slots, newest first
};

} // namespace mimicsh::vm
