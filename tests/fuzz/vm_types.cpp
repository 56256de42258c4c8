// SPDX-License-Identifier: MIT
// Types, records and references that no compiler writes, and programs by way of their raw instructions.
#include "object/btf_edit.h"
#include "object/linker.h"
#include "object/raw.h"
#include "tests/fuzz/vm_maker.h"

namespace mimicsh::fuzz {

namespace {

constexpr uint32_t kNoFlag = 0, kBitfields = 1;

constexpr uint32_t info(BtfKind kind, uint32_t entries, uint32_t flag) {
    return flag << 31 | static_cast<uint32_t>(kind) << 24 | entries;
}

/// Changes and additions; what `finish` gives is not always BTF any more.
class TypeChanger {
  public:
    TypeChanger(Source& source, const Btf& btf) : source_(source), editor_(btf) {}

    ByteVec run() {
        for (uint32_t left = 1 + source_.below(10); left != 0; --left) {
            if (source_.chance(45)) {
                change();
            } else {
                add();
            }
        }
        ByteVec bytes = editor_.finish();
        while (source_.chance(4)) {
            bytes[source_.number<uint16_t>() % bytes.size()] = source_.byte();
        }
        return bytes;
    }

  private:
    uint32_t any_type() { return source_.number<uint16_t>() % editor_.type_count(); }
    uint32_t any_number() { return static_cast<uint32_t>(source_.hostile()); }

    /// One word of a type: a size, a place in bits, a number of elements, a type, its name.
    void change() {
        const uint32_t id = any_type();
        if (id == 0) {
            return;
        }
        const BtfKind kind = editor_.kind(id);
        const bool is_struct = kind == BtfKind::Struct || kind == BtfKind::Union;
        const uint32_t entries = editor_.vlen(id);
        if (is_struct && entries != 0 && source_.chance(70)) {
            const size_t member = 3 + 3 * size_t{source_.below(entries)};
            if (source_.flag()) {
                editor_.set_word(id, member + 2, source_.chance(70) ? source_.below(64) * 8 : any_number());
            } else {
                editor_.set_word(id, member + 1, any_type());
            }
        } else if (kind == BtfKind::Array) {
            editor_.set_word(id, source_.flag() ? 5 : 3, source_.flag() ? any_number() : any_type());
        } else {
            editor_.set_word(id, source_.chance(80) ? 2 : 0, source_.chance(60) ? any_type() : any_number());
        }
    }

    uint32_t field_of_the_kernel() {
        struct Known {
            std::string_view name;
            uint32_t size;
        };
        static constexpr std::array<Known, 9> kKnown{{{"bpf_spin_lock", 4},
                                                      {"bpf_res_spin_lock", 4},
                                                      {"bpf_timer", 16},
                                                      {"bpf_wq", 16},
                                                      {"bpf_list_head", 16},
                                                      {"bpf_list_node", 24},
                                                      {"bpf_rb_root", 16},
                                                      {"bpf_rb_node", 32},
                                                      {"bpf_refcount", 4}}};
        const Known& known = kKnown[source_.below(kKnown.size())];
        return editor_.add_type({editor_.add_string(known.name), info(BtfKind::Struct, 0, kNoFlag),
                                 source_.chance(85) ? known.size : source_.below(40)});
    }

    uint32_t pointer() {
        static constexpr std::array<std::string_view, 5> kTags{"kptr", "kptr_untrusted", "percpu_kptr",
                                                               "uptr", "kptr"};
        const uint32_t to = source_.chance(70) && last_ != 0 ? last_ : any_type();
        const uint32_t tag = editor_.add_type(
            {editor_.add_string(kTags[source_.below(kTags.size())]), info(BtfKind::TypeTag, 0, kNoFlag), to});
        return editor_.add_type({0, info(BtfKind::Ptr, 0, kNoFlag), tag});
    }

    uint32_t array() {
        const uint32_t of = source_.chance(70) && last_ != 0 ? last_ : any_type();
        return editor_.add_type({0, info(BtfKind::Array, 0, kNoFlag), 0, of, editor_.find_or_add_int(),
                                 source_.chance(60) ? source_.below(5) : any_number()});
    }

    /// Members one after the other, or anywhere; it may contain itself or what comes later.
    uint32_t structure() {
        const uint32_t members = 1 + source_.below(5);
        const bool fields = source_.chance(10);
        std::vector<uint32_t> words{editor_.add_string("made"),
                                    info(BtfKind::Struct, members, fields ? kBitfields : kNoFlag), 0};
        uint32_t place = 0;
        for (uint32_t i = 0; i < members; ++i) {
            uint32_t type = 0;
            switch (source_.below(6)) {
            case 0:
            case 1:
                type = field_of_the_kernel();
                break;
            case 2:
                type = pointer();
                break;
            case 3:
                type = array();
                break;
            case 4:
                type = last_;
                break;
            default:
                type = source_.chance(95) ? any_type() : editor_.type_count() + source_.below(4);
            }
            words.insert(words.end(), {editor_.add_string("m"), type,
                                       source_.chance(90) ? place * 8 : source_.below(1024)});
            place += source_.chance(80) ? 32 : source_.below(40);
        }
        words[2] = source_.chance(90) ? place + 64 : any_number();
        return editor_.add_type(words);
    }

    void tag() {
        static constexpr std::array<std::string_view, 5> kTags{"contains:made:m", "contains:item:node",
                                                               "exception_callback:f1",
                                                               "exception_callback:p0", "contains:made:"};
        const uint32_t component = source_.chance(60) ? source_.below(4) : any_number();
        (void)editor_.add_type({editor_.add_string(kTags[source_.below(kTags.size())]),
                                info(BtfKind::DeclTag, 0, kNoFlag), last_ != 0 ? last_ : any_type(),
                                component});
    }

    void add() {
        switch (source_.below(6)) {
        case 0:
            last_ = field_of_the_kernel();
            break;
        case 1:
            last_ = pointer();
            break;
        case 2:
            last_ = array();
            break;
        case 3:
            tag();
            break;
        default:
            last_ = structure();
        }
    }

    Source& source_;
    BtfEditor editor_;
    uint32_t last_ = 0; ///< type that was added last
};

void change_records(Source& source, Object& object, Function& function) {
    const auto slots = static_cast<uint32_t>(function.insns.size());
    const uint32_t types = object.btf->type_count();
    if (source.chance(40)) {
        function.btf_id = source.number<uint16_t>() % types;
        while (function.btf_id != 0 && object.btf->type(function.btf_id).kind != BtfKind::Func) {
            --function.btf_id;
        }
    }
    if (source.chance(40)) {
        function.lines.clear();
        for (uint32_t insn = source.below(4); insn < slots; insn += 1 + source.below(8)) {
            const auto text = static_cast<uint32_t>(source.hostile());
            function.lines.push_back({insn, source.below(2000), text, source.byte(), source.byte()});
            if (source.empty()) {
                break;
            }
        }
    }
    if (source.chance(25)) {
        static constexpr std::array<const char*, 8> kAccess{"0",   "0:0",     "0:1",          "0:1:2",
                                                            "1:0", "0:0:0:0", "0:4294967295", ":"};
        function.core_relocs.clear();
        for (uint32_t insn = source.below(8); insn < slots; insn += 1 + source.below(16)) {
            function.core_relocs.push_back(
                {insn, source.number<uint16_t>() % types, source.pick(kAccess), source.below(14)});
            if (source.empty()) {
                break;
            }
        }
    }
}

} // namespace

void change_types(Source& source, Object& object) {
    if (object.btf == nullptr) {
        BtfEditor editor;
        (void)editor.find_or_add_int();
        auto empty = Btf::parse(editor.finish(), "fuzz");
        object.btf = empty ? std::make_shared<const Btf>(std::move(*empty)) : nullptr;
    }
    auto changed = Btf::parse(TypeChanger(source, *object.btf).run(), "fuzz");
    if (changed && changed->type_count() >= object.btf->type_count()) {
        object.btf = std::make_shared<const Btf>(std::move(*changed));
    }
    const uint32_t types = object.btf->type_count();
    for (MapDef& map : object.maps) {
        if (!source.chance(50)) {
            continue;
        }
        // The types that were added are the last ones.
        const uint32_t id = types - 1 - source.below(std::min(types, 12u));
        const auto size = object.btf->size_of(id);
        map.value_btf_id = id;
        map.key_btf_id = map.key_btf_id != 0 ? map.key_btf_id : 1;
        if (size && *size != 0 && *size <= 4096 && !map.is_data && source.chance(80)) {
            map.value_size = static_cast<uint32_t>(*size);
        }
    }
    for (Function& function : object.functions) {
        change_records(source, object, function);
    }
}

void break_references(Source& source, Object& object) {
    static constexpr std::array<RelocKind, 5> kKinds{RelocKind::Map, RelocKind::MapValue, RelocKind::Call,
                                                     RelocKind::FuncAddress, RelocKind::Extern};
    for (uint32_t left = 1 + source.below(4); left != 0; --left) {
        Function& function = object.functions[source.below(object.functions.size())];
        if (function.relocs.empty() || source.chance(30)) {
            function.relocs.push_back(
                {source.below(function.insns.size() + 2), source.pick(kKinds), source.byte(), source.byte()});
        } else {
            Relocation& reloc = function.relocs[source.below(function.relocs.size())];
            switch (source.below(4)) {
            case 0:
                reloc.insn = source.below(function.insns.size() + 2);
                break;
            case 1:
                reloc.kind = source.pick(kKinds);
                break;
            case 2:
                reloc.target = static_cast<uint32_t>(source.hostile());
                break;
            default:
                reloc.offset = static_cast<uint32_t>(source.hostile());
            }
        }
        if (!function.lines.empty() && source.chance(20)) {
            function.lines[source.below(function.lines.size())].insn =
                static_cast<uint32_t>(source.hostile());
        }
        if (source.chance(10)) {
            function.btf_id = static_cast<uint32_t>(source.hostile());
        }
        if (!object.externs.empty() && source.chance(20)) {
            ExternDef& one = object.externs[source.below(object.externs.size())];
            one.kind = static_cast<ExternKind>(source.below(3));
            one.type_id = static_cast<uint32_t>(source.hostile());
        }
    }
}

std::optional<Object> through_raw(Source& source, const Object& object) {
    const auto programs = object.programs();
    const auto linked =
        link(std::make_shared<const Object>(object), programs[source.below(programs.size())], {object.btf});
    if (!linked) {
        return std::nullopt;
    }
    ByteVec insns(linked->insns.size() * sizeof(Insn));
    std::memcpy(insns.data(), linked->insns.data(), insns.size());
    RawOptions options;
    options.name = "raw";
    options.type = linked->spec.type;
    options.attach_type = linked->spec.attach_type;
    options.flags = linked->spec.flags;
    for (const LinkedRef& ref : linked->refs) {
        if (ref.kind == RelocKind::Map || ref.kind == RelocKind::MapValue) {
            RawMap map{ref.insn, object.maps[ref.target]};
            map.def.slots.clear();
            map.def.inner = nullptr;
            options.maps.push_back(std::move(map));
        }
    }
    ByteVec types, functions;
    if (object.btf != nullptr && source.chance(80)) {
        types.assign(object.btf->raw().begin(), object.btf->raw().end());
        for (const LinkedFunction& function : linked->functions) {
            functions.resize(functions.size() + 8);
            store(functions.data() + functions.size() - 8, function.insn);
            store(functions.data() + functions.size() - 4, function.btf_id);
        }
    }
    for (ByteVec* bytes : {&insns, &types, &functions}) {
        while (!bytes->empty() && source.chance(15)) {
            (*bytes)[source.number<uint16_t>() % bytes->size()] = source.byte();
        }
    }
    options.btf = types;
    options.func_info = functions;
    auto read = read_raw(insns, options);
    return read ? std::optional(std::move(*read)) : std::nullopt;
}

} // namespace mimicsh::fuzz
