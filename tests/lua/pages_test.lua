-- SPDX-License-Identifier: MIT
-- The scripts in the pages of docs/ run as they stand, and print what stands behind their arrows.
local test = require "test"

local binary = os.getenv "MIMICSH" or "mimicsh"
local root = (arg[0]:match "^(.*/)" or "./") .. "../../"
local PAGES = { "cookbook", "tutorial", "coming_from", "pkt", "printing", "kernel" }
local jit_option = jit.status() and "-jon" or "-joff"

local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
end

--- Runs a script from the root of the tree: output (errors in it) and whether it ended well.
local function run(code)
    local script, out = os.tmpname(), os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write(code)
    file:close()
    local status = os.execute(("cd '%s' && NO_COLOR=1 '%s' %s '%s' >'%s' 2>&1"):format(root, binary, jit_option, script, out))
    local text = read(out)
    os.remove(script)
    os.remove(out)
    return text, status == 0 or status == true
end

for _, page in ipairs(PAGES) do
    local text = read(root .. "docs/" .. page .. ".md")
    local count = 0
    for before, kind, code in text:gmatch "()```lua([^\n]*)\n(.-)```\n" do
        count = count + 1
        local title = text:sub(1, before):match ".*\n#+ ([^\n]+)" or page
        test.case(("%s, script %d: %s"):format(page, count, title), function()
            local printed, ended = run(code)
            if kind:find "root" and printed:find "EPERM" or printed:find "CAP_" then
                test.skip(printed:match "[^\n]*")
            end
            if not ended then
                error(printed, 0)
            end
            local at = 1
            for expected in code:gmatch "%-%-> ([^\n]*)" do
                local from, to = ("\n" .. printed):find("\n" .. expected .. "\n", at, true)
                if not from then
                    error(("'%s' is not printed (in that order):\n%s"):format(expected, printed), 0)
                end
                at = to - 1
            end
        end)
    end
    test.case(page .. ": has scripts", function() test.eq(count > 0, true) end)
end

test.case("every module that help() lists has a page, and the README leads to them", function()
    local titles, pages = {}, {}
    local list = assert(io.popen(("cd '%s/docs' && ls *.md"):format(root)))
    for name in list:lines() do
        local title = read(root .. "docs/" .. name):match "^# ([^\n]*)"
        titles[#titles + 1] = title
        pages[#pages + 1] = { name = name, title = title }
    end
    list:close()
    local all = (" " .. table.concat(titles, " ") .. " "):gsub("%p", " ")
    local count = 0
    local modules = run 'for _, m in ipairs(require("mimicsh.core").list_modules()) do print(m.name) end'
    for module in modules:gmatch "%l+" do
        count = count + 1
        test.eq(all:find(" " .. module .. " ", 1, true) ~= nil, true, "no page's title names the module " .. module)
    end
    test.eq(count > 10, true)
    local index = read(root .. "docs/shell.md")
    for _, page in ipairs(pages) do
        test.eq(index:find(page.name, 1, true) ~= nil or page.name == "shell.md", true, "shell.md does not name " .. page.name)
    end
end)
