// SPDX-License-Identifier: MIT
// sk_storage, task_storage and cgrp_storage (kernel/bpf/bpf_local_storage.c): one value for each owner that
// has any; and the deprecated cgroup_storage, one value for the cgroup of a run.
#pragma once

#include <vector>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// Owners are numbered from 0: sockets by their place in the world, the socket of the test run behind them;
/// of tasks and cgroups there is one. The host's key is the owner's number from 1, where the kernel wants a
/// file descriptor.
class StorageMap final : public VmMap {
  public:
    StorageMap(MapInfo info, uint32_t owners, ZeroedBytes storage);

    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;

    /// Element with the owner's value, kNoElement when it has none.
    [[nodiscard]] uint32_t element(uint32_t owner) const { return current_[owner]; }
    /// Gives the owner a value, zero when `value` is null; it has none yet.
    uint32_t add(uint32_t owner, const uint8_t* value, Journal* journal);
    /// False when the owner has no value.
    bool drop(uint32_t owner, Journal* journal);

    [[nodiscard]] bool is_live(uint32_t element) const override { return current_[element / 2] == element; }
    void undo(const Undo& undo) override;

  protected:
    [[nodiscard]] uint32_t host_find(ByteView key) override;

  private:
    void set(uint32_t owner, uint32_t element, Journal* journal);

    ZeroedBytes storage_;
    /// By owner. Each has two elements, used in turn: a pointer to a deleted value does not see the next one.
    std::vector<uint32_t> current_;
    std::vector<uint32_t> last_;
};

/// cgroup_storage and percpu_cgroup_storage. A test run has a cgroup of its own, whose value begins as zero
/// and which the host cannot name, so that every key is absent.
class CgroupStorageMap final : public VmMap {
  public:
    CgroupStorageMap(MapInfo info, ZeroedBytes storage);

    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;
    /// Before the first of a call's runs: the value is that of a new cgroup.
    void begin();

  private:
    ZeroedBytes storage_;
};

[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_storage(const MapInfo& info, uint32_t owners);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_cgroup_storage(const MapInfo& info);

} // namespace mimicsh::vm
