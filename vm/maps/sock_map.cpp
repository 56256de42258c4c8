// SPDX-License-Identifier: MIT
// Maps of scripted sockets.
#include "vm/maps/sock_map.h"

#include <cerrno>

namespace mimicsh::vm {

namespace {

constexpr uint8_t kEstablished = 1, kListen = 10;

std::string reason_of(int64_t code) {
    switch (-code) {
    case EINVAL:
        return "bad flags, or no such key";
    case EEXIST:
        return "key exists";
    case ENOENT:
        return "no such key";
    case E2BIG:
        return "no room for the key";
    case EOPNOTSUPP:
        return "a TCP socket has to be established or listening";
    default:
        return "no such socket";
    }
}

} // namespace

bool is_sock_map(abi::MapType type) {
    return type == abi::MapType::Sockmap || type == abi::MapType::Sockhash;
}

SockMap::SockMap(MapInfo info, std::shared_ptr<const World> world, std::unique_ptr<VmMap> table)
    : VmMap(std::move(info)), world_(std::move(world)), table_(std::move(table)) {}

std::optional<uint32_t> SockMap::socket(const uint8_t* key) {
    const uint32_t element = table_->find(key, 0, nullptr);
    return element == kNoElement ? std::nullopt : std::optional(load<uint32_t>(table_->value(element)));
}

int64_t SockMap::check(uint32_t socket) const {
    if (!world_->sockets || socket >= world_->sockets->size()) {
        return -EBADF;
    }
    const World::Socket& one = (*world_->sockets)[socket];
    const bool allowed = !one.tcp || one.state == kEstablished || one.state == kListen;
    return allowed ? 0 : -EOPNOTSUPP;
}

int64_t SockMap::put_socket(const uint8_t* key, uint32_t socket, uint64_t flags, Journal* journal) {
    if (const int64_t bad = check(socket); bad != 0) {
        return bad;
    }
    if (flags > abi::kExist) {
        return -EINVAL;
    }
    if (!is_hash() && load<uint32_t>(key) >= info_.max_entries) {
        return -E2BIG;
    }
    uint8_t place[4];
    store(place, socket);
    return table_->put(key, place, flags, 0, journal);
}

int64_t SockMap::remove(const uint8_t* key, Journal* journal) {
    const bool is_array = info_.type == abi::MapType::ReuseportSockarray;
    if (is_array && load<uint32_t>(key) >= info_.max_entries) {
        return -E2BIG;
    }
    const int64_t code = table_->remove(key, journal);
    return code == -ENOENT && info_.type == abi::MapType::Sockmap ? -EINVAL : code;
}

Status SockMap::lookup(ByteView key, ByteSpan value) {
    if (auto ok = check_host_call("look up", key, value.size(), false); !ok) {
        return ok;
    }
    if (info_.value_size != 8) {
        return error(ENOSPC, "look up", "the value has no room for a socket's cookie");
    }
    const auto found = socket(key.data());
    if (!found) {
        return error(ENOENT, "look up", "no such key");
    }
    store(value.data(), uint64_t{*found} + 1);
    return {};
}

Status SockMap::update(ByteView key, ByteView value, uint64_t flags) {
    if (auto ok = check_host_call("update", key, value.size(), true); !ok) {
        return ok;
    }
    const uint64_t number = value.size() == 8 ? load<uint64_t>(value.data()) : load<uint32_t>(value.data());
    const auto socket = static_cast<uint32_t>(number - 1);
    const int64_t code =
        number == 0 || number > INT32_MAX ? -EBADF : put_socket(key.data(), socket, flags, nullptr);
    return code == 0 ? Status{} : error(static_cast<int>(-code), "update", reason_of(code));
}

Status SockMap::erase(ByteView key) {
    if (auto ok = check_host_call("delete", key, host_value_size(info_), true); !ok) {
        return ok;
    }
    const int64_t code = remove(key.data(), nullptr);
    return code == 0 ? Status{} : error(static_cast<int>(-code), "delete", reason_of(code));
}

Expected<bool> SockMap::next_key(ByteView key, ByteSpan next) {
    return is_hash() ? table_->next_key(key, next) : Expected<bool>(next_index(key, next));
}

Expected<std::unique_ptr<VmMap>> create_sock_map(const MapInfo& info, std::shared_ptr<const World> world) {
    MapInfo places = info;
    places.type = abi::MapType::Hash;
    places.value_size = sizeof(uint32_t);
    places.flags = 0;
    auto table = create_hash(places, 1);
    if (!table) {
        return table.error();
    }
    return std::unique_ptr<VmMap>(std::make_unique<SockMap>(info, std::move(world), std::move(*table)));
}

} // namespace mimicsh::vm
