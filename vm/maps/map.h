// SPDX-License-Identifier: MIT
// A map of the vm target: the host's view (mimicsh::Map) and the program's view on one storage.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "object/target.h"
#include "object/value_fields.h"
#include "vm/journal.h"
#include "vm/memory.h"

namespace mimicsh::vm {

/// BPF_F_PRESERVE_ELEMS: events stay when who set them goes, which changes nothing here.
inline constexpr uint32_t kMapPreserveElements = 1u << 11;

/// Zeroed memory from the operating system, touched only where used; for storage that may be large.
class ZeroedBytes {
  public:
    ZeroedBytes() = default;
    [[nodiscard]] static Expected<ZeroedBytes> allocate(uint64_t size);
    [[nodiscard]] uint8_t* data() const { return bytes_.get(); }

  private:
    struct Free {
        void operator()(uint8_t* bytes) const { std::free(bytes); }
    };
    std::unique_ptr<uint8_t, Free> bytes_;
};

struct World;

/// Element not there.
inline constexpr uint32_t kNoElement = 0xffffffff;

/// Ends what a hidden field owns (a timer, an object); the bytes are the field's. A null journal: no run.
using ReleaseField = std::function<void(const HiddenField& field, uint8_t* bytes, Journal* journal)>;

/// Storage: values of all elements back to back (host_stride bytes each), behind as many region handles as
/// their guest strides need. Elements of a per-CPU map are numbered cpu * slots_ + slot. Program-side calls
/// take host pointers that were checked already and return a negative errno.
class VmMap : public Map {
  public:
    explicit VmMap(MapInfo info) : info_(std::move(info)) {}

    [[nodiscard]] const MapInfo& info() const override { return info_; }
    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Status take(ByteView key, ByteSpan value) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;
    [[nodiscard]] Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values,
                                              size_t limit) override;
    [[nodiscard]] Status freeze() override;
    [[nodiscard]] Status put_program(uint32_t index, Program& program) override;
    [[nodiscard]] Status put_map(ByteView key, Map& inner, uint64_t flags) override;
    [[nodiscard]] Status listen() override;
    [[nodiscard]] Expected<size_t> consume(const RecordFn& record) override;
    [[nodiscard]] Status send(ByteView sample) override;

    // -- Program side --
    [[nodiscard]] uint32_t key_size() const { return info_.key_size; }
    [[nodiscard]] abi::MapType type() const { return info_.type; }

    /// Element that holds the key's value on that CPU, or kNoElement. A look-up counts as use for LRU maps.
    [[nodiscard]] virtual uint32_t find(const uint8_t* key, uint32_t cpu, Journal* journal);
    /// Writes one value (of one CPU for per-CPU maps).
    [[nodiscard]] virtual int64_t put(const uint8_t* key, const uint8_t* value, uint64_t flags, uint32_t cpu,
                                      Journal* journal);
    [[nodiscard]] virtual int64_t remove(const uint8_t* key, Journal* journal);
    [[nodiscard]] virtual int64_t push(const uint8_t* value, uint64_t flags, Journal* journal);
    /// Copies the next value out and drops it; zeroes `value` when there is none.
    [[nodiscard]] virtual int64_t pop(uint8_t* value, Journal* journal);
    /// Queues and stacks: copies the next value out. Bloom filters: looks `value` up.
    [[nodiscard]] virtual int64_t peek(uint8_t* value);
    /// Slots with an entry in walking order, for bpf_for_each_map_elem; nothing when the type has no such
    /// walk.
    [[nodiscard]] virtual std::optional<std::vector<uint32_t>> entries() { return std::nullopt; }
    /// Copies the key of a slot out.
    virtual void copy_key(uint32_t, uint8_t*) const {}
    /// Maps of maps: the map behind a key, null when there is none.
    [[nodiscard]] virtual VmMap* inner(const uint8_t*) { return nullptr; }
    /// False when the element's key was deleted (its storage may still be pointed at).
    [[nodiscard]] virtual bool is_live(uint32_t) const { return true; }
    virtual void undo(const Undo&) {}
    /// Maps of maps: what was put in as one map is another from now on.
    virtual void replace_inner(VmMap*, VmMap*) {}

    // -- Maps that a map of the kernel backs (maps/live.cpp) --
    [[nodiscard]] bool is_backed() const { return is_backed_; }
    /// A program is about to write bytes of a value.
    virtual void written(const uint8_t*, uint64_t) {}
    /// Writes back what the run wrote, and reads the value of an element again. False: its key is gone.
    [[nodiscard]] virtual bool refresh(uint32_t element) { return is_live(element); }
    /// Writes back what the run wrote.
    virtual void write_back() {}
    /// Ends a run: writes back, and forgets what was looked up.
    virtual void settle() {}
    /// What the kernel refused to the host since the last call and no program could be told; empty: nothing.
    [[nodiscard]] virtual std::string take_trouble() { return {}; }

    // -- Addresses of values --

    /// Registers the value storage with the table; called once at load.
    void map_values(RegionTable& regions, uint32_t map_index);
    /// Ends the regions of a map that another takes the place of.
    void unmap_values(RegionTable& regions) const;
    [[nodiscard]] GuestAddr value_addr(uint32_t element) const {
        return make_addr(first_handle_ + (element >> handle_log2_), (element & ((1u << handle_log2_) - 1))
                                                                        << shift_);
    }
    /// Moves the fast window of the element's handle onto it, so that loads of it take the short path;
    /// returns value_addr of the element.
    GuestAddr open_window(RegionTable& regions, uint32_t element) const {
        const uint32_t handle = first_handle_ + (element >> handle_log2_);
        const uint32_t place = (element & ((1u << handle_log2_) - 1)) << shift_;
        Region& region = regions.at(handle);
        region.base = kOrigin + place + plain_offset_;
        region.host = values_ + size_t{element} * host_stride_ + plain_offset_;
        region.load_limit = deleted_in_run_ || !region.readable ? 0 : plain_size_;
        region.store_limit = 0;
        return make_addr(handle, place);
    }
    [[nodiscard]] uint8_t* value(uint32_t element) const { return values_ + size_t{element} * host_stride_; }
    /// Element of a slot's value on a CPU.
    [[nodiscard]] uint32_t element_of(uint32_t slot, uint32_t cpu) const {
        return abi::is_percpu(info_.type) ? cpu * slots_ + slot : slot;
    }
    /// Names the fields of values that host copies show as zero and that updates leave alone.
    void hide(std::vector<HiddenField> fields) { hidden_ = std::move(fields); }
    [[nodiscard]] const std::vector<HiddenField>& hidden() const { return hidden_; }
    /// Offset of the bpf_spin_lock in values.
    [[nodiscard]] std::optional<uint64_t> lock_offset() const {
        return hidden_offset(HiddenField::Kind::SpinLock);
    }
    /// Offset of the first hidden field of that kind.
    [[nodiscard]] std::optional<uint64_t> hidden_offset(HiddenField::Kind kind) const {
        for (const HiddenField& field : hidden_) {
            if (field.kind == kind) {
                return field.offset;
            }
        }
        return std::nullopt;
    }
    /// Who ends what the hidden fields of a value own when the value goes away.
    void on_release(ReleaseField release) { release_ = std::move(release); }
    /// Whether this is a HashMap of type hash, which look-ups call by its name.
    [[nodiscard]] bool is_plain_hash() const { return is_plain_hash_; }
    /// Whether programs may store to what a look-up found, as far as the flags allow it.
    [[nodiscard]] bool takes_stores() const { return takes_stores_; }
    void set_id(uint32_t id) { info_.id = id; }
    [[nodiscard]] uint32_t handle() const { return object_handle_; }
    [[nodiscard]] bool deleted_in_run() const { return deleted_in_run_; }
    /// Ends a run: what it deleted is forgotten.
    void end_run() { deleted_in_run_ = false; }
    /// Sends every access to the values through the slow path, which knows deleted elements.
    void end_windows(RegionTable& regions) const;

  protected:
    /// Checks sizes of a host call, access flags and the frozen state.
    [[nodiscard]] Status check_host_call(const char* op, ByteView key, size_t value_size, bool writes) const;
    [[nodiscard]] Error error(int code, const char* op, std::string reason) const;
    /// Writes a value but for its hidden fields, which a new element has as zero.
    void write_value(uint8_t* to, const uint8_t* from, bool is_new) const;
    /// Ends what the value of an element owns: it is replaced.
    void release_fields(uint32_t element, Journal* journal) const {
        if (release_) {
            for (const HiddenField& field : hidden_) {
                release_(field, value(element) + field.offset, journal);
            }
        }
    }
    /// The same for the values of a slot on all CPUs.
    void release_slot(uint32_t slot, Journal* journal) const;
    /// Copies a value of host_value_size in or out, CPU by CPU for per-CPU maps.
    void copy_in(uint32_t slot, ByteView host_value, bool is_new);
    void copy_out(uint32_t slot, ByteSpan host_value) const;

    /// `next_key` of maps whose keys are the indices below max_entries.
    [[nodiscard]] bool next_index(ByteView key, ByteSpan next) const;
    /// Slot of a key for the host side, or kNoElement.
    [[nodiscard]] virtual uint32_t host_find(ByteView key);

    MapInfo info_;
    std::vector<HiddenField> hidden_; ///< by offset
    ReleaseField release_;            ///< empty: no field owns anything
    bool frozen_ = false;
    bool deleted_in_run_ = false;
    bool is_plain_hash_ = false;
    bool is_backed_ = false;
    bool tracks_stores_ = false; ///< calls `written`
    bool takes_stores_ = true;
    uint8_t* values_ = nullptr; ///< borrowed from the subclass's storage
    uint32_t host_stride_ = 0;
    uint32_t elements_ = 0;
    uint32_t slots_ = 0; ///< elements of one CPU: a per-CPU value sits at cpu * slots_ + slot

  private:
    void find_plain_stretch();

    uint32_t plain_offset_ = 0; ///< the longest stretch of a value without hidden fields: the window
    uint32_t plain_size_ = 0;
    uint32_t first_handle_ = 0;
    uint32_t handles_ = 0;
    uint8_t handle_log2_ = 0; ///< log2 of the elements behind one handle
    uint32_t object_handle_ = 0;
    uint8_t shift_ = 3;
};

struct MapOptions {
    uint32_t cpus = 1;
    uint64_t seed = 1;
    uint64_t memory_limit = 0;          ///< bytes this map may take
    std::shared_ptr<const World> world; ///< for the interfaces of a devmap
    std::vector<HiddenField> hidden;    ///< fields of values that belong to the kernel
};

/// Makes a map from its definition, with the kernel's checks (EINVAL, E2BIG); a type that the vm does not
/// have is refused with ENOTSUP by name. `taken` grows by the bytes of storage.
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_map(const MapDef& def, const MapOptions& options,
                                                          uint64_t& taken);

/// A map of the vm whose contents are those of a map of the kernel. EINVAL when that is not as declared,
/// ENOTSUP by name for what cannot be backed.
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_live_map(const MapDef& def, const MapOptions& options,
                                                               const Map& live);

// Constructors of the types, used by create_map.
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_array(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_hash(const MapInfo& info, uint64_t seed);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_prog_array(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_cgroup_array(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_ringbuf(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_user_ringbuf(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_lpm_trie(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_queue(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_perf_event_array(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_bloom_filter(const MapInfo& info);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_map_of_maps(const MapInfo& info, const MapInfo& inner,
                                                                  const MapOptions& options);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_redirect_map(const MapInfo& info,
                                                                   std::shared_ptr<const World> world);

} // namespace mimicsh::vm
