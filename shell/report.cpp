// SPDX-License-Identifier: MIT
// Errors as people read them: position, text, source line, hint; the traceback only when asked for.
#include "shell/report.h"

#include <charconv>
#include <cstdio>
#include <optional>

#include "base/fd.h"

namespace mimicsh::shell {

namespace {

struct Position {
    std::string file;
    int line = 0;
};

/// "file:12: text" -> position; nothing when the text does not begin like that.
std::optional<Position> leading_position(const std::string& text) {
    for (size_t colon = text.find(':'); colon != std::string::npos && colon < 4096;
         colon = text.find(':', colon + 1)) {
        int line = 0;
        const char* start = text.data() + colon + 1;
        const auto [end, ec] = std::from_chars(start, text.data() + text.size(), line);
        if (ec == std::errc{} && end != start && end < text.data() + text.size() && *end == ':') {
            return Position{text.substr(0, colon), line};
        }
    }
    return std::nullopt;
}

std::string value_text(lua_State* co) {
    if (lua_type(co, -1) == LUA_TSTRING) {
        return lua_tostring(co, -1);
    }
    if (lua::is_error(co, -1)) {
        const std::string op = lua::error_field(co, -1, "op");
        const std::string msg = lua::error_field(co, -1, "msg");
        return op.empty() ? msg : op + ": " + msg;
    }
    if (luaL_callmeta(co, -1, "__tostring") != 0) {
        const char* text = lua_tostring(co, -1);
        std::string result = text != nullptr ? text : "(error object)";
        lua_pop(co, 1);
        return result;
    }
    const char* text = lua_tostring(co, -1);
    return text != nullptr ? text : std::string("(error object is a ") + luaL_typename(co, -1) + " value)";
}

} // namespace

std::string Reporter::source_line(const std::string& file, int line) const {
    std::string text;
    if (const auto known = sources_.find(file); known != sources_.end()) {
        text = known->second;
    } else if (const auto bytes = read_file(file, "", size_t{8} << 20); bytes) {
        text = as_text(*bytes);
    }
    size_t start = 0;
    for (int i = 1; i < line && start != std::string::npos; i++) {
        start = text.find('\n', start);
        start = start == std::string::npos ? start : start + 1;
    }
    if (start == std::string::npos || start >= text.size()) {
        return "";
    }
    std::string found = text.substr(start, text.find('\n', start) - start);
    const size_t first = found.find_first_not_of(" \t");
    return first == std::string::npos ? "" : found.substr(first, 200);
}

std::string Reporter::text(lua_State* co, bool is_brief) {
    std::string message = value_text(co);
    auto position = leading_position(message);
    if (!position && lua_type(co, -1) != LUA_TSTRING) {
        message = lua::where_user(co) + message;
        position = leading_position(message);
    }
    std::string text = message;
    if (!is_brief && position) {
        const std::string line = source_line(position->file, position->line);
        text += line.empty() ? "" : "\n    " + line;
    }
    if (lua::is_error(co, -1)) {
        text += verbose_ ? "" : lua::caret_of(lua::error_field(co, -1, "log"));
        const std::string hint = lua::error_field(co, -1, "hint");
        text += hint.empty() ? "" : "\nhint: " + hint;
    }
    return text;
}

void Reporter::print(lua_State* co, const std::string& who, bool is_brief) {
    std::fflush(stdout);
    const std::string head = (is_brief ? "" : "mimicsh: ") + (who.empty() ? "" : "in " + who + ": ");
    const std::string body = text(co, is_brief);
    std::fprintf(stderr, "%s%s%s%s\n", color_ ? "\33[31m" : "", head.c_str(), body.c_str(),
                 color_ ? "\33[0m" : "");
    if (verbose_ || !who.empty()) {
        luaL_traceback(co, co, nullptr, 0);
        std::fprintf(stderr, "%s\n", lua_tostring(co, -1));
        lua_pop(co, 1);
    }
    if (verbose_ && lua::is_error(co, -1)) {
        if (const std::string log = lua::error_field(co, -1, "log"); !log.empty()) {
            std::fprintf(stderr, "%s\n", log.c_str());
        }
    }
}

} // namespace mimicsh::shell
