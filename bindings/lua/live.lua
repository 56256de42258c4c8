-- SPDX-License-Identifier: MIT
-- What the prompt shows while somebody types: completion, the parameters that are left, its own text. Values are looked at
-- without metamethods, except for those of our own kinds that say what may be asked (core.completions): nobody's code runs.
local core = require "mimicsh.core"
local pcall = core.pcall

local M = {}

local MOST = 200      -- words offered
local PATIENCE = 0.02 -- seconds of looking for keys that begin as typed
local PATH = 512      -- bytes that a path takes at most
local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local",
                   "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }
--- Functions whose first or second argument is an interface.
local DEVICES = { ["xdp.attach"] = true, ["tc.attach"] = true, ["pcap.live"] = true, ["raw.open"] = true,
                  ["instance:promote"] = true }
local DEVICE_KEYS = { dev = true, device = true } -- options that are one
local FILE_KEYS = { file = true, pcap = true, out = true, path = true, include = true } -- and those that are files

local modules

--- A global, or a module that is loaded at first use.
local function global(name)
    local value = rawget(_G, name)
    if core.local_values and core.local_values[name] ~= nil then
        return core.local_values[name]
    elseif value == nil then
        modules = modules or core.list_modules()
        for _, module in ipairs(modules) do
            if module.name == name then
                return require(name)
            end
        end
    end
    return value
end

local function kind_of(value)
    if type(value) == "cdata" then
        local types = rawget(package.loaded, "mimicsh.types") -- none has a type before
        return types and types.type_of(value) and core.completions.typed or nil
    end
    local mt = debug.getmetatable(value)
    local name = mt and rawget(mt, type(value) == "userdata" and "__metatable" or "__name")
    return type(name) == "string" and core.completions[name] or nil
end

--- A member of a value, nil when there is none or nobody says that it may be asked.
local function member(value, name)
    local kind = kind_of(value)
    if kind then
        local method = kind.methods and kind.methods[name]
        if method ~= nil then
            return method
        end
        local ok, got = pcall(kind.get or function() end, value, name)
        return ok and got or nil
    end
    if type(value) ~= "table" then
        return nil
    end
    local got = rawget(value, name)
    local mt = debug.getmetatable(value)
    local index = mt and rawget(mt, "__index")
    if got == nil and type(index) == "table" then
        return rawget(index, name)
    end
    return got
end

-- -- Reading backwards from the cursor --

local ANY = {} -- in a path: an index that is not known

--- The path that ends a text: "inst.maps.flows[" -> {"inst", "maps", "flows"}, "[", ""; nil when there is none.
local function path_before(text)
    text = text:sub(-PATH) -- the patterns below start anew at each byte
    local path, prefix = {}, text:match "[%a_\128-\255][%w_\128-\255]*$" or ""
    local rest = text:sub(1, #text - #prefix)
    local last = rest:match "[.:%[]$"
    if last == "." and rest:match "%.%.$" then
        last = nil
    end
    if not last then
        return path, "", prefix
    end
    rest = rest:sub(1, -2)
    while true do
        local name = rest:match "[%a_\128-\255][%w_\128-\255]*$"
        local index = rest:match "%[(%d+)%]$" or rest:match "%[\"([^\"%]]*)\"%]$" or rest:match "%['([^'%]]*)'%]$"
        local any = not index and rest:match "%b[]$" -- who knows which
        if name then
            table.insert(path, 1, name)
            rest = rest:sub(1, #rest - #name)
        elseif index then
            table.insert(path, 1, tonumber(index) or index)
            rest = rest:gsub("%[[^%[]*%]$", "")
        elseif any then
            table.insert(path, 1, ANY)
            rest = rest:sub(1, -#any - 1)
        else
            return nil
        end
        local separator = rest:match "[.:]$"
        if name and not separator then
            return rest:match "[%)%]}\"']$" and nil or path, last, prefix
        elseif name then
            rest = rest:sub(1, -2)
        end
    end
end

--- What a path leads to. An element of a map stands for its type: nothing is looked up.
local function follow(path)
    local value = global(path[1])
    for i = 2, #path do
        if value == nil then
            return nil
        end
        local kind = kind_of(value)
        local is_method = kind and kind.methods and kind.methods[path[i]] ~= nil
        if kind and kind.element and not is_method and kind.fields[path[i]] == nil then
            value = { [core.completions] = kind.element(value) }
        else
            value = member(value, path[i])
        end
    end
    return value
end

-- -- Words --

local function add(words, name, prefix)
    if type(name) == "string" and name:sub(1, #prefix) == prefix and (prefix ~= "" or name:sub(1, 1) ~= "_") then
        words[name] = true
    end
end

--- Whether a value is one of the built-in modules.
local function is_module(value)
    for _, module in ipairs(core.list_modules()) do
        if rawget(package.loaded, module.name) == value then
            return true
        end
    end
    return false
end

local function members(value, methods_only)
    local names = {}
    local fields = type(value) == "table" and rawget(value, core.completions)
    if fields then
        return fields
    end
    local kind = kind_of(value)
    if kind then
        for name in next, kind.methods or {} do
            names[#names + 1] = name
        end
        for name in next, not methods_only and kind.fields or {} do
            names[#names + 1] = name
        end
        for _, name in ipairs(kind.method_names or {}) do
            names[#names + 1] = name
        end
        for _, name in ipairs(not methods_only and kind.names and kind.names(value) or {}) do
            names[#names + 1] = name
        end
    elseif type(value) == "table" then
        local mt = debug.getmetatable(value)
        local index = mt and rawget(mt, "__index")
        local docs = is_module(value) and core.docs()
        for _, list in ipairs{ value, type(index) == "table" and index or nil } do
            for name, what in next, list do
                local is_inner = docs and (type(what) == "function" or type(what) == "table") and not docs[what]
                if not is_inner and (not methods_only or type(what) == "function") then
                    names[#names + 1] = name
                end
            end
        end
    end
    return names
end

local function globals(words, prefix)
    for _, names in ipairs{ _G, core.local_values } do
        for name in next, names do
            add(words, name, prefix)
        end
    end
    for _, module in ipairs(core.list_modules()) do
        add(words, module.name, prefix)
    end
    for _, word in ipairs(prefix ~= "" and KEYWORDS or {}) do
        add(words, word, prefix)
    end
end

--- The keys of a map or table, a function for an iterator over them.
local function walk(map)
    local kind = kind_of(map)
    if kind then
        return kind.keys and kind.keys(map) or function() end
    end
    local key
    return function()
        key = type(map) == "table" and next(map, key) or nil
        return key
    end
end

--- A struct or array as the text of a table, without the fields that are 0.
local function literal(value)
    local types = require "mimicsh.types"
    local T = types.type_of(value)
    if type(value) == "string" or T and T.kind == "text" then
        return ("%q"):format(value)
    elseif not T then
        return (tostring(value):gsub("U?LL$", ""))
    end
    local parts = {}
    for i = 0, T.kind == "array" and T.count - 1 or -1 do
        parts[i + 1] = literal(value[i])
    end
    for _, field in ipairs(T.order or {}) do
        local bytes = value:bytes():sub(field.offset + 1, field.offset + field.type.size)
        local text = literal(value[field.name])
        if bytes:find "[^%z]" or bytes == "" and text ~= "0" then -- bit-fields have no bytes of their own
            parts[#parts + 1] = field.name .. " = " .. text
        end
    end
    return "{" .. table.concat(parts, ", ") .. "}"
end

local function key_text(key)
    if type(key) == "cdata" then
        return literal(key)
    end
    return type(key) == "number" and tostring(key) or ("%q"):format(tostring(key))
end

--- Keys that begin as typed; true when there are more than were looked at.
local function keys_of(map, words, typed)
    local begin, looked, found = os.clock(), 0, 0
    for key in walk(map) do
        looked = looked + 1
        if found == MOST or looked % 64 == 0 and os.clock() - begin > PATIENCE then
            return true
        end
        local text = key_text(key)
        if text:sub(1, #typed) == typed and not text:find "[%c]" then
            words[text .. "]"] = true
            found = found + 1
        end
    end
end

--- Fields of the header that `pkt.NAME` builds, from its help.
local function header_fields(name)
    local pkt = require "pkt"
    local doc = core.docs()[pkt[name]]
    local fields = {}
    for field in (doc and doc.text:match "these fields %(([^)]*)%)" or ""):gmatch "[%w_]+" do
        fields[#fields + 1] = field
    end
    return fields
end

core.completions.typed = {
    method_names = { "bytes", "copy", "hex", "totable" },
    names = function(value)
        local types = require "mimicsh.types"
        return types.field_names(types.type_of(value))
    end,
    get = function(value, name) return value[name] end,
}

core.completions.packet = {
    method_names = { "show", "wire", "copy", "hex", "code", "fix", "bytes", "byte", "pad", "diff", "matches" },
    names = function(packet)
        local names = {}
        for name, build in next, require "pkt" do
            if name ~= "parse" and type(build) == "function" and packet[name] ~= nil then
                names[#names + 1] = name
            end
        end
        return names
    end,
    get = function(packet, name) return packet[name] end,
}
core.completions.layer = { names = function(layer) return header_fields(tostring(layer):match "^[%w_]+") end }

-- -- The innermost call or table that the cursor stands in --

local CLOSING = { [")"] = true, ["]"] = true, ["}"] = true }

--- Behind the text that begins with this long bracket, "[[" or "[=[..."; nil when there is none.
local function after_long(text, at)
    local level = text:match("^%[(=*)%[", at)
    if level then
        local _, close = text:find("]" .. level .. "]", at, true)
        return (close or #text) + 1
    end
end

--- The place of the open bracket, of a string that is not closed the text behind its quote, and the place of the bracket
--- around the first. Strings and comments are skipped. Called on each key: looks at brackets, quotes and dashes only.
local function open_bracket(text)
    local stack, i = {}, 1
    while true do
        i = text:find("[%(%)%[%]{}\"'%-]", i)
        if not i then
            return stack[#stack], nil, stack[#stack - 1]
        end
        local c = text:sub(i, i)
        if c == '"' or c == "'" then
            local j = text:find(c == '"' and '["\\]' or "['\\]", i + 1)
            while j and text:sub(j, j) == "\\" do
                j = text:find(c == '"' and '["\\]' or "['\\]", j + 2)
            end
            if not j then
                return stack[#stack], text:sub(i + 1), stack[#stack - 1]
            end
            i = j
        elseif c == "-" then
            if text:sub(i + 1, i + 1) == "-" then
                i = (after_long(text, i + 2) or text:find("\n", i, true) or #text + 1) - 1
            end
        elseif CLOSING[c] then
            stack[#stack] = nil
        else
            local after = c == "[" and after_long(text, i)
            if after then
                i = after - 1
            else
                stack[#stack + 1] = i
            end
        end
        i = i + 1
    end
end

--- The function that is called at the bracket, and its doc.
local function called(text, bracket)
    local path = path_before(text:sub(1, bracket - 1) .. ".")
    local fn = path and path[1] and follow(path)
    local half = path and #path == 1 and core.lazy[path[1]]
    local doc = fn ~= nil and core.docs()[half and require("mimicsh." .. half)[path[1]] or fn]
    return doc or nil
end

--- Arguments of a signature: "(key, value [, flags])" -> "key, value [, flags]", and whether they come in braces.
local function parameters(signature)
    local open = signature:find "[%({]"
    if not open then
        return nil
    end
    local close = ({ ["("] = ")", ["{"] = "}" })[signature:sub(open, open)]
    local depth = 0
    for i = open, #signature do
        local c = signature:sub(i, i)
        depth = depth + ((c == "(" or c == "{" or c == "[") and 1 or (c == ")" or c == "}" or c == "]") and -1 or 0)
        if depth == 0 then
            return signature:sub(open + 1, i - 1), close
        end
    end
end

--- Commas of the outermost level.
local function commas(text)
    local depth, places, quote = 0, {}, nil
    for i = 1, #text do
        local c = text:sub(i, i)
        if quote then
            quote = c ~= quote and quote or nil
        elseif c == '"' or c == "'" then
            quote = c
        elseif c:find "[%({]" then
            depth = depth + 1
        elseif c:find "[%)}]" then
            depth = depth - 1
        elseif c == "," and depth == 0 then
            places[#places + 1] = i
        end
    end
    return places
end

function M.hint(text, cursor)
    text = text:sub(1, cursor)
    local bracket, inside = open_bracket(text)
    if not bracket or inside or text:sub(bracket, bracket) ~= "(" then
        return ""
    end
    local doc = called(text, bracket)
    local list, close = parameters(doc and doc.text:match "^[^\n]*" or "")
    if not list or close ~= ")" then
        return ""
    end
    local typed = text:sub(bracket + 1)
    local given = #commas(typed)
    local places = commas(list)
    if given == 0 and not typed:find "%S" then
        return list .. ")"
    end
    local last = typed:match "[^,]*$"
    local index = given + (last:find "%S" and 1 or 0)
    if index == 0 or not places[index] then
        return index <= #places and "" or ")"
    end
    local rest = list:sub(places[index] + 1):gsub("^%s+", "")
    local between = last:find "%S" and ", " or ""
    -- An optional part has lost its opening bracket.
    local opened, closed = select(2, rest:gsub("%[", "")), select(2, rest:gsub("%]", ""))
    return between .. (closed > opened and ("["):rep(closed - opened) or "") .. rest .. ")"
end

local function devices()
    local names = {}
    local file = io.open "/proc/thread-self/net/dev"
    for line in file and file:lines() or function() end do
        names[#names + 1] = line:match "^%s*([^:%s]+):"
    end
    if file then
        file:close()
    end
    return names
end

local function files(words, typed)
    local folder, start = typed:match "^(.*/)([^/]*)$"
    start = start or typed
    for _, entry in ipairs(core.list_folder(folder or ".")) do
        if entry:sub(1, #start) == start and (start ~= "" or entry:sub(1, 1) ~= ".") then
            words[entry] = true
        end
    end
    return #start
end

--- What help "..." knows.
local function topics(words, typed)
    local help = require "mimicsh.help"
    help.load_all()
    for _, doc in ipairs(help.all()) do
        add(words, doc.name, typed)
        add(words, doc.name:match "^[^.:]+", typed)
    end
    return #typed
end

--- Texts that a signature names: those of the option `key`, else those of an argument.
local function choices(doc, key, argument)
    local signature = doc.text:match "^[^\n]*"
    local part
    if key then
        part = signature:match("%f[%w_]" .. key .. "=([\"%w_| ]*)")
    else
        local list = parameters(signature) or ""
        local places = commas(list)
        part = argument <= #places + 1 and list:sub((places[argument - 1] or 0) + 1, (places[argument] or #list + 1) - 1)
    end
    local found = {}
    for text in (part or ""):gmatch "\"([^\"]*)\"" do
        found[#found + 1] = text
    end
    return found
end

--- Words for a string that is being typed: what the function that takes it may be given, else files.
local function in_string(text, bracket, outer, typed, words)
    local before = text:sub(1, #text - #typed - 1)
    local key = before:match "([%w_]+)%s*=%s*$"
    local doc, argument = called(before:gsub("%s+$", "") .. "(", #before:gsub("%s+$", "") + 1), 1 -- f "text"
    local sign = bracket and text:sub(bracket, bracket)
    if not doc and sign == "(" then
        doc, argument = called(text, bracket), #commas(before:sub(bracket + 1)) + 1
    elseif not doc and sign == "{" then
        doc, argument = called(text, bracket), 1
        doc = doc or outer and text:sub(outer, outer) == "(" and called(text, outer)
    end
    if doc and doc.name == "help" then
        return topics(words, typed)
    elseif before:find "%f[%w_.:]require%s*%(?%s*$" then
        for _, module in ipairs(core.list_modules()) do
            add(words, module.name, typed)
        end
        return #typed
    end
    for _, name in ipairs(doc and (key or sign ~= "{") and choices(doc, key, argument) or {}) do
        add(words, name, typed)
    end
    if next(words) then
        return #typed
    elseif doc and (key and DEVICE_KEYS[key] or not key and DEVICES[doc.name]) then
        for _, name in ipairs(devices()) do
            add(words, name, typed)
        end
        return #typed
    elseif doc and key and not FILE_KEYS[key] then
        return #typed
    end
    return files(words, typed)
end

--- The map that a table of fields is a key or a value of, and which: "m[{", "m:get({", "m[k] = {".
local function map_of_fields(text, bracket, outer)
    local before = text:sub(1, bracket - 1)
    local path, part
    if outer and text:sub(outer, outer) == "[" and before:find("^%s*$", outer + 1) then
        path, part = path_before(text:sub(1, outer - 1) .. "."), "key"
    elseif outer and text:sub(outer, outer) == "(" then
        local doc = called(text, outer)
        if not doc or not doc.name:find "^map:" then
            return nil
        end
        path = path_before(text:sub(1, outer - 1) .. ".")
        table.remove(path)
        local names = parameters(doc.text:match "^[^\n]*")
        local places, index = commas(names), #commas(before:sub(outer + 1))
        part = names:sub((places[index] or 0) + 1):match "%w+"
    else
        local place = before:match "^(.*)%[[^%[%]]*%]%s*=%s*$"
        path, part = place and path_before(place .. "."), "value"
    end
    local map = path and path[1] and follow(path)
    local kind = kind_of(map)
    return kind and kind.type_of and kind.type_of(map, part) or nil
end

--- Names that may stand in braces: fields of a header, of a map's key or value, options of the function that is called.
local function in_braces(text, bracket, outer, prefix, words)
    local name = text:sub(1, bracket - 1):match "pkt%.([%w_]+)%s*$"
    local names = name and header_fields(name) or {}
    local T = map_of_fields(text, bracket, outer)
    for _, field in ipairs(T and T.order or {}) do
        names[#names + 1] = field.name
    end
    local doc = not name and not T and (called(text, bracket) or outer and text:sub(outer, outer) == "(" and called(text, outer))
    for option in (doc and doc.text:match "^[^\n]*" or ""):gmatch "([%w_]+)=" do
        names[#names + 1] = option
    end
    for _, field in ipairs(names) do
        add(words, field .. "=", prefix)
    end
end

--- ":save x" and the like; how much of it was typed, nil for commands that go on with Lua.
local function in_command(text, words)
    local session = require "session"
    local name, rest = text:match "^:(%a*)(.*)$"
    if rest == "" then
        for command in next, session.commands do
            add(words, command, name)
        end
        return #name
    elseif name == "load" or name == "save" then
        return files(words, rest:match "^%s*(.*)$")
    elseif name == "help" then
        return topics(words, rest:match "^%s*(.*)$")
    elseif name == "set" then
        local setting, value = rest:match "^%s+(%a*)$", rest:match "^%s+%a+%s+(%a*)$"
        for _, word in ipairs(value and { "off", "on" } or {}) do
            add(words, word, value)
        end
        for word in next, setting and session.settings or {} do
            add(words, word, setting)
        end
        return #(value or setting or "")
    end
    return name ~= "time" and 0 or nil
end

--- Words for the end of a text; how much of them was typed, and true when there are more than were looked for.
local function in_lua(text, words)
    local bracket, inside, outer = open_bracket(text)
    if inside and text:match "%[%s*[\"'][^\"']*$" == nil then
        return in_string(text, bracket, outer, inside, words)
    end
    local sign = bracket and text:sub(bracket, bracket)
    local is_table_key = sign == "{" and outer and text:sub(outer, bracket):find "^%[%s*{$"
    local index = is_table_key and outer or sign == "[" and bracket
    local typed, is_cut
    if index then
        local path = path_before(text:sub(1, index - 1) .. ".")
        typed = text:sub(index + 1)
        is_cut = keys_of(path and path[1] and follow(path), words, typed)
        typed = #typed
    end
    if next(words) or inside or is_cut then
        return typed or 0, is_cut
    end
    local path, separator, prefix = path_before(text)
    if path and path[1] then
        for _, name in ipairs(members(follow(path), separator == ":")) do
            add(words, name, prefix)
        end
    elseif path then
        if sign == "{" and text:match "[{,]%s*[%w_]*$" then
            in_braces(text, bracket, outer, prefix, words)
        end
        if not next(words) then
            globals(words, prefix)
        end
    end
    return #(prefix or "")
end

--- "BEGIN\nword\nword...": what may stand from byte BEGIN (counted from 0) up to the cursor. "BEGIN+" when these are
--- not all.
function M.complete(text, cursor)
    text = text:sub(1, cursor)
    local words = {}
    local typed, is_cut
    if text:find "^:" then
        typed = in_command(text, words)
    end
    if not typed then
        typed, is_cut = in_lua(text, words)
    end
    local list = {}
    for word in next, words do
        list[#list + 1] = word
    end
    is_cut = is_cut or #list > MOST
    if #list == 0 and not is_cut then
        return ""
    end
    table.sort(list)
    for i = #list, MOST + 1, -1 do
        list[i] = nil
    end
    table.insert(list, 1, (#text - typed) .. (is_cut and "+" or ""))
    return table.concat(list, "\n")
end

--- Names that are known beside the globals, a line each: modules, and the locals of a script that opened the prompt.
function M.known()
    local names = {}
    for _, module in ipairs(core.list_modules()) do
        names[#names + 1] = module.name
    end
    for name in next, core.local_values or {} do
        names[#names + 1] = name
    end
    return table.concat(names, "\n")
end

--- "kernel[veth0:xdp]> ": the target of what was loaded last, and the links of this session that are attached.
function M.prompt()
    local places, names = {}, {}
    for link in next, core.links do
        if link.is_attached then
            local info = link.info
            places[(info.device or "cgroup") .. ":" .. (info.mode and "xdp" or info.dir or info.kind)] = true
        end
    end
    for place in next, places do
        names[#names + 1] = place
    end
    table.sort(names)
    local target = core.newest.instance and core.newest.instance.target or "mimicsh"
    return target .. (#names > 0 and "[" .. table.concat(names, " ") .. "]> " or "> ")
end

return M
