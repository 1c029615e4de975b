#pragma once
// Typed reads from one JSON object. An error about a wrong or missing field is one line with the object, the key, the
// expected and the found value.
//
//   SS_TRY(const JsonFields fields, JsonFields::of(value, "config.json"));
//   SS_TRY(const std::int64_t dim, fields.integer("hidden_size", {.min = 1, .max = 1 << 20}));
//
// A key whose value is null counts as absent, because Hugging Face writes absent values as null.

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct IntegerRange {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};

class JsonFields {
 public:
  /// Errors: kInvalidInput when `object` is not an object. The result borrows `object`.
  static Result<JsonFields> of(const nlohmann::json& object, std::string name);

  /// True if the key is present and its value is not null.
  [[nodiscard]] bool has(std::string_view key) const;
  /// The raw value, or nullptr if the key is absent.
  [[nodiscard]] const nlohmann::json* find(std::string_view key) const;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  Result<std::int64_t> integer(std::string_view key, IntegerRange range) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t absent, IntegerRange range) const;
  /// A finite number; integers are accepted.
  Result<double> number(std::string_view key) const;
  Result<double> number_or(std::string_view key, double absent) const;
  Result<bool> boolean_or(std::string_view key, bool absent) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string_view absent) const;
  /// The object under `key`, named "NAME: KEY".
  Result<JsonFields> object(std::string_view key) const;

  /// "NAME: KEY: expected EXPECTED, found <the value, shortened>"
  [[nodiscard]] Error mismatch(std::string_view key, std::string_view expected) const;

 private:
  JsonFields(const nlohmann::json* object, std::string name) : object_(object), name_(std::move(name)) {}
  const nlohmann::json* object_;
  std::string name_;
};

}  // namespace secondsource
