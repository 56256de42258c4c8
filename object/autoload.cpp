// SPDX-License-Identifier: MIT
// The mark of sections whose programs are left out.
#include "object/autoload.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh {

std::vector<uint32_t> autoloaded_programs(const Object& object) {
    std::vector<uint32_t> all = object.programs();
    std::erase_if(all, [&](uint32_t id) { return object.functions[id].section.starts_with('?'); });
    return all;
}

Expected<std::shared_ptr<const Object>> with_autoload(std::shared_ptr<const Object> object,
                                                      const std::vector<std::string>& names) {
    if (names.empty()) {
        return object;
    }
    auto changed = std::make_shared<Object>(*object);
    const std::vector<uint32_t> all = object->programs();
    for (const std::string& name : names) {
        const auto found =
            std::ranges::find_if(all, [&](uint32_t id) { return object->functions[id].name == name; });
        if (found == all.end()) {
            return Error{EINVAL, "load", "autoload: no program '" + name + "' in the object", {}, {}};
        }
        Function& function = changed->functions[*found];
        function.section.erase(0, function.section.starts_with('?') ? 1 : 0);
    }
    return std::shared_ptr<const Object>(std::move(changed));
}

} // namespace mimicsh
