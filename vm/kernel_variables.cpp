// SPDX-License-Identifier: MIT
// From the name of a variable of the kernel to a region with what the scripted world says of it.
#include "vm/kernel_variables.h"

#include <algorithm>
#include <cerrno>

#include "vm/kernel_struct.h"
#include "vm/machine.h"

namespace mimicsh::vm {

namespace {

using Content = World::KernelVariable::Content;

std::string path_of(const std::string& name) {
    return "world.ksyms." + name;
}

Error unfit(const std::string& path, const std::string& why) {
    return Error{EINVAL, "load", path + " " + why, {}, {}};
}

bool is_percpu_in(const Btf& kernel, uint32_t variable) {
    const auto section = kernel.find(".data..percpu", BtfKind::Datasec);
    return section && std::ranges::find(kernel.type(*section).vars, variable, &BtfSecVar::var_type) !=
                          kernel.type(*section).vars.end();
}

bool is_struct(const Btf& types, uint32_t type_id) {
    const BtfKind kind = types.type(types.resolve(type_id)).kind;
    return kind == BtfKind::Struct || kind == BtfKind::Union;
}

/// Bytes of a variable; none when its fields are given.
Expected<ByteVec> bytes_of(const Content& content, const Btf& types, uint32_t type_id,
                           const std::string& path) {
    const auto size = types.size_of(type_id);
    if (!size || *size == 0) {
        return unfit(path, "is of a type without size");
    }
    const std::string length = std::to_string(*size) + (*size == 1 ? " byte" : " bytes");
    if (!content.fields.empty()) {
        return is_struct(types, type_id) ? Expected<ByteVec>(ByteVec())
                                         : unfit(path, "has named fields, but its type is no struct");
    }
    if (!content.number) {
        return content.bytes.size() == *size ? Expected<ByteVec>(content.bytes)
                                             : unfit(path, "has " + std::to_string(content.bytes.size()) +
                                                               " bytes, the variable is " + length + " long");
    }
    if (is_struct(types, type_id) || types.type(types.resolve(type_id)).kind == BtfKind::Array || *size > 8) {
        return unfit(path, "is a number, but the variable is no number of up to 8 bytes: give its " + length +
                               " as hexadecimal digits, or the fields of a struct by name");
    }
    ByteVec bytes = bytes_of_number(*content.number);
    const auto bits = static_cast<uint32_t>(64 - 8 * *size);
    const uint64_t kept = *content.number << bits;
    if (kept >> bits != *content.number &&
        static_cast<uint64_t>(static_cast<int64_t>(kept) >> bits) != *content.number) {
        return unfit(path, "does not fit the variable's " + length);
    }
    bytes.resize(*size);
    return bytes;
}

Error not_given(const std::string& name) {
    return Error{
        ENOENT,
        "load",
        "the scripted world has no " + path_of(name) + ", and the program names the kernel's variable",
        R"(give its contents: load("vm", {world = {ksyms = {)" + name + " = ...}}}), or declare it __weak",
        {}};
}

} // namespace

Expected<uint64_t> KernelVariables::address(Machine& machine, const Object& object, const ExternDef& wanted) {
    const auto scripted = machine.world().ksyms.find(wanted.name);
    if (scripted == machine.world().ksyms.end()) {
        return wanted.is_weak ? Expected<uint64_t>(0) : not_given(wanted.name);
    }
    const World::KernelVariable& given = scripted->second;
    if (wanted.type_id == 0) {
        const auto& number = given.contents.front().number;
        return number.value_or(0) != 0 && !given.is_list
                   ? Expected<uint64_t>(*number)
                   : unfit(path_of(wanted.name),
                           "is the address of a variable without type: it has to be a number above 0");
    }
    const Btf* kernel = machine.kernel_types();
    if (const auto id = kernel != nullptr ? kernel->find(wanted.name, BtfKind::Var) : std::nullopt) {
        return address(machine, *id);
    }
    return add(machine, {wanted.name, object.btf, wanted.type_id, given.is_list, &given, {}, 0}, *object.btf);
}

Expected<uint64_t> KernelVariables::address(Machine& machine, uint32_t btf_id) {
    const Btf* kernel = machine.kernel_types();
    if (kernel == nullptr || btf_id >= kernel->type_count() || kernel->type(btf_id).kind != BtfKind::Var) {
        return Error{
            EINVAL, "load", "type " + std::to_string(btf_id) + " is no variable of the kernel's BTF", {}, {}};
    }
    const std::string name(kernel->type(btf_id).name);
    const auto scripted = machine.world().ksyms.find(name);
    if (scripted == machine.world().ksyms.end()) {
        return not_given(name);
    }
    return add(
        machine,
        {name, nullptr, kernel->type(btf_id).type, is_percpu_in(*kernel, btf_id), &scripted->second, {}, 0},
        *kernel);
}

Expected<uint64_t> KernelVariables::add(Machine& machine, KernelVariable variable, const Btf& types) {
    const auto known = std::ranges::find(all_, variable.name, [](const auto& one) { return one->name; });
    if (known != all_.end()) {
        return (*known)->address;
    }
    const World::KernelVariable& given = *variable.scripted;
    const std::string path = path_of(variable.name);
    const uint32_t cpus = machine.options.cpus;
    if (given.is_list && !variable.is_percpu) {
        return unfit(path, "is a list, but the variable is not per CPU");
    }
    if (given.is_list && given.contents.size() != cpus) {
        return unfit(path, "has contents for " + std::to_string(given.contents.size()) + " CPUs of " +
                               std::to_string(cpus));
    }
    for (uint32_t cpu = 0; cpu < (variable.is_percpu ? cpus : 1); ++cpu) {
        const std::string at = given.is_list ? path + "[" + std::to_string(cpu + 1) + "]" : path;
        auto bytes = bytes_of(given.contents[given.is_list ? cpu : 0], types, variable.type_id, at);
        if (!bytes) {
            return bytes.error();
        }
        variable.copies.push_back(std::move(*bytes));
    }
    const auto index = static_cast<uint32_t>(all_.size());
    variable.address = make_addr(machine.regions.size(), 0);
    all_.push_back(std::make_shared<const KernelVariable>(std::move(variable)));
    add_regions(*all_.back(), index, machine.regions);
    machine.seal();
    return all_.back()->address;
}

void KernelVariables::add_regions(const KernelVariable& variable, uint32_t index, RegionTable& regions) {
    Region region;
    region.owner = index;
    if (variable.is_percpu) {
        region.kind = RegionKind::PercpuVariable;
        (void)regions.add(region);
    }
    region.readable = true;
    for (uint32_t cpu = 0; cpu < variable.copies.size(); ++cpu) {
        const ByteVec& bytes = variable.copies[cpu];
        region.elements = cpu;
        if (bytes.empty()) {
            region.kind = RegionKind::KernelStruct;
            region.shift = static_cast<uint8_t>(KernelStruct::Variable);
        } else {
            region.kind = RegionKind::KernelVariable;
            region.host = const_cast<uint8_t*>(bytes.data());
            region.size = region.load_limit = static_cast<uint32_t>(bytes.size());
        }
        (void)regions.add(region);
    }
}

void KernelVariables::share(const KernelVariables& other, RegionTable& regions) {
    for (const auto& variable : other.all_) {
        add_regions(*variable, static_cast<uint32_t>(all_.size()), regions);
        all_.push_back(variable);
    }
}

const Btf* KernelVariables::types(Machine& machine, uint32_t index) const {
    return at(index).declared != nullptr ? at(index).declared.get() : machine.kernel_types();
}

const Content& KernelVariables::content(const Region& region) const {
    const World::KernelVariable& given = *at(region.owner).scripted;
    return given.contents[given.is_list ? region.elements : 0];
}

std::string KernelVariables::place(const Region& region) const {
    const KernelVariable& one = at(region.owner);
    return path_of(one.name) +
           (one.scripted->is_list ? "[" + std::to_string(region.elements + 1) + "]" : std::string());
}

} // namespace mimicsh::vm
