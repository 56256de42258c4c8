// SPDX-License-Identifier: MIT
// The pcapng format (draft-ietf-opsawg-pcapng): sections, interfaces, packets; other blocks are passed over.
#include "net/pcap_parse.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::net {

namespace {

enum BlockType : uint32_t {
    kInterfaceBlock = 1,
    kOldPacketBlock = 2,
    kSimplePacketBlock = 3,
    kEnhancedPacketBlock = 6,
    kSectionBlock = 0x0a0d0d0a,
};

constexpr uint32_t kOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kOtherOrder = 0x4d3c2b1a;
constexpr size_t kMinBlock = 12;
// Interface blocks are small and kept for the life of the reader, so that their number must have an end.
constexpr size_t kMaxInterfaces = 65536;
// Nothing that is not a packet needs more than this; libpcap has the same limit.
constexpr uint32_t kMaxOtherBlock = uint32_t{1} << 24;

__extension__ using Wide = unsigned __int128;

uint64_t power_of_ten(unsigned exponent) {
    uint64_t value = 1;
    for (unsigned i = 0; i < exponent; i++) {
        value *= 10;
    }
    return value;
}

uint64_t to_nanoseconds(const CaptureInterface& interface, uint64_t ticks) {
    constexpr uint64_t kGiga = 1'000'000'000;
    uint64_t time = 0;
    if (interface.is_binary) {
        time = static_cast<uint64_t>(static_cast<Wide>(ticks) * kGiga >> interface.resolution);
    } else if (interface.resolution <= 9) {
        time = ticks * power_of_ten(9U - interface.resolution);
    } else if (interface.resolution <= 28) {
        time = ticks / power_of_ten(interface.resolution - 9U);
    }
    return time + static_cast<uint64_t>(interface.offset_seconds) * kGiga;
}

class PcapngParser final : public PcapParser {
  public:
    using PcapParser::PcapParser;
    bool is_pcapng() const override { return true; }
    Status read(std::vector<PacketRecord>& records, size_t limit) override;

  private:
    struct Block {
        uint32_t type;
        ByteView body; // without the head and the repeated length
        uint64_t offset;
    };
    enum class Step { kDone, kMore }; // kMore: the window holds no whole block

    [[nodiscard]] uint16_t u16(const uint8_t* from) const {
        uint16_t value = load<uint16_t>(from);
        return is_swapped_ ? byte_swap(value) : value;
    }
    [[nodiscard]] uint32_t u32(const uint8_t* from) const {
        uint32_t value = load<uint32_t>(from);
        return is_swapped_ ? byte_swap(value) : value;
    }

    [[nodiscard]] Expected<Step> step(std::vector<PacketRecord>& records);
    [[nodiscard]] Status check_length(uint32_t type, uint32_t length) const;
    [[nodiscard]] Status start_section(const Block& block);
    [[nodiscard]] Status add_interface(const Block& block);
    [[nodiscard]] Status add_packet(const Block& block, std::vector<PacketRecord>& records);
    [[nodiscard]] Status add_simple_packet(const Block& block, std::vector<PacketRecord>& records);
    [[nodiscard]] Status skip();
    [[nodiscard]] Error cut_off(uint64_t need) const;
    template <typename Visit>
    void for_options(ByteView options, Visit visit) const;

    bool is_swapped_ = false;
    size_t section_start_ = 0; // first interface of the section
    uint64_t skip_ = 0;        // bytes of a passed-over block that are not read yet
    size_t need_ = kMinBlock;  // bytes the window must hold for the next block, as far as known
};

Error PcapngParser::cut_off(uint64_t need) const {
    return damage(input.position(), "file ends after " + std::to_string(input.window().size()) + " of " +
                                        std::to_string(need) + " bytes of a block");
}

Status PcapngParser::read(std::vector<PacketRecord>& records, size_t limit) {
    while (records.size() < limit) {
        if (skip_ > 0) {
            if (!records.empty()) {
                return {};
            }
            if (Status status = skip(); !status) {
                return status;
            }
        }
        auto stepped = step(records);
        if (!stepped) {
            // Packets before the damage go out first; the damage stays where it is for the next call.
            return records.empty() ? Status(stepped.error()) : Status();
        }
        if (*stepped == Step::kDone) {
            continue;
        }
        if (!records.empty()) {
            return {};
        }
        auto more = input.need(need_);
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return input.window().empty() ? Status() : Status(cut_off(need_));
        }
    }
    return {};
}

Status PcapngParser::skip() {
    while (skip_ > 0) {
        size_t now = static_cast<size_t>(std::min<uint64_t>(skip_, input.window().size()));
        input.consume(now);
        skip_ -= now;
        if (skip_ == 0) {
            break;
        }
        auto more = input.fill();
        if (!more) {
            return more.error();
        }
        if (!*more) {
            return cut_off(skip_);
        }
    }
    return {};
}

Status PcapngParser::check_length(uint32_t type, uint32_t length) const {
    bool is_read = type == kSectionBlock || type == kInterfaceBlock || type == kOldPacketBlock ||
                   type == kSimplePacketBlock || type == kEnhancedPacketBlock;
    uint32_t limit = is_read ? static_cast<uint32_t>(BlockInput::kWindow) : kMaxOtherBlock;
    if (length < kMinBlock || length % 4 != 0 || length > limit) {
        return damage(input.position(), "block length " + std::to_string(length) +
                                            " is not a multiple of 4 between 12 and " +
                                            std::to_string(limit));
    }
    return {};
}

Expected<PcapngParser::Step> PcapngParser::step(std::vector<PacketRecord>& records) {
    ByteView window = input.window();
    need_ = kMinBlock;
    if (window.size() < kMinBlock) {
        return Step::kMore;
    }
    uint32_t type = u32(window.data());
    bool was_swapped = is_swapped_;
    if (type == kSectionBlock) {
        uint32_t order = load<uint32_t>(window.data() + 8);
        if (order != kOrderMagic && order != kOtherOrder) {
            return damage(input.position() + 8, "bad byte-order magic in a section header");
        }
        is_swapped_ = order == kOtherOrder;
    }
    uint32_t length = u32(window.data() + 4);
    if (Status status = check_length(type, length); !status) {
        is_swapped_ = was_swapped;
        return status.error();
    }
    if (length > BlockInput::kWindow) {
        skip_ = length;
        return Step::kDone;
    }
    if (window.size() < length) {
        is_swapped_ = was_swapped;
        need_ = length;
        return Step::kMore;
    }
    Block block{type, window.subspan(8, length - kMinBlock), input.position()};
    Status status;
    if (u32(window.data() + length - 4) != length) {
        status = damage(block.offset, "the two lengths of a block differ (" + std::to_string(length) +
                                          " and " + std::to_string(u32(window.data() + length - 4)) + ")");
    } else if (type == kSectionBlock) {
        status = start_section(block);
    } else if (type == kInterfaceBlock) {
        status = add_interface(block);
    } else if (type == kEnhancedPacketBlock || type == kOldPacketBlock) {
        status = add_packet(block, records);
    } else if (type == kSimplePacketBlock) {
        status = add_simple_packet(block, records);
    }
    if (!status) {
        is_swapped_ = was_swapped;
        return status.error();
    }
    input.consume(length);
    return Step::kDone;
}

template <typename Visit>
void PcapngParser::for_options(ByteView options, Visit visit) const {
    while (options.size() >= 4) {
        uint16_t code = u16(options.data());
        uint16_t size = u16(options.data() + 2);
        auto value = slice(options, 4, size);
        if (code == 0 || !value) {
            return;
        }
        visit(code, *value);
        options = options.subspan(std::min<size_t>(options.size(), 4 + round_up<size_t>(size, 4)));
    }
}

Status PcapngParser::start_section(const Block& block) {
    if (block.body.size() < 16) {
        return damage(block.offset, "section header block is too short");
    }
    uint16_t major = u16(block.body.data() + 4);
    if (major != 1) {
        return damage(block.offset, "pcapng version " + std::to_string(major) + " is not supported");
    }
    section_start_ = interfaces.size();
    return {};
}

Status PcapngParser::add_interface(const Block& block) {
    if (block.body.size() < 8) {
        return damage(block.offset, "interface block is too short");
    }
    if (interfaces.size() == kMaxInterfaces) {
        return damage(block.offset, "more than " + std::to_string(kMaxInterfaces) + " interfaces");
    }
    CaptureInterface added;
    added.link_type = u16(block.body.data());
    added.snaplen = u32(block.body.data() + 4);
    for_options(block.body.subspan(8), [&](uint16_t code, ByteView value) {
        if (code == 2) {
            added.name = std::string(as_text(value.first(std::min<size_t>(value.size(), 256))));
        } else if (code == 9 && value.size() == 1) {
            added.is_binary = (value[0] & 0x80) != 0;
            added.resolution = value[0] & 0x7f;
        } else if (code == 14 && value.size() == 8) {
            uint64_t seconds = load<uint64_t>(value.data());
            added.offset_seconds = static_cast<int64_t>(is_swapped_ ? byte_swap(seconds) : seconds);
        }
    });
    interfaces.push_back(std::move(added));
    return {};
}

Status PcapngParser::add_packet(const Block& block, std::vector<PacketRecord>& records) {
    if (block.body.size() < 20) {
        return damage(block.offset, "packet block is too short");
    }
    const uint8_t* body = block.body.data();
    size_t interface = section_start_ + (block.type == kOldPacketBlock ? u16(body) : u32(body));
    if (interface >= interfaces.size()) {
        return damage(block.offset, "packet of interface " + std::to_string(interface - section_start_) +
                                        ", but the section has described " +
                                        std::to_string(interfaces.size() - section_start_));
    }
    uint32_t captured = u32(body + 12);
    auto data = slice(block.body, 20, captured);
    if (captured > kMaxCapturedPacket || !data) {
        return damage(block.offset, "captured length " + std::to_string(captured) +
                                        (data ? " is above the limit of " + std::to_string(kMaxCapturedPacket)
                                              : " does not fit into its block"));
    }
    uint64_t ticks = uint64_t{u32(body + 4)} << 32 | u32(body + 8);
    PacketRecord record{*data,
                        to_nanoseconds(interfaces[interface], ticks),
                        u32(body + 16),
                        static_cast<uint32_t>(interface),
                        {}};
    size_t padded = 20 + round_up<size_t>(captured, 4);
    if (padded < block.body.size()) {
        for_options(block.body.subspan(padded), [&](uint16_t code, ByteView value) {
            if (code == 1 && record.comment.empty()) {
                record.comment = as_text(value);
            }
        });
    }
    records.push_back(record);
    return {};
}

Status PcapngParser::add_simple_packet(const Block& block, std::vector<PacketRecord>& records) {
    if (block.body.size() < 4) {
        return damage(block.offset, "simple packet block is too short");
    }
    if (section_start_ >= interfaces.size()) {
        return damage(block.offset, "simple packet block before any interface");
    }
    uint32_t length = u32(block.body.data());
    uint32_t snaplen = interfaces[section_start_].snaplen;
    uint32_t captured = snaplen != 0 ? std::min(length, snaplen) : length;
    auto data = slice(block.body, 4, captured);
    if (captured > kMaxCapturedPacket || !data) {
        return damage(block.offset,
                      "packet of " + std::to_string(captured) + " bytes does not fit into its block");
    }
    records.push_back({*data, 0, length, static_cast<uint32_t>(section_start_), {}});
    return {};
}

} // namespace

std::unique_ptr<PcapParser> make_pcapng_parser(BlockInput input) {
    return std::make_unique<PcapngParser>(std::move(input));
}

} // namespace mimicsh::net
