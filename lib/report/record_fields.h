#pragma once
// Writer and Reader walk the same list of a record's fields (record_json.cpp), one into JSON, one out of it. Reader
// keeps the first error and ignores everything after it.

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource::record_fields {

// Ordered, so that a file reads in the order of the record.
using OrderedJson = nlohmann::ordered_json;
using Json = nlohmann::json;

class Writer {
 public:
  template <typename T>
  void field(const char* name, const T& value) {
    json_[name] = value;
  }
  void field(const char* name, const double& value) { json_[name] = number(value); }
  template <typename T>
  void field(const char* name, const std::optional<T>& value) {
    json_[name] = value ? OrderedJson(*value) : OrderedJson(nullptr);
  }
  void version(const char* name, const int& value, int) { json_[name] = value; }
  template <typename E>
  void choice(const char* name, const E& value, std::initializer_list<const char*> names) {
    json_[name] = names.begin()[static_cast<std::size_t>(value)];
  }
  void pairs(const char* name, const std::vector<std::pair<std::string, std::string>>& values) {
    OrderedJson object = OrderedJson::object();
    for (const auto& [key, value] : values) object[key] = value;
    json_[name] = std::move(object);
  }
  template <typename T>
  void object(const char* name, T& value) {
    Writer writer;
    fields(writer, value);
    json_[name] = std::move(writer).take();
  }
  template <typename T>
  void optional_object(const char* name, std::optional<T>& value) {
    if (value) {
      object(name, *value);
    } else {
      json_[name] = nullptr;
    }
  }
  template <typename T>
  void objects(const char* name, std::vector<T>& values) {
    OrderedJson array = OrderedJson::array();
    for (T& value : values) {
      Writer writer;
      fields(writer, value);
      array.push_back(std::move(writer).take());
    }
    json_[name] = std::move(array);
  }
  [[nodiscard]] OrderedJson take() && { return std::move(json_); }

 private:
  /// JSON has no infinity and no NaN.
  static OrderedJson number(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr); }
  OrderedJson json_ = OrderedJson::object();
};

/// Walks the same lists and describes them as JSON Schema (draft 2020-12): every field is required, none may be added.
class SchemaBuilder {
 public:
  template <typename T>
  void field(const char* name, const T&) {
    add(name, type_of<T>());
  }
  template <typename T>
  void field(const char* name, const std::optional<T>&) {
    add(name, or_null(type_of<T>()));
  }
  template <typename T>
  void field(const char* name, const std::vector<T>&) {
    add(name, {{"type", "array"}, {"items", type_of<T>()}});
  }
  void version(const char* name, const int&, int expected) { add(name, {{"const", expected}}); }
  template <typename E>
  void choice(const char* name, const E&, std::initializer_list<const char*> names) {
    add(name, {{"enum", std::vector<std::string>(names.begin(), names.end())}});
  }
  void pairs(const char* name, const std::vector<std::pair<std::string, std::string>>&) {
    add(name, {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}});
  }
  template <typename T>
  void object(const char* name, const T&) {
    add(name, schema_of<T>());
  }
  template <typename T>
  void optional_object(const char* name, const std::optional<T>&) {
    add(name, or_null(schema_of<T>()));
  }
  template <typename T>
  void objects(const char* name, const std::vector<T>&) {
    add(name, {{"type", "array"}, {"items", schema_of<T>()}});
  }
  template <typename T>
  static OrderedJson schema_of() {
    SchemaBuilder builder;
    T record;
    fields(builder, record);
    return {{"type", "object"},
            {"properties", std::move(builder.properties_)},
            {"required", std::move(builder.required_)},
            {"additionalProperties", false}};
  }

 private:
  template <typename T>
  static OrderedJson type_of() {
    if constexpr (std::is_same_v<T, std::string>) return {{"type", "string"}};
    if constexpr (std::is_same_v<T, bool>) return {{"type", "boolean"}};
    // A number that was not finite is written as null.
    if constexpr (std::is_same_v<T, double>) return {{"type", {"number", "null"}}};
    if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T> && !std::is_same_v<T, bool>) {
      return {{"type", "integer"}, {"minimum", 0}};
    }
    if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) return {{"type", "integer"}};
  }
  static OrderedJson or_null(OrderedJson schema) { return {{"anyOf", {std::move(schema), {{"type", "null"}}}}}; }
  void add(const char* name, OrderedJson schema) {
    properties_[name] = std::move(schema);
    required_.push_back(name);
  }
  OrderedJson properties_ = OrderedJson::object();
  OrderedJson required_ = OrderedJson::array();
};

class Reader {
 public:
  Reader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json.is_object()) fail("", "an object", json);
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  void field(const char* name, std::string& value) {
    if (const Json* json = find(name)) take(name, *json, value);
  }
  void field(const char* name, bool& value) {
    if (const Json* json = find(name)) take(name, *json, value);
  }
  void field(const char* name, double& value) {
    if (const Json* json = find(name)) take(name, *json, value);
  }
  template <std::integral T>
  requires(!std::is_same_v<T, bool>) void field(const char* name, T& value) {
    if (const Json* json = find(name)) take(name, *json, value);
  }
  template <typename T>
  void field(const char* name, std::optional<T>& value) {
    const Json* json = find(name);
    if (json == nullptr || json->is_null()) return;
    T present{};
    take(name, *json, present);
    value = std::move(present);
  }
  template <typename T>
  void field(const char* name, std::vector<T>& values) {
    const Json* json = find(name);
    if (json == nullptr) return;
    if (!json->is_array()) return fail(name, "an array", *json);
    values.resize(json->size());
    for (std::size_t i = 0; i < values.size() && !error_; ++i) take(name, (*json)[i], values[i]);
  }
  void version(const char* name, int& value, int expected) {
    field(name, value);
    if (!error_ && value != expected) {
      error_ = Error{ErrorCode::kInvalidInput, path_ + ": " + name + ": expected " + std::to_string(expected) +
                                                   ", found " + std::to_string(value)};
    }
  }
  template <typename E>
  void choice(const char* name, E& value, std::initializer_list<const char*> names) {
    const Json* json = find(name);
    if (json == nullptr) return;
    std::string expected = "one of";
    std::size_t index = 0;
    for (const char* candidate : names) {
      if (json->is_string() && json->get_ref<const std::string&>() == candidate) {
        value = static_cast<E>(index);
        return;
      }
      expected += std::string(" ") + candidate;
      ++index;
    }
    fail(name, expected, *json);
  }
  void pairs(const char* name, std::vector<std::pair<std::string, std::string>>& values) {
    const Json* json = find(name);
    if (json == nullptr) return;
    if (!json->is_object()) return fail(name, "an object of strings", *json);
    for (const auto& [key, value] : json->items()) {
      if (!value.is_string()) return fail(name, "an object of strings", value);
      values.emplace_back(key, value.get<std::string>());
    }
  }
  template <typename T>
  void object(const char* name, T& value) {
    if (const Json* json = find(name)) nested(name, *json, value);
  }
  template <typename T>
  void optional_object(const char* name, std::optional<T>& value) {
    const Json* json = find(name);
    if (json == nullptr || json->is_null()) return;
    value.emplace();
    nested(name, *json, *value);
  }
  template <typename T>
  void objects(const char* name, std::vector<T>& values) {
    const Json* json = find(name);
    if (json == nullptr) return;
    if (!json->is_array()) return fail(name, "an array", *json);
    values.resize(json->size());
    for (std::size_t i = 0; i < values.size() && !error_; ++i) nested(name, (*json)[i], values[i]);
  }

 private:
  const Json* find(const char* name) {
    if (error_) return nullptr;
    const auto found = json_.find(name);
    if (found == json_.end()) {
      error_ = Error{ErrorCode::kInvalidInput, path_ + ": " + name + ": missing"};
      return nullptr;
    }
    return &*found;
  }
  void fail(const std::string& name, const std::string& expected, const Json& found) {
    if (error_) return;
    error_ = Error{ErrorCode::kInvalidInput, path_ + ": " + name + (name.empty() ? "" : ": ") + "expected " + expected +
                                                 ", found " + found.type_name()};
  }
  void take(const char* name, const Json& json, std::string& value) {
    if (!json.is_string()) return fail(name, "a string", json);
    value = json.get<std::string>();
  }
  void take(const char* name, const Json& json, bool& value) {
    if (!json.is_boolean()) return fail(name, "true or false", json);
    value = json.get<bool>();
  }
  void take(const char* name, const Json& json, double& value) {
    if (!json.is_number()) return fail(name, "a number", json);
    value = json.get<double>();
  }
  template <std::integral T>
  requires(!std::is_same_v<T, bool>) void take(const char* name, const Json& json, T& value) {
    // get<T>() would wrap silently; compare through the widest type of the same sign.
    if (json.is_number_unsigned()) {
      const auto wide = json.get<std::uint64_t>();
      if (!std::in_range<T>(wide)) return fail(name, "an integer in range", json);
      value = static_cast<T>(wide);
    } else if (json.is_number_integer()) {
      const auto wide = json.get<std::int64_t>();
      if (!std::in_range<T>(wide)) return fail(name, "an integer in range", json);
      value = static_cast<T>(wide);
    } else {
      fail(name, "an integer", json);
    }
  }
  template <typename T>
  void nested(const char* name, const Json& json, T& value) {
    Reader reader(json, path_ + ": " + name);
    fields(reader, value);
    if (reader.error_) error_ = reader.error_;
  }

  const Json& json_;
  std::string path_;
  std::optional<Error> error_;
};

}  // namespace secondsource::record_fields
