// SPDX-License-Identifier: MIT
// Distance of names as people mistype them.
#include "base/similar.h"

#include <algorithm>
#include <cctype>

namespace mimicsh {

namespace {

constexpr size_t kLongest = 128; // of names that are compared
constexpr size_t kMostNamed = 3; // equally similar names in a question

char folded(char c) {
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return lower == 'o' ? '0' : lower == 'l' ? '1' : lower;
}

/// How many letters differ; more than `most` when more than that do.
size_t distance(std::string_view a, std::string_view b, size_t most) {
    if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > most) {
        return most + 1;
    }
    // Rows of the usual table: two ago (for swapped letters), the last one, this one.
    std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.size(); ++i) {
        before.swap(last);
        last.swap(row);
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const bool same = folded(a[i - 1]) == folded(b[j - 1]);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
                folded(a[i - 2]) == folded(b[j - 1])) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[b.size()];
}

} // namespace

namespace {

struct Near {
    size_t distance;
    std::string_view name;
};

std::vector<Near> names_near(std::string_view mistyped, const std::vector<std::string_view>& names) {
    std::vector<Near> found;
    if (mistyped.size() > kLongest) {
        return found;
    }
    const size_t most = mistyped.size() / 3;
    for (const std::string_view name : names) {
        const size_t here = name.size() > kLongest ? most + 1 : distance(mistyped, name, most);
        const bool is_new = std::ranges::find(found, name, &Near::name) == found.end();
        if (here <= most && name != mistyped && !mistyped.empty() && is_new) {
            found.push_back({here, name});
        }
    }
    std::ranges::stable_sort(found, {}, &Near::distance);
    return found;
}

} // namespace

std::optional<std::string_view> similar(std::string_view mistyped,
                                        const std::vector<std::string_view>& names) {
    const std::vector<Near> found = names_near(mistyped, names);
    const bool is_clear = !found.empty() && (found.size() == 1 || found[0].distance < found[1].distance);
    return is_clear ? std::optional(found[0].name) : std::nullopt;
}

std::vector<std::string_view> similar_names(std::string_view mistyped,
                                            const std::vector<std::string_view>& names) {
    std::vector<std::string_view> found;
    for (const Near& near : names_near(mistyped, names)) {
        found.push_back(near.name);
    }
    return found;
}

std::string did_you_mean(std::string_view mistyped, const std::vector<std::string_view>& names,
                         std::string otherwise) {
    std::vector<Near> found = names_near(mistyped, names);
    std::erase_if(found, [least = found.empty() ? 0 : found[0].distance](const Near& near) {
        return near.distance > least;
    });
    if (found.empty() || found.size() > kMostNamed) {
        return otherwise;
    }
    std::string text = "did you mean ";
    for (size_t i = 0; i < found.size(); ++i) {
        text += (i == 0 ? "'" : i + 1 < found.size() ? ", '" : " or '") + std::string(found[i].name) + "'";
    }
    return text + "?";
}

} // namespace mimicsh
