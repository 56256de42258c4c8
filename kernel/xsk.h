// SPDX-License-Identifier: MIT
// Sending by an AF_XDP socket in copy mode: frames in shared memory, no message a packet.
#pragma once

#include <memory>
#include <string>

#include "net/traffic.h"

namespace mimicsh::kernel {

/// Binds a socket to queue 0 of a device of the calling thread's network namespace. The kernel copies each
/// frame into a socket buffer and gives it to the driver, past queueing discipline and classifiers. Never
/// zero copy: that would take the queue's reception from the device. EBUSY when somebody has that queue,
/// ENOTSUP for an MTU above what a frame holds, EPERM without CAP_NET_RAW.
[[nodiscard]] Expected<std::unique_ptr<net::PacketSink>> open_xsk(const std::string& device);

} // namespace mimicsh::kernel
