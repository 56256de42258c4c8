// SPDX-License-Identifier: MIT
// Loading an object into the kernel: BTF, maps with contents, linked programs.
#include "kernel/target.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include "kernel/errors.h"
#include "kernel/map.h"
#include "kernel/program.h"
#include "object/autoload.h"

namespace mimicsh::kernel {

namespace {

/// Why the kernel refuses types, with the last line that it has to say about them.
std::string refused_types(ByteView raw, int code) {
    std::vector<char> log(size_t{1} << 16);
    LIBBPF_OPTS(bpf_btf_load_opts, opts, .log_buf = log.data(), .log_level = 1,
                .log_size = static_cast<uint32_t>(log.size()));
    const Fd fd(bpf_btf_load(raw.data(), raw.size(), &opts));
    const std::string why = std::strerror(code); // with a log it may be that this was too short
    std::string_view text(log.data(), strnlen(log.data(), log.size()));
    while (!text.empty() && text.back() == '\n') {
        text.remove_suffix(1);
    }
    text.remove_prefix(text.rfind('\n') + 1); // npos + 1 is the beginning
    return text.empty() ? why : why + ", after '" + std::string(text) + "'";
}

class KernelInstance final : public Instance {
  public:
    explicit KernelInstance(std::shared_ptr<const Object> object) : object_(std::move(object)) {}

    std::string_view target() const override { return "kernel"; }
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
        for (const auto& map : maps_) {
            all.push_back(map.get());
        }
        return all;
    }

    /// Types are a convenience: a kernel that refuses them loads the programs without.
    void load_btf() {
        if (object_->btf) {
            const ByteView raw = object_->btf->raw();
            btf_ = Fd(bpf_btf_load(raw.data(), raw.size(), nullptr));
            if (btf_.get() < 0) {
                refused_types_ = refused_types(raw, errno);
            }
        }
    }

    /// What fails without types says why there are none.
    [[nodiscard]] Error without_types(Error error) const {
        if (!refused_types_.empty()) {
            error.hint += (error.hint.empty() ? "" : "; ") +
                          ("the kernel does not take the object's types: " + refused_types_);
        }
        return error;
    }

    Status create_maps(const LoadOptions& options, const Options& own) {
        for (const auto& [name, path] : own.pinned) {
            if (std::ranges::count(object_->maps, name, &MapDef::name) == 0) {
                return Error{EINVAL, "load", "no map '" + name + "' to be opened at " + path, {}, {}};
            }
        }
        if (auto ok = check_given_maps(*object_, options); !ok) {
            return ok;
        }
        for (const MapDef& def : object_->maps) {
            const auto pinned = own.pinned.find(def.name);
            const auto given = options.maps.find(def.name);
            auto map = given != options.maps.end()  ? KernelMap::adopt(def, *given->second)
                       : pinned != own.pinned.end() ? KernelMap::open(def, pinned->second)
                       : def.pinning != 0           ? KernelMap::open_or_pin(def, btf_.get())
                                                    : KernelMap::create(def, btf_.get());
            if (!map) {
                return without_types(map.error());
            }
            auto hidden = hidden_fields(*object_, def);
            if (!hidden.empty() && (*map)->untyped() != 0 && refused_types_.empty()) {
                refused_types_ =
                    "map " + def.name + " was made without them (" + std::strerror((*map)->untyped()) + ")";
            }
            (*map)->hide(std::move(hidden));
            if (def.is_data && pinned == own.pinned.end()) {
                if (auto ok = fill_data_map(**map, def, options); !ok) {
                    return ok;
                }
            }
            maps_.push_back(std::move(*map));
        }
        return {};
    }

    Status load_programs(const LinkOptions& options) {
        for (uint32_t index : autoloaded_programs(*object_)) {
            auto linked = link(object_, index, options);
            if (!linked) {
                return linked.error();
            }
            auto program = KernelProgram::load(std::move(*linked), maps_, btf_.get());
            if (!program) {
                return without_types(program.error());
            }
            programs_.push_back(std::move(*program));
        }
        return fill_slots(*this);
    }

  private:
    std::shared_ptr<const Object> object_;
    Fd btf_;
    std::string refused_types_; ///< why btf_ is none; empty where it is, or where the object has no types
    std::vector<std::unique_ptr<KernelMap>> maps_;
    std::vector<std::unique_ptr<KernelProgram>> programs_;
};

class KernelTarget final : public Target {
  public:
    explicit KernelTarget(Options own) : own_(std::move(own)) {}
    std::string_view name() const override { return "kernel"; }

    Expected<std::unique_ptr<Instance>> load(std::shared_ptr<const Object> object,
                                             const LoadOptions& options) override {
        libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
        auto link_options = link_options_for(*object, options);
        if (!link_options) {
            return link_options.error();
        }
        auto resolved = with_kconfig(std::move(object), options.kconfig);
        if (!resolved) {
            return resolved.error();
        }
        auto instance = std::make_unique<KernelInstance>(std::move(*resolved));
        instance->load_btf();
        if (auto ok = instance->create_maps(options, own_); !ok) {
            return ok.error();
        }
        if (auto ok = instance->load_programs(*link_options); !ok) {
            return ok.error();
        }
        return std::unique_ptr<Instance>(std::move(instance));
    }

  private:
    Options own_;
};

} // namespace

std::unique_ptr<Target> make_target(Options options) {
    return std::make_unique<KernelTarget>(std::move(options));
}

} // namespace mimicsh::kernel
