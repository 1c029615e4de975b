#pragma once
// The values of a template: Python's None, bool, int (64 bits), float, str, list, tuple, dict, and Jinja's undefined,
// namespace, loop and callables. Texts are counted references; everything else belongs to the Runtime (runtime.h) of
// one rendering. Lists and dictionaries never change after they are made, so they hold no cycles.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace secondsource::jinja {

class Runtime;

/// Counts the bytes of texts that are alive.
struct Meter {
  std::int64_t live_bytes = 0;
};

/// An immutable text in UTF-8 that knows its number of characters.
class Text {
 public:
  explicit Text(std::string bytes, Meter* meter = nullptr);
  [[nodiscard]] const std::string& bytes() const { return body_->bytes; }
  [[nodiscard]] std::int64_t n_characters() const { return body_->n_characters; }
  [[nodiscard]] bool is_ascii() const { return body_->n_characters == static_cast<std::int64_t>(body_->bytes.size()); }

 private:
  struct Body {
    Body(std::string text, Meter* counter);
    ~Body();
    Body(const Body&) = delete;
    Body& operator=(const Body&) = delete;
    std::string bytes;
    std::int64_t n_characters;
    Meter* meter;
  };
  std::shared_ptr<const Body> body_;
};

struct None {};

/// The value of a name or attribute that is not there; `hint` says which.
struct Undefined {
  const std::string* hint = nullptr;
};

struct Sequence;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

using Value =
    std::variant<None, Undefined, bool, std::int64_t, double, Text, Sequence*, Dict*, Namespace*, Loop*, Callable*>;

/// Owned by the Runtime until the rendering ends.
struct Object {
  Object() = default;
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Object(Object&&) = default;
  Object& operator=(Object&&) = default;
};

enum class SequenceKind : std::uint8_t {
  kList,
  kTuple,
  kRange,
  kView,      ///< keys(), values() and items() of a dictionary: no index
  kIterator,  ///< what a generator gives: no length, no index, and empty after it was read once
};

struct Sequence : Object {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  int depth = 1;
  /// Names of the items as attributes: (grouper, list) of the filter groupby. Empty for every other sequence.
  std::span<const std::string_view> attributes;
};

/// Entries in the order in which they were added. Keys are equal as in Python: 1, 1.0 and true are one key.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
};

/// What namespace() makes: the only value that a template can change.
struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  [[nodiscard]] Value* find(std::string_view name);
};

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable : Object {
  std::string name;
  std::function<Result<Value>(Runtime&, Arguments)> call;
};

/// The special variable of a for loop.
struct Loop : Object {
  std::vector<Value> items;
  std::size_t index = 0;
  int depth = 0;
  std::optional<std::vector<Value>> last_changed;             ///< arguments of the last loop.changed()
  std::function<Result<Value>(Runtime&, Arguments)> recurse;  ///< set in a recursive loop
};

template <typename T>
[[nodiscard]] const T* as(const Value& value) {
  return std::get_if<T>(&value);
}
[[nodiscard]] inline const std::string* as_text(const Value& value) {
  const Text* text = as<Text>(value);
  return text == nullptr ? nullptr : &text->bytes();
}
[[nodiscard]] inline Sequence* as_sequence(const Value& value) {
  Sequence* const* found = as<Sequence*>(value);
  return found == nullptr ? nullptr : *found;
}
[[nodiscard]] inline const Dict* as_dict(const Value& value) {
  Dict* const* found = as<Dict*>(value);
  return found == nullptr ? nullptr : *found;
}
[[nodiscard]] inline bool is_undefined(const Value& value) {
  return std::holds_alternative<Undefined>(value);
}
[[nodiscard]] inline bool is_none(const Value& value) {
  return std::holds_alternative<None>(value);
}
/// An int or a bool as an int; nullopt for every other value.
[[nodiscard]] std::optional<std::int64_t> as_integer(const Value& value);
/// An int, bool or float as a float; nullopt for every other value.
[[nodiscard]] std::optional<double> as_number(const Value& value);
/// A list, tuple or range: what has a length and an index.
[[nodiscard]] const Sequence* as_indexed(const Value& value);

/// Python's name of the value's type: "str", "int", "NoneType", ...
[[nodiscard]] std::string_view type_name(const Value& value);
/// True for what Python counts as true.
[[nodiscard]] bool is_true(const Value& value);

}  // namespace secondsource::jinja
