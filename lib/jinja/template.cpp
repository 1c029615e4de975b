#include "jinja/template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/calendar.h"
#include "core/utf8.h"
#include "jinja/functions.h"
#include "jinja/interpreter.h"
#include "jinja/json_text.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"

namespace secondsource::jinja {

Template::Template(Syntax syntax) : syntax_(std::make_unique<const Syntax>(std::move(syntax))) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::parse(std::string_view source, std::string name) {
  SS_TRY(Syntax syntax, jinja::parse(source, name));
  return Template(std::move(syntax));
}

Result<std::string> Template::render(const nlohmann::ordered_json& variables, const RenderOptions& options) const {
  if (!days_since_1970(options.date)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a date YYYY-MM-DD for strftime_now, found {}",
                                                       syntax_->name, in_quotes(options.date))};
  }
  Runtime runtime(options.limits, syntax_->name);
  Scope* built_in = runtime.own(std::make_unique<Scope>(nullptr));
  for (auto& [name, value] : functions(runtime, options.date)) built_in->set(name, std::move(value));
  Scope* given = runtime.own(std::make_unique<Scope>(built_in));
  for (const auto& [name, value] : variables.items()) given->set(name, from_json(runtime, value));
  SS_TRY_VOID(runtime.check());
  return Interpreter(runtime).run(*syntax_, *given);
}

}  // namespace secondsource::jinja
