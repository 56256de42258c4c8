-- SPDX-License-Identifier: MIT
-- The README's session is typed line by line and each answer compared; its commands and files exist.
-- MIMICSH_README_WRITE=1 writes the answers into the README instead.
local test = require "test"

local binary = os.getenv "MIMICSH" or "mimicsh"
local root = (arg[0]:match "^(.*/)" or "./") .. "../../"
local path = root .. "README.md"
local jit_option = jit.status() and "-jon" or "-joff"

local function read(name)
    local file = assert(io.open(name))
    local text = file:read "*a"
    file:close()
    return text
end

local function write(name, text)
    local file = assert(io.open(name, "w"))
    assert(file:write(text))
    assert(file:close())
end

--- Steps of a transcript: {input=, output=}, both with a newline after each line.
local function steps_of(block)
    local steps = {}
    for line in block:gmatch "(.-)\n" do
        local input = line:match "^mimicsh> (.*)$"
        local more = line:match "^    %.%.> ?(.*)$"
        if input then
            steps[#steps + 1] = { input = input .. "\n", output = "", typed = line .. "\n" }
        elseif more then
            local step = steps[#steps]
            step.input, step.typed = step.input .. more .. "\n", step.typed .. line .. "\n"
        else
            steps[#steps].output = steps[#steps].output .. line .. "\n"
        end
    end
    return steps
end

local MARK = "-- end of step --"

--- What the prompt answers to each step, standard error included, in one session started in the tree's root.
local function answers_of(steps)
    local script, out = os.tmpname(), os.tmpname()
    local lines = {}
    for i, step in ipairs(steps) do
        lines[i] = step.input .. ("print %q io.stdout:flush()\n"):format(MARK)
    end
    write(script, table.concat(lines))
    os.execute(("cd '%s' && NO_COLOR=1 '%s' -q -i %s <'%s' >'%s' 2>&1"):format(root, binary, jit_option, script, out))
    local answers = {}
    for answer in read(out):gmatch("(.-)" .. MARK:gsub("%p", "%%%0") .. "\n") do
        -- A session without the marks is one line shorter for each step before.
        local before = #answers
        answers[before + 1] = answer:gsub("stdin:(%d+):", function(line)
            return ("stdin:%d:"):format(tonumber(line) - before)
        end)
    end
    os.remove(script)
    os.remove(out)
    return answers
end

local text = read(path)
local from, to = text:find "```\nmimicsh> .-\n```\n"
local block = text:sub(from + 4, to - 4)
local steps = steps_of(block)
local answers = answers_of(steps)

if os.getenv "MIMICSH_README_WRITE" then
    local lines = {}
    for i, step in ipairs(steps) do
        lines[i] = step.typed .. (answers[i] or "")
    end
    write(path, text:sub(1, from + 3) .. table.concat(lines) .. text:sub(to - 3))
    return
end

for i, step in ipairs(steps) do
    test.case(("README step %d: %s"):format(i, step.input:match "^[^\n]*"), function()
        test.eq(answers[i], step.output)
    end)
end

test.case("the README names both commands", function()
    assert(text:find("\n    scripts/mimicsh --yes examples/drop_dns/drop_dns.lua\n", 1, true))
    assert(text:find("\n    scripts/test --yes\n", 1, true))
end)

test.case("what the README points at is there", function()
    for name in text:gmatch "`([%w_/.-]+)`" do
        if name:find "^docs/" or name:find "^examples/" or name:find "^tests/" then
            assert(io.open(root .. name), name .. " is missing"):close()
        end
    end
end)
