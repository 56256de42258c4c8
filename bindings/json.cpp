// SPDX-License-Identifier: MIT
// Module json: decode and encode; integers that a double cannot hold stay exact as 64-bit cdata, both ways.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <vector>

#include <nlohmann/json.hpp>

#include "bindings/lua_glue.h"
#include "bindings/modules.h"

namespace mimicsh::lua {

namespace {

constexpr int kMaxDepth = 512;
constexpr int kCdata = 10; // LUA_TCDATA
constexpr uint64_t kExact = uint64_t{1} << 53;
constexpr const char* kArrayType = "mimicsh.json.array";
const char kNull = 0; // json.null is the light userdata of this address

void push_null(lua_State* L) {
    lua_pushlightuserdata(L, const_cast<char*>(&kNull));
}

// -- Decoding: the parser's events build the value on the Lua stack --

/// Each open container is a table on the stack; an object's pending key lies above it.
class Builder : public nlohmann::json_sax<nlohmann::json> {
  public:
    explicit Builder(lua_State* L) : L_(L) {}

    bool null() override {
        push_null(L_);
        return store();
    }
    bool boolean(bool value) override {
        lua_pushboolean(L_, value);
        return store();
    }
    bool number_integer(number_integer_t value) override {
        if (value >= -static_cast<int64_t>(kExact) && value <= static_cast<int64_t>(kExact)) {
            lua_pushnumber(L_, static_cast<double>(value));
        } else {
            push_i64(L_, value);
        }
        return store();
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (value <= kExact) {
            lua_pushnumber(L_, static_cast<double>(value));
        } else {
            push_u64(L_, value);
        }
        return store();
    }
    bool number_float(number_float_t value, const string_t& text) override {
        // nlohmann reads integers beyond 64 bits as floats: rounding them silently is what this module
        // promises not to.
        if (text.find_first_of(".eE") == string_t::npos) {
            problem = "integer " + text.substr(0, 40) + " does not fit 64 bits";
            return false;
        }
        lua_pushnumber(L_, value);
        return store();
    }
    bool string(string_t& value) override {
        push_string(L_, value);
        return store();
    }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(false); }
    bool start_array(std::size_t) override { return open(true); }
    bool key(string_t& value) override {
        push_string(L_, value);
        return true;
    }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::detail::exception& e) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ...": what follows the last
        // bracket.
        const std::string text = e.what();
        const size_t start = text.find("] ");
        problem = (start == std::string::npos ? "syntax error" : text.substr(start + 2)) + " (byte " +
                  std::to_string(position) + ")";
        return false;
    }

    std::string problem;

  private:
    bool open(bool is_array) {
        if (counts_.size() >= kMaxDepth || lua_checkstack(L_, 8) == 0) {
            problem = "nested deeper than " + std::to_string(kMaxDepth);
            return false;
        }
        lua_newtable(L_);
        if (is_array) {
            luaL_newmetatable(L_, kArrayType);
            lua_setmetatable(L_, -2);
        }
        counts_.push_back(is_array ? 0 : -1);
        return true;
    }
    bool close() {
        counts_.pop_back();
        return store();
    }
    bool store() {
        if (counts_.empty()) {
            return true;
        }
        if (counts_.back() >= 0) {
            lua_rawseti(L_, -2, ++counts_.back());
        } else {
            lua_rawset(L_, -3);
        }
        return true;
    }

    lua_State* L_;
    std::vector<int> counts_; ///< per open container: elements so far, -1 for an object
};

int decode(lua_State* L) {
    const std::string_view text = check_string(L, 1, "text");
    Error error{EINVAL, "json.decode", "", "", ""};
    {
        Builder builder(L);
        if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
            return 1;
        }
        error.text = builder.problem.empty() ? "syntax error" : builder.problem;
    }
    lua_settop(L, 1);
    return push_failure(L, error);
}

// -- Encoding --

class Encoder {
  public:
    Encoder(lua_State* L, bool pretty) : L_(L), pretty_(pretty) {}

    /// Appends the value on top of the stack (and leaves it there). False with `problem` set.
    bool value() {
        switch (lua_type(L_, -1)) {
        case LUA_TNIL:
            out += "null";
            return true;
        case LUA_TBOOLEAN:
            out += lua_toboolean(L_, -1) != 0 ? "true" : "false";
            return true;
        case LUA_TNUMBER:
            return number(lua_tonumber(L_, -1));
        case LUA_TSTRING:
            return string();
        case LUA_TLIGHTUSERDATA:
            if (lua_touserdata(L_, -1) == &kNull) {
                out += "null";
                return true;
            }
            return unsupported();
        case kCdata:
        case LUA_TUSERDATA:
            return foreign();
        case LUA_TTABLE:
            return table();
        default:
            return unsupported();
        }
    }

    /// Where the problem is: "a.list[2]" in a value without a name, "world.a.list[2]" in one that has one.
    [[nodiscard]] std::string place(const std::string& name) const {
        constexpr size_t kLongest = 100;
        const std::string all = name + (name.empty() && path_.starts_with('.') ? path_.substr(1) : path_);
        return all.size() > kLongest ? all.substr(0, kLongest) + "..." : all;
    }

    std::string out;
    std::string problem;

  private:
    bool unsupported() {
        problem = std::string("a ") + lua_typename(L_, lua_type(L_, -1)) + " has no JSON form";
        return false;
    }

    bool number(double number) {
        if (!std::isfinite(number)) {
            problem = "a number that is not finite has no JSON form";
            return false;
        }
        if (number == std::floor(number) && std::fabs(number) <= static_cast<double>(kExact)) {
            out += std::to_string(static_cast<int64_t>(number));
        } else {
            out += nlohmann::json(number).dump();
        }
        return true;
    }

    bool string() {
        size_t size = 0;
        const char* text = lua_tolstring(L_, -1, &size);
        try {
            out += nlohmann::json(std::string(text, size)).dump();
        } catch (const nlohmann::json::exception&) {
            problem = "a string that is not UTF-8 (encode bytes as hex)";
            return false;
        }
        return true;
    }

    /// 64-bit integers as digits; other objects through their __tojson(value) -> plain value.
    bool foreign() {
        if (luaL_getmetafield(L_, -1, "__tojson") != 0) {
            return convert();
        }
        if (lua_type(L_, -1) == kCdata) {
            lua_getglobal(L_, "tostring");
            lua_pushvalue(L_, -2);
            lua_call(L_, 1, 1);
            std::string text = lua_tostring(L_, -1);
            lua_pop(L_, 1);
            const size_t digits = text.find_first_not_of("-0123456789");
            if (digits != 0 && digits != std::string::npos &&
                (text.substr(digits) == "ULL" || text.substr(digits) == "LL")) {
                out += text.substr(0, digits);
                return true;
            }
            // Typed map values answer to totable().
            lua_getfield(L_, LUA_REGISTRYINDEX, "mimicsh.cdata_tojson");
            if (!lua_isnil(L_, -1)) {
                return convert();
            }
            lua_pop(L_, 1);
        }
        return unsupported();
    }

    /// Converter on top, value below: encodes what the converter makes of it.
    bool convert() {
        lua_pushvalue(L_, -2);
        lua_call(L_, 1, 1);
        if (!enter()) {
            return false;
        }
        const bool done = !lua_isnil(L_, -1) ? value() : unsupported();
        depth_--;
        lua_pop(L_, 1);
        return done;
    }

    bool enter() {
        if (++depth_ > kMaxDepth || lua_checkstack(L_, 12) == 0) {
            problem = "nested deeper than " + std::to_string(kMaxDepth);
            return false;
        }
        return true;
    }

    bool table() {
        if (luaL_getmetafield(L_, -1, "__tojson") != 0) {
            return convert();
        }
        if (!enter()) {
            return false;
        }
        const void* self = lua_topointer(L_, -1);
        if (std::ranges::find(open_, self) != open_.end()) {
            problem = "a cycle";
            return false;
        }
        open_.push_back(self);
        const bool done = is_array() ? array() : object();
        open_.pop_back();
        depth_--;
        return done;
    }

    bool is_array() {
        if (lua_getmetatable(L_, -1) != 0) {
            luaL_getmetatable(L_, kArrayType);
            const bool marked = lua_rawequal(L_, -1, -2) != 0;
            lua_pop(L_, 2);
            if (marked) {
                return true;
            }
        }
        const size_t length = lua_objlen(L_, -1);
        size_t keys = 0;
        lua_pushnil(L_);
        while (lua_next(L_, -2) != 0) {
            lua_pop(L_, 1);
            if (lua_type(L_, -1) != LUA_TNUMBER || ++keys > length) {
                lua_pop(L_, 1);
                return false;
            }
        }
        return length > 0 && keys == length;
    }

    void line() {
        if (pretty_) {
            out += '\n';
            out.append(static_cast<size_t>(depth_) * 2, ' ');
        }
    }

    bool array() {
        out += '[';
        const size_t length = lua_objlen(L_, -1);
        for (size_t i = 1; i <= length; i++) {
            out += i > 1 ? "," : "";
            line();
            lua_rawgeti(L_, -1, static_cast<int>(i));
            if (!value()) {
                path_ = "[" + std::to_string(i) + "]" + path_;
                return false;
            }
            lua_pop(L_, 1);
        }
        close(']', length > 0);
        return true;
    }

    void close(char bracket, bool had_elements) {
        if (had_elements) {
            depth_--;
            line();
            depth_++;
        }
        out += bracket;
    }

    /// Keys in byte order: equal tables give equal text.
    bool object() {
        std::vector<std::string> keys;
        lua_pushnil(L_);
        while (lua_next(L_, -2) != 0) {
            lua_pop(L_, 1);
            if (lua_type(L_, -1) != LUA_TSTRING) {
                problem = "a table with a key that is not a string (and that is no list)";
                return false;
            }
            size_t size = 0;
            const char* text = lua_tolstring(L_, -1, &size);
            keys.emplace_back(text, size);
        }
        std::sort(keys.begin(), keys.end());
        out += '{';
        for (size_t i = 0; i < keys.size(); i++) {
            out += i > 0 ? "," : "";
            line();
            push_string(L_, keys[i]);
            if (!string()) {
                return false;
            }
            out += pretty_ ? ": " : ":";
            lua_rawget(L_, -2);
            if (!value()) {
                path_ = "." + keys[i] + path_;
                return false;
            }
            lua_pop(L_, 1);
        }
        close('}', !keys.empty());
        return true;
    }

    lua_State* L_;
    bool pretty_;
    int depth_ = 0;
    std::vector<const void*> open_; ///< the tables around what is being encoded
    std::string path_;              ///< to the problem, made on the way back
};

/// encode(value [, options [, name]]): of our own callers name is what errors call the value.
int encode(lua_State* L) {
    if (lua_isnone(L, 1)) {
        bad_argument(L, 1, "value", "a value");
    }
    const std::string name(opt_string(L, 3, "name").value_or(""));
    Options options(L, 2, "json.encode");
    const bool pretty = options.boolean("pretty").value_or(false);
    options.finish();
    lua_settop(L, 1);
    Error error{EINVAL, "json.encode", "", "", ""};
    {
        Encoder encoder(L, pretty);
        if (encoder.value()) {
            push_string(L, encoder.out);
            return 1;
        }
        const std::string place = encoder.place(name);
        error.text = place.empty() ? encoder.problem : place + ": " + encoder.problem;
    }
    return push_failure(L, error);
}

int array(lua_State* L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    } else if (!lua_istable(L, 1)) {
        bad_argument(L, 1, "t", "table");
    }
    lua_settop(L, 1);
    luaL_newmetatable(L, kArrayType);
    lua_setmetatable(L, 1);
    return 1;
}

constexpr Function kJson[] = {
    {"encode", &guard<&encode>,
     "json.encode(value [, {pretty=true}]) -> string | nil, err\nKeys sorted, 64-bit integers exact; bytes "
     "that are "
     "not UTF-8 are refused.\nprint(json.encode{b = 18446744073709551615ULL, a = {1, 2}}) "
     "--> {\"a\":[1,2],\"b\":18446744073709551615}"},
    {"decode", &guard<&decode>,
     "json.decode(text) -> value | nil, err\nIntegers above 2^53 become 64-bit cdata; null becomes "
     "json.null.\n"
     "print(json.decode('[1, 18446744073709551615]')[2] == 0xffffffffffffffffULL) --> true"},
    {"array", &guard<&array>,
     "json.array([t]) -> table\nMarks a table as a list, so that an empty one encodes as [].\n"
     "print(json.encode(json.array{})) --> []"},
};

} // namespace

void open_json(lua_State* L) {
    lua_newtable(L);
    set_functions(L, "json.", kJson);
    push_null(L);
    lua_setfield(L, -2, "null");
}

} // namespace mimicsh::lua
