// SPDX-License-Identifier: MIT
// Module pkt: packets built by the layer, parsed from bytes, read and changed by field.
#include "bindings/pkt.h"

#include <cerrno>
#include <charconv>
#include <iterator>

#include "bindings/modules.h"
#include "bindings/state.h"
#include "net/build.h"
#include "net/diff.h"
#include "net/dissect.h"
#include "net/filter.h"
#include "net/show.h"

namespace mimicsh::lua {

namespace {

/// One layer of a packet, as p.ip gives it; keeps the packet.
struct LayerRef {
    std::shared_ptr<PacketBox> box;
    net::Protocol protocol = net::Protocol::kEth;
    size_t nth = 0;
};

} // namespace

template <>
inline constexpr const char* kTypeName<LayerRef> = "layer";

namespace {

std::shared_ptr<PacketBox>& check_box(lua_State* L, int index, const char* name) {
    (void)check<PacketBox>(L, index, name);
    return *test_owner<PacketBox>(L, index);
}

void push_packet(lua_State* L, net::Packet packet) {
    auto box = std::make_shared<PacketBox>();
    box->packet = std::move(packet);
    push_owner(L, std::move(box));
}

/// Mistakes in field names and values are the caller's: they raise.
int push_or_raise(lua_State* L, Expected<net::Packet> packet) {
    if (!packet) {
        fail(L, packet.error().message() +
                    (packet.error().hint.empty() ? "" : " (" + packet.error().hint + ")"));
    }
    push_packet(L, std::move(*packet));
    return 1;
}

net::FieldValue check_value(lua_State* L, int index, const std::string& name, const net::Field* field) {
    if (lua_type(L, index) == LUA_TSTRING) {
        return std::string(check_string(L, index, name.c_str()));
    }
    if (lua_isboolean(L, index)) {
        return static_cast<uint64_t>(lua_toboolean(L, index));
    }
    if (const auto number = to_u64(L, index)) {
        if (lua_type(L, index) == LUA_TNUMBER && lua_tonumber(L, index) < 0) {
            const uint64_t most = field == nullptr || field->bit_width == 0 || field->bit_width >= 64
                                      ? UINT64_MAX
                                      : (uint64_t{1} << field->bit_width) - 1;
            fail(L, "field '" + name + "': " + lua_tostring(L, index) + " is out of range 0.." +
                        std::to_string(most));
        }
        return *number;
    }
    bad_argument(L, index, name.c_str(), "integer or string");
}

// -- Building --

/// pkt.<protocol>{fields}; the protocol is an upvalue.
int build(lua_State* L) {
    const auto protocol = static_cast<net::Protocol>(lua_tointeger(L, lua_upvalueindex(1)));
    const std::string name(net::layout_of(protocol).name);
    std::vector<net::FieldSetting> fields;
    if (!lua_isnoneornil(L, 1)) {
        if (!lua_istable(L, 1)) {
            bad_argument(L, 1, name.c_str(), "table of fields");
        }
        lua_pushnil(L);
        while (lua_next(L, 1) != 0) {
            if (lua_type(L, -2) != LUA_TSTRING) {
                fail(L, "pkt." + name + ": field names are strings");
            }
            const std::string field = lua_tostring(L, -2);
            fields.push_back({field, check_value(L, lua_gettop(L), field,
                                                 net::find_field(net::layout_of(protocol), field))});
            lua_pop(L, 1);
        }
    }
    return push_or_raise(L, net::build_layer(protocol, fields));
}

net::Packet check_part(lua_State* L, int index) {
    if (lua_type(L, index) == LUA_TSTRING) {
        const ByteView bytes = as_bytes(check_string(L, index, "payload"));
        return net::Packet(ByteVec(bytes.begin(), bytes.end()));
    }
    return check_box(L, index, "operand of /")->packet;
}

int packet_div(lua_State* L) {
    return push_or_raise(L, net::stack(check_part(L, 1), check_part(L, 2)));
}

int parse(lua_State* L) {
    const ByteView bytes = check_packet_bytes(L, 1, "bytes");
    const auto first = opt_string(L, 2, "first").value_or("eth");
    const auto* layout = net::find_protocol(first);
    if (layout == nullptr) {
        fail(L, "pkt.parse: unknown protocol '" + std::string(first) + "'");
    }
    push_packet(L, net::dissect(bytes, layout->protocol));
    return 1;
}

// -- Layers --

LayerRef& check_layer(lua_State* L, int index, size_t& layer) {
    LayerRef& ref = check<LayerRef>(L, index, "layer");
    const auto found = ref.box->packet.find(ref.protocol, ref.nth);
    if (!found) {
        fail(L, "the packet has no " + std::string(net::layout_of(ref.protocol).name) + " any more");
    }
    layer = *found;
    return ref;
}

void push_value(lua_State* L, const net::FieldValue& value, uint32_t bits) {
    if (const auto* number = std::get_if<uint64_t>(&value)) {
        if (bits <= 32) {
            lua_pushnumber(L, static_cast<double>(*number));
        } else {
            push_u64(L, *number);
        }
    } else if (const auto* bytes = std::get_if<ByteVec>(&value)) {
        push_bytes(L, *bytes);
    } else {
        push_string(L, std::get<std::string>(value));
    }
}

const net::Field& check_field(lua_State* L, const LayerRef& ref) {
    const auto& layout = net::layout_of(ref.protocol);
    const auto name = check_string(L, 2, "field");
    const auto* field = net::find_field(layout, name);
    if (field == nullptr) {
        std::string known;
        for (const auto& other : layout.fields) {
            known += (known.empty() ? "" : ", ") + std::string(other.name);
        }
        fail(L,
             std::string(layout.name) + " has no field '" + std::string(name) + "' (known: " + known + ")");
    }
    return *field;
}

int layer_index(lua_State* L) {
    size_t layer = 0;
    const LayerRef& ref = check_layer(L, 1, layer);
    const net::Field& field = check_field(L, ref);
    if (!ref.box->packet.placed(layer, field)) { // an optional field
        return 0;
    }
    push_value(L, ref.box->packet.get(layer, field), field.bit_width);
    return 1;
}

int layer_newindex(lua_State* L) {
    size_t layer = 0;
    const LayerRef& ref = check_layer(L, 1, layer);
    const net::Field& field = check_field(L, ref);
    const std::string name(field.name);
    const bool is_removal = field.presence >= 0 && lua_isnil(L, 3);
    const net::FieldValue value = is_removal ? net::FieldValue(ByteVec()) : check_value(L, 3, name, &field);
    if (const auto done = ref.box->packet.set(layer, name, value); !done) {
        fail(L, done.error().message());
    }
    return 0;
}

int layer_tostring(lua_State* L) {
    size_t layer = 0;
    const LayerRef& ref = check_layer(L, 1, layer);
    const auto& layout = net::layout_of(ref.protocol);
    std::string text(layout.name);
    text += '{';
    bool is_first = true;
    for (const auto& field : layout.fields) {
        if (!field.is_view && ref.box->packet.placed(layer, field)) {
            text +=
                (is_first ? "" : ", ") + std::string(field.name) + "=" + ref.box->packet.text(layer, field);
            is_first = false;
        }
    }
    push_string(L, text + "}");
    return 1;
}

// -- Packets --

/// The same colours in the tree, the dump and its legend: a layer each, the payload plain, padding dim. None
/// where standard output takes none.
net::Paint layer_paint(lua_State* L, const net::Packet& packet) {
    static constexpr const char* kColours[] = {"36", "33", "35", "32", "34", "31"};
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "mimicsh.config");
    lua_getfield(L, -1, "color");
    const bool has_colours = lua_toboolean(L, -1) != 0;
    lua_pop(L, 3);
    if (!has_colours) {
        return {};
    }
    return [layers = packet.layers().size()](size_t part, const std::string& text) {
        if (part == layers) {
            return text;
        }
        const std::string code = part > layers ? "2" : kColours[part % std::size(kColours)];
        return "\x1b[" + code + "m" + text + "\x1b[0m";
    };
}

int packet_show(lua_State* L) {
    const auto& packet = check_box(L, 1, "packet")->packet;
    push_string(L, net::show(packet, {.paint = layer_paint(L, packet)}));
    return 1;
}

int packet_tostring(lua_State* L) {
    push_string(L, net::summary(check_box(L, 1, "packet")->packet));
    return 1;
}

int packet_wire(lua_State* L) {
    push_packet(L, check_box(L, 1, "packet")->packet.wire());
    return 1;
}

int packet_copy(lua_State* L) {
    push_owner(L, std::make_shared<PacketBox>(*check_box(L, 1, "packet")));
    return 1;
}

net::DumpOptions dump_options(lua_State* L, const net::Packet& packet) {
    return {.limit = SIZE_MAX, .per_line = bytes_per_line(L), .paint = layer_paint(L, packet)};
}

int packet_hex(lua_State* L) {
    const auto& packet = check_box(L, 1, "packet")->packet;
    push_string(L, net::hexdump(packet, dump_options(L, packet)));
    return 1;
}

/// What the prompt prints: the tree of the headers, and the bytes.
int packet_echo(lua_State* L) {
    constexpr size_t kShown = 256;
    const auto& packet = check_box(L, 1, "packet")->packet;
    net::DumpOptions options = dump_options(L, packet);
    options.limit = kShown;
    push_string(L, net::show(packet, {.paint = options.paint, .has_bytes = false}) +
                       net::hexdump(packet, options));
    return 1;
}

int packet_pad(lua_State* L) {
    const auto& packet = check_box(L, 1, "packet")->packet;
    return push_or_raise(L, net::pad(packet, as_bytes(check_string(L, 2, "bytes"))));
}

int packet_code(lua_State* L) {
    push_string(L, net::code(check_box(L, 1, "packet")->packet));
    return 1;
}

int packet_fix(lua_State* L) {
    check_box(L, 1, "packet")->packet.fix();
    lua_settop(L, 1);
    return 1;
}

int packet_bytes(lua_State* L) {
    push_bytes(L, check_box(L, 1, "packet")->packet.bytes());
    return 1;
}

int packet_byte(lua_State* L) {
    const auto& bytes = check_box(L, 1, "packet")->packet.bytes();
    const uint64_t offset = check_unsigned(L, 2, "offset", 0, UINT32_MAX);
    if (offset >= bytes.size()) {
        return 0;
    }
    lua_pushnumber(L, bytes[static_cast<size_t>(offset)]);
    return 1;
}

/// The link type of a packet that starts with this protocol; nothing for headers that no capture begins with.
std::optional<uint32_t> link_type_of(const net::Packet& packet) {
    if (packet.layers().empty() || packet.layers()[0].protocol == net::Protocol::kEth) {
        return net::kLinkEthernet;
    }
    const auto first = packet.layers()[0].protocol;
    const bool is_ip = first == net::Protocol::kIp || first == net::Protocol::kIp6;
    return is_ip ? std::optional(net::kLinkRaw) : std::nullopt;
}

int packet_matches(lua_State* L) {
    const auto& packet = check_box(L, 1, "packet")->packet;
    const std::string text(check_string(L, 2, "expression"));
    const auto link_type = link_type_of(packet);
    if (!link_type) {
        fail(L, "matches: the packet begins with neither eth nor ip nor ip6");
    }
    auto filter = net::PacketFilter::compile(text, *link_type);
    if (!filter) { // as an object: its log shows the place
        push_error(L, filter.error());
        return lua_error(L);
    }
    net::PacketRecord record;
    record.data = packet.bytes();
    record.orig_len = static_cast<uint32_t>(packet.size());
    const auto matches = filter->matches(*link_type, record);
    if (!matches) {
        fail(L, matches.error().message());
    }
    lua_pushboolean(L, *matches);
    return 1;
}

int packet_diff(lua_State* L) {
    const auto& before = check_box(L, 1, "packet")->packet;
    const auto& after = check_box(L, 2, "other")->packet;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mimicsh.printer");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "differences");
    lua_newtable(L);
    int index = 0;
    for (const auto& difference : net::diff(before, after)) {
        lua_createtable(L, 0, 4);
        const auto set = [L](const char* field, const std::string& text) {
            push_string(L, text);
            lua_setfield(L, -2, field);
        };
        set("layer", difference.layer);
        set("field", difference.field);
        set("before", difference.before);
        set("after", difference.after);
        lua_rawseti(L, -2, ++index);
    }
    lua_call(L, 1, 1);
    return 1;
}

int packet_len(lua_State* L) {
    lua_pushnumber(L, static_cast<double>(check_box(L, 1, "packet")->packet.size()));
    return 1;
}

int packet_eq(lua_State* L) {
    const auto* a = test_owner<PacketBox>(L, 1);
    const auto* b = test_owner<PacketBox>(L, 2);
    lua_pushboolean(L, a != nullptr && b != nullptr && (*a)->packet == (*b)->packet);
    return 1;
}

/// "vlan" or "vlan#2" -> protocol and which one of it; false when it names no protocol.
bool layer_name(std::string_view name, LayerRef& ref) {
    const size_t mark = name.find('#');
    size_t nth = 1;
    if (mark != std::string_view::npos) {
        const std::string_view digits = name.substr(mark + 1);
        const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), nth);
        if (ec != std::errc{} || end != digits.data() + digits.size() || nth == 0) {
            return false;
        }
    }
    const auto* layout = net::find_protocol(name.substr(0, mark));
    if (layout == nullptr) {
        return false;
    }
    ref.protocol = layout->protocol;
    ref.nth = nth - 1;
    return true;
}

void push_layer_names(lua_State* L, const net::Packet& packet) {
    lua_newtable(L);
    int index = 0;
    for (const auto& layer : packet.layers()) {
        push_string(L, net::layout_of(layer.protocol).name);
        lua_rawseti(L, -2, ++index);
    }
}

/// Properties that are no methods; false when the name is none.
bool push_property(lua_State* L, const PacketBox& box, std::string_view name) {
    if (name == "len") {
        lua_pushnumber(L, static_cast<double>(box.packet.size()));
    } else if (name == "payload") {
        push_bytes(L, box.packet.payload());
    } else if (name == "padding") {
        push_bytes(L, box.packet.padding());
    } else if (name == "note") {
        push_string(L, box.packet.note());
    } else if (name == "layers") {
        push_layer_names(L, box.packet);
    } else if (name == "time") {
        push_u64(L, box.time_ns);
    } else if (name == "orig_len") {
        lua_pushnumber(L, box.orig_len != 0 ? box.orig_len : static_cast<double>(box.packet.size()));
    } else if (name == "comment") {
        push_string(L, box.comment);
    } else {
        return false;
    }
    return true;
}

/// Methods (upvalue table), properties, then layers; a protocol that is not there is nil.
int packet_index(lua_State* L) {
    const auto box = check_box(L, 1, "packet");
    const auto name = check_string(L, 2, "name");
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) {
        return 1;
    }
    lua_pop(L, 1);
    if (push_property(L, *box, name)) {
        return 1;
    }
    auto ref = std::make_shared<LayerRef>();
    if (!layer_name(name, *ref)) {
        fail(L, "a packet has no layer or method '" + std::string(name) + "'");
    }
    if (!box->packet.find(ref->protocol, ref->nth)) {
        lua_pushnil(L);
        return 1;
    }
    ref->box = box;
    push_owner(L, std::move(ref));
    return 1;
}

int packet_newindex(lua_State* L) {
    const auto box = check_box(L, 1, "packet");
    const auto name = check_string(L, 2, "name");
    if (name == "payload") {
        if (const auto done = box->packet.set_payload(as_bytes(check_string(L, 3, "payload"))); !done) {
            fail(L, done.error().message());
        }
        return 0;
    }
    if (name == "time") {
        box->time_ns = check_unsigned(L, 3, "time", 0, UINT64_MAX);
        return 0;
    }
    if (name == "comment") {
        box->comment = check_string(L, 3, "comment");
        return 0;
    }
    fail(L, "'" + std::string(name) +
                "' of a packet cannot be set (payload, time and comment can; fields: p.ip.ttl = 1)");
}

/// {bytes=hex, layers={...}} for JSON.
int packet_tojson(lua_State* L) {
    const auto& packet = check_box(L, 1, "packet")->packet;
    lua_createtable(L, 0, 2);
    push_string(L, to_hex(packet.bytes()));
    lua_setfield(L, -2, "bytes");
    push_layer_names(L, packet);
    lua_setfield(L, -2, "layers");
    return 1;
}

constexpr Function kMethods[] = {
    {"show", &guard<&packet_show>,
     "p:show() -> text\nThe packet as a tree of layers and fields, as written.\n"
     "print((pkt.ip{}/pkt.udp{dport=53}):show():match \"dport%D+(%d+)\") --> 53"},
    {"wire", &guard<&packet_wire>,
     "p:wire() -> packet\nA copy with all lengths and checksums computed: what would be sent.\n"
     "print((pkt.ip{checksum=1}/\"x\"):wire().ip.checksum ~= 1) --> true"},
    {"copy", &guard<&packet_copy>, "p:copy() -> packet\nAn independent copy.\nlocal q = pkt.eth{}:copy()"},
    {"hex", &guard<&packet_hex>,
     "p:hex() -> text\nHexdump, on a terminal in the colours of the layers; its last line says which bytes "
     "are whose.\n"
     "print(pkt.udp{}:hex():match \"udp %S+\") --> udp 0-7"},
    {"code", &guard<&packet_code>,
     "p:code() -> text\nLua source that builds the same bytes.\n"
     "local p = pkt.ip{}/pkt.udp{dport=53}/\"hi\"\n"
     "print(assert(loadstring(\"local pkt = ...; return \" .. p:code()))(pkt) == p) --> true"},
    {"fix", &guard<&packet_fix>,
     "p:fix() -> p\nComputes all lengths and checksums in place, written ones too.\n"
     "local p = pkt.ip{checksum=1}/\"x\"\nprint(p:fix() == p:wire()) --> true"},
    {"pad", &guard<&packet_pad>,
     "p:pad(bytes) -> packet\nA copy with bytes behind the end that its lengths give, as Ethernet pads short "
     "frames.\n"
     "print(#(pkt.eth{}/pkt.ip{}/\"x\"):pad(\"\\0\\0\").padding) --> 2"},
    {"bytes", &guard<&packet_bytes>, "p:bytes() -> string\nThe bytes.\nprint(#pkt.udp{}:bytes()) --> 8"},
    {"byte", &guard<&packet_byte>,
     "p:byte(offset) -> number | nil\nOne byte, offsets from 0; nil outside.\nprint(pkt.ip{}:byte(0)) --> "
     "69"},
    {"matches", &guard<&packet_matches>,
     "p:matches(expression) -> boolean\nWhether an expression of pcap-filter(7) takes the packet, as tcpdump "
     "would.\n"
     "print((pkt.ip{}/pkt.udp{dport=53}):matches \"udp port 53\") --> true"},
    {"diff", &guard<&packet_diff>,
     "p:diff(q) -> list of {layer=, field=, before=, after=}\nWhat differs, field by field, printed as a "
     "table; "
     "empty when equal.\n"
     "print(pkt.udp{dport=1}:diff(pkt.udp{dport=2})[1].field) --> dport"},
};

constexpr Function kPkt[] = {
    {"parse", &guard<&parse>,
     "pkt.parse(bytes [, first]) -> packet\nFinds the headers in bytes, starting with the protocol `first` "
     "(eth).\n"
     "print(pkt.parse(pkt.ip{ttl=9}:bytes(), \"ip\").ip.ttl) --> 9"},
};

/// What a header without settings holds.
std::string plain_value(net::Protocol protocol, const net::Field& field) {
    const auto plain = net::build_layer(protocol);
    return plain ? plain->text(0, field) : "";
}

/// "16 bits, default 9", "options, the rest of the header".
std::string field_line(net::Protocol protocol, const net::Field& field) {
    if (field.bit_width == 0) {
        return field.kind == net::FieldKind::kOptions   ? "options, the rest of the header"
               : field.kind == net::FieldKind::kRecords ? "records, as in zone files"
                                                        : "bytes, the rest of the header";
    }
    std::string text = std::to_string(field.bit_width) + (field.bit_width == 1 ? " bit" : " bits");
    switch (field.role) {
    case net::FieldRole::kHeaderLength:
    case net::FieldRole::kLength:
    case net::FieldRole::kChecksum:
    case net::FieldRole::kRecordCount:
        return text + ", computed unless set";
    case net::FieldRole::kNextHeader:
    case net::FieldRole::kNextPort:
        text += ", follows the next header unless set";
        break;
    default:
        break;
    }
    if (field.is_view) {
        return text + ", overlaps other fields";
    }
    if (field.presence >= 0) {
        return text + ", only there when set";
    }
    return text + ", default " + plain_value(protocol, field);
}

/// pkt.eth, pkt.ip, ...: one function a protocol.
void push_builders(lua_State* L) {
    for (const auto& layout : net::protocols()) {
        const std::string name(layout.name);
        std::string fields;
        for (const auto& field : layout.fields) {
            fields += (fields.empty() ? "" : ", ") + std::string(field.name);
        }
        std::string rows; // as comments of the example
        for (const auto& field : layout.fields) {
            rows += "\n-- " + std::string(field.name) + ": " + std::string(field.meaning) + "; " +
                    field_line(layout.protocol, field);
        }
        lua_pushinteger(L, static_cast<int>(layout.protocol));
        lua_pushcclosure(L, &guard<&build>, 1);
        set_doc(L, "pkt." + name,
                "pkt." + name + "{field=value, ...} -> packet\n" + std::string(layout.title) + " (" +
                    std::string(layout.source) + "): a header with defaults and these fields (" + fields +
                    "); headers and payloads are stacked with /.\nlocal p = pkt." + name + "{}" + rows);
        lua_setfield(L, -2, name.c_str());
    }
}

void set_metamethod(lua_State* L, const char* name, lua_CFunction function) {
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

} // namespace

ByteView check_packet_bytes(lua_State* L, int index, const char* name) {
    if (lua_type(L, index) == LUA_TSTRING) {
        return as_bytes(check_string(L, index, name));
    }
    if (test_owner<PacketBox>(L, index) == nullptr) {
        bad_argument(L, index, name, "packet or string of bytes");
    }
    return check<PacketBox>(L, index, name).packet.bytes();
}

void push_captured(lua_State* L, const net::PacketRecord& record, uint32_t link_type) {
    auto box = std::make_shared<PacketBox>();
    const auto first = net::first_protocol(link_type, record.data);
    box->packet = first ? net::dissect(record.data, *first)
                        : net::Packet(ByteVec(record.data.begin(), record.data.end()));
    box->time_ns = record.time_ns;
    box->orig_len = record.orig_len;
    box->comment = record.comment;
    push_owner(L, std::move(box));
}

void register_packet(lua_State* L) {
    push_metatable<PacketBox>(L);
    lua_getfield(L, -1, "__index");
    if (!lua_istable(L, -1)) { // done before: __index is the function by now
        lua_pop(L, 2);
        return;
    }
    set_functions(L, "packet:", kMethods);
    lua_pushcclosure(L, &guard<&packet_index>, 1);
    lua_setfield(L, -2, "__index");
    set_metamethod(L, "__newindex", &guard<&packet_newindex>);
    set_metamethod(L, "__div", &guard<&packet_div>);
    set_metamethod(L, "__eq", &guard<&packet_eq>);
    set_metamethod(L, "__len", &guard<&packet_len>);
    set_metamethod(L, "__tostring", &guard<&packet_tostring>);
    set_metamethod(L, "__show", &guard<&packet_echo>);
    set_metamethod(L, "__tojson", &guard<&packet_tojson>);
    lua_pop(L, 1);
    push_metatable<LayerRef>(L);
    set_metamethod(L, "__index", &guard<&layer_index>);
    set_metamethod(L, "__newindex", &guard<&layer_newindex>);
    set_metamethod(L, "__tostring", &guard<&layer_tostring>);
    lua_pop(L, 1);
}

void open_pkt(lua_State* L) {
    register_packet(L);
    lua_newtable(L);
    set_functions(L, "pkt.", kPkt);
    push_builders(L);
}

} // namespace mimicsh::lua
