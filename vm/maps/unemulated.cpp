// SPDX-License-Identifier: MIT
// Maps of types that are not emulated.
#include "vm/maps/unemulated.h"

#include <algorithm>
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
    return std::ranges::find(map_rows(), type, &MapRow::type) != map_rows().end();
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
