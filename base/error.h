// SPDX-License-Identifier: MIT
// Error and Expected<T>: how every function that touches the world reports failure.
#pragma once

#include <cassert>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace mimicsh {

/// A failure in a form that can be printed and tested. `op: text` reads as one sentence, lower case, no full
/// stop: op is what was tried ("open object"), text is the thing and the reason ("a.o: section .maps: ...").
struct Error {
    int code = 0;     ///< errno value (positive); EINVAL for malformed input, ENOTSUP for "unsupported"
    std::string op;   ///< the verb that failed
    std::string text; ///< object and reason
    std::string hint; ///< what to do about it; empty when nothing useful can be said
    std::string log;  ///< long detail (verifier log, compiler output); empty when there is none

    /// "op: text", without hint and log.
    [[nodiscard]] std::string message() const { return op.empty() ? text : op + ": " + text; }
    /// Symbolic name of `code` ("ENOENT"), or "E<number>" for one the C library does not know.
    [[nodiscard]] std::string code_name() const;
};

/// Builds an Error from an errno value; the text becomes "what: <strerror>".
[[nodiscard]] Error errno_error(int code, std::string op, const std::string& what);

/// A value or an Error; the subset of std::expected that C++20 compilers can have. Return `Error{...}` to
/// fail.
template <typename T>
class [[nodiscard]] Expected {
  public:
    // Implicit on purpose, as in std::expected: `return value;` and `return Error{...};` both read well.
    Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    [[nodiscard]] T& value() & { return assert(has_value()), *std::get_if<0>(&state_); }
    [[nodiscard]] const T& value() const& { return assert(has_value()), *std::get_if<0>(&state_); }
    [[nodiscard]] T&& value() && { return assert(has_value()), std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    [[nodiscard]] Error& error() { return assert(!has_value()), *std::get_if<1>(&state_); }
    [[nodiscard]] const Error& error() const { return assert(!has_value()), *std::get_if<1>(&state_); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Expected<void> {
  public:
    Expected() = default;
    Expected(Error error) : state_(std::move(error)) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    [[nodiscard]] Error& error() { return assert(!has_value()), *std::get_if<1>(&state_); }
    [[nodiscard]] const Error& error() const { return assert(!has_value()), *std::get_if<1>(&state_); }

  private:
    std::variant<std::monostate, Error> state_;
};

/// Success without a value, or an Error.
using Status = Expected<void>;

} // namespace mimicsh
