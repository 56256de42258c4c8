-- SPDX-License-Identifier: MIT
-- Every example prints its expected.txt: on the vm, and the same on the kernel where it takes a target.
local test = require "test"

local binary = os.getenv "MIMICSH" or "mimicsh"
local root = ((arg[0]:match "^(.*/)" or "./") .. "../../")
local jit_option = jit.status() and "-jon" or "-joff"

local function lines_of(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

local root_path = lines_of("cd '" .. root .. "' && pwd"):gsub("\n$", "")

local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
end

local function plain_replace(text, from, to)
    return (text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%"))))
end

--- Standard output and error of an example started from another folder, its own paths taken off; the exit code.
local function run(name, arguments)
    local folder = ("%s/examples/%s/"):format(root_path, name)
    local errors = os.tmpname()
    local text = lines_of(("cd / && '%s' %s '%s%s.lua' %s 2>'%s' </dev/null; echo code $?"):format(binary, jit_option,
        folder, name, arguments, errors))
    local complaints = read(errors)
    os.remove(errors)
    local code = tonumber(text:match "code (%d+)\n$")
    text = text:gsub("code %d+\n$", "")
    return plain_replace(text, folder, ""), complaints, code
end

local function check(name, arguments)
    local text, complaints, code = run(name, arguments)
    if code ~= 0 and
        (complaints:find "not permitted" or complaints:find "root" or complaints:find "not supported") then
        test.skip(complaints:match "^[^\n]*")
    end
    if code ~= 0 then
        error(("exit code %s: %s"):format(tostring(code), complaints), 0)
    end
    test.eq(text, read(("%s/examples/%s/expected.txt"):format(root_path, name)))
end

for name in lines_of("ls '" .. root_path .. "/examples'"):gmatch "[%w_]+\n" do
    name = name:sub(1, -2)
    local script = io.open(("%s/examples/%s/%s.lua"):format(root_path, name, name))
    if script then
        test.case("example " .. name .. " prints what it should", function() check(name, "") end)
        if script:read "*a":find("[vm|kernel]", 1, true) then
            test.case("example " .. name .. " prints the same on the kernel", function() check(name, "kernel") end)
        end
        script:close()
    end
end

test.case("the examples of the README are there", function()
    for _, name in ipairs{ "drop_dns", "port_rewrite", "first_fault", "count_flows", "promote_drop_dns", "chain",
                          "keepalive_lab", "live_top_talkers", "tc_mark" } do
        assert(io.open(("%s/examples/%s/README.md"):format(root_path, name))):close()
    end
end)
