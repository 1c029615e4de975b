#pragma once
// Compares, calculates with, searches, indexes and slices values as Python's operators do.

#include <algorithm>
#include <optional>
#include <vector>

#include "core/result.h"
#include "jinja/runtime.h"
#include "jinja/syntax.h"
#include "jinja/value.h"

namespace secondsource::jinja {

[[nodiscard]] bool equal(Runtime& runtime, const Value& left, const Value& right);
/// Errors: kInvalidInput for values that have no order.
Result<bool> less(Runtime& runtime, const Value& left, const Value& right);
Result<bool> compare(Runtime& runtime, CompareOperator op, const Value& left, const Value& right);
Result<bool> contains(Runtime& runtime, const Value& container, const Value& item);

Result<Value> arithmetic(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right);
Result<Value> negated(Runtime& runtime, UnaryOperator op, const Value& value);

/// The entry of a key; nullptr if there is none.
[[nodiscard]] const Value* find_key(Runtime& runtime, const Dict& dict, const Value& key);
/// Errors: kInvalidInput for a list or dict, which can be no key.
Result<void> check_key(const Runtime& runtime, const Value& key);
/// Adds an entry, or replaces the value of the same key. Errors: kInvalidInput for a key that can have no hash.
Result<void> set_key(Runtime& runtime, std::vector<std::pair<Value, Value>>& entries, const Value& key, Value value);

/// value[index] for an index that is no text; nullopt if there is no such item.
[[nodiscard]] std::optional<Value> item_at(Runtime& runtime, const Value& value, const Value& index);
/// value[start:stop:step]; absent bounds are None. Errors: kInvalidInput.
Result<Value> slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step);

/// All items that a for loop over the value sees; an iterator is empty afterwards. Errors: kInvalidInput for a value
/// without items.
Result<std::vector<Value>> items_of(Runtime& runtime, const Value& value);
/// The error that using an undefined value gives.
[[nodiscard]] Error undefined_error(const Runtime& runtime, const Undefined& value);

/// The characters of a text from `begin` to `end`, both counted in characters and within it.
[[nodiscard]] std::string_view characters(const Text& text, std::int64_t begin, std::int64_t end);

/// A stable sort in Python's order of key(item). Errors: kInvalidInput for keys that have no order.
template <typename Item, typename Key>
Result<void> sort_values(Runtime& runtime, std::vector<Item>& items, Key key, bool is_reverse = false) {
  Result<void> outcome;
  // An own merge sort: Python's comparison need not be a strict weak ordering, which std::stable_sort requires.
  std::vector<Item> buffer(items.size());
  for (std::size_t width = 1; width < items.size() && outcome; width *= 2) {
    for (std::size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, items.size());
      const std::size_t end = std::min(begin + 2 * width, items.size());
      std::size_t left = begin;
      std::size_t right = middle;
      for (std::size_t to = begin; to < end; ++to) {
        bool takes_right = left == middle;
        if (left < middle && right < end) {
          const Result<bool> is_less = is_reverse ? less(runtime, key(items[left]), key(items[right]))
                                                  : less(runtime, key(items[right]), key(items[left]));
          if (!is_less) return is_less.error();
          takes_right = *is_less;
        }
        buffer[to] = takes_right ? items[right++] : items[left++];
      }
    }
    items.swap(buffer);
  }
  return outcome;
}

}  // namespace secondsource::jinja
