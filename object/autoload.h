// SPDX-License-Identifier: MIT
// Programs that are loaded only when they are asked for: SEC("?...").
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

/// Programs that a load takes, as indices of functions: all but those marked SEC("?..."), as with libbpf.
[[nodiscard]] std::vector<uint32_t> autoloaded_programs(const Object& object);

/// The object without the mark on these programs; the object itself when none are named. EINVAL for a name
/// that is no program's.
[[nodiscard]] Expected<std::shared_ptr<const Object>> with_autoload(std::shared_ptr<const Object> object,
                                                                    const std::vector<std::string>& names);

} // namespace mimicsh
