// SPDX-License-Identifier: MIT
// Cache entries: magic, digest of the rest, headers with their digests, compiler output, object.
#include "object/compile_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

extern "C" {
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
}

#include "base/fd.h"

namespace mimicsh {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kMagic = "mimicsh bpf cache 1\n";
constexpr size_t kMaxFile = size_t{80} << 20;
constexpr size_t kMaxHeader = size_t{64} << 20;
constexpr size_t kKeepEntries = 256;

uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

Digest digest_of(ByteView bytes) {
    Hasher hasher;
    hasher.add(bytes);
    return hasher.digest();
}

void put_number(ByteVec& out, uint64_t value) {
    out.resize(out.size() + 8);
    store(&out[out.size() - 8], value);
}

void put_bytes(ByteVec& out, ByteView bytes) {
    put_number(out, bytes.size());
    out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Reads what put_* wrote; `ok` turns false and stays so at the first thing that is not there.
struct Cursor {
    ByteView rest;
    bool ok = true;

    uint64_t number() {
        const auto bytes = slice(rest, 0, 8);
        ok = ok && bytes.has_value();
        if (!ok) {
            return 0;
        }
        rest = rest.subspan(8);
        return load<uint64_t>(bytes->data());
    }
    ByteView bytes() {
        const uint64_t size = number();
        const auto found = slice(rest, 0, size);
        ok = ok && found.has_value();
        if (!ok) {
            return {};
        }
        rest = rest.subspan(found->size());
        return *found;
    }
};

/// Digest of a regular file. `buffer` is reused between files: a warm start reads some twenty headers.
std::optional<Digest> digest_of_file(const std::string& path, ByteVec& buffer) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info {};
    if (!fd.valid() || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
        static_cast<uint64_t>(info.st_size) > kMaxHeader) {
        return std::nullopt;
    }
    const auto size = static_cast<size_t>(info.st_size);
    if (buffer.size() < size) {
        buffer.resize(size);
    }
    for (size_t done = 0; done < size;) {
        const ssize_t n = read(fd.get(), &buffer[done], size - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return std::nullopt;
        }
        done += static_cast<size_t>(n);
    }
    return digest_of(ByteView(buffer).first(size));
}

} // namespace

void Hasher::add(uint64_t value) {
    constexpr uint64_t kA = 0xa0761d6478bd642f, kB = 0xe7037ed1a0b428db;
    state_.words[0] = mix(state_.words[0] ^ value, kA ^ state_.words[1]);
    state_.words[1] = mix(state_.words[1] ^ value, kB) + state_.words[0];
}

void Hasher::add(ByteView bytes) {
    constexpr uint64_t kC = 0x8ebc6af09c88c6e3, kD = 0x589965cc75374cc3;
    add(uint64_t{bytes.size()});
    size_t at = 0;
    // Two independent lanes: the multiplications overlap, headers hash at several GB/s.
    uint64_t a = state_.words[0];
    uint64_t b = state_.words[1];
    for (; bytes.size() - at >= 16; at += 16) {
        a = mix(a ^ load<uint64_t>(&bytes[at]), kC);
        b = mix(b ^ load<uint64_t>(&bytes[at + 8]), kD);
    }
    state_ = {{a, b}};
    std::array<uint8_t, 16> tail{};
    if (at < bytes.size()) {
        std::memcpy(tail.data(), &bytes[at], bytes.size() - at);
    }
    add(load<uint64_t>(tail.data()));
    add(load<uint64_t>(tail.data() + 8));
}

std::string CompileCache::default_dir() {
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && xdg[0] == '/') {
        return std::string(xdg) + "/mimicsh/bpf";
    }
    if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') {
        return std::string(home) + "/.cache/mimicsh/bpf";
    }
    return {};
}

std::string CompileCache::path_of(const Digest& key) const {
    ByteVec bytes(16);
    store_be(&bytes[0], key.words[0]);
    store_be(&bytes[8], key.words[1]);
    return dir_ + "/" + to_hex(bytes);
}

std::optional<CacheEntry> CompileCache::find(const Digest& key) const {
    if (dir_.empty()) {
        return std::nullopt;
    }
    const auto file = read_file(path_of(key), "read cache", kMaxFile);
    if (!file || !as_text(*file).starts_with(kMagic)) {
        return std::nullopt;
    }
    Cursor cursor{ByteView(*file).subspan(kMagic.size())};
    Digest sum;
    sum.words[0] = cursor.number();
    sum.words[1] = cursor.number();
    if (!cursor.ok || digest_of(cursor.rest) != sum) {
        return std::nullopt;
    }
    CacheEntry entry;
    ByteVec buffer;
    for (uint64_t left = cursor.number(); cursor.ok && left > 0; --left) {
        std::string path(as_text(cursor.bytes()));
        Digest digest;
        digest.words[0] = cursor.number();
        digest.words[1] = cursor.number();
        if (!cursor.ok || digest_of_file(path, buffer) != digest) {
            return std::nullopt;
        }
        entry.headers.push_back(std::move(path));
    }
    entry.warnings = as_text(cursor.bytes());
    const ByteView object = cursor.bytes();
    entry.object.assign(object.begin(), object.end());
    return cursor.ok ? std::optional(std::move(entry)) : std::nullopt;
}

void CompileCache::store(const Digest& key, const CacheEntry& entry) const {
    if (dir_.empty()) {
        return;
    }
    ByteVec body;
    ByteVec buffer;
    put_number(body, entry.headers.size());
    for (const std::string& path : entry.headers) {
        const auto digest = digest_of_file(path, buffer);
        if (!digest) {
            return;
        }
        put_bytes(body, as_bytes(path));
        put_number(body, digest->words[0]);
        put_number(body, digest->words[1]);
    }
    put_bytes(body, as_bytes(entry.warnings));
    put_bytes(body, entry.object);
    ByteVec file(kMagic.begin(), kMagic.end());
    const Digest sum = digest_of(body);
    put_number(file, sum.words[0]);
    put_number(file, sum.words[1]);
    file.insert(file.end(), body.begin(), body.end());

    std::error_code ignored;
    fs::create_directories(dir_, ignored);
    prune();
    (void)write_file(path_of(key), file, "write cache").has_value();
}

void CompileCache::prune() const {
    struct Known {
        fs::file_time_type time;
        fs::path path;
    };
    std::vector<Known> known;
    std::error_code error;
    for (fs::directory_iterator it(dir_, error), end; !error && it != end; it.increment(error)) {
        std::error_code of_entry;
        const auto time = it->last_write_time(of_entry);
        // Only what looks like an entry: the folder may have been given by the user.
        if (!of_entry && it->path().filename().string().size() == 32) {
            known.push_back({time, it->path()});
        }
    }
    if (known.size() < kKeepEntries) {
        return;
    }
    std::sort(known.begin(), known.end(), [](const Known& a, const Known& b) { return a.time > b.time; });
    for (size_t i = kKeepEntries * 3 / 4; i < known.size(); ++i) {
        std::error_code ignored;
        fs::remove(known[i].path, ignored);
    }
}

} // namespace mimicsh
