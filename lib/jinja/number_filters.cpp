// Filters whose result is a number.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/number.h"
#include "jinja/filters.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"
#include "jinja/whitespace.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace number_filter {
namespace {

/// A number's text without white space at the ends, a leading plus, and single underscores between digits.
std::optional<std::string> plain_digits(std::string_view text) {
  text = without_white_ends(text);
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.starts_with('-') || text.starts_with('+')) return std::nullopt;
  std::string result = is_negative ? "-" : "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto is_alnum = [&](std::size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
    };
    if (text[i] != '_') {
      result.push_back(text[i]);
    } else if (i == 0 || !is_alnum(i - 1) || !is_alnum(i + 1)) {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<std::int64_t> integer_from(std::string_view text, std::int64_t base) {
  std::optional<std::string> digits = plain_digits(text);
  if (!digits) return std::nullopt;
  const std::size_t sign = digits->starts_with('-') ? 1 : 0;
  const std::string prefix = tokenizer::to_lower(digits->substr(sign, 2));
  const std::int64_t named = prefix == "0x" ? 16 : prefix == "0o" ? 8 : prefix == "0b" ? 2 : 0;
  if (named != 0 && (base == named || base == 0)) {
    digits->erase(sign, 2);
    base = named;
  }
  if (base == 0) base = 10;
  std::int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto parsed = std::from_chars(digits->data(), end, value, static_cast<int>(base));
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(value) : std::nullopt;
}

std::optional<double> float_from(std::string_view text) {
  const std::optional<std::string> digits = plain_digits(text);
  if (!digits || digits->find_first_of("xX(") != std::string::npos) return std::nullopt;
  return parse_number<double>(*digits);
}

std::optional<std::int64_t> truncated(double number) {
  if (!(std::abs(number) < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

Result<Value> to_int(Runtime& runtime, const Value& input, const Bound& arguments) {
  if (const Undefined* undefined = as<Undefined>(input)) return undefined_error(runtime, *undefined);
  SS_TRY(const std::int64_t base, arguments.integer_or(runtime, 1, 10));
  if (base != 0 && (base < 2 || base > 36)) return runtime.fail("int: base: expected 0 or a number from 2 to 36");
  if (const std::optional<std::int64_t> integer = as_integer(input)) return Value(*integer);
  std::optional<std::int64_t> integer;
  if (const double* number = as<double>(input)) {
    integer = truncated(*number);
    if (!integer && !std::isnan(*number)) return runtime.fail("int: expected a number of 64 bits, found a larger one");
  } else if (const std::string* text = as_text(input)) {
    integer = integer_from(*text, base);
    if (const std::optional<double> real = float_from(*text); !integer && real) integer = truncated(*real);
  }
  return integer ? Value(*integer) : arguments.value_or(0, std::int64_t{0});
}

Result<Value> to_float(Runtime& runtime, const Value& input, const Bound& arguments) {
  if (const Undefined* undefined = as<Undefined>(input)) return undefined_error(runtime, *undefined);
  if (const std::optional<double> number = as_number(input)) return Value(*number);
  const std::string* text = as_text(input);
  const std::optional<double> number = text == nullptr ? std::nullopt : float_from(*text);
  return number ? Value(*number) : arguments.value_or(0, 0.0);
}

Result<Value> absolute(Runtime& runtime, const Value& input, const Bound&) {
  if (const std::optional<std::int64_t> integer = as_integer(input)) {
    return *integer < 0 ? negated(runtime, UnaryOperator::kMinus, input) : Result<Value>(Value(*integer));
  }
  if (const double* number = as<double>(input)) return Value(std::abs(*number));
  return runtime.fail(fmt::format("abs: expected a number, found {}", type_name(input)));
}

/// Half to even of the decimal value, as Python rounds.
double rounded(double number, std::int64_t precision) {
  if (!std::isfinite(number) || precision > 330) return number;
  if (precision >= 0) return *parse_number<double>(fmt::format("{:.{}f}", number, precision));
  const double scale = std::pow(10.0, static_cast<double>(std::min<std::int64_t>(-precision, 330)));
  const double result = std::nearbyint(number / scale) * scale;
  return std::isnan(result) ? 0.0 : result;
}

Result<Value> round(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::int64_t precision, arguments.integer_or(runtime, 0, 0));
  SS_TRY(const std::string method, arguments.text_or(runtime, 1, "common"));
  const std::optional<double> number = as_number(input);
  if (const Undefined* undefined = as<Undefined>(input)) return undefined_error(runtime, *undefined);
  if (!number) return runtime.fail(fmt::format("round: expected a number, found {}", type_name(input)));
  if (method == "common") {
    const std::optional<std::int64_t> integer = as_integer(input);
    if (!integer) return Value(rounded(*number, precision));
    return precision >= 0 ? Value(*integer) : Value(static_cast<std::int64_t>(rounded(*number, precision)));
  }
  if (method != "ceil" && method != "floor") return runtime.fail("round: expected the method common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *number * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result<Value> length(Runtime& runtime, const Value& input, const Bound&) {
  if (is_undefined(input)) return Value(std::int64_t{0});
  if (const Text* text = as<Text>(input)) return Value(text->n_characters());
  if (const Dict* dict = as_dict(input)) return Value(static_cast<std::int64_t>(dict->entries.size()));
  const Sequence* sequence = as_sequence(input);
  if (sequence != nullptr && sequence->kind != SequenceKind::kIterator)
    return Value(static_cast<std::int64_t>(sequence->items.size()));
  return runtime.fail(fmt::format("length: expected a text, list or dict, found {}", type_name(input)));
}

Result<Value> wordcount(Runtime& runtime, const Value& input, const Bound&) {
  const Text text = to_text(runtime, input);
  std::int64_t n = 0;
  bool is_in_word = false;
  for (std::size_t i = 0; i < text.bytes().size();) {
    const tokenizer::Character character = tokenizer::character_at(text.bytes(), i);
    const bool is_part = tokenizer::is_letter(character.code_point) || tokenizer::is_numeric(character.code_point) ||
                         character.code_point == U'_';
    n += is_part && !is_in_word ? 1 : 0;
    is_in_word = is_part;
    i += character.length;
  }
  return Value(n);
}

Result<Value> sum(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  Value result = arguments.value_or(1, std::int64_t{0});
  if (as_text(result) != nullptr) return runtime.fail("sum: expected a number to start with, found a text");
  for (const Value& item : items) {
    SS_TRY(const Value addend, at_path(runtime, item, arguments.value_or(0, None{})));
    SS_TRY(result, arithmetic(runtime, BinaryOperator::kAdd, result, addend));
  }
  return result;
}

using Names = std::string_view;
constexpr Parameters kNone{.names = {}};
constexpr std::array<Names, 2> kInt = {"default", "base"};
constexpr std::array<Names, 1> kFloat = {"default"};
constexpr std::array<Names, 2> kRound = {"precision", "method"};
constexpr std::array<Names, 2> kSum = {"attribute", "start"};

constexpr std::array kFilters = {
    Filter{"int", {.names = kInt}, to_int}, Filter{"float", {.names = kFloat}, to_float},
    Filter{"abs", kNone, absolute},         Filter{"round", {.names = kRound}, round},
    Filter{"length", kNone, length},        Filter{"count", kNone, length},
    Filter{"wordcount", kNone, wordcount},  Filter{"sum", {.names = kSum}, sum},
};

}  // namespace
}  // namespace number_filter

std::span<const Filter> number_filters() {
  return number_filter::kFilters;
}

}  // namespace secondsource::jinja
