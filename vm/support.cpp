// SPDX-License-Identifier: MIT
// Rows of the support table and the page made from them.
#include "vm/support.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <vector>

#include "vm/context/context.h"
#include "vm/helpers/helpers.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/prog_types.h"
#include "vm/versions.h"

namespace mimicsh::vm {

namespace {

constexpr std::array kHelpers{
    HelperRow{1, helper_map_lookup_elem, "HelperParity.MapHelpers", ""},
    HelperRow{2, helper_map_update_elem, "HelperParity.MapHelpers", ""},
    HelperRow{3, helper_map_delete_elem, "HelperParity.MapHelpers", ""},
    HelperRow{5, helper_ktime_get_ns, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "virtual clock, moved by advance"},
    HelperRow{6, helper_trace_printk, "HelperParity.TracePrintkLengthsAndRefusals",
              "lines go to the Result's log"},
    HelperRow{7, helper_get_prandom_u32, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "seeded generator"},
    HelperRow{8, helper_get_smp_processor_id, "HelperParity.CpuId", "the scripted CPU"},
    HelperRow{9, helper_skb_store_bytes, "SkbHelpers.StoreBytes", ""},
    HelperRow{10, helper_l3_csum_replace, "SkbHelpers.Checksums", ""},
    HelperRow{11, helper_l4_csum_replace, "SkbHelpers.Checksums", ""},
    HelperRow{12, nullptr, "HelperParity.TailCalls", "at most 33 per run"},
    HelperRow{13, helper_clone_redirect, "SkbSends.CloneRedirect",
              "copies are in the Result; world.interfaces"},
    HelperRow{14, helper_get_current_pid_tgid, "WorldParity.Task", "world.task.pid, tgid", State::Scripted},
    HelperRow{15, helper_get_current_uid_gid, "WorldParity.Task", "world.task.uid, gid", State::Scripted},
    HelperRow{16, helper_get_current_comm, "WorldParity.Task", "world.task.comm", State::Scripted},
    HelperRow{17, helper_get_cgroup_classid, "WorldParity.Task", "world.cgroup.classid", State::Scripted},
    HelperRow{18, helper_skb_vlan_push, "SkbHelpers.VlanTags", ""},
    HelperRow{19, helper_skb_vlan_pop, "SkbHelpers.VlanTags", ""},
    HelperRow{20, helper_skb_get_tunnel_key, "TunnelParity.Keys", "world.tunnel"},
    HelperRow{21, helper_skb_set_tunnel_key, "TunnelParity.Keys", "what was set is in the Result"},
    HelperRow{23, helper_redirect, "HelperParity.Redirect", ""},
    HelperRow{24, helper_get_route_realm, "WorldParity.AnswersOfBuffers", "world.route_realm",
              State::Scripted},
    HelperRow{25, helper_perf_event_output, "MapParity.PerfEvents", ""},
    HelperRow{26, helper_skb_load_bytes, "SkbHelpers.LoadBytes", ""},
    HelperRow{28, helper_csum_diff, "HelperParity.CsumDiff", ""},
    HelperRow{29, helper_skb_get_tunnel_opt, "TunnelParity.Options", "world.tunnel.options"},
    HelperRow{30, helper_skb_set_tunnel_opt, "TunnelParity.Options", ""},
    HelperRow{31, helper_skb_change_proto, "SkbHelpers.ChangeProto", ""},
    HelperRow{32, helper_skb_change_type, "SkbHelpers.ChangeType", ""},
    HelperRow{33, helper_skb_under_cgroup, "CgroupParity.Under", "world.socket.cgroup", State::Scripted},
    HelperRow{34, helper_get_hash_recalc, "SkbSends.HashRecalc",
              "a hash of our own over addresses, protocol and ports"},
    HelperRow{35, helper_get_current_task, "WorldParity.ProbeRead", "world.task, world.task.fields",
              State::Scripted},
    HelperRow{37, helper_current_task_under_cgroup, "CgroupParity.Under", "world.cgroup", State::Scripted},
    HelperRow{38, helper_skb_change_tail, "SkbHelpers.ChangeTail", ""},
    HelperRow{39, helper_skb_pull_data, "SkbHelpers.PullData", ""},
    HelperRow{40, helper_csum_update, "SkbHelpers.ChecksumState", ""},
    HelperRow{41, helper_set_hash_invalid, "SkbHelpers.Hash", ""},
    HelperRow{42, helper_get_numa_node_id, "WorldParity.Task", "world.numa_node", State::Scripted},
    HelperRow{43, helper_skb_change_head, "SkbHelpers.ChangeHead", ""},
    HelperRow{44, helper_xdp_adjust_head, "HelperParity.AdjustHead", ""},
    HelperRow{46, helper_get_socket_cookie, "WorldParity.AnswersOfBuffers", "world.socket.cookie",
              State::Scripted},
    HelperRow{47, helper_get_socket_uid, "WorldParity.AnswersOfBuffers", "world.socket.uid", State::Scripted},
    HelperRow{48, helper_set_hash, "SkbHelpers.Hash", ""},
    HelperRow{50, helper_skb_adjust_room, "SkbHelpers.AdjustRoom", ""},
    HelperRow{51, helper_redirect_map, "MapParity.RedirectMaps", ""},
    HelperRow{54, helper_xdp_adjust_meta, "HelperParity.AdjustMeta", ""},
    HelperRow{65, helper_xdp_adjust_tail, "HelperParity.AdjustTail", ""},
    HelperRow{66, helper_skb_get_xfrm_state, "TunnelParity.Xfrm", "world.xfrm", State::Scripted},
    HelperRow{68, helper_skb_load_bytes_relative, "SkbHelpers.LoadBytes", ""},
    HelperRow{69, helper_fib_lookup, "WorldParity.FibLookup", "world.interfaces, routes, neighbours"},
    HelperRow{73, helper_lwt_push_encap, "LwtParity.PushEncap",
              "SEG6 and SEG6_INLINE (lwt_in): world.routes; no keys for an HMAC; lwt_xmit is not run in the "
              "kernel"},
    HelperRow{79, helper_skb_cgroup_id, "CgroupParity.Ids", "world.socket.cgroup", State::Scripted},
    HelperRow{80, helper_get_current_cgroup_id, "WorldParity.Task", "world.cgroup.id", State::Scripted},
    HelperRow{81, helper_get_local_storage, "StorageParity.CgroupStorage",
              "a test run has a cgroup of its own"},
    HelperRow{83, helper_skb_ancestor_cgroup_id, "CgroupParity.Ids", "world.socket.cgroup", State::Scripted},
    HelperRow{84, helper_sk_lookup_tcp, "WorldParity.SocketLookup", "world.sockets"},
    HelperRow{85, helper_sk_lookup_udp, "WorldParity.SocketLookup", "world.sockets"},
    HelperRow{86, helper_sk_release, "WorldParity.SocketLookup", ""},
    HelperRow{87, helper_map_push_elem, "MapParity.Queue", ""},
    HelperRow{88, helper_map_pop_elem, "MapParity.Queue", ""},
    HelperRow{89, helper_map_peek_elem, "MapParity.Queue", ""},
    HelperRow{93, helper_spin_lock, "MapParity.SpinLocks", "of map values and objects"},
    HelperRow{94, helper_spin_unlock, "MapParity.SpinLocks", ""},
    HelperRow{95, helper_sk_fullsock, "WorldParity.SocketLookup", ""},
    HelperRow{96, helper_tcp_sock, "WorldParity.SocketLookup", "world.sockets[n].tcp"},
    HelperRow{97, helper_skb_ecn_set_ce, "SkbHelpers.EcnSetCe", ""},
    HelperRow{98, helper_get_listener_sock, "WorldParity.SocketLookup", ""},
    HelperRow{99, helper_skc_lookup_tcp, "WorldParity.SocketLookup", "world.sockets"},
    HelperRow{100, helper_tcp_check_syncookie, "WorldParity.SynCookies",
              "a hash of our own, world.tcp_syncookies"},
    HelperRow{105, helper_strtol, "HelperParity.Strtol", ""},
    HelperRow{106, helper_strtoul, "HelperParity.Strtol", ""},
    HelperRow{107, helper_sk_storage_get, "WorldParitySockets.SocketStorage", "world.sockets"},
    HelperRow{108, helper_sk_storage_delete, "WorldParitySockets.SocketStorage", ""},
    HelperRow{110, helper_tcp_gen_syncookie, "WorldParity.SynCookies",
              "a hash of our own, world.tcp_syncookies"},
    HelperRow{112, helper_probe_read_user, "WorldParity.ProbeRead", "there is no user memory: -EFAULT"},
    HelperRow{113, helper_probe_read_kernel, "WorldParity.ProbeRead", "the emulated memory"},
    HelperRow{114, helper_probe_read_user_str, "WorldParity.ProbeRead", "there is no user memory: -EFAULT"},
    HelperRow{115, helper_probe_read_kernel_str, "WorldParity.ProbeRead", "the emulated memory"},
    HelperRow{118, helper_jiffies64, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "250 per second of the virtual clock"},
    HelperRow{120, helper_get_ns_current_pid_tgid, "WorldParity.Task", "world.task.ns", State::Scripted},
    HelperRow{122, helper_get_netns_cookie, "WorldParity.AnswersOfBuffers",
              "world.netns_cookie, init_netns_cookie", State::Scripted},
    HelperRow{123, helper_get_current_ancestor_cgroup_id, "WorldParity.Task", "world.cgroup.ancestors",
              State::Scripted},
    HelperRow{124, helper_sk_assign, "WorldParity.BufferSocket", "in the Result; world.tc_ingress"},
    HelperRow{125, helper_ktime_get_boot_ns, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "virtual clock"},
    HelperRow{128, helper_sk_cgroup_id, "CgroupParity.Ids", "world.sockets[n].cgroup", State::Scripted},
    HelperRow{129, helper_sk_ancestor_cgroup_id, "CgroupParity.Ids", "world.sockets[n].cgroup",
              State::Scripted},
    HelperRow{130, helper_ringbuf_output, "HelperParity.Ringbuf", ""},
    HelperRow{131, helper_ringbuf_reserve, "HelperParity.Ringbuf", ""},
    HelperRow{132, helper_ringbuf_submit, "HelperParity.Ringbuf", ""},
    HelperRow{133, helper_ringbuf_discard, "HelperParity.Ringbuf", ""},
    HelperRow{134, helper_ringbuf_query, "HelperParity.Ringbuf", ""},
    HelperRow{135, helper_csum_level, "SkbHelpers.ChecksumState", ""},
    HelperRow{136, helper_skc_to_tcp6_sock, "WorldParitySockets.SocketStructs", "world.sockets[n].fields",
              State::Scripted},
    HelperRow{137, helper_skc_to_tcp_sock, "WorldParitySockets.SocketStructs", "world.sockets[n].fields",
              State::Scripted},
    HelperRow{138, helper_skc_to_tcp_timewait_sock, "WorldParitySockets.SocketStructs",
              "world.sockets[n].fields", State::Scripted},
    HelperRow{139, helper_skc_to_tcp_request_sock, "WorldParitySockets.SocketStructs",
              "world.sockets[n].fields", State::Scripted},
    HelperRow{140, helper_skc_to_udp6_sock, "WorldParitySockets.SocketStructs", "world.sockets[n].fields",
              State::Scripted},
    HelperRow{141, helper_get_task_stack, "WorldParity.TaskStack", "world.task.stack, user_stack",
              State::Scripted},
    HelperRow{149, helper_snprintf_btf, "BtfText.StructsWithAllFlags",
              "types of the running kernel; pointers as a hash of our own"},
    HelperRow{151, helper_skb_cgroup_classid, "CgroupParity.Ids", "world.socket.cgroup", State::Scripted},
    HelperRow{152, helper_redirect_neigh, "SkbHelpers.Redirects", "next hop in the Result; world.neighbours"},
    HelperRow{153, helper_per_cpu_ptr, "KernelVariables.OfEachCpu",
              "objects of bpf_percpu_obj_new, variables of world.ksyms"},
    HelperRow{154, helper_this_cpu_ptr, "KernelVariables.OfEachCpu",
              "objects of bpf_percpu_obj_new, variables of world.ksyms"},
    HelperRow{155, helper_redirect_peer, "SkbHelpers.Redirects", "in the Result; world.interfaces[n].peer"},
    HelperRow{156, helper_task_storage_get, "StorageParity.TaskStorage", "of the current task"},
    HelperRow{157, helper_task_storage_delete, "StorageParity.TaskStorage", ""},
    HelperRow{158, helper_get_current_task, "StorageParity.TaskStorage", "world.task, world.task.fields",
              State::Scripted},
    HelperRow{160, helper_ktime_get_coarse_ns, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "virtual clock"},
    HelperRow{163, helper_check_mtu, "WorldParity.CheckMtu", "world.interfaces"},
    HelperRow{164, helper_for_each_map_elem, "MapParity.ForEach", ""},
    HelperRow{165, helper_snprintf, "HelperParity.Snprintf", ""},
    HelperRow{169, helper_timer_init, "TimerParity.ReturnCodes", "CLOCK_REALTIME is world.time.tai_ns"},
    HelperRow{170, helper_timer_set_callback, "TimerParity.ReturnCodes", ""},
    HelperRow{171, helper_timer_start, "TimerParity.Firing", "fires when the clock is advanced"},
    HelperRow{172, helper_timer_cancel, "TimerParity.ReturnCodes", ""},
    HelperRow{175, helper_task_pt_regs, "WorldParity.TaskRegisters", "world.task.regs", State::Scripted},
    HelperRow{177, helper_trace_vprintk, "HelperParity.TracePrintkLengthsAndRefusals",
              "lines go to the Result's log"},
    HelperRow{178, helper_skc_to_other_sock, "WorldParitySockets.SocketStructs",
              "world.sockets are TCP and UDP", State::Scripted},
    HelperRow{181, helper_loop, "HelperParity.Loop", ""},
    HelperRow{182, helper_strncmp, "HelperParity.Strncmp", ""},
    HelperRow{188, helper_xdp_get_buff_len, "HelperParity.LoadStoreBytes", ""},
    HelperRow{189, helper_xdp_load_bytes, "HelperParity.LoadStoreBytes", ""},
    HelperRow{190, helper_xdp_store_bytes, "HelperParity.LoadStoreBytes", ""},
    HelperRow{192, helper_skb_set_tstamp, "SkbHelpers.Tstamp", ""},
    HelperRow{194, helper_kptr_xchg, "ObjectParity.Pointers", "objects of the program"},
    HelperRow{195, helper_map_lookup_percpu_elem, "HelperParity.PercpuLookup", ""},
    HelperRow{196, helper_skc_to_other_sock, "WorldParitySockets.SocketStructs",
              "world.sockets are TCP and UDP", State::Scripted},
    HelperRow{197, helper_dynptr_from_mem, "KfuncParity.DynptrOnMemory", ""},
    HelperRow{198, helper_ringbuf_reserve_dynptr, "KfuncParity.DynptrOnRecords", ""},
    HelperRow{199, helper_ringbuf_submit_dynptr, "KfuncParity.DynptrOnRecords", ""},
    HelperRow{200, helper_ringbuf_discard_dynptr, "KfuncParity.DynptrOnRecords", ""},
    HelperRow{201, helper_dynptr_read, "KfuncParity.DynptrOnMemory", ""},
    HelperRow{202, helper_dynptr_write, "KfuncParity.DynptrOnMemory", ""},
    HelperRow{203, helper_dynptr_data, "KfuncParity.DynptrOnMemory", ""},
    HelperRow{204, helper_tcp_raw_gen_syncookie_ipv4, "WorldParity.SynCookies", "a hash of our own"},
    HelperRow{205, helper_tcp_raw_gen_syncookie_ipv6, "WorldParity.SynCookies", "a hash of our own"},
    HelperRow{206, helper_tcp_raw_check_syncookie_ipv4, "WorldParity.SynCookies", "a hash of our own"},
    HelperRow{207, helper_tcp_raw_check_syncookie_ipv6, "WorldParity.SynCookies", "a hash of our own"},
    HelperRow{208, helper_ktime_get_tai_ns, "HelperParity.TimeAndRandomnessShowTheSameShape",
              "virtual clock"},
    HelperRow{209, helper_user_ringbuf_drain, "UserRingbuf.Drains", "samples come from Map::send"},
    HelperRow{210, helper_cgrp_storage_get, "StorageParity.CgroupOfTheTask", "of the current task's cgroup"},
    HelperRow{211, helper_cgrp_storage_delete, "StorageParity.CgroupOfTheTask", ""},
};

/// Helpers that have nothing to work on here.
struct Reason {
    uint32_t id = 0;
    std::string_view text;
};

constexpr std::string_view kNoPmu = "there are no performance counters";
constexpr std::string_view kNoProcesses = "there are no processes to send signals to";
constexpr std::string_view kNoUserMemory = "there is no user memory";
constexpr std::string_view kNoFiles = "there are no files";
constexpr std::string_view kNoSyscalls = "there are no system calls";
constexpr std::string_view kNoSeqFile = "there are no iterators over kernel objects";
constexpr std::string_view kNoRemote = "there are no infrared receivers";
constexpr std::string_view kNoTcpStack = "there is no TCP stack";
constexpr std::array kReasons{
    Reason{22, kNoPmu},
    Reason{36, kNoUserMemory},
    Reason{55, kNoPmu},
    Reason{56, kNoPmu},
    Reason{58, "there are no probed functions"},
    Reason{64, "there is no socket layer"},
    Reason{77, kNoRemote},
    Reason{78, kNoRemote},
    Reason{92, kNoRemote},
    Reason{109, kNoProcesses},
    Reason{116, kNoTcpStack},
    Reason{117, kNoProcesses},
    Reason{119, kNoPmu},
    Reason{126, kNoSeqFile},
    Reason{127, kNoSeqFile},
    Reason{145, kNoFiles},
    Reason{146, kNoFiles},
    Reason{147, kNoFiles},
    Reason{148, "may sleep, which programs on packets must not"},
    Reason{150, kNoSeqFile},
    Reason{159, "no programs are started"},
    Reason{161, kNoFiles},
    Reason{162, kNoFiles},
    Reason{166, kNoSyscalls},
    Reason{167, kNoSyscalls},
    Reason{168, kNoSyscalls},
    Reason{176, kNoPmu},
    Reason{180, kNoUserMemory},
    Reason{191, kNoUserMemory},
    Reason{193, kNoFiles},
};

constexpr std::array kMaps{
    MapRow{abi::MapType::Hash, "MapParity.Hash", ""},
    MapRow{abi::MapType::Array, "MapParity.Array", ""},
    MapRow{abi::MapType::ProgArray, "HelperParity.TailCalls", ""},
    MapRow{abi::MapType::PerfEventArray, "MapParity.PerfEvents", "64 pages for each CPU"},
    MapRow{abi::MapType::PercpuHash, "MapParity.PercpuHash", ""},
    MapRow{abi::MapType::PercpuArray, "MapParity.PercpuArray", ""},
    MapRow{abi::MapType::CgroupArray, "CgroupParity.Array",
           "values are ids of cgroups of the scripted world"},
    MapRow{abi::MapType::LruHash, "MapParity.LruKeepsRecentKeys",
           "exact LRU; the kernel's choice of victim is approximate"},
    MapRow{abi::MapType::LruPercpuHash, "MapParity.LruKeepsRecentKeys", "as lru_hash"},
    MapRow{abi::MapType::LpmTrie, "MapParity.LpmTrie", ""},
    MapRow{abi::MapType::ArrayOfMaps, "MapParity.MapsOfMaps", ""},
    MapRow{abi::MapType::HashOfMaps, "MapParity.MapsOfMaps", ""},
    MapRow{abi::MapType::Devmap, "MapParity.RedirectMaps",
           "interfaces of the scripted world; programs in values run on what is sent there"},
    MapRow{abi::MapType::Sockmap, "WorldParitySockets.SocketMaps", "world.sockets by number"},
    MapRow{abi::MapType::Cpumap, "LiveFrames.ProgramsOfCpuMaps", "programs as devmap, on the CPU"},
    MapRow{abi::MapType::Xskmap, "MapParity.XskmapSlots", "a slot takes any number for a socket"},
    MapRow{abi::MapType::Sockhash, "WorldParitySockets.SocketMaps", "as sockmap"},
    MapRow{abi::MapType::CgroupStorage, "StorageParity.CgroupStorage", "a test run has a cgroup of its own"},
    MapRow{abi::MapType::ReuseportSockarray, "WorldParitySockets.SocketMaps", "seen by the host alone"},
    MapRow{abi::MapType::PercpuCgroupStorage, "StorageParity.CgroupStorage", "as cgroup_storage"},
    MapRow{abi::MapType::Queue, "MapParity.Queue", ""},
    MapRow{abi::MapType::Stack, "MapParity.Queue", ""},
    MapRow{abi::MapType::SkStorage, "WorldParitySockets.SocketStorage", "owners are world.sockets by number"},
    MapRow{abi::MapType::DevmapHash, "MapParity.RedirectMaps", "as devmap"},
    MapRow{abi::MapType::TaskStorage, "StorageParity.TaskStorage", "the current task is number 1"},
    MapRow{abi::MapType::BloomFilter, "MapParity.BloomFilter",
           "exact up to 16 times max_entries, then finds everything"},
    MapRow{abi::MapType::Ringbuf, "HelperParity.Ringbuf", ""},
    MapRow{abi::MapType::UserRingbuf, "UserRingbuf.Drains", ""},
    MapRow{abi::MapType::CgrpStorage, "StorageParity.CgroupOfTheTask",
           "the current task's cgroup is number 1"},
    MapRow{abi::MapType::Arena, "ArenaParity.Memory", "pages take the memory they use; 4 GiB of addresses"},
};

/// Helpers that programs of a type can call, as a bit set by id (Linux 6.18, measured).
struct Callable {
    abi::ProgType type = abi::ProgType::Unspec;
    std::array<uint64_t, 4> helpers{};
};

using abi::ProgType;

constexpr std::array<uint64_t, 4> kTcHelpers{0x85cfeff7ffffee, 0x3d6f7e1fe3f98034, 0x80779e397fb03ffc,
                                             0xffffd};
constexpr std::array kCallable{
    Callable{ProgType::SocketFilter, {0x80c4280643d1ee, 0x2d6f260063810010, 0x80779e3176303f7c, 0xf0ffc}},
    Callable{ProgType::SchedCls, kTcHelpers},
    Callable{ProgType::SchedAct, kTcHelpers},
    Callable{ProgType::Xdp, {0xc8142812c3d1ee, 0x296f661863f10022, 0xf0779e3976303f7c, 0xffffc}},
    Callable{ProgType::CgroupSkb, {0x80c4280643d1ee, 0x2d6f3e0fe3fb8010, 0x80779e3176303f7f, 0xf0ffc}},
    Callable{ProgType::FlowDissector, {0x8004280443d1ee, 0x296f260063810000, 0x80779e3176303f7c, 0xf0ffc}},
    Callable{ProgType::LwtIn, {0x8004ae1743d1ee, 0x296f260063810200, 0x80779e3176303f7c, 0xf0ffc}},
    Callable{ProgType::LwtOut, {0x8004ae1743d1ee, 0x296f260063810000, 0x80779e3176303f7c, 0xf0ffc}},
    Callable{ProgType::LwtXmit, {0x800fee77f3ffee, 0x296f260063810200, 0x80779e3176303ffc, 0xf0ffc}},
};

/// check_map_func_compatibility (kernel/bpf/verifier.c), for the types and helpers that are emulated: of each
/// type, the helpers that can be called on its maps, as a bit set by id.
class MapUsers {
  public:
    constexpr MapUsers() {
        using abi::MapType;
        for (auto& helpers : users_) {
            helpers.fill(~uint64_t{0});
        }
        needs({12}, {MapType::ProgArray});
        needs({25}, {MapType::PerfEventArray});
        needs({33, 37}, {MapType::CgroupArray});
        needs({51}, {MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap});
        needs({87, 89}, {MapType::Queue, MapType::Stack, MapType::BloomFilter});
        needs({88}, {MapType::Queue, MapType::Stack});
        needs({130, 131, 134, 198}, {MapType::Ringbuf});
        needs({164}, {MapType::Hash, MapType::Array, MapType::PercpuHash, MapType::PercpuArray,
                      MapType::LruHash, MapType::LruPercpuHash});
        needs({195}, {MapType::PercpuHash, MapType::PercpuArray, MapType::LruPercpuHash});
        needs({209}, {MapType::UserRingbuf});
        needs({81}, {MapType::CgroupStorage, MapType::PercpuCgroupStorage});
        needs({107, 108}, {MapType::SkStorage});
        needs({156, 157}, {MapType::TaskStorage});
        needs({210, 211}, {MapType::CgrpStorage});
        only(MapType::ProgArray, {12});
        only(MapType::PerfEventArray, {22, 25, 55, 111, 121});
        only(MapType::CgroupArray, {33, 37});
        only(MapType::ArrayOfMaps, {1});
        only(MapType::HashOfMaps, {1});
        only(MapType::Devmap, {1, 51});
        only(MapType::DevmapHash, {1, 51});
        only(MapType::Cpumap, {51});
        only(MapType::Xskmap, {1, 51});
        only(MapType::Queue, {87, 88, 89});
        only(MapType::Stack, {87, 88, 89});
        only(MapType::Ringbuf, {130, 131, 134, 198});
        only(MapType::BloomFilter, {87, 89});
        only(MapType::UserRingbuf, {209});
        only(MapType::Sockmap, {1, 2, 3, 52, 53, 60, 82});
        only(MapType::Sockhash, {1, 2, 3, 70, 71, 72, 82});
        only(MapType::ReuseportSockarray, {82});
        only(MapType::CgroupStorage, {81});
        only(MapType::PercpuCgroupStorage, {81});
        only(MapType::SkStorage, {107, 108, 194});
        only(MapType::TaskStorage, {156, 157, 194});
        only(MapType::CgrpStorage, {210, 211, 194});
        only(MapType::Arena, {});
    }

    [[nodiscard]] constexpr bool contains(abi::MapType type, uint32_t id) const {
        id = std::min(id, abi::kHelperCount); // all that no helper has are alike
        return (users_[row_of(type)][id / 64] >> (id % 64) & 1) != 0;
    }

  private:
    using Ids = std::initializer_list<uint32_t>;
    using Types = std::initializer_list<abi::MapType>;

    static constexpr size_t kTypes = static_cast<size_t>(abi::MapType::Arena) + 1;

    /// A type that is not known goes with the one that is none.
    static constexpr size_t row_of(abi::MapType type) {
        const auto number = static_cast<size_t>(type);
        return number < kTypes ? number : 0;
    }
    /// The helpers can be called on maps of no other types.
    constexpr void needs(Ids ids, Types types) {
        for (size_t type = 0; type < kTypes; ++type) {
            const bool fits = std::ranges::find(types, static_cast<abi::MapType>(type)) != types.end();
            for (const uint32_t id : ids) {
                users_[type][id / 64] &= ~(uint64_t{!fits} << (id % 64));
            }
        }
    }
    /// No other helpers can be called on maps of the type, whatever those need.
    constexpr void only(abi::MapType type, Ids ids) {
        auto& helpers = users_[row_of(type)];
        helpers.fill(0);
        for (const uint32_t id : ids) {
            helpers[id / 64] |= uint64_t{1} << (id % 64);
        }
    }

    std::array<std::array<uint64_t, 4>, kTypes> users_{};
};

constexpr MapUsers kMapUsers;

/// Implementations by id.
constexpr auto kFunctions = [] {
    std::array<HelperFn, abi::kHelperCount> functions{};
    for (const HelperRow& helper : kHelpers) {
        functions[helper.id] = helper.function;
    }
    return functions;
}();

std::string row(const std::vector<std::string>& cells) {
    std::string line = "|";
    for (const std::string& cell : cells) {
        line += " " + cell + " |";
    }
    return line + "\n";
}

/// What is below the head of a table with that many columns.
std::string rule(size_t columns) {
    std::string line = "|";
    for (size_t i = 0; i < columns; ++i) {
        line += "---|";
    }
    return line + "\n";
}

/// A table of the page, and how many of its rows are in each state.
class Table {
  public:
    explicit Table(const std::vector<std::string>& head) : text_(row(head) + rule(head.size())) {}
    void add(State state, const std::vector<std::string>& cells) {
        ++counts_[static_cast<size_t>(state)];
        text_ += row(cells);
    }
    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] std::string counts(const std::string& of) const {
        std::vector<std::string> cells{of};
        for (const size_t count : counts_) {
            cells.push_back(std::to_string(count));
        }
        return row(cells);
    }

  private:
    std::string text_;
    std::array<size_t, 3> counts_{};
};

/// The emulated program types that can call a helper, as the page says them; sched_act is as sched_cls.
std::string callers_of(uint32_t id) {
    std::string text;
    for (const Callable& one : kCallable) {
        if (one.type != ProgType::SchedAct && helper_allowed(one.type, id)) {
            text += (text.empty() ? "" : ", ") + std::string(abi::name(one.type));
        }
    }
    return text;
}

/// Since when the emulated program types can call a helper: "6.1", and who only later: "6.1, xdp 6.18".
std::string since_of(uint32_t id) {
    std::string text;
    for (const KernelVersion version : kKernelVersions) {
        std::string types;
        bool others = false;
        for (const Callable& one : kCallable) {
            if (one.type == ProgType::SchedAct || !helper_allowed(one.type, id)) {
                continue;
            }
            if (since_helper(one.type, id) == version) {
                types += (types.empty() ? "" : ", ") + std::string(abi::name(one.type));
            } else {
                others = others || since_helper(one.type, id) < version;
            }
        }
        if (!types.empty()) {
            text += (text.empty() ? "" : "; ") + (others ? types + " " : std::string()) +
                    std::string(name(version));
        }
    }
    return text;
}

} // namespace

std::span<const HelperRow> helper_rows() {
    return kHelpers;
}

std::span<const MapRow> map_rows() {
    return kMaps;
}

HelperFn helper_function(uint32_t id) {
    return id < abi::kHelperCount ? kFunctions[id] : nullptr;
}

uint64_t helper_in_register(Machine& machine, const uint64_t* args) {
    const uint64_t id = machine.regs[machine.at->dst];
    const HelperFn helper = id < abi::kHelperCount ? kFunctions[id] : nullptr;
    if (helper == nullptr) {
        return machine.fault(FaultKind::BadCall,
                             "callx: helper " + std::to_string(id) + " is unknown or not emulated");
    }
    return helper(machine, args);
}

bool helper_allowed(abi::ProgType type, uint32_t id) {
    if (type == ProgType::Memory) {
        type = ProgType::Xdp; // how programs on memory run in the kernel
    }
    const auto row = std::ranges::find(kCallable, type, &Callable::type);
    return row != kCallable.end() && id < abi::kHelperCount && (row->helpers[id / 64] >> (id % 64) & 1) != 0;
}

bool helper_wants_gpl(uint32_t id) {
    constexpr std::array kIds{6u,   22u,  25u,  35u,  55u,  69u,  100u, 110u, 112u,
                              113u, 114u, 115u, 158u, 163u, 165u, 169u, 170u, 171u,
                              172u, 175u, 176u, 177u, 191u, 204u, 205u, 206u, 207u};
    return std::ranges::binary_search(kIds, id);
}

bool is_gpl_compatible(std::string_view license) {
    constexpr std::array<std::string_view, 6> kCompatible{
        "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
    return std::ranges::find(kCompatible, license) != kCompatible.end();
}

bool helper_takes_map(uint32_t id, abi::MapType type) {
    return kMapUsers.contains(type, id);
}

std::string_view map_reason(abi::MapType type) {
    switch (type) {
    case abi::MapType::StackTrace:
        return "no program on packets can fill it";
    case abi::MapType::InodeStorage:
        return kNoFiles;
    case abi::MapType::StructOps:
        return "there are no parts of a kernel to replace";
    default:
        return {};
    }
}

std::string_view helper_reason(uint32_t id) {
    const auto found = std::ranges::find(kReasons, id, &Reason::id);
    if (found != kReasons.end()) {
        return found->text;
    }
    const bool callable =
        std::ranges::any_of(kCallable, [&](const Callable& one) { return helper_allowed(one.type, id); });
    return callable ? std::string_view{} : "no program on packets can call it";
}

std::string prog_type_reason(abi::ProgType type) {
    return context_kind(type) != nullptr ? "" : std::string(abi::name(type)) + " programs are not emulated";
}

State insn_state(const InsnForm& form) {
    switch (form.kind) {
    case InsnKind::CallReg:
    case InsnKind::GotoReg:
        return State::Refused;
    case InsnKind::LoadImm64:
        return form.src == op::kBtfId ? State::Scripted : State::Emulated;
    default:
        return State::Emulated;
    }
}

std::string_view insn_test(const InsnForm& form) {
    if (insn_state(form) == State::Refused) {
        return {};
    }
    switch (form.kind) {
    case InsnKind::LoadAbs:
    case InsnKind::LoadInd:
        return "PacketLoads.OffsetsOfAllKinds";
    case InsnKind::LoadImm64:
        if (form.src == op::kMapFd) {
            return "HelperParity.MapHelpers";
        }
        if (form.src == op::kMapValue) {
            return "IsaParity.OneInstructionReachesTwoKindsOfMemory";
        }
        if (form.src == op::kFunc) {
            return "HelperParity.Loop";
        }
        if (form.src == op::kBtfId) {
            return "KernelVariables.ByIdInTheKernelsTypes";
        }
        if (form.src == op::kMapIdx || form.src == op::kMapIdxValue) {
            return "RawParity.MapsByIndex";
        }
        break;
    case InsnKind::CallHelper:
    case InsnKind::CallLocal:
    case InsnKind::Exit:
        return "PluginParity.VectorsReturnTheSameOnTheKernel";
    case InsnKind::CallKfunc:
        return "KfuncParity.IterNum";
    case InsnKind::AddrCast:
        return "ArenaParity.Casts";
    default:
        break;
    }
    return "IsaParity.FormsComputeWhatTheKernelComputes";
}

std::string_view field_test(HiddenField::Kind kind) {
    using Kind = HiddenField::Kind;
    switch (kind) {
    case Kind::SpinLock:
        return "MapParity.SpinLocks";
    case Kind::ResSpinLock:
        return "KfuncParity.ResilientLocks";
    case Kind::Timer:
        return "TimerParity.Firing";
    case Kind::Workqueue:
        return "TimerParity.Workqueues";
    case Kind::TaskWork:
    case Kind::UntrustedKptr:
    case Kind::UserPtr:
        return "FieldParity.MapTypesThatMayHaveThem";
    case Kind::Kptr:
        return "ObjectParity.Pointers";
    case Kind::PercpuKptr:
        return "ObjectParity.PercpuObjects";
    case Kind::ListHead:
    case Kind::ListNode:
        return "ObjectParity.Lists";
    case Kind::RbRoot:
    case Kind::RbNode:
        return "ObjectParity.Trees";
    case Kind::Refcount:
        return "ObjectParity.References";
    }
    return {};
}

std::string_view name(State state) {
    constexpr std::array<std::string_view, 3> kNames{"emulated", "scripted", "refused"};
    return kNames[static_cast<size_t>(state)];
}

std::string support_page() {
    Table helpers({"id", "helper", "state", "called from", "since", "note", "shown by"});
    for (uint32_t id = 1; id < abi::kHelperCount; ++id) {
        const auto found = std::ranges::find(kHelpers, id, &HelperRow::id);
        const bool has = found != kHelpers.end();
        const State state = has ? found->state : State::Refused;
        helpers.add(state,
                    {std::to_string(id), "bpf_" + std::string(abi::helper_name(id)), std::string(name(state)),
                     callers_of(id), since_of(id), std::string(has ? found->note : helper_reason(id)),
                     std::string(has ? found->test : "")});
    }
    Table maps({"id", "type", "state", "since", "note", "shown by"});
    for (uint32_t id = 1; id <= static_cast<uint32_t>(abi::MapType::Arena); ++id) {
        const auto type = static_cast<abi::MapType>(id);
        const auto found = std::ranges::find(kMaps, type, &MapRow::type);
        const bool has = found != kMaps.end();
        const State state = has ? State::Emulated : State::Refused;
        maps.add(state,
                 {std::to_string(id), std::string(abi::name(type)), std::string(name(state)),
                  std::string(name(since_map(type))), std::string(has ? found->note : map_reason(type)),
                  std::string(has ? found->test : "")});
    }
    Table kfuncs({"kfunc", "state", "since", "note", "shown by"});
    for (const KfuncRow& kfunc : kfunc_rows()) {
        kfuncs.add(kfunc.state, {std::string(kfunc.name), std::string(name(kfunc.state)),
                                 std::string(name(since_kfunc(kfunc.name))), std::string(kfunc.note),
                                 std::string(kfunc.test)});
    }
    for (const KfuncReason& refused : kfunc_reasons()) {
        kfuncs.add(State::Refused, {std::string(refused.name), std::string(name(State::Refused)), "",
                                    std::string(refused.text), ""});
    }
    Table insns({"form", "opcode", "state", "since", "shown by"});
    for (const InsnForm& form : insn_forms()) {
        const State state = insn_state(form);
        insns.add(state,
                  {std::string(form.mnemonic), "0x" + to_hex(ByteView(&form.code, 1)),
                   std::string(name(state)), since_insn(form) ? std::string(name(*since_insn(form))) : "",
                   std::string(insn_test(form))});
    }
    std::string page =
        "# What the emulator supports\n\n"
        "Generated by `mimicsh --support`; a test compares this file with the table in `vm/support.cpp`.\n\n"
        "- emulated: does what the kernel does.\n"
        "- scripted: answers what `world` says (docs/vm.md); a value that it asks for and that is not there "
        "ends the run with\n"
        "  a fault that names it.\n"
        "- refused: refused at load, by name and with the source line.\n\n" +
        row({"", "emulated", "scripted", "refused"}) + rule(4) + helpers.counts("helpers") +
        maps.counts("map types") + kfuncs.counts("kernel functions") + insns.counts("instructions") +
        "\nWhat `sched_cls` may call, `sched_act` may. \"Since\" says which of the kernels 6.1, 6.12 and "
        "6.18 "
        "has it first\n"
        "(docs/vm.md, `kernel`). \"Shown by\" is the test that compares it with the running kernel "
        "(tests/kernel).\n\n"
        "## Helpers\n\n" +
        helpers.text() + "\n## Map types\n\n" + maps.text() + "\n## Kernel functions\n\n" + kfuncs.text() +
        "\n## Instructions\n\n" + insns.text();
    page += "\n## Kernel fields of map values\n\n" + row({"field", "since", "shown by"}) + rule(3);
    for (const FieldVersion& field : field_versions()) {
        page += row(
            {std::string(field.name), std::string(name(field.since)), std::string(field_test(field.kind))});
    }
    page +=
        "\n## Flags that older kernels answer with -EINVAL\n\n" + row({"helper", "flags", "since"}) + rule(3);
    for (const LaterFlags& later : later_flags()) {
        page += row({"bpf_" + std::string(abi::helper_name(later.helper)), std::string(later.names),
                     std::string(name(later.since))});
    }
    return page;
}

} // namespace mimicsh::vm
