// SPDX-License-Identifier: MIT
// Loading an object into the vm: maps, contents of data sections, linked and decoded programs.
#include "vm/target.h"

#include <cerrno>

#include "base/cpus.h"
#include "object/kernel_btf.h"
#include "vm/machine.h"
#include "vm/program.h"

namespace mimicsh::vm {

namespace {

class VmInstance final : public Instance {
  public:
    VmInstance(std::shared_ptr<const Object> object, const Options& options, uint32_t cpus)
        : object_(std::move(object)), machine_(options, cpus) {}

    std::string_view target() const override { return "vm"; }
    const std::shared_ptr<const Object>& object() const override { return object_; }

    std::vector<Program*> programs() override {
        std::vector<Program*> all;
        for (const auto& program : programs_) {
            all.push_back(program.get());
        }
        return all;
    }

    std::vector<Map*> maps() override {
        std::vector<Map*> all;
        for (const auto& map : machine_.maps()) {
            all.push_back(map.get());
        }
        return all;
    }

    Status create_maps(const LoadOptions& load) {
        uint64_t taken = 0;
        for (const MapDef& def : object_->maps) {
            MapOptions options{machine_.options.cpus, machine_.options.seed, machine_.options.memory_limit};
            auto map = create_map(def, options, taken);
            if (!map) {
                return map.error();
            }
            if (def.is_data) {
                const auto given = load.data.find(def.name);
                if (auto ok = fill(**map, def, given != load.data.end() ? given->second : def.contents);
                    !ok) {
                    return ok;
                }
            }
            machine_.add_map(std::move(*map));
        }
        machine_.seal();
        return {};
    }

    Status load_programs(const LinkOptions& options) {
        for (uint32_t index : object_->programs()) {
            const Function& function = object_->functions[index];
            if (function.spec->type != abi::ProgType::Xdp && machine_.options.mode == Mode::Strict) {
                return Error{ENOTSUP,
                             "load",
                             function.name + ": " + std::string(abi::name(function.spec->type)) +
                                 " programs are not emulated yet, only xdp",
                             "load(\"kernel\") runs it for real",
                             {}};
            }
            auto linked = link(object_, index, options);
            if (!linked) {
                return linked.error();
            }
            program_of_function_[index] = programs_.size();
            programs_.push_back(std::make_unique<LoadedProgram>(std::move(*linked), machine_));
            if (auto ok = programs_.back()->prepare(); !ok) {
                return ok;
            }
        }
        return fill_prog_arrays();
    }

  private:
    static Status fill(VmMap& map, const MapDef& def, const ByteVec& contents) {
        if (contents.size() != def.value_size) {
            return Error{EINVAL,
                         "load",
                         def.name + ": initial contents have " + std::to_string(contents.size()) +
                             " bytes, the section has " + std::to_string(def.value_size),
                         {},
                         {}};
        }
        const uint32_t zero = 0;
        if (auto ok = map.update({reinterpret_cast<const uint8_t*>(&zero), sizeof zero}, contents, abi::kAny);
            !ok) {
            return ok;
        }
        return def.frozen ? map.freeze() : Status{};
    }

    Status fill_prog_arrays() {
        for (size_t i = 0; i < object_->maps.size(); ++i) {
            for (const MapDef::Slot& slot : object_->maps[i].slots) {
                const auto program = program_of_function_.find(slot.target);
                if (object_->maps[i].type != abi::MapType::ProgArray ||
                    program == program_of_function_.end()) {
                    continue;
                }
                if (auto ok = machine_.maps()[i]->put_program(slot.index, *programs_[program->second]); !ok) {
                    return ok;
                }
            }
        }
        return {};
    }

    std::shared_ptr<const Object> object_;
    Machine machine_;
    std::vector<std::unique_ptr<LoadedProgram>> programs_;
    std::map<uint32_t, size_t> program_of_function_;
};

class VmTarget final : public Target {
  public:
    explicit VmTarget(const Options& options) : options_(options) {}

    std::string_view name() const override { return "vm"; }

    Expected<std::unique_ptr<Instance>> load(std::shared_ptr<const Object> object,
                                             const LoadOptions& load_options) override {
        const uint32_t cpus = options_.cpus != 0 ? options_.cpus : possible_cpus();
        if (cpus > 1024 || options_.cpu >= cpus) {
            return Error{EINVAL,
                         "load",
                         "cpu " + std::to_string(options_.cpu) + " of " + std::to_string(cpus) +
                             " (at most 1024)",
                         {},
                         {}};
        }
        LinkOptions link_options{load_options.kernel_btf};
        if (!link_options.kernel_btf && needs_kernel_btf(*object)) {
            auto btf = running_kernel_btf();
            if (!btf) {
                return btf.error();
            }
            link_options.kernel_btf = *btf;
        }
        auto instance = std::make_unique<VmInstance>(std::move(object), options_, cpus);
        if (auto ok = instance->create_maps(load_options); !ok) {
            return ok.error();
        }
        if (auto ok = instance->load_programs(link_options); !ok) {
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
