// SPDX-License-Identifier: MIT
// IPsec states of the scripted world (net/xfrm/xfrm_state_bpf.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"
#include "vm/kernel_struct.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

/// Offsets in struct bpf_xfrm_state_opts.
constexpr uint32_t kError = 0, kNetns = 4, kMark = 8, kDestination = 12, kSpi = 28, kProtocol = 32,
                   kFamily = 34, kOptsSize = 36;
constexpr uint16_t kInet = 2, kInet6 = 10;

uint64_t refuse(uint8_t* opts, int32_t error) {
    mimicsh::store(opts + kError, error);
    return 0;
}

bool is_asked_for(const World::SecurityState& state, const uint8_t* opts) {
    return mimicsh::load<uint16_t>(opts + kFamily) == (state.destination.v6 ? kInet6 : kInet) &&
           load_be<uint32_t>(opts + kSpi) == state.spi && opts[kProtocol] == state.protocol &&
           std::equal(opts + kDestination, opts + kDestination + state.destination.size(),
                      state.destination.bytes.begin()) &&
           (mimicsh::load<uint32_t>(opts + kMark) & state.mask) == state.mark;
}

ByteVec address_bytes(const IpAddress& address, uint32_t size) {
    ByteVec bytes(address.bytes.begin(), address.bytes.end());
    bytes.resize(size);
    return bytes;
}

} // namespace

std::optional<ByteVec> xfrm_state_value(Machine& machine, uint32_t index, std::string_view path,
                                        uint32_t size) {
    const World::SecurityState& state = (*machine.world().xfrm_states)[index];
    if (path == "id.spi") {
        ByteVec bytes(4);
        store_be(bytes.data(), state.spi);
        return bytes;
    }
    if (path == "id.proto") {
        return ByteVec{state.protocol};
    }
    if (path.starts_with("id.daddr.")) {
        return address_bytes(state.destination, size);
    }
    if (path.starts_with("props.saddr.") && state.source) {
        return address_bytes(*state.source, size);
    }
    if (path == "props.family") {
        return bytes_of_number(state.destination.v6 ? kInet6 : kInet);
    }
    if (path == "props.reqid") {
        return bytes_of_number(state.reqid);
    }
    if (path == "mark.v" || path == "mark.m") {
        return bytes_of_number(path == "mark.v" ? state.mark : state.mask);
    }
    return scripted_field(state.fields, path, size);
}

uint64_t kfunc_xdp_get_xfrm_state(Machine& machine, const uint64_t* args) {
    constexpr const char* kName = "bpf_xdp_get_xfrm_state";
    if (args[0] != make_addr(kContextHandle, 0)) {
        return machine.fault(FaultKind::BadCall,
                             std::string(kName) + ": the first argument is not the context");
    }
    const auto size = static_cast<uint32_t>(args[2]);
    uint8_t* opts = machine.span(args[1], size, Access::Write, "options");
    if (opts == nullptr || size < sizeof(int32_t)) {
        return 0;
    }
    const auto netns = size == kOptsSize ? mimicsh::load<int32_t>(opts + kNetns) : -2;
    if (netns < -1) {
        return refuse(opts, -EINVAL);
    }
    if (netns >= 0) {
        return refuse(opts, -ENONET); // of other namespaces none has an id
    }
    const auto& states = machine.world().xfrm_states;
    if (!machine.given(states, "world.xfrm_states")) {
        return 0;
    }
    const auto found = std::ranges::find_if(
        *states, [&](const World::SecurityState& state) { return is_asked_for(state, opts); });
    if (found == states->end()) {
        return refuse(opts, -ENOENT);
    }
    const uint64_t pointer = add_kernel_struct(machine, KernelStruct::XfrmState,
                                               static_cast<uint32_t>(found - states->begin()), 0);
    machine.open_references.push_back(handle_of(pointer));
    return pointer;
}

uint64_t kfunc_xdp_xfrm_state_release(Machine& machine, const uint64_t* args) {
    constexpr const char* kName = "bpf_xdp_xfrm_state_release";
    const uint32_t handle = handle_of(args[0]);
    auto& open = machine.open_references;
    const auto reference = std::ranges::find(open, handle);
    if (reference == open.end() || offset_of(args[0]) != 0 ||
        struct_of(machine.regions.at(handle)) != KernelStruct::XfrmState) {
        return machine.fault(FaultKind::BadCall, std::string(kName) + ": the argument is no IPsec state", {},
                             args[0]);
    }
    machine.note_effect();
    open.erase(reference);
    machine.regions.kill(handle, kName);
    return 0;
}

} // namespace mimicsh::vm
