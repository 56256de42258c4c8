// SPDX-License-Identifier: MIT
// Programs made for what comes about by chance too rarely: chains of tail calls, callbacks in callbacks,
// loops that only a limit ends, exceptions from any depth.
#include "tests/fuzz/vm_maker.h"

#include "object/value_fields.h"
#include "tests/fuzz/vm_writer.h"
#include "vm/address.h"
#include "vm/machine.h"

namespace mimicsh::fuzz {

namespace {

using namespace test;

constexpr uint32_t kTailCall = 12, kRedirectMap = 51, kForEach = 164, kTimerInit = 169,
                   kTimerSetCallback = 170, kTimerStart = 171, kLoop = 181;

/// Of programs that a devmap or cpumap runs.
constexpr std::array kTargetKinds{
    ProgramKind{abi::ProgType::Xdp, abi::AttachType::XdpDevmap, 0, "xdp/devmap", 0},
    ProgramKind{abi::ProgType::Xdp, abi::AttachType::XdpCpumap, 0, "xdp/cpumap", 0},
};

/// Of every function r6 is the context, r7 what it was given, r8 counts its may_goto loop.
class Chains : Writer {
  public:
    Chains(Source& source, Object& object) : Writer(object), source_(source) {}

    void run() {
        programs_ = 1 + source_.below(6);
        functions_ = programs_ + 1 + source_.below(8);
        kind_ = kProgramKinds[source_.below(kProgramKinds.size())];
        add_maps();
        for (size_t i = 0; i < functions_; ++i) {
            const ProgramKind& kind = source_.chance(70) ? kind_
                                      : source_.chance(50)
                                          ? kTargetKinds[source_.below(2)]
                                          : kProgramKinds[source_.below(kProgramKinds.size())];
            object_.functions.push_back(empty_function((i < programs_ ? "p" : "f") + std::to_string(i),
                                                       i < programs_ ? &kind : nullptr));
        }
        for (size_t i = 0; i < functions_; ++i) {
            write_to(i);
            write_function(i);
        }
    }

  private:
    void add_maps() {
        MapDef jumps = map_def("jumps", abi::MapType::ProgArray, 4, 4, 8);
        for (uint32_t slot = 0; slot < 8; ++slot) {
            if (source_.chance(80)) {
                jumps.slots.push_back({slot, source_.below(programs_)});
            }
        }
        jumps_ = object_.maps.size();
        object_.maps.push_back(jumps);
        object_.maps.push_back(map_def("walked", abi::MapType::Array, 4, 8, 1 + source_.below(4)));
        targets_ = object_.maps.size();
        object_.maps.push_back(
            map_def("targets", source_.flag() ? abi::MapType::Devmap : abi::MapType::Cpumap, 4, 8, 2));
        counts_ = object_.maps.size();
        MapDef counts = map_def(".data.counts", abi::MapType::Array, 4, 64, 1);
        counts.is_data = true;
        counts.contents.resize(counts.value_size);
        object_.maps.push_back(counts);
    }

    /// Another function, mostly one further on, so that the program ends and strict mode takes it.
    size_t callee(size_t self) {
        const size_t first =
            source_.chance(80) && self + 1 < functions_ ? std::max(self + 1, programs_) : programs_;
        return first + source_.below(functions_ - first);
    }

    void context_or_number(int dst) {
        if (source_.chance(80)) {
            add(mov_reg(dst, 6));
        } else {
            wide(dst, 0, source_.hostile());
        }
    }

    void tail_call() {
        context_or_number(1);
        load_map(2, source_.chance(95) ? jumps_ : source_.below(object_.maps.size()));
        add(mov(3, source_.chance(85) ? source_.below(8) : static_cast<int32_t>(source_.hostile())));
        add(call(kTailCall));
    }

    void local_call(size_t self) {
        context_or_number(1);
        add(mov_reg(2, 7));
        call_function(callee(self));
    }

    /// A function's address, now and then beside its start.
    void callback(int dst, size_t self) {
        load_function(dst, callee(self));
        if (source_.chance(8)) {
            add(test::add(dst, static_cast<int8_t>(source_.byte())));
        }
    }

    void call_back(size_t self) {
        switch (source_.below(3)) {
        case 0:
            add(mov(1, source_.chance(90) ? source_.below(40) : static_cast<int32_t>(source_.hostile())));
            callback(2, self);
            add(mov_reg(3, 6));
            add(mov(4, 0));
            add(call(kLoop));
            break;
        case 1:
            load_map(1, source_.chance(90) ? jumps_ + 1 : source_.below(object_.maps.size()));
            callback(2, self);
            add(mov_reg(3, 6));
            add(mov(4, 0));
            add(call(kForEach));
            break;
        default:
            set_timer(self);
        }
    }

    /// On the first map whose values have a timer, if one of the compiled object's maps does.
    void set_timer(size_t self) {
        for (size_t map = 0; map < object_.maps.size(); ++map) {
            for (const HiddenField& field : hidden_fields(object_, object_.maps[map])) {
                if (field.kind != HiddenField::Kind::Timer) {
                    continue;
                }
                load_value(1, map, field.offset);
                add(mov_reg(9, 1));
                load_map(2, map);
                add(mov(3, 1));
                add(call(kTimerInit));
                add(mov_reg(1, 9));
                callback(2, self);
                add(call(kTimerSetCallback));
                add(mov_reg(1, 9));
                add(mov(2, source_.below(100)));
                add(mov(3, 0));
                add(call(kTimerStart));
                return;
            }
        }
    }

    /// may_goto over a body that jumps back; the limit is 8 Mi rounds, the budget ends it earlier.
    void may_goto(size_t self) {
        const size_t start = at_->insns.size();
        add(insn(op::kJmp | op::kJcond, 0, 0, 0, 0));
        statement(self, 2);
        add(test::add(8, 1));
        if (source_.chance(50)) {
            add(jump_if(op::kJgt, 8, source_.below(200), 1));
        }
        add(jump(static_cast<int>(start) - static_cast<int>(at_->insns.size()) - 1));
        at_->insns[start].off = static_cast<int16_t>(at_->insns.size() - start - 1);
    }

    void count() {
        load_value(1, counts_, source_.below(8) * 8);
        add(mov(2, 1));
        add(insn(op::kStx | op::kAtomic | op::kDw, 1, 2, 0, op::kAdd | (source_.flag() ? op::kFetch : 0)));
    }

    void use_packet() {
        if (kind_.data < 0) {
            return;
        }
        add(load(op::kW, 1, 6, kind_.data));
        add(load(op::kW, 2, 6, kind_.data + 4));
        add(mov_reg(3, 1));
        add(test::add(3, source_.below(64)));
        add(insn(op::kJmp | op::kJgt | op::kX, 3, 2, 2, 0));
        add(load(op::kB, 4, 1, static_cast<int>(source_.below(64))));
        add(mov(4, 0));
    }

    void redirect() {
        load_map(1, targets_);
        add(mov(2, source_.below(3)));
        add(mov(3, source_.chance(80) ? 0 : static_cast<int32_t>(source_.hostile())));
        add(call(kRedirectMap));
        add(exit_insn());
    }

    void call_kfunc(std::string_view name) {
        if (const auto number = kfunc(name, false)) {
            call_kfunc_number(*number);
        }
    }

    void statement(size_t self, int depth) {
        switch (source_.below(depth == 0 ? 13 : 9)) {
        case 0:
        case 1:
        case 2:
            tail_call();
            break;
        case 3:
            local_call(self);
            break;
        case 4:
        case 5:
            call_back(self);
            break;
        case 6:
            count();
            break;
        case 7:
            use_packet();
            break;
        case 8: // the stack of a frame, or of the one below
            add(store_reg(op::kDw, source_.flag() ? 10 : 7, -static_cast<int>(source_.below(64) + 1) * 8, 7));
            break;
        case 9:
        case 10:
            may_goto(self);
            break;
        case 11:
            redirect();
            break;
        default:
            add(mov(1, source_.below(9)));
            call_kfunc(source_.chance(70) ? "bpf_throw"
                       : source_.flag()   ? "bpf_rcu_read_lock"
                                          : "bpf_rcu_read_unlock");
        }
    }

    void write_function(size_t self) {
        if (self < programs_ || source_.chance(70)) {
            add(mov_reg(6, 1));
        } else { // of a callback neither argument is the context
            wide(6, 0, vm::make_addr(vm::kContextHandle, 0));
        }
        add(mov_reg(7, source_.chance(30) ? 10 : 2));
        if (self < programs_) {
            add(mov_reg(7, 10));
        }
        add(mov(8, 0));
        for (uint32_t left = 1 + source_.below(6); left != 0; --left) {
            statement(self, 0);
        }
        add(mov(0, static_cast<int64_t>(source_.below(3))));
        add(exit_insn());
    }

    Source& source_;
    ProgramKind kind_ = kProgramKinds[0];
    size_t programs_ = 0, functions_ = 0;
    size_t jumps_ = 0, counts_ = 0, targets_ = 0;
};

} // namespace

void make_chains(Source& source, Object& object) {
    Chains(source, object).run();
}

} // namespace mimicsh::fuzz
