-- SPDX-License-Identifier: MIT
-- hist and spark: counts and pictures of numbers.
local test = require "test"
local json = require "json"

test.case("values that lie far apart are counted by powers of two", function()
    local h = hist{ 0, 1, 1, 2, 3, 4, 100, 1000 }
    test.eq(json.encode(h.bins[1]), json.encode{ low = 0, high = 1, count = 1 })
    test.eq(h.bins[2].count, 2) -- [1, 2)
    test.eq(h.bins[3].count, 2) -- [2, 4)
    test.eq(h.bins[#h.bins].low, 512)
    local sum = 0
    for i, bin in ipairs(h.bins) do
        sum = sum + bin.count
        test.eq(bin.low < bin.high and (i == 1 or bin.low == h.bins[i - 1].high), true)
    end
    test.eq(sum, 8)
end)

test.case("every value is in its bin, whatever the numbers are", function()
    math.randomseed(7)
    for _ = 1, 200 do
        local values, scale = {}, 10 ^ math.random(-3, 9)
        for i = 1, math.random(1, 60) do
            values[i] = (math.random() - 0.3) * scale
            values[i] = math.random(2) == 1 and math.floor(values[i]) or values[i]
        end
        local h = hist(values, math.random(2) == 1 and { bins = math.random(1, 20) } or nil)
        local sum, slack = 0, scale * 1e-9 -- for edges that are no exact numbers
        for b, bin in ipairs(h.bins) do
            local surely, perhaps = 0, 0
            for _, value in ipairs(values) do
                local is_last = b == #h.bins and value >= bin.high
                surely = surely + ((value >= bin.low + slack and value < bin.high - slack) and 1 or 0)
                perhaps = perhaps + ((value >= bin.low - slack and value < bin.high + slack or is_last) and 1 or 0)
            end
            test.eq(surely <= bin.count and bin.count <= perhaps, true)
            sum = sum + bin.count
        end
        test.eq(sum, #values)
    end
end)

test.case("bars are as long as the counts", function()
    local text = tostring(hist({ 1, 1, 1, 1, 2, 2 }, { bins = 2 }))
    test.eq(text, "[1, 2) 4 |" .. ("#"):rep(40) .. "|\n[2, 3) 2 |" .. ("#"):rep(20) .. (" "):rep(20) .. "|")
    test.eq(tostring(hist{}), "no values")
    test.eq(json.encode(hist({ 5 })), '[{"count":1,"high":6,"low":5}]')
end)

test.case("64-bit numbers are taken, others refused by place", function()
    test.eq(hist{ 5ULL, 6LL }.count, 2)
    test.raises(function() hist{ 1, "x" } end, "element 2")
    test.raises(function() hist{ 0 / 0 } end, "element 1")
    test.raises(function() hist(5) end, "expected a list")
    test.raises(function() hist({ 1 }, { bin = 3 }) end, "unknown option 'bin'")
    test.raises(function() spark{ 1, {} } end, "element 2")
end)

test.case("a series is a line of blocks, long ones are averaged", function()
    test.eq(spark{ 1, 1, 1 }, "▁▁▁")
    test.eq(spark{ 0, 10 }, "▁█")
    test.eq(spark{}, "")
    local long = {}
    for i = 1, 1000 do
        long[i] = i
    end
    test.eq(#spark(long), 80 * 3)
    test.eq(spark(long):sub(1, 3) .. spark(long):sub(-3), "▁█")
end)
