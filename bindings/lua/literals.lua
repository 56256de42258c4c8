-- SPDX-License-Identifier: MIT
-- Where a text that a function was given stands in the script, so that errors in it name the script's line and column.
local core = require "mimicsh.core"

--- Positions of a literal within Lua source: line and column of its text, and the line on which it ends.
local function literals(source, text)
    local line, line_begin, at = 1, 1, 1
    return function()
        while text ~= "" do
            local first, last = source:find(text, at, true)
            if not first then
                return nil
            end
            at = first + 1
            local before = source:sub(math.max(1, first - 2), first - 1)
            if before:match "[\"'%[]$" or before:match "%[\n$" then
                local from = line_begin
                for stop in source:sub(from, first - 1):gmatch "()\n" do
                    line, line_begin = line + 1, from + stop
                end
                return line, first - line_begin + 1, line + select(2, text:gsub("\n", "\n")), last
            end
        end
    end
end

--- Name, line and column of where a text stands: in the script, the nearest literal with that very text; else within the
--- text itself, as "script.lua:5: text".
local function locate(text)
    local chunk, call = core.user_position()
    if not chunk then
        return "text", 1, 1
    end
    local name, source = chunk:sub(2), core.source or ""
    if chunk:sub(1, 1) == "@" then
        local file = io.open(name, "rb")
        source = file and file:read "*a" or ""
        if file then
            file:close()
        end
    end
    local line, column, least = nil, nil, math.huge
    for first, at, last in literals(source, text) do
        local distance = call < first and first - call or call > last and call - last or 0
        if distance < least then
            line, column, least = first, at, distance
        end
    end
    if not line then
        return ("%s:%d: text"):format(name, call), 1, 1
    end
    return name, line, column
end

return locate
