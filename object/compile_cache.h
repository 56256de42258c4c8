// SPDX-License-Identifier: MIT
// The cache of compiled objects: one file per set of inputs, checked against every header it was made from.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace mimicsh {

/// 128 bits that tell contents apart. Not against an adversary: who can write the cache is its owner.
struct Digest {
    std::array<uint64_t, 2> words{};
    friend bool operator==(const Digest&, const Digest&) = default;
};

/// Digest of a sequence of fields; lengths count, so that fields cannot run into each other.
class Hasher {
  public:
    void add(ByteView bytes);
    void add(std::string_view text) { add(as_bytes(text)); }
    void add(uint64_t value);
    [[nodiscard]] Digest digest() const { return state_; }

  private:
    Digest state_{{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}};
};

struct CacheEntry {
    std::vector<std::string> headers; ///< every file the compiler read, absolute
    std::string warnings;
    ByteVec object;
};

class CompileCache {
  public:
    /// ${XDG_CACHE_HOME:-$HOME/.cache}/mimicsh/bpf; empty when neither is set.
    [[nodiscard]] static std::string default_dir();

    /// An empty folder name makes a cache that holds nothing.
    explicit CompileCache(std::string dir) : dir_(std::move(dir)) {}

    /// The entry of a key, when it is whole and all headers are still what they were.
    [[nodiscard]] std::optional<CacheEntry> find(const Digest& key) const;
    /// Best effort: a cache that cannot be written is no failure. Old entries go when there are too many.
    void store(const Digest& key, const CacheEntry& entry) const;

  private:
    [[nodiscard]] std::string path_of(const Digest& key) const;
    void prune() const;

    std::string dir_;
};

} // namespace mimicsh
