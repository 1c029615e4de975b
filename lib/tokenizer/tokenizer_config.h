#pragma once
// The contents of tokenizer_config.json that complement tokenizer.json: the names of the special tokens and the chat
// template.

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The file beside tokenizer_config.json in which transformers writes a chat template since its version 4.51. If it
/// exists, it takes precedence.
inline constexpr std::string_view kChatTemplateFile = "chat_template.jinja";

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> chat_template;  ///< Jinja; if there are several, the one named "default"
};

/// Reads the text of a tokenizer_config.json. Errors: kInvalidInput.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json_text, std::string_view name_for_messages);

}  // namespace secondsource
