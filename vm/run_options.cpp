// SPDX-License-Identifier: MIT
// What a run can be given beside packet and context: which types have a use for it, and how much of it.
#include <cerrno>

#include "vm/program.h"

namespace mimicsh::vm {

namespace {

constexpr uint32_t kMaxRoom = 64 * 1024;
constexpr size_t kSocketSize = SocketState::kSockSize;

bool has_buffer(const ContextKind& context) {
    return context.size == kSkbSize && context.user != kUserFlowDissector;
}

} // namespace

Status LoadedProgram::check_given(const RunOptions& options) const {
    const auto refuse = [&](const std::string& why) -> Status {
        return Error{EINVAL, "run", linked_.name + ": " + why, {}, {}};
    };
    const std::string type(abi::name(linked_.spec.type));
    const bool is_xdp = linked_.spec.type == abi::ProgType::Xdp;
    if (!is_xdp && (options.headroom || options.tailroom || options.linearise)) {
        return refuse("headroom, tailroom and linear are for XDP programs, this one is of type " + type);
    }
    if (options.link_layer && linked_.spec.type != abi::ProgType::SocketFilter) {
        return refuse("l2 is for socket filters, this program is of type " + type);
    }
    if (!options.socket.empty() && !has_buffer(*context_)) {
        return refuse("sock: a packet of " + type + " programs belongs to no socket");
    }
    if (!options.socket.empty() && options.socket.size() != kSocketSize) {
        return refuse("sock has " + std::to_string(options.socket.size()) + " bytes, struct bpf_sock has " +
                      std::to_string(kSocketSize));
    }
    if (!options.flow_keys.empty() && linked_.spec.type != abi::ProgType::FlowDissector) {
        return refuse("keys: programs of type " + type + " have no flow keys");
    }
    if (!options.flow_keys.empty() && options.flow_keys.size() != kFlowKeysSize) {
        return refuse("keys have " + std::to_string(options.flow_keys.size()) +
                      " bytes, struct bpf_flow_keys has " + std::to_string(kFlowKeysSize));
    }
    if (!options.flow_keys.empty() && !options.context.empty()) {
        return refuse("keys and a context given: the keys have the flags");
    }
    const uint32_t headroom = options.headroom.value_or(kXdpHeadroom);
    if (headroom > kMaxRoom || options.tailroom.value_or(0) > kMaxRoom) {
        return refuse("headroom and tailroom are at most " + std::to_string(kMaxRoom) + " bytes");
    }
    const uint32_t metadata =
        is_xdp && !options.context.empty() ? mimicsh::load<uint32_t>(options.context.data()) : 0;
    if (metadata != 0 && metadata + kXdpFrameSize > headroom) {
        return refuse(std::to_string(metadata) + " bytes of metadata do not fit a headroom of " +
                      std::to_string(headroom) + ", of which " + std::to_string(kXdpFrameSize) +
                      " are for struct xdp_frame");
    }
    return {};
}

} // namespace mimicsh::vm
