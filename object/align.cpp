// SPDX-License-Identifier: MIT
// Rewriting calls whose results differ by nature into calls of a subprogram that reads a list of values.
#include "object/align.h"

#include <algorithm>
#include <cerrno>

#include "object/btf_edit.h"

namespace mimicsh {

namespace {

constexpr const char* kFunctionName = "next_input";
constexpr const char* kMapName = ".inputs";
constexpr uint32_t kMaxValues = 65536;

// The map's value for a site, in bytes: words, then the values.
constexpr uint32_t kNext = 0;     ///< index of the next value
constexpr uint32_t kCount = 8;    ///< how many there are
constexpr uint32_t kMissing = 16; ///< calls that found none left
constexpr uint32_t kValues = 24;

bool is_input(const Insn& insn) {
    return insn.code == (op::kJmp | op::kCall) && insn.src == 0 &&
           is_input_call(static_cast<uint32_t>(insn.imm));
}

bool is_long_jump(const Insn& insn) {
    return insn.code == (op::kJmp32 | op::kJa);
}

bool is_jump(const Insn& insn) {
    const uint8_t cls = insn.code & 7;
    const uint8_t operation = insn.code & 0xf0;
    return (cls == op::kJmp || cls == op::kJmp32) && operation != op::kCall && operation != op::kExit;
}

Insn make(int code, int dst, int src, int off, int32_t imm) {
    Insn made;
    made.code = static_cast<uint8_t>(code);
    made.dst = static_cast<uint8_t>(dst) & 0xf;
    made.src = static_cast<uint8_t>(src) & 0xf;
    made.off = static_cast<int16_t>(off);
    made.imm = imm;
    return made;
}

/// r0 = next value of site r1, 0 when there is none.
Function next_input(uint32_t map, uint32_t values_per_site) {
    constexpr int kMov64 = op::kAlu64 | op::kMov, kAdd64 = op::kAlu64 | op::kAdd;
    constexpr int kLoad = op::kLdx | op::kMem | op::kDw, kStore = op::kStx | op::kMem | op::kDw;
    constexpr int kLookup = 1, kMapSlot = 3, kMissed = 18, kOut = 22;
    Function function;
    function.name = kFunctionName;
    function.section = ".text";
    function.is_global = false;
    function.insns = {
        make(op::kStx | op::kMem | op::kW, 10, 1, -4, 0),
        make(kMov64 | op::kX, 2, 10, 0, 0),
        make(kAdd64, 2, 0, 0, -4),
        make(op::kLddw, 1, op::kMapFd, 0, 0),
        make(0, 0, 0, 0, 0),
        make(op::kJmp | op::kCall, 0, 0, 0, kLookup),
        make(op::kJmp | op::kJeq, 0, 0, kOut - 7, 0),
        make(kLoad, 1, 0, kNext, 0),
        make(kLoad, 2, 0, kCount, 0),
        make(op::kJmp | op::kJge | op::kX, 1, 2, kMissed - 10, 0),
        make(op::kJmp | op::kJge, 1, 0, kMissed - 11, static_cast<int32_t>(values_per_site)),
        make(kMov64 | op::kX, 2, 1, 0, 0),
        make(kAdd64, 2, 0, 0, 1),
        make(kStore, 0, 2, kNext, 0),
        make(op::kAlu64 | op::kLsh, 1, 0, 0, 3),
        make(kAdd64 | op::kX, 0, 1, 0, 0),
        make(kLoad, 0, 0, kValues, 0),
        make(op::kJmp | op::kExit, 0, 0, 0, 0),
        make(kLoad, 1, 0, kMissing, 0), // kMissed
        make(kAdd64, 1, 0, 0, 1),
        make(kStore, 0, 1, kMissing, 0),
        make(kMov64, 0, 0, 0, 0),
        make(op::kJmp | op::kExit, 0, 0, 0, 0), // kOut
    };
    function.relocs = {{kMapSlot, RelocKind::Map, map, 0}};
    return function;
}

class Aligner {
  public:
    Aligner(const Object& object, const AlignOptions& options) : object_(object), options_(options) {
        out_.map = static_cast<uint32_t>(object.maps.size());
    }

    Expected<AlignedObject> run() {
        const auto has_inputs = [](const Function& function) {
            return std::ranges::any_of(function.insns, is_input);
        };
        if (std::ranges::none_of(object_.functions, has_inputs)) {
            return std::move(out_);
        }
        Object copy = object_;
        for (uint32_t index = 0; index < object_.functions.size(); ++index) {
            if (auto ok = rewrite(index, copy.functions[index]); !ok) {
                return ok.error();
            }
        }
        MapDef def;
        def.name = kMapName;
        def.type = abi::MapType::Array;
        def.key_size = 4;
        def.value_size = kValues + 8 * options_.values_per_site;
        def.max_entries = static_cast<uint32_t>(out_.sites.size());
        def.flags = abi::kMapMmapable;
        copy.maps.push_back(std::move(def));
        copy.functions.push_back(next_input(out_.map, options_.values_per_site));
        if (auto ok = describe(copy); !ok) {
            return ok.error();
        }
        out_.object = std::make_shared<const Object>(std::move(copy));
        return std::move(out_);
    }

  private:
    /// Puts `r1 = site` and a call of the subprogram in place of each call, and moves everything along.
    Status rewrite(uint32_t index, Function& to) {
        const Function& from = object_.functions[index];
        const auto inputs = std::ranges::count_if(from.insns, is_input);
        if (inputs == 0) {
            return {};
        }
        const auto callee = static_cast<uint32_t>(object_.functions.size());
        std::vector<uint32_t> moved;
        std::vector<Relocation> calls;
        moved.reserve(from.insns.size());
        to.insns.clear();
        to.insns.reserve(from.insns.size() + static_cast<size_t>(inputs));
        for (uint32_t slot = 0; slot < from.insns.size();) {
            const Insn& insn = from.insns[slot];
            moved.push_back(static_cast<uint32_t>(to.insns.size()));
            if (is_input(insn)) {
                const auto site = static_cast<int32_t>(out_.sites.size());
                out_.sites.push_back({index, slot, static_cast<uint32_t>(insn.imm)});
                to.insns.push_back(make(op::kAlu64 | op::kMov, 1, 0, 0, site));
                calls.push_back({static_cast<uint32_t>(to.insns.size()), RelocKind::Call, callee, 0});
                to.insns.push_back(make(op::kJmp | op::kCall, 0, op::kCallLocal, 0, -1));
                ++slot;
                continue;
            }
            to.insns.push_back(insn);
            if (slot_count(insn) == 2) {
                moved.push_back(static_cast<uint32_t>(to.insns.size()));
                to.insns.push_back(from.insns[slot + 1]);
            }
            slot += slot_count(insn);
        }
        const auto follow = [&](auto& records) {
            for (auto& record : records) {
                record.insn = moved[record.insn];
            }
        };
        follow(to.relocs);
        follow(to.core_relocs);
        follow(to.lines);
        to.relocs.insert(to.relocs.end(), calls.begin(), calls.end());
        std::ranges::sort(to.relocs, {}, &Relocation::insn);
        return retarget(from, moved, to);
    }

    Status retarget(const Function& from, const std::vector<uint32_t>& moved, Function& to) const {
        for (uint32_t slot = 0; slot < from.insns.size(); slot += slot_count(from.insns[slot])) {
            const Insn& insn = from.insns[slot];
            if (!is_jump(insn)) {
                continue;
            }
            const int64_t target = int64_t{slot} + 1 + (is_long_jump(insn) ? insn.imm : insn.off);
            const int64_t by = int64_t{moved[static_cast<size_t>(target)]} - moved[slot] - 1;
            if (is_long_jump(insn)) {
                to.insns[moved[slot]].imm = static_cast<int32_t>(by);
            } else if (by >= INT16_MIN && by <= INT16_MAX) {
                to.insns[moved[slot]].off = static_cast<int16_t>(by);
            } else {
                return Error{E2BIG,
                             "align",
                             from.name + ": the jump at instruction " + std::to_string(slot) +
                                 " would have to go " + std::to_string(by) + " slots",
                             {},
                             {}};
            }
        }
        return {};
    }

    /// A type and a line for the subprogram where the object has them: the kernel wants them for all
    /// functions or for none.
    static Status describe(Object& copy) {
        if (!copy.btf) {
            return {};
        }
        BtfEditor editor(*copy.btf);
        const uint32_t number = editor.find_or_add_int();
        const uint32_t proto = editor.add_type(
            {0, btf_raw::make_info(BtfKind::FuncProto, 1), number, editor.add_string("site"), number});
        const uint32_t name = editor.add_string(kFunctionName);
        Function& function = copy.functions.back();
        function.btf_id = editor.add_type({name, btf_raw::make_info(BtfKind::Func, 0), proto});
        function.lines = {{0, editor.add_string("aligned inputs"), name, 1, 1}};
        auto btf = Btf::parse(editor.finish(), copy.origin);
        if (!btf) {
            return btf.error();
        }
        copy.btf = std::make_shared<const Btf>(std::move(*btf));
        return {};
    }

    const Object& object_;
    const AlignOptions& options_;
    AlignedObject out_;
};

Error no_map(std::string_view name) {
    return Error{EINVAL, "align", std::string(name) + " is not the map of values of this object", {}, {}};
}

/// Bytes of the value of one site.
uint32_t site_size(const AlignedObject& aligned) {
    return aligned.sites.empty() ? 0 : aligned.object->maps[aligned.map].value_size;
}

/// Whether a map is the one that `aligned` asks for.
bool fits(const AlignedObject& aligned, const Map& values) {
    return values.info().type == abi::MapType::Array && values.info().value_size == site_size(aligned) &&
           values.info().max_entries >= aligned.sites.size();
}

} // namespace

bool is_input_call(uint32_t helper) {
    switch (helper) {
    case 5:   // ktime_get_ns
    case 7:   // get_prandom_u32
    case 8:   // get_smp_processor_id
    case 42:  // get_numa_node_id
    case 118: // jiffies64
    case 125: // ktime_get_boot_ns
    case 160: // ktime_get_coarse_ns
    case 208: // ktime_get_tai_ns
        return true;
    default:
        return false;
    }
}

Expected<AlignedObject> align_inputs(std::shared_ptr<const Object> object, const AlignOptions& options) {
    if (!object || options.values_per_site == 0 || options.values_per_site > kMaxValues) {
        return Error{EINVAL, "align", "a site can be given 1 to 65536 values", {}, {}};
    }
    auto aligned = Aligner(*object, options).run();
    if (aligned && aligned->sites.empty()) {
        aligned->object = std::move(object);
    }
    return aligned;
}

Status put_inputs(const AlignedObject& aligned, std::span<const InputCall> calls, ByteSpan values) {
    const size_t size = site_size(aligned);
    if (values.size() < size * aligned.sites.size()) {
        return no_map("memory of " + std::to_string(values.size()) + " bytes");
    }
    for (size_t site = 0; site < aligned.sites.size(); ++site) {
        const InputSite& place = aligned.sites[site];
        uint8_t* value = values.data() + size * site;
        uint64_t count = 0;
        for (const InputCall& call : calls) {
            if (call.function != place.function || call.insn != place.insn) {
                continue;
            }
            if (kValues + 8 * (count + 1) > size) {
                return Error{ENOSPC,
                             "align",
                             aligned.object->functions[place.function].name + ": instruction " +
                                 std::to_string(place.insn) + " was given more than " +
                                 std::to_string((size - kValues) / 8) + " values",
                             "align with more values per site",
                             {}};
            }
            store(value + kValues + 8 * count++, call.value);
        }
        store(value + kNext, uint64_t{0});
        store(value + kCount, count);
        store(value + kMissing, uint64_t{0});
    }
    return {};
}

Status give_inputs(const AlignedObject& aligned, Map& values, std::span<const InputCall> calls) {
    if (!fits(aligned, values)) {
        return no_map(values.info().name);
    }
    if (const ByteSpan live = values.live_bytes(); !live.empty()) {
        return put_inputs(aligned, calls, live);
    }
    const size_t size = site_size(aligned);
    ByteVec bytes(size * aligned.sites.size());
    if (auto ok = put_inputs(aligned, calls, bytes); !ok) {
        return ok;
    }
    for (uint32_t site = 0; site < aligned.sites.size(); ++site) {
        const auto* key = reinterpret_cast<const uint8_t*>(&site);
        const ByteView value = ByteView(bytes).subspan(size * site, size);
        if (auto ok = values.update({key, sizeof site}, value, abi::kAny); !ok) {
            return ok;
        }
    }
    return {};
}

Expected<uint64_t> inputs_missing(const AlignedObject& aligned, Map& values) {
    if (!fits(aligned, values)) {
        return no_map(values.info().name);
    }
    uint64_t missing = 0;
    ByteVec value(values.info().value_size);
    for (uint32_t site = 0; site < aligned.sites.size(); ++site) {
        const auto* key = reinterpret_cast<const uint8_t*>(&site);
        if (auto ok = values.lookup({key, sizeof site}, value); !ok) {
            return ok.error();
        }
        missing += load<uint64_t>(value.data() + kMissing);
    }
    return missing;
}

} // namespace mimicsh
