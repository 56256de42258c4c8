// SPDX-License-Identifier: MIT
// Loading an object into the vm: maps, contents of data sections, linked and decoded programs.
#include "vm/target.h"

#include <algorithm>
#include <cerrno>

#include "base/cpus.h"
#include "object/autoload.h"
#include "vm/machine.h"
#include "vm/program.h"
#include "vm/versions.h"

namespace mimicsh::vm {

namespace {

/// Only programs that tail calls end and begin can have more frames than one call chain.
uint32_t frames_of(const Object& object) {
    const bool chains = std::ranges::any_of(
        object.maps, [](const MapDef& def) { return def.type == abi::MapType::ProgArray; });
    return chains ? kMaxFrames : abi::kMaxCallFrames;
}

/// Packet memory of kPacketBuffer bytes that an instance of this thread has left behind, for the next one:
/// where many programs are loaded, one after the other, it is not made and zeroed for each.
thread_local ByteVec spare_packet;

/// Refuses a map that the chosen kernel cannot make.
Status check_version(const MapDef& def, std::span<const HiddenField> fields, KernelVersion kernel) {
    const auto refuse = [&](const std::string& what, KernelVersion since) {
        return Error{
            EINVAL, "load", "map " + def.name + ": " + what + " " + since_text(since, kernel), {}, {}};
    };
    if (const KernelVersion since = since_map(def.type); kernel < since) {
        return refuse("type " + std::string(abi::name(def.type)) + " is", since);
    }
    for (const HiddenField& field : fields) {
        const auto rows = field_versions();
        const auto row = std::ranges::find(rows, field.kind, &FieldVersion::kind);
        if (row == rows.end()) {
            continue;
        }
        if (kernel < row->since) {
            return refuse(std::string(row->name) + " in values is", row->since);
        }
        const bool is_usual = def.type == abi::MapType::Hash || def.type == abi::MapType::LruHash ||
                              def.type == abi::MapType::Array;
        if (is_pointer(field) && !is_usual && kernel < KernelVersion::V6_12) {
            return refuse(std::string(row->name) + " in values of " + std::string(abi::name(def.type)) +
                              " maps is",
                          KernelVersion::V6_12);
        }
    }
    return {};
}

/// A map whose values have fields that its type cannot have is made without types, and storage wants them.
Status check_storage_fields(const Object& object, const MapDef& def) {
    using abi::MapType;
    const bool is_storage = def.type == MapType::SkStorage || def.type == MapType::TaskStorage ||
                            def.type == MapType::CgrpStorage;
    if (!is_storage || object.btf == nullptr || def.value_btf_id == 0) {
        return {};
    }
    using Kind = HiddenField::Kind;
    for (const HiddenField& field : hidden_fields_of(*object.btf, def.value_btf_id, def.value_size)) {
        const bool is_node = field.kind == Kind::ListNode || field.kind == Kind::RbNode;
        const auto row = std::ranges::find(field_versions(), field.kind, &FieldVersion::kind);
        if (!is_node && !can_have(def.type, field.kind)) {
            return Error{EINVAL,
                         "load",
                         "map " + def.name + ": values of " + std::string(abi::name(def.type)) +
                             " maps cannot have " + std::string(row->name),
                         {},
                         {}};
        }
    }
    return {};
}

class VmInstance final : public Instance {
  public:
    VmInstance(std::shared_ptr<const Object> object, const Options& options, uint32_t cpus)
        : object_(std::move(object)), machine_(options, cpus, frames_of(*object_)) {}
    ~VmInstance() override {
        if (machine_.packet.buffer.size() == kPacketBuffer) {
            spare_packet = std::move(machine_.packet.buffer);
        }
    }
    VmInstance(const VmInstance&) = delete;
    VmInstance& operator=(const VmInstance&) = delete;

    std::string_view target() const override { return "vm"; }
    const std::shared_ptr<const Object>& object() const override { return object_; }

    std::vector<Program*> programs() override {
        std::vector<Program*> all;
        all.reserve(programs_.size());
        for (const auto& program : programs_) {
            all.push_back(program.get());
        }
        return all;
    }

    std::vector<Map*> maps() override {
        std::vector<Map*> all;
        all.reserve(machine_.maps().size());
        for (const auto& map : machine_.maps()) {
            all.push_back(map.get());
        }
        return all;
    }

    Expected<AdvanceResult> advance(uint64_t ns) override {
        constexpr uint64_t kMaxCallbacks = 1 << 20; // of one call: they may start each other without end
        constexpr size_t kMaxFaults = 1 << 10;
        uint64_t left = machine_.options.budget;
        AdvanceResult result;
        AsyncTable& async = machine_.async;
        const uint64_t until = machine_.clock_ns + std::min(ns, INT64_MAX - machine_.clock_ns);
        if (async.is_idle(until)) {
            machine_.clock_ns = until;
            machine_.touched = true;
            return result;
        }
        async.collect();
        async.advancing = true;
        bool too_many = false;
        while (const auto id = async.next_due(until)) {
            const AsyncCallback due = async.at(*id);
            machine_.clock_ns = std::max(machine_.clock_ns, due.expires);
            machine_.touched = true; // a repeated run starts from the new time
            async.running = due.kind == AsyncCallback::Kind::Timer ? *id : 0;
            due.program->run_callback(due, result);
            const uint64_t spent = machine_.options.budget - machine_.budget;
            too_many = result.callbacks == kMaxCallbacks || spent > left ||
                       result.faults.size() == kMaxFaults || result.log.size() > kMaxCallbacks;
            left -= std::min(left, spent);
            if (too_many) {
                break;
            }
        }
        async.running = 0;
        async.advancing = false;
        async.finish();
        if (too_many) {
            return Error{ELOOP, "advance", "callbacks start each other without end", {}, {}};
        }
        machine_.clock_ns = until;
        machine_.touched = true;
        return result;
    }

    Status back_map(size_t index, const Map& live) override {
        const MapDef& def = object_->maps.at(index);
        auto map = create_live_map(def, map_options(def), live);
        if (!map) {
            return map.error();
        }
        machine_.replace_map(index, std::move(*map));
        for (const auto& program : programs_) {
            if (auto ok = program->prepare(); !ok) {
                return ok;
            }
        }
        return {};
    }

    void set_kernel_types(std::shared_ptr<const Btf> btf) { machine_.set_kernel_types(std::move(btf)); }

    Status create_maps(const LoadOptions& load) {
        if (auto ok = check_given_maps(*object_, load); !ok) {
            return ok;
        }
        uint64_t taken = 0;
        for (const MapDef& def : object_->maps) {
            const MapOptions options = map_options(def);
            if (auto ok = check_storage_fields(*object_, def); !ok) {
                return ok;
            }
            if (machine_.options.mode == Mode::Strict) {
                if (auto ok = check_version(def, options.hidden, machine_.options.kernel); !ok) {
                    return ok;
                }
            }
            const auto live = load.maps.find(def.name);
            auto map = live != load.maps.end() ? create_live_map(def, options, *live->second)
                                               : create_map(def, options, taken);
            if (!map) {
                return map.error();
            }
            if (def.is_data) {
                if (auto ok = fill_data_map(**map, def, load); !ok) {
                    return ok;
                }
            }
            machine_.add_map(std::move(*map));
        }
        machine_.seal();
        return {};
    }

    Status load_programs(const LinkOptions& options) {
        constexpr uint64_t kBytesPerInsn = 64; // linked, analysed and decoded
        uint64_t bytes = 0;
        for (uint32_t index : autoloaded_programs(*object_)) {
            auto linked = link(object_, index, options);
            if (!linked) {
                return linked.error();
            }
            bytes += linked->insns.size() * kBytesPerInsn;
            if (bytes > machine_.options.memory_limit) {
                return Error{ENOMEM,
                             "load",
                             object_->functions[index].name +
                                 ": the programs of the object do not fit the memory limit of " +
                                 std::to_string(machine_.options.memory_limit >> 20) + " MiB",
                             "load fewer of them or raise the memory limit of the vm",
                             {}};
            }
            reuse_packet(linked->spec.type);
            machine_.make_room_for(linked->spec.type);
            programs_.push_back(std::make_unique<LoadedProgram>(std::move(*linked), machine_));
            if (auto ok = programs_.back()->prepare(); !ok) {
                return ok;
            }
        }
        return fill_slots(*this);
    }

  private:
    /// Takes what an earlier instance has left when a program of the type needs as much.
    void reuse_packet(abi::ProgType type) {
        const bool needs_all = type != abi::ProgType::Xdp || machine_.options.mode != Mode::Strict;
        if (needs_all && machine_.packet.buffer.size() < spare_packet.size()) {
            machine_.packet.buffer = std::move(spare_packet);
            spare_packet.clear();
            machine_.packet.lowest = 0; // it holds what earlier packets were
        }
    }
    [[nodiscard]] MapOptions map_options(const MapDef& def) const {
        return {machine_.options.cpus, machine_.options.seed, machine_.options.memory_limit,
                machine_.options.world, hidden_fields(*object_, def)};
    }

    std::shared_ptr<const Object> object_;
    Machine machine_;
    std::vector<std::unique_ptr<LoadedProgram>> programs_;
};

class VmTarget final : public Target {
  public:
    explicit VmTarget(const Options& options) : options_(options) {}

    std::string_view name() const override { return "vm"; }

    Expected<std::unique_ptr<Instance>> load(std::shared_ptr<const Object> object,
                                             const LoadOptions& load_options) override {
        const uint32_t cpus = options_.cpus != 0 ? options_.cpus : possible_cpus();
        const uint32_t cpu = options_.world ? options_.world->cpu.value_or(options_.cpu) : options_.cpu;
        if (cpus > 1024 || cpu >= cpus) {
            return Error{EINVAL,
                         "load",
                         "cpu " + std::to_string(cpu) + " of " + std::to_string(cpus) + " (at most 1024)",
                         {},
                         {}};
        }
        if (auto ok = validate(*object); !ok) { // before maps are made by its types
            return ok.error();
        }
        auto link_options = link_options_for(*object, load_options);
        if (!link_options) {
            return link_options.error();
        }
        auto resolved = with_kconfig(object, load_options.kconfig);
        if (!resolved) {
            return resolved.error();
        }
        link_options->validated = *resolved == object;
        auto instance = std::make_unique<VmInstance>(std::move(*resolved), options_, cpus);
        instance->set_kernel_types(link_options->kernel_btf);
        if (auto ok = instance->create_maps(load_options); !ok) {
            return ok.error();
        }
        if (auto ok = instance->load_programs(*link_options); !ok) {
            return ok.error();
        }
        return std::unique_ptr<Instance>(std::move(instance));
    }

  private:
    Options options_;
};

} // namespace

std::unique_ptr<Target> make_target(const Options& options) {
    return std::make_unique<VmTarget>(options);
}

} // namespace mimicsh::vm
