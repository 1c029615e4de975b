#include "jinja/functions.h"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <string>

#include "core/calendar.h"
#include "core/check.h"
#include "core/number.h"
#include "core/utf8.h"
#include "jinja/bind.h"
#include "jinja/limits.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"

namespace secondsource::jinja {
namespace global_function {
namespace {

Result<Value> range(Runtime& runtime, Arguments arguments) {
  static constexpr std::array<std::string_view, 3> kNames = {"start", "stop", "step"};
  SS_TRY(const Bound bound, bind_arguments(runtime, "range", {.names = kNames, .n_required = 1}, std::move(arguments)));
  SS_TRY(const std::int64_t first, bound.integer_or(runtime, 0, 0));
  SS_TRY(const std::int64_t start, bound.has(1) ? first : Result<std::int64_t>(0));
  SS_TRY(const std::int64_t stop, bound.integer_or(runtime, 1, first));
  SS_TRY(const std::int64_t step, bound.integer_or(runtime, 2, 1));
  if (step == 0) return runtime.fail("range: expected a step other than 0");
  const std::int64_t low = step > 0 ? start : stop;
  const std::int64_t high = step > 0 ? stop : start;
  // The difference of two signed 64-bit numbers fits into an unsigned one.
  const std::uint64_t distance = high > low ? static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) : 0;
  const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const std::uint64_t n = distance / stride + (distance % stride == 0 ? 0 : 1);
  if (n > static_cast<std::uint64_t>(kMaxRange))
    return runtime.fail(fmt::format("range: expected at most {} numbers, found more", kMaxRange));
  std::vector<Value> items;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(n); ++i) items.emplace_back(start + i * step);
  return runtime.sequence(SequenceKind::kRange, std::move(items));
}

/// The entries that dict(...) and namespace(...) make of their arguments.
Result<std::vector<std::pair<Value, Value>>> entries_of(Runtime& runtime, std::string_view function,
                                                        Arguments arguments) {
  if (arguments.positional.size() > 1) return runtime.fail(fmt::format("{}: expected at most one value", function));
  std::vector<std::pair<Value, Value>> entries;
  if (!arguments.positional.empty()) {
    const Value& given = arguments.positional[0];
    if (const Dict* dict = as_dict(given)) {
      entries = dict->entries;
    } else {
      SS_TRY(const std::vector<Value> items, items_of(runtime, given));
      for (const Value& item : items) {
        SS_TRY(const std::vector<Value> pair, items_of(runtime, item));
        if (pair.size() != 2) return runtime.fail(fmt::format("{}: expected pairs of key and value", function));
        SS_TRY_VOID(set_key(runtime, entries, pair[0], pair[1]));
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    SS_TRY_VOID(set_key(runtime, entries, runtime.text(name), std::move(value)));
  }
  return entries;
}

Result<Value> make_dict(Runtime& runtime, Arguments arguments) {
  SS_TRY(auto entries, entries_of(runtime, "dict", std::move(arguments)));
  return runtime.dict(std::move(entries));
}

Result<Value> make_namespace(Runtime& runtime, Arguments arguments) {
  SS_TRY(auto entries, entries_of(runtime, "namespace", std::move(arguments)));
  auto names = std::make_unique<Namespace>();
  for (auto& [key, value] : entries) {
    const std::string name = to_text(runtime, key).bytes();
    if (name.starts_with('_')) return runtime.fail("namespace: expected names without an underscore in front");
    names->attributes.emplace_back(name, std::move(value));
  }
  return Value(runtime.own(std::move(names), entries.size() * sizeof(entries)));
}

/// A separator for all but the first call.
Result<Value> make_joiner(Runtime& runtime, Arguments arguments) {
  static constexpr std::array<std::string_view, 1> kNames = {"sep"};
  SS_TRY(const Bound bound, bind_arguments(runtime, "joiner", {.names = kNames}, std::move(arguments)));
  SS_TRY(std::string separator, bound.text_or(runtime, 0, ", "));
  return runtime.callable(
      "joiner",
      [separator = std::move(separator), is_first = true](Runtime& at_call, Arguments) mutable -> Result<Value> {
        return at_call.text(std::exchange(is_first, false) ? std::string() : separator);
      });
}

Result<Value> raise_exception(Runtime& runtime, Arguments arguments) {
  static constexpr std::array<std::string_view, 1> kNames = {"message"};
  SS_TRY(const Bound bound,
         bind_arguments(runtime, "raise_exception", {.names = kNames, .n_required = 1}, std::move(arguments)));
  return runtime.fail(fmt::format("the template refuses this conversation: {}", to_text(runtime, bound[0]).bytes()));
}

/// The day as C's broken-down time.
std::tm time_of(std::string_view date) {
  const std::optional<std::int64_t> days = days_since_1970(date);
  SS_CHECK(days.has_value(), "a date YYYY-MM-DD");
  std::time_t seconds = static_cast<std::time_t>(*days * 86400);
  std::tm result{};
  ::gmtime_r(&seconds, &result);
  return result;
}

/// datetime.strftime at midnight, without the conversions that depend on the place.
Result<Value> strftime(Runtime& runtime, std::string_view date, const std::string& format) {
  constexpr std::string_view kFlags = "-_0^#";
  constexpr std::string_view kLetters = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY";
  const std::tm time = time_of(date);
  TextBuilder out(runtime);
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.add(std::string_view(format).substr(i, 1));
      continue;
    }
    std::string conversion = "%";
    if (i + 2 < format.size() && kFlags.find(format[i + 1]) != std::string_view::npos)
      conversion.push_back(format[++i]);
    const char letter = i + 1 < format.size() ? format[++i] : '\0';
    conversion.push_back(letter);
    if (letter == '%') {
      out.add("%");
    } else if (letter == 'f') {
      out.add("000000");
    } else if (letter != 'z' && letter != 'Z') {  // a day in no time zone
      std::array<char, 128> buffer{};
      const bool is_known = letter != '\0' && kLetters.find(letter) != std::string_view::npos;
      const std::size_t n = is_known ? std::strftime(buffer.data(), buffer.size(), conversion.c_str(), &time) : 0;
      if (!is_known)
        return runtime.fail(fmt::format("strftime_now: expected a known conversion, found {}", in_quotes(conversion)));
      out.add(std::string_view(buffer.data(), n));
    }
  }
  return out.text();
}

}  // namespace
}  // namespace global_function

std::vector<std::pair<std::string_view, Value>> functions(Runtime& runtime, std::string_view date) {
  const auto strftime_now = [date = std::string(date)](Runtime& at_call, Arguments arguments) -> Result<Value> {
    static constexpr std::array<std::string_view, 1> kNames = {"format"};
    SS_TRY(const Bound bound,
           bind_arguments(at_call, "strftime_now", {.names = kNames, .n_required = 1}, std::move(arguments)));
    SS_TRY(const std::string format, bound.text_or(at_call, 0, ""));
    return global_function::strftime(at_call, date, format);
  };
  return {{"range", runtime.callable("range", global_function::range)},
          {"dict", runtime.callable("dict", global_function::make_dict)},
          {"namespace", runtime.callable("namespace", global_function::make_namespace)},
          {"joiner", runtime.callable("joiner", global_function::make_joiner)},
          {"raise_exception", runtime.callable("raise_exception", global_function::raise_exception)},
          {"strftime_now", runtime.callable("strftime_now", strftime_now)}};
}

}  // namespace secondsource::jinja
