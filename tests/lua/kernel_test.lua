-- SPDX-License-Identifier: MIT
-- The kernel target beyond what both targets have: pinned maps, what the kernel says of a program, its features.
local test = require "test"
local bpf, kernel = require "bpf", require "kernel"

local function source(options)
    return ([[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, %d);
    __type(key, __u32);
    __type(value, %s);
    %s
} %s SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
    __u32 key = 1;
    %s *value = bpf_map_lookup_elem(&%s, &key);
    if (value)
        ++*value;
    return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
]]):format(options.entries or 8, options.value or "__u64", options.pinning or "", options.name, options.value or "__u64",
        options.name)
end

local function load(options, load_options)
    local obj = assert(bpf.compile{ source = source(options) })
    local inst, err = obj:load("kernel", load_options)
    if not inst and err.code == "EPERM" then
        test.skip(tostring(err))
    end
    return inst, err
end

local PACKET = ("\0"):rep(64)
local FOLDER = "/sys/fs/bpf"

--- A name that no other run uses; the file is gone afterwards.
local function with_pin(fn)
    local name = ("mimicsh%d"):format(math.random(1e9))
    local path = FOLDER .. "/" .. name
    local ok, err = pcall(fn, path, name)
    os.remove(path)
    if not ok then
        error(err, 0)
    end
end

local function pin_or_skip(map, path)
    local ok, err = map:pin(path)
    if not ok and tostring(err):find("bpf file system", 1, true) then
        test.skip(tostring(err))
    end
    assert(ok, err)
end

math.randomseed(os.time())

test.case("a pinned map outlives its instance and is opened again, typed", function()
    with_pin(function(path)
        local first = assert(load{ name = "numbers" })
        first.maps.numbers[1] = 40
        pin_or_skip(first.maps.numbers, path)
        first:close()
        local second = assert(load({ name = "numbers" }, { pinned = { numbers = path } }))
        test.eq(second.maps.numbers[1], 40ULL)
        second.progs.count:run(PACKET)
        test.eq(second.maps.numbers[1], 41ULL)
        local third = assert(load({ name = "numbers" }, { pinned = { numbers = path } }))
        test.eq(third.maps.numbers[1], 41ULL)
        second:close()
        third:close()
    end)
end)

test.case("a pinned map that is not as declared is refused, with what differs", function()
    with_pin(function(path)
        local first = assert(load{ name = "numbers" })
        pin_or_skip(first.maps.numbers, path)
        local _, err = load({ name = "numbers", entries = 9 }, { pinned = { numbers = path } })
        test.eq(tostring(err), "open map: " .. path .. ": has max_entries 8 where the object declares 9")
        _, err = load({ name = "numbers", value = "__u32" }, { pinned = { numbers = path } })
        test.eq(tostring(err), "open map: " .. path .. ": has value size 8 where the object declares 4")
        _, err = load({ name = "numbers" }, { pinned = { other = path } })
        test.eq(tostring(err), "load: no map 'other' to be opened at " .. path)
        _, err = load({ name = "numbers" }, { pinned = { numbers = path .. "-not-there" } })
        test.eq(err.code, "ENOENT")
        local again
        again, err = first.maps.numbers:pin(path)
        test.eq(again, nil)
        test.eq(err.code, "EEXIST")
        first:close()
    end)
end)

test.case("a map that declares pinning by name is shared", function()
    with_pin(function(_, name)
        local options = { name = name, pinning = "__uint(pinning, 1);" }
        local first, err = load(options)
        if not first and (tostring(err):find("bpf file system", 1, true) or err.code == "EACCES") then
            test.skip(tostring(err))
        end
        assert(first, err)
        first.maps[name][1] = 7
        first:close()
        local second = assert(load(options))
        test.eq(second.maps[name][1], 7ULL)
        second:close()
        local _, refused = load{ name = name, pinning = options.pinning, entries = 3 }
        assert(tostring(refused):find("has max_entries 8 where the object declares 3", 1, true), tostring(refused))
    end)
end)

test.case("maps of the vm cannot be pinned", function()
    local inst = assert(assert(bpf.compile{ source = source{ name = "numbers" } }):load "vm")
    local _, err = inst.maps.numbers:pin "/sys/fs/bpf/x"
    test.eq(tostring(err), "pin: numbers: maps of the vm cannot be pinned")
end)

test.case("what the kernel says of a program is what bpftool says", function()
    local inst = assert(load{ name = "numbers" })
    local info = inst.progs.count.info
    local file = io.popen(("bpftool prog show id %d 2>&1"):format(info.id))
    local shown = file:read "*a"
    file:close()
    assert(shown:find("tag " .. info.tag, 1, true), shown)
    assert(shown:find(("xlated %dB"):format(info.translated), 1, true), shown)
    assert(info.verified > 0 and info.loaded > 0ULL)
    inst:close()
end)

test.case("features are probed, modules are told", function()
    local names = {}
    for _, feature in ipairs(kernel.features()) do
        names[feature.name] = true
        test.eq(feature.available, feature.reason == "")
    end
    test.eq({ names.xdp, names.test_run, names.ringbuf }, { true, true, true })
    test.eq(kernel.module "no_such_module", { name = "no_such_module", is_loaded = false, version = "",
        kfuncs_reason = "it is not loaded" })
    local own = kernel.module "vmlinux"
    test.eq({ own.is_loaded, own.version }, { true, io.open("/proc/sys/kernel/osrelease"):read "*l" })
    test.eq((own.kfuncs == nil) == (own.kfuncs_reason ~= nil), true)
    local _, err = kernel.need "no_such_module"
    test.eq(err.hint, "modprobe no_such_module loads it, where it is installed")
end)

test.case("an object whose types the kernel does not take is refused with the reason", function()
    -- The kernel has a struct node of its own, of which there can be no such pointers.
    local object = assert(bpf.compile [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
typedef struct node { int key; } node_t; /* clang 14 tags pointers to such names only */
struct bpf_list_node { __u64 words[3]; };
struct item { node_t __attribute__((btf_type_tag("kptr"))) *kept; struct bpf_list_node link; } *item;
struct counted { struct bpf_spin_lock lock; int count; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counted);
} counts SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
    __u32 key = 0;
    struct counted *counted = bpf_map_lookup_elem(&counts, &key);
    if (counted && !item) {
        bpf_spin_lock(&counted->lock);
        counted->count++;
        bpf_spin_unlock(&counted->lock);
    }
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
]])
    local inst, err = object:load "kernel"
    assert(inst == nil and err.hint:find "the kernel does not take the object's types: .+, after '.+'$", tostring(err))
end)
