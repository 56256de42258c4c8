// SPDX-License-Identifier: MIT
// Suggestions among helpers.
#include "object/helper_names.h"

#include "base/similar.h"
#include "object/abi.h"

namespace mimicsh {

std::string did_you_mean_helper(std::string_view mistyped, std::vector<std::string_view> more,
                                std::string otherwise) {
    const std::string whole = "bpf_" + std::string(mistyped);
    if (!mistyped.starts_with("bpf_") && abi::helper_id(whole)) {
        return "did you mean '" + whole + "'?";
    }
    std::vector<std::string> helpers;
    for (uint32_t id = 1; !abi::helper_name(id).empty(); ++id) {
        helpers.push_back("bpf_" + std::string(abi::helper_name(id)));
    }
    more.insert(more.end(), helpers.begin(), helpers.end());
    return did_you_mean(mistyped, more, std::move(otherwise));
}

} // namespace mimicsh
