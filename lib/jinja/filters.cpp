#include "jinja/filters.h"

#include <fmt/format.h>

#include "core/number.h"
#include "core/utf8.h"
#include "jinja/attributes.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {

Result<Value> apply_filter(Runtime& runtime, std::string_view name, const Value& input, Arguments arguments) {
  for (const std::span<const Filter> part :
       {text_filters(), number_filters(), sequence_filters(), selection_filters()}) {
    for (const Filter& filter : part) {
      if (filter.name != name) continue;
      SS_TRY(const Bound bound, bind_arguments(runtime, name, filter.parameters, std::move(arguments)));
      return filter.apply(runtime, input, bound);
    }
  }
  return runtime.fail(fmt::format("expected a known filter, found {}", in_quotes(name)));
}

Result<Value> at_path(Runtime& runtime, const Value& value, const Value& path, const Value& absent) {
  if (is_none(path)) return value;
  const auto step = [&](const Value& from, const Value& part) -> Result<Value> {
    SS_TRY(Value found, item_of(runtime, from, part));
    return is_undefined(found) && !is_none(absent) ? absent : found;
  };
  const std::string* text = as_text(path);
  if (text == nullptr) return step(value, path);
  Value result = value;
  for (std::size_t begin = 0; begin <= text->size();) {
    const std::size_t end = std::min(text->find('.', begin), text->size());
    const std::string_view part = std::string_view(*text).substr(begin, end - begin);
    const std::optional<std::int64_t> index = part.starts_with('-') ? std::nullopt : parse_number<std::int64_t>(part);
    SS_TRY(result, step(result, index ? Value(*index) : Value(Text(std::string(part)))));
    begin = end + 1;
  }
  return result;
}

Value without_case(Runtime& runtime, const Value& value) {
  const std::string* text = as_text(value);
  return text == nullptr ? value : runtime.text(tokenizer::to_lower(*text));
}

}  // namespace secondsource::jinja
