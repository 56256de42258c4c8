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

local function print_doc(doc)
    local signature, line, example = M.split(doc.text)
    print(paint("name", signature))
    print("    " .. line)
    if example ~= "" then
        print(paint("dim", "    example:"))
        print("    " .. example:gsub("\n", "\n    "))
    end
end

local function print_list(matches)
    for _, doc in ipairs(matches) do
        local signature, line = M.split(doc.text)
        print(("%s\n    %s"):format(paint("name", signature), line))
    end
end

local function print_modules()
    local rows = {}
    for _, module in ipairs(core.list_modules()) do
        rows[#rows + 1] = { module = module.name, what = module.line }
    end
    printer.tbl(rows, { "module", "what" })
    print("\nglobals: show(x) tbl(rows, cols) hist(values) spark(series) u64(x) num(x) key(x) help(x)")
    print("help \"bpf\" lists a module, help(bpf.open) or help \"bpf.open\" shows one function, help \"word\" searches")
end

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
    return exact, #members > 0 and members or matches
end

function M.help(x)
    if x == nil then
        return print_modules()
    end
    if type(x) == "function" then
        if not core.docs()[x] then
            M.load_all()
        end
        local doc = core.docs()[x]
        -- The lazy globals of the prelude are other functions than the documented ones.
        for _, name in ipairs{ "show", "tbl", "hist", "spark", "help", "num", "key" } do
            if rawget(_G, name) == x then
                doc = find(name)
            end
        end
        if doc then
            return print_doc(doc)
        end
        print "this function has no doc text"
        return
    end
    if x == u64 then
        x = "u64"
    end
    if type(x) == "table" then
        for name, module in pairs(package.loaded) do
            if module == x then
                x = name
                break
            end
        end
    end
    if type(x) ~= "string" then
        core.fail("bad argument 'x': expected function, module or word, got " .. type(x))
    end
    local exact, matches = find(x)
    if exact then
        print_doc(exact)
    end
    if #matches > 0 then
        if not exact or exact.name == x then
            print_list(matches)
        end
    elseif not exact then
        print("nothing known about '" .. x .. "'; help() lists the modules")
    end
end

core.doc("help", M.help, [[
help([x])
Prints what is known about a function, a module or a word; without x the modules.
help(json.decode)]])

return M
