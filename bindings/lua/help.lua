-- SPDX-License-Identifier: MIT
-- help(): the doc blocks of bound functions.
local core = require "mimicsh.core"
local printer = require "mimicsh.printer"
local paint = printer.paint

local M = {}

--- signature, line, example of a doc text.
function M.split(text)
    local signature, rest = text:match "^([^\n]*)\n?(.*)$"
    local line, example = rest:match "^([^\n]*)\n?(.*)$"
    return signature, line, example
end

local GLOBALS = { "mimicsh.integers", "mimicsh.printer", "mimicsh.charts", "mimicsh.help" }

--- Loads every module, so that all docs are known.
function M.load_all()
    for _, module in ipairs(core.list_modules()) do
        require(module.name)
    end
    for _, name in ipairs(GLOBALS) do
        require(name)
    end
end

--- All docs as a list of {name=, text=}, sorted by name.
function M.all()
    local list = {}
    for _, doc in pairs(core.docs()) do
        list[#list + 1] = doc
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

--- Lines broken between words where the terminal ends; those behind the first are indented by `more`.
local function wrap(text, indent, more)
    local columns = core.columns()
    if not columns or columns < 20 then
        return indent .. text
    end
    local lines, line = {}, indent
    for blanks, word in text:gmatch "(%s*)(%S+)" do
        local is_first = line == indent or line == more
        if not is_first and #line + #blanks + #word >= columns then
            lines[#lines + 1] = line
            line, blanks = more, ""
        end
        line = line .. blanks .. word
    end
    lines[#lines + 1] = line
    return table.concat(lines, "\n")
end

local PAD = "    "

local function print_doc(doc)
    local signature, line, example = M.split(doc.text)
    print(paint("name", wrap(signature, "", PAD)))
    print(wrap(line, PAD, PAD))
    if example ~= "" then
        print(paint("dim", "    example:"))
        print("    " .. example:gsub("\n", "\n    "))
    end
end

local function print_list(matches)
    for _, doc in ipairs(matches) do
        local signature, line = M.split(doc.text)
        print(paint("name", wrap(signature, "", PAD)))
        print(wrap(line, PAD, PAD))
    end
end

--- Names of things whose methods are documented, but for those of a module's name.
local function kinds()
    local is_module, seen, names = {}, {}, {}
    for _, module in ipairs(core.list_modules()) do
        is_module[module.name] = true
    end
    for _, doc in ipairs(M.all()) do
        local kind = doc.name:match "^(%l+):"
        if kind and not seen[kind] and not is_module[kind] then
            seen[kind] = true
            names[#names + 1] = kind
        end
    end
    return names
end

local function print_modules()
    local rows = {}
    for _, module in ipairs(core.list_modules()) do
        rows[#rows + 1] = { module = module.name, what = module.line }
    end
    printer.tbl(rows, { "module", "what" })
    M.load_all()
    print("\n" .. wrap("globals: show(x) tbl(rows, cols) hist(values) spark(series) u64(x) num(x) key(x) help(x)", "", PAD))
    print(wrap("things with methods: " .. table.concat(kinds(), " "), "", PAD))
    print(wrap("help \"bpf\" lists a module, help \"map\" the methods of a thing, help(bpf.open) or help \"bpf.open\" shows " ..
        "one function, help \"word\" searches", "", PAD))
end

--- The function of that name, the members of that module or thing, and what mentions the word.
local function find(word)
    M.load_all()
    local exact, members, matches = nil, {}, {}
    for _, doc in ipairs(M.all()) do
        if doc.name == word then
            exact = doc
        elseif doc.name:sub(1, #word + 1):find("^" .. word:gsub("%p", "%%%0") .. "[.:]$") then
            members[#members + 1] = doc
        elseif doc.text:lower():find(word:lower(), 1, true) then
            matches[#matches + 1] = doc
        end
    end
    return exact, members, matches
end

--- The documented name of a function; nil without one.
local function name_of(fn)
    if not core.docs()[fn] then
        M.load_all()
    end
    local doc = core.docs()[fn]
    -- The lazy globals of the prelude are other functions than the documented ones.
    for name in next, core.lazy do
        if rawget(_G, name) == fn then
            return name
        end
    end
    return doc and doc.name or fn == repl and "repl" or nil
end

local LIBRARIES = { "string", "table", "math", "io", "os", "coroutine", "debug", "package", "bit", "jit" }

local function is_of_lua(x)
    for name, value in next, _G do
        if value == x then
            return name
        end
    end
    for _, library in ipairs(LIBRARIES) do
        for name, value in next, package.loaded[library] do
            if value == x then
                return library .. "." .. name
            end
        end
    end
end

--- Kinds that go by another name in their docs.
local NAMES = { ["capture reader"] = "reader", ["capture writer"] = "writer", ["live reader"] = "live", ["raw socket"] = "raw",
                ["trace pipe"] = "trace" }

--- The word that help(x) looks for: the name of a function, of a module, or of what kind of thing x is.
local function word_for(x)
    if type(x) == "string" then
        return x
    elseif x == u64 then
        return "u64"
    elseif type(x) == "table" then
        for name, module in pairs(package.loaded) do
            if module == x then
                return name
            end
        end
    elseif type(x) == "userdata" then
        local kind = getmetatable(x)
        return kind == "layer" and "pkt." .. tostring(x):match "^[%w_]+" or NAMES[kind] or kind
    elseif type(x) == "function" then
        return name_of(x)
    end
    local mt = type(x) == "table" and getmetatable(x)
    return type(mt) == "table" and mt.__name or nil
end

function M.help(x)
    if x == nil then
        return print_modules()
    end
    local word = word_for(x)
    if type(x) == "function" and not word then
        local name = is_of_lua(x)
        return print(name and name .. " is Lua's own: the manual of Lua 5.1 describes it, luajit.org bit and jit" or
            "this function has no doc text")
    elseif type(word) ~= "string" then
        core.fail("bad argument 'x': expected function, module, thing with methods or word, got " .. type(x))
    end
    local exact, members, matches = find(word)
    if exact then
        print_doc(exact)
    end
    if #members > 0 then
        print_list(members)
    elseif exact and #matches > 0 then
        local names = {}
        for i, doc in ipairs(matches) do
            names[i] = doc.name
        end
        print(paint("dim", wrap("see also: " .. table.concat(names, ", "), PAD, PAD)))
    elseif #matches > 0 then
        print_list(matches)
    elseif not exact then
        print("nothing known about '" .. word .. "'; help() lists the modules")
    end
end

core.doc("help", M.help, [[
help([x])
Prints what is known about a function, a module, a thing with methods or a word; without x the modules.
help(json.decode)]])

return M
