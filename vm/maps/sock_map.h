// SPDX-License-Identifier: MIT
// sockmap and sockhash (net/core/sock_map.c), reuseport_sockarray (kernel/bpf/reuseport_array.c): sockets of
// the scripted world by key. The host puts one in by its number in the world, from 1, where the kernel wants
// a file descriptor.
#pragma once

#include "vm/maps/map.h"
#include "vm/world.h"

namespace mimicsh::vm {

class SockMap final : public VmMap {
  public:
    /// `table` holds the places of sockets in the world by the map's keys.
    SockMap(MapInfo info, std::shared_ptr<const World> world, std::unique_ptr<VmMap> table);

    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;

    // -- Program side: sockets by their index in the world --
    [[nodiscard]] std::optional<uint32_t> socket(const uint8_t* key);
    [[nodiscard]] int64_t put_socket(const uint8_t* key, uint32_t socket, uint64_t flags, Journal* journal);
    [[nodiscard]] int64_t remove(const uint8_t* key, Journal* journal) override;

  private:
    [[nodiscard]] bool is_hash() const { return info_.type == abi::MapType::Sockhash; }
    /// A negative errno when this kind of map does not take the socket.
    [[nodiscard]] int64_t check(uint32_t socket) const;
    std::shared_ptr<const World> world_;
    std::unique_ptr<VmMap> table_;
};

[[nodiscard]] bool is_sock_map(abi::MapType type);
[[nodiscard]] Expected<std::unique_ptr<VmMap>> create_sock_map(const MapInfo& info,
                                                               std::shared_ptr<const World> world);

} // namespace mimicsh::vm
