// SPDX-License-Identifier: MIT
// Module pcap: capture files, read and written packet by packet, and live capture; lua/pcap.lua waits for
// packets.
#include <cerrno>

#include "bindings/fd_wait.h"
#include "bindings/modules.h"
#include "bindings/pkt.h"
#include "net/capture.h"
#include "net/filter.h"

namespace mimicsh::lua {

namespace {

struct Reader {
    std::unique_ptr<net::PcapReader> file; ///< null when closed
    std::optional<net::PacketFilter> filter;
    std::vector<net::PacketRecord> batch;
    size_t next = 0;

    [[nodiscard]] uint32_t link_type(uint32_t interface) const {
        const auto& interfaces = file->interfaces();
        return interface < interfaces.size() ? interfaces[interface].link_type : net::kLinkEthernet;
    }
};

struct LiveReader final : kernel::NetNsUser {
    std::unique_ptr<net::LiveCapture> capture; ///< null when stopped
    net::CaptureStats stats;                   ///< the last, once stopped
    std::vector<net::PacketRecord> batch;
    size_t next = 0;
    FdWaiters waiters;

    void stop() {
        if (capture == nullptr) {
            return;
        }
        if (const auto last = capture->stats()) {
            stats = *last;
        }
        capture.reset();
        waiters.wake();
    }
    void let_go() override { stop(); }
};

struct Writer {
    std::unique_ptr<net::PcapWriter> file;
    bool is_open = true;
};

} // namespace

template <>
inline constexpr const char* kTypeName<Reader> = "capture reader";
template <>
inline constexpr const char* kTypeName<LiveReader> = "live reader";
template <>
inline constexpr const char* kTypeName<Writer> = "capture writer";

namespace {

int open(lua_State* L) {
    const std::string path(check_string(L, 1, "path"));
    Options options(L, 2, "pcap.open");
    const auto text = options.string("filter");
    options.finish();
    auto file = net::PcapReader::open(path, &interrupt_flag());
    if (!file) {
        return push_failure(L, file.error());
    }
    auto reader = std::make_shared<Reader>();
    reader->file = std::move(*file);
    if (text) {
        auto filter = net::PacketFilter::compile(*text, reader->link_type(0));
        if (!filter) {
            return push_failure(L, filter.error());
        }
        reader->filter = std::move(*filter);
    }
    push_owner(L, std::move(reader));
    return 1;
}

Reader& check_reader(lua_State* L, int index) {
    Reader& reader = check<Reader>(L, index, "reader");
    if (reader.file == nullptr) {
        fail(L, "capture reader: it is closed");
    }
    return reader;
}

/// Errors inside a loop raise, where nil would look like the end.
[[noreturn]] void raise(lua_State* L, const Error& error) {
    push_error(L, error);
    lua_error(L);
    __builtin_unreachable();
}

/// Refills the batch; false at the end.
bool refill(lua_State* L, Reader& reader) {
    if (reader.next < reader.batch.size()) {
        return true;
    }
    reader.next = 0;
    if (const auto done = reader.file->read(reader.batch); !done) {
        reader.batch.clear();
        raise(L, done.error());
    }
    return !reader.batch.empty();
}

/// Iterator function of r:packets(): the next packet and its link type, or nothing.
int next_packet(lua_State* L) {
    Reader& reader = check_reader(L, 1);
    while (refill(L, reader)) {
        const net::PacketRecord& record = reader.batch[reader.next++];
        const uint32_t link_type = reader.link_type(record.interface);
        if (reader.filter) {
            const auto is_wanted = reader.filter->matches(link_type, record);
            if (!is_wanted) {
                raise(L, is_wanted.error());
            }
            if (!*is_wanted) {
                continue;
            }
        }
        push_captured(L, record, link_type);
        lua_pushnumber(L, link_type);
        return 2;
    }
    return 0;
}

int packets(lua_State* L) {
    (void)check_reader(L, 1);
    lua_pushcfunction(L, &guard<&next_packet>);
    lua_pushvalue(L, 1);
    return 2;
}

int close_reader(lua_State* L) {
    check<Reader>(L, 1, "reader").file.reset();
    return 0;
}

// -- Live capture --

constexpr uint64_t kSmallestBuffer = 1 << 20; ///< below that one packet may not fit

constexpr std::pair<const char*, net::CaptureDirection> kDirections[] = {
    {"inout", net::CaptureDirection::kInOut},
    {"in", net::CaptureDirection::kIn},
    {"out", net::CaptureDirection::kOut}};

int live(lua_State* L) {
    const std::string device(check_string(L, 1, "device"));
    Options options(L, 2, "pcap.live");
    net::CaptureOptions wanted;
    wanted.filter = options.string("filter").value_or("");
    wanted.snaplen = static_cast<uint32_t>(
        options.number("snaplen", 1, net::kMaxCapturedPacket).value_or(net::kMaxCapturedPacket));
    wanted.buffer =
        static_cast<uint32_t>(options.number("buffer", kSmallestBuffer, INT32_MAX).value_or(wanted.buffer));
    wanted.direction = choose(L, options, "direction", kDirections);
    wanted.is_promiscuous = options.boolean("promisc").value_or(false);
    options.finish();
    auto capture = net::LiveCapture::open(device, wanted);
    if (!capture) {
        return push_failure(L, capture.error());
    }
    auto reader = std::make_shared<LiveReader>();
    reader->capture = std::move(*capture);
    Loop::of(L).ends_with_lab(reader);
    push_owner(L, std::move(reader));
    return 1;
}

/// live_next(reader) -> packet | nil when none is at hand (live_wait, then live_read) | false when stopped.
int live_next(lua_State* L) {
    LiveReader& reader = check<LiveReader>(L, 1, "reader");
    if (reader.capture == nullptr) {
        lua_pushboolean(L, 0);
    } else if (reader.next == reader.batch.size()) {
        lua_pushnil(L);
    } else {
        push_captured(L, reader.batch[reader.next++], reader.capture->link_type());
    }
    return 1;
}

/// live_wait(reader): blocks the task until there is something to read, or the reader is stopped.
int live_wait(lua_State* L) {
    LiveReader& reader = check<LiveReader>(L, 1, "reader");
    return reader.waiters.wait(L, reader.capture->fd(), UV_READABLE, "packets", {});
}

/// live_read(reader): takes what has arrived.
int live_read(lua_State* L) {
    LiveReader& reader = check<LiveReader>(L, 1, "reader");
    if (reader.capture == nullptr || reader.next < reader.batch.size()) {
        return 0; // stopped, or another task has read meanwhile
    }
    reader.next = 0;
    if (const auto done = reader.capture->read(reader.batch); !done) {
        reader.batch.clear();
        raise(L, done.error());
    }
    return 0;
}

int live_stop(lua_State* L) {
    check<LiveReader>(L, 1, "reader").stop();
    return 0;
}

/// live_stats(reader) -> {received=, dropped=}.
int live_stats(lua_State* L) {
    LiveReader& reader = check<LiveReader>(L, 1, "reader");
    if (reader.capture != nullptr) {
        const auto stats = reader.capture->stats();
        if (!stats) {
            raise(L, stats.error());
        }
        reader.stats = *stats;
    }
    lua_createtable(L, 0, 2);
    lua_pushnumber(L, static_cast<double>(reader.stats.received));
    lua_setfield(L, -2, "received");
    lua_pushnumber(L, static_cast<double>(reader.stats.dropped));
    lua_setfield(L, -2, "dropped");
    return 1;
}

// -- Writing --

int create(lua_State* L) {
    const std::string path(check_string(L, 1, "path"));
    Options options(L, 2, "pcap.create");
    net::WriterOptions writer_options;
    if (options.boolean("ng").value_or(false)) {
        writer_options.format = net::CaptureFormat::kPcapng;
    }
    writer_options.link_type =
        static_cast<uint32_t>(options.number("link", 0, 65535).value_or(net::kLinkEthernet));
    options.finish();
    auto file = net::PcapWriter::create(path, writer_options);
    if (!file) {
        return push_failure(L, file.error());
    }
    auto writer = std::make_shared<Writer>();
    writer->file = std::move(*file);
    push_owner(L, std::move(writer));
    return 1;
}

int write(lua_State* L) {
    Writer& writer = check<Writer>(L, 1, "writer");
    if (!writer.is_open) {
        fail(L, "capture writer: it is closed");
    }
    net::PacketRecord record;
    record.data = check_packet_bytes(L, 2, "packet");
    std::string comment;
    if (const auto* box = test_owner<PacketBox>(L, 2)) {
        record.time_ns = (*box)->time_ns;
        record.orig_len = (*box)->orig_len < record.data.size() ? 0 : (*box)->orig_len;
    }
    Options options(L, 3, "write");
    comment = options.string("comment").value_or("");
    const std::string verdict = options.string("verdict").value_or("");
    record.time_ns = options.number("time", 0, UINT64_MAX).value_or(record.time_ns);
    options.finish();
    record.comment = comment;
    if (const auto done = writer.file->write(record, verdict); !done) {
        return push_failure(L, done.error());
    }
    lua_settop(L, 1);
    return 1;
}

int close_writer(lua_State* L) {
    Writer& writer = check<Writer>(L, 1, "writer");
    if (writer.is_open) {
        writer.is_open = false;
        if (const auto done = writer.file->close(); !done) {
            return push_failure(L, done.error());
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

constexpr Function kPcap[] = {
    {"open", &guard<&open>,
     "pcap.open(path | \"-\" [, {filter=}]) -> reader | nil, err\nReads pcap and pcapng, pipes too; filter "
     "is "
     "an expression of pcap-filter(7).\n"
     "local r, err = pcap.open \"/nonexistent.pcap\"\nprint(err.code) --> ENOENT"},
    {"create", &guard<&create>,
     "pcap.create(path [, {ng=true, link=1}]) -> writer | nil, err\nWrites a pcap (nanoseconds) or, with ng, "
     "a "
     "pcapng file that takes comments.\nlocal w = assert(pcap.create(os.tmpname(), { ng = true }))\n"
     "w:write(pkt.eth{}/pkt.ip{}, { comment = \"first\" })\nw:close()"},
};

// For lua/pcap.lua, beside the documented functions.
constexpr Function kLive[] = {
    {"live", &guard<&live>},           {"live_next", &guard<&live_next>}, {"live_wait", &guard<&live_wait>},
    {"live_read", &guard<&live_read>}, {"live_stop", &guard<&live_stop>}, {"live_stats", &guard<&live_stats>},
};

constexpr Function kReader[] = {
    {"packets", &guard<&packets>,
     "for p [, link] in r:packets() do ... end\nThe packets in order, each with time (ns, u64), orig_len and "
     "comment, and its link type (LINKTYPE_*); "
     "a "
     "damaged file raises.\nlocal path = os.tmpname()\npcap.create(path):write(pkt.udp{}):close()\n"
     "for p in pcap.open(path):packets() do print(p.len) end --> 8"},
    {"close", &guard<&close_reader>,
     "r:close()\nCloses the file; does nothing when closed.\n"
     "local path = os.tmpname()\npcap.create(path):close()\npcap.open(path):close()"},
};

constexpr Function kWriter[] = {
    {"write", &guard<&write>,
     "w:write(packet | bytes [, {comment=, verdict=, time=}]) -> w | nil, err\nAppends one packet; comment "
     "and verdict "
     "need pcapng.\npcap.create(os.tmpname()):write(\"abc\"):close()"},
    {"close", &guard<&close_writer>,
     "w:close() -> true | nil, err\nWrites out what is buffered and closes.\n"
     "print(pcap.create(os.tmpname()):close()) --> true"},
};

} // namespace

void open_pcap(lua_State* L) {
    register_packet(L);
    push_metatable<Reader>(L);
    lua_getfield(L, -1, "__index");
    set_functions(L, "reader:", kReader);
    lua_pop(L, 2);
    push_metatable<Writer>(L);
    lua_getfield(L, -1, "__index");
    set_functions(L, "writer:", kWriter);
    lua_pop(L, 2);
    push_metatable<LiveReader>(L);
    lua_pop(L, 1);
    lua_newtable(L);
    set_functions(L, "pcap.", kPcap);
    set_functions(L, "pcap.", kLive);
}

} // namespace mimicsh::lua
