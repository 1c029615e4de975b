#pragma once
// Converts records to JSON and back. A record lists its fields once (core/fields.h), and its writer, its reader and its
// JSON Schema are derived from that list:
//
//   const OrderedJson tree = json_codec::to_tree(record);
//   SS_TRY(const RunRecord record, json_codec::from_tree<RunRecord>(tree, "run.json"));
//   const OrderedJson schema = json_codec::schema_of<RunRecord>();
//
// Fields may be booleans, numbers, strings, paths, enums with names, records, and optionals and vectors of these; a
// vector of pairs of strings is written as an object, and a variant with tags as the object of its alternative plus the
// tag. A number that is not finite is written as null, since JSON has neither infinity nor NaN. Reading is strict: a
// field that is missing, mistyped or out of range gives a one-line error that names its place. Only fields that
// SS_ADDED_FIELDS names may be missing.

#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "core/json.h"
#include "core/json_text.h"
#include "core/result.h"
#include "core/seal.h"
#include "core/utf8.h"
#include "core/variant_tags.h"
#include "record/format_version.h"
#include "record/schema_version.h"

namespace secondsource::json_codec {

// Ordered, so that a file has the fields in the order of the record.
using OrderedJson = nlohmann::ordered_json;
using Json = nlohmann::json;

using TextPairs = std::vector<std::pair<std::string, std::string>>;

template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <typename T>
inline constexpr bool kIsVector = false;
template <typename T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <typename T>
inline constexpr bool kIsSchemaVersion = false;
template <int kVersion>
inline constexpr bool kIsSchemaVersion<SchemaVersion<kVersion>> = true;

/// Calls visit.operator()<Alternative>(name) for each alternative of a variant.
template <TaggedVariant T, typename Visit>
void for_each_alternative(const Visit& visit) {
  constexpr auto kTags = tags_of(std::type_identity<T>());
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    (visit.template operator()<std::variant_alternative_t<kIndex, T>>(kTags.names[kIndex]), ...);
  }
  (std::make_index_sequence<std::variant_size_v<T>>());
}

/// A record whose published form is an object of strings, defined by its functions to_pairs() and assign_pairs().
template <typename T>
concept WrittenAsPairs = requires(T& record, const TextPairs& pairs) {
  { to_pairs(record) } -> std::same_as<TextPairs>;
  { assign_pairs(record, pairs, std::string_view()) } -> std::same_as<Result<void>>;
};

template <typename T>
[[nodiscard]] OrderedJson to_tree(const T& value) {
  if constexpr (HasFields<const T>) {
    OrderedJson object = OrderedJson::object();
    visit_fields([&](const char* name, const auto& field) { object[name] = to_tree(field); }, value);
    return object;
  } else if constexpr (TaggedVariant<T>) {
    constexpr auto kTags = tags_of(std::type_identity<T>());
    OrderedJson object = {{kTags.key, kTags.names[value.index()]}};
    object.update(std::visit([](const auto& alternative) { return to_tree(alternative); }, value));
    return object;
  } else if constexpr (WrittenAsPairs<T>) {
    return to_tree(to_pairs(value));
  } else if constexpr (std::same_as<T, TextPairs>) {
    OrderedJson object = OrderedJson::object();
    for (const auto& [key, text] : value) object[key] = text;
    return object;
  } else if constexpr (kIsOptional<T>) {
    return value ? to_tree(*value) : OrderedJson(nullptr);
  } else if constexpr (kIsVector<T>) {
    OrderedJson array = OrderedJson::array();
    for (const auto& element : value) array.push_back(to_tree(element));
    return array;
  } else if constexpr (NamedEnum<T>) {
    return to_string(value);
  } else if constexpr (kIsSchemaVersion<T>) {
    return T::kExpected;
  } else if constexpr (std::same_as<T, double>) {
    return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
  } else if constexpr (std::same_as<T, std::filesystem::path>) {
    return value.string();
  } else {
    return value;
  }
}

/// Converts JSON to text (core/json_text.h). An `indent` of -1 gives a single line.
[[nodiscard]] inline std::string to_text(const OrderedJson& tree, int indent) {
  return to_json_text(tree, indent);
}

/// The text of a file that holds one record.
template <typename T>
[[nodiscard]] std::string file_text(const T& record) {
  return to_text(to_tree(record), 2) + "\n";
}

/// Fills records from JSON and keeps the first error.
class Reader {
 public:
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  template <typename T>
  void read(const Json& json, const std::string& path, T& value) {
    if (error_) return;
    if constexpr (HasFields<T>) {
      if (!json.is_object()) return fail(path, "an object", json);
      visit_fields([&](const char* name, auto& field) { read_field(json, path, name, field, was_added<T>(name)); },
                   value);
    } else if constexpr (TaggedVariant<T>) {
      read_alternative(json, path, value);
    } else if constexpr (WrittenAsPairs<T>) {
      TextPairs pairs;
      read_pairs(json, path, pairs);
      if (error_) return;
      if (const Result<void> assigned = assign_pairs(value, pairs, path); !assigned) error_ = assigned.error();
    } else if constexpr (std::same_as<T, TextPairs>) {
      read_pairs(json, path, value);
    } else if constexpr (kIsOptional<T>) {
      if (json.is_null()) return;
      read(json, path, value.emplace());
    } else if constexpr (kIsVector<T>) {
      if (!json.is_array()) return fail(path, "an array", json);
      value.resize(json.size());
      for (std::size_t i = 0; i < value.size() && !error_; ++i) {
        typename T::value_type element{};
        read(json[i], path, element);
        value[i] = std::move(element);
      }
    } else if constexpr (NamedEnum<T>) {
      read_name(json, path, value);
    } else if constexpr (kIsSchemaVersion<T>) {
      int version = 0;
      read(json, path, version);
      if (!error_ && version != T::kExpected) {
        error_ = Error{ErrorCode::kInvalidInput,
                       path + ": expected " + std::to_string(T::kExpected) + ", found " + std::to_string(version)};
      }
    } else if constexpr (std::same_as<T, bool>) {
      if (!json.is_boolean()) return fail(path, "true or false", json);
      value = json.get<bool>();
    } else if constexpr (std::same_as<T, double>) {
      if (!json.is_number()) return fail(path, "a number", json);
      value = json.get<double>();
    } else if constexpr (std::integral<T>) {
      read_integer(json, path, value);
    } else {
      static_assert(std::same_as<T, std::string> || std::same_as<T, std::filesystem::path>);
      if (!json.is_string()) return fail(path, "a string", json);
      value = json.get<std::string>();
    }
  }

 private:
  template <typename T>
  void read_field(const Json& object, const std::string& path, const char* name, T& value, bool may_be_missing) {
    if (error_) return;
    const auto found = object.find(name);
    if (found == object.end()) {
      if (may_be_missing) return;
      error_ = Error{ErrorCode::kInvalidInput, path + ": expected the key \"" + name + "\", found none"};
      return;
    }
    read(*found, path + ": " + name, value);
  }

  template <TaggedVariant T>
  void read_alternative(const Json& json, const std::string& path, T& value) {
    constexpr auto kTags = tags_of(std::type_identity<T>());
    const std::string key(kTags.key);
    std::string tag;
    if (json.is_object() && json.contains(key) && json[key].is_string()) tag = json[key].get<std::string>();
    bool is_known = false;
    std::string expected;
    for_each_alternative<T>([&]<typename Alternative>(std::string_view name) {
      const bool is_last = name == kTags.names.back();
      expected += std::string(expected.empty() ? "" : is_last ? " or " : ", ") + std::string(name);
      if (tag != name) return;
      is_known = true;
      Alternative alternative{};
      read(json, path, alternative);
      value = std::move(alternative);
    });
    if (is_known || error_) return;
    error_ =
        Error{ErrorCode::kInvalidInput, path + ": " + key + ": expected " + expected + ", found " + in_quotes(tag)};
  }

  void read_pairs(const Json& json, const std::string& path, TextPairs& pairs) {
    if (!json.is_object()) return fail(path, "an object of strings", json);
    for (const auto& [key, text] : json.items()) {
      if (!text.is_string()) return fail(path, "an object of strings", text);
      pairs.emplace_back(key, text.get<std::string>());
    }
  }

  template <NamedEnum E>
  void read_name(const Json& json, const std::string& path, E& value) {
    if (json.is_string()) {
      if (const auto named = enum_from_name<E>(json.get_ref<const std::string&>())) {
        value = *named;
        return;
      }
    }
    std::string expected = "one of";
    for (const std::string_view name : names_of(E{})) expected += " " + std::string(name);
    fail(path, expected, json);
  }

  template <std::integral T>
  void read_integer(const Json& json, const std::string& path, T& value) {
    // get<T>() would wrap silently; compare through the widest type of the same sign.
    if (json.is_number_unsigned()) {
      const auto wide = json.get<std::uint64_t>();
      if (!std::in_range<T>(wide)) return fail(path, "an integer in range", json);
      value = static_cast<T>(wide);
    } else if (json.is_number_integer()) {
      const auto wide = json.get<std::int64_t>();
      if (!std::in_range<T>(wide)) return fail(path, "an integer in range", json);
      value = static_cast<T>(wide);
    } else {
      fail(path, "an integer", json);
    }
  }

  void fail(const std::string& path, const std::string& expected, const Json& found) {
    if (error_) return;
    error_ = Error{ErrorCode::kInvalidInput, path + ": expected " + expected + ", found " + found.type_name()};
  }

  std::optional<Error> error_;
};

/// Reads a record. Error messages begin with `name`: a file, or a file and a line in it. Errors: kInvalidInput.
template <typename T>
[[nodiscard]] Result<T> from_tree(const Json& tree, std::string_view name) {
  Reader reader;
  T value{};
  reader.read(tree, std::string(name), value);
  if (reader.error()) return *reader.error();
  return value;
}

template <typename T>
[[nodiscard]] Result<T> from_text(std::string_view text, std::string_view name) {
  SS_TRY_VOID(has_good_seal(text, name));
  SS_TRY(const Json tree, parse_json(text, name));
  return from_tree<T>(tree, name);
}

/// The JSON Schema (draft 2020-12) of a field of this type. Every field of a record is required unless it was
/// added later, and no others are allowed.
template <typename T>
[[nodiscard]] OrderedJson schema_of() {
  if constexpr (HasFields<T>) {
    OrderedJson properties = OrderedJson::object();
    OrderedJson required = OrderedJson::array();
    T record{};
    visit_fields(
        [&]<typename Field>(const char* name, Field&) {
          properties[name] = schema_of<Field>();
          if (!was_added<T>(name)) required.push_back(name);
        },
        record);
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"additionalProperties", false}};
  } else if constexpr (TaggedVariant<T>) {
    constexpr auto kTags = tags_of(std::type_identity<T>());
    OrderedJson alternatives = OrderedJson::array();
    for_each_alternative<T>([&]<typename Alternative>(std::string_view name) {
      OrderedJson alternative = schema_of<Alternative>();
      alternative["properties"][kTags.key] = {{"const", name}};
      alternative["required"].push_back(kTags.key);
      alternatives.push_back(std::move(alternative));
    });
    return {{"oneOf", std::move(alternatives)}};
  } else if constexpr (std::same_as<T, TextPairs> || WrittenAsPairs<T>) {
    return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
  } else if constexpr (kIsOptional<T>) {
    return {{"anyOf", {schema_of<typename T::value_type>(), {{"type", "null"}}}}};
  } else if constexpr (kIsVector<T>) {
    return {{"type", "array"}, {"items", schema_of<typename T::value_type>()}};
  } else if constexpr (NamedEnum<T>) {
    if constexpr (requires(T value) { schema_says_string(value); }) return {{"type", "string"}};
    const auto names = names_of(T{});
    return {{"enum", std::vector<std::string>(names.begin(), names.end())}};
  } else if constexpr (kIsSchemaVersion<T>) {
    return {{"const", T::kExpected}};
  } else if constexpr (std::same_as<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (std::same_as<T, double>) {
    return {{"type", {"number", "null"}}};  // a number that was not finite is written as null
  } else if constexpr (std::integral<T> && std::unsigned_integral<T>) {
    return {{"type", "integer"}, {"minimum", 0}};
  } else if constexpr (std::integral<T>) {
    return {{"type", "integer"}};
  } else {
    return {{"type", "string"}};
  }
}

/// Lets a record, or each alternative of one, end with a checksum (core/seal.h).
inline void allow_checksum(OrderedJson& schema) {
  if (schema.contains("oneOf")) {
    for (OrderedJson& alternative : schema["oneOf"]) allow_checksum(alternative);
  } else {
    schema["properties"]["checksum"] = {{"type", "string"}, {"pattern", "^[0-9a-f]{16}$"}};
  }
}

/// A published schema: its title and the schema of the record.
[[nodiscard]] inline OrderedJson schema_document(const std::string& title, const OrderedJson& schema) {
  OrderedJson document = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  document.update(schema);
  return document;
}

/// The text of a published schema of the results format. `kind`: "run", "gate", ...
[[nodiscard]] inline std::string results_schema_text(std::string_view kind, const OrderedJson& schema) {
  const std::string title =
      "secondsource " + std::string(kind) + ", results format " + std::to_string(kResultsSchemaVersion);
  return to_text(schema_document(title, schema), 2) + "\n";
}

}  // namespace secondsource::json_codec
