-- SPDX-License-Identifier: MIT
-- The scripts in the pages of docs/ run as they stand, and print what stands behind their arrows.
local test = require "test"

local binary = os.getenv "MIMICSH" or "mimicsh"
local root = (arg[0]:match "^(.*/)" or "./") .. "../../"
local PAGES = { "cookbook", "tutorial", "coming_from", "pkt", "printing", "kernel", "session", "charts", "trace" }
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

--- Modules of one kind that share a page.
local SHARED = { xdp = "attach", tc = "attach", cgroup = "attach", link = "attach" }

test.case("every module that help() lists, and the charts, have a page of their own; shell.md leads to all pages", function()
    local titles = {}
    local list = assert(io.popen(("cd '%s/docs' && ls *.md"):format(root)))
    for name in list:lines() do
        titles[name:match "^[^.]*"] = " " .. read(root .. "docs/" .. name):match("^# ([^\n]*)"):gsub("%p", " ") .. " "
    end
    list:close()
    local modules = run 'for _, m in ipairs(require("mimicsh.core").list_modules()) do print(m.name) end'
    local count = 0
    for module in (modules .. "charts hist spark"):gmatch "%l+" do
        count = count + 1
        local page = SHARED[module] or (module == "hist" or module == "spark") and "charts" or module
        assert(titles[page], ("there is no docs/%s.md"):format(page))
        assert(titles[page]:lower():find(" " .. module .. " ", 1, true), ("docs/%s.md does not name %s"):format(page, module))
    end
    test.eq(count > 15, true)
    local index = read(root .. "docs/shell.md")
    for page in pairs(titles) do
        test.eq(index:find(page .. ".md", 1, true) ~= nil or page == "shell", true, "shell.md does not name " .. page)
    end
end)
