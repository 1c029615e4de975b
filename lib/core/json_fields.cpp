#include "core/json_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

std::string shortened(const Json* value) {
  if (value == nullptr) return "nothing";
  if (value->is_object()) return "an object";
  if (value->is_array()) return fmt::format("an array of {}", value->size());
  if (value->is_string()) return in_quotes(value->get_ref<const std::string&>());
  return shown(value->dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

/// The value as an integer, also when it is written as 1e6 or 10000.0; nullopt for anything else.
std::optional<std::int64_t> exact_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) <= 0x1p53 && std::trunc(number) == number) return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

}  // namespace

Result<JsonFields> JsonFields::of(const Json& object, std::string name) {
  if (!object.is_object()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected an object, found {}", name, shortened(&object))};
  }
  return JsonFields(&object, std::move(name));
}

const Json* JsonFields::find(std::string_view key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::has(std::string_view key) const {
  return find(key) != nullptr;
}

Error JsonFields::mismatch(std::string_view key, std::string_view expected) const {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: {}: expected {}, found {}", name_, shown(key), expected, shortened(find(key)))};
}

Result<std::int64_t> JsonFields::integer(std::string_view key, IntegerRange range) const {
  const Json* value = find(key);
  const auto number = value == nullptr ? std::nullopt : exact_integer(*value);
  if (!number || *number < range.min || *number > range.max) {
    return mismatch(key, fmt::format("an integer from {} to {}", range.min, range.max));
  }
  return *number;
}

Result<std::int64_t> JsonFields::integer_or(std::string_view key, std::int64_t absent, IntegerRange range) const {
  if (!has(key)) return absent;
  return integer(key, range);
}

Result<double> JsonFields::number(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) return mismatch(key, "a number");
  return value->get<double>();
}

Result<double> JsonFields::number_or(std::string_view key, double absent) const {
  if (!has(key)) return absent;
  return number(key);
}

Result<bool> JsonFields::boolean_or(std::string_view key, bool absent) const {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) return mismatch(key, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonFields::string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) return mismatch(key, "a string");
  return value->get<std::string>();
}

Result<std::string> JsonFields::string_or(std::string_view key, std::string_view absent) const {
  if (!has(key)) return std::string(absent);
  return string(key);
}

Result<JsonFields> JsonFields::object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_object()) return mismatch(key, "an object");
  return JsonFields(value, fmt::format("{}: {}", name_, key));
}

}  // namespace secondsource
