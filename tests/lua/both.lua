-- SPDX-License-Identifier: MIT
-- Cases that run on both targets from one text: both(name, function(load, target) ... end).
local test = require "test"

--- Runs fn for each target with a function that loads an object there, and counts the case under its target. Where this
--- process may not load programs into the kernel, that case is skipped.
return function(name, fn)
    for _, target in ipairs{ "vm", "kernel" } do
        test.case(("%s on %s"):format(name, target), function()
            fn(function(obj, options)
                local inst, err = obj:load(target, options)
                if not inst and target == "kernel" and err.code == "EPERM" then
                    test.skip(err.msg)
                end
                return assert(inst, err)
            end, target)
            test.targets[target] = (test.targets[target] or 0) + 1
        end)
    end
end
