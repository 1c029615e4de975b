#pragma once
// Recognises which built-in chat template a model's own Jinja template is; lib/tokenizer renders the families by these
// names.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The name of the family (tokenizer/chat.h) if the template is certainly one of its templates, else "none".
[[nodiscard]] std::string chat_family_of_template(std::string_view jinja);

/// The family of the chat_template in a tokenizer_config.json; "none" if it has no template. Errors: kInvalidInput if
/// the text is not JSON.
Result<std::string> chat_family_of_tokenizer_config(std::string_view text, std::string_view name);

}  // namespace secondsource
