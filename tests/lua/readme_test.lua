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

--- Steps of a transcript: {prompt=, input=, output=}, the latter with a newline after each line.
local function steps_of(block)
    local steps = {}
    for line in block:gmatch "(.-)\n" do
        local prompt, input = line:match "^(%l+> )(.*)$"
        local pad, more = line:match "^( *)%.%.> ?(.*)$"
        if input then
            steps[#steps + 1] = { prompt = prompt, input = input .. "\n", output = "", is_crooked = false }
        elseif more then
            local step = steps[#steps]
            step.input = step.input .. more .. "\n"
            step.is_crooked = step.is_crooked or #pad + 4 ~= #step.prompt
        else
            steps[#steps].output = steps[#steps].output .. line .. "\n"
        end
    end
    return steps
end

local MARK = "-- end of step --"

--- What the prompt answers to each step, standard error included, and the prompts, in one session started in the tree's
--- root.
local function answers_of(steps)
    local script, out = os.tmpname(), os.tmpname()
    local lines = {}
    for i, step in ipairs(steps) do
        lines[i] = step.input .. ("print(%q .. require('mimicsh.live').prompt()) io.stdout:flush()\n"):format(MARK)
    end
    write(script, table.concat(lines))
    os.execute(("cd '%s' && NO_COLOR=1 '%s' -q -i %s <'%s' >'%s' 2>&1"):format(root, binary, jit_option, script, out))
    local answers, prompts = {}, { "mimicsh> " }
    for answer, prompt in read(out):gmatch("(.-)" .. MARK:gsub("%p", "%%%0") .. "([^\n]*)\n") do
        -- A session without the marks is one line shorter for each step before.
        local before = #answers
        answers[before + 1] = answer:gsub("stdin:(%d+):", function(line)
            return ("stdin:%d:"):format(tonumber(line) - before)
        end)
        prompts[before + 2] = prompt
    end
    os.remove(script)
    os.remove(out)
    return answers, prompts
end

local text = read(path)
local from, to = text:find "```\nmimicsh> .-\n```\n"
local block = text:sub(from + 4, to - 4)
local steps = steps_of(block)
local answers, prompts = answers_of(steps)

if os.getenv "MIMICSH_README_WRITE" then
    local lines = {}
    for i, step in ipairs(steps) do
        local more = "\n" .. (" "):rep(#prompts[i] - 4) .. "..> "
        lines[i] = prompts[i] .. step.input:sub(1, -2):gsub("\n", more) .. "\n" .. (answers[i] or "")
    end
    write(path, text:sub(1, from + 3) .. table.concat(lines) .. text:sub(to - 3))
    return
end

for i, step in ipairs(steps) do
    test.case(("README step %d: %s"):format(i, step.input:match "^[^\n]*"), function()
        test.eq(answers[i], step.output)
        test.eq(step.prompt, prompts[i])
        test.eq(step.is_crooked, false)
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
