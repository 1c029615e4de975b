#pragma once
// Jinja's filters, and tojson as transformers defines it. Left out, because no template of a model has use for them:
// random, urlize, wordwrap, xmlattr, striptags and pprint.

#include <span>
#include <string_view>

#include "core/result.h"
#include "jinja/bind.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

struct Filter {
  std::string_view name;
  Parameters parameters;
  Result<Value> (*apply)(Runtime&, const Value& input, const Bound& arguments);
};

/// For text_filters.cpp, number_filters.cpp, sequence_filters.cpp and selection_filters.cpp, which hold a part each.
[[nodiscard]] std::span<const Filter> text_filters();
[[nodiscard]] std::span<const Filter> number_filters();
[[nodiscard]] std::span<const Filter> sequence_filters();
[[nodiscard]] std::span<const Filter> selection_filters();

/// input | name(arguments). Errors: kInvalidInput, also for an unknown filter.
Result<Value> apply_filter(Runtime& runtime, std::string_view name, const Value& input, Arguments arguments);

/// The value at a path of attributes and indices ("function.name", "0.id", 1), as the argument `attribute` of filters
/// names it; the value itself for None. `absent` (None: nothing) takes the place of an undefined one at each step.
Result<Value> at_path(Runtime& runtime, const Value& value, const Value& path, const Value& absent = None{});
/// A text in lower case, and any other value as it is: how filters compare unless they are told otherwise.
[[nodiscard]] Value without_case(Runtime& runtime, const Value& value);

}  // namespace secondsource::jinja
