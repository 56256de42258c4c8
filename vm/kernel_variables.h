// SPDX-License-Identifier: MIT
// Variables of the kernel that programs name (__ksym), as far as the scripted world has them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "object/object.h"
#include "vm/memory.h"
#include "vm/world.h"

namespace mimicsh::vm {

class Machine;

/// One that a program of the instance names.
struct KernelVariable {
    std::string name;
    std::shared_ptr<const Btf> declared; ///< types of the object that says what it is; null = the kernel's
    uint32_t type_id = 0;                ///< in those types
    bool is_percpu = false;
    const World::KernelVariable* scripted = nullptr;
    std::vector<ByteVec> copies; ///< by CPU, of others one; empty bytes: given by fields
    uint64_t address = 0;        ///< of a per-CPU one its copies have the handles behind
};

/// All that the programs of an instance name. Their regions live as long as the instance.
class KernelVariables {
  public:
    /// What a program gets for an extern: the variable's address, of one without type a number, of a weak one
    /// that the world does not have 0. Its type is the one that the kernel's BTF gives it, else the declared
    /// one. ENOENT: world.ksyms has no such; EINVAL: what it has does not fit the type.
    [[nodiscard]] Expected<uint64_t> address(Machine& machine, const Object& object, const ExternDef& wanted);
    /// The same by the id that the variable has in the kernel's BTF.
    [[nodiscard]] Expected<uint64_t> address(Machine& machine, uint32_t btf_id);
    /// Gives another CPU's table the same variables at the same handles.
    void share(const KernelVariables& other, RegionTable& regions);

    [[nodiscard]] const KernelVariable& at(uint32_t index) const { return *all_[index]; }
    /// Types that a variable's own is one of; null where the kernel's are not known.
    [[nodiscard]] const Btf* types(Machine& machine, uint32_t index) const;
    /// What the world says of the variable or copy that a region is, and where: "world.ksyms.runqueues[2]".
    [[nodiscard]] const World::KernelVariable::Content& content(const Region& region) const;
    [[nodiscard]] std::string place(const Region& region) const;

  private:
    [[nodiscard]] Expected<uint64_t> add(Machine& machine, KernelVariable variable, const Btf& types);
    static void add_regions(const KernelVariable& variable, uint32_t index, RegionTable& regions);

    std::vector<std::shared_ptr<const KernelVariable>> all_;
};

} // namespace mimicsh::vm
