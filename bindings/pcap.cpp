// SPDX-License-Identifier: MIT
// Module pcap: capture files, read and written packet by packet.
#include <cerrno>

#include "bindings/loop.h"
#include "bindings/modules.h"
#include "bindings/pkt.h"
#include "net/dissect.h"
#include "net/pcap_file.h"

namespace mimicsh::lua {

namespace {

struct Reader {
    std::unique_ptr<net::PcapReader> file; ///< null when closed
    std::vector<net::PacketRecord> batch;
    size_t next = 0;
};

struct Writer {
    std::unique_ptr<net::PcapWriter> file;
    bool is_open = true;
};

} // namespace

template <>
inline constexpr const char* kTypeName<Reader> = "capture reader";
template <>
inline constexpr const char* kTypeName<Writer> = "capture writer";

namespace {

int open(lua_State* L) {
    const std::string path(check_string(L, 1, "path"));
    auto file = net::PcapReader::open(path, &interrupt_flag());
    if (!file) {
        return push_failure(L, file.error());
    }
    auto reader = std::make_shared<Reader>();
    reader->file = std::move(*file);
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

/// Refills the batch; false at the end. A damaged file raises inside a loop, where nil would look like its
/// end.
bool refill(lua_State* L, Reader& reader) {
    if (reader.next < reader.batch.size()) {
        return true;
    }
    reader.next = 0;
    if (const auto done = reader.file->read(reader.batch); !done) {
        reader.batch.clear();
        push_error(L, done.error());
        lua_error(L);
    }
    return !reader.batch.empty();
}

/// Iterator function of r:packets(): the next packet, or nothing.
int next_packet(lua_State* L) {
    Reader& reader = check_reader(L, 1);
    if (!refill(L, reader)) {
        return 0;
    }
    const net::PacketRecord& record = reader.batch[reader.next++];
    const auto& interfaces = reader.file->interfaces();
    const uint32_t link =
        record.interface < interfaces.size() ? interfaces[record.interface].link_type : net::kLinkEthernet;
    auto box = std::make_shared<PacketBox>();
    const auto first = net::first_protocol(link, record.data);
    box->packet = first ? net::dissect(record.data, *first)
                        : net::Packet(ByteVec(record.data.begin(), record.data.end()));
    box->time_ns = record.time_ns;
    box->orig_len = record.orig_len;
    box->comment = record.comment;
    push_owner(L, std::move(box));
    return 1;
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
     "pcap.open(path | \"-\") -> reader | nil, err\nReads pcap and pcapng, pipes too.\n"
     "local r, err = pcap.open \"/nonexistent.pcap\"\nprint(err.code) --> ENOENT"},
    {"create", &guard<&create>,
     "pcap.create(path [, {ng=true, link=1}]) -> writer | nil, err\nWrites a pcap (nanoseconds) or, with ng, "
     "a "
     "pcapng file that takes comments.\nlocal w = assert(pcap.create(os.tmpname(), { ng = true }))\n"
     "w:write(pkt.eth{}/pkt.ip{}, { comment = \"first\" })\nw:close()"},
};

constexpr Function kReader[] = {
    {"packets", &guard<&packets>,
     "for p in r:packets() do ... end\nThe packets in order, each with time (ns, u64), orig_len and comment; "
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
    lua_newtable(L);
    set_functions(L, "pcap.", kPcap);
}

} // namespace mimicsh::lua
