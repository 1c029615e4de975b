#pragma once
// A Jinja template, as transformers renders the chat template of a model: jinja2's ImmutableSandboxedEnvironment with
// trim_blocks, lstrip_blocks, loop controls and {% generation %}, and with transformers' own tojson, raise_exception
// and strftime_now. A template sees the variables that it is given and nothing else: no files, no clock, no attribute
// of the program. Its time and memory have limits (jinja/limits.h).
//
//   SS_TRY(const jinja::Template chat, jinja::Template::parse(text, "chat_template.jinja"));
//   SS_TRY(const std::string prompt, chat.render({{"messages", messages}, {"add_generation_prompt", true}}));

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/result.h"
#include "jinja/limits.h"

namespace secondsource::jinja {

struct Syntax;

struct RenderOptions {
  std::string date = "2024-07-26";  ///< YYYY-MM-DD: what strftime_now() takes for today, at midnight
  Limits limits = {};
};

class Template {
 public:
  /// `name` begins the messages of errors. Errors: kInvalidInput with the line; kUnsupported for a tag that would need
  /// other templates.
  static Result<Template> parse(std::string_view source, std::string name);

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// Renders with the members of a JSON object as variables. Errors: kInvalidInput with the line, also where the template
  /// itself refuses (raise_exception), and where a limit is reached.
  Result<std::string> render(const nlohmann::ordered_json& variables, const RenderOptions& options = {}) const;

 private:
  explicit Template(Syntax syntax);
  std::unique_ptr<const Syntax> syntax_;
};

}  // namespace secondsource::jinja
