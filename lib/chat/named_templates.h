#pragma once
// Chat templates by name: templates/NAME.jinja, which are built into the program. Each is one exact text format; two
// versions of a model line whose formats differ by a space are two templates. Manifests may name them, and `bundle
// create --chat-template NAME` puts one into a bundle.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The Jinja text of that name; "mistral", "phi" and "qwen" mean mistral-v1, phi3 and qwen2.5.
/// Errors: kUnsupported with the known names.
Result<std::string_view> named_chat_template(std::string_view name);

}  // namespace secondsource
