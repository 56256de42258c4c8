// SPDX-License-Identifier: MIT
// Programs from bytes: set-ups of registers, calls with the arguments that their signatures want, raw
// instructions.
#include "tests/fuzz/vm_maker.h"

#include "object/insn.h"
#include "object/value_fields.h"
#include "tests/fuzz/vm_signatures.h"
#include "tests/fuzz/vm_writer.h"
#include "vm/address.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/machine.h"
#include "vm/support.h"

namespace mimicsh::fuzz {

namespace {

using namespace test;

constexpr size_t kMaxStatements = 60;
// The frame: results of calls, two dynptrs, iterators, then bytes for anything.
constexpr int kResults = -32, kDynptrs = -64, kIterators = -96, kBuffer = -224;

/// Writes one function after the other.
class Maker : Writer {
  public:
    Maker(Object& object, Source& source) : Writer(object), source_(source) {
        for (size_t i = 0; i < object.maps.size(); ++i) {
            for (const HiddenField& field : hidden_fields(object, object.maps[i])) {
                fields_.push_back({static_cast<uint32_t>(i), field.offset});
            }
        }
    }

    void run() {
        programs_ = 1 + source_.below(3);
        functions_ = programs_ + source_.below(4);
        for (size_t i = 0; i < functions_; ++i) {
            const bool is_program = i < programs_;
            const ProgramKind& kind = kProgramKinds[source_.below(kProgramKinds.size())];
            object_.functions.push_back(
                empty_function((is_program ? "p" : "f") + std::to_string(i), is_program ? &kind : nullptr));
        }
        for (size_t i = 0; i < functions_; ++i) {
            write_to(i);
            const abi::ProgType type = i < programs_ ? at_->spec->type : object_.functions[0].spec->type;
            for (const ProgramKind& kind : kProgramKinds) {
                kind_ = kind.type == type ? &kind : kind_;
            }
            write_function(i);
        }
    }

  private:
    void any_function(int dst) { load_function(dst, source_.below(functions_)); }

    // -- Arguments --

    size_t map_for(uint32_t helper) {
        const size_t first = source_.below(object_.maps.size());
        for (size_t i = 0; i < object_.maps.size() && helper != 0 && !source_.chance(8); ++i) {
            const size_t map = (first + i) % object_.maps.size();
            if (vm::helper_takes_map(helper, object_.maps[map].type)) {
                return map;
            }
        }
        return first;
    }

    void stack_address(int dst, int offset) {
        add(mov_reg(dst, 10));
        add(test::add(dst, offset));
    }

    void packet_address(int dst) {
        if (kind_->data >= 0) {
            add(load(op::kW, dst, 6, kind_->data + (source_.chance(10) ? 4 : 0)));
            add(test::add(dst,
                          source_.chance(70) ? source_.below(64) : static_cast<int32_t>(source_.hostile())));
        } else {
            add(mov_reg(dst, 7));
        }
    }

    void buffer(int dst) {
        switch (source_.below(8)) {
        case 0:
        case 1:
        case 2:
        case 3:
            stack_address(dst, kBuffer + static_cast<int>(source_.below(15)) * 8);
            return;
        case 4:
            add(mov_reg(dst, 7 + static_cast<int>(source_.below(3))));
            add(test::add(dst, source_.below(16)));
            return;
        case 5:
            load_value(dst, source_.below(object_.maps.size()), source_.below(32));
            return;
        case 6:
            packet_address(dst);
            return;
        default:
            add(mov_reg(dst, 7 + static_cast<int>(source_.below(3))));
        }
    }

    void anything(int dst) {
        switch (source_.below(8)) {
        case 0:
            add(mov(dst, 0));
            break;
        case 1:
            wide(dst, 0, source_.hostile());
            break;
        case 2: // a forged address
            wide(dst, 0, vm::make_addr(source_.below(64), static_cast<uint32_t>(source_.hostile())));
            break;
        case 3:
            load_map(dst, source_.below(object_.maps.size()));
            break;
        case 4:
            any_function(dst);
            break;
        case 5:
            add(mov_reg(dst, 6));
            break;
        case 6:
            buffer(dst);
            add(test::add(dst, static_cast<int32_t>(source_.hostile())));
            break;
        default:
            buffer(dst);
        }
    }

    void argument(int dst, char kind, uint32_t helper) {
        if (source_.chance(8)) {
            anything(dst);
            return;
        }
        switch (kind) {
        case 'c':
            if (source_.chance(75)) {
                add(mov_reg(dst, 6));
            } else { // callbacks are not given it
                wide(dst, 0, vm::make_addr(vm::kContextHandle, 0));
            }
            break;
        case 'm':
            last_map_ = map_for(helper);
            load_map(dst, last_map_);
            break;
        case 'K':
            stack_address(dst, kBuffer + static_cast<int>(source_.below(3)) * 8);
            break;
        case 'V':
        case 'X':
            stack_address(dst, kBuffer + static_cast<int>(source_.below(8)) * 8);
            break;
        case 'B':
            buffer(dst);
            break;
        case 'S':
            add(mov(dst, source_.chance(80) ? source_.below(65) : static_cast<int32_t>(source_.hostile())));
            break;
        case 'N':
            wide(dst, 0, source_.hostile());
            break;
        case 'Z':
            wide(dst, 0, source_.chance(75) ? source_.below(5) : source_.hostile());
            break;
        case 'F':
            any_function(dst);
            break;
        case 'D':
            stack_address(dst, kDynptrs + static_cast<int>(source_.below(2)) * 16);
            break;
        case 'I':
            stack_address(dst, kIterators + static_cast<int>(source_.below(4)) * 8);
            break;
        case 'T':
            if (fields_.empty() || source_.chance(15)) {
                add(mov_reg(dst, 7));
                add(test::add(dst, source_.below(5) * 8));
            } else {
                const auto [map, offset] = fields_[source_.below(fields_.size())];
                load_value(dst, map, offset);
            }
            break;
        case 'R':
            if (source_.flag()) {
                add(mov_reg(dst, 9));
            } else {
                add(load(op::kDw, dst, 10, kResults + static_cast<int>(source_.below(4)) * 8));
            }
            add(test::add(dst, source_.chance(70) ? 0 : source_.below(8) * 8));
            break;
        default: // a type
            add(mov(dst, object_.btf ? source_.below(object_.btf->type_count()) : source_.below(20)));
        }
    }

    void arguments(std::string_view kinds, uint32_t helper) {
        for (size_t i = 0; i < kinds.size(); ++i) {
            argument(static_cast<int>(i) + 1, kinds[i], helper);
        }
    }

    void keep_result() {
        const int slot = kResults + static_cast<int>(source_.below(4)) * 8;
        add(store_reg(op::kDw, 10, slot, 0));
        if (source_.chance(60)) {
            add(mov_reg(7 + static_cast<int>(source_.below(3)), 0));
        }
        if (source_.chance(10)) {
            add(jump_if(op::kJeq, 0, 0, static_cast<int>(source_.below(8))));
        }
    }

    // -- Statements --

    void call_helper() {
        const auto rows = vm::helper_rows();
        const uint32_t id = source_.chance(98) ? source_.pick(rows).id : source_.below(abi::kHelperCount);
        const auto* known = std::ranges::find(kHelperSignatures, id, &HelperSignature::id);
        if (known != kHelperSignatures.end()) {
            arguments(known->arguments, id);
        } else {
            for (int i = 1; i <= 5; ++i) {
                anything(i);
            }
        }
        add(call(id));
        keep_result();
    }

    void call_kfunc() {
        const auto& row = source_.pick(vm::kfunc_rows());
        const auto* known = std::ranges::find(kKfuncSignatures, row.name, &KfuncSignature::name);
        if (known != kKfuncSignatures.end()) {
            arguments(known->arguments, 0);
        } else {
            for (int i = 1; i <= 5; ++i) {
                anything(i);
            }
        }
        if (const auto number = kfunc(row.name, source_.flag())) {
            call_kfunc_number(*number);
            keep_result();
        }
    }

    void look_up() {
        load_map(1, map_for(1));
        stack_address(2, kBuffer);
        add(call(1));
        add(mov_reg(7 + static_cast<int>(source_.below(3)), 0));
        add(jump_if(op::kJeq, 0, 0, static_cast<int>(source_.below(6))));
    }

    void open_packet() {
        if (kind_->data < 0) {
            return;
        }
        const int need = static_cast<int>(source_.below(70));
        add(load(op::kW, 8, 6, kind_->data));
        add(load(op::kW, 3, 6, kind_->data + 4));
        add(mov_reg(2, 8));
        add(test::add(2, need));
        add(insn(op::kJmp | op::kJgt | op::kX, 2, 3, static_cast<int>(source_.below(10)), 0));
    }

    void raw() {
        const InsnForm& form = source_.pick(insn_forms());
        Insn one = insn(form.code, static_cast<int>(source_.below(10)), static_cast<int>(source_.below(11)),
                        static_cast<int8_t>(source_.byte()), 0);
        one.src = form.src >= 0 ? static_cast<uint8_t>(form.src) & 0xf : one.src;
        one.off = form.off != InsnForm::kAnyField ? static_cast<int16_t>(form.off) : one.off;
        one.imm = form.imm != InsnForm::kAnyField ? form.imm : static_cast<int32_t>(source_.hostile());
        if (form.code == op::kLddw) {
            wide(one.dst, 0, source_.hostile());
        } else if (form.kind != InsnKind::CallKfunc && form.kind != InsnKind::CallLocal) {
            add(one);
        }
    }

    void access() {
        static constexpr std::array<uint8_t, 4> kSizes{op::kB, op::kH, op::kW, op::kDw};
        const int size = source_.pick(kSizes), through = 6 + static_cast<int>(source_.below(5));
        const int offset = through == 10        ? -static_cast<int>(source_.below(520))
                           : source_.chance(80) ? static_cast<int>(source_.below(80))
                                                : static_cast<int16_t>(source_.hostile());
        switch (source_.below(4)) {
        case 0:
            add(store_reg(size, through, offset, static_cast<int>(source_.below(10))));
            break;
        case 1:
            add(store_imm(size, through, offset, source_.byte()));
            break;
        default:
            add(load(size, static_cast<int>(source_.below(5)), through, offset));
        }
    }

    void call_local(size_t self) {
        for (int i = 1; i <= 3; ++i) {
            if (source_.flag()) {
                anything(i);
            } else {
                add(mov_reg(i, 6));
            }
        }
        // Mostly downwards: what calls itself is refused in strict mode.
        const size_t first = source_.chance(80) ? std::min(self + 1, functions_ - 1) : 0;
        call_function(first + source_.below(functions_ - first));
        keep_result();
    }

    void fill_buffer() {
        const int at = kBuffer + static_cast<int>(source_.below(16)) * 8;
        wide(1, 0, source_.hostile());
        add(store_reg(op::kDw, 10, at, 1));
    }

    void loop() {
        static constexpr std::array<int16_t, 4> kBack{-2, -5, -9, -20};
        if (source_.flag()) {
            add(insn(op::kJmp | op::kJcond, 0, 0, source_.flag() ? source_.pick(kBack) : 3, 0));
        } else {
            add(test::add(9, -1));
            add(jump_if(op::kJne, 9, 0, source_.pick(kBack)));
        }
    }

    void write_function(size_t self) {
        add(mov_reg(6, 1));
        for (const int reg : {7, 8, 9}) {
            add(mov(reg, static_cast<int64_t>(source_.below(4))));
        }
        const bool is_program = self < programs_;
        if (is_program || source_.chance(30)) {
            for (int at = kBuffer; at < 0; at += 8) {
                add(store_imm(op::kDw, 10, at, at == kBuffer ? static_cast<int64_t>(source_.below(3)) : 0));
            }
        }
        for (size_t left = source_.below(is_program ? kMaxStatements : 10); left != 0; --left) {
            if (source_.empty()) {
                break;
            }
            switch (source_.below(20)) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
            case 5:
                call_helper();
                break;
            case 6:
            case 7:
            case 8:
            case 9:
                call_kfunc();
                break;
            case 10:
            case 11:
                look_up();
                break;
            case 12:
                open_packet();
                break;
            case 13:
                raw();
                break;
            case 14:
            case 15:
                access();
                break;
            case 16:
                fill_buffer();
                break;
            case 17:
                call_local(self);
                break;
            case 18:
                loop();
                break;
            default:
                anything(7 + static_cast<int>(source_.below(3)));
            }
        }
        add(mov(0, static_cast<int64_t>(source_.below(8))));
        add(exit_insn());
    }

    struct Field {
        uint32_t map, offset;
    };
    Source& source_;
    std::vector<Field> fields_; ///< of values that belong to the kernel
    size_t programs_ = 0, functions_ = 0;
    const ProgramKind* kind_ = nullptr;
    size_t last_map_ = 0;
};

} // namespace

Object make_object(Source& source) {
    Object object;
    if (source.chance(60)) {
        object = compiled_cases()[source.below(compiled_cases().size())];
        object.functions.clear();
        for (MapDef& map : object.maps) {
            if (map.type == abi::MapType::ProgArray) {
                map.slots.clear();
            }
        }
    }
    object.name = object.origin = "fuzz";
    object.license = "GPL";
    for (size_t left = 1 + source.below(8); left != 0; --left) {
        object.maps.push_back(make_map(source, object.maps.size()));
    }
    if (source.chance(30)) {
        make_chains(source, object);
    } else {
        Maker(object, source).run();
    }
    if (source.chance(35)) {
        change_types(source, object);
    }
    for (Function& function : object.functions) {
        repair(object, function);
    }
    for (MapDef& map : object.maps) {
        if (map.type == abi::MapType::ProgArray && map.slots.empty() && source.chance(80)) {
            map.slots = {{0, 0}, {1, source.below(object.programs().size())}};
        }
    }
    if (source.chance(8)) {
        break_references(source, object);
    }
    return object;
}

} // namespace mimicsh::fuzz
