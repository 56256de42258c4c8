-- SPDX-License-Identifier: MIT
-- Numbers as pictures of text: hist(values) and spark(series).
local core = require "mimicsh.core"
local printer = require "mimicsh.printer"
local json = require "json"

local M = {}

local BAR = 40         -- columns of the longest bar
local BINS = 10        -- of values that lie close together
local SPARK_WIDTH = 80 -- columns; longer series are averaged
local BLOCKS = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

--- The numbers of a list, 64-bit ones and per-CPU values (their sum) too.
local function numbers(list, what)
    if type(list) ~= "table" then
        core.fail(("bad argument '%s': expected a list of numbers, got %s"):format(what, type(list)))
    end
    local out = {}
    for i, value in ipairs(list) do
        if type(value) == "table" and value.sum then
            value = value:sum()
        end
        local number = tonumber(value)
        if not number or number ~= number or math.abs(number) == math.huge then
            core.fail(("bad argument '%s': element %d is %s, not a finite number"):format(what, i, tostring(value)))
        end
        out[i] = number
    end
    return out
end

local function plain(number)
    return number % 1 == 0 and math.abs(number) < 2 ^ 53 and ("%d"):format(number) or ("%.4g"):format(number)
end

-- -- Histograms --

local Histogram = { __name = "histogram" }

--- Powers of two: {0}, [1, 2), [2, 4)...
local function by_powers(values)
    local bins, last = {}, 0
    for _, value in ipairs(values) do
        local _, exponent = math.frexp(value)
        local index = value < 1 and 1 or exponent + 1
        bins[index] = (bins[index] or 0) + 1
        last = math.max(last, index)
    end
    local rows, started = {}, false
    for index = 1, last do
        started = started or bins[index] ~= nil
        if started then
            rows[#rows + 1] = { low = index == 1 and 0 or 2 ^ (index - 2), high = 2 ^ (index - 1), count = bins[index] or 0 }
        end
    end
    return rows
end

local function by_width(values, low, high, wanted)
    local are_whole = true
    for _, value in ipairs(values) do
        are_whole = are_whole and value % 1 == 0
    end
    local width = (high - low) / wanted
    if are_whole then
        width = math.max(1, math.ceil((high - low + 1) / wanted))
    elseif width == 0 then
        width = 1
    end
    local rows = {}
    for _, value in ipairs(values) do
        local index = math.min(math.floor((value - low) / width), wanted - 1) + 1
        for i = #rows + 1, index do
            rows[i] = { low = low + (i - 1) * width, high = low + i * width, count = 0 }
        end
        rows[index].count = rows[index].count + 1
    end
    return rows
end

function M.hist(list, options)
    options = options or {}
    for name in pairs(options) do
        if name ~= "bins" then
            core.fail(("unknown option '%s' (known: bins)"):format(tostring(name)))
        end
    end
    local values = numbers(list, "values")
    local bins = options.bins
    if bins and (type(bins) ~= "number" or bins < 1 or bins > 1000 or bins % 1 ~= 0) then
        core.fail("bad argument 'bins': expected a number from 1 to 1000")
    end
    local low, high = math.huge, -math.huge
    for _, value in ipairs(values) do
        low, high = math.min(low, value), math.max(high, value)
    end
    local rows = {}
    if #values > 0 then
        local spreads = low >= 0 and high >= 64 and high > 16 * math.max(low, 1)
        rows = not bins and spreads and by_powers(values) or by_width(values, low, high, bins or BINS)
    end
    return setmetatable({ bins = rows, count = #values }, Histogram)
end

function Histogram.__tostring(h)
    if h.count == 0 then
        return "no values"
    end
    local most, labels, widest, counts = 0, {}, 0, 0
    for i, bin in ipairs(h.bins) do
        most = math.max(most, bin.count)
        labels[i] = ("[%s, %s)"):format(plain(bin.low), plain(bin.high))
        widest = math.max(widest, #labels[i])
        counts = math.max(counts, #tostring(bin.count))
    end
    local longest = math.max(1, math.min(BAR, printer.room() - widest - counts - 4))
    local lines = {}
    for i, bin in ipairs(h.bins) do
        local length = bin.count == 0 and 0 or math.max(1, math.floor(bin.count / most * longest + 0.5))
        local bar = printer.paint("number", ("#"):rep(length)) .. (" "):rep(longest - length)
        lines[i] = ("%" .. widest .. "s %" .. counts .. "d |%s|"):format(labels[i], bin.count, bar)
    end
    return table.concat(lines, "\n")
end

function Histogram.__tojson(h)
    local out = json.array()
    for i, bin in ipairs(h.bins) do
        out[i] = { low = bin.low, high = bin.high, count = bin.count }
    end
    return out
end

-- -- Series --

function M.spark(list)
    local values = numbers(list, "series")
    local columns = math.min(#values, SPARK_WIDTH, printer.room())
    local means, low, high = {}, math.huge, -math.huge
    for column = 1, columns do
        local first, last = math.floor((column - 1) * #values / columns) + 1, math.floor(column * #values / columns)
        local sum = 0
        for i = first, last do
            sum = sum + values[i]
        end
        means[column] = sum / (last - first + 1)
        low, high = math.min(low, means[column]), math.max(high, means[column])
    end
    local parts = {}
    for column, mean in ipairs(means) do
        local level = high > low and math.floor((mean - low) / (high - low) * (#BLOCKS - 1) + 0.5) or 0
        parts[column] = BLOCKS[level + 1]
    end
    return table.concat(parts)
end

core.doc("hist", M.hist, [[
hist(values [, {bins=}]) -> histogram
Counts numbers in bins, by powers of two when they lie far apart; printed as bars, its .bins are {low=, high=, count=}.
print(hist({ 1, 1, 2, 3 }).bins[1].count) --> 2]])
core.doc("spark", M.spark, [[
spark(series) -> text
A line of blocks as high as the numbers, at most 80 columns.
print(spark{ 0, 1, 2, 3, 4, 5, 6, 7 }) --> ▁▂▃▄▅▆▇█]])

return M
