-- SPDX-License-Identifier: MIT
-- Waiting for what others bring about: becomes(condition [, seconds]) -> whether it came true. The time, a minute when none
-- is given, only bounds a hang.
local timer = require "timer"

return function(condition, seconds)
    for _ = 1, (seconds or 60) * 200 do
        if condition() then
            return true
        end
        timer.sleep(0.005)
    end
    return condition()
end
