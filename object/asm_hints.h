// SPDX-License-Identifier: MIT
// What to do about mistakes in assembler text: names that were most likely meant, and this language's word
// for what other assemblers and C have. Not a public header.
#pragma once

#include <string>
#include <string_view>

namespace mimicsh::assembler {

/// For a line that begins with no instruction: "exti", "mov", "section".
[[nodiscard]] std::string hint_for_statement(std::string_view word);
/// For what cannot stand behind "r1 =": "r12", "ntohs", "skb".
[[nodiscard]] std::string hint_for_value(std::string_view word);
/// For what is no register: "R1", "rax".
[[nodiscard]] std::string hint_for_register(std::string_view word);
/// For what cannot stand behind a whole instruction: "+", ",".
[[nodiscard]] std::string hint_for_rest(std::string_view word);
/// For what is no comparison: "=", "=>".
[[nodiscard]] std::string hint_for_comparison(std::string_view word);

[[nodiscard]] std::string hint_for_directive(std::string_view word);
[[nodiscard]] std::string hint_for_section(std::string_view name);
[[nodiscard]] std::string hint_for_program_type(std::string_view name);
[[nodiscard]] std::string hint_for_map_type(std::string_view name);
[[nodiscard]] std::string hint_for_map_attribute(std::string_view name);

} // namespace mimicsh::assembler
