// SPDX-License-Identifier: MIT
// The tables of refused and accepted programs.
#include "tests/unit/vm/refusal_cases.h"

namespace mimicsh::test {

namespace {

/// A program of one function.
RefusalCase plain(std::string name, std::vector<Insn> insns, std::string text, uint32_t slot) {
    return {std::move(name),
            [insns = std::move(insns)] {
                RawObject raw;
                raw.add(insns);
                return raw.share();
            },
            std::move(text), slot};
}

RefusalCase built(std::string name, const std::function<void(RawObject&)>& build, std::string text,
                  uint32_t slot) {
    return {std::move(name),
            [build] {
                RawObject raw;
                build(raw);
                return raw.share();
            },
            std::move(text), slot};
}

constexpr int kData = 0, kEnd = 4;

Insn alu32(int operation, int dst, int64_t imm) {
    return insn(op::kAlu | operation | op::kK, dst, 0, 0, imm);
}
Insn alu64(int operation, int dst, int64_t imm) {
    return insn(op::kAlu64 | operation | op::kK, dst, 0, 0, imm);
}

void pointer_arithmetic(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    all.push_back(
        plain("32-bit addition to a packet pointer",
              {load(op::kW, 2, 1, kData), alu32(op::kAdd, 2, 4), load(op::kB, 0, 2, 0), exit_insn()},
              "32-bit arithmetic on a packet pointer", 1));
    all.push_back(plain("32-bit addition to the context pointer",
                        {alu32(op::kAdd, 1, 4), load(op::kW, 0, 1, 0), exit_insn()},
                        "32-bit arithmetic on the context pointer", 0));
    for (const auto& [operation, name] : {std::pair{int{op::kAnd}, "and"},
                                          {int{op::kOr}, "or"},
                                          {int{op::kXor}, "xor"},
                                          {int{op::kLsh}, "shift"},
                                          {int{op::kMul}, "mul"}}) {
        all.push_back(
            plain(std::string(name) + " on the stack pointer",
                  {mov_reg(2, 10), alu64(operation, 2, 8), pass, load(op::kB, 3, 2, -8), exit_insn()},
                  "only addition to and subtraction from a pointer", 1));
        all.push_back(
            plain(std::string(name) + " on a packet pointer",
                  {load(op::kW, 2, 1, kData), alu64(operation, 2, 8), load(op::kB, 0, 2, 0), exit_insn()},
                  "only addition to and subtraction from a pointer", 1));
    }
    all.push_back(plain("arithmetic on data_end", {load(op::kW, 2, 1, kEnd), add(2, 8), pass, exit_insn()},
                        "arithmetic on data_end", 1));
    all.push_back(plain("subtraction from data_end",
                        {load(op::kW, 2, 1, kEnd), alu64(op::kSub, 2, 8), pass, exit_insn()},
                        "arithmetic on data_end", 1));
    all.push_back(built(
        "addition to a map",
        [](RawObject& raw) {
            const uint32_t map = raw.add_map(map_def("hash", abi::MapType::Hash, 4, 8, 1));
            raw.load_map(2, map).add({add(2, 8), mov(0, 2), exit_insn()});
        },
        "arithmetic on a map", 2));
    all.push_back(
        plain("sum of two pointers",
              {load(op::kW, 2, 1, kData), mov_reg(3, 10), insn(op::kAlu64 | op::kAdd | op::kX, 2, 3, 0, 0),
               load(op::kB, 0, 2, 0), exit_insn()},
              "sum of two pointers", 2));
}

void context(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    for (const int size : {op::kB, op::kH, op::kDw}) {
        all.push_back(plain("load of ctx->data in " +
                                std::to_string(access_size(static_cast<uint8_t>(size))) + " bytes",
                            {load(size, 2, 1, kData), pass, exit_insn()}, "context access", 0));
    }
    all.push_back(plain("load from an odd context offset", {load(op::kW, 2, 1, 2), pass, exit_insn()},
                        "context access", 0));
    all.push_back(
        plain("load behind the context", {load(op::kW, 2, 1, 24), pass, exit_insn()}, "context access", 0));
    all.push_back(
        plain("load before the context", {load(op::kW, 2, 1, -4), pass, exit_insn()}, "context access", 0));
    all.push_back(plain("egress_ifindex outside a devmap", {load(op::kW, 2, 1, 20), pass, exit_insn()},
                        "egress_ifindex", 0));
    all.push_back(plain("sign-extending load of ctx->data",
                        {insn(op::kLdx | op::kMemSx | op::kW, 2, 1, kData, 0), pass, exit_insn()},
                        "sign-extending", 0));
    all.push_back(plain("store to the context", {pass, store_reg(op::kW, 1, 16, 0), exit_insn()},
                        "write to the context", 1));
    all.push_back(plain("constant to the context", {store_imm(op::kW, 1, 0, 1), pass, exit_insn()},
                        "write to the context", 0));
    all.push_back(plain("atomic on the context",
                        {pass, insn(op::kStx | op::kAtomic | op::kW, 1, 0, 12, op::kAdd), exit_insn()},
                        "atomic operation on the context", 1));
    all.push_back(
        plain("context at a variable offset",
              {load(op::kW, 2, 1, 12), alu64(op::kAnd, 2, 4),
               insn(op::kAlu64 | op::kAdd | op::kX, 1, 2, 0, 0), load(op::kW, 0, 1, 0), exit_insn()},
              "variable offset", 3));
}

void registers(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    all.push_back(plain("r0 never set", {exit_insn()}, "r0 is read before", 0));
    all.push_back(plain("r5 never set", {mov_reg(0, 5), exit_insn()}, "r5 is read before", 0));
    all.push_back(plain("r1 after a call", {call(8), mov_reg(0, 1), exit_insn()}, "r1 is read before", 1));
    all.push_back(plain("write to r10", {mov(10, 0), pass, exit_insn()}, "r10 is read only", 0));
    all.push_back(plain("addition to r10", {add(10, 8), pass, exit_insn()}, "r10 is read only", 0));
    all.push_back(
        plain("load into r10", {load(op::kW, 10, 1, 12), pass, exit_insn()}, "r10 is read only", 0));
    all.push_back(plain("swap of r10", {insn(op::kAlu64 | op::kEnd, 10, 0, 0, 16), pass, exit_insn()},
                        "r10 is read only", 0));
    all.push_back(
        plain("fetch into r10",
              {store_imm(op::kDw, 10, -8, 0),
               insn(op::kStx | op::kAtomic | op::kDw, 10, 10, -8, op::kAdd | op::kFetch), pass, exit_insn()},
              "r10 is read only", 1));
    all.push_back(plain("number as a pointer", {mov(2, 4096), load(op::kB, 0, 2, 0), exit_insn()},
                        "r2 is a number", 1));
    all.push_back(plain("store through data_end",
                        {load(op::kW, 2, 1, kEnd), store_imm(op::kB, 2, 0, 1), pass, exit_insn()},
                        "access through data_end", 1));
    for (const int size : {op::kW, op::kDw}) {
        all.push_back(plain("atomic on the packet",
                            {load(op::kW, 2, 1, kData), load(op::kW, 3, 1, kEnd), mov_reg(4, 2), add(4, 14),
                             pass, insn(op::kJmp | op::kJgt | op::kX, 4, 3, 1, 0),
                             insn(op::kStx | op::kAtomic | size, 2, 0, 0, op::kAdd), exit_insn()},
                            "atomic operation on the packet", 6));
    }
}

void operands(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    for (const int operation : {op::kLsh, op::kRsh, op::kArsh}) {
        all.push_back(
            plain("64-bit shift by 64", {pass, alu64(operation, 0, 64), exit_insn()}, "shift by 64", 1));
        all.push_back(
            plain("32-bit shift by 32", {pass, alu32(operation, 0, 32), exit_insn()}, "shift by 32", 1));
        all.push_back(plain("shift by -1", {pass, alu64(operation, 0, -1), exit_insn()}, "shift by -1", 1));
    }
    for (const int operation : {op::kDiv, op::kMod}) {
        for (const int off : {0, 1}) {
            all.push_back(plain("division by constant 0",
                                {pass, insn(op::kAlu64 | operation, 0, 0, off, 0), exit_insn()},
                                "division by the constant 0", 1));
            all.push_back(plain("32-bit division by constant 0",
                                {pass, insn(op::kAlu | operation, 0, 0, off, 0), exit_insn()},
                                "division by the constant 0", 1));
        }
    }
    all.push_back(plain("code that nothing reaches", {pass, jump(1), mov(0, 1), exit_insn()},
                        "nothing reaches this instruction", 2));
    all.push_back(plain("callx",
                        {mov(2, 0), insn(op::kJmp | op::kCall | op::kX, 2, 0, 0, 0), pass, exit_insn()},
                        "callx", 1));
    all.push_back(
        plain("gotox", {mov(2, 0), insn(op::kJmp | op::kJa | op::kX, 2, 0, 0, 0), pass, exit_insn()}, "", 1));
    all.push_back(plain("packet load of socket filters",
                        {mov_reg(6, 1), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()},
                        "BPF_LD_ABS", 1));
    all.push_back(
        plain("opcode of no kernel", {insn(0xff, 0, 0, 0, 0), pass, exit_insn()}, "opcode 0xff", 0));
    all.push_back(plain("field that must be zero",
                        {insn(op::kAlu64 | op::kMov | op::kK, 0, 3, 0, 2), exit_insn()}, "opcode 0xb7", 0));
    all.push_back(plain("8-bit compare and exchange",
                        {store_imm(op::kDw, 10, -8, 0), pass,
                         insn(op::kStx | op::kAtomic | op::kB, 10, 0, -8, op::kCmpxchg), exit_insn()},
                        "opcode 0xd3", 2));
}

void calls(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    all.push_back(plain("unknown helper", {call(100000), pass, exit_insn()}, "helper 100000 is unknown", 0));
    all.push_back(plain("helper number 0", {call(0), pass, exit_insn()}, "unknown", 0));
    all.push_back(plain("negative helper", {call(-1), pass, exit_insn()}, "helper -1 is unknown", 0));
    all.push_back(plain("helper of other programs",
                        {mov(2, 0), mov(3, 0), mov(4, 0), mov(5, 0), call(9), pass, exit_insn()},
                        "bpf_skb_store_bytes cannot be called from xdp programs", 4));
    all.push_back(built(
        "recursion",
        [](RawObject& raw) {
            raw.call_function(1).add(exit_insn());
            raw.begin_function("again");
            raw.call_function(1).add(exit_insn());
        },
        "calls itself", 2));
    all.push_back(built(
        "mutual recursion",
        [](RawObject& raw) {
            raw.call_function(1).add(exit_insn());
            raw.begin_function("ping");
            raw.call_function(2).add(exit_insn());
            raw.begin_function("pong");
            raw.call_function(1).add(exit_insn());
        },
        "calls itself", 4));
    all.push_back(built(
        "nine frames",
        [](RawObject& raw) {
            raw.call_function(1).add(exit_insn());
            for (uint32_t i = 1; i < 9; ++i) {
                raw.begin_function("level" + std::to_string(i));
                if (i < 8) {
                    raw.call_function(i + 1);
                } else {
                    raw.add(mov(0, 2));
                }
                raw.add(exit_insn());
            }
        },
        "deeper than 8 frames", 14));
    all.push_back(built(
        "stack of two functions above 512",
        [](RawObject& raw) {
            raw.add(store_imm(op::kDw, 10, -512, 1)).call_function(1).add(exit_insn());
            raw.begin_function("deep");
            raw.add({store_imm(op::kDw, 10, -8, 1), mov(0, 2), exit_insn()});
        },
        "bytes of stack together", 1));
    all.push_back(built(
        "pointer from map memory",
        [](RawObject& raw) {
            const uint32_t data = raw.add_data(16);
            raw.load_value(6, data).add({load(op::kDw, 2, 6, 0), load(op::kB, 0, 2, 0), exit_insn()});
        },
        "r2 is a number", 3));
    all.push_back(
        plain("stack below 512 bytes", {store_imm(op::kDw, 10, -520, 1), pass, exit_insn()}, "stack", 0));
    all.push_back(
        plain("stack above the frame", {store_imm(op::kDw, 10, 0, 1), pass, exit_insn()}, "stack", 0));
}

void alignment(std::vector<RefusalCase>& all) {
    const Insn pass = mov(0, 2);
    for (const auto& [size, offset] :
         {std::pair{int{op::kH}, -7}, {int{op::kW}, -6}, {int{op::kDw}, -12}, {int{op::kDw}, -511}}) {
        const std::string text =
            "misaligned stack access: " + std::to_string(access_size(static_cast<uint8_t>(size))) +
            " bytes at stack" + std::to_string(offset);
        all.push_back(
            plain("misaligned constant", {store_imm(size, 10, offset, 1), pass, exit_insn()}, text, 0));
        all.push_back(
            plain("misaligned store", {pass, store_reg(size, 10, offset, 0), exit_insn()}, text, 1));
        all.push_back(plain("misaligned load", {load(size, 3, 10, offset), pass, exit_insn()}, text, 0));
        all.push_back(plain("misaligned through a copy of r10",
                            {mov_reg(2, 10), add(2, offset), load(size, 3, 2, 0), pass, exit_insn()}, text,
                            2));
    }
    all.push_back(plain("misaligned sign-extending load",
                        {insn(op::kLdx | op::kMemSx | op::kH, 3, 10, -7, 0), pass, exit_insn()},
                        "misaligned stack access: 2 bytes at stack-7", 0));
    all.push_back(plain("misaligned atomic",
                        {pass, insn(op::kStx | op::kAtomic | op::kW, 10, 0, -6, op::kAdd), exit_insn()},
                        "misaligned stack access: 4 bytes at stack-6", 1));
}

} // namespace

const std::vector<RefusalCase>& refusal_cases() {
    static const std::vector<RefusalCase> kCases = [] {
        std::vector<RefusalCase> all;
        pointer_arithmetic(all);
        context(all);
        registers(all);
        operands(all);
        calls(all);
        alignment(all);
        return all;
    }();
    return kCases;
}

const std::vector<RefusalCase>& accepted_cases() {
    static const std::vector<RefusalCase> kCases = [] {
        std::vector<RefusalCase> all;
        const Insn pass = mov(0, 2);
        const auto fine = [&](std::string name, std::vector<Insn> insns) {
            all.push_back(plain(std::move(name), std::move(insns), "", 0));
        };
        fine("difference of packet pointers",
             {load(op::kW, 2, 1, kData), load(op::kW, 3, 1, kEnd),
              insn(op::kAlu64 | op::kSub | op::kX, 3, 2, 0, 0), pass, exit_insn()});
        fine("32-bit copy of a pointer", {insn(op::kAlu | op::kMov | op::kX, 2, 1, 0, 0), pass, exit_insn()});
        fine("sign-extending load of a number", {load(op::kW, 2, 1, 12), pass, exit_insn()});
        fine("uninitialised stack", {load(op::kDw, 2, 10, -8), pass, exit_insn()});
        fine("aligned accesses to the stack",
             {store_imm(op::kB, 10, -7, 1), store_imm(op::kH, 10, -6, 1), store_imm(op::kW, 10, -4, 1),
              load(op::kH, 3, 10, -8), load(op::kB, 3, 10, -511), load(op::kW, 3, 10, -12), pass,
              exit_insn()});
        fine("shift by the widest", {pass, alu64(op::kLsh, 0, 63), alu32(op::kRsh, 0, 31), exit_insn()});
        fine("spilled pointer", {store_reg(op::kDw, 10, -8, 1), load(op::kDw, 2, 10, -8),
                                 load(op::kW, 3, 2, 12), pass, exit_insn()});
        fine("a number minus itself on one of two ways",
             {load(op::kW, 2, 1, 12), jump_if(op::kJeq, 2, 0, 1), mov_reg(2, 1), pass, exit_insn()});
        all.push_back(built(
            "eight frames",
            [](RawObject& raw) {
                raw.call_function(1).add(exit_insn());
                for (uint32_t i = 1; i < 8; ++i) {
                    raw.begin_function("level" + std::to_string(i));
                    if (i < 7) {
                        raw.call_function(i + 1);
                    } else {
                        raw.add(mov(0, 2));
                    }
                    raw.add(exit_insn());
                }
            },
            "", 0));
        all.push_back(built(
            "stack of two functions of 512 together",
            [](RawObject& raw) {
                raw.add(store_imm(op::kDw, 10, -480, 1)).call_function(1).add(exit_insn());
                raw.begin_function("deep");
                raw.add({store_imm(op::kDw, 10, -32, 1), mov(0, 2), exit_insn()});
            },
            "", 0));
        all.push_back(built(
            "one function called from two places",
            [](RawObject& raw) {
                raw.call_function(1).call_function(2).add(exit_insn());
                raw.begin_function("a");
                raw.call_function(2).add(exit_insn());
                raw.begin_function("b");
                raw.add({mov(0, 2), exit_insn()});
            },
            "", 0));
        return all;
    }();
    return kCases;
}

/// Declarations on one line, so that a case's body is line 5.
constexpr std::string_view kLocks =
    "struct locked { struct bpf_spin_lock lock; __u32 n; }; "
    "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); "
    "__type(value, struct locked); } locks SEC(\".maps\"); "
    "struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, __u32); "
    "__type(value, __u32); } progs SEC(\".maps\"); "
    "extern void bpf_rcu_read_lock(void) __ksym; "
    "static inline struct locked *find(__u32 key) { return bpf_map_lookup_elem(&locks, &key); } ";

const std::vector<SourceRefusal>& source_refusals() {
    static const std::vector<SourceRefusal> kCases{
        {"asm volatile(\"w1 += 4\" ::: \"w1\"); return 2;", "32-bit arithmetic"},
        {"return bpf_skb_load_bytes(ctx, 0, 0, 4);", "bpf_skb_load_bytes cannot be called from xdp programs"},
        {"*(volatile int *)ctx = 1; return 2;", "write to the context"},
        {"return *(volatile __u8 *)ctx;", "context access"},
        {"struct locked *v = find(0); if (!v) return 0; bpf_spin_lock(&v->lock); v->n = bpf_ktime_get_ns(); "
         "bpf_spin_unlock(&v->lock); return 2;",
         "bpf_ktime_get_ns is called while a lock is held"},
        {"struct locked *v = find(0); if (!v) return 0; bpf_spin_lock(&v->lock); __u32 key = 0; "
         "v = bpf_map_lookup_elem(&locks, &key); return v != 0;",
         "bpf_map_lookup_elem is called while a lock is held"},
        {"struct locked *v = find(0); if (!v) return 0; bpf_spin_lock(&v->lock); bpf_spin_lock(&v->lock); "
         "return 2;",
         "bpf_spin_lock is called while a lock is held"},
        {"struct locked *v = find(0); if (!v) return 0; bpf_spin_lock(&v->lock); bpf_rcu_read_lock(); return "
         "2;",
         "bpf_rcu_read_lock is called while a lock is held"},
        {"struct locked *v = find(0); if (!v) return 0; bpf_spin_lock(&v->lock); bpf_tail_call(ctx, &progs, "
         "0); return 2;",
         "bpf_tail_call while a lock is held"},
    };
    return kCases;
}

std::string refused_source(const SourceRefusal& one) {
    return std::string(kPrelude) + std::string(kLocks) + "SEC(\"xdp\") int filter(struct xdp_md *ctx)\n{\n" +
           one.body + "\n}\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n";
}

const std::vector<PermissiveCase>& permissive_cases() {
    static const std::vector<PermissiveCase> kCases{
        {"shift count is masked", {mov(0, 3), insn(op::kAlu64 | op::kLsh, 0, 0, 0, 65), exit_insn()}, 6},
        {"division by constant 0", {mov(0, 3), insn(op::kAlu64 | op::kDiv, 0, 0, 0, 0), exit_insn()}, 0},
        {"modulo by constant 0", {mov(0, 3), insn(op::kAlu64 | op::kMod, 0, 0, 0, 0), exit_insn()}, 3},
        {"unset register reads 0", {mov_reg(0, 7), exit_insn()}, 0},
        {"packet load", {insn(op::kLd | op::kAbs | op::kH, 0, 0, 0, 12), exit_insn()}, 0x0800},
        {"packet load past the end",
         {insn(op::kLd | op::kAbs | op::kW, 0, 0, 0, 61), mov(0, 5), exit_insn()},
         0},
    };
    return kCases;
}

} // namespace mimicsh::test
