#pragma once
// Binds the arguments of a built-in function to its parameters as Python does.

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// The names and order of a function's parameters.
struct Parameters {
  std::span<const std::string_view> names;
  std::size_t n_required = 0;
  bool takes_more = false;  ///< further arguments are handed on as they are
};

/// The values of the parameters.
class Bound {
 public:
  /// True if the parameter got a value.
  [[nodiscard]] bool has(std::size_t i) const { return i < values_.size() && values_[i].has_value(); }
  /// The parameter's value, which must be there.
  [[nodiscard]] const Value& operator[](std::size_t i) const { return *values_[i]; }
  [[nodiscard]] Value value_or(std::size_t i, Value absent) const {
    if (has(i)) return *values_[i];
    return absent;
  }
  [[nodiscard]] bool truth_or(std::size_t i, bool absent) const { return has(i) ? is_true(*values_[i]) : absent; }
  /// Errors: kInvalidInput for a value of another type.
  Result<std::int64_t> integer_or(const Runtime& runtime, std::size_t i, std::int64_t absent) const;
  Result<std::string> text_or(const Runtime& runtime, std::size_t i, std::string_view absent) const;
  /// What the parameters did not take.
  [[nodiscard]] const Arguments& more() const { return more_; }

 private:
  friend Result<Bound> bind_arguments(const Runtime&, std::string_view, const Parameters&, Arguments);
  std::string_view function_;
  std::span<const std::string_view> names_;
  std::vector<std::optional<Value>> values_;
  Arguments more_;
};

/// Errors: kInvalidInput for a missing, repeated or unknown argument.
Result<Bound> bind_arguments(const Runtime& runtime, std::string_view function, const Parameters& parameters,
                             Arguments arguments);

}  // namespace secondsource::jinja
