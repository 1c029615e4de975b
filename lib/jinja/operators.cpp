#include "jinja/operators.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/checked.h"
#include "jinja/printf_text.h"
#include "jinja/python_text.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace {

using Items = std::vector<Value>;

bool equal_items(Runtime& runtime, const Items& left, const Items& right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!equal(runtime, left[i], right[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = find_key(runtime, right, key);
    if (other == nullptr || !equal(runtime, value, *other)) return false;
  }
  return true;
}

std::string_view symbol_of(BinaryOperator op) {
  constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSymbols[static_cast<std::size_t>(op)];
}

Error wrong_operands(const Runtime& runtime, std::string_view op, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right}) {
    if (const Undefined* undefined = as<Undefined>(*value)) return undefined_error(runtime, *undefined);
  }
  return runtime.fail(
      fmt::format("{}: expected operands that fit, found {} and {}", op, type_name(left), type_name(right)));
}

Result<Value> repeated(Runtime& runtime, const Value& value, std::int64_t n) {
  if (const std::string* text = as_text(value)) {
    TextBuilder out(runtime);
    if (text->empty()) n = 0;
    for (std::int64_t i = 0; i < n && runtime.spend(); ++i) out.add(*text);
    return out.text();
  }
  const Sequence& sequence = *as_sequence(value);
  Items items;
  if (sequence.items.empty()) n = 0;
  for (std::int64_t i = 0; i < n && runtime.spend(static_cast<std::int64_t>(sequence.items.size())); ++i) {
    if (!runtime.can_hold((items.size() + sequence.items.size()) * sizeof(Value))) break;
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return runtime.sequence(sequence.kind, std::move(items));
}

/// The result of an operation on two whole numbers; nullopt where it has more than 64 bits. The divisor is not 0.
std::optional<std::int64_t> integer_result(BinaryOperator op, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      return checked_add(left, right);
    case BinaryOperator::kSubtract:
      return __builtin_sub_overflow(left, right, &result) ? std::nullopt : std::optional(result);
    case BinaryOperator::kMultiply:
      return checked_multiply(left, right);
    case BinaryOperator::kFloorDivide:
      if (left == std::numeric_limits<std::int64_t>::min() && right == -1) return std::nullopt;
      return left / right - (left % right != 0 && (left < 0) != (right < 0) ? 1 : 0);
    case BinaryOperator::kModulo: {
      if (right == -1) return 0;
      const std::int64_t rest = left % right;
      return rest + (rest != 0 && (rest < 0) != (right < 0) ? right : 0);
    }
    default: {  // a power with an exponent of at least 0
      result = 1;
      std::optional<std::int64_t> base = left;
      for (std::int64_t bits = right; bits > 0; bits >>= 1) {
        if ((bits & 1) != 0) {
          if (!base) return std::nullopt;
          const std::optional<std::int64_t> product = checked_multiply(result, *base);
          if (!product) return std::nullopt;
          result = *product;
        }
        if (bits > 1 && base) base = checked_multiply(*base, *base);
      }
      return result;
    }
  }
}

double float_modulo(double left, double right) {
  const double rest = std::fmod(left, right);
  if (rest == 0) return std::copysign(0.0, right);
  return (right < 0) != (rest < 0) ? rest + right : rest;
}

double float_floor_divide(double left, double right) {
  const double quotient = (left - float_modulo(left, right)) / right;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Result<Value> float_result(Runtime& runtime, BinaryOperator op, double left, double right) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(left + right);
    case BinaryOperator::kSubtract:
      return Value(left - right);
    case BinaryOperator::kMultiply:
      return Value(left * right);
    case BinaryOperator::kDivide:
      return Value(left / right);
    case BinaryOperator::kFloorDivide:
      return Value(float_floor_divide(left, right));
    case BinaryOperator::kModulo:
      return Value(float_modulo(left, right));
    case BinaryOperator::kPower:
      break;
  }
  if (left == 0 && right < 0) return runtime.fail("**: expected a base other than 0 for a negative exponent, found 0");
  const double result = std::pow(left, right);
  if (std::isnan(result) && !std::isnan(left) && !std::isnan(right)) {
    return runtime.fail("**: expected a real result, found a complex one");
  }
  if (std::isinf(result) && std::isfinite(left) && std::isfinite(right)) {
    return runtime.fail("**: expected a result that fits a float, found a larger one");
  }
  return Value(result);
}

std::int64_t length_of(const Value& value) {
  if (const Text* text = as<Text>(value)) return text->n_characters();
  return static_cast<std::int64_t>(as_sequence(value)->items.size());
}

Result<std::optional<std::int64_t>> slice_bound(const Runtime& runtime, const Value& bound) {
  if (is_none(bound)) return std::optional<std::int64_t>();
  const std::optional<std::int64_t> integer = as_integer(bound);
  if (!integer) return runtime.fail(fmt::format("[:]: expected whole numbers or None, found {}", type_name(bound)));
  return integer;
}

}  // namespace

Error undefined_error(const Runtime& runtime, const Undefined& value) {
  return runtime.fail(value.hint == nullptr ? "expected a value, found none" : *value.hint);
}

bool equal(Runtime& runtime, const Value& left, const Value& right) {
  if (!runtime.spend()) return false;
  const std::optional<std::int64_t> left_integer = as_integer(left);
  const std::optional<std::int64_t> right_integer = as_integer(right);
  if (left_integer && right_integer) return *left_integer == *right_integer;
  const std::optional<double> left_number = as_number(left);
  const std::optional<double> right_number = as_number(right);
  if (left_number && right_number) return *left_number == *right_number;
  if (left.index() != right.index()) return false;
  if (const std::string* text = as_text(left)) {
    const std::string* other = as_text(right);
    return text == other || (text->size() == other->size() && runtime.spend_bytes(text->size()) && *text == *other);
  }
  if (const Sequence* sequence = as_sequence(left)) {
    const Sequence* other = as_sequence(right);
    if (sequence == other) return true;
    return sequence->kind == other->kind && as_indexed(left) != nullptr &&
           equal_items(runtime, sequence->items, other->items);
  }
  if (const Dict* dict = as_dict(left)) {
    return dict == as_dict(right) || equal_dicts(runtime, *dict, *as_dict(right));
  }
  if (Namespace* const* found = as<Namespace*>(left)) return *found == std::get<Namespace*>(right);
  if (Callable* const* found = as<Callable*>(left)) return *found == std::get<Callable*>(right);
  if (Loop* const* found = as<Loop*>(left)) return *found == std::get<Loop*>(right);
  return is_none(left) || is_undefined(left);
}

Result<bool> less(Runtime& runtime, const Value& left, const Value& right) {
  runtime.spend();
  const std::optional<std::int64_t> left_integer = as_integer(left);
  const std::optional<std::int64_t> right_integer = as_integer(right);
  if (left_integer && right_integer) return *left_integer < *right_integer;
  const std::optional<double> left_number = as_number(left);
  const std::optional<double> right_number = as_number(right);
  if (left_number && right_number) return *left_number < *right_number;
  const std::string* left_text = as_text(left);
  const std::string* right_text = as_text(right);
  // The order of bytes in UTF-8 is that of the characters' numbers.
  if (left_text != nullptr && right_text != nullptr)
    return runtime.spend_bytes(left_text->size()) && *left_text < *right_text;
  const Sequence* left_items = as_indexed(left);
  const Sequence* right_items = as_indexed(right);
  const bool are_sequences = left_items != nullptr && right_items != nullptr && left_items->kind == right_items->kind &&
                             left_items->kind != SequenceKind::kRange;
  if (!are_sequences) return wrong_operands(runtime, "<", left, right);
  const std::size_t n = std::min(left_items->items.size(), right_items->items.size());
  for (std::size_t i = 0; i < n; ++i) {
    if (!equal(runtime, left_items->items[i], right_items->items[i])) {
      return less(runtime, left_items->items[i], right_items->items[i]);
    }
  }
  return left_items->items.size() < right_items->items.size();
}

Result<bool> compare(Runtime& runtime, CompareOperator op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOperator::kEqual:
      return equal(runtime, left, right);
    case CompareOperator::kNotEqual:
      return !equal(runtime, left, right);
    case CompareOperator::kLess:
      return less(runtime, left, right);
    case CompareOperator::kGreater:
      return less(runtime, right, left);
    case CompareOperator::kIn:
      return contains(runtime, right, left);
    case CompareOperator::kNotIn: {
      SS_TRY(const bool is_in, contains(runtime, right, left));
      return !is_in;
    }
    default:
      break;
  }
  const bool is_less_equal = op == CompareOperator::kLessEqual;
  SS_TRY(const bool is_less, is_less_equal ? less(runtime, left, right) : less(runtime, right, left));
  return is_less || equal(runtime, left, right);
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const std::string* text = as_text(container)) {
    const std::string* part = as_text(item);
    if (part == nullptr)
      return runtime.fail(fmt::format("in: expected a text to look for in a text, found {}", type_name(item)));
    return runtime.spend_bytes(text->size()) && text->find(*part) != std::string::npos;
  }
  if (const Dict* dict = as_dict(container)) {
    SS_TRY_VOID(check_key(runtime, item));
    return find_key(runtime, *dict, item) != nullptr;
  }
  if (as_sequence(container) == nullptr && !is_undefined(container)) {
    return runtime.fail(fmt::format("in: expected a text, list or dict to look into, found {}", type_name(container)));
  }
  SS_TRY(const Items items, items_of(runtime, container));
  return std::any_of(items.begin(), items.end(), [&](const Value& one) { return equal(runtime, one, item); });
}

Result<Value> arithmetic(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right) {
  const std::optional<double> left_number = as_number(left);
  const std::optional<double> right_number = as_number(right);
  if (left_number && right_number) {
    const bool divides =
        op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo;
    if (divides && *right_number == 0)
      return runtime.fail(fmt::format("{}: expected a divisor other than 0", symbol_of(op)));
    const std::optional<std::int64_t> left_integer = as_integer(left);
    const std::optional<std::int64_t> right_integer = as_integer(right);
    const bool is_real =
        op == BinaryOperator::kDivide || (op == BinaryOperator::kPower && right_integer && *right_integer < 0);
    if (!left_integer || !right_integer || is_real) return float_result(runtime, op, *left_number, *right_number);
    const std::optional<std::int64_t> result = integer_result(op, *left_integer, *right_integer);
    if (!result)
      return runtime.fail(fmt::format("{}: expected a whole number of 64 bits, found a larger one", symbol_of(op)));
    return Value(*result);
  }
  const bool is_left_text = as_text(left) != nullptr;
  const Sequence* left_items = as_indexed(left);
  const Sequence* right_items = as_indexed(right);
  if (op == BinaryOperator::kAdd && is_left_text && as_text(right) != nullptr) {
    TextBuilder out(runtime);
    out.add(*as_text(left));
    out.add(*as_text(right));
    return out.text();
  }
  const bool is_list = left_items != nullptr && left_items->kind != SequenceKind::kRange;
  if (op == BinaryOperator::kAdd && is_list && right_items != nullptr && left_items->kind == right_items->kind) {
    Items items = left_items->items;
    items.insert(items.end(), right_items->items.begin(), right_items->items.end());
    runtime.spend(static_cast<std::int64_t>(items.size()));
    return runtime.sequence(left_items->kind, std::move(items));
  }
  if (op == BinaryOperator::kMultiply) {
    const auto can_repeat = [](const Value& value) {
      const Sequence* sequence = as_indexed(value);
      return as_text(value) != nullptr || (sequence != nullptr && sequence->kind != SequenceKind::kRange);
    };
    if (can_repeat(left) && as_integer(right)) return repeated(runtime, left, *as_integer(right));
    if (can_repeat(right) && as_integer(left)) return repeated(runtime, right, *as_integer(left));
  }
  if (op == BinaryOperator::kModulo && is_left_text) {
    return printf_text(runtime, *as_text(left), right);
  }
  return wrong_operands(runtime, symbol_of(op), left, right);
}

Result<Value> negated(Runtime& runtime, UnaryOperator op, const Value& value) {
  if (op == UnaryOperator::kNot) return Value(!is_true(value));
  if (const Undefined* undefined = as<Undefined>(value)) return undefined_error(runtime, *undefined);
  const bool is_minus = op == UnaryOperator::kMinus;
  if (const std::optional<std::int64_t> integer = as_integer(value)) {
    if (!is_minus) return Value(*integer);
    if (*integer == std::numeric_limits<std::int64_t>::min())
      return runtime.fail("-: expected a whole number of 64 bits");
    return Value(-*integer);
  }
  if (const double* number = as<double>(value)) return Value(is_minus ? -*number : *number);
  return runtime.fail(fmt::format("{}: expected a number, found {}", is_minus ? "-" : "+", type_name(value)));
}

const Value* find_key(Runtime& runtime, const Dict& dict, const Value& key) {
  for (const auto& [existing, value] : dict.entries) {
    if (equal(runtime, existing, key)) return &value;
  }
  return nullptr;
}

Result<void> check_key(const Runtime& runtime, const Value& key) {
  const Sequence* sequence = as_sequence(key);
  if (sequence != nullptr && sequence->kind == SequenceKind::kTuple) {
    for (const Value& item : sequence->items) SS_TRY_VOID(check_key(runtime, item));
  }
  const bool can_change = as_dict(key) != nullptr || (sequence != nullptr && sequence->kind == SequenceKind::kList);
  if (!can_change) return {};
  return runtime.fail(fmt::format("dict: expected a key that cannot change, found {}", type_name(key)));
}

Result<void> set_key(Runtime& runtime, std::vector<std::pair<Value, Value>>& entries, const Value& key, Value value) {
  SS_TRY_VOID(check_key(runtime, key));
  for (auto& [existing, old] : entries) {
    if (!equal(runtime, existing, key)) continue;
    old = std::move(value);
    return {};
  }
  entries.emplace_back(key, std::move(value));
  return {};
}

std::string_view characters(const Text& text, std::int64_t begin, std::int64_t end) {
  const std::string_view bytes = text.bytes();
  if (text.is_ascii()) return bytes.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  std::size_t from = 0;
  std::int64_t at = 0;
  for (; at < begin; ++at) from += tokenizer::character_length(bytes[from]);
  std::size_t to = from;
  for (; at < end; ++at) to += tokenizer::character_length(bytes[to]);
  return bytes.substr(from, to - from);
}

std::optional<Value> item_at(Runtime& runtime, const Value& value, const Value& index) {
  if (const Dict* dict = as_dict(value)) {
    const Value* found = find_key(runtime, *dict, index);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  const Text* text = as<Text>(value);
  const Sequence* sequence = as_indexed(value);
  const std::optional<std::int64_t> number = as_integer(index);
  if (!number || (text == nullptr && sequence == nullptr)) return std::nullopt;
  const std::int64_t n = length_of(value);
  const std::int64_t at = *number < 0 ? *number + n : *number;
  if (at < 0 || at >= n) return std::nullopt;
  if (sequence != nullptr) return sequence->items[static_cast<std::size_t>(at)];
  if (!text->is_ascii()) runtime.spend_bytes(text->bytes().size());
  return runtime.text(std::string(characters(*text, at, at + 1)));
}

Result<Value> slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step) {
  const Text* text = as<Text>(value);
  const Sequence* sequence = as_indexed(value);
  if (const Undefined* undefined = as<Undefined>(value)) return undefined_error(runtime, *undefined);
  if (text == nullptr && sequence == nullptr) {
    return runtime.fail(fmt::format("[:]: expected a text, list or tuple, found {}", type_name(value)));
  }
  SS_TRY(const std::optional<std::int64_t> given_start, slice_bound(runtime, start));
  SS_TRY(const std::optional<std::int64_t> given_stop, slice_bound(runtime, stop));
  SS_TRY(const std::optional<std::int64_t> given_step, slice_bound(runtime, step));
  const std::int64_t by = std::max(given_step.value_or(1), -std::numeric_limits<std::int64_t>::max());
  if (by == 0) return runtime.fail("[::]: expected a step other than 0");
  const std::int64_t n = length_of(value);
  const auto bound = [&](std::optional<std::int64_t> given, std::int64_t absent) {
    if (!given) return absent;
    const std::int64_t at = *given < 0 ? *given + n : *given;
    return by > 0 ? std::clamp<std::int64_t>(at, 0, n) : std::clamp<std::int64_t>(at, -1, n - 1);
  };
  const std::int64_t from = bound(given_start, by > 0 ? 0 : n - 1);
  const std::int64_t to = bound(given_stop, by > 0 ? n : -1);
  if (text != nullptr && by == 1) {
    TextBuilder out(runtime);
    runtime.spend_bytes(text->bytes().size());
    out.add(from < to ? characters(*text, from, to) : std::string_view());
    return out.text();
  }
  Items all;
  if (text != nullptr) {
    SS_TRY(all, items_of(runtime, value));
  }
  const Items& items = text != nullptr ? all : sequence->items;
  Items chosen;
  for (std::int64_t at = from; by > 0 ? at < to : at > to;) {
    chosen.push_back(items[static_cast<std::size_t>(at)]);
    const std::optional<std::int64_t> following = checked_add(at, by);
    if (!following) break;
    at = *following;
  }
  runtime.spend(static_cast<std::int64_t>(chosen.size()));
  if (text == nullptr) return runtime.sequence(sequence->kind, std::move(chosen));
  TextBuilder out(runtime);
  for (const Value& one : chosen) out.add(*as_text(one));
  return out.text();
}

Result<std::vector<Value>> items_of(Runtime& runtime, const Value& value) {
  if (is_undefined(value)) return Items();
  if (Sequence* sequence = as_sequence(value)) {
    runtime.spend(static_cast<std::int64_t>(sequence->items.size()));
    if (sequence->kind == SequenceKind::kIterator) return std::exchange(sequence->items, {});
    return sequence->items;
  }
  Items items;
  if (const Dict* dict = as_dict(value)) {
    runtime.spend(static_cast<std::int64_t>(dict->entries.size()));
    for (const auto& [key, entry] : dict->entries) items.push_back(key);
    return items;
  }
  if (const Text* text = as<Text>(value)) {
    const std::string_view bytes = text->bytes();
    if (!runtime.can_hold(static_cast<std::size_t>(text->n_characters()) * 100)) return items;
    for (std::size_t i = 0; i < bytes.size() && runtime.spend();) {
      const std::size_t length = tokenizer::character_length(bytes[i]);
      items.push_back(runtime.text(std::string(bytes.substr(i, length))));
      i += length;
    }
    return items;
  }
  return runtime.fail(fmt::format("expected a value with items, found {}", type_name(value)));
}

}  // namespace secondsource::jinja
