// SPDX-License-Identifier: MIT
// The dissector on hostile bytes, then all that takes a packet. The first byte chooses the first protocol.
#include <cstdlib>

#include "net/build.h"
#include "net/diff.h"
#include "net/dissect.h"
#include "net/show.h"

namespace {

using namespace mimicsh;
using namespace mimicsh::net;

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

// Every field can be set to what it holds, and that changes nothing.
void set_to_itself(const Packet& packet) {
    Packet copy = packet;
    for (size_t layer = 0; layer < copy.layers().size(); layer++) {
        for (const Field& field : layout_of(copy.layers()[layer].protocol).fields) {
            check(copy.set(layer, field.name, copy.get(layer, field)).has_value());
        }
    }
    check(copy == packet);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    ByteView bytes{data + 1, size - 1};
    Packet packet = dissect(bytes, static_cast<Protocol>(data[0] % protocols().size()));
    check(packet.size() == bytes.size());
    set_to_itself(packet);
    (void)show(packet);
    (void)summary(packet);
    (void)code(packet);
    Packet wire = packet.wire();
    check(wire.size() == packet.size() && wire.wire() == wire);
    check(diff(packet, wire).empty() == (packet == wire));
    auto framed = stack(*build_layer(Protocol::kEth), packet);
    check(framed && framed->size() == packet.size() + 14);
    Packet shorter = packet;
    check(shorter.set_payload({}).has_value());
    return 0;
}
