#pragma once
// Errors as values. Every function that depends on input, files or devices returns a Result. Exceptions of a library
// are caught in the file that includes the library and become an Error. A bug of ours is an SS_CHECK (check.h), not an
// Error.
//
//   Result<Config> load(const Path& path) {
//     SS_TRY(const std::string text, read_file(path));          // on failure returns the error to our caller
//     if (text.empty()) return Error{ErrorCode::kInvalidInput, fmt::format("{}: empty, expected JSON", path)};
//     return parse(text);
//   }
//
// The member names are those of std::expected (C++23), so that std::expected can replace this class later.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/enum_names.h"

namespace secondsource {

/// The kind of failure. apps/secondsource/exit_status.h maps these codes to the exit statuses of the program.
enum class ErrorCode : std::uint8_t {
  kInvalidInput,   ///< bad usage or bad input; the message names the file, the place and the expectation
  kUnsupported,    ///< a valid request that this backend or version cannot serve; the message gives the reason
  kUnavailable,    ///< a module or device that is missing
  kOutOfMemory,    ///< the limit of the device or the host is reached
  kDeviceLost,     ///< a backend failed and is poisoned
  kDeadline,       ///< a step did not finish in time
  kInterrupted,    ///< the user asked to stop
  kNotComparable,  ///< two runs that may not be compared
  kInconclusive,   ///< the machine is too busy to tell
  kIo,             ///< reading or writing failed (disk full, permission)
  kInternal,       ///< a bug of ours that could still be reported
};

SS_ENUM_NAMES(ErrorCode, "invalid-input", "unsupported", "unavailable", "out-of-memory", "device-lost", "deadline",
              "interrupted", "not-comparable", "inconclusive", "io", "internal")

/// One failure with a sentence for a person that names the object, the expectation and the finding.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  /// The same error with "context: " before its message.
  [[nodiscard]] Error with_context(std::string_view context) const;
};

namespace detail {
/// Ends the program and prints the error: value() was called on a Result that holds an Error.
[[noreturn]] void bad_result_access(const Error& error);
}  // namespace detail

/// Either a T or an Error.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] const T& value() const& {
    if (!has_value()) detail::bad_result_access(error());
    return std::get<0>(state_);
  }
  [[nodiscard]] T& value() & {
    if (!has_value()) detail::bad_result_access(error());
    return std::get<0>(state_);
  }
  [[nodiscard]] T&& value() && {
    if (!has_value()) detail::bad_result_access(error());
    return std::get<0>(std::move(state_));
  }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }
  [[nodiscard]] T* operator->() { return &value(); }

  [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Either success without a value or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}

  [[nodiscard]] bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (failed_) detail::bad_result_access(error_);
  }
  [[nodiscard]] const Error& error() const& { return error_; }
  [[nodiscard]] Error&& error() && { return std::move(error_); }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace secondsource

#define SS_CONCAT_INNER(a, b) a##b
#define SS_CONCAT(a, b) SS_CONCAT_INNER(a, b)

/// SS_TRY(const auto x, f()); declares x with the value of f(), or returns the error of f().
#define SS_TRY(declaration, expression) SS_TRY_IMPL(SS_CONCAT(ss_try_, __LINE__), declaration, expression)
#define SS_TRY_IMPL(temporary, declaration, expression) \
  auto temporary = (expression);                        \
  if (!temporary) return std::move(temporary).error();  \
  declaration = std::move(temporary).value()

/// SS_TRY_VOID(f()); returns the error of f(), if there is one.
#define SS_TRY_VOID(expression) SS_TRY_VOID_IMPL(SS_CONCAT(ss_try_, __LINE__), expression)
#define SS_TRY_VOID_IMPL(temporary, expression)          \
  do {                                                   \
    auto temporary = (expression);                       \
    if (!temporary) return std::move(temporary).error(); \
  } while (false)
