// SPDX-License-Identifier: MIT
// A map of the kernel target, on bpf(2).
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "object/arena.h"
#include "object/target.h"
#include "object/value_fields.h"

struct perf_buffer;
struct ring_buffer;
struct user_ring_buffer;

namespace mimicsh::kernel {

class KernelMap final : public Map, public ArenaBytes {
  public:
    /// Creates the map. `btf_fd` is the loaded BTF of the object or -1; where the kernel refuses the map's
    /// types the map is made without them, as libbpf does.
    [[nodiscard]] static Expected<std::unique_ptr<KernelMap>> create(const MapDef& def, int btf_fd);
    /// Opens a pinned map. EINVAL, with what differs, when it is not like the declared one.
    [[nodiscard]] static Expected<std::unique_ptr<KernelMap>> open(const MapDef& def,
                                                                   const std::string& path);
    /// For maps that declare pinning by name: the one at /sys/fs/bpf/NAME, or a new one that is pinned there.
    [[nodiscard]] static Expected<std::unique_ptr<KernelMap>> open_or_pin(const MapDef& def, int btf_fd);
    /// Another handle of a map of the kernel. EINVAL, with what differs, when it is not like the declared
    /// one.
    [[nodiscard]] static Expected<std::unique_ptr<KernelMap>> adopt(const MapDef& def, const Map& live);
    ~KernelMap() override;

    /// The error for which it was made without its types; 0 when it has them or declares none.
    [[nodiscard]] int untyped() const { return untyped_; }
    [[nodiscard]] const MapInfo& info() const override { return info_; }
    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status update_batch(ByteView keys, ByteView values) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Status take(ByteView key, ByteSpan value) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;
    [[nodiscard]] Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values,
                                              size_t limit) override;
    [[nodiscard]] Status freeze() override;
    [[nodiscard]] Status put_program(uint32_t index, Program& program) override;
    [[nodiscard]] Status put_target(ByteView key, uint32_t target, Program& program, uint64_t flags) override;
    [[nodiscard]] Status put_map(ByteView key, Map& inner, uint64_t flags) override;
    [[nodiscard]] Status listen() override;
    [[nodiscard]] Expected<size_t> consume(const RecordFn& record) override;
    [[nodiscard]] Status send(ByteView sample) override;
    [[nodiscard]] uint64_t lost() const override { return lost_; }
    [[nodiscard]] int event_fd() const override;
    [[nodiscard]] Expected<std::unique_ptr<Map>> share() const override;
    [[nodiscard]] ByteSpan shared_values() override;
    [[nodiscard]] uint64_t address() const override { return arena_address_; }
    [[nodiscard]] Status read_at(uint64_t offset, ByteSpan to) override;
    [[nodiscard]] Status write_at(uint64_t offset, ByteView from) override;

    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Tells which fields of values belong to the kernel.
    void hide(const std::vector<HiddenField>& fields) {
        std::ranges::copy_if(fields, std::back_inserter(lists_), [](const HiddenField& field) {
            return field.kind == HiddenField::Kind::ListHead;
        });
    }
    /// Whether values hold lists, which a copy would show with the kernel's addresses.
    [[nodiscard]] bool hides_lists() const { return !lists_.empty(); }

  private:
    KernelMap(MapInfo info, Fd fd) : info_(std::move(info)), fd_(std::move(fd)) {}
    [[nodiscard]] Status check_sizes(const char* op, ByteView key, size_t value_size) const;
    [[nodiscard]] Error error(int code, const char* op, ByteView key = {}) const;
    [[nodiscard]] bool is_frozen() const;
    [[nodiscard]] Expected<size_t> step_by_key(MapCursor& cursor, ByteVec& keys, ByteVec& values,
                                               size_t limit);
    static int on_record(void* self, void* data, size_t size);
    static void on_perf_record(void* self, int cpu, void* data, uint32_t size);
    static void on_lost(void* self, int cpu, unsigned long long count);

    void clear_lists(ByteSpan values) const;
    void place_arena(uint64_t wanted);
    enum class Direction : uint8_t { Out, In };
    [[nodiscard]] Status copy_arena(const char* op, uint64_t offset, uint8_t* bytes, size_t size,
                                    Direction direction);

    MapInfo info_;
    int untyped_ = 0;
    Fd fd_;
    std::vector<HiddenField> lists_; ///< of values, the only kernel fields that copies do not show as zero
    bool batch_works_ = true;
    ring_buffer* ring_ = nullptr;
    perf_buffer* perf_ = nullptr;
    user_ring_buffer* samples_ = nullptr;
    ByteSpan mapped_;            ///< values of an array
    uint64_t arena_address_ = 0; ///< of the first page, where all users of the arena have it
    uint64_t lost_ = 0;
    const RecordFn* consumer_ = nullptr;
    size_t consumed_ = 0;
};

/// Keeps a map of the kernel target alive under a new path of a bpf file system; ENOTSUP for one of the vm.
[[nodiscard]] Status pin_map(Map& map, const std::string& path);

} // namespace mimicsh::kernel
