#include "jinja/tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/utf8.h"
#include "jinja/bind.h"
#include "jinja/filters.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"

namespace secondsource::jinja {
namespace template_test {
namespace {

struct Test {
  std::string_view name;
  std::size_t n_arguments;
  Result<bool> (*holds)(Runtime&, const Value& value, const Bound& arguments);
};

template <typename T>
Result<bool> is_of_type(Runtime&, const Value& value, const Bound&) {
  return as<T>(value) != nullptr;
}

template <bool wanted>
Result<bool> is_truth(Runtime&, const Value& value, const Bound&) {
  const bool* truth = as<bool>(value);
  return truth != nullptr && *truth == wanted;
}

Result<bool> is_defined(Runtime&, const Value& value, const Bound&) {
  return !is_undefined(value);
}

/// The undefined value counts: calling it is what fails.
Result<bool> is_callable(Runtime&, const Value& value, const Bound&) {
  return as<Callable*>(value) != nullptr || as<Loop*>(value) != nullptr || is_undefined(value);
}

Result<bool> is_number(Runtime&, const Value& value, const Bound&) {
  return as_number(value).has_value();
}

Result<bool> is_mapping(Runtime&, const Value& value, const Bound&) {
  return as_dict(value) != nullptr;
}

/// What has a length and items by index or key: also texts, dictionaries and the undefined value.
Result<bool> is_sequence(Runtime&, const Value& value, const Bound&) {
  return as_text(value) != nullptr || as_dict(value) != nullptr || as_indexed(value) != nullptr || is_undefined(value);
}

Result<bool> is_iterable(Runtime&, const Value& value, const Bound&) {
  return as_text(value) != nullptr || as_dict(value) != nullptr || as_sequence(value) != nullptr ||
         is_undefined(value) || as<Loop*>(value) != nullptr;
}

template <bool wants_odd>
Result<bool> has_parity(Runtime& runtime, const Value& value, const Bound&) {
  SS_TRY(const Value rest, arithmetic(runtime, BinaryOperator::kModulo, value, std::int64_t{2}));
  return equal(runtime, rest, std::int64_t{wants_odd ? 1 : 0});
}

Result<bool> divisible_by(Runtime& runtime, const Value& value, const Bound& arguments) {
  SS_TRY(const Value rest, arithmetic(runtime, BinaryOperator::kModulo, value, arguments[0]));
  return equal(runtime, rest, std::int64_t{0});
}

/// The same object, and not only an equal one: a constant, or the same list.
Result<bool> is_same(Runtime& runtime, const Value& value, const Bound& arguments) {
  const Value& other = arguments[0];
  if (value.index() != other.index()) return false;
  if (const Sequence* sequence = as_sequence(value)) return sequence == as_sequence(other);
  if (const Dict* dict = as_dict(value)) return dict == as_dict(other);
  return equal(runtime, value, other);
}

template <bool wants_upper>
Result<bool> has_case(Runtime& runtime, const Value& value, const Bound&) {
  const Method* method = find_text_method(wants_upper ? "isupper" : "islower");
  SS_TRY(const Value result, call_method(runtime, *method, to_text(runtime, value), {}));
  return is_true(result);
}

template <CompareOperator op>
Result<bool> compares(Runtime& runtime, const Value& value, const Bound& arguments) {
  return compare(runtime, op, value, arguments[0]);
}

Result<bool> is_known_filter(Runtime&, const Value& value, const Bound&) {
  return as_text(value) != nullptr && is_filter_name(*as_text(value));
}

Result<bool> is_known_test(Runtime&, const Value& value, const Bound&) {
  return as_text(value) != nullptr && is_test_name(*as_text(value));
}

Result<bool> is_escaped(Runtime&, const Value&, const Bound&) {
  return false;
}

Result<bool> is_undefined_value(Runtime&, const Value& value, const Bound&) {
  return is_undefined(value);
}

constexpr std::array kTests = {
    Test{"boolean", 0, is_of_type<bool>},
    Test{"callable", 0, is_callable},
    Test{"defined", 0, is_defined},
    Test{"undefined", 0, is_undefined_value},
    Test{"none", 0, is_of_type<None>},
    Test{"true", 0, is_truth<true>},
    Test{"false", 0, is_truth<false>},
    Test{"integer", 0, is_of_type<std::int64_t>},
    Test{"float", 0, is_of_type<double>},
    Test{"number", 0, is_number},
    Test{"string", 0, is_of_type<Text>},
    Test{"mapping", 0, is_mapping},
    Test{"sequence", 0, is_sequence},
    Test{"iterable", 0, is_iterable},
    Test{"odd", 0, has_parity<true>},
    Test{"even", 0, has_parity<false>},
    Test{"divisibleby", 1, divisible_by},
    Test{"sameas", 1, is_same},
    Test{"lower", 0, has_case<false>},
    Test{"upper", 0, has_case<true>},
    Test{"filter", 0, is_known_filter},
    Test{"test", 0, is_known_test},
    Test{"escaped", 0, is_escaped},
    Test{"in", 1, compares<CompareOperator::kIn>},
    Test{"==", 1, compares<CompareOperator::kEqual>},
    Test{"eq", 1, compares<CompareOperator::kEqual>},
    Test{"equalto", 1, compares<CompareOperator::kEqual>},
    Test{"!=", 1, compares<CompareOperator::kNotEqual>},
    Test{"ne", 1, compares<CompareOperator::kNotEqual>},
    Test{"<", 1, compares<CompareOperator::kLess>},
    Test{"lt", 1, compares<CompareOperator::kLess>},
    Test{"lessthan", 1, compares<CompareOperator::kLess>},
    Test{"<=", 1, compares<CompareOperator::kLessEqual>},
    Test{"le", 1, compares<CompareOperator::kLessEqual>},
    Test{">", 1, compares<CompareOperator::kGreater>},
    Test{"gt", 1, compares<CompareOperator::kGreater>},
    Test{"greaterthan", 1, compares<CompareOperator::kGreater>},
    Test{">=", 1, compares<CompareOperator::kGreaterEqual>},
    Test{"ge", 1, compares<CompareOperator::kGreaterEqual>},
};

}  // namespace
}  // namespace template_test

Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments arguments) {
  static constexpr std::array<std::string_view, 1> kOther = {"other"};
  const auto* found = std::find_if(template_test::kTests.begin(), template_test::kTests.end(),
                                   [&](const template_test::Test& one) { return one.name == name; });
  if (found == template_test::kTests.end())
    return runtime.fail(fmt::format("expected a known test, found {}", in_quotes(name)));
  const Parameters parameters{.names = std::span(kOther).first(found->n_arguments), .n_required = found->n_arguments};
  SS_TRY(const Bound bound, bind_arguments(runtime, name, parameters, std::move(arguments)));
  return found->holds(runtime, value, bound);
}

bool is_filter_name(std::string_view name) {
  const auto parts = {text_filters(), number_filters(), sequence_filters(), selection_filters()};
  return std::any_of(parts.begin(), parts.end(), [&](std::span<const Filter> part) {
    return std::any_of(part.begin(), part.end(), [&](const Filter& filter) { return filter.name == name; });
  });
}

bool is_test_name(std::string_view name) {
  return std::any_of(template_test::kTests.begin(), template_test::kTests.end(),
                     [&](const template_test::Test& test) { return test.name == name; });
}

}  // namespace secondsource::jinja
