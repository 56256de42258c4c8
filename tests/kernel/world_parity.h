// SPDX-License-Identifier: MIT
// A network namespace of a test's own, and the scripted world that is the same.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "tests/kernel/parity.h"

namespace mimicsh::test {

/// The namespace's interfaces, routes and neighbours as a world in JSON.
extern const char* const kWorld;

/// Writes a file below /proc/sys/net of the namespace that the thread is in.
void write_setting(const std::string& path, const std::string& value);
/// Bytes of an IPv4 or IPv6 address.
[[nodiscard]] ByteVec bytes_of(std::string_view address);

/// Its interfaces; a pair's ends follow each other.
inline constexpr uint32_t kV0 = 10, kV1 = 11, kV2 = 12, kV3 = 13;
/// A packet socket for everything that arrives on one interface of the thread's namespace.
[[nodiscard]] Fd listen_on(uint32_t interface);
/// Whether an interface of the namespace sent the frame.
[[nodiscard]] bool is_own(ByteView frame);
/// The next frame that came in, those that are not wanted aside; empty at the deadline.
[[nodiscard]] ByteVec next_frame(
    const Fd& fd,
    const std::function<bool(ByteView)>& wanted = [](ByteView frame) { return !is_own(frame); });

/// The namespace is entered by the test's thread alone.
class WorldParity : public ParityTest {
  protected:
    void SetUp() override;
    void TearDown() override;
    void open_world(const std::string& name, const char* text = kWorld);
    /// kWorld with more members: `"tunnel": {...}`.
    [[nodiscard]] static std::string world_with(const std::string& members);

    Fd home_;
};

/// With tests/cases/parity/sends.bpf.c loaded.
class SendsParity : public WorldParity {
  protected:
    void SetUp() override;
};

} // namespace mimicsh::test
