#pragma once
// Which built-in chat template a model's own Jinja template is; lib/tokenizer renders the families by these names.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The name of the family (core/chat.h) whose template this surely is, or "none".
[[nodiscard]] std::string chat_family_of_template(std::string_view jinja);

/// The family of the chat_template in a tokenizer_config.json; "none" when it has none.
/// Errors: kInvalidInput when the text is not JSON.
Result<std::string> chat_family_of_tokenizer_config(std::string_view text, std::string_view name);

}  // namespace secondsource
