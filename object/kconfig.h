// SPDX-License-Identifier: MIT
// Options of the kernel's build that programs ask for (`extern ... __kconfig`), resolved as libbpf does.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "object/object.h"

namespace mimicsh {

/// Values by name, as a .config file writes them: y, m, n, a number, or a text (quotes may be left out).
using KconfigValues = std::map<std::string, std::string>;

/// The object with a map ".kconfig" that holds the values of its options and references to it in place of
/// the externs; the object itself when it asks for none. Values come from `given`, then from the running
/// kernel (/proc/config.gz, /boot/config-RELEASE, uname). ESRCH names an option that is nowhere and not weak,
/// EINVAL one whose value does not fit its type.
[[nodiscard]] Expected<std::shared_ptr<const Object>> with_kconfig(std::shared_ptr<const Object> object,
                                                                   const KconfigValues& given);

} // namespace mimicsh
