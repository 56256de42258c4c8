// SPDX-License-Identifier: MIT
// Maps of types that are not emulated.
#include "vm/maps/unemulated.h"

#include <cerrno>

#include "vm/support.h"

namespace mimicsh::vm {

namespace {

class UnemulatedMap final : public VmMap {
  public:
    explicit UnemulatedMap(MapInfo info) : VmMap(std::move(info)) {}

    [[nodiscard]] Status lookup(ByteView, ByteSpan) override { return refuse("look up"); }
    [[nodiscard]] Status update(ByteView, ByteView, uint64_t) override { return refuse("update"); }
    [[nodiscard]] Status erase(ByteView) override { return refuse("delete"); }
    [[nodiscard]] Status take(ByteView, ByteSpan) override { return refuse("take"); }
    [[nodiscard]] Expected<bool> next_key(ByteView, ByteSpan) override { return refuse("next key"); }

  private:
    [[nodiscard]] Error refuse(const char* op) const { return not_emulated(op, info_.name, info_.type); }
};

} // namespace

bool is_emulated(abi::MapType type) {
    using abi::MapType;
    switch (type) {
    case MapType::Array:
    case MapType::PercpuArray:
    case MapType::Hash:
    case MapType::PercpuHash:
    case MapType::LruHash:
    case MapType::LruPercpuHash:
    case MapType::LpmTrie:
    case MapType::Queue:
    case MapType::Stack:
    case MapType::BloomFilter:
    case MapType::PerfEventArray:
    case MapType::Sockmap:
    case MapType::Sockhash:
    case MapType::ReuseportSockarray:
    case MapType::SkStorage:
    case MapType::TaskStorage:
    case MapType::CgrpStorage:
    case MapType::CgroupStorage:
    case MapType::PercpuCgroupStorage:
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
    case MapType::Devmap:
    case MapType::DevmapHash:
    case MapType::Cpumap:
    case MapType::Xskmap:
    case MapType::ProgArray:
    case MapType::CgroupArray:
    case MapType::Ringbuf:
    case MapType::UserRingbuf:
    case MapType::Arena:
        return true;
    default:
        return false;
    }
}

Error not_emulated(const char* op, const std::string& map_name, abi::MapType type) {
    const std::string_view reason = map_reason(type);
    return {ENOTSUP,
            op,
            map_name + ": map type " + std::string(abi::name(type)) + " is not emulated" +
                (reason.empty() ? "" : ": " + std::string(reason)),
            "vm.support().maps lists what is; load(\"kernel\") runs it for real",
            {}};
}

std::unique_ptr<VmMap> create_unemulated_map(MapInfo info) {
    return std::make_unique<UnemulatedMap>(std::move(info));
}

} // namespace mimicsh::vm
