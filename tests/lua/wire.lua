-- SPDX-License-Identifier: MIT
-- For the tests of live packets: two hosts on a wire, and a packet for it.
local test = require "test"
local lab, pkt = require "lab", require "pkt"
local ffi = require "ffi"

local wire = {}

ffi.cdef [[
struct wire_time { long seconds, nanoseconds; };
int clock_gettime(int clock, struct wire_time *time);
]]

--- The time of the clock that packets are stamped by, in seconds.
function wire.now()
    local time = ffi.new "struct wire_time"
    assert(ffi.C.clock_gettime(0, time) == 0)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

--- Two hosts and a wire (with further options of l:veth); skipped where that is not allowed.
--- No packets of the hosts' own (IPv6's router searches), unless ipv6=true, which gives them fd00::1 and fd00::2 too.
function wire.with_wire(fn, options)
    local ok, err = pcall(lab.scope, function(l)
        local a, b = l:ns "a", l:ns "b"
        options = options or {}
        for _, host in ipairs{ a, b } do
            host:sysctl("net.ipv6.conf.default.disable_ipv6", options.ipv6 and 0 or 1)
        end
        options.a_ip, options.b_ip, options.offloads = { "10.0.0.1/24" }, { "10.0.0.2/24" }, false
        if options.ipv6 then
            options.a_ip[2], options.b_ip[2], options.ipv6 = "fd00::1/64", "fd00::2/64", nil
        end
        l:veth(a, b, options)
        fn(a, b, l)
    end)
    if not ok then
        if type(err) ~= "string" and tostring(err.code) == "EPERM" and tostring(err):find "namespace" then
            test.skip(tostring(err))
        end
        error(err, 0)
    end
end

--- To everybody on the wire, for nobody's address.
function wire.udp(port, payload)
    return pkt.eth{ src = "02:00:00:00:00:01", dst = "ff:ff:ff:ff:ff:ff" } / pkt.ip{ src = "10.0.0.1", dst = "10.0.0.9" }
        / pkt.udp{ sport = 1000, dport = port } / (payload or "x")
end

return wire
