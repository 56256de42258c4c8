// SPDX-License-Identifier: MIT
// Faults of every kind of memory at both of its ends, of every helper that moves the packet, of what may only
// be read and of what was not given back.
#include "tests/unit/vm/fault_cases.h"

namespace mimicsh::test {

namespace {

constexpr const char* kSocket = R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1:80"}]})";
constexpr const char* kConnection =
    R"({"conntrack": [{"proto": "tcp", "source": "10.0.0.2:5", "destination": "10.0.0.1:80"}]})";
constexpr const char* kFindSocket = "struct bpf_sock_tuple t = {};\nt.ipv4.daddr = 0x0100000a;\n"
                                    "t.ipv4.dport = 0x5000;\n"
                                    "struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &t, 12, -1, 0);\n"
                                    "if (!sk) return 0;\n";
constexpr const char* kFindConnection =
    "struct bpf_sock_tuple t = {};\nt.ipv4.saddr = 0x0200000a;\nt.ipv4.daddr = 0x0100000a;\n"
    "t.ipv4.sport = 0x0500;\nt.ipv4.dport = 0x5000;\n"
    "struct ct_options o = {.netns_id = -1, .l4proto = 6};\n"
    "void *ct = bpf_xdp_ct_lookup(ctx, &t, 12, &o, sizeof(o));\n";
constexpr const char* kVisitKey =
    "static long visit(void *map, __u32 *key, struct value *value, void *other)\n"
    "{\n";
/// A callback that gets at its argument without the analysis knowing what it is.
constexpr const char* kLoop = "static long visit(__u32 i, char *given)\n{\n";

constexpr const char* kTcpSocket =
    R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1:80", "peer": "10.0.0.2:5",
        "tcp": {"snd_cwnd": 10, "icsk_retransmits": 2}}], "socket": {"is": 1}})";
constexpr const char* kOwnSocket = "struct bpf_sock *sk = ctx->sk;\nif (!sk) return 0;\n"
                                   "sk = bpf_sk_fullsock(sk);\nif (!sk) return 0;\n";
/// A callback that is shown a sample as a dynptr.
constexpr const char* kSampleVisit = "static long visit(struct bpf_dynptr *sample, void *other)\n{\n";
constexpr const char* kSampleData =
    "char *p = bpf_dynptr_data(sample, 0, 16);\nif (!p) return 0;\nHIDE(p);\n";
constexpr const char* kDrain = "return bpf_user_ringbuf_drain(&samples, visit, 0, 0) == 1 ? 2 : 0;";

/// A per-CPU object that a map value has, as `char *p`.
constexpr const char* kStorePercpu =
    "struct percpu_holder *h = bpf_map_lookup_elem(&percpu_holders, &key);\nif (!h) return 0;\n"
    "char *p = new_percpu(struct object);\nif (!p) return 0;\np = bpf_kptr_xchg(&h->object, p);\n"
    "if (p) bpf_percpu_obj_drop_impl(p, 0);\np = (void *)h->object;\nif (!p) return 0;\n";

/// Read and write one byte past the end, read one byte before the start, through `p`.
struct Edges {
    const char* name;
    std::string pointer; ///< statements that make `char *p`
    int size;
    const char* region; ///< as messages name it
    const char* after = "";
    const char* section = "xdp";
    const char* world = "";
    bool writable = true;
};

const std::string kPercpuCopy = std::string(kStorePercpu) + "p = bpf_per_cpu_ptr(p, 0);\nif (!p) return 0;\n";

const Edges kEdges[] = {
    {"map value", "char *p = bpf_map_lookup_elem(&array, &key);\nif (!p) return 0;\n", 12,
     "value of map array"},
    {"last value of an array", "key = 3;\nchar *p = bpf_map_lookup_elem(&array, &key);\nif (!p) return 0;\n",
     12, "value of map array"},
    {"hash value",
     "struct value x = {1, 2, 3};\nbpf_map_update_elem(&hash, &key, &x, 0);\n"
     "char *p = bpf_map_lookup_elem(&hash, &key);\nif (!p) return 0;\n",
     12, "value of map hash"},
    {"per-CPU value", "char *p = bpf_map_lookup_elem(&percpu, &key);\nif (!p) return 0;\n", 12,
     "value of map percpu"},
    {"record", "char *p = bpf_ringbuf_reserve(&ring, 16, 0);\nif (!p) return 0;\n", 16, "ring-buffer record",
     "bpf_ringbuf_discard(p, 0);\n"},
    {"object", "char *p = new_object();\nif (!p) return 0;\n", 16, "object", "bpf_obj_drop_impl(p, 0);\n"},
    {"copy of a per-CPU object", kPercpuCopy, 16, "object"},
    {"socket storage",
     std::string(kOwnSocket) + "char *p = bpf_sk_storage_get(&storage, sk, 0, 1);\nif (!p) return 0;\n", 8,
     "value of map storage", "", "tc"},
    {"task storage",
     "struct task_struct *me = bpf_get_current_task_btf();\n"
     "char *p = bpf_task_storage_get(&of_task, me, 0, 1);\nif (!p) return 0;\n",
     8, "value of map of_task"},
    {"cgroup storage",
     "struct task_struct *me = bpf_get_current_task_btf();\n"
     "char *p = cgrp_storage_get(&of_cgroup, me->cgroups->dfl_cgrp, 0, 1);\nif (!p) return 0;\n",
     8, "value of map of_cgroup"},
    {"tcp socket", std::string(kOwnSocket) + "char *p = (void *)bpf_tcp_sock(sk);\nif (!p) return 0;\n", 112,
     "tcp socket", "", "tc", kTcpSocket, false},
    {"dynptr data",
     "struct bpf_dynptr d;\nbpf_dynptr_from_mem(bytes, 32, 0, &d);\nchar *p = bpf_dynptr_data(&d, 4, 8);\n"
     "if (!p) return 0;\n",
     8, "dynptr slice"},
    {"dynptr data of a record",
     "struct bpf_dynptr d;\nif (bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &d)) goto out;\n"
     "char *p = bpf_dynptr_data(&d, 0, 16);\nif (!p) goto out;\n",
     16, "dynptr slice", "out: bpf_ringbuf_discard_dynptr(&d, 0);\n"},
};

void edges(std::vector<FaultCase>& all) {
    for (const Edges& one : kEdges) {
        const std::string made = one.pointer + "HIDE(p);\n";
        const std::string size = std::to_string(one.size);
        const std::string end = ", 1 byte past its end (length " + size + ")";
        const auto add = [&](const char* how, const std::string& access, const std::string& cause) {
            all.push_back({.name = std::string(one.name) + how,
                           .kind = FaultKind::OutOfBounds,
                           .body = made + access + " // here\n" + one.after + "return 2;",
                           .cause = cause,
                           .section = one.section,
                           .world = one.world});
        };
        add(": read past the end", "keep(*(volatile __u8 *)(p + " + size + "));",
            "read of 1 byte at " + std::string(one.region) + "+" + size + end);
        add(": read across the end", "keep(*(volatile __u32 *)(p + " + std::to_string(one.size - 3) + "));",
            "read of 4 bytes at " + std::string(one.region) + "+" + std::to_string(one.size - 3) + end);
        if (one.writable) {
            add(": write past the end", "p[" + size + "] = 1;",
                "write of 1 byte at " + std::string(one.region) + "+" + size + end);
        }
        add(": before the start", "keep(*(volatile __u8 *)(p - 1));",
            "read of 1 byte at " + std::string(one.region) + "-1, 1 byte before its start");
    }
}

void regions(std::vector<FaultCase>& all) {
    constexpr FaultKind kBounds = FaultKind::OutOfBounds;
    all.insert(
        all.end(),
        {{.name = "before the metadata",
          .kind = kBounds,
          .body = "if (bpf_xdp_adjust_meta(ctx, -8)) return 0;\nchar *meta = (void *)(long)ctx->data_meta;\n"
                  "return *(volatile __u8 *)(meta - 1); // here",
          .cause = "read of 1 byte at packet metadata-1, 1 byte before its start"},
         {.name = "metadata without metadata",
          .kind = kBounds,
          .body = "char *meta = (void *)(long)ctx->data_meta;\nreturn *(volatile __u8 *)(meta - 4); // here",
          .cause = "read of 1 byte at packet-4, 4 bytes before its start"},
         {.name = "packet of a classifier",
          .kind = kBounds,
          .body = "return *(volatile __u8 *)(data + 64); // here",
          .cause = "read of 1 byte at packet+64, 1 byte past its end (length 64)",
          .hint = "if (data + 65 > data_end) return",
          .section = "tc"},
         {.name = "key of a callback",
          .kind = kBounds,
          .body = "bpf_for_each_map_elem(&array, visit, 0, 0);\nreturn 2;",
          .cause = "read of 1 byte at map key+4, 1 byte past its end (length 4)",
          .before = std::string(kVisitKey) + "return *((volatile __u8 *)key + 4); // here\n}\n"},
         {.name = "value of a callback",
          .kind = kBounds,
          .body = "bpf_for_each_map_elem(&array, visit, 0, 0);\nreturn 2;",
          .cause = "read of 1 byte at value of map array+12, 1 byte past its end (length 12)",
          .before = std::string(kVisitKey) + "return *((volatile __u8 *)value + 12); // here\n}\n"},
         {.name = "sample: read past the end",
          .kind = kBounds,
          .body = kDrain,
          .cause = "read of 1 byte at dynptr slice+16, 1 byte past its end (length 16)",
          .before = std::string(kSampleVisit) + kSampleData +
                    "keep(*(volatile __u8 *)(p + 16)); // here\nreturn 0;\n}\n"},
         {.name = "sample: read across the end",
          .kind = kBounds,
          .body = kDrain,
          .cause = "read of 4 bytes at dynptr slice+13, 1 byte past its end (length 16)",
          .before = std::string(kSampleVisit) + kSampleData +
                    "keep(*(volatile __u32 *)(p + 13)); // here\nreturn 0;\n}\n"},
         {.name = "sample: write past the end",
          .kind = kBounds,
          .body = kDrain,
          .cause = "write of 1 byte at dynptr slice+16, 1 byte past its end (length 16)",
          .before = std::string(kSampleVisit) + kSampleData + "p[16] = 1; // here\nreturn 0;\n}\n"},
         {.name = "sample: before the start",
          .kind = kBounds,
          .body = kDrain,
          .cause = "read of 1 byte at dynptr slice-1, 1 byte before its start",
          .before = std::string(kSampleVisit) + kSampleData +
                    "keep(*(volatile __u8 *)(p - 1)); // here\nreturn 0;\n}\n"},
         {.name = "dynptr of a sample past its end",
          .kind = kBounds,
          .body = kDrain,
          .cause = "read of 1 byte at ring-buffer sample+16, 1 byte past its end (length 16)",
          .before =
              std::string(kSampleVisit) + "keep(*((volatile __u8 *)sample + 16)); // here\nreturn 0;\n}\n"},
         {.name = "context behind its end",
          .kind = FaultKind::Permission,
          .body = "bpf_loop(1, visit, ctx, 0);\nreturn 2;",
          .cause = "read of 4 bytes at context+24",
          .before = std::string(kLoop) + "return *(volatile __u32 *)(given + 24); // here\n}\n"},
         {.name = "context before its start",
          .kind = FaultKind::Permission,
          .body = "bpf_loop(1, visit, ctx, 0);\nreturn 2;",
          .cause = "read of 4 bytes at context-4",
          .before = std::string(kLoop) + "return *(volatile __u32 *)(given - 4); // here\n}\n"},
         {.name = "flow keys behind their end",
          .kind = kBounds,
          .body = "struct bpf_flow_keys *keys = ctx->flow_keys;\nHIDE(keys);\n"
                  "keep(*((volatile __u8 *)keys + 56)); // here\nreturn 0;",
          .cause = "read of 1 byte at flow keys+56, 1 byte past its end (length 56)",
          .section = "flow_dissector"},
         {.name = "flow keys before their start",
          .kind = kBounds,
          .body = "struct bpf_flow_keys *keys = ctx->flow_keys;\nHIDE(keys);\n"
                  "*((volatile __u8 *)keys - 1) = 1; // here\nreturn 0;",
          .cause = "write of 1 byte at flow keys-1, 1 byte before its start",
          .section = "flow_dissector"},
         {.name = "socket behind its end",
          .kind = kBounds,
          .body = std::string(kFindSocket) +
                  "HIDE(sk);\nkeep(((volatile __u32 *)sk)[20]); // here\nbpf_sk_release(sk);\nreturn 2;",
          .cause = "read of 4 bytes at socket+80, 4 bytes past its end (length 80)",
          .world = kSocket},
         {.name = "socket before its start",
          .kind = kBounds,
          .body = std::string(kFindSocket) +
                  "HIDE(sk);\nkeep(((volatile __u32 *)sk)[-1]); // here\nbpf_sk_release(sk);\nreturn 2;",
          .cause = "read of 4 bytes at socket-4, 4 bytes before its start",
          .world = kSocket},
         {.name = "memory behind its end",
          .kind = kBounds,
          .body = "return *(volatile __u8 *)(ctx + 64); // here",
          .cause = "read of 1 byte at memory+64, 1 byte past its end (length 64)",
          .section = "memory"},
         {.name = "memory before its start",
          .kind = kBounds,
          .body = "return *(volatile __u8 *)(ctx - 1); // here",
          .cause = "read of 1 byte at memory-1, 1 byte before its start",
          .section = "memory"}});
}

void stale_pointers(std::vector<FaultCase>& all) {
    struct Mover {
        const char* section;
        const char* helper;
        const char* args; ///< after the context
    };
    for (const Mover& one : {Mover{"xdp", "bpf_xdp_adjust_head", ", 4"},
                             {"xdp", "bpf_xdp_pull_data", ", 20"},
                             {"xdp", "bpf_xdp_pull_data", ", 1000"},
                             {"xdp", "bpf_xdp_adjust_meta", ", -4"},
                             {"xdp", "bpf_xdp_adjust_tail", ", -4"},
                             {"tc", "bpf_skb_pull_data", ", 0"},
                             {"tc", "bpf_skb_store_bytes", ", 0, &key, 4, 0"},
                             {"tc", "bpf_skb_change_tail", ", 60, 0"},
                             {"tc", "bpf_skb_change_head", ", 14, 0"},
                             {"tc", "bpf_skb_change_proto", ", 0xdd86, 0"},
                             {"tc", "bpf_skb_adjust_room", ", 8, 1, 0"},
                             {"tc", "bpf_skb_vlan_push", ", 0x81, 1"},
                             {"tc", "bpf_skb_vlan_pop", ""},
                             {"tc", "bpf_l3_csum_replace", ", 24, 0, 1, 2"},
                             {"tc", "bpf_l4_csum_replace", ", 40, 0, 1, 2"},
                             {"tc", "bpf_clone_redirect", ", 1, 0"}}) {
        all.push_back({.name = std::string("stale after ") + one.helper,
                       .kind = FaultKind::BadPointer,
                       .body = "if (data + 20 > end) return 0;\n" + std::string(one.helper) + "(ctx" +
                               one.args + ");\nreturn *(volatile __u8 *)data; // here",
                       .cause = "read of 1 byte through a stale packet pointer: " + std::string(one.helper) +
                                " made it invalid",
                       .hint = "load ctx->data and ctx->data_end again",
                       .section = one.section,
                       .world = R"({"interfaces": [{"name": "lo", "index": 1}]})"});
    }
}

void permissions(std::vector<FaultCase>& all) {
    constexpr FaultKind kPermission = FaultKind::Permission;
    all.insert(
        all.end(),
        {{.name = "packet that may only be read",
          .kind = kPermission,
          .body = "bpf_loop(1, visit, data, 0);\nreturn 1;",
          .cause = "write of 1 byte to the packet, which programs of this type may only read",
          .section = "cgroup_skb/ingress",
          .before = std::string(kLoop) + "*(volatile __u8 *)given = 1; // here\nreturn 0;\n}\n"},
         {.name = "context field that may only be read",
          .kind = kPermission,
          .body = "bpf_loop(1, visit, ctx, 0);\nreturn 2;",
          .cause = "write of 4 bytes at context+12: struct xdp_md cannot be written there",
          .before = std::string(kLoop) + "*(volatile __u32 *)(given + 12) = 1; // here\nreturn 0;\n}\n"},
         {.name = "map that programs may only read",
          .kind = kPermission,
          .body = "struct value *v = bpf_map_lookup_elem(&fixed, &key);\nif (!v) return 0;\n"
                  "v->a = 1; // here\nreturn 2;",
          .cause = "write of 4 bytes of map fixed, which programs may only read"},
         {.name = "update of a map that programs may only read",
          .kind = kPermission,
          .body = "struct value v = {1, 2, 3};\nbpf_map_update_elem(&fixed, &key, &v, 0); // here\nreturn 2;",
          .cause = "bpf_map_update_elem: programs may only read fixed"},
         {.name = "key of a callback written",
          .kind = kPermission,
          .body = "bpf_for_each_map_elem(&array, visit, 0, 0);\nreturn 2;",
          .cause = "write of 4 bytes of a map key, which may only be read",
          .before = std::string(kVisitKey) + "*(volatile __u32 *)key = 1; // here\nreturn 0;\n}\n"},
         {.name = "socket written",
          .kind = kPermission,
          .body = std::string(kFindSocket) +
                  "HIDE(sk);\n*(volatile __u32 *)sk = 1; // here\nbpf_sk_release(sk);\nreturn 2;",
          .cause = "write of 4 bytes at socket+0: sockets can only be read",
          .world = kSocket},
         {.name = "per-CPU object itself",
          .kind = kPermission,
          .body = std::string(kStorePercpu) + "HIDE(p);\n*(volatile __u32 *)p = 1; // here\nreturn 2;",
          .cause =
              "write of 4 bytes through a pointer to a per-CPU object (bpf_per_cpu_ptr gives a copy of it)"},
         {.name = "per-CPU object that is in no map value",
          .kind = FaultKind::Strict,
          .body = "char *p = new_percpu(struct object);\nif (!p) return 0;\n"
                  "bpf_per_cpu_ptr(p, 0); // here\nbpf_percpu_obj_drop_impl(p, 0);\nreturn 2;",
          .cause = "bpf_per_cpu_ptr: the object is not in a map value yet",
          .hint = "store it with bpf_kptr_xchg"},
         {.name = "object in place of a per-CPU object",
          .kind = FaultKind::BadCall,
          .body = "struct percpu_holder *h = bpf_map_lookup_elem(&percpu_holders, &key);\nif (!h) return 0;\n"
                  "void *p = new_object();\nif (!p) return 0;\n"
                  "p = bpf_kptr_xchg(&h->object, p); // here\nif (p) bpf_obj_drop_impl(p, 0);\nreturn 2;",
          .cause = "bpf_kptr_xchg: the argument is no per-CPU object"},
         {.name = "large per-CPU object",
          .kind = FaultKind::BadCall,
          .body = "void *p = new_percpu(struct large); // here\nif (p) bpf_percpu_obj_drop_impl(p, "
                  "0);\nreturn 2;",
          .cause = "has more than 512 bytes"},
         {.name = "per-CPU object with a pointer",
          .kind = FaultKind::BadCall,
          .body = "void *p = new_percpu(struct percpu_holder); // here\n"
                  "if (p) bpf_percpu_obj_drop_impl(p, 0);\nreturn 2;",
          .cause = "is no struct of numbers"},
         {.name = "field of a connection written",
          .kind = kPermission,
          .body = std::string(kFindConnection) + "if (!ct) return 0;\nHIDE(ct);\n*(volatile __u64 *)ct = 1; "
                                                 "// here\nbpf_ct_release(ct);\nreturn 2;",
          .cause = "write of 8 bytes at struct nf_conn + 0: programs may write its field mark only",
          .world = kConnection},
         {.name = "connection that was given back",
          .kind = FaultKind::BadPointer,
          .body = std::string(kFindConnection) +
                  "if (!ct) return 0;\nbpf_ct_release(ct);\nreturn *(volatile __u32 *)ct; // here",
          .cause = "read of 4 bytes through a stale connection pointer: bpf_ct_release made it invalid",
          .world = kConnection},
         {.name = "struct behind the context written",
          .kind = kPermission,
          .body = "void *skb = bpf_cast_to_kern_ctx(ctx);\n*(volatile __u32 *)skb = 1; // here\nreturn 0;",
          .cause = "write of 4 bytes through a pointer to the kernel's struct sk_buff",
          .section = "tc"},
         {.name = "cast to a number",
          .kind = FaultKind::BadCall,
          .body = "void *p = bpf_rdonly_cast(ctx, __builtin_btf_type_id(*(int *)0, 1)); // here\n"
                  "return p ? 2 : 1;",
          .cause = "is no struct of the kernel"},
         {.name = "map itself",
          .kind = kPermission,
          .body = "bpf_loop(1, visit, &array, 0);\nreturn 2;",
          .cause = "write of 1 byte through a pointer to a map",
          .before = std::string(kLoop) + "*(volatile __u8 *)given = 1; // here\nreturn 0;\n}\n"}});
}

void left_open(std::vector<FaultCase>& all) {
    const auto add = [&](const char* name, const std::string& body, const char* cause, const char* hint,
                         const char* world = "") {
        all.push_back({.name = name,
                       .kind = FaultKind::Strict,
                       .body = body,
                       .cause = cause,
                       .hint = hint,
                       .world = world});
    };
    add("socket left open", std::string(kFindSocket) + "return 2;",
        "the program ends with a socket that was not released",
        "call bpf_sk_release on the socket that was found at line", kSocket);
    add("dynptr of a record left open",
        "struct bpf_dynptr d;\nbpf_ringbuf_reserve_dynptr(&ring, 8, 0, &d);\nreturn 2;",
        "the program ends with a ring-buffer record that was neither submitted nor discarded",
        "submit or discard the record that was reserved at line");
    add("object left open", "void *p = new_object();\nreturn p ? 2 : 1;",
        "the program ends with an object that was neither dropped nor stored",
        "drop or store the object that was taken at line");
    add("pointer taken out of a map left open",
        "struct holder *h = bpf_map_lookup_elem(&holders, &key);\nif (!h) return 0;\n"
        "void *p = new_object();\nif (!p) return 0;\np = bpf_kptr_xchg(&h->object, p);\n"
        "if (p) bpf_obj_drop_impl(p, 0);\np = bpf_kptr_xchg(&h->object, 0);\nreturn p ? 2 : 1;",
        "the program ends with an object that was neither dropped nor stored",
        "drop or store the object that was taken at line");
    add("RCU section left open", "bpf_rcu_read_lock();\nreturn 2;",
        "the program ends inside a RCU read section", "leave the section that was entered at line");
    add("section without preemption left open", "bpf_preempt_disable();\nreturn 2;",
        "the program ends inside a section without preemption", "leave the section that was entered at line");
    add("section without interrupts left open", "unsigned long f;\nbpf_local_irq_save(&f);\nreturn 2;",
        "the program ends inside a section without interrupts", "leave the section that was entered at line");
    add("connection left open", std::string(kFindConnection) + "return ct ? 2 : 1;",
        "the program ends with a connection that was not given back", "call bpf_ct_release", kConnection);
    add("IPsec state left open",
        "struct xfrm_options x = {.netns = -1, .daddr = {0x0100000a}, .spi = 0x05000000, .proto = 50, "
        ".family = 2};\nvoid *state = bpf_xdp_get_xfrm_state(ctx, &x, sizeof(x));\nreturn state ? 2 : 1;",
        "the program ends with an IPsec state that was not released", "call bpf_xdp_xfrm_state_release",
        R"({"xfrm_states": [{"destination": "10.0.0.1", "spi": 5, "proto": "esp"}]})");
}

// -- Open-coded iterators --

constexpr const char* kNumbers = "__u64 it; int *i;\n";
constexpr const char* kBits = "__u64 it[2] __attribute__((aligned(8)));\nint *i;\n__u64 words[2] = {5, 1};\n";
constexpr const char* kEmptyVisit = "static long visit(__u32 n, void *given)\n{\n";

void iterators_left_open(std::vector<FaultCase>& all) {
    const auto add = [&](const char* name, const std::string& body, const char* hint,
                         const std::string& before = "") {
        all.push_back({.name = name,
                       .kind = FaultKind::Strict,
                       .body = body,
                       .cause = "the program ends with an iterator that was not destroyed",
                       .hint = hint,
                       .before = before});
    };
    add("iterator of numbers left open",
        std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\n"
                                "while ((i = bpf_iter_num_next(&it))) keep(*i);\nreturn 2;",
        "call bpf_iter_num_destroy on what was made at line");
    add("iterator that an early exit leaves open",
        std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\nwhile ((i = bpf_iter_num_next(&it)))\n"
                                "if (*i == number - 0x1233) return 2;\nbpf_iter_num_destroy(&it);\nreturn 2;",
        "call bpf_iter_num_destroy on what was made at line");
    add("iterator of nothing left open",
        std::string(kNumbers) + "keep(bpf_iter_num_new(&it, 3, 0));\nreturn 2;", "call bpf_iter_num_destroy");
    add("iterator of bits left open",
        std::string(kBits) + "bpf_iter_bits_new(&it, words, 2);\n"
                             "while ((i = bpf_iter_bits_next(&it))) keep(*i);\nreturn 2;",
        "call bpf_iter_bits_destroy on what was made at line");
    add("outer iterator left open",
        std::string(kNumbers) +
            "__u64 inner;\nbpf_iter_num_new(&it, 0, 3);\nbpf_iter_num_new(&inner, 0, 3);\n"
            "bpf_iter_num_destroy(&inner);\nreturn 2;",
        "call bpf_iter_num_destroy");
    add("iterator of a subprogram left open", "part(0);\nreturn 2;", "call bpf_iter_num_destroy",
        "NOINLINE int part(int n)\n{\n__u64 it;\nbpf_iter_num_new(&it, n, 3);\nreturn 0;\n}\n");
    add("iterator of a callback left open", "bpf_loop(1, visit, 0, 0);\nreturn 2;",
        "call bpf_iter_num_destroy",
        std::string(kEmptyVisit) + "__u64 it;\nbpf_iter_num_new(&it, 0, 3);\nreturn 0;\n}\n");
}

void iterators(std::vector<FaultCase>& all) {
    const auto add = [&](const char* name, const std::string& body, const std::string& cause,
                         const char* hint = "", const std::string& before = "",
                         FaultKind kind = FaultKind::BadCall) {
        all.push_back(
            {.name = name, .kind = kind, .body = body, .cause = cause, .hint = hint, .before = before});
    };
    const std::string make = std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\n";
    const std::string rest = "bpf_iter_num_destroy(&it);\nreturn 2;";
    const std::string none = ": no iterator is there that was made and not destroyed";
    add("next without an iterator",
        "__u64 it = number;\nkeep((long)bpf_iter_num_next(&it)); // here\nreturn 2;",
        "bpf_iter_num_next" + none, "call bpf_iter_num_new before it");
    add("destroy without an iterator", "__u64 it = 0;\nbpf_iter_num_destroy(&it); // here\nreturn 2;",
        "bpf_iter_num_destroy" + none);
    add("next after destroy",
        make + "bpf_iter_num_destroy(&it);\nkeep((long)bpf_iter_num_next(&it)); // here\nreturn 2;",
        "bpf_iter_num_next" + none);
    add("destroyed twice", make + "bpf_iter_num_destroy(&it);\nbpf_iter_num_destroy(&it); // here\nreturn 2;",
        "bpf_iter_num_destroy" + none);
    add("bits destroyed twice",
        std::string(kBits) + "bpf_iter_bits_new(&it, words, 2);\nbpf_iter_bits_destroy(&it);\n"
                             "bpf_iter_bits_destroy(&it); // here\nreturn 2;",
        "bpf_iter_bits_destroy" + none, "call bpf_iter_bits_new before it");
    add("iterator of another kind",
        std::string(kBits) + "bpf_iter_num_new(&it, 0, 3);\nkeep((long)bpf_iter_bits_next(&it)); // here\n" +
            rest,
        "bpf_iter_bits_next" + none);
    add("iterator zeroed",
        make + "*(volatile __u64 *)&it = 0;\nkeep((long)bpf_iter_num_next(&it)); // here\n" + rest,
        "bpf_iter_num_next: the program wrote over the iterator that was made at line");
    add("iterator written over in part",
        make + "*(volatile __u32 *)&it = 7;\nbpf_iter_num_destroy(&it); // here\nreturn 2;",
        "bpf_iter_num_destroy: the program wrote over the iterator that was made at line");
    add("bits zeroed",
        std::string(kBits) +
            "bpf_iter_bits_new(&it, words, 2);\n*(volatile __u64 *)it = 0;\n"
            "keep((long)bpf_iter_bits_next(&it)); // here\nbpf_iter_bits_destroy(&it);\nreturn 2;",
        "bpf_iter_bits_next: the program wrote over the iterator that was made at line");
    add("iterator made where one is", make + "bpf_iter_num_new(&it, 0, 3); // here\n" + rest,
        "bpf_iter_num_new: the iterator that is there was not destroyed",
        "call bpf_iter_num_destroy on what was made at line");
    add("iterator made in the middle of one",
        std::string(kBits) + "bpf_iter_bits_new(&it, words, 2);\nbpf_iter_num_new(&it[1], 0, 3); // here\n"
                             "bpf_iter_bits_destroy(&it);\nreturn 2;",
        "bpf_iter_num_new: the iterator that is there was not destroyed",
        "call bpf_iter_bits_destroy on what was made at line");
    add("iterator of a subprogram made again", "part(0);\npart(1);\nreturn 2;",
        "bpf_iter_num_new: the iterator that is there was not destroyed", "call bpf_iter_num_destroy",
        "NOINLINE int part(int n)\n{\n__u64 it;\nbpf_iter_num_new(&it, n, 3); // here\nreturn 0;\n}\n");
    add("iterator in a map value",
        "char *it = bpf_map_lookup_elem(&array, &key);\nif (!it) return 0;\n"
        "bpf_iter_num_new(it, 0, 3); // here\nbpf_iter_num_destroy(it);\nreturn 2;",
        "bpf_iter_num_new: an iterator is on the stack, at a multiple of 8");
    add("iterator at an odd place",
        "__u64 it[2];\nbpf_iter_num_new((char *)it + 4, 0, 3); // here\n"
        "bpf_iter_num_destroy((char *)it + 4);\nreturn 2;",
        "bpf_iter_num_new: an iterator is on the stack, at a multiple of 8");
    add("tail call with an iterator", make + "bpf_tail_call(ctx, &programs, 0); // here\n" + rest,
        "bpf_tail_call may end the program, which has an iterator to destroy, made at line", "before it", "",
        FaultKind::Strict);
    add("exception with an iterator", make + "if (number) bpf_throw(1); // here\n" + rest,
        "bpf_throw: an iterator is not destroyed", "before the call", "", FaultKind::Strict);
}

void clean_iterators(std::vector<FaultCase>& all) {
    const auto add = [&](const char* name, const std::string& body, const std::string& before = "") {
        all.push_back({.name = name, .kind = FaultKind::Strict, .body = body, .cause = "", .before = before});
    };
    const std::string next = "while ((i = bpf_iter_num_next(&it))) keep(*i);\n";
    add("iterators in a row at one place",
        std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\n" + next +
            "keep((long)bpf_iter_num_next(&it));\nbpf_iter_num_destroy(&it);\n"
            "bpf_iter_num_new(&it, 7, 9);\n" +
            next + "bpf_iter_num_destroy(&it);\nreturn 2;");
    add("iterator of an impossible range", std::string(kNumbers) + "keep(bpf_iter_num_new(&it, 3, 0));\n" +
                                               next + "bpf_iter_num_destroy(&it);\nreturn 2;");
    add("iterator that an early exit destroys",
        std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\n"
                                "while ((i = bpf_iter_num_next(&it))) if (*i == 1) break;\n"
                                "bpf_iter_num_destroy(&it);\nreturn 2;");
    add("iterators in each other",
        std::string(kBits) +
            "__u64 inner;\nbpf_iter_bits_new(&it, words, 2);\n"
            "while ((i = bpf_iter_bits_next(&it))) {\nint *j, sum = *i;\n"
            "bpf_iter_num_new(&inner, 0, 2);\n"
            "while ((j = bpf_iter_num_next(&inner))) sum += *j;\n"
            "bpf_iter_num_destroy(&inner);\nkeep(sum);\n}\nbpf_iter_bits_destroy(&it);\nreturn 2;");
    add("iterator of a callback", "return bpf_loop(3, visit, 0, 0) == 3 ? 2 : 0;",
        std::string(kEmptyVisit) + kNumbers + "bpf_iter_num_new(&it, 0, 3);\n" + next +
            "bpf_iter_num_destroy(&it);\nreturn 0;\n}\n");
    add("iterator of a caller",
        std::string(kNumbers) + "bpf_iter_num_new(&it, 0, 3);\nkeep(take(&it));\n"
                                "bpf_iter_num_destroy(&it);\nreturn 2;",
        "NOINLINE __u64 take(void *it)\n{\nint *i = bpf_iter_num_next(it);\nreturn i ? *i : 9;\n}\n");
}

} // namespace

std::vector<FaultCase> region_clean_cases() {
    std::vector<FaultCase> all;
    const auto add = [&](const std::string& name, const std::string& body, const std::string& section = "xdp",
                         const std::string& before = "", const char* world = "") {
        all.push_back({.name = name + ": first and last byte",
                       .kind = FaultKind::Strict,
                       .body = body,
                       .cause = "",
                       .section = section,
                       .before = before,
                       .world = world});
    };
    for (const Edges& one : kEdges) {
        const std::string last = std::to_string(one.size - 1);
        const std::string word = std::to_string(one.size - 4);
        add(one.name,
            one.pointer + "HIDE(p);\n" +
                (one.writable
                     ? "p[0] = 5;\np[" + last + "] = 6;\nkeep(*(volatile __u8 *)p + *(volatile __u8 *)(p + " +
                           last + "));\n"
                     : "keep(*(volatile __u32 *)p + *(volatile __u32 *)(p + " + word + "));\n") +
                one.after + "return 2;",
            one.section, "", one.world);
    }
    const std::string packet = "if (data + 64 > end) return 0;\ndata[0] = 5;\ndata[63] = 6;\n"
                               "keep(*(volatile __u8 *)data + *(volatile __u32 *)(data + 60));\nreturn 2;";
    add("packet", packet);
    add("packet of a classifier", packet, "tc");
    add("metadata",
        "if (bpf_xdp_adjust_meta(ctx, -8)) return 0;\nchar *meta = (void *)(long)ctx->data_meta;\n"
        "data = (void *)(long)ctx->data;\nif (meta + 8 > data) return 0;\nmeta[0] = 1;\nmeta[7] = 2;\n"
        "keep(*(volatile __u8 *)meta + *(volatile __u8 *)(meta + 7));\nreturn 2;");
    add("packet after bpf_xdp_pull_data",
        "if (bpf_xdp_pull_data(ctx, 20)) return 0;\ndata = (void *)(long)ctx->data;\n"
        "end = (void *)(long)ctx->data_end;\n" +
            packet);
    add("stack",
        "asm volatile(\"r1 = 1; *(u8 *)(r10 - 1) = r1; *(u8 *)(r10 - 512) = r1; "
        "r0 = *(u8 *)(r10 - 1); r0 = *(u8 *)(r10 - 512)\" ::: \"r0\", \"r1\", \"memory\");\nreturn 2;");
    add("context", "keep(ctx->data_end - ctx->data + ctx->rx_queue_index);\nreturn 2;");
    add("context of a classifier", "keep(ctx->len + ctx->hwtstamp);\nreturn 2;", "tc");
    add("key and value of a callback", "return bpf_for_each_map_elem(&array, visit, 0, 0) == 4 ? 2 : 0;",
        "xdp",
        std::string(kVisitKey) +
            "keep(*(volatile __u8 *)key + *((volatile __u8 *)key + 3));\n*(volatile __u8 *)value = 1;\n"
            "keep(*((volatile __u8 *)value + 11));\nreturn 0;\n}\n");
    add("flow keys",
        "struct bpf_flow_keys *keys = ctx->flow_keys;\nkeys->nhoff = 14;\n"
        "keep(keys->nhoff + keys->flow_label);\nreturn 0;",
        "flow_dissector");
    add("socket", std::string(kOwnSocket) + "keep(sk->bound_dev_if + sk->rx_queue_mapping);\nreturn 2;",
        "tc");
    add("memory", "ctx[0] = 1;\nreturn *(volatile __u8 *)(ctx + 63) ? 2 : 2;", "memory");
    add("sample", kDrain, "xdp",
        std::string(kSampleVisit) + kSampleData +
            "p[0] = 1;\np[15] = 2;\nkeep(*(volatile __u8 *)(p + 15));\nreturn 0;\n}\n");
    add("map that programs may only read", "struct value *v = bpf_map_lookup_elem(&fixed, &key);\nif (!v) "
                                           "return 0;\nkeep(v->a + v->c);\nreturn 2;");
    add("constant data", "keep(constants[0] + constants[3]);\nreturn 2;");
    clean_iterators(all);
    return all;
}

std::vector<FaultCase> region_fault_cases() {
    std::vector<FaultCase> all;
    edges(all);
    regions(all);
    stale_pointers(all);
    permissions(all);
    left_open(all);
    iterators_left_open(all);
    iterators(all);
    return all;
}

} // namespace mimicsh::test
