-- SPDX-License-Identifier: MIT
-- Values as people read them: show(x), tbl(rows, cols), and what the prompt prints.
local core = require "mimicsh.core"
local config = require "mimicsh.config"
local ffi = require "ffi"

local M = {}

local MAX_ITEMS = 50 -- entries of one table, rows of one listing
local MAX_DEPTH = 6
local MAX_TEXT = 4096 -- bytes of one string
local MAX_LINES = 500 -- of a text
local WIDTH = 100     -- where standard output is no terminal
local CUT = "\226\128\166" -- ends what did not fit

-- -- Colour by role --

local ROLES = { name = "36", value = "", string = "32", number = "33", type = "35", error = "31", dim = "2", head = "1",
                before = "31", after = "32" }

local function paint(role, text)
    local code = ROLES[role]
    if not config.color or not code or code == "" then
        return text
    end
    return "\27[" .. code .. "m" .. text .. "\27[0m"
end
M.paint = paint

-- -- Widths --

local COLOUR = "\27%[[%d;]*m"

--- Columns of a text of one line; characters of two columns count as one.
local function width(text)
    return #text:gsub(COLOUR, ""):gsub("[\128-\191]", "")
end

--- Columns that a line may take: those of the terminal, nil for a pipe, where nothing is cut.
local function room()
    local columns = core.columns()
    return columns and math.max(columns, 1)
end

--- A line cut to its first columns, with a mark at its end; colours end with it.
local function cut(text, columns)
    if not columns or width(text) <= columns then
        return text
    end
    local parts, left, at, has_colour = {}, columns - 1, 1, false
    while left > 0 do
        local code = text:match("^" .. COLOUR, at)
        local piece = code or text:match("^[^\128-\191][\128-\191]*", at) or text:sub(at, at)
        parts[#parts + 1] = piece
        has_colour = has_colour or code ~= nil
        left = left - (code and 0 or 1)
        at = at + #piece
    end
    return table.concat(parts) .. CUT .. (has_colour and "\27[0m" or "")
end
M.cut = function(text) return cut(text, room()) end
M.room = function() return room() or WIDTH end

-- -- Scalars --

local U64, I64 = ffi.typeof "uint64_t", ffi.typeof "int64_t"

local function is_wide(x)
    return type(x) == "cdata" and (ffi.istype(U64, x) or ffi.istype(I64, x))
end

--- A 64-bit integer in decimal, without suffix, and in hex above 0xffff.
local function integer_parts(x)
    local big = ffi.istype(U64, x) and x > 0xffffULL or ffi.istype(I64, x) and x > 0xffffLL
    return tostring(x):gsub("U?LL$", ""), big and ("(0x%s)"):format(bit.tohex(x):gsub("^0+", "")) or nil
end

--- The type by BTF of a value, nil when it has none.
local function typed(x)
    return type(x) == "cdata" and not is_wide(x) and require("mimicsh.types").type_of(x) or nil
end

local function is_text(s)
    return not s:find "[%z\1-\8\11\12\14-\31\127]" and (not s:find "[\128-\255]" or M.is_utf8(s))
end

--- True for well-formed UTF-8 (RFC 3629), surrogates and overlong forms excluded.
function M.is_utf8(s)
    local i, n = 1, #s
    while i <= n do
        local a, b = s:byte(i, i + 1)
        local length = a < 0x80 and 1 or a >= 0xc2 and a < 0xe0 and 2 or a >= 0xe0 and a < 0xf0 and 3 or
            a >= 0xf0 and a < 0xf5 and 4
        if not length or i + length - 1 > n then
            return false
        end
        for k = i + 1, i + length - 1 do
            local c = s:byte(k)
            if c < 0x80 or c > 0xbf then
                return false
            end
        end
        if a == 0xe0 and b < 0xa0 or a == 0xed and b > 0x9f or a == 0xf0 and b < 0x90 or a == 0xf4 and b > 0x8f then
            return false
        end
        i = i + length
    end
    return true
end

--- Offset, hex and text columns, 16 bytes a line where they fit.
function M.hexdump(bytes, limit)
    local shown = math.min(#bytes, limit or 1024)
    local text = core.hexdump(bytes:sub(1, shown))
    return shown < #bytes and text .. paint("dim", ("... %d more bytes"):format(#bytes - shown)) or text:sub(1, -2)
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\0"] = "\\0", ['"'] = '\\"', ["\\"] = "\\\\" }

--- A string as Lua takes it, bytes that a terminal would not show in hex.
local function quote(s)
    local text = s:gsub('[%c"\\]', function(c) return ESCAPES[c] or ("\\x%02x"):format(c:byte()) end)
    if not M.is_utf8(text) then
        text = text:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end)
    end
    return '"' .. text .. '"'
end

-- -- Tables --

local function sorted_keys(t)
    local keys, count = {}, 0
    for k in next, t do
        count = count + 1
        keys[count] = k
    end
    table.sort(keys, function(a, b)
        local x, y = type(a), type(b)
        if x ~= y then
            return x < y
        elseif x == "number" or x == "string" then
            return a < b
        end
        return tostring(a) < tostring(b)
    end)
    return keys
end

local format

--- A number: 64-bit integers have their hex beside them.
local function format_number(x)
    if is_wide(x) then
        local text, hex = integer_parts(x)
        return paint("number", text) .. (hex and " " .. paint("dim", hex) or "")
    elseif type(x) ~= "number" then
        return tostring(x)
    end
    return paint("number", x % 1 == 0 and math.abs(x) < 2 ^ 63 and ("%.0f"):format(x) or ("%.14g"):format(x))
end

local function format_key(k)
    if type(k) == "string" and k:find "^[%a_][%w_]*$" then
        return paint("name", k)
    end
    return "[" .. format(k, MAX_DEPTH, {}) .. "]"
end

local function join(parts, depth)
    local length = 0
    local is_long = false
    for _, part in ipairs(parts) do
        length = length + width(part) + 2
        is_long = is_long or part:find "\n"
    end
    if not is_long and length < (room() or WIDTH) - 2 * depth then
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    local pad = ("  "):rep(depth + 1)
    return "{\n" .. pad .. table.concat(parts, ",\n" .. pad) .. "\n" .. ("  "):rep(depth) .. "}"
end

--- How typed values are written.
M.LOOK = { number = format_number, paint = paint, join = join }

local function format_table(t, depth, seen)
    if seen[t] then
        return paint("dim", "<cycle>")
    elseif next(t) == nil then
        return "{}"
    elseif depth >= MAX_DEPTH then
        return paint("dim", "{...}")
    end
    seen[t] = true
    local parts, length = {}, #t
    for i = 1, math.min(length, MAX_ITEMS) do
        parts[i] = format(rawget(t, i), depth + 1, seen)
    end
    if length > MAX_ITEMS then
        parts[#parts + 1] = paint("dim", ("... %d more"):format(length - MAX_ITEMS))
    end
    local named, left = 0, 0
    for _, k in ipairs(sorted_keys(t)) do
        if not (type(k) == "number" and k >= 1 and k <= length and k % 1 == 0) then
            named = named + 1
            if named <= MAX_ITEMS then
                parts[#parts + 1] = format_key(k) .. " = " .. format(rawget(t, k), depth + 1, seen)
            else
                left = left + 1
            end
        end
    end
    if left > 0 then
        parts[#parts + 1] = paint("dim", ("... %d more"):format(left))
    end
    seen[t] = nil
    return join(parts, depth)
end

function format(x, depth, seen)
    local kind = type(x)
    if kind == "string" then
        if #x > MAX_TEXT then
            return paint("string", quote(x:sub(1, MAX_TEXT))) .. paint("dim", (" ... %d more bytes"):format(#x - MAX_TEXT))
        end
        return paint("string", quote(x))
    elseif kind == "number" then
        return format_number(x)
    elseif kind == "cdata" then
        if is_wide(x) then
            return format_number(x)
        end
        return typed(x) and require("mimicsh.types").format(x, M.LOOK, depth) or tostring(x)
    elseif kind == "table" then
        local mt = debug.getmetatable(x)
        if mt and rawget(mt, "__tostring") then
            return tostring(x)
        end
        return format_table(x, depth, seen)
    elseif kind == "function" then
        local doc = core.docs()[x]
        return paint("type", doc and "<function " .. doc.name .. ">" or "<" .. tostring(x) .. ">")
    elseif kind == "userdata" then
        local mt = debug.getmetatable(x)
        return mt and rawget(mt, "__tostring") and tostring(x) or paint("type", "<" .. (mt and mt.__name or "userdata") .. ">")
    elseif kind == "thread" then
        return paint("type", "<" .. tostring(x) .. ">")
    end
    return tostring(x)
end

--- The first lines of a text.
local function first_lines(text)
    local at = 0
    for _ = 1, MAX_LINES do
        at = text:find("\n", at + 1, true)
        if not at then
            return text
        end
    end
    local _, left = text:sub(at + 1):gsub("\n", "\n")
    return text:sub(1, at) .. paint("dim", ("... %d more lines"):format(left + 1))
end

--- Text of any value; objects that bring __show(value, paint) lay themselves out.
function M.format(x)
    local kind = type(x)
    if kind == "string" then
        if x:find "\n" and is_text(config.color and x:gsub(COLOUR, "") or x) then
            return first_lines((x:gsub("\n$", ""))) -- a text of several lines is there to be read, not quoted
        end
        return is_text(x) and format(x, 0, {}) or M.hexdump(x)
    elseif kind == "table" or kind == "userdata" then
        local mt = debug.getmetatable(x)
        local own = mt and rawget(mt, "__show")
        if own then
            return (own(x, paint):gsub("\n$", ""))
        elseif core.is_error(x) then
            return paint("error", tostring(x)) .. core.caret_of(x.log or "")
                .. (x.hint and "\n" .. paint("dim", "hint: ") .. x.hint or "")
        end
    end
    return format(x, 0, {})
end

-- -- Tables of rows --

local MIN_CELL = 4 -- columns that narrowing leaves

--- Values inside a cell: on one line, colours are those of columns.
local function cell_look()
    local plain = require("mimicsh.types").PLAIN
    return { paint = plain.paint, join = plain.join, number = function(x)
        local text, hex = tostring(x), nil
        if is_wide(x) then
            text, hex = integer_parts(x)
        end
        return text .. (hex and " " .. hex or "")
    end }
end

--- {text =, hex = beside a 64-bit number, is_number =}; T where BTF knows the type.
local function cell(x, T)
    if x == nil then
        return { text = "", is_number = true }
    elseif T and (T.names or T.kind == "pointer" or typed(x)) then
        local text = require("mimicsh.types").format_value(T, x, cell_look())
        return { text = text, is_number = T.names and not text:find "%D" }
    elseif type(x) == "string" then
        return { text = is_text(x) and x:gsub("[\r\n\t]", " ") or x:gsub(".", function(c) return ("%02x"):format(c:byte()) end) }
    elseif is_wide(x) then
        local text, hex = integer_parts(x)
        return { text = text, hex = hex, is_number = true }
    end
    return { text = (format(x, 1, {}):gsub("\n%s*", " ")), is_number = type(x) == "number" }
end

--- A column of `count` cells; value(i) gives the i-th and its type, if that is known.
local function new_column(name, count, value)
    local column = { name = name, cells = {}, is_numeric = true, digits = width(name), hex = 0 }
    for i = 1, count do
        local one = cell(value(i))
        column.cells[i] = one
        column.is_numeric = column.is_numeric and one.is_number
        column.digits = math.max(column.digits, width(one.text))
        column.hex = math.max(column.hex, one.hex and #one.hex + 1 or 0)
    end
    return column
end

--- What a line takes, blanks between the columns too.
local function line_width(columns, measure)
    local total = 2 * (#columns - 1)
    for _, column in ipairs(columns) do
        total = total + measure(column)
    end
    return total
end

--- Leaves hex away, then narrows the widest columns until a line fits.
local function narrow(columns, limit)
    if line_width(columns, function(column) return column.digits + column.hex end) <= limit then
        return
    end
    local total = line_width(columns, function(column)
        column.hex = 0
        return column.digits
    end)
    while total > limit do
        local widest = columns[1]
        for _, column in ipairs(columns) do
            widest = column.digits > widest.digits and column or widest
        end
        if widest.digits <= MIN_CELL then
            return
        end
        widest.digits = widest.digits - 1
        total = total - 1
    end
end

local function padded(column, one, is_last)
    local text = cut(one.text, column.digits)
    local pad = (" "):rep(column.digits - width(text))
    if one.role and text ~= "" then
        text = paint(one.role, text)
    end
    if not column.is_numeric then
        return is_last and text or text .. pad
    elseif column.hex == 0 then
        return pad .. text
    end
    local hex = one.hex or ""
    return pad .. text .. (hex ~= "" and " " .. paint("dim", hex) or "") .. (" "):rep(column.hex - (hex ~= "" and #hex + 1 or 0))
end

local function layout(columns)
    local limit = room()
    if limit then
        narrow(columns, limit)
    end
    local lines = {}
    for i = 0, #columns > 0 and #columns[1].cells or 0 do
        local parts = {}
        for c, column in ipairs(columns) do
            parts[c] = padded(column, i == 0 and { text = column.name } or column.cells[i], c == #columns)
        end
        local line = cut(table.concat(parts, "  "):gsub("%s+$", ""), limit)
        lines[i + 1] = i == 0 and paint("head", line) or line
    end
    return table.concat(lines, "\n")
end

--- Rows as aligned columns. cols: names in order; else the fields of the first row's struct, or its keys, sorted (lists:
--- by position). On a terminal wide columns are cut to its width. roles: of columns, by name.
function M.tbl_text(rows, cols, roles)
    if type(rows) ~= "table" then
        core.fail("bad argument 'rows': expected a list of tables, got " .. type(rows))
    end
    if cols ~= nil and type(cols) ~= "table" then
        core.fail("bad argument 'cols': expected a list of names, got " .. type(cols))
    end
    for r, row in ipairs(rows) do
        if type(row) ~= "table" and not typed(row) then
            core.fail(("bad argument 'rows': row %d is a %s, not a table"):format(r, type(row)))
        end
    end
    local T = typed(rows[1])
    local names = cols or T and require("mimicsh.types").field_names(T) or sorted_keys(rows[1] or {})
    local columns = {}
    for c, name in ipairs(names) do
        columns[c] = new_column(tostring(name), #rows, function(r)
            local row_type = typed(rows[r])
            local field = row_type and row_type.fields and row_type.fields[name]
            return rows[r][name], field and field.type
        end)
        for _, one in ipairs(roles and roles[name] and columns[c].cells or {}) do
            one.role = roles[name]
        end
    end
    return layout(columns)
end

-- -- Tables of typed values --

local function is_struct(T)
    return T and T.order and #T.order > 0
end

--- Values side by side, those of structs with a column for each field; nil when none is a struct, or the names of the
--- columns do not fit the terminal. groups: lists of values with their type `T` and a `title` for those that are no structs;
--- "=" stands between them.
function M.typed_text(groups)
    local columns, has_struct = {}, false
    for _, group in ipairs(groups) do
        has_struct = has_struct or is_struct(group.T)
    end
    if not has_struct then
        return nil
    end
    for _, group in ipairs(groups) do
        if #columns > 0 then
            columns[#columns + 1] = new_column("", #group, function() return "=" end)
        end
        if is_struct(group.T) then
            for _, field in ipairs(group.T.order) do
                columns[#columns + 1] = new_column(field.name, #group, function(i) return group[i][field.name], field.type end)
            end
        else
            columns[#columns + 1] = new_column(group.title, #group, function(i) return group[i], group.T end)
        end
    end
    local limit = room()
    local names = line_width(columns, function(column) return width(column.name) end)
    return (not limit or names <= limit) and layout(columns) or nil
end

function M.tbl(rows, cols)
    print(M.tbl_text(rows, cols))
end

-- -- What p:diff(q) gives --

local Differences = { __name = "differences" }

local function differences_text(list)
    if #list == 0 then
        return "no differences"
    end
    local rows = {}
    for i, one in ipairs(list) do
        rows[i] = { field = one.layer .. "." .. one.field, before = one.before ~= "" and one.before or "-",
                    after = one.after ~= "" and one.after or "-" }
    end
    return M.tbl_text(rows, { "field", "before", "after" }, { before = "before", after = "after" })
end
Differences.__tostring, Differences.__show = differences_text, differences_text

--- A list of {layer=, field=, before=, after=} that prints as a table.
function M.differences(list)
    return setmetatable(list, Differences)
end

-- -- What the prompt and show() print --

local function is_uniform(x)
    if type(x) ~= "table" or debug.getmetatable(x) or type(x[1]) ~= "table" or #x < 2 or debug.getmetatable(x[1]) then
        return false
    end
    local keys = sorted_keys(x[1])
    for k in next, x do
        if type(k) ~= "number" then
            return false
        end
    end
    for _, row in ipairs(x) do
        if type(row) ~= "table" or #sorted_keys(row) ~= #keys then
            return false
        end
        for _, k in ipairs(keys) do
            if type(k) ~= "string" or row[k] == nil or type(row[k]) == "table" then
                return false
            end
        end
    end
    return true
end

--- A list of structs of one type, or an array of them, with that type and how many were left out; nil for anything else.
local function structs_of(x)
    local T = typed(x)
    local list, element, count
    if T and T.kind == "array" and is_struct(T.element) then
        list, element, count = {}, T.element, T.count
        for i = 0, math.min(T.count, MAX_ITEMS) - 1 do
            list[i + 1] = x[i]
        end
    elseif type(x) == "table" and not debug.getmetatable(x) and is_struct(typed(x[1])) and #x == #sorted_keys(x) then
        list, element, count = {}, typed(x[1]), #x
        for i, value in ipairs(x) do
            if typed(value) ~= element then
                return nil
            end
            list[i] = i <= MAX_ITEMS and value or nil
        end
    end
    if list then
        list.T = element
    end
    return list, list and count - #list
end

local function with_more(text, left)
    return left > 0 and text .. "\n" .. paint("dim", ("... %d more rows"):format(left)) or text
end

--- What show(x) prints.
function M.text(x)
    if is_uniform(x) then
        local head = {}
        for i = 1, math.min(#x, MAX_ITEMS) do
            head[i] = x[i]
        end
        return with_more(M.tbl_text(head), #x - #head)
    end
    local structs, left = structs_of(x)
    local text = structs and M.typed_text{ structs }
    return text and with_more(text, left) or M.format(x)
end

local function plain(x)
    local json = require "json"
    if type(x) == "string" and not M.is_utf8(x) then
        return json.encode{ hex = (x:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) }
    end
    local text = json.encode(x)
    return text or json.encode(M.format(x))
end

function M.show(...)
    for i = 1, select("#", ...) do
        local x = select(i, ...)
        print(config.json and plain(x) or M.text(x))
    end
    return nil
end

--- What a prompt prints for the values of a statement; nothing for none.
function M.print_results(...)
    if select("#", ...) == 1 and (...) == nil and not config.json then
        print(paint("dim", "nil"))
    elseif select("#", ...) == 2 and (...) == nil and core.is_error(select(2, ...)) and not config.json then
        print(M.format((select(2, ...))))
    else
        M.show(...)
    end
end

core.doc("show", M.show, [[
show(x, ...)
Prints values as the prompt does: packets as layers, bytes as hex, lists of rows as columns.
show{ a = 1, b = { 2, 3 } } --> {a = 1, b = {2, 3}}]])
core.doc("tbl", M.tbl, [[
tbl(rows [, cols])
Prints a list of tables as aligned columns, in the order of cols.
tbl({ { port = 53, n = 2 }, { port = 443, n = 10 } }, { "port", "n" }) --> port   n
-->   53   2
-->  443  10]])

return M
