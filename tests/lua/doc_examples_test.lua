-- SPDX-License-Identifier: MIT
-- Every example in a doc text runs, and prints what its "-->" comments say; on both targets, where it uses an instance.
local test = require "test"
local help = require "mimicsh.help"
local core = require "mimicsh.core"

core.open_globals()
help.load_all()

--- What the comments promise: one line of output for each "--> text".
local function promised(example)
    local lines = {}
    for line in example:gmatch "[^\n]+" do
        local text = line:match "%-%->%s?(.*)$"
        if text then
            lines[#lines + 1] = (text:gsub("^%s+", ""))
        end
    end
    return lines
end

--- Names that examples of bound objects use without making them, or nil and why the target cannot be had.
local function context(target)
    return assert(loadfile((arg[0]:match "^(.*/)" or "") .. "doc_context.lua"))(target)
end

local OF_INSTANCES = { inst = true, prog = true, map = true, ring = true }

--- Runs an example; gives what it printed, and whether it used the instance.
local function run(example, target)
    local printed, names = {}, context(target)
    if not names then
        test.skip "programs cannot be loaded here"
    end
    local is_used = false
    local env = setmetatable({}, { __index = function(_, name)
        is_used = is_used or OF_INSTANCES[name] or false
        if names[name] ~= nil then
            return names[name]
        end
        return _G[name]
    end })
    function env.print(...)
        local parts = {}
        for i = 1, select("#", ...) do
            parts[i] = tostring((select(i, ...)))
        end
        for line in (table.concat(parts, "\t") .. "\n"):gmatch "(.-)\n" do
            printed[#printed + 1] = (line:gsub("^%s+", ""))
        end
    end
    -- Cases inside examples are no cases of this file.
    env.test = setmetatable({ case = function(_, fn) pcall(fn) end }, { __index = test })
    local real_print = print
    local chunk = assert(loadstring(example, "=example"))
    setfenv(chunk, env)
    _G.print = env.print -- show() and tbl() print through the global
    local ok, err = pcall(chunk)
    _G.print = real_print
    if not ok then
        error(err, 0)
    end
    return printed, is_used
end

-- Examples that the kernel target refuses: only the vm can interleave two CPUs.
local VM_ONLY = { ["program:race"] = true }

local count = 0
for _, doc in ipairs(help.all()) do
    local signature, line, example = help.split(doc.text)
    test.case(doc.name .. " is documented", function()
        assert(#signature > 0 and #line > 0, "no signature or line")
        assert(line:find "[%.…]$", "the line is no sentence: " .. line)
    end)
    if example ~= "" then
        local is_used = false
        count = count + 1
        test.case(doc.name .. ": the example holds", function()
            local want = promised(example)
            local got, used = run(example, "vm")
            if #want > 0 then
                test.eq(got, want)
            end
            is_used = used
        end)
        if is_used then
            test.case(doc.name .. ": the example holds on kernel", function()
                local want = promised(example)
                local ok, got = pcall(run, example, "kernel")
                if VM_ONLY[doc.name] then
                    test.eq(ok, false)
                elseif not ok then
                    error(got, 0)
                elseif #want > 0 then
                    test.eq(got, want)
                end
            end)
        end
    end
end

test.xdp{ object = context("vm").obj, program = "count",
    { name = "the program that the examples use", input = require("pkt").eth{}, verdict = "PASS" } }

test.case("there are examples", function()
    assert(count > 20)
end)
