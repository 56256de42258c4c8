// SPDX-License-Identifier: MIT
// What scripts hold of an attachment.
#pragma once

#include <memory>
#include <utility>

#include "bindings/lua_glue.h"
#include "kernel/link.h"
#include "kernel/netns.h"

namespace mimicsh::lua {

struct LinkRef final : kernel::NetNsUser {
    std::unique_ptr<kernel::Link> link;

    explicit LinkRef(std::unique_ptr<kernel::Link> made) : link(std::move(made)) {}
    /// One that is pinned goes with the device.
    void let_go() override {
        if (link->info().pinned.empty()) {
            (void)link->detach();
        }
    }
};

template <>
inline constexpr const char* kTypeName<LinkRef> = "link";

/// Pushes a link, or nil and the error; returns how many values.
int push_link(lua_State* L, Expected<std::unique_ptr<kernel::Link>> link);
/// Pushes what is known of an attachment as a table.
void push_link_info(lua_State* L, const kernel::LinkInfo& info);

inline constexpr std::pair<const char*, kernel::XdpMode> kXdpModes[] = {{"auto", kernel::XdpMode::Auto},
                                                                        {"native", kernel::XdpMode::Native},
                                                                        {"skb", kernel::XdpMode::Skb},
                                                                        {"hw", kernel::XdpMode::Hw}};
inline constexpr std::pair<const char*, kernel::TcKind> kTcKinds[] = {
    {"auto", kernel::TcKind::Auto}, {"tcx", kernel::TcKind::Tcx}, {"clsact", kernel::TcKind::Clsact}};

} // namespace mimicsh::lua
