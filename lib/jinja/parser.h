#pragma once
// From a template's text to its tree: the grammar of Jinja2 with the extensions that transformers adds (break, continue,
// generation). Tags that would load other templates (include, import, extends, block) are refused, because a template of
// a model is one text.

#include <string_view>

#include "core/result.h"
#include "jinja/syntax.h"

namespace secondsource::jinja {

/// Errors: kInvalidInput with the line, kUnsupported for a tag that is refused.
Result<Syntax> parse(std::string_view source, std::string_view template_name);

}  // namespace secondsource::jinja
