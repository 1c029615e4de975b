#include "jinja/bind.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace secondsource::jinja {

Result<std::int64_t> Bound::integer_or(const Runtime& runtime, std::size_t i, std::int64_t absent) const {
  if (!has(i)) return absent;
  if (const std::optional<std::int64_t> integer = as_integer(*values_[i])) return *integer;
  return runtime.fail(
      fmt::format("{}: {}: expected a whole number, found {}", function_, names_[i], type_name(*values_[i])));
}

Result<std::string> Bound::text_or(const Runtime& runtime, std::size_t i, std::string_view absent) const {
  if (!has(i)) return std::string(absent);
  if (const std::string* text = as_text(*values_[i])) return *text;
  return runtime.fail(fmt::format("{}: {}: expected a text, found {}", function_, names_[i], type_name(*values_[i])));
}

Result<Bound> bind_arguments(const Runtime& runtime, std::string_view function, const Parameters& parameters,
                             Arguments arguments) {
  Bound bound;
  bound.function_ = function;
  bound.names_ = parameters.names;
  bound.values_.resize(parameters.names.size());
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < bound.values_.size()) {
      bound.values_[i] = std::move(arguments.positional[i]);
    } else if (parameters.takes_more) {
      bound.more_.positional.push_back(std::move(arguments.positional[i]));
    } else {
      return runtime.fail(fmt::format("{}: expected at most {} arguments, found {}", function, parameters.names.size(),
                                      arguments.positional.size()));
    }
  }
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters.names.begin(), parameters.names.end(), name);
    const auto index = static_cast<std::size_t>(found - parameters.names.begin());
    if (found == parameters.names.end()) {
      if (!parameters.takes_more)
        return runtime.fail(fmt::format("{}: expected no argument {}", function, in_quotes(name)));
      bound.more_.named.emplace_back(std::move(name), std::move(value));
    } else if (bound.values_[index]) {
      return runtime.fail(fmt::format("{}: expected the argument {} once, found it twice", function, name));
    } else {
      bound.values_[index] = std::move(value);
    }
  }
  for (std::size_t i = 0; i < parameters.n_required; ++i) {
    if (!bound.values_[i])
      return runtime.fail(fmt::format("{}: expected the argument {}, found none", function, parameters.names[i]));
  }
  return bound;
}

}  // namespace secondsource::jinja
